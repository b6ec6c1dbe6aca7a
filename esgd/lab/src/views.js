// Every view of the lab by its name.

import { barsView } from "./view-bars.js";
import { convergenceView } from "./view-convergence.js";
import { eigenView } from "./view-eigen.js";
import { escapeView } from "./view-escape.js";
import { facesView } from "./view-faces.js";
import { lossView, ratesView } from "./view-loss.js";
import { manyView } from "./view-many.js";
import { modesView } from "./view-modes.js";
import { expectedView } from "./view-noise.js";
import { pathView } from "./view-path.js";
import { velocityView } from "./view-phase.js";
import { cloudView, estimatesView, ledgerView } from "./view-probes.js";
import { spreadView } from "./view-spread.js";
import { surfaceView } from "./view-surface.js";
import { dialView, phaseView, sliceView } from "./view-theory.js";

export const VIEWS = {
  path: pathView, after: (lab) => pathView(lab, { transformed: true }), loss: lossView, rates: ratesView, slice: sliceView,
  escape: escapeView, phase: phaseView, dial: dialView, cloud: cloudView, estimates: estimatesView, bars: barsView,
  ledger: ledgerView, faces: facesView, modes: modesView, many: manyView, eigen: eigenView, spread: spreadView, convergence: convergenceView,
  surface: surfaceView, velocity: velocityView, expected: expectedView,
};

/** The views that any scene opens on request, by the names of the setting `show`. */
export const FURTHER = {
  loss: "Loss", rates: "Effective rates", surface: "Surface", modes: "Mode by mode", velocity: "Position and velocity", expected: "Expected loss",
  many: "Many weights", eigen: "Eigenvectors", spread: "Over time", convergence: "All rates",
};
