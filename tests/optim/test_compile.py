"""``torch.compile`` around the step: the same result, compiled a few times and then no more."""

import pytest
import torch
from cases import DIAGONAL, OPTIMIZERS, Problem, assert_same, over, train
from torch._dynamo.utils import counters

MORE = [c for c in DIAGONAL if c.name in ("ESGD-every", "ESGD-momentum", "JacobiSGD-ema", "ESGD-auto")]
BACKENDS = ["eager", "aot_eager", pytest.param("inductor", marks=pytest.mark.slow)]


@pytest.fixture(autouse=True)
def _fresh_dynamo():
    torch._dynamo.reset()
    counters.clear()
    yield
    torch._dynamo.reset()


def compiled_steps(optimizer, problem, steps, backend):
    """The usual loop with a compiled step; the number of graphs compiled so far, after each."""
    step = torch.compile(optimizer.step, backend=backend)
    graphs = []
    for _ in range(steps):
        optimizer.zero_grad()
        optimizer.probe(problem.loss()).backward()
        step()
        graphs.append(counters["stats"]["unique_graphs"])
    return graphs


@pytest.mark.parametrize("backend", BACKENDS)
@over([*OPTIMIZERS, *MORE])
def test_a_compiled_step_equals_the_eager_one(case, backend):
    eager, compiled = Problem(), Problem()
    first, second = case.make(eager.parameters()), case.make(compiled.parameters())
    train(first, eager.loss, 28)
    graphs = compiled_steps(second, compiled, 28, backend)
    if backend == "inductor":
        torch.testing.assert_close(compiled.values(), eager.values(), rtol=1e-4, atol=1e-5)
    else:
        assert_same(compiled.values(), eager.values())
    assert graphs[-1] == graphs[22]  # the second refresh, at step 20, was the last that could be new
    assert graphs[-1] <= 12
    assert not counters["recompile_limit"]


def test_a_compiled_step_follows_the_rate():
    """A Tensor rate changes without another compilation; a number that changes costs a few, not one a step."""
    problem, twin = Problem(), Problem()
    lr = torch.tensor(0.01)
    first = DIAGONAL[0].make(problem.parameters(), lr=lr)
    second = DIAGONAL[0].make(twin.parameters(), lr=lr.clone())
    step = torch.compile(second.step, backend="eager")
    graphs = []
    for i in range(12):
        for optimizer, p, do in ((first, problem, first.step), (second, twin, step)):
            optimizer.param_groups[0]["lr"].fill_(0.01 / (i + 1))
            optimizer.zero_grad()
            optimizer.probe(p.loss()).backward()
            do()
        graphs.append(counters["stats"]["unique_graphs"])
    assert graphs[-1] == graphs[3]
    assert_same(problem.values(), twin.values())


def test_the_loss_may_come_from_a_compiled_function():
    """Differences see only values, so everything but the optimizer may be compiled."""
    problem, twin = Problem(), Problem()
    options = {"curvature": "difference", "update_every": 3}
    first, second = (DIAGONAL[0].make(p.parameters(), **options) for p in (problem, twin))
    train(first, problem.loss, 8)
    train(second, torch.compile(twin.loss, backend="eager"), 8)
    torch.testing.assert_close(problem.values(), twin.values(), rtol=1e-4, atol=1e-5)
