"""Which products stand in D: batches thrown away after probe, a warm-up that overflows, energies under auto."""

import copy
from collections.abc import Callable

import pytest
import torch
from cases import quadratic, still
from torch import nn

from esgd import ESGD, JacobiSGD
from esgd.errors import ConfigError

DIAGONAL = [ESGD, JacobiSGD]


# -- batches that are thrown away --------------------------------------------------------------------------


@pytest.mark.parametrize("cls", DIAGONAL)
def test_a_batch_thrown_away_after_probe_leaves_nothing(cls):
    w, loss = quadratic()
    optimizer = cls([w], lr=0.0)
    probed = optimizer.probe(loss())
    del probed  # skipped: no backward
    w.grad = None  # as model.zero_grad() does
    optimizer.probe(loss()).backward()
    optimizer.step()
    assert torch.equal(optimizer.diagonal(w), torch.ones_like(w))


@pytest.mark.parametrize("keep", ["returned", "original", "neither, in a sum"])
def test_losses_that_are_still_to_be_run_backward_are_kept(keep):
    w, loss = quadratic()
    optimizer = ESGD([w], lr=0.0)
    total = 0
    for _ in range(3):
        value = loss() / 3
        probed = optimizer.probe(value)
        total = total + (value if keep == "original" else probed)
        del value, probed
    total.backward()
    optimizer.step()
    assert torch.allclose(optimizer.diagonal(w), torch.ones_like(w))  # a third of the curvature three times


@pytest.mark.parametrize("form", ["autograd.grad", "a function"])
def test_micro_batches_without_arrivals_are_kept(form):
    """Gradients taken by autograd.grad and put into .grad by hand; and losses that probe never saw."""
    w, loss = quadratic()
    optimizer = ESGD([w], lr=0.0)
    grads = []
    for _ in range(2):
        if form == "a function":
            optimizer.probe(lambda: loss() / 2)
        else:
            grads.append(torch.autograd.grad(optimizer.probe(loss() / 2), w)[0])
    w.grad = sum(grads) if grads else torch.ones_like(w)
    optimizer.step()
    assert torch.allclose(optimizer.diagonal(w), torch.ones_like(w))


def test_a_graph_is_not_kept_alive_to_know_it():
    w, _ = quadratic()
    optimizer = ESGD([w], lr=0.0)
    x = w * 2
    probed = optimizer.probe(x.square().sum())
    node = x.grad_fn
    assert node.metadata is not None
    freed = []

    class Watch:
        def __del__(self):
            freed.append(True)

    node.metadata["watch"] = Watch()
    del node, x
    assert freed == [True]  # the loss's own graph is gone although probe's result lives
    probed.backward()
    optimizer.step()


def test_weights_that_differ_within_a_step_are_refused():
    w, loss = quadratic()
    optimizer = ESGD([w], lr=0.0)
    optimizer.probe(loss() / 2, weight=3.0).backward()
    with pytest.raises(ConfigError, match=r"weight is this rank's for the whole step: it was 3 .* and is 5 now"):
        optimizer.probe(loss() / 2, weight=5.0)


# -- a warm-up that is rejected ----------------------------------------------------------------------------


@pytest.mark.parametrize("capturable", [False, True])
@pytest.mark.parametrize("cls", DIAGONAL)
def test_a_warm_up_that_was_rejected_is_taken_again(cls, capturable):
    torch.manual_seed(0)
    A = torch.randn(50, 50, dtype=torch.float64)
    w = nn.Parameter(torch.randn(50, dtype=torch.float64))
    optimizer = cls([w], lr=0.1, capturable=capturable)
    spike = w.sum() - w.sum().detach()
    optimizer.probe(0.5 * w @ (A + A.T) @ w + float("inf") * spike**2)
    still(w)
    with pytest.warns(RuntimeWarning, match="not finite"):
        optimizer.step()
    assert optimizer.curvature_due
    assert optimizer.num_products == 10
    assert optimizer.state[w]["weight"] == 0
    optimizer.zero_grad()
    optimizer.probe(0.5 * w @ (A + A.T) @ w).backward()
    optimizer.step()
    assert optimizer.num_products == 20
    assert optimizer.state[w]["weight"] == 10
    assert not optimizer.curvature_due


def test_new_parameters_are_warmed_up_again_after_a_rejection():
    w, loss = quadratic()
    optimizer = ESGD([w], lr=0.0)
    optimizer.probe(loss()).backward()
    optimizer.step()
    more = nn.Parameter(torch.ones(2, dtype=torch.float64))
    optimizer.add_param_group({"params": [more]})
    spike = more.sum() - more.sum().detach()
    optimizer.probe(loss() + float("inf") * spike**2)
    still(w), still(more)
    with pytest.warns(RuntimeWarning, match="not finite"):
        optimizer.step()
    optimizer.zero_grad()
    optimizer.probe(loss() + more.square().sum() / 2).backward()
    optimizer.step()
    assert optimizer.state[more]["weight"] == 10


def test_a_state_in_which_all_was_rejected_is_warmed_up_when_loaded():
    w, loss = quadratic()
    optimizer = ESGD([w], lr=0.0)
    optimizer.probe(loss() + float("inf") * (w.sum() - w.sum().detach()) ** 2)
    still(w)
    with pytest.warns(RuntimeWarning, match="not finite"):
        optimizer.step()
    again = ESGD([w], lr=0.0)
    again.load_state_dict(optimizer.state_dict())
    again.zero_grad()
    again.probe(loss()).backward()
    again.step()
    assert again.state[w]["weight"] == 10


def test_float64_has_the_range_of_float64():
    w, loss = quadratic(curvature=1e30)
    optimizer = ESGD([w], lr=0.5)
    optimizer.probe(loss()).backward()
    optimizer.step()
    assert optimizer.num_rejected == 0
    assert torch.allclose(w, torch.full_like(w, 0.5))


# -- "auto" ------------------------------------------------------------------------------------------------


def late_interval(optimizer: ESGD, w: nn.Parameter, steps: int, on_step: Callable[[int], None] = lambda step: None):
    """Mean steps between two products over the last 4,000 of so many, on a quadratic of constant curvature."""
    A, last = torch.randn(40, 40), 0
    for step in range(steps):
        on_step(step)
        if optimizer.curvature_due:
            optimizer.zero_grad()
            optimizer.probe(0.5 * w @ (A + A.T) @ w).backward()
            last += step >= steps - 4_000
        optimizer.step()
    return 4_000 / last


@pytest.mark.parametrize("beta", [None, 0.9, 0.99])
def test_auto_stays_rare_where_curvature_is_constant(beta):
    torch.manual_seed(0)
    w = nn.Parameter(torch.randn(40))
    optimizer = ESGD([w], lr=0.0, update_every="auto", beta=beta)
    assert late_interval(optimizer, w, 14_000) > 100  # at most 200 steps apart


def test_auto_switched_on_midway_knows_only_what_it_has_seen():
    torch.manual_seed(0)
    w = nn.Parameter(torch.randn(40))
    optimizer = ESGD([w], lr=0.0)

    def switch(step: int) -> None:
        if step == 4_000:
            optimizer.param_groups[0]["update_every"] = "auto"

    assert late_interval(optimizer, w, 12_000, switch) > 100


def test_a_state_of_an_older_version_begins_its_energies_anew():
    w, loss = quadratic()
    optimizer = ESGD([w], lr=0.0, update_every="auto")
    optimizer.probe(loss()).backward()
    optimizer.step()
    state = copy.deepcopy(optimizer.state_dict())
    del state["state"][0]["energy_weight"]
    state["state"][0]["energy"] *= 1000
    again = ESGD([w], lr=0.0, update_every="auto")
    again.load_state_dict(state)
    again._set_clock(next_probe=again.param_groups[0]["step"])
    again.probe(loss()).backward()
    again.step()
    assert again.state[w]["energy_weight"] == 1
    assert again.state[w]["energy"].item() == pytest.approx(3)
