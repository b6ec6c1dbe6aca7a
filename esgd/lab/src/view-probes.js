// The views of probes: the cloud of products Hv, estimates converging, ESGD's bars and its ledger, RMSProp's faces.

import { make, panel } from "./dom.js";
import { jacobiDiagonal, matvec, rowNorms } from "./linalg.js";
import { METHODS } from "./methods.js";
import { drawProbe } from "./rng.js";
import { arrow, axes, dot, line, linearScale, surface, text } from "./plot.js";
import { formatNumber, noiseCovariance, stationary } from "./theory.js";

const pair = (v, digits = 3) => `(${formatNumber(v[0], digits)}, ${formatNumber(v[1], digits)})`;

/** Products Hv of the probes so far, inside the box that √(D/k) makes of them. */
export function cloudView(lab) {
  const view = panel({ title: "Products Hv of the probes", shape: "square" });
  view.draw = () => {
    const { S, theme, land, at } = lab;
    const { ctx, width, height } = surface(view.canvas);
    const H = land.hess([S.x0, S.y0]);
    const truth = rowNorms(H);
    const reach = 3 * Math.max(...truth, 1e-6);
    const sx = linearScale(-reach, reach, 0, width);
    const sy = linearScale(-reach, reach, height, 0);
    ctx.fillStyle = theme.panel;
    ctx.fillRect(0, 0, width, height);
    ctx.strokeStyle = theme.hairline;
    ctx.lineWidth = 1;
    line(ctx, [[0, sy(0)], [width, sy(0)]]);
    line(ctx, [[sx(0), 0], [sx(0), height]]);
    text(ctx, theme, "(Hv)₁", width - 8, sy(0) - 7, { align: "right" });
    text(ctx, theme, "(Hv)₂", sx(0) + 8, 16);
    ctx.strokeStyle = theme.faint;
    ctx.lineWidth = 1.2;
    ctx.setLineDash([3, 4]);
    const ring = Array.from({ length: 73 }, (_, i) => (i * Math.PI) / 36).map((t) => matvec(H, [Math.SQRT2 * Math.cos(t), Math.SQRT2 * Math.sin(t)]));
    line(ctx, ring.map((p) => [sx(p[0]), sy(p[1])]));
    ctx.setLineDash([]);
    const count = Math.max(1, Math.ceil(at));
    const sums = [0, 0];
    let last = null;
    for (let k = 0; k < count; k += 1) {
      const v = drawProbe(S.probe, S.seed, k);
      const Hv = matvec(H, v);
      sums[0] += Hv[0] ** 2;
      sums[1] += Hv[1] ** 2;
      ctx.globalAlpha = 0.55;
      dot(ctx, sx(Hv[0]), sy(Hv[1]), 3, theme.hue.esgd);
      ctx.globalAlpha = 1;
      last = { v, Hv };
    }
    const box = (d, colour, dash) => {
      ctx.strokeStyle = colour;
      ctx.setLineDash(dash);
      ctx.strokeRect(sx(-d[0]), sy(d[1]), sx(d[0]) - sx(-d[0]), sy(-d[1]) - sy(d[1]));
      ctx.setLineDash([]);
    };
    ctx.lineWidth = 2.4;
    box(truth, theme.ink, []);
    const estimate = sums.map((s) => Math.sqrt(s / count));
    box(estimate, theme.hue.esgd, [7, 5]);
    ctx.strokeStyle = theme.muted;
    ctx.lineWidth = 1.8;
    arrow(ctx, [sx(0), sy(0)], [sx(last.v[0]), sy(last.v[1])]);
    ctx.strokeStyle = theme.hue.esgd;
    ctx.lineWidth = 2.4;
    arrow(ctx, [sx(0), sy(0)], [sx(last.Hv[0]), sy(last.Hv[1])], 9);
    text(ctx, theme, "v", sx(last.v[0]) + 7, sy(last.v[1]) - 5, { size: 13, weight: 600, halo: true });
    text(ctx, theme, "Hv", sx(last.Hv[0]) + 7, sy(last.Hv[1]) - 5, { size: 13, weight: 600, colour: theme.hue.esgd, halo: true });
    text(ctx, theme, "row norms of H", sx(truth[0]) - 4, sy(-truth[1]) + 15, { align: "right", colour: theme.ink, halo: true });
    view.note(`k = ${count}`);
    view.describe(
      `${count} products Hv with ${S.probe} probes. The root mean squares are ${pair(estimate)}, the row norms of H ${pair(truth)}.`,
    );
  };
  return view;
}

/** Estimate over truth against the number of probes, for both diagonals and both weights. */
export function estimatesView(lab) {
  const view = panel({ title: "Estimate ÷ truth" });
  view.draw = () => {
    const { S, theme, land, runs, at } = lab;
    const area = surface(view.canvas);
    const { ctx } = area;
    const H = land.hess([S.x0, S.y0]);
    const frame = axes(area, theme, { x: [1, S.steps], y: [0, 2], xLog: true, xLabel: "probes k", xTicks: [1, 3, 10, 30, 100, 300].filter((k) => k <= S.steps) });
    const { sx, sy, box } = frame;
    ctx.save();
    ctx.beginPath();
    ctx.rect(box.left, box.top, box.right - box.left + 4, box.bottom - box.top);
    ctx.clip();
    ctx.fillStyle = theme.hue.esgd; // one standard error of √(D/k) for Gaussian probes: 1/√(2k) of the truth
    ctx.globalAlpha = 0.13;
    ctx.beginPath();
    const ks = Array.from({ length: 60 }, (_, i) => S.steps ** (i / 59));
    ks.forEach((k, i) => ctx[i ? "lineTo" : "moveTo"](sx(k), sy(1 + 1 / Math.sqrt(2 * k))));
    ks.reverse().forEach((k) => ctx.lineTo(sx(k), sy(1 - 1 / Math.sqrt(2 * k))));
    ctx.fill();
    ctx.globalAlpha = 1;
    ctx.strokeStyle = theme.ink;
    ctx.lineWidth = 1;
    line(ctx, [[box.left, sy(1)], [box.right, sy(1)]]);
    const words = [];
    for (const [method, truth] of [["jacobi", jacobiDiagonal(H)], ["esgd", rowNorms(H)]]) {
      const run = runs[method];
      if (!run || !run.records[0]?.products) continue;
      const upTo = run.records.slice(0, Math.max(1, Math.ceil(at)));
      for (const i of [1, 0]) {
        ctx.strokeStyle = theme.hue[method];
        ctx.lineWidth = 2;
        ctx.setLineDash(i ? [3, 4] : []);
        line(ctx, upTo.map((r) => [sx(r.k), sy(Math.min(9, r.D[i] / truth[i]))]));
      }
      ctx.setLineDash([]);
      const final = upTo[upTo.length - 1];
      words.push(`${METHODS[method].label} ${pair(final.D.map((d, i) => d / truth[i]))}`);
    }
    ctx.restore();
    view.note("θ₁ solid, θ₂ dashed");
    view.describe(`Estimated over true diagonal against the number of probes; both tend to 1. Now: ${words.join("; ")}.`);
  };
  return view;
}

/** √(D/k) of each weight as a bar, the true value as a line. */
export function barsView(lab) {
  const view = panel({ title: "D of the two weights" });
  view.draw = () => {
    const { S, theme, land, runs, at } = lab;
    const area = surface(view.canvas);
    const { ctx } = area;
    const shown = S.methods.filter((m) => runs[m].records[0]?.D);
    const t = Math.max(0, Math.ceil(at) - 1);
    const record = (m) => runs[m].records[Math.min(t, runs[m].records.length - 1)];
    const focus = runs[shown[0]]?.points[Math.min(t, runs[shown[0]].points.length - 1)] ?? [S.x0, S.y0];
    const truth = rowNorms(land.hess(focus));
    const highest = Math.max(...truth, ...shown.flatMap((m) => runs[m].records.map((r) => Math.min(r.D[0], 4 * truth[0]))), ...shown.flatMap((m) => runs[m].records.map((r) => Math.min(r.D[1], 4 * truth[1]))));
    const frame = axes(area, theme, { x: [0, 2], y: [0, highest * 1.15 || 1], xTicks: [] });
    const { sx, sy, box } = frame;
    const words = [];
    [0, 1].forEach((i) => {
      const wide = Math.min(60, (sx(0.72) - sx(0)) / Math.max(1, shown.length));
      shown.forEach((m, j) => {
        const x = sx(i + 0.5) - (wide * shown.length) / 2 + j * wide;
        const value = record(m).D[i];
        ctx.fillStyle = theme.hue[m];
        ctx.globalAlpha = record(m).products?.length ? 1 : 0.62;
        ctx.beginPath();
        ctx.roundRect(x + 2, sy(Math.min(value, highest * 1.15)), wide - 4, box.bottom - sy(Math.min(value, highest * 1.15)), [4, 4, 0, 0]);
        ctx.fill();
        ctx.globalAlpha = 1;
        text(ctx, theme, formatNumber(value, 3), x + wide / 2, sy(Math.min(value, highest * 1.05)) - 5, { align: "center", colour: theme.ink, size: 12, halo: true });
        words.push(`${METHODS[m].label}, weight ${i + 1}: ${formatNumber(value, 3)} (true ${formatNumber(truth[i], 3)})`);
      });
      ctx.strokeStyle = theme.ink;
      ctx.lineWidth = 2;
      line(ctx, [[sx(i + 0.08), sy(truth[i])], [sx(i + 0.92), sy(truth[i])]]);
      text(ctx, theme, i ? "θ₂" : "θ₁", sx(i + 0.5), box.bottom + 7, { align: "center", base: "top" });
    });
    const first = shown[0] && record(shown[0]);
    view.note(first?.k ? `k = ${first.k}${first.products?.length ? ", refreshed now" : ""}` : "line: true row norm");
    view.describe(`Bars of D. ${words.join("; ")}.`);
  };
  return view;
}

/** Algorithm 1 in numbers: what the step shown has done. */
export function ledgerView(lab) {
  const list = make("dl", { class: "ledger" });
  const note = make("span");
  const element = make("figure", {}, make("div", { class: "head" }, make("b", { text: "The step in numbers" }), note), list);
  let shownText = "";
  const draw = () => {
    const { S, theme, runs, at } = lab;
    const method = S.methods.includes("esgd") ? "esgd" : S.methods[0];
    const run = runs[method];
    const t = Math.min(Math.max(0, Math.ceil(at) - 1), (run?.records.length ?? 0) - 1);
    const record = run?.records[t];
    const rows = [];
    if (record) {
      const product = record.products?.[record.products.length - 1];
      note.textContent = `step ${t + 1} of ${METHODS[method].label}`;
      rows.push(["gradient g", pair(record.g)]);
      if (record.products) {
        rows.push(["probe v", product ? pair(product.v) : `none (the next in ${S.interval - (t % S.interval)})`, Boolean(product)]);
        rows.push(["product Hv", product ? pair(product.Hv) : "–", Boolean(product)]);
      }
      if (record.sum) rows.push([`D after ${record.k}`, pair(record.sum), Boolean(product)]);
      if (record.D) rows.push([record.sum ? "√(D/k)" : "D", pair(record.D), Boolean(product)]);
      rows.push(["rates", pair([record.P.a, record.P.c])]);
      rows.push(["new θ", pair(run.points[t + 1])]);
    }
    const joined = JSON.stringify(rows) + theme.dark;
    if (joined === shownText) return;
    shownText = joined;
    element.style.setProperty("--tint", theme.hue[method] ?? theme.ink);
    list.replaceChildren(...rows.flatMap(([name, value, now]) => [make("dt", { text: name }), make("dd", { text: value, class: now ? "now" : null })]));
  };
  return { element, draw };
}

/** Which of its faces RMSProp shows in this state. */
export function faceOf(S) {
  if (S.noise > 0) return "noise";
  return S.lr_rmsprop >= 0.15 ? "oscillation" : "displacement";
}

function faceRows(lab) {
  const { S, land, runs } = lab;
  const H = land.hess([S.x0, S.y0]);
  const face = faceOf(S);
  const rms = (run, from = 0) => {
    const records = run.records.slice(from);
    return [0, 1].map((i) => Math.sqrt(records.reduce((sum, r) => sum + r.g[i] ** 2, 0) / records.length));
  };
  if (face === "oscillation") {
    const run = runs.rmsprop;
    const last = run?.records[run.records.length - 1];
    const bound = [0, 1].map((i) => [Math.abs(H.a) + Math.abs(H.b), Math.abs(H.c) + Math.abs(H.b)][i]);
    return [
      ["lower bound Hᵢᵢ", [H.a, H.c], "jacobi"],
      ["2√v / ε of RMSProp", last ? last.D.map((d) => (2 * d) / S.lr_rmsprop) : [NaN, NaN], "rmsprop"],
      ["upper bound ‖hᵢ‖₁", bound, "newton"],
      ["equilibration", rowNorms(H), "equilibration"],
    ];
  }
  const unit = (v) => v.map((x) => x / Math.hypot(v[0], v[1]));
  const rows = [];
  if (runs.sgd) rows.push(["√mean g² on the path", unit(rms(runs.sgd, face === "noise" ? Math.floor(runs.sgd.records.length / 5) : 0)), "rmsprop"]);
  if (face === "noise") {
    const C = noiseCovariance(S, H);
    rows.push(["√E g² in theory", unit(stationary(H, C, S.lr_sgd).second.map(Math.sqrt)), "sgd"]);
    rows.push(["the noise √diag C", unit([Math.sqrt(C.a), Math.sqrt(C.c)]), "newton"]);
  }
  rows.push(["equilibration", unit(rowNorms(H)), "equilibration"]);
  return rows;
}

/** The second moment that RMSProp keeps, beside what it is said to estimate. */
export function facesView(lab) {
  const view = panel({ title: "The second moment" });
  view.still = true;
  view.draw = () => {
    const { theme } = lab;
    const { ctx, width, height } = surface(view.canvas);
    const rows = faceRows(lab);
    const oscillation = faceOf(lab.S) === "oscillation";
    const top = Math.max(...rows.flatMap(([, v]) => v.filter(Number.isFinite)), 1e-9);
    const each = (height - 6) / rows.length;
    const left = Math.min(148, width * 0.42);
    const scale = linearScale(0, top, left, width - 46);
    rows.forEach(([name, v, hue], r) => {
      const y = 4 + r * each;
      const tall = Math.min(18, each / 2 - 4);
      text(ctx, theme, name, left - 10, y + each / 2, { align: "right", base: "middle", colour: theme.ink, size: 12.5, most: left - 12 });
      v.forEach((value, i) => {
        const yy = y + each / 2 + (i ? 1.5 : -tall - 1.5);
        ctx.fillStyle = theme.hue[hue];
        ctx.globalAlpha = i ? 0.55 : 1;
        if (Number.isFinite(value)) {
          ctx.beginPath();
          ctx.roundRect(left, yy, Math.max(1, scale(value) - left), tall, [0, 3, 3, 0]);
          ctx.fill();
        }
        ctx.globalAlpha = 1;
        text(ctx, theme, formatNumber(value, 3), (Number.isFinite(value) ? scale(value) : left) + 5, yy + tall / 2, { base: "middle", size: 11.5 });
      });
    });
    view.note(oscillation ? "θ₁ above θ₂" : "scaled to length 1");
    view.describe(rows.map(([name, v]) => `${name}: ${pair(v)}`).join("; ") + ".");
  };
  return view;
}

