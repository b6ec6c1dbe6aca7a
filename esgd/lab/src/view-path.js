// The landscape from above with the runs on it and the start in the reader's hand; also its preconditioned twin.

import { changeOfVariables, contourRoot, descentUnder, preconditioner } from "./change.js";
import { paintContours } from "./contours.js";
import { drags, panel } from "./dom.js";
import { beads, drawLabels, kept, settleLabels } from "./labels.js";
import { condition, congruence, inverse, matvec } from "./linalg.js";
import { METHODS } from "./methods.js";
import { boxOf, dot, line, linearScale, surface, text } from "./plot.js";
import { tidy } from "./state.js";
import { formatNumber } from "./theory.js";

const clampPixel = (v) => Math.max(-4000, Math.min(4000, v));

/** Coordinates of a path view: the plain weights, or φ = M^{-1/2} θ. */
function coordinates(lab, transformed) {
  const { land, S } = lab;
  const window = [land.window[0], land.window[1], land.window[2] / S.zoom];
  if (!transformed) return { frame: window, window, map: (x) => x, unmap: (x) => x, key: String(S.zoom) };
  const root = contourRoot(S, land.hess([S.x0, S.y0]));
  const back = inverse(root);
  const map = (x) => matvec(back, x);
  const unmap = (x) => matvec(root, x);
  const [cx, cy] = map(window);
  const reach = Math.max(Math.abs(back.a), Math.abs(back.c)) + Math.abs(back.b);
  const half = window[2] * reach; // the whole window, wherever the start is
  return { frame: [cx, cy, half], window, map, unmap, root, key: [root.a, root.b, root.c, half].join() };
}

function marks(ctx, theme, land, place, width, height) {
  const inside = ([x, y]) => x > 4 && y > 4 && x < width - 4 && y < height - 4;
  for (const point of land.minima) {
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

/** Where a run's name belongs: at its end, or where it leaves the picture for good; with the way it was heading. */
function endOf(run, place, width, height) {
  const pixels = run.points.map((p) => place(p).map(clampPixel));
  const inside = ([x, y]) => x >= 0 && y >= 0 && x <= width && y <= height;
  let i = pixels.length - 1;
  while (i > 0 && !inside(pixels[i])) i -= 1;
  let [x, y] = pixels[i];
  const next = pixels[i + 1];
  if (next && inside(pixels[i])) {
    const until = (from, to, limit) => (to < 0 ? from / (from - to) : to > limit ? (limit - from) / (to - from) : 1);
    const least = Math.min(until(x, next[0], width), until(y, next[1], height));
    [x, y] = [x + (next[0] - x) * least, y + (next[1] - y) * least];
  }
  const before = pixels.slice(0, i + 1).reverse().find((p) => Math.hypot(p[0] - x, p[1] - y) > 14) ?? [x - 1, y];
  return { x, y, heading: [x - before[0], y - before[1]] };
}

export function pathView(lab, { transformed = false } = {}) {
  const view = panel({ title: transformed ? "After" : lab.scene === "contours" ? "Before, in θ" : "Path", shape: "square", layers: 2 });
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
  let held = null; // the coordinates while the start is dragged: the picture must not move under the finger
  const settled = kept();

  const drawnIn = () => (where ??= coordinates(lab, transformed)); // a view out of sight may not have been drawn yet
  /** A start within the window of the weights. */
  const inWindow = (x) => x.map((v, i) => {
    const { window } = drawnIn();
    const [middle, half] = [window[i], window[2] * 0.97];
    return tidy(Math.max(middle - half, Math.min(middle + half, v)));
  });
  const frameScales = () => {
    const [cx, cy, half] = drawnIn().frame;
    const [width, height] = boxOf(front);
    return { sx: linearScale(cx - half, cx + half, 0, width), sy: linearScale(cy - half, cy + half, height, 0), width, height };
  };
  const moveTo = (event) => {
    const box = front.getBoundingClientRect();
    const { sx, sy } = frameScales();
    const [, , half] = where.frame;
    const clampTo = (v, c) => Math.max(c - half * 0.97, Math.min(c + half * 0.97, v));
    const p = [clampTo(sx.invert(event.clientX - box.left), where.frame[0]), clampTo(sy.invert(event.clientY - box.top), where.frame[1])];
    const [x0, y0] = inWindow(where.unmap(p));
    lab.update({ x0, y0 });
  };
  drags(handle, lab, moveTo, (event) => {
    held = drawnIn();
    handle.focus({ preventScroll: true });
    event.preventDefault();
  }, () => {
    held = null;
    lab.redraw(view);
  });
  front.addEventListener("click", moveTo);
  handle.addEventListener("keydown", (event) => {
    const step = (event.shiftKey ? 0.1 : 0.02) * drawnIn().frame[2];
    const move = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, step], ArrowDown: [0, -step] }[event.key];
    if (!move) return;
    event.preventDefault();
    const from = where.map([lab.S.x0, lab.S.y0]);
    const [x0, y0] = inWindow(where.unmap([from[0] + move[0], from[1] + move[1]]));
    lab.update({ x0, y0 });
  });

  view.draw = () => {
    const { land, theme, S } = lab;
    where = held ?? coordinates(lab, transformed);
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
      text(ctx, theme, land.point, px - 9, py - 8, { align: "right", size: 12, colour: theme.muted, halo: true });
    }
    const [x, y] = place([S.x0, S.y0]).map((v, i) => Math.max(0, Math.min([width, height][i], v)));
    const symbol = transformed ? "φ" : "θ";
    const low = y > height - 30; // no room for the word under the ring
    handle.classList.toggle("low", low);
    const named = settled([lab.runs, key], () => {
      const dots = S.methods.flatMap((m) => beads(lab.runs[m].points.map((p) => place(p).map(clampPixel)), 9, 160));
      const within = ([left, top, right, bottom]) => dots.filter(([u, v]) => u > left && u < right && v > top && v < bottom).length;
      const free = (boxes) => boxes.reduce((best, box) => (within(box) < within(best) ? box : best));
      const names = [
        free([1, 0.75, 0.5, 0.25].map((share) => [share * width - 38, height - 22, share * width, height])),
        free([0, 0.25, 0.5, 0.75].map((share) => [0, share * height, 34, share * height + 21])),
      ];
      const taken = [[x - 17, y - (low ? 30 : 17), x + 17, y + (low ? 17 : 30)], ...names];
      const [sx, sy] = land.saddle ? place(land.saddle) : [0, 0];
      if (land.saddle) taken.push([sx - 55, sy - 22, sx + 6, sy + 6]); // its name and its cross
      const end = (m) => endOf(lab.runs[m], place, width, height);
      const ends = S.methods.map((m) => ({ ...end(m), name: METHODS[m].short, hue: theme.hue[m] }));
      return { names, labels: settleLabels(ctx, theme, ends, width, height, { taken, dots }) };
    });
    text(ctx, theme, `${symbol}₁ →`, named.names[0][2] - 6, height - 8, { align: "right", size: 12, halo: true });
    text(ctx, theme, `↑ ${symbol}₂`, 6, named.names[1][1] + 15, { size: 12, halo: true });
    drawLabels(ctx, theme, named.labels);
    handle.style.left = `${(100 * x) / width}%`; // a page on paper has another width
    handle.style.top = `${(100 * y) / height}%`;
    const change = lab.scene === "contours" ? changeOfVariables(S, land) : null;
    if (change?.boosted) { // no method of the lab takes these steps
      ctx.setLineDash([4, 4]);
      drawRun(ctx, theme, { points: descentUnder(preconditioner(S, land.hess([S.x0, S.y0])), S, land) }, place, lab.at, theme.ink);
      ctx.setLineDash([]);
    }
    const spoken = `${formatNumber(S.x0, 3)}, ${formatNumber(S.y0, 3)}`;
    handle.setAttribute("aria-label", `Start at ${spoken}. Arrow keys move it, with shift faster.`);
    if (S.methods.length && lab.scene === "contours") {
      const H = land.hess([S.x0, S.y0]);
      const after = where.root ? congruence(where.root, H) : H;
      view.note([`κ = ${formatNumber(condition(after), 3)}`, transformed || change.boosted ? change.caveat : null].filter(Boolean).join("; "));
    } else view.note(`start (${spoken})`);
    const title = transformed ? `φ = ${change.formula}` : "";
    if (transformed) view.title(`After, ${title}`);
    view.describe(
      `${land.label}, ${land.formula}, seen from above${transformed ? " after preconditioning" : ""}, with the paths of ` +
        `${S.methods.map((m) => METHODS[m].label).join(", ") || "no method"} from (${spoken}) up to step ${Math.round(lab.at)}.${transformed ? ` The coordinates are ${title}${change.because ? `. ${change.because}` : ""}.` : ""}`,
    );
  };
  return view;
}
