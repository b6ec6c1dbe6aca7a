// The landscape as a surface in three dimensions with the runs lying on it, turned by hand.

import { drags, make, panel } from "./dom.js";
import { METHODS } from "./methods.js";
import { dot, line, surface, text } from "./plot.js";
import { slider } from "./slider.js";
import { MESH, cameraOf, dressOf, isHidden, laidOut, meshOf } from "./surface-mesh.js";

const LIGHT = [-0.42, 0.36, 0.83]; // in the camera's frame: from the upper left
const HAIR = 0.6; // pixels by which a cell reaches over its neighbour, so that no gap shows
const around = (degrees) => ((degrees % 360) + 360) % 360;
const SHADES = 64; // of a cell, from the darkest to the lightest
const rgb = (c, shade) => `rgb(${Math.round(c[0] * shade)},${Math.round(c[1] * shade)},${Math.round(c[2] * shade)})`;

/** The cells from the farthest to the nearest, `stride` grid steps wide, each row with its piece of the contour lines. */
function paintSurface(ctx, mesh, camera, theme, power, stride) {
  const n = MESH + 1;
  const { heights, segments } = mesh;
  const { slopes, lengths, tints, paints } = dressOf(mesh, stride, theme, power);
  const px = new Float64Array(n * n);
  const py = new Float64Array(n * n);
  for (let j = 0; j < n; j += stride) {
    for (let i = 0; i < n; i += stride) {
      const k = j * n + i;
      const [x, y] = [-1 + (2 * i) / MESH, 1 - (2 * j) / MESH];
      px[k] = camera.x(x, y);
      py[k] = camera.y(x, y, heights[k]);
    }
  }
  const across = MESH / stride;
  const [westward, northward] = [camera.sa >= 0, camera.ca < 0]; // far is where x sin + y cos is large
  const east = -(LIGHT[0] * camera.ca + LIGHT[1] * camera.sa); // the light in the landscape's own frame
  const north = LIGHT[0] * camera.sa - LIGHT[1] * camera.ca;
  const [dark, span] = theme.dark ? [0.62, 0.95] : [0.74, 0.27];
  ctx.lineWidth = 1;
  ctx.strokeStyle = theme.contour;
  for (let row = 0; row < across; row += 1) {
    const j = northward ? across - 1 - row : row;
    for (let column = 0; column < across; column += 1) {
      const i = westward ? across - 1 - column : column;
      const cell = j * across + i;
      const k = stride * (j * n + i);
      const light = Math.max(0, (slopes[2 * cell] * east + slopes[2 * cell + 1] * north + LIGHT[2]) / lengths[cell]);
      const paint = cell * (SHADES + 1) + Math.round(SHADES * light);
      let words = paints.get(paint);
      if (!words) {
        words = rgb(tints.subarray(3 * cell, 3 * cell + 3), dark + (span * Math.round(SHADES * light)) / SHADES);
        paints.set(paint, words);
      }
      ctx.fillStyle = words;
      const [b, c, d] = [k + stride, k + stride * (n + 1), k + stride * n];
      const mx = (px[k] + px[c]) / 2;
      const my = (py[k] + py[b] + py[c] + py[d]) / 4;
      ctx.beginPath();
      ctx.moveTo(px[k] + (px[k] < mx ? -HAIR : HAIR), py[k] + (py[k] < my ? -HAIR : HAIR));
      ctx.lineTo(px[b] + (px[b] < mx ? -HAIR : HAIR), py[b] + (py[b] < my ? -HAIR : HAIR));
      ctx.lineTo(px[c] + (px[c] < mx ? -HAIR : HAIR), py[c] + (py[c] < my ? -HAIR : HAIR));
      ctx.lineTo(px[d] + (px[d] < mx ? -HAIR : HAIR), py[d] + (py[d] < my ? -HAIR : HAIR));
      ctx.fill();
    }
    ctx.beginPath(); // the contour lines of the row, before a nearer row can hide them
    for (let line = j * stride; line < (j + 1) * stride; line += 1) {
      const flat = segments[line];
      for (let s = 0; s < flat.length; s += 5) {
        ctx.moveTo(camera.x(flat[s], flat[s + 1]), camera.y(flat[s], flat[s + 1], flat[s + 4]));
        ctx.lineTo(camera.x(flat[s + 2], flat[s + 3]), camera.y(flat[s + 2], flat[s + 3], flat[s + 4]));
      }
    }
    ctx.stroke();
  }
}

/** The two cut faces towards the camera, and the names of the weights along them. */
function paintSides(ctx, mesh, camera, theme) {
  const floor = -0.56;
  const n = MESH + 1;
  const [nearX, nearY] = [camera.sa > 0 ? -1 : 1, camera.ca >= 0 ? -1 : 1];
  const edges = [
    { name: "θ₁", points: Array.from({ length: n }, (_, i) => [-1 + (2 * i) / MESH, nearY, mesh.heights[(nearY < 0 ? MESH : 0) * n + i]]) },
    { name: "θ₂", points: Array.from({ length: n }, (_, j) => [nearX, 1 - (2 * j) / MESH, mesh.heights[j * n + (nearX < 0 ? 0 : MESH)]]) },
  ];
  edges.forEach(({ name, points }, e) => {
    if (camera.ce < 1e-3 || Math.abs(e ? camera.sa : camera.ca) < 1e-3) return;
    const top = points.map(([x, y, z]) => [camera.x(x, y), camera.y(x, y, z)]);
    const bottom = points.map(([x, y]) => [camera.x(x, y), camera.y(x, y, floor)]);
    ctx.fillStyle = rgb(theme.level, theme.dark ? (e ? 1.15 : 1.45) : e ? 0.83 : 0.9);
    ctx.strokeStyle = theme.faint;
    ctx.lineWidth = 1;
    ctx.beginPath();
    [...top, ...bottom.slice().reverse()].forEach(([x, y], i) => (i ? ctx.lineTo(x, y) : ctx.moveTo(x, y)));
    ctx.closePath();
    ctx.fill();
    line(ctx, bottom);
    line(ctx, top);
    const middle = bottom[Math.floor(n / 2)];
    if (Math.abs(e ? camera.sa : camera.ca) > 0.25) text(ctx, theme, name, middle[0], middle[1] + 15, { align: "center", size: 12.5, halo: true });
  });
}

/** A run on the surface: strong where it is seen, faint where the surface hides it or where it is still to come. */
function drawLaid(ctx, pixels, hidden, upTo, hue) {
  const stroke = (from, to, alpha, wanted) => {
    ctx.globalAlpha = alpha;
    ctx.beginPath();
    for (let i = from; i < to; i += 1) {
      if (!pixels[i] || !pixels[i + 1] || hidden[i] !== wanted) continue;
      ctx.moveTo(...pixels[i]);
      ctx.lineTo(...pixels[i + 1]);
    }
    ctx.stroke();
  };
  ctx.strokeStyle = hue;
  ctx.lineWidth = 1.5;
  stroke(upTo, pixels.length - 1, 0.28, false);
  ctx.lineWidth = 2.4;
  stroke(0, upTo, 0.3, true);
  stroke(0, upTo, 1, false);
  ctx.globalAlpha = 1;
}

export function surfaceView(lab) {
  const view = panel({ title: "Surface", shape: "surface", layers: 2 });
  const [ground, front] = view.canvases;
  const grip = make("button", { type: "button", class: "grip", "aria-roledescription": "surface to turn" });
  const turn = slider(lab, "turn", {});
  const tilt = slider(lab, "tilt", {});
  const words = (label, output) => make("label", {}, make("span", { text: label }), output);
  view.plot.append(grip);
  view.element.classList.add("spatial");
  view.element.append(make("div", { class: "control" }, words("Turn", turn.output), turn.track, words("Tilt", tilt.output), tilt.track,
    make("p", { text: "Drag the surface, or focus it and use the arrow keys. At a tilt of 90° it is the path view. Where the surface hides a path, the path is pale." })));
  const look = (change) => {
    const next = { turn: lab.S.turn, tilt: lab.S.tilt, ...change };
    lab.update({ turn: Math.round(around(next.turn)), tilt: Math.round(Math.max(10, Math.min(90, next.tilt))) });
  };
  let from = null;
  drags(grip, lab, (event) => {
    look({ turn: from.turn - (event.clientX - from.x) * 0.5, tilt: from.tilt + (event.clientY - from.y) * 0.35 });
  }, (event) => {
    from = { turn: lab.S.turn, tilt: lab.S.tilt, x: event.clientX, y: event.clientY };
  });
  grip.addEventListener("keydown", (event) => {
    const step = event.shiftKey ? 15 : 5;
    const change = { ArrowLeft: { turn: lab.S.turn + step }, ArrowRight: { turn: lab.S.turn - step }, ArrowUp: { tilt: lab.S.tilt - step }, ArrowDown: { tilt: lab.S.tilt + step } }[event.key];
    if (!change) return;
    event.preventDefault();
    look(change);
  });

  let mesh = null;
  let meshKey = "";
  let painted = "";
  let angle = null;
  let turning = false; // then it is drawn more coarsely, and finely once it rests
  let rest = 0;
  let turned = 0; // frames since it rested
  let laid = { runs: null, key: "" };
  view.draw = () => {
    const { S, theme, land, runs, at } = lab;
    const frame = [land.window[0], land.window[1], land.window[2] / S.zoom];
    const key = `${lab.landKey}|${S.zoom}`;
    if (key !== meshKey) {
      mesh = meshOf(land, frame);
      meshKey = key;
    }
    const { ctx, width, height } = surface(front);
    const camera = cameraOf(S.turn, S.tilt, width, height);
    if (angle !== null && angle !== camera.key) {
      turning = true;
      clearTimeout(rest);
      rest = setTimeout(() => {
        turning = false;
        lab.redraw(view);
      }, 160);
    }
    angle = camera.key;
    const wordy = !turning || turned % 4 === 0; // what is beside the surface follows a turn at every fourth frame
    turned = turning ? turned + 1 : 0;
    if (wordy) {
      turn.draw();
      tilt.draw();
    }
    const scene = [key, camera.key, theme.dark, globalThis.devicePixelRatio, turning].join("|");
    if (scene !== painted) {
      const below = surface(ground, turning ? 1 : 3).ctx;
      paintSurface(below, mesh, camera, theme, land.power, turning ? 2 : 1);
      paintSides(below, mesh, camera, theme);
      painted = scene;
    }
    if (lab.printing) ctx.drawImage(ground, 0, 0, width, height);
    if (laid.runs !== runs || laid.key !== scene) {
      const pieces = turning || S.steps > 120 ? 2 : 8;
      laid = { runs, key: scene, pieces };
      for (const method of S.methods) {
        const points = laidOut(runs[method], mesh, pieces);
        laid[method] = {
          pixels: points.map((p) => p && [camera.x(p[0], p[1]), camera.y(...p)]),
          hidden: points.map((p) => p !== null && isHidden(mesh, camera, p)),
        };
      }
    }
    for (const method of S.methods) {
      const { pixels, hidden } = laid[method];
      const upTo = Math.min(pixels.length - 1, Math.floor(at * laid.pieces));
      drawLaid(ctx, pixels, hidden, upTo, theme.hue[method]);
      if (!pixels[upTo]) continue;
      ctx.globalAlpha = hidden[upTo] ? 0.4 : 1;
      dot(ctx, ...pixels[upTo], 5.5, theme.hue[method], theme.ground);
      ctx.globalAlpha = 1;
    }
    const start = mesh.place([S.x0, S.y0]);
    const mark = (p, label) => {
      if (Math.abs(p[0]) > 1 || Math.abs(p[1]) > 1) return;
      const [x, y] = [camera.x(p[0], p[1]), camera.y(...p)];
      const side = camera.x(start[0], start[1]) < x ? 1 : -1; // the saddle's name stands on the side away from the start
      const style = label === "start" ? { align: "center", weight: 600, colour: theme.ink } : { align: side > 0 ? "left" : "right" };
      ctx.strokeStyle = theme.ink;
      ctx.lineWidth = 1.8;
      ctx.globalAlpha = isHidden(mesh, camera, p) ? 0.45 : 1;
      ctx.beginPath();
      if (label === "start") ctx.arc(x, y, 6.5, 0, 2 * Math.PI);
      else [[-4, -4, 4, 4], [-4, 4, 4, -4]].forEach(([a, b, c, d]) => ctx.moveTo(x + a, y + b) || ctx.lineTo(x + c, y + d));
      ctx.stroke();
      text(ctx, theme, label, x + (label === "start" ? 0 : 9 * side), y + (label === "start" ? 20 : -8), { ...style, size: 12, halo: true });
      ctx.globalAlpha = 1;
    };
    if (land.saddle) mark(mesh.place(land.saddle), land.point);
    mark(start, "start");
    if (!wordy) return;
    view.note(land.lift ? "height: asinh of the loss" : "height: the loss");
    grip.setAttribute("aria-label", `Surface, turned by ${S.turn} degrees and tilted by ${S.tilt}. Arrow keys turn and tilt it, with shift faster.`);
    view.describe(
      `${land.label} as a surface over the two weights, with the paths of ${S.methods.map((m) => METHODS[m].label).join(", ") || "no method"} ` +
        `lying on it up to step ${Math.round(at)}.`,
    );
  };
  return view;
}
