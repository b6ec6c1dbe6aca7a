"""What is run for each of the paper's data sets: a search for every method, then its best settings over seeds."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from esgd.config import RunConfig
from esgd.errors import ConfigError
from esgd.runs import RunFolder
from esgd.sources import Data, common_data
from esgd.study import SearchSettings
from esgd.trials import Trials, trial_folder, trial_manifests

__all__ = ["PROTOCOLS", "Protocol", "best_config", "protocol", "protocol_data", "recorded_folders"]

PAPER_METHODS = ("sgd", "rmsprop", "jacobi", "esgd")


@dataclass(frozen=True)
class Protocol:
    """What is run for one data set.

    Attributes:
        workload: name of a workload.
        trials: of the search, for each method.
        search_epochs: length of a trial.
        seeds: of the recorded runs, where none are asked for; the search has another.
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
        if self.momentum:
            return f"{self.workload}-nesterov"
        return self.workload if self.space == "paper" else f"{self.workload}-{self.space}"

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
    # extensions: with momentum, on a small budget
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
    "mnist-nesterov": Protocol(
        "mnist",
        trials=6,
        search_epochs=5,
        seeds=(0,),
        rounds=(50,),
        space="momentum",
        methods=("esgd", "rmsprop", "sgd"),
        momentum=0.9,
    ),
    # the paper's protocol in ranges a decade wider on both sides, for every method alike
    "curves-wide": Protocol("curves", trials=12, search_epochs=30, rounds=(50, 100, 300), space="wide"),
    "mnist-wide": Protocol("mnist", trials=12, search_epochs=5, rounds=(10, 50, 100, 300), space="wide"),
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
    """The settings of the trial with the lowest loss, or None while the search is not done.

    Raises:
        ConfigError: the trials were trained on different data.
    """
    trials = Trials(plan.study(method), root)
    if len(trials.losses()) < plan.trials:
        return None
    return replace(trials.settings.trial(trials.best()), eval_every=plan.eval_every)


def recorded_folders(config: RunConfig, root: Path) -> dict[int, RunFolder]:
    """The runs of these settings that were begun or taken over, by seed, whichever seeds they are."""
    stem = config.name().removesuffix(f"{config.seed}")  # …-seed
    found = {}
    for path in root.glob(f"{stem}*/manifest.json"):
        if match := re.fullmatch(r"\d+", path.parent.name.removeprefix(stem)):
            found[int(match[0])] = RunFolder(path.parent.name, root)
    return dict(sorted(found.items()))


def _manifests(plan: Protocol, root: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    for method in plan.methods:
        study = plan.study(method)
        for number, manifest in trial_manifests(study, root).items():
            yield trial_folder(study, number, root).name, manifest
        config = best_config(plan, method, root)
        for folder in recorded_folders(config, root).values() if config is not None else ():
            yield folder.name, folder.manifest()


def protocol_data(plan: Protocol, root: Path) -> Data | None:
    """What the trials and the recorded runs of a protocol were trained on; None while none says.

    Raises:
        ConfigError: they were trained on different data; names two of them and both sources.
    """
    return common_data(_manifests(plan, root))
