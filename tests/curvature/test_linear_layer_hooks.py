"""Products along low-rank probes put hooks on the graph: those of others act as they do in dense products."""

from __future__ import annotations

import pytest
import torch
from layer_cases import N, agree, problem
from torch import nn
from torch.nn.functional import softplus

from esgd.hvp import gradient_with_graph, product_from_gradient
from esgd.linear_layers import LayerGradient
from esgd.probes import draw_lazily


class Dot(torch.autograd.Function):
    """An inner product whose backward hands out the tensors themselves."""

    @staticmethod
    def forward(ctx, y, z):
        ctx.save_for_backward(y, z)
        return (y * z).sum()

    @staticmethod
    def backward(ctx, _):
        y, z = ctx.saved_tensors
        return z, y


def on_activation(x, a, b, c):
    h = (x @ a.T + b).tanh()
    h.register_hook(lambda g: 3 * g)
    return softplus(h @ c.T).mean()


def on_output(x, a, b, c):
    y = nn.functional.linear(nn.functional.linear(x, a, b).tanh(), c)
    y.register_hook(lambda g: g.clamp(-1e-5, 1e-5) * g)
    return y.exp().mean()


def on_node(x, a, b, c):
    y = nn.functional.linear(x, a, b)
    y.grad_fn.register_prehook(lambda gs: tuple(2 * g for g in gs))
    return softplus(y.tanh() @ c.T).mean()


def on_module(x, a, b, c):
    zero = torch.zeros(len(x), N, dtype=x.dtype)
    y = nn.functional.linear((x @ a.T).tanh(), c, b)
    y.grad_fn.register_hook(lambda sent, _: (sent[0], zero, sent[2]))  # as register_backward_hook does
    return y.exp().mean()


def on_what_arrives(x, a, b, c):
    z = (x @ c.T + b).tanh()
    z.register_hook(lambda g: 3 * g)
    return Dot.apply(x @ a.T, z)


@pytest.mark.parametrize("f", [on_activation, on_output, on_node, on_module, on_what_arrives])
def test_hooks_of_others_act_on_the_same_sums(f):
    """What somebody's hook sees, returns and keeps is what it is in a dense product."""
    params, _ = problem("perceptron")
    x = torch.randn(20, N, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    params = [params[0], params[1], params[2]]
    v = draw_lazily("low_rank", params, 0, 0)
    gradient = gradient_with_graph(f(x, *params), params)
    expected = product_from_gradient(gradient, params, list(v))
    loss = f(x, *params)
    mine = LayerGradient(loss, params, v)
    agree(mine.gradient, [g.detach() for g in gradient], 1e-12)
    for _ in range(2):
        agree(mine.product(v, retain_graph=True), expected, 1e-12)
    agree(torch.autograd.grad(loss, params), [g.detach() for g in gradient], 1e-12)


def test_a_matrix_with_a_hook_of_its_own_is_treated_densely():
    params, loss = problem("perceptron")
    mask = torch.rand(N, N, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).round()
    params[0].register_hook(lambda g: g * mask)
    v = draw_lazily("low_rank", params, 0, 0)
    gradient = gradient_with_graph(loss(), params)
    mine = LayerGradient(loss(), params, v)
    agree(mine.gradient, [g.detach() for g in gradient], 1e-12)
    agree(mine.product(v), product_from_gradient(gradient, params, list(v)), 1e-12)


def test_a_product_that_fails_leaves_no_hooks():
    params, loss = problem("perceptron")
    v = draw_lazily("low_rank", params, 0, 0)
    value = loss()
    expected = torch.autograd.grad(value, params, retain_graph=True)
    layers = LayerGradient(value, params, v)
    product = layers.product(v, retain_graph=True)
    with pytest.raises(IndexError):
        layers.product(draw_lazily("low_rank", params[:2], 0, 0), retain_graph=True)  # too short
    agree(layers.product(v, retain_graph=True), product, 1e-15)
    agree(torch.autograd.grad(value, params), expected, 1e-15)
