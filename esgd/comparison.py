"""What recorded runs say when methods are compared: who reached which loss when, which run is in the band.

A run that diverged ends early. Where runs are compared at an epoch that all have, it counts as infinite from its
last record on and holds nobody back; before that its records count like any other's.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from statistics import median
from typing import Any

from esgd.errors import ConfigError
from esgd.runs import by_run
from esgd.train import DIVERGED

__all__ = [
    "best_losses",
    "edge_position",
    "first_reached",
    "has_diverged",
    "last_common",
    "last_medians",
    "losses_of",
    "median_lead",
    "median_reached",
    "until",
    "within_range",
]

Record = Mapping[str, Any]


def _runs(records: Iterable[Record]) -> dict[str, dict[str, list[Record]]]:
    """Method, then run, then its rows in order of the epochs."""
    found: dict[str, dict[str, list[Record]]] = defaultdict(dict)
    for name, rows in by_run(records).items():
        found[rows[0]["method"]][name] = rows
    return found


def until(records: Iterable[Record], epoch: int) -> list[Record]:
    """The records up to an epoch: what is compared when some runs went on and others did not."""
    return [row for row in records if row["epoch"] <= epoch]


def has_diverged(rows: Sequence[Record]) -> bool:
    """Whether a run, its rows in order of the epochs, diverged by the rule of :class:`esgd.train.Training`."""
    loss = rows[-1]["loss"]
    return not math.isfinite(loss) or loss > DIVERGED * rows[0]["loss"]


def _end(rows: Sequence[Record]) -> float:
    """The epoch at which a run diverged; infinite where it did not."""
    return rows[-1]["epoch"] if has_diverged(rows) else math.inf


def _last_epoch(runs: Iterable[list[Record]]) -> int:
    """The last epoch that all of the runs have or that they diverged before."""
    known = [({row["epoch"] for row in rows}, _end(rows)) for rows in runs]
    seen = set().union(*(epochs for epochs, _ in known))
    common = [epoch for epoch in seen if all(epoch in epochs or epoch > end for epochs, end in known)]
    if not common:
        raise ConfigError("the runs have no epoch in common: nothing to compare")
    return max(common)


def last_common(records: Iterable[Record], y: str = "loss") -> tuple[int, dict[str, list[float]]]:
    """The last epoch that every run has, and there ``y`` of each method's runs, in ascending order.

    A run that diverged has every epoch from then on, with an infinite ``y``: its last loss is not finite, or a
    hundred times its first one.

    Raises:
        ConfigError: there are no records, or no epoch that all runs have.
    """
    return last_medians(records, y, width=1)


def last_medians(
    records: Iterable[Record], y: str = "loss", *, width: int = 25
) -> tuple[int, dict[str, list[float]]]:
    """As :func:`last_common`, with the median of each run's ``y`` over the last epochs: single evaluations jump.

    Args:
        records: rows of runs; one that has diverged by the last epoch counts as infinite whatever it had before.
        y: the column to compare.
        width: of the window (end − width, end], in epochs.

    Raises:
        ConfigError: there are no records, or no epoch that all runs have.
    """
    runs = _runs(records)
    last = _last_epoch(rows for members in runs.values() for rows in members.values())

    def at_last(rows: list[Record]) -> float:
        if _end(rows) <= last:
            return math.inf
        return median(row[y] for row in rows if last - width < row["epoch"] <= last)

    return last, {method: sorted(map(at_last, members.values())) for method, members in runs.items()}


def best_losses(records: Iterable[Record], y: str = "loss") -> dict[str, float]:
    """The lowest ``y`` that any run of each method reached."""
    return {
        method: min(row[y] for rows in members.values() for row in rows)
        for method, members in _runs(records).items()
    }


def first_reached(records: Iterable[Record], target: float, y: str = "loss") -> dict[str, list[Record | None]]:
    """For each method, a run at a time, its first evaluation with ``y`` at or below the target; None if none is."""
    return {
        method: [next((row for row in rows if row[y] <= target), None) for rows in members.values()]
        for method, members in _runs(records).items()
    }


def median_reached(hits: Iterable[Record | None], x: str = "epoch") -> float:
    """The median of ``x`` over runs, where a run that never got there counts as infinite."""
    return median(math.inf if hit is None else hit[x] for hit in hits)


def losses_of(records: Iterable[Record], method: str, seed: int, y: str = "loss") -> dict[int, float]:
    """``y`` of the run of a method and a seed, by epoch."""
    return {row["epoch"]: row[y] for row in records if (row["method"], row["seed"]) == (method, seed)}


def median_lead(
    first: Mapping[int, float], second: Mapping[int, float], ends: Iterable[int], *, width: int = 25
) -> dict[int, float]:
    """How far the first run is below the second, as a median over the last epochs before each end.

    Args:
        first: a loss by epoch, as :func:`losses_of` gives it.
        second: another run's; where only one of the two was evaluated, nothing is compared.
        ends: epochs.
        width: of the window (end − width, end], in epochs.

    Raises:
        ConfigError: a window in which the two were never both evaluated.
    """
    lead = {epoch: second[epoch] - first[epoch] for epoch in first.keys() & second.keys()}
    found = {end: [x for epoch, x in lead.items() if end - width < epoch <= end] for end in ends}
    if empty := [end for end, values in found.items() if not values]:
        raise ConfigError(f"the runs have no evaluation in common in the {width} epochs up to {empty[0]}")
    return {end: median(values) for end, values in found.items()}


def within_range(run: Iterable[Record], records: Iterable[Record], y: str = "loss") -> list[dict[str, Any]]:
    """Whether a run lies in the range of the recorded runs of its method, at each epoch that both have.

    Args:
        run: rows of one run.
        records: rows of the recorded runs; other methods' are not looked at.
        y: the column to compare.

    Returns:
        One dict an epoch: ``epoch``, ``value``, ``low``, ``high``, ``inside``.
    """
    recorded: dict[tuple[str, int], list[float]] = defaultdict(list)
    for row in records:
        recorded[row["method"], row["epoch"]].append(row[y])
    result = []
    for row in run:
        if seen := recorded.get((row["method"], row["epoch"])):
            low, high = min(seen), max(seen)
            inside = low <= row[y] <= high
            result.append({"epoch": row["epoch"], "value": row[y], "low": low, "high": high, "inside": inside})
    return result


def edge_position(value: float, low: float, high: float) -> float:
    """Where a value lies in a logarithmic range: 0 at its lower edge, 1 at its upper one."""
    return math.log(value / low) / math.log(high / low)
