"""What the optimizers need of CUDA graphs: whether one is being captured, and how a step becomes one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

__all__ = ["Recorder", "can_capture", "is_capturing"]


def can_capture(device: torch.device) -> bool:
    """Whether the device has graphs."""
    return device.type == "cuda"


def is_capturing(like: Tensor) -> bool:
    """Whether the work on the device of ``like`` goes into a CUDA graph instead of running."""
    return like.is_cuda and not torch.compiler.is_compiling() and torch.cuda.is_current_stream_capturing()


class Recorder:
    """Records work on one device, by torch's rules: warm-up and capture on a side stream, memory in a pool.

    Several graphs may share the pool, since nothing that one of them leaves in it is read by another.
    """

    def __init__(self, device: torch.device) -> None:
        self._stream = torch.cuda.Stream(device)
        self._pool = torch.cuda.graph_pool_handle()

    def run(self, work: Callable[[], Any]) -> Any:
        """Run ``work`` itself, where it would be captured."""
        current = torch.cuda.current_stream(self._stream.device)
        self._stream.wait_stream(current)
        with torch.cuda.stream(self._stream):
            result = work()
        current.wait_stream(self._stream)
        return result

    def record(self, work: Callable[[], Any]) -> tuple[Callable[[], None], Any]:
        """A function that runs on the device what ``work`` does there, and what ``work`` returned.

        The host's side of ``work`` runs once, now; the device has done nothing yet.
        """
        graph = torch.cuda.CUDAGraph()
        # other threads, as those that pin the memory of a loader, may go on
        with torch.cuda.graph(graph, pool=self._pool, stream=self._stream, capture_error_mode="thread_local"):
            result = work()
        return graph.replay, result
