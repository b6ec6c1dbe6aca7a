"""The trials of a study as they lie in the folder of all runs.

What was begun and what came out is read from the manifests of the runs themselves; a trial that another machine
finished and whose folder was copied counts like any other. New trials are claimed under a lock that dies with its
process: a manifest says that a trial, or an ensemble of several, is somebody's.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from esgd.errors import ConfigError, EsgdError
from esgd.files import exclusive_lock
from esgd.journal import open_journal
from esgd.paths import runs_dir
from esgd.runs import RunFolder
from esgd.sources import Data, common_data
from esgd.study import SearchSettings

__all__ = ["Trials", "trial_folder", "trial_manifests"]


def trial_folder(settings: SearchSettings, number: int, root: Path) -> RunFolder:
    """The run of a trial."""
    return RunFolder(f"{settings.name}-trial{number:03}", root)


def trial_manifests(settings: SearchSettings, root: Path) -> dict[int, dict[str, Any]]:
    """The manifest of each trial of a study, by number; empty where it was not begun."""
    return {n: trial_folder(settings, n, root).manifest() for n in range(settings.trials)}


def _loss(manifest: dict[str, Any]) -> float | None:
    if manifest.get("status") == "diverged":
        return math.inf
    return manifest["loss"] if manifest.get("status") == "finished" else None


class Trials:
    """The trials of a study, numbered from 0; those beyond ``settings.trials`` are left out.

    Args:
        settings: the study.
        root: folder of all runs; default ``ESGD_RUNS``.

    Raises:
        EsgdError: the folder cannot be written.
    """

    def __init__(self, settings: SearchSettings, root: Path | None = None):
        self.settings = settings
        self.root = runs_dir() if root is None else root
        folder = self.root / "searches"
        self._lock = folder / f"{settings.name}.lock"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with exclusive_lock(self._lock, wait=True):
                self.journal = open_journal(settings, folder)
        except OSError as error:
            raise EsgdError(f"cannot write {error.filename or folder}: {error.strerror or error}") from error
        self.update_journal()

    def folder(self, number: int) -> RunFolder:
        """The run of a trial."""
        return trial_folder(self.settings, number, self.root)

    def ensemble_folder(self, numbers: list[int]) -> RunFolder:
        """The run of several trials as the members of one ensemble."""
        return RunFolder(f"{self.settings.name}-trials{numbers[0]:03}to{numbers[-1]:03}", self.root)

    def ensembles(self) -> list[list[int]]:
        """The numbers of the trials in each ensemble that was begun."""
        paths = sorted(self.root.glob(f"{self.settings.name}-trials*/manifest.json"))
        return [RunFolder(path.parent.name, self.root).manifest()["trials"] for path in paths]

    def loss(self, number: int) -> float | None:
        """A trial's loss, infinite where it diverged; None while it is not finished."""
        return _loss(self.folder(number).manifest())

    def data(self) -> Data | None:
        """What the trials were trained on; None while none says.

        A trial that was taken over without a manifest of its own may name none: it has the data of the first.

        Raises:
            ConfigError: they were trained on different data.
        """
        return self._data(trial_manifests(self.settings, self.root))

    def _data(self, manifests: dict[int, dict[str, Any]]) -> Data | None:
        return common_data((self.folder(number).name, manifest) for number, manifest in manifests.items())

    def losses(self) -> dict[int, float]:
        """The losses of the finished trials.

        Raises:
            ConfigError: the trials were trained on different data, so that their losses do not compare.
        """
        manifests = trial_manifests(self.settings, self.root)
        self._data(manifests)
        found = {number: _loss(manifest) for number, manifest in manifests.items()}
        return {number: loss for number, loss in found.items() if loss is not None}

    def best(self) -> int | None:
        """The number of the trial with the smallest loss; None while none has ended that did not diverge.

        Raises:
            ConfigError: all trials are done and every one diverged, or they were trained on different data.
        """
        losses = self.losses()
        best = min(losses, key=losses.__getitem__, default=None)
        if best is None or math.isfinite(losses[best]):
            return best
        if len(losses) < self.settings.trials:
            return None
        raise ConfigError(
            f"every trial of {self.settings.name} diverged: nothing can be chosen; search smaller learning rates, "
            "as --space wide has them"
        )

    def begun(self) -> list[int]:
        """Trials that are somebody's or were, ascending."""
        members = {number for numbers in self.ensembles() for number in numbers}
        return [n for n in range(self.settings.trials) if n in members or self.folder(n).manifest()]

    def unfinished(self) -> list[list[int]]:
        """Trials that were begun and not finished, those of an ensemble together, each list ascending."""
        losses, ensembles = self.losses(), self.ensembles()
        members = {number for numbers in ensembles for number in numbers}
        alone = [[n] for n in self.begun() if n not in members and n not in losses]
        return sorted(alone + [group for group in ensembles if set(group) & set(self.begun()) - set(losses)])

    def claim(self, count: int = 1) -> list[int]:
        """Begin new trials, as one ensemble if there are several; fewer than ``count``, or none, at the end."""
        with exclusive_lock(self._lock, wait=True):
            begun = set(self.begun())
            numbers = [n for n in range(self.settings.trials) if n not in begun][:count]
            if len(numbers) == 1:
                folder = self.folder(numbers[0])
                folder.write_manifest({"run": folder.name, "status": "asked"})
            elif numbers:
                folder = self.ensemble_folder(numbers)
                folder.write_manifest({"run": folder.name, "trials": numbers, "status": "asked"})
        self.update_journal()
        return numbers

    def update_journal(self) -> None:
        """Tell Optuna's journal, where there is one, what the folders say."""
        if self.journal is not None:
            with exclusive_lock(self._lock, wait=True):
                self.journal.update({number: self.loss(number) for number in self.begun()})
