// A quadratic mode by mode: the error in the Hessian's eigenbasis, the factor by which a step shrinks each part,
// and the regime of momentum.

import { eigen, jacobiDiagonal, rowNorms } from "./linalg.js";
import { formatNumber, heavyBall, largestRoot, modeRadius, nesterov } from "./theory.js";

/** The modes of H, the steepest upward first: {h, axis} with a unit eigenvector `axis`. */
export function modesOf(H) {
  const { values, angle } = eigen(H);
  const [c, s] = [Math.cos(angle), Math.sin(angle)];
  return [{ h: values[0], axis: [c, s] }, { h: values[1], axis: [-s, c] }];
}

/** A mode by the sign of its curvature h, and in a bowl by which of the two is the steeper. */
export function modeName(h, other) {
  const least = 1e-9 * Math.max(Math.abs(h), Math.abs(other)); // less is rounding
  if (h < -least) return "downhill mode";
  if (h <= least) return "flat mode";
  if (other < -least) return "uphill mode";
  return Math.abs(h - other) <= least ? "mode" : h > other ? "steep mode" : "flat mode";
}

/** qᵀ(θ_t − θ*) for every step of a run along one mode; the critical point is the origin. */
export const amplitudes = (run, { axis }) => run.points.map((p) => axis[0] * p[0] + axis[1] * p[1]);

/**
 * The factor on |qᵀ(θ − θ*)| in one step along curvature h, where theory knows one: for methods whose rates are a
 * function of H alone. For momentum and Nesterov it is the spectral radius, which a run reaches after a while. Null for the others.
 */
export function modeFactor(method, S, h) {
  const lr = S[`lr_${method}`];
  if (method === "sgd") return Math.abs(1 - lr * h);
  if (method === "momentum") return modeRadius(lr, h, S.momentum);
  if (method === "nesterov") return modeRadius(lr, h, S.momentum, nesterov);
  if (method === "newton") return Math.abs(1 - lr);
  if (method === "saddle_free") return Math.abs(1 - (lr * h) / (Math.abs(h) + S.damping));
  return null;
}

/** Whether a diagonal D mixes the modes of H: it does unless D is a multiple of I or H is diagonal. */
export function mixes(method, H) {
  const D = { jacobi: jacobiDiagonal(H), equilibration: rowNorms(H) }[method];
  const size = Math.abs(H.a) + Math.abs(H.c) + Math.abs(H.b);
  if (Math.abs(H.b) < 1e-9 * size) return false;
  return D ? Math.abs(D[0] - D[1]) > 1e-9 * size : !["sgd", "momentum", "nesterov", "newton", "saddle_free"].includes(method);
}

/** Each mode's share of Σ ½|h| z² at a step: what is left to do, and in which direction. */
export function shares(run, modes, t) {
  const parts = modes.map((mode) => 0.5 * Math.abs(mode.h) * amplitudes({ points: [run.points[t]] }, mode)[0] ** 2);
  const whole = parts[0] + parts[1];
  return whole > 0 ? parts.map((part) => part / whole) : [0, 0];
}

/** Every step of a run along one mode as [distance, last step]; the start has made no step yet. */
export function phasePoints(run, mode) {
  const z = amplitudes(run, mode);
  return z.map((v, t) => [v, t ? v - z[t - 1] : 0]);
}

const DOUBLE = 4e-4; // a discriminant this small: roots within 0.02 of each other are as good as one double root

/**
 * The regime of momentum along curvature h, from the roots of z² − trace·z + det: real and apart (over-damped), double
 * (critical), a complex pair (under-damped), or one beyond 1. Where h < 0 there always is one beyond 1, as the
 * polynomial is lr·h < 0 at z = 1. Where the trace is negative and the roots are real, so is the larger of them: the
 * error changes sign at every step.
 */
export function regimeOf(lr, h, beta, form = heavyBall) {
  const [trace, det] = form(lr, h, beta);
  const disc = trace * trace - 4 * det;
  const radius = largestRoot(trace, det);
  const flips = trace < 0 && disc > -DOUBLE;
  const kind = () => {
    if (Math.abs(lr * h) < 1e-12) return "flat"; // the roots are 1 and β
    if (h < 0) return "leaving";
    if (Math.abs(radius - 1) < 1e-9) return "edge";
    if (radius > 1) return "diverging";
    if (Math.abs(disc) <= DOUBLE) return "critical";
    return disc > 0 ? "over" : "under";
  };
  return { kind: kind(), disc, radius, flips };
}

const REGIMES = {
  over: "over-damped", critical: "critically damped", under: "under-damped", diverging: "diverging",
  leaving: "always leaves", edge: "neither shrinks nor grows", flat: "no curvature pulls it",
};

export function regimeWords({ kind, radius, flips }) {
  const still = kind === "edge" || kind === "flat";
  return `${REGIMES[kind]}${flips ? ", sign flips" : ""}${still ? "" : `, ×${formatNumber(radius, 3)} a step`}`;
}
