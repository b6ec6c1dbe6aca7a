"""Figure 6: diagonal dominance along each method's run, debiased beside the plug-in, and what goes with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from esgd.errors import ConfigError
from esgd.figures.menus import axis_menu
from esgd.figures.palette import LABELS, colour
from esgd.figures.trajectory import AXES, Measures, trace

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

__all__ = ["figure"]

ROWS = {
    "dominance": "d², share on the diagonal",
    "negative_energy": "share of Σλ² on λ < 0",
    "saturated": "saturated",
}


def figure(measures: Measures, *, x: str = "epoch", dark: bool = False) -> Figure:
    """Up to three measures along the runs: d² of Eq. 6, energy of negative eigenvalues, saturated sigmoids.

    d² is debiased (solid) and, dotted, the square of the plug-in as printed. The paper's 15 % for d is the line
    at d² = 0.0225. A menu switches the horizontal axis; over the loss, methods are compared where they are
    equally far. A quantity that was not measured (the spectrum may be left out) has no panel.

    Args:
        measures: along the runs.
        x: ``"epoch"``, ``"step"`` or ``"loss"``.
        dark: colours for a dark ground.

    Raises:
        ConfigError: an unknown axis.
    """
    if x not in AXES:
        raise ConfigError(f"unknown horizontal axis {x!r}: choose one of {', '.join(AXES)}")
    import plotly.graph_objects as go
    from plotly.subplots import make_subplots

    panels = {q: title for q, title in ROWS.items() if any(measures.line(m, q) for m in measures.methods)}
    fig = make_subplots(rows=len(panels), shared_xaxes=True, vertical_spacing=0.05)
    places = []
    for row, quantity in enumerate(panels, 1):
        for method in measures.methods:
            for source, dash in ((quantity, "solid"), (f"{quantity}_plugin", "dot")):
                line = measures.line(method, source)
                if source.endswith("_plugin"):
                    line = [r | {"value": r["value"] ** 2, "stderr": 2 * r["value"] * r["stderr"]} for r in line]
                if line:
                    name = LABELS[method] + (", plug-in" if dash == "dot" else "")
                    shown = row == 1 and dash == "solid"
                    options = {"dash": dash, "legendgroup": method, "showlegend": shown}
                    drawn, place = trace(go, line, name, colour(method, dark=dark), x, **options)
                    fig.add_trace(drawn, row=row, col=1)
                    places.append(place)
    fig.add_hline(y=0.15**2, line={"color": colour("newton", dark=dark), "dash": "dash", "width": 1}, row=1, col=1)
    fig.update_layout(
        height=210 + 200 * len(panels),
        hovermode="closest",
        margin={"l": 60, "r": 15, "t": 60, "b": 100},
        legend={"orientation": "h", "x": 0, "y": -0.12, "yanchor": "top"},
        updatemenus=[axis_menu(AXES, places, x, rows=len(panels))],
    )
    for row, title in enumerate(panels.values(), 1):
        fig.update_yaxes(title_text=title, row=row, col=1)
    fig.update_xaxes(title_text=AXES[x], row=len(panels), col=1)
    return fig
