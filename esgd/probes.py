"""Random probe vectors v with E[v vᵀ] = I, reproducible from ``(seed, index)`` alone.

Both kinds satisfy the only condition of the paper's Eq. 1 and 5, E[v vᵀ] = I. Rademacher entries are ±1 and
have the smaller variance of the two; Gaussian entries are the paper's letter (Algorithm 1, ``v ∼ N(0, 1)``).

On a CPU the generator is serial, so drawing a Gaussian costs about half a gradient. Rademacher vectors are
drawn 64 entries at a time: one random 64-bit word gives 64 sign bits, which are set on the number 1.0.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

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


def _rademacher_flat(n: int, generator: torch.Generator, dtype: torch.dtype, out: Tensor | None = None) -> Tensor:
    """``n`` independent signs ±1, shape (n,), in ``out`` if that is given."""
    device = generator.device
    words = torch.empty((n + 63) // 64, dtype=torch.int64, device=device)
    words.random_(-(2**63), None, generator=generator)
    halves = words.view(torch.int32)  # (2·words,), 32 bits each
    shifts = torch.arange(32, dtype=torch.int32, device=device)
    in_place = out is not None and dtype == torch.float32
    bits = out[: 64 * len(words)].view(torch.int32).view(32, -1) if in_place else None
    bits = torch.bitwise_left_shift(halves[None, :], shifts[:, None], out=bits)  # (32, 2·words): bit s on top
    bits.bitwise_and_(-(2**31)).bitwise_or_(0x3F800000)  # keep the sign bit, set the rest to 1.0
    signs = bits.view(torch.float32).view(-1)[:n]
    if out is None or in_place:
        return signs.to(dtype)
    return out[:n].copy_(signs)


def _gaussian_flat(n: int, generator: torch.Generator, dtype: torch.dtype, out: Tensor | None = None) -> Tensor:
    """``n`` independent N(0, 1) numbers, shape (n,), in ``out`` if that is given."""
    if out is not None:
        return out[:n].normal_(generator=generator)
    return torch.randn(n, generator=generator, device=generator.device, dtype=dtype)


def _split(
    params: Sequence[Tensor],
    generator: torch.Generator,
    flat: Callable[..., Tensor],
    out: Tensor | None = None,
) -> list[Tensor]:
    """One flat draw for each dtype among ``params`` (in order of first appearance), cut into their shapes."""
    result: list[Tensor | None] = [None] * len(params)
    for dtype in dict.fromkeys(p.dtype for p in params):
        if not dtype.is_floating_point:
            raise ConfigError(f"probes are real vectors, but a parameter has dtype {dtype}: leave it out")
        places = [i for i, p in enumerate(params) if p.dtype == dtype]
        pieces = flat(sum(params[i].numel() for i in places), generator, dtype, out).split(
            [params[i].numel() for i in places]
        )
        for i, piece in zip(places, pieces, strict=True):
            result[i] = piece.view(params[i].shape)
    return result  # type: ignore[return-value]


def rademacher(params: Sequence[Tensor], generator: torch.Generator, out: Tensor | None = None) -> list[Tensor]:
    """Independent entries ±1, each with probability ½.

    Args:
        params: tensors that give shapes and dtypes; on the generator's device.
        generator: the source of randomness; it is advanced.
        out: as for :func:`draw`.

    Returns:
        One tensor a parameter, of its shape and dtype.

    Example:
        >>> rademacher([torch.zeros(4)], probe_generator(seed=0, index=0))
        [tensor([-1.,  1.,  1., -1.])]
    """
    return _split(params, generator, _rademacher_flat, out)


def gaussian(params: Sequence[Tensor], generator: torch.Generator, out: Tensor | None = None) -> list[Tensor]:
    """Independent N(0, 1) entries: Algorithm 1 of the paper to the letter.

    Args:
        params: tensors that give shapes and dtypes; on the generator's device.
        generator: the source of randomness; it is advanced.
        out: as for :func:`draw`.

    Returns:
        One tensor a parameter, of its shape and dtype.

    Example:
        >>> (v,) = gaussian([torch.zeros(10_000)], probe_generator(seed=0, index=0))
        >>> bool(abs(v.square().mean() - 1) < 0.06)
        True
    """
    return _split(params, generator, _gaussian_flat, out)


PROBES: dict[str, Callable[..., list[Tensor]]] = {
    "rademacher": rademacher,
    "gaussian": gaussian,
}


def draw(kind: str, params: Sequence[Tensor], seed: int, index: int, out: Tensor | None = None) -> list[Tensor]:
    """Probe number ``index`` under ``seed``, on the parameters' own devices.

    Args:
        kind: ``"rademacher"`` or ``"gaussian"``.
        params: the parameters; several devices are allowed, each then has its own stream.
        seed: which family of probes.
        index: which probe of the family, counted from 0.
        out: a flat tensor to draw into, of at least the parameters' size rounded up to a multiple of 64, for
            parameters that all have its dtype and device; views into it come back. The numbers are the same.

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
    devices = list(dict.fromkeys(p.device for p in params))
    result: list[Tensor | None] = [None] * len(params)
    for number, device in enumerate(devices):
        places = [i for i, p in enumerate(params) if p.device == device]
        # a stream of its own for each further device: the same seed would repeat the same signs
        generator = probe_generator(seed + number, index, device)
        for i, v in zip(places, PROBES[kind]([params[i] for i in places], generator, out), strict=True):
            result[i] = v
    return result  # type: ignore[return-value]
