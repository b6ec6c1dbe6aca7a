// The loss of each run against its steps, and the effective learning rates of the step shown as ellipses.

import { panel, scrub } from "./dom.js";
import { beads, drawLabels, endLabels, gutterFor, kept, settleLabels } from "./labels.js";
import { absolute, eigen, inverse, matrixFunction, principal } from "./linalg.js";
import { METHODS } from "./methods.js";
import { axes, clipped, dot, line, linearScale, surface, text } from "./plot.js";
import { formatNumber, inDegrees } from "./theory.js";

const DEEPEST = -1e5; // of the first loss: what a plot shows of a fall without end

function lossRange(lab) {
  const { land, S, runs } = lab;
  const first = land.f([S.x0, S.y0]);
  if (land.floor !== null) {
    const gap = Math.max(first - land.floor, 1e-9);
    const saddle = land.saddle ? land.reference - land.floor : gap;
    const lowest = Math.min(saddle, ...S.methods.flatMap((m) => runs[m].losses.map((f) => f - land.floor)), gap);
    const bottom = Math.max(lowest, gap * 1e-9);
    return { log: true, y: [10 ** Math.floor(Math.log10(bottom) - 0.01), 10 ** Math.ceil(Math.log10(gap) + 0.25)], of: (f) => f - land.floor };
  }
  const top = Math.max(first, 0.4) * 1.15;
  const lowest = Math.min(0, ...S.methods.flatMap((m) => runs[m].losses));
  const bottom = Math.max(DEEPEST * top, Math.min(lowest, -0.6 * top, -1)); // a run down a saddle has no end
  return { log: false, bent: 10 ** Math.floor(Math.log10(top) - 0.5), y: [bottom, top], of: (f) => f };
}

/** Where a curve leaves the box upward or downward for good, or its end. */
function exitOf(pixels, { top, bottom }) {
  const inside = ([, y]) => y >= top && y <= bottom;
  let i = pixels.length - 1;
  while (i > 0 && !inside(pixels[i])) i -= 1;
  const [[x, y], next] = [pixels[i], pixels[i + 1]];
  const edge = (v) => Math.max(top, Math.min(bottom, v));
  if (!next || !inside(pixels[i])) return { x, y: edge(y) };
  return { x: x + ((next[0] - x) * (edge(next[1]) - y)) / (next[1] - y), y: edge(next[1]) };
}

export function lossView(lab) {
  const view = panel({ title: "Loss" });
  const settled = kept();
  let scale = null;
  scrub(view.canvas, lab, (x) => {
    lab.pause();
    if (scale) lab.update({ at: Math.round(scale.invert(x)) });
  });
  view.draw = () => {
    const { S, theme, land, runs, at } = lab;
    const area = surface(view.canvas);
    const { ctx } = area;
    const range = lossRange(lab);
    view.title(range.log ? (land.floor === 0 ? "Loss" : "Loss above the minimum") : "Loss");
    const within = (f) => range.of(f) >= range.y[0] && range.of(f) <= range.y[1];
    const leaves = (m) => runs[m].points.length <= S.steps || !within(runs[m].losses[S.steps]);
    const staying = S.methods.filter((m) => !leaves(m)).map((m) => METHODS[m].short);
    const gutter = Math.max(18, gutterFor(ctx, theme, staying));
    const scales = { x: [0, S.steps], y: range.y, yLog: range.log, yBent: range.bent };
    const frame = axes(area, theme, { ...scales, xLabel: "step", gutter });
    view.note(range.bent ? "scale: asinh" : "");
    scale = frame.sx;
    if (land.saddle) {
      const level = frame.sy(range.of(land.reference));
      ctx.strokeStyle = theme.critical;
      ctx.lineWidth = 1.2;
      ctx.setLineDash([5, 4]);
      line(ctx, [[frame.box.left, level], [frame.box.right, level]]);
      ctx.setLineDash([]);
    }
    ctx.strokeStyle = theme.faint;
    ctx.lineWidth = 1;
    line(ctx, [[frame.sx(at), frame.box.top], [frame.sx(at), frame.box.bottom]]);
    const [ends, leaving, drawn] = [[], [], []];
    clipped(ctx, { ...frame.box, top: frame.box.top - 3, right: frame.box.right + 6, bottom: frame.box.bottom + 3 }, () => {
      for (const method of S.methods) {
        const pixels = runs[method].losses.map((f, t) => [frame.sx(t), Math.max(-999, Math.min(9999, frame.sy(range.of(f))))]);
        const whole = Math.min(Math.floor(at), pixels.length - 1);
        ctx.strokeStyle = theme.hue[method];
        ctx.lineWidth = 1.5;
        ctx.globalAlpha = 0.3;
        if (whole < pixels.length - 1) line(ctx, pixels.slice(whole));
        ctx.globalAlpha = 1;
        ctx.lineWidth = 2;
        line(ctx, pixels.slice(0, whole + 1));
        dot(ctx, ...pixels[whole], 4, theme.hue[method], theme.ground);
        drawn.push(pixels);
        const end = exitOf(pixels, frame.box);
        (leaves(method) ? leaving : ends).push({ ...end, heading: [1, 0], name: METHODS[method].short, hue: theme.hue[method] });
      }
    });
    if (land.saddle) {
      const level = frame.sy(range.of(land.reference));
      const free = level - frame.box.top > 18 ? level - 5 : level + 14; // above the line, unless that is outside
      const share = Math.abs(at / S.steps - 0.5) < 0.12 ? 0.72 : 0.5; // beside the line of the step shown
      text(ctx, theme, land.point, frame.sx(share * S.steps), free, { align: "center", size: 11.5, halo: true });
    }
    endLabels(ctx, theme, frame.box, ends);
    const labels = settled([runs, theme, area.width, area.height], () => {
      const dots = leaving.length ? drawn.flatMap((pixels) => beads(pixels, 9, 200)) : [];
      const taken = [[0, 0, frame.box.left, area.height]]; // the numbers
      return settleLabels(ctx, theme, leaving, frame.box.right, frame.box.bottom, { taken, dots });
    });
    drawLabels(ctx, theme, labels);
    const words = S.methods.map((m) => {
      const run = runs[m];
      return `${METHODS[m].label} ${formatNumber(run.losses[Math.min(Math.round(at), run.losses.length - 1)], 3)}`;
    });
    view.describe(`Loss against steps. At step ${Math.round(at)}: ${words.join(", ") || "no method"}.`);
  };
  return view;
}

/** Outline of {P u : |u| = 1} for a symmetric P. */
function outline(P) {
  const { values, angle } = eigen(P);
  const [c, s] = [Math.cos(angle), Math.sin(angle)];
  return Array.from({ length: 65 }, (_, i) => {
    const t = (2 * Math.PI * i) / 64;
    const [u, w] = [values[0] * Math.cos(t), values[1] * Math.sin(t)];
    return [c * u - s * w, s * u + c * w];
  });
}

/** The rates of a step in words: along its two principal directions. */
export function ratesWords(P) {
  const { values: [first, second], degrees } = principal(P);
  if (Math.abs(first - second) <= 1e-9 * Math.abs(first)) return `${formatNumber(first, 3)} in every direction`;
  if (Math.abs(degrees) < 0.05) return `${formatNumber(first, 3)} for θ₁ and ${formatNumber(second, 3)} for θ₂`;
  return `${formatNumber(first, 3)} at ${inDegrees(degrees)} from θ₁ and ${formatNumber(second, 3)} across that`;
}

export function ratesView(lab) {
  const view = panel({ title: "Effective learning rates" });
  const settled = kept();
  view.draw = () => {
    const { S, theme, land, runs, at } = lab;
    const { ctx, width, height } = surface(view.canvas);
    const t = Math.max(0, Math.ceil(at) - 1);
    const shown = S.methods.map((m) => ({ m, record: runs[m].records[Math.min(t, runs[m].records.length - 1)] })).filter(({ record }) => record);
    const radius = ({ record }) => Math.max(...eigen(record.P).values.map(Math.abs));
    const radii = shown.map(radius).filter(Number.isFinite);
    const smallest = Math.min(...radii, Infinity);
    const reach = Math.max(...radii.filter((r) => r <= 6 * smallest), 1e-9);
    const extent = Number.isFinite(reach) ? reach * 1.18 : 1;
    const unit = height / 2 - 18; // the names of the axes stand outside
    const sx = linearScale(-extent, extent, width / 2 - unit, width / 2 + unit);
    const sy = linearScale(-extent, extent, height / 2 + unit, height / 2 - unit);
    ctx.strokeStyle = theme.hairline;
    ctx.lineWidth = 1;
    line(ctx, [[8, height / 2], [width - 26, height / 2]]);
    line(ctx, [[width / 2, 18], [width / 2, height - 6]]);
    text(ctx, theme, "θ₁", width - 4, height / 2, { align: "right", base: "middle", size: 12 });
    text(ctx, theme, "θ₂", width / 2, 11, { align: "center", size: 12 });
    const head = shown.length ? runs[shown[0].m].points[Math.min(t, runs[shown[0].m].points.length - 1)] : [S.x0, S.y0];
    const ideal = inverse(absolute(land.hess(head)));
    const longest = Math.max(...eigen(ideal).values);
    const wide = Number.isFinite(longest) && Math.min(...eigen(ideal).values) > 0.03 * longest;
    if (wide) {
      ctx.setLineDash([3, 4]);
      ctx.strokeStyle = theme.muted;
      line(ctx, outline(matrixFunction(ideal, (x) => (x / longest) * extent * 0.94)).map(([x, y]) => [sx(x), sy(y)]));
      ctx.setLineDash([]);
    }
    const beyond = [];
    const uphill = [];
    const names = [];
    const dots = [];
    for (const item of shown) {
      ctx.strokeStyle = theme.hue[item.m];
      ctx.fillStyle = theme.hue[item.m];
      ctx.lineWidth = 2.2;
      const values = eigen(item.record.P).values;
      if (!values.every(Number.isFinite)) continue;
      const points = outline(item.record.P).map(([x, y]) => [sx(x), sy(y)]);
      if (radius(item) > extent) beyond.push(METHODS[item.m].short); // its tint would fill the whole plot
      else {
        ctx.globalAlpha = 0.1;
        ctx.beginPath();
        points.forEach(([x, y], i) => (i ? ctx.lineTo(x, y) : ctx.moveTo(x, y)));
        ctx.fill();
        ctx.globalAlpha = 1;
      }
      line(ctx, points);
      if (values[1] < 0 && values[0] * values[1] < 0) {
        uphill.push(METHODS[item.m].short);
        const { angle } = eigen(item.record.P); // the axis along which this method steps uphill
        ctx.setLineDash([4, 4]);
        const [ux, uy] = [-Math.sin(angle) * values[1], Math.cos(angle) * values[1]];
        line(ctx, [[sx(-ux), sy(-uy)], [sx(ux), sy(uy)]]);
        ctx.setLineDash([]);
      }
      dots.push(...points.filter((_, i) => i % 2 === 0));
      const inside = points.filter(([x, y]) => x > 0 && x < width && y > 0 && y < height);
      const [tip] = inside.sort((p, q) => q[0] - q[1] - p[0] + p[1]); // farthest to the upper right
      if (tip) names.push({ x: tip[0], y: tip[1], heading: [1, -1], name: METHODS[item.m].short + (METHODS[item.m].memory ? "*" : ""), hue: theme.hue[item.m] });
    }
    const taken = [[width / 2 - 10, 0, width / 2 + 10, 14], [width - 20, height / 2 - 8, width, height / 2 + 8]];
    const labels = settled([runs, theme, t, width, height], () => settleLabels(ctx, theme, names, width, height, { taken, dots }));
    drawLabels(ctx, theme, labels);
    const first = shown.length ? METHODS[shown[0].m].short : "the start";
    const notes = [ // short: with more than two lines what is below would move
      beyond.length && `${beyond.join(", ")} ${beyond.length > 1 ? "leave" : "leaves"} the frame`,
      wide && `dashed: |H|⁻¹ at ${first}`,
      uphill.length && `axis: ${uphill.join(", ")} uphill`,
      shown.some(({ m }) => METHODS[m].memory) && "*: for a steady gradient",
    ];
    view.note(notes.filter(Boolean).join("; "));
    const words = shown.map(({ m, record }) => `${METHODS[m].label} ${ratesWords(record.P)}${METHODS[m].memory ? " for a steady gradient" : ""}`);
    view.describe(`Effective learning rates at step ${Math.round(at)}: ${words.join("; ") || "no method"}.${wide ? ` Dashed: the shape of |H|⁻¹ where ${first} is.` : ""}`);
  };
  return view;
}
