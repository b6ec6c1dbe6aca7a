"""How far two diagonal preconditioners are from each other, beside what a constant vector would score.

The paper's §8.1 measures the cosine distance and holds that it "should not exceed one". Two vectors without
negative entries never exceed one, and the cosine hardly sees small entries, which a preconditioner divides
by. So the log-dispersion stands beside it, and beside both what the plainest vector of all scores.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from esgd.errors import ConfigError
from esgd.estimate import Estimate
from esgd.half_samples import half_sample_error

__all__ = ["PreconditionerDistance", "compare", "cosine_distance", "log_dispersion", "noise_floor"]

Vector = Tensor | np.ndarray | Estimate


@dataclass(frozen=True)
class PreconditionerDistance:
    """What :func:`compare` found; each number with its error bar.

    Attributes:
        cosine: 1 − u·v/(‖u‖‖v‖).
        log_dispersion: standard deviation over the entries of log(u_i / v_i).
        constant_cosine: the same cosine distance with u replaced by a constant vector.
        constant_log_dispersion: likewise.
        dropped: entries where both are zero, left out of the log-dispersion.
    """

    cosine: Estimate
    log_dispersion: Estimate
    constant_cosine: Estimate
    constant_log_dispersion: Estimate
    dropped: int


def _parts(u: Vector, name: str) -> tuple[Tensor, Tensor, int]:
    """Value, standard error and probes, in float64."""
    value, error, probes = (u.value, u.stderr, u.num_probes) if isinstance(u, Estimate) else (u, None, 0)
    if isinstance(value, np.ndarray) and value.dtype.kind in "fiub":
        value = torch.from_numpy(np.array(value, dtype=np.float64))
    if not isinstance(value, Tensor) or value.ndim != 1 or not value.numel():
        came = f"shape {tuple(value.shape)}" if isinstance(value, Tensor) else f"a {type(value).__name__}"
        raise ConfigError(f"{name} must be a flat vector of shape (N,) or an Estimate of one, got {came}")
    if value.is_complex():
        raise ConfigError(f"{name} must be real, got {value.dtype}: take its absolute value")
    if value.is_floating_point() and not value.is_meta and not torch.isfinite(value).all():
        bad = int((~torch.isfinite(value)).sum())
        raise ConfigError(f"{bad} of {len(value)} entries of {name} are not finite: look at where it was computed")
    wide = torch.float32 if value.device.type == "mps" else torch.float64
    value = value.to(wide)
    return value, torch.zeros_like(value) if error is None else error.to(wide), probes


def _pair(u: Vector, v: Vector) -> tuple[Tensor, Tensor, int]:
    a, _, a_probes = _parts(u, "u")
    b, _, b_probes = _parts(v, "v")
    if a.shape != b.shape:
        raise ConfigError(f"u has {len(a)} entries and v has {len(b)}: give both in the same parameters' order")
    if a.device != b.device:
        raise ConfigError(f"u is on {a.device} and v on {b.device}: use u.to({str(b.device)!r})")
    return a, b, max(a_probes, b_probes)


def _estimate(statistic: Callable[[Tensor, Tensor], float], u: Vector, v: Vector) -> Estimate:
    """A distance with its error bar from halves of the probes."""
    a, b, probes = _pair(u, v)
    noisy = [isinstance(x, Estimate) and bool(torch.as_tensor(x.stderr).any()) for x in (u, v)]
    mine, other = (x.groups if is_noisy else None for x, is_noisy in zip((u, v), noisy, strict=True))
    if noisy == [False, False]:
        error = 0.0
    elif (noisy[0] and mine is None) or (noisy[1] and other is None):
        error = math.inf
    elif mine is None:
        error = half_sample_error(lambda y: statistic(a, y), other)
    elif other is None:
        error = half_sample_error(lambda x: statistic(x, b), mine)
    elif list(mine.counts) == list(other.counts):
        error = half_sample_error(statistic, mine, other)
    else:  # how far the two share their probes is unknown: the sum is never too small
        error = half_sample_error(lambda x: statistic(x, b), mine)
        error += half_sample_error(lambda y: statistic(a, y), other)
    return Estimate(statistic(a, b), error, probes)


def cosine_distance(u: Vector, v: Vector) -> Estimate:
    """1 − u·v/(‖u‖‖v‖), the paper's §8.1; in [0, 1] for vectors without negative entries.

    The error bar compares halves of the probes (:func:`~esgd.half_samples.half_sample_error`), since one probe
    moves all entries at once. Noise in u and v does not only spread the distance but adds to it: see
    :func:`noise_floor`.

    Args:
        u: flat vector, a tensor or NumPy array of shape ``(N,)``, or an :class:`Estimate` of one.
        v: likewise.

    Returns:
        The distance; its error bar is infinite if an :class:`Estimate` has no ``groups`` or fewer than four
        of them.

    Raises:
        ConfigError: no such vectors, of different lengths or devices, not finite; or one is zero.
    """
    a, b, _ = _pair(u, v)
    if not (a.any() and b.any()):
        raise ConfigError("the cosine distance from a zero vector is undefined: that preconditioner is all zero")
    return _estimate(_cosine, u, v)


def _cosine(a: Tensor, b: Tensor) -> float:
    # ½‖a/‖a‖ − b/‖b‖‖², which keeps its digits where 1 − cos would cancel
    x, y = a / torch.linalg.vector_norm(a), b / torch.linalg.vector_norm(b)
    return 0.5 * (x - y).square().sum().item()


def log_dispersion(u: Vector, v: Vector) -> Estimate:
    """Standard deviation over the entries of log(u_i / v_i): 0 iff u and v are proportional.

    All entries weigh the same, however small; scaling u or v changes nothing. An entry that is zero in both
    is left out, one that is zero in only one makes the dispersion infinite. Noise in u and v adds to it:
    compare with the ``log_dispersion`` of :func:`noise_floor`. The error bar is made as that of
    :func:`cosine_distance`.

    Args:
        u: flat vector without negative entries, shape ``(N,)``, or an :class:`Estimate` of one.
        v: likewise.

    Raises:
        ConfigError: as for :func:`cosine_distance`; or an entry is negative, or fewer than two are left.
    """
    a, b, _ = _pair(u, v)
    if (a < 0).any() or (b < 0).any():
        raise ConfigError("the log-dispersion needs vectors without negative entries: take the absolute value")
    live = int(((a > 0) | (b > 0)).sum())
    if live < 2:
        raise ConfigError(f"the log-dispersion needs at least two entries that are not zero, got {live}")
    return _estimate(_log_spread, u, v)


def _log_spread(a: Tensor, b: Tensor) -> float:
    live = (a > 0) | (b > 0)
    return (a[live] / b[live]).log().std(correction=0).item() if (a > 0).equal(b > 0) else math.inf


def noise_floor(u: Estimate) -> dict[str, float]:
    """What the error bars of an estimate alone put between it and the truth.

    For D_E from k Gaussian probes the cosine distance is about 1/(4k) where the entries' errors are independent,
    for D_J it can be many times that. A part of the error that all entries share, such as a common factor, does
    not count: with ``groups`` it is measured and taken out, without them the entries count as independent.

    Args:
        u: an estimate of a preconditioner, e.g. ``diag_squared(...).sqrt()``.

    Returns:
        ``{"cosine": …, "log_dispersion": …}``, to first order in the relative errors.

    Raises:
        ConfigError: no estimate of a vector.
    """
    if not isinstance(u, Estimate):
        raise ConfigError(f"u must be an Estimate, whose error bars make the floor, got {type(u).__name__}")
    value, error, _ = _parts(u, "u")
    live = value > 0
    if not live.any():
        return {"cosine": math.inf, "log_dispersion": math.inf}
    along = _variance_along(u, error, value / torch.linalg.vector_norm(value))  # noise along u turns nothing
    across = (error.square().sum() - along).clamp(min=0) / value.square().sum()
    inverse = torch.where(live, 1 / value, 0.0)
    common = _variance_along(u, error, inverse / live.sum())  # noise in the mean of the logarithms
    spread = ((error * inverse).square().sum() / live.sum() - common).clamp(min=0).sqrt()
    return {"cosine": 0.5 * across.item(), "log_dispersion": spread.item()}


def _variance_along(u: Estimate, error: Tensor, direction: Tensor) -> Tensor:
    """Variance of direction · u."""
    error_along = math.inf
    if u.groups is not None:
        error_along = half_sample_error(lambda x: torch.dot(direction, x).item(), u.groups)
    if not math.isfinite(error_along):
        return (direction * error).square().sum()
    return torch.as_tensor(error_along**2, dtype=error.dtype, device=error.device)


def compare(u: Vector, reference: Vector) -> PreconditionerDistance:
    """Both distances of ``u`` from ``reference``, and those of a constant vector.

    A preconditioner that is no nearer to the reference than a constant does nothing that a learning rate
    could not do.

    Args:
        u: flat vector without negative entries, shape ``(N,)``, or an :class:`Estimate` of one.
        reference: likewise, e.g. D_E.

    Raises:
        ConfigError: as for the two distances.
    """
    value, _, _ = _parts(reference, "reference")
    constant = (value > 0).to(value.dtype)  # constant where the reference lives: dead entries divide nothing
    mine, _, _ = _parts(u, "u")
    return PreconditionerDistance(
        cosine_distance(u, reference),
        log_dispersion(u, reference),
        cosine_distance(torch.ones_like(value), reference),
        log_dispersion(constant, reference),
        int(((value == 0) & (mine == 0)).sum()),
    )
