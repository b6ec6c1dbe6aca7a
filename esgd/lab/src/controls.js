// The controls under the figure: sliders, choices, the rotation dial, the method rows.

import { dial } from "./dial.js";
import { make } from "./dom.js";
import { METHODS } from "./methods.js";
import { slider } from "./slider.js";
import { OPTION_LABELS, SETTINGS } from "./state.js";

/** A choice of a few as a row of buttons; `along` is what changes with it. */
export function segments(lab, key, along = {}) {
  const setting = SETTINGS[key];
  const buttons = setting.options.map((option) =>
    make("button", { type: "button", text: OPTION_LABELS[option] ?? option, "data-option": option, onclick: () => lab.S[key] !== option && lab.update({ [key]: option, ...along }) }));
  const group = make("div", { class: "segments", role: "group", "aria-label": setting.label, "data-key": key }, ...buttons);
  return {
    element: make("div", { class: "control" }, make("div", { class: "label" }, make("span", { text: setting.label })), group),
    draw: () => buttons.forEach((b) => b.setAttribute("aria-pressed", String(b.dataset.option === lab.S[key]))),
    mark: () => {},
  };
}

/** The methods that run, by colour and name, for a view with no room for names beside its curves. */
export function methodKey(lab) {
  const element = make("p", { class: "key" });
  return {
    element,
    draw: (out = []) => element.replaceChildren(...lab.S.methods.map((m) =>
      make("span", {}, make("i", { style: `--tint: ${lab.theme.hue[m]}` }), METHODS[m].short + (out.includes(m) ? " is out" : "")))),
  };
}

/** The choice between the problems of many weights, each with weights of its own, and the way back from what was moved. */
export function problemChoice(lab) {
  const choice = segments(lab, "many", { weights: [] });
  const back = make("button", { type: "button", class: "back", text: "As it was: the first data, a start from zero", onclick: () => lab.update({ data: [], weights: [] }) });
  choice.element.append(back);
  return { ...choice, draw: () => {
    choice.draw();
    back.hidden = !lab.S.data.length && !lab.S.weights.length;
  } };
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
