"""From the settings of a run to its optimizer."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from esgd.config import RunConfig

__all__ = ["make_optimizer"]


def make_optimizer(config: RunConfig, params: Iterable[Tensor]) -> torch.optim.Optimizer:
    """The optimizer of a run: torch's own for SGD, RMSProp and Adam, this library's for ESGD and Jacobi.

    torch's RMSprop divides by √v + λ; the paper's §4 prints no parentheses, and this is how it is read here.
    """
    match config.method:
        case "sgd":
            return torch.optim.SGD(
                params, lr=config.lr, momentum=config.momentum, nesterov=config.nesterov, foreach=True
            )
        case "rmsprop":
            return torch.optim.RMSprop(
                params,
                lr=config.lr,
                alpha=config.decay,
                eps=config.damping,
                momentum=config.momentum,
                foreach=True,
            )
        case "adam":
            return torch.optim.Adam(params, lr=config.lr, eps=config.damping, foreach=True)
    from esgd.optim import ESGD, JacobiSGD

    kind = {"esgd": ESGD, "jacobi": JacobiSGD}[config.method]
    return kind(
        params,
        lr=config.lr,
        damping=config.damping,
        update_every=config.update_every,
        warmup_probes=config.warmup_probes,
        momentum=config.momentum,
        nesterov=config.nesterov,
        seed=config.seed,
    )
