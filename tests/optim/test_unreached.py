"""Parameters that a probed loss does not depend on: nothing is known of them, which is not zero curvature."""

import copy
import itertools
import warnings

import pytest
import torch
from cases import train
from torch import nn

from esgd import ESGD, JacobiSGD, SaddleFreeNewton
from esgd.errors import ConfigError, CurvatureError

FORMS = [("exact", "rademacher"), ("exact", "low_rank"), ("difference", "rademacher")]


class Residual(nn.Module):
    """Four residual blocks, each of which a step may leave out."""

    def __init__(self):
        super().__init__()
        self.blocks = nn.ModuleList(nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 8)) for _ in range(4))
        self.head = nn.Linear(8, 1)
        self.kept = [True] * 4

    def forward(self, x):
        for keep, block in zip(self.kept, self.blocks, strict=True):
            x = x + block(x) if keep else x
        return self.head(x)


def late(at: int, stiffness: float = 50.0):
    """Two parameters, of which the second enters the loss at step ``at``."""
    a, b = (torch.ones(n, requires_grad=True) for n in (2, 1))
    now = iter(range(1000))

    def loss():
        value = a.square().sum()
        return value + stiffness * b.square().sum() if next(now) >= at else value

    return a, b, loss


@pytest.mark.parametrize("seed", range(3))
def test_a_layer_that_is_dropped_at_first_does_not_blow_up(seed):
    torch.manual_seed(seed)
    net, x, y = Residual(), torch.randn(64, 8), torch.randn(64, 1)
    optimizer = ESGD(net.parameters())
    losses = []
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # all is as it should be, and nobody is told otherwise
        for step in range(40):
            net.kept = [not (step == 0 and i == 1) and bool(torch.rand(()) > 0.3) for i in range(4)]
            losses += train(optimizer, lambda: (net(x) - y).square().mean(), 1)
    assert max(losses) < 2 * losses[0]
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("cls", [ESGD, JacobiSGD])
def test_it_stands_still_once_and_is_warmed_up_at_the_next_step(cls):
    a, b, loss = late(at=5)
    optimizer = cls([a, b], lr=0.1, update_every=20, warmup_probes=10)
    train(optimizer, loss, 5)
    with pytest.raises(ConfigError, match="nothing is known"):
        optimizer.diagonal(b)
    train(optimizer, loss, 1)  # the first with a gradient of b
    assert b.item() == 1.0
    assert optimizer.num_products == 10
    assert optimizer.curvature_due
    train(optimizer, loss, 1)
    assert optimizer.num_products == 20
    torch.testing.assert_close(optimizer.diagonal(b), torch.tensor([100.0]))
    torch.testing.assert_close(optimizer.diagonal(a), torch.tensor([2.0, 2.0]))
    torch.testing.assert_close(b.detach(), torch.tensor([0.9]), atol=1e-3, rtol=0)
    train(optimizer, loss, 5)
    assert optimizer.num_products == 20  # and every twenty steps again


@pytest.mark.parametrize("at", [19, 20, 21])
@pytest.mark.parametrize("every", [1, 20])
@pytest.mark.parametrize("seed", range(4))
def test_one_product_is_not_enough_to_begin_with(at, every, seed):
    """Two stiff weights that pull against each other enter at a step that is due, or beside one."""
    matrix = torch.tensor([[50.5, -50.0], [-50.0, 50.5]])
    a, b = torch.ones(2, requires_grad=True), torch.tensor([1.0, -0.5], requires_grad=True)
    now = iter(range(1000))

    def loss():
        value = a.square().sum()
        return value + b @ matrix @ b / 2 if next(now) >= at else value

    optimizer = ESGD([a, b], lr=0.1, update_every=every, seed=seed)
    train(optimizer, loss, at)
    before = optimizer.num_products
    losses = train(optimizer, loss, 30)
    assert optimizer.state[b]["weight"] >= 10
    assert optimizer.num_products >= before + 10
    assert losses[-1] < losses[0]
    assert all(y <= x for x, y in itertools.pairwise(losses))


def test_a_gradient_that_the_probed_loss_does_not_give_is_named_and_costs_one_warm_up():
    a, b = (torch.ones(n, requires_grad=True) for n in (2, 1))
    optimizer = ESGD([a, b], lr=0.1, update_every=20, warmup_probes=5)

    def step():
        optimizer.zero_grad()
        optimizer.probe(a.square().sum())
        (a.square().sum() + 50 * b.square().sum()).backward()
        optimizer.step()

    with pytest.warns(RuntimeWarning, match=r"a parameter of shape \(1,\) has a gradient"):
        step()
    step()
    saved = copy.deepcopy(optimizer.state_dict())
    for _ in range(15):
        step()
    assert optimizer.num_products == 10
    assert b.item() == 1.0
    optimizer.load_state_dict(saved)
    for _ in range(3):
        step()
    assert optimizer.num_products == 10  # a state knows that it has been asked for


def test_a_rejected_warm_up_of_a_late_parameter_comes_again_and_resumes_alike():
    """Two nets in one tensor: the first products that reach b overflow, for both."""
    a, b = (torch.ones(2, n, requires_grad=True) for n in (3, 2))
    optimizer = ESGD([a, b], lr=0.01, update_every=5, warmup_probes=3, members=2)

    def steps(optimizer, a, b, begin, end):
        for step in range(begin, end):
            spike = (b - b.detach()).square().sum() * (float("inf") if step == 2 else 1.0)
            value = a.square().sum() + (b.square().sum() + spike if step else 0.0)
            optimizer.zero_grad()
            optimizer.probe(value)
            (a.square().sum() + (b.square().sum() if step else 0.0)).backward()
            optimizer.step()

    steps(optimizer, a, b, 0, 4)
    twins = [p.detach().clone().requires_grad_() for p in (a, b)]
    resumed = ESGD(twins, lr=0.01, update_every=5, warmup_probes=3, members=2)
    resumed.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    steps(optimizer, a, b, 4, 9)
    steps(resumed, *twins, 4, 9)
    assert optimizer.num_products == resumed.num_products
    assert torch.equal(a, twins[0])
    assert torch.equal(b, twins[1])
    assert bool((optimizer.state[b]["weight"] >= 3).all())


@pytest.mark.parametrize(("curvature", "probe"), FORMS)
def test_the_mean_is_over_the_products_that_reach_it(curvature, probe):
    """A layer that takes part in every other step: its D is that of the products in which it does."""
    torch.manual_seed(0)
    first, second, x = nn.Linear(40, 40).double(), nn.Linear(40, 40).double(), torch.randn(16, 40).double()

    def diagonals(steps):
        params = [*first.parameters(), *second.parameters()]
        optimizer = ESGD(params, lr=0.0, update_every=1, warmup_probes=1, curvature=curvature, probe=probe)
        for step in steps:

            def loss(both=step % 2 == 0):
                h = torch.tanh(first(x))
                return (second(h) if both else h).square().mean()

            optimizer._set_clock(probe_index=step)  # the same vector at the same step
            optimizer.zero_grad()
            if curvature == "difference":
                optimizer.probe(loss)
                loss().backward()
            else:
                optimizer.probe(loss()).backward()
            optimizer.step()
        assert float(optimizer.state[first.weight]["weight"]) == len(steps)
        assert float(optimizer.state[second.weight]["weight"]) == 3
        return [optimizer.diagonal(p) for p in second.parameters()]

    for mine, alone in zip(diagonals(range(6)), diagonals([0, 2, 4]), strict=True):
        torch.testing.assert_close(mine, alone)


def test_a_parameter_that_is_never_used_costs_no_products_and_does_not_move():
    used, unused = nn.Linear(3, 1), nn.Linear(3, 3)
    before, x = copy.deepcopy(unused.state_dict()), torch.ones(4, 3)
    optimizer = ESGD([*used.parameters(), *unused.parameters()], lr=0.01, update_every=5, warmup_probes=2)
    for p in unused.parameters():
        p.grad = torch.zeros_like(p)  # as with zero_grad(set_to_none=False)
    for _ in range(11):
        optimizer.zero_grad(set_to_none=False)
        optimizer.probe(used(x).square().mean()).backward()
        optimizer.step()
    assert optimizer.num_products == 2 + 2
    assert all(torch.equal(before[k], v) for k, v in unused.state_dict().items())


def test_a_resumed_run_asks_at_the_same_step():
    """Saved while nothing is known of b: the copy goes on as the original does."""
    a, b, loss = late(at=5)
    optimizer = ESGD([a, b], lr=0.1, warmup_probes=4)
    train(optimizer, loss, 5)
    saved = copy.deepcopy(optimizer.state_dict())
    twins = [p.detach().clone().requires_grad_() for p in (a, b)]
    resumed = ESGD(twins, lr=0.1, warmup_probes=4)
    resumed.load_state_dict(saved)
    train(optimizer, loss, 4)
    train(resumed, lambda: twins[0].square().sum() + 50 * twins[1].square().sum(), 4)
    assert torch.equal(a, twins[0])
    assert torch.equal(b, twins[1])
    assert optimizer.num_products == resumed.num_products == 8


def test_between_the_due_step_and_its_products_a_state_keeps_that_they_are_many():
    a, b, loss = late(at=1)
    optimizer = ESGD([a, b], lr=0.1, warmup_probes=4)
    train(optimizer, loss, 2)
    resumed = ESGD([a, b], lr=0.1, warmup_probes=4)
    resumed.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    train(resumed, loss, 1)
    assert resumed.num_products == 8


@pytest.mark.parametrize("cls", [ESGD, JacobiSGD, SaddleFreeNewton])
def test_a_loss_of_a_copy_is_noticed(cls):
    net, x = nn.Linear(3, 1), torch.randn(5, 3)
    other = copy.deepcopy(net)
    optimizer = cls(net.parameters(), lr=0.1)
    optimizer.probe(lambda: other(x).square().mean())
    net(x).square().mean().backward()
    before = net.weight.detach().clone()
    with pytest.raises(CurvatureError, match="depends on none of its parameters"):
        optimizer.step()
    assert torch.equal(before, net.weight)


@pytest.mark.parametrize("cls", [ESGD, JacobiSGD, SaddleFreeNewton])
def test_a_loss_that_reaches_nothing_and_moves_nothing_is_no_error(cls):
    """An optimizer of one block, in a step that leaves the block out."""
    block, rest, x = nn.Linear(3, 3), nn.Linear(3, 1), torch.randn(5, 3)
    optimizer = cls(block.parameters(), lr=0.1)
    before = block.weight.detach().clone()
    train(optimizer, lambda: rest(x).square().mean(), 2)
    assert torch.equal(before, block.weight)
    losses = train(optimizer, lambda: rest(torch.tanh(block(x))).square().mean(), 3)
    assert losses[-1] < losses[0]
