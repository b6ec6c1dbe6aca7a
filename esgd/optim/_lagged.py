"""A device scalar that the host reads one probe later, so that no step ever waits for the device."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["LaggedScalars"]


class LaggedScalars:
    """Scalars on their way from a device to the host.

    ``push`` starts an asynchronous copy and ``read`` returns the values pushed last. On a CPU both are immediate.
    On CUDA ``read`` waits for the event of a copy that was issued a whole interval of steps ago, which has long
    been passed; it never waits for what was queued since. The moment of reading is fixed by the step count, so
    all ranks of a data-parallel run decide the same.
    """

    def __init__(self) -> None:
        self._host: Tensor | None = None
        self._event: torch.cuda.Event | None = None

    def push(self, values: Tensor) -> None:
        """Send ``values``, shape (n,), on their way."""
        if values.device.type == "cuda":
            self._host = torch.empty(values.shape, dtype=values.dtype, device="cpu", pin_memory=True)
            self._host.copy_(values, non_blocking=True)
            self._event = torch.cuda.Event()
            self._event.record()
        else:
            self._host, self._event = values.to("cpu", copy=True), None

    def peek(self) -> list[float] | None:
        """The values pushed last, or ``None`` if there are none; they stay."""
        if self._event is not None:
            self._event.synchronize()
        return None if self._host is None else self._host.tolist()

    def read(self) -> list[float] | None:
        """The values pushed last, or ``None`` if there are none; they are taken out."""
        values = self.peek()
        self._host = self._event = None
        return values
