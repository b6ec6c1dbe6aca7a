// The methods with the same settings on a quadratic of many weights: what is left of each mode, and the weights at work.

import { segments } from "./controls.js";
import { panel } from "./dom.js";
import { beads, drawLabels, settleLabels } from "./labels.js";
import { leftOver, manyProblem, manyRun, polynomial } from "./many.js";
import { METHODS } from "./methods.js";
import { modesOf } from "./modes.js";
import { axes, clipped, dot, line, surface, text } from "./plot.js";
import { formatNumber } from "./theory.js";

const LOWEST = 1e-4;

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
      const left = leftOver(problem, runs[method][Math.min(step, runs[method].length - 1)]);
      const pixels = left.map((v, k) => [frame.sx(values[k]), frame.sy(Math.max(LOWEST, Math.min(20, v)))]);
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
  const taken = [[0, 0, area.width, 18]]; // the title
  drawLabels(ctx, theme, settleLabels(ctx, theme, ends, frame.box.right, frame.box.bottom, { taken, dots }));
}

/** The weights at work: the fitted polynomial among its data, or the chain on its way to agreement. */
function drawWeights(lab, area, problem, runs, step) {
  const { S, theme } = lab;
  const { ctx } = area;
  const fit = problem.name === "polynomial";
  const n = problem.goal.length;
  const grid = fit ? Array.from({ length: 81 }, (_, i) => -1 + i / 40) : Array.from({ length: n }, (_, i) => i + 1);
  const curve = (w) => grid.map((x, i) => [x, fit ? polynomial(w, x) : w[i]]);
  const range = fit ? { x: [-1, 1], y: [-1.8, 1.8], xTicks: [-1, -0.5, 0, 0.5, 1], yTicks: [-1, 0, 1] } : { x: [1, n], y: [-0.2, 1.4], xTicks: [1, 4, 8, 12, 16], yTicks: [0, 0.5, 1] };
  const frame = axes(area, theme, { ...range, yLabel: " ", xLabel: fit ? "x" : "place in the chain" });
  const pixels = (w) => curve(w).map(([x, y]) => [frame.sx(x), frame.sy(Math.max(-99, Math.min(99, y)))]);
  text(ctx, theme, fit ? "the fitted polynomial" : "what each one believes", frame.box.left, 12, { colour: theme.ink, weight: 600, size: 12 });
  clipped(ctx, { ...frame.box, left: frame.box.left - 4, right: frame.box.right + 4 }, () => {
    ctx.strokeStyle = theme.muted;
    ctx.lineWidth = 1.3;
    ctx.setLineDash([3, 4]);
    line(ctx, pixels(problem.goal));
    ctx.setLineDash([]);
    problem.data.forEach(([x, y]) => dot(ctx, frame.sx(x), frame.sy(y), 3, theme.faint));
    for (const method of S.methods) {
      ctx.strokeStyle = theme.hue[method];
      ctx.lineWidth = 2;
      line(ctx, pixels(runs[method][Math.min(step, runs[method].length - 1)]));
    }
  });
}

export function manyView(lab) {
  const view = panel({ title: "On many weights", shape: "modes" });
  const choice = segments(lab, "many");
  view.element.append(choice.element);
  let cache = { key: "" };
  view.lacks = () => {
    if (lab.land.quadratic && modesOf(lab.land.quadratic)[0].h > 0) return null;
    return "These need a landscape that curves upward somewhere: choose the bowl or the quadratic.";
  };
  view.draw = () => {
    const { S, theme, land, at } = lab;
    const { ctx, width, height } = surface(view.canvas);
    choice.draw();
    const steepest = modesOf(land.quadratic)[0].h;
    const key = JSON.stringify({ ...S, at: 0, turn: 0, tilt: 0, steepest });
    if (cache.key !== key) {
      const problem = manyProblem(S.many, steepest);
      cache = { key, problem, runs: Object.fromEntries(S.methods.map((m) => [m, manyRun(m, S, problem)])) };
    }
    const { problem, runs } = cache;
    const step = Math.round(at);
    const stacked = width < 560;
    const size = stacked ? { width, height: height / 2 - 6 } : { width: width / 2 - 12, height };
    drawModes(lab, { ctx, ...size }, problem, runs, step);
    ctx.save();
    ctx.translate(stacked ? 0 : width / 2 + 12, stacked ? height / 2 + 6 : 0);
    drawWeights(lab, { ctx, ...size }, problem, runs, step);
    ctx.restore();
    const { values, goal } = problem;
    view.note(`${goal.length} weights, κ = ${formatNumber(values[0] / values[values.length - 1], 2)}, no noise`);
    const words = S.methods.map((m) => {
      const left = leftOver(problem, runs[m][Math.min(step, runs[m].length - 1)]);
      return `${METHODS[m].label} has ${formatNumber(left[0], 2)} of the steepest left and ${formatNumber(left[left.length - 1], 2)} of the flattest`;
    });
    view.describe(`${goal.length} weights, ${S.many === "polynomial" ? "a polynomial fitted to twelve points" : "a chain of neighbours"}, at step ${step}: ${words.join("; ") || "no method"}.`);
  };
  return view;
}
