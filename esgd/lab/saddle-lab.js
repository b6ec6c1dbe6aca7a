// The live lab of esgd: one module without dependencies. Made from esgd/lab/src by
// `python -m esgd.lab.bundle`: change the sources, not this file.

// dom.js
function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "text") element.textContent = value;
    else if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value !== null && value !== undefined && value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null));
  return element;
}

function panel({ title, shape = "wide", layers = 1 }) {
  const note = make("span");
  const canvases = Array.from({ length: layers }, (_, i) => make("canvas", { style: i ? "position:absolute;inset:0" : null }));
  const top = canvases[layers - 1];
  canvases.slice(0, -1).forEach((canvas) => canvas.setAttribute("aria-hidden", "true"));
  top.setAttribute("role", "img");
  const plot = make("div", { class: `plot ${shape}` }, ...canvases);
  const heading = make("b", { text: title });
  const apology = make("p", { class: "absent", hidden: true });
  const element = make("figure", {}, make("div", { class: "head" }, heading, note), plot, apology);
  return {
    element, plot, canvases, canvas: top,
    lacks: () => null,
    fit: () => {},
    excuse: (words) => {
      plot.hidden = words !== null;
      apology.hidden = words === null;
      if (words !== null && apology.textContent !== words) apology.textContent = words;
      if (words !== null) note.textContent = "";
    },
    note: (words) => {
      if (note.textContent !== words) note.textContent = words;
    },
    title: (words) => {
      if (heading.textContent !== words) heading.textContent = words;
    },
    describe: (words) => {
      if (top.getAttribute("aria-label") !== words) top.setAttribute("aria-label", words);
    },
    draw: () => {},
  };
}

const opener = (label, name, onclick) =>
  make("button", { type: "button", "aria-expanded": "false", text: label, "data-open": name, onclick });

function disclosure(label, body, opened = () => {}) {
  body.hidden = true;
  const button = opener(label, null, () => {
    body.hidden = !body.hidden;
    button.setAttribute("aria-expanded", String(!body.hidden));
    if (!body.hidden) opened();
  });
  return button;
}

const whenIdle = (call) =>
  globalThis.requestIdleCallback ? requestIdleCallback(call, { timeout: 400 }) : setTimeout(call, 40);

function drags(element, lab, move, start = move, end = () => {}) {
  let held = null;
  const mine = (event) => held?.pointer === event.pointerId;
  const letGo = (event) => {
    if (!mine(event)) return;
    held = null;
    end();
  };
  element.addEventListener("pointerdown", (event) => {
    if (event.button !== 0 || held) return;
    held = { pointer: event.pointerId, before: lab.S };
    element.setPointerCapture(event.pointerId);
    start(event);
  });
  element.addEventListener("pointermove", (event) => mine(event) && move(event));
  element.addEventListener("pointercancel", (event) => {
    if (!mine(event)) return;
    const { before } = held;
    held = null;
    end();
    if (lab.S !== before) lab.update({ ...before });
  });
  element.addEventListener("pointerup", letGo);
  element.addEventListener("lostpointercapture", letGo);
}

function scrub(canvas, lab, callback) {
  canvas.classList.add("scrub");
  drags(canvas, lab, (event) => {
    const box = canvas.getBoundingClientRect();
    callback(event.clientX - box.left, event.clientY - box.top);
  });
}

// linalg.js
const IDENTITY = { a: 1, b: 0, c: 1 };

const diagonal = (a, c) => ({ a, b: 0, c });

const matvec = (m, v) => [m.a * v[0] + m.b * v[1], m.b * v[0] + m.c * v[1]];

const scaled = (m, s) => ({ a: m.a * s, b: m.b * s, c: m.c * s });

const determinant = (m) => m.a * m.c - m.b * m.b;

function inverse(m) {
  const d = determinant(m);
  return { a: m.c / d, b: -m.b / d, c: m.a / d };
}

function eigen(m) {
  const mean = (m.a + m.c) / 2;
  const half = (m.a - m.c) / 2;
  const radius = Math.hypot(half, m.b);
  const angle = radius === 0 ? 0 : Math.atan2(m.b, half) / 2;
  return { values: [mean + radius, mean - radius], angle };
}

function principal(m) {
  const { values, angle } = eigen(m);
  const round = values[0] - values[1] <= 1e-12 * Math.abs(values[0] + values[1]);
  const degrees = round ? 0 : (angle * 180) / Math.PI;
  if (Math.abs(degrees) <= 45 + 1e-9) return { values, degrees };
  return { values: [values[1], values[0]], degrees: degrees - Math.sign(degrees) * 90 };
}

function fromEigen(values, angle) {
  const c = Math.cos(angle);
  const s = Math.sin(angle);
  return {
    a: values[0] * c * c + values[1] * s * s,
    b: (values[0] - values[1]) * c * s,
    c: values[0] * s * s + values[1] * c * c,
  };
}

function matrixFunction(m, fn) {
  const { values, angle } = eigen(m);
  return fromEigen([fn(values[0]), fn(values[1])], angle);
}

const absolute = (m) => matrixFunction(m, Math.abs);

const squareRoot = (m) => matrixFunction(m, (x) => Math.sqrt(Math.max(0, x)));

function congruence(s, m) {
  const [p, q] = matvec(s, [m.a, m.b]); // S times the first column of M
  const [r, t] = matvec(s, [m.b, m.c]);
  return { a: p * s.a + r * s.b, b: p * s.b + r * s.c, c: q * s.b + t * s.c };
}

const rowNorms = (m) => [Math.hypot(m.a, m.b), Math.hypot(m.b, m.c)];

const jacobiDiagonal = (m) => [Math.abs(m.a), Math.abs(m.c)];

function condition(m) {
  const [p, q] = eigen(m).values.map(Math.abs);
  return Math.max(p, q) / Math.min(p, q);
}

// landscapes.js
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

const LANDSCAPES = {
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

function landscapeOf(S) {
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

const ESCAPE_DROP = { bowl: null, quadratic: 0.5, monkey: 0.3, net: 0.25, rosenbrock: null, eggbox: 1, camel: 0.3, himmelblau: 30, beale: 8 };

// rng.js
const PURPOSE = { probe: 1, noise: 2, scatter: 3 };

function mix32(word) {
  let h = word >>> 0;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}

function mulberry32(state) {
  let s = state >>> 0;
  return () => {
    s = (s + 0x6d2b79f5) >>> 0;
    let t = Math.imul(s ^ (s >>> 15), s | 1);
    t = (t + Math.imul(t ^ (t >>> 7), t | 61)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

function stream(seed, purpose, index) {
  return mulberry32(mix32(mix32(mix32(seed) + purpose) + index));
}

function gaussianPair(next) {
  const radius = Math.sqrt(-2 * Math.log(1 - next()));
  const angle = 2 * Math.PI * next();
  return [radius * Math.cos(angle), radius * Math.sin(angle)];
}

function rademacherPair(next) {
  const first = next() < 0.5 ? -1 : 1;
  return [first, next() < 0.5 ? -1 : 1];
}

function drawProbe(kind, seed, index, size = 2) {
  const next = stream(seed, PURPOSE.probe, index);
  const pair = kind === "gaussian" ? gaussianPair : rademacherPair;
  return Array.from({ length: size / 2 }, () => pair(next)).flat();
}

function drawNoise(seed, index) {
  return gaussianPair(stream(seed, PURPOSE.noise, index));
}

// methods.js
const METHODS = {
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

const DIVERGED = 1e6;

function noiseFactor(shape, hessian) {
  if (shape === "H") return squareRoot(absolute(hessian));
  if (shape === "H2") return absolute(hessian);
  if (shape === "tilted") return diagonal(1, 2); // C = diag(1, 4)
  return IDENTITY;
}

function preconditioned(diag, S, lr, g) {
  const rates = diag.map((d) => lr / (d + S.damping));
  return { d: [rates[0] * g[0], rates[1] * g[1]], P: diagonal(rates[0], rates[1]) };
}

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

function trajectory(method, S, steps = S.steps, lr = S[`lr_${method}`]) {
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

// theory.js
function largestRoot(trace, det) {
  const disc = trace * trace - 4 * det;
  if (disc < 0) return Math.sqrt(det);
  return (Math.abs(trace) + Math.sqrt(disc)) / 2;
}

const heavyBall = (lr, h, beta) => [1 + beta - lr * h, beta];
const nesterov = (lr, h, beta) => [(1 + beta) * (1 - lr * h), beta * (1 - lr * h)];

const edgeOf = (beta, form = heavyBall) => (form === heavyBall ? 2 * (1 + beta) : (2 + 2 * beta) / (1 + 2 * beta));

const modeRadius = (lr, h, beta, form = heavyBall) => largestRoot(...form(lr, h, beta));

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

function bestRateFor(h1, h2, beta = 0, form = heavyBall) {
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

function* seekBestRate(method, S, run = null) {
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

function bestRate(method, S, run = null) {
  const search = seekBestRate(method, S, run);
  let step = search.next();
  while (!step.done) step = search.next();
  return step.value;
}

function bestMomentum(S, form = heavyBall) {
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

function escapeStep(run, S, land = landscapeOf(S)) {
  const drop = ESCAPE_DROP[S.landscape];
  if (!land.saddle || drop === null) return null;
  const step = run.losses.findIndex((f) => f < land.reference - drop);
  return step < 0 ? null : step;
}

function escapeTimes(method, S, count = 100) {
  const land = landscapeOf(S);
  return Array.from({ length: count }, (_, seed) => escapeStep(trajectory(method, { ...S, seed }), S, land));
}

function whyNoEscape(S, land) {
  if (!land.saddle || ESCAPE_DROP[S.landscape] === null) return "There is no saddle to leave: choose a landscape that has one.";
  if (land.f([S.x0, S.y0]) < land.reference - ESCAPE_DROP[S.landscape]) return `This start is already past the ${land.point}: move it up.`;
  return null;
}

function comparison(land, x, alpha) {
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

function firstSteps(S, land, runs) {
  const alpha = S.methods.includes("newton") || !S.methods.includes("saddle_free") ? S.lr_newton : S.lr_saddle_free;
  const theory = comparison(land, [S.x0, S.y0], alpha);
  const gap = theory.fN - theory.fA;
  const [fN, fA] = [runs.newton?.losses[1], runs.saddle_free?.losses[1]];
  if (fN === undefined || fA === undefined) return { alpha, theory, gap, real: false, alike: true };
  const off = Math.abs(fN - theory.fN) + Math.abs(fA - theory.fA);
  return { alpha, theory, fN, fA, gap: fN - fA, real: true, alike: off <= 0.005 * Math.abs(gap) + 1e-9 };
}

function phaseSample(S, count = 600) {
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

function stationary(H, C, lr) {
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

function whyNotStationary(S, land) {
  if (!land.quadratic) return "not a quadratic";
  const [h1, h2] = eigen(land.quadratic).values;
  if (!(h2 > 0)) return "not a bowl: it runs away";
  if (!(S.lr_sgd * h1 < 2)) return "rate ≥ 2/λ₁: it diverges";
  return S.noise > 0 ? null : "no noise: it is at rest";
}

function noiseCovariance(S, H) {
  const B = noiseFactor(S.noise_shape, H);
  return scaled(congruence(B, IDENTITY), S.noise ** 2);
}

function formatNumber(value, digits = 3) {
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

const inDegrees = (degrees) => (Number.isFinite(degrees) ? `${formatNumber(Math.round(degrees * 10) / 10 + 0, 4)}°` : "–");

// modes.js
function modesOf(H) {
  const { values, angle } = eigen(H);
  const [c, s] = [Math.cos(angle), Math.sin(angle)];
  return [{ h: values[0], axis: [c, s] }, { h: values[1], axis: [-s, c] }];
}

function modeName(h, other) {
  const least = 1e-9 * Math.max(Math.abs(h), Math.abs(other)); // less is rounding
  if (h < -least) return "downhill mode";
  if (h <= least) return "flat mode";
  if (other < -least) return "uphill mode";
  return Math.abs(h - other) <= least ? "mode" : h > other ? "steep mode" : "flat mode";
}

const amplitudes = (run, { axis }) => run.points.map((p) => axis[0] * p[0] + axis[1] * p[1]);

function modeFactor(method, S, h) {
  const lr = S[`lr_${method}`];
  if (method === "sgd") return Math.abs(1 - lr * h);
  if (method === "momentum") return modeRadius(lr, h, S.momentum);
  if (method === "nesterov") return modeRadius(lr, h, S.momentum, nesterov);
  if (method === "newton") return Math.abs(1 - lr);
  if (method === "saddle_free") return Math.abs(1 - (lr * h) / (Math.abs(h) + S.damping));
  return null;
}

function mixes(method, H) {
  const D = { jacobi: jacobiDiagonal(H), equilibration: rowNorms(H) }[method];
  const size = Math.abs(H.a) + Math.abs(H.c) + Math.abs(H.b);
  if (Math.abs(H.b) < 1e-9 * size) return false;
  return D ? Math.abs(D[0] - D[1]) > 1e-9 * size : !["sgd", "momentum", "nesterov", "newton", "saddle_free"].includes(method);
}

function shares(run, modes, t) {
  const parts = modes.map((mode) => 0.5 * Math.abs(mode.h) * amplitudes({ points: [run.points[t]] }, mode)[0] ** 2);
  const whole = parts[0] + parts[1];
  return whole > 0 ? parts.map((part) => part / whole) : [0, 0];
}

function phasePoints(run, mode) {
  const z = amplitudes(run, mode);
  return z.map((v, t) => [v, t ? v - z[t - 1] : 0]);
}

const DOUBLE = 4e-4; // a discriminant this small: roots within 0.02 of each other are as good as one double root

function regimeOf(lr, h, beta, form = heavyBall) {
  const [trace, det] = form(lr, h, beta);
  const disc = trace * trace - 4 * det;
  const radius = largestRoot(trace, det);
  const flips = trace < 0 && disc > -DOUBLE;
  const kind = () => {
    if (Math.abs(lr * h) < 1e-12) return "flat"; // the roots are 1 and β
    if (h < 0) return "leaving";
    if (Math.abs(radius - 1) < 1e-9) return "edge";
    if (radius > 1) return "diverging";
    if (Math.abs(disc) <= DOUBLE) return "critical";
    return disc > 0 ? "over" : "under";
  };
  return { kind: kind(), disc, radius, flips };
}

const REGIMES = {
  over: "over-damped", critical: "critically damped", under: "under-damped", diverging: "diverging",
  leaving: "always leaves", edge: "neither shrinks nor grows", flat: "no curvature pulls it",
};

function regimeWords({ kind, radius, flips }) {
  const still = kind === "edge" || kind === "flat";
  return `${REGIMES[kind]}${flips ? ", sign flips" : ""}${still ? "" : `, ×${formatNumber(radius, 3)} a step`}`;
}

// many.js
const POINTS = 12;
const DEGREE = 5;
const LENGTH = 16;
const place = (i) => -1 + (2 * i) / (POINTS - 1);
const dataOf = (moved) =>
  Array.from({ length: POINTS }, (_, i) => moved[i] ?? Math.sin(2.6 * place(i)) + 0.35 * Math.cos(5 * i));
const square = (n, entry) => Array.from({ length: n }, (_, i) => Array.from({ length: n }, (_, j) => entry(i, j)));
const sum = (values) => values.reduce((a, b) => a + b, 0);
const dotted = (a, b) => a.reduce((total, v, i) => total + v * b[i], 0);
const times = (H, v) => H.map((row) => dotted(row, v));

const polynomial = (weights, x) => weights.reduceRight((value, w) => value * x + w, 0);

function eigenbasis(matrix) {
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
  chain: () => ({
    goal: new Array(LENGTH).fill(1),
    H: square(LENGTH, (i, j) => (i === j ? (i === LENGTH - 1 ? 1 : 2) : Math.abs(i - j) === 1 ? -1 : 0)),
    b: Array.from({ length: LENGTH }, (_, i) => Number(i === 0)),
    data: [],
  }),
};

const bases = {}; // H, and with it the eigenbasis, is the same wherever the data are

function manyProblem(S, steepest) {
  const name = S.many;
  const { H, b, data, goal: known } = MAKERS[name](S.data);
  const { values, vectors } = (bases[name] ??= eigenbasis(H));
  const scale = steepest / values[0];
  const goal = known ?? H.map((_, i) => sum(vectors.map((q, k) => (q[i] * dotted(q, b)) / values[k])));
  const start = goal.map((_, i) => S.weights[i] ?? 0);
  const scaledBy = (row) => row.map((v) => v * scale);
  return { name, data, goal, start, vectors, H: H.map(scaledBy), b: scaledBy(b), values: scaledBy(values) };
}

const amountsOf = ({ vectors }, w) => vectors.map((q) => dotted(q, w));

const withMode = ({ vectors }, w, k, more) => w.map((v, i) => v + more * vectors[k][i]);

const curveOf = ({ name }, w, cells = 80) =>
  name === "chain"
    ? w.map((v, i) => [i + 1, v])
    : Array.from({ length: cells + 1 }, (_, i) => [-1 + (2 * i) / cells, polynomial(w, -1 + (2 * i) / cells)]);

const rowNorm = (row) => Math.sqrt(dotted(row, row));

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

function manyRun(method, S, problem) {
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

function leftOver({ vectors, goal, start }, w) {
  const error = (q, at) => dotted(q, at) - dotted(q, goal);
  const size = Math.sqrt(dotted(goal, goal) + dotted(start, start));
  return vectors.map((q) => (Math.abs(error(q, start)) > 1e-9 * size ? Math.abs(error(q, w) / error(q, start)) : null));
}

const computed = new WeakMap();

function manyOf(lab) {
  const { S, land } = lab;
  const steepest = modesOf(land.quadratic)[0].h;
  const key = JSON.stringify({ ...S, at: 0, turn: 0, tilt: 0, zoom: 1, show: [], steepest });
  if (computed.get(lab)?.key !== key) {
    const problem = manyProblem(S, steepest);
    computed.set(lab, { key, problem, runs: Object.fromEntries(S.methods.map((m) => [m, manyRun(m, S, problem)])) });
  }
  return computed.get(lab);
}

const isOut = ({ goal, start }, w) => rowNorm(w.map((v, i) => v - goal[i])) > 10 * (rowNorm(goal) + rowNorm(start));

const weightsAt = (run, step) => run[Math.min(step, run.length - 1)];

const noMany = ({ land }) =>
  land.quadratic && modesOf(land.quadratic)[0].h > 0 ? null : "These need a landscape that curves upward somewhere: choose the bowl or the quadratic.";

// state.js
const rate = (label) => ({ label, min: 1e-4, max: 10, scale: "log", digits: 3 });

const SETTINGS = {
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

const OPTION_LABELS = {
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

function relevant(key, S) {
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

function legal(key, value) {
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

const likelyFace = (S) => (S.noise > 0 ? "noise" : S.lr_rmsprop >= 0.15 ? "oscillation" : "displacement");

function makeState(preset = {}, wanted = {}) {
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

const tidy = (value) => Number(value.toPrecision(6));

function difference(preset, state) {
  const { at, face, ...rest } = state;
  const follows = makeState(preset, rest);
  const base = { ...makeState(preset), at: follows.at, face: follows.face };
  return Object.fromEntries(Object.entries(state).filter(([key, value]) => plain(value) !== plain(base[key])));
}

function encodeState(scene, preset, state, nth = 1) {
  const parts = [`lab=${scene}${nth > 1 ? `.${nth}` : ""}`];
  for (const [key, value] of Object.entries(difference(preset, state))) {
    parts.push(`${key}=${encodeURIComponent(plain(value))}`);
  }
  return parts.join("&");
}

function decodeState(hash) {
  const pairs = String(hash).replace(/^#/, "").split("&").map((part) => part.split("="));
  if (pairs[0][0] !== "lab" || pairs[0].length !== 2) return null;
  const wanted = {};
  for (const [key, value] of pairs.slice(1)) {
    try {
      if (Object.hasOwn(SETTINGS, key) && value !== undefined) wanted[key] = decodeURIComponent(value);
    } catch {
    }
  }
  const [scene, nth] = pairs[0][1].split(".");
  return { scene, nth: Number(nth) || 1, state: wanted };
}

function pythonLine(scene, preset, state) {
  const keywords = Object.entries(difference(preset, state)).map(([key, value]) => {
    return `${key}=${JSON.stringify(value)}`;
  });
  return `SaddleLab(${[JSON.stringify(scene), ...keywords].join(", ")})`;
}

// slider.js
const POSITIONS = 1000; // a logarithmic slider moves over 0 … POSITIONS

const toPosition = (setting, value) =>
  setting.scale === "log"
    ? (POSITIONS * Math.log(value / setting.min)) / Math.log(setting.max / setting.min)
    : value;

function fromPosition(setting, position) {
  if (setting.scale !== "log") return Number(position);
  const value = setting.min * (setting.max / setting.min) ** (position / POSITIONS);
  return setting.integer ? Math.round(value) : Number(value.toPrecision(3));
}

function nudged(setting, value, strides) {
  if (setting.integer) return Math.max(setting.min, Math.min(setting.max, value + strides));
  const sign = Math.sign(strides);
  for (let position = toPosition(setting, value) + strides; ; position += sign) {
    if (position <= 0) return setting.min;
    if (position >= POSITIONS) return setting.max;
    const next = fromPosition(setting, position);
    if ((next - value) * sign > 0) return next;
  }
}

const spokenValue = (setting, value) =>
  `${formatNumber(value, setting.digits ? Math.max(3, setting.digits) : 3)}${setting.unit ?? ""}`;

function slider(lab, key, { label, tint = null }) {
  const setting = SETTINGS[key];
  const log = setting.scale === "log";
  const input = make("input", {
    type: "range", min: log ? 0 : setting.min, max: log ? POSITIONS : setting.max,
    step: log ? 1 : (setting.step ?? "any"), "aria-label": label ?? setting.label, "data-key": key,
    oninput: () => lab.update({ [key]: fromPosition(setting, input.value) }),
  });
  if (log) { // a position of the slider can be less than the last digit of the value: the keys move the value
    const page = setting.integer ? 10 : POSITIONS / 10;
    const strides = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1, PageUp: page, PageDown: -page };
    input.addEventListener("keydown", (event) => {
      if (!strides[event.key]) return;
      event.preventDefault();
      lab.update({ [key]: nudged(setting, lab.S[key], strides[event.key] * (event.shiftKey ? 10 : 1)) });
    });
  }
  const mark = make("button", { type: "button", class: "best", "data-best": key, hidden: true });
  const track = make("div", { class: "track" }, input, mark);
  const output = make("output");
  let best = null;
  mark.addEventListener("click", () => best && lab.update({ [key]: tidy(best.value) }));
  const place = (value) => {
    const [lo, hi] = log ? [0, POSITIONS] : [Number(input.min), Number(input.max)];
    return Math.max(0, Math.min(1, (toPosition(setting, value) - lo) / (hi - lo)));
  };
  return {
    track, output, input,
    draw: () => {
      const value = lab.S[key];
      const share = place(value);
      input.value = toPosition(setting, value);
      input.style.setProperty("--fill", `calc(9px + ${share} * (100% - 18px))`);
      if (tint) track.style.setProperty("--tint", tint());
      const words = spokenValue(setting, value);
      if (output.textContent !== words) output.textContent = words;
      input.setAttribute("aria-valuetext", words);
    },
    mark: (found) => {
      best = found && found.value >= setting.min && found.value <= setting.max ? found : null;
      mark.hidden = !best;
      track.classList.toggle("marked", Boolean(best));
      if (!best) return;
      const words = `Best ${label ?? setting.label}: ${formatNumber(best.value, 4)} (${best.how})`;
      mark.style.left = `calc(9px + ${place(best.value)} * (100% - 18px))`;
      mark.title = words;
      mark.setAttribute("aria-label", words);
    },
  };
}

// dial.js
const SVG = "http://www.w3.org/2000/svg";
const REACH = 19; // of the contour line drawn on the knob

function contourPath(h1, h2) {
  const lengths = [h1, h2].map((h) => 1 / Math.sqrt(Math.max(Math.abs(h), 1e-6)));
  const longest = Math.max(...lengths);
  const [a, b] = lengths.map((length) => Math.max(0.12, length / longest) * REACH);
  const curve = (points) => `M${points.map(([u, v]) => `${u.toFixed(2)} ${v.toFixed(2)}`).join("L")}`;
  if (h1 * h2 > 0) {
    const turns = Array.from({ length: 48 }, (_, i) => (i * Math.PI) / 24);
    return `${curve(turns.map((t) => [a * Math.cos(t), b * Math.sin(t)]))}Z`;
  }
  const far = REACH + 2;
  const arms = [];
  for (const s of [-1, 1]) {
    const ts = Array.from({ length: 25 }, (_, i) => (i - 12) / 5);
    arms.push(ts.map((t) => [(s * a * Math.cosh(t)) / 2.4, (b * Math.sinh(t)) / 2.4]));
    arms.push(ts.map((t) => [(a * Math.sinh(t)) / 2.4, (s * b * Math.cosh(t)) / 2.4]));
  }
  const seen = arms.map((arm) => arm.filter(([u, v]) => Math.hypot(u, v) <= far));
  return seen.filter((arm) => arm.length > 1).map(curve).join("");
}

const curvatures = (S) => (S.landscape === "bowl" ? [1, 1 / S.kappa] : [S.eig1, S.eig2]);

function dial(lab) {
  const inner = slider(lab, "angle", {});
  const draw = document.createElementNS(SVG, "svg");
  draw.setAttribute("viewBox", "-32 -32 64 64");
  draw.setAttribute("aria-hidden", "true");
  draw.innerHTML =
    '<circle r="27" fill="none" stroke="var(--rail)" stroke-width="3"/>' +
    '<path d="M27 0A27 27 0 0 0 0 -27" fill="none" stroke="var(--muted)" stroke-width="3"/>' +
    '<g><path class="contour" fill="none" stroke="var(--ink)" stroke-width="1.5"/>' +
    '<path d="M0 0H27" stroke="var(--ink)" stroke-width="1.5"/>' +
    '<circle cx="27" r="6" fill="var(--ink)" stroke="var(--ground)" stroke-width="2"/></g>';
  const knob = draw.querySelector("g");
  const contour = draw.querySelector(".contour");
  const turn = (event) => {
    const box = draw.getBoundingClientRect();
    const [x, y] = [event.clientX - box.left - box.width / 2, box.top + box.height / 2 - event.clientY];
    const angle = (Math.atan2(y, x) * 180) / Math.PI;
    lab.update({ angle: Math.round(Math.max(0, Math.min(90, angle))) });
  };
  drags(draw, lab, turn);
  const words = make("label", {}, make("span", { text: SETTINGS.angle.label }), inner.output);
  return {
    element: make("div", { class: "control" },
      make("div", { class: "dial" }, draw, make("div", { style: "flex:1" }, words, inner.track))),
    draw: () => {
      inner.draw();
      knob.setAttribute("transform", `rotate(${-lab.S.angle})`);
      contour.setAttribute("d", contourPath(...curvatures(lab.S)));
    },
    mark: () => {},
  };
}

// controls.js
function segments(lab, key, along = {}) {
  const setting = SETTINGS[key];
  const buttons = setting.options.map((option) =>
    make("button", { type: "button", text: OPTION_LABELS[option] ?? option, "data-option": option, onclick: () => lab.S[key] !== option && lab.update({ [key]: option, ...along }) }));
  const group = make("div", { class: "segments", role: "group", "aria-label": setting.label, "data-key": key }, ...buttons);
  return {
    element: make("div", { class: "control" }, make("div", { class: "label" }, make("span", { text: setting.label })), group),
    draw: () => buttons.forEach((b) => b.setAttribute("aria-pressed", String(b.dataset.option === lab.S[key]))),
    mark: () => {},
  };
}

function methodKey(lab) {
  const element = make("p", { class: "key" });
  return {
    element,
    draw: (out = []) => element.replaceChildren(...lab.S.methods.map((m) =>
      make("span", {}, make("i", { style: `--tint: ${lab.theme.hue[m]}` }), METHODS[m].short + (out.includes(m) ? " is out" : "")))),
  };
}

function problemChoice(lab) {
  const choice = segments(lab, "many", { weights: [] });
  const back = make("button", { type: "button", class: "back", text: "As it was: the first data, a start from zero", onclick: () => lab.update({ data: [], weights: [] }) });
  choice.element.append(back);
  return { ...choice, draw: () => {
    choice.draw();
    back.hidden = !lab.S.data.length && !lab.S.weights.length;
  } };
}

function control(lab, key) {
  const setting = SETTINGS[key];
  if (key === "angle") return dial(lab);
  if (key === "landscape") {
    const select = make("select", { "aria-label": setting.label, "data-key": key, onchange: () => lab.chooseLandscape(select.value) });
    lab.landscapeChoices().forEach(([id, label]) => select.append(make("option", { value: id, text: label })));
    return {
      element: make("div", { class: "control" }, make("div", { class: "label" }, make("span", { text: setting.label })), select),
      draw: () => (select.value = lab.S.landscape),
      mark: () => {},
    };
  }
  if (setting.options) return segments(lab, key);
  const inner = slider(lab, key, {});
  const words = make("label", {}, make("span", { text: setting.label }), inner.output);
  return { element: make("div", { class: "control" }, words, inner.track), draw: inner.draw, mark: inner.mark };
}

function methodRows(lab) {
  const rows = make("div", { class: "rows", role: "group", "aria-label": "Methods and their rates" });
  const add = make("div", { class: "add" });
  const element = make("div", { class: "methods" }, rows, add);
  let built = "";
  let items = {};
  let wanted = null; // what takes the focus when the rows are built anew
  const toggle = (method) => {
    const on = lab.S.methods.includes(method);
    wanted = on ? `[data-add="${method}"]` : `[data-key="lr_${method}"]`;
    lab.update({ methods: on ? lab.S.methods.filter((m) => m !== method) : [...lab.S.methods, method] });
  };
  const build = () => {
    items = {};
    const chips = [];
    rows.replaceChildren();
    for (const [method, { label }] of Object.entries(METHODS)) {
      const hue = () => lab.theme.hue[method];
      if (!lab.S.methods.includes(method)) {
        const chip = make("button", { type: "button", class: "chip", "data-add": method, onclick: () => toggle(method) }, make("i", { "aria-hidden": true }), label);
        chips.push(chip);
        items[method] = { draw: () => chip.style.setProperty("--tint", hue()), mark: () => {} };
        continue;
      }
      const rate = slider(lab, `lr_${method}`, { label: SETTINGS[`lr_${method}`].label, tint: hue });
      const close = make("button", { type: "button", text: "×", "aria-label": `Remove ${label}`, "data-remove": method, onclick: () => toggle(method) });
      const result = make("output", { class: "result", "data-result": method });
      const row = make("div", { class: "row", "data-row": method },
        make("div", { class: "name" }, make("i", { "aria-hidden": true }), make("span", { text: label }), close), rate.track, rate.output, result);
      rows.append(row);
      items[method] = {
        draw: () => {
          row.style.setProperty("--tint", hue());
          rate.draw();
          const { kind, text } = lab.outcomes[method];
          if (result.textContent !== text) result.textContent = text;
          result.className = `result ${kind}`;
        },
        mark: () => rate.mark(lab.best[method]),
      };
    }
    add.replaceChildren(make("span", { text: "Add:" }), ...chips);
    add.hidden = chips.length === 0;
  };
  return {
    element,
    draw: () => {
      const key = lab.S.methods.join();
      if (key !== built) {
        built = key;
        build();
      }
      Object.values(items).forEach((item) => item.draw());
      if (wanted) element.querySelector(wanted)?.focus({ preventScroll: true });
      wanted = null;
    },
    mark: () => Object.values(items).forEach((item) => item.mark()),
  };
}

// change.js
function isBoosted(S, H) {
  const { values } = eigen(H);
  return S.precond === "absolute" && S.boost !== 0 && values[0] * values[1] < 0;
}

function preconditioner(S, H) {
  const inverted = (d) => 1 / (Math.abs(d) + S.damping);
  if (S.precond === "jacobi") return diagonal(...jacobiDiagonal(H).map(inverted));
  if (S.precond === "equilibration") return diagonal(...rowNorms(H).map(inverted));
  const { values, angle } = eigen(H);
  const P = values.map(inverted);
  if (!isBoosted(S, H)) return fromEigen(P, angle);
  const [ch, sh] = [Math.cosh(S.boost), Math.sinh(S.boost)];
  const M = { a: P[0] * ch, b: Math.sqrt(P[0] * P[1]) * sh, c: P[1] * ch };
  const [c, s] = [Math.cos(angle), Math.sin(angle)];
  return {
    a: M.a * c * c - 2 * M.b * c * s + M.c * s * s,
    b: (M.a - M.c) * c * s + M.b * (c * c - s * s),
    c: M.a * s * s + 2 * M.b * c * s + M.c * c * c,
  };
}

const contourRoot = (S, H) => squareRoot(preconditioner(S, H));

const METHOD_OF = { jacobi: "jacobi", equilibration: "equilibration", absolute: "saddle_free" };

function descentUnder(M, S, land) {
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

function changeOfVariables(S, land) {
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

// fresh.js
const rates = (...values) =>
  Object.fromEntries(Object.keys(METHODS).map((method, i) => [`lr_${method}`, values[i]]));

const FRESH = {
  bowl: { x0: -1.9, y0: 0.8, steps: 60, ...rates(1, 0.2, 0.2, 0.5, 0.5, 0.5, 0.5, 0.3, 0.05, 0.1, 0.5) },
  quadratic: { x0: 1.6, y0: 0.3, steps: 60, ...rates(0.2, 0.05, 0.05, 0.25, 0.25, 0.25, 0.25, 0.3, 0.05, 0.1, 0.25) },
  monkey: { x0: -0.5, y0: 1.9, steps: 60, ...rates(0.1, 0.03, 0.03, 0.5, 0.5, 0.25, 0.25, 0.3, 0.05, 0.1, 0.25) },
  net: { x0: 1.45, y0: -1.3, steps: 60, ...rates(0.1, 0.03, 0.03, 0.25, 0.25, 0.1, 0.25, 0.3, 0.05, 0.1, 0.25) },
  rosenbrock: { x0: -1.2, y0: 1, steps: 200, ...rates(0.001, 0.001, 0.001, 0.25, 0.25, 0.25, 0.25, 0.3, 0.03, 0.1, 0.25) },
  eggbox: { x0: 0.75, y0: 2.2, steps: 60, ...rates(0.3, 0.05, 0.05, 0.25, 0.25, 0.25, 0.25, 0.3, 0.05, 0.1, 0.25) },
  camel: { x0: 0.95, y0: -0.2, steps: 60, ...rates(0.05, 0.02, 0.02, 0.25, 0.25, 0.25, 0.25, 0.3, 0.05, 0.1, 0.25) },
  himmelblau: { x0: -0.6, y0: 2.4, steps: 60, ...rates(0.005, 0.002, 0.002, 0.25, 0.25, 0.25, 0.25, 0.5, 0.1, 0.2, 0.25) },
  beale: { x0: 1, y0: 1.7, steps: 200, ...rates(0.005, 0.002, 0.002, 0.25, 0.25, 0.25, 0.25, 0.3, 0.05, 0.1, 0.25) },
};

function freshFor(landscape, preset) {
  const own = makeState(preset);
  const keys = ["zoom", ...Object.keys(FRESH[landscape])];
  if (own.landscape !== landscape) return { landscape, zoom: 1, ...FRESH[landscape] };
  return { landscape, ...Object.fromEntries(keys.map((key) => [key, own[key]])) };
}

const methodsAfter = (methods, before, after) =>
  [...methods.filter((method) => method !== METHOD_OF[before]), METHOD_OF[after]];

// plot.js
let boxes = null; // of the canvases that are being drawn

function withBoxes(canvases, drawAll) {
  boxes = new Map(canvases.map((canvas) => [canvas, [canvas.clientWidth, canvas.clientHeight]]));
  try {
    drawAll();
  } finally {
    boxes = null;
  }
}

const boxOf = (canvas) => boxes?.get(canvas) ?? [canvas.clientWidth, canvas.clientHeight];

function surface(canvas, sharpest = 3) {
  const ratio = Math.min(sharpest, Math.max(1, globalThis.devicePixelRatio || 1));
  const [width, height] = boxOf(canvas).map((size, i) => size || [300, 200][i]);
  if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
  }
  const ctx = canvas.getContext("2d");
  ctx.setTransform(ratio, 0, 0, ratio, 0, 0);
  ctx.clearRect(0, 0, width, height);
  ctx.lineJoin = "round";
  ctx.lineCap = "round";
  return { ctx, width, height, ratio };
}

const log10 = Math.log10;

const linearScale = (lo, hi, a, b) => {
  const scale = (v) => a + ((v - lo) / (hi - lo)) * (b - a);
  scale.invert = (p) => lo + ((p - a) / (b - a)) * (hi - lo);
  return scale;
};

const logScale = (lo, hi, a, b) => {
  const scale = (v) => a + ((log10(Math.max(v, 1e-300)) - log10(lo)) / (log10(hi) - log10(lo))) * (b - a);
  scale.invert = (p) => 10 ** (log10(lo) + ((p - a) / (b - a)) * (log10(hi) - log10(lo)));
  return scale;
};

const bentScale = (unit) => (lo, hi, a, b) => {
  const inner = linearScale(Math.asinh(lo / unit), Math.asinh(hi / unit), a, b);
  const scale = (v) => inner(Math.asinh(v / unit));
  scale.invert = (p) => unit * Math.sinh(inner.invert(p));
  return scale;
};

function bentTicks(lo, hi, unit, scale, apart = 22) {
  const found = [0];
  for (const sign of [1, -1]) {
    let last = scale(0);
    for (let e = Math.floor(log10(unit)); 10 ** e <= Math.abs(sign > 0 ? hi : lo) * (1 + 1e-9); e += 1) {
      const v = sign * 10 ** e;
      if (v < lo || v > hi || Math.abs(scale(v) - last) < apart) continue;
      found.push(v);
      last = scale(v);
    }
  }
  return found;
}

function ticks(lo, hi, wanted = 5) {
  const raw = (hi - lo) / Math.max(1, wanted);
  const power = 10 ** Math.floor(log10(raw));
  const step = [1, 2, 5, 10].map((m) => m * power).find((s) => s >= raw) ?? raw;
  const found = [];
  for (let v = Math.ceil(lo / step - 1e-9) * step; v <= hi + step * 1e-9; v += step) found.push(Math.abs(v) < step / 1e6 ? 0 : v);
  return found;
}

function decades(lo, hi, wanted = 5) {
  const first = Math.ceil(log10(lo) - 1e-9);
  const last = Math.floor(log10(hi) + 1e-9);
  const stride = Math.max(1, Math.ceil((last - first + 1) / wanted));
  const found = [];
  for (let e = first; e <= last; e += stride) found.push(10 ** e);
  return found;
}

function text(ctx, theme, words, x, y, { align = "left", base = "alphabetic", colour = theme.muted, size = 12, weight = 400, halo = false, most = Infinity } = {}) {
  ctx.font = `${weight} ${size}px ${theme.font}`;
  if (most < Infinity) {
    const wide = ctx.measureText(words).width;
    if (wide > most) ctx.font = `${weight} ${Math.max(8, (size * most) / wide)}px ${theme.font}`;
  }
  ctx.textAlign = align;
  ctx.textBaseline = base;
  if (halo) {
    ctx.strokeStyle = theme.ground;
    ctx.lineWidth = 3.5;
    ctx.strokeText(words, x, y);
  }
  ctx.fillStyle = colour;
  ctx.fillText(words, x, y);
}

function axes(area, theme, wanted) {
  const { x, y, xLabel = "", yLabel = "", xLog = false, yLog = false, yBent = null, xTicks, yTicks, gutter = 10 } = wanted;
  const { ctx, width, height } = area;
  const [top, bottom] = [yLabel ? 22 : 8, height - (xLabel ? 36 : 22)];
  const sy = (yBent ? bentScale(yBent) : yLog ? logScale : linearScale)(y[0], y[1], bottom, top);
  const even = () => (yLog ? decades(y[0], y[1], 5) : ticks(y[0], y[1], height < 190 ? 4 : 5));
  const yValues = yTicks ?? (yBent ? bentTicks(y[0], y[1], yBent, sy) : even());
  ctx.font = `400 11.5px ${theme.font}`;
  const room = Math.max(...yValues.map((v) => ctx.measureText(formatNumber(v, 3)).width), 10);
  const box = { left: room + 12, right: width - gutter, top, bottom };
  const sx = (xLog ? logScale : linearScale)(x[0], x[1], box.left, box.right);
  ctx.lineWidth = 1;
  for (const v of yValues) {
    ctx.strokeStyle = theme.hairline;
    ctx.globalAlpha = 0.7;
    line(ctx, [[box.left, sy(v)], [box.right, sy(v)]]);
    ctx.globalAlpha = 1;
    text(ctx, theme, formatNumber(v, 3), box.left - 7, sy(v), { align: "right", base: "middle", size: 11.5 });
  }
  const xValues = xTicks ?? (xLog ? decades(x[0], x[1], 5) : ticks(x[0], x[1], Math.max(2, Math.round(width / 75))));
  for (const v of xValues) {
    const number = formatNumber(v, 3);
    const last = width - ctx.measureText(number).width / 2 - 1; // beyond it the edge would cut the number
    text(ctx, theme, number, Math.min(sx(v), last), box.bottom + 7, { align: "center", base: "top", size: 11.5 });
  }
  if (yLabel) text(ctx, theme, yLabel, 0, 11, { size: 11.5 });
  if (xLabel) text(ctx, theme, xLabel, box.right, height - 4, { align: "right", size: 11.5 });
  return { sx, sy, box };
}

function line(ctx, points) {
  ctx.beginPath();
  points.forEach(([px, py], i) => (i ? ctx.lineTo(px, py) : ctx.moveTo(px, py)));
  ctx.stroke();
}

function dot(ctx, x, y, radius, fill, ring = null) {
  ctx.beginPath();
  ctx.arc(x, y, radius, 0, 2 * Math.PI);
  ctx.fillStyle = fill;
  ctx.fill();
  if (ring) {
    ctx.strokeStyle = ring;
    ctx.lineWidth = 1.5;
    ctx.stroke();
  }
}

function arrow(ctx, from, to, head = 7) {
  const angle = Math.atan2(to[1] - from[1], to[0] - from[0]);
  line(ctx, [from, to]);
  ctx.beginPath();
  ctx.moveTo(to[0], to[1]);
  ctx.lineTo(to[0] - head * Math.cos(angle - 0.45), to[1] - head * Math.sin(angle - 0.45));
  ctx.lineTo(to[0] - head * Math.cos(angle + 0.45), to[1] - head * Math.sin(angle + 0.45));
  ctx.closePath();
  ctx.fillStyle = ctx.strokeStyle;
  ctx.fill();
}

function clipped(ctx, box, draw) {
  ctx.save();
  ctx.beginPath();
  ctx.rect(box.left, box.top, box.right - box.left, box.bottom - box.top);
  ctx.clip();
  draw();
  ctx.restore();
}

// outcomes.js
function upwardAxes(land, start) {
  const { values, angle } = eigen(land.quadratic);
  const axes = [[Math.cos(angle), Math.sin(angle)], [-Math.sin(angle), Math.cos(angle)]].filter((_, i) => values[i] > 0);
  return axes.map((axis) => {
    const along = (p) => Math.abs(axis[0] * p[0] + axis[1] * p[1]);
    return { along, limit: Math.max(3 * land.window[2], 2 * along(start)) };
  });
}

function divergedStep(run, land, noise = 0) {
  if (!land.quadratic) return run.diverged;
  const last = run.points.length - 1;
  const fell = run.losses[last] < land.reference; // down the saddle: an escape
  if (fell && run.losses.every((f, t) => t === 0 || f <= run.losses[t - 1])) return null;
  for (const { along, limit } of upwardAxes(land, run.points[0])) {
    const far = run.points.map(along);
    const out = (noise > 0 ? 1000 : 1) * limit; // noise alone may throw a run far, and it comes back
    if (!(far[last] > out && far[last] > 0.9 * Math.max(...far))) continue;
    let step = last;
    while (far[step - 1] > limit) step -= 1;
    return step;
  }
  return fell ? null : run.diverged;
}

function overshotStep(run, land) {
  if (!land.quadratic) return null;
  const axes = upwardAxes(land, run.points[0]);
  const step = run.points.findIndex((p) => axes.some(({ along, limit }) => along(p) > limit));
  return step < 0 ? null : step;
}

const NEXT = 400; // steps that a run is followed to see whether it stays, as many as the lab ever shows

function isNearCritical(land, x) {
  const g = land.grad(x);
  const modes = modesOf(land.hess(x));
  const steepest = Math.max(...modes.map(({ h }) => Math.abs(h)));
  return modes.every(({ h, axis }) => Math.abs(axis[0] * g[0] + axis[1] * g[1]) <= 0.01 * land.window[2] * (Math.abs(h) + 1e-9 * steepest));
}

function hasStopped(run, S, land) {
  const last = run.records.length;
  const end = run.points[last];
  if (S.noise > 0 || run.diverged !== null || last < 4 || !isNearCritical(land, end)) return false;
  const on = trajectory(run.method, S, last + NEXT);
  return on.diverged === null && on.points.slice(last).every((p) => Math.hypot(p[0] - end[0], p[1] - end[1]) < 0.005 * land.window[2]);
}

const mean = (values) => values.reduce((sum, v) => sum + v, 0) / values.length;

function climbs(losses, least) {
  const rise = losses[losses.length - 1] - losses[0];
  const quarter = Math.max(1, Math.floor(losses.length / 4));
  return rise > least && mean(losses.slice(-quarter)) > mean(losses.slice(-2 * quarter, -quarter)) + 0.01 * rise;
}

function outcome(run, S) {
  const land = landscapeOf(S);
  const { losses } = run;
  const last = losses.length - 1;
  const diverged = divergedStep(run, land, S.noise);
  if (diverged !== null) return { kind: "diverged", step: diverged, text: `diverged at step ${diverged}` };
  if (land.floor !== null) {
    const goal = land.floor + 1e-3 * Math.max(1e-12, losses[0] - land.floor);
    const step = losses.findIndex((f, t) => f <= goal && losses.slice(t).every((g) => g <= 2 * goal - land.floor));
    if (step >= 0) return { kind: "converged", step, text: `at the bottom by step ${step}` };
  }
  const escaped = escapeStep(run, S, land);
  const above = losses[last] > (land.floor ?? -Infinity) + 0.02;
  const end = run.points[last];
  const bent = land.floor === null || !(eigen(land.hess(end)).values[1] > 0); // no minimum holds it
  const inMinimum = land.minima.some((p) => land.f(p) > land.floor + 0.02 && Math.hypot(p[0] - end[0], p[1] - end[1]) < 0.02 * land.window[2]);
  const stopped = above && (land.saddle || land.floor === null) && (bent || inMinimum) && hasStopped(run, S, land);
  if (escaped > 0 && losses[last] < land.reference && (!stopped || inMinimum)) {
    const left = land.point === "saddle" ? "escaped" : `left the ${land.point}`;
    return { kind: "escaped", step: escaped, text: `${left} at step ${escaped}${stopped ? ", to a higher minimum" : ""}` };
  }
  if (stopped) {
    return { kind: "caught", step: last, text: inMinimum ? "in a higher minimum" : land.saddle ? "caught at a critical point" : "at rest" };
  }
  const now = `loss ${formatNumber(losses[last], 3)} at step ${last}`;
  if (escaped === 0) return { kind: "moving", step: last, text: `started past the ${land.point}; ${now}` };
  const overshot = S.noise === 0 ? overshotStep(run, land) : null; // noise alone may throw it out
  if (overshot !== null) return { kind: "overshot", step: overshot, text: `overshot at step ${overshot}; ${now}` };
  if (climbs(losses, S.noise > 0 ? 10 * (1 + Math.abs(losses[0] - (land.floor ?? land.reference))) : 0)) {
    return { kind: "climbing", step: last, text: "climbing" };
  }
  return { kind: "moving", step: last, text: now };
}

// scenes.js
const SCENES = {
  welcome: {
    title: "A saddle to hold",
    caption:
      "The smallest network that has a saddle: two weights, one output, loss ½(1 − θ₁θ₂)². The origin is the " +
      "saddle, both valleys are minima. Newton’s method walks into the saddle and stays. " +
      "Drag the start: from where does gradient descent take longest to leave?",
    state: {
      landscape: "net", methods: ["sgd", "newton", "esgd"], x0: 1.45, y0: -1.3, steps: 60, lr_sgd: 0.1,
      lr_newton: 0.25, lr_esgd: 0.15, damping: 0.01, interval: 2, warmup: 2, probe: "rademacher",
    },
    views: [["path"], ["loss", "rates"]],
    controls: ["steps"],
  },
  descent: {
    title: "Why descent is slow",
    caption:
      "One rate must serve two curvatures. Across the valley the steps overshoot and change sign; along it " +
      "they hardly move. Raise κ and look for the best rate: how many steps does it cost now?",
    state: {
      landscape: "bowl", methods: ["sgd", "momentum"], kappa: 60, angle: 20, x0: -1.78, y0: 1.375, steps: 80,
      lr_sgd: 1.75, lr_momentum: 1.5, momentum: 0.6,
    },
    views: [["path"], ["loss", "slice"], ["modes", "velocity"]],
    controls: ["kappa", "momentum", "angle", "steps"],
  },
  escape: {
    title: "Leaving a saddle",
    caption:
      "The start lies on the ridge that runs straight into the saddle. Without noise, descent would stop " +
      "there; with a little noise it leaves, at a time that depends on luck. " +
      "How does the time change when the noise is ten times larger?",
    state: {
      landscape: "quadratic", methods: ["sgd", "equilibration"], eig1: 1, eig2: -0.2, angle: 0, x0: 1.9, y0: 0,
      steps: 120, lr_sgd: 0.25, lr_equilibration: 0.25, noise: 0.02, seed: 4, damping: 1e-4,
    },
    views: [["path"], ["escape", "loss"], ["expected"]],
    controls: ["noise", "seed", "eig2", "steps"],
  },
  contours: {
    title: "What preconditioning changes",
    caption:
      "Left, the landscape in its own coordinates; right, the same landscape in φ = √M⁻¹ θ, with M = D⁻¹ or |H|⁻¹ " +
      "as chosen below. Descent preconditioned by M on the left is plain descent on the right. Drag either start. " +
      "For which rotations does a diagonal D round the contours, and for which does it not?",
    state: {
      landscape: "quadratic", methods: ["sgd", "equilibration"], eig1: 3.5, eig2: 0.3, angle: 8, x0: -1.9, y0: 1.25,
      steps: 40, lr_sgd: 0.5, lr_equilibration: 1, lr_jacobi: 1, lr_saddle_free: 1, precond: "equilibration", damping: 1e-8,
    },
    views: [["path"], ["after"], ["loss"]],
    pair: "linked",
    controls: ["precond", "eig1", "eig2", "angle", "boost"],
  },
  "saddle-free": {
    title: "Newton against |H|",
    caption:
      "Both methods rescale every direction by its curvature. Where the curvature is negative, Newton turns " +
      "round and climbs to the saddle or the top. Below the line the theorem promises that |H| does no worse. " +
      "Can you find a start and a length at which Newton wins?",
    state: {
      landscape: "eggbox", methods: ["newton", "saddle_free"], x0: 0.75, y0: 2.2, steps: 30, lr_newton: 0.25,
      lr_saddle_free: 0.25, damping: 1e-8, turn: 205,
    },
    views: [["path"], ["phase", "loss"]],
    controls: ["seed", "steps"],
  },
  "rotation-dial": {
    title: "The rotation dial",
    caption:
      "One saddle, eigenvalues 1 and −1, turned by φ. Jacobi reads only the diagonal, where the two cancel: " +
      "at 45° it reads zero and its step has no bound. The norms of the rows do not change at all. " +
      "Turn the dial: at which angle does Jacobi diverge within these steps?",
    told: ["eig1", "eig2"], // beside the landscape, what the caption tells of
    state: {
      landscape: "quadratic", methods: ["jacobi", "equilibration"], eig1: 1, eig2: -1, angle: 40, x0: 1.5, y0: 0.75,
      steps: 16, lr_jacobi: 0.25, lr_equilibration: 0.25, damping: 1e-4,
    },
    views: [["path"], ["dial", "rates"]],
    controls: ["angle", "eig2", "steps"],
  },
  probes: {
    title: "Curvature from random probes",
    caption:
      "Each probe v gives one product Hv. The mean square of its entries tends to the squared row norms of H, " +
      "which nobody had to write down; v ⊙ Hv has the diagonal as its mean. " +
      "Which of the two settles sooner, and does the kind of probe matter?",
    state: {
      landscape: "quadratic", methods: ["jacobi", "esgd"], eig1: 3, eig2: -1.2, angle: 25, x0: 1.75, y0: 0.5, steps: 100,
      lr_jacobi: 0.015, lr_esgd: 0.015, probe: "gaussian", curvature: "probes", interval: 1, warmup: 1, seed: 3,
    },
    views: [["cloud"], ["path"], ["estimates"]],
    pair: "equal",
    controls: ["probe", "seed", "eig1", "eig2", "angle"],
  },
  "esgd-steps": {
    title: "ESGD, step by step",
    caption:
      "Every few steps one probe refreshes D; between them the rates stand still. The bars are √(D/k) for the " +
      "two weights, the lines their true values. Step through the run, then draw one Gaussian probe instead " +
      "of signs: what can the very first step do?",
    state: {
      landscape: "quadratic", methods: ["esgd"], eig1: 2.4, eig2: -0.4, angle: 25, x0: 1.35, y0: 1.15, steps: 40,
      lr_esgd: 0.12, damping: 0.01, interval: 5, warmup: 1, probe: "rademacher", seed: 2, noise: 0.05, at: 20,
    },
    views: [["path"], ["bars", "ledger"], ["loss"]],
    controls: ["interval", "warmup", "probe", "damping", "noise", "seed"],
  },
  "rmsprop-faces": {
    title: "Three faces of RMSProp",
    caption:
      "What does √E g² measure? Along a path it mixes curvature with where the path happened to be; in " +
      "stationary noise it reads the noise; at the end of a large rate it reads an oscillation. " +
      "Choose a face: which one is proportional to equilibration?",
    state: {
      landscape: "quadratic", methods: ["sgd", "rmsprop"], eig1: 4.302776, eig2: 0.697224, angle: 16.845, x0: 0.1, y0: 0.1,
      steps: 300, lr_sgd: 0.1, lr_rmsprop: 0.05, noise: 0.3, noise_shape: "tilted", decay: 0.95, seed: 1, zoom: 3, face: "noise",
    },
    views: [["path"], ["faces", "loss"]],
    controls: ["noise", "noise_shape", "angle", "seed", "decay"],
    faces: {
      displacement: { face: "displacement", zoom: 1, x0: -1.6, y0: 1.9, noise: 0, steps: 60, lr_sgd: 0.1, lr_rmsprop: 0.05, decay: 0.9 },
      noise: { face: "noise", zoom: 3, x0: 0.1, y0: 0.1, noise: 0.3, steps: 300, lr_sgd: 0.1, lr_rmsprop: 0.05, decay: 0.95 },
      oscillation: { face: "oscillation", zoom: 1, x0: -1.6, y0: 1.9, noise: 0, steps: 200, lr_sgd: 0.3, lr_rmsprop: 0.3, decay: 0.95 },
    },
  },
};

// style.js
const STYLE = `
:host { display: block; container-type: inline-size; -webkit-print-color-adjust: exact; print-color-adjust: exact; color: var(--ink); margin: 1.25rem 0; text-align: left; }
* { box-sizing: border-box; }
[hidden] { display: none !important; }
.lab { font: 400 14.5px/1.45 var(--font); color: var(--ink); border-block: 1px solid var(--hairline);
  padding: 14px 0 10px; -webkit-text-size-adjust: 100%; }
.lab.boxed { border: 1px solid var(--hairline); border-radius: 10px; padding: 14px; background: var(--ground); }
header { display: flex; align-items: baseline; justify-content: space-between; gap: 12px; margin: 0 0 8px; }
.title { font: 650 17px/1.25 var(--font); margin: 0; letter-spacing: -0.01em; color: var(--ink); }
.formula { color: var(--muted); font-size: 13px; white-space: nowrap; overflow: hidden; text-overflow: ellipsis; }
.stage { display: grid; gap: 12px 18px; grid-template-columns: minmax(0, 1fr); }
.column { display: grid; gap: 12px; align-content: start; min-width: 0; }
.pair > .column { align-content: end; } /* two maps side by side stand level, whatever is over them */
figure { margin: 0; min-width: 0; }
figure > .head { display: flex; flex-wrap: wrap; justify-content: space-between; gap: 0 8px; font-size: 13px; color: var(--muted);
  margin-bottom: 4px; min-height: 20px; align-items: baseline; }
[data-view=rates] > .head { min-height: 40px; align-content: flex-start; } /* its second line comes and goes while it plays */
.head b { font-weight: 600; color: var(--ink); white-space: nowrap; }
.absent { margin: 0; padding: 9px 12px; border: 1px dashed var(--rail); border-radius: 6px; color: var(--muted); font-size: 13.5px; }
.plot { position: relative; width: 100%; }
.plot canvas { display: block; width: 100%; height: 100%; border-radius: 6px; }
.plot.square { aspect-ratio: 1; }
.plot.wide { aspect-ratio: 1.68; }
.plot.modes { aspect-ratio: 3.6; }
.plot.surface { aspect-ratio: 1.42; }
.plot.map { aspect-ratio: 2.6; }
.plot.modes.three { aspect-ratio: 2; }
.plot.planes { aspect-ratio: 2.9; }
.further { display: grid; gap: 14px; }
.further > figure:not([hidden]) { padding: 6px 0 10px; }
.grip { position: absolute; inset: 0; width: 100%; height: 100%; border: 0; padding: 0; background: none; border-radius: 6px;
  cursor: grab; touch-action: pan-y; }
.grip:active { cursor: grabbing; }
.spatial p { color: var(--muted); font-size: 13px; margin: 2px 0 0; }
.plot canvas.tap { cursor: crosshair; touch-action: pan-y; }
.plot canvas.scrub { cursor: ew-resize; touch-action: pan-y; }
.handle { position: absolute; width: 48px; height: 48px; margin: -24px 0 0 -24px; border: 0; padding: 0; background: none;
  border-radius: 50%; cursor: grab; touch-action: none; z-index: 2; }
.handle::after { content: ""; position: absolute; inset: 14px; border-radius: 50%; border: 2.5px solid var(--ink);
  background: color-mix(in srgb, var(--ground) 75%, transparent); box-shadow: 0 1px 4px rgba(0,0,0,.25);
  transition: inset .12s; }
.handle:hover::after, .handle:active::after { inset: 11px; }
.handle:active { cursor: grabbing; }
.bead { position: absolute; width: 44px; height: 44px; border: 0; border-radius: 50%; padding: 0; background: none; cursor: ns-resize; touch-action: none; }
.bead i { position: absolute; inset: 16px; border-radius: 50%; border: 2px solid var(--ink); background: var(--ground); }
.back { border: 0; background: none; padding: 0; min-height: 44px; cursor: pointer; color: var(--ink); font-size: 13.5px;
  text-decoration: underline; text-decoration-color: var(--faint); text-underline-offset: 3px; }
.back[hidden] { display: none; }
.key { display: flex; flex-wrap: wrap; gap: 0 14px; margin: 0 0 4px; font-size: 12.5px; color: var(--muted); }
.key i { display: inline-block; width: 14px; height: 3px; border-radius: 2px; margin-right: 6px; vertical-align: 3px; background: var(--tint); }
.bead:hover i, .bead:active i { inset: 15px; }
.beads .bead:focus-visible { outline: none; }
.bead:focus-visible i { inset: 14px; outline: 3px solid var(--focus); outline-offset: 1px; }
.handle i { position: absolute; left: 50%; top: 100%; transform: translate(-50%, -10px); font: 600 12px/1 var(--font);
  color: var(--ink); text-shadow: 0 0 3px var(--ground), 0 0 3px var(--ground), 0 0 5px var(--ground); pointer-events: none; }
.handle.low i { top: 0; transform: translate(-50%, -3px); }
:is(button, input, select, .handle, .dial, .table, a):focus-visible { outline: 3px solid var(--focus);
  outline-offset: 2px; }
:is(button, input, select):focus:not(:focus-visible) { outline: none; }
button { font: inherit; color: inherit; }
.transport { display: flex; align-items: center; gap: 6px; margin: 12px 0 4px; }
.transport button { flex: none; width: 44px; height: 44px; border-radius: 50%; border: 1px solid transparent;
  background: transparent; cursor: pointer; display: grid; place-items: center; padding: 0; }
.transport button:hover { background: color-mix(in srgb, var(--ink) 9%, transparent); }
.transport button.play { background: var(--ink); color: var(--ground); }
.transport button.play:hover { background: color-mix(in srgb, var(--ink) 82%, var(--ground)); }
.transport svg { width: 18px; height: 18px; fill: currentColor; display: block; }
.transport .time { flex: 1; min-width: 60px; }
.transport output { min-width: 7.4em; text-align: right; color: var(--muted); font-variant-numeric: tabular-nums;
  font-size: 13.5px; white-space: nowrap; }
.track { position: relative; display: block; height: 44px; }
input[type=range] { -webkit-appearance: none; appearance: none; width: 100%; height: 44px; margin: 0; background: none;
  cursor: pointer; display: block; position: relative; touch-action: pan-y; }
input[type=range]::-webkit-slider-runnable-track { height: 4px; border-radius: 2px;
  background: linear-gradient(to right, var(--tint, var(--ink)) var(--fill, 0%), var(--rail) var(--fill, 0%)); }
input[type=range]::-moz-range-track { height: 4px; border-radius: 2px;
  background: linear-gradient(to right, var(--tint, var(--ink)) var(--fill, 0%), var(--rail) var(--fill, 0%)); }
input[type=range]::-webkit-slider-thumb { -webkit-appearance: none; width: 18px; height: 18px; margin-top: -7px;
  border-radius: 50%; background: var(--tint, var(--ink)); border: 2.5px solid var(--ground); box-shadow: 0 0 0 1px var(--tint, var(--ink)); }
input[type=range]::-moz-range-thumb { width: 13px; height: 13px; border-radius: 50%; background: var(--tint, var(--ink));
  border: 2.5px solid var(--ground); box-shadow: 0 0 0 1px var(--tint, var(--ink)); }
.best { position: absolute; top: 25px; width: 28px; height: 24px; margin-left: -14px; border: 0; background: none; padding: 0;
  cursor: pointer; z-index: 1; touch-action: manipulation; }
.best::after { content: ""; position: absolute; left: 50%; top: 3px; margin-left: -6px; border: 6px solid transparent;
  border-top: 0; border-bottom: 9px solid var(--tint, var(--ink)); }
.best:hover::after { transform: scale(1.25); }
.rows { display: grid; margin-top: 4px; }
.row { display: grid; grid-template-columns: minmax(208px, 1.3fr) minmax(130px, 1.5fr) 62px minmax(140px, 1.1fr);
  align-items: center; gap: 0 12px; border-top: 1px solid var(--hairline); min-height: 46px; }
.row .name { display: flex; align-items: center; gap: 8px; font-weight: 600; min-width: 0; }
.row .name i { flex: none; width: 20px; height: 4px; border-radius: 2px; background: var(--tint); }
.row .name button { flex: none; margin: 0 -10px 0 auto; border: 0; background: none; width: 44px; height: 44px; color: var(--muted);
  cursor: pointer; font-size: 17px; line-height: 1; padding: 0; }
.row .name button:hover { color: var(--ink); }
.row output { font-variant-numeric: tabular-nums; white-space: nowrap; }
.row .result { color: var(--muted); font-size: 13.5px; line-height: 1.3; white-space: normal; }
.row .result.diverged, .row .result.climbing { color: var(--bad); font-weight: 600; }
.row .result.escaped, .row .result.converged { color: var(--good); font-weight: 600; }
.add { display: flex; flex-wrap: wrap; gap: 6px; align-items: center; border-top: 1px solid var(--hairline); padding: 7px 0 3px;
  color: var(--muted); font-size: 13px; }
.chip { border: 1px solid var(--hairline); border-radius: 17px; background: none; padding: 0 12px 0 10px; min-height: 34px;
  cursor: pointer; display: inline-flex; gap: 7px; align-items: center; color: var(--ink); font-size: 13.5px; }
.chip:hover { border-color: var(--muted); }
.chip i { width: 10px; height: 10px; border-radius: 50%; background: var(--tint); }
.chip[aria-pressed=true] { background: var(--ink); color: var(--ground); border-color: var(--ink); }
.controls { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 205px), 1fr)); gap: 0 22px; margin-top: 6px;
  padding-top: 4px; border-top: 1px solid var(--hairline); }
.control label, .control .label { display: flex; justify-content: space-between; gap: 8px; font-size: 13.5px; color: var(--muted);
  padding-top: 6px; }
.control output { color: var(--ink); font-variant-numeric: tabular-nums; }
.control .track { margin-top: -8px; }
.control select { font: inherit; font-size: 14px; width: 100%; min-height: 36px; margin: 3px 0 5px; padding: 3px 8px; color: var(--ink);
  background: var(--panel); border: 1px solid var(--hairline); border-radius: 6px; }
.segments { display: flex; margin: 4px 0 6px; border: 1px solid var(--hairline); border-radius: 8px; overflow: hidden; }
.segments button { flex: 1 0 auto; min-height: 36px; border: 0; border-left: 1px solid var(--hairline); background: none; cursor: pointer;
  font-size: 13.5px; padding: 2px 6px; }
.segments button:first-child { border-left: 0; }
.segments button[aria-pressed=true] { background: var(--ink); color: var(--ground); }
.segments button:focus-visible { outline-offset: -3px; }
.dial { display: flex; align-items: center; gap: 12px; }
.dial svg { width: 62px; height: 62px; flex: none; cursor: grab; touch-action: none; overflow: visible; }
.faces { margin: 2px 0 10px; max-width: 460px; }
.ledger { font-size: 13.5px; font-variant-numeric: tabular-nums; display: grid; grid-template-columns: auto 1fr; gap: 2px 14px; margin: 0;
  border-radius: 6px; background: var(--panel); border: 1px solid var(--hairline); padding: 10px 12px; }
.ledger dt { color: var(--muted); white-space: nowrap; }
.ledger dd { margin: 0; overflow-wrap: anywhere; }
.ledger .now { font-weight: 600; border-left: 3px solid var(--tint); margin-left: -9px; padding-left: 6px; }
.caption { color: var(--muted); font-size: 14px; line-height: 1.5; margin: 0 0 12px; max-width: 84ch; }
.foot { display: flex; flex-wrap: wrap; gap: 2px 18px; font-size: 13.5px; color: var(--muted); align-items: center; }
.foot button { border: 0; background: none; padding: 0; min-height: 44px; cursor: pointer; color: var(--ink);
  text-decoration: underline; text-decoration-color: var(--faint); text-underline-offset: 3px; display: inline-flex; align-items: center;
  font-size: 13.5px; list-style: none; }
.foot [aria-expanded]::before { content: "▸"; content: "▸" / ""; margin-right: 6px; } /* not to be read aloud */
.foot [aria-expanded=true]::before { content: "▾"; content: "▾" / ""; }
.foot input { font: 12.5px/1.4 ui-monospace, monospace; flex: 1 1 220px; min-width: 0; min-height: 32px; padding: 4px 8px; color: var(--ink);
  background: var(--panel); border: 1px solid var(--hairline); border-radius: 6px; }
.table { max-height: 330px; overflow: auto; border: 1px solid var(--hairline); border-radius: 6px; margin: 0 0 8px; }
table { border-collapse: collapse; width: 100%; font-size: 13px; font-variant-numeric: tabular-nums; }
caption { text-align: left; padding: 6px 10px; color: var(--muted); }
th, td { text-align: right; padding: 4px 10px; white-space: nowrap; border-bottom: 1px solid var(--hairline); }
th { position: sticky; top: 0; background: var(--panel); font-weight: 600; }
th:first-child, td:first-child, th:nth-child(2), td:nth-child(2) { text-align: left; }
tr.at td { background: color-mix(in srgb, var(--ink) 8%, transparent); }
.sr { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
@container (min-width: 560px) {
  .stage { grid-template-columns: minmax(0, 1.24fr) minmax(0, 1fr); }
  .stage.pair { grid-template-columns: repeat(2, minmax(0, 1fr)); }
  .stage > .below { grid-column: 1 / -1; }
  .below .plot:not(.modes) { aspect-ratio: 3.8; }
  .spatial { display: grid; grid-template-columns: minmax(0, 2.2fr) minmax(0, 1fr); gap: 0 18px; align-items: end; }
  .spatial .head { grid-column: 1 / -1; }
}
@container (max-width: 559px) {
  .lab { display: grid; grid-template-columns: repeat(2, minmax(0, 1fr)); gap: 0 8px; } /* what plays fits on one screen: */
  .lab > *, .column, .right > figure { grid-column: 1 / -1; }
  .stage, .stage:not(.pair) > .right { display: contents; }
  .left, .pair > .right { order: 1; } /* the path, */
  .pair > .left { grid-column: 1; }
  .pair > .right { grid-column: 2; }
  .transport { order: 2; position: relative; gap: 2px; margin: 8px 0 6px; } /* what moves it, */
  .right > figure:first-child, .pair > .below { order: 3; } /* and the view that tells most */
  .methods { order: 4; margin-top: 8px; }
  .main-controls { order: 5; }
  .right > figure + figure { order: 6; margin-top: 12px; }
  .stage:not(.pair) > .below { order: 7; margin-top: 12px; }
  .plot.wide { aspect-ratio: 1.8; }
  .caption { font-size: 13.5px; line-height: 1.42; margin-bottom: 8px; }
  .plot.modes { aspect-ratio: 1.05; }
  .plot.modes.three { aspect-ratio: 0.7; }
  .plot.surface { aspect-ratio: 1.2; }
  .plot.map { aspect-ratio: 1.4; }
  .plot.planes { aspect-ratio: 0.86; }
  .foot { order: 8; }
  .further { order: 9; }
  .more { order: 10; }
  .table { order: 11; }
  .row { grid-template-columns: minmax(0, 1fr) auto; padding: 4px 0 2px; }
  .row .name { grid-column: 1; grid-row: 1; }
  .row .result { grid-column: 1 / -1; grid-row: 3; padding-bottom: 6px; margin-top: -4px; }
  .row .track { grid-column: 1; grid-row: 2; }
  .row > output:not(.result) { grid-column: 2; grid-row: 2; min-width: 64px; text-align: right; }
  .row .name button { margin: 0; order: 3; }
  .chip, .control select, .segments button { min-height: 44px; }
  header { flex-wrap: wrap; gap: 0 12px; margin-bottom: 4px; }
  .transport output { position: absolute; right: 0; top: -1px; min-width: 0; font-size: 12.5px; line-height: 1; }
}
@media (any-pointer: coarse) {
  .chip, .control select, .segments button { min-height: 44px; }
  .best { width: 44px; height: 44px; margin-left: -22px; }
  .track.marked { margin-bottom: 25px; } /* the mark's 44 pixels reach below the track */
  @container (min-width: 560px) {
    .row { align-items: start; }
    .row output:not(.result) { line-height: 44px; }
    .row .result { padding-top: 13px; }
  }
  .foot input { min-height: 44px; }
  @container (max-width: 559px) { .row .track.marked { margin-bottom: 5px; } }
}
@media (forced-colors: active) { /* what is drawn with grounds and hues alone keeps them; the rest takes the system's colours */
  .lab { --ink: CanvasText; --muted: CanvasText; --faint: GrayText; --rail: GrayText; --ground: Canvas; --focus: Highlight; }
  .plot { --ink: var(--pen); --ground: var(--sheet); background: var(--sheet); }
  .plot, input[type=range], .best, .dial svg, :is(.name, .chip) i, .segments [aria-pressed=true], .chip[aria-pressed=true], .transport .play {
    forced-color-adjust: none; }
  .plot { outline: 1px solid CanvasText; outline-offset: 3px; }
  :is(.name, .chip) i { outline: 1px solid CanvasText; }
  .segments [aria-pressed=true], .chip[aria-pressed=true], .transport button.play { background: Highlight; color: HighlightText; }
}
@media (prefers-reduced-motion: reduce) { * { transition: none !important; } }
@media print {
  .transport, .add, .foot, .handle i, .row .name button, .best { display: none; }
  .lab { break-inside: avoid; }
}
`;

// table.js
const REST = 160; // milliseconds without a change after which the table is written

function stepRows(lab) {
  return lab.S.methods.flatMap((method) => {
    const run = lab.runs[method];
    return run.points.map((p, t) => {
      const { values, degrees } = run.records[t] ? principal(run.records[t].P) : { values: [] };
      return [METHODS[method].label, t, p[0], p[1], run.losses[t], values[0], values[1], degrees];
    });
  });
}

function remembers(methods) {
  const names = methods.filter((m) => METHODS[m].memory).map((m) => METHODS[m].label);
  return names.length ? `; of ${names.join(" and ")} they are what a steady gradient would get` : "";
}

function stepTable(lab) {
  const holder = make("div", { class: "table", tabindex: "0", role: "region", "aria-label": "Table of the steps" });
  let written = null;
  let waiting = null;
  let timer = 0;
  const light = () => {
    const now = String(Math.round(lab.at));
    holder.querySelectorAll("tr[data-step]").forEach((row) => row.classList.toggle("at", row.dataset.step === now));
  };
  const write = () => {
    written = lab.runs;
    const head = ["Method", "Step", "θ₁", "θ₂", "Loss", "Rate 1", "Rate 2", "Direction of rate 1"];
    const body = stepRows(lab).map(([method, t, x, y, loss, first, second, degrees]) =>
      make("tr", { "data-step": t }, make("td", { text: method }), make("td", { text: t }),
        ...[x, y, loss, first, second].map((v) => make("td", { text: formatNumber(v ?? null, 5) })), make("td", { text: inDegrees(degrees) })));
    const table = make("table", {},
      make("caption", { text: `${lab.land.label}, from (${formatNumber(lab.S.x0, 4)}, ${formatNumber(lab.S.y0, 4)}); the rates are those of the step that leaves the row: rate 1 along its direction, in degrees from θ₁, rate 2 at right angles to it${remembers(lab.S.methods)}.` }),
      make("thead", {}, make("tr", {}, ...head.map((text) => make("th", { scope: "col", text })))),
      make("tbody", {}, ...body));
    holder.replaceChildren(table);
    light();
  };
  const draw = () => {
    if (holder.hidden) return;
    if (written !== lab.runs && !lab.printing) { // thousands of cells: not while a hand still moves
      if (waiting === lab.runs) return;
      waiting = lab.runs;
      clearTimeout(timer);
      timer = setTimeout(write, REST);
      return;
    }
    if (written !== lab.runs) write();
    else light();
  };
  return { element: holder, button: disclosure("Table of the steps", holder, write), draw };
}

// theme.js
const PALETTE = {
  sgd: ["#0072B2", "#4FA8DD"],
  momentum: ["#6A51A3", "#A694DC"],
  nesterov: ["#1D2C73", "#5C78FF"],
  newton: ["#6B6B6B", "#A8A8A8"],
  saddle_free: ["#B8578F", "#E08FBE"],
  jacobi: ["#D55E00", "#FF8A3D"],
  equilibration: ["#3E9C8B", "#7FD6C4"],
  adagrad: ["#4A4A00", "#E3E6A0"],
  rmsprop: ["#B88600", "#F0C23B"],
  adam: ["#8C564B", "#C99084"],
  esgd: ["#007A57", "#1FC796"],
};

const channels = (hex) => [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16));

const GROUNDS = {
  light: {
    ink: "#1f2328", muted: "#59616b", faint: "#8b939d", hairline: "#d5dae0", ground: "#ffffff", panel: "#fbfbfa",
    above: [240, 233, 222], level: [252, 251, 249], below: [214, 229, 242], contour: "rgba(60,66,76,0.20)",
    critical: "rgba(60,66,76,0.55)", accent: "#1f2328",
  },
  dark: {
    ink: "#e6e9ed", muted: "#a4adb8", faint: "#78818c", hairline: "#3a424c", ground: "#14181e", panel: "#191e25",
    above: [58, 48, 38], level: [27, 31, 37], below: [22, 46, 70], contour: "rgba(225,230,240,0.17)",
    critical: "rgba(225,230,240,0.55)", accent: "#e6e9ed",
  },
};

function colours(dark) {
  const hue = Object.fromEntries(Object.entries(PALETTE).map(([name, pair]) => [name, pair[Number(dark)]]));
  return { dark, hue, ...GROUNDS[dark ? "dark" : "light"] };
}

function pageIsDark() {
  const root = document.documentElement;
  const book = root.dataset.theme;
  if (book === "dark" || book === "light") return book === "dark";
  const lab = document.body?.dataset.jpThemeLight;
  if (lab) return lab === "false";
  if (root.hasAttribute("theme")) return root.getAttribute("theme") === "dark"; // Colab
  return matchMedia("(prefers-color-scheme: dark)").matches;
}

function watchTheme(callback) {
  const observer = new MutationObserver(callback);
  const options = { attributes: true, attributeFilter: ["data-theme", "data-jp-theme-light", "theme"] };
  observer.observe(document.documentElement, options);
  if (document.body) observer.observe(document.body, options);
  const media = matchMedia("(prefers-color-scheme: dark)");
  media.addEventListener("change", callback);
  return () => {
    observer.disconnect();
    media.removeEventListener("change", callback);
  };
}

// toolbar.js
const ICONS = {
  play: "M5 3v14l12-7z", pause: "M5 3h4v14H5zM11 3h4v14h-4z", back: "M14 3v14L5 10zM3 3h2v14H3z", next: "M6 3v14l9-7zM15 3h2v14h-2z",
  reset: "M10 4a6 6 0 1 1-5.7 4.1l1.9.6A4 4 0 1 0 10 6v3L5.5 5 10 1z",
};

function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 20 20");
  svg.setAttribute("aria-hidden", "true");
  svg.innerHTML = `<path d="${ICONS[name]}"/>`;
  return svg;
}

const button = (name, label, onclick) => make("button", { type: "button", class: name, "aria-label": label, title: label, onclick }, icon(name));

function transport(lab) {
  const time = slider(lab, "at", { label: "Step shown" });
  time.track.classList.add("time");
  const clock = make("output");
  const play = button("play", "Play", () => (lab.playing ? lab.pause() : lab.play()));
  let started = 0;
  let from = 0;
  const still = () => matchMedia("(prefers-reduced-motion: reduce)").matches;
  const look = () => {
    play.replaceChildren(icon(lab.playing ? "pause" : "play"));
    const label = lab.playing ? "Pause" : "Play";
    play.setAttribute("aria-label", label);
    play.title = label;
  };
  const tick = (now) => {
    if (!lab.playing) return;
    if (!started) started = now;
    const speed = still() ? 1.5 : Math.max(6, Math.min(40, lab.S.steps / 7)); // steps a second
    const at = from + ((now - started) / 1000) * speed;
    lab.at = Math.min(lab.S.steps, still() ? Math.floor(at) : at);
    lab.redraw();
    if (at >= lab.S.steps) lab.pause();
    else requestAnimationFrame(tick);
  };
  lab.play = () => {
    from = lab.at >= lab.S.steps ? 0 : lab.at;
    started = 0;
    lab.playing = true;
    look();
    requestAnimationFrame(tick);
  };
  lab.pause = () => {
    if (!lab.playing) return;
    lab.stop();
    lab.update({ at: Math.round(lab.at) });
  };
  lab.stop = () => {
    lab.playing = false;
    look();
  };
  const jump = (by) => () => {
    lab.pause();
    lab.update({ at: Math.max(0, Math.min(lab.S.steps, Math.round(lab.at) + by)) });
  };
  const element = make("div", { class: "transport", role: "group", "aria-label": "Playback" }, play,
    button("back", "One step back", jump(-1)), button("next", "One step on", jump(1)), button("reset", "Reset to the opening state", () => lab.reset()), time.track, clock);
  time.input.addEventListener("pointerdown", () => lab.pause());
  time.input.addEventListener("keydown", () => lab.pause());
  return {
    element,
    draw: () => {
      time.input.max = lab.S.steps;
      time.input.value = lab.at;
      time.input.style.setProperty("--fill", `calc(9px + ${lab.at / lab.S.steps} * (100% - 18px))`);
      time.input.setAttribute("aria-valuetext", `step ${Math.round(lab.at)} of ${lab.S.steps}`);
      const words = `step ${Math.round(lab.at)} / ${lab.S.steps}`;
      if (clock.textContent !== words) clock.textContent = words;
    },
  };
}

async function copy(words, field, note) {
  field.value = words;
  field.hidden = false;
  field.focus({ preventScroll: true });
  field.select();
  try {
    await navigator.clipboard.writeText(words);
    note.textContent = "Copied.";
  } catch {
    note.textContent = "Press Ctrl-C (⌘C) to copy.";
  }
}

function footer(lab, disclosures, onPage) {
  const field = make("input", { type: "text", readonly: true, hidden: true, "aria-label": "What to copy" });
  const note = make("span", { role: "status" });
  lab.forget = () => {
    field.hidden = true;
    note.textContent = "";
  };
  const address = (place) => {
    const alike = [...document.querySelectorAll(`[data-esgd-lab="${lab.scene}"]`)];
    return `${location.href.split("#")[0]}#${encodeState(lab.scene, lab.preset.state, lab.S, alike.indexOf(place) + 1)}`;
  };
  const link = make("button", { type: "button", text: "Link to this state", "data-share": "link", onclick: () => copy(address(link.getRootNode().host.parentElement), field, note) });
  return make("div", { class: "foot" }, ...disclosures,
    onPage ? link : null, // a notebook's address does not reach its outputs
    make("button", { type: "button", text: "As Python", "data-share": "python", onclick: () => copy(`from esgd.lab import SaddleLab; ${pythonLine(lab.scene, lab.preset.state, lab.S)}`, field, note) }),
    field, note);
}

function faceButtons(lab, faces) {
  const names = { displacement: "Displacement", noise: "Noise", oscillation: "Oscillation" };
  const buttons = Object.entries(faces).map(([face, state]) =>
    make("button", { type: "button", text: names[face], "data-face": face, onclick: () => {
      const next = makeState(lab.preset.state, { ...lab.S, ...state });
      lab.update({ ...next, at: next.steps });
    } }));
  return {
    element: make("div", { class: "segments faces", role: "group", "aria-label": "Face of RMSProp" }, ...buttons),
    draw: () => buttons.forEach((b) => b.setAttribute("aria-pressed", String(b.dataset.face === lab.S.face))),
  };
}

// labels.js
const SIZE = 11.5;
const TALL = 14; // of one line of words
const DASH = 9; // the coloured mark before a name

function gutterFor(ctx, theme, names) {
  ctx.font = `400 ${SIZE}px ${theme.font}`;
  return Math.max(0, ...names.map((name) => ctx.measureText(name).width)) + DASH + 16;
}

function spread(centres, room, low, high) {
  const order = centres.map((y, i) => ({ y: Math.max(low, Math.min(high, y)), i }));
  order.sort((a, b) => a.y - b.y || a.i - b.i);
  order.forEach((item, k) => {
    if (k) item.y = Math.max(item.y, order[k - 1].y + room);
  });
  let limit = high;
  for (const item of order.reverse()) {
    item.y = Math.min(item.y, limit);
    limit = item.y - room;
  }
  const found = new Array(centres.length);
  order.forEach(({ y, i }) => (found[i] = y));
  return found;
}

function endLabels(ctx, theme, box, unsorted) {
  const ends = unsorted.slice().sort((a, b) => a.y - b.y); // as they are beyond the edges, too
  const left = box.right + 8;
  const inside = (y) => Math.max(box.top, Math.min(box.bottom, y));
  const rows = spread(ends.map(({ y }) => inside(y)), TALL, box.top + 2, box.bottom - 4);
  ends.forEach(({ x, y, name, hue, pale }, i) => {
    ctx.strokeStyle = hue;
    ctx.lineWidth = 1;
    ctx.globalAlpha = 0.7;
    line(ctx, [[Math.min(box.right, x), inside(y)], [left, rows[i]]]);
    ctx.globalAlpha = pale ? 0.45 : 1;
    ctx.lineWidth = 2.5;
    line(ctx, [[left, rows[i]], [left + DASH - 2, rows[i]]]);
    ctx.globalAlpha = 1;
    text(ctx, theme, name, left + DASH + 4, rows[i], { base: "middle", colour: theme.ink, size: SIZE });
  });
}

const COMPASS = Array.from({ length: 8 }, (_, k) => [Math.cos((k * Math.PI) / 4), Math.sin((k * Math.PI) / 4)]);

const shared = (a, b) =>
  Math.max(0, Math.min(a[2], b[2]) - Math.max(a[0], b[0])) * Math.max(0, Math.min(a[3], b[3]) - Math.max(a[1], b[1]));

const outside = ([left, top, right, bottom], width, height) =>
  Math.max(0, 3 - left) + Math.max(0, right - width + 3) + Math.max(0, 3 - top) + Math.max(0, bottom - height + 3);

function settleLabels(ctx, theme, points, width, height, { taken = [], dots = [] } = {}) {
  ctx.font = `600 ${SIZE + 0.5}px ${theme.font}`;
  const full = taken.slice();
  return points.filter(({ x, y }) => Number.isFinite(x + y)).map((point) => {
    const wide = ctx.measureText(point.name).width + DASH + 5;
    const [dx, dy] = point.heading ?? [1, 0];
    const turn = (a, b) => -(a * dx + b * dy) / (Math.hypot(dx, dy) || 1) + (b ? 0.3 : 0);
    const ways = COMPASS.map(([a, b]) => ({ a, b, bend: turn(a, b) })).sort((p, q) => p.bend - q.bend);
    let best = { cost: Infinity };
    for (const reach of [11, 20, 32, 46, 62, 80]) {
      if (best.cost <= reach - 8) break; // nothing farther can be better
      for (const { a, b, bend } of ways) {
        const left = point.x + a * reach + (a > 0.3 ? 0 : a < -0.3 ? -wide : -wide / 2);
        const middle = point.y + b * (reach + 3);
        const box = [left, middle - TALL / 2, left + wide, middle + TALL / 2];
        let cost = outside(box, width, height) * 1e4 + reach + 8 * bend;
        for (let k = 0; k < full.length && cost < best.cost; k += 1) cost += 10 * shared(box, full[k]);
        for (let k = 0; k < dots.length && cost < best.cost; k += 1) {
          const [x, y] = dots[k];
          if (x > box[0] && x < box[2] && y > box[1] && y < box[3]) cost += 6;
        }
        if (cost < best.cost) best = { cost, box, reach };
      }
    }
    full.push(best.box, [point.x - 5, point.y - 5, point.x + 5, point.y + 5]);
    return { ...point, box: best.box, reach: best.reach };
  });
}

function beads(pixels, apart, most) {
  const found = [];
  for (let i = 0; i + 1 < pixels.length && found.length < most; i += 1) {
    const [[x, y], [u, v]] = [pixels[i], pixels[i + 1]];
    const count = Math.min(60, Math.max(1, Math.round(Math.hypot(u - x, v - y) / apart)));
    for (let k = 0; k < count; k += 1) found.push([x + ((u - x) * k) / count, y + ((v - y) * k) / count]);
  }
  return found;
}

function kept() {
  let last = { causes: [], value: null };
  return (causes, make) => {
    const same = causes.length === last.causes.length && causes.every((cause, i) => cause === last.causes[i]);
    if (!same) last = { causes, value: make() };
    return last.value;
  };
}

function drawLabels(ctx, theme, labels) {
  for (const { x, y, name, hue, box, reach } of labels) {
    const middle = (box[1] + box[3]) / 2;
    if (reach > 24) {
      ctx.strokeStyle = hue;
      ctx.lineWidth = 1;
      line(ctx, [[x, y], [Math.max(box[0], Math.min(box[2], x)), Math.max(box[1], Math.min(box[3], y))]]);
    }
    const bar = [[box[0] + 1, middle], [box[0] + DASH - 1, middle]];
    ctx.strokeStyle = theme.ground; // a halo, as the words have
    ctx.lineWidth = 5.5;
    line(ctx, bar);
    ctx.strokeStyle = hue;
    ctx.lineWidth = 2.5;
    line(ctx, bar);
    const style = { base: "middle", colour: theme.ink, size: SIZE + 0.5, weight: 600, halo: true };
    text(ctx, theme, name, box[0] + DASH + 3, middle, style);
  }
}

// view-probes.js
const pair = (v, digits = 3) => `(${formatNumber(v[0], digits)}, ${formatNumber(v[1], digits)})`;

const stepOf = (at) => Math.max(0, Math.ceil(at) - 1); // the record of the step that led to the place shown

function lostAtOnce({ S, runs }, methods) {
  const lost = methods.find((m) => S.methods.includes(m) && !runs[m].records.length);
  return lost ? `${METHODS[lost].label} diverged in its first step: lower its rate or damp it more.` : null;
}

function probesSoFar(S, runs, at) {
  const drawn = ["esgd", "jacobi"].map((m) => runs[m]).find((run) => run?.records[0]?.products);
  return (drawn ?? trajectory("esgd", S)).records.slice(0, stepOf(at) + 1).flatMap(({ products }) => products);
}

function errorShare(S, H) {
  if (S.probe === "gaussian") return Math.SQRT1_2;
  return Math.max(...[[H.a, H.b], [H.b, H.c]].map(([p, q]) => Math.abs(p * q) / Math.max(p * p + q * q, 1e-300)));
}

function cloudView(lab) {
  const view = panel({ title: "Products Hv", shape: "square" });
  view.draw = () => {
    const { S, theme, land, runs, at } = lab;
    const { ctx, width, height } = surface(view.canvas);
    const H = land.hess([S.x0, S.y0]);
    const truth = rowNorms(H);
    const reach = 3 * Math.max(...truth, 1e-6);
    const sx = linearScale(-reach, reach, 0, width);
    const sy = linearScale(-reach, reach, height, 0);
    ctx.fillStyle = theme.panel;
    ctx.fillRect(0, 0, width, height);
    ctx.strokeStyle = theme.hairline;
    ctx.lineWidth = 1;
    line(ctx, [[0, sy(0)], [width, sy(0)]]);
    line(ctx, [[sx(0), 0], [sx(0), height]]);
    text(ctx, theme, "(Hv)₁", width - 8, sy(0) - 7, { align: "right" });
    text(ctx, theme, "(Hv)₂", sx(0) + 8, 16);
    ctx.strokeStyle = theme.faint;
    ctx.lineWidth = 1.2;
    ctx.setLineDash([3, 4]);
    const ring = Array.from({ length: 73 }, (_, i) => (i * Math.PI) / 36).map((t) => matvec(H, [Math.SQRT2 * Math.cos(t), Math.SQRT2 * Math.sin(t)]));
    line(ctx, ring.map((p) => [sx(p[0]), sy(p[1])]));
    ctx.setLineDash([]);
    const probes = probesSoFar(S, runs, at);
    const count = probes.length;
    const last = probes[count - 1] ?? { v: [0, 0], Hv: [0, 0] }; // the run may have left every bound in its first step
    ctx.globalAlpha = 0.55;
    for (const { Hv } of probes) dot(ctx, sx(Hv[0]), sy(Hv[1]), 3, theme.hue.esgd);
    ctx.globalAlpha = 1;
    const box = (d, colour, dash) => {
      ctx.strokeStyle = colour;
      ctx.setLineDash(dash);
      ctx.strokeRect(sx(-d[0]), sy(d[1]), sx(d[0]) - sx(-d[0]), sy(-d[1]) - sy(d[1]));
      ctx.setLineDash([]);
    };
    ctx.lineWidth = 2.4;
    box(truth, theme.ink, []);
    const estimate = [0, 1].map((i) => Math.sqrt(probes.reduce((sum, { Hv }) => sum + Hv[i] ** 2, 0) / Math.max(1, count)));
    box(estimate, theme.hue.esgd, [7, 5]);
    ctx.strokeStyle = theme.muted;
    ctx.lineWidth = 1.8;
    arrow(ctx, [sx(0), sy(0)], [sx(last.v[0]), sy(last.v[1])]);
    ctx.strokeStyle = theme.hue.esgd;
    ctx.lineWidth = 2.4;
    arrow(ctx, [sx(0), sy(0)], [sx(last.Hv[0]), sy(last.Hv[1])], 9);
    text(ctx, theme, "v", sx(last.v[0]) + 7, sy(last.v[1]) - 5, { size: 13, weight: 600, halo: true });
    text(ctx, theme, "Hv", sx(last.Hv[0]) + 7, sy(last.Hv[1]) - 5, { size: 13, weight: 600, colour: theme.ink, halo: true });
    text(ctx, theme, "row norms of H", sx(truth[0]) - 4, sy(-truth[1]) + 15, { align: "right", colour: theme.ink, halo: true });
    view.note(count ? `k = ${count}` : "ESGD diverged in its first step");
    view.describe(
      `${count} products Hv with ${S.probe} probes. The root mean squares are ${pair(estimate)}, the row norms of H${land.quadratic ? "" : " at the start"} ${pair(truth)}.`,
    );
  };
  return view;
}

function estimatesView(lab) {
  const view = panel({ title: "Estimate ÷ truth" });
  const draws = (m) => lab.runs[m]?.records[0]?.products;
  view.lacks = () => (draws("jacobi") || draws("esgd") ? null
    : lostAtOnce(lab, ["esgd", ...(lab.S.curvature === "probes" ? ["jacobi"] : [])]) ?? "No method here draws probes: add ESGD.");
  view.draw = () => {
    const { S, theme, land, runs, at } = lab;
    const area = surface(view.canvas);
    const { ctx } = area;
    const H = land.hess([S.x0, S.y0]);
    const probed = [["jacobi", jacobiDiagonal(H)], ["esgd", rowNorms(H)]].filter(([method]) => runs[method]?.records[0]?.products);
    const most = Math.max(2, ...probed.map(([method]) => runs[method].records[runs[method].records.length - 1].k));
    const xTicks = [1, 2, 3, 10, 30, 100, 300].filter((k) => k <= most && (k !== 2 || most < 3));
    const gutter = gutterFor(ctx, theme, probed.map(([method]) => METHODS[method].short));
    const frame = axes(area, theme, { x: [1, most], y: [0, 2], xLog: true, xLabel: "probes k", xTicks, gutter });
    const { sx, sy, box } = frame;
    ctx.save();
    ctx.beginPath();
    ctx.rect(box.left, box.top, box.right - box.left + 4, box.bottom - box.top);
    ctx.clip();
    const share = errorShare(S, H);
    ctx.fillStyle = theme.hue.esgd;
    ctx.globalAlpha = 0.13;
    ctx.beginPath();
    const ks = Array.from({ length: 60 }, (_, i) => most ** (i / 59));
    ks.forEach((k, i) => ctx[i ? "lineTo" : "moveTo"](sx(k), sy(1 + share / Math.sqrt(k))));
    ks.reverse().forEach((k) => ctx.lineTo(sx(k), sy(1 - share / Math.sqrt(k))));
    ctx.fill();
    ctx.globalAlpha = 1;
    ctx.strokeStyle = theme.ink;
    ctx.lineWidth = 1;
    line(ctx, [[box.left, sy(1)], [box.right, sy(1)]]);
    const words = [];
    const ends = [];
    const nought = (truth, i) => truth[i] < 1e-9 * Math.max(...rowNorms(H));
    const without = probed.filter(([, truth]) => nought(truth, 0) || nought(truth, 1)).map(([method]) => METHODS[method].short);
    for (const [method, truth] of probed) {
      const run = runs[method];
      const upTo = run.records.slice(0, stepOf(at) + 1);
      for (const i of [1, 0]) {
        if (nought(truth, i)) continue;
        ctx.strokeStyle = theme.hue[method];
        ctx.lineWidth = 2;
        ctx.setLineDash(i ? [3, 4] : []);
        line(ctx, upTo.map((r) => [sx(r.k), sy(Math.min(9, r.D[i] / truth[i]))]));
      }
      ctx.setLineDash([]);
      const final = upTo[upTo.length - 1];
      const last = run.records[run.records.length - 1]; // the name stands still while the curve grows
      const named = nought(truth, 0) ? 1 : 0;
      if (!nought(truth, named)) ends.push({ x: box.right, y: sy(Math.min(9, last.D[named] / truth[named])), name: METHODS[method].short, hue: theme.hue[method] });
      words.push(`${METHODS[method].label} ${pair(final.D.map((d, i) => (nought(truth, i) ? NaN : d / truth[i])))}`);
    }
    ctx.restore();
    endLabels(ctx, theme, box, ends);
    text(ctx, theme, "band: ± one standard error of ESGD", box.left + 6, box.bottom - 7, { size: 11.5, halo: true, most: box.right - box.left - 12 });
    const absent = without.length ? `${without.join(" and ")}: a truth of 0 gives no ratio` : "";
    view.note(`θ₁ solid, θ₂ dashed${absent && `; ${absent}`}`);
    view.describe(
      `Estimated over true diagonal${land.quadratic ? "" : " at the start"} against the number of probes` +
        `${land.quadratic ? "; they tend to 1" : ", while the Hessian changes along the run"}. ${absent && `${absent}. `}The band is one standard error of ESGD’s estimate ` +
        `on either side of 1, ${formatNumber(share, 2)}/√k for ${S.probe === "gaussian" ? "Gaussian probes" : "signs"}. Now: ${words.join("; ") || "no method draws probes"}.`,
    );
  };
  return view;
}

function ledgerView(lab) {
  const list = make("dl", { class: "ledger" });
  const note = make("span");
  const element = make("figure", {}, make("div", { class: "head" }, make("b", { text: "The step in numbers" }), note), list);
  let shownText = "";
  const draw = () => {
    const { S, theme, runs, at } = lab;
    const method = S.methods.includes("esgd") ? "esgd" : S.methods[0];
    const run = runs[method];
    const t = Math.min(stepOf(at), (run?.records.length ?? 0) - 1);
    const record = run?.records[t];
    const rows = [];
    if (record) {
      const product = record.products?.[record.products.length - 1];
      note.textContent = `step ${t + 1} of ${METHODS[method].label}`;
      rows.push(["gradient g", pair(record.g)]);
      if (record.products) {
        rows.push(["probe v", product ? pair(product.v) : `none (the next in ${S.interval - (t % S.interval)})`, Boolean(product)]);
        rows.push(["product Hv", product ? pair(product.Hv) : "–", Boolean(product)]);
      }
      if (record.sum) rows.push([`D after ${record.k}`, pair(record.sum), Boolean(product)]);
      if (record.D) rows.push([record.sum ? "√(D/k)" : "D", pair(record.D), Boolean(product)]);
      rows.push(["rates", pair([record.P.a, record.P.c])]);
      rows.push(["new θ", pair(run.points[t + 1])]);
    } else {
      note.textContent = "";
      rows.push(["no step", (method && lostAtOnce(lab, [method])) ?? "No method runs: add ESGD."]);
    }
    const joined = JSON.stringify(rows) + theme.dark;
    if (joined === shownText) return;
    shownText = joined;
    element.style.setProperty("--tint", theme.hue[method] ?? theme.ink);
    list.replaceChildren(...rows.flatMap(([name, value, now]) => [make("dt", { text: name }), make("dd", { text: value, class: now ? "now" : null })]));
  };
  return { element, draw };
}

// view-bars.js
const KEEPERS = ["esgd", "equilibration", "jacobi", "adagrad", "rmsprop", "adam"]; // methods with a D
const WEIGHTS = ["θ₁", "θ₂"];

function drawUpright(area, theme, { D, hue, fresh }, truth, highest) {
  const { ctx } = area;
  const { sx, sy, box } = axes(area, theme, { x: [0, 2], y: [0, highest], xTicks: [] });
  const wide = Math.min(60, sx(0.72) - sx(0));
  WEIGHTS.forEach((weight, i) => {
    const top = sy(Math.min(D[i], highest));
    ctx.fillStyle = hue;
    ctx.globalAlpha = fresh ? 1 : 0.62;
    ctx.beginPath();
    ctx.roundRect(sx(i + 0.5) - wide / 2 + 2, top, wide - 4, box.bottom - top, [4, 4, 0, 0]);
    ctx.fill();
    ctx.globalAlpha = 1;
    ctx.strokeStyle = theme.ink;
    ctx.lineWidth = 2;
    line(ctx, [[sx(i + 0.08), sy(truth[i])], [sx(i + 0.92), sy(truth[i])]]);
    const clash = top - sy(truth[i]); // the number must not lie on the line of the truth
    const y = clash > 0 && clash < 20 ? sy(truth[i]) - 6 : Math.max(box.top + 8, top - 5);
    const style = { align: "center", colour: theme.ink, size: 12, halo: true };
    text(ctx, theme, formatNumber(D[i], 3), sx(i + 0.5), y, style);
    text(ctx, theme, weight, sx(i + 0.5), box.bottom + 7, { align: "center", base: "top" });
  });
}

function drawRows({ ctx, width, height }, theme, rows, truth, highest) {
  const left = 124;
  const each = Math.min(26, (height - 14) / (2 * rows.length));
  const scale = (v) => left + (Math.min(v, highest) / highest) * (width - left - 48);
  WEIGHTS.forEach((weight, i) => {
    const top = 4 + i * (rows.length * each + 8);
    text(ctx, theme, weight, 0, top + (rows.length * each) / 2, { base: "middle", weight: 600, colour: theme.ink });
    rows.forEach(({ name, D, hue, fresh }, r) => {
      const middle = top + (r + 0.5) * each;
      const style = { base: "middle", size: Math.min(12, each) };
      text(ctx, theme, name, left - 8, middle, { ...style, align: "right", colour: theme.ink });
      ctx.fillStyle = hue;
      ctx.globalAlpha = fresh ? 1 : 0.62;
      ctx.beginPath();
      ctx.roundRect(left, middle - each * 0.36, Math.max(1, scale(D[i]) - left), each * 0.72, [0, 3, 3, 0]);
      ctx.fill();
      ctx.globalAlpha = 1;
      const edge = scale(D[i]);
      const goal = scale(truth[i]);
      const near = goal - edge > -2 && goal - edge < 42; // the number would lie on the line of the truth
      text(ctx, theme, formatNumber(D[i], 3), (near ? goal : edge) + 5, middle, style);
    });
    ctx.strokeStyle = theme.ink;
    ctx.lineWidth = 2;
    line(ctx, [[scale(truth[i]), top], [scale(truth[i]), top + rows.length * each]]);
  });
}

function barsView(lab) {
  const view = panel({ title: "D of the two weights" });
  const keeps = (m) => lab.runs[m].records[0]?.D;
  view.lacks = () => (lab.S.methods.some(keeps) ? null : lostAtOnce(lab, KEEPERS) ?? "No method here keeps a D: add ESGD.");
  view.draw = () => {
    const { S, theme, land, runs, at } = lab;
    const area = surface(view.canvas);
    const shown = S.methods.filter(keeps);
    const t = stepOf(at);
    const record = (m) => runs[m].records[Math.min(t, runs[m].records.length - 1)];
    const { points } = runs[shown[0]];
    const truth = rowNorms(land.hess(points[Math.min(t, points.length - 1)]));
    const all = shown.flatMap((m) => runs[m].records.map(({ D }) => D));
    const largest = all.flatMap((D) => D.map((d, i) => Math.min(d, 4 * truth[i])));
    const highest = 1.15 * Math.max(...truth, ...largest) || 1;
    const rows = shown.map((m) => {
      const { D, products } = record(m);
      return { name: METHODS[m].short, hue: theme.hue[m], D, fresh: Boolean(products?.length) };
    });
    if (rows.length === 1) drawUpright(area, theme, rows[0], truth, highest);
    else drawRows(area, theme, rows, truth, highest);
    const first = record(shown[0]);
    view.note(first.k ? `k = ${first.k}${first.products?.length ? ", refreshed now" : ""}` : "line: true row norm");
    const said = (m, i) => `${formatNumber(record(m).D[i], 3)} (true ${formatNumber(truth[i], 3)})`;
    const words = WEIGHTS.flatMap((weight, i) => shown.map((m) => `${METHODS[m].label}, ${weight}: ${said(m, i)}`));
    view.describe(`Bars of D. ${words.join("; ")}.`);
  };
  return view;
}

// view-convergence.js
const [COLUMNS, ROWS] = [96, 60];
const TOP = 0.99; // the largest momentum

const mapped = ({ methods }) =>
  methods.includes("nesterov") && !methods.includes("momentum")
    ? { method: "nesterov", form: nesterov, name: "of Nesterov’s form" }
    : { method: "momentum", form: heavyBall, name: "of the heavy ball" };

const slowest = (modes, lr, beta, form) => Math.max(...modes.map(({ h }) => modeRadius(lr, h, beta, form)));

const edgeAt = (modes, beta, form) => edgeOf(beta, form) / modes[0].h;

function paintMap(modes, x, fastest, theme, { method, form }) {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [COLUMNS, ROWS];
  const image = new ImageData(COLUMNS, ROWS);
  const hue = channels(theme.hue[method]);
  for (let j = 0; j < ROWS; j += 1) {
    for (let i = 0; i < COLUMNS; i += 1) {
      const beta = TOP * (1 - (j + 0.5) / ROWS);
      const lr = Math.min(x[0] * (x[1] / x[0]) ** ((i + 0.5) / COLUMNS), 0.97 * edgeAt(modes, beta, form));
      const share = 0.06 + 0.8 * (Math.log(slowest(modes, lr, beta, form)) / Math.log(fastest));
      for (let c = 0; c < 3; c += 1) image.data[4 * (j * COLUMNS + i) + c] = theme.level[c] + (hue[c] - theme.level[c]) * share;
      image.data[4 * (j * COLUMNS + i) + 3] = 255;
    }
  }
  canvas.getContext("2d").putImageData(image, 0, 0);
  return canvas;
}

function convergenceView(lab) {
  const view = panel({ title: "Every rate and momentum", shape: "map" });
  let frame = null;
  let cache = { key: "" };
  view.still = true;
  scrub(view.canvas, lab, (x, y) => {
    if (!frame) return;
    const beta = Math.max(0, Math.min(TOP, frame.sy.invert(y)));
    const lr = Math.max(cache.x[0], Math.min(cache.x[1], frame.sx.invert(x)));
    const { method } = mapped(lab.S);
    const methods = lab.S.methods.includes(method) ? lab.S.methods : [...lab.S.methods, method];
    lab.update({ methods, momentum: Number(beta.toFixed(2)), [`lr_${method}`]: Number(lr.toPrecision(3)) });
  });
  view.draw = () => {
    const { S, theme, land } = lab;
    const area = surface(view.canvas);
    const { ctx } = area;
    const modes = modesOf(land.quadratic);
    const { method: own, form, name } = mapped(S);
    const beta = bestMomentum(S, form).value;
    const rate = bestRateFor(modes[0].h, modes[1].h, beta, form);
    const fastest = Math.max(1e-3, slowest(modes, rate, beta, form));
    const x = [0.02 / modes[0].h, 10 / modes[0].h];
    const key = [lab.landKey, theme.dark, own].join();
    if (cache.key !== key) cache = { key, x, map: paintMap(modes, x, fastest, theme, { method: own, form }) };
    frame = axes(area, theme, { x, y: [0, TOP], xLog: true, yTicks: [0, 0.25, 0.5, 0.75], xLabel: "learning rate", yLabel: "momentum β" });
    const { box, sx, sy } = frame;
    ctx.imageSmoothingEnabled = true;
    ctx.drawImage(cache.map, box.left, box.top, box.right - box.left, box.bottom - box.top);
    const edge = Array.from({ length: 40 }, (_, i) => (TOP * i) / 39).map((b) => [sx(edgeAt(modes, b, form)), sy(b)]);
    ctx.fillStyle = `rgb(${theme.above.join()})`;
    ctx.beginPath();
    [...edge, [box.right, box.top], [box.right, box.bottom]].forEach(([px, py]) => ctx.lineTo(px, py));
    ctx.fill();
    ctx.strokeStyle = theme.critical;
    ctx.lineWidth = 1.2;
    line(ctx, edge);
    text(ctx, theme, "diverges", box.right - 6, box.bottom - 8, { align: "right", size: 12 });
    const [bx, by] = [sx(rate), sy(beta)];
    ctx.strokeStyle = theme.ink;
    ctx.lineWidth = 1.8;
    line(ctx, [[bx - 5, by], [bx + 5, by]]);
    line(ctx, [[bx, by - 5], [bx, by + 5]]);
    const tight = bx > box.right - 40; // the dots of the methods come from the left
    text(ctx, theme, "best", bx + (tight ? -8 : 9), by + (tight ? -7 : 4), { align: tight ? "right" : "left", colour: theme.ink, halo: true });
    const place = (lr) => Math.max(box.left, Math.min(box.right, sx(lr)));
    const words = [];
    for (const [method, b] of [["sgd", 0], [own, S.momentum]]) {
      if (!S.methods.includes(method)) continue;
      const lr = S[`lr_${method}`];
      const factor = formatNumber(slowest(modes, lr, b, form), 3);
      dot(ctx, place(lr), sy(b), 6, theme.hue[method], theme.ground);
      text(ctx, theme, `${METHODS[method].short} ×${factor}`, place(lr) + (place(lr) > 160 ? -10 : 10), sy(b) - 5, { align: place(lr) > 160 ? "right" : "left", colour: theme.ink, halo: true });
      words.push(`${method === "sgd" ? "descent" : METHODS[method].short.replace("M", "m")} ×${factor}`);
    }
    view.title(`Every rate and momentum, ${name}`);
    view.note(`best ×${formatNumber(fastest, 3)} a step`);
    view.describe(
      `Factor of the slowest mode a step, over the learning rate and the momentum ${name}. Best: momentum ${formatNumber(beta, 3)} with rate ${formatNumber(rate, 3)}, ` +
        `a factor of ${formatNumber(fastest, 3)}. Now: ${words.join(", ") || "neither method runs"}. The sliders of rate and momentum move the same point.`,
    );
  };
  return view;
}

// beads.js
const BEAD_REACH = 44; // pixels to press; where beads stand closer, the nearest one is taken

function beadRow(lab, view, { label, set, hold = () => true }) {
  const element = make("div", { class: "beads", role: "group", "aria-label": label });
  view.plot.append(element);
  let items = [];
  let current = 0;
  const row = { held: null, place };
  const moveTo = (i, v) => {
    const item = items[i];
    item.value = tidy(Math.max(item.least, Math.min(item.most, v))); // the next key may come before the next frame
    set(i, item.value, row.held);
  };
  const buttons = () => [...element.children];
  const choose = (i) => {
    current = i;
    buttons().forEach((b, j) => b.setAttribute("tabindex", j === current ? "0" : "-1"));
  };
  const at = (event) => {
    const box = view.canvas.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };
  const nearest = ([x, y]) => {
    const far = items.map((item) => Math.hypot(item.x - x, item.y - y));
    return far.indexOf(Math.min(...far));
  };
  const build = () => {
    element.replaceChildren(...items.map(() => make("button", { type: "button", class: "bead", role: "slider", "aria-orientation": "vertical" }, make("i"))));
    buttons().forEach((button, i) => {
      let [taken, offset] = [i, 0];
      drags(button, lab, (event) => moveTo(taken, items[taken].invert(at(event)[1] - offset)), (event) => {
        taken = nearest(at(event));
        offset = at(event)[1] - items[taken].y; // it does not jump to the pointer
        row.held = hold();
        choose(taken);
        buttons()[taken].focus({ preventScroll: true });
        event.preventDefault();
      }, () => {
        row.held = null;
        lab.redraw(view);
      });
      button.addEventListener("focus", () => choose(i));
      button.addEventListener("keydown", (event) => {
        const { value, step, least, most } = items[i];
        const big = event.shiftKey ? 5 : 1;
        const to = { ArrowUp: value + big * step, ArrowDown: value - big * step, PageUp: value + 10 * step, PageDown: value - 10 * step, Home: least, End: most }[event.key];
        const next = { ArrowLeft: i - 1, ArrowRight: i + 1 }[event.key];
        if (to === undefined && next === undefined) return;
        event.preventDefault();
        if (to !== undefined) moveTo(i, to);
        else buttons()[Math.max(0, Math.min(items.length - 1, next))].focus();
      });
    });
    choose(Math.min(current, Math.max(0, items.length - 1)));
  };
  function place(beads, [width, height]) {
    const anew = items.length !== beads.length;
    items = beads;
    if (anew) build();
    buttons().forEach((button, i) => {
      const { x, y, value, least, most, label: name, spoken } = items[i];
      button.style.left = `calc(${(100 * x) / width}% - ${BEAD_REACH / 2}px)`;
      button.style.top = `calc(${(100 * y) / height}% - ${BEAD_REACH / 2}px)`;
      const said = { "aria-label": name, "aria-valuemin": least, "aria-valuemax": most, "aria-valuenow": value, "aria-valuetext": spoken };
      Object.entries(said).forEach(([key, words]) => button.getAttribute(key) !== String(words) && button.setAttribute(key, words));
    });
  }
  return row;
}

// view-eigen.js
const CAPTION_ROOM = 17; // room for the curvature above each curve

function tiles(n, width, height) {
  const columns = n === 6 ? (width < 560 ? 2 : 3) : width < 560 ? 4 : 8;
  const rows = Math.ceil(n / columns);
  const [wide, tall] = [width / columns, height / rows];
  return Array.from({ length: n }, (_, k) => ({
    left: (k % columns) * wide + 4, right: (k % columns + 1) * wide - 4,
    top: Math.floor(k / columns) * tall + CAPTION_ROOM, bottom: (Math.floor(k / columns) + 1) * tall - 5,
  }));
}

const reach = (wanted, begun) => Math.max(Math.abs(wanted), Math.abs(begun), 0.05);

function limitsOf(q, start, begun) {
  const { min, max } = SETTINGS.weights;
  const ends = q.flatMap((v, i) => (Math.abs(v) < 1e-9 ? [] : [[(min - start[i]) / v, (max - start[i]) / v].sort((a, b) => a - b)]));
  return [begun + Math.max(...ends.map(([low]) => low)), begun + Math.min(...ends.map(([, high]) => high))];
}

function drawEigenvector(lab, ctx, box, { curve, value, wanted, begun, now, size }) {
  const { theme } = lab;
  const places = curve.map(([x]) => x);
  const edge = Math.ceil(curve.length / 10); // no bead hangs over the edge
  const highest = (some) => some.reduce((best, point) => (Math.abs(point[1]) > Math.abs(best[1]) ? point : best));
  const [place, height] = highest(curve.slice(edge, -edge));
  const tall = size * Math.abs(highest(curve)[1]) * 1.3;
  const sx = linearScale(places[0], places[places.length - 1], box.left, box.right);
  const sy = linearScale(-tall, tall, box.bottom, box.top);
  const trace = (amount) => line(ctx, curve.map(([x, y]) => [sx(x), sy(Math.max(-9 * tall, Math.min(9 * tall, amount * y)))]));
  text(ctx, theme, `h = ${formatNumber(value, 2)}`, box.left, box.top - 5, { size: 11.5, most: box.right - box.left });
  ctx.fillStyle = theme.panel;
  ctx.fillRect(box.left, box.top, box.right - box.left, box.bottom - box.top);
  ctx.lineWidth = 1;
  ctx.strokeStyle = theme.hairline;
  line(ctx, [[box.left, sy(0)], [box.right, sy(0)]]);
  clipped(ctx, box, () => {
    ctx.strokeStyle = theme.muted;
    ctx.lineWidth = 1.3;
    ctx.setLineDash([3, 4]);
    trace(wanted);
    ctx.setLineDash([]);
    for (const { method, amount } of now) {
      ctx.strokeStyle = theme.hue[method];
      ctx.lineWidth = 2;
      trace(amount);
    }
  });
  return { x: sx(place), y: sy(begun * height), sign: Math.sign(height), invert: (y) => sy.invert(y) / Math.abs(height), step: Math.max(0.02, Number((Math.abs(wanted) / 20).toPrecision(1))) };
}

function eigenView(lab) {
  const view = panel({ title: "Eigenvectors", shape: "modes eigen" });
  const choice = problemChoice(lab);
  const key = methodKey(lab);
  view.plot.before(key.element);
  view.element.append(choice.element);
  let signs = [];
  const row = beadRow(lab, view, {
    label: "Amount of each eigenvector at the start",
    hold: () => {
      const { start, ...problem } = manyOf(lab).problem;
      const [wanted, begun] = [problem.goal, start].map((w) => amountsOf(problem, w));
      return { start, sizes: wanted.map((v, k) => reach(v, begun[k])) };
    },
    set: (k, value, held) => {
      const { problem } = manyOf(lab);
      const start = held?.start ?? problem.start; // from where it was taken: no rounding adds up on the way
      const more = signs[k] * value - amountsOf(problem, start)[k];
      lab.update({ weights: withMode(problem, start, k, more).map((v) => Number(v.toFixed(6))) });
    },
  });
  view.lacks = () => noMany(lab);
  view.draw = () => {
    const { S, at } = lab;
    const { ctx, width, height } = surface(view.canvas);
    choice.draw();
    const { problem, runs } = manyOf(lab);
    const { values, vectors, goal, start } = problem;
    const step = Math.round(at);
    const [wanted, begun] = [amountsOf(problem, goal), amountsOf(problem, start)];
    const out = S.methods.filter((m) => isOut(problem, weightsAt(runs[m], step)));
    key.draw(out);
    const now = S.methods.filter((m) => !out.includes(m)).map((method) => ({ method, amounts: amountsOf(problem, weightsAt(runs[method], step)) }));
    const spots = tiles(vectors.length, width, height).map((box, k) => drawEigenvector(lab, ctx, box, {
      curve: curveOf(problem, vectors[k], 60), value: values[k], wanted: wanted[k], begun: begun[k],
      now: now.map(({ method, amounts }) => ({ method, amount: amounts[k] })), size: row.held?.sizes[k] ?? reach(wanted[k], begun[k]),
    }));
    signs = spots.map(({ sign }) => sign);
    row.place(spots.map((spot, k) => {
      const limits = limitsOf(vectors[k], start, begun[k]).map((v) => v * spot.sign);
      const value = Number((spot.sign * begun[k]).toPrecision(4)) + 0; // no −0
      return {
        ...spot, value, least: Number(Math.min(...limits).toFixed(3)), most: Number(Math.max(...limits).toFixed(3)), spoken: formatNumber(value, 3),
        label: `Eigenvector ${k + 1} of ${vectors.length}, curvature ${formatNumber(values[k], 2)}, amount at the start`,
      };
    }), [width, height]);
    view.note("dashed: what the best weights have of it; the bead: what the start has");
    const left = S.methods.map((m) => {
      const shares = leftOver(problem, weightsAt(runs[m], step)).filter((v) => v !== null);
      return `${METHODS[m].label} has got rid of half the error in ${shares.filter((v) => v < 0.5).length} of the ${shares.length} that had one`;
    });
    view.describe(
      `The ${vectors.length} eigenvectors as curves, the steepest first, curvatures ${values.map((v) => formatNumber(v, 2)).join(", ")}, each ` +
        `times what the best weights and each method have of it at step ${step}. ${left.join("; ") || "No method runs"}.`,
    );
  };
  return view;
}

// view-escape.js
const BINS = 40;

function medianStep(times) {
  const sorted = times.map((t) => t ?? Infinity).sort((a, b) => a - b);
  const middle = (sorted[Math.floor((sorted.length - 1) / 2)] + sorted[Math.floor(sorted.length / 2)]) / 2;
  return Number.isFinite(middle) ? middle : null;
}

function escapeWords(times, steps) {
  const stay = times.filter((t) => t === null).length;
  const median = medianStep(times);
  const words = median === null ? `median > ${steps}` : `median ${formatNumber(median, 3)}`;
  return { stay, median, words, staying: stay ? `${stay} not out by ${steps}` : "all out" };
}

function binned(times, steps) {
  const counts = new Array(BINS).fill(0);
  times.forEach((t) => t !== null && (counts[Math.min(BINS - 1, Math.floor((t * BINS) / steps))] += 1));
  return counts;
}

function drawRow(ctx, theme, { method, counts, said, mine }, frame, row, tallest) {
  const { sx, box } = frame;
  const wide = (box.right - box.left) / BINS;
  const room = row.bottom - row.top - 3;
  ctx.fillStyle = theme.hue[method];
  ctx.globalAlpha = 0.82;
  counts.forEach((n, b) => {
    const tall = (n / tallest) * room;
    if (n) ctx.fillRect(box.left + b * wide + 0.5, row.bottom - tall, Math.max(1, wide - 1), tall);
  });
  ctx.globalAlpha = 1;
  ctx.strokeStyle = theme.hairline;
  ctx.lineWidth = 1;
  line(ctx, [[box.left, row.bottom], [box.right, row.bottom]]);
  if (said.median !== null) {
    ctx.strokeStyle = theme.ink;
    ctx.lineWidth = 1.4;
    line(ctx, [[sx(said.median), row.top], [sx(said.median), row.bottom]]);
  }
  if (mine !== null && mine !== undefined) dot(ctx, sx(mine), row.bottom - 4, 4, theme.hue[method], theme.ground);
}

function escapeView(lab) {
  const view = panel({ title: "Escape times of 100 seeds" });
  view.still = true;
  view.lacks = () => (lab.S.methods.length ? whyNoEscape(lab.S, lab.land) : "No method runs.");
  let cache = { key: "", times: {} };
  view.draw = () => {
    const { S, theme } = lab;
    const { ctx, width, height } = surface(view.canvas);
    const key = JSON.stringify({ ...S, at: 0, seed: 0, show: 0, turn: 0, tilt: 0, zoom: 0 });
    if (cache.key !== key) cache = { key, times: Object.fromEntries(S.methods.map((m) => [m, escapeTimes(m, S)])) };
    const rows = S.methods.map((method) => {
      const times = cache.times[method];
      return { method, counts: binned(times, S.steps), said: escapeWords(times, S.steps), mine: times[S.seed] };
    });
    const tallest = Math.max(8, ...rows.flatMap(({ counts }) => counts));
    const side = Math.min(128, width * 0.4); // the words stand beside the bars, so that no number lies on another
    ctx.save();
    ctx.translate(side - 22, 0);
    const area = { ctx, width: width - side + 22, height };
    const frame = axes(area, theme, { x: [0, S.steps], y: [0, 1], yTicks: [], xLabel: "step of escape" });
    const each = (frame.box.bottom - frame.box.top) / rows.length;
    rows.forEach((row, r) => {
      const top = frame.box.top + r * each;
      drawRow(ctx, theme, row, frame, { top: top + 2, bottom: top + each }, tallest);
    });
    ctx.restore();
    rows.forEach(({ method, said }, r) => {
      const lines = [METHODS[method].short, said.words, ...(said.stay ? [said.staying] : [])];
      const middle = frame.box.top + (r + 0.5) * each;
      const most = side - 8;
      if (each < 14 * lines.length + 4) {
        const short = METHODS[method].short + (said.median === null ? "" : ` ${formatNumber(said.median, 3)}`);
        const style = { base: "middle", colour: theme.ink, weight: 600, size: 11.5, most };
        text(ctx, theme, said.stay ? `${short}, ${said.stay} stay` : short, 0, middle, style);
        return;
      }
      lines.forEach((words, i) => {
        const y = middle + (i - (lines.length - 1) / 2) * 14;
        const style = { base: "middle", size: 12, most, ...(i ? {} : { colour: theme.ink, weight: 600 }) };
        text(ctx, theme, words, 0, y, style);
      });
    });
    view.note("| median  • this seed");
    const words = rows.map(({ method, said }) => `${METHODS[method].label} ${said.words}, ${said.staying}`);
    const span = `over seeds 0 to 99 within ${S.steps} steps`;
    view.describe(`Histograms of the escape step ${span}, one a method: ${words.join("; ")}.`);
  };
  return view;
}

// faces.js
const unit = (v) => v.map((x) => x / Math.hypot(v[0], v[1]));

function rootMeanSquare(run, from) {
  const records = run.records.slice(from);
  return [0, 1].map((i) => Math.sqrt(records.reduce((sum, r) => sum + r.g[i] ** 2, 0) / records.length));
}

function cycles(run) {
  const [before, last] = run.records.slice(-2);
  const near = (a, b) => Math.abs(a - b) < 0.02 * Math.abs(b);
  return Boolean(last) && last.g.every((g, i) => near(-before.g[i], g) && near(last.D[i], Math.abs(g)));
}

function whyNoBounds(S, land, run) {
  if (!land.quadratic || !(eigen(land.quadratic).values[1] > 0)) return "not a bowl";
  if (S.noise > 0) return "there is noise";
  return run && cycles(run) ? null : "no jump between two points";
}

function faceRows({ S, land, runs }) {
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

// view-faces.js
function facesView(lab) {
  const view = panel({ title: "The second moment" });
  view.still = true;
  view.draw = () => {
    const { theme } = lab;
    const { ctx, width, height } = surface(view.canvas);
    const rows = faceRows(lab);
    const top = Math.max(...rows.flatMap(({ v }) => (v ?? []).filter(Number.isFinite)), 1e-9);
    const each = (height - 6) / rows.length;
    const left = Math.min(168, width * 0.48);
    const scale = linearScale(0, top, left, width - 46);
    const tall = Math.min(18, each / 2 - 4);
    rows.forEach(({ name, v, hue, why }, r) => {
      const middle = 4 + (r + 0.5) * each;
      const named = { align: "right", base: "middle", colour: theme.ink, size: 12.5, most: left - 29 };
      text(ctx, theme, name, left - 27, middle, named);
      if (why) text(ctx, theme, `none: ${why}`, left, middle, { base: "middle", size: 12, most: width - left - 2 });
      (v ?? []).forEach((value, i) => {
        const y = middle + (i ? 1.5 : -tall - 1.5);
        text(ctx, theme, i ? "θ₂" : "θ₁", left - 5, y + tall / 2, { align: "right", base: "middle", size: 11.5 });
        ctx.fillStyle = theme.hue[hue];
        ctx.globalAlpha = i ? 0.55 : 1;
        if (Number.isFinite(value)) {
          ctx.beginPath();
          ctx.roundRect(left, y, Math.max(1, scale(value) - left), tall, [0, 3, 3, 0]);
          ctx.fill();
        }
        ctx.globalAlpha = 1;
        const end = Number.isFinite(value) ? scale(value) : left;
        text(ctx, theme, formatNumber(value, 3), end + 5, y + tall / 2, { base: "middle", size: 11.5 });
      });
    });
    view.note(lab.S.face === "oscillation" ? "in units of curvature" : "scaled to length 1");
    const words = rows.map(({ name, v, why }) => `${name}: ${why ? `none, ${why}` : pair(v)}`);
    view.describe(`For θ₁ and θ₂. ${words.join("; ")}.`);
  };
  return view;
}

// view-loss.js
const DEEPEST = -1e5; // of the first loss: what a plot shows of a fall without end

function lossRange(lab) {
  const { land, S, runs } = lab;
  const first = land.f([S.x0, S.y0]);
  if (land.floor !== null) {
    const gap = Math.max(first - land.floor, 1e-9);
    const saddle = land.saddle ? land.reference - land.floor : gap;
    const lowest = Math.min(saddle, ...S.methods.flatMap((m) => runs[m].losses.map((f) => f - land.floor)), gap);
    const bottom = Math.max(lowest, gap * 1e-9);
    return { log: true, y: [10 ** Math.floor(Math.log10(bottom) - 0.01), 10 ** Math.ceil(Math.log10(gap) + 0.25)], of: (f) => f - land.floor };
  }
  const top = Math.max(first, 0.4) * 1.15;
  const lowest = Math.min(0, ...S.methods.flatMap((m) => runs[m].losses));
  const bottom = Math.max(DEEPEST * top, Math.min(lowest, -0.6 * top, -1)); // a run down a saddle has no end
  return { log: false, bent: 10 ** Math.floor(Math.log10(top) - 0.5), y: [bottom, top], of: (f) => f };
}

function exitOf(pixels, { top, bottom }) {
  const inside = ([, y]) => y >= top && y <= bottom;
  let i = pixels.length - 1;
  while (i > 0 && !inside(pixels[i])) i -= 1;
  const [[x, y], next] = [pixels[i], pixels[i + 1]];
  const edge = (v) => Math.max(top, Math.min(bottom, v));
  if (!next || !inside(pixels[i])) return { x, y: edge(y) };
  return { x: x + ((next[0] - x) * (edge(next[1]) - y)) / (next[1] - y), y: edge(next[1]) };
}

function lossView(lab) {
  const view = panel({ title: "Loss" });
  const settled = kept();
  let scale = null;
  scrub(view.canvas, lab, (x) => {
    lab.pause();
    if (scale) lab.update({ at: Math.round(scale.invert(x)) });
  });
  view.draw = () => {
    const { S, theme, land, runs, at } = lab;
    const area = surface(view.canvas);
    const { ctx } = area;
    const range = lossRange(lab);
    view.title(range.log ? (land.floor === 0 ? "Loss" : "Loss above the minimum") : "Loss");
    const within = (f) => range.of(f) >= range.y[0] && range.of(f) <= range.y[1];
    const leaves = (m) => runs[m].points.length <= S.steps || !within(runs[m].losses[S.steps]);
    const staying = S.methods.filter((m) => !leaves(m)).map((m) => METHODS[m].short);
    const gutter = Math.max(18, gutterFor(ctx, theme, staying));
    const scales = { x: [0, S.steps], y: range.y, yLog: range.log, yBent: range.bent };
    const frame = axes(area, theme, { ...scales, xLabel: "step", gutter });
    view.note(range.bent ? "scale: asinh" : "");
    scale = frame.sx;
    if (land.saddle) {
      const level = frame.sy(range.of(land.reference));
      ctx.strokeStyle = theme.critical;
      ctx.lineWidth = 1.2;
      ctx.setLineDash([5, 4]);
      line(ctx, [[frame.box.left, level], [frame.box.right, level]]);
      ctx.setLineDash([]);
    }
    ctx.strokeStyle = theme.faint;
    ctx.lineWidth = 1;
    line(ctx, [[frame.sx(at), frame.box.top], [frame.sx(at), frame.box.bottom]]);
    const [ends, leaving, drawn] = [[], [], []];
    clipped(ctx, { ...frame.box, top: frame.box.top - 3, right: frame.box.right + 6, bottom: frame.box.bottom + 3 }, () => {
      for (const method of S.methods) {
        const pixels = runs[method].losses.map((f, t) => [frame.sx(t), Math.max(-999, Math.min(9999, frame.sy(range.of(f))))]);
        const whole = Math.min(Math.floor(at), pixels.length - 1);
        ctx.strokeStyle = theme.hue[method];
        ctx.lineWidth = 1.5;
        ctx.globalAlpha = 0.3;
        if (whole < pixels.length - 1) line(ctx, pixels.slice(whole));
        ctx.globalAlpha = 1;
        ctx.lineWidth = 2;
        line(ctx, pixels.slice(0, whole + 1));
        dot(ctx, ...pixels[whole], 4, theme.hue[method], theme.ground);
        drawn.push(pixels);
        const end = exitOf(pixels, frame.box);
        (leaves(method) ? leaving : ends).push({ ...end, heading: [1, 0], name: METHODS[method].short, hue: theme.hue[method] });
      }
    });
    if (land.saddle) {
      const level = frame.sy(range.of(land.reference));
      const free = level - frame.box.top > 18 ? level - 5 : level + 14; // above the line, unless that is outside
      const share = Math.abs(at / S.steps - 0.5) < 0.12 ? 0.72 : 0.5; // beside the line of the step shown
      text(ctx, theme, land.point, frame.sx(share * S.steps), free, { align: "center", size: 11.5, halo: true });
    }
    endLabels(ctx, theme, frame.box, ends);
    const labels = settled([runs, theme, area.width, area.height], () => {
      const dots = leaving.length ? drawn.flatMap((pixels) => beads(pixels, 9, 200)) : [];
      const taken = [[0, 0, frame.box.left, area.height]]; // the numbers
      return settleLabels(ctx, theme, leaving, frame.box.right, frame.box.bottom, { taken, dots });
    });
    drawLabels(ctx, theme, labels);
    const words = S.methods.map((m) => {
      const run = runs[m];
      return `${METHODS[m].label} ${formatNumber(run.losses[Math.min(Math.round(at), run.losses.length - 1)], 3)}`;
    });
    view.describe(`Loss against steps. At step ${Math.round(at)}: ${words.join(", ") || "no method"}.`);
  };
  return view;
}

function outline(P) {
  const { values, angle } = eigen(P);
  const [c, s] = [Math.cos(angle), Math.sin(angle)];
  return Array.from({ length: 65 }, (_, i) => {
    const t = (2 * Math.PI * i) / 64;
    const [u, w] = [values[0] * Math.cos(t), values[1] * Math.sin(t)];
    return [c * u - s * w, s * u + c * w];
  });
}

function ratesWords(P) {
  const { values: [first, second], degrees } = principal(P);
  if (Math.abs(first - second) <= 1e-9 * Math.abs(first)) return `${formatNumber(first, 3)} in every direction`;
  if (Math.abs(degrees) < 0.05) return `${formatNumber(first, 3)} for θ₁ and ${formatNumber(second, 3)} for θ₂`;
  return `${formatNumber(first, 3)} at ${inDegrees(degrees)} from θ₁ and ${formatNumber(second, 3)} across that`;
}

function ratesView(lab) {
  const view = panel({ title: "Effective learning rates" });
  const settled = kept();
  view.draw = () => {
    const { S, theme, land, runs, at } = lab;
    const { ctx, width, height } = surface(view.canvas);
    const t = Math.max(0, Math.ceil(at) - 1);
    const shown = S.methods.map((m) => ({ m, record: runs[m].records[Math.min(t, runs[m].records.length - 1)] })).filter(({ record }) => record);
    const radius = ({ record }) => Math.max(...eigen(record.P).values.map(Math.abs));
    const radii = shown.map(radius).filter(Number.isFinite);
    const smallest = Math.min(...radii, Infinity);
    const reach = Math.max(...radii.filter((r) => r <= 6 * smallest), 1e-9);
    const extent = Number.isFinite(reach) ? reach * 1.18 : 1;
    const unit = height / 2 - 18; // the names of the axes stand outside
    const sx = linearScale(-extent, extent, width / 2 - unit, width / 2 + unit);
    const sy = linearScale(-extent, extent, height / 2 + unit, height / 2 - unit);
    ctx.strokeStyle = theme.hairline;
    ctx.lineWidth = 1;
    line(ctx, [[8, height / 2], [width - 26, height / 2]]);
    line(ctx, [[width / 2, 18], [width / 2, height - 6]]);
    text(ctx, theme, "θ₁", width - 4, height / 2, { align: "right", base: "middle", size: 12 });
    text(ctx, theme, "θ₂", width / 2, 11, { align: "center", size: 12 });
    const head = shown.length ? runs[shown[0].m].points[Math.min(t, runs[shown[0].m].points.length - 1)] : [S.x0, S.y0];
    const ideal = inverse(absolute(land.hess(head)));
    const longest = Math.max(...eigen(ideal).values);
    const wide = Number.isFinite(longest) && Math.min(...eigen(ideal).values) > 0.03 * longest;
    if (wide) {
      ctx.setLineDash([3, 4]);
      ctx.strokeStyle = theme.muted;
      line(ctx, outline(matrixFunction(ideal, (x) => (x / longest) * extent * 0.94)).map(([x, y]) => [sx(x), sy(y)]));
      ctx.setLineDash([]);
    }
    const beyond = [];
    const uphill = [];
    const names = [];
    const dots = [];
    for (const item of shown) {
      ctx.strokeStyle = theme.hue[item.m];
      ctx.fillStyle = theme.hue[item.m];
      ctx.lineWidth = 2.2;
      const values = eigen(item.record.P).values;
      if (!values.every(Number.isFinite)) continue;
      const points = outline(item.record.P).map(([x, y]) => [sx(x), sy(y)]);
      if (radius(item) > extent) beyond.push(METHODS[item.m].short); // its tint would fill the whole plot
      else {
        ctx.globalAlpha = 0.1;
        ctx.beginPath();
        points.forEach(([x, y], i) => (i ? ctx.lineTo(x, y) : ctx.moveTo(x, y)));
        ctx.fill();
        ctx.globalAlpha = 1;
      }
      line(ctx, points);
      if (values[1] < 0 && values[0] * values[1] < 0) {
        uphill.push(METHODS[item.m].short);
        const { angle } = eigen(item.record.P); // the axis along which this method steps uphill
        ctx.setLineDash([4, 4]);
        const [ux, uy] = [-Math.sin(angle) * values[1], Math.cos(angle) * values[1]];
        line(ctx, [[sx(-ux), sy(-uy)], [sx(ux), sy(uy)]]);
        ctx.setLineDash([]);
      }
      dots.push(...points.filter((_, i) => i % 2 === 0));
      const inside = points.filter(([x, y]) => x > 0 && x < width && y > 0 && y < height);
      const [tip] = inside.sort((p, q) => q[0] - q[1] - p[0] + p[1]); // farthest to the upper right
      if (tip) names.push({ x: tip[0], y: tip[1], heading: [1, -1], name: METHODS[item.m].short + (METHODS[item.m].memory ? "*" : ""), hue: theme.hue[item.m] });
    }
    const taken = [[width / 2 - 10, 0, width / 2 + 10, 14], [width - 20, height / 2 - 8, width, height / 2 + 8]];
    const labels = settled([runs, theme, t, width, height], () => settleLabels(ctx, theme, names, width, height, { taken, dots }));
    drawLabels(ctx, theme, labels);
    const first = shown.length ? METHODS[shown[0].m].short : "the start";
    const notes = [ // short: with more than two lines what is below would move
      beyond.length && `${beyond.join(", ")} ${beyond.length > 1 ? "leave" : "leaves"} the frame`,
      wide && `dashed: |H|⁻¹ at ${first}`,
      uphill.length && `axis: ${uphill.join(", ")} uphill`,
      shown.some(({ m }) => METHODS[m].memory) && "*: for a steady gradient",
    ];
    view.note(notes.filter(Boolean).join("; "));
    const words = shown.map(({ m, record }) => `${METHODS[m].label} ${ratesWords(record.P)}${METHODS[m].memory ? " for a steady gradient" : ""}`);
    view.describe(`Effective learning rates at step ${Math.round(at)}: ${words.join("; ") || "no method"}.${wide ? ` Dashed: the shape of |H|⁻¹ where ${first} is.` : ""}`);
  };
  return view;
}

// view-many.js
const LOWEST = 1e-4;
const HEIGHTS = { polynomial: [-2.1, 2.1], chain: [-0.3, 1.5] }; // the data stay within; beliefs may need more

function drawModes(lab, area, problem, runs, step) {
  const { S, theme } = lab;
  const { ctx } = area;
  const values = problem.values;
  const x = [10 ** Math.floor(Math.log10(values[values.length - 1])), 10 ** Math.ceil(Math.log10(values[0]) + 1e-9)];
  const frame = axes(area, theme, { x, y: [LOWEST, 10], xLog: true, yLog: true, yLabel: " ", xLabel: "curvature of the mode" });
  text(ctx, theme, `left of each mode’s error, step ${step}`, frame.box.left, 12, { colour: theme.ink, weight: 600, size: 12 });
  ctx.strokeStyle = theme.critical;
  ctx.setLineDash([5, 4]);
  ctx.lineWidth = 1;
  line(ctx, [[frame.box.left, frame.sy(1)], [frame.box.right, frame.sy(1)]]);
  ctx.setLineDash([]);
  const [ends, dots] = [[], []];
  clipped(ctx, { ...frame.box, top: frame.box.top - 4, bottom: frame.box.bottom + 4, right: frame.box.right + 5 }, () => {
    for (const method of S.methods) {
      const pixels = leftOver(problem, weightsAt(runs[method], step)).flatMap((v, k) =>
        v === null ? [] : [[frame.sx(values[k]), frame.sy(Math.max(LOWEST, Math.min(20, v)))]]);
      if (!pixels.length || isOut(problem, weightsAt(runs[method], step))) continue;
      ctx.strokeStyle = theme.hue[method];
      ctx.lineWidth = 1.6;
      ctx.globalAlpha = 0.6;
      line(ctx, pixels);
      ctx.globalAlpha = 1;
      pixels.forEach(([px, py]) => dot(ctx, px, py, 3, theme.hue[method]));
      const [x, y] = pixels[pixels.length - 1]; // the flattest mode, of which most is left
      ends.push({ x, y: Math.max(frame.box.top, y), name: METHODS[method].short, hue: theme.hue[method], heading: [1, -0.6] });
      dots.push(...beads(pixels, 9, 200));
    }
  });
  const taken = [[0, 0, area.width, 18], [0, 0, frame.box.left, area.height]]; // the title, and the numbers
  drawLabels(ctx, theme, settleLabels(ctx, theme, ends, frame.box.right, frame.box.bottom, { taken, dots }));
}

function heightsOf({ name, start }) {
  const [low, high] = HEIGHTS[name];
  return name === "chain" ? [Math.min(low, ...start.map((v) => 1.1 * v)), Math.max(high, ...start.map((v) => 1.1 * v))] : [low, high];
}

function drawWeights(lab, area, problem, runs, step, y) {
  const { S, theme } = lab;
  const { ctx } = area;
  const fit = problem.name === "polynomial";
  const n = problem.goal.length;
  const range = fit ? { x: [-1, 1], y, xTicks: [-1, -0.5, 0, 0.5, 1], yTicks: [-2, -1, 0, 1, 2] } : { x: [1, n], y, xTicks: [1, 4, 8, 12, 16], ...(y[1] === HEIGHTS.chain[1] ? { yTicks: [0, 0.5, 1] } : {}) };
  const frame = axes(area, theme, { ...range, yLabel: " ", xLabel: fit ? "x" : "place in the chain" });
  const pixels = (w) => curveOf(problem, w).map(([x, y]) => [frame.sx(x), frame.sy(Math.max(-99, Math.min(99, y)))]);
  text(ctx, theme, fit ? "the fitted polynomial" : "what each one believes", frame.box.left, 12, { colour: theme.ink, weight: 600, size: 12 });
  const out = S.methods.filter((m) => isOut(problem, weightsAt(runs[m], step)));
  const words = out.map((m) => METHODS[m].short).join(", ");
  if (out.length) text(ctx, theme, `${words} ${out.length > 1 ? "are" : "is"} out`, frame.box.right, 12, { align: "right", colour: theme.bad, weight: 600, most: 0.55 * (frame.box.right - frame.box.left) });
  clipped(ctx, { ...frame.box, left: frame.box.left - 4, right: frame.box.right + 4 }, () => {
    ctx.strokeStyle = theme.muted;
    ctx.lineWidth = 1.3;
    ctx.setLineDash([3, 4]);
    line(ctx, pixels(problem.goal));
    ctx.setLineDash([]);
    for (const method of S.methods.filter((m) => !out.includes(m))) {
      ctx.strokeStyle = theme.hue[method];
      ctx.lineWidth = 2;
      line(ctx, pixels(weightsAt(runs[method], step)));
    }
  });
  return frame;
}

function manyView(lab) {
  const view = panel({ title: "On many weights", shape: "modes" });
  const choice = problemChoice(lab);
  view.element.append(choice.element);
  const row = beadRow(lab, view, {
    label: "Beads to move up and down",
    hold: () => ({ heights: heightsOf(manyOf(lab).problem) }), // the scale stays as it is under the hand
    set: (i, value) => {
      const fit = lab.S.many === "polynomial";
      const values = fit ? dataOf(lab.S.data) : manyOf(lab).problem.start.slice();
      values[i] = value;
      lab.update({ [fit ? "data" : "weights"]: values.map((v) => Number(v.toPrecision(4))) });
    },
  });
  view.lacks = () => noMany(lab);
  view.draw = () => {
    const { S, at } = lab;
    const { ctx, width, height } = surface(view.canvas);
    choice.draw();
    const { problem, runs } = manyOf(lab);
    const step = Math.round(at);
    const stacked = width < 560;
    const size = stacked ? { width, height: height / 2 - 6 } : { width: width / 2 - 12, height };
    const [left, top] = stacked ? [0, height / 2 + 6] : [width / 2 + 12, 0];
    drawModes(lab, { ctx, ...size }, problem, runs, step);
    ctx.save();
    ctx.translate(left, top);
    const heights = row.held?.heights ?? heightsOf(problem);
    const { sx, sy, box } = drawWeights(lab, { ctx, ...size }, problem, runs, step, heights);
    ctx.restore();
    const fit = S.many === "polynomial";
    const held = fit ? problem.data : curveOf(problem, problem.start);
    const { min: least, max: most } = SETTINGS[fit ? "data" : "weights"];
    row.place(held.map(([x, value], i) => ({
      x: left + sx(x), y: top + Math.max(box.top, Math.min(box.bottom, sy(value))), value: Number(value.toPrecision(4)), least, most, step: 0.05,
      label: fit ? `Data point ${i + 1} of ${held.length}, x = ${formatNumber(x, 2)}` : `Place ${i + 1} of ${held.length}, belief at the start`,
      spoken: formatNumber(value, 3), invert: (y) => sy.invert(Math.max(box.top, Math.min(box.bottom, y - top))),
    })), [width, height]);
    const { values, goal } = problem;
    view.note(`${goal.length} weights, κ = ${formatNumber(values[0] / values[values.length - 1], 2)}, no noise; move the ${fit ? "data" : "beads: where each begins"}`);
    const words = S.methods.map((m) => {
      const left = leftOver(problem, weightsAt(runs[m], step));
      const said = (share) => (share === null ? "no error to lose" : `${formatNumber(share, 2)} left`);
      return `${METHODS[m].label} has ${said(left[0])} of the steepest and ${said(left[left.length - 1])} of the flattest`;
    });
    view.describe(`${goal.length} weights, ${fit ? "a polynomial fitted to twelve points" : "a chain of neighbours"}, at step ${step}: ${words.join("; ") || "no method"}.`);
  };
  return view;
}

// view-modes.js
const FLOOR = 1e-9; // of the distance at the start: below it a mode counts as solved

function drawMode(lab, area, mode, other, range) {
  const { S, theme, runs, at } = lab;
  const { ctx } = area;
  const name = modeName(mode.h, other.h);
  const frame = axes(area, theme, { x: [0, S.steps], y: range, yLog: true, yLabel: " ", xLabel: area.width > 220 ? "step" : "" });
  text(ctx, theme, `${name}, h = ${formatNumber(mode.h, 2)}`, area.width > 220 ? frame.box.left : 0, 12, { colour: theme.ink, weight: 600, size: 12 });
  ctx.strokeStyle = theme.faint;
  ctx.lineWidth = 1;
  line(ctx, [[frame.sx(at), frame.box.top], [frame.sx(at), frame.box.bottom]]);
  const words = [];
  const [ends, dots] = [[], []];
  clipped(ctx, { ...frame.box, top: frame.box.top - 3, right: frame.box.right + 6, bottom: frame.box.bottom + 3 }, () => {
    for (const method of S.methods) {
      const z = amplitudes(runs[method], mode).map(Math.abs);
      const pixels = z.map((v, t) => [frame.sx(t), Math.min(9999, frame.sy(Math.max(v, range[0] / 10)))]);
      const whole = Math.min(Math.floor(at), pixels.length - 1);
      ctx.strokeStyle = theme.hue[method];
      ctx.globalAlpha = 0.3;
      ctx.lineWidth = 1.5;
      if (whole < pixels.length - 1) line(ctx, pixels.slice(whole));
      ctx.globalAlpha = 1;
      ctx.lineWidth = 2;
      line(ctx, pixels.slice(0, whole + 1));
      dot(ctx, ...pixels[whole], 4, theme.hue[method], theme.ground);
      const inside = pixels.filter(([, y]) => y >= frame.box.top && y <= frame.box.bottom);
      const [x, y] = inside[inside.length - 1] ?? pixels[0];
      ends.push({ x, y, name: METHODS[method].short, hue: theme.hue[method], heading: [-1, -0.4] });
      dots.push(...beads(pixels, 9, 200));
      const factor = modeFactor(method, S, mode.h);
      words.push(`${METHODS[method].short} ${formatNumber(z[whole], 2)}${factor === null ? "" : `, a factor of ${formatNumber(factor, 3)} a step`}`);
    }
  });
  const taken = [[0, 0, area.width, 18]]; // the title
  if (area.width > 200) drawLabels(ctx, theme, settleLabels(ctx, theme, ends, frame.box.right, frame.box.bottom, { taken, dots }));
  return { frame, words: `${name}, curvature ${formatNumber(mode.h, 2)}: ${words.join("; ")}` };
}

function drawShares(lab, area, modes) {
  const { S, theme, runs, at, land } = lab;
  const { ctx, width, height } = area;
  text(ctx, theme, `what is left at step ${Math.round(at)}`, 0, 12, { colour: theme.ink, weight: 600, size: 12 });
  const tall = Math.min(44, (height - 40) / Math.max(1, S.methods.length));
  const scale = linearScale(0, 1, 0, width);
  S.methods.forEach((method, r) => {
    const run = runs[method];
    const part = shares(run, modes, Math.min(Math.round(at), run.points.length - 1));
    const top = 24 + r * tall;
    const bar = Math.max(5, Math.min(12, tall - 18));
    ctx.fillStyle = theme.hue[method];
    ctx.fillRect(0, top, scale(part[0]), bar);
    ctx.globalAlpha = 0.4;
    ctx.fillRect(scale(part[0]), top, scale(part[1]), bar);
    ctx.globalAlpha = 1;
    if (tall < 26) return;
    const factors = modes.map(({ h }) => modeFactor(method, S, h));
    const words = mixes(method, land.quadratic) ? ": mixes the modes" : factors[0] === null ? "" : `: ×${factors.map((f) => formatNumber(f, 3)).join(" and ×")}`;
    text(ctx, theme, `${METHODS[method].short}${words}`, 0, top + bar + 12, { size: 11.5, most: width });
  });
  text(ctx, theme, "solid: first mode, pale: second", 0, height - 4, { size: 11.5 });
}

function modesView(lab) {
  const view = panel({ title: "The error, mode by mode", shape: "modes" });
  let frames = [];
  view.lacks = () => (lab.land.quadratic ? null : "Modes are those of a quadratic: choose the bowl or the quadratic.");
  scrub(view.canvas, lab, (x) => {
    const hit = frames.find(({ left, right }) => x >= left && x <= right);
    if (!hit) return;
    lab.pause();
    lab.update({ at: Math.round(hit.frame.sx.invert(x - hit.left)) });
  });
  view.draw = () => {
    const { S, theme, land, runs } = lab;
    const { ctx, width, height } = surface(view.canvas);
    frames = [];
    const modes = modesOf(land.quadratic);
    const all = S.methods.flatMap((m) => modes.flatMap((mode) => amplitudes(runs[m], mode).map(Math.abs))).filter(Number.isFinite);
    const first = Math.max(...modes.map((mode) => Math.abs(mode.axis[0] * S.x0 + mode.axis[1] * S.y0)), 1e-9);
    const top = Math.min(Math.max(first, ...all), 1e3 * first);
    const low = Math.max(FLOOR * first, Math.min(first / 10, ...all.filter((v) => v > 0)));
    const range = [10 ** Math.floor(Math.log10(low)), 10 ** Math.ceil(Math.log10(top))];
    const stacked = width < 560;
    const gap = 18;
    const column = stacked ? (width - gap) / 2 : (width - 2 * gap) * 0.36;
    const tall = stacked ? height * 0.62 : height;
    const words = modes.map((mode, i) => {
      const left = i * (column + gap);
      ctx.save();
      ctx.translate(left, 0);
      const { frame, words } = drawMode(lab, { ctx, width: column, height: tall }, mode, modes[1 - i], range);
      ctx.restore();
      frames.push({ left, right: left + column, frame });
      return words;
    });
    ctx.save();
    ctx.translate(stacked ? 0 : 2 * (column + gap), stacked ? tall + 10 : 0);
    drawShares(lab, { ctx, width: stacked ? width : width - 2 * (column + gap), height: stacked ? height - tall - 10 : height }, modes);
    ctx.restore();
    view.note("distance |qᵀ(θ − θ*)|");
    view.describe(`Distance from the critical point along each eigenvector at step ${Math.round(lab.at)}. ${words.join(". ")}.`);
  };
  return view;
}

// expected.js
const EXPECTED = ["sgd", "momentum", "nesterov"];
const MOST = 1e15; // beyond it a run has long been cut off
const FOUR = [0, 1, 2, 3];

const momentumOf = (method, S) => (method === "sgd" ? 0 : S.momentum);
const formOf = (method) => (method === "nesterov" ? nesterov : heavyBall);
const table = (entry) => FOUR.map((i) => FOUR.map((j) => entry(i, j)));
const composed = (A, B) => table((i, j) => FOUR.reduce((sum, k) => sum + A[i][k] * B[k][j], 0));

function weightsOf(method, S) {
  const [lr, beta] = [S[`lr_${method}`], momentumOf(method, S)];
  return method === "nesterov"
    ? { ofGradient: [-lr * (1 + beta), 1], ofBuffer: [-lr * beta * beta, beta] }
    : { ofGradient: [-lr, 1], ofBuffer: [-lr * beta, beta] };
}

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

function expectedLoss(method, S, land, steps = S.steps) {
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

function takeover({ start, noise }) {
  let step = start.length;
  while (step > 0 && Math.abs(noise[step - 1]) >= Math.abs(start[step - 1])) step -= 1;
  return step < start.length ? step : null;
}

function restingVariance(method, S, h) {
  const { ofGradient: q, ofBuffer } = weightsOf(method, S);
  const [[a, b], [c, d]] = [[1 + q[0] * h, ofBuffer[0]], [q[1] * h, ofBuffer[1]]];
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

function noiseFloor(method, S, land) {
  const noise = noiseCovariance(S, land.quadratic);
  return modesOf(land.quadratic).filter(({ h }) => h !== 0).reduce((sum, { h, axis: [c, s] }) => {
    const along = noise.a * c * c + 2 * noise.b * c * s + noise.c * s * s;
    return sum + 0.5 * h * along * restingVariance(method, S, h);
  }, 0);
}

function noiseVerdict(method, S, land) {
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

// view-noise.js
const OVERHEAD = 15; // a second line of words above the axes

function scaleOf(parts, land) {
  const first = Math.max(...parts.map(({ start }) => Math.abs(start[0])), 1e-6);
  const all = parts.flatMap(({ start, noise }) => [...start, ...noise]);
  if (land.floor === null) {
    const top = Math.max(first, 0.4) * 1.15;
    const low = Math.max(-1e5 * top, 1.15 * Math.min(...all, -0.5 * top));
    const high = Math.min(1e5 * top, 1.15 * Math.max(...all, 0.8 * top));
    return { y: [low, high], yBent: 10 ** Math.floor(Math.log10(top) - 0.5) };
  }
  const least = Math.min(...parts.map(({ noise }) => noise[1] ?? first)); // from there on it grows
  const low = Math.max(1e-9 * first, Math.min(0.1 * first, least / 3));
  const high = Math.min(1e5 * first, Math.max(...all, first));
  return { y: [10 ** Math.floor(Math.log10(low)), 10 ** Math.ceil(Math.log10(high) + 0.05)], yLog: true };
}

function drawParts(lab, area, { method, verdict, ...part }, scale, settled) {
  const { S, theme, runs, at } = lab;
  const { ctx, width, height } = area;
  ctx.save();
  ctx.translate(0, OVERHEAD);
  const inner = { ctx, width, height: height - OVERHEAD };
  const gutter = gutterFor(ctx, theme, ["from the noise"]);
  const frame = axes(inner, theme, { x: [0, S.steps], ...scale, yLabel: " ", xLabel: "step", gutter });
  const { box } = frame;
  const pixels = (values) => values.map((f, t) => [frame.sx(t), Math.max(-999, Math.min(9999, frame.sy(f)))]);
  ctx.strokeStyle = theme.faint;
  ctx.lineWidth = 1;
  line(ctx, [[frame.sx(at), box.top], [frame.sx(at), box.bottom]]);
  if (verdict.step !== null) {
    ctx.setLineDash([5, 4]);
    ctx.strokeStyle = theme.critical;
    line(ctx, [[frame.sx(verdict.step), box.top], [frame.sx(verdict.step), box.bottom]]);
    ctx.setLineDash([]);
  }
  const shown = Math.min(Math.round(at), part.start.length - 1);
  const ends = [];
  const room = { left: box.left, right: box.right + 5, top: box.top - 3, bottom: box.bottom + 3 };
  clipped(ctx, room, () => {
    const hue = theme.hue[method];
    const run = runs[method].losses.map((f) => f - lab.land.reference);
    const curves = [["this run", run], ["from the start", part.start, [6, 4]], ["from the noise", part.noise]];
    for (const [name, values, dash] of curves) {
      const curve = pixels(values);
      ctx.strokeStyle = hue;
      ctx.lineWidth = values === run ? 1.2 : 2.2;
      ctx.globalAlpha = values === run ? 0.45 : 1;
      ctx.setLineDash(dash ?? []);
      line(ctx, curve);
      ctx.setLineDash([]);
      ctx.globalAlpha = 1;
      if (values !== run) dot(ctx, ...curve[shown], 4, hue, theme.ground);
      const [x, y] = curve[curve.length - 1];
      ends.push({ x: y < box.top || y > box.bottom ? box.right : x, y, name, hue, pale: values === run }); // no leader along an edge
    }
  });
  endLabels(ctx, theme, box, ends);
  ctx.restore();
  text(ctx, theme, METHODS[method].label, box.left, 12, { colour: theme.ink, weight: 600, size: 12 });
  const bad = verdict.kind === "diverges";
  const tone = bad ? { colour: theme.bad, weight: 600 } : {};
  text(ctx, theme, verdict.words, box.left, 28, { ...tone, size: 12, most: width - box.left });
  const [start, noise] = [part.start[shown], part.noise[shown]].map((v) => formatNumber(v, 3));
  const words = `${start} from the start and ${noise} from the noise; ${verdict.words}`;
  return { sx: frame.sx, words: `${METHODS[method].label}: ${words}` };
}

function expectedView(lab) {
  const view = panel({ title: "Expected loss", shape: "modes" });
  let frames = [];
  let cache = { runs: null };
  view.lacks = () => {
    if (!lab.land.quadratic) return "The expected loss is exact on a quadratic: choose the bowl or the quadratic.";
    const known = EXPECTED.some((m) => lab.S.methods.includes(m));
    if (!known) return "It is known for gradient descent and both forms of momentum: add one of them.";
    return lab.S.noise > 0 ? null : "No noise: all of the loss is from the start. Raise the gradient noise σ.";
  };
  scrub(view.canvas, lab, (x, y) => {
    const hit = frames.find(({ left, top, right, bottom }) => x >= left && x <= right && y >= top && y <= bottom);
    if (!hit) return;
    lab.pause();
    lab.update({ at: Math.round(hit.sx.invert(x - hit.left)) });
  });
  const shown = () => EXPECTED.filter((m) => lab.S.methods.includes(m));
  view.fit = () => view.plot.classList.toggle("three", shown().length > 2);
  view.draw = () => {
    const { S, land, runs } = lab;
    const { ctx, width, height } = surface(view.canvas);
    const methods = shown();
    const law = (method) => ({ method, verdict: noiseVerdict(method, S, land), ...expectedLoss(method, S, land) });
    if (cache.runs !== runs) cache = { runs, parts: methods.map(law) };
    const scale = scaleOf(cache.parts, land);
    const along = width < 560 ? 1 : Math.min(2, methods.length);
    const down = Math.ceil(methods.length / along);
    const size = { width: width / along - (along - 1) * 10, height: height / down - (down - 1) * 5 };
    frames = [];
    const words = cache.parts.map((part, i) => {
      const [left, top] = [(i % along) * (size.width + 20), Math.floor(i / along) * (size.height + 10)];
      ctx.save();
      ctx.translate(left, top);
      const drawn = drawParts(lab, { ctx, ...size }, part, scale);
      ctx.restore();
      frames.push({ left, top, right: left + size.width, bottom: top + size.height, sx: drawn.sx });
      return drawn.words;
    });
    const falls = cache.parts.some(({ verdict }) => verdict.kind === "falls");
    const grows = falls ? "Downhill there is no floor: what the noise adds grows without end. " : "";
    const plain = `scale: ${scale.yLog ? "log" : "asinh"}`;
    view.note(falls ? "what the noise adds grows without end" : plain);
    view.describe(`Expected loss at step ${Math.round(lab.at)}, in two parts. ${grows}${words.join(". ")}.`);
  };
  return view;
}

// contours.js
const CELLS = 64; // enough for all but a landscape that names its own `cells`, a multiple of these

function riseGrid(land, frame, unmap, cells = CELLS) {
  const [cx, cy, half] = frame;
  const values = new Float64Array((cells + 1) * (cells + 1));
  let [largest, lowest] = [0, Infinity];
  for (let j = 0; j <= cells; j += 1) {
    for (let i = 0; i <= cells; i += 1) {
      const x = unmap([cx - half + (2 * half * i) / cells, cy + half - (2 * half * j) / cells]);
      const rise = land.f(x) - land.reference;
      values[j * (cells + 1) + i] = rise;
      lowest = Math.min(lowest, rise);
      largest = Math.max(largest, Math.abs(rise));
    }
  }
  return { values, largest: largest ** (1 / land.power) || 1, lowest, cells };
}

const JOINS = [[], [3, 0], [0, 1], [3, 1], [1, 2], [3, 0, 1, 2], [0, 2], [3, 2], [2, 3], [2, 0], [0, 1, 2, 3], [2, 1], [1, 3], [1, 0], [0, 3], []];

const contourLevels = (field, power, lines = 13) =>
  Array.from({ length: 2 * lines + 1 }, (_, i) => i - lines)
    .filter((k) => k !== 0)
    .map((k) => Math.sign(k) * ((Math.abs(k) / lines) * field.largest * 0.985) ** power);

function tintOf(rise, field, theme, power, out) {
  const share = Math.min(1, Math.abs(rise) ** (1 / power) / field.largest) ** 0.8;
  const goal = rise < 0 ? theme.below : theme.above;
  for (let c = 0; c < 3; c += 1) out[c] = theme.level[c] + (goal[c] - theme.level[c]) * share;
  return out;
}

function crossings(a, b, c, d, level) {
  const joins = JOINS[(a > level ? 1 : 0) | (b > level ? 2 : 0) | (c > level ? 4 : 0) | (d > level ? 8 : 0)];
  return joins.map((edge) => {
    if (edge === 0) return [(level - a) / (b - a), 0];
    if (edge === 2) return [(level - d) / (c - d), 1];
    return edge === 3 ? [0, (level - a) / (d - a)] : [1, (level - b) / (c - b)];
  });
}

function traceLevel(ctx, { values, cells }, level, width, height) {
  const n = cells + 1;
  const [sx, sy] = [width / cells, height / cells];
  for (let j = 0; j < cells; j += 1) {
    for (let i = 0; i < cells; i += 1) {
      const k = j * n + i;
      const a = values[k];
      const b = values[k + 1];
      const c = values[k + n + 1];
      const d = values[k + n];
      const code = (a > level ? 1 : 0) | (b > level ? 2 : 0) | (c > level ? 4 : 0) | (d > level ? 8 : 0);
      if (code === 0 || code === 15) continue;
      const joins = JOINS[code];
      for (let e = 0; e < joins.length; e += 1) {
        let x = i;
        let y = j;
        if (joins[e] === 0) x += (level - a) / (b - a);
        else if (joins[e] === 2) [x, y] = [x + (level - d) / (c - d), y + 1];
        else if (joins[e] === 3) y += (level - a) / (d - a);
        else [x, y] = [x + 1, y + (level - b) / (c - b)];
        if (e % 2) ctx.lineTo(x * sx, y * sy);
        else ctx.moveTo(x * sx, y * sy);
      }
    }
  }
}

function tint(field, theme, power, wide) {
  const stride = field.cells / wide;
  const image = new ImageData(wide + 1, wide + 1);
  const colour = [0, 0, 0];
  for (let index = 0; index < (wide + 1) ** 2; index += 1) {
    const [i, j] = [index % (wide + 1), Math.floor(index / (wide + 1))];
    tintOf(field.values[stride * (j * (field.cells + 1) + i)], field, theme, power, colour);
    for (let c = 0; c < 3; c += 1) image.data[4 * index + c] = colour[c];
    image.data[4 * index + 3] = 255;
  }
  const canvas = document.createElement("canvas");
  canvas.width = wide + 1;
  canvas.height = wide + 1;
  canvas.getContext("2d").putImageData(image, 0, 0);
  return canvas;
}

function paintContours(canvas, land, theme, frame, unmap) {
  const { ctx, width, height } = surface(canvas);
  const field = riseGrid(land, frame, unmap, land.cells ?? CELLS);
  ctx.imageSmoothingEnabled = true;
  ctx.imageSmoothingQuality = "high";
  const overlap = width / CELLS / 2; // a grid value sits at a cell's corner, a pixel's in its middle
  ctx.drawImage(tint(field, theme, land.power, CELLS), -overlap, -overlap, width + 2 * overlap, height + 2 * overlap);
  ctx.lineCap = "butt";
  ctx.lineWidth = 1;
  ctx.strokeStyle = theme.contour;
  ctx.beginPath();
  const levels = contourLevels(field, land.power).filter((level) => level > field.lowest);
  levels.forEach((level) => traceLevel(ctx, field, level, width, height));
  ctx.stroke();
  if (land.saddle) {
    ctx.strokeStyle = theme.critical;
    ctx.lineWidth = 1.2;
    ctx.setLineDash([5, 4]);
    ctx.beginPath();
    traceLevel(ctx, field, 1e-9, width, height);
    ctx.stroke();
    ctx.setLineDash([]);
  }
}

// view-path.js
const clampPixel = (v) => Math.max(-4000, Math.min(4000, v));

function coordinates(lab, transformed) {
  const { land, S } = lab;
  const window = [land.window[0], land.window[1], land.window[2] / S.zoom];
  if (!transformed) return { frame: window, window, map: (x) => x, unmap: (x) => x, key: String(S.zoom) };
  const root = contourRoot(S, land.hess([S.x0, S.y0]));
  const back = inverse(root);
  const map = (x) => matvec(back, x);
  const unmap = (x) => matvec(root, x);
  const [cx, cy] = map(window);
  const reach = Math.max(Math.abs(back.a), Math.abs(back.c)) + Math.abs(back.b);
  const half = window[2] * reach; // the whole window, wherever the start is
  return { frame: [cx, cy, half], window, map, unmap, root, key: [root.a, root.b, root.c, half].join() };
}

function marks(ctx, theme, land, place, width, height) {
  const inside = ([x, y]) => x > 4 && y > 4 && x < width - 4 && y < height - 4;
  for (const point of land.minima) {
    const [x, y] = place(point);
    if (inside([x, y])) {
      ctx.strokeStyle = theme.critical;
      ctx.lineWidth = 1.6;
      line(ctx, [[x - 4, y], [x + 4, y]]);
      line(ctx, [[x, y - 4], [x, y + 4]]);
    }
  }
  if (land.saddle) {
    const [x, y] = place(land.saddle);
    if (inside([x, y])) {
      ctx.strokeStyle = theme.ink;
      ctx.lineWidth = 1.6;
      line(ctx, [[x - 4, y - 4], [x + 4, y + 4]]);
      line(ctx, [[x - 4, y + 4], [x + 4, y - 4]]);
    }
  }
}

function drawRun(ctx, theme, run, place, at, hue) {
  const pixels = run.points.map((p) => place(p).map(clampPixel));
  const whole = Math.min(Math.floor(at), pixels.length - 1);
  const part = at - Math.floor(at);
  const shown = pixels.slice(0, whole + 1);
  if (part > 0 && whole + 1 < pixels.length) {
    const [p, q] = [pixels[whole], pixels[whole + 1]];
    shown.push([p[0] + (q[0] - p[0]) * part, p[1] + (q[1] - p[1]) * part]);
  }
  ctx.strokeStyle = hue;
  ctx.globalAlpha = 0.28;
  ctx.lineWidth = 1.5;
  if (whole < pixels.length - 1) line(ctx, pixels.slice(whole));
  ctx.globalAlpha = 1;
  ctx.lineWidth = 2.2;
  line(ctx, shown);
  if (pixels.length < 220) {
    const radius = pixels.length > 90 ? 1.7 : 2.6;
    ctx.fillStyle = hue;
    ctx.beginPath();
    for (const [x, y] of pixels.slice(1, whole + 1)) {
      ctx.moveTo(x + radius, y);
      ctx.arc(x, y, radius, 0, 2 * Math.PI);
    }
    ctx.fill();
  }
  const head = shown[shown.length - 1];
  dot(ctx, head[0], head[1], 5.5, hue, theme.ground);
}

function endOf(run, place, width, height) {
  const pixels = run.points.map((p) => place(p).map(clampPixel));
  const inside = ([x, y]) => x >= 0 && y >= 0 && x <= width && y <= height;
  let i = pixels.length - 1;
  while (i > 0 && !inside(pixels[i])) i -= 1;
  let [x, y] = pixels[i];
  const next = pixels[i + 1];
  if (next && inside(pixels[i])) {
    const until = (from, to, limit) => (to < 0 ? from / (from - to) : to > limit ? (limit - from) / (to - from) : 1);
    const least = Math.min(until(x, next[0], width), until(y, next[1], height));
    [x, y] = [x + (next[0] - x) * least, y + (next[1] - y) * least];
  }
  const before = pixels.slice(0, i + 1).reverse().find((p) => Math.hypot(p[0] - x, p[1] - y) > 14) ?? [x - 1, y];
  return { x, y, heading: [x - before[0], y - before[1]] };
}

function pathView(lab, { transformed = false } = {}) {
  const view = panel({ title: transformed ? "After" : lab.scene === "contours" ? "Before, in θ" : "Path", shape: "square", layers: 2 });
  const [ground, front] = view.canvases;
  const handle = document.createElement("button");
  handle.type = "button";
  handle.className = "handle";
  handle.innerHTML = "<i>start</i>";
  handle.setAttribute("aria-roledescription", "point to drag");
  view.plot.append(handle);
  front.classList.add("tap");
  view.swift = true;
  let where = null;
  let painted = "";
  let held = null; // the coordinates while the start is dragged: the picture must not move under the finger
  const settled = kept();

  const drawnIn = () => (where ??= coordinates(lab, transformed)); // a view out of sight may not have been drawn yet
  const inWindow = (x) => x.map((v, i) => {
    const { window } = drawnIn();
    const [middle, half] = [window[i], window[2] * 0.97];
    return tidy(Math.max(middle - half, Math.min(middle + half, v)));
  });
  const frameScales = () => {
    const [cx, cy, half] = drawnIn().frame;
    const [width, height] = boxOf(front);
    return { sx: linearScale(cx - half, cx + half, 0, width), sy: linearScale(cy - half, cy + half, height, 0), width, height };
  };
  const moveTo = (event) => {
    const box = front.getBoundingClientRect();
    const { sx, sy } = frameScales();
    const [, , half] = where.frame;
    const clampTo = (v, c) => Math.max(c - half * 0.97, Math.min(c + half * 0.97, v));
    const p = [clampTo(sx.invert(event.clientX - box.left), where.frame[0]), clampTo(sy.invert(event.clientY - box.top), where.frame[1])];
    const [x0, y0] = inWindow(where.unmap(p));
    lab.update({ x0, y0 });
  };
  drags(handle, lab, moveTo, (event) => {
    held = drawnIn();
    handle.focus({ preventScroll: true });
    event.preventDefault();
  }, () => {
    held = null;
    lab.redraw(view);
  });
  front.addEventListener("click", moveTo);
  handle.addEventListener("keydown", (event) => {
    const step = (event.shiftKey ? 0.1 : 0.02) * drawnIn().frame[2];
    const move = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, step], ArrowDown: [0, -step] }[event.key];
    if (!move) return;
    event.preventDefault();
    const from = where.map([lab.S.x0, lab.S.y0]);
    const [x0, y0] = inWindow(where.unmap([from[0] + move[0], from[1] + move[1]]));
    lab.update({ x0, y0 });
  });

  view.draw = () => {
    const { land, theme, S } = lab;
    where = held ?? coordinates(lab, transformed);
    const key = [lab.landKey, where.key, theme.dark, ...boxOf(front), globalThis.devicePixelRatio].join("|");
    if (key !== painted) {
      paintContours(ground, land, theme, where.frame, where.unmap);
      painted = key;
    }
    const { ctx, width, height } = surface(front);
    if (lab.printing) ctx.drawImage(ground, 0, 0, width, height); // a browser prints the upper canvas only
    const { sx, sy } = frameScales();
    const place = (x) => {
      const p = where.map(x);
      return [sx(p[0]), sy(p[1])];
    };
    marks(ctx, theme, land, place, width, height);
    for (const method of S.methods) drawRun(ctx, theme, lab.runs[method], place, lab.at, theme.hue[method]);
    if (land.saddle) {
      const [px, py] = place(land.saddle);
      text(ctx, theme, land.point, px - 9, py - 8, { align: "right", size: 12, colour: theme.muted, halo: true });
    }
    const [x, y] = place([S.x0, S.y0]).map((v, i) => Math.max(0, Math.min([width, height][i], v)));
    const symbol = transformed ? "φ" : "θ";
    const low = y > height - 30; // no room for the word under the ring
    handle.classList.toggle("low", low);
    const named = settled([lab.runs, key], () => {
      const dots = S.methods.flatMap((m) => beads(lab.runs[m].points.map((p) => place(p).map(clampPixel)), 9, 160));
      const within = ([left, top, right, bottom]) => dots.filter(([u, v]) => u > left && u < right && v > top && v < bottom).length;
      const free = (boxes) => boxes.reduce((best, box) => (within(box) < within(best) ? box : best));
      const names = [
        free([1, 0.75, 0.5, 0.25].map((share) => [share * width - 38, height - 22, share * width, height])),
        free([0, 0.25, 0.5, 0.75].map((share) => [0, share * height, 34, share * height + 21])),
      ];
      const taken = [[x - 17, y - (low ? 30 : 17), x + 17, y + (low ? 17 : 30)], ...names];
      const [sx, sy] = land.saddle ? place(land.saddle) : [0, 0];
      if (land.saddle) taken.push([sx - 55, sy - 22, sx + 6, sy + 6]); // its name and its cross
      const end = (m) => endOf(lab.runs[m], place, width, height);
      const ends = S.methods.map((m) => ({ ...end(m), name: METHODS[m].short, hue: theme.hue[m] }));
      return { names, labels: settleLabels(ctx, theme, ends, width, height, { taken, dots }) };
    });
    text(ctx, theme, `${symbol}₁ →`, named.names[0][2] - 6, height - 8, { align: "right", size: 12, halo: true });
    text(ctx, theme, `↑ ${symbol}₂`, 6, named.names[1][1] + 15, { size: 12, halo: true });
    drawLabels(ctx, theme, named.labels);
    handle.style.left = `${(100 * x) / width}%`; // a page on paper has another width
    handle.style.top = `${(100 * y) / height}%`;
    const change = lab.scene === "contours" ? changeOfVariables(S, land) : null;
    if (change?.boosted) { // no method of the lab takes these steps
      ctx.setLineDash([4, 4]);
      drawRun(ctx, theme, { points: descentUnder(preconditioner(S, land.hess([S.x0, S.y0])), S, land) }, place, lab.at, theme.ink);
      ctx.setLineDash([]);
    }
    const spoken = `${formatNumber(S.x0, 3)}, ${formatNumber(S.y0, 3)}`;
    handle.setAttribute("aria-label", `Start at ${spoken}. Arrow keys move it, with shift faster.`);
    if (S.methods.length && lab.scene === "contours") {
      const H = land.hess([S.x0, S.y0]);
      const after = where.root ? congruence(where.root, H) : H;
      view.note([`κ = ${formatNumber(condition(after), 3)}`, transformed || change.boosted ? change.caveat : null].filter(Boolean).join("; "));
    } else view.note(`start (${spoken})`);
    const title = transformed ? `φ = ${change.formula}` : "";
    if (transformed) view.title(`After, ${title}`);
    view.describe(
      `${land.label}, ${land.formula}, seen from above${transformed ? " after preconditioning" : ""}, with the paths of ` +
        `${S.methods.map((m) => METHODS[m].label).join(", ") || "no method"} from (${spoken}) up to step ${Math.round(lab.at)}.${transformed ? ` The coordinates are ${title}${change.because ? `. ${change.because}` : ""}.` : ""}`,
    );
  };
  return view;
}

// view-phase.js
const LINE = 15; // of the words above the axes, beside the first

function reachOf(paths, width) {
  const first = Math.abs(paths[0]?.points[0][0] ?? 0);
  const all = paths.flatMap(({ points }) => points);
  const far = Math.min(Math.max(...all.map(([z]) => Math.abs(z)), 0), Math.max(1.3 * first, width));
  const near = (z) => Math.abs(z) <= far * (1 + 1e-9);
  const steps = all.filter(([z, v]) => near(z) && near(z - v)).map(([, v]) => Math.abs(v));
  return [far, Math.max(...steps, 0)].map((size) => 1.08 * size || 1);
}

function drawPath(ctx, theme, frame, hue, points, shown) {
  const pixel = (size) => Math.max(-9999, Math.min(9999, size));
  const pixels = points.map(([z, v]) => [pixel(frame.sx(z)), pixel(frame.sy(v))]);
  ctx.strokeStyle = hue;
  ctx.lineWidth = 1.2;
  ctx.globalAlpha = 0.25;
  line(ctx, pixels.slice(shown));
  ctx.globalAlpha = 0.65;
  line(ctx, pixels.slice(0, shown + 1));
  ctx.globalAlpha = 1;
  pixels.slice(0, shown).forEach(([x, y]) => dot(ctx, x, y, 2, hue));
  dot(ctx, ...pixels[shown], 4.5, hue, theme.ground);
  return pixels;
}

function drawPlane(lab, area, mode, other, settled) {
  const { S, theme, runs, at, land } = lab;
  const { ctx, width, height } = area;
  const paths = S.methods.map((method) => ({ method, points: phasePoints(runs[method], mode) }));
  const [x, y] = reachOf(paths, land.window[2]);
  const name = `${modeName(mode.h, other.h)}, h = ${formatNumber(mode.h, 2)}`;
  const inWords = (method, form) => S.methods.includes(method) && [method, regimeWords(regimeOf(S[`lr_${method}`], mode.h, S.momentum, form))];
  const regimes = new Map([inWords("momentum", heavyBall), inWords("nesterov", nesterov)].filter(Boolean));
  const above = LINE * Math.max(1, regimes.size);
  ctx.save();
  ctx.translate(0, above);
  const inner = { ctx, width, height: height - above };
  const frame = axes(inner, theme, { x: [-x, x], y: [-y, y], yLabel: " ", xLabel: "distance along it" });
  const { box } = frame;
  ctx.strokeStyle = theme.faint;
  ctx.lineWidth = 1;
  line(ctx, [[box.left, frame.sy(0)], [box.right, frame.sy(0)]]);
  line(ctx, [[frame.sx(0), box.top], [frame.sx(0), box.bottom]]);
  const [words, names, dots] = [[], [], []];
  const room = { left: box.left - 4, right: box.right + 4, top: box.top - 4, bottom: box.bottom + 4 };
  clipped(ctx, room, () => {
    for (const { method, points } of paths) {
      const shown = Math.min(Math.floor(at), points.length - 1);
      const pixels = drawPath(ctx, theme, frame, theme.hue[method], points, shown);
      const middle = frame.sy(0);
      const inBox = ([px, py]) => px >= box.left && px <= box.right && py >= box.top && py <= box.bottom;
      const farther = (a, b) => (Math.abs(b[1] - middle) > Math.abs(a[1] - middle) ? b : a);
      const tip = pixels.filter(inBox).reduce(farther, pixels[0]);
      const heading = [tip[0] - frame.sx(0), tip[1] - middle]; // outward: all runs that settle meet at the centre
      names.push({ x: tip[0], y: tip[1], heading, name: METHODS[method].short, hue: theme.hue[method] });
      dots.push(...beads(pixels, 9, 200));
      const [z, v] = points[shown];
      const damping = regimes.has(method) ? `, ${regimes.get(method)}` : "";
      words.push(`${METHODS[method].short} at ${formatNumber(z, 2)}, last step ${formatNumber(v, 2)}${damping}`);
    }
  });
  const taken = [[0, 0, width, box.top - 1], [0, 0, box.left, height]]; // the words above, and the numbers
  drawLabels(ctx, theme, settled([runs, theme, width, height], () =>
    settleLabels(ctx, theme, names, box.right, box.bottom, { taken, dots })));
  ctx.restore();
  const title = { colour: theme.ink, weight: 600, size: 12 };
  text(ctx, theme, name, box.left, 12, title);
  [...regimes].forEach(([method, words], i) =>
    text(ctx, theme, `${METHODS[method].short}: ${words}`, box.left, 28 + i * LINE, { size: 12, most: width - box.left }));
  return `${name}: ${words.join("; ") || "no method"}`;
}

function velocityView(lab) {
  const view = panel({ title: "Position and velocity", shape: "modes planes" });
  const settled = [kept(), kept()];
  const apology = "Its axes are the eigenvectors of a quadratic: choose the bowl or the quadratic.";
  view.lacks = () => (lab.land.quadratic ? null : apology);
  view.draw = () => {
    const { ctx, width, height } = surface(view.canvas);
    const modes = modesOf(lab.land.quadratic);
    const stacked = width < 560;
    const size = stacked ? { width, height: height / 2 - 5 } : { width: width / 2 - 10, height };
    const words = modes.map((mode, i) => {
      ctx.save();
      ctx.translate(i && !stacked ? width / 2 + 10 : 0, i && stacked ? height / 2 + 5 : 0);
      const said = drawPlane(lab, { ctx, ...size }, mode, modes[1 - i], settled[i]);
      ctx.restore();
      return said;
    });
    view.note("upward: the last step");
    view.describe(
      `Last step over distance from the critical point, along each eigenvector, at step ${Math.round(lab.at)}. ` +
        `${words.join(". ")}.`,
    );
  };
  return view;
}

// view-spread.js
const SHOWN = 6; // pictures; words tell of every method
const POWER = 0.6; // of the distance from the best fit: small ones are to be seen too

function rowsOf(problem, run) {
  if (problem.name === "chain") return run;
  const best = curveOf(problem, problem.goal, 40).map(([, y]) => y);
  const far = run.map((w) => curveOf(problem, w, 40).map(([, y], i) => Math.abs(y - best[i])));
  const first = Math.max(...far[0], 1e-9);
  return far.map((row) => row.map((v) => v / first));
}

function newsReach(beliefs) {
  const stop = beliefs.findIndex((v) => !(v >= 0.5));
  if (stop < 0) return beliefs.length;
  if (stop === 0) return 0;
  return stop + (beliefs[stop - 1] - 0.5) / (beliefs[stop - 1] - beliefs[stop]);
}

function newsWords(beliefs) {
  const front = Math.floor(newsReach(beliefs));
  const all = beliefs.filter((v) => v >= 0.5).length;
  if (front === all) return front ? `at least half believed up to place ${front} of ${beliefs.length}` : "at least half believed by nobody";
  return `at least half believed ${front ? `up to place ${front}` : "not yet at place 1"}, and by ${all} of ${beliefs.length} in all`;
}

function paint(rows, hue, theme, power) {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [rows.length, rows[0].length];
  const image = new ImageData(canvas.width, canvas.height);
  const [colour, ink, grey] = [hue, theme.ink, theme.faint].map(channels);
  rows.forEach((row, t) => row.forEach((v, i) => {
    const share = Math.min(1, Math.abs(v)) ** power;
    const over = Math.max(0, Math.min(0.6, v - 1)); // beyond one: darker, on a dark page lighter, than the hue
    const at = 4 * ((canvas.height - 1 - i) * canvas.width + t);
    for (let c = 0; c < 3; c += 1) {
      const full = v < 0 ? grey[c] : colour[c] + (ink[c] - colour[c]) * over;
      image.data[at + c] = theme.level[c] + (full - theme.level[c]) * share;
    }
    image.data[at + 3] = 255;
  }));
  canvas.getContext("2d").putImageData(image, 0, 0);
  return canvas;
}

function spreadView(lab) {
  const view = panel({ title: "Over time", shape: "modes" });
  const choice = problemChoice(lab);
  view.element.append(choice.element);
  let frames = [];
  let cache = { key: null };
  view.lacks = () => noMany(lab) ?? (lab.S.methods.length ? null : "No method runs: add one.");
  scrub(view.canvas, lab, (x, y) => {
    const hit = frames.find(({ box }) => x >= box.left - 9 && x <= box.right + 9 && y >= box.top - 9 && y <= box.bottom + 9);
    if (!hit) return;
    lab.pause();
    lab.update({ at: Math.round(Math.max(0, Math.min(lab.S.steps, hit.sx.invert(x)))) });
  });
  view.draw = () => {
    const { S, theme, at } = lab;
    const { ctx, width, height } = surface(view.canvas);
    choice.draw();
    const { key, problem, runs } = manyOf(lab);
    const chain = problem.name === "chain";
    if (cache.key !== key || cache.dark !== theme.dark) {
      const told = S.methods.map((method) => ({ method, rows: rowsOf(problem, runs[method]) }));
      const pictures = told.slice(0, SHOWN).map(({ method, rows }) => ({
        method, rows, image: paint(rows, theme.hue[method], theme, chain ? 1 : POWER), reach: chain ? rows.map(newsReach) : null,
      }));
      cache = { key, dark: theme.dark, told, pictures };
    }
    const { pictures, told } = cache;
    const columns = width < 560 ? (pictures.length > 3 ? 2 : 1) : Math.min(pictures.length, 3);
    const rows = Math.ceil(pictures.length / columns);
    const [wide, tall] = [width / columns, height / rows];
    const step = Math.round(at);
    frames = pictures.map(({ method, image, reach, rows: values }, k) => {
      const [x, y] = [(k % columns) * wide, Math.floor(k / columns) * tall];
      const box = { left: x + 22, right: x + wide - 8, top: y + 19, bottom: y + tall - 20 };
      const sx = linearScale(0, S.steps, box.left, box.right);
      const count = values[0].length;
      const sy = linearScale(0.5, count + 0.5, box.bottom, box.top);
      const gone = values.length <= S.steps && `gone at step ${values.length}`;
      text(ctx, theme, METHODS[method][gone ? "short" : "label"], box.left, y + 12, { colour: theme.ink, weight: 600, size: 12, most: (box.right - box.left) * (gone ? 0.48 : 1) });
      if (gone) text(ctx, theme, gone, box.right, y + 12, { align: "right", colour: theme.bad, weight: 600, size: 12, most: (box.right - box.left) * 0.5 });
      ctx.fillStyle = theme.panel;
      ctx.fillRect(box.left, box.top, box.right - box.left, box.bottom - box.top);
      ctx.imageSmoothingEnabled = !chain;
      const cell = (box.right - box.left) / (S.steps + 1);
      ctx.drawImage(image, box.left, box.top, cell * values.length, box.bottom - box.top);
      clipped(ctx, box, () => {
        const front = reach?.map((far, t) => [sx(t), far ? sy(far) : box.bottom]) ?? [];
        for (const [colour, wide] of [[theme.ground, 3.6], [theme.ink, 1.4]]) {
          ctx.strokeStyle = colour;
          ctx.lineWidth = wide;
          line(ctx, front);
        }
        ctx.globalAlpha = 0.7;
        ctx.lineWidth = 1;
        line(ctx, [[sx(at), box.top], [sx(at), box.bottom]]);
        ctx.globalAlpha = 1;
      });
      [[1, chain ? "1" : "−1"], [count, chain ? String(count) : "1"]].forEach(([place, words]) =>
        text(ctx, theme, words, box.left - 5, sy(place), { align: "right", base: "middle", size: 11 }));
      text(ctx, theme, "0", box.left, box.bottom + 14, { size: 11 });
      text(ctx, theme, `step ${S.steps}`, box.right, box.bottom + 14, { align: "right", size: 11 });
      return { box, sx };
    });
    const rest = told.length > pictures.length ? `; the first ${SHOWN} of ${S.methods.length} methods` : "";
    view.note((chain ? "upward: place in the chain; line: where belief is one half; grey: below nought" : "upward: x; strong: far from the best fit") + rest);
    const words = told.map(({ method, rows: values }) => {
      const now = Math.min(step, values.length - 1);
      if (now < step) return `${METHODS[method].label}: beyond all bounds at step ${values.length}`;
      if (chain) return `${METHODS[method].label}: ${newsWords(values[now])}`;
      return `${METHODS[method].label}: ${formatNumber(Math.max(...values[now]), 2)} of the first largest distance from the best fit`;
    });
    view.describe(`${chain ? "The beliefs along the chain" : "The distance from the best fit"} over the steps, as a picture for each method, at step ${step}. ${words.join("; ")}.`);
  };
  return view;
}

// surface-mesh.js
const MESH = 44;
const HALF_HEIGHT = 0.46;
const STRIDE = 0.045; // of the march towards the camera, in units of x
const SLACK = 0.02; // a point on the surface must not be hidden by its own cell

function meshOf(land, frame) {
  const [cx, cy, half] = frame;
  const field = riseGrid(land, frame, (x) => x, MESH);
  const lift = (rise) => (land.lift ? land.lift * Math.asinh(rise / land.lift) : rise);
  const lifted = field.values.map(lift);
  const low = lifted.reduce((a, b) => Math.min(a, b));
  const high = lifted.reduce((a, b) => Math.max(a, b));
  const height = (rise) => (HALF_HEIGHT * (2 * lift(rise) - low - high)) / Math.max(1e-12, high - low);
  const heights = field.values.map(height);
  return {
    field, heights, segments: segmentsOf(field, land, height), dresses: new Map(),
    place: (p) => [(p[0] - cx) / half, (p[1] - cy) / half, height(land.f(p) - land.reference)],
  };
}

function dressOf(mesh, stride, theme, power) {
  const key = [stride, theme.dark].join();
  if (mesh.dresses.has(key)) return mesh.dresses.get(key);
  const { heights, field } = mesh;
  const n = MESH + 1;
  const across = MESH / stride;
  const slopes = new Float64Array(2 * across * across);
  const lengths = new Float64Array(across * across);
  const tints = new Uint8ClampedArray(3 * across * across);
  const tint = [0, 0, 0];
  for (let cell = 0; cell < across * across; cell += 1) {
    const k = stride * (Math.floor(cell / across) * n + (cell % across));
    const [a, b, c, d] = [k, k + stride, k + stride * (n + 1), k + stride * n];
    const size = (4 * stride) / MESH; // of two cells' sides
    slopes[2 * cell] = (heights[b] - heights[a] + heights[c] - heights[d]) / size;
    slopes[2 * cell + 1] = (heights[a] - heights[d] + heights[b] - heights[c]) / size;
    lengths[cell] = Math.hypot(slopes[2 * cell], slopes[2 * cell + 1], 1);
    tints.set(tintOf(field.values[k], field, theme, power, tint), 3 * cell);
  }
  const dress = { slopes, lengths, tints, paints: new Map() };
  mesh.dresses.set(key, dress);
  return dress;
}

function segmentsOf({ values, largest }, land, height) {
  const n = MESH + 1;
  const levels = contourLevels({ largest }, land.power, 11);
  const heights = levels.map(height);
  const found = Array.from({ length: MESH }, () => []);
  for (let j = 0; j < MESH; j += 1) {
    for (let i = 0; i < MESH; i += 1) {
      const k = j * n + i;
      const corners = [values[k], values[k + 1], values[k + n + 1], values[k + n]];
      const [low, high] = [Math.min(...corners), Math.max(...corners)];
      levels.forEach((level, l) => {
        if (level < low || level > high) return;
        const ends = crossings(...corners, level);
        for (let e = 0; e + 1 < ends.length; e += 2) {
          const flat = [ends[e], ends[e + 1]].flatMap(([u, v]) => [-1 + (2 * (i + u)) / MESH, 1 - (2 * (j + v)) / MESH]);
          found[j].push(...flat, heights[l]);
        }
      });
    }
  }
  return found.map((row) => Float64Array.from(row));
}

function cameraOf(turn, tilt, width, height) {
  const [a, e] = [(turn * Math.PI) / 180, (tilt * Math.PI) / 180];
  const [ca, sa, ce, se] = [Math.cos(a), Math.sin(a), Math.cos(e), Math.sin(e)];
  const scale = Math.min(width / 2.9, height / (2.83 * se + 2.25 * HALF_HEIGHT * ce + 0.14));
  const [ox, oy] = [width / 2, height / 2];
  return {
    turn, tilt, ca, sa, ce, se,
    x: (x, y) => ox + scale * (x * ca - y * sa),
    y: (x, y, z) => oy - scale * ((x * sa + y * ca) * se + z * ce),
    key: [turn, tilt, width, height].join(),
  };
}

function heightAt(heights, x, y) {
  const n = MESH + 1;
  const u = ((x + 1) / 2) * MESH;
  const v = ((1 - y) / 2) * MESH;
  const i = Math.min(MESH - 1, Math.floor(u));
  const j = Math.min(MESH - 1, Math.floor(v));
  const [p, q] = [u - i, v - j];
  const k = j * n + i;
  return (heights[k] * (1 - p) + heights[k + 1] * p) * (1 - q) + (heights[k + n] * (1 - p) + heights[k + n + 1] * p) * q;
}

function isHidden(mesh, camera, [x, y, z]) {
  if (camera.ce < 1e-3) return false;
  const [dx, dy, dz] = [-camera.sa * STRIDE, -camera.ca * STRIDE, (camera.se / camera.ce) * STRIDE];
  let [px, py, pz] = [x + dx, y + dy, z + dz];
  while (Math.abs(px) <= 1 && Math.abs(py) <= 1 && pz < HALF_HEIGHT) {
    if (heightAt(mesh.heights, px, py) > pz + SLACK) return true;
    px += dx;
    py += dy;
    pz += dz;
  }
  return false;
}

function laidOut(run, mesh, pieces) {
  const laid = [];
  run.points.forEach((p, t) => {
    const q = run.points[t + 1];
    for (let s = 0; s < (q ? pieces : 1); s += 1) {
      const share = s / pieces;
      const point = mesh.place(q ? [p[0] + (q[0] - p[0]) * share, p[1] + (q[1] - p[1]) * share] : p);
      laid.push(Math.abs(point[0]) <= 1 && Math.abs(point[1]) <= 1 ? point : null);
    }
  });
  return laid;
}

// view-surface.js
const LIGHT = [-0.42, 0.36, 0.83]; // in the camera's frame: from the upper left
const HAIR = 0.6; // pixels by which a cell reaches over its neighbour, so that no gap shows
const around = (degrees) => ((degrees % 360) + 360) % 360;
const SHADES = 64; // of a cell, from the darkest to the lightest
const rgb = (c, shade) => `rgb(${Math.round(c[0] * shade)},${Math.round(c[1] * shade)},${Math.round(c[2] * shade)})`;

function paintSurface(ctx, mesh, camera, theme, power, stride) {
  const n = MESH + 1;
  const { heights, segments } = mesh;
  const { slopes, lengths, tints, paints } = dressOf(mesh, stride, theme, power);
  const px = new Float64Array(n * n);
  const py = new Float64Array(n * n);
  for (let j = 0; j < n; j += stride) {
    for (let i = 0; i < n; i += stride) {
      const k = j * n + i;
      const [x, y] = [-1 + (2 * i) / MESH, 1 - (2 * j) / MESH];
      px[k] = camera.x(x, y);
      py[k] = camera.y(x, y, heights[k]);
    }
  }
  const across = MESH / stride;
  const [westward, northward] = [camera.sa >= 0, camera.ca < 0]; // far is where x sin + y cos is large
  const east = -(LIGHT[0] * camera.ca + LIGHT[1] * camera.sa); // the light in the landscape's own frame
  const north = LIGHT[0] * camera.sa - LIGHT[1] * camera.ca;
  const [dark, span] = theme.dark ? [0.62, 0.95] : [0.74, 0.27];
  ctx.lineWidth = 1;
  ctx.strokeStyle = theme.contour;
  for (let row = 0; row < across; row += 1) {
    const j = northward ? across - 1 - row : row;
    for (let column = 0; column < across; column += 1) {
      const i = westward ? across - 1 - column : column;
      const cell = j * across + i;
      const k = stride * (j * n + i);
      const light = Math.max(0, (slopes[2 * cell] * east + slopes[2 * cell + 1] * north + LIGHT[2]) / lengths[cell]);
      const paint = cell * (SHADES + 1) + Math.round(SHADES * light);
      let words = paints.get(paint);
      if (!words) {
        words = rgb(tints.subarray(3 * cell, 3 * cell + 3), dark + (span * Math.round(SHADES * light)) / SHADES);
        paints.set(paint, words);
      }
      ctx.fillStyle = words;
      const [b, c, d] = [k + stride, k + stride * (n + 1), k + stride * n];
      const mx = (px[k] + px[c]) / 2;
      const my = (py[k] + py[b] + py[c] + py[d]) / 4;
      ctx.beginPath();
      ctx.moveTo(px[k] + (px[k] < mx ? -HAIR : HAIR), py[k] + (py[k] < my ? -HAIR : HAIR));
      ctx.lineTo(px[b] + (px[b] < mx ? -HAIR : HAIR), py[b] + (py[b] < my ? -HAIR : HAIR));
      ctx.lineTo(px[c] + (px[c] < mx ? -HAIR : HAIR), py[c] + (py[c] < my ? -HAIR : HAIR));
      ctx.lineTo(px[d] + (px[d] < mx ? -HAIR : HAIR), py[d] + (py[d] < my ? -HAIR : HAIR));
      ctx.fill();
    }
    ctx.beginPath(); // the contour lines of the row, before a nearer row can hide them
    for (let line = j * stride; line < (j + 1) * stride; line += 1) {
      const flat = segments[line];
      for (let s = 0; s < flat.length; s += 5) {
        ctx.moveTo(camera.x(flat[s], flat[s + 1]), camera.y(flat[s], flat[s + 1], flat[s + 4]));
        ctx.lineTo(camera.x(flat[s + 2], flat[s + 3]), camera.y(flat[s + 2], flat[s + 3], flat[s + 4]));
      }
    }
    ctx.stroke();
  }
}

function paintSides(ctx, mesh, camera, theme) {
  const floor = -0.56;
  const n = MESH + 1;
  const [nearX, nearY] = [camera.sa > 0 ? -1 : 1, camera.ca >= 0 ? -1 : 1];
  const edges = [
    { name: "θ₁", points: Array.from({ length: n }, (_, i) => [-1 + (2 * i) / MESH, nearY, mesh.heights[(nearY < 0 ? MESH : 0) * n + i]]) },
    { name: "θ₂", points: Array.from({ length: n }, (_, j) => [nearX, 1 - (2 * j) / MESH, mesh.heights[j * n + (nearX < 0 ? 0 : MESH)]]) },
  ];
  edges.forEach(({ name, points }, e) => {
    if (camera.ce < 1e-3 || Math.abs(e ? camera.sa : camera.ca) < 1e-3) return;
    const top = points.map(([x, y, z]) => [camera.x(x, y), camera.y(x, y, z)]);
    const bottom = points.map(([x, y]) => [camera.x(x, y), camera.y(x, y, floor)]);
    ctx.fillStyle = rgb(theme.level, theme.dark ? (e ? 1.15 : 1.45) : e ? 0.83 : 0.9);
    ctx.strokeStyle = theme.faint;
    ctx.lineWidth = 1;
    ctx.beginPath();
    [...top, ...bottom.slice().reverse()].forEach(([x, y], i) => (i ? ctx.lineTo(x, y) : ctx.moveTo(x, y)));
    ctx.closePath();
    ctx.fill();
    line(ctx, bottom);
    line(ctx, top);
    const middle = bottom[Math.floor(n / 2)];
    if (Math.abs(e ? camera.sa : camera.ca) > 0.25) text(ctx, theme, name, middle[0], middle[1] + 15, { align: "center", size: 12.5, halo: true });
  });
}

function drawLaid(ctx, pixels, hidden, upTo, hue) {
  const stroke = (from, to, alpha, wanted) => {
    ctx.globalAlpha = alpha;
    ctx.beginPath();
    for (let i = from; i < to; i += 1) {
      if (!pixels[i] || !pixels[i + 1] || hidden[i] !== wanted) continue;
      ctx.moveTo(...pixels[i]);
      ctx.lineTo(...pixels[i + 1]);
    }
    ctx.stroke();
  };
  ctx.strokeStyle = hue;
  ctx.lineWidth = 1.5;
  stroke(upTo, pixels.length - 1, 0.28, false);
  ctx.lineWidth = 2.4;
  stroke(0, upTo, 0.3, true);
  stroke(0, upTo, 1, false);
  ctx.globalAlpha = 1;
}

function surfaceView(lab) {
  const view = panel({ title: "Surface", shape: "surface", layers: 2 });
  const [ground, front] = view.canvases;
  const grip = make("button", { type: "button", class: "grip", "aria-roledescription": "surface to turn" });
  const turn = slider(lab, "turn", {});
  const tilt = slider(lab, "tilt", {});
  const words = (label, output) => make("label", {}, make("span", { text: label }), output);
  view.plot.append(grip);
  view.element.classList.add("spatial");
  view.element.append(make("div", { class: "control" }, words("Turn", turn.output), turn.track, words("Tilt", tilt.output), tilt.track,
    make("p", { text: "Drag the surface, or focus it and use the arrow keys. At a tilt of 90° it is the path view. Where the surface hides a path, the path is pale." })));
  const look = (change) => {
    const next = { turn: lab.S.turn, tilt: lab.S.tilt, ...change };
    lab.update({ turn: Math.round(around(next.turn)), tilt: Math.round(Math.max(10, Math.min(90, next.tilt))) });
  };
  let from = null;
  drags(grip, lab, (event) => {
    look({ turn: from.turn - (event.clientX - from.x) * 0.5, tilt: from.tilt + (event.clientY - from.y) * 0.35 });
  }, (event) => {
    from = { turn: lab.S.turn, tilt: lab.S.tilt, x: event.clientX, y: event.clientY };
  });
  grip.addEventListener("keydown", (event) => {
    const step = event.shiftKey ? 15 : 5;
    const change = { ArrowLeft: { turn: lab.S.turn + step }, ArrowRight: { turn: lab.S.turn - step }, ArrowUp: { tilt: lab.S.tilt - step }, ArrowDown: { tilt: lab.S.tilt + step } }[event.key];
    if (!change) return;
    event.preventDefault();
    look(change);
  });

  let mesh = null;
  let meshKey = "";
  let painted = "";
  let angle = null;
  let turning = false; // then it is drawn more coarsely, and finely once it rests
  let rest = 0;
  let turned = 0; // frames since it rested
  let laid = { runs: null, key: "" };
  view.draw = () => {
    const { S, theme, land, runs, at } = lab;
    const frame = [land.window[0], land.window[1], land.window[2] / S.zoom];
    const key = `${lab.landKey}|${S.zoom}`;
    if (key !== meshKey) {
      mesh = meshOf(land, frame);
      meshKey = key;
    }
    const { ctx, width, height } = surface(front);
    const camera = cameraOf(S.turn, S.tilt, width, height);
    if (angle !== null && angle !== camera.key) {
      turning = true;
      clearTimeout(rest);
      rest = setTimeout(() => {
        turning = false;
        lab.redraw(view);
      }, 160);
    }
    angle = camera.key;
    const wordy = !turning || turned % 4 === 0; // what is beside the surface follows a turn at every fourth frame
    turned = turning ? turned + 1 : 0;
    if (wordy) {
      turn.draw();
      tilt.draw();
    }
    const scene = [key, camera.key, theme.dark, globalThis.devicePixelRatio, turning].join("|");
    if (scene !== painted) {
      const below = surface(ground, turning ? 1 : 3).ctx;
      paintSurface(below, mesh, camera, theme, land.power, turning ? 2 : 1);
      paintSides(below, mesh, camera, theme);
      painted = scene;
    }
    if (lab.printing) ctx.drawImage(ground, 0, 0, width, height);
    if (laid.runs !== runs || laid.key !== scene) {
      const pieces = turning || S.steps > 120 ? 2 : 8;
      laid = { runs, key: scene, pieces };
      for (const method of S.methods) {
        const points = laidOut(runs[method], mesh, pieces);
        laid[method] = {
          pixels: points.map((p) => p && [camera.x(p[0], p[1]), camera.y(...p)]),
          hidden: points.map((p) => p !== null && isHidden(mesh, camera, p)),
        };
      }
    }
    for (const method of S.methods) {
      const { pixels, hidden } = laid[method];
      const upTo = Math.min(pixels.length - 1, Math.floor(at * laid.pieces));
      drawLaid(ctx, pixels, hidden, upTo, theme.hue[method]);
      if (!pixels[upTo]) continue;
      ctx.globalAlpha = hidden[upTo] ? 0.4 : 1;
      dot(ctx, ...pixels[upTo], 5.5, theme.hue[method], theme.ground);
      ctx.globalAlpha = 1;
    }
    const start = mesh.place([S.x0, S.y0]);
    const mark = (p, label) => {
      if (Math.abs(p[0]) > 1 || Math.abs(p[1]) > 1) return;
      const [x, y] = [camera.x(p[0], p[1]), camera.y(...p)];
      const side = camera.x(start[0], start[1]) < x ? 1 : -1; // the saddle's name stands on the side away from the start
      const style = label === "start" ? { align: "center", weight: 600, colour: theme.ink } : { align: side > 0 ? "left" : "right" };
      ctx.strokeStyle = theme.ink;
      ctx.lineWidth = 1.8;
      ctx.globalAlpha = isHidden(mesh, camera, p) ? 0.45 : 1;
      ctx.beginPath();
      if (label === "start") ctx.arc(x, y, 6.5, 0, 2 * Math.PI);
      else [[-4, -4, 4, 4], [-4, 4, 4, -4]].forEach(([a, b, c, d]) => ctx.moveTo(x + a, y + b) || ctx.lineTo(x + c, y + d));
      ctx.stroke();
      text(ctx, theme, label, x + (label === "start" ? 0 : 9 * side), y + (label === "start" ? 20 : -8), { ...style, size: 12, halo: true });
      ctx.globalAlpha = 1;
    };
    if (land.saddle) mark(mesh.place(land.saddle), land.point);
    mark(start, "start");
    if (!wordy) return;
    view.note(land.lift ? "height: asinh of the loss" : "height: the loss");
    grip.setAttribute("aria-label", `Surface, turned by ${S.turn} degrees and tilted by ${S.tilt}. Arrow keys turn and tilt it, with shift faster.`);
    view.describe(
      `${land.label} as a surface over the two weights, with the paths of ${S.methods.map((m) => METHODS[m].label).join(", ") || "no method"} ` +
        `lying on it up to step ${Math.round(at)}.`,
    );
  };
  return view;
}

// view-theory.js
function sliceView(lab) {
  const view = panel({ title: "One direction at a time" });
  view.lacks = () => (lab.land.quadratic ? null : "Directions of their own are those of a quadratic: choose the bowl or the quadratic.");
  view.draw = () => {
    const { S, theme, land, runs, at } = lab;
    const { ctx, width, height } = surface(view.canvas);
    const method = S.methods[0];
    const run = runs[method];
    const { values, angle } = eigen(land.quadratic);
    const span = 0.5 * 2.4 * 2.4; // one scale for both: the flat one is flat
    const [low, top] = [span * Math.min(0, ...values), Math.max(span * Math.max(0, ...values), 1e-9)];
    const axis = [[Math.cos(angle), Math.sin(angle)], [-Math.sin(angle), Math.cos(angle)]];
    const words = [];
    values.forEach((h, i) => {
      const left = (i * width) / 2 + (i ? 8 : 0);
      const right = ((i + 1) * width) / 2 - (i ? 0 : 8);
      const reach = 2.4;
      const sx = linearScale(-reach, reach, left, right);
      const sy = linearScale(low, top, height - 44, 10);
      ctx.strokeStyle = theme.faint;
      ctx.lineWidth = 1.5;
      line(ctx, Array.from({ length: 61 }, (_, k) => -reach + (k * 2 * reach) / 60).map((z) => [sx(z), sy(0.5 * h * z * z)]));
      const title = `${modeName(h, values[1 - i])}, h = ${formatNumber(h, 2)}`;
      text(ctx, theme, title, (left + right) / 2, height - 24, { align: "center", colour: theme.ink, weight: 600, size: 12 });
      if (!run) return;
      ctx.save();
      ctx.beginPath();
      ctx.rect(left, 0, right - left, height - 40);
      ctx.clip();
      const z = run.points.slice(0, Math.floor(at) + 1).map((p) => axis[i][0] * p[0] + axis[i][1] * p[1]);
      ctx.strokeStyle = theme.hue[method];
      ctx.lineWidth = 1.4;
      ctx.globalAlpha = 0.75;
      line(ctx, z.map((v) => [sx(v), sy(0.5 * h * v * v)]));
      ctx.globalAlpha = 1;
      z.forEach((v) => dot(ctx, sx(v), sy(0.5 * h * v * v), 2.4, theme.hue[method]));
      dot(ctx, sx(z[z.length - 1]), sy(0.5 * h * z[z.length - 1] ** 2), 5, theme.hue[method], theme.ground);
      ctx.restore();
      const lr = S[`lr_${method}`];
      const factor = method === "sgd" ? 1 - lr * h : modeFactor(method, S, h); // descent's with its sign
      const label = factor === null ? "no fixed factor" : `× ${formatNumber(factor, 3)} a step`;
      const bad = Math.abs(factor ?? 0) > 1;
      text(ctx, theme, label, (left + right) / 2, height - 7, { align: "center", colour: bad ? theme.bad : theme.muted, weight: bad ? 600 : 400, size: 12, most: right - left });
      words.push(`${title}: ${label}`);
    });
    view.note(run ? METHODS[method].label : "");
    view.describe(`The run of ${run ? METHODS[method].label : "no method"} along each eigenvector. ${words.join(". ")}.`);
  };
  return view;
}

function firstStepWords({ gap, real, alike, theory }) {
  if (alike && !(theory.S > 0)) return "no negative curvature at this start";
  const words = gap >= 0 ? `|H| lower by ${formatNumber(gap, 2)}` : `Newton lower by ${formatNumber(-gap, 2)}`;
  return `${real ? "step 1" : "at equal α, undamped"}: ${words}`;
}

function firstStepSentence(first, S) {
  if (!first.real) return `One step of length ${formatNumber(first.alpha, 2)} from the present start, ${firstStepWords(first)}.`;
  const one = (name, key, f) => `${name} at length ${formatNumber(S[key], 2)} to a loss of ${formatNumber(f, 3)}`;
  const why = first.alike ? "" : " The diagram is for one length for both, without damping and noise: these steps are no point of it.";
  return `The first steps of the runs: ${one("Newton", "lr_newton", first.fN)}, ${one("|H|", "lr_saddle_free", first.fA)}; ${firstStepWords(first)}.${why}`;
}

function phaseView(lab) {
  const view = panel({ title: "Who steps lower?" });
  view.still = true;
  view.lacks = () => (lab.land.lipschitz ? null : "The diagram needs a Hessian with a Lipschitz constant: choose the egg box.");
  let cache = { key: "", sample: [] };
  let scale = null;
  scrub(view.canvas, lab, (x) => {
    const alpha = Math.max(10 ** -1.5, Math.min(10 ** 0.5, scale?.invert(x) ?? 1));
    lab.update({ lr_newton: tidy(alpha), lr_saddle_free: tidy(alpha) });
  });
  view.draw = () => {
    const { S, theme, land } = lab;
    const area = surface(view.canvas);
    const { ctx } = area;
    const key = `${S.landscape}|${S.seed}`;
    if (cache.key !== key) cache = { key, sample: phaseSample(S, 500) };
    const x = [10 ** -1.5, 10 ** 0.5];
    const y = [1e-2, 1e3];
    const frame = axes(area, theme, { x, y, xLog: true, yLog: true, xLabel: "step length α", yLabel: "Q = L r³ / 6S" });
    scale = frame.sx;
    clipped(ctx, frame.box, () => {
      ctx.fillStyle = theme.hue.saddle_free;
      ctx.globalAlpha = 0.13;
      ctx.beginPath();
      ctx.moveTo(frame.sx(x[0]), frame.sy(y[0]));
      ctx.lineTo(frame.sx(x[0]), frame.sy(x[0] ** -2));
      ctx.lineTo(frame.sx(x[1]), frame.sy(x[1] ** -2));
      ctx.lineTo(frame.sx(x[1]), frame.sy(y[0]));
      ctx.fill();
      ctx.globalAlpha = 1;
      ctx.strokeStyle = theme.hue.saddle_free;
      ctx.lineWidth = 1.6;
      line(ctx, [[frame.sx(x[0]), frame.sy(x[0] ** -2)], [frame.sx(x[1]), frame.sy(x[1] ** -2)]]);
      for (const p of cache.sample) {
        const [px, py] = [frame.sx(p.alpha), frame.sy(p.Q)];
        ctx.globalAlpha = 0.7;
        if (p.fA <= p.fN) dot(ctx, px, py, 1.8, theme.hue.saddle_free);
        else {
          ctx.globalAlpha = 1;
          ctx.strokeStyle = theme.hue.newton;
          line(ctx, [[px - 2.6, py - 2.6], [px + 2.6, py + 2.6]]);
          line(ctx, [[px - 2.6, py + 2.6], [px + 2.6, py - 2.6]]);
        }
      }
      ctx.globalAlpha = 1;
    });
    text(ctx, theme, "• |H| lower   × Newton lower", frame.box.right, 11, { align: "right", size: 11.5 });
    text(ctx, theme, "promised: |H| no worse", frame.box.left + 8, frame.box.bottom - 9, { size: 12, colour: theme.ink, halo: true });
    const first = firstSteps(S, land, lab.runs);
    const inside = (v, [low, high]) => v >= low && v <= high;
    const mark = (alpha, hue) => {
      const px = frame.sx(alpha);
      ctx.strokeStyle = hue;
      ctx.lineWidth = 1.2;
      if (inside(alpha, x)) line(ctx, [[px, frame.box.top], [px, frame.box.bottom]]);
      return px;
    };
    if (first.alike) {
      const px = mark(first.alpha, theme.ink);
      const { S: gain, Q } = first.theory;
      if (gain > 0 && inside(first.alpha, x) && inside(Q, y)) dot(ctx, px, frame.sy(Q), 6, theme.ink, theme.ground);
    } else for (const m of ["newton", "saddle_free"]) mark(S[`lr_${m}`], theme.hue[m]); // their steps are no point of the diagram
    const words = firstStepWords(first);
    view.note(words);
    const losses = cache.sample.filter((p) => p.fA > p.fN);
    const broken = losses.filter((p) => p.alpha ** 2 * p.Q <= 1).length;
    view.describe(
      `Phase diagram of one step over ${cache.sample.length} random starts and lengths: Newton is lower in ${losses.length}, ` +
        `of which ${broken} lie in the promised region. ${firstStepSentence(first, S)}`,
    );
  };
  return view;
}

function dialView(lab) {
  const view = panel({ title: "D of the first weight" });
  view.still = true;
  view.lacks = () => (lab.S.landscape === "quadratic" ? null : "The dial turns the quadratic: choose it among the landscapes.");
  let scale = null;
  scrub(view.canvas, lab, (x) => scale && lab.update({ angle: Math.max(0, Math.min(90, Math.round(scale.invert(x)))) }));
  view.draw = () => {
    const { S, theme } = lab;
    const area = surface(view.canvas);
    const { ctx } = area;
    const at = (degrees) => fromEigen([S.eig1, S.eig2], (degrees * Math.PI) / 180);
    const top = Math.max(Math.abs(S.eig1), Math.abs(S.eig2), 0.1) * 1.15;
    const gutter = gutterFor(ctx, theme, ["Equilibration"]);
    const frame = axes(area, theme, {
      x: [0, 90], y: [0, top], xTicks: [0, 15, 30, 45, 60, 75, 90], gutter,
      xLabel: "rotation φ, degrees", yLabel: "D₁ (D₂ is dashed)",
    });
    scale = frame.sx;
    const curves = [
      ["|H|", theme.faint, (H) => [absolute(H).a, absolute(H).c]],
      ["Equilibration", theme.hue.equilibration, rowNorms], ["Jacobi", theme.hue.jacobi, jacobiDiagonal],
    ];
    for (const [name, hue, diag] of curves) {
      for (const i of [1, 0]) {
        ctx.strokeStyle = hue;
        ctx.lineWidth = name !== "|H|" ? 2.2 : i ? 1.5 : 6; // broad, so that it is seen under a curve that is the same
        ctx.globalAlpha = name === "|H|" ? 0.55 : 1;
        ctx.setLineDash(i ? [3, 5] : []);
        line(ctx, Array.from({ length: 91 }, (_, a) => [frame.sx(a), frame.sy(diag(at(a))[i])]));
      }
    }
    ctx.globalAlpha = 1;
    ctx.setLineDash([]);
    const ends = curves.map(([name, hue, diag]) => ({ x: frame.box.right, y: frame.sy(diag(at(90))[0]), name, hue }));
    endLabels(ctx, theme, frame.box, ends);
    ctx.strokeStyle = theme.muted;
    ctx.lineWidth = 1;
    line(ctx, [[frame.sx(S.angle), frame.box.top], [frame.sx(S.angle), frame.box.bottom]]);
    const H = at(S.angle);
    for (const [, hue, diag] of curves.slice(1)) dot(ctx, frame.sx(S.angle), frame.sy(diag(H)[0]), 5.5, hue, theme.ground);
    const [dj, de] = [jacobiDiagonal(H)[0], rowNorms(H)[0]];
    view.note(`φ = ${formatNumber(S.angle, 3)}°`);
    view.describe(
      `The diagonal read by Jacobi and by equilibration for rotations of 0 to 90 degrees. At ${formatNumber(S.angle, 3)} degrees ` +
        `Jacobi reads ${formatNumber(dj, 3)} and equilibration ${formatNumber(de, 3)} for the first weight.`,
    );
  };
  return view;
}

// views.js
const VIEWS = {
  path: pathView, after: (lab) => pathView(lab, { transformed: true }), loss: lossView, rates: ratesView, slice: sliceView,
  escape: escapeView, phase: phaseView, dial: dialView, cloud: cloudView, estimates: estimatesView, bars: barsView,
  ledger: ledgerView, faces: facesView, modes: modesView, many: manyView, eigen: eigenView, spread: spreadView, convergence: convergenceView,
  surface: surfaceView, velocity: velocityView, expected: expectedView,
};

const FURTHER = {
  loss: "Loss", rates: "Effective rates", surface: "Surface", modes: "Mode by mode", velocity: "Position and velocity", expected: "Expected loss",
  many: "Many weights", eigen: "Eigenvectors", spread: "Over time", convergence: "All rates",
};

// app.js
const CAMERA = ["turn", "tilt"]; // settings of the surface alone
const ELSEWHERE = ["at", "show", "many", "data", "weights"]; // the runs of two weights do not depend on them
const AROUND = 160; // pixels above and below the window in which a view counts as seen

const EVERY_CONTROL = [
  "landscape", "kappa", "eig1", "eig2", "angle", "steps", "momentum", "damping", "decay", "beta1", "beta2", "noise", "noise_shape", "interval",
  "warmup", "probe", "curvature", "seed", "zoom",
];

function mount(el, options = {}) {
  const scene = SCENES[options.scene] ? options.scene : "welcome";
  const preset = SCENES[scene];
  const host = make("div", { "data-lab-host": scene });
  const shadow = host.attachShadow({ mode: "open" });
  const root = make("section", { class: "lab", "aria-label": `Interactive figure: ${preset.title}` });
  shadow.append(make("style", { text: STYLE }), root);

  const lab = { scene, preset, root, S: makeState(preset.state, options.state), runs: {}, outcomes: {}, best: {}, seeking: true, playing: false, printing: false };
  const opening = makeState(preset.state, options.opening ?? options.state);
  const views = [];
  let frame = 0;
  let dressed = null;
  let timer = 0;
  let beat = 0;
  let search = 0;
  let marked = null; // the runs for which the best settings are marked
  let whole = true; // the next frame draws everything
  let only = null; // the one view to draw again, where that is enough
  let unsaid = false; // a change by the reader's hand that the listener has not heard of
  let unseen = false; // the last frame found the lab without a box

  const compute = () => {
    const { S } = lab;
    lab.land = landscapeOf(S);
    lab.landKey = [S.landscape, S.kappa, S.eig1, S.eig2, S.angle].join();
    lab.runs = Object.fromEntries(S.methods.map((m) => [m, trajectory(m, S)]));
    lab.outcomes = Object.fromEntries(S.methods.map((m) => [m, outcome(lab.runs[m], S)]));
  };
  const mark = () => {
    lab.seeking = false;
    const { methods } = lab.S; // one slider serves both forms of momentum: where both run, it marks the heavy ball's
    const form = methods.includes("momentum") ? heavyBall : methods.includes("nesterov") ? nesterov : null;
    const beta = form && bestMomentum(lab.S, form);
    rows.mark();
    parts.forEach((part) => part.mark?.(part.key === "momentum" ? beta : null));
  };
  const markBest = () => {
    const { S, runs } = lab;
    if (marked === runs) {
      lab.seeking = false;
      return;
    }
    marked = runs;
    clearTimeout(search);
    const best = {};
    const job = (function* seek() {
      for (const m of S.methods) best[m] = yield* seekBestRate(m, S, runs[m]);
    })();
    const work = () => {
      const pause = performance.now() + 4;
      while (performance.now() < pause) {
        if (lab.runs !== runs) return; // the state has changed: it will be sought anew
        if (!job.next().done) continue;
        lab.best = best;
        mark();
        return;
      }
      search = setTimeout(work);
    };
    work();
  };
  const owed = new Set(); // views out of sight that do not show the state yet: they are drawn when there is time
  let idle = 0;
  let drawnAt = NaN; // the step of the last frame
  lab.owing = () => owed.size > 0;
  const isOutside = ({ element, canvases }) => {
    if (!canvases || lab.printing) return false; // words are cheap, and paper has no window
    const { top, bottom } = element.getBoundingClientRect();
    return bottom < -AROUND || top > document.documentElement.clientHeight + AROUND;
  };
  const drawViews = (shown) => {
    withBoxes(shown.flatMap((view) => view.canvases ?? []), () => shown.forEach((view) => {
      owed.delete(view);
      view.draw();
    }));
  };
  const payLater = () => {
    const waits = lab.playing && !matchMedia("(prefers-reduced-motion: reduce)").matches; // a slow play leaves time
    if (idle || !owed.size || waits) return;
    idle = whenIdle((deadline) => {
      idle = 0;
      if (frame && !lab.playing) return; // the frame under way sees to it
      if (!root.clientWidth) { // hidden: all is drawn when it is shown again
        redrawWhole();
        return;
      }
      const next = [...owed].slice(0, deadline?.didTimeout ? owed.size : 1);
      next.forEach((view) => owed.delete(view)); // even if drawing it fails
      try {
        drawViews(next.filter((view) => !view.element.hidden && !view.excused));
      } finally {
        payLater();
      }
    });
  };
  const watched = []; // elements whose size is drawn
  const sizes = new Map(); // of the last frame that drew everything
  const sizeOf = (element) => (element === root ? element.clientWidth : `${element.clientWidth} ${element.clientHeight}`);
  const redrawWhole = () => {
    whole = true;
    lab.redraw();
  };
  const unfold = () => {
    parts.forEach((part) => (part.element.hidden = !relevant(part.key, lab.S)));
    views.forEach((view) => {
      view.excuse?.((view.excused = view.lacks()));
      view.fit?.();
    });
    further.forEach(({ name, view, button }) => {
      button.hidden = !relevant(name, lab.S);
      view.element.hidden = button.hidden || !lab.S.show.includes(name);
      button.setAttribute("aria-expanded", String(!view.element.hidden));
    });
  };
  const draw = () => {
    frame = 0;
    const same = dressed === lab.runs && !whole;
    const alone = same ? only : null;
    const light = !alone && lab.playing && same; // while it plays, only what moves is drawn again
    if (!alone && !light) unfold();
    if (!root.clientWidth) { // hidden: it is drawn when its observer reports a size again
      if (!unseen) frame = requestAnimationFrame(draw); // the observer overlooks what is shown again within one frame
      unseen = true;
      owed.clear();
      sizes.clear();
      return;
    }
    unseen = false;
    only = null;
    whole = false;
    dressed = lab.runs;
    beat += 1;
    const due = (view, i) => !light || (!view.still && (view.swift || (beat + i) % 2 === 0)); // the paths at every frame, the rest at every other
    const wanted = alone ? [alone] : views.filter((view, i) => !view.element.hidden && !view.excused && (due(view, i) || owed.has(view)));
    const later = alone ? [] : wanted.filter(isOutside);
    if (!alone && !light) {
      watched.forEach((element) => sizes.set(element, sizeOf(element)));
      owed.clear();
    }
    if (!light || lab.at !== drawnAt) later.forEach((view) => owed.add(view));
    drawnAt = lab.at;
    drawViews(wanted.filter((view) => !later.includes(view)));
    payLater();
    if (alone) return;
    const seen = more.hidden ? shownControls : parts;
    [...(light ? [] : [...seen, rows, faces]), bar, table].forEach((part) => part?.draw());
    if (light) return;
    const others = ["landscape", ...(preset.told ?? [])].some((key) => lab.S[key] !== told[key]); // the caption is of another figure
    [[formula, lab.land.formula], [caption, `${others ? "As it opens: " : ""}${preset.caption}`]].forEach(([element, words]) => {
      if (element.textContent !== words) element.textContent = words;
    });
  };
  const paint = () => {
    lab.theme = colours(pageIsDark() && !lab.printing); // paper is white
    lab.theme.font = getComputedStyle(el).fontFamily || "system-ui, sans-serif";
    lab.theme.bad = lab.theme.dark ? "#FF8B7B" : "#B3261E";
    lab.theme.good = lab.theme.dark ? "#7FD6A4" : "#1B6E42";
    const { ink, muted, faint, hairline, ground, panel, bad, good, dark, font } = lab.theme;
    const style = { ink, muted, faint, hairline, ground, panel, bad, good, font, rail: dark ? "#464f5a" : "#cfd5db", focus: dark ? "#8ab4ff" : "#1a5fd0", pen: ink, sheet: ground };
    Object.entries(style).forEach(([name, value]) => host.style.setProperty(`--${name}`, value));
    host.style.colorScheme = dark ? "dark" : "light";
    whole = true;
    lab.redraw();
  };
  lab.redraw = (view = null) => {
    only = !frame || only === view ? view : null;
    if (!frame) frame = requestAnimationFrame(draw);
  };
  const speak = () => {
    live.textContent = lab.S.methods.map((m) => `${METHODS[m].label}: ${lab.outcomes[m].text}`).join(". ");
  };
  const settled = () => {
    markBest();
    speak();
    if (unsaid) options.onChange?.(difference(preset.state, lab.S), lab.S);
    unsaid = false;
  };
  lab.update = (change, { silent = false } = {}) => {
    const before = lab.S;
    const changed = Object.keys(change);
    const onlyCamera = changed.length > 0 && changed.every((key) => CAMERA.includes(key));
    const sameRuns = onlyCamera || (changed.length > 0 && changed.every((key) => ELSEWHERE.includes(key)));
    const atEnd = before.at >= before.steps;
    const next = { ...before, ...change };
    if ((change.precond ?? before.precond) !== before.precond && !change.methods) {
      next.methods = methodsAfter(before.methods, before.precond, change.precond);
    }
    if ("steps" in change && atEnd && !("at" in change)) next.at = next.steps;
    lab.S = makeState(preset.state, next);
    lab.forget();
    lab.at = lab.playing && !("at" in change) ? Math.min(lab.at, lab.S.steps) : lab.S.at; // a play goes on where it is
    if (!sameRuns) compute();
    whole ||= !onlyCamera;
    lab.redraw(onlyCamera ? views.find(({ element }) => element.dataset.view === "surface") : null);
    unsaid = unsaid || !silent;
    lab.seeking = true;
    clearTimeout(timer);
    timer = setTimeout(settled, 140);
  };
  lab.reset = () => {
    lab.stop();
    lab.S = { ...opening };
    lab.at = lab.S.at;
    lab.update({});
  };
  lab.landscapeChoices = () => Object.entries(LANDSCAPES).map(([id, { label }]) => [id, label]);
  lab.chooseLandscape = (id) => lab.update(freshFor(id, preset.state));

  paint(); // before there is anything to style
  el.replaceChildren(host);
  const live = make("p", { class: "sr", "aria-live": "polite" });
  const rows = methodRows(lab);
  const shownControls = preset.controls.map((key) => ({ key, ...control(lab, key) }));
  const otherControls = EVERY_CONTROL.filter((key) => !preset.controls.includes(key)).map((key) => ({ key, ...control(lab, key) }));
  const parts = [...shownControls, ...otherControls];
  const bar = transport(lab);
  const table = stepTable(lab);
  const faces = preset.faces ? faceButtons(lab, preset.faces) : null;
  const show = (name) => {
    const view = VIEWS[name](lab);
    view.element.dataset.view = name;
    views.push(view);
    return view.element;
  };
  const [left, right, below = []] = preset.views;
  const stage = make("div", { class: `stage${preset.pair ? ` pair ${preset.pair}` : ""}` },
    make("div", { class: "column left" }, ...left.map(show)), make("div", { class: "column right" }, ...right.map(show)),
    below.length ? make("div", { class: "column below" }, ...below.map(show)) : null);
  const further = Object.entries(FURTHER).filter(([name]) => !preset.views.flat().includes(name)).map(([name, label]) => {
    const element = show(name);
    const toggle = () => lab.update({ show: lab.S.show.includes(name) ? lab.S.show.filter((other) => other !== name) : [...lab.S.show, name] });
    return { name, element, view: views[views.length - 1], button: opener(label, name, toggle) };
  });
  const more = make("div", { class: "controls more", role: "group", "aria-label": "More settings" }, ...otherControls.map((c) => c.element));
  const formula = make("div", { class: "formula" });
  const caption = make("p", { class: "caption", text: preset.caption });
  const told = makeState(preset.state);
  root.append(
    make("header", {}, make("p", { class: "title", text: preset.title }), formula),
    caption,
    ...(faces ? [faces.element] : []),
    stage, bar.element, rows.element,
    make("div", { class: "controls main-controls" }, ...shownControls.map((c) => c.element)),
    footer(lab, [...further.map(({ button }) => button), disclosure("More settings", more, redrawWhole), table.button], el.hasAttribute("data-esgd-lab")),
    make("div", { class: "further" }, ...further.map(({ element }) => element)), more, table.element, live,
  );

  const keep = (event) => event.stopPropagation(); // a notebook's own shortcuts must not swallow our keys
  host.addEventListener("keydown", keep);
  const unwatch = watchTheme(paint);
  watched.push(root, ...views.flatMap((view) => view.canvases ?? []));
  const resize = new ResizeObserver((entries) => {
    if (entries.some(({ target }) => sizes.get(target) !== sizeOf(target))) redrawWhole();
  });
  watched.forEach((element) => resize.observe(element));
  const scrolled = new IntersectionObserver((entries) => {
    const shown = entries.filter(({ isIntersecting }) => isIntersecting).map(({ target }) => views.find(({ element }) => element === target));
    const late = shown.filter((view) => owed.has(view) && !view.excused && !view.element.hidden);
    if (late.length && !frame) drawViews(late); // while it plays the next frame sees to them
  }, { rootMargin: `${AROUND}px 0px`, scrollMargin: `${AROUND}px 0px` }); // the latter within a notebook's own scroll box
  views.forEach(({ element }) => scrolled.observe(element));
  const onPaper = (printing) => () => {
    lab.printing = printing;
    paint();
    cancelAnimationFrame(frame);
    draw();
  };
  const [toPaper, fromPaper] = [onPaper(true), onPaper(false)];
  globalThis.addEventListener("beforeprint", toPaper);
  globalThis.addEventListener("afterprint", fromPaper);
  lab.at = lab.S.at;
  compute();
  cancelAnimationFrame(frame);
  draw();
  timer = setTimeout(markBest, 120);
  return {
    lab,
    set: (state) => {
      lab.stop();
      lab.update(makeState(preset.state, state), { silent: true });
    },
    print: toPaper,
    destroy: () => {
      lab.stop();
      clearTimeout(timer);
      clearTimeout(search);
      cancelAnimationFrame(frame);
      owed.clear();
      unwatch();
      resize.disconnect();
      scrolled.disconnect();
      globalThis.removeEventListener("beforeprint", toPaper);
      globalThis.removeEventListener("afterprint", fromPaper);
      host.removeEventListener("keydown", keep);
      el.replaceChildren();
    },
  };
}

// index.js
function render({ model, el }) {
  let ours = "";
  const handle = mount(el, {
    scene: model.get("scene"),
    state: model.get("state"),
    onChange: (state) => {
      ours = JSON.stringify(state);
      model.set("state", state);
      model.save_changes();
    },
  });
  const follow = () => {
    const state = model.get("state");
    if (JSON.stringify(state) === ours) return;
    ours = ""; // another's state: ours, when it comes back, is news
    handle.set(state);
  };
  model.on("change:state", follow);
  return () => {
    model.off("change:state", follow);
    handle.destroy();
  };
}

export { mount, SCENES };

export const core = {
  amountsOf, amplitudes, bestMomentum, bestRate, cameraOf, changeOfVariables, comparison, contourPath, contourRoot, decodeState,
  descentUnder, divergedStep, drawNoise, drawProbe, eigenbasis, encodeState, errorShare, escapeStep, escapeTimes,
  escapeWords, expectedLoss, faceRows, firstSteps, firstStepWords, freshFor, hasStopped, heavyBall, isHidden, laidOut, landscapeOf, LANDSCAPES,
  leftOver, makeState, manyProblem, manyRun, meshOf, METHODS, mixes, modeFactor, modeName, modeRadius, modesOf, nesterov, newsReach, newsWords, noiseFloor,
  noiseVerdict, nudged,
  outcome, PALETTE, phasePoints, phaseSample, preconditioner, probesSoFar, pythonLine, ratesWords, regimeOf,
  regimeWords, SETTINGS, shares, stationary, stepRows, stream, takeover, trajectory, whyNoEscape,
};

export default { render };
