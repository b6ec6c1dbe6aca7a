"""The one extra line, ``loss = optimizer.probe(loss)``: the gradient that comes out of it."""

import copy

import pytest
import torch
from cases import (
    DIAGONAL,
    OPTIMIZERS,
    Problem,
    assert_same,
    curvature_of,
    dense_hessian,
    expected_sum,
    grads_of,
    one_step,
    over,
    plain_grads,
)
from torch import nn

from esgd import ESGD, JacobiSGD
from esgd.errors import CurvatureError

EXACT = [c for c in DIAGONAL if not c.difference]


@over(EXACT)
def test_the_gradient_is_that_of_plain_backward_to_the_bit(case):
    problem = Problem()
    expected = plain_grads(problem)
    optimizer = case.make(problem.parameters())
    loss = problem.loss()
    probed = optimizer.probe(loss)
    assert torch.equal(probed, loss)
    assert probed.shape == loss.shape
    probed.backward()
    assert_same(grads_of(problem), expected)
    assert all(not p.grad.requires_grad for p in problem.parameters())


@pytest.mark.parametrize("factor", [2.0, 1024.0, -0.5, 1 / 3])
@over(OPTIMIZERS)
def test_what_multiplies_the_loss_multiplies_the_gradient(case, factor):
    problem = Problem()
    optimizer = case.make(problem.parameters())
    (optimizer.probe(problem.loss()) * factor).backward()
    expected = plain_grads(problem, factor)
    if factor == 1 / 3:
        torch.testing.assert_close(grads_of(problem), expected)
    else:  # powers of two round nothing
        assert_same(grads_of(problem), expected)


@over(OPTIMIZERS)
def test_the_gradient_is_added_to_what_is_there(case):
    problem = Problem()
    problem.loss(slice(0, 8)).backward()
    before = grads_of(problem)
    case.make(problem.parameters()).probe(problem.loss()).backward()
    expected = [a + b for a, b in zip(before, plain_grads(problem), strict=True)]
    assert_same(grads_of(problem), expected)


@over(OPTIMIZERS)
def test_the_loss_may_be_a_term_of_a_larger_one(case):
    """A penalty added behind probe is differentiated as usual, but its curvature is not seen."""
    problem = Problem()
    penalty = problem.W1.square().sum()
    total = case.make(problem.parameters()).probe(problem.loss()) + 0.1 * penalty
    total.backward()
    expected = torch.autograd.grad(problem.loss() + 0.1 * problem.W1.square().sum(), list(problem.parameters()))
    torch.testing.assert_close(grads_of(problem), list(expected))


@over(OPTIMIZERS)
def test_the_returned_loss_gives_its_gradient_once_or_as_often_as_retained(case):
    problem = Problem()
    optimizer = case.make(problem.parameters())
    loss = optimizer.probe(problem.loss())
    loss.backward(retain_graph=True)
    loss.backward()
    assert_same(grads_of(problem), plain_grads(problem, 2.0))
    with pytest.raises(RuntimeError, match=r"backward\(\) ran twice.*retain_graph=True"):
        loss.backward()


@over(OPTIMIZERS)
def test_retained_gradients_are_not_the_optimizers_memory(case):
    """Clipping in place between two passes over one graph must not reach the gradient that is kept."""
    problem = Problem()
    loss = case.make(problem.parameters()).probe(problem.loss())
    loss.backward(retain_graph=True)
    for p in problem.parameters():
        p.grad.zero_()
    loss.backward()
    assert_same(grads_of(problem), plain_grads(problem))


@over(OPTIMIZERS)
def test_ignoring_the_returned_loss_is_right_as_well(case):
    used, ignored = Problem(), Problem()
    first, second = case.make(used.parameters()), case.make(ignored.parameters())
    for _ in range(3):
        one_step(first, used.loss)
        second.zero_grad()
        loss = ignored.loss()
        second.probe(loss)
        loss.backward()
        second.step()
    assert_same(used.values(), ignored.values())


def test_equal_gradients_do_not_share_memory():
    """autograd hands one tensor to both biases of ``x @ W + (a + b)``: scaling one must leave the other."""
    W, a, b = (nn.Parameter(torch.randn(s)) for s in ((3, 2), (2,), (2,)))
    x = torch.randn(5, 3)

    def loss():
        return (x @ W + (a + b)).pow(3).mean()

    optimizer = ESGD([W, a, b], lr=0.1)
    expected = torch.autograd.grad(loss(), [W, a, b])
    optimizer.probe(loss()).backward()
    torch.nn.utils.clip_grad_value_([a], 0.0)
    assert_same([W.grad, b.grad], [expected[0], expected[2]])
    assert a.grad.tolist() == [0, 0]


@pytest.mark.parametrize("difference", [False, True], ids=["exact", "difference"])
@pytest.mark.parametrize("cls", [ESGD, JacobiSGD])
def test_equal_products_are_squared_once(cls, difference):
    """The same for H v: worked on in place for each parameter, shared memory would be squared twice."""
    dtype = torch.float64
    W, a, b = (nn.Parameter(torch.randn(s, dtype=dtype)) for s in ((3, 2), (2,), (2,)))
    x = torch.randn(5, 3, dtype=dtype)

    def loss():
        return (x @ W + (a + b)).pow(3).mean()

    hessian = dense_hessian(loss, [W, a, b])
    options = {"curvature": "difference", "difference_step": 1e-7} if difference else {}
    optimizer = cls([W, a, b], lr=0.1, **options)
    for part in (0.25, 0.75):  # two micro-batches: they are summed in place too
        if difference:
            optimizer.probe(lambda part=part: part * loss())
            (part * loss()).backward()
        else:
            optimizer.probe(part * loss()).backward()
    params = [W, a, b]
    case = next(c for c in OPTIMIZERS if c.cls is cls)
    expected = expected_sum(case, hessian, params)
    optimizer.step()
    torch.testing.assert_close(curvature_of(optimizer, params), expected, rtol=1e-4, atol=1e-5)


@over([c for c in OPTIMIZERS if c.diagonal])
def test_a_number_stretched_over_a_parameter(case):
    """H of (Σw)² is a matrix of twos: autograd returns one number with stride 0."""
    w = nn.Parameter(torch.randn(4))
    optimizer = case.make([w])
    for _ in range(2):
        optimizer.probe(w.sum().square() / 2).backward()
    expected = expected_sum(case, torch.full((4, 4), 2.0), [w])
    optimizer.step()
    torch.testing.assert_close(curvature_of(optimizer, [w]), expected)


@over(OPTIMIZERS)
def test_leaves_outside_the_optimizer_get_their_gradient(case):
    problem, outside = Problem(), nn.Parameter(torch.ones(4))
    optimizer = case.make([problem.W1, problem.b1])

    def loss():
        hidden = torch.tanh(problem.x @ problem.W1 + problem.b1) * outside
        return (hidden @ problem.w2 - problem.y).square().mean()

    everything = [problem.W1, problem.b1, problem.w2, outside]
    expected = torch.autograd.grad(loss(), everything)
    optimizer.probe(loss()).backward()
    assert_same([p.grad for p in everything], list(expected))


@over(OPTIMIZERS)
def test_tensor_hooks_on_parameters_run_once(case):
    problem = Problem()
    calls = []
    problem.W1.register_hook(lambda g: calls.append(1) or g * 2)
    problem.b1.register_post_accumulate_grad_hook(lambda p: calls.append(2))
    optimizer = case.make(problem.parameters())
    loss = problem.loss()
    calls.clear()
    probed = optimizer.probe(loss)
    calls.clear()
    probed.backward()
    assert sorted(calls) == [1, 2]
    expected = Problem()
    expected.W1.register_hook(lambda g: g * 2)
    expected.loss().backward()
    assert_same(grads_of(problem), grads_of(expected))


@over(OPTIMIZERS)
def test_a_graph_that_two_losses_share_stays_whole(case):
    problem = Problem()
    optimizer = case.make(problem.parameters())
    hidden = torch.tanh(problem.x @ problem.W1 + problem.b1)
    first = (hidden @ problem.w2 - problem.y).square().mean()
    second = hidden.square().mean()
    optimizer.probe(first).backward()
    second.backward()
    problem_two = Problem()
    hidden = torch.tanh(problem_two.x @ problem_two.W1 + problem_two.b1)
    ((hidden @ problem_two.w2 - problem_two.y).square().mean() + hidden.square().mean()).backward()
    torch.testing.assert_close(grads_of(problem), grads_of(problem_two))


@pytest.mark.parametrize("shape", [(), (1,), (1, 1)])
def test_scalars_of_any_shape(shape):
    w = nn.Parameter(torch.tensor(2.0))
    (ESGD([w], lr=0.1).probe((w**3).reshape(shape)) * 3).backward()
    assert w.grad.shape == ()
    assert w.grad == 36


@over(OPTIMIZERS)
def test_clipping_acts_on_the_gradient_as_ever(case):
    clipped, reference = Problem(), Problem()
    optimizer = case.make(clipped.parameters())
    optimizer.probe(clipped.loss()).backward()
    reference.loss().backward()
    norms = [torch.nn.utils.clip_grad_norm_(p.parameters(), 0.01) for p in (clipped, reference)]
    assert norms[0] == norms[1]
    assert_same(grads_of(clipped), grads_of(reference))
    optimizer.step()


@pytest.mark.parametrize("mode", ["rademacher", "low_rank", "difference"])
def test_hooks_on_gradients_are_not_in_the_products(mode):
    """Clipping by a hook is for ``.grad``: D is that of the loss, and ``.grad`` is clipped."""
    torch.manual_seed(0)
    x, plain = torch.randn(64, 40), nn.Linear(40, 40)
    hooked = copy.deepcopy(plain)
    calls = []
    for p in hooked.parameters():
        p.register_hook(lambda g: (calls.append(1), g.clamp(-1e-3, 1e-3))[1])
    options = {"curvature": "difference"} if mode == "difference" else {"probe": mode}
    found = []
    for net in (plain, hooked):
        optimizer = ESGD(net.parameters(), lr=0.0, warmup_probes=2, **options)

        def loss(net=net):
            return torch.tanh(net(x)).square().mean()

        if mode == "difference":
            optimizer.probe(loss)
            loss().backward()
        else:
            optimizer.probe(loss()).backward()
        assert (float(net.weight.grad.abs().max()) < 1.001e-3) == (net is hooked)
        optimizer.step()
        found.append([optimizer.diagonal(p) for p in net.parameters()])
    assert len(calls) == 2  # once for each parameter, in backward()
    for mine, clipped in zip(*found, strict=True):
        torch.testing.assert_close(mine, clipped)
    assert all(len(p._backward_hooks) == 1 for p in hooked.parameters())


def test_the_returned_loss_refuses_to_be_differentiated_twice():
    """Silently the penalty would have no gradient, on the steps with curvature and on no others."""
    net, x = nn.Linear(3, 1), torch.randn(5, 3)
    optimizer = ESGD(net.parameters(), lr=0.1)
    loss = optimizer.probe(torch.tanh(net(x)).square().mean())
    with pytest.raises(CurvatureError, match="gradient penalty"):
        torch.autograd.grad(loss, list(net.parameters()), create_graph=True)
