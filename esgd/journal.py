"""Optuna's view of a study, where Optuna is installed: its journal mirrors what the folders of the runs say.

The folders are what counts, so a search needs no Optuna, and runs that come from another machine appear in the
journal when the study is opened. Its dashboard and its plots work on the journal as on any other.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from esgd.files import exclusive_lock
from esgd.spaces import Space, space
from esgd.study import SearchSettings

__all__ = ["Journal", "open_journal"]


class _Flock:
    """Optuna's lock interface over a lock that dies with its process, so that a kill leaves none behind."""

    def __init__(self, path: Path):
        self._path = path
        self._stack: contextlib.ExitStack | None = None

    def acquire(self) -> bool:
        """Wait for the lock."""
        self._stack = contextlib.ExitStack()
        self._stack.enter_context(exclusive_lock(self._path, wait=True))
        return True

    def release(self) -> None:
        """Let it go."""
        if self._stack is not None:
            self._stack.close()


class Journal:
    """A study in Optuna's journal file; :func:`open_journal` opens it.

    Args:
        study: Optuna's study.
        settings: what it searches.
    """

    def __init__(self, study: Any, settings: SearchSettings):
        self.study, self._settings = study, settings

    def update(self, losses: Mapping[int, float | None]) -> None:
        """Bring it up to date; one process at a time, which the caller sees to.

        Args:
            losses: of every trial that was begun; None while it is under way, infinite where it diverged.
        """
        import optuna

        known = self.study.get_trials(deepcopy=False)
        distributions = _distributions(space(self._settings.space, self._settings.method))
        for number in range(len(known), max(losses, default=-1) + 1):
            params = self._settings.drawn(number)
            trial = optuna.create_trial(
                state=optuna.trial.TrialState.RUNNING, params=params, distributions=distributions
            )
            self.study.add_trial(trial)
        finished = {trial.number for trial in known if trial.state.is_finished()}
        for number, loss in losses.items():
            if loss is not None and number not in finished:
                self.study.tell(number, loss)


def _distributions(ranges: Space) -> dict[str, Any]:
    from optuna.distributions import CategoricalDistribution, FloatDistribution

    found: dict[str, Any] = {"lr": FloatDistribution(*ranges.lr, log=True)}
    for name in ("damping", "decay"):
        if values := getattr(ranges, name):
            found[name] = CategoricalDistribution(values)
    return found


def open_journal(settings: SearchSettings, folder: Path) -> Journal | None:
    """The study's journal in a folder, or None where Optuna is not installed."""
    try:
        import optuna
        from optuna.storages import JournalStorage
        from optuna.storages.journal import JournalFileBackend
    except ImportError:
        return None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    path = folder / f"{settings.name}.journal"
    backend = JournalFileBackend(str(path), lock_obj=_Flock(path.with_suffix(".journal-lock")))
    study = optuna.create_study(study_name=settings.name, storage=JournalStorage(backend), load_if_exists=True)
    return Journal(study, settings)
