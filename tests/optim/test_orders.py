"""Every order of ``zero_grad``, ``probe``, ``backward`` and ``step``: what is right works, what is not is told."""

import gc
import weakref

import pytest
import torch
from cases import (
    OPTIMIZERS,
    Problem,
    assert_same,
    curvature_of,
    dense_hessian,
    expected_sum,
    flatten,
    grads_of,
    one_step,
    over,
    plain_grads,
)

from esgd import ESGD
from esgd.errors import CurvatureError


@over([c for c in OPTIMIZERS if c.diagonal])
def test_the_loss_comes_back_untouched_when_nothing_is_due(case):
    problem = Problem()
    optimizer = case.make(problem.parameters(), update_every=3)
    one_step(optimizer, problem.loss)
    for _ in range(2):
        assert not optimizer.curvature_due
        optimizer.zero_grad()
        loss = problem.loss()
        assert optimizer.probe(loss) is loss
        loss.backward()
        optimizer.step()
    assert optimizer.curvature_due
    loss = problem.loss()
    assert optimizer.probe(loss) is not loss


@over([c for c in OPTIMIZERS if c.diagonal])
@pytest.mark.parametrize("mode", ["exact", "difference"])
def test_the_function_is_called_only_when_due(case, mode):
    problem = Problem()
    optimizer = case.make(problem.parameters(), update_every=4, warmup_probes=2, curvature=mode)
    calls = []

    def loss():
        calls.append(1)
        return problem.loss()

    counts = []
    for _ in range(9):
        calls.clear()
        optimizer.zero_grad()
        assert optimizer.probe(loss) is None
        counts.append(len(calls))
        problem.loss().backward()
        optimizer.step()
    first, later = (1, 1) if mode == "exact" else (3, 2)  # differences: the base point and one more a probe
    assert counts == [first, 0, 0, 0, later, 0, 0, 0, later]


def test_curvature_from_part_of_the_batch():
    case = OPTIMIZERS[0]
    problem = Problem(torch.float64)
    params = list(problem.parameters())
    part = dense_hessian(lambda: problem.loss(slice(0, 4)), params)
    expected = expected_sum(case, part, params)
    optimizer = case.make(params)
    optimizer.probe(lambda: problem.loss(slice(0, 4)))
    problem.loss().backward()
    assert_same(grads_of(problem), plain_grads(problem))
    optimizer.step()
    torch.testing.assert_close(curvature_of(optimizer, params), expected, rtol=1e-6, atol=1e-8)


@over(OPTIMIZERS)
def test_the_errors_tell_what_is_missing(case):
    problem = Problem()
    optimizer = case.make(problem.parameters())
    problem.loss().backward()
    with pytest.raises(CurvatureError, match=r"has seen no loss.*add\n    loss = optimizer\.probe\(loss\)"):
        optimizer.step()
    optimizer.probe(problem.loss())
    optimizer.zero_grad()
    problem.loss().backward()
    with pytest.raises(CurvatureError, match=r"cleared it: call optimizer\.zero_grad\(\) first"):
        optimizer.step()
    before = problem.values()
    one_step(optimizer, problem.loss)  # and neither has spoilt anything
    assert not torch.equal(before[0], problem.W1)


@over(OPTIMIZERS)
@pytest.mark.parametrize(
    ("loss", "says"),
    [
        (lambda p: p.loss().detach(), "has no graph"),
        (lambda p: p.loss() * torch.ones(3), r"needs a scalar loss.*\(3,\)"),
        (lambda p: 1.5, "expected the loss as a tensor.*got float"),
        (lambda p: torch.complex(p.loss(), p.loss()), "real loss"),
    ],
    ids=["detached", "vector", "float", "complex"],
)
def test_a_loss_that_has_no_curvature_is_refused(case, loss, says):
    problem = Problem()
    optimizer = case.make(problem.parameters())
    with pytest.raises(CurvatureError, match=says):
        optimizer.probe(loss(problem))
    one_step(optimizer, problem.loss)


@over(OPTIMIZERS)
def test_probe_comes_before_backward(case):
    problem = Problem()
    optimizer = case.make(problem.parameters())
    loss = problem.loss()
    loss.backward()
    with pytest.raises(CurvatureError, match=r"graph of this loss is gone: call optimizer\.probe\(loss\) before"):
        optimizer.probe(loss)
    kept = problem.loss()
    kept.backward(retain_graph=True)
    optimizer.probe(kept)
    optimizer.step()


def test_differences_need_a_function():
    problem = Problem()
    optimizer = ESGD(problem.parameters(), lr=0.1, curvature="difference")
    with pytest.raises(CurvatureError, match=r"optimizer\.probe\(lambda: loss_fn"):
        optimizer.probe(problem.loss())


@pytest.mark.parametrize("set_to_none", [True, False])
@over([c for c in OPTIMIZERS if c.diagonal])
def test_a_step_that_was_skipped_leaves_the_curvature_alone(case, set_to_none):
    """``model.zero_grad()`` does not tell the optimizer; the products of the skipped step must not count twice."""
    skipping, straight = Problem(torch.float64), Problem(torch.float64)
    first, second = case.make(skipping.parameters()), case.make(straight.parameters())
    for clear in (lambda: skipping.zero_grad(set_to_none), lambda: first.zero_grad(set_to_none)):
        clear()
        first.probe(skipping.loss(slice(0, 5))).backward()  # and no step: an overflow, say
    skipping.zero_grad(set_to_none)
    first.probe(skipping.loss()).backward()
    first.step()
    one_step(second, straight.loss)
    assert_same(skipping.values(), straight.values())
    assert first.num_products == second.num_products


@over([c for c in OPTIMIZERS if c.diagonal])
def test_micro_batches_whose_gradient_is_zero_still_count(case):
    """Gradients that arrived as zeros were not cleared."""
    problem = Problem(torch.float64)
    params = list(problem.parameters())
    hessian = dense_hessian(lambda: problem.loss() * 2, params)
    expected = expected_sum(case, hessian, params)
    optimizer = case.make(params)
    # the gradient of the first vanishes at the present point, its curvature does not
    at = plain_grads(problem, 2.0)
    linear = sum((p * g).sum() for p, g in zip(params, at, strict=True))
    optimizer.probe(problem.loss() * 2 - linear).backward()
    assert float(flatten(grads_of(problem)).abs().max()) < 1e-12
    for p in params:
        assert p.grad is not None
    optimizer.probe(linear * 1.0).backward()
    optimizer.step()
    torch.testing.assert_close(curvature_of(optimizer, params), expected, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("clip", [False, True])
@pytest.mark.parametrize("count", [2, 4])
@over([c for c in OPTIMIZERS if c.diagonal])
def test_micro_batches_sum_to_the_whole_batch(case, count, clip):
    whole, parts = Problem(torch.float64), Problem(torch.float64)
    first, second = (case.make(p.parameters(), update_every=2) for p in (whole, parts))
    for _ in range(4):
        one_step(first, whole.loss)
        second.zero_grad()
        for i in range(count):
            rows = slice(i * 16 // count, (i + 1) * 16 // count)
            second.probe(parts.loss(rows) / count).backward()
            if clip:  # touches the gradients between micro-batches, in place
                torch.nn.utils.clip_grad_norm_(parts.parameters(), 1e9)
        second.step()
    torch.testing.assert_close(whole.values(), parts.values(), rtol=1e-10, atol=1e-12)
    assert first.num_products == second.num_products == 11
    torch.testing.assert_close(
        curvature_of(first, list(whole.parameters())), curvature_of(second, list(parts.parameters()))
    )


@over([c for c in OPTIMIZERS if c.diagonal])
def test_losses_may_be_probed_one_by_one_and_summed_before_backward(case):
    whole, parts = Problem(torch.float64), Problem(torch.float64)
    first, second = case.make(whole.parameters()), case.make(parts.parameters())
    one_step(first, whole.loss)
    total = sum(second.probe(parts.loss(rows) / 2) for rows in (slice(0, 8), slice(8, 16)))
    total.backward()
    second.step()
    torch.testing.assert_close(whole.values(), parts.values(), rtol=1e-10, atol=1e-12)


def test_saddle_free_newton_refuses_micro_batches():
    case = next(c for c in OPTIMIZERS if not c.diagonal)
    problem = Problem()
    optimizer = case.make(problem.parameters())
    optimizer.probe(problem.loss(slice(0, 8)) / 2).backward()
    with pytest.raises(CurvatureError, match=r"probed twice in one step.*optimizer\.zero_grad\(\)"):
        optimizer.probe(problem.loss(slice(8, 16)) / 2)
    optimizer.zero_grad()
    one_step(optimizer, problem.loss)


@pytest.mark.parametrize("graph", ["returned", "original"])
@over(OPTIMIZERS)
def test_the_graph_dies_with_the_step(case, graph):
    """Even where the loss is still held, the graph of the second order is gone."""
    problem = Problem()
    optimizer = case.make(problem.parameters())
    loss = problem.loss()
    middle = weakref.ref(loss)
    probed = optimizer.probe(loss)
    (probed if graph == "returned" else loss).backward()
    optimizer.step()
    del loss
    if graph == "original":
        del probed
    gc.collect()
    assert middle() is None
