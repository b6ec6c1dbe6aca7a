// What theory says about the runs: best rates, escape times, the region of Theorem 2', the stationary law of SGD.

import { absolute, congruence, diagonal, eigen, IDENTITY, inverse, jacobiDiagonal, matvec, rowNorms, scaled } from "./linalg.js";
import { ESCAPE_DROP, landscapeOf } from "./landscapes.js";
import { noiseFactor, trajectory } from "./methods.js";
import { PURPOSE, stream } from "./rng.js";

/** The larger size of the two roots of z² − trace·z + det. */
export function largestRoot(trace, det) {
  const disc = trace * trace - 4 * det;
  if (disc < 0) return Math.sqrt(det);
  return (Math.abs(trace) + Math.sqrt(disc)) / 2;
}

/** Trace and determinant of one mode of momentum, m ← βm + hx, x ← x − lr·m (β = 0: gradient descent) … */
export const heavyBall = (lr, h, beta) => [1 + beta - lr * h, beta];
/** … and of Nesterov's, x ← x − lr·(hx + βm). */
export const nesterov = (lr, h, beta) => [(1 + beta) * (1 - lr * h), beta * (1 - lr * h)];

/** The rate times curvature at which a step stops shrinking, for each form. */
export const edgeOf = (beta, form = heavyBall) => (form === heavyBall ? 2 * (1 + beta) : (2 + 2 * beta) / (1 + 2 * beta));

/** Spectral radius of one mode of momentum, or of Nesterov's. */
export const modeRadius = (lr, h, beta, form = heavyBall) => largestRoot(...form(lr, h, beta));

/** Golden-section search for the least value of fn on [lo, hi] in the logarithm. */
function goldenSection(fn, lo, hi) {
  const ratio = (Math.sqrt(5) - 1) / 2;
  let [a, b] = [Math.log(lo), Math.log(hi)];
  for (let i = 0; i < 60; i += 1) {
    const [c, d] = [b - ratio * (b - a), a + ratio * (b - a)];
    if (fn(Math.exp(c)) < fn(Math.exp(d))) b = d;
    else a = c;
  }
  return Math.exp((a + b) / 2);
}

/** The rate that is best in theory for curvatures h1 ≥ h2: fastest contraction, or cleanest escape. */
export function bestRateFor(h1, h2, beta = 0, form = heavyBall) {
  if (!(h1 > 0) || !Number.isFinite(h1 + h2)) return null;
  if (beta === 0) return h2 > 0 ? 2 / (h1 + h2) : 1 / h1;
  const of = (h) => (lr) => modeRadius(lr, h, beta, form);
  const [steep, other] = [of(h1), of(h2)];
  return goldenSection(h2 > 0 ? (lr) => Math.max(steep(lr), other(lr)) : (lr) => steep(lr) / other(lr), 1e-6 / h1, 4 / h1);
}

function preconditionedCurvatures(H, diag, damping) {
  const root = diagonal(...diag.map((d) => 1 / Math.sqrt(d + damping)));
  return eigen(congruence(root, H)).values;
}

/**
 * The rate with the lowest loss at the last step (where the loss is bounded below), or with the soonest escape that
 * never climbs. A generator that pauses after every rate it tries, so that a page may draw in between.
 */
function* searchRate(method, S, land) {
  let best = null;
  for (let i = 0; i <= 80; i += 1) {
    yield;
    const lr = 10 ** (-4 + (5 * i) / 80);
    const run = trajectory(method, S, S.steps, lr);
    if (run.diverged && land.floor !== null) continue;
    let score = run.losses[run.losses.length - 1];
    if (land.floor === null) {
      const step = escapeStep(run, S, land);
      const climbed = run.losses.slice(0, step ?? undefined).some((f) => f > run.losses[0] + 1e-12);
      score = step === null || climbed ? Infinity : step;
    }
    if (land.floor !== null && land.saddle && score > land.reference - ESCAPE_DROP[S.landscape]) continue; // caught
    if (Number.isFinite(score) && (best === null || score < best.score)) best = { score, lr };
  }
  return best && best.lr;
}

/** The rate to mark on a method's slider, and the reason in words; null where there is none. A generator, as above. */
export function* seekBestRate(method, S, run = null) {
  const land = landscapeOf(S);
  const how = land.floor === null ? "cleanest escape" : "fastest convergence";
  if (land.quadratic && !["adagrad", "rmsprop", "adam"].includes(method)) {
    const H = land.quadratic;
    const { values } = eigen(H);
    let curvatures = values;
    if (method === "newton" && !(values[1] > 0)) return null; // at any rate it is caught at the saddle
    if (method === "newton") curvatures = [1, 1];
    if (method === "saddle_free") curvatures = values.map((x) => x / (Math.abs(x) + S.damping));
    const D = { jacobi: jacobiDiagonal(H), equilibration: rowNorms(H), esgd: rowNorms(H) }[method];
    const estimated = run?.records[run.records.length - 1]?.D;
    if (D) curvatures = preconditionedCurvatures(H, method === "equilibration" ? D : (estimated ?? D), S.damping);
    const value = method === "nesterov" ? bestRateFor(...curvatures, S.momentum, nesterov) : bestRateFor(...curvatures, method === "momentum" ? S.momentum : 0);
    return value === null ? null : { value, how };
  }
  const value = yield* searchRate(method, S, land);
  return value === null ? null : { value, how: land.floor === null ? "soonest escape" : `lowest loss after ${S.steps} steps` };
}

/** `seekBestRate` at one go. */
export function bestRate(method, S, run = null) {
  const search = seekBestRate(method, S, run);
  let step = search.next();
  while (!step.done) step = search.next();
  return step.value;
}

/** The momentum that is best on a convex quadratic, the heavy ball's or Nesterov's, with its formula; null elsewhere. */
export function bestMomentum(S, form = heavyBall) {
  const land = landscapeOf(S);
  if (!land.quadratic || !land.convex) return null;
  const [h1, h2] = eigen(land.quadratic).values;
  if (form === heavyBall) {
    const [a, b] = [h1, h2].map(Math.sqrt);
    return { value: ((a - b) / (a + b)) ** 2, how: "the heavy ball’s, ((√κ − 1)/(√κ + 1))²" };
  }
  const root = Math.sqrt((3 * h1) / h2 + 1); // Lessard, Recht and Packard (2016), Proposition 1
  return { value: (root - 2) / (root + 2), how: "Nesterov’s, (√(3κ + 1) − 2)/(√(3κ + 1) + 2)" };
}

/** First step at which the loss has fallen below the saddle by the landscape's drop, or null. */
export function escapeStep(run, S, land = landscapeOf(S)) {
  const drop = ESCAPE_DROP[S.landscape];
  if (!land.saddle || drop === null) return null;
  const step = run.losses.findIndex((f) => f < land.reference - drop);
  return step < 0 ? null : step;
}

/** Escape steps of a method over seeds 0 … count − 1; null where it did not escape within S.steps. */
export function escapeTimes(method, S, count = 100) {
  const land = landscapeOf(S);
  return Array.from({ length: count }, (_, seed) => escapeStep(trajectory(method, { ...S, seed }), S, land));
}

/** Why there are no escape times to show, or null. */
export function whyNoEscape(S, land) {
  if (!land.saddle || ESCAPE_DROP[S.landscape] === null) return "There is no saddle to leave: choose a landscape that has one.";
  if (land.f([S.x0, S.y0]) < land.reference - ESCAPE_DROP[S.landscape]) return `This start is already past the ${land.point}: move it up.`;
  return null;
}

/**
 * Theorem 2' at one point: after a step of length α along Newton's and the saddle-free direction,
 * f_N − f_A ≥ 2αS − (L/3)α³r³, so the saddle-free step is no worse where α² Q ≤ 1 with Q = Lr³/(6S).
 */
export function comparison(land, x, alpha) {
  const g = land.grad(x);
  const H = land.hess(x);
  const newton = matvec(inverse(H), g);
  const free = matvec(inverse(absolute(H)), g);
  const { values, angle } = eigen(H);
  const along = [Math.cos(angle) * g[0] + Math.sin(angle) * g[1], -Math.sin(angle) * g[0] + Math.cos(angle) * g[1]];
  const S = values.reduce((sum, value, i) => (value < 0 ? sum + along[i] ** 2 / -value : sum), 0);
  const r = Math.hypot(newton[0], newton[1]);
  const fN = land.f([x[0] - alpha * newton[0], x[1] - alpha * newton[1]]);
  const fA = land.f([x[0] - alpha * free[0], x[1] - alpha * free[1]]);
  const L = land.lipschitz ?? 0;
  return { S, r, fN, fA, bound: 2 * alpha * S - (L / 3) * alpha ** 3 * r ** 3, Q: (L * r ** 3) / (6 * S) };
}

/**
 * The first steps of Newton and |H|: `gap` is how much lower |H| ends (in the runs where both run, else in theory). The
 * theory is at one α without damping or noise; `alike` says whether the runs do the same.
 */
export function firstSteps(S, land, runs) {
  const alpha = S.methods.includes("newton") || !S.methods.includes("saddle_free") ? S.lr_newton : S.lr_saddle_free;
  const theory = comparison(land, [S.x0, S.y0], alpha);
  const gap = theory.fN - theory.fA;
  const [fN, fA] = [runs.newton?.losses[1], runs.saddle_free?.losses[1]];
  if (fN === undefined || fA === undefined) return { alpha, theory, gap, real: false, alike: true };
  const off = Math.abs(fN - theory.fN) + Math.abs(fA - theory.fA);
  return { alpha, theory, fN, fA, gap: fN - fA, real: true, alike: off <= 0.005 * Math.abs(gap) + 1e-9 };
}

/** Random starts and lengths for the phase diagram; points without negative curvature are left out. */
export function phaseSample(S, count = 600) {
  const land = landscapeOf(S);
  const [cx, cy, half] = land.window;
  const next = stream(S.seed, PURPOSE.scatter, 0);
  const sample = [];
  while (sample.length < count) {
    const x = [cx + half * (2 * next() - 1), cy + half * (2 * next() - 1)];
    const alpha = 10 ** (-1.5 + 2 * next());
    const result = comparison(land, x, alpha);
    if (result.S > 0 && Number.isFinite(result.Q)) sample.push({ x, alpha, ...result });
  }
  return sample;
}

/** Stationary SGD on an SPD quadratic: HΣ + ΣH − εHΣH = εC; returns Σ and E g² = diag(HΣH + C). */
export function stationary(H, C, lr) {
  const { values, angle } = eigen(H);
  const c = Math.cos(angle);
  const s = Math.sin(angle);
  const p = { // C in H's eigenbasis
    a: C.a * c * c + 2 * C.b * c * s + C.c * s * s,
    b: (C.c - C.a) * c * s + C.b * (c * c - s * s),
    c: C.a * s * s - 2 * C.b * c * s + C.c * c * c,
  };
  const solve = (x, h, k) => (lr * x) / (h + k - lr * h * k);
  const m = { a: solve(p.a, values[0], values[0]), b: solve(p.b, values[0], values[1]), c: solve(p.c, values[1], values[1]) };
  const sigma = {
    a: m.a * c * c - 2 * m.b * c * s + m.c * s * s,
    b: (m.a - m.c) * c * s + m.b * (c * c - s * s),
    c: m.a * s * s + 2 * m.b * c * s + m.c * c * c,
  };
  const inner = congruence(H, sigma);
  return { sigma, second: [inner.a + C.a, inner.c + C.c] };
}

/** Why SGD has no stationary law here, or null where it has one. */
export function whyNotStationary(S, land) {
  if (!land.quadratic) return "not a quadratic";
  const [h1, h2] = eigen(land.quadratic).values;
  if (!(h2 > 0)) return "not a bowl: it runs away";
  if (!(S.lr_sgd * h1 < 2)) return "rate ≥ 2/λ₁: it diverges";
  return S.noise > 0 ? null : "no noise: it is at rest";
}

/** The covariance of the gradient noise of a state at Hessian H. */
export function noiseCovariance(S, H) {
  const B = noiseFactor(S.noise_shape, H);
  return scaled(congruence(B, IDENTITY), S.noise ** 2);
}

/** A number as a reader wants it: `digits` significant ones, true minus, powers of ten in superscript. */
export function formatNumber(value, digits = 3) {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  if (!Number.isFinite(value)) return value > 0 ? "∞" : "−∞";
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size >= 1e4 || size < 1e-3) {
    const [mantissa, exponent] = value.toExponential(Math.max(0, digits - 2)).split("e");
    const power = String(Number(exponent)).replace(/[-\d]/g, (ch) => "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"["-0123456789".indexOf(ch)]);
    const rounded = String(Number(mantissa)).replace("-", "−");
    return Math.abs(Number(mantissa)) === 1 ? `${rounded.replace("1", "")}10${power}` : `${rounded}·10${power}`;
  }
  return String(Number(value.toPrecision(digits))).replace("-", "−");
}

/** An angle for a reader: to a tenth of a degree. */
export const inDegrees = (degrees) => (Number.isFinite(degrees) ? `${formatNumber(Math.round(degrees * 10) / 10 + 0, 4)}°` : "–");
