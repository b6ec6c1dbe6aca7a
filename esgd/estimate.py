"""An estimate with its error bar, and the running sums that make one in bounded memory."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from esgd.half_samples import Groups, ProbeGroups

__all__ = ["Estimate", "RunningMoments"]


@dataclass(frozen=True, eq=False)
class Estimate:
    """A quantity estimated from random probes.

    Attributes:
        value: the estimate, a float or a flat tensor of shape ``(N,)`` in the order of the operator's
            parameters (``operator.space.named(value)`` gives it by name, in their shapes).
        stderr: its standard error, of the same kind; infinite after a single probe, which carries none.
        num_probes: how many products with the Hessian stand behind it.
        groups: the groups of probes behind a vector, from which :func:`esgd.estimators.compare` takes its
            error bars; None for floats, for estimates made by hand, and where
            the groups would need more than 256 MB.
    """

    value: Any
    stderr: Any
    num_probes: int
    groups: ProbeGroups | None = field(default=None, repr=False)

    @property
    def relative_error(self) -> float:
        """‖stderr‖ / ‖value‖, what ``rtol=`` is compared with; infinite for a value of zero that is not exact."""
        value, error = _norm(self.value), _norm(self.stderr)
        if error == 0:
            return 0.0
        return error / value if value > 0 else math.inf

    def sqrt(self) -> Estimate:
        """The square root, negative entries taken as zero, with the error bar of the delta method.

        The root of an unbiased estimate is biased low: see :func:`esgd.estimators.root_bias`.
        """
        value = torch.as_tensor(self.value, dtype=torch.float64 if _is_float(self.value) else None)
        root = _root(value)
        error = torch.as_tensor(self.stderr, dtype=value.dtype, device=value.device)
        # where the root is zero the delta method fails: there the error bar is the root of the error bar
        error = torch.where(root > 0, error / (2 * root), error.sqrt())
        if _is_float(self.value):
            return Estimate(root.item(), error.item(), self.num_probes)
        return Estimate(root, error, self.num_probes, self._then(_root))

    def abs(self) -> Estimate:
        """The absolute value, with the same error bar."""
        return Estimate(abs(self.value), self.stderr, self.num_probes, self._then(torch.abs))

    def _then(self, function: Callable[[Tensor], Tensor]) -> ProbeGroups | None:
        return None if self.groups is None else self.groups.then(function)

    def __repr__(self) -> str:
        if _is_float(self.value):
            return f"Estimate({self.value:.6g} ± {self.stderr:.2g}, num_probes={self.num_probes})"
        return (
            f"Estimate({tuple(self.value.shape)} entries, relative error {self.relative_error:.2g}, "
            f"num_probes={self.num_probes})"
        )


def _root(x: Tensor) -> Tensor:
    return x.clamp(min=0).sqrt()


def _is_float(value: Any) -> bool:
    return not isinstance(value, Tensor)


def _norm(value: Any) -> float:
    return abs(value) if _is_float(value) else torch.linalg.vector_norm(value).item()


class RunningMoments:
    """Mean and variance of samples that come one at a time (Welford 1962), entry by entry.

    Args:
        shape: of a sample; ``()`` for scalars.
        device: where the two sums lie. They are float64 where the device has it.
        groups: takes the samples as well, for ``Estimate.groups`` of a vector.
    """

    def __init__(
        self, shape: tuple[int, ...] = (), device: torch.device | str = "cpu", groups: Groups | None = None
    ):
        self.groups = groups
        dtype = torch.float32 if torch.device(device).type == "mps" else torch.float64
        self.count = 0
        self.mean = torch.zeros(shape, dtype=dtype, device=device)
        self._squares = torch.zeros(shape, dtype=dtype, device=device)  # Σ (x − mean)²

    def add(self, sample: Tensor | float) -> None:
        """Take one more sample of that shape."""
        x = torch.as_tensor(sample, dtype=self.mean.dtype, device=self.mean.device)
        self.count += 1
        delta = x - self.mean
        self.mean.add_(delta, alpha=1 / self.count)
        self._squares.addcmul_(delta, x - self.mean)
        if self.groups is not None:
            self.groups.add(torch.as_tensor(sample))

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
        groups = None if self.groups is None else self.groups.snapshot()
        return Estimate(self.mean.clone(), error, self.count * probes_per_sample, groups)

    def state(self) -> dict[str, Any]:
        """What a checkpoint needs."""
        groups = {} if self.groups is None else {"groups": self.groups.state()}
        return {"count": self.count, "mean": self.mean, "squares": self._squares, **groups}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> RunningMoments:
        """The running moments that :meth:`state` described."""
        moments = cls(tuple(state["mean"].shape), state["mean"].device)
        moments.count, moments.mean, moments._squares = state["count"], state["mean"], state["squares"]
        moments.groups = Groups.from_state(state["groups"]) if "groups" in state else None
        return moments
