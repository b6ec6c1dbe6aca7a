"""JacobiSGD: the paper's control, preconditioned by the absolute diagonal of the Hessian."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from esgd.optim._products import STEP
from esgd.optim.diagonal import DiagonalOptimizer
from esgd.optim.esgd import _add_

__all__ = ["JacobiSGD"]


class JacobiSGD(DiagonalOptimizer):
    r"""Stochastic gradient descent with the Jacobi preconditioner :math:`|\mathrm{diag}(H)|` (the paper's §6).

    The diagonal is estimated by Eq. 5, diag(H) = E[v ∘ Hv], "in the same fashion as that described in
    Algorithm 1"; the absolute value is taken of the mean over products, not of each product, since eigenvalues of
    both signs are to cancel as they do in the diagonal itself (§5.3):

    .. math::
        S \leftarrow S + v \circ Hv, \qquad
        \theta \leftarrow \theta - \mathrm{lr} \cdot \frac{g}{|S/k| + \lambda}

    It is here to be compared with: on an indefinite Hessian entries of the diagonal may be near zero where the
    curvature is not, and the step is then bounded by the damping alone. Use :class:`~esgd.ESGD` to train.

    Args:
        params: parameters or groups, as everywhere in ``torch.optim``.
        lr: learning rate; the paper searches [1e-4, 1e-3].
        damping: λ, in units of curvature.
        damping_mode: ``"outside"``: |S/k| + λ; ``"inside"``: √((S/k)² + λ).
        update_every: see :class:`~esgd.ESGD`, as for all further arguments.
        warmup_probes: products at the first step; each takes the memory of the parameters until ``step()``.
        beta: ``None`` for the uniform mean, else the decay of an exponential one.
        probe: ``"rademacher"`` (the paper's choice here), ``"gaussian"``, ``"low_rank"`` or a function.
        curvature: ``"exact"`` or ``"difference"``.
        difference_step: length of a difference.
        momentum: factor of the running sum of steps.
        nesterov: Nesterov's form of it.
        weight_decay: decoupled weight decay.
        maximize: ascend.
        foreach: ``False`` loops over the parameters.
        capturable: the steps may be captured in CUDA graphs, see :class:`~esgd.optim.CapturedStep`.
        seed: of the probe vectors.
        process_group: ranks whose products are averaged.
        members: number of nets of an ensemble in tensors of shape (K, …).

    Raises:
        ConfigError: a setting is out of range.

    Example:
        Where the axes are the eigenvectors it equals equilibration:

        >>> w = torch.tensor([1.0, 1.0], requires_grad=True)
        >>> optimizer = JacobiSGD([w], lr=0.5, damping=0.0)
        >>> optimizer.probe(2 * w[0] ** 2 - 0.5 * w[1] ** 2).backward()
        >>> optimizer.step()
        >>> optimizer.diagonal(w), w.detach()
        (tensor([4., 1.]), tensor([0.5000, 1.5000]))
    """

    _diagonal_of = "v∘Hv (Jacobi)"
    needs_probe = True

    def __init__(
        self,
        params: Any,
        lr: float | Tensor = 1e-3,
        *,
        damping: float | Tensor = 1e-4,
        damping_mode: str = "outside",
        update_every: int | str = 20,
        warmup_probes: int = 10,
        beta: float | None = None,
        probe: str | Callable[[Sequence[Tensor], int], list[Tensor]] = "rademacher",
        curvature: str = "exact",
        difference_step: float = STEP,
        momentum: float = 0.0,
        nesterov: bool = False,
        weight_decay: float = 0.0,
        maximize: bool = False,
        foreach: bool | None = None,
        capturable: bool = False,
        seed: int = 0,
        process_group: Any = "world",
        members: int | None = None,
    ) -> None:
        super().__init__(
            params,
            lr,
            damping=damping,
            damping_mode=damping_mode,
            update_every=update_every,
            warmup_probes=warmup_probes,
            beta=beta,
            probe=probe,
            curvature=curvature,
            difference_step=difference_step,
            momentum=momentum,
            nesterov=nesterov,
            weight_decay=weight_decay,
            maximize=maximize,
            foreach=foreach,
            capturable=capturable,
            seed=seed,
            process_group=process_group,
            members=members,
        )

    def diagonal(self, p: Tensor) -> Tensor:
        """The estimate |S/k| of the Jacobi preconditioner |diag H| for ``p``, undamped, of its shape."""
        return self.mean_curvature(p).abs()

    def _factor(self, v: list[Tensor], product: list[Tensor]) -> list[Tensor]:
        return [x.to(h.dtype) for x, h in zip(v, product, strict=True)]

    @staticmethod
    def _damped_diagonal_(means: list[Tensor], mode: str, damping: float | Tensor) -> None:
        if mode == "inside":
            torch._foreach_mul_(means, means)
            _add_(means, damping)
            torch._foreach_sqrt_(means)
        else:
            torch._foreach_abs_(means)
            _add_(means, damping)
