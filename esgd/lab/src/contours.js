// The ground of a path view: a quiet tint of the loss and its contour lines, drawn once and kept.

import { linearScale, surface } from "./plot.js";

const CELLS = 96;

/** The rise over the reference on a grid, and the largest |rise|^(1/power): contours are even in that power. */
function grid(land, frame, unmap) {
  const [cx, cy, half] = frame;
  const values = new Float64Array((CELLS + 1) * (CELLS + 1));
  let largest = 0;
  for (let j = 0; j <= CELLS; j += 1) {
    for (let i = 0; i <= CELLS; i += 1) {
      const x = unmap([cx - half + (2 * half * i) / CELLS, cy + half - (2 * half * j) / CELLS]);
      const rise = land.f(x) - land.reference;
      values[j * (CELLS + 1) + i] = rise;
      largest = Math.max(largest, Math.abs(rise) ** (1 / land.power));
    }
  }
  return { values, largest: largest || 1 };
}

/** Appends the segments of one level to the current path (marching squares). */
function traceLevel(ctx, values, level, px, py) {
  const n = CELLS + 1;
  for (let j = 0; j < CELLS; j += 1) {
    for (let i = 0; i < CELLS; i += 1) {
      const corner = [values[j * n + i], values[j * n + i + 1], values[(j + 1) * n + i + 1], values[(j + 1) * n + i]];
      const code = corner.reduce((sum, v, bit) => sum | ((v > level ? 1 : 0) << bit), 0);
      if (code === 0 || code === 15) continue;
      const cut = (a, b) => (level - corner[a]) / (corner[b] - corner[a]);
      const edge = [
        () => [px(i + cut(0, 1)), py(j)],
        () => [px(i + 1), py(j + cut(1, 2))],
        () => [px(i + cut(3, 2)), py(j + 1)],
        () => [px(i), py(j + cut(0, 3))],
      ];
      const crossed = [0, 1, 2, 3].filter((k) => ((code >> k) & 1) !== ((code >> (k + 1) % 4) & 1));
      for (let k = 0; k + 1 < crossed.length; k += 2) {
        ctx.moveTo(...edge[crossed[k]]());
        ctx.lineTo(...edge[crossed[k + 1]]());
      }
    }
  }
}

function tint(field, theme, power) {
  const image = new ImageData(CELLS + 1, CELLS + 1);
  field.values.forEach((value, index) => {
    const share = Math.min(1, Math.abs(value) ** (1 / power) / field.largest) ** 0.8;
    const goal = value < 0 ? theme.below : theme.above;
    for (let c = 0; c < 3; c += 1) image.data[4 * index + c] = theme.level[c] + (goal[c] - theme.level[c]) * share;
    image.data[4 * index + 3] = 255;
  });
  const canvas = document.createElement("canvas");
  canvas.width = CELLS + 1;
  canvas.height = CELLS + 1;
  canvas.getContext("2d").putImageData(image, 0, 0);
  return canvas;
}

/** Paints the ground of `land` in a frame [cx, cy, half]; `unmap` takes frame coordinates to weights. */
export function paintContours(canvas, land, theme, frame, unmap) {
  const { ctx, width, height } = surface(canvas);
  const field = grid(land, frame, unmap);
  ctx.imageSmoothingEnabled = true;
  ctx.imageSmoothingQuality = "high";
  const overlap = width / CELLS / 2; // a grid value sits at a cell's corner, a pixel's in its middle
  ctx.drawImage(tint(field, theme, land.power), -overlap, -overlap, width + 2 * overlap, height + 2 * overlap);
  const px = linearScale(0, CELLS, 0, width);
  const py = linearScale(0, CELLS, 0, height);
  const lines = 13;
  ctx.lineCap = "butt";
  ctx.lineWidth = 1;
  ctx.strokeStyle = theme.contour;
  ctx.beginPath();
  for (let k = -lines; k <= lines; k += 1) {
    const level = Math.sign(k) * ((Math.abs(k) / lines) * field.largest * 0.985) ** land.power;
    if (k !== 0) traceLevel(ctx, field.values, level, px, py);
  }
  ctx.stroke();
  if (land.saddle) {
    ctx.strokeStyle = theme.critical;
    ctx.lineWidth = 1.2;
    ctx.setLineDash([5, 4]);
    ctx.beginPath();
    traceLevel(ctx, field.values, 1e-9, px, py);
    ctx.stroke();
    ctx.setLineDash([]);
  }
}
