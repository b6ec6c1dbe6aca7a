"""The Hessian and the Gauss–Newton matrix as matrix-free operators over many batches."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from esgd.curvature_checks import check_callable
from esgd.double_backward import check_graph, translated
from esgd.errors import CurvatureError
from esgd.hvp import gradient_with_graph, product_from_gradient
from esgd.linear_layers import LayerGradient
from esgd.low_rank import LowRank
from esgd.operator_base import CurvatureOperator, Linearized
from esgd.operator_matrix import MatrixOperator

__all__ = ["CurvatureOperator", "GaussNewtonOperator", "HessianOperator", "MatrixOperator"]


class HessianOperator(CurvatureOperator):
    """The Hessian of a loss over many batches, matrix-free.

    f(θ) = Σ_b n_b · loss_b(θ) / Σ_b n_b for ``reduction="mean"``, so that batches of unequal size count by
    their examples; f(θ) = Σ_b loss_b(θ) for ``"sum"``.

    The loss must give the same value each time it is called on a batch, or no two products are of the same
    matrix: put dropout into ``eval()``. This is looked at once, on the first batch of the first product. Put
    batch normalisation into ``eval()`` as well: in training mode it couples the examples of a batch, so that
    the Hessian depends on how the data are cut, and every product moves its running averages.

    Args:
        loss_fn: takes one batch, whatever it is, and returns the scalar loss with its graph.
        params: the model, ``model.parameters()``, or some of them as ``(name, tensor)`` pairs or a dictionary;
            errors and results show the names.
        batches: a collection of batches that can be gone through many times: a list, ``images.split(1000)``,
            a DataLoader.
        reduction: what ``loss_fn`` does over the examples of a batch, ``"mean"`` or ``"sum"``.
        size: the number of examples of a batch; by default the length of its first tensor.
        progress: show a progress bar over the batches (needs ``tqdm``).
        check: look at the first use whether the loss repeats itself (one forward pass more) and depends on any
            of the parameters at all.

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
        self.loss_fn = check_callable(loss_fn, "loss_fn", "one batch and returns its loss")

    def _loss(self, batch: Any) -> Tensor:
        return self.loss_fn(batch)

    def _linearize(self, batch: Any, vectors: Sequence[Sequence[Tensor]]) -> Linearized:
        factored = bool(vectors) and all(isinstance(v, LowRank) for v in vectors)
        with torch.enable_grad():
            loss = self.loss_fn(batch)
            layers = LayerGradient(loss, self.params, vectors[0]) if factored else None
            gradient = None if layers else gradient_with_graph(loss, self.params)
        depends = layers.depends if layers else any(g is not None for g in gradient)

        def product(v: Sequence[Tensor], keep: bool) -> list[Tensor]:
            if layers:
                return layers.product(v, retain_graph=keep)
            return product_from_gradient(gradient, self.params, v, retain_graph=keep)

        return Linearized(product, loss.detach(), depends)


class GaussNewtonOperator(CurvatureOperator):
    """The generalised Gauss–Newton matrix Jᵀ H_L J (Schraudolph 2002), matrix-free.

    J is the Jacobian of the model's outputs and H_L the Hessian of the loss with respect to the outputs: the
    Hessian without the curvature of the model itself. With a loss that is convex in the outputs it is
    positive semidefinite; beside the Hessian it shows which curvature, and all the negative one, comes from
    the model.

    What ``loss_fn`` takes from the parameters directly, such as a weight decay, is not in it. Parameters that
    are frozen (``requires_grad=False``) have rows and columns of zeros.

    Args:
        model_fn: takes one batch and returns the outputs, one real tensor with a graph.
        loss_fn: takes ``(outputs, batch)`` and returns the scalar loss.
        params: as for :class:`HessianOperator`.
        batches: likewise.
        reduction: likewise.
        size: likewise.
        progress: likewise.
        check: likewise.

    Raises:
        CurvatureError: as for :class:`HessianOperator`; at the first product, outputs that are not one real
            tensor with a graph, a loss that does not come from them, or a part of the model that cannot be
            differentiated twice.
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
        self.model_fn = check_callable(model_fn, "model_fn", "one batch and returns the outputs")
        self.loss_fn = check_callable(loss_fn, "loss_fn", "(outputs, batch) and returns the loss")

    def _loss(self, batch: Any) -> Tensor:
        return self.loss_fn(_outputs_checked(self.model_fn(batch)), batch)

    def _linearize(self, batch: Any, vectors: Sequence[Sequence[Tensor]]) -> Linearized:
        live = [p for p in self.params if p.requires_grad]
        with torch.enable_grad():
            outputs = _outputs_checked(self.model_fn(batch))
            check_graph(outputs)
            leaf = outputs.detach().requires_grad_()
            loss = self.loss_fn(leaf, batch)
            output_gradient = gradient_with_graph(loss, [leaf])
            if output_gradient[0] is None:
                raise CurvatureError(
                    "the loss does not depend on the model's outputs: loss_fn must compute it from its first "
                    "argument"
                )
            # Jᵀu as a function of u: its derivative along v is J v (no forward mode needed). u is a copy of the
            # dummy, because the pullback of `weight + bias` onto the bias is u itself, which must have a graph
            dummy = torch.zeros_like(outputs, requires_grad=True)
            options = {"create_graph": True, "allow_unused": True}
            with translated():
                pullback = torch.autograd.grad(outputs, live, dummy.clone(), **options) if live else ()

        def product(v: Sequence[Tensor], keep: bool) -> list[Tensor]:
            vectors = [x for p, x in zip(self.params, v, strict=True) if p.requires_grad]
            used = [
                (g, x) for g, x in zip(pullback, vectors, strict=True) if g is not None and g.grad_fn is not None
            ]
            rows: Iterator[Tensor | None] = iter([None] * len(live))
            if used:
                columns, along = zip(*used, strict=True)
                with translated():
                    (pushed,) = torch.autograd.grad(columns, [dummy], along, retain_graph=True)
                curved = product_from_gradient(output_gradient, [leaf], [pushed], retain_graph=True)
                with translated():
                    rows = iter(torch.autograd.grad(outputs, live, curved, retain_graph=keep, allow_unused=True))
            found = [next(rows) if p.requires_grad else None for p in self.params]
            return [
                torch.zeros_like(p, requires_grad=False) if h is None else h
                for h, p in zip(found, self.params, strict=True)
            ]

        return Linearized(product, loss.detach(), any(g is not None for g in pullback))


def _outputs_checked(outputs: Any) -> Tensor:
    """The model's outputs, or an error that says what they should be."""
    if not isinstance(outputs, Tensor):
        raise CurvatureError(
            f"model_fn must return the outputs as one tensor, got {type(outputs).__name__}: pick the tensor that "
            "the loss is computed from, or join several by torch.cat"
        )
    if not outputs.is_floating_point():
        raise CurvatureError(f"the model's outputs are {outputs.dtype}: a Jacobian needs real floating point")
    if not outputs.requires_grad:
        raise CurvatureError(
            "the model's outputs have no graph: compute them outside torch.no_grad() and inference_mode(), without "
            ".detach(), and leave some parameter with requires_grad=True"
        )
    return outputs
