"""Data parallel on ``torch.distributed`` (gloo): D is that of one process on DistributedDataParallel's objective.

Starting processes costs more than all they do, so each world is started once and runs the whole list of jobs.

Documented limits, not tested here: ``static_graph=True`` gives wrong gradients when the loss of the wrapper is
probed, and torch offers no reliable way to see it; ``Join`` is not supported, since the all-reduce of ``step()``
would wait for the rank that has left; FSDP's sharded parameters are refused (``test_groups.py``).
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
    net, x, y = problem(spare=how in ("unused", "split"))
    wrapped = DistributedDataParallel(net, find_unused_parameters=how in ("unused", "split"))
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
        elif how == "split":  # rank 0 reaches the spare head, the others reach the head
            optimizer.probe(mean_square(wrapped, x[part], y[part], spare=rank == 0)).backward()
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


def shards(rank, world, cls, how, options):
    """Each rank holds parameters of another size: what both say, and whether the process survives it."""
    net = nn.Linear(3 + rank, 1)
    optimizer = CLASSES[cls](net.parameters(), **options)
    try:
        optimizer.probe(net(torch.ones(2, 3 + rank)).square().mean()).backward()
        optimizer.step()
    except Exception as error:
        return {"says": f"{type(error).__name__}: {error}"}
    return {"says": "nothing"}


RATE = {"lr": 0.05}
REFRESH = {"lr": 0.05, "update_every": 2, "warmup_probes": 2}
STILL = {"lr": 0.0, "warmup_probes": 2}
FOLLOW = [
    ("ESGD", "plain"),
    ("JacobiSGD", "plain"),
    ("SaddleFreeNewton", "plain"),
    ("ESGD", "no_sync"),
    ("ESGD", "unused"),
    ("ESGD", "split"),
    ("ESGD", "unequal"),
    ("ESGD", "function"),
]
JOBS = {
    **{f"{c} {h}": (steps, c, h, RATE if c == "SaddleFreeNewton" else REFRESH) for c, h in FOLLOW},
    "still": (steps, "ESGD", "plain", STILL),
    "weight": (steps, "ESGD", "weight", STILL),
    "alone": (steps, "ESGD", "plain", {**STILL, "process_group": None}),
    "rejected": (rejected, "ESGD", "plain", {"lr": 0.01, "update_every": 1, "warmup_probes": 1}),
    **{f"shards {c}": (shards, c, "plain", RATE) for c in CLASSES},
    "counts": (count_reductions, "ESGD", "plain", {"lr": 0.0, "update_every": 2}),
}


def _entry(rank, world, folder):
    results = {}
    try:
        dist.init_process_group(
            "gloo",
            init_method=f"file://{folder}/store",
            rank=rank,
            world_size=world,
            timeout=datetime.timedelta(seconds=60),
        )
        for name, (function, *arguments) in JOBS.items():
            try:
                results[name] = function(rank, world, *arguments)
            except Exception:
                results[name] = {"error": traceback.format_exc()}
            dist.barrier()
        dist.destroy_process_group()
    finally:
        torch.save(results, f"{folder}/rank{rank}.pt")


@pytest.fixture(scope="module", params=WORLDS)
def world(request, tmp_path_factory):
    """The number of ranks, and what each of them returned for each job."""
    folder = tmp_path_factory.mktemp("ranks")
    mp.spawn(_entry, (request.param, str(folder)), nprocs=request.param)
    ranks = [torch.load(f"{folder}/rank{rank}.pt") for rank in range(request.param)]

    def results(job):
        found = [rank[job] for rank in ranks]
        for result in found:
            assert "error" not in result, result["error"]
        return found

    return request.param, results


# -- the comparisons ---------------------------------------------------------------------------------------------


def objective(net, x, y, world, how):
    """What DistributedDataParallel minimises: the mean over ranks of the means over their rows."""
    parts = (rows(k, world, how in ("weight", "unequal")) for k in range(world))
    losses = [mean_square(net, x[r], y[r], spare=how == "split" and k == 0) for k, r in enumerate(parts)]
    return sum(losses) / world


@pytest.mark.parametrize(("cls", "how"), FOLLOW)
def test_ranks_follow_one_process_on_the_whole_objective(cls, how, world):
    world, results_of = world
    results, options = results_of(f"{cls} {how}"), JOBS[f"{cls} {how}"][-1]
    for other in results[1:]:  # bit for bit on all ranks
        assert_same(results[0]["params"], other["params"])
        assert_same(results[0]["curvature"], other["curvature"])
    net, x, y = problem(spare=how in ("unused", "split"))
    optimizer = CLASSES[cls](net.parameters(), **options)
    for _ in range(3):
        optimizer.zero_grad()
        optimizer.probe(objective(net, x, y, world, how)).backward()
        optimizer.step()
    torch.testing.assert_close(results[0]["params"], [p.detach() for p in net.parameters()], rtol=1e-8, atol=1e-10)
    if cls != "SaddleFreeNewton":
        expected = [s["curvature"] for s in optimizer.state.values()]
        torch.testing.assert_close(results[0]["curvature"], expected, rtol=1e-8, atol=1e-10)


def test_the_mean_comes_before_the_square(world):
    """Against a dense Hessian: Σ (mean of Hv)²; the mean of squares, or a v a rank, would be another number."""
    world, results_of = world
    results = results_of("still")
    net, x, y = problem(spare=False)
    params = list(net.parameters())
    hessian = dense_hessian(lambda: objective(net, x, y, world, "plain"), params)
    case = type("Case", (), {"cls": ESGD})
    expected = expected_sum(case, hessian, params, count=2)
    torch.testing.assert_close(flatten(results[0]["curvature"]), expected, rtol=1e-5, atol=1e-8)


def test_weights_give_the_mean_over_examples(world):
    _, results_of = world
    results = results_of("weight")
    net, x, y = problem(spare=False)
    optimizer = ESGD(net.parameters(), lr=0.0, warmup_probes=2)
    optimizer.probe(mean_square(net, x, y)).backward()
    optimizer.step()
    expected = curvature_of(optimizer, list(net.parameters()))
    torch.testing.assert_close(flatten(results[0]["curvature"]), expected, rtol=1e-8, atol=1e-10)


def test_without_a_group_each_rank_is_by_itself(world):
    world, results_of = world
    results = results_of("alone")
    for rank, result in enumerate(results):
        net, x, y = problem(spare=False)
        optimizer = ESGD(net.parameters(), lr=0.0, warmup_probes=2)
        optimizer.probe(mean_square(net, x[rows(rank, world)], y[rows(rank, world)])).backward()
        optimizer.step()
        expected = curvature_of(optimizer, list(net.parameters()))
        torch.testing.assert_close(flatten(result["curvature"]), expected, rtol=1e-8, atol=1e-10)


def test_all_ranks_reject_alike(world):
    _, results_of = world
    results = results_of("rejected")
    for result in results:
        assert result["decisions"] == [(1, 0, True), (2, 1, True), (3, 1, True)]
        assert_same(results[0]["params"], result["params"])


def test_one_all_reduce_a_refresh_and_none_between(world):
    """At the first step another one: whether all ranks hold the same parameters."""
    _, results_of = world
    assert all(result["counts"] == [2, 0, 1, 0] for result in results_of("counts"))


@pytest.mark.parametrize("cls", list(CLASSES))
def test_shards_are_refused_on_every_rank(cls, world):
    _, results_of = world
    for result in results_of(f"shards {cls}"):
        assert result["says"].startswith("CurvatureError: the ranks hold different parameters, from 4 to")


def test_a_copy_of_the_optimizer_keeps_its_choice_of_group():
    optimizer = ESGD(Problem().parameters(), lr=0.1, process_group=None)
    assert copy.deepcopy(optimizer)._process_group is None
