"""The optimizers with low-rank probes: the same steps as with the multiplied-out vectors, and the same law."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from torch import nn

from esgd import ESGD, JacobiSGD
from esgd.low_rank import RANK, LowRank
from esgd.probes import draw, draw_lazily

N = 40


def net(dtype=torch.float64, seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(N, N), nn.Tanh(), nn.Linear(N, N), nn.LayerNorm(N)).to(dtype)


def data(dtype=torch.float64):
    generator = torch.Generator().manual_seed(9)
    return torch.randn(24, N, dtype=dtype, generator=generator), torch.randn(
        24, N, dtype=dtype, generator=generator
    )


def loss_of(model, x, y):
    return (model(x) - y).square().mean()


def multiplied_out(params, index):
    return draw("low_rank", params, 0, index)


@pytest.mark.parametrize("cls", [ESGD, JacobiSGD])
@pytest.mark.parametrize("parts", [1, 2])
def test_steps_equal_those_with_the_multiplied_out_vector(cls, parts):
    x, y = data()
    results = []
    for probe in ("low_rank", multiplied_out):
        model = net()
        optimizer = cls(model.parameters(), 0.01, damping=0.1, update_every=3, warmup_probes=4, probe=probe)
        for _ in range(10):
            optimizer.zero_grad()
            for a, b in zip(x.chunk(parts), y.chunk(parts), strict=True):
                optimizer.probe(loss_of(model, a, b) / parts).backward()
            optimizer.step()
        results.append([*model.parameters(), *(optimizer.mean_curvature(p) for p in model.parameters())])
    assert isinstance(draw_lazily("low_rank", list(net().parameters()), 0, 0), LowRank)
    for mine, usual in zip(*results, strict=True):
        assert torch.allclose(mine, usual, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("form", ["loss", "function", "difference", "foreign leaf"])
def test_every_form_of_probe(form):
    """The gradients are those of the plain backward pass, and the products those of the dense vector."""
    x, y = data()
    model, reference = net(), net()
    x.requires_grad_(form == "foreign leaf")
    options = {"curvature": "difference", "difference_step": 1e-6} if form == "difference" else {}
    optimizer = ESGD(model.parameters(), 0.01, warmup_probes=2, probe="low_rank", **options)
    exact = ESGD(reference.parameters(), 0.01, warmup_probes=2, probe=multiplied_out)
    if form in ("function", "difference"):
        optimizer.probe(lambda: loss_of(model, x, y))
        loss_of(model, x, y).backward()
    else:
        optimizer.probe(loss_of(model, x, y)).backward()
    exact.probe(loss_of(reference, x.detach(), y)).backward()
    assert (x.grad is not None) == (form == "foreign leaf")
    for p, q in zip(model.parameters(), reference.parameters(), strict=True):
        assert torch.allclose(p.grad, q.grad, rtol=1e-12, atol=1e-15)
    optimizer.step(), exact.step()
    for p, q in zip(model.parameters(), reference.parameters(), strict=True):
        rtol = 1e-5 if form == "difference" else 1e-10
        assert torch.allclose(optimizer.diagonal(p), exact.diagonal(q), rtol=rtol, atol=rtol)


def test_the_graph_of_the_loss_stays_whole_behind_a_probe():
    x, y = data()
    model = net()
    loss = loss_of(model, x, y)
    optimizer = ESGD(model.parameters(), 0.01, warmup_probes=2, probe="low_rank")
    optimizer.probe(loss)
    expected = torch.autograd.grad(loss_of(model, x, y), list(model.parameters()))
    loss.backward()  # the original, not what probe returned
    assert all(torch.equal(p.grad, g) for p, g in zip(model.parameters(), expected, strict=True))
    assert all(p.grad.grad_fn is None for p in model.parameters())


def test_a_run_resumes_to_the_bit():
    x, y = data(torch.float32)

    def steps(model, optimizer, count):
        for _ in range(count):
            optimizer.zero_grad()
            optimizer.probe(loss_of(model, x, y)).backward()
            optimizer.step()

    model = net(torch.float32)
    optimizer = ESGD(model.parameters(), 0.01, update_every=2, warmup_probes=2, probe="low_rank")
    steps(model, optimizer, 5)
    again = copy.deepcopy(model)
    resumed = ESGD(again.parameters(), 0.5)
    resumed.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    steps(model, optimizer, 5), steps(again, resumed, 5)
    assert resumed.param_groups[0]["probe"] == "low_rank"
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters(), strict=True))


@pytest.mark.claim("E1")
@pytest.mark.parametrize("cls", [ESGD, JacobiSGD])
def test_the_mean_is_that_of_the_hessian(cls):
    """f(W) = ½ Σ c (x Wᵀ)²: the Hessian is diag(c) ⊗ X, X = Σ x xᵀ, so its rows are known in closed form."""
    generator = torch.Generator().manual_seed(4)
    x = torch.randn(6, N, dtype=torch.float64, generator=generator)
    c = torch.randn(N, dtype=torch.float64, generator=generator)
    second = x.T @ x
    truth = {
        ESGD: torch.outer(c.square(), second.square().sum(1)),
        JacobiSGD: torch.outer(c, second.diagonal()),
    }[cls]
    samples = []
    for seed in range(60):
        w = torch.zeros(N, N, dtype=torch.float64, requires_grad=True)
        optimizer = cls([w], 0.0, warmup_probes=4, probe="low_rank", seed=seed)
        optimizer.probe(0.5 * ((x @ w.T).square() @ c).sum()).backward()
        optimizer.step()
        samples.append(optimizer.mean_curvature(w))
    samples = torch.stack(samples)
    z = (samples.mean(0) - truth) / (samples.std(0) / math.sqrt(len(samples)))
    assert z.abs().max() < 6
    assert abs(z.mean()) < 1
    if cls is ESGD:  # row (a, b) of the Hessian is cₐ X_b in row a of a matrix: κ = −2 Σ h⁴
        fourth = torch.outer(c.pow(4), second.pow(4).sum(1)) / truth.square()
        expected = (2 - 2 * fourth / RANK).mean().item()
        assert (samples.var(0) / truth.square()).mean().item() * 4 == pytest.approx(expected, rel=0.15)


@pytest.mark.parametrize("form", ["x @ W", "linear"])
def test_a_real_matrix_at_work_on_complex_numbers(form):
    """The part of its gradient that a cast from real to complex sends back is the real one."""
    torch.manual_seed(0)
    w = nn.Parameter(torch.randn(80, 80, dtype=torch.float64))
    x = torch.randn(5, 80, dtype=torch.complex128)

    def loss():
        cast = w.to(torch.complex128)
        return (x @ cast if form == "x @ W" else nn.functional.linear(x, cast)).abs().square().sum()

    (expected,) = torch.autograd.grad(loss(), [w])
    optimizer = ESGD([w], lr=0.0, warmup_probes=1, probe="low_rank")
    optimizer.probe(loss()).backward()
    optimizer.step()
    torch.testing.assert_close(w.grad, expected)
    (v,) = draw("low_rank", [w], 0, 0)
    (gradient,) = torch.autograd.grad(loss(), [w], create_graph=True)
    (product,) = torch.autograd.grad(gradient, [w], v)
    torch.testing.assert_close(optimizer.diagonal(w), product.abs())


def test_inputs_in_sparse_rows():
    torch.manual_seed(0)
    w, x = nn.Parameter(torch.randn(80, 80).double()), torch.randn(5, 80).double()
    found = []
    for inputs in (x, x.to_sparse_csr()):
        optimizer = ESGD([w], lr=0.0, warmup_probes=1, probe="low_rank")
        optimizer.zero_grad()
        optimizer.probe((inputs @ w).tanh().square().sum()).backward()
        optimizer.step()
        found.append((w.grad, optimizer.diagonal(w)))
    torch.testing.assert_close(found[0], found[1])
