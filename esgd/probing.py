"""Products of an operator with random probes, a few at a time, until the error bar is small enough."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from torch import Tensor

from esgd.curvature_checks import check_counts, check_positive, check_probe, check_seed
from esgd.estimate import Estimate
from esgd.operator_base import CurvatureOperator
from esgd.probes import draw_factored

__all__ = ["check_probing", "probe_products", "until"]

PASS_BYTES = 256e6  # memory of the probes that share a pass, where the caller does not choose


def check_probing(*, probe: str, seed: int, rtol: float | None, **counts: int | None) -> None:
    """Refuse bad settings of an estimator before anything is computed; a count of None is left to the default.

    Raises:
        ConfigError: which one, and what came.
    """
    check_counts(**{name: value for name, value in counts.items() if value is not None or name == "num_probes"})
    check_probe(probe)
    check_seed(seed)
    if rtol is not None:
        check_positive(": it is the error bar wanted, relative to the value", rtol=rtol)


def probe_products(
    operator: CurvatureOperator, num_probes: int, probe: str, seed: int, per_pass: int | None, *, begin: int = 0
) -> Iterator[list[tuple[Tensor, Tensor]]]:
    """Pass by pass the pairs ``(v, H v)`` of flat vectors of shape ``(N,)``.

    Args:
        operator: the matrix H.
        num_probes: how many in all.
        probe: ``"rademacher"``, ``"gaussian"`` or ``"low_rank"``.
        seed: probe i is ``draw(probe, params, seed, i)``.
        per_pass: probes that share a pass over the batches; None takes what fits into 256 MB, at most 16.
        begin: the first of them, where some passes are done.
    """
    if per_pass is None:
        per_pass = min(16, max(1, int(PASS_BYTES / (operator.num_params * operator.dtype.itemsize))))
    for first in range(begin, num_probes, per_pass):
        indices = range(first, min(first + per_pass, num_probes))
        vectors = [draw_factored(probe, operator.params, seed, i) for i in indices]
        label = f"probes {first + 1}–{indices[-1] + 1} of {num_probes}"
        products = operator.products(vectors, label=label)
        flatten = operator.space.flatten
        yield [(flatten(v), flatten(h)) for v, h in zip(vectors, products, strict=True)]


def until(rtol: float | None, estimate: Callable[[], Estimate]) -> bool:
    """Whether the error bar is small enough to stop."""
    return rtol is not None and estimate().relative_error <= rtol
