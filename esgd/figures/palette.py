"""One hue a method, everywhere: in curves, swatches, prose and the lab.

To colour-blind readers some pairs look alike (descent and momentum, Jacobi and RMSProp): names stand beside.
"""

from __future__ import annotations

__all__ = ["COLOURS", "LABELS", "colour"]

# method -> (on a light page, on a dark page): the hue is the same, the lightness fits the ground
COLOURS: dict[str, tuple[str, str]] = {
    "sgd": ("#0072B2", "#4FA8DD"),
    "momentum": ("#6A51A3", "#A694DC"),
    "nesterov": ("#1D2C73", "#5C78FF"),
    "newton": ("#6B6B6B", "#A8A8A8"),
    "saddle_free": ("#B8578F", "#E08FBE"),
    "jacobi": ("#D55E00", "#FF8A3D"),
    "equilibration": ("#3E9C8B", "#7FD6C4"),
    "adagrad": ("#4A4A00", "#E3E6A0"),
    "rmsprop": ("#B88600", "#F0C23B"),
    "esgd": ("#007A57", "#1FC796"),
    "adam": ("#8C564B", "#C99084"),
}

LABELS: dict[str, str] = {
    "sgd": "SGD",
    "momentum": "Momentum",
    "nesterov": "Nesterov momentum",
    "newton": "Newton",
    "saddle_free": "Saddle-free Newton",
    "jacobi": "Jacobi",
    "equilibration": "Equilibration",
    "adagrad": "AdaGrad",
    "rmsprop": "RMSProp",
    "esgd": "ESGD",
    "adam": "Adam",
}


def colour(method: str, *, dark: bool = False) -> str:
    """The hex colour of a method on a light or a dark page."""
    return COLOURS[method][int(dark)]
