"""The recorded runs of a protocol in the units that are trained at once, and how a unit is taken to a goal."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from esgd.aside import epochs_done
from esgd.config import RunConfig
from esgd.errors import ConfigError
from esgd.members import check_members, ensemble_name
from esgd.protocols import Protocol, best_config
from esgd.runs import RunAheadError, RunBusyError, RunFolder

__all__ = ["Unit", "at_goal", "ensemble_lines", "units", "wait_for_others"]

WAIT = 60.0  # seconds for which what other processes hold is waited for, ...
POLL = 1.0  # ... and between two looks at it


@dataclass(frozen=True)
class Unit:
    """What is trained at once: a run alone, or the seeds of a method as one ensemble.

    Attributes:
        configs: one a run.
        folders: theirs.
        place: the folder with the checkpoint; the run's own where it is alone.
    """

    configs: list[RunConfig]
    folders: list[RunFolder]
    place: RunFolder

    def at_goal(self, epochs: int) -> bool:
        """Whether every run is recorded so far, or has diverged."""
        return all(at_goal(folder, epochs) for folder in self.folders)

    @property
    def diverged(self) -> bool:
        """Whether a run of it has diverged."""
        return any(folder.manifest().get("status") == "diverged" for folder in self.folders)

    @property
    def left_open(self) -> bool:
        """Whether a manifest says that a process trains it, and there is a checkpoint to close it by.

        Such a process is at it, or was killed.
        """
        everything = [self.place, *self.folders]
        return self.place.checkpoint.exists() and any(
            folder.manifest().get("status") == "running" for folder in everything
        )

    def advance(self, goal: int, train: Callable[[Unit, int], str], *, last: bool) -> str | None:
        """Train to a goal, where that is not reached yet; at the last goal, close also what a kill left open.

        A unit whose checkpoint is beyond the goal, but which was evaluated before it only, is at the last goal
        evaluated where it is, at the end of its epoch; before, the next goal goes on with it.

        Args:
            goal: epochs.
            train: trains the unit to an epoch and returns the status.
            last: whether no further goal follows.

        Returns:
            The status; None where nothing was trained, since the goal is reached or another process is at it.
        """
        done = self.at_goal(goal)
        if done and not (last and self.left_open):
            return None
        try:
            return train(self, goal)
        except RunBusyError:
            return None
        except RunAheadError as error:
            return None if done or not last else self.advance(error.epochs, train, last=True)

    def reached(self) -> str:
        """How far the runs are, and their losses."""
        told = []
        for config, folder in zip(self.configs, self.folders, strict=True):
            manifest = folder.manifest()
            has = "diverged at" if manifest["status"] == "diverged" else "has"
            told.append(f"seed {config.seed} {has} {manifest['epochs_done']} epochs, loss {manifest['loss']:.4f}")
        first = self.configs[0]
        return f"{first.workload} {first.method}: {'; '.join(told)}"


def at_goal(folder: RunFolder, epochs: int) -> bool:
    """Whether a run is recorded so far, or has diverged."""
    return epochs_done(folder) >= epochs or folder.manifest().get("status") == "diverged"


def units(plan: Protocol, root: Path, seeds: Sequence[int], *, ensemble: bool) -> Iterator[Unit]:
    """The recorded runs of each method whose settings are known, in the order of the methods."""
    for method in plan.methods:
        config = best_config(plan, method, root)
        if config is None:
            continue
        configs = [replace(config, seed=seed) for seed in seeds]
        folders = [RunFolder(each.name(), root) for each in configs]
        if ensemble:
            yield Unit(configs, folders, RunFolder(ensemble_name(configs), root))
        else:
            yield from (Unit([each], [own], own) for each, own in zip(configs, folders, strict=True))


def ensemble_lines(plan: Protocol, alone: Sequence[Unit], device_type: str, epochs: int) -> list[str]:
    """What to say where runs are trained one by one and a GPU is there; nothing where ``--ensemble`` is no help.

    That is where a method knows no ensembles, or the recorded runs are begun alone or done.

    Args:
        plan: the protocol.
        alone: its recorded runs as far as their settings are known.
        device_type: ``"cuda"``, ``"cpu"``…
        epochs: length of the recorded runs.
    """
    begun = any(unit.place.checkpoint.exists() for unit in alone)
    if device_type != "cuda" or begun or (alone and all(unit.at_goal(epochs) for unit in alone)):
        return []
    try:
        for method in plan.methods:
            check_members([plan.study(method).trial(number) for number in range(plan.trials)])
    except ConfigError:
        return []
    return [f"{plan.name}: --ensemble trains the trials and the seeds of a method together: faster on a GPU"]


def wait_for_others(folders: Iterable[RunFolder], should_stop: Callable[[], bool]) -> bool:
    """Wait until another process takes up or lets go one of these folders, for a minute at the most.

    Returns:
        Whether one did; False when the minute is over, or ``should_stop`` says so.
    """
    folders = list(folders)
    before, until = _held(folders), time.monotonic() + WAIT
    while time.monotonic() < until and not should_stop():
        time.sleep(POLL)
        if not before or _held(folders) != before:  # none: let go since it was tried
            return True
    return False


def _held(folders: Iterable[RunFolder]) -> set[str]:
    return {folder.name for folder in folders if folder.busy()}
