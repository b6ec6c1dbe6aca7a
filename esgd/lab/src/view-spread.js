// A run on many weights as a picture: steps to the right, places upward. On the chain it shows how far the news has
// come, in the fit how far the curve still is from the best one.

import { problemChoice } from "./controls.js";
import { panel, scrub } from "./dom.js";
import { curveOf, manyOf, noMany } from "./many.js";
import { METHODS } from "./methods.js";
import { clipped, line, linearScale, surface, text } from "./plot.js";
import { channels } from "./theme.js";
import { formatNumber } from "./theory.js";

const SHOWN = 6; // methods
const POWER = 0.6; // of the distance from the best fit: small ones are to be seen too

/** What the picture shows of the weights: beliefs of the chain, or the distance from the best fit over the first one. */
function rowsOf(problem, run) {
  if (problem.name === "chain") return run.map((w) => w);
  const best = curveOf(problem, problem.goal, 40).map(([, y]) => y);
  const far = run.map((w) => curveOf(problem, w, 40).map(([, y], i) => Math.abs(y - best[i])));
  const first = Math.max(...far[0], 1e-9);
  return far.map((row) => row.map((v) => v / first));
}

/** How far along the chain everybody believes more than half, with fractions in between; 0 for nobody. */
export function newsReach(beliefs) {
  const stop = beliefs.findIndex((v) => !(v >= 0.5));
  if (stop < 0) return beliefs.length;
  if (stop === 0) return 0;
  return stop + (beliefs[stop - 1] - 0.5) / (beliefs[stop - 1] - beliefs[stop]);
}

/** Nought in the page’s tone, one in the hue. */
function paint(rows, hue, theme, power) {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [rows.length, rows[0].length];
  const image = new ImageData(canvas.width, canvas.height);
  const [colour, ink] = [channels(hue), channels(theme.ink)];
  rows.forEach((row, t) => row.forEach((v, i) => {
    const share = Math.max(0, Math.min(1, v)) ** power;
    const over = Math.max(0, Math.min(0.6, v - 1)); // beyond one: darker, on a dark page lighter, than the hue
    const at = 4 * ((canvas.height - 1 - i) * canvas.width + t);
    for (let c = 0; c < 3; c += 1) {
      const full = colour[c] + (ink[c] - colour[c]) * over;
      image.data[at + c] = theme.level[c] + (full - theme.level[c]) * share;
    }
    image.data[at + 3] = 255;
  }));
  canvas.getContext("2d").putImageData(image, 0, 0);
  return canvas;
}

export function spreadView(lab) {
  const view = panel({ title: "Over time", shape: "modes" });
  const choice = problemChoice(lab);
  view.element.append(choice.element);
  let frames = [];
  let cache = { key: null };
  view.lacks = () => noMany(lab) ?? (lab.S.methods.length ? null : "No method runs: add one.");
  scrub(view.canvas, lab, (x, y) => {
    const hit = frames.find(({ box }) => x >= box.left - 9 && x <= box.right + 9 && y >= box.top - 9 && y <= box.bottom + 9);
    if (!hit) return;
    lab.pause();
    lab.update({ at: Math.round(Math.max(0, Math.min(lab.S.steps, hit.sx.invert(x)))) });
  });
  view.draw = () => {
    const { S, theme, at } = lab;
    const { ctx, width, height } = surface(view.canvas);
    choice.draw();
    const { key, problem, runs } = manyOf(lab);
    const chain = problem.name === "chain";
    const shown = S.methods.slice(0, SHOWN);
    if (cache.key !== key || cache.dark !== theme.dark) {
      const pictures = shown.map((method) => {
        const rows = rowsOf(problem, runs[method]);
        return { method, rows, image: paint(rows, theme.hue[method], theme, chain ? 1 : POWER), reach: chain ? rows.map(newsReach) : null };
      });
      cache = { key, dark: theme.dark, pictures };
    }
    const columns = width < 560 ? (shown.length > 3 ? 2 : 1) : Math.min(shown.length, 3);
    const rows = Math.ceil(shown.length / columns);
    const [wide, tall] = [width / columns, height / rows];
    const step = Math.round(at);
    frames = cache.pictures.map(({ method, image, reach, rows: values }, k) => {
      const [x, y] = [(k % columns) * wide, Math.floor(k / columns) * tall];
      const box = { left: x + 22, right: x + wide - 8, top: y + 19, bottom: y + tall - 20 };
      const sx = linearScale(0, S.steps, box.left, box.right);
      const count = values[0].length;
      const sy = linearScale(0.5, count + 0.5, box.bottom, box.top);
      text(ctx, theme, METHODS[method].label, box.left, y + 12, { colour: theme.ink, weight: 600, size: 12, most: box.right - box.left });
      ctx.fillStyle = theme.panel;
      ctx.fillRect(box.left, box.top, box.right - box.left, box.bottom - box.top);
      ctx.imageSmoothingEnabled = !chain;
      const cell = (box.right - box.left) / (S.steps + 1);
      ctx.drawImage(image, box.left, box.top, cell * values.length, box.bottom - box.top);
      clipped(ctx, box, () => {
        ctx.strokeStyle = theme.ink;
        ctx.lineWidth = 1.4;
        if (reach) line(ctx, reach.map((far, t) => [sx(t), far ? sy(far) : box.bottom]));
        ctx.globalAlpha = 0.7;
        ctx.lineWidth = 1;
        line(ctx, [[sx(at), box.top], [sx(at), box.bottom]]);
        ctx.globalAlpha = 1;
      });
      if (values.length <= S.steps) text(ctx, theme, `gone at step ${values.length}`, (box.left + box.right) / 2, (box.top + box.bottom) / 2, { align: "center", base: "middle", colour: theme.bad, weight: 600, size: 12 });
      [[1, chain ? "1" : "−1"], [count, chain ? String(count) : "1"]].forEach(([place, words]) =>
        text(ctx, theme, words, box.left - 5, sy(place), { align: "right", base: "middle", size: 11 }));
      text(ctx, theme, "0", box.left, box.bottom + 14, { size: 11 });
      text(ctx, theme, `step ${S.steps}`, box.right, box.bottom + 14, { align: "right", size: 11 });
      return { box, sx };
    });
    const hidden = S.methods.length - shown.length;
    const rest = hidden > 0 ? `; the first ${SHOWN} of ${S.methods.length} methods` : "";
    view.note((chain ? "upward: place in the chain; line: where belief is one half" : "upward: x; strong: far from the best fit") + rest);
    const words = cache.pictures.map(({ method, reach, rows: values }) => {
      const now = Math.min(step, values.length - 1);
      if (now < step) return `${METHODS[method].label}: beyond all bounds at step ${values.length}`;
      if (chain) return `${METHODS[method].label}: more than half believed ${reach[now] < 1 ? "by nobody" : `up to place ${Math.floor(reach[now])} of ${values[0].length}`}`;
      return `${METHODS[method].label}: ${formatNumber(Math.max(...values[now]), 2)} of the first largest distance from the best fit`;
    });
    view.describe(`${chain ? "The beliefs along the chain" : "The distance from the best fit"} over the steps, as a picture for each method, at step ${step}. ${words.join("; ")}.`);
  };
  return view;
}
