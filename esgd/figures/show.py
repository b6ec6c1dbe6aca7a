"""Show a plotly figure together with a sentence for those who cannot see it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from esgd.errors import ConfigError

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

__all__ = ["show", "with_alt"]


def with_alt(figure: Figure, alt: str) -> Figure:
    """The figure itself, with its alternative text kept in ``layout.meta.alt``.

    Args:
        figure: any plotly figure; it is changed in place and returned.
        alt: one or two sentences that say what the figure shows, not how it looks.

    Raises:
        ConfigError: if ``alt`` is empty.
    """
    if not alt or not alt.strip():
        raise ConfigError('a figure needs an alternative text: say in a sentence what it shows, alt="..."')
    meta = dict(figure.layout.meta or {})
    figure.update_layout(meta={**meta, "alt": " ".join(alt.split())})
    return figure


def show(figure: Figure, *, alt: str) -> None:
    """Display a figure in a notebook, with alternative text, quiet grounds and the column's width.

    Works at the end of a cell and in the middle of one. Outside a notebook it opens plotly's own viewer.

    Args:
        figure: any plotly figure.
        alt: one or two sentences that say what the figure shows.

    Raises:
        ConfigError: if ``alt`` is empty.
    """
    with_alt(figure, alt)
    figure.update_layout(autosize=True)
    if figure.layout.margin.t is None:
        figure.update_layout(margin={"l": 60, "r": 20, "t": 50 if figure.layout.title.text else 20, "b": 50})
    try:
        from IPython import get_ipython
        from IPython.display import display
    except ImportError:
        figure.show()
        return
    if get_ipython() is None:
        figure.show()
    else:
        display(figure)
