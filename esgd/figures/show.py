"""Show a plotly figure together with a sentence for those who cannot see it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from esgd.errors import ConfigError

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

__all__ = ["alternative_text", "display_figure", "prepared", "show", "with_alt"]


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


def alternative_text(figure: Figure) -> str:
    """What :func:`with_alt` has written into a figure; empty if nothing."""
    return (figure.layout.meta or {}).get("alt", "")


def prepared(figure: Figure) -> Figure:
    """The figure itself, with quiet grounds, margins and the column's width where it has not set its own.

    Args:
        figure: a plotly figure with an alternative text; it is changed in place and returned.

    Raises:
        ConfigError: if it is no plotly figure or has no alternative text.
    """
    from plotly.graph_objects import Figure

    if not isinstance(figure, Figure):
        raise ConfigError(f"expected a plotly figure, got {type(figure).__name__}: return with_alt(figure, ...)")
    with_alt(figure, alternative_text(figure))
    figure.update_layout(autosize=True)
    if figure.layout.template.layout.plot_bgcolor == _plotly_ground():
        figure.update_layout(template="plotly_white")
    if figure.layout.margin.t is None:
        figure.update_layout(margin={"l": 60, "r": 20, "t": 50 if figure.layout.title.text else 20, "b": 50})
    return figure


def _plotly_ground() -> str:
    """The ground that plotly gives to a figure whose author has said nothing."""
    import plotly.io

    return plotly.io.templates["plotly"].layout.plot_bgcolor


def display_figure(figure: Figure) -> None:
    """Display a prepared figure at this place of a notebook, else in plotly's own viewer."""
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


def show(figure: Figure, *, alt: str) -> None:
    """Display a figure in a notebook, with alternative text, quiet grounds and the column's width.

    Works at the end of a cell and in the middle of one. Outside a notebook it opens plotly's own viewer.

    Args:
        figure: any plotly figure.
        alt: one or two sentences that say what the figure shows.

    Raises:
        ConfigError: if ``alt`` is empty.
    """
    display_figure(prepared(with_alt(figure, alt)))
