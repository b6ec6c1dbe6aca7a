"""What torch cannot differentiate twice: found before it is silently wrong, and told with a remedy."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor

from esgd.errors import CurvatureError

__all__ = ["GRAPH_GONE", "REENTRANT", "check_graph", "custom_functions", "translated"]

REENTRANT = (
    "reentrant activation checkpointing cannot be seen through: pass use_reentrant=False to "
    "torch.utils.checkpoint.checkpoint"
)
GRAPH_GONE = (
    "the graph of this loss is gone: call optimizer.probe(loss) before backward(); otherwise compute the "
    "loss again, or pass retain_graph=True to all products but the last"
)
_DIFFERENCE = "or take the product from differences of gradients (curvature='difference' in the optimizers)"
_COMPILED = (
    "a module compiled by torch.compile cannot be differentiated twice: compute the loss that is probed "
    f"from the uncompiled module (compiled._orig_mod), {_DIFFERENCE}"
)

# a part of torch's message -> what it means and what to do
_REMEDIES: tuple[tuple[str, str], ...] = (
    (
        "aot_autograd",
        _COMPILED,
    ),
    (
        "scaled_dot_product",
        "fused attention cannot be differentiated twice: compute the loss inside "
        f"torch.nn.attention.sdpa_kernel(SDPBackend.MATH), {_DIFFERENCE}",
    ),
    (
        "embedding_bag",
        f"EmbeddingBag cannot be differentiated twice: use Embedding and reduce its output, {_DIFFERENCE}",
    ),
    (
        "use_reentrant",
        REENTRANT,
    ),
    (
        "once_differentiable",
        "a function of the model is marked once_differentiable: give it a backward that autograd can follow, "
        f"{_DIFFERENCE}",
    ),
    (
        "backward through the graph a second time",
        GRAPH_GONE,
    ),
    (
        "is not implemented",
        f"an operation of the model has no second derivative in torch: replace it, {_DIFFERENCE}",
    ),
    (
        "does not require grad",
        "the gradient lost its graph: take it with gradient_with_graph, outside torch.no_grad()",
    ),
)


@contextmanager
def translated() -> Iterator[None]:
    """Turn torch's error about a missing second derivative into a :class:`CurvatureError` with a remedy.

    An error that is not about differentiation passes through untouched.
    """
    try:
        yield
    except RuntimeError as error:
        text = str(error)
        for part, remedy in _REMEDIES:
            if part in text:
                raise CurvatureError(f"{remedy} (torch says: {text.splitlines()[0]})") from error
        raise


def check_graph(loss: Tensor) -> None:
    """Refuse a graph whose second derivative torch would get wrong without saying so.

    The backward of a function marked ``once_differentiable`` runs without a graph. Where its incoming
    gradient is a constant, torch then takes the function's second derivative for zero and raises nothing.

    Args:
        loss: a tensor with a graph. The graph is walked once and left untouched.

    Raises:
        CurvatureError: names the function and says what to do.
    """
    for node in _nodes(loss):
        function = getattr(type(node), "_forward_cls", None)  # only Python's own autograd functions have it
        if function is not None:
            _check_function(function)


def custom_functions(loss: Tensor) -> dict[str, Any]:
    """The functions in the graph whose backward somebody wrote: by name the class, or ``None`` where it is in C++.

    ``torch.autograd.Function`` in Python or C++, and operators of ``torch.library``; torch's own are left out,
    since torch raises where one of those has no second derivative.

    Args:
        loss: a tensor with a graph, which is walked and left untouched.

    Example:
        >>> import torch
        >>> custom_functions(torch.ones(2, requires_grad=True).tanh().sum())
        {}
    """
    found: dict[str, Any] = {}
    for node in _nodes(loss):
        function, name = getattr(type(node), "_forward_cls", None), node.name()
        if function is None:
            if "CppNode<" in name:
                found[name.partition("CppNode<")[2].removesuffix(">")] = None
        elif function.__name__.startswith("GeneratedBackwardFor_"):  # what torch.library makes of register_autograd
            found[function.__name__.removeprefix("GeneratedBackwardFor_").removesuffix("_default")] = function
        elif function.__module__.partition(".")[0] != "torch":
            found[function.__qualname__.rpartition("<locals>.")[2]] = function
    return found


def _nodes(loss: Tensor) -> Iterator[Any]:
    """Every node of the graph behind ``loss``, once."""
    stack, seen = [loss.grad_fn], set()
    while stack:
        node = stack.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        yield node
        stack.extend(parent for parent, _ in node.next_functions)


def _check_function(function: type) -> None:
    if function.__name__ == "CheckpointFunction":
        raise CurvatureError(REENTRANT)
    if function.__name__ == "CompiledFunction":
        raise CurvatureError(_COMPILED)
    backward = getattr(function, "backward", None)
    code = getattr(backward, "__code__", None)
    if code is not None and code.co_qualname.startswith("once_differentiable."):
        raise CurvatureError(
            f"the model uses {function.__name__}, whose backward is marked once_differentiable: its second "
            "derivative would silently be wrong. Give it a backward that autograd can follow, "
            f"{_DIFFERENCE}"
        )
