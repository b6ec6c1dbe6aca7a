"""A figure with a kernel behind it: sliders that call a function again and change the figure in place."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import ipywidgets

from esgd.figures.plotly_view import PlotlyView
from esgd.figures.show import alternative_text, prepared

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

__all__ = ["LiveFigure"]

SLIDER = {"width": "22rem", "max_width": "100%"}


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
        view: the :class:`esgd.figures.plotly_view.PlotlyView`: the figure's JSON and the words below it.
    """

    def __init__(self, figure_of: Callable[..., Figure], choices: Mapping[str, Sequence[Any]]) -> None:
        self._figure_of = figure_of
        self._defaults = {name: values[0] for name, values in choices.items()}
        self._held = False
        first, said = self._compute(self._defaults)
        self.view = PlotlyView(figure=first.to_json(), text=said)
        self.sliders = {name: self._slider(name, values) for name, values in choices.items()}
        self.reset = ipywidgets.Button(
            description="Reset", tooltip="Back to the first values", layout={"width": "6rem"}
        )
        self.reset.on_click(self._to_defaults)
        self._busy = ipywidgets.Label(layout={"width": "7rem"})
        controls = ipywidgets.Box(
            [*self.sliders.values(), ipywidgets.HBox([self.reset, self._busy])], layout={"flex_flow": "row wrap"}
        )
        self.box = ipywidgets.VBox([controls, self.view])

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
        except Exception as error:  # whatever the reader's own function raises; nobody sees a traceback from here
            self.view.alarm, self.view.text = True, f"{type(error).__name__}: {error}"
        else:
            self.view.figure = figure.to_json()
            self.view.alarm, self.view.text = False, said
        self._busy.value = ""

    def _to_defaults(self, _button: Any = None) -> None:
        self._held = True  # one drawing for all sliders
        try:
            for name, value in self._defaults.items():
                self.sliders[name].value = value
        finally:
            self._held = False
        self._redraw()
