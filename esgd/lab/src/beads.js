// Beads on a plot that move up and down: by mouse, by finger, or by keys. The row of them is one stop of Tab; left and
// right go from bead to bead, up and down move the one that has the focus.

import { drags, make } from "./dom.js";
import { tidy } from "./state.js";

const BEAD_REACH = 44; // pixels to press; where beads stand closer, the nearest one is taken

/**
 * Beads over the plot of a view. `place(beads)` puts them where they are now: each {x, y, value, least, most, step, label,
 * spoken, invert}, in pixels of the canvas, `invert` from a height to a value. `set(i, value, held)` hears of a move; `held`
 * is the row's own, what `hold()` gave when the bead was taken, and null for keys: a view keeps its scale while it is not.
 */
export function beadRow(lab, view, { label, set, hold = () => true }) {
  const element = make("div", { class: "beads", role: "group", "aria-label": label });
  view.plot.append(element);
  let items = [];
  let current = 0;
  const row = { held: null, place };
  const moveTo = (i, v) => {
    const item = items[i];
    item.value = tidy(Math.max(item.least, Math.min(item.most, v))); // the next key may come before the next frame
    set(i, item.value, row.held);
  };
  const buttons = () => [...element.children];
  const choose = (i) => {
    current = i;
    buttons().forEach((b, j) => b.setAttribute("tabindex", j === current ? "0" : "-1"));
  };
  const at = (event) => {
    const box = view.canvas.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };
  const nearest = ([x, y]) => {
    const far = items.map((item) => Math.hypot(item.x - x, item.y - y));
    return far.indexOf(Math.min(...far));
  };
  const build = () => {
    element.replaceChildren(...items.map(() => make("button", { type: "button", class: "bead", role: "slider", "aria-orientation": "vertical" }, make("i"))));
    buttons().forEach((button, i) => {
      let [taken, offset] = [i, 0];
      drags(button, lab, (event) => moveTo(taken, items[taken].invert(at(event)[1] - offset)), (event) => {
        taken = nearest(at(event));
        offset = at(event)[1] - items[taken].y; // it does not jump to the pointer
        row.held = hold();
        choose(taken);
        buttons()[taken].focus({ preventScroll: true });
        event.preventDefault();
      }, () => {
        row.held = null;
        lab.redraw(view);
      });
      button.addEventListener("focus", () => choose(i));
      button.addEventListener("keydown", (event) => {
        const { value, step, least, most } = items[i];
        const big = event.shiftKey ? 5 : 1;
        const to = { ArrowUp: value + big * step, ArrowDown: value - big * step, PageUp: value + 10 * step, PageDown: value - 10 * step, Home: least, End: most }[event.key];
        const next = { ArrowLeft: i - 1, ArrowRight: i + 1 }[event.key];
        if (to === undefined && next === undefined) return;
        event.preventDefault();
        if (to !== undefined) moveTo(i, to);
        else buttons()[Math.max(0, Math.min(items.length - 1, next))].focus();
      });
    });
    choose(Math.min(current, Math.max(0, items.length - 1)));
  };
  function place(beads, [width, height]) {
    const anew = items.length !== beads.length;
    items = beads;
    if (anew) build();
    buttons().forEach((button, i) => {
      const { x, y, value, least, most, label: name, spoken } = items[i];
      button.style.left = `calc(${(100 * x) / width}% - ${BEAD_REACH / 2}px)`;
      button.style.top = `calc(${(100 * y) / height}% - ${BEAD_REACH / 2}px)`;
      const said = { "aria-label": name, "aria-valuemin": least, "aria-valuemax": most, "aria-valuenow": value, "aria-valuetext": spoken };
      Object.entries(said).forEach(([key, words]) => button.getAttribute(key) !== String(words) && button.setAttribute(key, words));
    });
  }
  return row;
}
