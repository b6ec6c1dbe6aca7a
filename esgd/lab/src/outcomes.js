// How a run ended, in words: diverged, at the bottom, escaped, caught, overshot, or still on its way.

import { eigen } from "./linalg.js";
import { landscapeOf } from "./landscapes.js";
import { trajectory } from "./methods.js";
import { modesOf } from "./modes.js";
import { escapeStep, formatNumber } from "./theory.js";

/** How far a point of a quadratic lies along each direction that should shrink, and how far is out of the picture. */
function upwardAxes(land, start) {
  const { values, angle } = eigen(land.quadratic);
  const axes = [[Math.cos(angle), Math.sin(angle)], [-Math.sin(angle), Math.cos(angle)]].filter((_, i) => values[i] > 0);
  return axes.map((axis) => {
    const along = (p) => Math.abs(axis[0] * p[0] + axis[1] * p[1]);
    return { along, limit: Math.max(3 * land.window[2], 2 * along(start)) };
  });
}

/**
 * The step from which a run has diverged, or null: it left every bound, or it ends out of the picture in a direction
 * that should shrink and is there as far as it ever was. One that is on its way back has overshot.
 */
export function divergedStep(run, land, noise = 0) {
  if (!land.quadratic) return run.diverged;
  const last = run.points.length - 1;
  const fell = run.losses[last] < land.reference; // down the saddle: an escape
  if (fell && run.losses.every((f, t) => t === 0 || f <= run.losses[t - 1])) return null;
  for (const { along, limit } of upwardAxes(land, run.points[0])) {
    const far = run.points.map(along);
    const out = (noise > 0 ? 1000 : 1) * limit; // noise alone may throw a run far, and it comes back
    if (!(far[last] > out && far[last] > 0.9 * Math.max(...far))) continue;
    let step = last;
    while (far[step - 1] > limit) step -= 1;
    return step;
  }
  return fell ? null : run.diverged;
}

/** The first step at which a run on a quadratic was out of the picture, or null. */
function overshotStep(run, land) {
  if (!land.quadratic) return null;
  const axes = upwardAxes(land, run.points[0]);
  const step = run.points.findIndex((p) => axes.some(({ along, limit }) => along(p) > limit));
  return step < 0 ? null : step;
}

const NEXT = 400; // steps that a run is followed to see whether it stays, as many as the lab ever shows

/** Whether every principal direction leads at most 1 % of the window to a critical point: |H⁻¹g|, where H bends. */
function isNearCritical(land, x) {
  const g = land.grad(x);
  const modes = modesOf(land.hess(x));
  const steepest = Math.max(...modes.map(({ h }) => Math.abs(h)));
  return modes.every(({ h, axis }) => Math.abs(axis[0] * g[0] + axis[1] * g[1]) <= 0.01 * land.window[2] * (Math.abs(h) + 1e-9 * steepest));
}

/** Whether a run has stopped: it is near a critical point, and the steps that would follow could not be seen. */
export function hasStopped(run, S, land) {
  const last = run.records.length;
  const end = run.points[last];
  if (S.noise > 0 || run.diverged !== null || last < 4 || !isNearCritical(land, end)) return false;
  const on = trajectory(run.method, S, last + NEXT);
  return on.diverged === null && on.points.slice(last).every((p) => Math.hypot(p[0] - end[0], p[1] - end[1]) < 0.005 * land.window[2]);
}

const mean = (values) => values.reduce((sum, v) => sum + v, 0) / values.length;

/** Whether a loss ends higher than it began by more than `least`, and still rises. */
function climbs(losses, least) {
  const rise = losses[losses.length - 1] - losses[0];
  const quarter = Math.max(1, Math.floor(losses.length / 4));
  return rise > least && mean(losses.slice(-quarter)) > mean(losses.slice(-2 * quarter, -quarter)) + 0.01 * rise;
}

/** How a run ended: {kind, step, text}. */
export function outcome(run, S) {
  const land = landscapeOf(S);
  const { losses } = run;
  const last = losses.length - 1;
  const diverged = divergedStep(run, land, S.noise);
  if (diverged !== null) return { kind: "diverged", step: diverged, text: `diverged at step ${diverged}` };
  if (land.floor !== null) {
    const goal = land.floor + 1e-3 * Math.max(1e-12, losses[0] - land.floor);
    const step = losses.findIndex((f, t) => f <= goal && losses.slice(t).every((g) => g <= 2 * goal - land.floor));
    if (step >= 0) return { kind: "converged", step, text: `at the bottom by step ${step}` };
  }
  const escaped = escapeStep(run, S, land);
  const above = losses[last] > (land.floor ?? -Infinity) + 0.02;
  const end = run.points[last];
  const bent = land.floor === null || !(eigen(land.hess(end)).values[1] > 0); // no minimum holds it
  const inMinimum = land.minima.some((p) => land.f(p) > land.floor + 0.02 && Math.hypot(p[0] - end[0], p[1] - end[1]) < 0.02 * land.window[2]);
  const stopped = above && (land.saddle || land.floor === null) && (bent || inMinimum) && hasStopped(run, S, land);
  if (escaped > 0 && losses[last] < land.reference && (!stopped || inMinimum)) {
    const left = land.point === "saddle" ? "escaped" : `left the ${land.point}`;
    return { kind: "escaped", step: escaped, text: `${left} at step ${escaped}${stopped ? ", to a higher minimum" : ""}` };
  }
  if (stopped) {
    return { kind: "caught", step: last, text: inMinimum ? "in a higher minimum" : land.saddle ? "caught at a critical point" : "at rest" };
  }
  const now = `loss ${formatNumber(losses[last], 3)} at step ${last}`;
  if (escaped === 0) return { kind: "moving", step: last, text: `started past the ${land.point}; ${now}` };
  const overshot = S.noise === 0 ? overshotStep(run, land) : null; // noise alone may throw it out
  if (overshot !== null) return { kind: "overshot", step: overshot, text: `overshot at step ${overshot}; ${now}` };
  if (climbs(losses, S.noise > 0 ? 10 * (1 + Math.abs(losses[0] - (land.floor ?? land.reference))) : 0)) {
    return { kind: "climbing", step: last, text: "climbing" };
  }
  return { kind: "moving", step: last, text: now };
}
