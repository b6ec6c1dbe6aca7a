"""Gradient and Hessian-vector products that use the factors of a low-rank probe.

The gradient of a weight matrix that enters the loss through Y = X Wᵀ is the sum of dYᵀ X over the places where it
enters. Its inner product with V = A Bᵀ is that of dY A with X B. So the second sweep need not pass through dYᵀ X,
two full matrix products a layer: it starts at dY with (X B) Aᵀ and at X with (dY A) Bᵀ. For Y = X W, A and B change
places. Only X B and dY A, r numbers an example, are made beforehand; each start is made when the sweep comes to it,
since all of them together take the memory of the activations and of their gradients once more.

What is needed for it, the layers' inputs X and the edges at which dY arrives, is found in the graph of the loss;
no module is looked at. A matrix that enters in any other way is treated like every other parameter, and so is one
whose gradient somebody's hook may change, on the parameter or on its matrix product.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import GradientEdge, get_gradient_edge

from esgd.double_backward import GRAPH_GONE, check_graph, translated
from esgd.errors import CurvatureError
from esgd.hvp import check_loss, check_parameters, second_sweep, without_hooks
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

    def hook_adding(self, left: Tensor, right: Tensor) -> Callable[..., tuple[Tensor | None, ...]]:
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
        elif ((name, place) == ("MmBackward0", 1) or _is_addmm(node, name, place)) and not _has_hooks(node):
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


def _has_hooks(node: Any) -> bool:
    """Whether somebody sees what a node sends on, as a module's backward hook of the old kind does."""
    mine = node.register_hook(lambda *_: None)
    others = len(mine.hooks_dict_ref()) > 1
    mine.remove()
    return others


class LayerGradient:
    """The gradient of a loss with what products along low-rank vectors need.

    A product puts hooks on the graph while it runs: one thread at a time.

    Args:
        loss: scalar with a graph.
        params: parameters of any shapes; frozen ones have no gradient.
        probe: a vector that tells which parameters have factors.
        check: as for :func:`esgd.hvp.gradient_with_graph`.

    Attributes:
        rows: positions of the parameters that do not go by factors, with their gradients, which have a graph where
            the loss is not linear in them; empty after the last product.
        reached: positions of the parameters that the loss depends on.
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
        wanted = [
            i
            for i, p in enumerate(params)
            if p.requires_grad and not p._backward_hooks and probe.factors(i) is not None
        ]
        while odd := self._differentiate(loss, wanted):
            wanted = [i for i in wanted if i not in odd]
        self._spent = False
        self.reached = {i for i, _ in self.rows} | {layer.parameter for layer, _, _ in self._layers}
        self.depends = bool(self.reached)

    def _differentiate(self, loss: Tensor, wanted: Sequence[int]) -> set[int]:
        """Fill in ``_layers`` and ``rows``; returns those of ``wanted`` that cannot go by factors after all.

        These are real matrices that work on complex numbers, and those whose inputs are sparse.
        """
        layers = linear_layers(loss, self.params, wanted)
        covered = {layer.parameter for layer in layers}
        others = [i for i, p in enumerate(self.params) if p.requires_grad and i not in covered]
        edges = [GradientEdge(layer.node, 0) for layer in layers]
        inputs = [*edges, *(self.params[i] for i in others)]
        with ExitStack() as stack, translated(), without_hooks(self.params):
            hooked: dict[Any, Tensor] = {}  # dY behind the hooks on Y, which autograd would hand out before them
            for layer in layers:
                stack.callback(layer.node.register_prehook(partial(_keep, hooked, layer.node)).remove)
            found = torch.autograd.grad(loss, inputs, create_graph=True, allow_unused=True) if inputs else ()
            arrived = [hooked.get(layer.node, d) for layer, d in zip(layers, found, strict=False)]
            # a layer that a branch without a gradient ends in has no dY
            self._layers = [
                (layer, d, layer.inputs()) for layer, d in zip(layers, arrived, strict=True) if d is not None
            ]
        plain = found[len(edges) :]
        self.rows = [(i, g) for i, g in zip(others, plain, strict=True) if g is not None]
        return {
            layer.parameter
            for layer, d, x in self._layers
            if d.is_complex() or x.is_complex() or x.layout is not torch.strided
        }

    @cached_property
    def gradient(self) -> list[Tensor | None]:
        """One tensor a parameter, without a graph; ``None`` where the loss does not depend on it.

        A product needs none of the layers' gradients, so they are computed when they are first asked for: before
        the last product, or not at all.
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
            last: dY and X are let go before the sweep, so that it can free them; :meth:`product` and
                :attr:`gradient` raise afterwards. By default where the graph is not kept.

        Raises:
            CurvatureError: a part of the model cannot be differentiated twice, or an earlier product was the last.
        """
        if self._spent:
            raise CurvatureError(GRAPH_GONE)
        outputs: list[Tensor | GradientEdge] = [g for _, g in self.rows if g.grad_fn is not None]
        starts = [v[i] for i, g in self.rows if g.grad_fn is not None]
        zero: dict[tuple[torch.dtype, torch.device], Tensor] = {}
        with ExitStack() as hooks, torch.autocast(self.params[0].device.type, enabled=False):
            with torch.no_grad():
                for layer, d, x in self._layers:
                    a, b = layer.factors(v)
                    if (kind := (d.dtype, d.device)) not in zero:
                        zero[kind] = d.new_zeros(())
                    zeros = zero[kind].expand(d.shape)  # no memory; they bring the sweep to the hooks
                    left = x.to(b.dtype) @ b
                    if d.requires_grad and d._backward_hooks:  # of somebody who must see all that arrives
                        outputs.append(d)
                        starts.append((left @ a.T).to(d.dtype))
                    elif d.requires_grad:
                        outputs.append(get_gradient_edge(d))
                        starts.append(zeros)
                        hooks.callback(d.register_hook(partial(_plus_product, left, a.T)).remove)
                    if x.requires_grad:
                        outputs.append(GradientEdge(layer.node, 0))
                        starts.append(zeros)
                        hook = layer.hook_adding(d.to(a.dtype) @ a, b.T)
                        hooks.callback(layer.node.register_hook(hook).remove)
            if last or (last is None and not retain_graph):
                self._spent, self._layers, self.rows = True, [], []
                d = x = None
            if not outputs:
                return [torch.zeros_like(p, requires_grad=False) for p in self.params]
            return second_sweep(outputs, self.params, starts, retain_graph=retain_graph)


def _keep(kept: dict[Any, Tensor], node: Any, arrived: tuple[Tensor, ...]) -> None:
    kept[node] = arrived[0]


def _plus_product(left: Tensor, right: Tensor, total: Tensor) -> Tensor:
    """``total + left @ right`` in the dtype of ``total``, in place where ``total`` has memory of its own.

    Nobody else has that memory: something was added to the zeros, which made a new tensor, or a matrix product made
    it; and no hook of others ran before.
    """
    if total.dtype != right.dtype:
        return total + (left @ right).to(total.dtype)
    return torch.addmm(total, left, right, out=None if 0 in total.stride() else total)
