"""Random probe vectors v with E[v vᵀ] = I, reproducible from ``(seed, index)`` alone.

Both kinds satisfy the only condition of the paper's Eq. 1 and 5, E[v vᵀ] = I. Rademacher entries are ±1 and
have the smaller variance of the two; Gaussian entries are the paper's letter (Algorithm 1, ``v ∼ N(0, 1)``).

On a CPU the generator is serial, so drawing a Gaussian costs about half a gradient. Rademacher vectors are
drawn 64 entries at a time: one random 64-bit word gives 64 sign bits, which are set on the number 1.0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from esgd.errors import ConfigError

__all__ = ["PROBES", "draw", "gaussian", "probe_generator", "rademacher"]

_MASK = (1 << 64) - 1


def _mix(seed: int, index: int) -> int:
    """A 63-bit seed from two integers: two rounds of the splitmix64 finaliser (Steele et al. 2014)."""
    z = (seed & _MASK) * 0x9E3779B97F4A7C15 & _MASK
    for word in (index & _MASK, 0x632BE59BD9B4E019):
        z = (z + word + 0x9E3779B97F4A7C15) & _MASK
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 & _MASK
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB & _MASK
        z ^= z >> 31
    return z >> 1


def probe_generator(seed: int, index: int, device: torch.device | str = "cpu") -> torch.Generator:
    """The generator of probe number ``index`` under ``seed``: the same on every rank and after every resume.

    The stream depends on the kind of device (torch's CPU and CUDA generators differ), not on its number.

    Example:
        >>> first, again = (torch.rand(2, generator=probe_generator(seed=0, index=7)) for _ in range(2))
        >>> torch.equal(first, again)
        True
    """
    return torch.Generator(device=device).manual_seed(_mix(seed, index))


def _halves(n: int, generator: torch.Generator) -> Tensor:
    """``n`` random bits or a few more, packed in 32-bit numbers, an even number of them."""
    words = torch.empty((n + 63) // 64, dtype=torch.int64, device=generator.device)
    return words.random_(-(2**63), None, generator=generator).view(torch.int32)


def _signs(halves: Tensor, start: int, stop: int) -> Tensor:
    """Entries ``start`` to ``stop`` of the vector of signs ±1 that lies in ``halves``, float32.

    Entry s·w + c of the vector, w = len(halves), is bit 31 - s of number c: a shift puts it where a float has its
    sign, and whole rows of w entries take one operation.
    """
    width = len(halves)
    bits = torch.empty(stop - start, dtype=torch.int32, device=halves.device)
    at = start
    while at < stop:
        row, column = divmod(at, width)
        if rows := 0 if column else (stop - at) // width:
            shifts = torch.arange(row, row + rows, dtype=torch.int32, device=halves.device)
            end = at + rows * width
            place = bits[at - start : end - start].view(rows, width)
            torch.bitwise_left_shift(halves[None, :], shifts[:, None], out=place)
        else:
            end = min(stop, (row + 1) * width)
            place = bits[at - start : end - start]
            torch.bitwise_left_shift(halves[column : column + end - at], row, out=place)
        at = end
    bits.bitwise_and_(-(2**31)).bitwise_or_(0x3F800000)  # keep the sign bit, set the rest to 1.0
    return bits.view(torch.float32)


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
        for places, generator in _streams(params, seed, index):
            for members in _by_dtype(params, places):
                sizes = [params[i].numel() for i in members]
                halves, start, part = _halves(sum(sizes), generator), 0, None
                for i, size in zip(members, sizes, strict=True):
                    if part is None or start + size - part.start > sum(sizes) // 8:
                        part = _Part(halves, start, [], [])
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
            flat = _signs(part.halves, part.start, part.start + sum(part.sizes)).to(self._like[i][1])
            for j, piece in zip(part.members, flat.split(part.sizes), strict=True):
                self._made[j] = piece.view(self._like[j][0])
        return self._made.pop(i)


@dataclass(frozen=True)
class _Part:
    """Neighbours in a flat vector of signs."""

    halves: Tensor
    start: int
    members: list[int]
    sizes: list[int]


def _rademacher_flat(n: int, generator: torch.Generator, dtype: torch.dtype) -> Tensor:
    """``n`` independent signs ±1, shape (n,)."""
    return _signs(_halves(n, generator), 0, n).to(dtype)


def _gaussian_flat(n: int, generator: torch.Generator, dtype: torch.dtype) -> Tensor:
    """``n`` independent N(0, 1) numbers, shape (n,)."""
    return torch.randn(n, generator=generator, device=generator.device, dtype=dtype)


def _by_dtype(params: Sequence[Tensor], places: Sequence[int]) -> Iterator[list[int]]:
    """The places of each dtype, in order of first appearance: one flat draw serves them."""
    for dtype in dict.fromkeys(params[i].dtype for i in places):
        if not dtype.is_floating_point:
            raise ConfigError(f"probes are real vectors, but a parameter has dtype {dtype}: leave it out")
        yield [i for i in places if params[i].dtype == dtype]


def _streams(params: Sequence[Tensor], seed: int, index: int) -> Iterator[tuple[list[int], torch.Generator]]:
    """The places of each device with its generator."""
    for number, device in enumerate(dict.fromkeys(p.device for p in params)):
        # a stream of its own for each further device: the same seed would repeat the same signs
        yield [i for i, p in enumerate(params) if p.device == device], probe_generator(seed + number, index, device)


def _split(
    params: Sequence[Tensor],
    generator: torch.Generator,
    flat: Callable[[int, torch.Generator, torch.dtype], Tensor],
) -> list[Tensor]:
    """One flat draw for each dtype among ``params``, cut into their shapes."""
    result: list[Tensor | None] = [None] * len(params)
    for members in _by_dtype(params, range(len(params))):
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
}


def draw(kind: str, params: Sequence[Tensor], seed: int, index: int) -> list[Tensor]:
    """Probe number ``index`` under ``seed``, on the parameters' own devices.

    Args:
        kind: ``"rademacher"`` or ``"gaussian"``.
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
    for places, generator in _streams(params, seed, index):
        for i, v in zip(places, PROBES[kind]([params[i] for i in places], generator), strict=True):
            result[i] = v
    return result  # type: ignore[return-value]


def draw_lazily(kind: str, params: Sequence[Tensor], seed: int, index: int) -> Sequence[Tensor]:
    """The vector of :func:`draw`, made tensor by tensor as it is used where that is cheap: signs on a CPU.

    On a GPU, where each operation costs a launch, and for Gaussian vectors the whole is drawn at once.
    """
    if kind == "rademacher" and all(p.device.type == "cpu" for p in params):
        return Signs(params, seed, index)
    return draw(kind, params, seed, index)
