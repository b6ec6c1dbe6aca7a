"""A plotly figure and its words as one small widget that changes in place.

Plotly's own ``FigureWidget`` is a module of five megabytes whose data follow in separate messages. anywidget gives
a module two seconds to start and drops all messages for one that is later, so on a busy machine such a figure stays
empty or deaf. Here the module is small, the first figure is part of the widget's first state, and the script of
plotly is read only when the widget is already listening.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import anywidget
import plotly
import traitlets

from esgd.figures.palette import COLOURS

__all__ = ["PlotlyView"]

MODULE = """
const PAIRS = __PAIRS__; // a colour on a light ground, and its partner on a dark one
const AXIS = { gridcolor: "#3a4552", zerolinecolor: "#5d6b7a", linecolor: "#5d6b7a", automargin: true };
const DARK = { layout: {
  font: { color: "#d8dee6" }, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
  xaxis: AXIS, yaxis: AXIS,
  hoverlabel: { bgcolor: "#1b222b", font: { color: "#d8dee6" } },
} };
// JupyterLab and VS Code say so on the body
const isDark = () => document.body.dataset.jpThemeLight === "false" || document.body.matches(".vscode-dark");
const read = (script) => {
  const module = { exports: {} };
  new Function("module", "exports", "define", script)(module, module.exports, undefined);
  return module.exports;
};
function render({ model, el }) {
  const place = document.createElement("div");
  const words = document.createElement("p");
  // one element that stays: a screen reader speaks of a change within it
  words.setAttribute("role", "status");
  words.style.cssText = "margin: 0 0 0.5em; line-height: 1.4; white-space: pre-line";
  el.append(place, words);
  let Plotly = null;
  let drawn = null;
  const draw = () => {
    if (!Plotly) return;
    drawn = isDark();
    let text = model.get("figure");
    if (drawn) for (const [light, dark] of PAIRS) text = text.replaceAll(light, dark);
    const { data, layout } = JSON.parse(text);
    if (drawn) layout.template = DARK;
    // what the reader has zoomed or hidden stays so while a slider moves
    Plotly.react(place, data, { uirevision: "kept", ...layout }, { displaylogo: false });
  };
  const say = () => {
    const colour = model.get("alarm") ? "--jp-error-color1, #c62828" : "--jp-ui-font-color1, inherit";
    words.style.color = `var(${colour})`;
    words.textContent = model.get("text");
  };
  model.on("change:figure", draw);
  model.on("change:text", say);
  model.on("change:alarm", say);
  say();
  const start = setTimeout(() => {
    Plotly = globalThis.esgdPlotly ??= read(model.get("script")); // once for all figures of a page
    draw();
  }, 0);
  const fit = new ResizeObserver(() => { if (place.data && el.clientWidth) Plotly.Plots.resize(place); });
  fit.observe(el);
  const theme = new MutationObserver(() => { if (isDark() !== drawn) draw(); });
  theme.observe(document.body, { attributes: true, attributeFilter: ["data-jp-theme-light", "class"] });
  return () => {
    clearTimeout(start);
    fit.disconnect();
    theme.disconnect();
    model.off("change:figure", draw);
    model.off("change:text", say);
    model.off("change:alarm", say);
    Plotly?.purge(place);
  };
}
export default { render };
""".replace("__PAIRS__", json.dumps(list(COLOURS.values())))


@cache
def plotly_script() -> str:
    """The text of the plotly.js that comes with the plotly package: nothing is fetched."""
    return (Path(plotly.__file__).parent / "package_data" / "plotly.min.js").read_text(encoding="utf-8")


class PlotlyView(anywidget.AnyWidget):
    """A plotly figure in the colours of the notebook's theme, with words under it that screen readers announce.

    Args:
        figure: the figure's JSON, as ``Figure.to_json()`` gives it; set it again to change the figure in place.
        text: what the figure shows; lines are kept.
        alarm: whether the text is an error.
    """

    _esm = MODULE
    script = traitlets.Unicode().tag(sync=True)
    figure = traitlets.Unicode().tag(sync=True)
    text = traitlets.Unicode().tag(sync=True)
    alarm = traitlets.Bool(False).tag(sync=True)

    def __init__(self, **state: object) -> None:
        super().__init__(script=plotly_script(), **state)
