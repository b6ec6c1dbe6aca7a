"""The spectrum of a Hessian that is never formed: density, counts of negative eigenvalues, the extremes.

The eigenvalue density comes from stochastic Lanczos quadrature (Golub and Meurant 2010; Ghorbani et al. 2019):
a probe v of norm √N gives vᵀ f(H) v = N Σ_i w_i f(θ_i) with the Ritz values θ_i of its Krylov space and the
squared first components w_i of T's eigenvectors; the mean over probes is tr f(H), and the spread over probes
its error bar. Extreme eigenpairs and |H| v live in :mod:`esgd.eigenpairs` and :mod:`esgd.lanczos` and are
exported from here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from esgd.curvature_checks import (
    check_callable,
    check_counts,
    check_number,
    check_positive,
    check_probe,
    check_seed,
)
from esgd.eigenpairs import Eigenpairs, extreme_eigenpairs
from esgd.errors import ConfigError
from esgd.estimate import Estimate, RunningMoments
from esgd.lanczos import MAX_BYTES, Krylov, abs_matvec, abs_products, lanczos, lanczos_many
from esgd.operator_base import CurvatureOperator
from esgd.operator_matrix import as_operator
from esgd.probes import draw

__all__ = [
    "Eigenpairs",
    "Krylov",
    "SpectralDensity",
    "abs_matvec",
    "abs_products",
    "exact_negative_count",
    "extreme_eigenpairs",
    "lanczos",
    "quadratures",
    "spectral_density",
]


@dataclass(frozen=True, eq=False)
class SpectralDensity:
    """A quadrature for the spectrum: Ritz values with weights that sum to one, a row a probe.

    Attributes:
        nodes: Ritz values, ascending, shape ``(probes, m)``, float64; a space that turned out
            invariant has fewer, and its row is filled up with its last value at weight 0.
        weights: shape ``(probes, m)``.
        residuals: an eigenvalue lies within that of each node, shape ``(probes, m)``.
        num_params: N.
    """

    nodes: Tensor
    weights: Tensor
    residuals: Tensor
    num_params: int

    @property
    def num_probes(self) -> int:
        """Krylov spaces behind the density."""
        return len(self.nodes)

    def trace(self, function: Callable[[Tensor], Tensor]) -> Estimate:
        """The trace of f(H), Σ f(λ), f taken entry by entry, with the error bar of the probes.

        Where one eigenvalue makes most of the trace, as the largest of a net often does, a probe's share of it is
        about χ² with one degree of freedom: few probes are then more often too low than too high, and their error
        bar with them. Take 30 or more, or a function that leaves the outliers out.

        Args:
            function: f, e.g. ``torch.abs``: takes eigenvalues, shape ``(m,)``, and returns as many.

        Raises:
            CurvatureError: it is no function.
            ConfigError: it returns something else.
        """
        check_callable(function, "function", "a tensor of eigenvalues and returns f of each, e.g. torch.abs")
        moments = RunningMoments()
        for nodes, weights in zip(self.nodes, self.weights, strict=True):
            values = function(nodes)
            if not isinstance(values, Tensor) or values.shape != nodes.shape:
                came = f"shape {tuple(values.shape)}" if isinstance(values, Tensor) else type(values).__name__
                raise ConfigError(f"function must return a tensor of shape {tuple(nodes.shape)}, got {came}")
            moments.add(self.num_params * torch.dot(weights, values.to(weights.dtype)))
        return moments.estimate()

    def density(self, points: Tensor, width: float) -> Estimate:
        """Eigenvalue density at ``points``, each node widened to a normal of standard deviation ``width``.

        Args:
            points: shape ``(p,)``.
            width: in units of the eigenvalues; the density integrates to one over the line.

        Returns:
            Density and its error bar, each of shape ``(p,)``.

        Raises:
            ConfigError: the points are no list of numbers, or the width is not above 0.
        """
        check_positive(": try a hundredth of the spectrum's range", width=width)
        try:
            points = torch.as_tensor(points, dtype=torch.float64)
        except (TypeError, ValueError, RuntimeError):
            raise ConfigError(f"points must be numbers, shape (p,), got {type(points).__name__}") from None
        if points.ndim != 1:
            raise ConfigError(f"points must be numbers, shape (p,), got shape {tuple(points.shape)}")
        moments = RunningMoments(tuple(points.shape))
        for nodes, weights in zip(self.nodes, self.weights, strict=True):
            distance = (points[:, None] - nodes[None, :]) / width  # (p, m)
            moments.add((-0.5 * distance.square()).exp() @ weights / (width * math.sqrt(2 * math.pi)))
        return moments.estimate()

    def count_below(self, threshold: float = 0.0) -> Estimate:
        """How many of the N eigenvalues lie below ``threshold``; the index for a threshold of zero.

        Where eigenvalues crowd around the threshold, as those of a net do around zero, a Krylov space cannot
        tell them apart and the count is blurred by more than its error bar says: ask for those below −δ and
        vary δ.

        Raises:
            ConfigError: the threshold is no number.
        """
        check_number(threshold=threshold)
        return self.trace(lambda x: (x < threshold).double())

    def certain_negative(self) -> int:
        """A lower bound for the number of negative eigenvalues: the most negative Ritz values of one space.

        By Cauchy's interlacing a compression of H has at most as many negative eigenvalues as H itself. Ritz
        values within rounding of zero are not counted, nor is what fills up the rows of smaller spaces.
        """
        scale = self.nodes.abs().max()
        return int(((self.nodes < -1e-5 * scale) & (self.weights > 0)).sum(1).max())


def spectral_density(
    operator: CurvatureOperator,
    num_probes: int = 4,
    *,
    num_steps: int = 60,
    probe: str = "rademacher",
    seed: int = 0,
    probes_per_pass: int = 1,
    max_bytes: float = MAX_BYTES,
) -> SpectralDensity:
    """Stochastic Lanczos quadrature of the operator's spectrum.

    Args:
        operator: the symmetric matrix H, an operator or what
            :class:`~esgd.operator_matrix.MatrixOperator` takes for one.
        num_probes: Krylov spaces, each from a random start; each costs ``num_steps`` products.
        num_steps: m, nodes a probe. Polynomials up to degree 2m − 1 are integrated exactly.
        probe: ``"rademacher"``, ``"gaussian"`` or ``"low_rank"``.
        seed: of the probes.
        probes_per_pass: spaces that share the passes over the batches; each holds ``num_steps`` vectors of N.
        max_bytes: refuse bases that are larger together.

    Raises:
        ConfigError: bad settings.
        CurvatureError: no operator, a product that cannot be had or is not finite, or too large bases.
    """
    check_counts(num_probes=num_probes, probes_per_pass=probes_per_pass, num_steps=num_steps)
    check_probe(probe)
    check_seed(seed)
    operator = as_operator(operator)
    rows = []
    for first in range(0, num_probes, probes_per_pass):
        indices = range(first, min(first + probes_per_pass, num_probes))
        rows += quadratures(operator, indices, num_steps=num_steps, probe=probe, seed=seed, max_bytes=max_bytes)
    return SpectralDensity(*map(torch.stack, zip(*rows, strict=True)), operator.num_params)


def quadratures(
    operator: CurvatureOperator,
    indices: Iterable[int],
    *,
    num_steps: int,
    probe: str = "rademacher",
    seed: int = 0,
    max_bytes: float = MAX_BYTES,
) -> list[tuple[Tensor, Tensor, Tensor]]:
    """One row of a :class:`SpectralDensity` for each probe of these numbers: nodes, weights and residuals.

    Args:
        operator: the symmetric matrix H.
        indices: numbers of the probes; their spaces share the passes over the batches.
        num_steps: as for :func:`spectral_density`.
        probe: likewise.
        seed: likewise.
        max_bytes: likewise.
    """
    starts = [operator.space.flatten(draw(probe, operator.params, seed, i)) for i in indices]
    rows = []
    for space in lanczos_many(operator, starts, num_steps, max_bytes=max_bytes):
        m = len(space.matrix)
        row = torch.zeros(3, min(num_steps, operator.num_params), dtype=torch.float64)
        values, vectors = torch.linalg.eigh(space.matrix)
        # Gaussian starts have a random norm: its square over N is the probe's weight
        mass = space.start_norm**2 / operator.num_params
        row[0, :m], row[1, :m] = values, vectors[0].square() * mass
        row[0, m:] = values[-1]
        row[2, :m] = space.residual * vectors[-1].abs()
        rows.append(tuple(row))
    return rows


def exact_negative_count(operator: CurvatureOperator, threshold: float = 0.0, *, max_params: int = 5_000) -> int:
    """The number of eigenvalues below ``threshold`` from the dense matrix: the truth for small nets.

    The zeros of a net (pixels that are always black, units that are always off) come out of the computation with
    either sign. So what lies below the threshold by at most N ε |λ|_max, ε the dtype's precision, does not count.

    Raises:
        ConfigError: the threshold is no number.
        CurvatureError: no operator, or one of more than ``max_params`` parameters.
    """
    check_number(threshold=threshold)
    dense = as_operator(operator).to_dense(max_params=max_params)
    values = torch.linalg.eigvalsh((dense + dense.T) / 2)
    rounding = len(values) * torch.finfo(values.dtype).eps * values.abs().max()
    return int((values < threshold - rounding).sum())
