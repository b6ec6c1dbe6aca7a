// Small helpers to build elements.

/** An element with attributes, then children. */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "text") element.textContent = value;
    else if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value !== null && value !== undefined && value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null));
  return element;
}

/** A figure with a title, a note at its right and a plot of one or more canvases on each other. */
export function panel({ title, shape = "wide", layers = 1 }) {
  const note = make("span");
  const canvases = Array.from({ length: layers }, (_, i) => make("canvas", { style: i ? "position:absolute;inset:0" : null }));
  const top = canvases[layers - 1];
  canvases.slice(0, -1).forEach((canvas) => canvas.setAttribute("aria-hidden", "true"));
  top.setAttribute("role", "img");
  const plot = make("div", { class: `plot ${shape}` }, ...canvases);
  const heading = make("b", { text: title });
  const apology = make("p", { class: "absent", hidden: true });
  const element = make("figure", {}, make("div", { class: "head" }, heading, note), plot, apology);
  return {
    element, plot, canvases, canvas: top,
    /** Why there is nothing to draw in this state, in words; null where there is. */
    lacks: () => null,
    /** Gives the plot the shape that this state needs, before its box is read. */
    fit: () => {},
    /** Shows these words in place of the plot, or the plot. */
    excuse: (words) => {
      plot.hidden = words !== null;
      apology.hidden = words === null;
      if (words !== null && apology.textContent !== words) apology.textContent = words;
      if (words !== null) note.textContent = "";
    },
    note: (words) => {
      if (note.textContent !== words) note.textContent = words;
    },
    title: (words) => {
      if (heading.textContent !== words) heading.textContent = words;
    },
    describe: (words) => {
      if (top.getAttribute("aria-label") !== words) top.setAttribute("aria-label", words);
    },
    draw: () => {},
  };
}

/** A button that says whether what it opens is open. */
export const opener = (label, name, onclick) =>
  make("button", { type: "button", "aria-expanded": "false", text: label, "data-open": name, onclick });

/** A button that opens and closes an element; `opened` runs when it opens. */
export function disclosure(label, body, opened = () => {}) {
  body.hidden = true;
  const button = opener(label, null, () => {
    body.hidden = !body.hidden;
    button.setAttribute("aria-expanded", String(!body.hidden));
    if (!body.hidden) opened();
  });
  return button;
}

/** Calls back when the page has nothing more urgent to do; on a busy one after 0.4 s, which the argument's `didTimeout` says. */
export const whenIdle = (call) =>
  globalThis.requestIdleCallback ? requestIdleCallback(call, { timeout: 400 }) : setTimeout(call, 40);

/**
 * Calls `move` with each event of a pointer held down on an element, and `end` when it is let go. A drag that the
 * browser takes away (for a scroll of the page, say) leaves the state as it was before; a second finger is not
 * listened to.
 */
export function drags(element, lab, move, start = move, end = () => {}) {
  let held = null;
  const mine = (event) => held?.pointer === event.pointerId;
  const letGo = (event) => {
    if (!mine(event)) return;
    held = null;
    end();
  };
  element.addEventListener("pointerdown", (event) => {
    if (event.button !== 0 || held) return;
    held = { pointer: event.pointerId, before: lab.S };
    element.setPointerCapture(event.pointerId);
    start(event);
  });
  element.addEventListener("pointermove", (event) => mine(event) && move(event));
  element.addEventListener("pointercancel", (event) => {
    if (!mine(event)) return;
    const { before } = held;
    held = null;
    end();
    if (lab.S !== before) lab.update({ ...before });
  });
  element.addEventListener("pointerup", letGo);
  element.addEventListener("lostpointercapture", letGo);
}

/** Calls back with the pointer's place on the canvas while it is held down there. */
export function scrub(canvas, lab, callback) {
  canvas.classList.add("scrub");
  drags(canvas, lab, (event) => {
    const box = canvas.getBoundingClientRect();
    callback(event.clientX - box.left, event.clientY - box.top);
  });
}
