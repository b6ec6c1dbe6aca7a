// When each of a hundred seeds escapes: a row of bars for each method, with its median and its count in words.

import { panel } from "./dom.js";
import { METHODS } from "./methods.js";
import { axes, dot, line, surface, text } from "./plot.js";
import { escapeTimes, formatNumber, whyNoEscape } from "./theory.js";

const BINS = 40;

/** The middle of the sorted escape steps; null where half of the seeds or more have not escaped. */
export function medianStep(times) {
  const sorted = times.map((t) => t ?? Infinity).sort((a, b) => a - b);
  const middle = (sorted[Math.floor((sorted.length - 1) / 2)] + sorted[Math.floor(sorted.length / 2)]) / 2;
  return Number.isFinite(middle) ? middle : null;
}

/** What a method's row says: the median and how many of the seeds have not escaped by the last step. */
export function escapeWords(times, steps) {
  const stay = times.filter((t) => t === null).length;
  const median = medianStep(times);
  const words = median === null ? `median > ${steps}` : `median ${formatNumber(median, 3)}`;
  return { stay, median, words, staying: stay ? `${stay} not out by ${steps}` : "all out" };
}

function binned(times, steps) {
  const counts = new Array(BINS).fill(0);
  times.forEach((t) => t !== null && (counts[Math.min(BINS - 1, Math.floor((t * BINS) / steps))] += 1));
  return counts;
}

function drawRow(ctx, theme, { method, counts, said, mine }, frame, row, tallest) {
  const { sx, box } = frame;
  const wide = (box.right - box.left) / BINS;
  const room = row.bottom - row.top - 3;
  ctx.fillStyle = theme.hue[method];
  ctx.globalAlpha = 0.82;
  counts.forEach((n, b) => {
    const tall = (n / tallest) * room;
    if (n) ctx.fillRect(box.left + b * wide + 0.5, row.bottom - tall, Math.max(1, wide - 1), tall);
  });
  ctx.globalAlpha = 1;
  ctx.strokeStyle = theme.hairline;
  ctx.lineWidth = 1;
  line(ctx, [[box.left, row.bottom], [box.right, row.bottom]]);
  if (said.median !== null) {
    ctx.strokeStyle = theme.ink;
    ctx.lineWidth = 1.4;
    line(ctx, [[sx(said.median), row.top], [sx(said.median), row.bottom]]);
  }
  if (mine !== null && mine !== undefined) dot(ctx, sx(mine), row.bottom - 4, 4, theme.hue[method], theme.ground);
}

export function escapeView(lab) {
  const view = panel({ title: "Escape times of 100 seeds" });
  view.still = true;
  view.lacks = () => (lab.S.methods.length ? whyNoEscape(lab.S, lab.land) : "No method runs.");
  let cache = { key: "", times: {} };
  view.draw = () => {
    const { S, theme } = lab;
    const { ctx, width, height } = surface(view.canvas);
    const key = JSON.stringify({ ...S, at: 0, seed: 0, show: 0, turn: 0, tilt: 0, zoom: 0 });
    if (cache.key !== key) cache = { key, times: Object.fromEntries(S.methods.map((m) => [m, escapeTimes(m, S)])) };
    const rows = S.methods.map((method) => {
      const times = cache.times[method];
      return { method, counts: binned(times, S.steps), said: escapeWords(times, S.steps), mine: times[S.seed] };
    });
    const tallest = Math.max(8, ...rows.flatMap(({ counts }) => counts));
    const side = Math.min(128, width * 0.4); // the words stand beside the bars, so that no number lies on another
    ctx.save();
    ctx.translate(side - 22, 0);
    const area = { ctx, width: width - side + 22, height };
    const frame = axes(area, theme, { x: [0, S.steps], y: [0, 1], yTicks: [], xLabel: "step of escape" });
    const each = (frame.box.bottom - frame.box.top) / rows.length;
    rows.forEach((row, r) => {
      const top = frame.box.top + r * each;
      drawRow(ctx, theme, row, frame, { top: top + 2, bottom: top + each }, tallest);
    });
    ctx.restore();
    rows.forEach(({ method, said }, r) => {
      const lines = [METHODS[method].short, said.words, ...(said.stay ? [said.staying] : [])];
      const middle = frame.box.top + (r + 0.5) * each;
      const most = side - 8;
      if (each < 14 * lines.length + 4) {
        const short = METHODS[method].short + (said.median === null ? "" : ` ${formatNumber(said.median, 3)}`);
        const style = { base: "middle", colour: theme.ink, weight: 600, size: 11.5, most };
        text(ctx, theme, said.stay ? `${short}, ${said.stay} stay` : short, 0, middle, style);
        return;
      }
      lines.forEach((words, i) => {
        const y = middle + (i - (lines.length - 1) / 2) * 14;
        const style = { base: "middle", size: 12, most, ...(i ? {} : { colour: theme.ink, weight: 600 }) };
        text(ctx, theme, words, 0, y, style);
      });
    });
    view.note("| median  • this seed");
    const words = rows.map(({ method, said }) => `${METHODS[method].label} ${said.words}, ${said.staying}`);
    const span = `over seeds 0 to 99 within ${S.steps} steps`;
    view.describe(`Histograms of the escape step ${span}, one a method: ${words.join("; ")}.`);
  };
  return view;
}
