"""What a step does and does not do, as torch's ``TestOptimRenewed`` asks it of every optimizer."""

import copy

import pytest
import torch
from cases import CASES, DIAGONAL, DTYPES, OPTIMIZERS, Problem, assert_same, curvature_of, one_step, over, train
from torch import nn
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook

from esgd import ESGD, JacobiSGD, SaddleFreeNewton
from esgd.errors import CurvatureError


@over(CASES)
def test_goes_in_the_right_direction(case):
    problem = Problem()
    losses = train(case.make(problem.parameters()), problem.loss, 60 if case.diagonal else 12)
    if case.maximize:
        assert losses[-1] > 1.5 * losses[0]
    else:
        assert losses[-1] < 0.8 * losses[0]


@pytest.mark.parametrize("cls", [ESGD, JacobiSGD, SaddleFreeNewton])
def test_maximizing_is_minimizing_the_negative_to_the_bit(cls):
    up, down = Problem(), Problem()
    train(cls(up.parameters(), lr=0.01, maximize=True), up.loss, 8)
    train(cls(down.parameters(), lr=0.01), lambda: -down.loss(), 8)
    assert_same(up.values(), down.values())


@over(CASES)
def test_no_gradients_no_step(case):
    problem = Problem()
    optimizer = case.make(problem.parameters())
    before = problem.values()
    assert optimizer.step() is None
    assert_same(problem.values(), before)
    train(optimizer, problem.loss, 2)
    before, saved = problem.values(), copy.deepcopy(optimizer.state_dict())
    optimizer.zero_grad(set_to_none=True)
    optimizer.step()
    assert_same(problem.values(), before)
    assert optimizer.state_dict()["param_groups"] == saved["param_groups"]


@over([c for c in CASES if not c.options.get("weight_decay")])
def test_zero_gradients_move_nothing(case):
    """The loss is constant: gradient and curvature are zero, and 0 · 1/(0 + λ) is no step."""
    problem = Problem()
    optimizer = case.make(problem.parameters())
    before = problem.values()
    train(optimizer, lambda: problem.loss() * 0, 3)
    assert_same(problem.values(), before)


@over([c for c in CASES if c.name != "ESGD-callable"])
def test_parameters_without_a_gradient_stay(case):
    problem, alone = Problem(torch.float64), Problem(torch.float64)
    problem.unused = nn.Parameter(torch.ones(2, dtype=torch.float64))
    problem.frozen = nn.Parameter(torch.ones(2, dtype=torch.float64), requires_grad=False)
    options = {"probe": lambda params, i: [torch.ones_like(p) for p in params]} if case.diagonal else {}
    train(case.make(problem.parameters(), **options), problem.loss, 4)
    train(case.make(alone.parameters(), **options), alone.loss, 4)
    assert bool((problem.unused == 1).all())
    assert bool((problem.frozen == 1).all())
    torch.testing.assert_close(problem.values()[:3], alone.values(), rtol=1e-6, atol=1e-8)


@over(DIAGONAL)
def test_foreach_equals_the_loop_to_the_bit(case):
    loop, fused = Problem(), Problem()
    train(case.make(loop.parameters(), foreach=False), loop.loss, 9)
    train(case.make(fused.parameters(), foreach=True), fused.loss, 9)
    assert_same(loop.values(), fused.values())


@over([c for c in CASES if not c.difference])
def test_closure_equals_the_open_loop(case):
    opened, closed = Problem(), Problem()
    first, second = case.make(opened.parameters()), case.make(closed.parameters())

    def closure():
        second.zero_grad()
        loss = second.probe(closed.loss())
        loss.backward()
        return loss

    for _ in range(5):
        assert one_step(first, opened.loss) == second.step(closure).item()
    assert_same(opened.values(), closed.values())


@over(OPTIMIZERS)
def test_closure_runs_with_gradients_on_and_step_with_them_off(case):
    problem = Problem()
    optimizer = case.make(problem.parameters())

    def closure():
        assert torch.is_grad_enabled()
        optimizer.zero_grad()
        loss = optimizer.probe(problem.loss())
        loss.backward()
        return loss

    with torch.no_grad():
        optimizer.step(closure)
    assert all(p.grad_fn is None and p.grad.grad_fn is None for p in problem.parameters())


@over(CASES)
def test_set_to_none_or_not_is_the_same(case):
    one, other = Problem(), Problem()
    for problem, how in ((one, True), (other, False)):
        optimizer = case.make(problem.parameters())
        plain = optimizer.zero_grad
        optimizer.zero_grad = lambda plain=plain, how=how: plain(set_to_none=how)
        train(optimizer, problem.loss, 5)
        optimizer.zero_grad()
        assert all((p.grad is None) is how for p in problem.parameters())
    assert_same(one.values(), other.values())


@over([c for c in CASES if c.name.split("-", 1)[1] not in ("tensor-lr", "everything")])
def test_a_tensor_rate_equals_a_number(case):
    number, tensor = Problem(torch.float64), Problem(torch.float64)
    lr = case.options["lr"]
    train(case.make(number.parameters()), number.loss, 6)
    train(case.make(tensor.parameters(), lr=torch.tensor(lr, dtype=torch.float64)), tensor.loss, 6)
    torch.testing.assert_close(number.values(), tensor.values(), rtol=1e-9, atol=1e-12)


@over([c for c in DIAGONAL if c.name.endswith(("default", "inside", "momentum"))])
def test_rate_and_damping_may_change_between_steps(case):
    """Settings of a group act from the next step on, numbers and tensors, though M is cached."""
    problem, twin = Problem(), Problem()
    lr, damping = torch.tensor(0.01), torch.tensor(0.5)
    first = case.make(problem.parameters(), lr=lr, damping=damping)
    second = case.make(twin.parameters(), lr=0.01, damping=0.5)
    for new in (0.5, 0.1, 2.0):
        damping.fill_(new)
        lr.fill_(new / 100)
        second.param_groups[0].update(damping=new, lr=new / 100)
        train(first, problem.loss, 2)
        train(second, twin.loss, 2)
        torch.testing.assert_close(problem.values(), twin.values())
    probe = copy.deepcopy(twin)
    still = case.make(probe.parameters(), lr=0.01, damping=0.5)
    assert first.param_groups[0]["damping"] is damping
    assert still.param_groups[0]["damping"] == 0.5


@pytest.mark.parametrize("contiguous", ["parameters", "gradients"])
@over([c for c in CASES if c.name != "ESGD-callable"])
def test_non_contiguous(case, contiguous):
    """Memory layout changes nothing: a transposed parameter, or gradients of another layout."""
    plain, strided = Problem(), Problem()
    if contiguous == "parameters":
        strided.W1 = nn.Parameter(plain.W1.detach().clone().T.contiguous().T)
        assert not strided.W1.is_contiguous()
    first, second = case.make(plain.parameters()), case.make([strided.W1, strided.b1, strided.w2])
    for _ in range(4):
        one_step(first, plain.loss)
        second.zero_grad()
        if case.difference:
            second.probe(strided.loss)
            strided.loss().backward()
        else:
            second.probe(strided.loss()).backward()
        if contiguous == "gradients":
            strided.W1.grad = strided.W1.grad.T.contiguous().T
        second.step()
    torch.testing.assert_close([strided.W1, strided.b1, strided.w2], list(plain.parameters()))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@over(CASES)
def test_every_dtype_trains_and_keeps_its_dtype(case, dtype):
    problem = Problem(dtype)
    losses = train(case.make(problem.parameters()), problem.loss, 40 if case.diagonal else 8)
    assert all(p.dtype is dtype and bool(p.isfinite().all()) for p in problem.parameters())
    assert (losses[-1] > losses[0]) is case.maximize


@over(CASES)
def test_mixed_dtypes(case):
    """A float64 head on a bfloat16 middle on a float32 body, in one optimizer."""

    class Mixed(Problem):
        def __init__(self):
            super().__init__()
            self.b1 = nn.Parameter(self.b1.detach().bfloat16())
            self.w2 = nn.Parameter(self.w2.detach().double())

        def loss(self):
            out = torch.tanh(self.x @ self.W1 + self.b1).double() @ self.w2
            return (out - self.y).square().mean()

    problem = Mixed()
    optimizer = case.make(problem.parameters())
    losses = train(optimizer, problem.loss, 30 if case.diagonal else 8)
    assert [p.dtype for p in problem.parameters()] == [torch.float32, torch.bfloat16, torch.float64]
    assert (losses[-1] > losses[0]) is case.maximize
    if case.diagonal:
        kinds = [optimizer.state[p]["curvature"].dtype for p in problem.parameters()]
        assert kinds == [torch.float32, torch.float32, torch.float64]


def test_half_precision_survives_a_small_damping():
    """1/λ beyond float16's range is its largest number, not infinity: a zero gradient stays zero."""
    p = nn.Parameter(torch.zeros(2, dtype=torch.float16))
    optimizer = ESGD([p], lr=0.1, damping=1e-7)
    one_step(optimizer, lambda: (p * 0).float().sum())
    assert p.tolist() == [0, 0]


@over(OPTIMIZERS)
def test_sparse_gradients_are_refused(case):
    embedding = nn.Embedding(5, 3, sparse=True)
    optimizer = case.make(embedding.parameters())
    with pytest.raises(CurvatureError, match="sparse=False"):
        optimizer.probe(embedding(torch.tensor([1, 2])).square().sum())
    embedding(torch.tensor([1, 2])).square().sum().backward()
    with pytest.raises(CurvatureError, match=r"sparse gradients.*sparse=False"):
        optimizer.step()


@over(CASES)
def test_step_hooks_see_each_step(case):
    problem = Problem()
    optimizer = case.make(problem.parameters())
    calls = []
    hooks = [
        optimizer.register_step_pre_hook(lambda opt, args, kwargs: calls.append("own pre")),
        optimizer.register_step_post_hook(lambda opt, args, kwargs: calls.append("own post")),
        register_optimizer_step_pre_hook(lambda *_: calls.append("global pre")),
        register_optimizer_step_post_hook(lambda *_: calls.append("global post")),
    ]
    train(optimizer, problem.loss, 2)
    for hook in hooks:
        hook.remove()
    train(optimizer, problem.loss, 1)
    assert calls == ["global pre", "own pre", "own post", "global post"] * 2


@over(OPTIMIZERS)
def test_a_subclass_keeps_its_hooks_and_its_name(case):
    class Mine(case.cls):
        def step(self, closure=None):
            self.mine = getattr(self, "mine", 0) + 1
            return super().step(closure)

    problem = Problem()
    optimizer = Mine(problem.parameters())
    train(optimizer, problem.loss, 3)
    assert optimizer.mine == 3
    assert repr(optimizer).startswith("Mine (")


@over(OPTIMIZERS)
def test_profiler_names_the_step(case):
    problem = Problem()
    optimizer = case.make(problem.parameters())
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        train(optimizer, problem.loss, 2)
    counts = {event.key: event.count for event in profile.key_averages()}
    assert counts[f"Optimizer.step#{case.cls.__name__}.step"] == 2
    assert counts[f"Optimizer.zero_grad#{case.cls.__name__}.zero_grad"] == 2


@over(CASES)
def test_repr_tells_the_settings(case):
    text = repr(case.make(Problem().parameters()))
    assert text.startswith(f"{case.cls.__name__} (\nParameter Group 0\n")
    for key, value in case.options.items():
        assert f"    {key}: {'custom' if callable(value) else value}\n" in text


@over(DIAGONAL)
def test_state_is_two_copies_of_the_parameters_at_most(case):
    """At rest: the curvature, and the momentum where there is one; float32 for half precision."""
    problem = Problem()
    optimizer = case.make(problem.parameters())
    train(optimizer, problem.loss, 3)
    size = sum(p.numel() for p in problem.parameters())
    held = sum(t.numel() for s in optimizer.state.values() for t in s.values() if t.dim())
    assert held == size * (2 if case.options.get("momentum") else 1)
    assert curvature_of(optimizer, list(problem.parameters())).numel() == size


@over(CASES)
def test_the_same_run_gives_the_same_bits(case):
    runs = []
    for _ in range(2):
        problem = Problem()
        torch.randn(7)  # the global generator has no part in it
        train(case.make(problem.parameters()), problem.loss, 5)
        runs.append(problem.values())
    assert_same(*runs)


@over(CASES)
def test_the_global_generator_is_left_alone(case):
    problem = Problem()
    optimizer = case.make(problem.parameters())
    before = torch.get_rng_state()
    train(optimizer, problem.loss, 3)
    assert torch.equal(torch.get_rng_state(), before)
