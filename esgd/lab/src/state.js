// The state of a lab is one flat object: every key is a setting with a range, so that it can be a slider, a
// keyword of SaddleLab(...) in Python and a part of a shared address. esgd/lab/schema.py mirrors SETTINGS.

import { LANDSCAPES } from "./landscapes.js";
import { LENGTH, POINTS } from "./many.js";
import { METHODS } from "./methods.js";

const rate = (label) => ({ label, min: 1e-4, max: 10, scale: "log", digits: 3 });

export const SETTINGS = {
  landscape: { label: "Landscape", options: Object.keys(LANDSCAPES) },
  methods: { label: "Methods", list: Object.keys(METHODS) },
  x0: { label: "Start, first weight", min: -5, max: 5, digits: 3 },
  y0: { label: "Start, second weight", min: -5, max: 5, digits: 3 },
  kappa: { label: "Condition number κ", min: 1, max: 1000, scale: "log", digits: 3 },
  eig1: { label: "Eigenvalue λ₁", min: -4, max: 4, step: 0.05, digits: 2 },
  eig2: { label: "Eigenvalue λ₂", min: -4, max: 4, step: 0.05, digits: 2 },
  angle: { label: "Rotation φ", min: 0, max: 90, step: 1, digits: 1, unit: "°" },
  steps: { label: "Steps", min: 5, max: 400, step: 1, scale: "log", integer: true },
  seed: { label: "Seed", min: 0, max: 999, step: 1, integer: true },
  momentum: { label: "Momentum β", min: 0, max: 0.99, step: 0.01, digits: 2 },
  damping: { label: "Damping λ", min: 1e-8, max: 1, scale: "log", digits: 2 },
  decay: { label: "RMSProp decay α", min: 0.5, max: 0.999, step: 0.001, digits: 3 },
  beta1: { label: "Adam β₁", min: 0, max: 0.99, step: 0.01, digits: 2 },
  beta2: { label: "Adam β₂", min: 0.5, max: 0.999, step: 0.001, digits: 3 },
  noise: { label: "Gradient noise σ", min: 0, max: 1, step: 0.01, digits: 2 },
  noise_shape: { label: "Covariance of the noise ∝", options: ["I", "H", "H2", "tilted"] },
  interval: { label: "Steps between probes", min: 1, max: 50, step: 1, integer: true },
  warmup: { label: "Probes in the first refresh", min: 1, max: 20, step: 1, integer: true },
  probe: { label: "Probes", options: ["rademacher", "gaussian"] },
  curvature: { label: "Jacobi’s diagonal", options: ["exact", "probes"] },
  precond: { label: "Preconditioner", options: ["jacobi", "equilibration", "absolute"] },
  zoom: { label: "Zoom", min: 1, max: 10, scale: "log", digits: 2 },
  turn: { label: "Turn", min: 0, max: 360, step: 1, digits: 3, unit: "°" },
  tilt: { label: "Tilt", min: 10, max: 90, step: 1, digits: 3, unit: "°" },
  show: { label: "Further views", list: ["surface", "modes", "many", "eigen", "spread", "convergence", "velocity", "expected", "loss", "rates"] },
  many: { label: "Many weights", options: ["polynomial", "chain"] },
  data: { label: "Heights of the data", numbers: POINTS, min: -2, max: 2, digits: 3 },
  weights: { label: "Weights at the start", numbers: LENGTH, min: -20, max: 20, digits: 3 },
  face: { label: "Face of RMSProp", options: ["displacement", "noise", "oscillation"] },
  boost: { label: "Hyperbolic boost", min: -1.5, max: 1.5, step: 0.05, digits: 2 },
  lr_sgd: rate("Rate of gradient descent"),
  lr_momentum: rate("Rate of momentum"),
  lr_nesterov: rate("Rate of Nesterov momentum"),
  lr_newton: rate("Rate of Newton"),
  lr_saddle_free: rate("Rate of saddle-free Newton"),
  lr_jacobi: rate("Rate of Jacobi"),
  lr_equilibration: rate("Rate of equilibration"),
  lr_adagrad: rate("Rate of AdaGrad"),
  lr_rmsprop: rate("Rate of RMSProp"),
  lr_adam: rate("Rate of Adam"),
  lr_esgd: rate("Rate of ESGD"),
  at: { label: "Step shown", min: 0, max: 400, step: 1, integer: true },
};

export const OPTION_LABELS = {
  rademacher: "signs ±1", gaussian: "Gaussian", exact: "exact", probes: "from probes",
  jacobi: "Jacobi", equilibration: "equilibration", absolute: "|H|",
  I: "I", H: "|H|", H2: "H²", tilted: "diag(1, 4)", polynomial: "fit of a polynomial", chain: "chain of neighbours",
};

const DEFAULTS = {
  landscape: "quadratic", methods: ["sgd"], x0: 1.5, y0: 0.5, kappa: 20, eig1: 1, eig2: -0.5, angle: 0,
  steps: 60, seed: 1, momentum: 0.9, damping: 1e-4, decay: 0.9, beta1: 0.9, beta2: 0.999, noise: 0, noise_shape: "I", interval: 1,
  warmup: 1, probe: "rademacher", curvature: "exact", precond: "equilibration", boost: 0, zoom: 1,
  turn: 25, tilt: 38, show: [], many: "polynomial", data: [], weights: [], face: "displacement",
  lr_sgd: 0.1, lr_momentum: 0.1, lr_nesterov: 0.1, lr_newton: 1, lr_saddle_free: 1, lr_jacobi: 0.1, lr_equilibration: 0.1,
  lr_adagrad: 0.3, lr_rmsprop: 0.03, lr_adam: 0.1, lr_esgd: 0.1,
};

/** Whether a setting or a further view says anything in this state: the others are hidden. */
export function relevant(key, S) {
  const runs = (...names) => names.some((name) => S.methods.includes(name));
  const probed = runs("esgd") || (runs("jacobi") && S.curvature === "probes");
  if (key === "convergence") return S.landscape === "bowl" || (S.landscape === "quadratic" && S.eig1 > 0 && S.eig2 > 0);
  if (["modes", "many", "eigen", "spread", "velocity"].includes(key)) return S.landscape === "bowl" || S.landscape === "quadratic";
  if (key === "expected") return relevant("modes", S) && S.noise > 0 && runs("sgd", "momentum", "nesterov");
  if (key === "kappa") return S.landscape === "bowl";
  if (key === "eig1" || key === "eig2") return S.landscape === "quadratic";
  if (key === "angle") return S.landscape === "bowl" || S.landscape === "quadratic";
  if (key === "momentum") return runs("momentum", "nesterov");
  if (key === "decay") return runs("rmsprop");
  if (key === "beta1" || key === "beta2") return runs("adam");
  if (key === "curvature") return runs("jacobi");
  if (key === "interval" || key === "warmup" || key === "probe") return probed;
  if (key === "damping") return runs("saddle_free", "jacobi", "equilibration", "adagrad", "rmsprop", "adam", "esgd");
  if (key === "noise_shape") return S.noise > 0;
  if (key === "boost") return S.precond === "absolute" && S.eig1 * S.eig2 < 0;
  return true;
}

/** One value made legal, or undefined when it is beyond repair. */
export function legal(key, value) {
  if (!Object.hasOwn(SETTINGS, key)) return undefined;
  const setting = SETTINGS[key];
  if (setting.options) return setting.options.includes(value) ? value : undefined;
  const items = () => (Array.isArray(value) ? value : String(value).split(/[ ,+]+/).filter(Boolean));
  if (setting.list) {
    const known = setting.list.filter((name) => items().includes(name));
    return known.length || !items().length ? known : undefined; // of names that all are unknown: what it was
  }
  if (setting.numbers) {
    const numbers = items().slice(0, setting.numbers).map((v) => (v === null || typeof v === "boolean" ? NaN : Number(v)));
    return numbers.every(Number.isFinite) ? numbers.map((v) => Math.min(setting.max, Math.max(setting.min, v))) : undefined;
  }
  if (value === null || value === "" || typeof value === "boolean") return undefined;
  const number = Number(value);
  if (!Number.isFinite(number)) return undefined;
  const clamped = Math.min(setting.max, Math.max(setting.min, number));
  return setting.integer ? Math.round(clamped) : clamped;
}

/** The face that a state without one shows most likely: addresses from before faces were remembered tell none. */
const likelyFace = (S) => (S.noise > 0 ? "noise" : S.lr_rmsprop >= 0.15 ? "oscillation" : "displacement");

/** A whole state: the defaults, the scene's preset, then what was asked for, each made legal. */
export function makeState(preset = {}, wanted = {}) {
  const state = { ...DEFAULTS };
  for (const source of [preset, wanted]) {
    for (const [key, raw] of Object.entries(source)) {
      const value = legal(key, raw);
      if (value !== undefined) state[key] = value;
    }
  }
  if (state.at === undefined) state.at = state.steps;
  if (preset.face && legal("face", wanted.face) === undefined) state.face = likelyFace(state);
  state.at = Math.min(state.at, state.steps);
  return state;
}

const plain = (value) => (Array.isArray(value) ? value.join("+") : String(value));

/** A number as a hand sets it: short enough that an address holds it as it is. */
export const tidy = (value) => Number(value.toPrecision(6));

/** The settings in which a state differs from its scene's preset; `at` and `face` where the others would not give them. */
export function difference(preset, state) {
  const { at, face, ...rest } = state;
  const follows = makeState(preset, rest);
  const base = { ...makeState(preset), at: follows.at, face: follows.face };
  return Object.fromEntries(Object.entries(state).filter(([key, value]) => plain(value) !== plain(base[key])));
}

/**
 * What follows # in a shared address, for example `lab=descent&kappa=50&lr_sgd=1.2`; the second lab of a scene on
 * its page is `lab=descent.2`.
 */
export function encodeState(scene, preset, state, nth = 1) {
  const parts = [`lab=${scene}${nth > 1 ? `.${nth}` : ""}`];
  for (const [key, value] of Object.entries(difference(preset, state))) {
    parts.push(`${key}=${encodeURIComponent(plain(value))}`);
  }
  return parts.join("&");
}

/** The scene, which of its labs, and the settings of an address's hash; null when it is not ours. */
export function decodeState(hash) {
  const pairs = String(hash).replace(/^#/, "").split("&").map((part) => part.split("="));
  if (pairs[0][0] !== "lab" || pairs[0].length !== 2) return null;
  const wanted = {};
  for (const [key, value] of pairs.slice(1)) {
    try {
      if (Object.hasOwn(SETTINGS, key) && value !== undefined) wanted[key] = decodeURIComponent(value);
    } catch {
      // a damaged escape: that setting keeps its preset
    }
  }
  const [scene, nth] = pairs[0][1].split(".");
  return { scene, nth: Number(nth) || 1, state: wanted };
}

/** The same figure as a line of Python. */
export function pythonLine(scene, preset, state) {
  const keywords = Object.entries(difference(preset, state)).map(([key, value]) => {
    return `${key}=${JSON.stringify(value)}`;
  });
  return `SaddleLab(${[JSON.stringify(scene), ...keywords].join(", ")})`;
}
