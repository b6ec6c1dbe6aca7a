// A run on many weights as a picture: steps to the right, places upward. On the chain it shows how far the news has
// come, in the fit how far the curve still is from the best one.

import { problemChoice } from "./controls.js";
import { panel, scrub } from "./dom.js";
import { curveOf, manyOf, noMany } from "./many.js";
import { METHODS } from "./methods.js";
import { clipped, line, linearScale, surface, text } from "./plot.js";
import { channels } from "./theme.js";
import { formatNumber } from "./theory.js";

const SHOWN = 6; // pictures; words tell of every method
const POWER = 0.6; // of the distance from the best fit: small ones are to be seen too

/** What the picture shows of the weights: beliefs of the chain, or the distance from the best fit over the first one. */
function rowsOf(problem, run) {
  if (problem.name === "chain") return run;
  const best = curveOf(problem, problem.goal, 40).map(([, y]) => y);
  const far = run.map((w) => curveOf(problem, w, 40).map(([, y], i) => Math.abs(y - best[i])));
  const first = Math.max(...far[0], 1e-9);
  return far.map((row) => row.map((v) => v / first));
}

/** How far along the chain everybody from the first on believes at least half, with fractions in between; 0 if not the first. */
export function newsReach(beliefs) {
  const stop = beliefs.findIndex((v) => !(v >= 0.5));
  if (stop < 0) return beliefs.length;
  if (stop === 0) return 0;
  return stop + (beliefs[stop - 1] - 0.5) / (beliefs[stop - 1] - beliefs[stop]);
}

/** How far the news has come, in words. */
export function newsWords(beliefs) {
  const front = Math.floor(newsReach(beliefs));
  const all = beliefs.filter((v) => v >= 0.5).length;
  if (front === all) return front ? `at least half believed up to place ${front} of ${beliefs.length}` : "at least half believed by nobody";
  return `at least half believed ${front ? `up to place ${front}` : "not yet at place 1"}, and by ${all} of ${beliefs.length} in all`;
}

/** Nought in the page’s tone, one in the hue, what is below nought in grey. */
function paint(rows, hue, theme, power) {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [rows.length, rows[0].length];
  const image = new ImageData(canvas.width, canvas.height);
  const [colour, ink, grey] = [hue, theme.ink, theme.faint].map(channels);
  rows.forEach((row, t) => row.forEach((v, i) => {
    const share = Math.min(1, Math.abs(v)) ** power;
    const over = Math.max(0, Math.min(0.6, v - 1)); // beyond one: darker, on a dark page lighter, than the hue
    const at = 4 * ((canvas.height - 1 - i) * canvas.width + t);
    for (let c = 0; c < 3; c += 1) {
      const full = v < 0 ? grey[c] : colour[c] + (ink[c] - colour[c]) * over;
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
    if (cache.key !== key || cache.dark !== theme.dark) {
      const told = S.methods.map((method) => ({ method, rows: rowsOf(problem, runs[method]) }));
      const pictures = told.slice(0, SHOWN).map(({ method, rows }) => ({
        method, rows, image: paint(rows, theme.hue[method], theme, chain ? 1 : POWER), reach: chain ? rows.map(newsReach) : null,
      }));
      cache = { key, dark: theme.dark, told, pictures };
    }
    const { pictures, told } = cache;
    const columns = width < 560 ? (pictures.length > 3 ? 2 : 1) : Math.min(pictures.length, 3);
    const rows = Math.ceil(pictures.length / columns);
    const [wide, tall] = [width / columns, height / rows];
    const step = Math.round(at);
    frames = pictures.map(({ method, image, reach, rows: values }, k) => {
      const [x, y] = [(k % columns) * wide, Math.floor(k / columns) * tall];
      const box = { left: x + 22, right: x + wide - 8, top: y + 19, bottom: y + tall - 20 };
      const sx = linearScale(0, S.steps, box.left, box.right);
      const count = values[0].length;
      const sy = linearScale(0.5, count + 0.5, box.bottom, box.top);
      const gone = values.length <= S.steps && `gone at step ${values.length}`;
      text(ctx, theme, METHODS[method][gone ? "short" : "label"], box.left, y + 12, { colour: theme.ink, weight: 600, size: 12, most: (box.right - box.left) * (gone ? 0.48 : 1) });
      if (gone) text(ctx, theme, gone, box.right, y + 12, { align: "right", colour: theme.bad, weight: 600, size: 12, most: (box.right - box.left) * 0.5 });
      ctx.fillStyle = theme.panel;
      ctx.fillRect(box.left, box.top, box.right - box.left, box.bottom - box.top);
      ctx.imageSmoothingEnabled = !chain;
      const cell = (box.right - box.left) / (S.steps + 1);
      ctx.drawImage(image, box.left, box.top, cell * values.length, box.bottom - box.top);
      clipped(ctx, box, () => {
        const front = reach?.map((far, t) => [sx(t), far ? sy(far) : box.bottom]) ?? [];
        for (const [colour, wide] of [[theme.ground, 3.6], [theme.ink, 1.4]]) {
          ctx.strokeStyle = colour;
          ctx.lineWidth = wide;
          line(ctx, front);
        }
        ctx.globalAlpha = 0.7;
        ctx.lineWidth = 1;
        line(ctx, [[sx(at), box.top], [sx(at), box.bottom]]);
        ctx.globalAlpha = 1;
      });
      [[1, chain ? "1" : "−1"], [count, chain ? String(count) : "1"]].forEach(([place, words]) =>
        text(ctx, theme, words, box.left - 5, sy(place), { align: "right", base: "middle", size: 11 }));
      text(ctx, theme, "0", box.left, box.bottom + 14, { size: 11 });
      text(ctx, theme, `step ${S.steps}`, box.right, box.bottom + 14, { align: "right", size: 11 });
      return { box, sx };
    });
    const rest = told.length > pictures.length ? `; the first ${SHOWN} of ${S.methods.length} methods` : "";
    view.note((chain ? "upward: place in the chain; line: where belief is one half; grey: below nought" : "upward: x; strong: far from the best fit") + rest);
    const words = told.map(({ method, rows: values }) => {
      const now = Math.min(step, values.length - 1);
      if (now < step) return `${METHODS[method].label}: beyond all bounds at step ${values.length}`;
      if (chain) return `${METHODS[method].label}: ${newsWords(values[now])}`;
      return `${METHODS[method].label}: ${formatNumber(Math.max(...values[now]), 2)} of the first largest distance from the best fit`;
    });
    view.describe(`${chain ? "The beliefs along the chain" : "The distance from the best fit"} over the steps, as a picture for each method, at step ${step}. ${words.join("; ")}.`);
  };
  return view;
}
