"""The Hessian and the Gauss–Newton matrix as matrix-free operators over many batches."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from esgd.hvp import gradient_with_graph, product_from_gradient
from esgd.operator_base import CurvatureOperator, Product

__all__ = ["CurvatureOperator", "GaussNewtonOperator", "HessianOperator"]


class HessianOperator(CurvatureOperator):
    """The Hessian of a loss over many batches, matrix-free.

    f(θ) = Σ_b n_b · loss_b(θ) / Σ_b n_b for ``reduction="mean"``, so that batches of unequal size count by
    their examples; f(θ) = Σ_b loss_b(θ) for ``"sum"``. The loss must give the same value each time it is
    called on a batch: put dropout and batch normalisation into ``eval()``.

    Args:
        loss_fn: takes one batch, whatever it is, and returns the scalar loss with its graph.
        params: ``model.parameters()``, or ``model.named_parameters()`` for names in errors and results.
        batches: a collection of batches that can be gone through many times: a list, ``images.split(1000)``,
            a DataLoader.
        reduction: what ``loss_fn`` does over the examples of a batch, ``"mean"`` or ``"sum"``.
        size: the number of examples of a batch; by default the length of its first tensor.
        progress: show a progress bar over the batches (needs ``tqdm``).

    Raises:
        CurvatureError: wrong parameters, an empty collection, a one-shot iterator.

    Example:
        >>> x = torch.randn(100, 3)
        >>> net = torch.nn.Linear(3, 1)
        >>> H = HessianOperator(lambda b: net(b).square().mean(), net.named_parameters(), x.split(10))
        >>> H.to_dense().shape
        torch.Size([4, 4])
    """

    def __init__(self, loss_fn: Callable[[Any], Tensor], params: Any, batches: Iterable[Any], **options: Any):
        super().__init__(params, batches, **options)
        self.loss_fn = loss_fn

    def _linearize(self, batch: Any) -> Product:
        with torch.enable_grad():
            gradient = gradient_with_graph(self.loss_fn(batch), self.params)

        def product(v: Sequence[Tensor], keep: bool) -> list[Tensor]:
            return product_from_gradient(gradient, self.params, v, retain_graph=keep)

        return product


class GaussNewtonOperator(CurvatureOperator):
    """The generalised Gauss–Newton matrix Jᵀ H_L J (Schraudolph 2002), matrix-free.

    J is the Jacobian of the model's outputs and H_L the Hessian of the loss with respect to the outputs: the
    Hessian without the curvature of the model itself. With a loss that is convex in the outputs it is
    positive semidefinite; beside the Hessian it shows which curvature, and all the negative one, comes from
    the model.

    Args:
        model_fn: takes one batch and returns the outputs, a tensor with a graph.
        loss_fn: takes ``(outputs, batch)`` and returns the scalar loss.
        params: as for :class:`HessianOperator`.
        batches: likewise.
        reduction: likewise.
        size: likewise.
        progress: likewise.
    """

    def __init__(
        self,
        model_fn: Callable[[Any], Tensor],
        loss_fn: Callable[[Tensor, Any], Tensor],
        params: Any,
        batches: Iterable[Any],
        **options: Any,
    ):
        super().__init__(params, batches, **options)
        self.model_fn = model_fn
        self.loss_fn = loss_fn

    def _linearize(self, batch: Any) -> Product:
        params = self.params
        with torch.enable_grad():
            outputs = self.model_fn(batch)
            leaf = outputs.detach().requires_grad_()
            output_gradient = gradient_with_graph(self.loss_fn(leaf, batch), [leaf])
            # Jᵀu as a function of u: its derivative along v is J v (no forward mode needed)
            dummy = torch.zeros_like(outputs, requires_grad=True)
            pullback = torch.autograd.grad(outputs, params, dummy, create_graph=True, allow_unused=True)

        def product(v: Sequence[Tensor], keep: bool) -> list[Tensor]:
            used = [(g, x) for g, x in zip(pullback, v, strict=True) if g is not None and g.grad_fn is not None]
            if not used:
                return [torch.zeros_like(p, requires_grad=False) for p in params]
            columns, vectors = zip(*used, strict=True)
            (pushed,) = torch.autograd.grad(columns, [dummy], vectors, retain_graph=True)
            curved = product_from_gradient(output_gradient, [leaf], [pushed], retain_graph=True)
            rows = torch.autograd.grad(outputs, params, curved, retain_graph=keep, allow_unused=True)
            return [
                torch.zeros_like(p, requires_grad=False) if h is None else h
                for h, p in zip(rows, params, strict=True)
            ]

        return product
