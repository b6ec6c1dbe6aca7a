"""Figure 3: how far diagonal preconditioning lowers the condition number of random Hessians.

The table comes from :mod:`esgd.figures.fig3_measure`, recorded or measured on the spot.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from esgd.errors import DataError
from esgd.figures.fig3_measure import DEMO, FIELDS, PAPER, Setting, measure
from esgd.figures.menus import ABOVE_LEFT
from esgd.figures.palette import COLOURS

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

__all__ = [
    "Reductions",
    "Summary",
    "demo_rows",
    "figure",
    "gap",
    "median_interval",
    "read_rows",
    "reductions",
    "size_table",
    "summary",
]

# short: the menu that is made of them has to fit on a phone
DEFINITIONS = {"eig": "eigenvalues", "sv": "singular values"}
HESSIANS = {"H": "Hessian", "gauss_newton": "Gauss–Newton", "absolute": "|H|"}
NAMES = {"jacobi": "Jacobi", "equilibration": "Equilibration", "absolute": "diag|H|"}
HUES = {"jacobi": "jacobi", "equilibration": "equilibration", "absolute": "saddle_free"}
Row = Mapping[str, object]


def read_rows(path: Path | str) -> list[dict[str, str]]:
    """The recorded table.

    Raises:
        DataError: the file is missing or is another table.
    """
    path = Path(path)
    if not path.exists():
        raise DataError(
            f"{path} is not there: make it with python -m esgd.figures.fig3_measure --out {path.parent}"
        )
    with path.open(newline="") as file:
        reader = csv.DictReader(file)
        if reader.fieldnames != FIELDS:
            raise DataError(f"{path} is not a Figure 3 table: its columns are {reader.fieldnames}")
        return list(reader)


def demo_rows(networks: int = 20, *, seed: int = 1000) -> list[dict[str, object]]:
    """Figure 3 in small, measured on the spot in seconds: small networks and full-sized regressions.

    Args:
        networks: how many draws of each family.
        seed: the first seed, away from those that are recorded.
    """
    return [row for s in range(seed, seed + networks) for setting in DEMO for row in measure(setting, s)]


@dataclass(frozen=True)
class Reductions:
    """κ after ÷ κ before, of one family, preconditioner, Hessian and definition; one entry a draw, by seed."""

    seeds: tuple[int, ...]
    ratio: np.ndarray  # (draws,)


def reductions(rows: Iterable[Row], setting: Setting | str) -> dict[tuple[str, str, str], Reductions]:
    """Reductions of the condition number at one setting.

    Args:
        rows: of the table.
        setting: a full setting, or a family's name, which takes every row of the family.

    Returns:
        ``(hessian, preconditioner, definition) -> Reductions``.
    """
    kappas: dict[tuple[str, str, int], dict[str, float]] = defaultdict(dict)
    for row in rows:
        seed = int(str(row["seed"]))
        mine = tuple(str(row[k]) for k in FIELDS[:6])
        if row["family"] == setting or (isinstance(setting, Setting) and mine == setting.key(seed)):
            key = (str(row["hessian"]), str(row["definition"]), seed)
            kappas[key][str(row["preconditioner"])] = float(str(row["kappa"]))
    grouped: dict[tuple[str, str, str], list[tuple[int, float]]] = defaultdict(list)
    for (hessian, definition, seed), values in kappas.items():
        for name, kappa in values.items():
            if name != "none":
                grouped[hessian, name, definition].append((seed, kappa / values["none"]))
    out = {}
    for key, pairs in grouped.items():
        pairs.sort()
        out[key] = Reductions(tuple(s for s, _ in pairs), np.array([r for _, r in pairs]))
    return out


@dataclass(frozen=True)
class Summary:
    """Quantiles of one reduction: median, 10 and 90 %, the share made worse, and the draws behind them."""

    median: float
    low: float
    high: float
    worse: float
    draws: int


def summary(reduction: Reductions) -> Summary:
    """Median, 10 % and 90 % quantile, and the share of draws whose condition number rose."""
    low, median, high = np.quantile(reduction.ratio, [0.1, 0.5, 0.9])
    worse = float((reduction.ratio > 1).mean())
    return Summary(float(median), float(low), float(high), worse, len(reduction.ratio))


def gap(found: Mapping[tuple[str, str, str], Reductions], hessian: str, definition: str) -> np.ndarray:
    """κ after equilibration ÷ κ after Jacobi, draw by draw, shape (draws,).

    Args:
        found: what :func:`reductions` returns.
        hessian: ``"H"``, or the control ``"gauss_newton"`` or ``"absolute"``.
        definition: ``"eig"`` or ``"sv"``.
    """
    return found[hessian, "equilibration", definition].ratio / found[hessian, "jacobi", definition].ratio


def median_interval(values: np.ndarray, draws: int | None = None, level: float = 0.9) -> tuple[float, float]:
    """Where the median of some draws lies with the probability ``level``: a bootstrap of the recorded ones.

    Args:
        values: the recorded draws, shape (n,).
        draws: of how many draws the median is; all n unless told. Say 10, to see what a small sample is worth.
        level: probability of the interval.
    """
    rng = np.random.default_rng(0)
    medians = np.median(values[rng.integers(len(values), size=(4000, draws or len(values)))], axis=1)
    low, high = np.quantile(medians, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def size_table(rows: Sequence[Row]) -> list[dict[str, object]]:
    """Medians of equilibration and Jacobi on networks of every size in the table, both definitions."""
    sizes = dict.fromkeys(
        Setting(str(r["family"]), *(int(str(r[k])) for k in ("hidden", "inputs", "classes", "examples")))
        for r in rows
        if r["family"] == "network"
    )
    out = []
    for setting in sorted(sizes, key=lambda s: (s.inputs, s.classes, s.examples, s.hidden)):
        found = reductions(rows, setting)
        line: dict[str, object] = {
            "hidden": setting.hidden,
            "inputs": setting.inputs,
            "classes": setting.classes,
            "examples": setting.examples,
        }
        for definition in ("eig", "sv"):
            jacobi, equil = (found["H", name, definition] for name in ("jacobi", "equilibration"))
            line["networks"] = len(equil.ratio)
            line[f"jacobi {definition}"] = float(np.median(jacobi.ratio))
            line[f"equilibration {definition}"] = float(np.median(equil.ratio))
            line[f"won {definition}"] = float((equil.ratio < jacobi.ratio).mean())
        out.append(line)
    return out


def figure(rows: Sequence[Row], *, network: Setting | str = "network", bins: int = 40) -> Figure:
    """The paper's two histograms, regressions left and networks right, with a switch.

    The switch chooses the definition of the condition number and, for the networks, the matrix: the
    Hessian, its Gauss–Newton part (no negative eigenvalues), or |H| (the same eigenvectors, no cancellation).

    Args:
        rows: of the table.
        network: which networks to show, see :func:`reductions`.
        bins: of each histogram.
    """
    import plotly.graph_objects as go
    from plotly.subplots import make_subplots

    fig = make_subplots(cols=2, subplot_titles=("softmax regressions", "networks"), horizontal_spacing=0.1)
    families = ((1, reductions(rows, "softmax")), (2, reductions(rows, network)))
    choices = [(h, d) for d in DEFINITIONS for h in HESSIANS if (h, "equilibration", d) in families[1][1]]
    owners: list[tuple[str, str]] = []
    for hessian, definition in choices:
        for col, found in families:
            source = hessian if col == 2 else "H"
            shown = [n for n in NAMES if (source, n, definition) in found]
            if not shown:
                continue
            logs = {n: np.log10(found[source, n, definition].ratio) for n in shown}
            every = np.concatenate(list(logs.values()))
            edges = np.linspace(every.min() - 1e-3, every.max() + 1e-3, bins + 1)
            for name in shown:
                counts, _ = np.histogram(logs[name], edges)
                at = (edges[:-1] + edges[1:]) / 2
                fig.add_trace(
                    go.Bar(
                        x=at,
                        y=counts,
                        width=edges[1] - edges[0],
                        name=NAMES[name],
                        legendgroup=name,
                        showlegend=col == 2,
                        marker={"color": COLOURS[HUES[name]][0], "line": {"width": 0}},
                        opacity=0.6,
                        customdata=10**at,
                        hovertemplate="after ÷ before ≈ %{customdata:.3g}<br>%{y} draws",
                        visible=(hessian, definition) == choices[0],
                    ),
                    row=1,
                    col=col,
                )
                owners.append((hessian, definition))
    buttons = [
        {
            "label": f"{HESSIANS[h]} · {DEFINITIONS[d]}",
            "method": "update",
            "args": [{"visible": [owner == (h, d) for owner in owners]}],
        }
        for h, d in choices
    ]
    fig.update_layout(
        barmode="overlay",
        height=470,
        margin={"l": 50, "r": 20, "t": 90, "b": 110},
        legend={"orientation": "h", "x": 0, "y": -0.3},
        updatemenus=[{"name": "Matrix and κ", "buttons": buttons, **ABOVE_LEFT, "y": 1.12}],
    )
    below = {"xref": "paper", "yref": "paper", "xanchor": "center", "yanchor": "top", "showarrow": False}
    fig.add_annotation(text="log₁₀ (κ after ÷ κ before)", x=0.5, y=-0.13, **below)
    fig.update_xaxes(zeroline=True, zerolinewidth=2, nticks=4, tickangle=0)
    fig.update_yaxes(title_text="draws", col=1)
    return fig


def paper_settings() -> tuple[Setting, ...]:
    """The three families at the sizes of the recorded figure."""
    return PAPER
