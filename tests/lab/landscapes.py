"""The lab's landscapes and problems of many weights for torch: only values are written, autograd does the rest."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

Loss = Callable[[Tensor], Tensor]


def rotated(first: float, second: float, degrees: float) -> Tensor:
    """Q diag(first, second) Qᵀ, shape (2, 2)."""
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    q = torch.tensor([[c, -s], [s, c]], dtype=torch.float64)
    return q @ torch.diag(torch.tensor([first, second], dtype=torch.float64)) @ q.T


def _quadratic(hessian: Tensor) -> Loss:
    return lambda x: 0.5 * x @ (hessian @ x)


def landscape(state: dict) -> Loss:
    """The loss of a lab state as a function of a tensor of shape (2,)."""
    return {
        "bowl": lambda: _quadratic(rotated(1.0, 1.0 / state["kappa"], state["angle"])),
        "quadratic": lambda: _quadratic(rotated(state["eig1"], state["eig2"], state["angle"])),
        "monkey": lambda: lambda x: x[0] ** 3 / 3 - x[0] * x[1] ** 2 + (x[0] ** 2 + x[1] ** 2) ** 2 / 8,
        "net": lambda: lambda x: 0.5 * (1 - x[0] * x[1]) ** 2,
        "rosenbrock": lambda: lambda x: (1 - x[0]) ** 2 + 100 * (x[1] - x[0] ** 2) ** 2,
        "eggbox": lambda: lambda x: torch.cos(x[0]) + torch.cos(x[1]),
        "camel": lambda: lambda x: 2 * x[0] ** 2 - 1.05 * x[0] ** 4 + x[0] ** 6 / 6 + x[0] * x[1] + x[1] ** 2,
        "himmelblau": lambda: lambda x: (x[0] ** 2 + x[1] - 11) ** 2 + (x[0] + x[1] ** 2 - 7) ** 2,
        "beale": lambda: (
            lambda x: sum((c - x[0] + x[0] * x[1] ** k) ** 2 for k, c in ((1, 1.5), (2, 2.25), (3, 2.625)))
        ),
    }[state["landscape"]]()


def many_weights(state: dict) -> tuple[Loss, Tensor, Tensor]:
    """A problem of many weights: its loss (as steep as the landscape at its steepest), its minimum, the start."""
    if state["many"] == "polynomial":
        x = torch.linspace(-1, 1, 12, dtype=torch.float64)
        features = torch.stack([x**k for k in range(6)], dim=1)
        wobble = torch.cos(5 * torch.arange(12, dtype=torch.float64))
        data = torch.sin(2.6 * x) + 0.35 * wobble
        moved = torch.tensor(state.get("data", []), dtype=torch.float64)
        data[: len(moved)] = moved
        hessian, pull = features.T @ features / 12, features.T @ data / 12
        goal = torch.linalg.lstsq(features, data[:, None], driver="gelsd").solution[:, 0]
    else:
        links = torch.eye(16, dtype=torch.float64) - torch.diag(torch.ones(15, dtype=torch.float64), -1)
        hessian = links.T @ links  # the differences of neighbours, and of the first from what it has been told
        pull = torch.eye(16, dtype=torch.float64)[0]
        goal = torch.ones(16, dtype=torch.float64)
    steepest = 1.0 if state["landscape"] == "bowl" else max(state["eig1"], state["eig2"])
    scale = steepest / torch.linalg.eigvalsh(hessian)[-1]
    hessian, pull = hessian * scale, pull * scale
    start = torch.zeros_like(goal)
    begun = torch.tensor(state.get("weights", []), dtype=torch.float64)[: len(goal)]
    start[: len(begun)] = begun
    return lambda w: 0.5 * w @ (hessian @ w) - pull @ w, goal, start
