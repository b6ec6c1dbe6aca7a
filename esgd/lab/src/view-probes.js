// The views of probes: the cloud of products Hv, estimates converging, ESGD's bars and its ledger.

import { make, panel } from "./dom.js";
import { endLabels, gutterFor } from "./labels.js";
import { jacobiDiagonal, matvec, rowNorms } from "./linalg.js";
import { METHODS, trajectory } from "./methods.js";
import { arrow, axes, dot, line, linearScale, surface, text } from "./plot.js";
import { formatNumber } from "./theory.js";

export const pair = (v, digits = 3) => `(${formatNumber(v[0], digits)}, ${formatNumber(v[1], digits)})`;

export const stepOf = (at) => Math.max(0, Math.ceil(at) - 1); // the record of the step that led to the place shown

/** Which of these methods left every bound in its first step, in words; null where none did. */
export function lostAtOnce({ S, runs }, methods) {
  const lost = methods.find((m) => S.methods.includes(m) && !runs[m].records.length);
  return lost ? `${METHODS[lost].label} diverged in its first step: lower its rate or damp it more.` : null;
}

/** The probes {v, Hv} that the runs have drawn up to the step shown; those of ESGD where no method draws any. */
export function probesSoFar(S, runs, at) {
  const drawn = ["esgd", "jacobi"].map((m) => runs[m]).find((run) => run?.records[0]?.products);
  return (drawn ?? trajectory("esgd", S)).records.slice(0, stepOf(at) + 1).flatMap(({ products }) => products);
}

/**
 * c in c/√k, one standard error of equilibration's √(D/k) as a share of the truth, for k not too small: 1/√2 for Gaussian
 * probes; for signs |h₁h₂|/‖h‖² of the row, of which the larger is taken.
 */
export function errorShare(S, H) {
  if (S.probe === "gaussian") return Math.SQRT1_2;
  return Math.max(...[[H.a, H.b], [H.b, H.c]].map(([p, q]) => Math.abs(p * q) / Math.max(p * p + q * q, 1e-300)));
}

/** Products Hv of the probes so far, inside the box that √(D/k) makes of them. */
export function cloudView(lab) {
  const view = panel({ title: "Products Hv", shape: "square" });
  view.draw = () => {
    const { S, theme, land, runs, at } = lab;
    const { ctx, width, height } = surface(view.canvas);
    const H = land.hess([S.x0, S.y0]);
    const truth = rowNorms(H);
    const reach = 3 * Math.max(...truth, 1e-6);
    const sx = linearScale(-reach, reach, 0, width);
    const sy = linearScale(-reach, reach, height, 0);
    ctx.fillStyle = theme.panel;
    ctx.fillRect(0, 0, width, height);
    ctx.strokeStyle = theme.hairline;
    ctx.lineWidth = 1;
    line(ctx, [[0, sy(0)], [width, sy(0)]]);
    line(ctx, [[sx(0), 0], [sx(0), height]]);
    text(ctx, theme, "(Hv)₁", width - 8, sy(0) - 7, { align: "right" });
    text(ctx, theme, "(Hv)₂", sx(0) + 8, 16);
    ctx.strokeStyle = theme.faint;
    ctx.lineWidth = 1.2;
    ctx.setLineDash([3, 4]);
    const ring = Array.from({ length: 73 }, (_, i) => (i * Math.PI) / 36).map((t) => matvec(H, [Math.SQRT2 * Math.cos(t), Math.SQRT2 * Math.sin(t)]));
    line(ctx, ring.map((p) => [sx(p[0]), sy(p[1])]));
    ctx.setLineDash([]);
    const probes = probesSoFar(S, runs, at);
    const count = probes.length;
    const last = probes[count - 1] ?? { v: [0, 0], Hv: [0, 0] }; // the run may have left every bound in its first step
    ctx.globalAlpha = 0.55;
    for (const { Hv } of probes) dot(ctx, sx(Hv[0]), sy(Hv[1]), 3, theme.hue.esgd);
    ctx.globalAlpha = 1;
    const box = (d, colour, dash) => {
      ctx.strokeStyle = colour;
      ctx.setLineDash(dash);
      ctx.strokeRect(sx(-d[0]), sy(d[1]), sx(d[0]) - sx(-d[0]), sy(-d[1]) - sy(d[1]));
      ctx.setLineDash([]);
    };
    ctx.lineWidth = 2.4;
    box(truth, theme.ink, []);
    const estimate = [0, 1].map((i) => Math.sqrt(probes.reduce((sum, { Hv }) => sum + Hv[i] ** 2, 0) / Math.max(1, count)));
    box(estimate, theme.hue.esgd, [7, 5]);
    ctx.strokeStyle = theme.muted;
    ctx.lineWidth = 1.8;
    arrow(ctx, [sx(0), sy(0)], [sx(last.v[0]), sy(last.v[1])]);
    ctx.strokeStyle = theme.hue.esgd;
    ctx.lineWidth = 2.4;
    arrow(ctx, [sx(0), sy(0)], [sx(last.Hv[0]), sy(last.Hv[1])], 9);
    text(ctx, theme, "v", sx(last.v[0]) + 7, sy(last.v[1]) - 5, { size: 13, weight: 600, halo: true });
    text(ctx, theme, "Hv", sx(last.Hv[0]) + 7, sy(last.Hv[1]) - 5, { size: 13, weight: 600, colour: theme.ink, halo: true });
    text(ctx, theme, "row norms of H", sx(truth[0]) - 4, sy(-truth[1]) + 15, { align: "right", colour: theme.ink, halo: true });
    view.note(count ? `k = ${count}` : "ESGD diverged in its first step");
    view.describe(
      `${count} products Hv with ${S.probe} probes. The root mean squares are ${pair(estimate)}, the row norms of H${land.quadratic ? "" : " at the start"} ${pair(truth)}.`,
    );
  };
  return view;
}

/** Estimate over truth against the number of probes, for both diagonals and both weights. */
export function estimatesView(lab) {
  const view = panel({ title: "Estimate ÷ truth" });
  const draws = (m) => lab.runs[m]?.records[0]?.products;
  view.lacks = () => (draws("jacobi") || draws("esgd") ? null
    : lostAtOnce(lab, ["esgd", ...(lab.S.curvature === "probes" ? ["jacobi"] : [])]) ?? "No method here draws probes: add ESGD.");
  view.draw = () => {
    const { S, theme, land, runs, at } = lab;
    const area = surface(view.canvas);
    const { ctx } = area;
    const H = land.hess([S.x0, S.y0]);
    const probed = [["jacobi", jacobiDiagonal(H)], ["esgd", rowNorms(H)]].filter(([method]) => runs[method]?.records[0]?.products);
    const most = Math.max(2, ...probed.map(([method]) => runs[method].records[runs[method].records.length - 1].k));
    const xTicks = [1, 2, 3, 10, 30, 100, 300].filter((k) => k <= most && (k !== 2 || most < 3));
    const gutter = gutterFor(ctx, theme, probed.map(([method]) => METHODS[method].short));
    const frame = axes(area, theme, { x: [1, most], y: [0, 2], xLog: true, xLabel: "probes k", xTicks, gutter });
    const { sx, sy, box } = frame;
    ctx.save();
    ctx.beginPath();
    ctx.rect(box.left, box.top, box.right - box.left + 4, box.bottom - box.top);
    ctx.clip();
    const share = errorShare(S, H);
    ctx.fillStyle = theme.hue.esgd;
    ctx.globalAlpha = 0.13;
    ctx.beginPath();
    const ks = Array.from({ length: 60 }, (_, i) => most ** (i / 59));
    ks.forEach((k, i) => ctx[i ? "lineTo" : "moveTo"](sx(k), sy(1 + share / Math.sqrt(k))));
    ks.reverse().forEach((k) => ctx.lineTo(sx(k), sy(1 - share / Math.sqrt(k))));
    ctx.fill();
    ctx.globalAlpha = 1;
    ctx.strokeStyle = theme.ink;
    ctx.lineWidth = 1;
    line(ctx, [[box.left, sy(1)], [box.right, sy(1)]]);
    const words = [];
    const ends = [];
    const nought = (truth, i) => truth[i] < 1e-9 * Math.max(...rowNorms(H));
    const without = probed.filter(([, truth]) => nought(truth, 0) || nought(truth, 1)).map(([method]) => METHODS[method].short);
    for (const [method, truth] of probed) {
      const run = runs[method];
      const upTo = run.records.slice(0, stepOf(at) + 1);
      for (const i of [1, 0]) {
        if (nought(truth, i)) continue;
        ctx.strokeStyle = theme.hue[method];
        ctx.lineWidth = 2;
        ctx.setLineDash(i ? [3, 4] : []);
        line(ctx, upTo.map((r) => [sx(r.k), sy(Math.min(9, r.D[i] / truth[i]))]));
      }
      ctx.setLineDash([]);
      const final = upTo[upTo.length - 1];
      const last = run.records[run.records.length - 1]; // the name stands still while the curve grows
      const named = nought(truth, 0) ? 1 : 0;
      if (!nought(truth, named)) ends.push({ x: box.right, y: sy(Math.min(9, last.D[named] / truth[named])), name: METHODS[method].short, hue: theme.hue[method] });
      words.push(`${METHODS[method].label} ${pair(final.D.map((d, i) => (nought(truth, i) ? NaN : d / truth[i])))}`);
    }
    ctx.restore();
    endLabels(ctx, theme, box, ends);
    text(ctx, theme, "band: ± one standard error of ESGD", box.left + 6, box.bottom - 7, { size: 11.5, halo: true, most: box.right - box.left - 12 });
    const absent = without.length ? `${without.join(" and ")}: a truth of 0 gives no ratio` : "";
    view.note(`θ₁ solid, θ₂ dashed${absent && `; ${absent}`}`);
    view.describe(
      `Estimated over true diagonal${land.quadratic ? "" : " at the start"} against the number of probes` +
        `${land.quadratic ? "; they tend to 1" : ", while the Hessian changes along the run"}. ${absent && `${absent}. `}The band is one standard error of ESGD’s estimate ` +
        `on either side of 1, ${formatNumber(share, 2)}/√k for ${S.probe === "gaussian" ? "Gaussian probes" : "signs"}. Now: ${words.join("; ") || "no method draws probes"}.`,
    );
  };
  return view;
}

/** Algorithm 1 in numbers: what the step shown has done. */
export function ledgerView(lab) {
  const list = make("dl", { class: "ledger" });
  const note = make("span");
  const element = make("figure", {}, make("div", { class: "head" }, make("b", { text: "The step in numbers" }), note), list);
  let shownText = "";
  const draw = () => {
    const { S, theme, runs, at } = lab;
    const method = S.methods.includes("esgd") ? "esgd" : S.methods[0];
    const run = runs[method];
    const t = Math.min(stepOf(at), (run?.records.length ?? 0) - 1);
    const record = run?.records[t];
    const rows = [];
    if (record) {
      const product = record.products?.[record.products.length - 1];
      note.textContent = `step ${t + 1} of ${METHODS[method].label}`;
      rows.push(["gradient g", pair(record.g)]);
      if (record.products) {
        rows.push(["probe v", product ? pair(product.v) : `none (the next in ${S.interval - (t % S.interval)})`, Boolean(product)]);
        rows.push(["product Hv", product ? pair(product.Hv) : "–", Boolean(product)]);
      }
      if (record.sum) rows.push([`D after ${record.k}`, pair(record.sum), Boolean(product)]);
      if (record.D) rows.push([record.sum ? "√(D/k)" : "D", pair(record.D), Boolean(product)]);
      rows.push(["rates", pair([record.P.a, record.P.c])]);
      rows.push(["new θ", pair(run.points[t + 1])]);
    } else {
      note.textContent = "";
      rows.push(["no step", (method && lostAtOnce(lab, [method])) ?? "No method runs: add ESGD."]);
    }
    const joined = JSON.stringify(rows) + theme.dark;
    if (joined === shownText) return;
    shownText = joined;
    element.style.setProperty("--tint", theme.hue[method] ?? theme.ink);
    list.replaceChildren(...rows.flatMap(([name, value, now]) => [make("dt", { text: name }), make("dd", { text: value, class: now ? "now" : null })]));
  };
  return { element, draw };
}
