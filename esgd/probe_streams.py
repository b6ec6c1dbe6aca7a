"""Where the random bits of probe vectors come from: a stream for each ``(seed, index)`` and device."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from esgd.errors import ConfigError

__all__ = ["by_dtype", "probe_generator", "random_bits", "signs", "streams"]

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


def random_bits(n: int, generator: torch.Generator) -> Tensor:
    """``n`` random bits or a few more, packed in 32-bit numbers, an even number of them."""
    words = torch.empty((n + 63) // 64, dtype=torch.int64, device=generator.device)
    return words.random_(-(2**63), None, generator=generator).view(torch.int32)


def signs(bits: Tensor, start: int, stop: int) -> Tensor:
    """Entries ``start`` to ``stop`` of the vector of signs ±1 that lies in ``bits``, float32.

    Entry s·w + c of the vector, w = len(bits), is bit 31 - s of number c: a shift puts it where a float has its
    sign, and whole rows of w entries take one operation.
    """
    width = len(bits)
    result = torch.empty(stop - start, dtype=torch.int32, device=bits.device)
    at = start
    while at < stop:
        row, column = divmod(at, width)
        if rows := 0 if column else (stop - at) // width:
            shifts = torch.arange(row, row + rows, dtype=torch.int32, device=bits.device)
            end = at + rows * width
            place = result[at - start : end - start].view(rows, width)
            torch.bitwise_left_shift(bits[None, :], shifts[:, None], out=place)
        else:
            end = min(stop, (row + 1) * width)
            place = result[at - start : end - start]
            torch.bitwise_left_shift(bits[column : column + end - at], row, out=place)
        at = end
    result.bitwise_and_(-(2**31)).bitwise_or_(0x3F800000)  # keep the sign bit, set the rest to 1.0
    return result.view(torch.float32)


def by_dtype(params: Sequence[Tensor], places: Sequence[int]) -> Iterator[list[int]]:
    """The places of each dtype, in order of first appearance: one flat draw serves them."""
    for dtype in dict.fromkeys(params[i].dtype for i in places):
        if not dtype.is_floating_point:
            raise ConfigError(f"probes are real vectors, but a parameter has dtype {dtype}: leave it out")
        yield [i for i in places if params[i].dtype == dtype]


def streams(params: Sequence[Tensor], seed: int, index: int) -> Iterator[tuple[list[int], torch.Generator]]:
    """The places of each device with its generator."""
    for number, device in enumerate(dict.fromkeys(p.device for p in params)):
        # a stream of its own for each further device: the same seed would repeat the same signs
        yield [i for i, p in enumerate(params) if p.device == device], probe_generator(seed + number, index, device)
