"""The step itself: θ ← θ − lr · M ∘ g, with momentum and decoupled weight decay."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

__all__ = ["descend", "number"]


def number(value: float | Tensor) -> float | Tensor:
    """``value``, of shape () where it is a tensor of one element."""
    return value.reshape(()) if isinstance(value, Tensor) and value.numel() == 1 else value


def descend(
    group: dict[str, Any], params: Sequence[Tensor], scales: Sequence[Tensor], buffer: Callable[[Tensor], Tensor]
) -> None:
    """Move the parameters, in place.

    Args:
        group: their settings.
        params: those that have a gradient.
        scales: M of each.
        buffer: gives a parameter's momentum buffer.
    """
    lr, momentum = number(group["lr"]), group["momentum"]
    sign = 1.0 if group["maximize"] else -1.0
    grads = [p.grad for p in params]
    if group["weight_decay"]:
        keep = 1 - lr * group["weight_decay"]
        for p in params:
            p.mul_(keep.to(p.device) if isinstance(keep, Tensor) else keep)
    if not momentum and not isinstance(lr, Tensor):
        if group["foreach"] is False:
            for p, g, m in zip(params, grads, scales, strict=True):
                p.addcmul_(g, m, value=sign * lr)
        else:
            torch._foreach_addcmul_(params, grads, scales, sign * lr)
        return
    steps = torch._foreach_mul(grads, scales)
    if momentum:
        buffers = [buffer(p) for p in params]
        torch._foreach_mul_(buffers, momentum)
        torch._foreach_add_(buffers, steps)
        if group["nesterov"]:
            torch._foreach_add_(steps, buffers, alpha=momentum)
        else:
            steps = buffers
    if isinstance(lr, Tensor):
        torch._foreach_add_(params, [d * lr.to(d.device) for d in steps], alpha=sign)
    else:
        torch._foreach_add_(params, steps, alpha=sign * lr)
