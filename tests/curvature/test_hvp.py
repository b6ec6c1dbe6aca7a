"""The product with the Hessian, against closed forms, dense Hessians and finite differences."""

from __future__ import annotations

import gc
import weakref

import pytest
import torch
from curvature_cases import Net, relative
from torch import nn

from esgd.hvp import gradient_with_graph, hvp, product_from_gradient
from esgd.probes import draw


def test_a_cubic_by_hand():
    w = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64, requires_grad=True)
    # f = x²y + y z: H = [[2y, 2x, 0], [2x, 0, 1], [0, 1, 0]]
    (h,) = hvp(w[0] ** 2 * w[1] + w[1] * w[2], [w], [torch.tensor([1.0, 10.0, 100.0], dtype=torch.float64)])
    assert h.tolist() == [24.0, 102.0, 10.0]


def test_agrees_with_the_dense_hessian_to_1e_12():
    case = Net()
    params = list(case.net.parameters())
    dense = case.dense()
    for index in range(5):
        v = draw("gaussian", params, 3, index)
        h = hvp(case.loss(case.images), params, v)
        expected = dense @ torch.cat([x.flatten() for x in v])
        assert relative(torch.cat([x.flatten() for x in h]), expected) < 1e-12


def test_agrees_with_a_finite_difference_of_gradients():
    case = Net()
    params = list(case.net.parameters())
    v = draw("rademacher", params, 0, 0)
    exact = torch.cat([h.flatten() for h in hvp(case.loss(case.images), params, v)])

    def gradient(step):
        with torch.no_grad():
            for p, x in zip(params, v, strict=True):
                p.add_(x, alpha=step)
        g = torch.cat([x.flatten() for x in torch.autograd.grad(case.loss(case.images), params)])
        with torch.no_grad():
            for p, x in zip(params, v, strict=True):
                p.add_(x, alpha=-step)
        return g

    # the central difference's error falls with the square of the step
    errors = [relative((gradient(s) - gradient(-s)) / (2 * s), exact) for s in (1e-2, 1e-3)]
    assert errors[1] < 1e-6
    assert 80 < errors[0] / errors[1] < 125


@pytest.mark.parametrize(
    ("make", "shape"),
    [
        (
            lambda: nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.Tanh(), nn.Flatten(), nn.Linear(48, 2)),
            (4, 1, 6, 6),
        ),
        (lambda: nn.Sequential(nn.Linear(5, 7), nn.LayerNorm(7), nn.GELU(), nn.Linear(7, 2)), (4, 5)),
        (lambda: nn.Bilinear(4, 4, 2), (4, 4)),
    ],
    ids=["convolution-batchnorm", "layernorm-gelu", "bilinear"],
)
def test_other_models_agree_with_differences(make, shape):
    torch.manual_seed(1)
    net = make().double()
    params = list(net.parameters())
    x = torch.randn(shape, dtype=torch.float64)

    def loss():
        return (net(x, x) if isinstance(net, nn.Bilinear) else net(x)).square().sum()

    v = draw("gaussian", params, 0, 0)
    exact = torch.cat([h.flatten() for h in hvp(loss(), params, v)])
    sides = []
    for step in (1e-5, -2e-5):
        with torch.no_grad():
            for p, d in zip(params, v, strict=True):
                p.add_(d, alpha=step)
        sides.append(torch.cat([g.flatten() for g in torch.autograd.grad(loss(), params)]))
    assert relative((sides[0] - sides[1]) / 2e-5, exact) < 1e-6


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_products_have_the_parameters_shapes_dtypes_and_no_graph(dtype):
    net = nn.Linear(3, 2).to(dtype)
    params = list(net.parameters())
    h = hvp(net(torch.ones(4, 3, dtype=dtype)).square().sum(), params, draw("rademacher", params, 0, 0))
    assert [(x.shape, x.dtype) for x in h] == [(p.shape, p.dtype) for p in params]
    assert not any(x.requires_grad for x in h)
    assert all(p.grad is None for p in params)


def test_linear_unused_and_frozen_parameters():
    a, b, c = (torch.tensor([1.0, 2.0], dtype=torch.float64, requires_grad=True) for _ in range(3))
    frozen = torch.tensor([5.0, 5.0], dtype=torch.float64)
    ones = torch.ones(2, dtype=torch.float64)
    # f = Σ 3a + Σ a b²: H_ab = 2b, H_bb = 2a; c is unused, and `frozen` has no derivative at all
    loss = (3 * a + a * b.square() + 0 * frozen).sum()
    h = hvp(loss, [a, b, c, frozen], [ones, 2 * ones, ones, ones])
    assert [x.tolist() for x in h] == [[4.0, 8.0], (ones * 2 * b + 4 * a).tolist(), [0.0, 0.0], [0.0, 0.0]]
    # linear in all: the gradient is a constant without a graph
    assert hvp((3 * a).sum(), [a], [ones])[0].tolist() == [0.0, 0.0]
    assert gradient_with_graph((3 * a).sum(), [a, c, frozen])[1:] == [None, None]


def test_many_products_from_one_graph_are_those_of_many_graphs():
    case = Net()
    params = list(case.net.parameters())
    vectors = [draw("rademacher", params, 0, i) for i in range(4)]
    gradient = gradient_with_graph(case.loss(case.images), params)
    shared = [product_from_gradient(gradient, params, v, retain_graph=i < 3) for i, v in enumerate(vectors)]
    apart = [hvp(case.loss(case.images), params, v) for v in vectors]
    assert all(torch.equal(x, y) for s, t in zip(shared, apart, strict=True) for x, y in zip(s, t, strict=True))


def test_the_gradient_is_the_gradient():
    case = Net()
    params = list(case.net.parameters())
    with_graph = gradient_with_graph(case.loss(case.images), params)
    plain = torch.autograd.grad(case.loss(case.images), params)
    assert all(torch.equal(x.detach(), y) for x, y in zip(with_graph, plain, strict=True))


def test_nothing_is_kept_alive_by_a_product():
    net = nn.Linear(3, 3)
    x = torch.ones(2, 3)
    alive = []

    def hidden():
        out = net(x).tanh()
        alive.append(weakref.ref(out))
        return out.square().sum()

    params = list(net.parameters())
    gc.disable()  # a reference cycle would hide here
    try:
        h = hvp(hidden(), params, draw("rademacher", params, 0, 0))
        assert alive[0]() is None
        assert h
    finally:
        gc.enable()


def test_two_parameters_on_two_dtypes():
    a = torch.tensor([2.0], dtype=torch.float32, requires_grad=True)
    b = torch.tensor([3.0], dtype=torch.float64, requires_grad=True)
    h = hvp((a.double() * b**2).sum(), [a, b], [torch.ones(1), torch.ones(1, dtype=torch.float64)])
    assert [x.tolist() for x in h] == [[6.0], [10.0]]
    assert [x.dtype for x in h] == [torch.float32, torch.float64]
