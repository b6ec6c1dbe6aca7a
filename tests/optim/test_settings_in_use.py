"""What single settings do to a step: the damping, directions by group, weight decay."""

from __future__ import annotations

import pytest
import torch
from cases import DIAGONAL, Problem, one_step, over, train
from torch import nn

from esgd import ESGD, JacobiSGD, SaddleFreeNewton


@pytest.fixture
def problem():
    return Problem(torch.float64)


@over([c for c in DIAGONAL if c.name.endswith("-default")])
def test_a_damping_tensor_that_is_replaced_counts_at_once(case, problem):
    """Others may take the place in memory, and so the id, of one that is gone."""
    optimizer = case.make(problem.parameters(), lr=0.0)
    one_step(optimizer, problem.loss)
    generator = torch.Generator().manual_seed(0)
    for _ in range(50):
        optimizer.param_groups[0]["damping"] = None
        optimizer.param_groups[0]["damping"] = torch.rand((), generator=generator, dtype=torch.float64)
        one_step(optimizer, problem.loss)
        for p in problem.parameters():
            damped = optimizer.diagonal(p) + optimizer.param_groups[0]["damping"]
            torch.testing.assert_close(optimizer._scales[p], 1 / damped)


def test_the_damping_inside_jacobis_root_is_beside_its_square():
    h, damping, lr = torch.tensor([0.5, 2.0, -3.0], dtype=torch.float64), 0.3, 0.1
    w = nn.Parameter(torch.ones(3, dtype=torch.float64))
    optimizer = JacobiSGD([w], lr=lr, damping=damping, damping_mode="inside")
    optimizer.probe((h * w.square()).sum() / 2).backward()
    optimizer.step()
    torch.testing.assert_close(w.detach(), 1 - lr * h / (h.square() + damping).sqrt())


def test_each_group_of_saddle_free_newton_has_a_direction_of_its_own(problem):
    moved = {}
    for up in (False, True):
        other = Problem(torch.float64)
        groups = [{"params": [other.W1, other.b1]}, {"params": [other.w2], "maximize": up}]
        optimizer = SaddleFreeNewton(groups, lr=0.1)
        one_step(optimizer, other.loss)
        moved[up] = [a - b for a, b in zip(other.values(), problem.values(), strict=True)]
    for i, (a, b) in enumerate(zip(moved[False], moved[True], strict=True)):
        torch.testing.assert_close(b, -a if i == 2 else a)
        assert a.abs().max() > 1e-4


def test_weight_decay_goes_through_foreach(problem, monkeypatch):
    plain, used = torch._foreach_mul_, []
    monkeypatch.setattr(
        torch, "_foreach_mul_", lambda tensors, factor: used.append(factor) or plain(tensors, factor)
    )
    ends = []
    for foreach in (True, False):
        other = Problem(torch.float64)
        optimizer = ESGD(other.parameters(), lr=0.1, weight_decay=0.2, foreach=foreach, beta=None)
        train(optimizer, other.loss, 2)
        ends.append(other.values())
        assert (pytest.approx(0.98) in used) == foreach
        used.clear()
    for a, b in zip(*ends, strict=True):
        assert torch.equal(a, b)
