// What the module offers: mount(el, options) for a page, the default export for anywidget, and the arithmetic
// for the tests.

import { mount } from "./app.js";
import { LANDSCAPES, landscapeOf } from "./landscapes.js";
import { eigenbasis, leftOver, manyProblem, manyRun } from "./many.js";
import { METHODS, trajectory } from "./methods.js";
import { amplitudes, mixes, modeFactor, modesOf, shares } from "./modes.js";
import { drawNoise, drawProbe, stream } from "./rng.js";
import { SCENES } from "./scenes.js";
import { cameraOf, isHidden, laidOut, meshOf } from "./surface-mesh.js";
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
  amplitudes, bestMomentum, bestRate, cameraOf, comparison, contourRoot, decodeState, drawNoise, drawProbe, eigenbasis, encodeState, escapeStep, escapeTimes,
  isHidden, laidOut, LANDSCAPES, landscapeOf, leftOver, makeState, manyProblem, manyRun, meshOf, METHODS, mixes, modeFactor, modeRadius, modesOf, outcome, PALETTE, phaseSample, pythonLine, SETTINGS, shares, stationary, stream, trajectory,
};

export default { render };
