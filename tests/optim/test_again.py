"""Losses that are evaluated anew, products that are not finite, probes of the user's own."""

import pytest
import torch
from cases import OPTIMIZERS, Problem, assert_same, curvature_of, one_step, over, train
from torch import nn

from esgd import ESGD, JacobiSGD
from esgd.errors import CurvatureError


@pytest.mark.parametrize("poison", [float("nan"), float("inf")])
@over([c for c in OPTIMIZERS if c.diagonal])
def test_products_that_are_not_finite_are_counted_and_left_out(case, poison):
    problem, clean = Problem(), Problem()
    options = {"update_every": 2, "warmup_probes": 1}
    optimizer, reference = case.make(problem.parameters(), **options), case.make(clean.parameters(), **options)
    train(optimizer, problem.loss, 1)
    train(reference, clean.loss, 1)
    saved = curvature_of(optimizer, list(problem.parameters())).clone()
    train(optimizer, problem.loss, 1)
    train(reference, clean.loss, 1)
    optimizer.zero_grad()
    spike = problem.W1.sum() - problem.W1.detach().sum()  # its curvature overflows, its gradient is not used
    optimizer.probe(problem.loss() + poison * spike**2)
    problem.loss().backward()
    with pytest.warns(RuntimeWarning, match="not finite and was left out") as caught:
        optimizer.step()
    assert caught[0].filename == __file__
    assert optimizer.num_rejected == 1
    assert_same([curvature_of(optimizer, list(problem.parameters()))], [saved])
    assert all(p.isfinite().all() for p in problem.parameters())
    assert optimizer.curvature_due  # the very next step tries again
    train(optimizer, problem.loss, 1)
    assert optimizer.num_rejected == 1
    assert curvature_of(optimizer, list(problem.parameters())).isfinite().all()
    assert not optimizer.curvature_due


@over([c for c in OPTIMIZERS if c.diagonal])
def test_nothing_moves_while_all_products_were_rejected(case):
    problem = Problem()
    optimizer = case.make(problem.parameters(), warmup_probes=1)
    before = problem.values()
    spike = problem.W1.sum() - problem.W1.detach().sum()
    optimizer.probe(problem.loss() + float("inf") * spike**2)
    problem.loss().backward()
    with pytest.warns(RuntimeWarning, match="not finite"):
        optimizer.step()
    assert_same(problem.values(), before)


def noisy_net():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Dropout(0.5), nn.Linear(8, 1))
    x, y = torch.randn(16, 3), torch.randn(16, 1)
    return net, lambda: (net(x) - y).square().mean()


@pytest.mark.parametrize("cls", [ESGD, JacobiSGD])
def test_differences_restore_the_parameters_to_the_bit(cls):
    net, loss = noisy_net()
    before = [p.detach().clone() for p in net.parameters()]
    generator = torch.get_rng_state()
    optimizer = cls(net.parameters(), lr=0.1, curvature="difference")
    optimizer.probe(loss)
    assert_same([p.detach() for p in net.parameters()], before)
    assert torch.equal(torch.get_rng_state(), generator)  # the masks are the same in each evaluation
    assert all(p.grad is None for p in net.parameters())
    loss().backward()
    optimizer.step()
    assert all(optimizer.mean_curvature(p).isfinite().all() for p in net.parameters())


def test_running_statistics_see_the_batch_as_often_as_it_is_evaluated():
    """As documented: the exact form once more for a function, differences once more for each gradient."""
    counts = {}
    for mode in ("graph", "exact", "difference"):
        net, loss = noisy_net()
        optimizer = ESGD(
            net.parameters(),
            lr=0.1,
            warmup_probes=3,
            curvature="difference" if mode == "difference" else "exact",
        )
        if mode == "graph":
            optimizer.probe(loss()).backward()
        else:
            optimizer.probe(loss)
            loss().backward()
        optimizer.step()
        counts[mode] = int(net[1].num_batches_tracked)
    assert counts == {"graph": 1, "exact": 2, "difference": 1 + 4}


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
@pytest.mark.parametrize("when", [1, 2, 3])
def test_an_exception_in_the_function_restores_the_parameters(when, error):
    problem = Problem()
    optimizer = ESGD(problem.parameters(), lr=0.1, curvature="difference")
    before, calls = problem.values(), []

    def loss():
        calls.append(1)
        if len(calls) == when:
            raise error("stop")
        return problem.loss()

    with pytest.raises(error, match="stop"):
        optimizer.probe(loss)
    assert_same(problem.values(), before)
    one_step(optimizer, problem.loss)


@pytest.mark.parametrize("mode", ["exact", "difference"])
@pytest.mark.parametrize(
    ("v", "says"),
    [
        (lambda ps: [torch.ones_like(p) for p in ps][:-1], "list of 3 tensors.*got 2"),
        (lambda ps: [torch.ones(3, 4), torch.ones(4), torch.ones(7)], r"v\[2\] has shape \(7,\)"),
        (lambda ps: [torch.ones_like(p).double() for p in ps], "torch.float64"),
    ],
    ids=["too few", "shape", "dtype"],
)
def test_a_probe_of_the_users_that_does_not_fit_is_named(mode, v, says):
    problem = Problem()
    optimizer = ESGD(problem.parameters(), lr=0.1, curvature=mode, probe=lambda params, i: v(params))
    before = problem.values()
    with pytest.raises(CurvatureError, match=says):
        optimizer.probe(problem.loss) if mode == "difference" else optimizer.probe(problem.loss())
    assert_same(problem.values(), before)


@pytest.mark.parametrize("cls", [ESGD, JacobiSGD])
def test_a_probe_of_the_users_is_not_written_to(cls):
    """The same tensors may come back each time; where H = I the product is autograd's alias of v itself."""
    problem = Problem()
    kept = [torch.full_like(p, 2.0) for p in problem.parameters()]
    optimizer = cls(problem.parameters(), lr=0.1, probe=lambda params, i: kept, update_every=1)
    train(optimizer, lambda: sum(p.square().sum() / 2 for p in problem.parameters()), 3)
    assert all((v == 2).all() for v in kept)
    assert all((optimizer.mean_curvature(p) == 4).all() for p in problem.parameters())
