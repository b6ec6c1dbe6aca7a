// The controls under the figure: sliders with their optimum marked, choices, the rotation dial, the method rows.

import { drags, make } from "./dom.js";
import { METHODS } from "./methods.js";
import { OPTION_LABELS, SETTINGS, tidy } from "./state.js";
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

export const spokenValue = (setting, value) => `${formatNumber(value, setting.digits ? Math.max(3, setting.digits) : 3)}${setting.unit ?? ""}`;

/** A range input with a clickable mark at its optimum. `key` is a setting, or null for the timeline. */
export function slider(lab, key, { label, tint = null }) {
  const setting = SETTINGS[key];
  const log = setting.scale === "log";
  const input = make("input", {
    type: "range", min: log ? 0 : setting.min, max: log ? POSITIONS : setting.max,
    step: log ? 1 : (setting.step ?? "any"), "aria-label": label ?? setting.label, "data-key": key,
    oninput: () => lab.update({ [key]: fromPosition(setting, input.value) }),
  });
  if (log && setting.integer) { // a position of the slider is less than a whole number: the keys count
    const strides = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1, PageUp: 10, PageDown: -10 };
    input.addEventListener("keydown", (event) => {
      if (!strides[event.key]) return;
      event.preventDefault();
      lab.update({ [key]: lab.S[key] + strides[event.key] * (event.shiftKey ? 10 : 1) });
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

/** A choice of a few as a row of buttons. */
export function segments(lab, key) {
  const setting = SETTINGS[key];
  const buttons = setting.options.map((option) =>
    make("button", { type: "button", text: OPTION_LABELS[option] ?? option, "data-option": option, onclick: () => lab.update({ [key]: option }) }));
  const group = make("div", { class: "segments", role: "group", "aria-label": setting.label, "data-key": key }, ...buttons);
  return {
    element: make("div", { class: "control" }, make("div", { class: "label" }, make("span", { text: setting.label })), group),
    draw: () => buttons.forEach((b) => b.setAttribute("aria-pressed", String(b.dataset.option === lab.S[key]))),
    mark: () => {},
  };
}

/** The rotation dial: a knob that turns the eigenvectors, with a slider beside it for the keyboard. */
function dial(lab) {
  const inner = slider(lab, "angle", {});
  const svg = "http://www.w3.org/2000/svg";
  const draw = document.createElementNS(svg, "svg");
  draw.setAttribute("viewBox", "-32 -32 64 64");
  draw.setAttribute("aria-hidden", "true");
  draw.innerHTML =
    '<circle r="27" fill="none" stroke="var(--rail)" stroke-width="3"/><path d="M27 0A27 27 0 0 0 0 -27" fill="none" stroke="var(--muted)" stroke-width="3"/>' +
    '<g><ellipse rx="20" ry="8" fill="none" stroke="var(--ink)" stroke-width="1.5"/><path d="M0 0H27" stroke="var(--ink)" stroke-width="1.5"/><circle cx="27" r="6" fill="var(--ink)" stroke="var(--ground)" stroke-width="2"/></g>';
  const knob = draw.querySelector("g");
  const turn = (event) => {
    const box = draw.getBoundingClientRect();
    const angle = (Math.atan2(box.top + box.height / 2 - event.clientY, event.clientX - box.left - box.width / 2) * 180) / Math.PI;
    lab.update({ angle: Math.round(Math.max(0, Math.min(90, angle))) });
  };
  drags(draw, lab, turn);
  const words = make("label", {}, make("span", { text: SETTINGS.angle.label }), inner.output);
  return {
    element: make("div", { class: "control" }, make("div", { class: "dial" }, draw, make("div", { style: "flex:1" }, words, inner.track))),
    draw: () => {
      inner.draw();
      knob.setAttribute("transform", `rotate(${-lab.S.angle})`);
    },
    mark: () => {},
  };
}

/** One control for a setting, by its kind. */
export function control(lab, key) {
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

/** The rows of the methods that run: swatch and name, rate with its optimum, outcome; and chips for the others. */
export function methodRows(lab) {
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
