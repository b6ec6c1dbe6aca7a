"""Probe vectors whose matrices have low rank, for cheap Hessian-vector products through linear layers.

The only condition of the paper's Eq. 1 and 5 on a probe is E[v vᵀ] = I: its entries must be uncorrelated, not
independent. For a weight matrix W of n × m entries the matrix V = A Bᵀ/√r, with independent signs in A (n × r)
and B (m × r), has that property for every r, and X V, which a Hessian-vector product takes twice a layer, costs
r (n + m) multiplications an example instead of n m. On the paper's autoencoders a product falls from 1.8 to 1.2
gradients of arithmetic, and (n + m) r random bits are drawn instead of n m.

The price is the variance of (Hv)ᵢ². With h the part of row i of H that belongs to W, as an n × m matrix,

    Var[(hᵀv)²] = 2 ‖h‖⁴ + κ/r,   κ = 6 (‖hᵀh‖² − Σ rows⁴ − Σ columns⁴) + 4 Σ hₐᵦ⁴,

with ‖·‖ Frobenius's norm and ``rows``, ``columns`` the norms of the rows and columns of h; κ ≤ 6 ‖h‖⁴, near it
only where h has rank one. With r = 16 the variance is so at most 1.19 times that of a Gaussian probe.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor

from esgd.probe_streams import by_dtype, random_bits, signs, streams

__all__ = ["RANK", "LowRank", "low_rank"]

RANK = 16  # both factors are scaled by its fourth root, 2: exact in every dtype


def _has_factors(p: Tensor) -> bool:
    """Whether a parameter's part of v has factors: a matrix for which they are cheaper than its entries."""
    return p.dim() == 2 and RANK * (p.shape[0] + p.shape[1]) < p.numel()


class LowRank(Sequence[Tensor]):
    """A probe vector: a sequence with a tensor for each parameter, some of them known by two factors.

    Args:
        params: tensors that give shapes, dtypes and devices. Matrices with more than r (n + m) entries get
            factors; everything else independent signs.
        seed: which family of probes.
        index: which probe of the family.
    """

    def __init__(self, params: Sequence[Tensor], seed: int, index: int) -> None:
        parts: list[Tensor | tuple[Tensor, Tensor] | None] = [None] * len(params)
        for places, generator in streams(params, seed, index):
            for i, part in zip(places, _drawn([params[i] for i in places], generator), strict=True):
                parts[i] = part
        self._parts = parts

    def __len__(self) -> int:
        return len(self._parts)

    def factors(self, i: int) -> tuple[Tensor, Tensor] | None:
        """``(A, B)``, shapes ``(n, r)`` and ``(m, r)``, entries ± r^(−1/4), with V = A Bᵀ; ``None`` without."""
        part = self._parts[i]
        return part if isinstance(part, tuple) else None

    def tensors(self) -> list[Tensor]:
        """The tensors that hold the vector: both factors of a matrix that has them, all entries of the others."""
        return [t for part in self._parts for t in (part if isinstance(part, tuple) else (part,))]

    def __getitem__(self, i):  # an index or a slice, as of a list
        if isinstance(i, slice):
            return [self[j] for j in range(*i.indices(len(self)))]
        part = self._parts[i]
        return part[0] @ part[1].T if isinstance(part, tuple) else part


@lru_cache
def _table(size: float) -> Tensor:
    """The eight signs of every byte, times ``size``, shape (256, 8)."""
    bits = torch.arange(256)[:, None] >> torch.arange(8)
    return torch.where(bits % 2 == 0, size, -size)


def _signs(n: int, generator: torch.Generator, size: float) -> Tensor:
    """``n`` independent signs, times ``size``, float32; on a CPU from a table, quickest for as few as here."""
    bits = random_bits(n, generator)
    if bits.device.type != "cpu":
        return signs(bits, 0, n).mul_(size)
    return _table(size).index_select(0, bits.view(torch.uint8).int()).view(-1)[:n]


def _drawn(params: Sequence[Tensor], generator: torch.Generator) -> list[Tensor | tuple[Tensor, Tensor]]:
    """The parts of one vector, from one flat draw for each dtype: the factors first, then the other parts."""
    result: list[Tensor | tuple[Tensor, Tensor] | None] = [None] * len(params)
    scale = RANK**0.25
    for members in by_dtype(params, range(len(params))):
        factored: list[int] = []
        others: list[int] = []
        sides: list[int] = []
        for i in members:
            if _has_factors(params[i]):
                factored.append(i)
                sides += params[i].shape
            else:
                others.append(i)
        first = RANK * sum(sides)
        sizes = [params[i].numel() for i in others]
        total = first + sum(sizes)
        flat = _signs(total, generator, 1 / scale).to(params[members[0]].dtype)
        pairs = iter(flat[:first].view(-1, RANK).split(sides))
        for i in factored:
            result[i] = next(pairs), next(pairs)
        for i, piece in zip(others, flat[first:].mul_(scale).split(sizes), strict=True):
            result[i] = piece if params[i].dim() == 1 else piece.view(params[i].shape)
    return result  # type: ignore[return-value]


def low_rank(params: Sequence[Tensor], generator: torch.Generator) -> list[Tensor]:
    """The vector of :class:`LowRank` with every matrix multiplied out.

    Args:
        params: tensors that give shapes and dtypes; on the generator's device.
        generator: the source of randomness; it is advanced.

    Returns:
        One tensor a parameter, of its shape and dtype.

    Example:
        >>> from esgd.probes import probe_generator
        >>> (v,) = low_rank([torch.zeros(100, 50)], probe_generator(seed=0, index=0))
        >>> int(torch.linalg.matrix_rank(v)), bool(abs(v.square().mean() - 1) < 0.2)
        (16, True)
    """
    return [p[0] @ p[1].T if isinstance(p, tuple) else p for p in _drawn(params, generator)]
