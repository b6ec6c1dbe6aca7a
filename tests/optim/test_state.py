"""State that outlives the object: state dicts, copies, pickles; continuing equals never having stopped."""

import copy
import io
import pickle

import pytest
import torch
from cases import (
    CASES,
    DIAGONAL,
    DTYPES,
    OPTIMIZERS,
    Problem,
    alternating_probe,
    assert_same,
    one_step,
    over,
    since_torch_2_6,
    train,
)
from torch import nn
from torch.distributed.checkpoint.state_dict import get_optimizer_state_dict, set_optimizer_state_dict

from esgd import ESGD, JacobiSGD
from esgd.errors import ConfigError, CurvatureError


def tensors_of(optimizer):
    return [
        value
        for group in optimizer.param_groups
        for p in group["params"]
        for _, value in sorted(optimizer.state.get(p, {}).items())
    ]


def clock_of(optimizer):
    return [
        {k: v for k, v in g.items() if k not in ("params", "param_names", "lr", "damping")}
        for g in optimizer.param_groups
    ]


def assert_continues_alike(first, second, problems, steps=7):
    """Two optimizers on two copies of a problem take the same further steps, to the bit."""
    for _ in range(steps):
        a, b = one_step(first, problems[0].loss), one_step(second, problems[1].loss)
        assert a == b
    assert_same(problems[0].values(), problems[1].values())
    assert_same(tensors_of(first), tensors_of(second))
    assert clock_of(first) == clock_of(second)


def save_and_load(state_dict, *, weights_only=True):
    buffer = io.BytesIO()
    torch.save(state_dict, buffer)
    buffer.seek(0)
    return torch.load(buffer, weights_only=weights_only)


@pytest.mark.parametrize("after", [0, 1, 4])
@over(CASES)
def test_a_loaded_state_continues_to_the_bit(case, after):
    problem = Problem()
    optimizer = case.make(problem.parameters())
    train(optimizer, problem.loss, after)
    other = copy.deepcopy(problem)
    fresh = case.make(other.parameters(), seed=99) if case.diagonal else case.make(other.parameters())
    fresh.load_state_dict(save_and_load(optimizer.state_dict()))
    assert_same(tensors_of(optimizer), tensors_of(fresh))
    assert_continues_alike(optimizer, fresh, (problem, other))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@over([c for c in DIAGONAL if c.name in ("ESGD-auto", "ESGD-momentum", "JacobiSGD-ema", "ESGD-everything")])
def test_every_dtype_continues_to_the_bit(case, dtype):
    problem = Problem(dtype)
    optimizer = case.make(problem.parameters())
    train(optimizer, problem.loss, 3)
    other = copy.deepcopy(problem)
    fresh = case.make(other.parameters())
    fresh.load_state_dict(save_and_load(optimizer.state_dict()))
    assert_continues_alike(optimizer, fresh, (problem, other))


@over(CASES)
def test_state_dict_is_deterministic(case):
    """torch's ``test_state_dict_deterministic``, over other state; and what is loaded is never written to."""
    problem = Problem()
    optimizer = case.make(problem.parameters())
    train(optimizer, problem.loss, 3)
    saved = copy.deepcopy(optimizer.state_dict())
    start = copy.deepcopy(problem)
    train(optimizer, problem.loss, 3)
    other = copy.deepcopy(start)
    second = case.make(other.parameters())
    train(second, other.loss, 2)
    with torch.no_grad():
        for p, q in zip(other.parameters(), start.parameters(), strict=True):
            p.copy_(q)
    frozen = copy.deepcopy(saved)
    second.load_state_dict(saved)
    train(second, other.loss, 3)
    assert_same(problem.values(), other.values())
    assert_same(
        [t for s in saved["state"].values() for t in s.values()],
        [t for s in frozen["state"].values() for t in s.values()],
    )


@over(CASES)
def test_deepcopy_and_pickle_continue_to_the_bit(case):
    problem = Problem()
    optimizer = case.make(problem.parameters())
    train(optimizer, problem.loss, 3)
    together = copy.deepcopy((problem, optimizer))  # the copy holds the copied parameters
    thawed = pickle.loads(pickle.dumps((problem, optimizer)))
    for other, second in (together, thawed):
        assert {k for k in vars(optimizer) if not k.startswith("_")} == {
            k for k in vars(second) if not k.startswith("_")
        }
        assert second.param_groups[0]["params"][0] is other.W1
        assert repr(second) == repr(optimizer)
        twin_problem, twin = copy.deepcopy((problem, optimizer))
        assert_continues_alike(twin, second, (twin_problem, other))


@over(OPTIMIZERS)
def test_deepcopy_between_probe_and_step_asks_for_a_new_probe(case):
    problem = Problem()
    optimizer = case.make(problem.parameters())
    optimizer.probe(problem.loss()).backward()
    other, second = copy.deepcopy((problem, optimizer))
    other.W1.grad = torch.ones_like(other.W1)
    with pytest.raises(CurvatureError, match="has seen no loss"):
        second.step()
    optimizer.step()


@over(DIAGONAL)
def test_an_older_state_dict_lacks_settings_that_came_later(case):
    """torch's ``test_can_load_older_state_dict``: every absent key takes the value the optimizer was made with."""
    problem = Problem()
    optimizer = case.make(problem.parameters())
    train(optimizer, problem.loss, 4)
    saved = optimizer.state_dict()
    later = {
        k for k in saved["param_groups"][0] if k not in ("params", "step", "next_probe", "interval", "probe_index")
    }
    for group in saved["param_groups"]:
        for key in later:
            del group[key]
    other = copy.deepcopy(problem)
    fresh = case.make(other.parameters())
    fresh.load_state_dict(saved)
    assert_continues_alike(optimizer, fresh, (problem, other))


@pytest.mark.parametrize("cls", [ESGD, JacobiSGD])
def test_a_state_of_sgd_gives_its_momentum_and_warms_up(cls):
    problem = Problem()
    sgd = torch.optim.SGD(problem.parameters(), lr=0.1, momentum=0.9)
    problem.loss().backward()
    sgd.step()
    optimizer = cls(problem.parameters(), lr=0.1, warmup_probes=6)
    optimizer.load_state_dict(sgd.state_dict())
    train(optimizer, problem.loss, 1)
    assert optimizer.num_products == 6
    assert optimizer.param_groups[0]["momentum"] == 0.9


@over(OPTIMIZERS)
def test_another_number_of_parameters_is_refused(case):
    problem = Problem()
    saved = case.make(problem.parameters()).state_dict()
    with pytest.raises(ValueError, match="doesn't match the size"):
        case.make([problem.W1]).load_state_dict(saved)
    with pytest.raises(ValueError, match="different number of parameter groups"):
        case.make([{"params": [problem.W1]}, {"params": [problem.b1, problem.w2]}]).load_state_dict(saved)


@since_torch_2_6
@pytest.mark.parametrize("direction", ["named to unnamed", "unnamed to named"])
@over(OPTIMIZERS)
def test_named_and_unnamed_states_load_into_each_other(case, direction):
    problem = Problem()
    other = copy.deepcopy(problem)
    named = direction == "named to unnamed"
    optimizer = case.make(problem.named_parameters() if named else problem.parameters())
    train(optimizer, problem.loss, 2)
    for p, q in zip(problem.parameters(), other.parameters(), strict=True):
        q.data.copy_(p.data)
    fresh = case.make(other.parameters() if named else other.named_parameters())
    fresh.load_state_dict(optimizer.state_dict())
    assert_continues_alike(optimizer, fresh, (problem, other))


@over(DIAGONAL[:1])
def test_load_hooks_see_and_change_the_state(case):
    """A pre-hook may replace the state dict, and a post-hook has the last word."""
    problem = Problem()
    optimizer = case.make(problem.parameters())
    train(optimizer, problem.loss, 2)
    fresh = case.make(problem.parameters())
    seen = []

    def only_groups(_, state_dict):
        return {**state_dict, "state": {0: state_dict["state"][0]}}

    def double(opt):
        opt.state[problem.W1]["curvature"].mul_(2)
        seen.append(len(opt.state))

    fresh.register_load_state_dict_pre_hook(only_groups)
    fresh.register_load_state_dict_post_hook(double)
    fresh.load_state_dict(optimizer.state_dict())
    assert seen == [1]
    assert_same([fresh.state[problem.W1]["curvature"]], [optimizer.state[problem.W1]["curvature"] * 2])
    assert len(fresh._optimizer_load_state_dict_pre_hooks) == 1


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64], ids=str)
@over([c for c in DIAGONAL if c.name in ("ESGD-auto", "JacobiSGD-momentum")])
def test_curvature_keeps_its_precision_through_a_load(case, dtype):
    problem = Problem(dtype)
    optimizer = case.make(problem.parameters())
    train(optimizer, problem.loss, 2)
    fresh = case.make(problem.parameters())
    fresh.load_state_dict(optimizer.state_dict())
    wide = torch.promote_types(dtype, torch.float32)
    for p in problem.parameters():
        assert fresh.state[p]["curvature"].dtype is wide
        assert fresh.state[p]["weight"].dtype is wide
        if "energy" in optimizer.state[p]:
            assert fresh.state[p]["energy"].dtype is wide
    assert_same(tensors_of(optimizer), tensors_of(fresh))


def test_a_callable_probe_must_be_given_again():
    problem = Problem()
    optimizer = ESGD(problem.parameters(), lr=0.01, probe=alternating_probe, update_every=1)
    train(optimizer, problem.loss, 2)
    fresh = ESGD(problem.parameters(), lr=0.01)
    fresh.load_state_dict(optimizer.state_dict())
    with pytest.raises(ConfigError, match="construct the optimizer with the same probe="):
        fresh.probe(problem.loss())


@over(OPTIMIZERS)
def test_loading_forgets_what_was_pending(case):
    problem = Problem()
    optimizer = case.make(problem.parameters())
    saved = optimizer.state_dict()
    optimizer.probe(problem.loss()).backward()
    optimizer.load_state_dict(saved)
    with pytest.raises(RuntimeError, match=r"add\n    loss = optimizer\.probe"):
        optimizer.step()
    assert all(not p._post_accumulate_grad_hooks for p in problem.parameters())


@pytest.mark.parametrize("steps", [0, 3])
@over([c for c in DIAGONAL if c.name.endswith(("default", "momentum", "ema", "auto"))])
def test_distributed_checkpoint_helpers_round_trip(case, steps):
    """``torch.distributed.checkpoint`` initialises a state by a step of rate zero before it saves or loads."""
    problem = Problem()
    optimizer = case.make(problem.parameters())
    train(optimizer, problem.loss, steps)
    other = copy.deepcopy(problem)
    for p in problem.parameters():
        p.grad = None
    saved = get_optimizer_state_dict(problem, optimizer)
    fresh = case.make(other.parameters())
    for p in other.parameters():
        p.grad = None
    set_optimizer_state_dict(other, fresh, copy.deepcopy(saved))
    assert fresh.num_products == optimizer.num_products
    assert_continues_alike(optimizer, fresh, (problem, other))


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
@over(CASES)
def test_a_cpu_state_continues_on_cuda(case):
    """torch's ``test_state_dict_with_cuda_params``; the counts stay, and the state follows the parameters."""
    problem = Problem()
    optimizer = case.make(problem.parameters())
    train(optimizer, problem.loss, 3)
    other = copy.deepcopy(problem).cuda()
    other.x, other.y = other.x.cuda(), other.y.cuda()
    fresh = case.make(other.parameters())
    fresh.load_state_dict(optimizer.state_dict())
    assert all(t.is_cuda for t in tensors_of(fresh))
    assert_same([t.cpu() for t in tensors_of(fresh)], tensors_of(optimizer))
    train(optimizer, problem.loss, 2)
    train(fresh, other.loss, 2)
    assert clock_of(fresh) == clock_of(optimizer)


def test_tied_state_is_not_shared_with_the_saved_dict():
    problem = Problem()
    optimizer = ESGD(problem.parameters(), lr=0.01, update_every=1)
    train(optimizer, problem.loss, 1)
    saved = optimizer.state_dict()
    fresh = ESGD([nn.Parameter(p.detach().clone()) for p in problem.parameters()], lr=0.01)
    fresh.load_state_dict(saved)
    for p in fresh.param_groups[0]["params"]:
        fresh.state[p]["curvature"].zero_()
    assert all(saved["state"][i]["curvature"].any() for i in range(3))


@pytest.mark.parametrize(("saved", "loaded"), [(ESGD, JacobiSGD), (JacobiSGD, ESGD)])
def test_the_state_of_the_other_diagonal_is_refused(saved, loaded):
    """Both keep a running mean under the same name, of squares the one and of signed numbers the other."""
    problem = Problem()
    theirs = saved(problem.parameters(), lr=0.01)
    train(theirs, problem.loss, 2)
    mine = loaded(problem.parameters(), lr=0.01)
    with pytest.raises(ConfigError, match=f"{loaded.__name__} needs one of"):
        mine.load_state_dict(theirs.state_dict())
    assert not mine.state
    old = theirs.state_dict()
    for group in old["param_groups"]:
        del group["diagonal"]  # as written before states said so
    again = saved(problem.parameters(), lr=0.01)
    again.load_state_dict(old)
    assert again.param_groups[0]["diagonal"] == theirs.param_groups[0]["diagonal"]
