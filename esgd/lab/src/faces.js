// RMSProp's three faces: what its second moment is compared with in each, and where the comparison holds.

import { eigen, rowNorms } from "./linalg.js";
import { noiseCovariance, stationary, whyNotStationary } from "./theory.js";

const unit = (v) => v.map((x) => x / Math.hypot(v[0], v[1]));

/** Root mean square of the gradients of a run from a record on. */
function rootMeanSquare(run, from) {
  const records = run.records.slice(from);
  return [0, 1].map((i) => Math.sqrt(records.reduce((sum, r) => sum + r.g[i] ** 2, 0) / records.length));
}

/** Whether a run of RMSProp has settled, to 2 %, into jumping between two points: there g flips and √v is |g|. */
function cycles(run) {
  const [before, last] = run.records.slice(-2);
  const near = (a, b) => Math.abs(a - b) < 0.02 * Math.abs(b);
  return Boolean(last) && last.g.every((g, i) => near(-before.g[i], g) && near(last.D[i], Math.abs(g)));
}

/** Why Theorem O says nothing of this run of RMSProp, or null. */
function whyNoBounds(S, land, run) {
  if (!land.quadratic || !(eigen(land.quadratic).values[1] > 0)) return "not a bowl";
  if (S.noise > 0) return "there is noise";
  return run && cycles(run) ? null : "no jump between two points";
}

/**
 * The rows of the view, {name, v, hue, why}: two numbers, or the reason why there are none. `S.face` is the face that the
 * reader chose. All but the oscillation's are scaled to length 1, as only proportions are compared.
 */
export function faceRows({ S, land, runs }) {
  const H = land.hess([S.x0, S.y0]);
  const where = land.quadratic ? "" : " at the start";
  const norms = rowNorms(H);
  if (S.face === "oscillation") {
    const run = runs.rmsprop;
    const last = run?.records[run.records.length - 1];
    const why = whyNoBounds(S, land, run);
    const stable = (2 * S.decay) / (1 + S.decay); // of a cycle that a run can end in
    const bound = (v) => (why ? { why } : { v });
    const reading = ({ D }) => D.map((d) => (2 * d) / S.lr_rmsprop);
    return [
      { name: "more than 2αHᵢᵢ/(1+α)", hue: "jacobi", ...bound([stable * H.a, stable * H.c]) },
      { name: "2√v / ε of RMSProp", hue: "rmsprop", ...(last ? { v: reading(last) } : { why: "it does not run" }) },
      { name: "at most ‖hᵢ‖₁", hue: "newton", ...bound([H.a, H.c].map((h) => Math.abs(h) + Math.abs(H.b))) },
      { name: `equilibration${where}`, hue: "equilibration", v: norms },
    ];
  }
  const rows = [];
  const noise = S.face === "noise";
  if (runs.sgd?.records.length) {
    const settled = noise ? Math.floor(runs.sgd.records.length / 5) : 0;
    rows.push({ name: "√mean g², GD’s path", hue: "sgd", v: unit(rootMeanSquare(runs.sgd, settled)) });
  }
  if (noise) {
    const C = noiseCovariance(S, H);
    const why = whyNotStationary(S, land);
    const roots = (squares) => unit(squares.map(Math.sqrt));
    const law = why ? { why } : { v: roots(stationary(H, C, S.lr_sgd).second) };
    rows.push({ name: "√E g² in theory", hue: "sgd", ...law });
    const drawn = S.noise > 0 ? { v: roots([C.a, C.c]) } : { why: "no noise" };
    rows.push({ name: `the noise √diag C${where}`, hue: "newton", ...drawn });
  }
  rows.push({ name: `equilibration${where}`, hue: "equilibration", v: unit(norms) });
  return rows;
}
