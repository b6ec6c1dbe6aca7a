// Quadratics of many weights, on which the lab's methods run with the same settings: a polynomial fitted to data, and
// a chain of neighbours that must agree. Both start from zero weights, or from where the reader's hand has put them,
// and have no noise.

import { modesOf } from "./modes.js";
import { drawProbe } from "./rng.js";

export const POINTS = 12;
const DEGREE = 5;
export const LENGTH = 16;
export const place = (i) => -1 + (2 * i) / (POINTS - 1);
/** The data of the fit: a wave, with a fixed wobble in place of measurement error; or what the reader has moved. */
export const dataOf = (moved) =>
  Array.from({ length: POINTS }, (_, i) => moved[i] ?? Math.sin(2.6 * place(i)) + 0.35 * Math.cos(5 * i));
const square = (n, entry) => Array.from({ length: n }, (_, i) => Array.from({ length: n }, (_, j) => entry(i, j)));
const sum = (values) => values.reduce((a, b) => a + b, 0);
const dotted = (a, b) => a.reduce((total, v, i) => total + v * b[i], 0);
const times = (H, v) => H.map((row) => dotted(row, v));

export const polynomial = (weights, x) => weights.reduceRight((value, w) => value * x + w, 0);

/** Eigenvalues of a symmetric matrix, the largest first, and its unit eigenvectors, by Jacobi's rotations. */
export function eigenbasis(matrix) {
  const n = matrix.length;
  const A = matrix.map((row) => row.slice());
  const Q = square(n, (i, j) => Number(i === j));
  const rotate = (M, p, q, c, s) => M.forEach((row) => ([row[p], row[q]] = [c * row[p] - s * row[q], s * row[p] + c * row[q]]));
  for (let sweep = 0; sweep < 40; sweep += 1) {
    for (let p = 0; p < n - 1; p += 1) {
      for (let q = p + 1; q < n; q += 1) {
        if (Math.abs(A[p][q]) < 1e-300) continue;
        const theta = (A[q][q] - A[p][p]) / (2 * A[p][q]);
        const t = (theta < 0 ? -1 : 1) / (Math.abs(theta) + Math.hypot(theta, 1));
        const c = 1 / Math.hypot(t, 1);
        rotate(A, p, q, c, t * c); // columns, then rows
        for (let j = 0; j < n; j += 1) [A[p][j], A[q][j]] = [c * A[p][j] - t * c * A[q][j], t * c * A[p][j] + c * A[q][j]];
        rotate(Q, p, q, c, t * c);
      }
    }
  }
  const order = A.map((row, i) => i).sort((i, j) => A[j][j] - A[i][i]);
  return { values: order.map((i) => A[i][i]), vectors: order.map((i) => Q.map((row) => row[i])) };
}

const MAKERS = {
  polynomial: (moved) => {
    const data = dataOf(moved);
    const feature = (i, k) => place(i) ** k;
    const every = Array.from({ length: POINTS }, (_, i) => i);
    return {
      H: square(DEGREE + 1, (j, k) => sum(every.map((i) => feature(i, j) * feature(i, k))) / POINTS),
      b: Array.from({ length: DEGREE + 1 }, (_, k) => sum(every.map((i) => feature(i, k) * data[i])) / POINTS),
      data: every.map((i) => [place(i), data[i]]),
    };
  },
  // ½(w₁ − 1)² + Σ ½(wᵢ − wᵢ₊₁)²: the first has been told, every other one listens to its neighbours
  chain: () => ({
    goal: new Array(LENGTH).fill(1),
    H: square(LENGTH, (i, j) => (i === j ? (i === LENGTH - 1 ? 1 : 2) : Math.abs(i - j) === 1 ? -1 : 0)),
    b: Array.from({ length: LENGTH }, (_, i) => Number(i === 0)),
    data: [],
  }),
};

const bases = {}; // H, and with it the eigenbasis, is the same wherever the data are

/**
 * The problem ½ wᵀHw − bᵀw of a state scaled to a steepest curvature: {name, H, b, goal, values, vectors, data, start}.
 * Gradients are Hw − b and not H(w − goal): where they are nought they must be so to the last digit, as methods that
 * divide by past gradients would show what is left of rounding.
 */
export function manyProblem(S, steepest) {
  const name = S.many;
  const { H, b, data, goal: known } = MAKERS[name](S.data);
  const { values, vectors } = (bases[name] ??= eigenbasis(H));
  const scale = steepest / values[0];
  const goal = known ?? H.map((_, i) => sum(vectors.map((q, k) => (q[i] * dotted(q, b)) / values[k])));
  const start = goal.map((_, i) => S.weights[i] ?? 0);
  const scaledBy = (row) => row.map((v) => v * scale);
  return { name, data, goal, start, vectors, H: H.map(scaledBy), b: scaledBy(b), values: scaledBy(values) };
}

/** How much of each mode is in the weights w. */
export const amountsOf = ({ vectors }, w) => vectors.map((q) => dotted(q, w));

/** The weights with so much more of one mode. */
export const withMode = ({ vectors }, w, k, more) => w.map((v, i) => v + more * vectors[k][i]);

/** The curve that weights, or an eigenvector, draw: the polynomial over [−1, 1], or the values along the chain. */
export const curveOf = ({ name }, w, cells = 80) =>
  name === "chain"
    ? w.map((v, i) => [i + 1, v])
    : Array.from({ length: cells + 1 }, (_, i) => [-1 + (2 * i) / cells, polynomial(w, -1 + (2 * i) / cells)]);

const rowNorm = (row) => Math.sqrt(dotted(row, row));

/** What a refresh does to the mean that a probed method keeps, as in the runs of two weights. */
function probed(S, t, m, H, fold) {
  if (t % S.interval !== 0) return;
  const wanted = m.k === 0 ? S.warmup : 1;
  for (let j = 0; j < wanted; j += 1) {
    const v = drawProbe(S.probe, S.seed, m.k, H.length);
    const Hv = times(H, v);
    m.sum = m.sum.map((s, i) => s + fold(v[i], Hv[i]));
    m.k += 1;
  }
}

/** The direction of each method: g is the gradient, e the error w − w*, m its memory. */
const DIRECTIONS = {
  sgd: (S, p, g) => g,
  momentum: (S, p, g, e, m) => (m.buffer = m.buffer ? m.buffer.map((b, i) => S.momentum * b + g[i]) : g),
  nesterov: (S, p, g, e, m) => {
    m.buffer = m.buffer ? m.buffer.map((b, i) => S.momentum * b + g[i]) : g;
    return g.map((v, i) => v + S.momentum * m.buffer[i]);
  },
  newton: (S, p, g, e) => e, // H⁻¹g
  saddle_free: (S, p, g) => {
    const z = p.vectors.map((q, k) => dotted(q, g) / (Math.abs(p.values[k]) + S.damping));
    return g.map((_, i) => sum(p.vectors.map((q, k) => q[i] * z[k])));
  },
  jacobi: (S, p, g, e, m, t) => {
    if (S.curvature === "exact") return g.map((v, i) => v / (Math.abs(p.H[i][i]) + S.damping));
    probed(S, t, m, p.H, (v, Hv) => v * Hv);
    return g.map((v, i) => v / (Math.abs(m.sum[i] / m.k) + S.damping));
  },
  equilibration: (S, p, g) => g.map((v, i) => v / (rowNorm(p.H[i]) + S.damping)),
  adagrad: (S, p, g, e, m) => {
    m.v = m.v.map((v, i) => v + g[i] * g[i]);
    return g.map((v, i) => v / (Math.sqrt(m.v[i]) + S.damping));
  },
  rmsprop: (S, p, g, e, m) => {
    m.v = m.v.map((v, i) => S.decay * v + (1 - S.decay) * g[i] * g[i]);
    return g.map((v, i) => v / (Math.sqrt(m.v[i]) + S.damping));
  },
  adam: (S, p, g, e, m, t) => {
    m.mean = m.mean.map((mean, i) => mean + (1 - S.beta1) * (g[i] - mean));
    m.v = m.v.map((v, i) => S.beta2 * v + (1 - S.beta2) * g[i] * g[i]);
    const [seen, seen2] = [1 - S.beta1 ** (t + 1), 1 - S.beta2 ** (t + 1)];
    return m.mean.map((mean, i) => mean / seen / (Math.sqrt(m.v[i] / seen2) + S.damping));
  },
  esgd: (S, p, g, e, m, t) => {
    probed(S, t, m, p.H, (v, Hv) => Hv * Hv);
    return g.map((v, i) => v / (Math.sqrt(m.sum[i] / m.k) + S.damping));
  },
};

/** The weights after every step of a method on a problem; cut off where they leave 10⁶. */
export function manyRun(method, S, problem) {
  const zero = () => problem.goal.map(() => 0);
  const memory = { k: 0, sum: zero(), v: zero(), mean: zero(), buffer: null };
  const lr = S[`lr_${method}`];
  const points = [problem.start];
  for (let t = 0; t < S.steps; t += 1) {
    const w = points[t];
    const e = w.map((v, i) => v - problem.goal[i]);
    const g = times(problem.H, w).map((v, i) => v - problem.b[i]);
    const d = DIRECTIONS[method](S, problem, g, e, memory, t);
    const next = w.map((v, i) => v - lr * d[i]);
    if (!(Math.sqrt(dotted(next, next)) < 1e6)) break;
    points.push(next);
  }
  return points;
}

/** For each mode, how much of its error at the start is left in the weights w; null where it had none. */
export function leftOver({ vectors, goal, start }, w) {
  const error = (q, at) => dotted(q, at) - dotted(q, goal);
  const size = Math.sqrt(dotted(goal, goal) + dotted(start, start));
  return vectors.map((q) => (Math.abs(error(q, start)) > 1e-9 * size ? Math.abs(error(q, w) / error(q, start)) : null));
}

const computed = new WeakMap();

/** The problem in a lab's state and the run of each of its methods, computed once for all views that show them. */
export function manyOf(lab) {
  const { S, land } = lab;
  const steepest = modesOf(land.quadratic)[0].h;
  const key = JSON.stringify({ ...S, at: 0, turn: 0, tilt: 0, zoom: 1, show: [], steepest });
  if (computed.get(lab)?.key !== key) {
    const problem = manyProblem(S, steepest);
    computed.set(lab, { key, problem, runs: Object.fromEntries(S.methods.map((m) => [m, manyRun(m, S, problem)])) });
  }
  return computed.get(lab);
}

/** Whether weights are so far off that no picture of them can be read. */
export const isOut = ({ goal, start }, w) => rowNorm(w.map((v, i) => v - goal[i])) > 10 * (rowNorm(goal) + rowNorm(start));

/** The weights of a run at a step, or at its last. */
export const weightsAt = (run, step) => run[Math.min(step, run.length - 1)];

export const noMany = ({ land }) =>
  land.quadratic && modesOf(land.quadratic)[0].h > 0 ? null : "These need a landscape that curves upward somewhere: choose the bowl or the quadratic.";
