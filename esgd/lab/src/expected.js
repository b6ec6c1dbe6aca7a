// The expected loss of descent and both momenta on a quadratic under gradient noise, exactly: a step is linear in
// (θ, m), so their mean and covariance follow closed recursions, and each has its part in the loss.

import { modesOf } from "./modes.js";
import { formatNumber, heavyBall, modeRadius, nesterov, noiseCovariance } from "./theory.js";

export const EXPECTED = ["sgd", "momentum", "nesterov"];
const MOST = 1e15; // beyond it a run has long been cut off
const FOUR = [0, 1, 2, 3];

const momentumOf = (method, S) => (method === "sgd" ? 0 : S.momentum);
const formOf = (method) => (method === "nesterov" ? nesterov : heavyBall);
const table = (entry) => FOUR.map((i) => FOUR.map((j) => entry(i, j)));
const composed = (A, B) => table((i, j) => FOUR.reduce((sum, k) => sum + A[i][k] * B[k][j], 0));

/** What a step makes of the gradient and of m: [into θ, into m] for each; θ ← θ − lr·m, or θ − lr·(g + βm). */
function weightsOf(method, S) {
  const [lr, beta] = [S[`lr_${method}`], momentumOf(method, S)];
  return method === "nesterov"
    ? { ofGradient: [-lr * (1 + beta), 1], ofBuffer: [-lr * beta * beta, beta] }
    : { ofGradient: [-lr, 1], ofBuffer: [-lr * beta, beta] };
}

/** The step m ← βm + Hθ + ε, θ ← θ − lr·m as a matrix of (θ, m), and the covariance that ε gives both. */
function linearStep(method, S, H) {
  const { ofGradient, ofBuffer } = weightsOf(method, S);
  const noise = noiseCovariance(S, H);
  const entry = (M, i, j) => (i % 2 !== j % 2 ? M.b : i % 2 ? M.c : M.a);
  const one = (i, j) => Number(i % 2 === j % 2);
  const weight = (i) => ofGradient[i < 2 ? 0 : 1]; // of ε, in row i
  const kept = (i, j) => (i < 2 && j < 2 ? one(i, j) : 0);
  const A = table((i, j) => kept(i, j) + (j < 2 ? weight(i) * entry(H, i, j) : ofBuffer[i < 2 ? 0 : 1] * one(i, j)));
  return { A, C: table((i, j) => weight(i) * weight(j) * entry(noise, i, j)) };
}

/**
 * E f(θ_t) above the critical point for t = 0, 1, …, in two parts: `start`, the loss of the mean, which is the run
 * without noise, and `noise`, ½ tr(H cov θ_t). Both end early where they grow beyond all bounds.
 */
export function expectedLoss(method, S, land, steps = S.steps) {
  const H = land.quadratic;
  const { A, C } = linearStep(method, S, H);
  const across = table((i, j) => A[j][i]);
  let mean = [S.x0, S.y0, 0, 0];
  let cov = table(() => 0);
  const [start, noise] = [[], []];
  for (let t = 0; t <= steps; t += 1) {
    const parts = [land.f(mean), 0.5 * (H.a * cov[0][0] + 2 * H.b * cov[0][1] + H.c * cov[1][1])];
    if (!parts.every((part) => Math.abs(part) < MOST)) break;
    start.push(parts[0]);
    noise.push(parts[1]);
    mean = A.map((row) => row.reduce((sum, a, k) => sum + a * mean[k], 0));
    cov = composed(composed(A, cov), across).map((row, i) => row.map((v, j) => v + C[i][j]));
  }
  return { start, noise };
}

/** From which step on the part from the noise is the larger one, or null. */
export function takeover({ start, noise }) {
  let step = start.length;
  while (step > 0 && Math.abs(noise[step - 1]) >= Math.abs(start[step - 1])) step -= 1;
  return step < start.length ? step : null;
}

/** The variance of x at rest along one mode of curvature h with unit noise, from (x, m) = A (x, m) + ε·q. */
function restingVariance(method, S, h) {
  const { ofGradient: q, ofBuffer } = weightsOf(method, S);
  const [[a, b], [c, d]] = [[1 + q[0] * h, ofBuffer[0]], [q[1] * h, ofBuffer[1]]];
  // var x, cov, var m solve P = A P Aᵀ + q qᵀ: eliminate var m, then cov
  const rows = [
    [1 - a * a, -2 * a * b, -b * b, q[0] * q[0]],
    [-a * c, 1 - a * d - b * c, -b * d, q[0] * q[1]],
    [-c * c, -2 * c * d, 1 - d * d, q[1] * q[1]],
  ];
  const without = (k, row, by) => row.map((v, j) => v - (row[k] / by[k]) * by[j]);
  const [first, second] = [rows[0], rows[1]].map((row) => without(2, row, rows[2]));
  const left = without(1, first, second);
  return left[3] / left[0];
}

/** What the part from the noise settles at, ½ Σ h·var over the modes; for curvatures at which each mode shrinks. */
export function noiseFloor(method, S, land) {
  const noise = noiseCovariance(S, land.quadratic);
  return modesOf(land.quadratic).filter(({ h }) => h !== 0).reduce((sum, { h, axis: [c, s] }) => {
    const along = noise.a * c * c + 2 * noise.b * c * s + noise.c * s * s;
    return sum + 0.5 * h * along * restingVariance(method, S, h);
  }, 0);
}

/**
 * What becomes of the expected loss: {kind, step, words, floor}. The step is sought over twice the steps shown, as
 * a part from the start that swings may come back.
 */
export function noiseVerdict(method, S, land) {
  const said = (kind, words, step = null, floor = null) => ({ kind, words, step, floor });
  if (!(S.noise > 0)) return said("quiet", "no noise: the loss is from the start alone");
  const modes = modesOf(land.quadratic);
  const growing = ({ h }) => h > 0 && modeRadius(S[`lr_${method}`], h, momentumOf(method, S), formOf(method)) >= 1 - 1e-12;
  const found = takeover(expectedLoss(method, S, land, 2 * S.steps));
  const step = found !== null && found <= S.steps ? found : null;
  if (modes.some(growing)) return said("diverges", "diverges: the part from the noise grows", step);
  if (modes.some(({ h }) => h < 0)) {
    const leads = step === null ? "the start still leads" : `the noise takes over at step ${step}`;
    return said("falls", `no floor: ${leads}`, step);
  }
  const floor = noiseFloor(method, S, land);
  const when = step === null ? `after step ${S.steps}` : `at step ${step}`;
  return said("settles", `fine-tuning begins ${when}; it tends to ${formatNumber(floor, 2)}`, step, floor);
}
