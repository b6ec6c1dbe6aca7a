"""What users do and no tutorial shows: settings changed midway, hooks, copies, clipping."""

import copy
import pickle

import numpy as np
import pytest
import torch
from cases import quadratic
from torch import nn

from esgd import ESGD, JacobiSGD, SaddleFreeNewton
from esgd.errors import ConfigError, CurvatureError

DIAGONAL = [ESGD, JacobiSGD]


# -- groups and settings -----------------------------------------------------------------------------------


def test_a_new_group_takes_shared_settings_as_they_are_now():
    w, _loss = quadratic()
    optimizer = ESGD([w], lr=0.1)
    for group in optimizer.param_groups:
        group["update_every"] = 10
    more = nn.Parameter(torch.ones(2, dtype=torch.float64))
    optimizer.add_param_group({"params": [more], "lr": 0.2})
    assert [g["update_every"] for g in optimizer.param_groups] == [10, 10]
    with pytest.raises(ConfigError, match=r"update_every is shared by all parameter groups.*got 20"):
        optimizer.add_param_group({"params": [nn.Parameter(torch.ones(1))], "update_every": 20})
    state = optimizer.state_dict()
    again = ESGD([w], lr=0.1)
    again.add_param_group({"params": [more]})
    again.load_state_dict(state)
    again.add_param_group({"params": [nn.Parameter(torch.ones(1, dtype=torch.float64))]})
    assert again.param_groups[2]["update_every"] == 10


def test_a_callable_probe_in_a_group_is_told_where_it_belongs():
    w, _ = quadratic()
    with pytest.raises(ConfigError, match="pass probe= to the optimizer, not in a group"):
        ESGD([{"params": [w], "probe": lambda params, index: params}])


def test_whole_numbers_of_numpy_are_whole_numbers():
    w, _ = quadratic()
    optimizer = ESGD([w], update_every=np.int64(7), warmup_probes=np.int32(2), seed=np.int64(3))
    optimizer.probe(w.square().sum()).backward()
    optimizer.step()
    assert optimizer.num_products == 2


@pytest.mark.parametrize("cls", [ESGD, JacobiSGD, SaddleFreeNewton])
@pytest.mark.parametrize("shape", [(), (3,)])
@pytest.mark.parametrize("foreach", [None, False])
def test_a_rate_of_one_element_serves_every_shape(cls, shape, foreach):
    moved = []
    for lr in (0.25, torch.tensor([0.25]), torch.tensor(0.25)):
        p = nn.Parameter(torch.ones(shape))
        options = {} if cls is SaddleFreeNewton else {"foreach": foreach, "damping": torch.tensor([0.5])}
        optimizer = cls([p], lr=lr, **options)
        optimizer.probe((2 * p**2).sum()).backward()
        optimizer.step()
        moved.append(p.detach())
        assert p.shape == shape
    assert torch.allclose(moved[0], moved[1])
    assert torch.equal(moved[1], moved[2])


@pytest.mark.parametrize("cls", DIAGONAL)
def test_without_damping_an_entry_without_curvature_stands_still(cls):
    w = nn.Parameter(torch.ones(3))
    optimizer = cls([w], lr=0.1, damping=0.0)
    optimizer.probe(w[0] ** 2 + w[1]).backward()
    optimizer.step()
    assert torch.allclose(w.detach(), torch.tensor([0.9, 1.0, 1.0]))


# -- hooks, contexts, copies -------------------------------------------------------------------------------


def test_a_hook_that_takes_the_gradient_away_does_no_harm():
    w, loss = quadratic()
    optimizer = ESGD([w], lr=0.0)
    taken = []

    def take(p):
        taken.append(p.grad)
        p.grad = None

    hook = w.register_post_accumulate_grad_hook(take)
    optimizer.probe(loss()).backward()
    hook.remove()
    w.grad = taken[0]
    optimizer.step()
    assert torch.equal(optimizer.diagonal(w), torch.ones_like(w))


def test_a_loss_that_was_probed_is_not_probed_again():
    w, loss = quadratic()
    optimizer = ESGD([w], lr=0.0)
    with pytest.raises(CurvatureError, match="has been probed already"):
        optimizer.probe(optimizer.probe(loss()))


@pytest.mark.parametrize("cls", [ESGD, SaddleFreeNewton])
def test_probe_works_where_gradients_are_off(cls):
    w, loss = quadratic()
    optimizer = cls([w], lr=0.0)
    value = loss()
    with torch.no_grad():
        probed = optimizer.probe(value)
    probed.backward()
    optimizer.step()
    assert torch.equal(w.grad, torch.ones_like(w))


@pytest.mark.parametrize("cls", [ESGD, JacobiSGD, SaddleFreeNewton])
def test_a_model_that_is_all_frozen_is_left_alone(cls):
    w, _ = quadratic()
    optimizer = cls([w], lr=0.1)
    w.requires_grad_(False)
    value = torch.tensor(3.0)
    assert optimizer.probe(value) is value
    assert optimizer.probe(lambda: value) is None
    optimizer.step()
    assert torch.equal(w, torch.ones_like(w))


class Group:
    """Stands for a process group, which neither copies nor pickles."""

    def __reduce__(self):
        raise TypeError("cannot pickle 'ProcessGroup' object")


def test_copies_share_the_process_group_and_pickling_says_what_to_do():
    w, _ = quadratic()
    group = Group()
    optimizer = ESGD([w], process_group=group)
    assert copy.deepcopy(optimizer)._process_group is group
    with pytest.raises(ConfigError, match=r"process group cannot be pickled: save optimizer\.state_dict"):
        pickle.dumps(optimizer)
    for name in ("world", None):
        assert pickle.loads(pickle.dumps(ESGD([w], process_group=name)))._process_group == name


# -- saddle-free Newton ------------------------------------------------------------------------------------


def test_clipping_shortens_a_saddle_free_step():
    w = nn.Parameter(torch.tensor([1.0, 2.0], dtype=torch.float64))
    steps = []
    for clip in (None, 0.5, 0.05):
        with torch.no_grad():
            w.copy_(torch.tensor([1.0, 2.0]))
        optimizer = SaddleFreeNewton([w], lr=0.1, damping=0.0)
        optimizer.zero_grad()
        optimizer.probe(2 * w[0] ** 2 - 0.5 * w[1] ** 2).backward()
        size = w.grad.norm()
        if clip:
            nn.utils.clip_grad_norm_([w], clip)
        before = w.detach().clone()
        optimizer.step()
        steps.append((w.detach() - before) * (1 if clip is None else size / clip))
    assert steps[0].norm() > 0.1
    for step in steps[1:]:
        torch.testing.assert_close(step, steps[0], rtol=1e-4, atol=1e-9)


def test_a_saddle_free_step_is_not_rounded_where_nothing_was_clipped():
    w = nn.Parameter(torch.tensor([1.0, 2.0]))
    optimizer = SaddleFreeNewton([w], lr=1.0)
    optimizer.probe((w**4).sum()).backward()
    (_, step, _), before = optimizer._direction[0], w.detach().clone()
    optimizer.step()
    assert torch.equal(w.detach(), before - step)


def test_saddle_free_probe_takes_a_loss_scale_and_a_weight():
    moved = []
    for options in ({}, {"loss_scale": 1024.0}, {"loss_scale": torch.tensor(1024.0), "weight": 3.0}):
        w = nn.Parameter(torch.tensor([1.0, 2.0], dtype=torch.float64))
        optimizer = SaddleFreeNewton([w], lr=1.0)
        optimizer.probe((w**4).sum(), **options).backward()
        optimizer.step()
        moved.append(w.detach())
    assert torch.allclose(moved[0], moved[1])
    assert torch.allclose(moved[0], moved[2])
