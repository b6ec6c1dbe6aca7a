"""Error bars of what is computed from an estimate: the computation repeated on halves of the probes.

The entries of an estimated diagonal are not independent: one probe moves all of them at once. So the error of
a distance between two diagonals does not follow from the errors of the entries. Computing it once from half of
the probes and once from the others shows how far it is off, everything that the entries share included; the
mean over balanced halves of groups of probes (half-sample replication, McCarthy 1969) makes a steady figure of
it, also where the noise is as large as the signal and a jackknife breaks down.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from typing import Any

import torch
from torch import Tensor

from esgd.curvature_checks import check_callable, check_counts, is_number
from esgd.errors import ConfigError

__all__ = ["GROUP_BYTES", "Groups", "ProbeGroups", "half_sample_error"]

GROUP_BYTES = 256e6  # memory of the sums of one estimate; a larger one carries none
_LEAST = 4  # groups


@dataclass(frozen=True, eq=False)
class ProbeGroups:
    """The groups of samples behind a mean, and what was made of the mean.

    Attributes:
        sums: sum of the samples of each group, each of shape ``(N,)``.
        counts: samples of each group.
        transforms: functions of the mean that lead to the estimate, e.g. its root, in their order.
    """

    sums: Sequence[Tensor]
    counts: Sequence[int]
    transforms: tuple[Callable[[Tensor], Tensor], ...] = ()

    def then(self, function: Callable[[Tensor], Tensor]) -> ProbeGroups:
        """The groups behind ``function`` of the estimate."""
        return replace(self, transforms=(*self.transforms, function))

    def of(self, mask: Sequence[bool]) -> Tensor:
        """The estimate from some of the groups, shape ``(N,)``, float64 where the device has it."""
        wide = torch.float32 if self.sums[0].device.type == "mps" else torch.float64
        total = torch.zeros_like(self.sums[0], dtype=wide)
        for x, taken in zip(self.sums, mask, strict=True):
            if taken:
                total += x
        mean = total / sum(n for n, taken in zip(self.counts, mask, strict=True) if taken)
        return reduce(lambda x, function: function(x), self.transforms, mean)

    def splits(self) -> Iterator[tuple[list[bool], list[bool], float]]:
        """Balanced halves, their complements, and the share of the one times that of the other.

        The halves are rows of a Hadamard matrix: any two groups are as often together as apart.
        """
        rows = torch.ones(1, 1, dtype=torch.int64)
        while len(rows) < len(self.counts):
            rows = torch.cat([torch.cat([rows, rows], 1), torch.cat([rows, -rows], 1)])
        counts = torch.tensor(self.counts, dtype=torch.float64)
        for row in rows[1:, : len(counts)]:
            share = (counts[row > 0].sum() / counts.sum()).item()
            if 0 < share < 1:
                yield (row > 0).tolist(), (row < 0).tolist(), share * (1 - share)


def half_sample_error(statistic: Callable[..., float], *groups: ProbeGroups) -> float:
    """Standard error of a statistic of one or several estimates with the same counts of probes.

    Args:
        statistic: takes one tensor for each of ``groups`` and returns a float.
        groups: halved together, which is right for estimates from the same probes and for independent ones.

    Returns:
        The root of the mean of (θ_half − θ_other)² · shares; infinite for fewer than four groups or a value
        that is not finite. It is right to first order. Where noise alone makes the value, as in the distance
        of two estimates of the same thing, the value shrinks faster than one over the root of the probes, and
        the error bar is up to twice too wide.

    Raises:
        CurvatureError: the statistic is no function.
        ConfigError: it returns no number; no groups, or estimates of different counts of probes.
    """
    check_callable(statistic, "statistic", "one tensor an estimate and returns a number")
    if not groups or not all(isinstance(g, ProbeGroups) for g in groups):
        came = ", ".join(type(g).__name__ for g in groups) or "none"
        raise ConfigError(f"expected the groups of one estimate or more, got {came}: pass estimate.groups")
    if any(list(g.counts) != list(groups[0].counts) for g in groups):
        raise ConfigError("the estimates have different counts of probes: halve them one by one")
    if len(groups[0].counts) < _LEAST:
        return math.inf
    squares = []
    for half, other, weight in groups[0].splits():
        sides = [statistic(*(g.of(mask) for g in groups)) for mask in (half, other)]
        if not all(map(is_number, sides)):
            raise ConfigError(f"statistic must return a number, got {sides[0]!r}")
        squares.append(weight * float(sides[0] - sides[1]) ** 2)
    return math.sqrt(sum(squares) / len(squares)) if all(map(math.isfinite, squares)) else math.inf


class Groups:
    """Sums of samples in at most ``max_groups`` consecutive groups; neighbours join when there are too many.

    Args:
        max_groups: an even number; each group holds one vector of N.
    """

    def __init__(self, max_groups: int = 16):
        check_counts(max_groups=max_groups)
        if max_groups < _LEAST or max_groups % 2:
            raise ConfigError(f"max_groups must be an even number of at least {_LEAST}, got {max_groups}")
        self.max_groups, self.capacity = max_groups, 1
        self.sums: list[Tensor] = []
        self.counts: list[int] = []

    @classmethod
    def fitting(cls, n: int, dtype: torch.dtype) -> Groups | None:
        """Groups for vectors of ``n`` entries, or None if they would need more than ``GROUP_BYTES``."""
        groups = cls()
        return groups if groups.max_groups * n * dtype.itemsize <= GROUP_BYTES else None

    def add(self, sample: Tensor) -> None:
        """Take one more sample, shape ``(N,)``. What :meth:`snapshot` gave out before is left as it is."""
        if self.counts and self.counts[-1] < self.capacity:
            self.sums[-1] = self.sums[-1] + sample
            self.counts[-1] += 1
            return
        if len(self.sums) == self.max_groups:
            self.sums = [a + b for a, b in zip(self.sums[::2], self.sums[1::2], strict=True)]
            self.counts = [a + b for a, b in zip(self.counts[::2], self.counts[1::2], strict=True)]
            self.capacity *= 2
        self.sums.append(sample.clone())
        self.counts.append(1)

    def state(self) -> dict[str, Any]:
        """What a checkpoint needs."""
        names = ("max_groups", "capacity", "sums", "counts")
        return {name: getattr(self, name) for name in names}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Groups:
        """The groups that :meth:`state` described."""
        groups = cls(state["max_groups"])
        groups.capacity, groups.sums, groups.counts = state["capacity"], list(state["sums"]), list(state["counts"])
        return groups

    def snapshot(self) -> ProbeGroups:
        """The groups so far."""
        return ProbeGroups(list(self.sums), list(self.counts))
