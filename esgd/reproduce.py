"""The paper's §8.2 as one resumable command: search, then the best settings of each method over seeds.

The recorded runs advance in rounds, all methods and seeds to the same epoch before any goes further, so that
a comparison at equal epochs exists early and the whole can be stopped at any moment.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

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
        Whether everything is done; False when it was stopped, or when other processes are at the rest.

    Raises:
        ConfigError: an ensemble is asked for and a method knows none, or snapshots are asked for as well; a
            recorded run was begun alone and is now asked for as a member, or the other way round; epochs or seeds
            that cannot be; trials and runs on different data, or on others than are here.
    """
    root = runs_dir() if root is None else root
    check_request(plan, epochs, seeds, snapshot_every, ensemble)
    options = {"device": device, "progress": progress, "should_stop": should_stop}
    last = plan.rounds[-1] if epochs is None else epochs
    asked = plan.seeds if seeds is None else seeds
    place = pick_device(device)
    here = describe_device(place)
    told = set()

    def tell(line: str, *, once: bool = False) -> None:
        if once and line in told:
            return
        told.add(line)
        left = seconds_left(plan, root, epochs=last, seeds=asked, ensemble=ensemble, device=here)
        say(f"{line}; {in_words(left)} left for all of {plan.name}" if left else line)

    def searched() -> bool:
        """Go on with the searches; False when stopped there."""
        for method in plan.methods:
            study = plan.study(method)
            trials = search(
                study,
                root=root,
                ensemble=plan.trials if ensemble else 1,
                data=protocol_data(plan, root) or data,
                on_trial=lambda number, loss, name=study.name: tell(f"{name} trial {number}: loss {loss:.4f}"),
                **options,
            )
            if (line := chosen_line(trials)) is not None and line not in told:
                told.add(line)
                say(line)
            if should_stop():
                tell(f"{plan.name}: stopped in the searches")
                return False
        return True

    def train(unit: Unit, goal: int) -> str:
        configs = [replace(config, epochs=goal) for config in unit.configs]
        same = protocol_data(plan, root) or data
        if ensemble:
            return train_ensemble_in_folder(configs, unit.place, own_folders=unit.folders, data=same, **options)[0]
        snapshots = snapshot_every if configs[0].seed == asked[0] else None
        return train_in_folder(configs[0], unit.place, data=same, snapshot_every=snapshots, **options).status

    def recorded(found: Sequence[Unit]) -> bool:
        """Go on with the recorded runs, round by round; False when stopped there."""
        for goal in [*(r for r in plan.rounds if r < last), last]:
            for unit in found:
                status = unit.advance(goal, train, last=goal == last)
                if status == "stopped":
                    tell(f"{plan.name}: stopped on the way to {goal} epochs")
                    return False
                if status is not None:
                    tell(unit.reached())
            if all(unit.at_goal(goal) for unit in found):
                tell(_all_have(plan, found, goal, seeds), once=True)
        return True

    if not ensemble and snapshot_every is None:
        alone = list(units(plan, root, asked, ensemble=False))
        for line in ensemble_lines(plan, alone, place.type, last):
            say(line)
    while True:
        if not searched():
            return False
        found = list(units(plan, root, asked, ensemble=ensemble))
        if not recorded(found):
            return False
        for unit in found if snapshot_every is not None else ():
            if unit.configs[0].seed == asked[0] and (line := missing_line(unit.place, snapshot_every)) is not None:
                tell(line, once=True)
        # of fewer methods while another process is at the searches
        complete = {unit.configs[0].method for unit in found} == set(plan.methods)
        if complete and all(unit.at_goal(last) for unit in found):
            return True
        if should_stop():
            return False
        tell(f"{plan.name}: other processes are at the rest; waiting for them", once=True)
        if not wait_for_others(_pending(plan, root, found, last), should_stop):
            return False


def _all_have(plan: Protocol, found: Sequence[Unit], goal: int, seeds: Sequence[int] | None) -> str:
    which = "" if seeds is None else f" of seed {', '.join(map(str, seeds))}"
    count = sum(len(unit.configs) for unit in found)
    lost = " or have diverged" if any(unit.diverged for unit in found) else ""
    return f"{plan.name}: all {count} recorded runs{which} have {goal} epochs{lost}"


def _pending(plan: Protocol, root: Path, found: Sequence[Unit], epochs: int) -> list[RunFolder]:
    """The folders of the trials and recorded runs that are not done."""
    studies = [Trials(plan.study(method), root) for method in plan.methods]
    trials = [study.folder(number) for study in studies for numbers in study.unfinished() for number in numbers]
    return trials + [folder for unit in found if not unit.at_goal(epochs) for folder in (unit.place, *unit.folders)]
