// The views that belong to one chapter each: 1-D descent, the phase diagram, the rotation dial.

import { panel, scrub } from "./dom.js";
import { endLabels, gutterFor } from "./labels.js";
import { absolute, eigen, fromEigen, jacobiDiagonal, rowNorms } from "./linalg.js";
import { METHODS } from "./methods.js";
import { modeFactor, modeName } from "./modes.js";
import { axes, clipped, dot, line, linearScale, surface, text } from "./plot.js";
import { tidy } from "./state.js";
import { firstSteps, formatNumber, phaseSample } from "./theory.js";

/** Descent along each eigenvector by itself: two parabolas with the iterates on them. */
export function sliceView(lab) {
  const view = panel({ title: "One direction at a time" });
  view.lacks = () => (lab.land.quadratic ? null : "Directions of their own are those of a quadratic: choose the bowl or the quadratic.");
  view.draw = () => {
    const { S, theme, land, runs, at } = lab;
    const { ctx, width, height } = surface(view.canvas);
    const method = S.methods[0];
    const run = runs[method];
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
      const title = `${modeName(h, values[1 - i])}, h = ${formatNumber(h, 2)}`;
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

/** Who ends lower after the first step, in the runs if both run. */
export function firstStepWords({ gap, real, alike, theory }) {
  if (alike && !(theory.S > 0)) return "no negative curvature at this start";
  const words = gap >= 0 ? `|H| lower by ${formatNumber(gap, 2)}` : `Newton lower by ${formatNumber(-gap, 2)}`;
  return `${real ? "step 1" : "at equal α, undamped"}: ${words}`;
}

function firstStepSentence(first, S) {
  if (!first.real) return `One step of length ${formatNumber(first.alpha, 2)} from the present start, ${firstStepWords(first)}.`;
  const one = (name, key, f) => `${name} at length ${formatNumber(S[key], 2)} to a loss of ${formatNumber(f, 3)}`;
  const why = first.alike ? "" : " The diagram is for one length for both, without damping and noise: these steps are no point of it.";
  return `The first steps of the runs: ${one("Newton", "lr_newton", first.fN)}, ${one("|H|", "lr_saddle_free", first.fA)}; ${firstStepWords(first)}.${why}`;
}

/** Theorem 2' as a phase diagram: length α against Q = L r³/(6S); below α = Q^{-1/2} nothing can go wrong. */
export function phaseView(lab) {
  const view = panel({ title: "Who steps lower?" });
  view.still = true;
  view.lacks = () => (lab.land.lipschitz ? null : "The diagram needs a Hessian with a Lipschitz constant: choose the egg box.");
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
        const [px, py] = [frame.sx(p.alpha), frame.sy(p.Q)];
        ctx.globalAlpha = 0.7;
        if (p.fA <= p.fN) dot(ctx, px, py, 1.8, theme.hue.saddle_free);
        else {
          ctx.globalAlpha = 1;
          ctx.strokeStyle = theme.hue.newton;
          line(ctx, [[px - 2.6, py - 2.6], [px + 2.6, py + 2.6]]);
          line(ctx, [[px - 2.6, py + 2.6], [px + 2.6, py - 2.6]]);
        }
      }
      ctx.globalAlpha = 1;
    });
    text(ctx, theme, "• |H| lower   × Newton lower", frame.box.right, 11, { align: "right", size: 11.5 });
    text(ctx, theme, "promised: |H| no worse", frame.box.left + 8, frame.box.bottom - 9, { size: 12, colour: theme.ink, halo: true });
    const first = firstSteps(S, land, lab.runs);
    const inside = (v, [low, high]) => v >= low && v <= high;
    const mark = (alpha, hue) => {
      const px = frame.sx(alpha);
      ctx.strokeStyle = hue;
      ctx.lineWidth = 1.2;
      if (inside(alpha, x)) line(ctx, [[px, frame.box.top], [px, frame.box.bottom]]);
      return px;
    };
    if (first.alike) {
      const px = mark(first.alpha, theme.ink);
      const { S: gain, Q } = first.theory;
      if (gain > 0 && inside(first.alpha, x) && inside(Q, y)) dot(ctx, px, frame.sy(Q), 6, theme.ink, theme.ground);
    } else for (const m of ["newton", "saddle_free"]) mark(S[`lr_${m}`], theme.hue[m]); // their steps are no point of the diagram
    const words = firstStepWords(first);
    view.note(words);
    const losses = cache.sample.filter((p) => p.fA > p.fN);
    const broken = losses.filter((p) => p.alpha ** 2 * p.Q <= 1).length;
    view.describe(
      `Phase diagram of one step over ${cache.sample.length} random starts and lengths: Newton is lower in ${losses.length}, ` +
        `of which ${broken} lie in the promised region. ${firstStepSentence(first, S)}`,
    );
  };
  return view;
}

/** D of Jacobi and equilibration against the angle of the saddle. */
export function dialView(lab) {
  const view = panel({ title: "D of the first weight" });
  view.still = true;
  view.lacks = () => (lab.S.landscape === "quadratic" ? null : "The dial turns the quadratic: choose it among the landscapes.");
  let scale = null;
  scrub(view.canvas, lab, (x) => scale && lab.update({ angle: Math.max(0, Math.min(90, Math.round(scale.invert(x)))) }));
  view.draw = () => {
    const { S, theme } = lab;
    const area = surface(view.canvas);
    const { ctx } = area;
    const at = (degrees) => fromEigen([S.eig1, S.eig2], (degrees * Math.PI) / 180);
    const top = Math.max(Math.abs(S.eig1), Math.abs(S.eig2), 0.1) * 1.15;
    const gutter = gutterFor(ctx, theme, ["Equilibration"]);
    const frame = axes(area, theme, {
      x: [0, 90], y: [0, top], xTicks: [0, 15, 30, 45, 60, 75, 90], gutter,
      xLabel: "rotation φ, degrees", yLabel: "D₁ (D₂ is dashed)",
    });
    scale = frame.sx;
    const curves = [
      ["|H|", theme.faint, (H) => [absolute(H).a, absolute(H).c]],
      ["Equilibration", theme.hue.equilibration, rowNorms], ["Jacobi", theme.hue.jacobi, jacobiDiagonal],
    ];
    for (const [name, hue, diag] of curves) {
      for (const i of [1, 0]) {
        ctx.strokeStyle = hue;
        ctx.lineWidth = name !== "|H|" ? 2.2 : i ? 1.5 : 6; // broad, so that it is seen under a curve that is the same
        ctx.globalAlpha = name === "|H|" ? 0.55 : 1;
        ctx.setLineDash(i ? [3, 5] : []);
        line(ctx, Array.from({ length: 91 }, (_, a) => [frame.sx(a), frame.sy(diag(at(a))[i])]));
      }
    }
    ctx.globalAlpha = 1;
    ctx.setLineDash([]);
    const ends = curves.map(([name, hue, diag]) => ({ x: frame.box.right, y: frame.sy(diag(at(90))[0]), name, hue }));
    endLabels(ctx, theme, frame.box, ends);
    ctx.strokeStyle = theme.muted;
    ctx.lineWidth = 1;
    line(ctx, [[frame.sx(S.angle), frame.box.top], [frame.sx(S.angle), frame.box.bottom]]);
    const H = at(S.angle);
    for (const [, hue, diag] of curves.slice(1)) dot(ctx, frame.sx(S.angle), frame.sy(diag(H)[0]), 5.5, hue, theme.ground);
    const [dj, de] = [jacobiDiagonal(H)[0], rowNorms(H)[0]];
    view.note(`φ = ${formatNumber(S.angle, 3)}°`);
    view.describe(
      `The diagonal read by Jacobi and by equilibration for rotations of 0 to 90 degrees. At ${formatNumber(S.angle, 3)} degrees ` +
        `Jacobi reads ${formatNumber(dj, 3)} and equilibration ${formatNumber(de, 3)} for the first weight.`,
    );
  };
  return view;
}

