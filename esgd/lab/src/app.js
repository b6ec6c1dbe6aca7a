// The lab itself: one state, runs computed from it, views that draw them. Every change computes the whole run
// anew, so that what is seen is always the picture of the state, and the state can be shared.

import { control, methodRows } from "./controls.js";
import { disclosure, make, opener, whenIdle } from "./dom.js";
import { freshFor, methodsAfter } from "./fresh.js";
import { LANDSCAPES, landscapeOf } from "./landscapes.js";
import { METHODS, trajectory } from "./methods.js";
import { withBoxes } from "./plot.js";
import { outcome } from "./outcomes.js";
import { SCENES } from "./scenes.js";
import { difference, makeState, relevant } from "./state.js";
import { STYLE } from "./style.js";
import { stepTable } from "./table.js";
import { bestMomentum, heavyBall, nesterov, seekBestRate } from "./theory.js";
import { colours, pageIsDark, watchTheme } from "./theme.js";
import { faceButtons, footer, transport } from "./toolbar.js";
import { FURTHER, VIEWS } from "./views.js";

const CAMERA = ["turn", "tilt"]; // settings of the surface alone
const ELSEWHERE = ["at", "show", "many", "data", "weights"]; // the runs of two weights do not depend on them
const AROUND = 160; // pixels above and below the window in which a view counts as seen

const EVERY_CONTROL = [
  "landscape", "kappa", "eig1", "eig2", "angle", "steps", "momentum", "damping", "decay", "beta1", "beta2", "noise", "noise_shape", "interval",
  "warmup", "probe", "curvature", "seed", "zoom",
];

/**
 * Puts a lab into an element.
 *
 * @param {HTMLElement} el where it goes; its content is replaced.
 * @param {{scene?: string, state?: object, opening?: object, onChange?: function}} options the scene, the settings that
 *   differ from the scene's, those that a reset goes back to if they are others, and a listener for what the reader changes.
 * @returns {{lab: object, set: function, print: function, destroy: function}}
 */
export function mount(el, options = {}) {
  const scene = SCENES[options.scene] ? options.scene : "welcome";
  const preset = SCENES[scene];
  const host = make("div", { "data-lab-host": scene });
  const shadow = host.attachShadow({ mode: "open" });
  const root = make("section", { class: "lab", "aria-label": `Interactive figure: ${preset.title}` });
  shadow.append(make("style", { text: STYLE }), root);

  const lab = { scene, preset, root, S: makeState(preset.state, options.state), runs: {}, outcomes: {}, best: {}, seeking: true, playing: false, printing: false };
  const opening = makeState(preset.state, options.opening ?? options.state);
  const views = [];
  let frame = 0;
  let dressed = null;
  let timer = 0;
  let beat = 0;
  let search = 0;
  let marked = null; // the runs for which the best settings are marked
  let whole = true; // the next frame draws everything
  let only = null; // the one view to draw again, where that is enough
  let unsaid = false; // a change by the reader's hand that the listener has not heard of
  let unseen = false; // the last frame found the lab without a box

  const compute = () => {
    const { S } = lab;
    lab.land = landscapeOf(S);
    lab.landKey = [S.landscape, S.kappa, S.eig1, S.eig2, S.angle].join();
    lab.runs = Object.fromEntries(S.methods.map((m) => [m, trajectory(m, S)]));
    lab.outcomes = Object.fromEntries(S.methods.map((m) => [m, outcome(lab.runs[m], S)]));
  };
  const mark = () => {
    lab.seeking = false;
    const { methods } = lab.S; // one slider serves both forms of momentum: where both run, it marks the heavy ball's
    const form = methods.includes("momentum") ? heavyBall : methods.includes("nesterov") ? nesterov : null;
    const beta = form && bestMomentum(lab.S, form);
    rows.mark();
    parts.forEach((part) => part.mark?.(part.key === "momentum" ? beta : null));
  };
  /** Seeks the best settings for a few milliseconds at a time, so that the page can draw in between. */
  const markBest = () => {
    const { S, runs } = lab;
    if (marked === runs) {
      lab.seeking = false;
      return;
    }
    marked = runs;
    clearTimeout(search);
    const best = {};
    const job = (function* seek() {
      for (const m of S.methods) best[m] = yield* seekBestRate(m, S, runs[m]);
    })();
    const work = () => {
      const pause = performance.now() + 4;
      while (performance.now() < pause) {
        if (lab.runs !== runs) return; // the state has changed: it will be sought anew
        if (!job.next().done) continue;
        lab.best = best;
        mark();
        return;
      }
      search = setTimeout(work);
    };
    work();
  };
  const owed = new Set(); // views out of sight that do not show the state yet: they are drawn when there is time
  let idle = 0;
  let drawnAt = NaN; // the step of the last frame
  lab.owing = () => owed.size > 0;
  const isOutside = ({ element, canvases }) => {
    if (!canvases || lab.printing) return false; // words are cheap, and paper has no window
    const { top, bottom } = element.getBoundingClientRect();
    return bottom < -AROUND || top > document.documentElement.clientHeight + AROUND;
  };
  const drawViews = (shown) => {
    withBoxes(shown.flatMap((view) => view.canvases ?? []), () => shown.forEach((view) => {
      owed.delete(view);
      view.draw();
    }));
  };
  /** Draws what is out of sight, a view at a time while the page has nothing else to do; not while a run plays. */
  const payLater = () => {
    const waits = lab.playing && !matchMedia("(prefers-reduced-motion: reduce)").matches; // a slow play leaves time
    if (idle || !owed.size || waits) return;
    idle = whenIdle((deadline) => {
      idle = 0;
      if (frame && !lab.playing) return; // the frame under way sees to it
      if (!root.clientWidth) { // hidden: all is drawn when it is shown again
        redrawWhole();
        return;
      }
      const next = [...owed].slice(0, deadline?.didTimeout ? owed.size : 1);
      next.forEach((view) => owed.delete(view)); // even if drawing it fails
      try {
        drawViews(next.filter((view) => !view.element.hidden && !view.excused));
      } finally {
        payLater();
      }
    });
  };
  const watched = []; // elements whose size is drawn
  const sizes = new Map(); // of the last frame that drew everything
  const sizeOf = (element) => (element === root ? element.clientWidth : `${element.clientWidth} ${element.clientHeight}`);
  const redrawWhole = () => {
    whole = true;
    lab.redraw();
  };
  /** Shows what the state asks for. */
  const unfold = () => {
    parts.forEach((part) => (part.element.hidden = !relevant(part.key, lab.S)));
    views.forEach((view) => {
      view.excuse?.((view.excused = view.lacks()));
      view.fit?.();
    });
    further.forEach(({ name, view, button }) => {
      button.hidden = !relevant(name, lab.S);
      view.element.hidden = button.hidden || !lab.S.show.includes(name);
      button.setAttribute("aria-expanded", String(!view.element.hidden));
    });
  };
  const draw = () => {
    frame = 0;
    const same = dressed === lab.runs && !whole;
    const alone = same ? only : null;
    const light = !alone && lab.playing && same; // while it plays, only what moves is drawn again
    if (!alone && !light) unfold();
    if (!root.clientWidth) { // hidden: it is drawn when its observer reports a size again
      if (!unseen) frame = requestAnimationFrame(draw); // the observer overlooks what is shown again within one frame
      unseen = true;
      owed.clear();
      sizes.clear();
      return;
    }
    unseen = false;
    only = null;
    whole = false;
    dressed = lab.runs;
    beat += 1;
    const due = (view, i) => !light || (!view.still && (view.swift || (beat + i) % 2 === 0)); // the paths at every frame, the rest at every other
    const wanted = alone ? [alone] : views.filter((view, i) => !view.element.hidden && !view.excused && (due(view, i) || owed.has(view)));
    const later = alone ? [] : wanted.filter(isOutside);
    if (!alone && !light) {
      watched.forEach((element) => sizes.set(element, sizeOf(element)));
      owed.clear();
    }
    if (!light || lab.at !== drawnAt) later.forEach((view) => owed.add(view));
    drawnAt = lab.at;
    drawViews(wanted.filter((view) => !later.includes(view)));
    payLater();
    if (alone) return;
    const seen = more.hidden ? shownControls : parts;
    [...(light ? [] : [...seen, rows, faces]), bar, table].forEach((part) => part?.draw());
    if (light) return;
    const others = ["landscape", ...(preset.told ?? [])].some((key) => lab.S[key] !== told[key]); // the caption is of another figure
    [[formula, lab.land.formula], [caption, `${others ? "As it opens: " : ""}${preset.caption}`]].forEach(([element, words]) => {
      if (element.textContent !== words) element.textContent = words;
    });
  };
  const paint = () => {
    lab.theme = colours(pageIsDark() && !lab.printing); // paper is white
    lab.theme.font = getComputedStyle(el).fontFamily || "system-ui, sans-serif";
    lab.theme.bad = lab.theme.dark ? "#FF8B7B" : "#B3261E";
    lab.theme.good = lab.theme.dark ? "#7FD6A4" : "#1B6E42";
    const { ink, muted, faint, hairline, ground, panel, bad, good, dark, font } = lab.theme;
    const style = { ink, muted, faint, hairline, ground, panel, bad, good, font, rail: dark ? "#464f5a" : "#cfd5db", focus: dark ? "#8ab4ff" : "#1a5fd0", pen: ink, sheet: ground };
    Object.entries(style).forEach(([name, value]) => host.style.setProperty(`--${name}`, value));
    host.style.colorScheme = dark ? "dark" : "light";
    whole = true;
    lab.redraw();
  };
  lab.redraw = (view = null) => {
    only = !frame || only === view ? view : null;
    if (!frame) frame = requestAnimationFrame(draw);
  };
  const speak = () => {
    live.textContent = lab.S.methods.map((m) => `${METHODS[m].label}: ${lab.outcomes[m].text}`).join(". ");
  };
  const settled = () => {
    markBest();
    speak();
    if (unsaid) options.onChange?.(difference(preset.state, lab.S), lab.S);
    unsaid = false;
  };
  lab.update = (change, { silent = false } = {}) => {
    const before = lab.S;
    const changed = Object.keys(change);
    const onlyCamera = changed.length > 0 && changed.every((key) => CAMERA.includes(key));
    const sameRuns = onlyCamera || (changed.length > 0 && changed.every((key) => ELSEWHERE.includes(key)));
    const atEnd = before.at >= before.steps;
    const next = { ...before, ...change };
    if ((change.precond ?? before.precond) !== before.precond && !change.methods) {
      next.methods = methodsAfter(before.methods, before.precond, change.precond);
    }
    if ("steps" in change && atEnd && !("at" in change)) next.at = next.steps;
    lab.S = makeState(preset.state, next);
    lab.forget();
    lab.at = lab.playing && !("at" in change) ? Math.min(lab.at, lab.S.steps) : lab.S.at; // a play goes on where it is
    if (!sameRuns) compute();
    whole ||= !onlyCamera;
    lab.redraw(onlyCamera ? views.find(({ element }) => element.dataset.view === "surface") : null);
    unsaid = unsaid || !silent;
    lab.seeking = true;
    clearTimeout(timer);
    timer = setTimeout(settled, 140);
  };
  lab.reset = () => {
    lab.stop();
    lab.S = { ...opening };
    lab.at = lab.S.at;
    lab.update({});
  };
  lab.landscapeChoices = () => Object.entries(LANDSCAPES).map(([id, { label }]) => [id, label]);
  lab.chooseLandscape = (id) => lab.update(freshFor(id, preset.state));

  paint(); // before there is anything to style
  el.replaceChildren(host);
  const live = make("p", { class: "sr", "aria-live": "polite" });
  const rows = methodRows(lab);
  const shownControls = preset.controls.map((key) => ({ key, ...control(lab, key) }));
  const otherControls = EVERY_CONTROL.filter((key) => !preset.controls.includes(key)).map((key) => ({ key, ...control(lab, key) }));
  const parts = [...shownControls, ...otherControls];
  const bar = transport(lab);
  const table = stepTable(lab);
  const faces = preset.faces ? faceButtons(lab, preset.faces) : null;
  const show = (name) => {
    const view = VIEWS[name](lab);
    view.element.dataset.view = name;
    views.push(view);
    return view.element;
  };
  const [left, right, below = []] = preset.views;
  const stage = make("div", { class: `stage${preset.pair ? ` pair ${preset.pair}` : ""}` },
    make("div", { class: "column left" }, ...left.map(show)), make("div", { class: "column right" }, ...right.map(show)),
    below.length ? make("div", { class: "column below" }, ...below.map(show)) : null);
  const further = Object.entries(FURTHER).filter(([name]) => !preset.views.flat().includes(name)).map(([name, label]) => {
    const element = show(name);
    const toggle = () => lab.update({ show: lab.S.show.includes(name) ? lab.S.show.filter((other) => other !== name) : [...lab.S.show, name] });
    return { name, element, view: views[views.length - 1], button: opener(label, name, toggle) };
  });
  const more = make("div", { class: "controls more", role: "group", "aria-label": "More settings" }, ...otherControls.map((c) => c.element));
  const formula = make("div", { class: "formula" });
  const caption = make("p", { class: "caption", text: preset.caption });
  const told = makeState(preset.state);
  root.append(
    make("header", {}, make("p", { class: "title", text: preset.title }), formula),
    caption,
    ...(faces ? [faces.element] : []),
    stage, bar.element, rows.element,
    make("div", { class: "controls main-controls" }, ...shownControls.map((c) => c.element)),
    footer(lab, [...further.map(({ button }) => button), disclosure("More settings", more, redrawWhole), table.button], el.hasAttribute("data-esgd-lab")),
    make("div", { class: "further" }, ...further.map(({ element }) => element)), more, table.element, live,
  );

  const keep = (event) => event.stopPropagation(); // a notebook's own shortcuts must not swallow our keys
  host.addEventListener("keydown", keep);
  const unwatch = watchTheme(paint);
  watched.push(root, ...views.flatMap((view) => view.canvases ?? []));
  const resize = new ResizeObserver((entries) => {
    if (entries.some(({ target }) => sizes.get(target) !== sizeOf(target))) redrawWhole();
  });
  watched.forEach((element) => resize.observe(element));
  const scrolled = new IntersectionObserver((entries) => {
    const shown = entries.filter(({ isIntersecting }) => isIntersecting).map(({ target }) => views.find(({ element }) => element === target));
    const late = shown.filter((view) => owed.has(view) && !view.excused && !view.element.hidden);
    if (late.length && !frame) drawViews(late); // while it plays the next frame sees to them
  }, { rootMargin: `${AROUND}px 0px`, scrollMargin: `${AROUND}px 0px` }); // the latter within a notebook's own scroll box
  views.forEach(({ element }) => scrolled.observe(element));
  const onPaper = (printing) => () => {
    lab.printing = printing;
    paint();
    cancelAnimationFrame(frame);
    draw();
  };
  const [toPaper, fromPaper] = [onPaper(true), onPaper(false)];
  globalThis.addEventListener("beforeprint", toPaper);
  globalThis.addEventListener("afterprint", fromPaper);
  lab.at = lab.S.at;
  compute();
  cancelAnimationFrame(frame);
  draw();
  timer = setTimeout(markBest, 120);
  return {
    lab,
    set: (state) => {
      lab.stop();
      lab.update(makeState(preset.state, state), { silent: true });
    },
    print: toPaper,
    destroy: () => {
      lab.stop();
      clearTimeout(timer);
      clearTimeout(search);
      cancelAnimationFrame(frame);
      owed.clear();
      unwatch();
      resize.disconnect();
      scrolled.disconnect();
      globalThis.removeEventListener("beforeprint", toPaper);
      globalThis.removeEventListener("afterprint", fromPaper);
      host.removeEventListener("keydown", keep);
      el.replaceChildren();
    },
  };
}
