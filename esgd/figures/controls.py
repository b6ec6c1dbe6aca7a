"""Sliders over a figure for a reader with a kernel, and the figure alone for everybody else."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from esgd.errors import ConfigError

__all__ = ["STATIC", "controls"]

STATIC = "ESGD_STATIC"  # set while the book is built: its pages have no kernel behind them


def controls(draw: Callable[..., None], **values: tuple[Any, ...]) -> None:
    """Call ``draw`` with the first of each value's choices, and again whenever the reader picks another.

    In a notebook with ipywidgets each value becomes a slider over its choices. In the published page, where
    nothing could answer a slider, and without ipywidgets, the figure is drawn once.

    Args:
        draw: shows a figure; called with keyword arguments.
        values: for each argument its choices, the default first; they are offered in ascending order.

    Raises:
        ConfigError: if an argument has no choices.
    """
    for name, choices in values.items():
        if not choices:
            raise ConfigError(f"{name} needs at least one choice, the default first, such as {name}=(100, 1, 10)")
    defaults = {name: choices[0] for name, choices in values.items()}
    try:
        import ipywidgets
        from IPython import get_ipython
    except ImportError:
        draw(**defaults)
        return
    if os.environ.get(STATIC) or get_ipython() is None:
        draw(**defaults)
        return
    sliders = {
        name: ipywidgets.SelectionSlider(
            options=sorted(set(choices)), value=choices[0], description=name.replace("_", " "),
            continuous_update=False,
        )
        for name, choices in values.items()
    }  # fmt: skip
    ipywidgets.interact(draw, **sliders)
