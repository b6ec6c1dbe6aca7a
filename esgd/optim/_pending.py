"""What a probe leaves behind until the step: products not yet squared, and whether their gradients still stand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from torch import Tensor

__all__ = ["Arrivals", "Pending"]


class Arrivals:
    """The gradients that have arrived since products were taken, each with the version of its tensor.

    It does not hold the parameters: their hooks hold it, and torch could not collect such a cycle.
    """

    def __init__(self, params: Sequence[Tensor]) -> None:
        self._versions: dict[int, int] = {}
        self._hooks = [p.register_post_accumulate_grad_hook(partial(self._note, i)) for i, p in enumerate(params)]

    def _note(self, i: int, p: Tensor) -> None:
        self._versions[i] = p.grad._version

    def cleared(self, params: Sequence[Tensor]) -> bool:
        """Whether gradients had arrived and all of them are gone or zero again; seldom looks at their values."""
        left = [(p.grad, v) for p, v in ((params[i], v) for i, v in self._versions.items()) if p.grad is not None]
        if not self._versions or any(g._version == v for g, v in left):
            return False
        return not any(bool(g.any()) for g, _ in left)

    def forget(self) -> None:
        for hook in self._hooks:
            hook.remove()


@dataclass
class Pending:
    """Products of the current step, summed over its micro-batches and not yet squared."""

    first_index: int
    params: list[Tensor]
    sums: list[list[Tensor]]  # for each probe vector one tensor a parameter
    weight: float
    arrivals: Arrivals | None = None  # from the moment that the products are there
