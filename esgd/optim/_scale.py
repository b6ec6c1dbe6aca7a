"""The cached preconditioner M: one tensor a parameter, which may take over the memory of a product."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

__all__ = ["Scales"]


class Scales:
    """M for each parameter.

    A product changes D, so that M has to be rebuilt after it in any case. It is let go before the product is
    taken, and rebuilt in the memory of the product once that is in D: at the peak of a probe step M takes none.
    """

    def __init__(self) -> None:
        self._of: dict[Tensor, Tensor] = {}

    def __contains__(self, p: Tensor) -> bool:
        return p in self._of

    def __getitem__(self, p: Tensor) -> Tensor:
        return self._of[p]

    @property
    def nbytes(self) -> int:
        """Memory held, in bytes."""
        return sum(t.untyped_storage().nbytes() for t in self._of.values())

    def rebuild(
        self,
        params: Sequence[Tensor],
        states: Sequence[dict[str, Any]],
        damp: Callable[[list[Tensor]], None],
        *,
        look: bool,
        undamped: bool = False,
    ) -> None:
        """M = 1 / damped running mean, in the memory that M has, or in new memory.

        Args:
            params: the parameters.
            states: of each, with the sum ``curvature`` and the number ``weight`` of what is in it.
            damp: turns running means, in place, into the damped diagonal.
            look: whether the host may look at ``weight``; otherwise the device decides.
            undamped: the damping is 0, so that M is infinite where there is no curvature; it becomes 0 there.
        """
        sums, weights = [s["curvature"] for s in states], [s["weight"] for s in states]
        scales = [self._place(p) for p in params]
        work = [m if m.dtype == s.dtype else torch.empty_like(s) for m, s in zip(scales, sums, strict=True)]
        for m, total, w in zip(work, sums, weights, strict=True):
            torch.div(total, w.to(total.dtype), out=m)
        damp(work)
        torch._foreach_reciprocal_(work)
        for m, w in zip(work, weights, strict=True):
            if not look or w.dim() or not bool(w):
                m.masked_fill_(w == 0, 0.0)  # every product was rejected: stand still until one is not
            if undamped:
                m.masked_fill_(m.isinf(), 0.0)
        for m, w in zip(scales, work, strict=True):
            if m is not w:  # 1/damping may be beyond half precision, and infinity times 0 is not a step
                m.copy_(w.clamp_(max=min(torch.finfo(t.dtype).max for t in (m, w))))

    def _place(self, p: Tensor) -> Tensor:
        if p not in self._of:
            self._of[p] = torch.empty_like(p, requires_grad=False)
        return self._of[p]

    def adopt(self, p: Tensor, memory: Tensor) -> None:
        """Let M for ``p`` live in ``memory``, which nobody else uses, if that is laid out like ``p``."""
        alike = memory.dtype == p.dtype and memory.device == p.device and memory.stride() == p.stride()
        if alike and memory.untyped_storage().nbytes() == memory.numel() * memory.element_size():
            self._of[p] = memory

    def clear(self) -> None:
        """Free the memory."""
        self._of = {}
