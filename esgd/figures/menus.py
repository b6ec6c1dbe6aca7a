"""Menus over a figure that work without a kernel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["ABOVE_LEFT", "ABOVE_RIGHT", "axis_menu"]

# above the plot: on a phone a menu is as wide as the curves
ABOVE_LEFT = {"x": 0, "xanchor": "left", "y": 1.02, "yanchor": "bottom", "bgcolor": "#8882"}
ABOVE_RIGHT = {"x": 1, "xanchor": "right", "y": 1.02, "yanchor": "bottom", "bgcolor": "#8882"}


def axis_menu(
    labels: Mapping[str, str], places: Sequence[Mapping[str, list]], start: str, *, rows: int = 1
) -> dict[str, Any]:
    """The menu that switches the horizontal axis of a figure, for ``updatemenus``.

    Args:
        labels: axis -> what it is called, in the order of the menu.
        places: for each trace, where its points lie on each axis.
        start: the axis that is shown first.
        rows: of subplots; the lowest carries the title.
    """
    title = f"xaxis{rows if rows > 1 else ''}.title.text"
    return {
        "name": "Horizontal axis",
        "buttons": [
            {"label": label, "method": "update", "args": [{"x": [place[axis] for place in places]}, {title: label}]}
            for axis, label in labels.items()
        ],
        "active": list(labels).index(start),
        **ABOVE_RIGHT,
    }
