"""States that go on under other circumstances: where the host reads late, and in another precision."""

from __future__ import annotations

import copy
import itertools
import pickle

import pytest
import torch
from cases import DIAGONAL, DTYPES, Problem, assert_same, over, train

from esgd import ESGD


@pytest.mark.parametrize("how", ["state", "deepcopy", "pickle"])
@over([c for c in DIAGONAL if c.name.endswith("-auto")])
def test_an_interval_that_the_host_reads_late_continues_to_the_bit(case, how):
    """As on a GPU: what the last product said is not read before the next one."""
    problem = Problem(torch.float64)
    options = {"lr": torch.tensor(0.01, dtype=torch.float64), "capturable": True}
    optimizer = case.make(problem.parameters(), **options)
    train(optimizer, problem.loss, 500)
    if how == "state":
        other = copy.deepcopy(problem)
        resumed = case.make(other.parameters(), **options)
        resumed.load_state_dict(pickle.loads(pickle.dumps(optimizer.state_dict())))
    elif how == "deepcopy":
        other, resumed = copy.deepcopy((problem, optimizer))
    else:
        other, resumed = pickle.loads(pickle.dumps((problem, optimizer)))
    for _ in range(8):
        for o, p in ((optimizer, problem), (resumed, other)):
            train(o, p.loss, 20)
        assert resumed.param_groups[0]["next_probe"] == optimizer.param_groups[0]["next_probe"]
    assert optimizer.param_groups[0]["interval"] > 20
    assert_same(problem.values(), other.values())


@pytest.mark.parametrize("dtypes", [*itertools.permutations(DTYPES, 2)], ids=lambda pair: f"{pair[0]} to {pair[1]}")
@over([c for c in DIAGONAL if c.name.endswith("-default")])
def test_a_state_goes_on_in_another_precision(case, dtypes):
    before, after = (Problem(dtype) for dtype in dtypes)
    optimizer = case.make(before.parameters(), lr=0.02)
    train(optimizer, before.loss, 1)
    other = case.make(after.parameters(), lr=0.02, update_every=1)
    other.load_state_dict(optimizer.state_dict())
    for group in other.param_groups:
        group["next_probe"], group["update_every"] = group["step"], 1
    losses = train(other, after.loss, 5)
    assert other.num_products == 15
    assert losses[-1] < losses[0]


def test_what_was_rejected_before_a_state_was_saved_is_not_counted_again():
    problem = Problem(torch.float64)

    def probe(params, index):
        return [torch.full_like(p, float("inf") if index == 1 else 1.0) for p in params]

    options = {"probe": probe, "warmup_probes": 1, "update_every": 2, "capturable": True}
    optimizer = ESGD(problem.parameters(), lr=torch.tensor(0.01), **options)
    train(optimizer, problem.loss, 3)
    resumed = ESGD(problem.parameters(), lr=torch.tensor(0.01), **options)
    resumed.load_state_dict(optimizer.state_dict())
    train(resumed, problem.loss, 3)
    assert (optimizer.num_rejected, resumed.num_rejected) == (1, 0)
