"""The paper's §8.2 as one resumable command: search, then the best settings of each method over seeds.

The recorded runs advance in rounds, all methods and seeds to the same epoch before any goes further, so that
a comparison at equal epochs exists early and the whole can be stopped at any moment.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from esgd.ensemble_run import check_members, train_ensemble_in_folder
from esgd.errors import ConfigError
from esgd.export import export
from esgd.paths import runs_dir
from esgd.protocol_progress import chosen_line, in_words, seconds_left
from esgd.protocols import PROTOCOLS, Protocol, best_config, protocol, protocol_data
from esgd.provenance import describe_device, pick_device
from esgd.resumable import train_in_folder
from esgd.rounds import Unit, ensemble_lines, units, wait_for_others
from esgd.runs import RunFolder
from esgd.search import search
from esgd.snapshots import check_interval, missing_line
from esgd.sources import Data
from esgd.trials import Trials

__all__ = ["PROTOCOLS", "Protocol", "best_config", "check_request", "export", "protocol", "reproduce"]


def check_request(
    plan: Protocol, epochs: int | None, seeds: Sequence[int] | None, snapshot_every: int | None, ensemble: bool
) -> None:
    """Refuse what cannot be before the first trial, which may be hours before a recorded run.

    Raises:
        ConfigError: as :func:`reproduce`, whose arguments these are.
    """
    if epochs is not None and epochs < 1:
        raise ConfigError(f"epochs must be a whole number of at least 1, got {epochs}")
    if seeds is not None and (not seeds or len(set(seeds)) < len(seeds) or min(seeds) < 0):
        raise ConfigError(f"seeds must be different whole numbers ≥ 0, at least one, got {tuple(seeds)}")
    check_interval(snapshot_every)
    if ensemble and snapshot_every is not None:
        raise ConfigError("members of an ensemble keep no snapshots: leave out --ensemble or --snapshot-every")
    for method in plan.methods if ensemble else ():
        check_members([plan.study(method).trial(number) for number in range(plan.trials)])


def reproduce(
    plan: Protocol,
    *,
    root: Path | None = None,
    epochs: int | None = None,
    seeds: Sequence[int] | None = None,
    device: str = "auto",
    progress: bool = True,
    should_stop: Callable[[], bool] = lambda: False,
    say: Callable[[str], None] = print,
    snapshot_every: int | None = None,
    ensemble: bool = False,
    data: Data | None = None,
) -> bool:
    """Go on with a protocol from wherever it is; several processes may share it, each run is one's at a time.

    Args:
        plan: the protocol.
        root: folder of all runs; default ``ESGD_RUNS``.
        epochs: stop the recorded runs here; default: the protocol's last round.
        seeds: go on with the recorded runs of these seeds only, which may be any; default: all of the protocol's.
        device: as for :func:`esgd.resumable.train_in_folder`.
        progress: show progress bars.
        should_stop: asked before each step; True stops, resumable.
        say: told of what is done, one line each: every trial, what each search chose, every run that has reached a
            round, and how long the rest will take at the rate of what was done.
        snapshot_every: as for :func:`esgd.resumable.train_in_folder`; of the first of the seeds only.
        ensemble: train each method's new trials as the members of one ensemble, and its seeds as those of another.
        data: what a record that this is to be joined with says of its training set.

    Returns:
        Whether everything is done; False when it was stopped, or when other processes are at the rest and none of
        them let anything go for a minute.

    Raises:
        ConfigError: an ensemble is asked for and a method knows none, or snapshots are asked for as well; a
            recorded run was begun alone and is now asked for as a member, or the other way round; epochs or seeds
            that cannot be; trials and runs on different data, or on others than are here.
    """
    root = runs_dir() if root is None else root
    check_request(plan, epochs, seeds, snapshot_every, ensemble)
    work = _Work(
        plan,
        root,
        epochs=plan.rounds[-1] if epochs is None else epochs,
        seeds=plan.seeds if seeds is None else tuple(seeds),
        which="" if seeds is None else f" of seed {', '.join(map(str, seeds))}",
        options={"device": device, "progress": progress, "should_stop": should_stop},
        say=say,
        snapshot_every=snapshot_every,
        ensemble=ensemble,
        data=data,
    )
    if not ensemble and snapshot_every is None:
        alone = list(units(plan, root, work.seeds, ensemble=False))
        for line in ensemble_lines(plan, alone, pick_device(device).type, work.epochs):
            say(line)
    while work.search() and (found := work.train()) is not None:
        # of fewer methods while another process is at the searches
        complete = {unit.configs[0].method for unit in found} == set(plan.methods)
        if complete and all(unit.at_goal(work.epochs) for unit in found):
            return True
        if should_stop():
            break
        work.tell(f"{plan.name}: other processes are at the rest; waiting for them", once=True)
        if not wait_for_others(work.pending(found), should_stop):
            break
    return False


@dataclass
class _Work:
    """What one call of :func:`reproduce` does, pass by pass; its arguments, with their defaults filled in.

    Attributes:
        which: the seeds in words, where they are not the protocol's.
        options: what every training is given.
        told: the lines so far.
    """

    plan: Protocol
    root: Path
    epochs: int
    seeds: Sequence[int]
    which: str
    options: dict[str, Any]
    say: Callable[[str], None]
    snapshot_every: int | None
    ensemble: bool
    data: Data | None
    told: set[str] = field(default_factory=set)

    def tell(self, line: str, *, once: bool = False) -> None:
        """Say a line and how long the rest will take."""
        if once and line in self.told:
            return
        self.told.add(line)
        here = describe_device(pick_device(self.options["device"]))
        ask = {"epochs": self.epochs, "seeds": self.seeds, "ensemble": self.ensemble, "device": here}
        left = seconds_left(self.plan, self.root, **ask)
        self.say(f"{line}; {in_words(left)} left for all of {self.plan.name}" if left else line)

    def search(self) -> bool:
        """Go on with the searches; False when stopped there."""
        for method in self.plan.methods:
            study = self.plan.study(method)
            trials = search(
                study,
                root=self.root,
                ensemble=self.plan.trials if self.ensemble else 1,
                data=self._same_data(),
                on_trial=lambda number, loss, name=study.name: self.tell(f"{name} trial {number}: loss {loss:.4f}"),
                **self.options,
            )
            if (line := chosen_line(trials)) is not None and line not in self.told:
                self.told.add(line)
                self.say(line)
            if self.options["should_stop"]():
                self.tell(f"{self.plan.name}: stopped in the searches")
                return False
        return True

    def train(self) -> list[Unit] | None:
        """Go on with the recorded runs, round by round, and return them; None when stopped there."""
        found = list(units(self.plan, self.root, self.seeds, ensemble=self.ensemble))
        for goal in [*(r for r in self.plan.rounds if r < self.epochs), self.epochs]:
            for unit in found:
                status = unit.advance(goal, self._train_unit, last=goal == self.epochs)
                if status == "stopped":
                    self.tell(f"{self.plan.name}: stopped on the way to {goal} epochs")
                    return None
                if status is not None:
                    self.tell(unit.reached())
            if all(unit.at_goal(goal) for unit in found):
                count = sum(len(unit.configs) for unit in found)
                lost = " or have diverged" if any(unit.diverged for unit in found) else ""
                line = f"{self.plan.name}: all {count} recorded runs{self.which} have {goal} epochs{lost}"
                self.tell(line, once=True)
        for unit in found:
            interval = self._snapshots(unit)
            if interval is not None and (line := missing_line(unit.place, interval)) is not None:
                self.tell(line, once=True)
        return found

    def _train_unit(self, unit: Unit, goal: int) -> str:
        configs = [replace(config, epochs=goal) for config in unit.configs]
        options = {**self.options, "data": self._same_data()}
        if self.ensemble:
            return train_ensemble_in_folder(configs, unit.place, own_folders=unit.folders, **options)[0]
        return train_in_folder(configs[0], unit.place, snapshot_every=self._snapshots(unit), **options).status

    def _snapshots(self, unit: Unit) -> int | None:
        return self.snapshot_every if unit.configs[0].seed == self.seeds[0] else None

    def _same_data(self) -> Data | None:
        return protocol_data(self.plan, self.root) or self.data

    def pending(self, found: Sequence[Unit]) -> list[RunFolder]:
        """The folders of the trials and recorded runs that are not done."""
        studies = [Trials(self.plan.study(method), self.root) for method in self.plan.methods]
        trials = [study.folder(n) for study in studies for numbers in study.unfinished() for n in numbers]
        left = [unit for unit in found if not unit.at_goal(self.epochs)]
        return trials + [folder for unit in left for folder in (unit.place, *unit.folders)]
