"""Products along low-rank probes, through the factors of linear layers, against dense ones."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.functional import scaled_dot_product_attention, softplus
from torch.utils.checkpoint import checkpoint
from torch.utils.flop_counter import FlopCounterMode

from esgd.errors import CurvatureError
from esgd.estimators import diag_squared
from esgd.hvp import HessianOperator, gradient_with_graph, product_from_gradient
from esgd.linear_layers import LayerGradient, linear_layers
from esgd.low_rank import RANK
from esgd.nets import curves_autoencoder, mnist_autoencoder, reconstruction_loss
from esgd.probes import draw_factored, draw_lazily

N = 48  # a matrix of N × N has factors


class Tied(nn.Module):
    """One matrix as encoder and as decoder."""

    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.randn(N, N) / 7)

    def forward(self, x):
        return torch.tanh(x @ self.w.T) @ self.w


class Recurrent(nn.Module):
    """One matrix at every time step, and one that gets the same input as another."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.c = nn.Linear(N, N), nn.Linear(N, N, bias=False), nn.Linear(N, N)

    def forward(self, x):
        h = x
        for _ in range(3):
            h = torch.tanh(self.a(h) + self.b(x)) * torch.sigmoid(self.c(x))
        return h


class Attention(nn.Module):
    """Linear layers of three-dimensional inputs, with and without bias."""

    def __init__(self):
        super().__init__()
        self.q, self.k, self.v = (nn.Linear(N, N, bias=bias) for bias in (True, False, True))

    def forward(self, x):
        x = x.view(4, -1, N)
        with nn.attention.sdpa_kernel(nn.attention.SDPBackend.MATH):
            return scaled_dot_product_attention(self.q(x), self.k(x), self.v(x))


class Checkpointed(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(N, N), nn.Tanh(), nn.Linear(N, N))

    def forward(self, x):
        return checkpoint(self.net, x, use_reentrant=False)


def sequential(*layers):
    return lambda: nn.Sequential(*(layer() for layer in layers))


def linear(n=N, m=N, **kwargs):
    return lambda: nn.Linear(n, m, **kwargs)


NETS = {
    "perceptron": (sequential(linear(), nn.Tanh, linear(), nn.Softplus, linear(N, 3)), 2),
    "no bias": (sequential(linear(bias=False), nn.Tanh, linear(bias=False)), 2),
    "in place": (sequential(linear(), lambda: nn.SiLU(inplace=True), linear()), 2),
    "tied": (Tied, 1),
    "recurrent": (Recurrent, 3),
    "attention": (Attention, 3),
    "checkpoint": (Checkpointed, 2),
    "batch norm": (sequential(linear(), lambda: nn.BatchNorm1d(N), nn.Tanh, linear()), 2),
    "convolution": (
        sequential(
            linear(),
            lambda: nn.Unflatten(1, (3, 4, 4)),
            lambda: nn.Conv2d(3, 3, 3, padding=1),
            nn.Tanh,
            nn.Flatten,
            linear(),
        ),
        2,
    ),
}


def problem(name, dtype=torch.float64):
    torch.manual_seed(1)
    net = NETS[name][0]().to(dtype)
    x = torch.randn(20, N, dtype=dtype)
    return list(net.parameters()), lambda: softplus(net(x)).mean() + net(x).square().mean()


def agree(found, expected, rtol):
    for i, (a, b) in enumerate(zip(found, expected, strict=True)):
        scale = max(b.abs().max().item(), 1e-3)
        assert torch.allclose(a, b, rtol=rtol, atol=rtol * scale), f"parameter {i}: {(a - b).abs().max():.3g}"


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
