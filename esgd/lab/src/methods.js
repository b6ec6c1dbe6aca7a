// Eleven methods, one step each. Every rule returns the direction d and the matrix P of effective learning rates
// (θ ← θ − d, where d = P g, except for those with a `memory`, whose d is made of past gradients too: their P is what a
// steady gradient would get).

import {
  absolute, diagonal, IDENTITY, inverse, jacobiDiagonal, matrixFunction, matvec, rowNorms, scaled, squareRoot,
} from "./linalg.js";
import { drawNoise, drawProbe } from "./rng.js";
import { landscapeOf } from "./landscapes.js";

export const METHODS = {
  sgd: { label: "Gradient descent", short: "GD" },
  momentum: { label: "Momentum", short: "Momentum", memory: true },
  nesterov: { label: "Nesterov momentum", short: "Nesterov", memory: true },
  newton: { label: "Newton", short: "Newton" },
  saddle_free: { label: "Saddle-free Newton", short: "Saddle-free" },
  jacobi: { label: "Jacobi", short: "Jacobi" },
  equilibration: { label: "Equilibration", short: "Equilibration" },
  adagrad: { label: "AdaGrad", short: "AdaGrad" },
  rmsprop: { label: "RMSProp", short: "RMSProp" },
  adam: { label: "Adam", short: "Adam", memory: true },
  esgd: { label: "ESGD", short: "ESGD" },
};

/** A run is cut off where its weights leave this radius: it has diverged. */
export const DIVERGED = 1e6;

/** A square root of the noise covariance C, so that the noise is σ B ξ with ξ standard normal. */
export function noiseFactor(shape, hessian) {
  if (shape === "H") return squareRoot(absolute(hessian));
  if (shape === "H2") return absolute(hessian);
  if (shape === "tilted") return diagonal(1, 2); // C = diag(1, 4)
  return IDENTITY;
}

function preconditioned(diag, S, lr, g) {
  const rates = diag.map((d) => lr / (d + S.damping));
  return { d: [rates[0] * g[0], rates[1] * g[1]], P: diagonal(rates[0], rates[1]) };
}

/** Products with fresh probes when a refresh is due; `fold` adds each to the memory. */
function refresh(S, t, memory, H, fold) {
  if (t % S.interval !== 0) return [];
  const products = [];
  const wanted = memory.k === 0 ? S.warmup : 1;
  for (let j = 0; j < wanted; j += 1) {
    const v = drawProbe(S.probe, S.seed, memory.k);
    const Hv = matvec(H, v);
    fold(v, Hv);
    memory.k += 1;
    products.push({ v, Hv });
  }
  return products;
}

const RULES = {
  sgd: (S, lr, g) => ({ d: [lr * g[0], lr * g[1]], P: scaled(IDENTITY, lr) }),

  momentum: (S, lr, g, H, m) => {
    m.buffer = m.buffer ? m.buffer.map((b, i) => S.momentum * b + g[i]) : g.slice();
    return { d: m.buffer.map((b) => lr * b), P: scaled(IDENTITY, lr / (1 - S.momentum)) };
  },

  // torch's form: θ is the point at which the gradient was taken, ahead of Nesterov's own iterate by lr·β·buffer
  nesterov: (S, lr, g, H, m) => {
    m.buffer = m.buffer ? m.buffer.map((b, i) => S.momentum * b + g[i]) : g.slice();
    return { d: m.buffer.map((b, i) => lr * (g[i] + S.momentum * b)), P: scaled(IDENTITY, lr / (1 - S.momentum)) };
  },

  newton: (S, lr, g, H) => {
    const P = scaled(inverse(H), lr);
    return { d: matvec(P, g), P };
  },

  saddle_free: (S, lr, g, H) => {
    const P = matrixFunction(H, (x) => lr / (Math.abs(x) + S.damping));
    return { d: matvec(P, g), P };
  },

  jacobi: (S, lr, g, H, m, t) => {
    if (S.curvature === "exact") return { ...preconditioned(jacobiDiagonal(H), S, lr, g), D: jacobiDiagonal(H) };
    const products = refresh(S, t, m, H, (v, Hv) => {
      m.sum[0] += v[0] * Hv[0];
      m.sum[1] += v[1] * Hv[1];
    });
    const D = m.sum.map((s) => Math.abs(s / m.k)); // the absolute value last: |mean(v ⊙ Hv)|
    return { ...preconditioned(D, S, lr, g), D, k: m.k, products };
  },

  equilibration: (S, lr, g, H) => ({ ...preconditioned(rowNorms(H), S, lr, g), D: rowNorms(H) }),

  adagrad: (S, lr, g, H, m) => {
    m.v = m.v.map((v, i) => v + g[i] * g[i]);
    const D = m.v.map(Math.sqrt);
    return { ...preconditioned(D, S, lr, g), D };
  },

  rmsprop: (S, lr, g, H, m) => {
    m.v = m.v.map((v, i) => S.decay * v + (1 - S.decay) * g[i] * g[i]);
    const D = m.v.map(Math.sqrt);
    return { ...preconditioned(D, S, lr, g), D };
  },

  adam: (S, lr, g, H, m, t) => {
    m.mean = m.mean.map((mean, i) => mean + (1 - S.beta1) * (g[i] - mean));
    m.v = m.v.map((v, i) => S.beta2 * v + (1 - S.beta2) * g[i] * g[i]);
    const [seen, seen2] = [1 - S.beta1 ** (t + 1), 1 - S.beta2 ** (t + 1)]; // the weights given so far
    const D = m.v.map((v) => Math.sqrt(v / seen2));
    return { ...preconditioned(D, S, lr, m.mean.map((mean) => mean / seen)), D };
  },

  esgd: (S, lr, g, H, m, t) => {
    const products = refresh(S, t, m, H, (v, Hv) => {
      m.sum[0] += Hv[0] * Hv[0];
      m.sum[1] += Hv[1] * Hv[1];
    });
    const D = m.sum.map((s) => Math.sqrt(s / m.k));
    return { ...preconditioned(D, S, lr, g), D, k: m.k, sum: m.sum.slice(), products };
  },
};

/**
 * The run of one method from the start of state S.
 *
 * Returns `points` (steps + 1 of [x, y], fewer where the run diverged), `losses` beside them, `records` (what
 * each step used: g, d, P, and D, k, products where there are some) and `diverged` (a step, or null).
 */
export function trajectory(method, S, steps = S.steps, lr = S[`lr_${method}`]) {
  const land = landscapeOf(S);
  const memory = { k: 0, sum: [0, 0], v: [0, 0], mean: [0, 0], buffer: null };
  let x = [S.x0, S.y0];
  const points = [x];
  const losses = [land.f(x)];
  const records = [];
  for (let t = 0; t < steps; t += 1) {
    const H = land.hess(x);
    const clean = land.grad(x);
    let g = clean;
    if (S.noise > 0) {
      const e = matvec(noiseFactor(S.noise_shape, H), drawNoise(S.seed, t));
      g = [clean[0] + S.noise * e[0], clean[1] + S.noise * e[1]];
    }
    const record = { g, ...RULES[method](S, lr, g, H, memory, t) };
    x = [x[0] - record.d[0], x[1] - record.d[1]];
    if (!(Math.hypot(x[0], x[1]) < DIVERGED)) {
      return { method, points, losses, records, diverged: t + 1 };
    }
    records.push(record);
    points.push(x);
    losses.push(land.f(x));
  }
  return { method, points, losses, records, diverged: null };
}
