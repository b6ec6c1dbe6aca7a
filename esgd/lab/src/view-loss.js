// The loss of each run against its steps, and the effective learning rates of the step shown as ellipses.

import { panel, scrub } from "./dom.js";
import { absolute, eigen, inverse, matrixFunction } from "./linalg.js";
import { METHODS } from "./methods.js";
import { axes, clipped, dot, line, linearScale, surface, text } from "./plot.js";
import { formatNumber } from "./theory.js";

function lossRange(lab) {
  const { land, S, runs } = lab;
  const first = land.f([S.x0, S.y0]);
  if (land.floor !== null) {
    const gap = Math.max(first - land.floor, 1e-9);
    const lowest = Math.min(...S.methods.flatMap((m) => runs[m].losses.map((f) => f - land.floor)), gap);
    const bottom = Math.max(lowest, gap * 1e-9);
    return { log: true, y: [10 ** Math.floor(Math.log10(bottom) - 0.01), 10 ** Math.ceil(Math.log10(gap) + 0.25)], of: (f) => f - land.floor };
  }
  const top = Math.max(first, 0.4) * 1.15;
  return { log: false, y: [-Math.max(1, 0.6 * top), top], of: (f) => f };
}

export function lossView(lab) {
  const view = panel({ title: "Loss" });
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
    const frame = axes(area, theme, { x: [0, S.steps], y: range.y, yLog: range.log, xLabel: "step" });
    scale = frame.sx;
    if (land.saddle) {
      const level = frame.sy(range.of(land.reference));
      ctx.strokeStyle = theme.critical;
      ctx.lineWidth = 1.2;
      ctx.setLineDash([5, 4]);
      line(ctx, [[frame.box.left, level], [frame.box.right, level]]);
      ctx.setLineDash([]);
      text(ctx, theme, "saddle", frame.box.right - 2, level - 5, { align: "right", size: 11.5, halo: true });
    }
    ctx.strokeStyle = theme.faint;
    ctx.lineWidth = 1;
    line(ctx, [[frame.sx(at), frame.box.top], [frame.sx(at), frame.box.bottom]]);
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
      }
    });
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

export function ratesView(lab) {
  const view = panel({ title: "Effective learning rates" });
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
    const unit = height / 2 - 8;
    const sx = linearScale(-extent, extent, width / 2 - unit, width / 2 + unit);
    const sy = linearScale(-extent, extent, height / 2 + unit, height / 2 - unit);
    ctx.strokeStyle = theme.hairline;
    ctx.lineWidth = 1;
    line(ctx, [[8, height / 2], [width - 8, height / 2]]);
    line(ctx, [[width / 2, 6], [width / 2, height - 6]]);
    text(ctx, theme, "θ₁", width - 6, height / 2 - 6, { align: "right", size: 12 });
    text(ctx, theme, "θ₂", width / 2 + 7, 14, { size: 12 });
    const head = shown.length ? runs[shown[0].m].points[Math.min(t, runs[shown[0].m].points.length - 1)] : [S.x0, S.y0];
    const ideal = inverse(absolute(land.hess(head)));
    const longest = Math.max(...eigen(ideal).values);
    if (Number.isFinite(longest) && Math.min(...eigen(ideal).values) > 0.03 * longest) {
      ctx.setLineDash([3, 4]);
      ctx.strokeStyle = theme.muted;
      line(ctx, outline(matrixFunction(ideal, (x) => (x / longest) * extent * 0.94)).map(([x, y]) => [sx(x), sy(y)]));
      ctx.setLineDash([]);
    }
    const beyond = [];
    for (const item of shown) {
      ctx.strokeStyle = theme.hue[item.m];
      ctx.fillStyle = theme.hue[item.m];
      ctx.lineWidth = 2.2;
      const values = eigen(item.record.P).values;
      if (!values.every(Number.isFinite)) continue;
      const points = outline(item.record.P).map(([x, y]) => [sx(x), sy(y)]);
      ctx.globalAlpha = 0.1;
      ctx.beginPath();
      points.forEach(([x, y], i) => (i ? ctx.lineTo(x, y) : ctx.moveTo(x, y)));
      ctx.fill();
      ctx.globalAlpha = 1;
      line(ctx, points);
      if (values[1] < 0 && values[0] * values[1] < 0) {
        const { angle } = eigen(item.record.P); // the axis along which this method steps uphill
        ctx.setLineDash([4, 4]);
        const [ux, uy] = [-Math.sin(angle) * values[1], Math.cos(angle) * values[1]];
        line(ctx, [[sx(-ux), sy(-uy)], [sx(ux), sy(uy)]]);
        ctx.setLineDash([]);
      }
      if (radius(item) > extent) beyond.push(METHODS[item.m].short);
    }
    view.note(beyond.length ? `${beyond.join(", ")} ${beyond.length > 1 ? "leave" : "leaves"} the frame` : "dashed: the shape of |H|⁻¹");
    const words = shown.map(({ m, record }) => `${METHODS[m].label} ${formatNumber(record.P.a, 3)} and ${formatNumber(record.P.c, 3)}`);
    view.describe(`Effective learning rates of the two weights at step ${Math.round(at)}: ${words.join("; ") || "no method"}.`);
  };
  return view;
}
