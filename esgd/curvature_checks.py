"""What the settings of the curvature tools may be; each refusal says what was expected and what came."""

from __future__ import annotations

import operator
from collections.abc import Callable
from numbers import Real
from typing import Any

import numpy as np
from torch import Tensor

from esgd.errors import ConfigError, CurvatureError
from esgd.probes import PROBES

__all__ = [
    "check_callable",
    "check_counts",
    "check_number",
    "check_positive",
    "check_probe",
    "check_seed",
    "is_number",
    "is_whole",
]


def is_whole(value: Any) -> bool:
    """Whether a value is an integer of any library, but no truth value."""
    if isinstance(value, bool | np.bool_):
        return False
    try:
        operator.index(value)
    except TypeError:
        return False
    return True


def is_number(value: Any) -> bool:
    """Whether a value is one real number of any library, but no truth value."""
    if isinstance(value, Tensor):
        return value.ndim == 0 and not value.is_complex()
    return isinstance(value, Real) and not isinstance(value, bool | np.bool_)


def check_counts(**counts: int) -> None:
    """Refuse what is no whole number of at least 1.

    Raises:
        ConfigError: which one, and what came.
    """
    for name, value in counts.items():
        if not is_whole(value):
            raise ConfigError(f"{name} must be a whole number of at least 1, got {value!r}")
        if value < 1:
            raise ConfigError(f"{name} must be at least 1, got {value}")


def check_number(**values: float) -> None:
    """Refuse what is no real number, or is NaN.

    Raises:
        ConfigError: which one, and what came.
    """
    for name, value in values.items():
        if not is_number(value) or value != value:
            raise ConfigError(f"{name} must be a number, got {value!r}")


def check_positive(hint: str = "", **values: float) -> None:
    """Refuse what is no number above 0.

    Raises:
        ConfigError: which one, what came, and the hint.
    """
    for name, value in values.items():
        if not is_number(value):
            raise ConfigError(f"{name} must be a number above 0, got {value!r}{hint}")
        if not value > 0:
            raise ConfigError(f"{name} must be above 0, got {value}{hint}")


def check_seed(seed: int) -> None:
    """Refuse a seed that is no whole number.

    Raises:
        ConfigError: what came.
    """
    if not is_whole(seed):
        raise ConfigError(
            f"seed must be a whole number, got {seed!r}: the probes are drawn from it, the same ones each time; "
            "take another number for others"
        )


def check_probe(probe: str) -> None:
    """Refuse an unknown kind of probe.

    Raises:
        ConfigError: what there is, and what came.
    """
    if not isinstance(probe, str) or probe not in PROBES:
        raise ConfigError(f"probe must be one of {sorted(PROBES)}, got {probe!r}")


def check_callable(function: Callable[..., Any], name: str, does: str) -> Callable[..., Any]:
    """The function itself.

    Raises:
        CurvatureError: it is none; what it should do.
    """
    if not callable(function):
        raise CurvatureError(f"{name} must be a function that takes {does}, got {type(function).__name__}")
    return function
