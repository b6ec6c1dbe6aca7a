"""A step of which only a part was probed, or run backward, is told, and what only looks like it is not."""

from __future__ import annotations

import warnings

import pytest
import torch
from cases import OPTIMIZERS, Problem, curvature_of, dense_hessian, expected_sum, over, train
from torch import nn

from esgd import ESGD, JacobiSGD, SaddleFreeNewton
from esgd.errors import CurvatureError

QUARTERS = [slice(4 * i, 4 * i + 4) for i in range(4)]


@pytest.fixture
def problem():
    return Problem(torch.float64)


@pytest.fixture(autouse=True)
def _no_warning_goes_unseen():
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        yield


def accumulate(optimizer, problem, probed, clear=True):
    if clear:
        optimizer.zero_grad()
    for i, rows in enumerate(QUARTERS):
        loss = problem.loss(rows) / len(QUARTERS)
        (optimizer.probe(loss) if i in probed else loss).backward()


@pytest.mark.parametrize("probed", [{0}, {3}, {1, 2}, {0, 1, 2}, {1, 2, 3}], ids=str)
@over([c for c in OPTIMIZERS if c.diagonal])
def test_micro_batches_of_which_a_part_was_probed_are_told_once(case, problem, probed):
    optimizer = case.make(problem.parameters(), update_every=1)
    accumulate(optimizer, problem, probed)
    with pytest.warns(RuntimeWarning, match=r"from losses that were not probed.*probe every micro-batch"):
        optimizer.step()
    accumulate(optimizer, problem, probed)
    optimizer.step()  # a second warning would be an error here


@pytest.mark.parametrize("to_none", [True, False])
@over([c for c in OPTIMIZERS if c.diagonal])
def test_all_of_them_are_the_whole_batch_and_nothing_is_said(case, problem, to_none):
    hessian = dense_hessian(problem.loss, problem.parameters())
    optimizer = case.make(problem.parameters(), lr=0.0)
    for _ in range(2):  # the second time after gradients of zero, where they are kept
        problem.zero_grad(set_to_none=to_none)
        accumulate(optimizer, problem, {0, 1, 2, 3}, clear=False)
    problem.zero_grad(set_to_none=to_none)
    accumulate(optimizer, problem, {0, 1, 2, 3}, clear=False)
    optimizer.step()
    params = list(problem.parameters())
    torch.testing.assert_close(
        curvature_of(optimizer, params), expected_sum(case, hessian, params), rtol=1e-6, atol=1e-8
    )


@pytest.mark.parametrize("to_none", [True, False])
@over([c for c in OPTIMIZERS if c.diagonal])
def test_gradients_cleared_after_probe_are_no_micro_batch(case, problem, to_none):
    optimizer = case.make(problem.parameters(), update_every=2)
    for _ in range(5):
        loss = optimizer.probe(problem.loss())
        problem.zero_grad(set_to_none=to_none)
        loss.backward()
        optimizer.step()


def test_a_part_of_the_batch_by_a_function_is_meant(problem):
    optimizer = ESGD(problem.parameters(), update_every=1)
    for _ in range(3):
        optimizer.zero_grad()
        for rows in QUARTERS:
            if rows is QUARTERS[0]:
                optimizer.probe(lambda: problem.loss(QUARTERS[0]))
            (problem.loss(rows) / 4).backward()
        optimizer.step()


def run_backward_twice(optimizer, problem):
    loss = optimizer.probe(problem.loss())
    loss.backward(retain_graph=True)
    problem.zero_grad()
    loss.backward()


def look_at_another_gradient(optimizer, problem):
    loss = optimizer.probe(problem.loss())
    problem.loss(QUARTERS[0]).backward()
    problem.zero_grad()
    loss.backward()


def sharpness_aware(optimizer, problem):
    optimizer.probe(problem.loss()).backward()
    with torch.no_grad():
        moves = [0.01 * p.grad for p in problem.parameters()]
        torch._foreach_add_(list(problem.parameters()), moves)
    problem.zero_grad()
    problem.loss().backward()
    torch._foreach_sub_([p.data for p in problem.parameters()], moves)


def in_two_parts(optimizer, problem):
    first, second = problem.loss(QUARTERS[0]), problem.loss(QUARTERS[1])
    optimizer.probe(first + second)
    first.backward(retain_graph=True)
    second.backward()


@pytest.mark.parametrize(
    "loop", [run_backward_twice, look_at_another_gradient, sharpness_aware, in_two_parts], ids=lambda f: f.__name__
)
@over([c for c in OPTIMIZERS if c.diagonal])
def test_other_ways_to_the_gradient_of_what_was_probed_are_no_micro_batches(case, loop, problem):
    optimizer = case.make(problem.parameters(), update_every=1, lr=1e-3)
    for _ in range(3):
        problem.zero_grad()
        loop(optimizer, problem)
        optimizer.step()


def test_an_unprobed_backward_after_one_of_a_sum_is_told(problem):
    optimizer = ESGD(problem.parameters())
    sum(optimizer.probe(problem.loss(rows) / 4) for rows in QUARTERS[:3]).backward()
    (problem.loss(QUARTERS[3]) / 4).backward()
    with pytest.warns(RuntimeWarning, match="losses that were not probed"):
        optimizer.step()


@pytest.mark.parametrize("head_first", [True, False])
def test_the_trunk_of_several_tasks_tells_whatever_comes_first(problem, head_first):
    head = nn.Parameter(torch.ones(4, dtype=torch.float64))
    shared = [problem.W1, problem.b1, problem.w2]
    optimizer = ESGD([head, *shared] if head_first else [*shared, head])
    (torch.tanh(problem.x @ problem.W1) @ head).square().mean().backward()
    optimizer.probe(problem.loss()).backward()
    with pytest.warns(RuntimeWarning) as told:
        optimizer.step()
    assert any("losses that were not probed" in str(w.message) for w in told)


def test_a_batch_that_two_optimizers_saw_is_forgotten_when_it_is_skipped():
    """The products of the second run through the graph that the first one watches."""
    learnt = []
    for steps, skipped in ((2, None), (3, 1)):
        problem = Problem(torch.float64)
        parts = [[problem.W1], [problem.b1, problem.w2]]
        optimizers = [ESGD(part, lr=0.0, update_every=1) for part in parts]
        for i in range(steps):
            problem.zero_grad()
            loss = problem.loss()
            for optimizer in optimizers:
                optimizer.probe(loss)
            if i != skipped:
                loss.backward()
                for optimizer in optimizers:
                    optimizer.step()
        learnt.append([curvature_of(o, part) for o, part in zip(optimizers, parts, strict=True)])
    for without, skipping in zip(*learnt, strict=True):
        torch.testing.assert_close(skipping, without)


def test_sparse_gradients_are_still_named(problem):
    table = nn.Embedding(5, 3, sparse=True).double()
    optimizer = ESGD([*problem.parameters(), *table.parameters()])
    optimizer.probe(problem.loss)
    (problem.loss() + table(torch.arange(5)).square().sum()).backward()
    with pytest.raises(CurvatureError, match="sparse=False"):
        optimizer.step()


@pytest.mark.parametrize("size", [1e10, 1e-12])
def test_saddle_free_newton_compares_gradients_of_any_size(size):
    w = nn.Parameter(torch.ones(3))
    optimizer = SaddleFreeNewton([w], lr=0.1)
    optimizer.probe(size * w.sin().sum()).backward()
    optimizer.step()


def test_saddle_free_newton_tells_that_it_was_shown_another_gradient(problem):
    optimizer = SaddleFreeNewton(problem.parameters(), lr=0.1)
    accumulate(optimizer, problem, {3})
    with pytest.warns(RuntimeWarning, match=r"is not the one that was probed.*probe the loss of the whole batch"):
        optimizer.step()


def test_saddle_free_newton_takes_a_clipped_gradient_for_the_same(problem):
    optimizer = SaddleFreeNewton(problem.parameters(), lr=0.1)
    optimizer.probe(problem.loss()).backward()
    nn.utils.clip_grad_norm_(problem.parameters(), 1e-3)
    optimizer.step()


def skipping(optimizer, problem, skipped, steps):
    """A loop that skips a batch after probing it; the graph of the loss before lives on in ``loss``."""
    products = []
    for i in range(steps):
        problem.zero_grad()
        loss = optimizer.probe(problem.loss())
        if i == skipped:
            continue
        loss.backward()
        optimizer.step()
        products.append(optimizer.num_products)
    return products


@pytest.mark.parametrize("cls", [ESGD, JacobiSGD])
def test_a_batch_skipped_after_probe_never_counts_twice(cls, problem):
    hessian = dense_hessian(problem.loss, problem.parameters())
    optimizer = cls(problem.parameters(), lr=0.0, update_every=2)
    with pytest.warns(RuntimeWarning, match=r"only a part was run backward.*where a batch is skipped"):
        products = skipping(optimizer, problem, 2, 6)
    assert products == [10, 10, 10, 11, 11]  # the step after the skipped batch goes without
    params = list(problem.parameters())
    case = next(c for c in OPTIMIZERS if c.cls is cls)
    torch.testing.assert_close(
        curvature_of(optimizer, params), expected_sum(case, hessian, params, 11), rtol=1e-6, atol=1e-8
    )


def test_a_batch_skipped_before_anything_is_known_asks_for_zero_grad(problem):
    optimizer = ESGD(problem.parameters())
    with pytest.raises(CurvatureError, match=r"call optimizer\.zero_grad\(\) where a batch is skipped"):
        skipping(optimizer, problem, 0, 2)
    assert train(optimizer, problem.loss, 2)


def test_a_batch_skipped_with_the_optimizers_own_zero_grad_is_forgotten(problem):
    optimizer = ESGD(problem.parameters(), update_every=1)
    for i in range(4):
        optimizer.zero_grad()
        loss = optimizer.probe(problem.loss())
        if i != 2:
            loss.backward()
            optimizer.step()
    assert optimizer.num_products == 12


def test_losses_probed_before_any_of_them_runs_backward_are_summed(problem):
    hessian = dense_hessian(problem.loss, problem.parameters())
    optimizer = ESGD(problem.parameters(), lr=0.0)
    sum(optimizer.probe(problem.loss(rows) / 4) for rows in QUARTERS).backward()
    optimizer.step()
    params = list(problem.parameters())
    expected = expected_sum(OPTIMIZERS[0], hessian, params)
    torch.testing.assert_close(curvature_of(optimizer, params), expected, rtol=1e-6, atol=1e-8)


@over([c for c in OPTIMIZERS if c.diagonal])
def test_one_loss_is_probed_once(case, problem):
    optimizer = case.make(problem.parameters())
    loss = problem.loss()
    optimizer.probe(loss)
    with pytest.raises(CurvatureError, match="probed already in this step: probe each loss once"):
        optimizer.probe(loss)
