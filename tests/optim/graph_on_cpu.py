"""A CUDA graph played on a CPU: the operations of a step are written down, and run again without Python's part.

What a real graph freezes, this one freezes; where a real capture fails because the host looks at a number, this one
fails. It cannot tell whether memory is where CUDA wants it: that is for ``test_cuda.py``.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

LOOKS = ("aten::_local_scalar_dense", "aten::item", "aten::is_nonzero", "aten::equal", "aten::nonzero")


class HostLooked(AssertionError):
    """A capture on CUDA would fail here."""


class NoLooking(TorchDispatchMode):
    """Raises where the host asks for a number of the device."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func._schema.name in LOOKS and not _deposits():
            raise HostLooked(func._schema.name)
        return func(*args, **(kwargs or {}))


def _deposits() -> bool:
    """Whether the loss that ``probe`` returned hands out its gradient, which looks on a CPU only."""
    frame = sys._getframe()
    while frame is not None:
        if frame.f_code.co_name == "backward" and frame.f_code.co_filename.endswith("optim/_graph.py"):
            return True
        frame = frame.f_back
    return False


class _Log(NoLooking):
    def __init__(self) -> None:
        super().__init__()
        self.entries: list[tuple[Any, ...]] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = super().__torch_dispatch__(func, types, args, kwargs)
        self.entries.append((func, args, kwargs or {}, out))
        return out

    @torch.no_grad()
    def replay(self) -> None:
        for func, args, kwargs, out in self.entries:
            for old, new in zip(_tensors(out), _tensors(func(*args, **kwargs)), strict=True):
                if (
                    old.untyped_storage().data_ptr() != new.untyped_storage().data_ptr()
                ):  # neither a view nor in place
                    old.data.copy_(new)


def _tensors(tree: Any) -> list[Tensor]:
    return [t for t in tree_leaves(tree) if isinstance(t, Tensor)]


class RecorderOnCpu:
    """Takes the place of ``esgd.optim._cuda_graph.Recorder``."""

    capturing = False
    optimizer: torch.optim.Optimizer  # set by the test: a capture leaves its memory alone

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def run(self, work: Callable[[], Any]) -> Any:
        return work()

    def record(self, work: Callable[[], Any]) -> tuple[Callable[[], None], Any]:
        optimizer, log = type(self).optimizer, _Log()
        params = [p for g in optimizer.param_groups for p in g["params"]]
        states = [optimizer.state[p] for p in params]
        kept = [*params, *_tensors(states), *optimizer._scales._of.values(), optimizer._report]
        before = [t.detach().clone() for t in kept]
        type(self).capturing = True
        try:
            with log:
                result = work()
        finally:
            type(self).capturing = False
        assert len(_tensors(states)) + len(params) + len(optimizer._scales._of) + 1 == len(kept), "made in a graph"
        for t, value in zip(kept, before, strict=True):
            t.data.copy_(value)
        return log.replay, result
