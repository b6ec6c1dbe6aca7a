// The landscape from above with the runs on it and the start in the reader's hand; also its preconditioned twin.

import { paintContours } from "./contours.js";
import { drags, panel } from "./dom.js";
import { condition, congruence, inverse, matvec } from "./linalg.js";
import { METHODS } from "./methods.js";
import { boxOf, dot, line, linearScale, surface, text } from "./plot.js";
import { contourRoot, formatNumber } from "./theory.js";

const clampPixel = (v) => Math.max(-4000, Math.min(4000, v));

/** Coordinates of a path view: the plain weights, or φ = M^{-1/2} θ. */
function coordinates(lab, transformed) {
  const { land, S } = lab;
  const window = [land.window[0], land.window[1], land.window[2] / S.zoom];
  if (!transformed) return { frame: window, map: (x) => x, unmap: (x) => x, key: String(S.zoom) };
  const root = contourRoot(S, land.hess([S.x0, S.y0]));
  const back = inverse(root);
  const map = (x) => matvec(back, x);
  const unmap = (x) => matvec(root, x);
  const stretch = Math.sqrt(Math.abs(back.a * back.c - back.b * back.b));
  const start = map([S.x0, S.y0]);
  const half = Math.max(window[2] * stretch, 1.2 * Math.abs(start[0]), 1.2 * Math.abs(start[1]));
  return { frame: [0, 0, half], map, unmap, root, key: [root.a, root.b, root.c, half].join() };
}

function marks(ctx, theme, land, place, width, height) {
  const inside = ([x, y]) => x > 4 && y > 4 && x < width - 4 && y < height - 4;
  for (const point of land.minima ?? []) {
    const [x, y] = place(point);
    if (inside([x, y])) {
      ctx.strokeStyle = theme.critical;
      ctx.lineWidth = 1.6;
      line(ctx, [[x - 4, y], [x + 4, y]]);
      line(ctx, [[x, y - 4], [x, y + 4]]);
    }
  }
  if (land.saddle) {
    const [x, y] = place(land.saddle);
    if (inside([x, y])) {
      ctx.strokeStyle = theme.ink;
      ctx.lineWidth = 1.6;
      line(ctx, [[x - 4, y - 4], [x + 4, y + 4]]);
      line(ctx, [[x - 4, y + 4], [x + 4, y - 4]]);
    }
  }
}

/** One run: all of it faintly, the part up to the step shown strongly, with a dot a step and a head. */
function drawRun(ctx, theme, run, place, at, hue) {
  const pixels = run.points.map((p) => place(p).map(clampPixel));
  const whole = Math.min(Math.floor(at), pixels.length - 1);
  const part = at - Math.floor(at);
  const shown = pixels.slice(0, whole + 1);
  if (part > 0 && whole + 1 < pixels.length) {
    const [p, q] = [pixels[whole], pixels[whole + 1]];
    shown.push([p[0] + (q[0] - p[0]) * part, p[1] + (q[1] - p[1]) * part]);
  }
  ctx.strokeStyle = hue;
  ctx.globalAlpha = 0.28;
  ctx.lineWidth = 1.5;
  if (whole < pixels.length - 1) line(ctx, pixels.slice(whole));
  ctx.globalAlpha = 1;
  ctx.lineWidth = 2.2;
  line(ctx, shown);
  if (pixels.length < 220) {
    const radius = pixels.length > 90 ? 1.7 : 2.6;
    ctx.fillStyle = hue;
    ctx.beginPath();
    for (const [x, y] of pixels.slice(1, whole + 1)) {
      ctx.moveTo(x + radius, y);
      ctx.arc(x, y, radius, 0, 2 * Math.PI);
    }
    ctx.fill();
  }
  const head = shown[shown.length - 1];
  dot(ctx, head[0], head[1], 5.5, hue, theme.ground);
}

export function pathView(lab, { transformed = false } = {}) {
  const view = panel({ title: transformed ? "After, φ = √D θ" : lab.scene === "contours" ? "Before, in θ" : "Path", shape: "square", layers: 2 });
  const [ground, front] = view.canvases;
  const handle = document.createElement("button");
  handle.type = "button";
  handle.className = "handle";
  handle.innerHTML = "<i>start</i>";
  handle.setAttribute("aria-roledescription", "point to drag");
  view.plot.append(handle);
  front.classList.add("tap");
  view.swift = true;
  let where = null;
  let painted = "";

  const frameScales = () => {
    const [cx, cy, half] = where.frame;
    const [width, height] = boxOf(front);
    return { sx: linearScale(cx - half, cx + half, 0, width), sy: linearScale(cy - half, cy + half, height, 0), width, height };
  };
  const moveTo = (event) => {
    const box = front.getBoundingClientRect();
    const { sx, sy } = frameScales();
    const [, , half] = where.frame;
    const clampTo = (v, c) => Math.max(c - half * 0.97, Math.min(c + half * 0.97, v));
    const p = [clampTo(sx.invert(event.clientX - box.left), where.frame[0]), clampTo(sy.invert(event.clientY - box.top), where.frame[1])];
    const [x0, y0] = where.unmap(p).map(tidy);
    lab.update({ x0, y0 });
  };
  drags(handle, lab, moveTo, (event) => {
    handle.focus({ preventScroll: true });
    event.preventDefault();
  });
  front.addEventListener("click", moveTo);
  handle.addEventListener("keydown", (event) => {
    const step = (event.shiftKey ? 0.1 : 0.02) * where.frame[2];
    const move = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, step], ArrowDown: [0, -step] }[event.key];
    if (!move) return;
    event.preventDefault();
    const from = where.map([lab.S.x0, lab.S.y0]);
    const [x0, y0] = where.unmap([from[0] + move[0], from[1] + move[1]]).map(tidy);
    lab.update({ x0, y0 });
  });

  view.draw = () => {
    const { land, theme, S } = lab;
    where = coordinates(lab, transformed);
    const key = [lab.landKey, where.key, theme.dark, ...boxOf(front), globalThis.devicePixelRatio].join("|");
    if (key !== painted) {
      paintContours(ground, land, theme, where.frame, where.unmap);
      painted = key;
    }
    const { ctx, width, height } = surface(front);
    if (lab.printing) ctx.drawImage(ground, 0, 0, width, height); // a browser prints the upper canvas only
    const { sx, sy } = frameScales();
    const place = (x) => {
      const p = where.map(x);
      return [sx(p[0]), sy(p[1])];
    };
    marks(ctx, theme, land, place, width, height);
    for (const method of S.methods) drawRun(ctx, theme, lab.runs[method], place, lab.at, theme.hue[method]);
    if (land.saddle) {
      const [px, py] = place(land.saddle);
      text(ctx, theme, "saddle", px - 9, py - 8, { align: "right", size: 12, colour: theme.muted, halo: true });
    }
    const [x, y] = place([S.x0, S.y0]);
    handle.style.left = `${(100 * Math.max(0, Math.min(width, x))) / width}%`; // a page on paper has another width
    handle.style.top = `${(100 * Math.max(0, Math.min(height, y))) / height}%`;
    const spoken = `${formatNumber(S.x0, 3)}, ${formatNumber(S.y0, 3)}`;
    handle.setAttribute("aria-label", `Start at ${spoken}. Arrow keys move it, with shift faster.`);
    if (S.methods.length && lab.scene === "contours") {
      const H = land.hess([S.x0, S.y0]);
      const after = where.root ? congruence(where.root, H) : H;
      view.note(`κ = ${formatNumber(condition(after), 3)}`);
    } else view.note(`start (${spoken})`);
    view.describe(
      `${land.label}, ${land.formula}, seen from above${transformed ? " after preconditioning" : ""}, with the paths of ` +
        `${S.methods.map((m) => METHODS[m].label).join(", ") || "no method"} from (${spoken}) up to step ${Math.round(lab.at)}.`,
    );
  };
  return view;
}
