"""The paper's Figure 5: training loss of each method, from recorded runs or from live ones."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from statistics import fmean, median
from typing import TYPE_CHECKING, Any

from esgd.config import METHODS
from esgd.errors import ConfigError
from esgd.figures.menus import axis_menu
from esgd.figures.needs import require_plotly
from esgd.figures.palette import LABELS, colour
from esgd.figures.step_cost import at_measured_cost, sgd_step_seconds
from esgd.runs import by_run

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

__all__ = ["X_AXES", "Y_AXES", "bands", "learning_curves"]

Record = Mapping[str, Any]
X_AXES = {
    "epoch": "epochs",
    "step": "updates",
    "gradient_equivalents": "gradient-equivalents",
    "seconds": "seconds of training by the clock",
}
MEASURED = "seconds at a step's measured cost"  # instead of the clock, where the costs are known
TOGETHER = "seconds by the clock, all members together"
Y_AXES = {"loss": "cross-entropy (nats an example)", "squared_error": "squared error an example"}


def bands(records: Iterable[Record], y: str = "loss") -> dict[str, dict[str, list[float]]]:
    """Median and range over the seeds of each method, at the epochs that all its seeds have reached.

    Args:
        records: rows with the columns of :data:`esgd.runs.COLUMNS`.
        y: column to summarise.

    Returns:
        For each method ``low``, ``median``, ``high``, ``seeds`` (how many), and the mean of every column of
        :data:`X_AXES`, one entry an epoch. What is not finite is left out with its epoch.
    """
    runs: dict[str, dict[str, dict[int, Record]]] = defaultdict(lambda: defaultdict(dict))
    for record in records:
        if record[y] is not None and math.isfinite(record[y]):
            runs[record["method"]][record["run"]][record["epoch"]] = record
    result = {}
    for method in sorted(runs, key=_order):
        members = list(runs[method].values())
        epochs = sorted(set.intersection(*(set(member) for member in members)))
        values = [[member[epoch][y] for member in members] for epoch in epochs]
        result[method] = {
            "low": [min(row) for row in values],
            "median": [median(row) for row in values],
            "high": [max(row) for row in values],
            "seeds": [len(row) for row in values],
        } | {x: [fmean(member[epoch][x] for member in members) for epoch in epochs] for x in X_AXES}
    return result


def learning_curves(
    records: Iterable[Record],
    *,
    x: str = "epoch",
    y: str = "loss",
    overlay: Iterable[Record] = (),
    costs: Mapping[str, float] | None = None,
    together: bool = False,
    title: str | None = None,
    dark: bool = False,
) -> Figure:
    """Learning curves with a band over the seeds, a line a run, and a switch for the horizontal axis.

    Band and median end where the first seed of a method ends; a run that went on is dotted from there.

    Args:
        records: rows with the columns of :data:`esgd.runs.COLUMNS`; several methods, seeds and runs.
        x: the axis to begin with, a key of :data:`X_AXES`.
        y: ``"loss"`` or ``"squared_error"``.
        overlay: rows of the reader's own run, drawn dashed: is it inside the band?
        costs: cost of a method's step in SGD steps (:func:`esgd.figures.step_cost.step_costs`); the seconds are
            then those of :func:`esgd.figures.step_cost.at_measured_cost`, not the clock's.
        together: whether runs were members of an ensemble, so that the clock's seconds are those of all its
            members; the axis then says so.
        title: of the figure.
        dark: colours for a dark ground.

    Raises:
        ConfigError: an unknown axis, or no records.
    """
    if x not in X_AXES:
        raise ConfigError(f"unknown horizontal axis {x!r}: choose one of {', '.join(X_AXES)}")
    if y not in Y_AXES:
        raise ConfigError(f"unknown vertical axis {y!r}: choose one of {', '.join(Y_AXES)}")
    records = list(records)
    if not records:
        raise ConfigError("there are no records to draw: train first, or export the runs")
    overlay, labels = list(overlay), dict(X_AXES)
    if costs is not None:
        sgd_step = sgd_step_seconds(records)
        records, overlay = (at_measured_cost(rows, costs, sgd_step) for rows in (records, overlay))
        labels["seconds"] = MEASURED
    elif together:
        labels["seconds"] = TOGETHER
    require_plotly()
    import plotly.graph_objects as go

    traces, places = [], []  # a trace, and for each axis where its points lie
    summaries = bands(records, y)
    for method, band in summaries.items():
        hue = colour(method, dark=dark)
        if max(band["seeds"], default=0) > 1:
            traces.append(
                go.Scatter(
                    y=band["high"] + band["low"][::-1],
                    fill="toself",
                    fillcolor=_transparent(hue),
                    line={"width": 0},
                    mode="lines",
                    hoverinfo="skip",
                    legendgroup=method,
                    showlegend=False,
                )
            )
            places.append({axis: band[axis] + band[axis][::-1] for axis in X_AXES})
        traces.append(
            go.Scatter(
                y=band["median"],
                name=LABELS[method],
                line={"color": hue, "width": 2.5},
                mode="lines",
                legendgroup=method,
                hovertemplate=f"{LABELS[method]}, median of {max(band['seeds'], default=0)}<br>"
                "%{y:.3f} at %{x:,.4g}<extra></extra>",
            )
        )
        places.append({axis: band[axis] for axis in X_AXES})
    for rows, dashed in ((records, False), (overlay, True)):
        for name, run in by_run(rows).items():
            parts = [(run, "dash" if dashed else "solid")]
            if not dashed and (beyond := _beyond(summaries[run[0]["method"]], run)):
                parts.append((beyond, "dot"))
            for part, dash in parts:
                traces.append(_single(go, name, part, y, dash=dash, dark=dark))
                places.append({axis: [row[axis] for row in part] for axis in X_AXES})
    for trace, place in zip(traces, places, strict=True):
        trace.x = place[x]
    figure = go.Figure(traces)
    figure.update_layout(
        title=title,
        xaxis_title=labels[x],
        yaxis={"title": Y_AXES[y], "type": "log"},
        hovermode="closest",
        height=520,
        margin={"t": 100, "b": 110},
        legend={"orientation": "h", "y": -0.2, "yanchor": "top", "x": 0},
        updatemenus=[axis_menu(labels, places, x)],
    )
    return figure


def _beyond(band: Mapping[str, list[float]], run: list[Record]) -> list[Record]:
    """The part of a run that went on when other seeds had stopped, from the band's last epoch; [] if none."""
    end = band["epoch"][-1] if band["epoch"] else math.inf
    return [row for row in run if row["epoch"] >= end] if run[-1]["epoch"] > end else []


def _single(go: Any, name: str, run: list[Record], y: str, *, dash: str, dark: bool) -> Any:
    """One run as a line whose hover names it: thin, or as wide as a median where it is dashed or dotted."""
    method, yours = run[0]["method"], dash == "dash"
    (other,) = set(Y_AXES) - {y}  # what the hover says besides: each number is in the page once
    return go.Scatter(
        y=[row[y] for row in run],
        name=f"{name} (yours)" if yours else name,
        mode="lines",
        line={"color": colour(method, dark=dark), "width": 0.8 if dash == "solid" else 2, "dash": dash},
        opacity=0.6 if dash == "solid" else 1.0,
        legendgroup=None if yours else method,
        showlegend=yours,
        customdata=[[row["epoch"], row[other]] for row in run],
        hovertemplate=f"{name}<br>epoch %{{customdata[0]}}<br>"
        f"{y.replace('_', ' ')} %{{y:.4f}}, {other.replace('_', ' ')} %{{customdata[1]:.4f}}<extra></extra>",
    )


def _order(method: str) -> int:
    return list(METHODS).index(method) if method in METHODS else len(METHODS)


def _transparent(hue: str, alpha: float = 0.18) -> str:
    red, green, blue = (int(hue[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},{alpha})"
