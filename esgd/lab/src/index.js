// What the module offers: mount(el, options) for a page, the default export for anywidget, and the arithmetic
// for the tests.

import { mount } from "./app.js";
import { changeOfVariables, contourRoot, descentUnder, preconditioner } from "./change.js";
import { faceRows } from "./faces.js";
import { contourPath } from "./dial.js";
import { expectedLoss, noiseFloor, noiseVerdict, takeover } from "./expected.js";
import { LANDSCAPES, landscapeOf } from "./landscapes.js";
import { freshFor } from "./fresh.js";
import { amountsOf, eigenbasis, leftOver, manyProblem, manyRun } from "./many.js";
import { METHODS, trajectory } from "./methods.js";
import { amplitudes, mixes, modeFactor, modeName, modesOf, phasePoints, regimeOf, regimeWords, shares } from "./modes.js";
import { divergedStep, hasStopped, outcome } from "./outcomes.js";
import { drawNoise, drawProbe, stream } from "./rng.js";
import { SCENES } from "./scenes.js";
import { cameraOf, isHidden, laidOut, meshOf } from "./surface-mesh.js";
import { nudged } from "./slider.js";
import { decodeState, encodeState, makeState, pythonLine, SETTINGS } from "./state.js";
import { stepRows } from "./table.js";
import { newsReach, newsWords } from "./view-spread.js";
import { bestMomentum, bestRate, comparison, escapeStep, escapeTimes, firstSteps, heavyBall, modeRadius, nesterov, phaseSample, stationary, whyNoEscape } from "./theory.js";
import { PALETTE } from "./theme.js";
import { escapeWords } from "./view-escape.js";
import { ratesWords } from "./view-loss.js";
import { errorShare, probesSoFar } from "./view-probes.js";
import { firstStepWords } from "./view-theory.js";

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
  amountsOf, amplitudes, bestMomentum, bestRate, cameraOf, changeOfVariables, comparison, contourPath, contourRoot, decodeState,
  descentUnder, divergedStep, drawNoise, drawProbe, eigenbasis, encodeState, errorShare, escapeStep, escapeTimes,
  escapeWords, expectedLoss, faceRows, firstSteps, firstStepWords, freshFor, hasStopped, heavyBall, isHidden, laidOut, landscapeOf, LANDSCAPES,
  leftOver, makeState, manyProblem, manyRun, meshOf, METHODS, mixes, modeFactor, modeName, modeRadius, modesOf, nesterov, newsReach, newsWords, noiseFloor,
  noiseVerdict, nudged,
  outcome, PALETTE, phasePoints, phaseSample, preconditioner, probesSoFar, pythonLine, ratesWords, regimeOf,
  regimeWords, SETTINGS, shares, stationary, stepRows, stream, takeover, trajectory, whyNoEscape,
};

export default { render };
