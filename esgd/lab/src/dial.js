// The rotation dial: a knob that turns the eigenvectors, with a slider beside it for the keyboard.

import { drags, make } from "./dom.js";
import { slider } from "./slider.js";
import { SETTINGS } from "./state.js";

const SVG = "http://www.w3.org/2000/svg";
const REACH = 19; // of the contour line drawn on the knob

/**
 * A contour line of ½(h₁u² + h₂v²) as an SVG path, u along the pointer: an ellipse, long where the curvature is
 * small, or the arms at a saddle.
 */
export function contourPath(h1, h2) {
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

/** The curvatures along the first and the second eigenvector. */
const curvatures = (S) => (S.landscape === "bowl" ? [1, 1 / S.kappa] : [S.eig1, S.eig2]);

export function dial(lab) {
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
