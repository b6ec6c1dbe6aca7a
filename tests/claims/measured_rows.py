"""The measures along recorded runs behind a row of the ledger, and how the ledger writes them."""

from __future__ import annotations

import math
from pathlib import Path

from ledger_row import ROOT, row

from esgd.figures.trajectory import Measures, read_measures


def folder_of(claim: str, data: str = "curves") -> Path:
    """Where the records behind a row lie."""
    (folder,) = (folder for folder in row(claim).runs if folder.endswith(f"/{data}"))
    return ROOT / folder


def recorded(claim: str, data: str = "curves") -> Measures:
    """The measures behind a row, which must reach as far as the row says, and no farther."""
    folder = folder_of(claim, data)
    measures = read_measures(folder / "measures.csv")
    said = row(claim).runs[folder.relative_to(ROOT).as_posix()]
    assert measures.last == said, "there are more snapshots now: read them anew"
    return measures


def values(measures: Measures, method: str, *what: str) -> dict[int, float]:
    return {found["epoch"]: found["value"] for found in measures.line(method, *what)}


def errors(measures: Measures, method: str, *what: str) -> dict[int, float]:
    return {found["epoch"]: found["stderr"] for found in measures.line(method, *what)}


def above(measures: Measures, method: str, epoch: int, bound: float, *what: str) -> float:
    """By how many standard errors a measure lies above a bound."""
    gap, error = values(measures, method, *what)[epoch] - bound, errors(measures, method, *what)[epoch]
    return gap / error if error else math.copysign(math.inf, gap)  # no Ritz value is negative: 0 ± 0


def with_error(measures: Measures, method: str, epoch: int, digits: int, *what: str) -> str:
    """As the ledger writes it."""
    value, error = values(measures, method, *what)[epoch], errors(measures, method, *what)[epoch]
    return f"{value:.{digits}f} ± {error:.{digits}f}"
