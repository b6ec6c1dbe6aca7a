"""Hessian-vector products by reverse mode over reverse mode."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from esgd.errors import CurvatureError

__all__ = ["gradient_with_graph", "hvp", "product_from_gradient"]


def gradient_with_graph(loss: Tensor, params: Sequence[Tensor]) -> list[Tensor | None]:
    """Gradient of ``loss``, differentiable once more; ``None`` where ``loss`` does not depend on a parameter.

    Args:
        loss: scalar, shape ``()`` or one element, with a graph.
        params: the parameters, any shapes.
    """
    if loss.numel() != 1:
        raise CurvatureError(
            f"a Hessian needs a scalar loss, but the loss has shape {tuple(loss.shape)}: reduce it "
            "with .mean() or .sum() first"
        )
    return list(torch.autograd.grad(loss, params, create_graph=True, allow_unused=True))


def product_from_gradient(
    gradient: Sequence[Tensor | None],
    params: Sequence[Tensor],
    v: Sequence[Tensor],
    *,
    retain_graph: bool = False,
) -> list[Tensor]:
    """Hessian-vector product from a gradient that still has its graph.

    Parameters whose gradient has no ``grad_fn`` (the loss is linear in them, or does not depend on them)
    contribute nothing, and their own product is the derivative of the other gradients only; a product that
    autograd reports as unused is zero.

    Args:
        gradient: what :func:`gradient_with_graph` returned for ``params``.
        params: the parameters.
        v: one tensor a parameter, of its shape.
        retain_graph: keep the graph for another product.

    Returns:
        H v, one tensor a parameter, of its shape and dtype, without a graph.
    """
    live = [(g, x) for g, x in zip(gradient, v, strict=True) if g is not None and g.grad_fn is not None]
    if not live:
        return [torch.zeros_like(p) for p in params]
    outputs, vectors = zip(*live, strict=True)
    products = torch.autograd.grad(
        outputs, params, grad_outputs=vectors, retain_graph=retain_graph, allow_unused=True
    )
    return [torch.zeros_like(p) if h is None else h for h, p in zip(products, params, strict=True)]


def hvp(loss: Tensor, params: Iterable[Tensor], v: Sequence[Tensor]) -> list[Tensor]:
    """Hessian-vector product H v of a scalar loss, without ever forming H.

    Args:
        loss: scalar with a graph.
        params: parameters of any shapes.
        v: one tensor a parameter, of the same shape.

    Returns:
        H v, one tensor a parameter.
    """
    params = list(params)
    return product_from_gradient(gradient_with_graph(loss, params), params, v)
