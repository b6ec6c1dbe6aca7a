"""Hessian-vector products by reverse mode over reverse mode.

The paper's §3 and §6 need the product H v and nothing else of the Hessian; there it is computed by the
R-operator. Here the gradient is taken once with its own graph, and every product is one more sweep back
through that graph: 1.8 gradients of arithmetic on the paper's autoencoders, where a product from scratch
costs 2.8. The optimizers keep the gradient of that sweep, so that nothing is computed twice.

:class:`~esgd.operator.HessianOperator` and :class:`~esgd.operator.GaussNewtonOperator`, which sum such
products over many batches, are exported from here as well.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.autograd.graph import GradientEdge

from esgd.double_backward import check_graph, translated
from esgd.errors import CurvatureError

if TYPE_CHECKING:
    from esgd.operator import GaussNewtonOperator, HessianOperator

__all__ = [
    "UNREACHED",
    "GaussNewtonOperator",
    "HessianOperator",
    "check_loss",
    "check_parameters",
    "check_vector",
    "gradient_with_graph",
    "hvp",
    "product_from_gradient",
    "second_sweep",
    "without_hooks",
]


UNREACHED = (
    "the loss depends on none of the parameters, so that its Hessian would read zero: pass the parameters of the "
    "model that computes the loss (not of a copy), with requires_grad=True on at least one"
)


def __getattr__(name: str) -> object:
    """Export the operators lazily: ``esgd.operator`` itself imports this module."""
    if name in ("HessianOperator", "GaussNewtonOperator"):
        from esgd import operator

        return getattr(operator, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def check_parameters(params: Sequence[Tensor]) -> None:
    """Refuse parameters that have no Hessian-vector product.

    Raises:
        CurvatureError: no parameters at all, something that is not a tensor, or a sparse, complex, integer
            or sharded one.
    """
    if not params:
        raise CurvatureError("expected at least one parameter, got none: pass model.parameters()")
    for i, p in enumerate(params):
        if not isinstance(p, Tensor):
            raise CurvatureError(
                f"parameter {i} is a {type(p).__name__}, not a tensor: pass model.parameters(), and from "
                "model.named_parameters() the second of each pair"
            )
        if type(p).__name__ == "DTensor":
            raise CurvatureError(
                f"parameter {i} is a sharded DTensor, which torch cannot differentiate twice: use "
                "DistributedDataParallel instead of FSDP where curvature is measured"
            )
        if getattr(p, "_fsdp_flattened", False):
            raise CurvatureError(
                f"parameter {i} is sharded by FullyShardedDataParallel, and no rank has the whole of it: use "
                "DistributedDataParallel instead where curvature is measured"
            )
        if p.layout is not torch.strided:
            raise CurvatureError(
                f"parameter {i} is sparse ({p.layout}), and a Hessian-vector product is dense: use "
                "p.to_dense() for it or leave it out of params"
            )
        if p.is_complex():
            raise CurvatureError(
                f"parameter {i} is complex ({p.dtype}): hold its real and imaginary parts as one real "
                "parameter and join them with torch.view_as_complex in the model"
            )
        if not p.is_floating_point():
            raise CurvatureError(f"parameter {i} has dtype {p.dtype}: only floating point has a derivative")


def check_vector(v: Sequence[Tensor], params: Sequence[Tensor]) -> None:
    """Refuse a vector that is not one tensor a parameter, of its shape, dtype and device.

    Raises:
        CurvatureError: what was expected, what came, and for which parameter.
    """
    sized = hasattr(v, "__len__") and not isinstance(v, Tensor)
    if not sized or len(v) != len(params):
        came = f"{len(v)} tensors" if sized else f"a {type(v).__name__}"
        came = f"one tensor of shape {tuple(v.shape)}" if isinstance(v, Tensor) else came
        raise CurvatureError(
            f"v must be a list of {len(params)} tensors, one a parameter, got {came}: "
            "esgd.probes.draw(kind, params, seed, index) draws one of the right shapes"
        )
    for i, (x, p) in enumerate(zip(v, params, strict=True)):
        if not isinstance(x, Tensor):
            raise CurvatureError(f"v[{i}] is a {type(x).__name__}, not a tensor: v has one tensor a parameter")
        if x.shape != p.shape:
            raise CurvatureError(
                f"v[{i}] has shape {tuple(x.shape)}, but its parameter has shape {tuple(p.shape)}: "
                "a vector of parameter space has the parameters' own shapes"
            )
        if x.dtype != p.dtype or x.device != p.device:
            raise CurvatureError(
                f"v[{i}] is {x.dtype} on {x.device}, but its parameter is {p.dtype} on {p.device}: use "
                f"v[{i}].to(parameter)"
            )


def check_loss(loss: Tensor) -> None:
    """Refuse a loss that has no Hessian.

    Raises:
        CurvatureError: it is not a tensor, not a real scalar, or has no graph.
    """
    if not isinstance(loss, Tensor):
        raise CurvatureError(f"expected the loss as a tensor with its graph, got {type(loss).__name__}")
    if loss.numel() != 1:
        raise CurvatureError(
            f"a Hessian needs a scalar loss, but the loss has shape {tuple(loss.shape)}: reduce it "
            "with .mean() or .sum() first"
        )
    if loss.is_complex():
        raise CurvatureError(f"a Hessian needs a real loss, but the loss is {loss.dtype}: take .real or .abs()")
    if not loss.requires_grad:
        raise CurvatureError(
            "the loss has no graph: compute it outside torch.no_grad() and inference_mode(), without "
            ".detach() or .item(), and leave some parameter with requires_grad=True"
        )


@contextmanager
def without_hooks(params: Iterable[Tensor]) -> Iterator[None]:
    """Within it the hooks that somebody has put on the gradients of ``params`` do not run.

    Such a hook (clipping, a mask, logging) is meant for ``.grad``. In the sweeps of a product it would change the
    gradient that is differentiated, and the product itself once more.
    """
    hooks = [(p._backward_hooks, dict(p._backward_hooks)) for p in params if p._backward_hooks]
    for living, _ in hooks:
        living.clear()  # in place: autograd holds this very dictionary
    try:
        yield
    finally:
        for living, kept in hooks:
            living.update(kept)


def gradient_with_graph(loss: Tensor, params: Sequence[Tensor], *, check: bool = True) -> list[Tensor | None]:
    """Gradient of ``loss``, differentiable once more; ``None`` where ``loss`` does not depend on a parameter.

    Args:
        loss: scalar, shape ``()`` or one element, with a graph.
        params: the parameters, any shapes. Frozen ones (``requires_grad=False``) get ``None``.
        check: look through the graph for functions whose second derivative torch would silently get wrong
            (:func:`esgd.double_backward.check_graph`). It costs microseconds a node.

    Returns:
        One tensor a parameter, of its shape; each keeps its graph, so drop them when done.

    Raises:
        CurvatureError: the loss is not a real scalar with a graph, a parameter is sparse, complex or
            sharded, or a part of the model cannot be differentiated twice.
    """
    check_loss(loss)
    check_parameters(params)
    if check:
        check_graph(loss)
    live = [p for p in params if p.requires_grad]
    with translated(), without_hooks(live):
        grads = iter(torch.autograd.grad(loss, live, create_graph=True, allow_unused=True) if live else ())
    return [next(grads) if p.requires_grad else None for p in params]


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
        v: one tensor a parameter, of its shape, dtype and device.
        retain_graph: keep the graph for another product.

    Returns:
        H v, one tensor a parameter, of its shape and dtype, without a graph.

    Raises:
        CurvatureError: ``v`` does not match ``params``, a part of the model cannot be differentiated twice,
            or the graph was freed by an earlier product.
    """
    check_vector(v, params)
    rows = [(g, x) for g, x in zip(gradient, v, strict=True) if g is not None and g.grad_fn is not None]
    if not rows:
        return [torch.zeros_like(p, requires_grad=False) for p in params]
    outputs, vectors = zip(*rows, strict=True)
    return second_sweep(outputs, params, vectors, retain_graph=retain_graph)


def second_sweep(
    outputs: Sequence[Tensor | GradientEdge],
    params: Sequence[Tensor],
    starts: Sequence[Tensor],
    *,
    retain_graph: bool,
) -> list[Tensor]:
    """The derivative of Σ ⟨output, start⟩, starts fixed, with respect to each parameter.

    Args:
        outputs: tensors with a graph, or their edges in it; at least one.
        params: the parameters.
        starts: one tensor an output, of its shape.
        retain_graph: keep the graph.

    Returns:
        One tensor a parameter, of its shape: zero where it is frozen or plays no part.

    Raises:
        CurvatureError: a part of the model cannot be differentiated twice, or the graph is gone.
    """
    live = [p for p in params if p.requires_grad]
    with translated(), without_hooks(live):
        found = iter(
            torch.autograd.grad(outputs, live, starts, retain_graph=retain_graph, allow_unused=True) if live else ()
        )
    columns = [next(found) if p.requires_grad else None for p in params]
    return [
        torch.zeros_like(p, requires_grad=False) if h is None else h for h, p in zip(columns, params, strict=True)
    ]


def hvp(loss: Tensor, params: Iterable[Tensor], v: Iterable[Tensor]) -> list[Tensor]:
    """Hessian-vector product H v of a scalar loss, without ever forming H.

    Args:
        loss: scalar with a graph.
        params: parameters of any shapes.
        v: one tensor a parameter, of the same shape, dtype and device.

    Returns:
        H v, one tensor a parameter, without a graph.

    Raises:
        CurvatureError: the loss depends on none of the parameters; see also :func:`gradient_with_graph` and
            :func:`product_from_gradient`.

    Example:
        >>> w = torch.tensor([1.0, 2.0], requires_grad=True)
        >>> hvp(w[0] ** 2 * w[1], [w], [torch.tensor([1.0, 0.0])])
        [tensor([4., 2.])]
    """
    params = list(params)
    v = list(v) if isinstance(v, Iterator) else v
    gradient = gradient_with_graph(loss, params)
    if all(g is None for g in gradient):
        raise CurvatureError(UNREACHED)
    return product_from_gradient(gradient, params, v)
