"""What a run is: its settings, checked once, when they are made."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from esgd.errors import ConfigError

__all__ = ["METHODS", "RunConfig", "changed_settings"]

# method -> settings that the same small budget chose for each (esgd.defaults, results/defaults)
METHODS: dict[str, dict[str, float]] = {
    "sgd": {"lr": 0.02, "damping": 0.0},
    "rmsprop": {"lr": 1e-3, "damping": 1e-6, "decay": 0.9},
    "jacobi": {"lr": 1e-3, "damping": 1e-4},
    "esgd": {"lr": 0.03, "damping": 1e-2},
    "adam": {"lr": 1e-3, "damping": 1e-8},
}
CURVATURE_METHODS = ("esgd", "jacobi")
DTYPES = ("float32", "float64")


@dataclass(frozen=True)
class RunConfig:
    """The settings of one training run. What is None gets the method's default.

    The defaults are the paper's protocol (§7): batches of 200, no momentum, no regularisation, curvature
    every 20 steps. Ten warm-up probes differ from Algorithm 1, which starts from one.

    Attributes:
        workload: name of a workload, e.g. ``"mnist"``.
        method: ``"sgd"``, ``"rmsprop"``, ``"jacobi"``, ``"esgd"`` or ``"adam"``.
        lr: learning rate ε.
        epochs: passes through the training set.
        seed: of the initialisation, the order of the data and the probes.
        batch_size: examples a step.
        damping: λ, added to the preconditioner (ESGD, Jacobi), ``eps`` of RMSProp and Adam.
        decay: RMSProp's α, the share of the old average that is kept.
        momentum: heavy-ball momentum; Adam has its own and takes none.
        nesterov: Nesterov's form of the momentum (SGD, ESGD, Jacobi).
        update_every: steps between two curvature probes, or ``"auto"`` (ESGD).
        warmup_probes: probes before the first step (ESGD, Jacobi).
        dtype: ``"float32"`` or ``"float64"``.
        eval_every: epochs between two evaluations on the whole training set.

    Raises:
        ConfigError: a setting is unknown, out of range or means nothing for the method.
    """

    workload: str
    method: str
    lr: float | None = None
    epochs: int = 10
    seed: int = 0
    batch_size: int = 200
    damping: float | None = None
    decay: float | None = None
    momentum: float = 0.0
    nesterov: bool = False
    update_every: int | str = 20
    warmup_probes: int = 10
    dtype: str = "float32"
    eval_every: int = 1

    def __post_init__(self):
        _one_of("optimizer", self.method, METHODS)
        defaults = METHODS[self.method]
        if self.decay is not None and "decay" not in defaults:
            raise ConfigError(f"decay belongs to rmsprop, not to {self.method}: leave it out")
        if self.damping and self.method == "sgd":
            raise ConfigError("sgd has no damping: leave it out")
        for name in ("lr", "damping", "decay"):
            if getattr(self, name) is None:
                object.__setattr__(self, name, defaults.get(name))
        _positive("lr", self.lr)
        _number("damping", self.damping, low=0)
        if self.decay is not None:
            _number("decay", self.decay, low=0, below=1)
        _number("momentum", self.momentum, low=0, below=1)
        for name in ("epochs", "batch_size", "warmup_probes", "eval_every"):
            _count(name, getattr(self, name))
        if self.update_every != "auto":
            _count("update_every", self.update_every)
        if isinstance(self.seed, bool) or not isinstance(self.seed, int) or self.seed < 0:
            raise ConfigError(f"seed must be a whole number ≥ 0, got {self.seed!r}")
        _one_of("dtype", self.dtype, DTYPES)
        if self.nesterov and not self.momentum:
            raise ConfigError("nesterov needs a momentum above 0, e.g. 0.9")
        if self.nesterov and self.method == "rmsprop":
            raise ConfigError("rmsprop has no Nesterov momentum: leave nesterov out")
        if self.momentum and self.method == "adam":
            raise ConfigError("adam has its own momentum (β₁ = 0.9): leave momentum out")

    @property
    def uses_curvature(self) -> bool:
        """Whether the method takes Hessian-vector products."""
        return self.method in CURVATURE_METHODS

    def settings(self) -> dict[str, Any]:
        """The settings that decide the numbers of a run; how long it is, is not among them."""
        return {name: value for name, value in asdict(self).items() if name not in ("epochs", "eval_every")}

    def name(self) -> str:
        """A readable name for the run, e.g. ``mnist-esgd-lr0.03-damping0.01-seed0``."""
        parts = [self.workload, self.method, f"lr{self.lr:.6g}"]
        if self.method != "sgd":
            parts.append(f"damping{self.damping:.6g}")
        if self.decay is not None:
            parts.append(f"decay{self.decay:g}")
        if self.momentum:
            parts.append(f"{'nesterov' if self.nesterov else 'momentum'}{self.momentum:g}")
        if self.uses_curvature and (self.update_every, self.warmup_probes) != (20, 10):
            parts.append(f"every{self.update_every}-warmup{self.warmup_probes}")
        if self.batch_size != 200:
            parts.append(f"batch{self.batch_size}")
        if self.dtype != "float32":
            parts.append(self.dtype)
        return "-".join([*parts, f"seed{self.seed}"])

    def command(self) -> str:
        """The command line that makes this run."""
        words = ["esgd train", self.workload, f"--optimizer {self.method}", f"--lr {self.lr!r}"]
        words += [f"--epochs {self.epochs}", f"--seed {self.seed}"]
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name in ("workload", "method", "lr", "epochs", "seed") or value in (field.default, None):
                continue
            if field.name == "damping" and self.method == "sgd":
                continue
            flag = f"--{field.name.replace('_', '-')}"
            words.append(flag if value is True else f"{flag} {value}")
        return " ".join(words)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> RunConfig:
        """The configuration that :func:`dataclasses.asdict` took apart."""
        known = {field.name for field in fields(cls)}
        if unknown := sorted(set(values) - known):
            raise ConfigError(f"unknown setting {', '.join(unknown)}: known are {', '.join(sorted(known))}")
        return cls(**values)


def changed_settings(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """The settings that decide a run's numbers and differ between two dicts of them.

    What only one of the two tells, as an older manifest lacks a newer setting, is taken for the same.
    """
    return [
        name for name in one if name not in ("epochs", "eval_every") and name in other and one[name] != other[name]
    ]


def _one_of(what: str, value: object, known: Mapping | tuple) -> None:
    if value not in known:
        raise ConfigError(f"unknown {what} {value!r}: choose one of {', '.join(known)}")


def _number(what: str, value: object, *, low: float, below: float = math.inf) -> None:
    right = isinstance(value, int | float) and not isinstance(value, bool) and low <= value < below
    if not right:
        limit = f" and below {below:g}" if below < math.inf else " and finite"
        raise ConfigError(f"{what} must be a number of at least {low:g}{limit}, got {value!r}")


def _positive(what: str, value: object) -> None:
    right = isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < math.inf
    if not right:
        raise ConfigError(f"{what} must be a finite number above 0, got {value!r}")


def _count(what: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ConfigError(f"{what} must be a whole number of at least 1, got {value!r}")
