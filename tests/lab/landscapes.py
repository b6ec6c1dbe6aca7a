"""The lab's landscapes for torch: only the value is written, autograd does the rest."""

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
    }[state["landscape"]]()
