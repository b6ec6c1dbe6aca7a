"""The laws that other implementations break, each as a test: all of them passed tests that watched a loss fall.

Divides by k twice, averages before squaring, one vector for a whole batch of probes: torchzero's ESGD. Bias
correction by steps instead of refreshes, signs that are always −1: AdaHessian of pytorch-optimizer. Curvature that
grows with the loss scale, or that sees part of the micro-batches: ESGD-M. Another tensor's estimate at Conv1d:
torch-optimizer. An interval of 1 that means never: HeavyBall. (Loss scale: ``test_amp.py``; micro-batches:
``test_orders.py``; constant gradients: ``test_models.py``; the reduction over ranks: ``test_distributed.py``.)
"""

import pytest
import torch
from cases import Problem, curvature_of, dense_hessian, expected_sum, flatten, one_step, train
from torch import nn

from esgd import ESGD, JacobiSGD
from esgd.probes import draw

CLASSES = [ESGD, JacobiSGD]


class Kind:
    """What ``expected_sum`` wants to know of a case."""

    def __init__(self, cls):
        self.cls = cls


def quadratic(n=5, seed=0):
    """A parameter, its constant indefinite Hessian, and the loss ½ wᵀHw."""
    generator = torch.Generator().manual_seed(seed)
    A = torch.randn(n, n, generator=generator, dtype=torch.float64)
    w = nn.Parameter(torch.randn(n, generator=generator, dtype=torch.float64))
    return w, A + A.T, lambda: 0.5 * w @ (A + A.T) @ w


@pytest.mark.parametrize("cls", CLASSES)
@pytest.mark.parametrize("steps", [1, 10, 100])
def test_the_mean_does_not_shrink_with_the_number_of_products(cls, steps):
    """D/k at each k is the plain mean of k products: dividing twice would leave 1/k of it."""
    w, H, loss = quadratic()
    optimizer = cls([w], lr=0.0, update_every=1, warmup_probes=1, beta=None)
    train(optimizer, loss, steps)
    expected = expected_sum(Kind(cls), H, [w], count=steps) / steps
    torch.testing.assert_close(optimizer.mean_curvature(w), expected)
    assert optimizer.state[w]["weight"] == steps == optimizer.num_products


@pytest.mark.parametrize("probes", [2, 7])
def test_several_probes_are_squared_and_then_averaged(probes):
    w, H, loss = quadratic()
    optimizer = ESGD([w], lr=0.0, warmup_probes=probes)
    train(optimizer, loss, 1)
    products = [H @ draw("rademacher", [w], 0, i)[0] for i in range(probes)]
    torch.testing.assert_close(optimizer.mean_curvature(w), torch.stack(products).square().mean(0))
    wrong = torch.stack(products).mean(0).square()
    assert not torch.allclose(optimizer.mean_curvature(w), wrong)


@pytest.mark.parametrize("kind", ["rademacher", "gaussian"])
def test_every_probe_is_another_vector(kind):
    """Of one step, of different steps, of both kinds; and signs are of both kinds."""
    seen = []

    def watch(params, index):
        v = draw(kind, params, 3, index)
        seen.append((index, flatten(v)))
        return v

    problem = Problem()
    optimizer = ESGD(problem.parameters(), lr=0.0, probe=watch, warmup_probes=4, update_every=2)
    train(optimizer, problem.loss, 5)
    assert [i for i, _ in seen] == [0, *range(6)]  # the first is drawn twice, to see that it is the same
    vectors = torch.stack([v for _, v in seen[1:]])
    assert len(torch.unique(vectors, dim=0)) == 6
    assert (vectors > 0).any(1).all()
    assert (vectors < 0).any(1).all()


@pytest.mark.parametrize("every", [1, 2, 5])
def test_an_interval_of_n_means_every_nth_step_and_1_means_all(every):
    problem = Problem()
    optimizer = ESGD(problem.parameters(), lr=0.0, update_every=every, warmup_probes=1)
    taken = []
    for _ in range(11):
        before = optimizer.num_products
        one_step(optimizer, problem.loss)
        taken.append(optimizer.num_products - before)
    assert taken == [int(step % every == 0) for step in range(11)]


@pytest.mark.parametrize("cls", CLASSES)
@pytest.mark.parametrize("beta", [None, 0.9])
@pytest.mark.parametrize("every", [1, 20])
def test_the_length_of_a_step_does_not_depend_on_the_interval(cls, beta, every):
    """On a constant curvature every mean is that curvature at every step, whatever is counted and corrected."""
    h = torch.tensor([0.5, -2.0, 3.0], dtype=torch.float64)
    w = nn.Parameter(torch.ones(3, dtype=torch.float64))
    optimizer = cls([w], lr=0.1, damping=0.0, beta=beta, update_every=every, warmup_probes=1)
    for _ in range(22):
        w.data.fill_(1.0)
        one_step(optimizer, lambda: (0.5 * h * w * w).sum())
        torch.testing.assert_close(w.detach(), 1 - 0.1 * h.sign())


@pytest.mark.parametrize(
    "conv", [nn.Conv1d(2, 3, 3), nn.Conv2d(2, 3, 3), nn.Conv3d(2, 3, 2)], ids=lambda c: type(c).__name__
)
def test_every_tensor_has_its_own_estimate(conv):
    """Entry by entry, with no average over the kernel's places and no tensor's estimate used for another."""
    torch.manual_seed(0)
    conv = conv.double()
    x = torch.randn(4, 2, *[4] * (conv.weight.dim() - 2), dtype=torch.float64)

    def loss():
        return torch.tanh(conv(x)).square().mean()

    params = [conv.bias, conv.weight]  # in an order other than the module's
    hessian = dense_hessian(loss, params)
    optimizer = ESGD(params, lr=0.0, warmup_probes=3)
    expected = expected_sum(Kind(ESGD), hessian, params, count=3)
    train(optimizer, loss, 1)
    torch.testing.assert_close(curvature_of(optimizer, params), expected, rtol=1e-5, atol=1e-10)
    assert optimizer.diagonal(conv.weight).shape == conv.weight.shape
    assert optimizer.diagonal(conv.weight).flatten().unique().numel() > 0.9 * conv.weight.numel()


@pytest.mark.parametrize("cls", CLASSES)
def test_user_code_needs_no_create_graph(cls):
    """A plain ``backward()`` is all, and leaves plain gradients."""
    problem = Problem()
    optimizer = cls(problem.parameters(), lr=0.01, update_every=1)
    for _ in range(3):
        one_step(optimizer, problem.loss)
        assert all(p.grad.grad_fn is None for p in problem.parameters())


@pytest.mark.parametrize("cls", CLASSES)
def test_number_of_second_order_sweeps(cls):
    """n steps cost what they say: counted where autograd is asked."""
    problem = Problem()
    optimizer = cls(problem.parameters(), lr=0.01, update_every=4, warmup_probes=3)
    sweeps = []
    original = torch.autograd.grad

    def counting(*args, **kwargs):
        sweeps.append("gradient" if kwargs.get("create_graph") else "product")
        return original(*args, **kwargs)

    torch.autograd.grad = counting
    try:
        train(optimizer, problem.loss, 9)
    finally:
        torch.autograd.grad = original
    assert sweeps == ["gradient", *["product"] * 3, *["gradient", "product"] * 2]
    assert optimizer.num_products == 5
