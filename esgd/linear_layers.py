"""Gradient and Hessian-vector products that use the factors of a low-rank probe.

The gradient of a weight matrix that enters the loss through Y = X Wᵀ is the sum of dYᵀ X over the places where it
enters. Its inner product with V = A Bᵀ is that of dY A with X B. So the second sweep need not pass through dYᵀ X,
two full matrix products a layer: it starts at dY with (X B) Aᵀ and at X with (dY A) Bᵀ. For Y = X W, A and B change
places. Only X B and dY A, r numbers an example, are made beforehand; each start is made when the sweep comes to it,
since all of them together take the memory of the activations and of their gradients once more.

What is needed for it, the layers' inputs X and the edges at which dY arrives, is found in the graph of the loss;
no module is looked at. A matrix that enters in any other way is treated like every other parameter.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import GradientEdge, get_gradient_edge

from esgd.double_backward import GRAPH_GONE, check_graph, translated
from esgd.errors import CurvatureError
from esgd.hvp import check_loss, check_parameters, second_sweep
from esgd.low_rank import LowRank

__all__ = ["Layer", "LayerGradient", "linear_layers"]


@dataclass(frozen=True)
class Layer:
    """One place where a matrix W enters as Y = X Wᵀ, or as Y = X W.

    Attributes:
        parameter: the position of W among the parameters.
        node: the matrix product in the graph.
        transposed: whether it is Wᵀ that X is multiplied by, as in :func:`torch.nn.functional.linear`.
    """

    parameter: int
    node: Any
    transposed: bool

    def inputs(self) -> Tensor:
        """X, of shape (rows, in), with its graph."""
        return self.node._saved_mat1 if self.node.name() == "AddmmBackward0" else self.node._saved_self

    def weight_gradient(self, arrived: Tensor, inputs: Tensor) -> Tensor:
        """This place's part of the gradient of W, from dY and X."""
        return arrived.T @ inputs if self.transposed else inputs.T @ arrived

    def adding(self, left: Tensor, right: Tensor) -> Callable[..., tuple[Tensor | None, ...]]:
        """A hook of :attr:`node` that adds ``left @ right`` to what the node sends to X."""
        place = 1 if self.node.name() == "AddmmBackward0" else 0

        def hook(sent: tuple[Tensor | None, ...], _arrived: tuple[Tensor, ...]) -> tuple[Tensor | None, ...]:
            return tuple(
                _plus_product(left, right, g) if i == place and g is not None else g for i, g in enumerate(sent)
            )

        return hook

    def factors(self, v: LowRank) -> tuple[Tensor, Tensor]:
        """What dY and what X is multiplied by: A and B."""
        a, b = v.factors(self.parameter)
        return (a, b) if self.transposed else (b, a)


def linear_layers(loss: Tensor, params: Sequence[Tensor], wanted: Iterable[int]) -> list[Layer]:
    """The places where matrices enter, for those that enter through such matrix products and nothing else.

    Args:
        loss: a tensor with a graph, which is walked once.
        params: the parameters.
        wanted: positions in ``params`` of matrices.
    """
    users: dict[Any, list[tuple[Any, int]]] = {}  # node -> nodes that take its output, and as which argument
    leaves: dict[int, Any] = {}
    stack, seen = [loss.grad_fn], set()
    while stack:
        node = stack.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if (variable := getattr(node, "variable", None)) is not None:
            leaves[id(variable)] = node
        for place, (earlier, _) in enumerate(node.next_functions):
            if earlier is not None:
                users.setdefault(earlier, []).append((node, place))
                stack.append(earlier)
    return [
        Layer(i, node, transposed)
        for i in wanted
        for node, transposed in _products_with(leaves.get(id(params[i])), users)
    ]


def _products_with(leaf: Any, users: dict[Any, list[tuple[Any, int]]]) -> list[tuple[Any, bool]]:
    """The matrix products that ``leaf`` enters as right factor; empty if it enters in another way as well."""
    products: list[tuple[Any, bool]] = []
    stack = [(node, place, False) for node, place in users.get(leaf, ())]
    while stack:
        node, place, transposed = stack.pop()
        name = node.name()
        if (turned := _turned(node, name)) is not None:
            stack += [(*user, transposed ^ turned) for user in users.get(node, ())]
        elif (name, place) == ("MmBackward0", 1) or _is_addmm(node, name, place):
            products.append((node, transposed))
        else:
            return []
    return products


def _turned(node: Any, name: str) -> bool | None:
    """Whether a node transposes a matrix (True) or only changes its dtype, as autocast does; else ``None``."""
    if name == "TBackward0":
        return True
    if name == "TransposeBackward0":
        return (node._saved_dim0 - node._saved_dim1) % 2 == 1  # a dimension may be counted from the end
    if name == "PermuteBackward0":
        return node._saved_dims[0] % 2 == 1
    return False if name == "ToCopyBackward0" else None


def _is_addmm(node: Any, name: str, place: int) -> bool:
    return (name, place) == ("AddmmBackward0", 2) and node._saved_alpha == 1


class LayerGradient:
    """The gradient of a loss with what products along low-rank vectors need.

    Args:
        loss: scalar with a graph.
        params: parameters of any shapes; frozen ones have no gradient.
        probe: a vector that tells which parameters have factors.
        check: as for :func:`esgd.hvp.gradient_with_graph`.

    Attributes:
        rows: positions of the parameters that do not go by factors, with their gradients; these have a graph.
        depends: whether the loss depends on any of the parameters.

    Raises:
        CurvatureError: as for :func:`esgd.hvp.gradient_with_graph`.
    """

    def __init__(self, loss: Tensor, params: Sequence[Tensor], probe: LowRank, *, check: bool = True):
        check_loss(loss)
        check_parameters(params)
        if check:
            check_graph(loss)
        self.params = list(params)
        wanted = [i for i, p in enumerate(params) if p.requires_grad and probe.factors(i) is not None]
        layers = linear_layers(loss, params, wanted)
        covered = {layer.parameter for layer in layers}
        self._plain = [i for i, p in enumerate(params) if p.requires_grad and i not in covered]
        edges = [GradientEdge(layer.node, 0) for layer in layers]
        inputs = [*edges, *(params[i] for i in self._plain)]
        with translated():
            found = torch.autograd.grad(loss, inputs, create_graph=True, allow_unused=True) if inputs else ()
        arrived, plain = found[: len(edges)], found[len(edges) :]
        # a layer that a branch without a gradient ends in has no dY
        self._layers = [
            (layer, d, layer.inputs()) for layer, d in zip(layers, arrived, strict=True) if d is not None
        ]
        self._spent = False
        self.rows = [(i, g) for i, g in zip(self._plain, plain, strict=True) if g is not None]
        self.depends = bool(self._layers or self.rows)

    @cached_property
    def gradient(self) -> list[Tensor | None]:
        """One tensor a parameter, without a graph; ``None`` where the loss does not depend on it.

        A product needs none of the layers' gradients, so they are computed when they are asked for, before the
        last product.
        """
        if self._spent:
            raise CurvatureError(GRAPH_GONE)
        gradient: list[Tensor | None] = [None] * len(self.params)
        for i, g in self.rows:
            gradient[i] = g.detach()
        with torch.no_grad(), torch.autocast(self.params[0].device.type, enabled=False):
            for layer, d, x in self._layers:
                i = layer.parameter
                term = layer.weight_gradient(d, x).to(self.params[i].dtype)
                gradient[i] = term if gradient[i] is None else gradient[i] + term
        return gradient

    def product(self, v: LowRank, *, retain_graph: bool = False, last: bool | None = None) -> list[Tensor]:
        """H v, one tensor a parameter, of its shape and dtype, without a graph.

        Args:
            v: a vector with factors for the same parameters.
            retain_graph: keep the graph, for another product or for another use.
            last: there is no other product, so that what only this object holds may go; by default where the
                graph is not kept.

        Raises:
            CurvatureError: a part of the model cannot be differentiated twice, or an earlier product was the last.
        """
        if self._spent:
            raise CurvatureError(GRAPH_GONE)
        outputs: list[Tensor | GradientEdge] = [g for _, g in self.rows if g.grad_fn is not None]
        starts = [v[i] for i, g in self.rows if g.grad_fn is not None]
        hooks = []
        with torch.no_grad(), torch.autocast(self.params[0].device.type, enabled=False):
            for layer, d, x in self._layers:
                a, b = layer.factors(v)
                zeros = d.new_zeros(()).expand(d.shape)  # they take no memory, and bring the sweep to the hooks
                if d.requires_grad:
                    outputs.append(get_gradient_edge(d))
                    hooks.append(d.register_hook(partial(_plus_product, x.to(b.dtype) @ b, a.T)))
                    starts.append(zeros)
                if x.requires_grad:
                    outputs.append(GradientEdge(layer.node, 0))
                    hooks.append(layer.node.register_hook(layer.adding(d.to(a.dtype) @ a, b.T)))
                    starts.append(zeros)
        if last or (last is None and not retain_graph):  # the sweep frees what it has passed, if nobody holds it
            self._spent, self._layers, self.rows = True, [], []
            d = x = None
        if not outputs:
            return [torch.zeros_like(p, requires_grad=False) for p in self.params]
        try:
            with torch.autocast(self.params[0].device.type, enabled=False):
                return second_sweep(outputs, self.params, starts, retain_graph=retain_graph)
        finally:
            for hook in hooks:
                hook.remove()


def _plus_product(left: Tensor, right: Tensor, total: Tensor) -> Tensor:
    """``total + left @ right`` in the dtype of ``total``, in place where ``total`` has memory of its own.

    Nobody else has that memory: the zeros come first, so that what autograd adds to them is a new tensor, and what
    a matrix product sends to its input is one as well.
    """
    if total.dtype != right.dtype:
        return total + (left @ right).to(total.dtype)
    return torch.addmm(total, left, right, out=None if 0 in total.stride() else total)
