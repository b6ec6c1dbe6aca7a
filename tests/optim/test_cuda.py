"""On a CUDA device: no step waits for it, float16 with a scaler, and the plain step in a captured graph."""

import copy

import pytest
import torch
from cases import CASES, DIAGONAL, OPTIMIZERS, Problem, assert_same, over, train
from torch import nn

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


@over([c for c in OPTIMIZERS if c.diagonal])
def test_the_plain_step_in_a_captured_graph(case):
    """Forward, backward and update between two products, replayed, equal the same steps one by one."""
    eager, captured = on_cuda(), on_cuda()
    first, second = case.make(eager.parameters()), case.make(captured.parameters())
    train(first, eager.loss, 3)
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        train(second, captured.loss, 3)
    torch.cuda.current_stream().wait_stream(side)
    assert_same(eager.values(), captured.values())
    graph = torch.cuda.CUDAGraph()
    second.zero_grad(set_to_none=True)
    with torch.cuda.graph(graph):
        second.probe(captured.loss()).backward()
        second.step()
    for _ in range(4):
        graph.replay()
    train(first, eager.loss, 4)
    torch.testing.assert_close(captured.values(), eager.values())
