"""Seconds at a measured cost: the clock of a run on a shared machine tells of its neighbours, not of its method.

A step of each method costs a fixed number of steps of SGD, measured by ``benchmarks/step.py`` with the machine to
itself. Multiplied by the updates and by the duration of one SGD step this gives seconds that compare.

The costs were measured on one kind of device, for nets trained one by one. They say nothing of a GPU, where a step
is mostly launches, nor of an ensemble: :func:`fitting_costs` gives them only for runs that they fit.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

from esgd.errors import ConfigError, DataError
from esgd.runs import by_run, read_json

__all__ = ["at_measured_cost", "fitting_costs", "sgd_step_seconds", "step_costs", "trained_together"]

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


def _runs(table: Path) -> list[Mapping[str, Any]]:
    """The manifests of the runs in a recorded table, from the one beside it: a record's, or that of one run."""
    manifest = read_json(table.parent / "manifest.json")
    return manifest.get("runs") or ([manifest] if manifest.get("run") else [])


def trained_together(table: Path) -> bool:
    """Whether runs of a recorded table were members of an ensemble; their seconds are those of all members."""
    return any(run.get("ensemble") for run in _runs(table))


def fitting_costs(table: Path, benchmarks: Path, net: str, records: Iterable[Record]) -> dict[str, float] | None:
    """The step costs that fit recorded runs, or None: then the seconds are the clock's.

    They fit where all sessions of all runs were on the device type that the costs were measured on, no run was a
    member of an ensemble, every method's cost is known, and an SGD run gives the unit.

    Args:
        table: the recorded table, with its manifest beside it; without one nothing tells the device.
        benchmarks: the folder with ``step-cpu.json``, and ``step-cuda.json`` where that was measured.
        net: ``"mnist"`` or ``"curves"``.
        records: the rows of the table.

    Raises:
        DataError: the costs cannot be read.
    """
    runs, rows = _runs(table), list(records)
    kinds = {session.get("device_type") for run in runs for session in run.get("sessions") or (run,)}
    costs_table = benchmarks / f"step-{next(iter(kinds), None)}.json"
    if len(kinds) != 1 or trained_together(table) or not costs_table.exists():
        return None
    measured = read_json(costs_table)
    nets = {row.get("net") for row in measured.get("rows", ())}
    if measured.get("provenance", {}).get("device_type") not in kinds or net not in nets:
        return None
    costs = step_costs(costs_table, net)
    unit = any(row["method"] == "sgd" and row["step"] for row in rows)
    return costs if unit and {row["method"] for row in rows} <= set(costs) else None


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
    records: Iterable[Record], costs: Mapping[str, float] | None, sgd_step: float
) -> list[dict[str, Any]]:
    """The records with ``seconds`` = updates × cost of the method's step × seconds of one SGD step.

    Args:
        records: rows with the columns of :data:`esgd.runs.COLUMNS`.
        costs: what :func:`step_costs` or :func:`fitting_costs` returned; None leaves the clock's seconds.
        sgd_step: what :func:`sgd_step_seconds` returned.

    Raises:
        ConfigError: a method whose cost nobody measured.
    """
    records = list(records)
    if costs is None:
        return [dict(record) for record in records]
    if unknown := sorted({record["method"] for record in records} - set(costs)):
        raise ConfigError(f"no step cost is recorded for {', '.join(unknown)}: leave the costs out")
    return [dict(r) | {"seconds": r["step"] * costs[r["method"]] * sgd_step} for r in records]
