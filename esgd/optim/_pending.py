"""What a probe leaves behind until the step: products not yet squared, and whether their gradients still stand."""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor

__all__ = ["Arrivals", "Pending", "Trace", "no_backward"]


class Arrivals:
    """The gradients that have arrived since products were taken, each with the version of its tensor.

    It does not hold the parameters: their hooks hold it, and torch could not collect such a cycle.

    Args:
        params: the parameters.
        reached: which of them the loss depends on.
        look: whether the values of gradients may be looked at, which waits for a device.
    """

    def __init__(self, params: Sequence[Tensor], reached: Sequence[bool], *, look: bool) -> None:
        self._versions: dict[int, int] = {}
        self._sums: dict[int, tuple[int, int, int]] = {}  # place, version and number of what was added up there
        # a gradient that stands already: its place, and the version that it has if the next one is added to it
        self._standing = _standing(params, reached) if look else None
        self.added = False  # whether a gradient was added to one that stood when the first loss was probed
        self._hooks = [p.register_post_accumulate_grad_hook(partial(self._note, i)) for i, p in enumerate(params)]

    def _note(self, i: int, p: Tensor) -> None:
        g = p.grad
        if g is None:  # a hook of the user's may have taken it
            return
        first, self._versions[i] = i not in self._versions, g._version
        if g.layout is not torch.strided:
            return
        place, version = g.data_ptr(), g._version
        self.added |= first and (i, place, version) == self._standing
        before = self._sums.get(i)  # cleared in between, it is another tensor, or has been written to once more
        number = before[2] if before is not None and before[:2] == (place, version - 1) else 0
        self._sums[i] = place, version, number + 1

    @property
    def most(self) -> int:
        """How many gradients were added up for one parameter, at most."""
        return max((number for *_, number in self._sums.values()), default=0)

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


def _standing(params: Sequence[Tensor], reached: Sequence[bool]) -> tuple[int, int, int] | None:
    """Position, place in memory and next version of the first gradient that is there and not zero."""
    for i, (p, yes) in enumerate(zip(params, reached, strict=True)):
        if yes and p.grad is not None and p.grad.layout is torch.strided and bool(p.grad.any()):
            return i, p.grad.data_ptr(), p.grad._version + 1
    return None


# the number of the backward pass under way; where a version of torch does not tell, each call counts as one
_number_of_pass = getattr(torch._C, "_current_graph_task_id", None) or itertools.count().__next__
_SWEEPS = [0]  # how many sweeps of products are under way: they run through the graphs, and are no backward()


@contextmanager
def no_backward() -> Iterator[None]:
    """What runs through graphs inside it is not taken for a ``backward()``."""
    _SWEEPS[0] += 1
    try:
        yield
    finally:
        _SWEEPS[0] -= 1


class Trace:
    """Whether losses that were probed together can still be run backward, or have been."""

    def __init__(self, *losses: Tensor) -> None:
        self.runs = runs = set()  # the backward passes through it, by torch's numbers

        def mark(*_: object) -> None:
            if not _SWEEPS[0]:
                runs.add(_number_of_pass())

        self._loss = weakref.ref(losses[0])
        nodes = [t.grad_fn for t in losses if t.grad_fn is not None]
        for node in nodes:
            node.register_prehook(mark)  # a node keeps its hooks, so that mark lives as long as the graphs do
        self._mark = weakref.ref(mark) if nodes else None

    def is_of(self, loss: Tensor) -> bool:
        """Whether this very tensor was probed."""
        return self._loss() is loss

    @property
    def used(self) -> bool:
        """Whether one of the graphs was run backward."""
        return bool(self.runs)

    @property
    def abandoned(self) -> bool:
        """All graphs are gone, and none was run backward."""
        return self._mark is not None and self._mark() is None and not self.runs


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

    @property
    def partly_run(self) -> bool:
        """Whether some of the losses were run backward and others were not."""
        return len({t.used for t in self.traces if t is not None}) == 2

    @property
    def partly_probed(self) -> bool:
        """Whether gradients of other backward passes are in the sum: more than those, or one that stood before.

        Only where each loss was run backward itself: else its gradient came by another way, in one part or several.
        """
        if self.arrivals is None or not all(t is not None and t.used for t in self.traces):
            return False
        return self.arrivals.added or self.arrivals.most > len(set().union(*(t.runs for t in self.traces)))
