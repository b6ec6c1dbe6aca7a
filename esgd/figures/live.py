"""A figure with a kernel behind it: sliders that call a function again and change the figure in place."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import ipywidgets
import plotly.graph_objects as go

from esgd.figures.caption import Caption
from esgd.figures.show import alternative_text, prepared

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

__all__ = ["LiveFigure", "change_in_place"]

SLIDER = {"width": "22rem", "max_width": "100%"}


def change_in_place(shown: go.FigureWidget, figure: Figure) -> None:
    """Make a figure on the screen look like another one, in one message and without drawing it anew.

    What the reader has done to the view stays where the figure's own ``layout.uirevision`` says so.

    Args:
        shown: the widget to change.
        figure: the figure to show; it is not changed.
    """
    with shown.batch_update():
        if [trace.type for trace in shown.data] == [trace.type for trace in figure.data]:
            for old, new in zip(shown.data, figure.data, strict=True):
                _overwrite(old, new, keep={"type", "uid"})
            _overwrite(shown.layout, figure.layout)
            return
    # other kinds of traces, or another number of them: there is nothing to change one by one
    shown.data = ()
    shown.add_traces(figure.data)
    with shown.batch_update():
        _overwrite(shown.layout, figure.layout)


def _overwrite(old: Any, new: Any, keep: set[str] = frozenset()) -> None:
    """Give a trace or a layout the properties of another, and none that the other has not."""
    properties = new.to_plotly_json()
    for name in set(old.to_plotly_json()) - set(properties) - keep:
        old[name] = None
    old.update({name: value for name, value in properties.items() if name not in keep}, overwrite=True)


def in_order(values: Sequence[Any]) -> list[Any]:
    """Choices without repetition, ascending if they are all numbers, else as they come."""
    distinct = list(dict.fromkeys(values))
    return sorted(distinct) if all(isinstance(value, (int, float)) for value in distinct) else distinct


class LiveFigure:
    """A plotly figure under one slider for each argument of the function that makes it.

    While a slider is dragged the function is called again and again, in the kernel, with what the sliders say; the
    figure changes in place. Its alternative text stands below it, and so does what the function warns of; if it
    raises an error, the error stands there and the figure stays as it was.

    Args:
        figure_of: returns a figure with an alternative text (:func:`esgd.figures.show.with_alt`).
        choices: for each keyword argument its choices, the default first.

    Raises:
        ConfigError: if the figure has no alternative text.

    Attributes:
        box: the widget to display.
        sliders: argument -> ``ipywidgets.SelectionSlider``; set a ``value`` to move one.
        figure: the ``FigureWidget``.
        caption: the words below it.
    """

    def __init__(self, figure_of: Callable[..., Figure], choices: Mapping[str, Sequence[Any]]) -> None:
        self._figure_of = figure_of
        self._defaults = {name: values[0] for name, values in choices.items()}
        self._held = False
        first, said = self._compute(self._defaults)
        self.figure = go.FigureWidget(first)
        self.figure._config = {**self.figure._config, "responsive": True, "displaylogo": False}
        self.sliders = {name: self._slider(name, values) for name, values in choices.items()}
        self.reset = ipywidgets.Button(
            description="Reset", tooltip="Back to the first values", layout={"width": "6rem"}
        )
        self.reset.on_click(self._to_defaults)
        self._busy = ipywidgets.Label(layout={"width": "7rem"})
        self.caption = Caption(text=said)
        controls = ipywidgets.Box(
            [*self.sliders.values(), ipywidgets.HBox([self.reset, self._busy])], layout={"flex_flow": "row wrap"}
        )
        self.box = ipywidgets.VBox([controls, self.figure, self.caption])

    @property
    def values(self) -> dict[str, Any]:
        """What the sliders say."""
        return {name: slider.value for name, slider in self.sliders.items()}

    def _slider(self, name: str, values: Sequence[Any]) -> ipywidgets.SelectionSlider:
        slider = ipywidgets.SelectionSlider(
            options=[(f"{v:g}" if isinstance(v, float) else str(v), v) for v in in_order(values)],
            value=values[0], description=name.replace("_", " "), style={"description_width": "9rem"}, layout=SLIDER,
        )  # fmt: skip
        slider.observe(self._redraw, "value")
        return slider

    def _compute(self, values: Mapping[str, Any]) -> tuple[Figure, str]:
        """The figure for these values, and what is to be said below it."""
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            figure = prepared(self._figure_of(**values))
        warned = dict.fromkeys(f"{w.category.__name__}: {w.message}" for w in caught)
        return figure, "\n".join([alternative_text(figure), *warned])

    def _redraw(self, _change: Any = None) -> None:
        if self._held:
            return
        self._busy.value = "computing …"
        try:
            figure, said = self._compute(self.values)
            change_in_place(self.figure, figure)
        except Exception as error:  # whatever the reader's own function raises; nobody sees a traceback from here
            self.caption.alarm, self.caption.text = True, f"{type(error).__name__}: {error}"
        else:
            self.caption.alarm, self.caption.text = False, said
        self._busy.value = ""

    def _to_defaults(self, _button: Any = None) -> None:
        self._held = True  # one drawing for all sliders
        try:
            for name, value in self._defaults.items():
                self.sliders[name].value = value
        finally:
            self._held = False
        self._redraw()
