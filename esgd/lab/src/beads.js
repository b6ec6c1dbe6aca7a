// Beads on a plot that move up and down: by mouse, by finger, or by keys. The row of them is one stop of Tab; left and
// right go from bead to bead, up and down move the one that has the focus.

import { drags, make } from "./dom.js";
import { tidy } from "./state.js";

const BEAD_REACH = 44; // pixels to press; where beads stand closer, the nearest one is taken

/**
 * Beads over the plot of a view. `set(i, value)` hears of a move. `place(beads, scale)` puts them where they are now: each
 * {x, y, value, least, most, step, label, invert}, in pixels of the canvas, `invert` from a height to a value.
 */
export function beadRow(lab, view, { label, set }) {
  const row = make("div", { class: "beads", role: "group", "aria-label": label });
  view.plot.append(row);
  let items = [];
  let current = 0;
  const moveTo = (i, v) => {
    const item = items[i];
    item.value = tidy(Math.max(item.least, Math.min(item.most, v))); // the next key may come before the next frame
    set(i, item.value);
  };
  const buttons = () => [...row.children];
  const choose = (i) => {
    current = i;
    buttons().forEach((b, j) => b.setAttribute("tabindex", j === current ? "0" : "-1"));
  };
  const nearest = (event) => {
    const box = view.canvas.getBoundingClientRect();
    const [x, y] = [event.clientX - box.left, event.clientY - box.top];
    const far = items.map((item) => Math.hypot(item.x - x, item.y - y));
    return far.indexOf(Math.min(...far));
  };
  const build = () => {
    row.replaceChildren(...items.map(() => make("button", { type: "button", class: "bead", role: "slider", "aria-orientation": "vertical" }, make("i"))));
    buttons().forEach((button, i) => {
      let held = i;
      const move = (event) => moveTo(held, items[held].invert(event.clientY - view.canvas.getBoundingClientRect().top));
      drags(button, lab, move, (event) => {
        held = nearest(event);
        choose(held);
        buttons()[held].focus({ preventScroll: true });
        event.preventDefault();
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
  return {
    place: (beads, [width, height]) => {
      const anew = items.length !== beads.length;
      items = beads;
      if (anew) build();
      buttons().forEach((button, i) => {
        const { x, y, value, least, most, label, spoken } = items[i];
        button.style.left = `calc(${(100 * x) / width}% - ${BEAD_REACH / 2}px)`;
        button.style.top = `calc(${(100 * y) / height}% - ${BEAD_REACH / 2}px)`;
        const said = { "aria-label": label, "aria-valuemin": least, "aria-valuemax": most, "aria-valuenow": value, "aria-valuetext": spoken };
        Object.entries(said).forEach(([name, words]) => button.getAttribute(name) !== String(words) && button.setAttribute(name, words));
      });
    },
  };
}
