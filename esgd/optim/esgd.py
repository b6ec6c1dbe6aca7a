"""ESGD: stochastic gradient descent preconditioned by equilibration, Algorithm 1 of the paper."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from esgd.optim._descent import number
from esgd.optim._products import STEP
from esgd.optim.diagonal import DiagonalOptimizer

__all__ = ["ESGD"]


class ESGD(DiagonalOptimizer):
    r"""Equilibrated stochastic gradient descent (Dauphin et al. 2015, Algorithm 1).

    Every ``update_every`` steps one Hessian-vector product is added to D, and every step moves by

    .. math::
        D \leftarrow D + (Hv)^2, \qquad
        \theta \leftarrow \theta - \mathrm{lr} \cdot \frac{g}{\sqrt{D/k} + \lambda}

    elementwise, where v is random with E[v vᵀ] = I, k counts the products in D, and λ is the damping. D/k estimates
    diag(H²) without bias (Eq. 1), so √(D/k) estimates the row norms of the Hessian H: the equilibration
    preconditioner (§3). The loop is that of any ``torch.optim`` optimizer with one line more::

        optimizer = ESGD(model.parameters(), lr=0.03)
        for x, y in loader:
            optimizer.zero_grad()
            loss = loss_fn(model(x), y)
            loss = optimizer.probe(loss)
            loss.backward()
            optimizer.step()

    Args:
        params: parameters or groups, as everywhere in ``torch.optim``; real and dense. ``lr``, ``damping``,
            ``damping_mode``, ``beta``, ``momentum``, ``nesterov``, ``weight_decay``, ``maximize`` and ``foreach``
            may differ between groups.
        lr: learning rate, a number or a Tensor. The step is lr · g / D, a length of parameter space in units in
            which a Newton step along an axis has lr = 1; the paper searches [0.01, 0.1].
        damping: λ, in units of curvature. It bounds the step by lr · |g| / λ where there is no curvature, and is
            the only brake on a weight whose curvature no product has met yet: behind a saturated unit that wakes
            up, the 1e-4 of the paper's search was too small (the book's chapter 9). With 0 an entry without any
            curvature stands still.
        damping_mode: ``"outside"``: √(D/k) + λ, as in Algorithm 1; ``"inside"``: √(D/k + λ). The two agree at zero
            curvature if the inner λ is the square of the outer.
        update_every: steps from one product to the next (the paper: 20), or ``"auto"``: from 20 on, refreshes grow
            rarer while the products agree with D, up to a twentieth of the steps so far and to 200, and go back
            towards 20 when they do not; a product then counts for the steps it stands for, interval / 20 times.
        warmup_probes: products at the first step. With a single one some entries of D start near zero by chance,
            and their steps are hundreds of times too long. They are squared in ``step()``, when all micro-batches
            are in, and until then each takes the memory of the parameters: where the first step does not fit, ask
            for fewer.
        beta: ``None`` for the uniform mean of Algorithm 1; else the decay of an exponential one, in products, which
            follows a curvature that changes.
        probe: ``"rademacher"`` (±1), ``"gaussian"`` (as in Algorithm 1), ``"low_rank"`` (cheaper products where
            the model is mostly linear layers, for a slightly larger variance: :mod:`esgd.low_rank`), or a
            function (params, index) -> list of tensors with E[v vᵀ] = I that returns the same v for the same index.
        curvature: ``"exact"``, from the step's own graph, or ``"difference"``: finite differences of gradients, for
            models that torch cannot differentiate twice; then ``probe`` takes a function.
        difference_step: length h of a difference, relative to the median over the weight matrices of their root
            mean square. A difference sees curvature as it is over a length h: at 0.1 a few percent from the exact
            product for smooth models, and with it the kinks of ReLU and max-pooling, which the exact product
            leaves out; the shorter h, the more each kink counts that lies within it.
        momentum: factor of the running sum of steps; 0 as in the paper.
        nesterov: Nesterov's form of it.
        weight_decay: decoupled: θ ← θ − lr · weight_decay · θ, outside the preconditioner. For an L2 penalty that
            is part of the objective, add it to the loss, and its curvature is seen.
        maximize: ascend.
        foreach: ``False`` loops over the parameters; else one fused call a step. The results are the same.
        capturable: make steps that a CUDA graph can hold, see :class:`~esgd.optim.CapturedStep`: M keeps its
            memory, and the device decides what the host would look at. ``lr`` should be a Tensor on the device.
        seed: of the probe vectors; probe number i depends on ``(seed, i)`` alone, on every rank.
        process_group: ranks whose products are averaged: ``"world"`` (all, if ``torch.distributed`` is
            initialised), a process group, or ``None`` for none.
        members: for an ensemble of K nets in tensors of shape (K, …): products are judged finite for each member
            by itself.

    Raises:
        ConfigError: a setting is out of range; the message says what was expected.

    Differences from the paper: the defaults are Rademacher probes, several products at the
    first step and a refresh every 20 steps. :meth:`paper` gives Algorithm 1 to the letter. The abstract calls the
    estimator unbiased: D/k is, its root is not (by a factor c_k < 1 that tends to 1).

    Example:
        Away from the saddle of 2x² − y²/2, as fast along the flat axis as along the steep one:

        >>> w = torch.tensor([1.0, 1.0], requires_grad=True)
        >>> optimizer = ESGD([w], lr=0.5, damping=0.0)
        >>> loss = optimizer.probe(2 * w[0] ** 2 - 0.5 * w[1] ** 2)
        >>> loss.backward()
        >>> optimizer.step()
        >>> optimizer.diagonal(w), w.detach()
        (tensor([4., 1.]), tensor([0.5000, 1.5000]))
    """

    _diagonal_of = "(Hv)² (equilibration)"

    def __init__(
        self,
        params: Any,
        lr: float | Tensor = 0.03,
        *,
        damping: float | Tensor = 1e-2,
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

    @classmethod
    def paper(cls, params: Any, lr: float, *, damping: float = 1e-2, update_every: int = 1, seed: int = 0) -> ESGD:
        """Algorithm 1 to the letter: Gaussian v, the uniform mean, one product at the first step, no momentum.

        What the paper leaves open, and how it is read here:

        * The loop "for i = k → K" reads as k = 1, …, K: k counts the products in D. If it counted steps while
          products come every 20, every step would be √20 times too long.
        * λ is added to the root, as printed. §6 recommends 10⁻², §7 searches 10⁻⁴ to 10⁻⁶: the two agree if the
          latter was added under the root, which ``damping_mode="inside"`` does.
        * The listing has a product at every step; §6 says that in practice it was every 20 steps
          (``update_every=20``).

        Example:
            >>> optimizer = ESGD.paper([torch.zeros(3, requires_grad=True)], lr=0.1, update_every=20)
            >>> optimizer.param_groups[0]["probe"]
            'gaussian'
        """
        return cls(
            params,
            lr,
            damping=damping,
            damping_mode="outside",
            update_every=update_every,
            warmup_probes=1,
            beta=None,
            probe="gaussian",
            momentum=0.0,
            seed=seed,
        )

    def diagonal(self, p: Tensor) -> Tensor:
        """The estimate √(D/k) of the equilibration preconditioner √diag(H²) for ``p``, undamped, of its shape."""
        return self.mean_curvature(p).sqrt()

    def _factor(self, v: list[Tensor], product: list[Tensor]) -> list[Tensor]:
        return product

    @staticmethod
    def _damped_diagonal_(means: list[Tensor], mode: str, damping: float | Tensor) -> None:
        if mode == "inside":
            _add_(means, damping)
            torch._foreach_sqrt_(means)
        else:
            torch._foreach_sqrt_(means)
            _add_(means, damping)


def _add_(tensors: list[Tensor], value: float | Tensor) -> None:
    if isinstance(value, Tensor):
        for t in tensors:
            t.add_(number(value).to(t.device))
    else:
        torch._foreach_add_(tensors, value)
