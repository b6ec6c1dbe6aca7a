"""Products that outlive a kill: kept in a folder as they come, and read from there when they are asked for again.

Lanczos is a function of its products alone. So a method that is started anew and gets the same products goes
through the same numbers, bit for bit, to where it was, in the time that reading takes: none of the methods needs a
checkpoint of its own.
"""

from __future__ import annotations

import hashlib
import shutil
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from esgd.checkpoint import load_checkpoint, save_checkpoint
from esgd.operator_base import CurvatureOperator, Linearized

__all__ = ["KeptProducts", "Meter", "digest"]


def digest(tensors: Iterable[Tensor]) -> str:
    """SHA-256 of the bits of some tensors, in their order."""
    found = hashlib.sha256()
    for x in tensors:
        found.update(x.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy())
    return found.hexdigest()


class Meter:
    """Wall and processor seconds of the work, over all sessions of a run; what was done again does not count.

    Args:
        seconds: so far.
        cpu_seconds: so far.
    """

    def __init__(self, seconds: float = 0.0, cpu_seconds: float = 0.0):
        self.go_on(seconds, cpu_seconds)

    def go_on(self, seconds: float, cpu_seconds: float) -> None:
        """Count on from these sums, from now."""
        self.seconds, self.cpu_seconds = seconds, cpu_seconds
        self._wall, self._cpu = time.monotonic(), time.process_time()

    def sums(self) -> dict[str, float]:
        """Both sums up to now."""
        wall, cpu = time.monotonic() - self._wall, time.process_time() - self._cpu
        self.go_on(self.seconds + wall, self.cpu_seconds + cpu)
        return {"seconds": self.seconds, "cpu_seconds": self.cpu_seconds}


class KeptProducts(CurvatureOperator):
    """An operator that keeps each of its products on the disk.

    A call of :meth:`products` with the vectors that the call of the same number had last time is read instead of
    computed. Each call takes a file of as many vectors of N as it has products; :meth:`discard` removes them all.

    Args:
        operator: what takes the products. They are those of its own batches.
        folder: a folder for these files alone, one for each method and operator.
        meter: counts the time; a product that is read restores the time at which it was computed.

    Raises:
        CheckpointError: a file cannot be written, or is damaged.
    """

    def __init__(self, operator: CurvatureOperator, folder: Path, meter: Meter):
        named = zip(operator.space.names, operator.params, strict=True)
        super().__init__(named, operator.batches, reduction=operator.reduction, size=operator.size)
        self.operator, self.folder, self.meter = operator, folder, meter
        self.calls = 0

    def products(
        self, vectors: Sequence[Sequence[Tensor]], batches: Iterable[Any] | None = None, *, label: str = ""
    ) -> list[list[Tensor]]:
        """See :meth:`CurvatureOperator.products`; other batches than the operator's own are not kept."""
        if batches is not None:
            return self.operator.products(vectors, batches, label=label)
        path = self.folder / f"{self.calls:05d}.pt"
        self.calls += 1
        asked = digest(x for v in vectors for x in v)
        if path.exists():
            found = load_checkpoint(path, kind="products", device=self.device)
            if found["vectors"] == asked:
                self.meter.go_on(**found["cost"])
                return found["products"]
        products = self.operator.products(vectors, label=label)
        cost = self.meter.sums()
        save_checkpoint(path, {"kind": "products", "vectors": asked, "products": products, "cost": cost})
        return products

    def discard(self) -> None:
        """Remove what was kept."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _loss(self, batch: Any) -> Tensor:
        return self.operator._loss(batch)

    def _linearize(self, batch: Any, vectors: Sequence[Sequence[Tensor]]) -> Linearized:
        return self.operator._linearize(batch, vectors)
