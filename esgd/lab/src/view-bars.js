// D of the two weights at the step shown, against its true value: upright bars of one method, rows of several.

import { panel } from "./dom.js";
import { rowNorms } from "./linalg.js";
import { METHODS } from "./methods.js";
import { axes, line, surface, text } from "./plot.js";
import { formatNumber } from "./theory.js";
import { lostAtOnce, stepOf } from "./view-probes.js";

const KEEPERS = ["esgd", "equilibration", "jacobi", "adagrad", "rmsprop", "adam"]; // methods with a D
const WEIGHTS = ["θ₁", "θ₂"];

/** Of one method: a bar a weight, the number over it, the truth as a line across it. */
function drawUpright(area, theme, { D, hue, fresh }, truth, highest) {
  const { ctx } = area;
  const { sx, sy, box } = axes(area, theme, { x: [0, 2], y: [0, highest], xTicks: [] });
  const wide = Math.min(60, sx(0.72) - sx(0));
  WEIGHTS.forEach((weight, i) => {
    const top = sy(Math.min(D[i], highest));
    ctx.fillStyle = hue;
    ctx.globalAlpha = fresh ? 1 : 0.62;
    ctx.beginPath();
    ctx.roundRect(sx(i + 0.5) - wide / 2 + 2, top, wide - 4, box.bottom - top, [4, 4, 0, 0]);
    ctx.fill();
    ctx.globalAlpha = 1;
    ctx.strokeStyle = theme.ink;
    ctx.lineWidth = 2;
    line(ctx, [[sx(i + 0.08), sy(truth[i])], [sx(i + 0.92), sy(truth[i])]]);
    const clash = top - sy(truth[i]); // the number must not lie on the line of the truth
    const y = clash > 0 && clash < 20 ? sy(truth[i]) - 6 : Math.max(box.top + 8, top - 5);
    const style = { align: "center", colour: theme.ink, size: 12, halo: true };
    text(ctx, theme, formatNumber(D[i], 3), sx(i + 0.5), y, style);
    text(ctx, theme, weight, sx(i + 0.5), box.bottom + 7, { align: "center", base: "top" });
  });
}

/** Of several: a row a method, so that every name and number has its own line; the truth runs down the rows. */
function drawRows({ ctx, width, height }, theme, rows, truth, highest) {
  const left = 124;
  const each = Math.min(26, (height - 14) / (2 * rows.length));
  const scale = (v) => left + (Math.min(v, highest) / highest) * (width - left - 48);
  WEIGHTS.forEach((weight, i) => {
    const top = 4 + i * (rows.length * each + 8);
    text(ctx, theme, weight, 0, top + (rows.length * each) / 2, { base: "middle", weight: 600, colour: theme.ink });
    rows.forEach(({ name, D, hue, fresh }, r) => {
      const middle = top + (r + 0.5) * each;
      const style = { base: "middle", size: Math.min(12, each) };
      text(ctx, theme, name, left - 8, middle, { ...style, align: "right", colour: theme.ink });
      ctx.fillStyle = hue;
      ctx.globalAlpha = fresh ? 1 : 0.62;
      ctx.beginPath();
      ctx.roundRect(left, middle - each * 0.36, Math.max(1, scale(D[i]) - left), each * 0.72, [0, 3, 3, 0]);
      ctx.fill();
      ctx.globalAlpha = 1;
      const edge = scale(D[i]);
      const goal = scale(truth[i]);
      const near = goal - edge > -2 && goal - edge < 42; // the number would lie on the line of the truth
      text(ctx, theme, formatNumber(D[i], 3), (near ? goal : edge) + 5, middle, style);
    });
    ctx.strokeStyle = theme.ink;
    ctx.lineWidth = 2;
    line(ctx, [[scale(truth[i]), top], [scale(truth[i]), top + rows.length * each]]);
  });
}

export function barsView(lab) {
  const view = panel({ title: "D of the two weights" });
  const keeps = (m) => lab.runs[m].records[0]?.D;
  view.lacks = () => (lab.S.methods.some(keeps) ? null : lostAtOnce(lab, KEEPERS) ?? "No method here keeps a D: add ESGD.");
  view.draw = () => {
    const { S, theme, land, runs, at } = lab;
    const area = surface(view.canvas);
    const shown = S.methods.filter(keeps);
    const t = stepOf(at);
    const record = (m) => runs[m].records[Math.min(t, runs[m].records.length - 1)];
    const { points } = runs[shown[0]];
    const truth = rowNorms(land.hess(points[Math.min(t, points.length - 1)]));
    const all = shown.flatMap((m) => runs[m].records.map(({ D }) => D));
    const largest = all.flatMap((D) => D.map((d, i) => Math.min(d, 4 * truth[i])));
    const highest = 1.15 * Math.max(...truth, ...largest) || 1;
    const rows = shown.map((m) => {
      const { D, products } = record(m);
      return { name: METHODS[m].short, hue: theme.hue[m], D, fresh: Boolean(products?.length) };
    });
    if (rows.length === 1) drawUpright(area, theme, rows[0], truth, highest);
    else drawRows(area, theme, rows, truth, highest);
    const first = record(shown[0]);
    view.note(first.k ? `k = ${first.k}${first.products?.length ? ", refreshed now" : ""}` : "line: true row norm");
    const said = (m, i) => `${formatNumber(record(m).D[i], 3)} (true ${formatNumber(truth[i], 3)})`;
    const words = WEIGHTS.flatMap((weight, i) => shown.map((m) => `${METHODS[m].label}, ${weight}: ${said(m, i)}`));
    view.describe(`Bars of D. ${words.join("; ")}.`);
  };
  return view;
}
