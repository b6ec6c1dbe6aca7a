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
    grads = [p.grad for p in params]
    rate = lr if group["maximize"] else -lr
    buffers = [buffer(p) for p in params] if momentum else []
    plain, ahead = not momentum or group["nesterov"], rate * momentum if group["nesterov"] else rate
    # foreach takes no rate a member, nor one of another device; on a CPU it is no faster and needs memory
    apart = isinstance(rate, Tensor) and (
        rate.dim() > 0 or any(p.device.type == "cpu" or p.device != rate.device for p in params)
    )
    keep = 1 - lr * group["weight_decay"] if group["weight_decay"] else None
    if group["foreach"] is False or apart:
        for i, p in enumerate(params):
            if keep is not None:
                p.mul_(keep.to(p.device) if isinstance(keep, Tensor) else keep)
            if momentum:
                buffers[i].mul_(momentum).addcmul_(grads[i], scales[i])
            if plain and isinstance(rate, Tensor):
                p.add_((grads[i] * rate.to(p.device)).mul_(scales[i]))  # rounded as addcmul does
            elif plain:
                p.addcmul_(grads[i], scales[i], value=rate)
            if momentum and isinstance(rate, Tensor):
                p.add_(buffers[i] * ahead.to(p.device))
            elif momentum:
                p.add_(buffers[i], alpha=ahead)
        return
    if keep is not None:
        torch._foreach_mul_(params, keep)
    if momentum:
        torch._foreach_mul_(buffers, momentum)
        torch._foreach_addcmul_(buffers, grads, scales)
    if plain and isinstance(rate, Tensor):
        steps = torch._foreach_mul(grads, rate)
        torch._foreach_mul_(steps, scales)
        torch._foreach_add_(params, steps)
    elif plain:
        torch._foreach_addcmul_(params, grads, scales, rate)
    if momentum and isinstance(rate, Tensor):
        torch._foreach_add_(params, torch._foreach_mul(buffers, ahead))
    elif momentum:
        torch._foreach_add_(params, buffers, alpha=ahead)
