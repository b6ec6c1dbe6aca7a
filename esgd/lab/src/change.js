// The linked contours: the coordinates φ = √M⁻¹ θ in which descent preconditioned by M is plain descent.

import { diagonal, eigen, fromEigen, jacobiDiagonal, matvec, rowNorms, scaled, squareRoot } from "./linalg.js";
import { DIVERGED } from "./methods.js";

/** Whether the hyperbolic boost of Theorem 1' is at work: it needs |H| and a saddle. */
export function isBoosted(S, H) {
  const { values } = eigen(H);
  return S.precond === "absolute" && S.boost !== 0 && values[0] * values[1] < 0;
}

/** The preconditioner M of the linked contours, damped as in the methods, with the boost where it applies. */
export function preconditioner(S, H) {
  const inverted = (d) => 1 / (Math.abs(d) + S.damping);
  if (S.precond === "jacobi") return diagonal(...jacobiDiagonal(H).map(inverted));
  if (S.precond === "equilibration") return diagonal(...rowNorms(H).map(inverted));
  const { values, angle } = eigen(H);
  const P = values.map(inverted);
  if (!isBoosted(S, H)) return fromEigen(P, angle);
  // M = √P B √P with B in O(1, 1): [[cosh t, sinh t], [sinh t, cosh t]] in H's eigenbasis
  const [ch, sh] = [Math.cosh(S.boost), Math.sinh(S.boost)];
  const M = { a: P[0] * ch, b: Math.sqrt(P[0] * P[1]) * sh, c: P[1] * ch };
  const [c, s] = [Math.cos(angle), Math.sin(angle)];
  return {
    a: M.a * c * c - 2 * M.b * c * s + M.c * s * s,
    b: (M.a - M.c) * c * s + M.b * (c * c - s * s),
    c: M.a * s * s + 2 * M.b * c * s + M.c * c * c,
  };
}

/** √M. */
export const contourRoot = (S, H) => squareRoot(preconditioner(S, H));

/** The method of the lab that is descent under M, where there is no boost. */
export const METHOD_OF = { jacobi: "jacobi", equilibration: "equilibration", absolute: "saddle_free" };

/** Descent under a fixed M at the rate of its method: in φ it is plain descent. */
export function descentUnder(M, S, land) {
  const P = scaled(M, S[`lr_${METHOD_OF[S.precond]}`]);
  const points = [[S.x0, S.y0]];
  for (let t = 0; t < S.steps; t += 1) {
    const x = points[t];
    const d = matvec(P, land.grad(x));
    const next = [x[0] - d[0], x[1] - d[1]];
    if (!(Math.hypot(next[0], next[1]) < DIVERGED)) break;
    points.push(next);
  }
  return points;
}

/**
 * What the second panel is: {formula, boosted, caveat, because}. The caveat is a hint that the run beside it is not plain
 * descent in φ, null where it is, and `because` is the whole reason.
 */
export function changeOfVariables(S, land) {
  const boosted = isBoosted(S, land.hess([S.x0, S.y0]));
  const D = S.precond === "absolute" ? "|H|" : "D";
  const formula = boosted ? "√M⁻¹ θ" : S.damping > 1e-6 ? `√(${D} + λ) θ` : `√${D} θ`;
  const of = (caveat, because) => ({ formula, boosted, caveat, because });
  if (boosted) return of("dashed: descent under M", "Dashed is descent under this M, which no method runs");
  if (!land.quadratic) return of("M of the start", "M has the curvature at the start, and the runs meet others");
  if (S.precond === "jacobi" && S.curvature === "probes") {
    return of("M is exact", "M has the exact diagonal, which the run estimates");
  }
  return of(null, null);
}
