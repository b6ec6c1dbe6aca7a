"""The programs that the lab's tests run, and a recorder of what the lab writes and draws on its canvases."""

from __future__ import annotations

import base64
import shutil
from typing import Any

CHROMIUM = next((p for p in map(shutil.which, ("chromium", "chromium-browser", "google-chrome")) if p), None)
NODE = shutil.which("node")

LAB = "document.querySelector('[data-esgd-lab]').esgdLab.lab"

# from now on each canvas keeps the words of its last drawing ({words, size, colour, box}) and its lines by colour
_RECORD = """() => {
  if (window.drawn) return;
  window.drawn = new Map();
  const of = (ctx) => { const { canvas } = ctx;
    if (!window.drawn.has(canvas)) window.drawn.set(canvas, { words: [], lines: {} });
    return window.drawn.get(canvas); };
  const place = (ctx, x, y) => { const m = ctx.getTransform(); const r = ctx.canvas.width / ctx.canvas.clientWidth;
    return [(m.a * x + m.c * y + m.e) / r, (m.b * x + m.d * y + m.f) / r]; };
  const p = CanvasRenderingContext2D.prototype;
  const { clearRect, fillText, moveTo, lineTo } = p;
  p.clearRect = function (...a) { window.drawn.delete(this.canvas); return clearRect.apply(this, a); };
  p.fillText = function (words, x, y) {
    const m = this.measureText(words);
    const ends = [[-m.actualBoundingBoxLeft, -m.actualBoundingBoxAscent],
      [m.actualBoundingBoxRight, m.actualBoundingBoxDescent]].map(([u, v]) => place(this, x + u, y + v));
    const box = [0, 1].map((i) => Math.min(ends[0][i], ends[1][i]))
      .concat([0, 1].map((i) => Math.max(ends[0][i], ends[1][i])));
    const size = parseFloat(this.font.match(/([\\d.]+)px/)[1]);
    of(this).words.push({ words, size, colour: this.fillStyle, box });
    return fillText.call(this, words, x, y); };
  const add = (ctx, x, y, first) => {
    const lines = (of(ctx).lines[ctx.strokeStyle] ??= []);
    if (first) lines.push([]);
    lines[lines.length - 1]?.push(place(ctx, x, y)); };
  p.moveTo = function (x, y) { add(this, x, y, true); return moveTo.call(this, x, y); };
  p.lineTo = function (x, y) { add(this, x, y, false); return lineTo.call(this, x, y); };
}"""

_DRAWN = """async (change) => { const { lab } = document.querySelector('[data-esgd-lab]').esgdLab;
  lab.update(change ?? {});
  for (let i = 0; i < 20 && (i === 0 || lab.owing()); i += 1) await new Promise((done) => setTimeout(done, 320));
  return [...window.drawn].filter(([canvas]) => canvas.checkVisibility()).map(([canvas, { words, lines }]) => ({
    view: canvas.closest('[data-view]').dataset.view, front: canvas.matches('[role=img]'),
    width: canvas.clientWidth, height: canvas.clientHeight, words, lines })); }"""


def drawn(page: Any, change: dict[str, Any] | None = None) -> list[dict[str, Any]]:
    """What every visible canvas of the page's first lab holds after a change: its words and its lines."""
    page.evaluate(_RECORD)
    return page.evaluate(_DRAWN, change)


_COLOURS = """async (data) => { const image = new Image(); image.src = 'data:image/png;base64,' + data;
  await image.decode();
  const canvas = document.createElement('canvas');
  [canvas.width, canvas.height] = [image.width, image.height];
  const ctx = canvas.getContext('2d'); ctx.drawImage(image, 0, 0);
  const bytes = ctx.getImageData(0, 0, image.width, image.height).data;
  return Array.from({ length: image.height }, (_, y) => Array.from({ length: image.width }, (_, x) =>
    [...bytes.slice(4 * (y * image.width + x), 4 * (y * image.width + x) + 3)])); }"""


def pixels(page: Any, locator: Any) -> list[list[list[int]]]:
    """The colours of an element as it is on the screen, row by row."""
    shot = base64.b64encode(locator.screenshot()).decode()
    return page.evaluate(_COLOURS, shot)
