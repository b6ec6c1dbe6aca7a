// The methods with the same settings on a quadratic of many weights: what is left of each mode, and the weights at work.

import { beadRow } from "./beads.js";
import { problemChoice } from "./controls.js";
import { panel } from "./dom.js";
import { beads, drawLabels, settleLabels } from "./labels.js";
import { curveOf, dataOf, isOut, leftOver, manyOf, noMany, weightsAt } from "./many.js";
import { METHODS } from "./methods.js";
import { axes, clipped, dot, line, surface, text } from "./plot.js";
import { SETTINGS } from "./state.js";
import { formatNumber } from "./theory.js";

const LOWEST = 1e-4;
const HEIGHTS = { polynomial: [-2.1, 2.1], chain: [-0.3, 1.5] }; // the data stay within; beliefs may need more

/** Share of each mode's first error that is left, over its curvature. */
function drawModes(lab, area, problem, runs, step) {
  const { S, theme } = lab;
  const { ctx } = area;
  const values = problem.values;
  const x = [10 ** Math.floor(Math.log10(values[values.length - 1])), 10 ** Math.ceil(Math.log10(values[0]) + 1e-9)];
  const frame = axes(area, theme, { x, y: [LOWEST, 10], xLog: true, yLog: true, yLabel: " ", xLabel: "curvature of the mode" });
  text(ctx, theme, `left of each mode’s error, step ${step}`, frame.box.left, 12, { colour: theme.ink, weight: 600, size: 12 });
  ctx.strokeStyle = theme.critical;
  ctx.setLineDash([5, 4]);
  ctx.lineWidth = 1;
  line(ctx, [[frame.box.left, frame.sy(1)], [frame.box.right, frame.sy(1)]]);
  ctx.setLineDash([]);
  const [ends, dots] = [[], []];
  clipped(ctx, { ...frame.box, top: frame.box.top - 4, bottom: frame.box.bottom + 4, right: frame.box.right + 5 }, () => {
    for (const method of S.methods) {
      const pixels = leftOver(problem, weightsAt(runs[method], step)).flatMap((v, k) =>
        v === null ? [] : [[frame.sx(values[k]), frame.sy(Math.max(LOWEST, Math.min(20, v)))]]);
      if (!pixels.length || isOut(problem, weightsAt(runs[method], step))) continue;
      ctx.strokeStyle = theme.hue[method];
      ctx.lineWidth = 1.6;
      ctx.globalAlpha = 0.6;
      line(ctx, pixels);
      ctx.globalAlpha = 1;
      pixels.forEach(([px, py]) => dot(ctx, px, py, 3, theme.hue[method]));
      const [x, y] = pixels[pixels.length - 1]; // the flattest mode, of which most is left
      ends.push({ x, y: Math.max(frame.box.top, y), name: METHODS[method].short, hue: theme.hue[method], heading: [1, -0.6] });
      dots.push(...beads(pixels, 9, 200));
    }
  });
  const taken = [[0, 0, area.width, 18], [0, 0, frame.box.left, area.height]]; // the title, and the numbers
  drawLabels(ctx, theme, settleLabels(ctx, theme, ends, frame.box.right, frame.box.bottom, { taken, dots }));
}

/** The range of the heights that are drawn. */
function heightsOf({ name, start }) {
  const [low, high] = HEIGHTS[name];
  return name === "chain" ? [Math.min(low, ...start.map((v) => 1.1 * v)), Math.max(high, ...start.map((v) => 1.1 * v))] : [low, high];
}

/** The weights at work: the fitted polynomial among its data, or the chain on its way to agreement; returns the axes. */
function drawWeights(lab, area, problem, runs, step, y) {
  const { S, theme } = lab;
  const { ctx } = area;
  const fit = problem.name === "polynomial";
  const n = problem.goal.length;
  const range = fit ? { x: [-1, 1], y, xTicks: [-1, -0.5, 0, 0.5, 1], yTicks: [-2, -1, 0, 1, 2] } : { x: [1, n], y, xTicks: [1, 4, 8, 12, 16], ...(y[1] === HEIGHTS.chain[1] ? { yTicks: [0, 0.5, 1] } : {}) };
  const frame = axes(area, theme, { ...range, yLabel: " ", xLabel: fit ? "x" : "place in the chain" });
  const pixels = (w) => curveOf(problem, w).map(([x, y]) => [frame.sx(x), frame.sy(Math.max(-99, Math.min(99, y)))]);
  text(ctx, theme, fit ? "the fitted polynomial" : "what each one believes", frame.box.left, 12, { colour: theme.ink, weight: 600, size: 12 });
  const out = S.methods.filter((m) => isOut(problem, weightsAt(runs[m], step)));
  const words = out.map((m) => METHODS[m].short).join(", ");
  if (out.length) text(ctx, theme, `${words} ${out.length > 1 ? "are" : "is"} out`, frame.box.right, 12, { align: "right", colour: theme.bad, weight: 600, most: 0.55 * (frame.box.right - frame.box.left) });
  clipped(ctx, { ...frame.box, left: frame.box.left - 4, right: frame.box.right + 4 }, () => {
    ctx.strokeStyle = theme.muted;
    ctx.lineWidth = 1.3;
    ctx.setLineDash([3, 4]);
    line(ctx, pixels(problem.goal));
    ctx.setLineDash([]);
    for (const method of S.methods.filter((m) => !out.includes(m))) {
      ctx.strokeStyle = theme.hue[method];
      ctx.lineWidth = 2;
      line(ctx, pixels(weightsAt(runs[method], step)));
    }
  });
  return frame;
}

export function manyView(lab) {
  const view = panel({ title: "On many weights", shape: "modes" });
  const choice = problemChoice(lab);
  view.element.append(choice.element);
  const row = beadRow(lab, view, {
    label: "Beads to move up and down",
    hold: () => ({ heights: heightsOf(manyOf(lab).problem) }), // the scale stays as it is under the hand
    set: (i, value) => {
      const fit = lab.S.many === "polynomial";
      const values = fit ? dataOf(lab.S.data) : manyOf(lab).problem.start.slice();
      values[i] = value;
      lab.update({ [fit ? "data" : "weights"]: values.map((v) => Number(v.toPrecision(4))) });
    },
  });
  view.lacks = () => noMany(lab);
  view.draw = () => {
    const { S, at } = lab;
    const { ctx, width, height } = surface(view.canvas);
    choice.draw();
    const { problem, runs } = manyOf(lab);
    const step = Math.round(at);
    const stacked = width < 560;
    const size = stacked ? { width, height: height / 2 - 6 } : { width: width / 2 - 12, height };
    const [left, top] = stacked ? [0, height / 2 + 6] : [width / 2 + 12, 0];
    drawModes(lab, { ctx, ...size }, problem, runs, step);
    ctx.save();
    ctx.translate(left, top);
    const heights = row.held?.heights ?? heightsOf(problem);
    const { sx, sy, box } = drawWeights(lab, { ctx, ...size }, problem, runs, step, heights);
    ctx.restore();
    const fit = S.many === "polynomial";
    const held = fit ? problem.data : curveOf(problem, problem.start);
    const { min: least, max: most } = SETTINGS[fit ? "data" : "weights"];
    row.place(held.map(([x, value], i) => ({
      x: left + sx(x), y: top + Math.max(box.top, Math.min(box.bottom, sy(value))), value: Number(value.toPrecision(4)), least, most, step: 0.05,
      label: fit ? `Data point ${i + 1} of ${held.length}, x = ${formatNumber(x, 2)}` : `Place ${i + 1} of ${held.length}, belief at the start`,
      spoken: formatNumber(value, 3), invert: (y) => sy.invert(Math.max(box.top, Math.min(box.bottom, y - top))),
    })), [width, height]);
    const { values, goal } = problem;
    view.note(`${goal.length} weights, κ = ${formatNumber(values[0] / values[values.length - 1], 2)}, no noise; move the ${fit ? "data" : "beads: where each begins"}`);
    const words = S.methods.map((m) => {
      const left = leftOver(problem, weightsAt(runs[m], step));
      const said = (share) => (share === null ? "no error to lose" : `${formatNumber(share, 2)} left`);
      return `${METHODS[m].label} has ${said(left[0])} of the steepest and ${said(left[left.length - 1])} of the flattest`;
    });
    view.describe(`${goal.length} weights, ${fit ? "a polynomial fitted to twelve points" : "a chain of neighbours"}, at step ${step}: ${words.join("; ") || "no method"}.`);
  };
  return view;
}
