"""The running mean over products: whether a product can be summed, and how it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

__all__ = ["ENERGY", "accumulate", "judge", "with_energy"]

State = dict[str, Any]  # of a parameter: its sum ``curvature``, their number ``weight``; under "auto" also ENERGY
ENERGY = ("energy", "energy_weight")  # sum of ‖Hv‖², and how many; discounted like ``curvature`` and ``weight``


def judge(
    states: Sequence[State],
    product: Sequence[Tensor],
    factors: Sequence[float],
    *,
    members: int | None,
    auto: bool,
    count: float | Tensor,
) -> tuple[Tensor, Tensor]:
    """Whether a product can be summed, shape () or (members,), and how its energy compares with the past.

    The second is the mean over the parameters of log(‖Hv‖² / mean of ‖Hv‖² so far), NaN where nothing is known yet
    or nobody asks.

    Args:
        states: of the parameters; under ``auto`` their ``energy`` is summed.
        product: Hv, one tensor a parameter.
        factors: the discount of each parameter's sums, 1 for none.
        members: the number of nets, where the parameters hold an ensemble.
        auto: whether anybody asks for the comparison.
        count: how often the product counts.
    """
    unknown = product[0].new_full((), float("nan"))
    if members is not None:
        flat = [h.reshape(members, -1).square().sum(1) for h in product]
        return torch.stack(flat).isfinite().all(0), unknown
    home, wide = product[0].device, max((h.dtype for h in product), key=lambda d: torch.finfo(d).bits)
    energy = torch.stack([n.to(home, wide) for n in torch._foreach_norm(product)]).square()
    good = energy.isfinite().all()
    if not auto:
        return good, unknown
    past, weight = (torch.stack([s[key].to(home, wide) for s in map(with_energy, states)]) for key in ENERGY)
    ratio = (energy * weight / past).log()
    alive = (past > 0) & (energy > 0) & good
    mean = torch.where(alive, ratio, 0.0).sum() / alive.sum()
    for s, e, factor in zip(states, torch.where(good, energy, 0.0).unbind(), factors, strict=True):
        keep = torch.where(good, factor, 1.0)
        for key, term in zip(ENERGY, (e, good), strict=True):
            total = s[key].mul_(keep.to(s[key]))
            _add_times(total, term.to(total), count)
    return good, mean


def with_energy(state: State) -> State:
    """``state`` with its sum of energies and the number of products in it, which may be fewer than in D."""
    if not all(key in state for key in ENERGY):
        state.update({key: torch.zeros_like(state["weight"]) for key in ENERGY})
    return state


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
