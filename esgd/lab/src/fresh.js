// What a choice takes along: a landscape its start, length and rates, a preconditioner its method.

import { METHOD_OF } from "./change.js";
import { METHODS } from "./methods.js";
import { makeState } from "./state.js";

const rates = (...values) =>
  Object.fromEntries(Object.keys(METHODS).map((method, i) => [`lr_${method}`, values[i]]));

// every landscape names the same settings, so that none of another landscape stays behind; the rates are those of
// descent, momentum, Nesterov, Newton, saddle-free Newton, Jacobi, equilibration, AdaGrad, RMSProp, Adam and ESGD
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

/** The change that comes with a landscape: fresh settings, or the scene's own where the landscape is. */
export function freshFor(landscape, preset) {
  const own = makeState(preset);
  const keys = ["zoom", ...Object.keys(FRESH[landscape])];
  if (own.landscape !== landscape) return { landscape, zoom: 1, ...FRESH[landscape] };
  return { landscape, ...Object.fromEntries(keys.map((key) => [key, own[key]])) };
}

/** The methods once the preconditioner changes: its own in place of the former one's, the reader's others as they are. */
export const methodsAfter = (methods, before, after) =>
  [...methods.filter((method) => method !== METHOD_OF[before]), METHOD_OF[after]];
