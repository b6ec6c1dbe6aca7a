"""A study: random search for one method on one workload, its trials known from the start.

Trial n has settings drawn by a generator seeded by the study's name and n: the same whoever runs it, alone or in
an ensemble, with Optuna or without.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from esgd.config import RunConfig
from esgd.errors import ConfigError
from esgd.seeding import derived_seed
from esgd.spaces import space
from esgd.workload import workload

__all__ = ["SEARCH_SEED", "SearchSettings"]

SEARCH_SEED = 1000  # of the nets in a search; recorded runs use other seeds


@dataclass(frozen=True)
class SearchSettings:
    """One study.

    Attributes:
        workload: name of a workload.
        method: name of a method.
        space: ``"paper"``, ``"wide"`` or ``"momentum"``.
        trials: how many trials there shall be.
        epochs: length of each.
        seed: of the nets, the data order and the probes, the same in each trial.
        momentum: of every trial; the paper uses none.
        nesterov: Nesterov's form of it.
    """

    workload: str
    method: str
    space: str = "paper"
    trials: int = 12
    epochs: int = 30
    seed: int = SEARCH_SEED
    momentum: float = 0.0
    nesterov: bool = False

    def __post_init__(self):
        workload(self.workload)
        space(self.space, self.method)
        if self.trials < 1:
            raise ConfigError(f"trials must be at least 1, got {self.trials}")
        self.run_config({})  # checks the rest

    @property
    def name(self) -> str:
        """Name of the study; ``trials`` is not in it, so that a study can be made longer."""
        momentum = f"-{'nesterov' if self.nesterov else 'momentum'}{self.momentum:g}" if self.momentum else ""
        return f"search-{self.workload}-{self.method}-{self.space}-{self.epochs}epochs-seed{self.seed}{momentum}"

    def drawn(self, number: int) -> dict[str, float]:
        """The settings of a trial: the rate log-uniform, damping and decay any of their values.

        Numbers and their order are those of Optuna's random sampler, which drew the recorded searches.
        """
        ranges = space(self.space, self.method)
        rng = np.random.RandomState(derived_seed("search", self.name, number) % 2**32)
        low, high = ranges.lr
        rate = math.exp(rng.uniform(math.log(low), math.log(high)))
        found = {"lr": float(np.clip(rate, low, np.nextafter(high, low)))}
        for name in ("damping", "decay"):
            if values := getattr(ranges, name):
                found[name] = values[int(rng.uniform(size=len(values)).argmax())]
        return found

    def run_config(self, drawn: dict[str, float]) -> RunConfig:
        """The run of a trial with the settings drawn for it."""
        return RunConfig(
            workload=self.workload,
            method=self.method,
            epochs=self.epochs,
            seed=self.seed,
            momentum=self.momentum,
            nesterov=self.nesterov,
            eval_every=max(1, self.epochs // 6),
            **drawn,
        )

    def trial(self, number: int) -> RunConfig:
        """The run of a trial."""
        return self.run_config(self.drawn(number))

    def command(self) -> str:
        """The command line that runs this study."""
        momentum = f" --momentum {self.momentum:g}{' --nesterov' * self.nesterov}" if self.momentum else ""
        return (
            f"esgd search {self.workload} --optimizer {self.method} --space {self.space} --trials {self.trials} "
            f"--epochs {self.epochs} --seed {self.seed}{momentum}"
        )
