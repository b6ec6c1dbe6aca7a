"""diag H² from minibatches, without the bias that a minibatch's own square has."""

from __future__ import annotations

import math

import torch

from esgd.curvature_checks import check_counts
from esgd.errors import CurvatureError
from esgd.estimate import Estimate, RunningMoments
from esgd.half_samples import Groups
from esgd.operator_base import CurvatureOperator
from esgd.operator_matrix import as_operator
from esgd.probes import draw_factored, probe_generator
from esgd.probing import check_probing, until

__all__ = ["cross_diag_squared"]


def cross_diag_squared(
    operator: CurvatureOperator,
    num_probes: int = 100,
    *,
    probes_per_pair: int = 1,
    probe: str = "rademacher",
    seed: int = 0,
    rtol: float | None = None,
) -> Estimate:
    """The diagonal of H² from two minibatches at a time, without the minibatch's bias, shape ``(N,)``.

    (H_b v)² of one minibatch is too large by Σ_j Var(H_b,ij). Two independent minibatches b and c with the same
    v make E[(H_b v) ⊙ (H_c v)] = E[H_b] E[H_c] on the diagonal = diag H²: not in the paper. Each sample costs two
    batches instead of all; it may be negative, and averages of several tame that.

    The pairs are drawn with replacement from the operator's own batches, by their examples, so that what is
    estimated is diag H² of the operator, error bar and all. With few pairs the error bar of a single entry can be
    far too small: a product is large where both batches are the right ones, and a short sample may miss those.

    Args:
        operator: the matrix H, with batches that can be indexed (a list).
        num_probes: how many probe vectors at most.
        probes_per_pair: probes that share a pair of batches, and so their graphs.
        probe: ``"rademacher"``, ``"gaussian"`` or ``"low_rank"``.
        seed: of the probes and the pairs.
        rtol: stop once ‖stderr‖ ≤ rtol · ‖value‖, looked at every 10 pairs.

    Raises:
        ConfigError: a bad setting.
        CurvatureError: batches that cannot be indexed, or fewer than two.
    """
    check_counts(probes_per_pair=probes_per_pair)
    check_probing(probe=probe, seed=seed, rtol=rtol, num_probes=num_probes)
    operator = as_operator(operator)
    batches = operator.batches
    if not hasattr(batches, "__getitem__") or not hasattr(batches, "__len__"):
        raise CurvatureError(
            f"cross_diag_squared draws batches by number, and {type(batches).__name__} cannot be indexed: build "
            "the operator on list(loader)"
        )
    if len(batches) < 2:
        raise CurvatureError("cross_diag_squared needs at least two batches: split the data into smaller ones")
    sizes = [operator.size(b) if operator.reduction == "mean" else 1 for b in batches]
    weights = torch.tensor(sizes, dtype=torch.float64)
    if not weights.sum() > 0:
        raise CurvatureError("no batch has any examples: check the data and size=")
    scale = 1.0 if operator.reduction == "mean" else float(len(batches)) ** 2
    groups = Groups.fitting(operator.num_params, operator.dtype)
    moments = RunningMoments((operator.num_params,), operator.device, groups)
    for pair in range(math.ceil(num_probes / probes_per_pair)):
        # a stream of its own, far from those of the probes
        generator = probe_generator(seed, 2**62 + pair)
        picked = torch.multinomial(weights, 2, replacement=True, generator=generator).tolist()
        indices = range(pair * probes_per_pair, (pair + 1) * probes_per_pair)
        vectors = [draw_factored(probe, operator.params, seed, i) for i in indices]
        sides = [r for _, r in operator.batch_products(vectors, [batches[i] for i in picked])]
        flat = ([operator.space.flatten(h) for h in side] for side in sides)
        products = [a * b for a, b in zip(*flat, strict=True)]
        moments.add(sum(products) * (scale / probes_per_pair))
        if pair % 10 == 9 and until(rtol, moments.estimate):
            break
    return moments.estimate(probes_per_pair)
