// A quadratic mode by mode: the error in the Hessian's eigenbasis, and the factor by which a step shrinks each part.

import { eigen, jacobiDiagonal, rowNorms } from "./linalg.js";
import { modeRadius } from "./theory.js";

/** The modes of H, the steepest upward first: {h, axis} with a unit eigenvector `axis`. */
export function modesOf(H) {
  const { values, angle } = eigen(H);
  const [c, s] = [Math.cos(angle), Math.sin(angle)];
  return [{ h: values[0], axis: [c, s] }, { h: values[1], axis: [-s, c] }];
}

/** qᵀ(θ_t − θ*) for every step of a run along one mode; the critical point is the origin. */
export const amplitudes = (run, { axis }) => run.points.map((p) => axis[0] * p[0] + axis[1] * p[1]);

/**
 * The factor on |qᵀ(θ − θ*)| in one step along curvature h, where theory knows one: for methods whose rates are a
 * function of H alone. For momentum it is the spectral radius, which a run reaches after a while. Null for the others.
 */
export function modeFactor(method, S, h) {
  const lr = S[`lr_${method}`];
  if (method === "sgd") return Math.abs(1 - lr * h);
  if (method === "momentum") return modeRadius(lr, h, S.momentum);
  if (method === "newton") return Math.abs(1 - lr);
  if (method === "saddle_free") return Math.abs(1 - (lr * h) / (Math.abs(h) + S.damping));
  return null;
}

/** Whether a diagonal D mixes the modes of H: it does unless D is a multiple of I or H is diagonal. */
export function mixes(method, H) {
  const D = { jacobi: jacobiDiagonal(H), equilibration: rowNorms(H) }[method];
  const size = Math.abs(H.a) + Math.abs(H.c) + Math.abs(H.b);
  if (Math.abs(H.b) < 1e-9 * size) return false;
  return D ? Math.abs(D[0] - D[1]) > 1e-9 * size : !["sgd", "momentum", "newton", "saddle_free"].includes(method);
}

/** Each mode's share of Σ ½|h| z² at a step: what is left to do, and in which direction. */
export function shares(run, modes, t) {
  const parts = modes.map((mode) => 0.5 * Math.abs(mode.h) * amplitudes({ points: [run.points[t]] }, mode)[0] ** 2);
  const whole = parts[0] + parts[1];
  return whole > 0 ? parts.map((part) => part / whole) : [0, 0];
}
