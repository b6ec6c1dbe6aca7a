"""How far two diagonal preconditioners are from each other, beside what a constant vector would score.

The paper's §8.1 measures the cosine distance and holds that it "should not exceed one". Two vectors without
negative entries never exceed one, and the cosine hardly sees small entries, which a preconditioner divides
by. So the log-dispersion stands beside it, and beside both what the plainest vector of all scores.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from esgd.errors import ConfigError
from esgd.estimate import Estimate

__all__ = ["PreconditionerDistance", "compare", "cosine_distance", "log_dispersion", "noise_floor"]


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


def _parts(u: Tensor | Estimate, name: str) -> tuple[Tensor, Tensor, int]:
    """Value, standard error and probes, in float64."""
    value, error, probes = (u.value, u.stderr, u.num_probes) if isinstance(u, Estimate) else (u, None, 0)
    if not isinstance(value, Tensor) or value.ndim != 1 or not value.numel():
        came = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
        raise ConfigError(f"{name} must be a flat vector of shape (N,) or an Estimate of one, got {came}")
    wide = torch.float32 if value.device.type == "mps" else torch.float64
    value = value.to(wide)
    return value, torch.zeros_like(value) if error is None else error.to(wide), probes


def _pair(u: Tensor | Estimate, v: Tensor | Estimate) -> tuple[Tensor, Tensor, Tensor, Tensor, int]:
    a, a_error, a_probes = _parts(u, "u")
    b, b_error, b_probes = _parts(v, "v")
    if a.shape != b.shape:
        raise ConfigError(f"u has {len(a)} entries and v has {len(b)}: give both in the same parameters' order")
    return a, a_error, b, b_error, max(a_probes, b_probes)


def cosine_distance(u: Tensor | Estimate, v: Tensor | Estimate) -> Estimate:
    """1 − u·v/(‖u‖‖v‖), the paper's §8.1; in [0, 1] for vectors without negative entries.

    Args:
        u: flat vector, shape ``(N,)``, or an :class:`Estimate` of one.
        v: likewise.

    Returns:
        The distance; its error bar is the delta method's with the entries' errors taken as independent.

    Raises:
        ConfigError: shapes differ, or a vector is zero.
    """
    a, a_error, b, b_error, probes = _pair(u, v)
    norms = torch.linalg.vector_norm(a), torch.linalg.vector_norm(b)
    if min(norms) == 0:
        raise ConfigError("the cosine distance from a zero vector is undefined: that preconditioner is all zero")
    # ½‖a/‖a‖ − b/‖b‖‖², which keeps its digits where 1 − cos would cancel
    x, y = a / norms[0], b / norms[1]
    distance = 0.5 * (x - y).square().sum()
    cosine = 1 - distance
    variance = ((y - cosine * x) / norms[0] * a_error).square().sum()
    variance = variance + ((x - cosine * y) / norms[1] * b_error).square().sum()
    return Estimate(distance.item(), variance.sqrt().item(), probes)


def log_dispersion(u: Tensor | Estimate, v: Tensor | Estimate) -> Estimate:
    """Standard deviation over the entries of log(u_i / v_i): 0 iff u and v are proportional.

    All entries weigh the same, however small; scaling u or v changes nothing. An entry that is zero in both
    is left out, one that is zero in only one makes the dispersion infinite. Noise in u and v adds to it:
    compare with the ``log_dispersion`` of :func:`noise_floor`.

    Args:
        u: flat vector without negative entries, shape ``(N,)``, or an :class:`Estimate` of one.
        v: likewise.

    Raises:
        ConfigError: shapes differ, an entry is negative, or fewer than two entries are left.
    """
    a, a_error, b, b_error, probes = _pair(u, v)
    if (a < 0).any() or (b < 0).any():
        raise ConfigError("the log-dispersion needs vectors without negative entries: take the absolute value")
    live = (a > 0) | (b > 0)
    a, b, a_error, b_error = a[live], b[live], a_error[live], b_error[live]
    if len(a) < 2:
        raise ConfigError(f"the log-dispersion needs at least two entries that are not zero, got {len(a)}")
    if not ((a > 0) & (b > 0)).all():
        return Estimate(math.inf, math.inf, probes)
    x = (a / b).log()
    centred = x - x.mean()
    dispersion = centred.square().mean().sqrt()
    noise = (a_error / a).square() + (b_error / b).square()
    error = (centred.square() * noise).sum().sqrt() / (len(x) * dispersion) if dispersion > 0 else dispersion
    return Estimate(dispersion.item(), error.item(), probes)


def noise_floor(u: Estimate) -> dict[str, float]:
    """What the error bars of an estimate alone put between it and the truth.

    For D_E from k Gaussian probes the cosine distance is about 1/(4k), for D_J it can be many times that.

    Args:
        u: an estimate of a preconditioner, e.g. ``diag_squared(...).sqrt()``.

    Returns:
        ``{"cosine": …, "log_dispersion": …}``, to first order in the relative errors.
    """
    value, error, _ = _parts(u, "u")
    live = value > 0
    relative = (error[live] / value[live]).square().mean().sqrt().item() if live.any() else math.inf
    along = torch.dot(value, error.square() * value) / value.square().sum()  # noise along u turns nothing
    across = error.square().sum() - along
    return {"cosine": 0.5 * (across / value.square().sum()).item(), "log_dispersion": relative}


def compare(u: Tensor | Estimate, reference: Tensor | Estimate) -> PreconditionerDistance:
    """Both distances of ``u`` from ``reference``, and those of a constant vector.

    A preconditioner that is no nearer to the reference than a constant does nothing that a learning rate
    could not do.

    Args:
        u: flat vector without negative entries, shape ``(N,)``, or an :class:`Estimate` of one.
        reference: likewise, e.g. D_E.
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
