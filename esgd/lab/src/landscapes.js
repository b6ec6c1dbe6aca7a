// The landscapes: value, gradient and Hessian of functions of two weights, written out by hand. The Python
// twins (tests/lab/landscapes.py) are differentiated by autograd, and the tests compare the two.

import { fromEigen, matvec } from "./linalg.js";

const RADIAN = Math.PI / 180;

function quadraticForm(hessian) {
  return {
    f: (x) => 0.5 * (hessian.a * x[0] * x[0] + 2 * hessian.b * x[0] * x[1] + hessian.c * x[1] * x[1]),
    grad: (x) => matvec(hessian, x),
    hess: () => hessian,
    quadratic: hessian,
    critical: [0, 0],
  };
}

function minimumBelow(form, eigenvalues) {
  const convex = Math.min(...eigenvalues) > 0;
  return {
    ...form,
    convex,
    floor: convex ? 0 : null,
    minima: convex ? [[0, 0]] : [],
    saddle: Math.min(...eigenvalues) < 0 ? [0, 0] : null,
    point: Math.max(...eigenvalues) > 0 ? "saddle" : Math.max(...eigenvalues) < 0 ? "maximum" : "ridge",
  };
}

/** Σ rᵢ(θ)² of terms that give [r, ∂₁r, ∂₂r, ∂₁₁r, ∂₁₂r, ∂₂₂r] at a point. */
const squares = (...terms) => {
  const at = (x, part) => terms.reduce((sum, term) => sum + part(term(x)), 0);
  return {
    f: (x) => at(x, ([r]) => r * r),
    grad: (x) => [at(x, ([r, p]) => 2 * r * p), at(x, ([r, , q]) => 2 * r * q)],
    hess: (x) => ({
      a: at(x, ([r, p, , pp]) => 2 * (p * p + r * pp)),
      b: at(x, ([r, p, q, , pq]) => 2 * (p * q + r * pq)),
      c: at(x, ([r, , q, , , qq]) => 2 * (q * q + r * qq)),
    }),
  };
};

export const LANDSCAPES = {
  bowl: {
    label: "Bowl",
    formula: "½ θᵀHθ, eigenvalues 1 and 1/κ",
    window: [0, 0, 2.4],
    power: 2,
    make: (S) => minimumBelow(quadraticForm(fromEigen([1, 1 / S.kappa], S.angle * RADIAN)), [1, 1 / S.kappa]),
  },
  quadratic: {
    label: "Quadratic",
    formula: "½ θᵀHθ, any two eigenvalues",
    window: [0, 0, 2.4],
    power: 2,
    make: (S) =>
      minimumBelow(quadraticForm(fromEigen([S.eig1, S.eig2], S.angle * RADIAN)), [S.eig1, S.eig2]),
  },
  monkey: {
    label: "Monkey saddle",
    formula: "θ₁³/3 − θ₁θ₂² + (θ₁² + θ₂²)²/8",
    window: [0, 0, 3],
    power: 2,
    make: () => ({
      f: ([x, y]) => (x * x * x) / 3 - x * y * y + (x * x + y * y) ** 2 / 8,
      grad: ([x, y]) => {
        const r = (x * x + y * y) / 2;
        return [x * x - y * y + r * x, -2 * x * y + r * y];
      },
      hess: ([x, y]) => {
        const r = (x * x + y * y) / 2;
        return { a: 2 * x + r + x * x, b: -2 * y + x * y, c: -2 * x + r + y * y };
      },
      floor: -2 / 3,
      minima: [[-2, 0], [1, Math.sqrt(3)], [1, -Math.sqrt(3)]],
      critical: [0, 0],
      saddle: [0, 0],
      lift: 2 / 3,
    }),
  },
  net: {
    label: "Two-weight linear net",
    formula: "½ (1 − θ₁θ₂)²",
    window: [0, 0, 2.4],
    power: 3,
    make: () => ({
      f: ([x, y]) => 0.5 * (1 - x * y) ** 2,
      grad: ([x, y]) => [-(1 - x * y) * y, -(1 - x * y) * x],
      hess: ([x, y]) => ({ a: y * y, b: 2 * x * y - 1, c: x * x }),
      floor: 0,
      critical: [0, 0],
      saddle: [0, 0],
      lift: 0.5,
    }),
  },
  rosenbrock: {
    label: "Rosenbrock",
    formula: "(1 − θ₁)² + 100 (θ₂ − θ₁²)²",
    window: [0, 1, 2],
    power: 4,
    cells: 320, // its valley is narrower than a cell of the common grid
    make: () => ({
      f: ([x, y]) => (1 - x) ** 2 + 100 * (y - x * x) ** 2,
      grad: ([x, y]) => [-2 * (1 - x) - 400 * x * (y - x * x), 200 * (y - x * x)],
      hess: ([x, y]) => ({ a: 2 - 400 * (y - 3 * x * x), b: -400 * x, c: 200 }),
      floor: 0,
      minima: [[1, 1]],
      critical: [1, 1],
      saddle: null,
      lift: 1,
    }),
  },
  eggbox: {
    label: "Egg box",
    formula: "cos θ₁ + cos θ₂",
    window: [0, 0, 4.6],
    power: 1,
    make: () => ({
      f: ([x, y]) => Math.cos(x) + Math.cos(y),
      grad: ([x, y]) => [-Math.sin(x), -Math.sin(y)],
      hess: ([x, y]) => ({ a: -Math.cos(x), b: 0, c: -Math.cos(y) }),
      floor: -2,
      minima: [[Math.PI, Math.PI], [-Math.PI, Math.PI], [Math.PI, -Math.PI], [-Math.PI, -Math.PI]],
      critical: [0, Math.PI],
      saddle: [0, Math.PI],
      lipschitz: 1, // the Hessian is diag(−cos x, −cos y): its spectral norm changes at most as fast as θ
    }),
  },
  camel: {
    label: "Three-hump camel",
    formula: "2θ₁² − 1.05θ₁⁴ + θ₁⁶/6 + θ₁θ₂ + θ₂²",
    window: [0, 0, 2.6],
    power: 2,
    make: () => { // on the line θ₂ = −θ₁/2 it is critical where θ₁² = 0 or 2.1 ∓ √0.91
      const [near, far] = [-1, 1].map((sign) => Math.sqrt(2.1 + sign * Math.sqrt(0.91)));
      return {
        f: ([x, y]) => 2 * x * x - 1.05 * x ** 4 + x ** 6 / 6 + x * y + y * y,
        grad: ([x, y]) => [4 * x - 4.2 * x ** 3 + x ** 5 + y, x + 2 * y],
        hess: ([x]) => ({ a: 4 - 12.6 * x * x + 5 * x ** 4, b: 1, c: 2 }),
        floor: 0,
        minima: [[0, 0], [far, -far / 2], [-far, far / 2]],
        critical: [near, -near / 2],
        saddle: [near, -near / 2],
        lift: 1,
      };
    },
  },
  himmelblau: {
    label: "Himmelblau",
    formula: "(θ₁² + θ₂ − 11)² + (θ₁ + θ₂² − 7)²",
    window: [0, 0, 4.9],
    power: 3,
    make: () => ({
      ...squares(([x, y]) => [x * x + y - 11, 2 * x, 1, 2, 0, 0], ([x, y]) => [x + y * y - 7, 1, 2 * y, 0, 0, 2]),
      floor: 0,
      minima: [[3, 2], [-2.805118086952745, 3.131312518250573], [-3.779310253377747, -3.283185991286170], [3.584428340330492, -1.848126526964404]],
      critical: [0.08667750455539634, 2.884254701174776],
      saddle: [0.08667750455539634, 2.884254701174776],
      lift: 30,
    }),
  },
  beale: {
    label: "Beale",
    formula: "Σₖ (cₖ − θ₁ + θ₁θ₂ᵏ)², c = 1.5, 2.25, 2.625",
    window: [0.7, 0, 3.6],
    power: 6,
    make: () => ({
      ...squares(...[1.5, 2.25, 2.625].map((c, i) => ([x, y]) => {
        const k = i + 1;
        return [c - x + x * y ** k, y ** k - 1, k * x * y ** (k - 1), 0, k * y ** (k - 1), k > 1 ? k * (k - 1) * x * y ** (k - 2) : 0];
      })),
      floor: 0,
      minima: [[3, 0.5]],
      critical: [0, 1],
      saddle: [0, 1],
      lift: 5,
    }),
  },
};

/**
 * The landscape of a state, ready to evaluate: `window` is [centre x, centre y, half width]; contour lines are even
 * in |rise|^(1/power); where there is a `lift`, the surface shows lift · asinh(rise / lift) as its height.
 */
export function landscapeOf(S) {
  const entry = LANDSCAPES[S.landscape];
  const made = entry.make(S);
  return {
    id: S.landscape,
    label: entry.label,
    formula: entry.formula,
    window: entry.window,
    power: entry.power,
    cells: entry.cells,
    convex: false,
    minima: [],
    point: "saddle", // what the critical point is called
    reference: made.f(made.critical),
    ...made,
  };
}

/** How far below its saddle the loss must fall before we call a run escaped. */
export const ESCAPE_DROP = { bowl: null, quadratic: 0.5, monkey: 0.3, net: 0.25, rosenbrock: null, eggbox: 1, camel: 0.3, himmelblau: 30, beale: 8 };
