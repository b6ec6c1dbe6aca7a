"""Figures with sliders: what a kernel is asked, what changes on the screen, and what everybody else sees."""

from __future__ import annotations

import json
import sys
import warnings
from typing import Any

import plotly.graph_objects as go
import plotly.io as pio
import pytest

from esgd.errors import ConfigError
from esgd.figures.controls import STATIC, controls
from esgd.figures.live import LiveFigure
from esgd.figures.palette import COLOURS
from esgd.figures.plotly_view import MODULE
from esgd.figures.show import prepared, with_alt


def line(slope: float = 1.0, points: int = 3) -> go.Figure:
    figure = go.Figure(go.Scatter(y=[slope * x for x in range(points)], name=f"slope {slope}"))
    return with_alt(figure, f"A line of slope {slope} through {points} points.")


CHOICES = {"slope": (2.0, 1.0, 3.0), "points": (3, 10, 2)}


def figure_on(live: LiveFigure) -> go.Figure:
    """The figure as the front end gets it."""
    return pio.from_json(live.view.figure)


def test_a_slider_changes_the_figure() -> None:
    live = LiveFigure(line, CHOICES)
    assert list(figure_on(live).data[0].y) == [0, 2, 4]
    assert live.view.text == "A line of slope 2.0 through 3 points."
    sent: list[str] = []
    live.view.observe(lambda change: sent.append(change["name"]), ["figure", "text", "script"])
    live.sliders["slope"].value = 3.0
    assert list(figure_on(live).data[0].y) == [0, 3, 6]
    assert figure_on(live).data[0].name == "slope 3.0"
    assert live.view.text == "A line of slope 3.0 through 3 points."
    assert live.values == {"slope": 3.0, "points": 3}
    assert sent == ["figure", "text"], "plotly itself is not sent again"


def test_the_first_figure_is_part_of_the_first_state() -> None:
    state = LiveFigure(line, CHOICES).view.get_state()
    assert json.loads(state["figure"])["data"][0]["name"] == "slope 2.0"
    assert state["script"].lstrip().startswith("/**\n* plotly.js")
    assert len(state["_esm"]) < 10_000, "a large module is too slow for anywidget on a busy machine"


def test_an_error_is_told_and_leaves_the_figure_alone() -> None:
    def figure_of(rate: float) -> go.Figure:
        if rate > 1:
            raise OverflowError(f"rate {rate} <is> too large")
        return line(rate)

    live = LiveFigure(figure_of, {"rate": (1.0, 2.0, 0.5)})
    live.sliders["rate"].value = 2.0
    assert live.view.text == "OverflowError: rate 2.0 <is> too large"
    assert live.view.alarm
    assert list(figure_on(live).data[0].y) == [0, 1, 2]
    live.sliders["rate"].value = 0.5
    assert list(figure_on(live).data[0].y) == [0, 0.5, 1]
    assert live.view.text.startswith("A line of slope 0.5")
    assert not live.view.alarm
    with pytest.raises(OverflowError):  # the first figure has no other to leave alone
        LiveFigure(figure_of, {"rate": (2.0, 1.0)})


def test_a_warning_stands_once_under_the_figure() -> None:
    def figure_of(rate: float) -> go.Figure:
        for _ in range(3):
            warnings.warn(f"rate {rate} is large", stacklevel=1)
        return line(rate)

    with warnings.catch_warnings():
        warnings.simplefilter("error")  # nothing reaches the kernel's log
        live = LiveFigure(figure_of, {"rate": (1.0, 2.0)})
        live.sliders["rate"].value = 2.0
    _, *warned = live.view.text.splitlines()
    assert warned == ["UserWarning: rate 2.0 is large"]


def test_reset_goes_back_in_one_drawing() -> None:
    calls = []

    def figure_of(**values: Any) -> go.Figure:
        calls.append(values)
        return line(**values)

    live = LiveFigure(figure_of, CHOICES)
    live.sliders["slope"].value = 1.0
    live.sliders["points"].value = 10
    del calls[:]
    live.reset.click()
    assert calls == [{"slope": 2.0, "points": 3}]
    assert list(figure_on(live).data[0].y) == [0, 2, 4]


def test_choices_are_in_order_and_named() -> None:
    live = LiveFigure(
        lambda **_: line(), {"update_every": (20, 5, 20, 1), "mode": ("inside", "auto"), "lr": (0.1, 1e-6)}
    )
    labels = {name: [label for label, _ in slider.options] for name, slider in live.sliders.items()}
    assert labels == {"update_every": ["1", "5", "20"], "mode": ["inside", "auto"], "lr": ["1e-06", "0.1"]}
    assert live.values == {"update_every": 20, "mode": "inside", "lr": 0.1}
    assert live.sliders["update_every"].description == "update every"


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What is displayed, in a process that believes to be a notebook."""
    displayed: list[Any] = []
    monkeypatch.delenv(STATIC, raising=False)
    monkeypatch.setattr("IPython.get_ipython", lambda: object())
    monkeypatch.setattr("IPython.display.display", displayed.append)
    return displayed


def test_with_a_kernel_sliders_are_shown(shown: list[Any]) -> None:
    controls(line, **CHOICES)
    (box,) = shown
    _, view = box.children
    assert list(pio.from_json(view.figure).data[0].y) == [0, 2, 4]


@pytest.mark.parametrize("lacking", ["a kernel", "anywidget", "ipywidgets"])
def test_without_a_kernel_the_plain_figure_is_shown(
    shown: list[Any], monkeypatch: pytest.MonkeyPatch, lacking: str
) -> None:
    if lacking == "a kernel":
        monkeypatch.setenv(STATIC, "1")
    else:
        monkeypatch.setitem(sys.modules, lacking, None)
    controls(line, **CHOICES)
    (figure,) = shown
    assert type(figure) is go.Figure
    assert list(figure.data[0].y) == [0, 2, 4]
    assert figure.layout.meta["alt"] == "A line of slope 2.0 through 3 points."


def test_wrong_use_is_refused_with_the_remedy(shown: list[Any]) -> None:
    with pytest.raises(ConfigError, match="slope needs at least one choice"):
        controls(line, slope=())
    with pytest.raises(ConfigError, match=r"got NoneType: return with_alt"):
        controls(lambda slope: None, slope=(1,))
    with pytest.raises(ConfigError, match="needs an alternative text"):
        controls(lambda slope: go.Figure(), slope=(1,))
    assert shown == []


def test_a_figure_keeps_the_template_that_its_author_chose() -> None:
    def ground(figure: go.Figure) -> str:
        return figure.layout.template.layout.plot_bgcolor

    assert ground(prepared(line())) == "white"
    chosen = line().update_layout(template="ggplot2")
    before = ground(chosen)
    assert ground(prepared(chosen)) == before != "white"


MOUNT = """async ([source, state]) => {
  document.body.dataset.jpThemeLight = "false";
  const { default: widget } = await import(URL.createObjectURL(new Blob([source], { type: "text/javascript" })));
  const heard = {};
  const model = { get: (name) => state[name], on: (name, call) => { heard[name] = call; }, off: () => {} };
  window.change = (name, value) => { state[name] = value; heard[`change:${name}`](); };
  widget.render({ model, el: document.body });
}"""
STROKE = "(hex) => getComputedStyle(document.querySelector('.trace path.js-line')).stroke === hex"


@pytest.mark.browser
def test_a_live_figure_follows_the_theme_of_the_notebook(browser: Any) -> None:
    figure = line().update_traces(line_color=COLOURS["esgd"][0])
    view = LiveFigure(lambda slope: figure, {"slope": (1.0,)}).view
    state = {name: getattr(view, name) for name in ("script", "figure", "text", "alarm")}
    light, dark = ("rgb({}, {}, {})".format(*bytes.fromhex(code[1:])) for code in COLOURS["esgd"])
    page = browser.new_page()
    page.goto("about:blank")
    page.evaluate(MOUNT, [MODULE, state])
    page.wait_for_selector(".trace path.js-line")
    assert page.evaluate(STROKE, dark)
    page.evaluate("() => { document.body.dataset.jpThemeLight = 'true'; }")
    page.wait_for_function(STROKE, arg=light)
    path = page.get_attribute(".trace path.js-line", "d")
    page.evaluate("(figure) => change('figure', figure)", line(points=5).to_json())
    page.wait_for_function("(d) => document.querySelector('.trace path.js-line').getAttribute('d') !== d", arg=path)
    page.evaluate("() => change('text', 'a <b>\\nc')")
    assert page.get_by_role("status").inner_text() == "a <b>\nc"
    page.close()
