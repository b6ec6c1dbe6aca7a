"""v drawn part by part while the product is taken, and what the graph of the gradient lets go of meanwhile."""

import pytest
import torch
from torch import nn

from esgd.hvp import gradient_with_graph, product_from_gradient
from esgd.optim._products import exact_products
from esgd.probes import Signs, draw


def params_of(*shapes, dtype=torch.float32):
    return [torch.zeros(s, dtype=dtype) for s in shapes]


PARAMS = {
    "one": params_of((70, 50)),
    "many": params_of((3,), (0,), (), (40, 30), (7, 11), (200,), (1,)),
    "mixed": [*params_of((5, 9), (64,)), *params_of((33,), (8, 8), dtype=torch.float64), *params_of((130,))],
    "half": params_of((17, 3), (90,), dtype=torch.bfloat16),
}


@pytest.mark.parametrize("params", PARAMS.values(), ids=PARAMS)
@pytest.mark.parametrize("index", [0, 7])
def test_the_parts_are_those_of_the_whole(params, index):
    whole, lazy = draw("rademacher", params, 3, index), Signs(params, 3, index)
    assert len(lazy) == len(params)
    for i in (*range(len(params)), *reversed(range(len(params)))):  # asked for twice, in any order
        torch.testing.assert_close(lazy[i], whole[i], rtol=0, atol=0)
    torch.testing.assert_close(list(lazy), whole, rtol=0, atol=0)
    assert [t.shape for t in lazy[1:]] == [p.shape for p in params[1:]]
    with pytest.raises(IndexError):
        lazy[len(params)]


def losses():
    """Losses whose gradients share nodes in different ways."""
    torch.manual_seed(0)
    a, b, c = (nn.Parameter(torch.randn(6)) for _ in range(3))
    W, x = nn.Parameter(torch.randn(5, 6)), torch.randn(4, 5)
    yield "one gradient for two", [a, b], lambda: (a + b).sin().sum()
    yield "one gradient inside another", [a, b], lambda: (a.exp() + b).sin().sum()
    yield "three deep", [a, b, c], lambda: ((a * b).exp() + b.tanh() + c).sin().prod()
    yield "linear in one", [a, b, c], lambda: (a * b).sum() + c.sum()
    yield (
        "unused and frozen",
        [a, b, torch.zeros(3, requires_grad=True), torch.zeros(2)],
        lambda: (a * b).sin().sum(),
    )
    yield "v itself is the product", [a], lambda: 0.5 * a.square().sum()
    yield "matrices", [W, a], lambda: torch.sigmoid(x @ W + a).square().mean()


@pytest.mark.parametrize(("params", "loss"), [(p, f) for _, p, f in losses()], ids=[n for n, _, _ in losses()])
@pytest.mark.parametrize("keep_graph", [True, False])
def test_products_equal_those_of_a_whole_vector(params, loss, keep_graph):
    whole = [draw("rademacher", params, 0, i) for i in range(3)]
    expected_gradient = gradient_with_graph(loss(), params)
    expected = [product_from_gradient(expected_gradient, params, v, retain_graph=True) for v in whole]
    value = loss()
    gradient, products, _ = exact_products(
        value, params, (Signs(params, 0, i) for i in range(3)), 3, keep_graph=keep_graph
    )
    torch.testing.assert_close(products, expected)
    for g, e in zip(gradient, expected_gradient, strict=True):
        assert (g is None) is (e is None or not keep_graph)
        assert g is None or torch.equal(g, e)
    if keep_graph:  # the caller's own graph is whole
        live = [p for p in params if p.requires_grad]
        torch.testing.assert_close(
            [g for g in torch.autograd.grad(value, live, allow_unused=True) if g is not None],
            [g.detach() for g in expected_gradient if g is not None],
        )


def test_a_function_may_look_at_what_it_saved_as_often_as_it_likes():
    class Cube(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x**3

        @staticmethod
        def backward(ctx, g):
            return CubeBackward.apply(g, *ctx.saved_tensors)

    class CubeBackward(torch.autograd.Function):
        @staticmethod
        def forward(ctx, g, x):
            ctx.save_for_backward(g, x * 1.0)
            return 3 * g * x**2

        @staticmethod
        def backward(ctx, gg):
            _, x = ctx.saved_tensors
            g, _ = ctx.saved_tensors
            return 3 * x**2 * gg, 6 * g * x * gg

    w = nn.Parameter(torch.tensor([1.0, 2.0]))
    value = Cube.apply(w).sum()
    _, products, _ = exact_products(value, [w], (Signs([w], 0, i) for i in range(2)), 2, keep_graph=True)
    for i, (product,) in enumerate(products):
        torch.testing.assert_close(product, 6 * w.detach() * draw("rademacher", [w], 0, i)[0])
