"""One integer seed a run, from which every random stream of the run is derived by name."""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor

__all__ = ["batch_order", "derived_seed", "named_generator"]


def derived_seed(*parts: int | str) -> int:
    """A 63-bit seed from the parts, the same on every platform; different parts give unrelated streams."""
    digest = hashlib.sha256("/".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def named_generator(*parts: int | str) -> torch.Generator:
    """A CPU generator for the stream named by the parts."""
    return torch.Generator().manual_seed(derived_seed(*parts))


def batch_order(num_examples: int, seed: int, epoch: int) -> Tensor:
    """The order in which an epoch visits the examples, shape ``(num_examples,)``, on the CPU.

    It depends on ``(seed, epoch)`` only and carries no state, so that a run can be resumed anywhere and a
    member of an ensemble sees the same batches as the same net trained alone.
    """
    return torch.randperm(num_examples, generator=named_generator("order", seed, epoch))
