"""Sliders over a figure for a reader with a kernel, and the figure alone for everybody else."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from esgd.errors import ConfigError
from esgd.figures.show import display_figure, prepared

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

__all__ = ["STATIC", "controls", "kernel_answers"]

STATIC = "ESGD_STATIC"  # set while the book is built: its pages have no kernel behind them


def kernel_answers() -> bool:
    """Whether a slider would reach Python: in a notebook with its widgets, but not while the book is built."""
    try:
        import anywidget  # noqa: F401
        import ipywidgets  # noqa: F401
        from IPython import get_ipython
    except ImportError:
        return False
    return not os.environ.get(STATIC) and get_ipython() is not None


def controls(figure_of: Callable[..., Figure], **choices: tuple[Any, ...]) -> None:
    """Show the figure for the first of each argument's choices; with a kernel, under sliders that change it.

    In a notebook with ipywidgets and anywidget (JupyterLab, VS Code, Colab) each argument becomes a slider over its
    choices, and the figure is a :class:`esgd.figures.live.LiveFigure`. In the published page, where nothing could
    answer a slider, and without these packages, the figure is shown once.

    Args:
        figure_of: returns a plotly figure with an alternative text; called with keyword arguments.
        choices: for each argument its choices, the default first; numbers are offered in ascending order.

    Raises:
        ConfigError: if an argument has no choices, or what ``figure_of`` returns is no figure or has no
            alternative text.

    Example:
        >>> def line(slope):
        ...     figure = go.Figure(go.Scatter(y=[0, slope]))
        ...     return with_alt(figure, f"A line of slope {slope}.")
        >>> controls(line, slope=(1, 0, 2))  # doctest: +SKIP
    """
    for name, values in choices.items():
        if not values:
            raise ConfigError(f"{name} needs at least one choice, the default first, such as {name}=(100, 1, 10)")
    if not kernel_answers():
        display_figure(prepared(figure_of(**{name: values[0] for name, values in choices.items()})))
        return
    from IPython.display import display

    from esgd.figures.live import LiveFigure

    display(LiveFigure(figure_of, choices).box)
