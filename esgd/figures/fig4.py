"""Figure 4: how far other diagonals are from equilibration's along a run, with what a constant scores."""

from __future__ import annotations

from typing import TYPE_CHECKING

from esgd.errors import ConfigError
from esgd.figures.menus import ABOVE_LEFT, axis_menu
from esgd.figures.palette import LABELS, colour
from esgd.figures.trajectory import AXES, Measures, trace

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

__all__ = ["figure"]

QUANTITIES = {"cosine": "cosine distance to D_E", "log_dispersion": "log-dispersion against D_E"}
CURVES = {  # vector -> (name, hue, dash)
    "rmsprop": ("√v, second moment of minibatch gradients", "rmsprop", "solid"),
    "own": ("the run's own D", "saddle_free", "solid"),
    "jacobi": ("Jacobi |diag H|", "jacobi", "solid"),
    "absolute": ("diag |H|", "equilibration", "solid"),
    "constant": ("a constant vector", "newton", "dash"),
}


def figure(measures: Measures, *, x: str = "epoch", method: str = "rmsprop", dark: bool = False) -> Figure:
    """Distances from D_E = √diag(H²) along a run, both the paper's and one that sees small entries.

    Menus choose the run and the horizontal axis. Error bars come from halves of the probes.

    Args:
        measures: along the runs.
        x: ``"epoch"``, ``"step"`` or ``"loss"``.
        method: whose run is shown first; the paper's is RMSProp's.
        dark: colours for a dark ground.

    Raises:
        ConfigError: an unknown axis.
    """
    if x not in AXES:
        raise ConfigError(f"unknown horizontal axis {x!r}: choose one of {', '.join(AXES)}")
    import plotly.graph_objects as go
    from plotly.subplots import make_subplots

    methods = measures.methods
    method = method if method in methods else methods[0]
    fig = make_subplots(rows=2, shared_xaxes=True, vertical_spacing=0.06)
    places, owners = [], []
    for row, quantity in enumerate(QUANTITIES, 1):
        for owner in methods:
            for a, (name, hue, dash) in CURVES.items():
                line = measures.line(owner, quantity, a, "equilibration")
                if line:
                    options = {"dash": dash, "legendgroup": a, "showlegend": row == 1, "visible": owner == method}
                    drawn, place = trace(go, line, name, colour(hue, dark=dark), x, **options)
                    fig.add_trace(drawn, row=row, col=1)
                    places.append(place)
                    owners.append(owner)
    runs = {
        "name": "Along",
        "buttons": [
            {"label": f"{LABELS[m]}'s run", "method": "update", "args": [{"visible": [o == m for o in owners]}]}
            for m in methods
        ],
        "active": methods.index(method),
        **ABOVE_LEFT,
    }
    axes = axis_menu(AXES, places, x, rows=2)
    fig.update_layout(
        height=690,
        hovermode="closest",
        margin={"l": 60, "r": 15, "t": 60, "b": 120},
        legend={"orientation": "h", "x": 0, "y": -0.19, "yanchor": "top"},
        updatemenus=[runs, axes],
    )
    for row, title in enumerate(QUANTITIES.values(), 1):
        fig.update_yaxes(title_text=title, rangemode="tozero", row=row, col=1)
    fig.update_xaxes(title_text=AXES[x], row=2, col=1)
    return fig
