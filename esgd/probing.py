"""Products of an operator with random probes, a few at a time, until the error bar is small enough."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from torch import Tensor

from esgd.errors import ConfigError
from esgd.estimate import Estimate
from esgd.operator_base import CurvatureOperator
from esgd.probes import PROBES, draw

__all__ = ["check_counts", "probe_products", "until"]

PASS_BYTES = 256e6  # memory of the probes that share a pass, where the caller does not choose


def check_counts(**counts: int) -> None:
    """Refuse counts below 1.

    Raises:
        ConfigError: which one, and what came.
    """
    for name, value in counts.items():
        if value < 1:
            raise ConfigError(f"{name} must be at least 1, got {value}")


def probe_products(
    operator: CurvatureOperator, num_probes: int, probe: str, seed: int, per_pass: int | None
) -> Iterator[list[tuple[Tensor, Tensor]]]:
    """Pass by pass the pairs ``(v, H v)`` of flat vectors of shape ``(N,)``.

    Args:
        operator: the matrix H.
        num_probes: how many in all.
        probe: ``"rademacher"`` or ``"gaussian"``.
        seed: probe i is ``draw(probe, params, seed, i)``.
        per_pass: probes that share a pass over the batches; None takes what fits into 256 MB, at most 16.

    Raises:
        ConfigError: a count below 1 or an unknown probe.
    """
    if probe not in PROBES:
        raise ConfigError(f"probe must be one of {sorted(PROBES)}, got {probe!r}")
    if per_pass is None:
        per_pass = min(16, max(1, int(PASS_BYTES / (operator.num_params * operator.dtype.itemsize))))
    check_counts(num_probes=num_probes, probes_per_pass=per_pass)
    for first in range(0, num_probes, per_pass):
        indices = range(first, min(first + per_pass, num_probes))
        vectors = [draw(probe, operator.params, seed, i) for i in indices]
        label = f"probes {first + 1}–{indices[-1] + 1} of {num_probes}"
        products = operator.products(vectors, label=label)
        flatten = operator.space.flatten
        yield [(flatten(v), flatten(h)) for v, h in zip(vectors, products, strict=True)]


def until(rtol: float | None, estimate: Callable[[], Estimate]) -> bool:
    """Whether the error bar is small enough to stop."""
    if rtol is None:
        return False
    if not rtol > 0:
        raise ConfigError(f"rtol must be above 0, got {rtol}")
    return estimate().relative_error <= rtol
