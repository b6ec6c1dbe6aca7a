"""What the random searches draw from, fixed before the first trial.

``paper`` is §7's: rates log-uniform in [0.01, 0.1] for SGD and ESGD and in [1e-4, 1e-3] for RMSProp and
Jacobi, damping one of {1e-4, 1e-5, 1e-6}, RMSProp's decay 0.9 or 0.95. ``wide`` extends every range of rates
by a decade on both sides, the same for each method, and every list of dampings up to §6's 1e-2; Adam, which
the paper does not run, has RMSProp's ranges in both.

``momentum``, of an extension, is ``paper`` with another decade of rates *below*: with momentum μ a constant
gradient moves the weights by ε/(1 − μ) a step, ten times ε at μ = 0.9. Adam averages its gradients with weights
that sum to one, so its decade is added above; all the ranges are equally wide.
"""

from __future__ import annotations

from dataclasses import dataclass

from esgd.config import METHODS
from esgd.errors import ConfigError

__all__ = ["SPACES", "Space", "space"]


@dataclass(frozen=True)
class Space:
    """The ranges of one method.

    Attributes:
        lr: smallest and largest learning rate, drawn log-uniformly.
        damping: the values to choose from; empty for SGD.
        decay: RMSProp's decay rates; empty for the others.
    """

    lr: tuple[float, float]
    damping: tuple[float, ...] = ()
    decay: tuple[float, ...] = ()


_PAPER_DAMPING = (1e-4, 1e-5, 1e-6)
_WIDE_DAMPING = (1e-2, 1e-3, *_PAPER_DAMPING)

SPACES: dict[str, dict[str, Space]] = {
    "paper": {
        "sgd": Space((0.01, 0.1)),
        "esgd": Space((0.01, 0.1), _PAPER_DAMPING),
        "rmsprop": Space((1e-4, 1e-3), _PAPER_DAMPING, (0.9, 0.95)),
        "jacobi": Space((1e-4, 1e-3), _PAPER_DAMPING),
        "adam": Space((1e-4, 1e-3), _PAPER_DAMPING),
    },
    "wide": {
        "sgd": Space((1e-3, 1.0)),
        "esgd": Space((1e-3, 1.0), _WIDE_DAMPING),
        "rmsprop": Space((1e-5, 1e-2), _WIDE_DAMPING, (0.9, 0.95)),
        "jacobi": Space((1e-5, 1e-2), _WIDE_DAMPING),
        "adam": Space((1e-5, 1e-2), _WIDE_DAMPING),
    },
    "momentum": {
        "sgd": Space((1e-3, 0.1)),
        "esgd": Space((1e-3, 0.1), _PAPER_DAMPING),
        "rmsprop": Space((1e-5, 1e-3), _PAPER_DAMPING, (0.9, 0.95)),
        "jacobi": Space((1e-5, 1e-3), _PAPER_DAMPING),
        "adam": Space((1e-4, 1e-2), _PAPER_DAMPING),
    },
}


def space(name: str, method: str) -> Space:
    """The ranges of a method in the space of that name.

    Raises:
        ConfigError: no such space or method.
    """
    if name not in SPACES:
        raise ConfigError(f"unknown search space {name!r}: choose one of {', '.join(SPACES)}")
    if method not in SPACES[name]:
        raise ConfigError(f"unknown optimizer {method!r}: choose one of {', '.join(METHODS)}")
    return SPACES[name][method]
