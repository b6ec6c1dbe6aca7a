"""The words under a live figure: read out when they change, and the figure kept as wide as its column."""

from __future__ import annotations

import anywidget
import traitlets

__all__ = ["Caption"]

# The words stay in one element, or a screen reader would not speak of their change. A plotly widget takes its width
# before it is attached, so it is told to look again whenever the box around it and the caption changes.
MODULE = """
function render({ model, el }) {
  const words = document.createElement("p");
  words.setAttribute("role", "status");
  words.style.cssText = "margin: 0 0 0.5em; line-height: 1.4; white-space: pre-line";
  const show = () => {
    words.textContent = model.get("text");
    const colour = model.get("alarm") ? "--jp-error-color1, #c62828" : "--jp-ui-font-color1, inherit";
    words.style.color = `var(${colour})`;
  };
  const fit = new ResizeObserver(() => window.dispatchEvent(new Event("resize")));
  const attached = new ResizeObserver(() => {
    if (!el.parentElement) return;
    attached.disconnect();
    fit.observe(el.parentElement);
  });
  model.on("change:text change:alarm", show);
  show();
  el.append(words);
  attached.observe(el);
  return () => { model.off("change:text change:alarm", show); attached.disconnect(); fit.disconnect(); };
}
export default { render };
"""


class Caption(anywidget.AnyWidget):
    """Text under a figure, announced politely by screen readers.

    Args:
        text: what the figure shows; lines are kept.
        alarm: whether the text is an error.
    """

    _esm = MODULE
    text = traitlets.Unicode().tag(sync=True)
    alarm = traitlets.Bool(False).tag(sync=True)
