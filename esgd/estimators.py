"""Diagonals and norms of a Hessian that is never formed, each with its error bar.

Every estimator takes an operator (:class:`~esgd.operator.HessianOperator`, its Gauss–Newton sister, or a symmetric
matrix) and random probes v with E[v vᵀ] = I, and returns an :class:`~esgd.estimate.Estimate`. They are the paper's
Eq. 1 (diag H²), Eq. 5 (diag H) and Eq. 6 (diagonal dominance), and what the paper leaves out: the bias of a
minibatch's (Hv)² and the estimator without it, the bias of Eq. 6's plug-in and the estimator without it,
diag |H|, and how often the root of an unbiased estimate falls short.

``rtol=`` stops as soon as the error bar is that small relative to the value (a stop that looks at the data
favours small values by an amount far below the error bar).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from esgd.cross_batch import cross_diag_squared
from esgd.curvature_checks import check_counts
from esgd.distances import PreconditionerDistance, compare, cosine_distance, log_dispersion, noise_floor
from esgd.dominance import DominanceSums, dominance_plugin, dominance_squared
from esgd.errors import ConfigError
from esgd.estimate import Estimate, RunningMoments
from esgd.flat import dot
from esgd.half_samples import Groups
from esgd.operator_base import CurvatureOperator
from esgd.operator_matrix import as_operator
from esgd.probes import draw
from esgd.probing import check_probing, probe_products, until
from esgd.spectrum import lanczos_many

__all__ = [
    "AbsEstimate",
    "DiagonalSums",
    "Diagonals",
    "Estimate",
    "PreconditionerDistance",
    "compare",
    "cosine_distance",
    "cross_diag_squared",
    "diag",
    "diag_abs",
    "diag_squared",
    "diagonals",
    "dominance_plugin",
    "dominance_squared",
    "frobenius_squared",
    "log_dispersion",
    "noise_floor",
    "root_bias",
]


@dataclass(frozen=True, eq=False)
class Diagonals:
    """All that the same products say: one probe, three faces.

    Attributes:
        diag: diag H, the mean of z = v ⊙ H v (Eq. 5); its absolute value is the Jacobi preconditioner D_J.
        diag_squared: diag H², the mean of (H v)² (Eq. 1); its root is the equilibration preconditioner D_E.
            With Rademacher probes (H v)² = z², so that D_E is the rms of z.
        frobenius_squared: ‖H‖_F².
        dominance_squared: d² of Eq. 6, debiased; it may be negative.
        dominance_plugin: d of Eq. 6 with the k-probe mean put in for diag H: biased up.
    """

    diag: Estimate
    diag_squared: Estimate
    frobenius_squared: Estimate
    dominance_squared: Estimate
    dominance_plugin: Estimate


@dataclass(frozen=True, eq=False)
class AbsEstimate(Estimate):
    """What :func:`diag_abs` returns: an :class:`Estimate` with two errors.

    Attributes:
        truncation: how far the value with all steps lies from that with half of them, entry by entry, an
            :class:`Estimate` of its own from the same probes. The kink of |λ| at zero makes the error fall like one
            over the steps, so that this is about the error that is left; more probes do not lower it.
    """

    truncation: Estimate | None = None

    @property
    def relative_truncation(self) -> float:
        """‖truncation‖ / ‖value‖, to hold beside ``relative_error``; its noise is in it as well."""
        return Estimate(self.value, self.truncation.value, self.num_probes).relative_error


def running_moments(operator: CurvatureOperator, shape: tuple[int, ...]) -> RunningMoments:
    """Running moments of samples of ``shape``, a vector's with its groups of probes."""
    groups = Groups.fitting(operator.num_params, operator.dtype) if shape else None
    return RunningMoments(shape, operator.device, groups)


class DiagonalSums:
    """The sums behind :func:`diagonals`, which take one probe after the other.

    Args:
        operator: of the products to come.
    """

    def __init__(self, operator: CurvatureOperator):
        self._z, self._squares = (running_moments(operator, (operator.num_params,)) for _ in range(2))
        self._energy, self._dominance = RunningMoments(), DominanceSums()

    @property
    def count(self) -> int:
        """Probes taken."""
        return self._squares.count

    def add(self, v: Tensor, h: Tensor) -> None:
        """Take the probe v with h = H v, flat, shape ``(N,)``."""
        z, size_squared = v * h, dot(h, h)
        self._z.add(z)
        self._squares.add(h.square())
        self._energy.add(size_squared)
        self._dominance.add(z, size_squared)

    def diag_squared(self) -> Estimate:
        """The diagonal of H² so far."""
        return self._squares.estimate()

    def found(self) -> Diagonals:
        """All that the products say so far."""
        dominance = self._dominance
        return Diagonals(
            self._z.estimate(),
            self.diag_squared(),
            self._energy.estimate(),
            dominance.squared(),
            dominance.plugin(),
        )

    def state(self) -> dict[str, Any]:
        """What a checkpoint needs."""
        return {name: getattr(self, f"_{name}").state() for name in ("z", "squares", "energy", "dominance")}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> DiagonalSums:
        """The sums that :meth:`state` described."""
        sums = cls.__new__(cls)
        sums._z, sums._squares = (RunningMoments.from_state(state[name]) for name in ("z", "squares"))
        scalars = {k: x.cpu() if isinstance(x, Tensor) else x for k, x in state["energy"].items()}
        sums._energy, sums._dominance = (
            RunningMoments.from_state(scalars),
            DominanceSums.from_state(state["dominance"]),
        )
        return sums


def _mean(
    operator: CurvatureOperator,
    sample: Callable[[Tensor, Tensor], Tensor | float],
    num_probes: int,
    probe: str,
    seed: int,
    rtol: float | None,
    probes_per_pass: int | None,
    *,
    scalar: bool = False,
) -> Estimate:
    check_probing(probe=probe, seed=seed, rtol=rtol, num_probes=num_probes, probes_per_pass=probes_per_pass)
    operator = as_operator(operator)
    moments = running_moments(operator, () if scalar else (operator.num_params,))
    for pairs in probe_products(operator, num_probes, probe, seed, probes_per_pass):
        for v, h in pairs:
            moments.add(sample(v, h))
        if until(rtol, moments.estimate):
            break
    return moments.estimate()


def diag(
    operator: CurvatureOperator,
    num_probes: int = 100,
    *,
    probe: str = "rademacher",
    seed: int = 0,
    rtol: float | None = None,
    probes_per_pass: int | None = None,
) -> Estimate:
    """The diagonal of H, E[v ⊙ H v], the paper's Eq. 5 (Bekas et al. 2007), shape ``(N,)``.

    Row by row E[v_i Σ_j H_ij v_j] = Σ_j H_ij E[v_i v_j] = H_ii. The variance of one probe is ‖h‖² − H_ii² with
    Rademacher entries and ‖h‖² + H_ii² with Gaussian ones, h the row: the energy off the diagonal decides.

    Args:
        operator: the matrix H, or anything that :class:`~esgd.operator_matrix.MatrixOperator` takes for one.
        num_probes: how many probe vectors at most.
        probe: ``"rademacher"``, ``"gaussian"`` or ``"low_rank"``.
        seed: of the probes.
        rtol: stop once ‖stderr‖ ≤ rtol · ‖value‖.
        probes_per_pass: probes that share a pass over the batches; None lets memory decide.

    Raises:
        ConfigError: a bad setting.
        CurvatureError: no operator, or a product that cannot be had or is not finite.
    """
    return _mean(operator, lambda v, h: v * h, num_probes, probe, seed, rtol, probes_per_pass)


def diag_squared(
    operator: CurvatureOperator,
    num_probes: int = 100,
    *,
    probe: str = "rademacher",
    seed: int = 0,
    rtol: float | None = None,
    probes_per_pass: int | None = None,
) -> Estimate:
    """The diagonal of H², E[(H v)²], the paper's Eq. 1 (Bradley and Murray 2011), shape ``(N,)``.

    Row by row E[(hᵀv)²] = hᵀ E[v vᵀ] h = ‖h‖². The variance of one probe is 2‖h‖⁴ with Gaussian entries and
    2(‖h‖⁴ − Σ_j h_j⁴) with Rademacher ones. Its ``sqrt()`` is D_E, low by the factor of :func:`root_bias`.

    H is the operator's own: on a minibatch this estimates diag H_b², which exceeds diag H² by the variance of
    the entries of H_b. :func:`cross_diag_squared` is free of that.

    Args and errors: as for :func:`diag`.
    """
    return _mean(operator, lambda _, h: h.square(), num_probes, probe, seed, rtol, probes_per_pass)


def frobenius_squared(
    operator: CurvatureOperator,
    num_probes: int = 100,
    *,
    probe: str = "rademacher",
    seed: int = 0,
    rtol: float | None = None,
    probes_per_pass: int | None = None,
) -> Estimate:
    """‖H‖_F² = E‖H v‖², a float: the sum of diag H², the denominator of Eq. 6.

    Args and errors: as for :func:`diag`.
    """
    return _mean(operator, lambda _, h: dot(h, h), num_probes, probe, seed, rtol, probes_per_pass, scalar=True)


def diagonals(
    operator: CurvatureOperator,
    num_probes: int = 100,
    *,
    probe: str = "rademacher",
    seed: int = 0,
    rtol: float | None = None,
    probes_per_pass: int | None = None,
) -> Diagonals:
    """All of diag H, diag H², ‖H‖_F² and the dominance, all from the same products; ``rtol`` watches diag H².

    Args and errors: as for :func:`diag`.
    """
    check_probing(probe=probe, seed=seed, rtol=rtol, num_probes=num_probes, probes_per_pass=probes_per_pass)
    operator = as_operator(operator)
    sums = DiagonalSums(operator)
    for pairs in probe_products(operator, num_probes, probe, seed, probes_per_pass):
        for v, h in pairs:
            sums.add(v, h)
        if until(rtol, sums.diag_squared):
            break
    return sums.found()


def diag_abs(
    operator: CurvatureOperator,
    num_probes: int = 20,
    *,
    num_steps: int = 30,
    probe: str = "rademacher",
    seed: int = 0,
    rtol: float | None = None,
    probes_per_pass: int = 1,
) -> AbsEstimate:
    """The diagonal of |H|, E[v ⊙ |H| v], shape ``(N,)``, with |H| v from ``num_steps`` of Lanczos started at v.

    |H| is what the paper's §5 shows to be the ideal; §1 and §8.1 take equilibration for an estimate of its
    diagonal, which it is not: diag|H| ≤ √diag(H²). The error bar covers the probes only; what the Krylov space
    leaves out stands beside it as ``truncation`` and vanishes as ``num_steps`` grows (exactly at N steps).

    Args:
        operator: the matrix H, as for :func:`diag`.
        num_probes: how many probe vectors at most; each costs ``num_steps`` products.
        num_steps: dimension of the Krylov space, at least 2.
        probe: ``"rademacher"``, ``"gaussian"`` or ``"low_rank"``.
        seed: of the probes.
        rtol: stop once ‖stderr‖ ≤ rtol · ‖value‖.
        probes_per_pass: probes that share the passes; each holds ``num_steps`` vectors of N.

    Raises:
        ConfigError: a bad setting.
        CurvatureError: as for :func:`diag`; or the Krylov spaces are too large.
    """
    check_counts(num_steps=num_steps, probes_per_pass=probes_per_pass)
    check_probing(probe=probe, seed=seed, rtol=rtol, num_probes=num_probes)
    operator = as_operator(operator)
    if num_steps < 2:
        raise ConfigError(f"num_steps must be at least 2, to be compared with half of them, got {num_steps}")
    shape = (operator.num_params,)
    moments, differences = running_moments(operator, shape), RunningMoments(shape, operator.device)
    for first in range(0, num_probes, probes_per_pass):
        indices = range(first, min(first + probes_per_pass, num_probes))
        starts = [operator.space.flatten(draw(probe, operator.params, seed, i)) for i in indices]
        for v, space in zip(starts, lanczos_many(operator, starts, num_steps), strict=True):
            h = space.apply(torch.abs)
            moments.add(v * h)
            differences.add(v * (h - space.head(num_steps // 2).apply(torch.abs)))
        if until(rtol, moments.estimate):
            break
    found = moments.estimate()
    return AbsEstimate(found.value, found.stderr, found.num_probes, found.groups, differences.estimate())


def root_bias(num_probes: int) -> float:
    """c_k with E √(D²_k) = c_k ‖h‖ for k Gaussian probes: how low the root of an unbiased estimate falls.

    √(k/‖h‖² · D²_k) is χ-distributed with k degrees of freedom, so c_k = √(2/k) Γ((k+1)/2) / Γ(k/2): 0.798 for
    one probe, 0.9975 for a hundred. The paper's abstract and §6 call ESGD unbiased; its D² is, its D is not.

    Args:
        num_probes: k.

    Raises:
        ConfigError: k is no whole number of at least 1.
    """
    check_counts(num_probes=num_probes)
    k = num_probes
    return math.sqrt(2 / k) * math.exp(math.lgamma((k + 1) / 2) - math.lgamma(k / 2))
