// Symmetric 2 × 2 matrices [[a, b], [b, c]], kept as plain objects {a, b, c}.

export const IDENTITY = { a: 1, b: 0, c: 1 };

export const diagonal = (a, c) => ({ a, b: 0, c });

export const matvec = (m, v) => [m.a * v[0] + m.b * v[1], m.b * v[0] + m.c * v[1]];

export const scaled = (m, s) => ({ a: m.a * s, b: m.b * s, c: m.c * s });

export const determinant = (m) => m.a * m.c - m.b * m.b;

export function inverse(m) {
  const d = determinant(m);
  return { a: m.c / d, b: -m.b / d, c: m.a / d };
}

/** Eigenvalues (large first), and the angle of the first eigenvector. */
export function eigen(m) {
  const mean = (m.a + m.c) / 2;
  const half = (m.a - m.c) / 2;
  const radius = Math.hypot(half, m.b);
  const angle = radius === 0 ? 0 : Math.atan2(m.b, half) / 2;
  return { values: [mean + radius, mean - radius], angle };
}

/** The two principal values, the one nearer to the first axis first, and its direction in degrees (−45 … 45). */
export function principal(m) {
  const { values, angle } = eigen(m);
  const round = values[0] - values[1] <= 1e-12 * Math.abs(values[0] + values[1]);
  const degrees = round ? 0 : (angle * 180) / Math.PI;
  if (Math.abs(degrees) <= 45 + 1e-9) return { values, degrees };
  return { values: [values[1], values[0]], degrees: degrees - Math.sign(degrees) * 90 };
}

/** Q diag(values) Qᵀ, with the first eigenvector at `angle`. */
export function fromEigen(values, angle) {
  const c = Math.cos(angle);
  const s = Math.sin(angle);
  return {
    a: values[0] * c * c + values[1] * s * s,
    b: (values[0] - values[1]) * c * s,
    c: values[0] * s * s + values[1] * c * c,
  };
}

/** A function of a symmetric matrix, through its eigenvalues. */
export function matrixFunction(m, fn) {
  const { values, angle } = eigen(m);
  return fromEigen([fn(values[0]), fn(values[1])], angle);
}

export const absolute = (m) => matrixFunction(m, Math.abs);

export const squareRoot = (m) => matrixFunction(m, (x) => Math.sqrt(Math.max(0, x)));

/** S M S for symmetric S and M: symmetric again. */
export function congruence(s, m) {
  const [p, q] = matvec(s, [m.a, m.b]); // S times the first column of M
  const [r, t] = matvec(s, [m.b, m.c]);
  return { a: p * s.a + r * s.b, b: p * s.b + r * s.c, c: q * s.b + t * s.c };
}

/** Row norms of H: the equilibration diagonal √diag(H²). */
export const rowNorms = (m) => [Math.hypot(m.a, m.b), Math.hypot(m.b, m.c)];

/** |diag H|: the Jacobi diagonal. */
export const jacobiDiagonal = (m) => [Math.abs(m.a), Math.abs(m.c)];

/** Condition number by singular values: largest over smallest |eigenvalue|. */
export function condition(m) {
  const [p, q] = eigen(m).values.map(Math.abs);
  return Math.max(p, q) / Math.min(p, q);
}
