"""Seconds at a measured cost: the clock of a run on a shared machine tells of its neighbours, not of its method.

A step of each method costs a fixed number of steps of SGD, measured by ``benchmarks/step.py`` with the machine to
itself. Multiplied by the updates and by the duration of one SGD step this gives seconds that compare.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

from esgd.errors import ConfigError, DataError
from esgd.runs import by_run

__all__ = ["at_measured_cost", "sgd_step_seconds", "step_costs"]

Record = Mapping[str, Any]
# as the benchmark names them
NAMES = {
    "rmsprop": "RMSprop",
    "adam": "Adam fused",
    "esgd": "ESGD 20",
    "jacobi": "JacobiSGD 20",
}


def step_costs(table: Path, net: str) -> dict[str, float]:
    """What a step of each method costs in steps of SGD, with a product every 20 steps: ``{"sgd": 1.0, …}``.

    Args:
        table: what ``benchmarks/step.py`` recorded.
        net: ``"mnist"`` or ``"curves"``.

    Raises:
        DataError: the table cannot be read, or knows nothing of the net.
    """
    try:
        rows = json.loads(table.read_text(encoding="utf-8"))["rows"]
        ratios = {row["optimizer"]: row["time_ratio"] for row in rows if row["net"] == net}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{table} is no table of step costs ({error}): make it by `make bench`") from error
    if not ratios:
        raise DataError(f"{table} has no costs for the net {net!r}: make it by `make bench`")
    return {"sgd": 1.0} | {method: ratios[name] for method, name in NAMES.items() if name in ratios}


def sgd_step_seconds(records: Iterable[Record]) -> float:
    """Seconds of one SGD step: the quickest stretch between two evaluations of the SGD runs.

    On a machine that is shared, every disturbance makes a stretch longer and none makes it shorter.

    Raises:
        ConfigError: there is no SGD run with two evaluations.
    """
    stretches = [
        (b["seconds"] - a["seconds"]) / (b["step"] - a["step"])
        for rows in by_run(r for r in records if r["method"] == "sgd").values()
        for a, b in pairwise(rows)
        if b["step"] > a["step"]
    ]
    if not stretches:
        raise ConfigError("the records hold no SGD run with two evaluations, so no SGD step was timed")
    return min(stretches)


def at_measured_cost(
    records: Iterable[Record], costs: Mapping[str, float], sgd_step: float
) -> list[dict[str, Any]]:
    """The records with ``seconds`` = updates × cost of the method's step × seconds of one SGD step.

    Args:
        records: rows with the columns of :data:`esgd.runs.COLUMNS`.
        costs: what :func:`step_costs` returned.
        sgd_step: what :func:`sgd_step_seconds` returned.

    Raises:
        ConfigError: a method whose cost nobody measured.
    """
    records = list(records)
    if unknown := sorted({record["method"] for record in records} - set(costs)):
        raise ConfigError(f"no step cost is recorded for {', '.join(unknown)}: leave the costs out")
    return [dict(r) | {"seconds": r["step"] * costs[r["method"]] * sgd_step} for r in records]
