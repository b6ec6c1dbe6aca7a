// A slider: a range input over a linear or logarithmic setting, with a clickable mark at its optimum.

import { make } from "./dom.js";
import { SETTINGS, tidy } from "./state.js";
import { formatNumber } from "./theory.js";

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

/** A logarithmic setting some positions (of whole numbers: units) on, and then as far as it takes to change. */
export function nudged(setting, value, strides) {
  if (setting.integer) return Math.max(setting.min, Math.min(setting.max, value + strides));
  const sign = Math.sign(strides);
  for (let position = toPosition(setting, value) + strides; ; position += sign) {
    if (position <= 0) return setting.min;
    if (position >= POSITIONS) return setting.max;
    const next = fromPosition(setting, position);
    if ((next - value) * sign > 0) return next;
  }
}

export const spokenValue = (setting, value) =>
  `${formatNumber(value, setting.digits ? Math.max(3, setting.digits) : 3)}${setting.unit ?? ""}`;

/** A range input with a clickable mark at its optimum. `key` is a setting, or null for the timeline. */
export function slider(lab, key, { label, tint = null }) {
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
