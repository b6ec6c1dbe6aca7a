"""The settings of the lab as Python knows them: a mirror of ``src/state.js`` (a test compares the two)."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Mapping
from typing import Any

from esgd.errors import ConfigError

__all__ = [
    "LANDSCAPES", "METHODS", "NUMBERS", "OPTIONS", "RANGES", "SCENES", "VIEWS", "checked_scene", "checked_state",
]  # fmt: skip

SCENES: dict[str, str] = {
    "welcome": "A saddle to hold: the paths of three methods around the saddle of a two-weight network.",
    "descent": "Descent in a long valley: zigzag across it, slow progress along it, for a chosen condition number.",
    "escape": "Leaving a saddle with the help of noise, and how long a hundred seeds take.",
    "contours": "Contour lines before and after preconditioning, side by side, with the same run on both.",
    "saddle-free": "Newton's method against the absolute Hessian, with the phase diagram of Theorem 2′.",
    "rotation-dial": "A saddle on a dial: Jacobi's diagonal vanishes at 45 degrees, equilibration's does not.",
    "probes": "Hessian-vector products of random probes, and the diagonals that they estimate.",
    "esgd-steps": "ESGD step by step: the probe, the product, D as bars, the step.",
    "rmsprop-faces": "RMSProp's second moment as displacement, as noise and as oscillation.",
}

METHODS = (
    "sgd", "momentum", "nesterov", "newton", "saddle_free", "jacobi", "equilibration", "adagrad", "rmsprop", "adam",
    "esgd",
)  # fmt: skip
VIEWS = (
    "surface", "modes", "many", "eigen", "spread", "convergence", "velocity", "expected", "loss", "rates",
)  # fmt: skip
LANDSCAPES = (
    "bowl", "quadratic", "monkey", "net", "rosenbrock", "eggbox", "camel", "himmelblau", "beale",
)  # fmt: skip

LISTS = {"methods": ("method", METHODS), "show": ("view", VIEWS)}
OPTIONS: dict[str, tuple[str, ...]] = {
    "landscape": LANDSCAPES,
    "many": ("polynomial", "chain"),
    "face": ("displacement", "noise", "oscillation"),
    "noise_shape": ("I", "H", "H2", "tilted"),
    "probe": ("rademacher", "gaussian"),
    "curvature": ("exact", "probes"),
    "precond": ("jacobi", "equilibration", "absolute"),
}

# lists of numbers: how many at most, and their range; what the list does not reach keeps its default
NUMBERS: dict[str, tuple[int, float, float]] = {"data": (12, -2, 2), "weights": (16, -20, 20)}

RANGES: dict[str, tuple[float, float]] = {
    "x0": (-5, 5),
    "y0": (-5, 5),
    "kappa": (1, 1000),
    "eig1": (-4, 4),
    "eig2": (-4, 4),
    "angle": (0, 90),
    "steps": (5, 400),
    "seed": (0, 999),
    "momentum": (0, 0.99),
    "damping": (1e-8, 1),
    "decay": (0.5, 0.999),
    "beta1": (0, 0.99),
    "beta2": (0.5, 0.999),
    "noise": (0, 1),
    "interval": (1, 50),
    "warmup": (1, 20),
    "zoom": (1, 10),
    "turn": (0, 360),
    "tilt": (10, 90),
    "boost": (-1.5, 1.5),
    **{f"lr_{method}": (1e-4, 10) for method in METHODS},
    "at": (0, 400),
}


WHOLE = {"steps", "seed", "interval", "warmup", "at"}  # of RANGES, those that count


def _shown(value: object) -> str:
    """What came, as it is shown in a message: a line at most."""
    try:
        text = repr(value)
    except ValueError:  # Python writes out no number of thousands of digits
        return "a number too long to write"
    return text if len(text) <= 60 else f"{text[:57]}..."


def _unknown(kind: str, name: object, known: list[str]) -> ConfigError:
    close = difflib.get_close_matches(str(name), known, n=1)
    hint = f"; did you mean '{close[0]}'?" if close else "."
    return ConfigError(f"unknown {kind} {_shown(name)}{hint} Known: {', '.join(known)}")


def checked_scene(scene: str) -> str:
    """The scene's name, or a ConfigError that lists the scenes."""
    if not isinstance(scene, str) or scene not in SCENES:
        raise _unknown("scene", scene, list(SCENES))
    return scene


def _number(value: Any) -> float:
    """The value as a float; NaN for what is not a number, which no range contains."""
    try:
        return math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        return math.nan


def _listed(value: Any) -> list[Any] | None:
    """The value as a list; None for what holds nothing, and for words."""
    return list(value) if isinstance(value, Iterable) and not isinstance(value, (str, bytes)) else None


def _checked(key: str, value: Any) -> Any:
    if key in LISTS:
        kind, known = LISTS[key]
        names = [value] if isinstance(value, str) else _listed(value)
        if names is None:
            raise ConfigError(
                f"{key} must be the name of a {kind} or a list of such names, not {_shown(value)}: give [] for none"
            )
        for name in names:
            if name not in known:
                raise _unknown(kind, name, list(known))
        return names
    if key in OPTIONS:
        if value not in OPTIONS[key]:
            raise ConfigError(f"{key} must be one of {', '.join(OPTIONS[key])}, not {_shown(value)}")
        return value
    if key in NUMBERS:
        most, low, high = NUMBERS[key]
        listed = _listed(value)
        numbers = [_number(v) for v in listed or []]
        if listed is None or len(numbers) > most or not all(low <= v <= high for v in numbers):
            raise ConfigError(f"{key} must be at most {most} numbers from {low:g} to {high:g}, not {_shown(value)}")
        return numbers
    low, high = RANGES[key]
    number = _number(value)
    whole = key in WHOLE
    if not low <= number <= high or (whole and not number.is_integer()):
        kind = "whole number" if whole else "number"
        raise ConfigError(f"{key} must be a {kind} from {low:g} to {high:g}, not {_shown(value)}")
    return int(number) if whole else number


def checked_state(state: dict[str, Any]) -> dict[str, Any]:
    """The settings in a form that JSON and the module take.

    Raises:
        ConfigError: a setting is unknown, of the wrong kind or out of range.
    """
    if not isinstance(state, Mapping):
        raise ConfigError(
            f"the state must be a dictionary of settings, not {_shown(state)}: give {{}} for the scene's own"
        )
    known = [*LISTS, *OPTIONS, *NUMBERS, *RANGES]
    for key in state:
        if key not in known:
            raise _unknown("setting", key, known)
    return {key: _checked(key, value) for key, value in state.items()}
