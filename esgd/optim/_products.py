"""Hessian-vector products for the optimizers: from the step's own graph, or by differences of gradients."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from functools import partial
from itertools import chain
from typing import Any

import torch
from torch import Tensor

from esgd.double_backward import REENTRANT, bears_saved_hooks, translated
from esgd.errors import CurvatureError
from esgd.hvp import (
    check_loss,
    check_vector,
    gradient_with_graph,
    product_from_gradient,
    second_sweep,
    without_hooks,
)
from esgd.linear_layers import LayerGradient
from esgd.low_rank import LowRank
from esgd.optim._graph import inspect_graph, owned
from esgd.optim._saved import SavedOnce
from esgd.probes import Signs

__all__ = ["STEP", "check_dense", "difference_products", "exact_products", "typical_weight"]


def check_dense(gradient: Sequence[Tensor | None]) -> None:
    """Refuse sparse gradients, with the remedy."""
    for g in gradient:
        if g is not None and g.layout is not torch.strided:
            raise CurvatureError(
                f"curvature needs dense gradients, got {g.layout}: construct the embedding with sparse=False"
            )


def exact_products(
    loss: Tensor,
    params: Sequence[Tensor],
    probes: Iterable[Sequence[Tensor]],
    count: int,
    *,
    keep_graph: bool,
) -> tuple[list[Tensor | None], list[list[Tensor]], list[bool]]:
    """From one graph the gradient of ``loss``, where the graph is kept, and one product H v for each probe.

    Args:
        loss: scalar with a graph.
        params: parameters of any shapes.
        probes: ``count`` vectors, each a list of tensors like ``params``; drawn one at a time.
        count: how many there are.
        keep_graph: leave the graph of ``loss`` intact behind the last product.

    Returns:
        The gradient (without a graph; ``None`` where the loss does not depend on a parameter, and everywhere if the
        graph is not kept: the caller then has the gradient from elsewhere), the products, and for each parameter
        whether the loss depends on it.
    """
    check_loss(loss)
    probes = iter(probes)
    first = next(probes)
    saved = SavedOnce()
    with saved.hooks() if keep_graph and bears_saved_hooks(loss) else nullcontext():
        if isinstance(first, LowRank):
            layers = LayerGradient(loss, params, first)
            check_dense([g for _, g in layers.rows])
            reached = [i in layers.reached for i in range(len(params))]
            gradient = layers.gradient if keep_graph else [None] * len(params)

            def product(v: LowRank, *, retain_graph: bool) -> list[Tensor]:
                return layers.product(v, retain_graph=retain_graph, last=saved.last)

        else:
            gradient = gradient_with_graph(loss, params)
            reached = [g is not None for g in gradient]
            product = partial(_product, gradient, params)
    check_dense(gradient)
    products = []
    try:
        for i, v in enumerate(chain([first], probes)):
            saved.last = i + 1 == count
            found = product(v, retain_graph=keep_graph or not saved.last)
            given = () if isinstance(v, Signs) else v.tensors() if isinstance(v, LowRank) else v
            products.append(owned(found, [*params, *given]))
    finally:
        saved.close()
    return [g.detach() if g is not None and keep_graph else None for g in gradient], products, reached


def _product(
    gradient: Sequence[Tensor | None], params: Sequence[Tensor], v: Sequence[Tensor], *, retain_graph: bool
) -> list[Tensor]:
    """H v; the parts of a lazy ``v`` are drawn as the sweep comes to them, and freed when it has passed."""
    if not isinstance(v, Signs):
        return product_from_gradient(gradient, params, v, retain_graph=retain_graph)
    rows: dict[tuple[Any, int], list[int]] = {}  # several parameters may have one gradient
    for i, g in enumerate(gradient):
        if g is not None and g.grad_fn is not None:
            rows.setdefault((g.grad_fn, g.output_nr), []).append(i)
    outputs = [gradient[members[0]] for members in rows.values()]
    zeros = {key: torch.zeros((), dtype=key[0], device=key[1]) for key in {(g.dtype, g.device) for g in outputs}}
    places = {zero.data_ptr() for zero in zeros.values()}

    def arrive(total: Tensor, members: list[int]) -> Tensor:
        piece = v[members[0]]
        for i in members[1:]:
            piece = piece + v[i]
        return piece if total.data_ptr() in places else piece + total  # others differentiate through this one

    if not outputs:
        return [torch.zeros_like(p, requires_grad=False) for p in params]
    hooks = [g.register_hook(partial(arrive, members=m)) for g, m in zip(outputs, rows.values(), strict=True)]
    starts = [zeros[g.dtype, g.device].expand(g.shape) for g in outputs]
    try:
        return second_sweep(outputs, params, starts, retain_graph=retain_graph)
    finally:
        for hook in hooks:
            hook.remove()


def _gradient(closure: Callable[[], Tensor], params: Sequence[Tensor]) -> tuple[list[Tensor], list[bool]]:
    """One plain gradient of what ``closure`` returns, and for each parameter whether that depends on it."""
    with torch.enable_grad():
        loss = closure()
        check_loss(loss)
        if inspect_graph(loss, params).reentrant_checkpoint:
            raise CurvatureError(REENTRANT)  # autograd.grad would leave out what the checkpoint holds
        with without_hooks(params), translated():
            grads = torch.autograd.grad(loss, params, allow_unused=True)
    check_dense(grads)
    full = [torch.zeros_like(p) if g is None else g for g, p in zip(grads, params, strict=True)]
    return owned(full, params), [g is not None for g in grads]


STEP = 0.1


def typical_weight(params: Sequence[Tensor]) -> float:
    """The lower median over the weight matrices of their root mean square; 0.1 where everything is zero.

    Matrices decide, since biases and gains are few and often 0 or 1, and a median, since embeddings may be fifty
    times as large as what follows them, and an output layer may start at zero.
    """
    matrices = [p.detach() for p in params if p.dim() > 1]
    for tensors in (matrices, [p.detach() for p in params]):
        tensors = [t for t in tensors if t.numel()]
        norms = torch._foreach_norm(tensors) if tensors else []
        sizes = [float(n) / t.numel() ** 0.5 for n, t in zip(norms, tensors, strict=True)]
        sizes = sorted(r for r in sizes if 0 < r < math.inf)
        if sizes:
            return sizes[(len(sizes) - 1) // 2]
    return 0.1


def difference_products(
    closure: Callable[[], Tensor],
    params: Sequence[Tensor],
    probes: Iterable[Sequence[Tensor]],
    *,
    step: float = STEP,
    central: bool = False,
) -> tuple[list[list[Tensor]], list[bool]]:
    """Products H v from differences of gradients, for models that torch cannot differentiate twice.

    One-sided: (∇f(θ + h v) − ∇f(θ)) / h, an error of order h; central: (∇f(θ + h v) − ∇f(θ − h v)) / 2h, of
    order h², for one gradient more a probe. A length of a tenth of a weight looks long, and is a few percent off
    for smooth models; a short one is worse elsewhere. Each kink of a ReLU or a max-pooling that lies within h
    adds its jump divided by h: the square of that grows as 1/h, and with h near the square root of the machine
    precision D would be hundreds of times too large. And where the model computes in half precision inside
    (autocast), a short step drowns in the rounding. The parameters are moved in place, out of autograd's sight,
    and restored to the bit. ``closure`` is evaluated several times: random layers are given the same random numbers
    each time, and layers with running statistics (BatchNorm) see the batch several times.

    Args:
        closure: evaluates the loss anew.
        params: parameters of any shapes.
        probes: vectors with entries of order one.
        step: h, relative to :func:`typical_weight`.
        central: take central differences.

    Returns:
        The products, and for each parameter whether the loss depends on it in any of the evaluations.
    """
    params = list(params)
    h = step * typical_weight(params)
    data = [p.data for p in params]
    saved = [d.clone() for d in data]
    devices = {p.device.index for p in params if p.device.type == "cuda"}

    reached = [False] * len(params)

    def at(shift: float, v: Sequence[Tensor] | None) -> list[Tensor]:
        with torch.random.fork_rng(devices=[d for d in devices if d is not None]):
            try:
                if v is not None:
                    for d, x in zip(data, v, strict=True):
                        d.add_(x, alpha=shift)
                gradient, here = _gradient(closure, params)
                reached[:] = [a or b for a, b in zip(reached, here, strict=True)]
                return gradient
            finally:
                if v is not None:
                    torch._foreach_copy_(data, saved)

    base = None if central else at(0.0, None)
    products = []
    for v in probes:
        if not isinstance(v, (Signs, LowRank)):
            check_vector(v, params)
        ahead = at(h, v)
        behind = at(-h, v) if central else base
        torch._foreach_sub_(ahead, behind)
        torch._foreach_div_(ahead, 2 * h if central else h)
        products.append(ahead)
    return products, reached
