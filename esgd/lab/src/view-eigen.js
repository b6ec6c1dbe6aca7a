// The eigenvectors of a problem of many weights, each drawn as the curve that it is; what is asked of each of them, and
// what each method has of it so far. Its bead is how much of it the start has.

import { beadRow } from "./beads.js";
import { methodKey, problemChoice } from "./controls.js";
import { panel } from "./dom.js";
import { amountsOf, curveOf, isOut, leftOver, manyOf, noMany, weightsAt, withMode } from "./many.js";
import { METHODS } from "./methods.js";
import { clipped, line, linearScale, surface, text } from "./plot.js";
import { SETTINGS } from "./state.js";
import { formatNumber } from "./theory.js";

const CAPTION_ROOM = 17; // room for the curvature above each curve

/** Rows and columns of the small panels. */
function tiles(n, width, height) {
  const columns = n === 6 ? (width < 560 ? 2 : 3) : width < 560 ? 4 : 8;
  const rows = Math.ceil(n / columns);
  const [wide, tall] = [width / columns, height / rows];
  return Array.from({ length: n }, (_, k) => ({
    left: (k % columns) * wide + 4, right: (k % columns + 1) * wide - 4,
    top: Math.floor(k / columns) * tall + CAPTION_ROOM, bottom: (Math.floor(k / columns) + 1) * tall - 5,
  }));
}

/** How far a mode reaches in its panel. */
const reach = (wanted, begun) => Math.max(Math.abs(wanted), Math.abs(begun), 0.05);

/** How much of eigenvector q the start can have while every weight stays within its range. */
function limitsOf(q, start, begun) {
  const { min, max } = SETTINGS.weights;
  const ends = q.flatMap((v, i) => (Math.abs(v) < 1e-9 ? [] : [[(min - start[i]) / v, (max - start[i]) / v].sort((a, b) => a - b)]));
  return [begun + Math.max(...ends.map(([low]) => low)), begun + Math.min(...ends.map(([, high]) => high))];
}

/** One mode; returns where its bead belongs, and the sign with which up is more. */
function drawEigenvector(lab, ctx, box, { curve, value, wanted, begun, now, size }) {
  const { theme } = lab;
  const places = curve.map(([x]) => x);
  const edge = Math.ceil(curve.length / 10); // no bead hangs over the edge
  const highest = (some) => some.reduce((best, point) => (Math.abs(point[1]) > Math.abs(best[1]) ? point : best));
  const [place, height] = highest(curve.slice(edge, -edge));
  const tall = size * Math.abs(highest(curve)[1]) * 1.3;
  const sx = linearScale(places[0], places[places.length - 1], box.left, box.right);
  const sy = linearScale(-tall, tall, box.bottom, box.top);
  const trace = (amount) => line(ctx, curve.map(([x, y]) => [sx(x), sy(Math.max(-9 * tall, Math.min(9 * tall, amount * y)))]));
  text(ctx, theme, `h = ${formatNumber(value, 2)}`, box.left, box.top - 5, { size: 11.5, most: box.right - box.left });
  ctx.fillStyle = theme.panel;
  ctx.fillRect(box.left, box.top, box.right - box.left, box.bottom - box.top);
  ctx.lineWidth = 1;
  ctx.strokeStyle = theme.hairline;
  line(ctx, [[box.left, sy(0)], [box.right, sy(0)]]);
  clipped(ctx, box, () => {
    ctx.strokeStyle = theme.muted;
    ctx.lineWidth = 1.3;
    ctx.setLineDash([3, 4]);
    trace(wanted);
    ctx.setLineDash([]);
    for (const { method, amount } of now) {
      ctx.strokeStyle = theme.hue[method];
      ctx.lineWidth = 2;
      trace(amount);
    }
  });
  return { x: sx(place), y: sy(begun * height), sign: Math.sign(height), invert: (y) => sy.invert(y) / Math.abs(height), step: Math.max(0.02, Number((Math.abs(wanted) / 20).toPrecision(1))) };
}

export function eigenView(lab) {
  const view = panel({ title: "Eigenvectors", shape: "modes eigen" });
  const choice = problemChoice(lab);
  const key = methodKey(lab);
  view.plot.before(key.element);
  view.element.append(choice.element);
  let signs = [];
  const row = beadRow(lab, view, {
    label: "Amount of each eigenvector at the start",
    hold: () => {
      const { start, ...problem } = manyOf(lab).problem;
      const [wanted, begun] = [problem.goal, start].map((w) => amountsOf(problem, w));
      return { start, sizes: wanted.map((v, k) => reach(v, begun[k])) };
    },
    set: (k, value, held) => {
      const { problem } = manyOf(lab);
      const start = held?.start ?? problem.start; // from where it was taken: no rounding adds up on the way
      const more = signs[k] * value - amountsOf(problem, start)[k];
      lab.update({ weights: withMode(problem, start, k, more).map((v) => Number(v.toFixed(6))) });
    },
  });
  view.lacks = () => noMany(lab);
  view.draw = () => {
    const { S, at } = lab;
    const { ctx, width, height } = surface(view.canvas);
    choice.draw();
    const { problem, runs } = manyOf(lab);
    const { values, vectors, goal, start } = problem;
    const step = Math.round(at);
    const [wanted, begun] = [amountsOf(problem, goal), amountsOf(problem, start)];
    const out = S.methods.filter((m) => isOut(problem, weightsAt(runs[m], step)));
    key.draw(out);
    const now = S.methods.filter((m) => !out.includes(m)).map((method) => ({ method, amounts: amountsOf(problem, weightsAt(runs[method], step)) }));
    const spots = tiles(vectors.length, width, height).map((box, k) => drawEigenvector(lab, ctx, box, {
      curve: curveOf(problem, vectors[k], 60), value: values[k], wanted: wanted[k], begun: begun[k],
      now: now.map(({ method, amounts }) => ({ method, amount: amounts[k] })), size: row.held?.sizes[k] ?? reach(wanted[k], begun[k]),
    }));
    signs = spots.map(({ sign }) => sign);
    row.place(spots.map((spot, k) => {
      const limits = limitsOf(vectors[k], start, begun[k]).map((v) => v * spot.sign);
      const value = Number((spot.sign * begun[k]).toPrecision(4)) + 0; // no −0
      return {
        ...spot, value, least: Number(Math.min(...limits).toFixed(3)), most: Number(Math.max(...limits).toFixed(3)), spoken: formatNumber(value, 3),
        label: `Eigenvector ${k + 1} of ${vectors.length}, curvature ${formatNumber(values[k], 2)}, amount at the start`,
      };
    }), [width, height]);
    view.note("dashed: what the best weights have of it; the bead: what the start has");
    const left = S.methods.map((m) => {
      const shares = leftOver(problem, weightsAt(runs[m], step)).filter((v) => v !== null);
      return `${METHODS[m].label} has got rid of half the error in ${shares.filter((v) => v < 0.5).length} of the ${shares.length} that had one`;
    });
    view.describe(
      `The ${vectors.length} eigenvectors as curves, the steepest first, curvatures ${values.map((v) => formatNumber(v, 2)).join(", ")}, each ` +
        `times what the best weights and each method have of it at step ${step}. ${left.join("; ") || "No method runs"}.`,
    );
  };
  return view;
}
