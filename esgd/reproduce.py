"""The paper's §8.2 as one resumable command: search, then the best settings of each method over seeds.

The recorded runs advance in rounds, all methods and seeds to the same epoch before any goes further, so that
a comparison at equal epochs exists early and the whole can be stopped at any moment.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from esgd.config import RunConfig
from esgd.ensemble_run import check_members, ensemble_name, train_ensemble_in_folder
from esgd.errors import ConfigError
from esgd.paths import runs_dir
from esgd.provenance import now
from esgd.resumable import train_in_folder
from esgd.runs import RunAheadError, RunBusyError, RunFolder, read_csv, write_csv
from esgd.search import SearchSettings, Trials, search, trial_rows

__all__ = ["PROTOCOLS", "Protocol", "export", "protocol", "reproduce"]

PAPER_METHODS = ("sgd", "rmsprop", "jacobi", "esgd")


@dataclass(frozen=True)
class Protocol:
    """What is run for one data set.

    Attributes:
        workload: name of a workload.
        trials: of the search, for each method.
        search_epochs: length of a trial.
        seeds: of the recorded runs; the search has another.
        rounds: epochs at which all recorded runs meet.
        space: of the search.
        methods: in the order in which they are run.
        eval_every: epochs between two evaluations of a recorded run.
        momentum: of every method that takes one, Nesterov's where there is such a form: none in the paper.
    """

    workload: str
    trials: int
    search_epochs: int
    seeds: tuple[int, ...] = (0, 1, 2)
    rounds: tuple[int, ...] = (20, 50, 100, 150, 200, 300, 500, 1000)
    space: str = "paper"
    methods: tuple[str, ...] = PAPER_METHODS
    eval_every: int = 5
    momentum: float = 0.0

    @property
    def name(self) -> str:
        """What the protocol is called on the command line."""
        return f"{self.workload}-nesterov" if self.momentum else self.workload

    def study(self, method: str) -> SearchSettings:
        """The search for a method; RMSProp has no momentum of Nesterov's form and gets the heavy ball."""
        return SearchSettings(
            self.workload,
            method,
            self.space,
            self.trials,
            self.search_epochs,
            momentum=self.momentum,
            nesterov=self.momentum > 0 and method != "rmsprop",
        )


PROTOCOLS = {
    "curves": Protocol("curves", trials=12, search_epochs=30),
    "mnist": Protocol("mnist", trials=8, search_epochs=5, rounds=(5, 10, 20, 50, 100, 200, 300, 1000)),
    # an extension: with momentum, on a small budget
    "curves-nesterov": Protocol(
        "curves",
        trials=6,
        search_epochs=10,
        seeds=(0,),
        rounds=(50,),
        space="momentum",
        methods=("esgd", "rmsprop", "sgd"),
        momentum=0.9,
    ),
}


def protocol(name: str) -> Protocol:
    """The protocol for a data set.

    Raises:
        ConfigError: there is none of that name.
    """
    if name not in PROTOCOLS:
        raise ConfigError(f"nothing to reproduce is called {name!r}: choose one of {', '.join(PROTOCOLS)}")
    return PROTOCOLS[name]


def best_config(plan: Protocol, method: str, root: Path) -> RunConfig | None:
    """The settings of the trial with the lowest loss, or None while the search is not done."""
    trials = Trials(plan.study(method), root)
    if len(trials.losses()) < plan.trials:
        return None
    return replace(trials.settings.trial(trials.best()), eval_every=plan.eval_every)


Recorded = tuple[RunConfig, RunFolder]


def _recorded(plan: Protocol, root: Path, seeds: Sequence[int] | None = None) -> Iterator[list[Recorded]]:
    """The recorded runs of each method whose settings are known, one a seed."""
    for method in plan.methods:
        config = best_config(plan, method, root)
        if config is not None:
            members = [replace(config, seed=seed) for seed in (plan.seeds if seeds is None else seeds)]
            yield [(member, RunFolder(member.name(), root)) for member in members]


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
) -> bool:
    """Go on with a protocol from wherever it is; several processes may share it, each run is one's at a time.

    Args:
        plan: the protocol.
        root: folder of all runs; default ``ESGD_RUNS``.
        epochs: stop the recorded runs here; default: the protocol's last round.
        seeds: go on with the recorded runs of these seeds only; default: all of the protocol's.
        device: as for :func:`esgd.resumable.train_in_folder`.
        progress: show progress bars.
        should_stop: asked before each step; True stops, resumable.
        say: told of what is done, one line each.
        snapshot_every: as for :func:`esgd.resumable.train_in_folder`; of the first seed's runs only.
        ensemble: train each method's new trials as the members of one ensemble, and its seeds as those of another.

    Returns:
        Whether everything is done; False when it was stopped, or when other processes are at the rest.

    Raises:
        ConfigError: an ensemble is asked for and a method knows none, or snapshots are asked for as well; a
            recorded run was begun alone and is now asked for as a member, or the other way round; a seed that
            the protocol does not have.
    """
    root = runs_dir() if root is None else root
    if seeds is not None and (not seeds or set(seeds) - set(plan.seeds)):
        raise ConfigError(f"{plan.name} records the seeds {plan.seeds}, got {tuple(seeds)}: choose among them")
    if ensemble and snapshot_every is not None:
        raise ConfigError("members of an ensemble keep no snapshots: leave out --ensemble or --snapshot-every")
    for method in plan.methods if ensemble else ():
        check_members([plan.study(method).trial(number) for number in range(plan.trials)])
    options = {"device": device, "progress": progress, "should_stop": should_stop}
    for method in plan.methods:
        search(plan.study(method), root=root, ensemble=plan.trials if ensemble else 1, **options)
        if should_stop():
            return False
    recorded = list(_recorded(plan, root, seeds))
    units = recorded if ensemble else [[run] for runs in recorded for run in runs]
    options["checkpoint_every"] = plan.eval_every

    def advance(runs: list[Recorded], goal: int) -> str:
        configs = [replace(config, epochs=goal) for config, _ in runs]
        folders = [folder for _, folder in runs]
        if ensemble:
            place = RunFolder(ensemble_name(configs), root)
            return train_ensemble_in_folder(configs, place, own_folders=folders, **options)[0]
        snapshots = snapshot_every if configs[0].seed == plan.seeds[0] else None
        return train_in_folder(configs[0], folders[0], snapshot_every=snapshots, **options).status

    last = plan.rounds[-1] if epochs is None else epochs
    for goal in [*(r for r in plan.rounds if r < last), last]:
        for runs in units:
            if all(_at_goal(folder, goal) for _, folder in runs):
                continue
            try:
                status = advance(runs, goal)
            except (RunBusyError, RunAheadError):  # another process works on it, or has done so in the meantime
                continue
            if status == "stopped":
                return False
        if all(_at_goal(folder, goal) for runs in units for _, folder in runs):
            which = "" if seeds is None else f" of seed {', '.join(map(str, seeds))}"
            say(f"{plan.name}: all {sum(map(len, units))} recorded runs{which} have {goal} epochs")
    # fewer while another process is at the searches
    complete = len(recorded) == len(plan.methods)
    return complete and all(_at_goal(folder, last) for runs in units for _, folder in runs)


def _at_goal(folder: RunFolder, epochs: int) -> bool:
    return _epochs_done(folder) >= epochs or folder.manifest().get("status") == "diverged"


def _epochs_done(folder: RunFolder) -> int:
    return read_csv(folder.records)[-1]["epoch"] if folder.records.exists() else 0


def export(plan: Protocol, destination: Path, *, root: Path | None = None) -> list[Path]:
    """Write what there is of a protocol as small files to commit.

    ``trials.csv`` has a row a trial of the searches, ``records.csv`` a row an evaluation of the recorded runs,
    each as far as it went; ``manifest.json`` tells where they come from, and the last epoch that all have.

    Args:
        plan: the protocol.
        destination: the folder to write.
        root: folder of all runs; default ``ESGD_RUNS``.

    Raises:
        ConfigError: there is nothing yet.
    """
    root = runs_dir() if root is None else root
    studies = [Trials(plan.study(method), root) for method in plan.methods]
    trials = [row for study in studies for row in trial_rows(study)]
    folders = [folder for runs in _recorded(plan, root) for _, folder in runs]
    if not all(folder.records.exists() for folder in folders):
        folders = []  # the first round is under way: nothing to compare yet
    if not trials and not folders:
        raise ConfigError(f"no trials and no runs of {plan.name} in {root} yet: run esgd reproduce first")
    records = [row for folder in folders for row in read_csv(folder.records)]
    manifest: dict[str, Any] = {
        "workload": plan.workload,
        "command": f"esgd reproduce {plan.name}",
        "exported": now(),
        "epochs": min((_epochs_done(folder) for folder in folders), default=0),
        "searches": [
            {
                "command": study.settings.command(),
                "trials_done": len(study.losses()),
                "trials_asked": plan.trials,
                "first": study.folder(0).manifest() or None,
            }
            for study in studies
        ],
        "runs": [folder.manifest() for folder in folders],
    }
    out = RunFolder(destination.name, destination.parent)
    out.path.mkdir(parents=True, exist_ok=True)
    write_csv(out.path / "trials.csv", trials, columns=tuple(trials[0]) if trials else ("trial",))
    if records:
        out.write_records(records)
    out.write_manifest(manifest)
    return sorted(out.path.iterdir())
