"""What the optimizers need to know of an autograd graph, and how a gradient already computed gets back in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from esgd.errors import CurvatureError

__all__ = ["GraphFacts", "deposit", "inspect_graph", "owned"]


def owned(tensors: Sequence[Tensor], others: Sequence[Tensor] = ()) -> list[Tensor]:
    """The same values in tensors that may be written to one by one.

    Autograd hands out one tensor for several parameters where their derivatives are equal (``x @ W + b1 + b2``,
    the two biases of an LSTM), and stretches a single number over a parameter (``w.sum()``). Those are copied.

    Args:
        tensors: any shapes.
        others: tensors that the result must not share memory with either.
    """
    taken = {t.untyped_storage().data_ptr() for t in others}
    result = []
    for t in tensors:
        place = t.untyped_storage().data_ptr()
        stretched = any(stride == 0 and size > 1 for stride, size in zip(t.stride(), t.shape, strict=True))
        result.append(t.clone(memory_format=torch.contiguous_format) if stretched or place in taken else t)
        taken.add(place)
    return result


@dataclass(frozen=True)
class GraphFacts:
    """What a walk over the graph of a loss found.

    Attributes:
        foreign_leaves: the graph reaches a leaf that the optimizer does not hold, so its gradient must come
            from an ordinary backward pass.
        reentrant_checkpoint: the graph holds a reentrant activation checkpoint, whose inside cannot be seen.
        compiled: the graph holds a compiled region, which torch cannot differentiate twice.
    """

    foreign_leaves: bool
    reentrant_checkpoint: bool
    compiled: bool


def inspect_graph(loss: Tensor, params: Sequence[Tensor]) -> GraphFacts:
    """Walk the graph behind ``loss`` once, on the host, without touching any data."""
    mine = {id(p) for p in params}
    foreign = reentrant = compiled = False
    seen = set()
    stack = [loss.grad_fn]
    while stack:
        node = stack.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        variable = getattr(node, "variable", None)  # only AccumulateGrad nodes have one
        if variable is not None:
            foreign = foreign or id(variable) not in mine
            continue
        name = node.name()
        reentrant = reentrant or name.startswith("CheckpointFunctionBackward")
        compiled = compiled or name.startswith("CompiledFunctionBackward")
        stack.extend(edge[0] for edge in node.next_functions)
    return GraphFacts(foreign, reentrant, compiled)


class Probed(torch.autograd.Function):
    """The value of a loss whose gradient is known: backward hands the gradient out, times what comes in."""

    @staticmethod
    def forward(ctx, value: Tensor, gradient: list[Tensor], *params: Tensor) -> Tensor:
        ctx.gradient = gradient
        return value.clone()

    @staticmethod
    def backward(ctx, incoming: Tensor):
        if torch.is_grad_enabled():  # create_graph=True
            raise CurvatureError(
                "the loss that optimizer.probe() returned cannot be differentiated twice: its gradient is handed "
                "out as numbers. Compute what needs the gradient's graph (a gradient penalty) from the loss "
                "itself, and probe the sum: optimizer.probe(loss + penalty).backward()"
            )
        if ctx.gradient is None:
            raise RuntimeError(
                "backward() ran twice on the loss that optimizer.probe() returned: its gradient is handed out "
                "once. Call probe on a fresh loss, or pass retain_graph=True to the first backward()"
            )
        gradient = ctx.gradient
        if not torch._C._autograd._get_current_graph_task_keep_graph():
            ctx.gradient = None
        if incoming.device.type == "cpu" and incoming.item() == 1.0:  # the usual case, and it saves a copy
            return None, None, *gradient
        return None, None, *(_scaled(g, incoming) for g in gradient)


def _scaled(g: Tensor, factor: Tensor) -> Tensor:
    """``factor · g`` in the dtype of ``g``, multiplied in the wider of the two: 65536 is infinite in float16."""
    wide = torch.promote_types(g.dtype, factor.dtype)
    return (g.to(wide) * factor.to(g.device).reshape(())).to(g.dtype)


def deposit(loss: Tensor, params: Sequence[Tensor], gradient: Sequence[Tensor | None]) -> Tensor:
    """A loss of the same value whose ``backward`` deposits ``gradient``, already computed, into ``params``.

    Parameters whose gradient is ``None`` stay out of it, as they would in an ordinary backward pass.
    """
    pairs = [(p, g.detach()) for p, g in zip(params, gradient, strict=True) if g is not None]
    if not pairs:
        return loss
    kept, grads = zip(*pairs, strict=True)
    return Probed.apply(loss.detach(), owned(grads, kept), *kept)
