"""Optuna's view of a study, where Optuna is installed: its journal mirrors what the folders of the runs say.

The folders are what counts, so a search needs no Optuna, and runs that come from another machine appear in the
journal when the study is opened. Its dashboard and its plots work on the journal as on any other. A journal that a
kill or a full disk has cut is moved aside and made anew from the folders.
"""

from __future__ import annotations

import contextlib
import json
import sys
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
        path: the file; made where it is absent, moved aside where it is damaged.
        settings: what the study searches.
    """

    def __init__(self, path: Path, settings: SearchSettings):
        self._path, self._settings = path, settings
        self.study = self._open()

    def _open(self) -> Any:
        """Optuna's study; only a sound file is read, for Optuna refuses a damaged one for good."""
        if not _is_sound(self._path):
            self._move_aside()
        try:
            return self._load()
        except OSError:
            raise
        except Exception:  # whole lines of JSON, and yet no journal: Optuna's replay raises what it will
            self._move_aside()
            return self._load()

    def _load(self) -> Any:
        import optuna
        from optuna.storages import JournalStorage
        from optuna.storages.journal import JournalFileBackend

        backend = JournalFileBackend(str(self._path), lock_obj=_Flock(self._path.with_suffix(".journal-lock")))
        self._file = self._path.stat().st_ino
        return optuna.create_study(
            study_name=self._settings.name, storage=JournalStorage(backend), load_if_exists=True
        )

    def _move_aside(self) -> None:
        number = 1
        while (place := self._path.with_suffix(f".journal-damaged{number}")).exists():
            number += 1
        self._path.rename(place)
        print(
            f"esgd: the journal {self._path} was damaged: moved to {place.name}, and made anew from the runs",
            file=sys.stderr,
        )

    def update(self, losses: Mapping[int, float | None]) -> None:
        """Bring it up to date; one process at a time, which the caller sees to.

        Args:
            losses: of every trial that was begun; None while it is under way, infinite where it diverged.
        """
        if not self._path.exists() or self._path.stat().st_ino != self._file:  # another process made it anew
            self.study = self._open()
        try:
            self._update(losses)
        except OSError:
            raise
        except Exception:  # a process was killed while it wrote, or the file says what the folders do not
            if _is_sound(self._path):
                self._move_aside()
            self.study = self._open()
            self._update(losses)

    def _update(self, losses: Mapping[int, float | None]) -> None:
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


def _is_sound(path: Path) -> bool:
    """Whether a journal is whole lines of JSON; an absent or empty one is."""
    if not path.exists():
        return True
    content = path.read_bytes()
    try:
        for line in content.splitlines():
            json.loads(line)
    except ValueError:
        return False
    return not content or content.endswith(b"\n")


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
    except ImportError:
        return None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return Journal(folder / f"{settings.name}.journal", settings)
