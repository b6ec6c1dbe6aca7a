// Names beside what they name, so that colour never stands alone: at the ends of curves, or around points.

import { line, text } from "./plot.js";

const SIZE = 11.5;
const TALL = 14; // of one line of words
const DASH = 9; // the coloured mark before a name

/** Width that a gutter needs for these names, mark and leader included. */
export function gutterFor(ctx, theme, names) {
  ctx.font = `400 ${SIZE}px ${theme.font}`;
  return Math.max(0, ...names.map((name) => ctx.measureText(name).width)) + DASH + 16;
}

/** Moves centres apart until each has `room`, within [low, high], keeping their order. */
export function spread(centres, room, low, high) {
  const order = centres.map((y, i) => ({ y: Math.max(low, Math.min(high, y)), i }));
  order.sort((a, b) => a.y - b.y || a.i - b.i);
  order.forEach((item, k) => {
    if (k) item.y = Math.max(item.y, order[k - 1].y + room);
  });
  let limit = high;
  for (const item of order.reverse()) {
    item.y = Math.min(item.y, limit);
    limit = item.y - room;
  }
  const found = new Array(centres.length);
  order.forEach(({ y, i }) => (found[i] = y));
  return found;
}

/** Names of curves in the gutter right of a box, each tied to the end {x, y} of its curve, in the order of the ends. */
export function endLabels(ctx, theme, box, unsorted) {
  const ends = unsorted.slice().sort((a, b) => a.y - b.y); // as they are beyond the edges, too
  const left = box.right + 8;
  const inside = (y) => Math.max(box.top, Math.min(box.bottom, y));
  const rows = spread(ends.map(({ y }) => inside(y)), TALL, box.top + 2, box.bottom - 4);
  ends.forEach(({ x, y, name, hue, pale }, i) => {
    ctx.strokeStyle = hue;
    ctx.lineWidth = 1;
    ctx.globalAlpha = 0.7;
    line(ctx, [[Math.min(box.right, x), inside(y)], [left, rows[i]]]);
    ctx.globalAlpha = pale ? 0.45 : 1;
    ctx.lineWidth = 2.5;
    line(ctx, [[left, rows[i]], [left + DASH - 2, rows[i]]]);
    ctx.globalAlpha = 1;
    text(ctx, theme, name, left + DASH + 4, rows[i], { base: "middle", colour: theme.ink, size: SIZE });
  });
}

const COMPASS = Array.from({ length: 8 }, (_, k) => [Math.cos((k * Math.PI) / 4), Math.sin((k * Math.PI) / 4)]);

/** Where two boxes [left, top, right, bottom] lie over each other: the area. */
const shared = (a, b) =>
  Math.max(0, Math.min(a[2], b[2]) - Math.max(a[0], b[0])) * Math.max(0, Math.min(a[3], b[3]) - Math.max(a[1], b[1]));

/** By how much a box reaches out of the picture. */
const outside = ([left, top, right, bottom], width, height) =>
  Math.max(0, 3 - left) + Math.max(0, right - width + 3) + Math.max(0, 3 - top) + Math.max(0, bottom - height + 3);

/**
 * Finds a free place for a name beside each point {x, y, name, hue, heading: [dx, dy]}, at best where the curve
 * was heading; `taken` are boxes that names must leave free, `dots` points that they should. Returns the points
 * with `box` and `reach`, to be drawn.
 */
export function settleLabels(ctx, theme, points, width, height, { taken = [], dots = [] } = {}) {
  ctx.font = `600 ${SIZE + 0.5}px ${theme.font}`;
  const full = taken.slice();
  return points.filter(({ x, y }) => Number.isFinite(x + y)).map((point) => {
    const wide = ctx.measureText(point.name).width + DASH + 5;
    const [dx, dy] = point.heading ?? [1, 0];
    const turn = (a, b) => -(a * dx + b * dy) / (Math.hypot(dx, dy) || 1) + (b ? 0.3 : 0);
    const ways = COMPASS.map(([a, b]) => ({ a, b, bend: turn(a, b) })).sort((p, q) => p.bend - q.bend);
    let best = { cost: Infinity };
    for (const reach of [11, 20, 32, 46, 62, 80]) {
      if (best.cost <= reach - 8) break; // nothing farther can be better
      for (const { a, b, bend } of ways) {
        const left = point.x + a * reach + (a > 0.3 ? 0 : a < -0.3 ? -wide : -wide / 2);
        const middle = point.y + b * (reach + 3);
        const box = [left, middle - TALL / 2, left + wide, middle + TALL / 2];
        let cost = outside(box, width, height) * 1e4 + reach + 8 * bend;
        for (let k = 0; k < full.length && cost < best.cost; k += 1) cost += 10 * shared(box, full[k]);
        for (let k = 0; k < dots.length && cost < best.cost; k += 1) {
          const [x, y] = dots[k];
          if (x > box[0] && x < box[2] && y > box[1] && y < box[3]) cost += 6;
        }
        if (cost < best.cost) best = { cost, box, reach };
      }
    }
    full.push(best.box, [point.x - 5, point.y - 5, point.x + 5, point.y + 5]);
    return { ...point, box: best.box, reach: best.reach };
  });
}

/** Points along a line, `apart` pixels from one another, `most` of them. */
export function beads(pixels, apart, most) {
  const found = [];
  for (let i = 0; i + 1 < pixels.length && found.length < most; i += 1) {
    const [[x, y], [u, v]] = [pixels[i], pixels[i + 1]];
    const count = Math.min(60, Math.max(1, Math.round(Math.hypot(u - x, v - y) / apart)));
    for (let k = 0; k < count; k += 1) found.push([x + ((u - x) * k) / count, y + ((v - y) * k) / count]);
  }
  return found;
}

/** Keeps what `make` gives while its causes are the same: to find places for names takes longer than to draw them. */
export function kept() {
  let last = { causes: [], value: null };
  return (causes, make) => {
    const same = causes.length === last.causes.length && causes.every((cause, i) => cause === last.causes[i]);
    if (!same) last = { causes, value: make() };
    return last.value;
  };
}

export function drawLabels(ctx, theme, labels) {
  for (const { x, y, name, hue, box, reach } of labels) {
    const middle = (box[1] + box[3]) / 2;
    if (reach > 24) {
      ctx.strokeStyle = hue;
      ctx.lineWidth = 1;
      line(ctx, [[x, y], [Math.max(box[0], Math.min(box[2], x)), Math.max(box[1], Math.min(box[3], y))]]);
    }
    const bar = [[box[0] + 1, middle], [box[0] + DASH - 1, middle]];
    ctx.strokeStyle = theme.ground; // a halo, as the words have
    ctx.lineWidth = 5.5;
    line(ctx, bar);
    ctx.strokeStyle = hue;
    ctx.lineWidth = 2.5;
    line(ctx, bar);
    const style = { base: "middle", colour: theme.ink, size: SIZE + 0.5, weight: 600, halo: true };
    text(ctx, theme, name, box[0] + DASH + 3, middle, style);
  }
}
