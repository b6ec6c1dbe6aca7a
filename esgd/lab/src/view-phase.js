// Position and velocity: each run along each eigenvector of a quadratic, its last step over its distance. Momentum
// spirals where it is under-damped; plain descent lies on one line, as its step is a function of where it is.

import { panel } from "./dom.js";
import { beads, drawLabels, kept, settleLabels } from "./labels.js";
import { METHODS } from "./methods.js";
import { modeName, modesOf, phasePoints, regimeOf, regimeWords } from "./modes.js";
import { axes, clipped, dot, line, surface, text } from "./plot.js";
import { formatNumber, heavyBall, nesterov } from "./theory.js";

const LINE = 15; // of the words above the axes, beside the first

/** How far the axes reach: to the farthest point of a run, but no farther than a run that stays would go. */
function reachOf(paths, width) {
  const first = Math.abs(paths[0]?.points[0][0] ?? 0);
  const all = paths.flatMap(({ points }) => points);
  const far = Math.min(Math.max(...all.map(([z]) => Math.abs(z)), 0), Math.max(1.3 * first, width));
  const near = (z) => Math.abs(z) <= far * (1 + 1e-9);
  const steps = all.filter(([z, v]) => near(z) && near(z - v)).map(([, v]) => Math.abs(v));
  return [far, Math.max(...steps, 0)].map((size) => 1.08 * size || 1);
}

function drawPath(ctx, theme, frame, hue, points, shown) {
  const pixel = (size) => Math.max(-9999, Math.min(9999, size));
  const pixels = points.map(([z, v]) => [pixel(frame.sx(z)), pixel(frame.sy(v))]);
  ctx.strokeStyle = hue;
  ctx.lineWidth = 1.2;
  ctx.globalAlpha = 0.25;
  line(ctx, pixels.slice(shown));
  ctx.globalAlpha = 0.65;
  line(ctx, pixels.slice(0, shown + 1));
  ctx.globalAlpha = 1;
  pixels.slice(0, shown).forEach(([x, y]) => dot(ctx, x, y, 2, hue));
  dot(ctx, ...pixels[shown], 4.5, hue, theme.ground);
  return pixels;
}

/** One mode; returns what it shows in words. */
function drawPlane(lab, area, mode, other, settled) {
  const { S, theme, runs, at, land } = lab;
  const { ctx, width, height } = area;
  const paths = S.methods.map((method) => ({ method, points: phasePoints(runs[method], mode) }));
  const [x, y] = reachOf(paths, land.window[2]);
  const name = `${modeName(mode.h, other.h)}, h = ${formatNumber(mode.h, 2)}`;
  const inWords = (method, form) => S.methods.includes(method) && [method, regimeWords(regimeOf(S[`lr_${method}`], mode.h, S.momentum, form))];
  const regimes = new Map([inWords("momentum", heavyBall), inWords("nesterov", nesterov)].filter(Boolean));
  const above = LINE * Math.max(1, regimes.size);
  ctx.save();
  ctx.translate(0, above);
  const inner = { ctx, width, height: height - above };
  const frame = axes(inner, theme, { x: [-x, x], y: [-y, y], yLabel: " ", xLabel: "distance along it" });
  const { box } = frame;
  ctx.strokeStyle = theme.faint;
  ctx.lineWidth = 1;
  line(ctx, [[box.left, frame.sy(0)], [box.right, frame.sy(0)]]);
  line(ctx, [[frame.sx(0), box.top], [frame.sx(0), box.bottom]]);
  const [words, names, dots] = [[], [], []];
  const room = { left: box.left - 4, right: box.right + 4, top: box.top - 4, bottom: box.bottom + 4 };
  clipped(ctx, room, () => {
    for (const { method, points } of paths) {
      const shown = Math.min(Math.floor(at), points.length - 1);
      const pixels = drawPath(ctx, theme, frame, theme.hue[method], points, shown);
      const middle = frame.sy(0);
      const inBox = ([px, py]) => px >= box.left && px <= box.right && py >= box.top && py <= box.bottom;
      const farther = (a, b) => (Math.abs(b[1] - middle) > Math.abs(a[1] - middle) ? b : a);
      const tip = pixels.filter(inBox).reduce(farther, pixels[0]);
      const heading = [tip[0] - frame.sx(0), tip[1] - middle]; // outward: all runs that settle meet at the centre
      names.push({ x: tip[0], y: tip[1], heading, name: METHODS[method].short, hue: theme.hue[method] });
      dots.push(...beads(pixels, 9, 200));
      const [z, v] = points[shown];
      const damping = regimes.has(method) ? `, ${regimes.get(method)}` : "";
      words.push(`${METHODS[method].short} at ${formatNumber(z, 2)}, last step ${formatNumber(v, 2)}${damping}`);
    }
  });
  const taken = [[0, 0, width, box.top - 1], [0, 0, box.left, height]]; // the words above, and the numbers
  drawLabels(ctx, theme, settled([runs, theme, width, height], () =>
    settleLabels(ctx, theme, names, box.right, box.bottom, { taken, dots })));
  ctx.restore();
  const title = { colour: theme.ink, weight: 600, size: 12 };
  text(ctx, theme, name, box.left, 12, title);
  [...regimes].forEach(([method, words], i) =>
    text(ctx, theme, `${METHODS[method].short}: ${words}`, box.left, 28 + i * LINE, { size: 12, most: width - box.left }));
  return `${name}: ${words.join("; ") || "no method"}`;
}

export function velocityView(lab) {
  const view = panel({ title: "Position and velocity", shape: "modes planes" });
  const settled = [kept(), kept()];
  const apology = "Its axes are the eigenvectors of a quadratic: choose the bowl or the quadratic.";
  view.lacks = () => (lab.land.quadratic ? null : apology);
  view.draw = () => {
    const { ctx, width, height } = surface(view.canvas);
    const modes = modesOf(lab.land.quadratic);
    const stacked = width < 560;
    const size = stacked ? { width, height: height / 2 - 5 } : { width: width / 2 - 10, height };
    const words = modes.map((mode, i) => {
      ctx.save();
      ctx.translate(i && !stacked ? width / 2 + 10 : 0, i && stacked ? height / 2 + 5 : 0);
      const said = drawPlane(lab, { ctx, ...size }, mode, modes[1 - i], settled[i]);
      ctx.restore();
      return said;
    });
    view.note("upward: the last step");
    view.describe(
      `Last step over distance from the critical point, along each eigenvector, at step ${Math.round(lab.at)}. ` +
        `${words.join(". ")}.`,
    );
  };
  return view;
}
