"""Data parallel on ``torch.distributed`` (gloo): D is that of one process on DistributedDataParallel's objective.

Documented limits, not tested here: ``static_graph=True`` gives wrong gradients when the loss of the wrapper is probed,
and torch offers no reliable way to see it; ``Join`` is not supported, since the all-reduce of ``step()`` would wait
for the rank that has left; FSDP's sharded parameters are refused (``test_groups.py``).
"""

import copy
import datetime
import traceback

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from cases import Problem, assert_same, curvature_of, dense_hessian, expected_sum, flatten
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from esgd import ESGD, JacobiSGD, SaddleFreeNewton

WORLDS = [2, pytest.param(4, marks=pytest.mark.slow)]
CLASSES = {"ESGD": ESGD, "JacobiSGD": JacobiSGD, "SaddleFreeNewton": SaddleFreeNewton}


class Net(nn.Module):
    """Two branches, so that one can stay unused."""

    def __init__(self):
        super().__init__()
        self.body, self.head, self.spare = nn.Linear(3, 4), nn.Linear(4, 1), nn.Linear(4, 1)

    def forward(self, x, spare=False):
        hidden = torch.tanh(self.body(x))
        return (self.spare if spare else self.head)(hidden).squeeze(-1)


def problem(spare=True):
    torch.manual_seed(0)
    torch.set_num_threads(1)
    net = Net().double()
    if not spare:
        del net.spare
    x, y = torch.randn(24, 3).double(), torch.randn(24).double()
    return net, x, y


def rows(rank, world, unequal=False):
    if unequal:  # 24 = 16 + 8, or 12 + 6 + 4 + 2
        ends = {2: [0, 16, 24], 4: [0, 12, 18, 22, 24]}[world]
        return slice(ends[rank], ends[rank + 1])
    return slice(rank * 24 // world, (rank + 1) * 24 // world)


def mean_square(net, x, y, **options):
    return (net(x, **options) - y).square().mean()


# -- what each rank does; the returned dictionary is compared by the parent --------------------------------------


def steps(rank, world, cls, how, options):
    net, x, y = problem(spare=how == "unused")
    wrapped = DistributedDataParallel(net, find_unused_parameters=how == "unused")
    optimizer = CLASSES[cls](net.parameters(), **options)
    part = rows(rank, world, how in ("weight", "unequal"))
    for _ in range(3):
        optimizer.zero_grad()
        if how == "no_sync":
            middle = (part.start + part.stop) // 2
            with wrapped.no_sync():
                first = slice(part.start, middle)
                optimizer.probe(mean_square(wrapped, x[first], y[first]) / 2).backward()
            part_two = slice(middle, part.stop)
            optimizer.probe(mean_square(wrapped, x[part_two], y[part_two]) / 2).backward()
        else:
            weight = float(part.stop - part.start) if how == "weight" else 1.0
            loss = mean_square(wrapped, x[part], y[part])
            if cls == "SaddleFreeNewton":
                optimizer.probe(loss).backward()
            elif how == "function":
                optimizer.probe(lambda: mean_square(net, x[part], y[part]), weight=weight)
                loss.backward()
            else:
                optimizer.probe(loss, weight=weight).backward()
        optimizer.step()
    curvature = [] if cls == "SaddleFreeNewton" else [s["curvature"] for s in optimizer.state.values()]
    return {"params": [p.detach() for p in net.parameters()], "curvature": curvature}


def rejected(rank, world, cls, how, options):
    """One rank's product overflows: all ranks must leave the mean out alike."""
    net, x, y = problem(spare=False)
    optimizer = CLASSES[cls](net.parameters(), **options)
    part = rows(rank, world)
    decisions = []
    for step in range(3):
        optimizer.zero_grad()
        loss = mean_square(net, x[part], y[part])
        spike = net.body.weight.sum() - net.body.weight.detach().sum()
        optimizer.probe(loss + (float("inf") if rank == 1 and step == 1 else 0.0) * spike**2)
        loss = mean_square(net, x[part], y[part])
        loss.backward()
        for p in net.parameters():
            dist.all_reduce(p.grad)
        optimizer.step()
        decisions.append((optimizer.num_products, optimizer.num_rejected, optimizer.curvature_due))
    return {"params": [p.detach() for p in net.parameters()], "decisions": decisions}


def count_reductions(rank, world, cls, how, options):
    """The number of all-reduces that a step makes, and of vectors it takes."""
    net, x, y = problem(spare=False)
    optimizer = CLASSES[cls](net.parameters(), **options)
    calls = []
    original = dist.all_reduce
    dist.all_reduce = lambda *args, **kwargs: calls.append(1) or original(*args, **kwargs)
    counts = []
    for _ in range(4):
        calls.clear()
        optimizer.zero_grad()
        optimizer.probe(mean_square(net, x[rows(rank, world)], y[rows(rank, world)])).backward()
        optimizer.step()
        counts.append(len(calls))
    dist.all_reduce = original
    return {"params": [p.detach() for p in net.parameters()], "counts": counts}


def _entry(rank, world, folder, function, arguments):
    try:
        dist.init_process_group(
            "gloo",
            init_method=f"file://{folder}/store",
            rank=rank,
            world_size=world,
            timeout=datetime.timedelta(seconds=30),
        )
        result = function(rank, world, *arguments)
        dist.barrier()
        dist.destroy_process_group()
    except Exception:
        result = {"error": traceback.format_exc()}
    torch.save(result, f"{folder}/rank{rank}.pt")


def on_ranks(world, folder, function, *arguments):
    mp.spawn(_entry, (world, str(folder), function, arguments), nprocs=world)
    results = [torch.load(f"{folder}/rank{rank}.pt") for rank in range(world)]
    for result in results:
        assert "error" not in result, result["error"]
    return results


# -- the comparisons ---------------------------------------------------------------------------------------------


def objective(net, x, y, world, how):
    """What DistributedDataParallel minimises: the mean over ranks of the means over their rows."""
    losses = [
        mean_square(net, x[r], y[r]) for r in (rows(k, world, how in ("weight", "unequal")) for k in range(world))
    ]
    return sum(losses) / world


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize(
    ("cls", "how"),
    [
        ("ESGD", "plain"),
        ("JacobiSGD", "plain"),
        ("SaddleFreeNewton", "plain"),
        ("ESGD", "no_sync"),
        ("ESGD", "unused"),
        ("ESGD", "unequal"),
        ("ESGD", "function"),
    ],
)
def test_ranks_follow_one_process_on_the_whole_objective(cls, how, world, tmp_path):
    options = {"lr": 0.05} if cls == "SaddleFreeNewton" else {"lr": 0.05, "update_every": 2, "warmup_probes": 2}
    results = on_ranks(world, tmp_path, steps, cls, how, options)
    for other in results[1:]:  # bit for bit on all ranks
        assert_same(results[0]["params"], other["params"])
        assert_same(results[0]["curvature"], other["curvature"])
    net, x, y = problem(spare=how == "unused")
    optimizer = CLASSES[cls](net.parameters(), **options)
    for _ in range(3):
        optimizer.zero_grad()
        optimizer.probe(objective(net, x, y, world, how)).backward()
        optimizer.step()
    torch.testing.assert_close(results[0]["params"], [p.detach() for p in net.parameters()], rtol=1e-8, atol=1e-10)
    if cls != "SaddleFreeNewton":
        expected = [s["curvature"] for s in optimizer.state.values()]
        torch.testing.assert_close(results[0]["curvature"], expected, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("world", WORLDS)
def test_the_mean_comes_before_the_square(world, tmp_path):
    """Against a dense Hessian: Σ (mean of Hv)²; the mean of squares, or a v for each rank, would be another number."""
    results = on_ranks(world, tmp_path, steps, "ESGD", "plain", {"lr": 0.0, "warmup_probes": 2})
    net, x, y = problem(spare=False)
    params = list(net.parameters())
    hessian = dense_hessian(lambda: objective(net, x, y, world, "plain"), params)
    case = type("Case", (), {"cls": ESGD})
    expected = expected_sum(case, hessian, params, count=2)
    torch.testing.assert_close(flatten(results[0]["curvature"]), expected, rtol=1e-5, atol=1e-8)


def test_weights_give_the_mean_over_examples(tmp_path):
    results = on_ranks(2, tmp_path, steps, "ESGD", "weight", {"lr": 0.0, "warmup_probes": 2})
    net, x, y = problem(spare=False)
    optimizer = ESGD(net.parameters(), lr=0.0, warmup_probes=2)
    optimizer.probe(mean_square(net, x, y)).backward()
    optimizer.step()
    expected = curvature_of(optimizer, list(net.parameters()))
    torch.testing.assert_close(flatten(results[0]["curvature"]), expected, rtol=1e-8, atol=1e-10)


def test_without_a_group_each_rank_is_by_itself(tmp_path):
    options = {"lr": 0.0, "warmup_probes": 2, "process_group": None}
    results = on_ranks(2, tmp_path, steps, "ESGD", "plain", options)
    for rank, result in enumerate(results):
        net, x, y = problem(spare=False)
        optimizer = ESGD(net.parameters(), lr=0.0, warmup_probes=2)
        optimizer.probe(mean_square(net, x[rows(rank, 2)], y[rows(rank, 2)])).backward()
        optimizer.step()
        expected = curvature_of(optimizer, list(net.parameters()))
        torch.testing.assert_close(flatten(result["curvature"]), expected, rtol=1e-8, atol=1e-10)


def test_all_ranks_reject_alike(tmp_path):
    options = {"lr": 0.01, "update_every": 1, "warmup_probes": 1}
    results = on_ranks(2, tmp_path, rejected, "ESGD", "plain", options)
    assert results[0]["decisions"] == results[1]["decisions"] == [(1, 0, True), (2, 1, True), (3, 1, True)]
    assert_same(results[0]["params"], results[1]["params"])


def test_one_all_reduce_a_refresh_and_none_between(tmp_path):
    results = on_ranks(2, tmp_path, count_reductions, "ESGD", "plain", {"lr": 0.0, "update_every": 2})
    assert results[0]["counts"] == results[1]["counts"] == [1, 0, 1, 0]


def test_a_copy_of_the_optimizer_keeps_its_choice_of_group():
    optimizer = ESGD(Problem().parameters(), lr=0.1, process_group=None)
    assert copy.deepcopy(optimizer)._process_group is None
