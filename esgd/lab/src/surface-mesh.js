// The geometry of the surface: heights on a grid, the camera, and what the surface hides from it. The weights of
// the window become x and y in [−1, 1], the lowest and the highest point of the surface z = ∓HALF_HEIGHT.

import { contourLevels, crossings, riseGrid, tintOf } from "./contours.js";

export const MESH = 44;
const HALF_HEIGHT = 0.46;
const STRIDE = 0.045; // of the march towards the camera, in units of x
const SLACK = 0.02; // a point on the surface must not be hidden by its own cell

/** Heights, rises and contour segments of a landscape in a frame [cx, cy, half]. */
export function meshOf(land, frame) {
  const [cx, cy, half] = frame;
  const field = riseGrid(land, frame, (x) => x, MESH);
  const lift = (rise) => (land.lift ? land.lift * Math.asinh(rise / land.lift) : rise);
  const lifted = field.values.map(lift);
  const low = lifted.reduce((a, b) => Math.min(a, b));
  const high = lifted.reduce((a, b) => Math.max(a, b));
  const height = (rise) => (HALF_HEIGHT * (2 * lift(rise) - low - high)) / Math.max(1e-12, high - low);
  const heights = field.values.map(height);
  return {
    field, heights, segments: segmentsOf(field, land, height), dresses: new Map(),
    /** [x, y, z] of a point of the weights. */
    place: (p) => [(p[0] - cx) / half, (p[1] - cy) / half, height(land.f(p) - land.reference)],
  };
}

/**
 * What the cells of `stride` grid steps wear whatever the camera: slope, length of the normal, tint and, as they are
 * needed, its shades as words. It is kept with the mesh, so that a turn computes little of it anew.
 */
export function dressOf(mesh, stride, theme, power) {
  const key = [stride, theme.dark].join();
  if (mesh.dresses.has(key)) return mesh.dresses.get(key);
  const { heights, field } = mesh;
  const n = MESH + 1;
  const across = MESH / stride;
  const slopes = new Float64Array(2 * across * across);
  const lengths = new Float64Array(across * across);
  const tints = new Uint8ClampedArray(3 * across * across);
  const tint = [0, 0, 0];
  for (let cell = 0; cell < across * across; cell += 1) {
    const k = stride * (Math.floor(cell / across) * n + (cell % across));
    const [a, b, c, d] = [k, k + stride, k + stride * (n + 1), k + stride * n];
    const size = (4 * stride) / MESH; // of two cells' sides
    slopes[2 * cell] = (heights[b] - heights[a] + heights[c] - heights[d]) / size;
    slopes[2 * cell + 1] = (heights[a] - heights[d] + heights[b] - heights[c]) / size;
    lengths[cell] = Math.hypot(slopes[2 * cell], slopes[2 * cell + 1], 1);
    tints.set(tintOf(field.values[k], field, theme, power, tint), 3 * cell);
  }
  const dress = { slopes, lengths, tints, paints: new Map() };
  mesh.dresses.set(key, dress);
  return dress;
}

/** The contour lines of each row of cells: a flat list of x₁, y₁, x₂, y₂, z, with the levels drawn at their heights. */
function segmentsOf({ values, largest }, land, height) {
  const n = MESH + 1;
  const levels = contourLevels({ largest }, land.power, 11);
  const heights = levels.map(height);
  const found = Array.from({ length: MESH }, () => []);
  for (let j = 0; j < MESH; j += 1) {
    for (let i = 0; i < MESH; i += 1) {
      const k = j * n + i;
      const corners = [values[k], values[k + 1], values[k + n + 1], values[k + n]];
      const [low, high] = [Math.min(...corners), Math.max(...corners)];
      levels.forEach((level, l) => {
        if (level < low || level > high) return;
        const ends = crossings(...corners, level);
        for (let e = 0; e + 1 < ends.length; e += 2) {
          const flat = [ends[e], ends[e + 1]].flatMap(([u, v]) => [-1 + (2 * (i + u)) / MESH, 1 - (2 * (j + v)) / MESH]);
          found[j].push(...flat, heights[l]);
        }
      });
    }
  }
  return found.map((row) => Float64Array.from(row));
}

/** An orthographic camera: `turn` and `tilt` in degrees, 90 of tilt looking straight down as the path view does. */
export function cameraOf(turn, tilt, width, height) {
  const [a, e] = [(turn * Math.PI) / 180, (tilt * Math.PI) / 180];
  const [ca, sa, ce, se] = [Math.cos(a), Math.sin(a), Math.cos(e), Math.sin(e)];
  const scale = Math.min(width / 2.9, height / (2.83 * se + 2.25 * HALF_HEIGHT * ce + 0.14));
  const [ox, oy] = [width / 2, height / 2];
  return {
    turn, tilt, ca, sa, ce, se,
    x: (x, y) => ox + scale * (x * ca - y * sa),
    y: (x, y, z) => oy - scale * ((x * sa + y * ca) * se + z * ce),
    key: [turn, tilt, width, height].join(),
  };
}

/** Height of the surface at (x, y), between the points of the grid. */
function heightAt(heights, x, y) {
  const n = MESH + 1;
  const u = ((x + 1) / 2) * MESH;
  const v = ((1 - y) / 2) * MESH;
  const i = Math.min(MESH - 1, Math.floor(u));
  const j = Math.min(MESH - 1, Math.floor(v));
  const [p, q] = [u - i, v - j];
  const k = j * n + i;
  return (heights[k] * (1 - p) + heights[k + 1] * p) * (1 - q) + (heights[k + n] * (1 - p) + heights[k + n + 1] * p) * q;
}

/** Whether the surface stands between the camera and a point on it. */
export function isHidden(mesh, camera, [x, y, z]) {
  if (camera.ce < 1e-3) return false;
  const [dx, dy, dz] = [-camera.sa * STRIDE, -camera.ca * STRIDE, (camera.se / camera.ce) * STRIDE];
  let [px, py, pz] = [x + dx, y + dy, z + dz];
  while (Math.abs(px) <= 1 && Math.abs(py) <= 1 && pz < HALF_HEIGHT) {
    if (heightAt(mesh.heights, px, py) > pz + SLACK) return true;
    px += dx;
    py += dy;
    pz += dz;
  }
  return false;
}

/** The straight steps of a run laid on the surface, `pieces` to a step: points [x, y, z], null outside the window. */
export function laidOut(run, mesh, pieces) {
  const laid = [];
  run.points.forEach((p, t) => {
    const q = run.points[t + 1];
    for (let s = 0; s < (q ? pieces : 1); s += 1) {
      const share = s / pieces;
      const point = mesh.place(q ? [p[0] + (q[0] - p[0]) * share, p[1] + (q[1] - p[1]) * share] : p);
      laid.push(Math.abs(point[0]) <= 1 && Math.abs(point[1]) <= 1 ? point : null);
    }
  });
  return laid;
}
