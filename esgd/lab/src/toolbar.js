// Play, pause, step, reset and the timeline; the foot with its ways to share; the faces of RMSProp.

import { make } from "./dom.js";
import { slider } from "./slider.js";
import { encodeState, makeState, pythonLine } from "./state.js";

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

/** The bar with the timeline; gives the lab its `play` and `pause`. */
export function transport(lab) {
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
  /** Ends the play and says nothing of it. */
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

/** Copies words to the clipboard; where that is refused, shows them selected. */
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

/** The foot: what opens further views, and the ways to share; `onPage` says whether an address can restore the lab. */
export function footer(lab, disclosures, onPage) {
  const field = make("input", { type: "text", readonly: true, hidden: true, "aria-label": "What to copy" });
  const note = make("span", { role: "status" });
  /** Takes away what was copied: it is of another state now. */
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

export function faceButtons(lab, faces) {
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
