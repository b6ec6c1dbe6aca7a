"""On a CUDA device: no step waits for it, float16 with a scaler, and steps in captured graphs."""

import copy

import pytest
import torch
from cases import CASES, DIAGONAL, OPTIMIZERS, Problem, assert_same, over, train
from torch import nn

from esgd.errors import ConfigError
from esgd.optim import CapturedStep

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here"),
]


def on_cuda(dtype=torch.float32):
    problem = Problem(dtype).cuda()
    problem.x, problem.y = problem.x.cuda(), problem.y.cuda()
    return problem


@over([c for c in CASES if not c.difference and c.name != "ESGD-callable"])
def test_trains(case):
    problem = on_cuda()
    losses = train(case.make(problem.parameters()), problem.loss, 40 if case.diagonal else 8)
    assert (losses[-1] > losses[0]) is case.maximize


@over([c for c in DIAGONAL if not c.difference and c.name not in ("ESGD-callable", "JacobiSGD-callable")])
def test_no_step_waits_for_the_device(case):
    """Neither a plain step nor one with a probe, once warm; the numbers of the host come back an interval later."""
    problem = on_cuda()
    optimizer = case.make(problem.parameters())
    train(optimizer, problem.loss, 3)
    torch.cuda.synchronize()
    previous = torch.cuda.get_sync_debug_mode()
    torch.cuda.set_sync_debug_mode("error")
    try:
        for _ in range(25):
            optimizer.zero_grad()
            optimizer.probe(problem.loss()).backward()
            optimizer.step()
    finally:
        torch.cuda.set_sync_debug_mode(previous)


@over([c for c in DIAGONAL if not c.difference])
def test_foreach_equals_the_loop_to_the_bit(case):
    loop, fused = on_cuda(), on_cuda()
    train(case.make(loop.parameters(), foreach=False), loop.loss, 9)
    train(case.make(fused.parameters(), foreach=True), fused.loss, 9)
    assert_same(loop.values(), fused.values())


@over([c for c in OPTIMIZERS if c.diagonal])
def test_float16_autocast_with_a_scaler(case):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Linear(16, 1)).cuda()
    x = torch.randn(64, 6, device="cuda")
    y = x.square().sum(1, keepdim=True) / 6
    optimizer = case.make(net.parameters(), lr=0.05 if case.name.startswith("ESGD") else 0.01, damping=1e-2)
    scaler = torch.amp.GradScaler("cuda", init_scale=2.0**30)  # the first steps overflow and are skipped
    losses, steps = [], []
    for _ in range(150):
        optimizer.zero_grad()
        with torch.autocast("cuda", dtype=torch.float16):
            loss = nn.functional.mse_loss(net(x).float(), y)
        loss = optimizer.probe(loss, loss_scale=1024.0)
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        losses.append(float(loss.detach()))
        steps.append(optimizer.param_groups[0]["step"])
    assert steps[-1] <= 150
    assert losses[-1] < 0.6 * losses[0]


@over([c for c in OPTIMIZERS if c.diagonal])
def test_a_state_from_the_cpu_continues_here(case):
    problem = Problem()
    optimizer = case.make(problem.parameters())
    train(optimizer, problem.loss, 3)
    other = copy.deepcopy(problem).cuda()
    other.x, other.y = other.x.cuda(), other.y.cuda()
    fresh = case.make(other.parameters())
    fresh.load_state_dict(optimizer.state_dict())
    train(optimizer, problem.loss, 5)  # no product is due, so both use the same D
    train(fresh, other.loss, 5)
    torch.testing.assert_close([p.cpu() for p in other.values()], problem.values(), rtol=1e-4, atol=1e-5)


CAPTURED = [c for c in DIAGONAL if not c.difference and c.name != "JacobiSGD-callable"]


def loop(case, steps, captured, **more):
    """A run on static inputs, the batch and the rate changing; the problem, its optimizer, how often Python ran."""
    problem = on_cuda()
    batch = problem.x.clone(), problem.y.clone()
    lr = torch.tensor(0.01, device="cuda")
    options = {"lr": lr, "capturable": True, "update_every": 3, **more}
    if isinstance(case.options.get("damping"), torch.Tensor):
        options["damping"] = case.options["damping"].cuda()
    optimizer, calls = case.make(problem.parameters(), **options), []

    def one_step():
        calls.append(1)
        optimizer.zero_grad()
        loss = optimizer.probe(problem.loss())
        loss.backward()
        optimizer.step()
        return loss

    step = CapturedStep(optimizer, one_step) if captured else one_step
    losses = []
    for i in range(steps):
        problem.x.copy_(batch[0].roll(i, 0))
        problem.y.copy_(batch[1].roll(2 * i, 0))
        lr.fill_(0.01 / (1 + i % 5))
        losses.append(step().detach())
    return problem, optimizer, losses, len(calls)


@over(CAPTURED)
def test_replayed_steps_are_the_steps(case):
    more = {"update_every": "auto"} if case.name.endswith("auto") else {}
    eager, first, losses, ran = loop(case, 40, captured=False, **more)
    captured, second, again, captures = loop(case, 40, captured=True, **more)
    torch.testing.assert_close(captured.values(), eager.values())
    torch.testing.assert_close(again, losses)
    torch.testing.assert_close([p.grad for p in captured.parameters()], [p.grad for p in eager.parameters()])
    assert first.num_products == second.num_products
    assert ran == 40
    assert captures <= 6


@over([c for c in OPTIMIZERS if c.diagonal])
def test_replays_do_not_wait_for_the_device(case):
    problem = on_cuda()
    optimizer = case.make(
        problem.parameters(), lr=torch.tensor(0.01, device="cuda"), capturable=True, update_every=3
    )

    def one_step():
        optimizer.zero_grad()
        optimizer.probe(problem.loss()).backward()
        optimizer.step()

    step = CapturedStep(optimizer, one_step)
    for _ in range(12):
        step()
    torch.cuda.synchronize()
    previous = torch.cuda.get_sync_debug_mode()
    torch.cuda.set_sync_debug_mode("error")
    try:
        for _ in range(12):
            step()
    finally:
        torch.cuda.set_sync_debug_mode(previous)


@over([c for c in OPTIMIZERS if c.diagonal])
def test_the_state_is_that_of_the_usual_run(case):
    _, usual, _, _ = loop(case, 30, captured=False, momentum=0.9)
    _, optimizer, _, _ = loop(case, 30, captured=True, momentum=0.9)
    left, right = usual.state_dict(), optimizer.state_dict()
    torch.testing.assert_close(right["state"], left["state"])
    assert right["param_groups"] == left["param_groups"]


@over([c for c in OPTIMIZERS if c.diagonal])
def test_a_step_that_is_not_made_for_it_is_not_captured(case):
    problem = on_cuda()
    optimizer = case.make(problem.parameters())
    train(optimizer, problem.loss, 3)
    optimizer.zero_grad()

    def capture():
        with torch.cuda.graph(torch.cuda.CUDAGraph()):
            optimizer.probe(problem.loss()).backward()
            optimizer.step()

    with pytest.raises(ConfigError, match="capturable=True"):
        capture()
