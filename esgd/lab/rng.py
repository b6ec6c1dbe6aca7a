"""The lab's seeded random numbers, the same as ``src/rng.js`` bit for bit.

Every draw is a function of (seed, purpose, index). ``lab_probe`` is a probe for :class:`esgd.ESGD`, so that the
library can follow the very path that a reader sees on the page.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from esgd.errors import ConfigError

__all__ = ["PURPOSE", "draw_noise", "draw_probe", "lab_probe", "stream"]

PURPOSE = {"probe": 1, "noise": 2, "scatter": 3}
_MASK = 0xFFFFFFFF


def _mix32(word: int) -> int:
    """Murmur3's finaliser (A. Appleby): a well-mixed 32-bit word from a 32-bit word."""
    h = word & _MASK
    h = (h ^ (h >> 16)) * 0x85EBCA6B & _MASK
    h = (h ^ (h >> 13)) * 0xC2B2AE35 & _MASK
    return h ^ (h >> 16)


def stream(seed: int, purpose: int, index: int) -> Callable[[], float]:
    """The generator of one draw: mulberry32, uniforms in [0, 1) that are multiples of 2⁻³²."""
    state = _mix32(_mix32(_mix32(seed) + purpose) + index)

    def draw() -> float:
        nonlocal state
        state = (state + 0x6D2B79F5) & _MASK
        t = (state ^ (state >> 15)) * (state | 1) & _MASK
        t = ((t + ((t ^ (t >> 7)) * (t | 61) & _MASK)) & _MASK) ^ t
        return (t ^ (t >> 14)) / 4294967296

    return draw


def _gaussian_pair(draw: Callable[[], float]) -> tuple[float, float]:
    """Two independent N(0, 1) numbers by Box and Muller."""
    radius = math.sqrt(-2 * math.log(1 - draw()))
    angle = 2 * math.pi * draw()
    return radius * math.cos(angle), radius * math.sin(angle)


def _sign(draw: Callable[[], float]) -> float:
    return -1.0 if draw() < 0.5 else 1.0


def draw_probe(kind: str, seed: int, index: int, size: int = 2) -> tuple[float, ...]:
    """Probe number ``index`` of a run: ``size`` signs or Gaussian numbers, an even number of them.

    Raises:
        ConfigError: ``kind`` is neither ``"rademacher"`` nor ``"gaussian"``.
    """
    draw = stream(seed, PURPOSE["probe"], index)
    if kind == "gaussian":
        return tuple(value for _ in range(size // 2) for value in _gaussian_pair(draw))
    if kind == "rademacher":
        return tuple(_sign(draw) for _ in range(size))
    raise ConfigError(f"a lab probe is 'rademacher' or 'gaussian', not {kind!r}")


def draw_noise(seed: int, index: int) -> tuple[float, float]:
    """The standard normal pair behind the gradient noise of step ``index``."""
    return _gaussian_pair(stream(seed, PURPOSE["noise"], index))


def lab_probe(kind: str, seed: int) -> Callable[[Sequence[Tensor], int], list[Tensor]]:
    """The lab's probes as the ``probe=`` of :class:`esgd.ESGD`, for one parameter of an even size."""

    def probe(params: Sequence[Tensor], index: int) -> list[Tensor]:
        (theta,) = params
        return [torch.tensor(draw_probe(kind, seed, index, theta.numel()), dtype=theta.dtype, device=theta.device)]

    return probe
