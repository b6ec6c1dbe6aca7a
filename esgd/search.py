"""Random search, resumable, by several processes or machines on one folder of runs.

A trial is an ordinary resumable run, or one of several that are trained as the members of one ensemble; it comes
out the same, up to the order of sums. What a killed process left is taken up by the next one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from esgd.ensemble_run import check_members, train_ensemble_in_folder
from esgd.errors import ConfigError
from esgd.resumable import train_in_folder
from esgd.runs import RunBusyError
from esgd.sources import Data
from esgd.study import SEARCH_SEED, SearchSettings
from esgd.trials import Trials

__all__ = ["SEARCH_SEED", "SearchSettings", "Trials", "check_ensemble", "search", "trial_rows"]


def check_ensemble(settings: SearchSettings, count: int) -> None:
    """Refuse a number of trials that cannot be trained at once; of several studies, before the first.

    Raises:
        ConfigError: it is below 1, or above 1 and the method knows no ensembles.
    """
    if count < 1:
        raise ConfigError(f"ensemble must be at least 1 trial, got {count}")
    if count > 1:
        check_members([settings.trial(number) for number in range(count)])


def search(
    settings: SearchSettings,
    *,
    root: Path | None = None,
    ensemble: int = 1,
    device: str = "auto",
    progress: bool = True,
    should_stop: Callable[[], bool] = lambda: False,
    on_trial: Callable[[int, float], None] = lambda number, loss: None,
    data: Data | None = None,
) -> Trials:
    """Work on a study until its trials are done; several processes may work on it at once.

    Args:
        settings: the study.
        root: folder of all runs; default ``ESGD_RUNS``.
        ensemble: begin so many new trials at once, as the members of one ensemble; one that was begun, alone or as
            a member, is gone on with as it was.
        device: as for :func:`esgd.resumable.train_in_folder`.
        progress: show a progress bar for each trial or ensemble.
        should_stop: asked before each step; True stops, resumable.
        on_trial: called with number and loss after each trial.
        data: what other runs that the study belongs with were trained on; default: what its trials were.

    Raises:
        ConfigError: the method knows no ensembles, ``ensemble`` is below 1, or the data here are not those of the
            trials that were trained already.
    """
    check_ensemble(settings, ensemble)
    trials = Trials(settings, root)
    options = {"device": device, "progress": progress, "should_stop": should_stop}
    for numbers in _work(trials, ensemble):
        try:
            status = _train(trials, numbers, {**options, "data": data or trials.data()})
        except RunBusyError:  # another process works on it
            continue
        trials.update_journal()
        if status == "stopped":
            break
        for number in numbers:
            on_trial(number, trials.loss(number))
        if should_stop():
            break
    return trials


def _work(trials: Trials, ensemble: int) -> Iterator[list[int]]:
    """Trials to work on together: first what a killed process may have left, then new ones."""
    yield from trials.unfinished()
    while numbers := trials.claim(ensemble):
        yield numbers


def _train(trials: Trials, numbers: list[int], options: dict[str, Any]) -> str:
    if len(numbers) == 1:
        (number,) = numbers
        return train_in_folder(trials.settings.trial(number), trials.folder(number), **options).status
    status, _ = train_ensemble_in_folder(
        [trials.settings.trial(number) for number in numbers],
        trials.ensemble_folder(numbers),
        own_folders=[trials.folder(number) for number in numbers],
        about={"trials": numbers, "command": f"{trials.settings.command()} --ensemble {len(numbers)}"},
        **options,
    )
    return status


def trial_rows(trials: Trials) -> list[dict[str, Any]]:
    """One tidy row a trial that was begun: study, method, settings, status, loss, squared error.

    ``members`` tells how many trials were trained together in its run.
    """
    rows = []
    for number in trials.begun():
        manifest = trials.folder(number).manifest()
        drawn = trials.settings.drawn(number)
        rows.append(
            {
                "workload": trials.settings.workload,
                "method": trials.settings.method,
                "space": trials.settings.space,
                "momentum": trials.settings.momentum,
                "trial": number,
                "seed": trials.settings.seed,
                "epochs": trials.settings.epochs,
                **{name: drawn.get(name) for name in ("lr", "damping", "decay")},
                "status": manifest.get("status", "asked"),
                "loss": trials.loss(number),
                "squared_error": manifest.get("squared_error"),
                "members": manifest.get("ensemble", {}).get("members", 1),
            }
        )
    return rows
