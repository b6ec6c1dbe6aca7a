"""How the defaults are chosen: by the same small budget for every method, fixed before its first run.

1. *Search.* Each method gets twelve candidates: one learning rate in each twelfth of its wide range
   (:mod:`esgd.spaces`, three decades for every method), log-uniform within it, and its dampings and decays spread
   evenly over them, in random order. Both workloads see the same candidates. A candidate's score is its worst
   relative loss: the largest, over the workloads, of its loss divided by the smallest the method reached there.
2. *Final.* The candidate with the smallest score, its rate rounded to 1, 2, 3 or 5 times a power of ten, meets the
   setting that was the default before, on other seeds. The default is whichever has the smaller worst relative mean
   loss; the older one stays unless the newcomer is better by more than :data:`MARGIN`.

Runs are short, 300 updates on one workload and 400 on the other, so this finds settings that begin well: for a
longer run the best learning rate may be smaller.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from esgd.config import RunConfig
from esgd.data import Dataset
from esgd.errors import ConfigError
from esgd.provenance import pick_device
from esgd.runs import RunFolder, read_csv, write_csv
from esgd.search import SEARCH_SEED
from esgd.seeding import derived_seed
from esgd.sessions import Sessions
from esgd.sources import Data, require_data
from esgd.spaces import space
from esgd.train import train
from esgd.workload import workload

__all__ = ["BUDGET", "Budget", "candidates", "chosen", "export_defaults", "newcomer", "run_defaults", "scores"]

Setting = dict[str, float]
Row = dict[str, Any]

MARGIN = 0.01  # of the worst relative loss, which the newcomer must be better by
SETTINGS = ("lr", "damping", "decay")
COLUMNS = ("stage", "method", "workload", "trial", *SETTINGS, "seed", "epochs", "status", "loss", "squared_error")
# the defaults when this protocol was fixed, found by a pilot of one seed
BEFORE: dict[str, Setting] = {
    "sgd": {"lr": 0.03},
    "rmsprop": {"lr": 1e-3, "damping": 1e-5, "decay": 0.95},
    "jacobi": {"lr": 1e-3, "damping": 1e-4},
    "esgd": {"lr": 0.03, "damping": 1e-2},
    "adam": {"lr": 1e-3, "damping": 1e-8},
}


@dataclass(frozen=True)
class Budget:
    """What every method gets.

    Attributes:
        epochs: workload -> length of each run on it.
        trials: candidates of the search.
        seeds: of the final; the search has another.
        methods: in the order in which they are run.
    """

    epochs: dict[str, int] = field(default_factory=lambda: {"mnist-10k": 6, "curves": 4})
    trials: int = 12
    seeds: tuple[int, ...] = (0, 1, 2)
    methods: tuple[str, ...] = ("esgd", "rmsprop", "sgd", "adam", "jacobi")

    @property
    def runs(self) -> int:
        """Runs in all."""
        return len(self.methods) * len(self.epochs) * (self.trials + 2 * len(self.seeds))


BUDGET = Budget()


def candidates(budget: Budget, method: str) -> list[Setting]:
    """The settings that a method's search tries, the same on every workload."""
    ranges = space("wide", method)
    rng = random.Random(derived_seed("defaults", method))
    low, high = map(math.log, ranges.lr)
    rates = [math.exp(low + (high - low) * (i + rng.random()) / budget.trials) for i in range(budget.trials)]
    found: list[Setting] = [{"lr": rate} for rate in rates]
    for name in ("damping", "decay"):
        if values := getattr(ranges, name):
            spread = [values[i % len(values)] for i in range(budget.trials)]
            rng.shuffle(spread)
            for setting, value in zip(found, spread, strict=True):
                setting[name] = value
    return found


def scores(rows: Sequence[Row], method: str, stage: str) -> dict[int, float]:
    """Worst relative loss of each trial of a stage; losses of several seeds are averaged."""
    losses: dict[str, dict[int, list[float]]] = {}
    for row in rows:
        if (row["method"], row["stage"]) == (method, stage):
            losses.setdefault(row["workload"], {}).setdefault(row["trial"], []).append(row["loss"])
    worst: dict[int, float] = {}
    for trials in losses.values():
        means = {trial: sum(values) / len(values) for trial, values in trials.items()}
        best = min(means.values())
        if not math.isfinite(best):
            raise ConfigError(f"every {stage} run of {method} on a workload diverged: nothing can be chosen")
        for trial, mean in means.items():
            worst[trial] = max(worst.get(trial, 0.0), mean / best)
    return worst


def newcomer(rows: Sequence[Row], method: str) -> Setting:
    """What the search recommends: the candidate with the smallest score, its rate rounded."""
    found = scores(rows, method, "search")
    best = min(found, key=found.__getitem__)
    row = next(r for r in rows if (r["method"], r["stage"], r["trial"]) == (method, "search", best))
    return {name: _round(row[name]) if name == "lr" else row[name] for name in SETTINGS if row[name] is not None}


def _round(rate: float) -> float:
    """1, 2, 3 or 5 times a power of ten, whichever is nearest in ratio."""
    power = math.floor(math.log10(rate))
    return min(
        (float(f"{m}e{power + n}") for m in (1, 2, 3, 5) for n in (0, 1)), key=lambda r: abs(math.log(r / rate))
    )


def chosen(rows: Sequence[Row], method: str) -> Setting:
    """The default that the recorded rows recommend for a method."""
    found = scores(rows, method, "final")
    return newcomer(rows, method) if found[1] < found[0] - MARGIN else BEFORE[method]


def _searches(budget: Budget) -> Iterator[Row]:
    """The runs of the searches, in order."""
    for method in budget.methods:
        for trial, setting in enumerate(candidates(budget, method)):
            for name, epochs in budget.epochs.items():
                yield _row("search", method, name, trial, setting, SEARCH_SEED, epochs)


def _finals(budget: Budget, rows: Sequence[Row]) -> Iterator[Row]:
    """Those of the finals, for which ``rows`` must hold the searches."""
    for method in budget.methods:
        for trial, setting in enumerate((BEFORE[method], newcomer(rows, method))):
            for name, epochs in budget.epochs.items():
                for seed in budget.seeds:
                    yield _row("final", method, name, trial, setting, seed, epochs)


def _planned(budget: Budget, rows: list[Row]) -> Iterator[Row]:
    """Every run of the protocol in order; the final ones as soon as ``rows`` holds the searches."""
    yield from _searches(budget)
    yield from _finals(budget, rows)


def _row(stage: str, method: str, name: str, trial: int, setting: Setting, seed: int, epochs: int) -> Row:
    key = {"stage": stage, "method": method, "workload": name, "trial": trial, "seed": seed, "epochs": epochs}
    return key | {name: setting.get(name) for name in SETTINGS}


def _key(row: Row) -> tuple:
    return tuple(row[name] for name in ("stage", "method", "workload", "trial", "seed"))


def run_defaults(
    budget: Budget,
    root: Path,
    *,
    device: str = "auto",
    progress: bool = True,
    should_stop: Callable[[], bool] = lambda: False,
    say: Callable[[str], None] = print,
) -> bool:
    """Go on with the protocol from wherever it is; a kill loses the run it interrupts.

    Args:
        budget: the protocol.
        root: folder of all runs.
        device: as for :func:`esgd.provenance.pick_device`.
        progress: show a progress bar for each run.
        should_stop: asked before each step; True stops.
        say: told of each run, one line.

    Returns:
        Whether everything is done; False when it was stopped.

    Raises:
        ConfigError: the folder holds runs of another budget, or runs on other data than are here.
    """
    folder, place = RunFolder("defaults", root), pick_device(device)
    with folder.locked():
        rows = _rows_so_far(folder, budget)
        before = folder.manifest() if rows else {}
        sources: dict[str, Data] = dict(before.get("data", {}))
        sessions = Sessions(before, place, epoch=len(rows), step=len(rows), unit="run")
        folder.write_manifest({"data": sources, **sessions.running()})
        data: dict[str, Dataset] = {}
        done, stopped = {_key(row) for row in rows}, False
        for row in _planned(budget, rows):
            if _key(row) in done:
                continue
            name = row["workload"]
            if name not in data:
                data[name] = workload(name).data(device=place, progress=progress)
                trained = any(old["workload"] == name for old in rows)
                require_data(data[name].about(), sources.get(name) if trained else None, "esgd defaults")
                sources[name] = data[name].about()
                folder.write_manifest({"data": sources, **sessions.running()})
            result = train(_config(row), data[name], progress=progress, should_stop=should_stop)
            if stopped := result.status == "stopped":
                break
            last = (
                result.records[-1] if result.status == "finished" else {"loss": math.inf, "squared_error": math.inf}
            )
            rows.append(
                row | {"status": result.status, "loss": last["loss"], "squared_error": last["squared_error"]}
            )
            write_csv(folder.records, rows, columns=COLUMNS)
            say(f"{len(rows)}/{budget.runs} {_config(row).name()}: {result.status}, loss {last['loss']:.4f}")
        folder.write_manifest({"data": sources, **sessions.closed(epoch=len(rows), step=len(rows))})
    return not stopped


def _config(row: Row) -> RunConfig:
    setting = {name: row[name] for name in SETTINGS if row[name] is not None}
    return RunConfig(
        row["workload"], row["method"], epochs=row["epochs"], seed=row["seed"], eval_every=row["epochs"], **setting
    )


def _rows_so_far(folder: RunFolder, budget: Budget) -> list[Row]:
    """The rows of the runs that are done.

    Raises:
        ConfigError: one is not of this budget: another protocol's, or an older version's.
    """
    rows = read_csv(folder.records) if folder.records.exists() else []
    planned = {_key(row): row for row in _searches(budget)}
    if planned.keys() <= {_key(row) for row in rows}:
        planned |= {_key(row): row for row in _finals(budget, rows)}
    for row in rows:
        mine = planned.get(_key(row), {})
        if wrong := [name for name in ("epochs", *SETTINGS) if row[name] != mine.get(name)]:
            raise ConfigError(
                f"{folder.records} has a {row['stage']} run of {row['method']} on {row['workload']}, trial "
                f"{row['trial']}, that is not of this protocol ({', '.join(wrong)}): it was begun with another "
                "budget; take another folder (--runs), or move that one away"
            )
    return rows


def export_defaults(budget: Budget, destination: Path, root: Path) -> list[Path]:
    """Write the finished protocol as small files to commit: ``runs.csv`` and ``manifest.json``.

    Raises:
        ConfigError: it is not finished, or its runs are of another budget.
    """
    folder = RunFolder("defaults", root)
    rows = _rows_so_far(folder, budget)
    if len(rows) < budget.runs:
        raise ConfigError(f"{len(rows)} of {budget.runs} runs are done: go on with esgd defaults first")
    manifest = {
        "command": f"esgd defaults --results {destination}",
        "budget": {"epochs": budget.epochs, "trials": budget.trials, "seeds": list(budget.seeds)},
        "margin": MARGIN,
        "before": BEFORE,
        "chosen": {method: chosen(rows, method) for method in budget.methods},
        **folder.manifest(),
    }
    out = RunFolder(destination.name, destination.parent)
    out.write_manifest(manifest)
    write_csv(out.path / "runs.csv", rows, columns=COLUMNS)
    return sorted(out.path.iterdir())
