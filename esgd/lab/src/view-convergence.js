// Every rate and every momentum at once on a convex quadratic: by which factor a step shrinks the slowest mode.

import { panel, scrub } from "./dom.js";
import { METHODS } from "./methods.js";
import { modesOf } from "./modes.js";
import { axes, dot, line, surface, text } from "./plot.js";
import { channels } from "./theme.js";
import { bestMomentum, bestRateFor, edgeOf, formatNumber, heavyBall, modeRadius, nesterov } from "./theory.js";

const [COLUMNS, ROWS] = [96, 60];
const TOP = 0.99; // the largest momentum

/** The form of momentum that the map is of: the heavy ball's, or Nesterov's where it alone runs. */
const mapped = ({ methods }) =>
  methods.includes("nesterov") && !methods.includes("momentum")
    ? { method: "nesterov", form: nesterov, name: "of Nesterov’s form" }
    : { method: "momentum", form: heavyBall, name: "of the heavy ball" };

/** The factor of the slowest mode. */
const slowest = (modes, lr, beta, form) => Math.max(...modes.map(({ h }) => modeRadius(lr, h, beta, form)));

/** The rate at which a step of the steepest mode stops shrinking. */
const edgeAt = (modes, beta, form) => edgeOf(beta, form) / modes[0].h;

/** The map as a small picture, the faster the stronger the hue; beyond the edge it goes on as it is at the edge. */
function paintMap(modes, x, fastest, theme, { method, form }) {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [COLUMNS, ROWS];
  const image = new ImageData(COLUMNS, ROWS);
  const hue = channels(theme.hue[method]);
  for (let j = 0; j < ROWS; j += 1) {
    for (let i = 0; i < COLUMNS; i += 1) {
      const beta = TOP * (1 - (j + 0.5) / ROWS);
      const lr = Math.min(x[0] * (x[1] / x[0]) ** ((i + 0.5) / COLUMNS), 0.97 * edgeAt(modes, beta, form));
      const share = 0.06 + 0.8 * (Math.log(slowest(modes, lr, beta, form)) / Math.log(fastest));
      for (let c = 0; c < 3; c += 1) image.data[4 * (j * COLUMNS + i) + c] = theme.level[c] + (hue[c] - theme.level[c]) * share;
      image.data[4 * (j * COLUMNS + i) + 3] = 255;
    }
  }
  canvas.getContext("2d").putImageData(image, 0, 0);
  return canvas;
}

export function convergenceView(lab) {
  const view = panel({ title: "Every rate and momentum", shape: "map" });
  let frame = null;
  let cache = { key: "" };
  view.still = true;
  scrub(view.canvas, lab, (x, y) => {
    if (!frame) return;
    const beta = Math.max(0, Math.min(TOP, frame.sy.invert(y)));
    const lr = Math.max(cache.x[0], Math.min(cache.x[1], frame.sx.invert(x)));
    const { method } = mapped(lab.S);
    const methods = lab.S.methods.includes(method) ? lab.S.methods : [...lab.S.methods, method];
    lab.update({ methods, momentum: Number(beta.toFixed(2)), [`lr_${method}`]: Number(lr.toPrecision(3)) });
  });
  view.draw = () => {
    const { S, theme, land } = lab;
    const area = surface(view.canvas);
    const { ctx } = area;
    const modes = modesOf(land.quadratic);
    const { method: own, form, name } = mapped(S);
    const beta = bestMomentum(S, form).value;
    const rate = bestRateFor(modes[0].h, modes[1].h, beta, form);
    const fastest = Math.max(1e-3, slowest(modes, rate, beta, form));
    const x = [0.02 / modes[0].h, 10 / modes[0].h];
    const key = [lab.landKey, theme.dark, own].join();
    if (cache.key !== key) cache = { key, x, map: paintMap(modes, x, fastest, theme, { method: own, form }) };
    frame = axes(area, theme, { x, y: [0, TOP], xLog: true, yTicks: [0, 0.25, 0.5, 0.75], xLabel: "learning rate", yLabel: "momentum β" });
    const { box, sx, sy } = frame;
    ctx.imageSmoothingEnabled = true;
    ctx.drawImage(cache.map, box.left, box.top, box.right - box.left, box.bottom - box.top);
    const edge = Array.from({ length: 40 }, (_, i) => (TOP * i) / 39).map((b) => [sx(edgeAt(modes, b, form)), sy(b)]);
    ctx.fillStyle = `rgb(${theme.above.join()})`;
    ctx.beginPath();
    [...edge, [box.right, box.top], [box.right, box.bottom]].forEach(([px, py]) => ctx.lineTo(px, py));
    ctx.fill();
    ctx.strokeStyle = theme.critical;
    ctx.lineWidth = 1.2;
    line(ctx, edge);
    text(ctx, theme, "diverges", box.right - 6, box.bottom - 8, { align: "right", size: 12 });
    const [bx, by] = [sx(rate), sy(beta)];
    ctx.strokeStyle = theme.ink;
    ctx.lineWidth = 1.8;
    line(ctx, [[bx - 5, by], [bx + 5, by]]);
    line(ctx, [[bx, by - 5], [bx, by + 5]]);
    const tight = bx > box.right - 40; // the dots of the methods come from the left
    text(ctx, theme, "best", bx + (tight ? -8 : 9), by + (tight ? -7 : 4), { align: tight ? "right" : "left", colour: theme.ink, halo: true });
    const place = (lr) => Math.max(box.left, Math.min(box.right, sx(lr)));
    const words = [];
    for (const [method, b] of [["sgd", 0], [own, S.momentum]]) {
      if (!S.methods.includes(method)) continue;
      const lr = S[`lr_${method}`];
      const factor = formatNumber(slowest(modes, lr, b, form), 3);
      dot(ctx, place(lr), sy(b), 6, theme.hue[method], theme.ground);
      text(ctx, theme, `${METHODS[method].short} ×${factor}`, place(lr) + (place(lr) > 160 ? -10 : 10), sy(b) - 5, { align: place(lr) > 160 ? "right" : "left", colour: theme.ink, halo: true });
      words.push(`${method === "sgd" ? "descent" : METHODS[method].short.replace("M", "m")} ×${factor}`);
    }
    view.title(`Every rate and momentum, ${name}`);
    view.note(`best ×${formatNumber(fastest, 3)} a step`);
    view.describe(
      `Factor of the slowest mode a step, over the learning rate and the momentum ${name}. Best: momentum ${formatNumber(beta, 3)} with rate ${formatNumber(rate, 3)}, ` +
        `a factor of ${formatNumber(fastest, 3)}. Now: ${words.join(", ") || "neither method runs"}. The sliders of rate and momentum move the same point.`,
    );
  };
  return view;
}
