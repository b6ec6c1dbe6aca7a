// What the module offers: mount(el, options) for a page, the default export for anywidget, and the arithmetic
// for the tests.

import { mount } from "./app.js";
import { LANDSCAPES, landscapeOf } from "./landscapes.js";
import { METHODS, trajectory } from "./methods.js";
import { drawNoise, drawProbe, stream } from "./rng.js";
import { SCENES } from "./scenes.js";
import { decodeState, encodeState, makeState, pythonLine, SETTINGS } from "./state.js";
import { bestMomentum, bestRate, comparison, contourRoot, escapeStep, escapeTimes, modeRadius, outcome, phaseSample, stationary } from "./theory.js";
import { PALETTE } from "./theme.js";

/** anywidget's entry: the scene and state come from Python, the reader's changes go back. */
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
    if (JSON.stringify(state) !== ours) handle.set(state);
  };
  model.on("change:state", follow);
  return () => {
    model.off("change:state", follow);
    handle.destroy();
  };
}

export { mount, SCENES };

export const core = {
  bestMomentum, bestRate, comparison, contourRoot, decodeState, drawNoise, drawProbe, encodeState, escapeStep, escapeTimes,
  LANDSCAPES, landscapeOf, makeState, METHODS, modeRadius, outcome, PALETTE, phaseSample, pythonLine, SETTINGS, stationary, stream, trajectory,
};

export default { render };
