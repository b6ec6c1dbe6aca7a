"""Products along low-rank probes, through the factors of linear layers, against dense ones."""

from __future__ import annotations

import pytest
import torch
from layer_cases import NETS, N, agree, problem
from torch import nn
from torch.nn.functional import softplus
from torch.utils.flop_counter import FlopCounterMode

from esgd.errors import CurvatureError
from esgd.estimators import diag_squared
from esgd.hvp import HessianOperator, gradient_with_graph, product_from_gradient
from esgd.linear_layers import LayerGradient, linear_layers
from esgd.low_rank import RANK
from esgd.nets import curves_autoencoder, mnist_autoencoder, reconstruction_loss
from esgd.probes import draw_factored, draw_lazily


@pytest.mark.parametrize("name", NETS)
def test_products_and_gradients_equal_the_dense_ones(name):
    params, loss = problem(name)
    vectors = [draw_lazily("low_rank", params, 0, i) for i in range(3)]
    assert sum(v is not None for v in map(vectors[0].factors, range(len(params)))) == NETS[name][1]
    layers = LayerGradient(loss(), params, vectors[0])
    assert {layer.parameter for layer, _, _ in layers._layers} == {
        i for i in range(len(params)) if vectors[0].factors(i) is not None
    }, "every matrix of this net goes by its factors"
    gradient = gradient_with_graph(loss(), params)
    agree(layers.gradient, [g.detach() for g in gradient], 1e-12)
    for i, v in enumerate(vectors):
        expected = product_from_gradient(gradient, params, list(v), retain_graph=True)
        agree(layers.product(v, retain_graph=i < 2), expected, 1e-12)
    assert not any(g.requires_grad for g in layers.gradient)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_the_operator_uses_the_factors_and_sums_over_batches(monkeypatch, reduction):
    params, _ = problem("perceptron")
    net = NETS["perceptron"][0]().double()
    net.load_state_dict(dict(zip(net.state_dict(), [p.detach() for p in params], strict=True)))
    x = torch.randn(25, N, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    operator = HessianOperator(lambda b: net(b).square().mean(), net, x.split(10), reduction=reduction)
    vectors = [draw_factored("low_rank", operator.params, 0, i) for i in range(3)]
    dense = operator.products([list(v) for v in vectors])
    monkeypatch.setattr("esgd.operator.product_from_gradient", None)  # the dense way is shut
    for mine, usual in zip(operator.products(vectors), dense, strict=True):
        agree(mine, usual, 1e-12)


def test_estimates_with_low_rank_probes_have_the_truth_in_their_bars():
    params, _ = problem("perceptron")
    x = torch.randn(20, N, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    w = params[0]
    operator = HessianOperator(lambda b: softplus(b @ w.T).mean(), [w], x.split(10))
    truth = operator.to_dense().square().sum(1)
    estimate = diag_squared(operator, 200, probe="low_rank")
    z = (estimate.value - truth) / estimate.stderr
    assert z.abs().max() < 6
    assert z.square().mean() < 3
    biased = (estimate.value - 1.2 * truth) / estimate.stderr
    assert biased.abs().max() > 6, "no power"


def test_the_input_or_what_arrives_may_be_a_parameter():
    """In a product of two parameters the input is a leaf; weights on the outputs arrive as they are."""
    a, b, w = (
        torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(i)).requires_grad_()
        for i, shape in enumerate([(N, N), (N, N), (N, N)])
    )
    for loss, params in (
        (lambda: (a @ b.T).square().mean(), [a, b]),
        (lambda: ((a @ b.T) * w).sum(), [a, b, w]),
        (lambda: ((a.tanh() @ b.T) * w).sum(), [b, w]),
    ):
        v = draw_lazily("low_rank", params, 0, 0)
        layers = LayerGradient(loss(), params, v)
        assert layers._layers
        expected = product_from_gradient(gradient_with_graph(loss(), params), params, list(v))
        agree(layers.product(v), expected, 1e-12)


def test_after_the_last_product_there_is_no_other():
    params, loss = problem("perceptron")
    v = draw_lazily("low_rank", params, 0, 0)
    value = loss()
    layers = LayerGradient(value, params, v)
    first = layers.product(v, retain_graph=True)
    agree(layers.product(v, retain_graph=True, last=True), first, 1e-15)
    for again in (lambda: layers.product(v), lambda: layers.gradient):
        with pytest.raises(CurvatureError, match="graph of this loss is gone"):
            again()
    value.backward()  # the graph of the loss was kept for others
    assert not layers._layers


def test_an_untied_gradient_is_the_ordinary_one_to_the_bit():
    params, loss = problem("perceptron", torch.float32)
    mine = LayerGradient(loss(), params, draw_lazily("low_rank", params, 0, 0)).gradient
    assert all(torch.equal(a, b) for a, b in zip(mine, torch.autograd.grad(loss(), params), strict=True))


def dense_only(w, x):
    return (x @ w.T).tanh().mean() + w.square().sum()  # a penalty besides


@pytest.mark.parametrize(
    "f",
    [
        dense_only,
        lambda w, x: (w @ x.T).tanh().mean(),  # from the left
        lambda w, x: (x @ (2 * w).T).tanh().mean(),  # reparametrised
        lambda w, x: torch.addmm(torch.zeros(1, dtype=w.dtype), x, w.T, alpha=3).tanh().mean(),
        lambda w, x: torch.einsum("bi,oi->bo", x, w).tanh().mean(),
        lambda w, x: (x @ w[:, :8]).tanh().mean(),
        lambda w, x: nn.functional.embedding(torch.arange(9), w).tanh().mean() + (x @ w.T).tanh().mean(),
    ],
)
def test_a_matrix_that_enters_otherwise_is_treated_densely(f):
    w = torch.randn(N, N, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    x = torch.randn(5, N, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    v = draw_lazily("low_rank", [w], 0, 0)
    assert not linear_layers(f(w, x), [w], [0])
    mine = LayerGradient(f(w, x), [w], v)
    gradient = gradient_with_graph(f(w, x), [w])
    agree(mine.gradient, [gradient[0].detach()], 1e-12)
    agree(mine.product(v), product_from_gradient(gradient, [w], list(v)), 1e-12)


def test_frozen_unused_and_linear_parameters():
    x = torch.randn(5, N, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    a, b, c, d = (
        torch.randn(N, N, dtype=torch.float64, generator=torch.Generator().manual_seed(i)).requires_grad_()
        for i in range(4)
    )
    b.requires_grad_(False)

    def loss():
        return ((x @ a.T).tanh() @ b.T).square().mean() + (x @ d.T).sum()  # c is unused, linear in d

    params = [a, b, c, d]
    v = draw_lazily("low_rank", params, 0, 0)
    mine = LayerGradient(loss(), params, v)
    gradient = gradient_with_graph(loss(), params)
    assert mine.gradient[1] is None
    assert mine.gradient[2] is None
    agree([mine.gradient[0], mine.gradient[3]], [gradient[0].detach(), gradient[3].detach()], 1e-12)
    agree(mine.product(v), product_from_gradient(gradient, params, list(v)), 1e-12)


def test_under_autocast_as_near_to_float64_as_a_dense_product():
    params, _ = problem("perceptron", torch.float32)
    torch.manual_seed(1)
    net = NETS["perceptron"][0]()
    net.load_state_dict({k: p.detach() for k, p in zip(net.state_dict(), params, strict=True)})
    x = torch.randn(20, N)
    params = list(net.parameters())
    v = draw_lazily("low_rank", params, 0, 0)
    dense = list(v)

    def loss(model, x):
        return model(x).float().square().mean()

    with torch.autocast("cpu", dtype=torch.bfloat16):
        layers = LayerGradient(loss(net, x), params, v)
        assert len(layers._layers) == 2
        mine, product = layers.gradient, layers.product(v)
        gradient = gradient_with_graph(loss(net, x), params)
        usual = product_from_gradient(gradient, params, dense)
    exact_net = NETS["perceptron"][0]().double()
    exact_net.load_state_dict({k: p.double() for k, p in net.state_dict().items()})
    exact_params = list(exact_net.parameters())
    exact = product_from_gradient(
        gradient_with_graph(loss(exact_net, x.double()), exact_params), exact_params, [t.double() for t in dense]
    )

    def error(found):
        return (torch.cat([(a - b).flatten() for a, b in zip(found, exact, strict=True)])).norm()

    assert error(product) <= 1.2 * error(usual)
    for a, b in zip(mine, gradient, strict=True):
        assert torch.allclose(a, b, rtol=2e-2, atol=1e-3)


@pytest.mark.claim("LOWRANK")
@pytest.mark.parametrize("make", [mnist_autoencoder, curves_autoencoder])
def test_multiplications_on_the_papers_nets(make):
    net = make()
    params, x = list(net.parameters()), torch.rand(8, 784)
    sizes = [tuple(p.shape) for p in params if p.dim() == 2]
    total, first = sum(n * m for n, m in sizes), sizes[0][0] * sizes[0][1]
    v = draw_lazily("low_rank", params, 0, 0)

    def count(work):
        with FlopCounterMode(display=False) as counter:
            work()
        return counter.get_total_flops() / (2 * len(x))

    gradient = count(lambda: torch.autograd.grad(reconstruction_loss(net(x), x), params))

    def gradient_and_product():
        layers = LayerGradient(reconstruction_loss(net(x), x), params, v)
        return layers.gradient, layers.product(v)

    both = count(gradient_and_product)
    assert gradient == 3 * total - first
    thin = [(n, m) for i, (n, m) in enumerate(p.shape if p.dim() == 2 else (0, 0) for p in params) if v.factors(i)]
    with_factors = 2 * RANK * sum(n + m for n, m in thin) - RANK * sum(sizes[0])
    saved = 2 * sum(n * m for n, m in thin) - first
    assert both == 9 * total - 5 * first - saved + with_factors
    assert both < 2.3 * gradient
    alone = count(lambda: LayerGradient(reconstruction_loss(net(x), x), params, v).product(v))
    assert alone == both - sum(n * m for n, m in thin), "a product alone needs no gradient of a layer"


def test_a_function_that_cannot_be_differentiated_twice_is_refused():
    class Once(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2

        @staticmethod
        @torch.autograd.function.once_differentiable
        def backward(ctx, g):
            return g * 2

    w = torch.randn(N, N, requires_grad=True)
    with pytest.raises(CurvatureError, match="once_differentiable"):
        LayerGradient(Once.apply(torch.randn(3, N) @ w.T).sum(), [w], draw_lazily("low_rank", [w], 0, 0))
