// The second moment that RMSProp keeps, beside what it is said to estimate: two bars a row, one a weight.

import { panel } from "./dom.js";
import { faceRows } from "./faces.js";
import { linearScale, surface, text } from "./plot.js";
import { formatNumber } from "./theory.js";
import { pair } from "./view-probes.js";

export function facesView(lab) {
  const view = panel({ title: "The second moment" });
  view.still = true;
  view.draw = () => {
    const { theme } = lab;
    const { ctx, width, height } = surface(view.canvas);
    const rows = faceRows(lab);
    const top = Math.max(...rows.flatMap(({ v }) => (v ?? []).filter(Number.isFinite)), 1e-9);
    const each = (height - 6) / rows.length;
    const left = Math.min(168, width * 0.48);
    const scale = linearScale(0, top, left, width - 46);
    const tall = Math.min(18, each / 2 - 4);
    rows.forEach(({ name, v, hue, why }, r) => {
      const middle = 4 + (r + 0.5) * each;
      const named = { align: "right", base: "middle", colour: theme.ink, size: 12.5, most: left - 29 };
      text(ctx, theme, name, left - 27, middle, named);
      if (why) text(ctx, theme, `none: ${why}`, left, middle, { base: "middle", size: 12, most: width - left - 2 });
      (v ?? []).forEach((value, i) => {
        const y = middle + (i ? 1.5 : -tall - 1.5);
        text(ctx, theme, i ? "θ₂" : "θ₁", left - 5, y + tall / 2, { align: "right", base: "middle", size: 11.5 });
        ctx.fillStyle = theme.hue[hue];
        ctx.globalAlpha = i ? 0.55 : 1;
        if (Number.isFinite(value)) {
          ctx.beginPath();
          ctx.roundRect(left, y, Math.max(1, scale(value) - left), tall, [0, 3, 3, 0]);
          ctx.fill();
        }
        ctx.globalAlpha = 1;
        const end = Number.isFinite(value) ? scale(value) : left;
        text(ctx, theme, formatNumber(value, 3), end + 5, y + tall / 2, { base: "middle", size: 11.5 });
      });
    });
    view.note(lab.S.face === "oscillation" ? "in units of curvature" : "scaled to length 1");
    const words = rows.map(({ name, v, why }) => `${name}: ${why ? `none, ${why}` : pair(v)}`);
    view.describe(`For θ₁ and θ₂. ${words.join("; ")}.`);
  };
  return view;
}
