// The views that belong to one chapter each: 1-D descent, escape times, the phase diagram, the rotation dial.

import { panel, scrub } from "./dom.js";
import { absolute, eigen, fromEigen, jacobiDiagonal, rowNorms } from "./linalg.js";
import { METHODS } from "./methods.js";
import { modeFactor } from "./modes.js";
import { axes, clipped, dot, line, linearScale, surface, text } from "./plot.js";
import { tidy } from "./state.js";
import { comparison, escapeTimes, formatNumber, phaseSample } from "./theory.js";

/** Descent along each eigenvector by itself: two parabolas with the iterates on them. */
export function sliceView(lab) {
  const view = panel({ title: "One direction at a time" });
  view.draw = () => {
    const { S, theme, land, runs, at } = lab;
    const { ctx, width, height } = surface(view.canvas);
    const method = S.methods[0];
    const run = runs[method];
    if (!land.quadratic) {
      text(ctx, theme, "Directions of their own are those of a quadratic: choose the bowl or the quadratic.", width / 2, height / 2, { align: "center", size: 13, most: width - 12 });
      view.note("");
      view.describe("No directions of their own: this landscape’s Hessian changes from place to place.");
      return;
    }
    const { values, angle } = eigen(land.quadratic);
    const span = 0.5 * 2.4 * 2.4; // one scale for both: the flat one is flat
    const [low, top] = [span * Math.min(0, ...values), Math.max(span * Math.max(0, ...values), 1e-9)];
    const axis = [[Math.cos(angle), Math.sin(angle)], [-Math.sin(angle), Math.cos(angle)]];
    const words = [];
    values.forEach((h, i) => {
      const left = (i * width) / 2 + (i ? 8 : 0);
      const right = ((i + 1) * width) / 2 - (i ? 0 : 8);
      const reach = 2.4;
      const sx = linearScale(-reach, reach, left, right);
      const sy = linearScale(low, top, height - 44, 10);
      ctx.strokeStyle = theme.faint;
      ctx.lineWidth = 1.5;
      line(ctx, Array.from({ length: 61 }, (_, k) => -reach + (k * 2 * reach) / 60).map((z) => [sx(z), sy(0.5 * h * z * z)]));
      const title = `${h < 0 ? "downhill" : i ? "flat" : "steep"}, h = ${formatNumber(h, 2)}`;
      text(ctx, theme, title, (left + right) / 2, height - 24, { align: "center", colour: theme.ink, weight: 600, size: 12 });
      if (!run) return;
      ctx.save();
      ctx.beginPath();
      ctx.rect(left, 0, right - left, height - 40);
      ctx.clip();
      const z = run.points.slice(0, Math.floor(at) + 1).map((p) => axis[i][0] * p[0] + axis[i][1] * p[1]);
      ctx.strokeStyle = theme.hue[method];
      ctx.lineWidth = 1.4;
      ctx.globalAlpha = 0.75;
      line(ctx, z.map((v) => [sx(v), sy(0.5 * h * v * v)]));
      ctx.globalAlpha = 1;
      z.forEach((v) => dot(ctx, sx(v), sy(0.5 * h * v * v), 2.4, theme.hue[method]));
      dot(ctx, sx(z[z.length - 1]), sy(0.5 * h * z[z.length - 1] ** 2), 5, theme.hue[method], theme.ground);
      ctx.restore();
      const lr = S[`lr_${method}`];
      const factor = method === "sgd" ? 1 - lr * h : modeFactor(method, S, h); // descent's with its sign
      const label = factor === null ? "no fixed factor" : `× ${formatNumber(factor, 3)} a step`;
      const bad = Math.abs(factor ?? 0) > 1;
      text(ctx, theme, label, (left + right) / 2, height - 7, { align: "center", colour: bad ? theme.bad : theme.muted, weight: bad ? 600 : 400, size: 12, most: right - left });
      words.push(`${title}: ${label}`);
    });
    view.note(run ? METHODS[method].label : "");
    view.describe(`The run of ${run ? METHODS[method].label : "no method"} along each eigenvector. ${words.join(". ")}.`);
  };
  return view;
}

/** When each of a hundred seeds escapes, one dot a seed. */
export function escapeView(lab) {
  const view = panel({ title: "Escape times of 100 seeds" });
  view.still = true;
  let cache = { key: "", times: {} };
  view.draw = () => {
    const { S, theme } = lab;
    const area = surface(view.canvas);
    const { ctx } = area;
    const key = JSON.stringify({ ...S, at: 0, seed: 0 });
    if (cache.key !== key) cache = { key, times: Object.fromEntries(S.methods.map((m) => [m, escapeTimes(m, S)])) };
    const bins = 40;
    const size = Math.max(1, S.steps / bins);
    const rows = S.methods.map((m) => {
      const counts = new Array(bins + 1).fill(0);
      cache.times[m].forEach((t) => (counts[t === null ? bins : Math.min(bins - 1, Math.floor(t / size))] += 1));
      return { m, counts, sorted: cache.times[m].map((t) => t ?? Infinity).sort((a, b) => a - b) };
    });
    const tallest = Math.max(8, ...rows.flatMap(({ counts }) => counts.slice(0, bins)));
    const frame = axes(area, theme, { x: [0, S.steps], y: [0, tallest], xLabel: "step of escape", yLabel: "seeds" });
    const wide = (frame.box.right - frame.box.left) / bins / Math.max(1, rows.length);
    const words = [];
    rows.forEach(({ m, counts, sorted }, r) => {
      ctx.fillStyle = theme.hue[m];
      counts.slice(0, bins).forEach((n, b) => {
        const x = frame.sx(b * size) + r * wide;
        ctx.globalAlpha = 0.82;
        if (n) ctx.fillRect(x + 0.5, frame.sy(n), Math.max(1, wide - 1), frame.sy(0) - frame.sy(n));
        ctx.globalAlpha = 1;
      });
      const mine = cache.times[m][S.seed];
      if (mine !== null && mine !== undefined) dot(ctx, frame.sx(mine), frame.sy(0) - 4, 4.5, theme.hue[m], theme.ground);
      const median = (sorted[49] + sorted[50]) / 2;
      if (Number.isFinite(median)) {
        ctx.strokeStyle = theme.hue[m];
        ctx.lineWidth = 1.2;
        line(ctx, [[frame.sx(median), frame.box.top], [frame.sx(median), frame.box.bottom]]);
        text(ctx, theme, formatNumber(median, 3), frame.sx(median), frame.box.top - 5, { align: "center", colour: theme.hue[m], weight: 600, halo: true });
      }
      words.push(`${METHODS[m].short} median ${Number.isFinite(median) ? formatNumber(median, 3) : `> ${S.steps}`}${counts[bins] ? `, ${counts[bins]} never` : ""}`);
    });
    const never = rows.reduce((sum, { counts }) => sum + counts[bins], 0);
    view.note(never ? `${never} never leave` : "line: the median");
    view.describe(`Histogram of the escape step over seeds 0 to 99 within ${S.steps} steps: ${words.join("; ")}.`);
  };
  return view;
}

/** Theorem 2' as a phase diagram: length α against Q = L r³/(6S); below α = Q^{-1/2} nothing can go wrong. */
export function phaseView(lab) {
  const view = panel({ title: "Who steps lower?" });
  view.still = true;
  let cache = { key: "", sample: [] };
  let scale = null;
  scrub(view.canvas, lab, (x) => {
    const alpha = Math.max(10 ** -1.5, Math.min(10 ** 0.5, scale?.invert(x) ?? 1));
    lab.update({ lr_newton: tidy(alpha), lr_saddle_free: tidy(alpha) });
  });
  view.draw = () => {
    const { S, theme, land } = lab;
    const area = surface(view.canvas);
    const { ctx } = area;
    if (!land.lipschitz) {
      text(ctx, theme, "The diagram needs a Lipschitz Hessian: choose the egg box.", area.width / 2, area.height / 2, { align: "center", size: 13, most: area.width - 12 });
      view.note("");
      view.describe("No phase diagram: this landscape’s Hessian has no global Lipschitz constant.");
      return;
    }
    const key = `${S.landscape}|${S.seed}`;
    if (cache.key !== key) cache = { key, sample: phaseSample(S, 500) };
    const x = [10 ** -1.5, 10 ** 0.5];
    const y = [1e-2, 1e3];
    const frame = axes(area, theme, { x, y, xLog: true, yLog: true, xLabel: "step length α", yLabel: "Q = L r³ / 6S" });
    scale = frame.sx;
    clipped(ctx, frame.box, () => {
      ctx.fillStyle = theme.hue.saddle_free;
      ctx.globalAlpha = 0.13;
      ctx.beginPath();
      ctx.moveTo(frame.sx(x[0]), frame.sy(y[0]));
      ctx.lineTo(frame.sx(x[0]), frame.sy(x[0] ** -2));
      ctx.lineTo(frame.sx(x[1]), frame.sy(x[1] ** -2));
      ctx.lineTo(frame.sx(x[1]), frame.sy(y[0]));
      ctx.fill();
      ctx.globalAlpha = 1;
      ctx.strokeStyle = theme.hue.saddle_free;
      ctx.lineWidth = 1.6;
      line(ctx, [[frame.sx(x[0]), frame.sy(x[0] ** -2)], [frame.sx(x[1]), frame.sy(x[1] ** -2)]]);
      for (const p of cache.sample) {
        const wins = p.fA <= p.fN;
        ctx.globalAlpha = wins ? 0.7 : 0.95;
        dot(ctx, frame.sx(p.alpha), frame.sy(p.Q), wins ? 1.8 : 2.4, wins ? theme.hue.saddle_free : theme.hue.newton);
      }
      ctx.globalAlpha = 1;
    });
    text(ctx, theme, "promised: |H| no worse", frame.box.left + 8, frame.box.bottom - 9, { size: 12, colour: theme.ink, halo: true });
    const alpha = S.lr_newton;
    const here = comparison(land, [S.x0, S.y0], alpha);
    const px = frame.sx(Math.max(x[0], Math.min(x[1], alpha)));
    ctx.strokeStyle = theme.ink;
    ctx.lineWidth = 1;
    line(ctx, [[px, frame.box.top], [px, frame.box.bottom]]);
    let words = "no negative curvature at this start";
    if (here.S > 0) {
      dot(ctx, px, frame.sy(Math.max(y[0], Math.min(y[1], here.Q))), 6, theme.ink, theme.ground);
      const gap = here.fN - here.fA;
      words = gap >= 0 ? `|H| lower by ${formatNumber(gap, 2)}` : `Newton lower by ${formatNumber(-gap, 2)}`;
    }
    view.note(words);
    const losses = cache.sample.filter((p) => p.fA > p.fN);
    const broken = losses.filter((p) => p.alpha ** 2 * p.Q <= 1).length;
    view.describe(
      `Phase diagram of one step over ${cache.sample.length} random starts and lengths: Newton is lower in ${losses.length}, ` +
        `of which ${broken} lie in the promised region. First step at length ${formatNumber(alpha, 2)} from the present start: ${words}.`,
    );
  };
  return view;
}

/** D of Jacobi and equilibration against the angle of the saddle. */
export function dialView(lab) {
  const view = panel({ title: "D of the first weight" });
  view.still = true;
  let scale = null;
  scrub(view.canvas, lab, (x) => scale && lab.update({ angle: Math.max(0, Math.min(90, Math.round(scale.invert(x)))) }));
  view.draw = () => {
    const { S, theme, land } = lab;
    const area = surface(view.canvas);
    const { ctx } = area;
    if (S.landscape !== "quadratic") {
      scale = null;
      text(ctx, theme, "The dial turns the quadratic: choose it among the landscapes.", area.width / 2, area.height / 2, { align: "center", size: 13, most: area.width - 12 });
      view.note("");
      view.describe(`No dial: it turns the quadratic, and this is ${land.label}.`);
      return;
    }
    const at = (degrees) => fromEigen([S.eig1, S.eig2], (degrees * Math.PI) / 180);
    const top = Math.max(Math.abs(S.eig1), Math.abs(S.eig2), 0.1) * 1.15;
    const frame = axes(area, theme, { x: [0, 90], y: [0, top], xTicks: [0, 15, 30, 45, 60, 75, 90], xLabel: "rotation φ, degrees", yLabel: "D₁ (D₂ is dashed)" });
    scale = frame.sx;
    const curves = [["newton", (H) => [absolute(H).a, absolute(H).c]], ["equilibration", rowNorms], ["jacobi", jacobiDiagonal]];
    for (const [method, diag] of curves) {
      for (const i of [1, 0]) {
        ctx.strokeStyle = method === "newton" ? theme.faint : theme.hue[method];
        ctx.lineWidth = method === "newton" ? 1.5 : 2.2;
        ctx.setLineDash(i ? [3, 5] : []);
        line(ctx, Array.from({ length: 91 }, (_, a) => [frame.sx(a), frame.sy(diag(at(a))[i])]));
      }
    }
    ctx.setLineDash([]);
    ctx.strokeStyle = theme.muted;
    ctx.lineWidth = 1;
    line(ctx, [[frame.sx(S.angle), frame.box.top], [frame.sx(S.angle), frame.box.bottom]]);
    const H = at(S.angle);
    for (const [method, diag] of curves.slice(1)) dot(ctx, frame.sx(S.angle), frame.sy(diag(H)[0]), 5.5, theme.hue[method], theme.ground);
    const [dj, de] = [jacobiDiagonal(H)[0], rowNorms(H)[0]];
    view.note(`φ = ${formatNumber(S.angle, 3)}°`);
    view.describe(
      `The diagonal read by Jacobi and by equilibration for rotations of 0 to 90 degrees. At ${formatNumber(S.angle, 3)} degrees ` +
        `Jacobi reads ${formatNumber(dj, 3)} and equilibration ${formatNumber(de, 3)} for the first weight.`,
    );
  };
  return view;
}

