"""Random search with Optuna: resumable, several processes or machines on one storage.

Trial number n of a study always has the same settings, whoever runs it: they are drawn from a generator
seeded by the study and n. A trial is an ordinary resumable run; one whose process was killed is picked up by
the next process that finds its lock free.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from esgd.config import RunConfig
from esgd.errors import ConfigError, EsgdError
from esgd.files import exclusive_lock
from esgd.paths import runs_dir
from esgd.resumable import train_in_folder
from esgd.runs import RunBusyError, RunFolder
from esgd.seeding import derived_seed
from esgd.spaces import Space, space
from esgd.workload import workload

if TYPE_CHECKING:
    import optuna

__all__ = ["SearchSettings", "Trials", "search", "trial_rows"]

SEARCH_SEED = 1000  # of the nets in a search; recorded runs use other seeds


@dataclass(frozen=True)
class SearchSettings:
    """One study: random search for one method on one workload.

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

    def command(self) -> str:
        """The command line that runs this study."""
        momentum = f" --momentum {self.momentum:g}{' --nesterov' * self.nesterov}" if self.momentum else ""
        return (
            f"esgd search {self.workload} --optimizer {self.method} --space {self.space} --trials {self.trials} "
            f"--epochs {self.epochs} --seed {self.seed}{momentum}"
        )


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


class Trials:
    """The trials of a study in its journal file.

    Args:
        settings: the study.
        root: folder of all runs; default ``ESGD_RUNS``.

    Raises:
        ConfigError: optuna is not installed.
        EsgdError: the folder cannot be written.
    """

    def __init__(self, settings: SearchSettings, root: Path | None = None):
        try:
            import optuna
            from optuna.storages import JournalStorage
            from optuna.storages.journal import JournalFileBackend
        except ImportError as error:
            raise ConfigError("a search needs optuna: `pip install 'esgd[train]'`") from error
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._optuna = optuna
        self.settings = settings
        self.root = runs_dir() if root is None else root
        folder = self.root / "searches"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = folder / f"{settings.name}.lock"
            backend = JournalFileBackend(
                str(folder / f"{settings.name}.journal"), lock_obj=_Flock(self._lock.with_suffix(".journal-lock"))
            )
            with exclusive_lock(self._lock, wait=True):
                self.study = optuna.create_study(
                    study_name=settings.name, storage=JournalStorage(backend), load_if_exists=True
                )
        except OSError as error:
            raise EsgdError(f"cannot write {error.filename or folder}: {error.strerror or error}") from error

    def folder(self, number: int) -> RunFolder:
        """The run of a trial."""
        return RunFolder(f"{self.settings.name}-trial{number:03}", self.root)

    def frozen(self, *states: str) -> list[optuna.trial.FrozenTrial]:
        """The trials in those states (``"RUNNING"``, ``"COMPLETE"``…), all without any."""
        wanted = [self._optuna.trial.TrialState[state] for state in states] or None
        return self.study.get_trials(deepcopy=False, states=wanted)

    def ask(self) -> int | None:
        """Draw the next trial, unless there are enough; its number."""
        with exclusive_lock(self._lock, wait=True):
            number = len(self.frozen())
            if number >= self.settings.trials:
                return None
            seed = derived_seed("search", self.settings.name, number) % 2**32
            self.study.sampler = self._optuna.samplers.RandomSampler(seed=seed)
            trial = self.study.ask(_distributions(self._optuna, space(self.settings.space, self.settings.method)))
            return trial.number

    def drawn(self, number: int) -> dict[str, float]:
        """The settings of a trial."""
        return dict(self.frozen()[number].params)

    def tell(self, number: int, value: float) -> None:
        """Record a trial's loss; a diverged one counts as infinite."""
        self.study.tell(number, value if math.isfinite(value) else math.inf)

    def unfinished(self) -> list[int]:
        """Trials that were asked for and not told, oldest first."""
        return [trial.number for trial in self.frozen("RUNNING")]


def _distributions(optuna: Any, ranges: Space) -> dict[str, Any]:
    found: dict[str, Any] = {"lr": optuna.distributions.FloatDistribution(*ranges.lr, log=True)}
    for name in ("damping", "decay"):
        if values := getattr(ranges, name):
            found[name] = optuna.distributions.CategoricalDistribution(values)
    return found


def search(
    settings: SearchSettings,
    *,
    root: Path | None = None,
    device: str = "auto",
    progress: bool = True,
    should_stop: Callable[[], bool] = lambda: False,
    on_trial: Callable[[int, float], None] = lambda number, loss: None,
) -> Trials:
    """Work on a study until its trials are done; several processes may work on it at once.

    Args:
        settings: the study.
        root: folder of all runs; default ``ESGD_RUNS``.
        device: as for :func:`esgd.resumable.train_in_folder`.
        progress: show a progress bar for each trial.
        should_stop: asked before each step; True stops, resumable.
        on_trial: called with number and loss after each trial.
    """
    trials = Trials(settings, root)
    for number in _work(trials):
        config = settings.run_config(trials.drawn(number))
        folder = trials.folder(number)
        try:
            result = train_in_folder(config, folder, device=device, progress=progress, should_stop=should_stop)
        except RunBusyError:  # another process works on it
            continue
        if result.status == "stopped":
            break
        loss = result.records[-1]["loss"] if result.status == "finished" else math.inf
        if number in trials.unfinished():  # not told by another process in the meantime
            trials.tell(number, loss)
        on_trial(number, loss)
        if should_stop():
            break
    return trials


def _work(trials: Trials) -> Iterator[int]:
    """Trials to work on: first what a killed process may have left, then new ones."""
    yield from trials.unfinished()
    while (number := trials.ask()) is not None:
        yield number


def trial_rows(trials: Trials) -> list[dict[str, Any]]:
    """One tidy row a trial: study, method, settings, loss, squared error and status."""
    rows = []
    for trial in trials.frozen():
        folder = trials.folder(trial.number)
        manifest = folder.manifest()
        rows.append(
            {
                "workload": trials.settings.workload,
                "method": trials.settings.method,
                "space": trials.settings.space,
                "momentum": trials.settings.momentum,
                "trial": trial.number,
                "seed": trials.settings.seed,
                "epochs": trials.settings.epochs,
                **{name: trial.params.get(name) for name in ("lr", "damping", "decay")},
                "status": manifest.get("status", trial.state.name.lower()),
                "loss": trial.value,
                "squared_error": manifest.get("squared_error"),
            }
        )
    return rows
