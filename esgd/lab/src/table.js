// The runs as text: a table of the steps for screen readers and for anyone who wants the numbers.

import { disclosure, make } from "./dom.js";
import { principal } from "./linalg.js";
import { METHODS } from "./methods.js";
import { formatNumber, inDegrees } from "./theory.js";

const REST = 160; // milliseconds without a change after which the table is written

/** Rows [method, step, θ₁, θ₂, loss, rate 1, rate 2, direction of rate 1 in degrees] of all runs. */
export function stepRows(lab) {
  return lab.S.methods.flatMap((method) => {
    const run = lab.runs[method];
    return run.points.map((p, t) => {
      const { values, degrees } = run.records[t] ? principal(run.records[t].P) : { values: [] };
      return [METHODS[method].label, t, p[0], p[1], run.losses[t], values[0], values[1], degrees];
    });
  });
}

/** What the rates of methods with a memory are, where one runs. */
function remembers(methods) {
  const names = methods.filter((m) => METHODS[m].memory).map((m) => METHODS[m].label);
  return names.length ? `; of ${names.join(" and ")} they are what a steady gradient would get` : "";
}

export function stepTable(lab) {
  const holder = make("div", { class: "table", tabindex: "0", role: "region", "aria-label": "Table of the steps" });
  let written = null;
  let waiting = null;
  let timer = 0;
  const light = () => {
    const now = String(Math.round(lab.at));
    holder.querySelectorAll("tr[data-step]").forEach((row) => row.classList.toggle("at", row.dataset.step === now));
  };
  const write = () => {
    written = lab.runs;
    const head = ["Method", "Step", "θ₁", "θ₂", "Loss", "Rate 1", "Rate 2", "Direction of rate 1"];
    const body = stepRows(lab).map(([method, t, x, y, loss, first, second, degrees]) =>
      make("tr", { "data-step": t }, make("td", { text: method }), make("td", { text: t }),
        ...[x, y, loss, first, second].map((v) => make("td", { text: formatNumber(v ?? null, 5) })), make("td", { text: inDegrees(degrees) })));
    const table = make("table", {},
      make("caption", { text: `${lab.land.label}, from (${formatNumber(lab.S.x0, 4)}, ${formatNumber(lab.S.y0, 4)}); the rates are those of the step that leaves the row: rate 1 along its direction, in degrees from θ₁, rate 2 at right angles to it${remembers(lab.S.methods)}.` }),
      make("thead", {}, make("tr", {}, ...head.map((text) => make("th", { scope: "col", text })))),
      make("tbody", {}, ...body));
    holder.replaceChildren(table);
    light();
  };
  const draw = () => {
    if (holder.hidden) return;
    if (written !== lab.runs && !lab.printing) { // thousands of cells: not while a hand still moves
      if (waiting === lab.runs) return;
      waiting = lab.runs;
      clearTimeout(timer);
      timer = setTimeout(write, REST);
      return;
    }
    if (written !== lab.runs) write();
    else light();
  };
  return { element: holder, button: disclosure("Table of the steps", holder, write), draw };
}
