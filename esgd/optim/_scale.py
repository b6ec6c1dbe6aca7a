"""The cached preconditioner M: one tensor a parameter, which may take over the memory of a product."""

from __future__ import annotations

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

    def place(self, p: Tensor) -> Tensor:
        """The memory of M for ``p``, made if there is none."""
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
