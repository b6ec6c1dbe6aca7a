"""An estimate with its error bar, and the running sums that make one in bounded memory."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from esgd.errors import ConfigError

__all__ = ["DominanceSums", "Estimate", "RunningMoments"]


@dataclass(frozen=True, eq=False)
class Estimate:
    """A quantity estimated from random probes.

    Attributes:
        value: the estimate, a float or a flat tensor of shape ``(N,)`` in the order of the operator's
            parameters (``operator.space.named(value)`` gives it by name, in their shapes).
        stderr: its standard error, of the same kind; infinite after a single probe, which carries none.
        num_probes: how many products with the Hessian stand behind it.
    """

    value: Any
    stderr: Any
    num_probes: int

    @property
    def relative_error(self) -> float:
        """‖stderr‖ / ‖value‖, what ``rtol=`` is compared with; infinite for a value of zero."""
        value, error = _norm(self.value), _norm(self.stderr)
        if error == 0:
            return 0.0
        return error / value if value > 0 else math.inf

    def sqrt(self) -> Estimate:
        """The square root, negative entries taken as zero, with the error bar of the delta method.

        The root of an unbiased estimate is biased low: see :func:`esgd.estimators.root_bias`.
        """
        value = torch.as_tensor(self.value, dtype=torch.float64 if _is_float(self.value) else None)
        root = value.clamp(min=0).sqrt()
        error = torch.as_tensor(self.stderr, dtype=value.dtype, device=value.device)
        # where the root is zero the delta method fails: there the error bar is the root of the error bar
        error = torch.where(root > 0, error / (2 * root), error.sqrt())
        return self._like(root, error)

    def abs(self) -> Estimate:
        """The absolute value, with the same error bar."""
        return Estimate(abs(self.value), self.stderr, self.num_probes)

    def _like(self, value: Tensor, error: Tensor) -> Estimate:
        if _is_float(self.value):
            return Estimate(value.item(), error.item(), self.num_probes)
        return Estimate(value, error, self.num_probes)

    def __repr__(self) -> str:
        if _is_float(self.value):
            return f"Estimate({self.value:.6g} ± {self.stderr:.2g}, num_probes={self.num_probes})"
        return (
            f"Estimate({tuple(self.value.shape)} entries, relative error {self.relative_error:.2g}, "
            f"num_probes={self.num_probes})"
        )


def _is_float(value: Any) -> bool:
    return not isinstance(value, Tensor)


def _norm(value: Any) -> float:
    return abs(value) if _is_float(value) else torch.linalg.vector_norm(value).item()


class RunningMoments:
    """Mean and variance of samples that come one at a time (Welford 1962), entry by entry.

    Args:
        shape: of a sample; ``()`` for scalars.
        device: where the two sums lie. They are float64 where the device has it.
    """

    def __init__(self, shape: tuple[int, ...] = (), device: torch.device | str = "cpu"):
        dtype = torch.float32 if torch.device(device).type == "mps" else torch.float64
        self.count = 0
        self.mean = torch.zeros(shape, dtype=dtype, device=device)
        self._squares = torch.zeros(shape, dtype=dtype, device=device)  # Σ (x − mean)²

    def add(self, sample: Tensor | float) -> None:
        """Take one more sample of that shape."""
        x = torch.as_tensor(sample, device=self.mean.device).to(self.mean.dtype)
        self.count += 1
        delta = x - self.mean
        self.mean.add_(delta, alpha=1 / self.count)
        self._squares.addcmul_(delta, x - self.mean)

    def variance(self) -> Tensor:
        """Unbiased variance of one sample; infinite for fewer than two samples."""
        if self.count < 2:
            return torch.full_like(self.mean, math.inf)
        return self._squares / (self.count - 1)

    def estimate(self, probes_per_sample: int = 1) -> Estimate:
        """The mean with its standard error."""
        error = (self.variance() / self.count).sqrt() if self.count else self.variance()
        if self.mean.ndim == 0:
            return Estimate(self.mean.item(), error.item(), self.count * probes_per_sample)
        return Estimate(self.mean.clone(), error, self.count * probes_per_sample)

    def state(self) -> dict[str, Any]:
        """What a checkpoint needs."""
        return {"count": self.count, "mean": self.mean, "squares": self._squares}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> RunningMoments:
        """The running moments that :meth:`state` described."""
        moments = cls(tuple(state["mean"].shape), state["mean"].device)
        moments.count, moments.mean, moments._squares = state["count"], state["mean"], state["squares"]
        return moments


class DominanceSums:
    """Sums for d² = Σ H_ii² / ‖H‖_F², the square of the paper's Eq. 6, without the bias of its plug-in.

    For two independent probes E[z_j · z_l] = Σ_i H_ii², with z = v ⊙ H v, while z_j · z_j adds the energy off
    the diagonal. All pairs j ≠ l of k probes give Σ_i [(Σ_j z_ij)² − Σ_j z_ij²] / (k (k − 1)), which needs
    only sums. For the error bar the sums are kept in at most ``max_groups`` groups: memory stays bounded.

    Args:
        max_groups: groups of the jackknife; each holds one vector of N.
    """

    def __init__(self, max_groups: int = 16):
        if max_groups < 4 or max_groups % 2:
            raise ConfigError(f"max_groups must be an even number of at least 4, got {max_groups}")
        self.max_groups = max_groups
        self.capacity = 1
        self.sums: list[Tensor] = []  # Σ z of each group, shape (N,)
        self.tallies: list[list[float]] = []  # [probes, Σ‖z‖², Σ‖Hv‖²] of each group

    def add(self, z: Tensor, energy: float) -> None:
        """Take the probe with z = v ⊙ H v, shape ``(N,)``, and ``energy`` = ‖H v‖²."""
        square = torch.dot(z, z).item()
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
                gram[i, j] = gram[j, i] = torch.dot(self.sums[i], self.sums[j]).item()
        return gram

    def squared(self) -> Estimate:
        """The debiased d², which may be negative, with the standard error of a jackknife over groups.

        Dropping each group in turn (Busing et al. 1999, for groups of unequal size) gives an error bar that
        is about √2 too wide where the diagonal is zero, and right where it is not.
        """
        tally = torch.tensor(self.tallies, dtype=torch.float64)
        total = tally.sum(0)
        if total[0] < 2:
            return Estimate(math.nan, math.inf, int(total[0]))
        gram = self._gram()
        whole = _debiased(gram.sum(), total)
        if len(self.sums) < 3 or (total[0] - tally[:, 0]).min() < 2:
            return Estimate(whole.item(), math.inf, self.count)
        without = _debiased(gram.sum() - 2 * gram.sum(1) + gram.diagonal(), (total - tally).T)
        share = total[0] / tally[:, 0]
        pseudo = share * whole - (share - 1) * without
        variance = ((pseudo - pseudo.mean()).square() / (share - 1)).mean()
        return Estimate(whole.item(), variance.sqrt().item(), self.count)

    def plugin(self) -> float:
        """Eq. 6 as printed, from the k-probe mean of z: biased up by the energy off the diagonal."""
        total = torch.tensor(self.tallies, dtype=torch.float64).sum(0)
        if total[0] == 0 or total[2] == 0:
            return math.nan
        return math.sqrt((self._gram().sum() / total[0] / total[2]).item())

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
    """(‖Σz‖² − Σ‖z‖²)/(k(k−1)) over (Σ‖Hv‖²)/k, from ‖Σz‖² and (k, Σ‖z‖², Σ‖Hv‖²)."""
    probes, own, energy = tally
    if torch.any(energy == 0):
        return torch.full_like(square, math.nan)  # H is zero: the ratio means nothing
    return (square - own) / (probes - 1) / energy
