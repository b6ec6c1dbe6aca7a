// Drawing on a canvas, crisp at the screen's own resolution: a frame with axes, ticks, lines and labels.

import { formatNumber } from "./theory.js";

let boxes = null; // of the canvases that are being drawn

/**
 * Draws with the boxes of these canvases as they are now. Reading a box after the page has changed makes the browser lay it
 * out anew, which costs more than most drawings: so all are read before the first view writes its words.
 */
export function withBoxes(canvases, drawAll) {
  boxes = new Map(canvases.map((canvas) => [canvas, [canvas.clientWidth, canvas.clientHeight]]));
  try {
    drawAll();
  } finally {
    boxes = null;
  }
}

/** Width and height of a canvas in CSS pixels. */
export const boxOf = (canvas) => boxes?.get(canvas) ?? [canvas.clientWidth, canvas.clientHeight];

/** Sizes the canvas to its box, at most `sharpest` dots to a CSS pixel; returns a context in CSS pixels. */
export function surface(canvas, sharpest = 3) {
  const ratio = Math.min(sharpest, Math.max(1, globalThis.devicePixelRatio || 1));
  const [width, height] = boxOf(canvas).map((size, i) => size || [300, 200][i]);
  if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
  }
  const ctx = canvas.getContext("2d");
  ctx.setTransform(ratio, 0, 0, ratio, 0, 0);
  ctx.clearRect(0, 0, width, height);
  ctx.lineJoin = "round";
  ctx.lineCap = "round";
  return { ctx, width, height, ratio };
}

const log10 = Math.log10;

export const linearScale = (lo, hi, a, b) => {
  const scale = (v) => a + ((v - lo) / (hi - lo)) * (b - a);
  scale.invert = (p) => lo + ((p - a) / (b - a)) * (hi - lo);
  return scale;
};

export const logScale = (lo, hi, a, b) => {
  const scale = (v) => a + ((log10(Math.max(v, 1e-300)) - log10(lo)) / (log10(hi) - log10(lo))) * (b - a);
  scale.invert = (p) => 10 ** (log10(lo) + ((p - a) / (b - a)) * (log10(hi) - log10(lo)));
  return scale;
};

/** Linear within ±unit and like a logarithm beyond, on either side of nought. */
export const bentScale = (unit) => (lo, hi, a, b) => {
  const inner = linearScale(Math.asinh(lo / unit), Math.asinh(hi / unit), a, b);
  const scale = (v) => inner(Math.asinh(v / unit));
  scale.invert = (p) => unit * Math.sinh(inner.invert(p));
  return scale;
};

/** Nought and powers of ten on either side of it, at least `apart` pixels from one another on a bent scale. */
export function bentTicks(lo, hi, unit, scale, apart = 22) {
  const found = [0];
  for (const sign of [1, -1]) {
    let last = scale(0);
    for (let e = Math.floor(log10(unit)); 10 ** e <= Math.abs(sign > 0 ? hi : lo) * (1 + 1e-9); e += 1) {
      const v = sign * 10 ** e;
      if (v < lo || v > hi || Math.abs(scale(v) - last) < apart) continue;
      found.push(v);
      last = scale(v);
    }
  }
  return found;
}

/** A few round values between lo and hi. */
export function ticks(lo, hi, wanted = 5) {
  const raw = (hi - lo) / Math.max(1, wanted);
  const power = 10 ** Math.floor(log10(raw));
  const step = [1, 2, 5, 10].map((m) => m * power).find((s) => s >= raw) ?? raw;
  const found = [];
  for (let v = Math.ceil(lo / step - 1e-9) * step; v <= hi + step * 1e-9; v += step) found.push(Math.abs(v) < step / 1e6 ? 0 : v);
  return found;
}

/** Powers of ten between lo and hi, thinned to about `wanted`. */
export function decades(lo, hi, wanted = 5) {
  const first = Math.ceil(log10(lo) - 1e-9);
  const last = Math.floor(log10(hi) + 1e-9);
  const stride = Math.max(1, Math.ceil((last - first + 1) / wanted));
  const found = [];
  for (let e = first; e <= last; e += stride) found.push(10 ** e);
  return found;
}

/** Words at a place; at most `most` pixels wide, for which they are made smaller. */
export function text(ctx, theme, words, x, y, { align = "left", base = "alphabetic", colour = theme.muted, size = 12, weight = 400, halo = false, most = Infinity } = {}) {
  ctx.font = `${weight} ${size}px ${theme.font}`;
  if (most < Infinity) {
    const wide = ctx.measureText(words).width;
    if (wide > most) ctx.font = `${weight} ${Math.max(8, (size * most) / wide)}px ${theme.font}`;
  }
  ctx.textAlign = align;
  ctx.textBaseline = base;
  if (halo) {
    ctx.strokeStyle = theme.ground;
    ctx.lineWidth = 3.5;
    ctx.strokeText(words, x, y);
  }
  ctx.fillStyle = colour;
  ctx.fillText(words, x, y);
}

/**
 * Two axes with ticks and names; returns the scales and the inner box. `yBent` is the unit of a bent scale of y, and
 * `gutter` the room that is left free at the right.
 */
export function axes(area, theme, wanted) {
  const { x, y, xLabel = "", yLabel = "", xLog = false, yLog = false, yBent = null, xTicks, yTicks, gutter = 10 } = wanted;
  const { ctx, width, height } = area;
  const [top, bottom] = [yLabel ? 22 : 8, height - (xLabel ? 36 : 22)];
  const sy = (yBent ? bentScale(yBent) : yLog ? logScale : linearScale)(y[0], y[1], bottom, top);
  const even = () => (yLog ? decades(y[0], y[1], 5) : ticks(y[0], y[1], height < 190 ? 4 : 5));
  const yValues = yTicks ?? (yBent ? bentTicks(y[0], y[1], yBent, sy) : even());
  ctx.font = `400 11.5px ${theme.font}`;
  const room = Math.max(...yValues.map((v) => ctx.measureText(formatNumber(v, 3)).width), 10);
  const box = { left: room + 12, right: width - gutter, top, bottom };
  const sx = (xLog ? logScale : linearScale)(x[0], x[1], box.left, box.right);
  ctx.lineWidth = 1;
  for (const v of yValues) {
    ctx.strokeStyle = theme.hairline;
    ctx.globalAlpha = 0.7;
    line(ctx, [[box.left, sy(v)], [box.right, sy(v)]]);
    ctx.globalAlpha = 1;
    text(ctx, theme, formatNumber(v, 3), box.left - 7, sy(v), { align: "right", base: "middle", size: 11.5 });
  }
  const xValues = xTicks ?? (xLog ? decades(x[0], x[1], 5) : ticks(x[0], x[1], Math.max(2, Math.round(width / 75))));
  for (const v of xValues) {
    const number = formatNumber(v, 3);
    const last = width - ctx.measureText(number).width / 2 - 1; // beyond it the edge would cut the number
    text(ctx, theme, number, Math.min(sx(v), last), box.bottom + 7, { align: "center", base: "top", size: 11.5 });
  }
  if (yLabel) text(ctx, theme, yLabel, 0, 11, { size: 11.5 });
  if (xLabel) text(ctx, theme, xLabel, box.right, height - 4, { align: "right", size: 11.5 });
  return { sx, sy, box };
}

export function line(ctx, points) {
  ctx.beginPath();
  points.forEach(([px, py], i) => (i ? ctx.lineTo(px, py) : ctx.moveTo(px, py)));
  ctx.stroke();
}

export function dot(ctx, x, y, radius, fill, ring = null) {
  ctx.beginPath();
  ctx.arc(x, y, radius, 0, 2 * Math.PI);
  ctx.fillStyle = fill;
  ctx.fill();
  if (ring) {
    ctx.strokeStyle = ring;
    ctx.lineWidth = 1.5;
    ctx.stroke();
  }
}

export function arrow(ctx, from, to, head = 7) {
  const angle = Math.atan2(to[1] - from[1], to[0] - from[0]);
  line(ctx, [from, to]);
  ctx.beginPath();
  ctx.moveTo(to[0], to[1]);
  ctx.lineTo(to[0] - head * Math.cos(angle - 0.45), to[1] - head * Math.sin(angle - 0.45));
  ctx.lineTo(to[0] - head * Math.cos(angle + 0.45), to[1] - head * Math.sin(angle + 0.45));
  ctx.closePath();
  ctx.fillStyle = ctx.strokeStyle;
  ctx.fill();
}

/** Draws only inside the box. */
export function clipped(ctx, box, draw) {
  ctx.save();
  ctx.beginPath();
  ctx.rect(box.left, box.top, box.right - box.left, box.bottom - box.top);
  ctx.clip();
  draw();
  ctx.restore();
}
