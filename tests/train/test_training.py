from __future__ import annotations

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from esgd.config import METHODS, RunConfig
from esgd.data import Dataset
from esgd.errors import ConfigError
from esgd.nets import Autoencoder, reconstruction_loss, squared_error
from esgd.runs import COLUMNS
from esgd.seeding import batch_order, derived_seed
from esgd.train import Training, evaluate, train
from esgd.workload import WORKLOADS, product_cost, workload

from .conftest import TINY_EXAMPLES, TINY_SIZES, tiny_images

BATCH = 20  # batches of 20, 20 and 10


def config(method: str = "sgd", **changes) -> RunConfig:
    return RunConfig(**({"workload": "tiny", "method": method, "epochs": 2, "batch_size": BATCH} | changes))


def test_sgd_by_hand_gives_the_same_net(tiny):
    """The loop spelt out with nothing but torch: order from (seed, epoch), plain gradient steps."""
    images = tiny_images(dtype=torch.float64)
    net = Autoencoder(TINY_SIZES, seed=4).double()
    for epoch in range(2):
        for index in batch_order(TINY_EXAMPLES, 4, epoch).split(BATCH):
            net.zero_grad()
            reconstruction_loss(net(images[index]), images[index]).backward()
            with torch.no_grad():
                for p in net.parameters():
                    p -= 0.05 * p.grad
    result = train(config(lr=0.05, seed=4, dtype="float64"), progress=False)
    for mine, theirs in zip(net.parameters(), result.net.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("method", METHODS)
def test_records_are_tidy_and_true(tiny, method):
    result = train(config(method, update_every=2, warmup_probes=3), progress=False)
    assert result.status == "finished"
    assert [record["epoch"] for record in result.records] == [0, 1, 2]
    assert [record["step"] for record in result.records] == [0, 3, 6]
    for record in result.records:
        assert tuple(record) == COLUMNS
    last = result.records[-1]
    images = tiny_images()
    logits = result.net(images)
    assert last["loss"] == pytest.approx(reconstruction_loss(logits, images).item(), rel=1e-6)
    assert last["squared_error"] == pytest.approx(squared_error(logits, images).item(), rel=1e-5)
    # probes at steps 0 (three), 2 and 4
    products = 5 if method in ("esgd", "jacobi") else 0
    assert last["gradient_equivalents"] == pytest.approx(6 + products * product_cost(TINY_SIZES))
    seconds = [record["seconds"] for record in result.records]
    assert seconds[0] == 0
    assert seconds == sorted(seconds)
    assert result.records[-1]["loss"] < result.records[0]["loss"]


def test_evaluation_does_not_depend_on_its_chunks(monkeypatch):
    net, images = Autoencoder(TINY_SIZES), tiny_images()
    whole = evaluate(net, images, WORKLOADS["mnist"])
    monkeypatch.setattr("esgd.train.EVALUATION_CHUNK", 7)
    assert evaluate(net, images, WORKLOADS["mnist"]) == pytest.approx(whole, rel=1e-6)


def test_evaluation_is_rarer_on_request(tiny):
    result = train(config(epochs=5, eval_every=2), progress=False)
    assert [record["epoch"] for record in result.records] == [0, 2, 4, 5]


def test_the_global_generator_is_neither_read_nor_moved(tiny):
    torch.manual_seed(0)
    before = torch.get_rng_state()
    first = train(config("esgd"), progress=False).records[-1]["loss"]
    assert torch.equal(before, torch.get_rng_state())
    torch.manual_seed(1)
    assert train(config("esgd"), progress=False).records[-1]["loss"] == first


def test_batches_cover_each_example_once_an_epoch_in_a_new_order():
    orders = [batch_order(100, 0, epoch) for epoch in range(3)]
    assert all(order.sort().values.equal(torch.arange(100)) for order in orders)
    assert not orders[0].equal(orders[1])
    assert batch_order(100, 0, 1).equal(orders[1])
    assert not batch_order(100, 1, 1).equal(orders[1])


def test_derived_seeds_do_not_collide():
    seeds = {derived_seed(name, i, j) for name in ("init", "order") for i in range(20) for j in range(20)}
    assert len(seeds) == 800
    assert derived_seed("a", 12) != derived_seed("a", 1, 2)
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_stop_ends_the_run_at_that_step_and_it_can_go_on(tiny):
    settings = config("esgd", epochs=3, momentum=0.9, update_every=2)
    whole = train(settings, progress=False)
    training = Training(settings, tiny.data())
    asked = iter([False] * 4 + [True])
    stopped = train(settings, training=training, progress=False, should_stop=lambda: next(asked))
    assert stopped.status == "stopped"
    assert training.step == 4
    restored = Training(settings, tiny.data())
    restored.load_state_dict(training.state_dict())
    rest = train(settings, training=restored, progress=False)
    assert rest.status == "finished"
    for mine, theirs in zip(whole.net.state_dict().values(), rest.net.state_dict().values(), strict=True):
        assert torch.equal(mine, theirs)
    for a, b in zip(whole.records, rest.records, strict=True):
        assert {k: v for k, v in a.items() if k != "seconds"} == {k: v for k, v in b.items() if k != "seconds"}


def test_divergence_ends_the_run_and_is_said(tiny):
    """Saturated sigmoids keep the loss finite: it is huge, and that counts."""
    result = train(config(lr=1e9, epochs=50), progress=False)
    assert result.status == "diverged"
    first, last = result.records[0], result.records[-1]
    assert not last["loss"] < 100 * first["loss"]
    assert last["epoch"] < 50
    rare = train(config(lr=1e9, epochs=50, eval_every=40), progress=False)
    assert rare.status == "diverged"
    assert rare.records[-1]["epoch"] < 40  # seen from the batches, and then evaluated out of turn


def test_a_loss_that_is_not_finite_is_divergence(tiny):
    training = Training(config(), tiny.data())
    training.record()
    assert not training.diverged
    with torch.no_grad():
        next(training.net.parameters()).fill_(float("nan"))
    training.record()
    assert training.diverged


def test_float64_is_float64(tiny):
    result = train(config(dtype="float64"), progress=False)
    assert next(result.net.parameters()).dtype == torch.float64


def test_own_data_can_be_given(tiny):
    data = Dataset("mine", "train", tiny_images(30), "made here", "")
    result = train(config(), data, progress=False)
    assert result.records[-1]["step"] == 4


def test_record_callback_sees_each_record(tiny):
    seen = []
    train(config(), progress=False, on_record=lambda training: seen.append(training.records[-1]["epoch"]))
    assert seen == [0, 1, 2]


@pytest.mark.claim("COST")
@pytest.mark.parametrize("sizes", [WORKLOADS["mnist"].sizes, WORKLOADS["curves"].sizes, TINY_SIZES, (9, 4)])
def test_cost_of_a_product_is_what_torch_counts(sizes):
    net = Autoencoder(sizes)
    params = list(net.parameters())
    images = torch.rand(8, sizes[0])
    with FlopCounterMode(display=False) as gradient:
        torch.autograd.grad(reconstruction_loss(net(images), images), params)
    with FlopCounterMode(display=False) as both:
        first = torch.autograd.grad(reconstruction_loss(net(images), images), params, create_graph=True)
        torch.autograd.grad(first, params, grad_outputs=[torch.ones_like(p) for p in params])
    counted = both.get_total_flops() / gradient.get_total_flops() - 1
    assert product_cost(sizes) == pytest.approx(counted)
    assert 1 < counted < 2  # "about the same as two backpropagations" is an upper bound


def test_a_workload_carries_its_target():
    images = tiny_images()
    task = WORKLOADS["curves"]
    assert 0 < task.target(images) < (images - images.mean(0)).square().sum(1).mean()
    with pytest.raises(ConfigError, match=r"unknown workload 'cifar'.*curves"):
        workload("cifar")
