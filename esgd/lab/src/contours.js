// The ground of a path view: a quiet tint of the loss and its contour lines, drawn once and kept.

import { surface } from "./plot.js";

const CELLS = 64; // enough for all but a landscape that names its own `cells`, a multiple of these

/** The rise over the reference on a grid, and the largest |rise|^(1/power): contours are even in that power. */
export function riseGrid(land, frame, unmap, cells = CELLS) {
  const [cx, cy, half] = frame;
  const values = new Float64Array((cells + 1) * (cells + 1));
  let [largest, lowest] = [0, Infinity];
  for (let j = 0; j <= cells; j += 1) {
    for (let i = 0; i <= cells; i += 1) {
      const x = unmap([cx - half + (2 * half * i) / cells, cy + half - (2 * half * j) / cells]);
      const rise = land.f(x) - land.reference;
      values[j * (cells + 1) + i] = rise;
      lowest = Math.min(lowest, rise);
      largest = Math.max(largest, Math.abs(rise));
    }
  }
  return { values, largest: largest ** (1 / land.power) || 1, lowest, cells };
}

// For each pattern of corners above the level, the edges that the contour joins: 0 top, 1 right, 2 bottom, 3 left.
const JOINS = [[], [3, 0], [0, 1], [3, 1], [1, 2], [3, 0, 1, 2], [0, 2], [3, 2], [2, 3], [2, 0], [0, 1, 2, 3], [2, 1], [1, 3], [1, 0], [0, 3], []];

/** The levels of the contour lines, even in the landscape's power. */
export const contourLevels = (field, power, lines = 13) =>
  Array.from({ length: 2 * lines + 1 }, (_, i) => i - lines)
    .filter((k) => k !== 0)
    .map((k) => Math.sign(k) * ((Math.abs(k) / lines) * field.largest * 0.985) ** power);

/** Writes the quiet tint of a rise, [red, green, blue], into `out`. */
export function tintOf(rise, field, theme, power, out) {
  const share = Math.min(1, Math.abs(rise) ** (1 / power) / field.largest) ** 0.8;
  const goal = rise < 0 ? theme.below : theme.above;
  for (let c = 0; c < 3; c += 1) out[c] = theme.level[c] + (goal[c] - theme.level[c]) * share;
  return out;
}

/** Where a contour at `level` crosses a cell with corners a, b, c, d (clockwise): [x, y] pairs in cell units. */
export function crossings(a, b, c, d, level) {
  const joins = JOINS[(a > level ? 1 : 0) | (b > level ? 2 : 0) | (c > level ? 4 : 0) | (d > level ? 8 : 0)];
  return joins.map((edge) => {
    if (edge === 0) return [(level - a) / (b - a), 0];
    if (edge === 2) return [(level - d) / (c - d), 1];
    return edge === 3 ? [0, (level - a) / (d - a)] : [1, (level - b) / (c - b)];
  });
}

/** Appends the segments of one level to the current path (marching squares; no object is made on the way). */
function traceLevel(ctx, { values, cells }, level, width, height) {
  const n = cells + 1;
  const [sx, sy] = [width / cells, height / cells];
  for (let j = 0; j < cells; j += 1) {
    for (let i = 0; i < cells; i += 1) {
      const k = j * n + i;
      const a = values[k];
      const b = values[k + 1];
      const c = values[k + n + 1];
      const d = values[k + n];
      const code = (a > level ? 1 : 0) | (b > level ? 2 : 0) | (c > level ? 4 : 0) | (d > level ? 8 : 0);
      if (code === 0 || code === 15) continue;
      const joins = JOINS[code];
      for (let e = 0; e < joins.length; e += 1) {
        let x = i;
        let y = j;
        if (joins[e] === 0) x += (level - a) / (b - a);
        else if (joins[e] === 2) [x, y] = [x + (level - d) / (c - d), y + 1];
        else if (joins[e] === 3) y += (level - a) / (d - a);
        else [x, y] = [x + 1, y + (level - b) / (c - b)];
        if (e % 2) ctx.lineTo(x * sx, y * sy);
        else ctx.moveTo(x * sx, y * sy);
      }
    }
  }
}

/** The tint as a small picture, `wide` cells wide: it needs no finer grid than that, as it is drawn smoothly. */
function tint(field, theme, power, wide) {
  const stride = field.cells / wide;
  const image = new ImageData(wide + 1, wide + 1);
  const colour = [0, 0, 0];
  for (let index = 0; index < (wide + 1) ** 2; index += 1) {
    const [i, j] = [index % (wide + 1), Math.floor(index / (wide + 1))];
    tintOf(field.values[stride * (j * (field.cells + 1) + i)], field, theme, power, colour);
    for (let c = 0; c < 3; c += 1) image.data[4 * index + c] = colour[c];
    image.data[4 * index + 3] = 255;
  }
  const canvas = document.createElement("canvas");
  canvas.width = wide + 1;
  canvas.height = wide + 1;
  canvas.getContext("2d").putImageData(image, 0, 0);
  return canvas;
}

/** Paints the ground of `land` in a frame [cx, cy, half]; `unmap` takes frame coordinates to weights. */
export function paintContours(canvas, land, theme, frame, unmap) {
  const { ctx, width, height } = surface(canvas);
  const field = riseGrid(land, frame, unmap, land.cells ?? CELLS);
  ctx.imageSmoothingEnabled = true;
  ctx.imageSmoothingQuality = "high";
  const overlap = width / CELLS / 2; // a grid value sits at a cell's corner, a pixel's in its middle
  ctx.drawImage(tint(field, theme, land.power, CELLS), -overlap, -overlap, width + 2 * overlap, height + 2 * overlap);
  ctx.lineCap = "butt";
  ctx.lineWidth = 1;
  ctx.strokeStyle = theme.contour;
  ctx.beginPath();
  const levels = contourLevels(field, land.power).filter((level) => level > field.lowest);
  levels.forEach((level) => traceLevel(ctx, field, level, width, height));
  ctx.stroke();
  if (land.saddle) {
    ctx.strokeStyle = theme.critical;
    ctx.lineWidth = 1.2;
    ctx.setLineDash([5, 4]);
    ctx.beginPath();
    traceLevel(ctx, field, 1e-9, width, height);
    ctx.stroke();
    ctx.setLineDash([]);
  }
}
