"""What torch cannot differentiate twice: found before it is silently wrong, and told with a remedy."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor

from esgd.errors import CurvatureError

__all__ = ["GRAPH_GONE", "REENTRANT", "bears_saved_hooks", "check_graph", "custom_functions", "translated"]

REENTRANT = (
    "reentrant activation checkpointing cannot be seen through: pass use_reentrant=False to "
    "torch.utils.checkpoint.checkpoint"
)
GRAPH_GONE = (
    "the graph of this loss is gone: call optimizer.probe(loss) before backward(); otherwise compute the "
    "loss again, or pass retain_graph=True to all products but the last"
)
_DIFFERENCE = "or take the product from differences of gradients (curvature='difference' in ESGD and JacobiSGD)"
_COMPILED = (
    "a module compiled by torch.compile cannot be differentiated twice: compute the loss that is probed "
    f"from the uncompiled module (compiled._orig_mod), {_DIFFERENCE}"
)

_PROBED = (
    "this loss has been probed already, and what probe() returned has no second derivative: probe the loss "
    "itself, once"
)
_CONTROL_FLOW = (
    "the model uses torch's {name} operator, whose second derivative torch silently gets wrong: write it as "
    f"Python's own if and for, {_DIFFERENCE}"
)
_FUSED_HEAD = (
    "linear_cross_entropy in chunks has a second derivative that torch silently gets wrong: use "
    f"cross_entropy(linear(x, weight), target), {_DIFFERENCE}"
)
MAP = "MapAutogradOp"  # torch's map is right, but not under hooks on saved tensors
# nodes of torch's own whose backward autograd does not follow, and the remedy
_WRONG_NODES = {
    "WeightNormInterfaceBackward": (
        "weight_norm of torch.nn.utils has a second derivative that torch silently gets wrong: write the weight "
        f"as g * v / v.norm(dim=..., keepdim=True), {_DIFFERENCE}"
    ),
}

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
        "cudnn_rnn",
        "a recurrent layer run by cuDNN cannot be differentiated twice: compute the loss that is probed inside "
        f"torch.backends.cudnn.flags(enabled=False), {_DIFFERENCE}",
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
            if part in text.lower():
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
        elif text := _WRONG_NODES.get(node.name().rstrip("0123456789")):
            raise CurvatureError(text)


def custom_functions(loss: Tensor) -> dict[str, Any]:
    """The functions in the graph whose backward somebody wrote: by name the class, or ``None`` where it is in C++.

    ``torch.autograd.Function`` in Python or C++, and operators of ``torch.library``. torch's own are left out: it
    raises where one of those has no second derivative, and :func:`check_graph` knows those where it does not.

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


def bears_saved_hooks(loss: Tensor) -> bool:
    """Whether the second derivative is right also where hooks on saved tensors were set on the way."""
    return all(getattr(getattr(type(n), "_forward_cls", None), "__name__", None) != MAP for n in _nodes(loss))


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
    if function.__name__ == "Probed":
        raise CurvatureError(_PROBED)
    if function.__name__.startswith("GeneratedBackwardFor_torch_nn__linear_cross_entropy"):
        raise CurvatureError(_FUSED_HEAD)
    if function.__module__.startswith("torch._higher_order_ops.") and function.__name__ != MAP:
        name = function.__name__.removesuffix("Op").removesuffix("Autograd").lower()
        raise CurvatureError(_CONTROL_FLOW.format(name=name))
    backward = getattr(function, "backward", None)
    code = getattr(backward, "__code__", None)
    if code is not None and code.co_qualname.startswith("once_differentiable."):
        raise CurvatureError(
            f"the model uses {function.__name__}, whose backward is marked once_differentiable: its second "
            "derivative would silently be wrong. Give it a backward that autograd can follow, "
            f"{_DIFFERENCE}"
        )
