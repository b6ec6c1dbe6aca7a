"""The running mean over products: whether a product can be summed, and how it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

__all__ = ["accumulate", "judge"]

State = dict[str, Any]  # of a parameter: its sum ``curvature``, their number ``weight``; under "auto" ``energy``


def judge(
    states: Sequence[State], product: Sequence[Tensor], *, members: int | None, auto: bool, count: float | Tensor
) -> tuple[Tensor, Tensor]:
    """Whether a product can be summed, shape () or (members,), and how its energy compares with the past.

    The second is the mean over the parameters of log(‖Hv‖² / mean of ‖Hv‖² so far), NaN where nothing is known yet
    or nobody asks.

    Args:
        states: of the parameters; under ``auto`` their ``energy`` is summed.
        product: Hv, one tensor a parameter.
        members: the number of nets, where the parameters hold an ensemble.
        auto: whether anybody asks for the comparison.
        count: how often the product counts.
    """
    unknown = product[0].new_full((), float("nan"))
    if members is not None:
        flat = [h.reshape(members, -1).square().sum(1) for h in product]
        return torch.stack(flat).isfinite().all(0), unknown
    home = product[0].device
    energy = torch.stack([n.to(home, torch.float32) for n in torch._foreach_norm(product)]).square()
    good = energy.isfinite().all()
    if not auto:
        return good, unknown
    past = torch.stack(
        [s.setdefault("energy", torch.zeros_like(s["weight"])).to(home, torch.float32) for s in states]
    )
    weight = torch.stack([s["weight"].to(home, torch.float32) for s in states])
    ratio = (energy * weight / past).log()
    alive = (past > 0) & (energy > 0) & good
    mean = torch.where(alive, ratio, 0.0).sum() / alive.sum()
    for s, e in zip(states, torch.where(good, energy, 0.0).unbind(), strict=True):
        _add_times(s["energy"], e.to(s["energy"]), count)
    return good, mean


def accumulate(
    states: Sequence[State],
    left: Sequence[Tensor],
    product: Sequence[Tensor],
    good: Tensor,
    factors: Sequence[float],
    count: float | Tensor,
    *,
    look: bool,
) -> None:
    """Discount the sums and add ``left`` ∘ ``product`` ``count`` times, unless the product is rejected.

    Args:
        states: of the parameters.
        left: what the product is multiplied by, elementwise.
        product: Hv, one tensor a parameter.
        good: what :func:`judge` returned.
        factors: the discount of each parameter's sum, 1 for none.
        count: how often the product counts.
        look: whether the host may look at ``good``; otherwise the device decides.
    """
    sums, weights = [s["curvature"] for s in states], [s["weight"] for s in states]
    if look and bool(good.all()):  # nothing to mask
        for factor in {f for f in factors if f != 1.0}:
            torch._foreach_mul_([s for s, f in zip(sums, factors, strict=True) if f == factor], factor)
            torch._foreach_mul_([w for w, f in zip(weights, factors, strict=True) if f == factor], factor)
        torch._foreach_addcmul_(sums, left, product, count)
        torch._foreach_add_(weights, count)
        return
    for total, weight, a, h, factor in zip(sums, weights, left, product, factors, strict=True):
        mask = good.to(h.device).view(weight.shape)
        keep = torch.where(mask, factor, 1.0)
        _add_times(total.mul_(keep.to(total.dtype)), torch.where(mask, a * h, 0.0), count)
        _add_times(weight.mul_(keep), mask.to(weight), count)


def _add_times(total: Tensor, term: Tensor, count: float | Tensor) -> None:
    if isinstance(count, Tensor):
        total.add_(term * count.to(term))
    else:
        total.add_(term, alpha=count)
