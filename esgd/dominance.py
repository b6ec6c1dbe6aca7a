"""Diagonal dominance, the paper's Eq. 6, without the bias of its plug-in."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from esgd.curvature_checks import check_counts
from esgd.errors import ConfigError
from esgd.estimate import Estimate
from esgd.flat import dot
from esgd.operator_base import CurvatureOperator
from esgd.operator_matrix import as_operator
from esgd.probing import check_probing, probe_products, until

__all__ = ["DominanceSums", "dominance_plugin", "dominance_squared"]


class DominanceSums:
    """Sums for d² = Σ H_ii² / ‖H‖_F², the square of the paper's Eq. 6, without the bias of its plug-in.

    For two independent probes E[z_j · z_l] = Σ_i H_ii², with z = v ⊙ H v, while z_j · z_j adds the energy off
    the diagonal. All pairs j ≠ l of k probes give Σ_i [(Σ_j z_ij)² − Σ_j z_ij²] / (k (k − 1)), which needs
    only sums. For the error bar the sums are kept in at most ``max_groups`` groups: memory stays bounded.

    Args:
        max_groups: groups of the jackknife; each holds one vector of N.
    """

    def __init__(self, max_groups: int = 16):
        check_counts(max_groups=max_groups)
        if max_groups < 4 or max_groups % 2:
            raise ConfigError(f"max_groups must be an even number of at least 4, got {max_groups}")
        self.max_groups = max_groups
        self.capacity = 1
        self.sums: list[Tensor] = []  # Σ z of each group, shape (N,)
        self.tallies: list[list[float]] = []  # [probes, Σ‖z‖², Σ‖Hv‖²] of each group

    def add(self, z: Tensor, energy: float) -> None:
        """Take the probe with z = v ⊙ H v, shape ``(N,)``, and ``energy`` = ‖H v‖²."""
        square = dot(z, z)
        if self.tallies and self.tallies[-1][0] < self.capacity:
            self.sums[-1] += z
            self.tallies[-1] = [a + b for a, b in zip(self.tallies[-1], (1, square, energy), strict=True)]
            return
        if len(self.sums) == self.max_groups:
            for i in range(self.max_groups // 2):  # join neighbours; the lists shrink as i grows
                self.sums[i] += self.sums.pop(i + 1)
                second = self.tallies.pop(i + 1)
                self.tallies[i] = [a + b for a, b in zip(self.tallies[i], second, strict=True)]
            self.capacity *= 2
        self.sums.append(z.clone())
        self.tallies.append([1, square, energy])

    @property
    def count(self) -> int:
        """Probes taken."""
        return int(sum(t[0] for t in self.tallies))

    def _gram(self) -> Tensor:
        """Inner products of the groups' sums, shape (groups, groups), float64."""
        groups = len(self.sums)
        gram = torch.zeros(groups, groups, dtype=torch.float64)
        for i in range(groups):
            for j in range(i + 1):
                gram[i, j] = gram[j, i] = dot(self.sums[i], self.sums[j])
        return gram

    def _jackknife(self, statistic: Callable[[Tensor, Tensor], Tensor]) -> Estimate:
        """A statistic of ‖Σz‖² and the tallies, with the error bar of dropping each group in turn."""
        tally = torch.tensor(self.tallies, dtype=torch.float64).view(-1, 3)
        total = tally.sum(0)
        gram = self._gram()
        whole = statistic(gram.sum(), total).item()
        if len(self.sums) < 3 or (total[0] - tally[:, 0]).min() < 2:
            return Estimate(whole, math.inf, self.count)
        without = statistic(gram.sum() - 2 * gram.sum(1) + gram.diagonal(), (total - tally).T)
        share = total[0] / tally[:, 0]
        pseudo = share * whole - (share - 1) * without
        variance = ((pseudo - pseudo.mean()).square() / (share - 1)).mean()
        return Estimate(whole, variance.sqrt().item(), self.count)

    def squared(self) -> Estimate:
        """The debiased d², which may be negative, with the standard error of a jackknife over groups.

        Dropping each group in turn (Busing et al. 1999, for groups of unequal size) gives an error bar that
        is about √2 too wide where the diagonal is zero, and right where it is not.
        """
        return self._jackknife(_debiased)

    def plugin(self) -> Estimate:
        """Eq. 6 as printed, from the k-probe mean of z: biased up by the energy off the diagonal."""
        return self._jackknife(_plugin)

    def state(self) -> dict[str, Any]:
        """What a checkpoint needs."""
        return {
            "max_groups": self.max_groups,
            "capacity": self.capacity,
            "sums": self.sums,
            "tallies": self.tallies,
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> DominanceSums:
        """The sums that :meth:`state` described."""
        result = cls(state["max_groups"])
        result.capacity = state["capacity"]
        result.sums, result.tallies = list(state["sums"]), [list(t) for t in state["tallies"]]
        return result


def _debiased(square: Tensor, tally: Tensor) -> Tensor:
    """(‖Σz‖² − Σ‖z‖²)/(k(k−1)) over (Σ‖Hv‖²)/k, from ‖Σz‖² and (k, Σ‖z‖², Σ‖Hv‖²); nan if H or k−1 is zero."""
    probes, own, energy = tally
    return (square - own) / ((probes - 1) * energy)


def _plugin(square: Tensor, tally: Tensor) -> Tensor:
    """√(‖Σz/k‖² / (Σ‖Hv‖²/k)), from the same."""
    probes, _, energy = tally
    return (square.clamp(min=0) / (probes * energy)).sqrt()


def _dominance(
    operator: CurvatureOperator,
    read: Callable[[DominanceSums], Estimate],
    num_probes: int,
    probe: str,
    seed: int,
    rtol: float | None,
    probes_per_pass: int | None,
) -> Estimate:
    check_probing(probe=probe, seed=seed, rtol=rtol, num_probes=num_probes, probes_per_pass=probes_per_pass)
    operator = as_operator(operator)
    sums = DominanceSums()
    for pairs in probe_products(operator, num_probes, probe, seed, probes_per_pass):
        for v, h in pairs:
            sums.add(v * h, dot(h, h))
        if until(rtol, lambda: read(sums)):
            break
    return read(sums)


def dominance_squared(
    operator: CurvatureOperator,
    num_probes: int = 100,
    *,
    probe: str = "rademacher",
    seed: int = 0,
    rtol: float | None = None,
    probes_per_pass: int | None = None,
) -> Estimate:
    """The dominance d² = Σ H_ii² / ‖H‖_F²: the square of the paper's Eq. 6, as a fraction, debiased.

    The numerator is Σ_i [(Σ_j z_ij)² − Σ_j z_ij²] / (k (k − 1)) with z_j = v_j ⊙ H v_j: all pairs of *different*
    probes, so that it is unbiased for Σ H_ii². The denominator is the mean of ‖H v‖². The ratio of the two is
    consistent. d² may be negative; its root is not reported, since √max(0, ·) of a zero reads about 1 %.

    Args and errors: as for :func:`diag`; at least 2 probes, and 3 for an error bar.
    """
    return _dominance(operator, DominanceSums.squared, num_probes, probe, seed, rtol, probes_per_pass)


def dominance_plugin(
    operator: CurvatureOperator,
    num_probes: int = 100,
    *,
    probe: str = "rademacher",
    seed: int = 0,
    rtol: float | None = None,
    probes_per_pass: int | None = None,
) -> Estimate:
    """The d of Eq. 6 as printed, with the mean of k probes put in for diag H (as a fraction, not in percent).

    Squaring a noisy diagonal adds its variance: a Hessian whose diagonal is *zero* reads 10 % at k = 100. It is
    here to show that; use :func:`dominance_squared`.

    Args and errors: as for :func:`diag`.
    """
    return _dominance(operator, DominanceSums.plugin, num_probes, probe, seed, rtol, probes_per_pass)
