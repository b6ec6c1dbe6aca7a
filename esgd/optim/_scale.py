"""The cached preconditioner M, in one flat buffer that serves as the probe vector's place while M is stale."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

__all__ = ["Scales"]

WORD = 64  # signs are drawn 64 at a time, so the buffer is padded to a multiple


class Scales:
    """M for each parameter, as views into one buffer where all parameters share dtype and device.

    A product changes D, so M has to be rebuilt after it in any case; until then its memory holds v. That saves one
    copy of the parameters at the peak of a probe step.
    """

    def __init__(self) -> None:
        self._of: dict[Tensor, Tensor] = {}
        self._flat: Tensor | None = None
        self._holds: list[int] = []

    def __contains__(self, p: Tensor) -> bool:
        return p in self._of

    def __getitem__(self, p: Tensor) -> Tensor:
        return self._of[p]

    @property
    def nbytes(self) -> int:
        """Memory held, in bytes; views into the buffer count once."""
        storages = {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in self._of.values()}
        return sum(storages.values())

    def place(self, p: Tensor) -> Tensor:
        """The memory of M for ``p``, made if there is none."""
        if p not in self._of:
            self._of[p] = torch.empty_like(p, requires_grad=False)
        return self._of[p]

    def scratch(self, params: Sequence[Tensor]) -> Tensor | None:
        """The flat buffer of the parameters' M, to be overwritten; ``None`` where they differ in dtype or device.

        Its views are M for ``params``, in order. Whoever writes to it has to rebuild M.
        """
        first = params[0]
        if any(p.dtype != first.dtype or p.device != first.device for p in params):
            return None
        if self._holds != [id(p) for p in params]:
            sizes = [p.numel() for p in params]
            total = -(-sum(sizes) // WORD) * WORD
            self._flat = None  # freed before its successor is made
            self._of = {}
            self._flat = torch.empty(total, dtype=first.dtype, device=first.device)
            pieces = self._flat[: sum(sizes)].split(sizes)
            self._of = {p: piece.view(p.shape) for p, piece in zip(params, pieces, strict=True)}
            self._holds = [id(p) for p in params]
        return self._flat
