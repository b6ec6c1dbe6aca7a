// The nine scenes that open the chapters: each a preset whose untouched state already shows its point.

export const SCENES = {
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
