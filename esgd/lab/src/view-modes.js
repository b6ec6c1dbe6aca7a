// The error mode by mode: for each eigenvector of a quadratic's Hessian, how far each run still is along it.

import { panel, scrub } from "./dom.js";
import { beads, drawLabels, settleLabels } from "./labels.js";
import { METHODS } from "./methods.js";
import { amplitudes, mixes, modeFactor, modeName, modesOf, shares } from "./modes.js";
import { axes, clipped, dot, line, linearScale, surface, text } from "./plot.js";
import { formatNumber } from "./theory.js";

const FLOOR = 1e-9; // of the distance at the start: below it a mode counts as solved

/** Distance along one mode against the step, one line a method. */
function drawMode(lab, area, mode, other, range) {
  const { S, theme, runs, at } = lab;
  const { ctx } = area;
  const name = modeName(mode.h, other.h);
  const frame = axes(area, theme, { x: [0, S.steps], y: range, yLog: true, yLabel: " ", xLabel: area.width > 220 ? "step" : "" });
  text(ctx, theme, `${name}, h = ${formatNumber(mode.h, 2)}`, area.width > 220 ? frame.box.left : 0, 12, { colour: theme.ink, weight: 600, size: 12 });
  ctx.strokeStyle = theme.faint;
  ctx.lineWidth = 1;
  line(ctx, [[frame.sx(at), frame.box.top], [frame.sx(at), frame.box.bottom]]);
  const words = [];
  const [ends, dots] = [[], []];
  clipped(ctx, { ...frame.box, top: frame.box.top - 3, right: frame.box.right + 6, bottom: frame.box.bottom + 3 }, () => {
    for (const method of S.methods) {
      const z = amplitudes(runs[method], mode).map(Math.abs);
      const pixels = z.map((v, t) => [frame.sx(t), Math.min(9999, frame.sy(Math.max(v, range[0] / 10)))]);
      const whole = Math.min(Math.floor(at), pixels.length - 1);
      ctx.strokeStyle = theme.hue[method];
      ctx.globalAlpha = 0.3;
      ctx.lineWidth = 1.5;
      if (whole < pixels.length - 1) line(ctx, pixels.slice(whole));
      ctx.globalAlpha = 1;
      ctx.lineWidth = 2;
      line(ctx, pixels.slice(0, whole + 1));
      dot(ctx, ...pixels[whole], 4, theme.hue[method], theme.ground);
      const inside = pixels.filter(([, y]) => y >= frame.box.top && y <= frame.box.bottom);
      const [x, y] = inside[inside.length - 1] ?? pixels[0];
      ends.push({ x, y, name: METHODS[method].short, hue: theme.hue[method], heading: [-1, -0.4] });
      dots.push(...beads(pixels, 9, 200));
      const factor = modeFactor(method, S, mode.h);
      words.push(`${METHODS[method].short} ${formatNumber(z[whole], 2)}${factor === null ? "" : `, a factor of ${formatNumber(factor, 3)} a step`}`);
    }
  });
  const taken = [[0, 0, area.width, 18]]; // the title
  if (area.width > 200) drawLabels(ctx, theme, settleLabels(ctx, theme, ends, frame.box.right, frame.box.bottom, { taken, dots }));
  return { frame, words: `${name}, curvature ${formatNumber(mode.h, 2)}: ${words.join("; ")}` };
}

/** For each method: which mode the rest of the loss lies in, and its factors a step where theory knows them. */
function drawShares(lab, area, modes) {
  const { S, theme, runs, at, land } = lab;
  const { ctx, width, height } = area;
  text(ctx, theme, `what is left at step ${Math.round(at)}`, 0, 12, { colour: theme.ink, weight: 600, size: 12 });
  const tall = Math.min(44, (height - 40) / Math.max(1, S.methods.length));
  const scale = linearScale(0, 1, 0, width);
  S.methods.forEach((method, r) => {
    const run = runs[method];
    const part = shares(run, modes, Math.min(Math.round(at), run.points.length - 1));
    const top = 24 + r * tall;
    const bar = Math.max(5, Math.min(12, tall - 18));
    ctx.fillStyle = theme.hue[method];
    ctx.fillRect(0, top, scale(part[0]), bar);
    ctx.globalAlpha = 0.4;
    ctx.fillRect(scale(part[0]), top, scale(part[1]), bar);
    ctx.globalAlpha = 1;
    if (tall < 26) return;
    const factors = modes.map(({ h }) => modeFactor(method, S, h));
    const words = mixes(method, land.quadratic) ? ": mixes the modes" : factors[0] === null ? "" : `: ×${factors.map((f) => formatNumber(f, 3)).join(" and ×")}`;
    text(ctx, theme, `${METHODS[method].short}${words}`, 0, top + bar + 12, { size: 11.5, most: width });
  });
  text(ctx, theme, "solid: first mode, pale: second", 0, height - 4, { size: 11.5 });
}

export function modesView(lab) {
  const view = panel({ title: "The error, mode by mode", shape: "modes" });
  let frames = [];
  view.lacks = () => (lab.land.quadratic ? null : "Modes are those of a quadratic: choose the bowl or the quadratic.");
  scrub(view.canvas, lab, (x) => {
    const hit = frames.find(({ left, right }) => x >= left && x <= right);
    if (!hit) return;
    lab.pause();
    lab.update({ at: Math.round(hit.frame.sx.invert(x - hit.left)) });
  });
  view.draw = () => {
    const { S, theme, land, runs } = lab;
    const { ctx, width, height } = surface(view.canvas);
    frames = [];
    const modes = modesOf(land.quadratic);
    const all = S.methods.flatMap((m) => modes.flatMap((mode) => amplitudes(runs[m], mode).map(Math.abs))).filter(Number.isFinite);
    const first = Math.max(...modes.map((mode) => Math.abs(mode.axis[0] * S.x0 + mode.axis[1] * S.y0)), 1e-9);
    const top = Math.min(Math.max(first, ...all), 1e3 * first);
    const low = Math.max(FLOOR * first, Math.min(first / 10, ...all.filter((v) => v > 0)));
    const range = [10 ** Math.floor(Math.log10(low)), 10 ** Math.ceil(Math.log10(top))];
    const stacked = width < 560;
    const gap = 18;
    const column = stacked ? (width - gap) / 2 : (width - 2 * gap) * 0.36;
    const tall = stacked ? height * 0.62 : height;
    const words = modes.map((mode, i) => {
      const left = i * (column + gap);
      ctx.save();
      ctx.translate(left, 0);
      const { frame, words } = drawMode(lab, { ctx, width: column, height: tall }, mode, modes[1 - i], range);
      ctx.restore();
      frames.push({ left, right: left + column, frame });
      return words;
    });
    ctx.save();
    ctx.translate(stacked ? 0 : 2 * (column + gap), stacked ? tall + 10 : 0);
    drawShares(lab, { ctx, width: stacked ? width : width - 2 * (column + gap), height: stacked ? height - tall - 10 : height }, modes);
    ctx.restore();
    view.note("distance |qᵀ(θ − θ*)|");
    view.describe(`Distance from the critical point along each eigenvector at step ${Math.round(lab.at)}. ${words.join(". ")}.`);
  };
  return view;
}
