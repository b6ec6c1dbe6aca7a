// The expected loss under noise in two parts: what is left of the start, and what the noise adds. Pale: the run.

import { panel, scrub } from "./dom.js";
import { EXPECTED, expectedLoss, noiseVerdict } from "./expected.js";
import { endLabels, gutterFor } from "./labels.js";
import { METHODS } from "./methods.js";
import { axes, clipped, dot, line, surface, text } from "./plot.js";
import { formatNumber } from "./theory.js";

const OVERHEAD = 15; // a second line of words above the axes

/** The scale of the loss: a logarithm where it stays above a minimum, else bent about nought. */
function scaleOf(parts, land) {
  const first = Math.max(...parts.map(({ start }) => Math.abs(start[0])), 1e-6);
  const all = parts.flatMap(({ start, noise }) => [...start, ...noise]);
  if (land.floor === null) {
    const top = Math.max(first, 0.4) * 1.15;
    const low = Math.max(-1e5 * top, 1.15 * Math.min(...all, -0.5 * top));
    const high = Math.min(1e5 * top, 1.15 * Math.max(...all, 0.8 * top));
    return { y: [low, high], yBent: 10 ** Math.floor(Math.log10(top) - 0.5) };
  }
  const least = Math.min(...parts.map(({ noise }) => noise[1] ?? first)); // from there on it grows
  const low = Math.max(1e-9 * first, Math.min(0.1 * first, least / 3));
  const high = Math.min(1e5 * first, Math.max(...all, first));
  return { y: [10 ** Math.floor(Math.log10(low)), 10 ** Math.ceil(Math.log10(high) + 0.05)], yLog: true };
}

/** One method; returns its scale of the steps and what it shows in words. */
function drawParts(lab, area, { method, verdict, ...part }, scale, settled) {
  const { S, theme, runs, at } = lab;
  const { ctx, width, height } = area;
  ctx.save();
  ctx.translate(0, OVERHEAD);
  const inner = { ctx, width, height: height - OVERHEAD };
  const gutter = gutterFor(ctx, theme, ["from the noise"]);
  const frame = axes(inner, theme, { x: [0, S.steps], ...scale, yLabel: " ", xLabel: "step", gutter });
  const { box } = frame;
  const pixels = (values) => values.map((f, t) => [frame.sx(t), Math.max(-999, Math.min(9999, frame.sy(f)))]);
  ctx.strokeStyle = theme.faint;
  ctx.lineWidth = 1;
  line(ctx, [[frame.sx(at), box.top], [frame.sx(at), box.bottom]]);
  if (verdict.step !== null) {
    ctx.setLineDash([5, 4]);
    ctx.strokeStyle = theme.critical;
    line(ctx, [[frame.sx(verdict.step), box.top], [frame.sx(verdict.step), box.bottom]]);
    ctx.setLineDash([]);
  }
  const shown = Math.min(Math.round(at), part.start.length - 1);
  const ends = [];
  const room = { left: box.left, right: box.right + 5, top: box.top - 3, bottom: box.bottom + 3 };
  clipped(ctx, room, () => {
    const hue = theme.hue[method];
    const run = runs[method].losses.map((f) => f - lab.land.reference);
    const curves = [["this run", run], ["from the start", part.start, [6, 4]], ["from the noise", part.noise]];
    for (const [name, values, dash] of curves) {
      const curve = pixels(values);
      ctx.strokeStyle = hue;
      ctx.lineWidth = values === run ? 1.2 : 2.2;
      ctx.globalAlpha = values === run ? 0.45 : 1;
      ctx.setLineDash(dash ?? []);
      line(ctx, curve);
      ctx.setLineDash([]);
      ctx.globalAlpha = 1;
      if (values !== run) dot(ctx, ...curve[shown], 4, hue, theme.ground);
      const [x, y] = curve[curve.length - 1];
      ends.push({ x: y < box.top || y > box.bottom ? box.right : x, y, name, hue, pale: values === run }); // no leader along an edge
    }
  });
  endLabels(ctx, theme, box, ends);
  ctx.restore();
  text(ctx, theme, METHODS[method].label, box.left, 12, { colour: theme.ink, weight: 600, size: 12 });
  const bad = verdict.kind === "diverges";
  const tone = bad ? { colour: theme.bad, weight: 600 } : {};
  text(ctx, theme, verdict.words, box.left, 28, { ...tone, size: 12, most: width - box.left });
  const [start, noise] = [part.start[shown], part.noise[shown]].map((v) => formatNumber(v, 3));
  const words = `${start} from the start and ${noise} from the noise; ${verdict.words}`;
  return { sx: frame.sx, words: `${METHODS[method].label}: ${words}` };
}

export function expectedView(lab) {
  const view = panel({ title: "Expected loss", shape: "modes" });
  let frames = [];
  let cache = { runs: null };
  view.lacks = () => {
    if (!lab.land.quadratic) return "The expected loss is exact on a quadratic: choose the bowl or the quadratic.";
    const known = EXPECTED.some((m) => lab.S.methods.includes(m));
    if (!known) return "It is known for gradient descent and both forms of momentum: add one of them.";
    return lab.S.noise > 0 ? null : "No noise: all of the loss is from the start. Raise the gradient noise σ.";
  };
  scrub(view.canvas, lab, (x, y) => {
    const hit = frames.find(({ left, top, right, bottom }) => x >= left && x <= right && y >= top && y <= bottom);
    if (!hit) return;
    lab.pause();
    lab.update({ at: Math.round(hit.sx.invert(x - hit.left)) });
  });
  const shown = () => EXPECTED.filter((m) => lab.S.methods.includes(m));
  view.fit = () => view.plot.classList.toggle("three", shown().length > 2);
  view.draw = () => {
    const { S, land, runs } = lab;
    const { ctx, width, height } = surface(view.canvas);
    const methods = shown();
    const law = (method) => ({ method, verdict: noiseVerdict(method, S, land), ...expectedLoss(method, S, land) });
    if (cache.runs !== runs) cache = { runs, parts: methods.map(law) };
    const scale = scaleOf(cache.parts, land);
    const along = width < 560 ? 1 : Math.min(2, methods.length);
    const down = Math.ceil(methods.length / along);
    const size = { width: width / along - (along - 1) * 10, height: height / down - (down - 1) * 5 };
    frames = [];
    const words = cache.parts.map((part, i) => {
      const [left, top] = [(i % along) * (size.width + 20), Math.floor(i / along) * (size.height + 10)];
      ctx.save();
      ctx.translate(left, top);
      const drawn = drawParts(lab, { ctx, ...size }, part, scale);
      ctx.restore();
      frames.push({ left, top, right: left + size.width, bottom: top + size.height, sx: drawn.sx });
      return drawn.words;
    });
    const falls = cache.parts.some(({ verdict }) => verdict.kind === "falls");
    const grows = falls ? "Downhill there is no floor: what the noise adds grows without end. " : "";
    const plain = `scale: ${scale.yLog ? "log" : "asinh"}`;
    view.note(falls ? "what the noise adds grows without end" : plain);
    view.describe(`Expected loss at step ${Math.round(lab.at)}, in two parts. ${grows}${words.join(". ")}.`);
  };
  return view;
}
