"""What a probe leaves behind until the step: products not yet squared, and whether their gradients still stand."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

from torch import Tensor

__all__ = ["Arrivals", "Pending", "Trace"]


class Arrivals:
    """The gradients that have arrived since products were taken, each with the version of its tensor.

    It does not hold the parameters: their hooks hold it, and torch could not collect such a cycle.
    """

    def __init__(self, params: Sequence[Tensor]) -> None:
        self._versions: dict[int, int] = {}
        self._hooks = [p.register_post_accumulate_grad_hook(partial(self._note, i)) for i, p in enumerate(params)]

    def _note(self, i: int, p: Tensor) -> None:
        if p.grad is not None:  # a hook of the user's may have taken it
            self._versions[i] = p.grad._version

    @property
    def any(self) -> bool:
        """Whether a gradient has arrived."""
        return bool(self._versions)

    def cleared(self, params: Sequence[Tensor]) -> bool:
        """Whether gradients had arrived and all of them are gone or zero again; seldom looks at their values."""
        left = [(p.grad, v) for p, v in ((params[i], v) for i, v in self._versions.items()) if p.grad is not None]
        if not self._versions or any(g._version == v for g, v in left):
            return False
        return not any(bool(g.any()) for g, _ in left)

    def forget(self) -> None:
        for hook in self._hooks:
            hook.remove()


class Trace:
    """Whether losses that were probed together can still be run backward, or have been."""

    def __init__(self, *losses: Tensor) -> None:
        self._used = used = [False]

        def mark(*_: object) -> None:
            used[0] = True

        nodes = [t.grad_fn for t in losses if t.grad_fn is not None]
        for node in nodes:
            node.register_prehook(mark)  # a node keeps its hooks, so that mark lives as long as the graphs do
        self._mark = weakref.ref(mark) if nodes else None

    @property
    def abandoned(self) -> bool:
        """All graphs are gone, and none was run backward."""
        return self._mark is not None and self._mark() is None and not self._used[0]


@dataclass
class Pending:
    """Products of the current step, summed over its micro-batches and not yet squared."""

    first_index: int
    params: list[Tensor]
    sums: list[list[Tensor]]  # for each probe vector one tensor a parameter
    weight: float
    reached: list[bool] = field(default_factory=list)  # whether a loss so far depends on each parameter
    arrivals: Arrivals | None = None  # from the moment that the products are there
    traces: list[Trace | None] = field(default_factory=list)  # of each micro-batch; None where there is no loss

    @property
    def abandoned(self) -> bool:
        """Whether every micro-batch so far was probed and then thrown away, before backward()."""
        arrived = self.arrivals is not None and self.arrivals.any
        return bool(self.traces) and not arrived and all(t is not None and t.abandoned for t in self.traces)
