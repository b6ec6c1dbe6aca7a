"""What Figures 4 and 6 share: the table of measures along runs, and lines with error bars and an axis switch."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from esgd.config import METHODS
from esgd.errors import ConfigError, DataError
from esgd.records import require_table
from esgd.runs import read_csv

__all__ = ["AXES", "Line", "Measures", "read_measures", "trace"]

AXES = {"epoch": "epochs", "step": "updates", "loss": "loss on the sample"}
Line = list[Mapping[str, Any]]


class Measures:
    """The measures of several runs, by what they are.

    Args:
        rows: with the columns of :data:`esgd.measure.COLUMNS`.

    Raises:
        ConfigError: no rows.
    """

    def __init__(self, rows: Iterable[Mapping[str, Any]]):
        self.lines: dict[tuple[str, str, str, str], Line] = defaultdict(list)
        losses = {}
        rows = [dict(row) for row in rows]
        for row in rows:
            if row["quantity"] == "loss":
                losses[row["run"], row["epoch"]] = row["value"]
        for row in sorted(rows, key=lambda r: r["epoch"]):
            row["loss"] = losses.get((row["run"], row["epoch"]))
            self.lines[row["method"], row["quantity"], row["a"] or "", row["b"] or ""].append(row)
        if not self.lines:
            raise ConfigError("there are no measures to draw: run esgd measure first")

    @property
    def methods(self) -> list[str]:
        """The methods that were measured, in the order of the table."""
        return list(dict.fromkeys(key[0] for key in self.lines))

    def line(self, method: str, quantity: str, a: str = "", b: str = "") -> Line:
        """The rows of one measure along a method's run, by epoch; empty if there are none."""
        return self.lines.get((method, quantity, a, b), [])

    def at(self, method: str, epoch: int, quantity: str, a: str = "", b: str = "") -> float:
        """One value.

        Raises:
            DataError: it was not measured.
        """
        for row in self.line(method, quantity, a, b):
            if row["epoch"] == epoch:
                return row["value"]
        raise DataError(f"{quantity} {a} {b} of {method} was not measured at epoch {epoch}")

    @property
    def last(self) -> int:
        """The last epoch that was measured."""
        return max(row["epoch"] for line in self.lines.values() for row in line)

    def until(self, epoch: int) -> Measures:
        """The measures up to an epoch."""
        return Measures(row for line in self.lines.values() for row in line if row["epoch"] <= epoch)


def read_measures(path: Path) -> Measures:
    """The measures in a table that ``esgd measure --results`` wrote.

    Raises:
        DataError: it is another table, cut off or otherwise damaged.
        ConfigError: it has no rows.
    """
    rows = read_csv(Path(path))
    numbers = ("epoch", "step", "value", "stderr")
    require_table(rows, Path(path), "measures", texts=("run", "quantity"), numbers=numbers, methods=METHODS)
    return Measures(rows)


def trace(go: Any, line: Line, name: str, colour: str, x: str, **options: Any) -> tuple[Any, dict[str, list]]:
    """A line with error bars whose hover names the run, and its places on every axis."""
    places = {axis: [row[axis] for row in line] for axis in AXES}
    drawn = go.Scatter(
        x=places[x],
        y=[row["value"] if math.isfinite(row["value"]) else None for row in line],
        error_y={
            "array": [row["stderr"] if math.isfinite(row["stderr"]) else None for row in line],
            "thickness": 1,
            "width": 2,
        },
        name=name,
        mode="lines+markers",
        line={"color": colour, "width": 2, "dash": options.pop("dash", "solid")},
        marker={"size": 5},
        customdata=[[row["run"], row["epoch"], row["step"]] for row in line],
        hovertemplate=f"{name}<br>%{{y:.4g}}<br>%{{customdata[0]}}<br>epoch %{{customdata[1]}}, "
        "update %{customdata[2]:,}<extra></extra>",
        **options,
    )
    return drawn, places
