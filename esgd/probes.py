"""Random probe vectors v with E[v vᵀ] = I, reproducible from ``(seed, index)`` alone.

All kinds satisfy the only condition of the paper's Eq. 1 and 5, E[v vᵀ] = I. Rademacher entries are ±1 and have
the smallest variance; Gaussian entries are the paper's letter (Algorithm 1, ``v ∼ N(0, 1)``); low-rank vectors
(:mod:`esgd.low_rank`) make a product through linear layers cheaper, for a variance slightly larger.

On a CPU the generator is serial, so drawing a Gaussian costs about half a gradient. Rademacher vectors are
drawn 64 entries at a time: one random 64-bit word gives 64 sign bits, which are set on the number 1.0.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from esgd.errors import ConfigError
from esgd.low_rank import LowRank, low_rank
from esgd.probe_streams import by_dtype, probe_generator, random_bits, signs, streams

__all__ = [
    "PROBES",
    "draw",
    "draw_factored",
    "draw_lazily",
    "gaussian",
    "low_rank",
    "probe_generator",
    "rademacher",
]


class Signs(Sequence[Tensor]):
    """A Rademacher vector whose tensors are made when they are asked for, a part of the vector at a time.

    Until then an entry takes one bit, so that the whole vector is never in memory. Neighbours are made together up
    to an eighth of the vector, and let go as they are handed out; what is asked for again is made again. The
    numbers are those of :func:`draw`.
    """

    def __init__(self, params: Sequence[Tensor], seed: int, index: int) -> None:
        self._like = [(p.shape, p.dtype) for p in params]
        self._part_of: list[_Part] = [None] * len(params)  # type: ignore[list-item]
        self._made: dict[int, Tensor] = {}
        for places, generator in streams(params, seed, index):
            for members in by_dtype(params, places):
                sizes = [params[i].numel() for i in members]
                bits, start, part = random_bits(sum(sizes), generator), 0, None
                for i, size in zip(members, sizes, strict=True):
                    if part is None or start + size - part.start > sum(sizes) // 8:
                        part = _Part(bits, start, [], [])
                    part.members.append(i)
                    part.sizes.append(size)
                    self._part_of[i], start = part, start + size

    def __len__(self) -> int:
        return len(self._like)

    def __getitem__(self, i):  # an index or a slice, as of a list
        if isinstance(i, slice):
            return [self[j] for j in range(*i.indices(len(self)))]
        i = range(len(self))[i]
        if i not in self._made:
            part = self._part_of[i]
            flat = signs(part.bits, part.start, part.start + sum(part.sizes)).to(self._like[i][1])
            for j, piece in zip(part.members, flat.split(part.sizes), strict=True):
                self._made[j] = piece.view(self._like[j][0])
        return self._made.pop(i)


@dataclass(frozen=True)
class _Part:
    """Neighbours in a flat vector of signs."""

    bits: Tensor
    start: int
    members: list[int]
    sizes: list[int]


def _rademacher_flat(n: int, generator: torch.Generator, dtype: torch.dtype) -> Tensor:
    """``n`` independent signs ±1, shape (n,)."""
    return signs(random_bits(n, generator), 0, n).to(dtype)


def _gaussian_flat(n: int, generator: torch.Generator, dtype: torch.dtype) -> Tensor:
    """``n`` independent N(0, 1) numbers, shape (n,)."""
    return torch.randn(n, generator=generator, device=generator.device, dtype=dtype)


def _split(
    params: Sequence[Tensor],
    generator: torch.Generator,
    flat: Callable[[int, torch.Generator, torch.dtype], Tensor],
) -> list[Tensor]:
    """One flat draw for each dtype among ``params``, cut into their shapes."""
    result: list[Tensor | None] = [None] * len(params)
    for members in by_dtype(params, range(len(params))):
        sizes = [params[i].numel() for i in members]
        pieces = flat(sum(sizes), generator, params[members[0]].dtype).split(sizes)
        for i, piece in zip(members, pieces, strict=True):
            result[i] = piece.view(params[i].shape)
    return result  # type: ignore[return-value]


def rademacher(params: Sequence[Tensor], generator: torch.Generator) -> list[Tensor]:
    """Independent entries ±1, each with probability ½.

    Args:
        params: tensors that give shapes and dtypes; on the generator's device.
        generator: the source of randomness; it is advanced.

    Returns:
        One tensor a parameter, of its shape and dtype.

    Example:
        >>> rademacher([torch.zeros(4)], probe_generator(seed=0, index=0))
        [tensor([-1.,  1.,  1., -1.])]
    """
    return _split(params, generator, _rademacher_flat)


def gaussian(params: Sequence[Tensor], generator: torch.Generator) -> list[Tensor]:
    """Independent N(0, 1) entries: Algorithm 1 of the paper to the letter.

    Args:
        params: tensors that give shapes and dtypes; on the generator's device.
        generator: the source of randomness; it is advanced.

    Returns:
        One tensor a parameter, of its shape and dtype.

    Example:
        >>> (v,) = gaussian([torch.zeros(10_000)], probe_generator(seed=0, index=0))
        >>> bool(abs(v.square().mean() - 1) < 0.06)
        True
    """
    return _split(params, generator, _gaussian_flat)


PROBES: dict[str, Callable[..., list[Tensor]]] = {
    "rademacher": rademacher,
    "gaussian": gaussian,
    "low_rank": low_rank,
}


def draw(kind: str, params: Sequence[Tensor], seed: int, index: int) -> list[Tensor]:
    """Probe number ``index`` under ``seed``, on the parameters' own devices.

    Args:
        kind: ``"rademacher"``, ``"gaussian"`` or ``"low_rank"``.
        params: the parameters; several devices are allowed, each then has its own stream.
        seed: which family of probes.
        index: which probe of the family, counted from 0.

    Returns:
        One tensor a parameter, of its shape, dtype and device.

    Raises:
        ConfigError: an unknown kind, or a parameter that is not real floating point.

    Example:
        >>> draw("rademacher", [torch.zeros(2), torch.zeros(3)], seed=0, index=1)
        [tensor([ 1., -1.]), tensor([-1.,  1.,  1.])]
    """
    if kind not in PROBES:
        raise ConfigError(f"probe must be one of {sorted(PROBES)}, got {kind!r}")
    result: list[Tensor | None] = [None] * len(params)
    for places, generator in streams(params, seed, index):
        for i, v in zip(places, PROBES[kind]([params[i] for i in places], generator), strict=True):
            result[i] = v
    return result  # type: ignore[return-value]


def draw_factored(kind: str, params: Sequence[Tensor], seed: int, index: int) -> Sequence[Tensor]:
    """The vector of :func:`draw`; where it has factors, with them, so that a Hessian's product may use them.

    Args:
        kind: as for :func:`draw`.
        params: the parameters.
        seed: which family of probes.
        index: which probe of the family, counted from 0.

    Example:
        >>> draw_factored("low_rank", [torch.zeros(90, 70)], seed=0, index=0).factors(0)[0].shape
        torch.Size([90, 16])
    """
    return LowRank(params, seed, index) if kind == "low_rank" else draw(kind, params, seed, index)


def draw_lazily(kind: str, params: Sequence[Tensor], seed: int, index: int) -> Sequence[Tensor]:
    """The vector of :func:`draw`, in the form in which a product takes it most cheaply.

    Signs on a CPU are made tensor by tensor as they are used (:class:`Signs`); on a GPU, where each operation costs
    a launch, they and Gaussian vectors are drawn at once. Low-rank vectors keep their factors
    (:class:`~esgd.low_rank.LowRank`).

    Args:
        kind: as for :func:`draw`.
        params: the parameters.
        seed: which family of probes.
        index: which probe of the family, counted from 0.

    Example:
        >>> lazy, whole = (f("rademacher", [torch.zeros(2, 3)], 0, 1) for f in (draw_lazily, draw))
        >>> torch.equal(lazy[0], whole[0])
        True
    """
    if kind == "rademacher" and all(p.device.type == "cpu" for p in params):
        return Signs(params, seed, index)
    return draw_factored(kind, params, seed, index)
