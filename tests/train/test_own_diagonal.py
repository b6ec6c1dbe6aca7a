"""The experiment that parts what minibatches do to ESGD's D from what its memory does."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial

import pytest
import torch

from esgd.errors import CheckpointError, DataError
from esgd.operator import HessianOperator
from esgd.resumable import train_in_folder
from esgd.runs import RunFolder
from esgd.seeding import batch_order
from esgd.snapshots import list_snapshots, load_snapshot
from esgd.workload import workload

from .test_checkpoint import config


@pytest.fixture
def snapshot(few_pixels, tmp_path):
    few_pixels(800)
    folder = RunFolder("run", tmp_path)
    settings = config(method="esgd", epochs=1, dtype="float64", batch_size=4)
    train_in_folder(settings, folder, snapshot_every=1, device="cpu", progress=False)
    return load_snapshot(list_snapshots(folder)[1])


def test_the_fresh_mean_is_of_the_coming_minibatches_at_weights_held_still(experiment, snapshot):
    own = experiment("own_diagonal")
    data, task, net = workload("tiny").data(), workload("tiny"), snapshot.net

    def dense(images):
        return HessianOperator(lambda x: task.loss(net(x), x), net.parameters(), [images]).to_dense()

    order = batch_order(len(data), snapshot.config.seed, snapshot.epoch)
    exact = torch.stack([dense(data.images[i]).square().sum(1) for i in order.split(4)]).mean(0)
    whole = dense(data.images).square().sum(1)
    space = HessianOperator(lambda x: task.loss(net(x), x), net.named_parameters(), [data.images]).space
    before = [p.clone() for p in net.parameters()]
    found = own.fresh_mean(snapshot, data, space)
    assert all(torch.equal(p, q) for p, q in zip(net.parameters(), before, strict=True))
    assert found.num_probes == 200
    off = {
        name: ((found.value - d) / found.stderr).abs().mean() for name, d in (("exact", exact), ("whole", whole))
    }
    assert off["exact"] < 1.2 < 2 < off["whole"]  # what minibatches add is in it


def test_a_diagonal_made_of_fresh_products_is_told_from_one_that_remembers(experiment, snapshot, monkeypatch):
    own = experiment("own_diagonal")
    data, net = workload("tiny").data(), snapshot.net
    space = HessianOperator(lambda x: x.sum(), net.named_parameters(), [data.images[:1]]).space
    monkeypatch.setattr(own, "MeasureConfig", partial(own.MeasureConfig, examples=400))
    fresh = own.fresh_mean(snapshot, data, space).sqrt().value
    split = dict(zip(space.names, space.unflatten(fresh), strict=True))
    rows = own.measure(replace(snapshot, preconditioner=split), data, 40)
    assert {r["a"] for r in rows if r["quantity"] == "rms"} == {"own", "fresh", "equilibration"}
    value = {(r["a"], r["b"]): r["value"] for r in rows if r["quantity"] == "cosine"}
    assert value["own", "fresh"] == pytest.approx(0, abs=1e-6)
    assert value["own", "equilibration"] == pytest.approx(value["fresh", "equilibration"], abs=1e-6)
    backward = {name: d.flip(0) for name, d in split.items()}
    rows = own.measure(replace(snapshot, preconditioner=backward), data, 40)
    assert max(r["value"] for r in rows if (r["a"], r["b"]) == ("own", "fresh")) > 0.01
    assert set(rows[0]) == set(own.COLUMNS)


def test_a_snapshot_is_measured_once_and_again_under_other_settings(experiment, few_pixels, tmp_path, monkeypatch):
    own, task = experiment("own_diagonal"), few_pixels(80)
    folder = RunFolder("run", tmp_path)
    train_in_folder(
        config(method="esgd", epochs=1, batch_size=4), folder, snapshot_every=1, device="cpu", progress=False
    )
    calls = []

    def noted(snapshot, data, probes):
        calls.append(snapshot.epoch)
        return [{"value": len(calls)}]

    monkeypatch.setattr(own, "measure", noted)
    take = partial(own.measured, folder, data=task.data(), device=torch.device("cpu"), kept=tmp_path)
    first = take(epoch=1, probes=5)
    assert first["settings"] == {**own.MeasureConfig(probes=5).settings(), "fresh_seed": own.FRESH_SEED}
    assert take(epoch=1, probes=5) == first
    assert take(epoch=1, probes=6)["rows"] == [{"value": 2}]  # other probes are another record
    monkeypatch.setattr(own, "FRESH_SEED", own.FRESH_SEED + 1)
    assert take(epoch=1, probes=6)["rows"] == [{"value": 3}]
    assert calls == [1, 1, 1]


def test_what_was_measured_at_other_weights_is_measured_again(experiment, few_pixels, tmp_path, monkeypatch):
    own, task = experiment("own_diagonal"), few_pixels(80)
    folder, settings = RunFolder("run", tmp_path), config(method="esgd", epochs=1, batch_size=4)
    train_in_folder(settings, folder, snapshot_every=1, device="cpu", progress=False)
    calls = []
    monkeypatch.setattr(own, "measure", lambda snapshot, data, probes: [{"value": calls.append(snapshot.epoch)}])
    take = partial(own.measured, folder, 1, task.data(), 5, torch.device("cpu"), tmp_path)
    first = take()
    assert first["snapshot_sha256"] == load_snapshot(list_snapshots(folder)[1]).sha256
    folder.checkpoint.unlink()
    train_in_folder(replace(settings, lr=1e-4), folder, snapshot_every=1, device="cpu", progress=False)
    again = take()
    assert again["snapshot_sha256"] != first["snapshot_sha256"]
    assert calls == [1, 1]
    path = tmp_path / "run-epoch00001.json"
    older = {key: value for key, value in again.items() if key != "snapshot_sha256"}  # of an older version
    path.write_text(json.dumps(older))
    assert take() == older
    path.write_text(json.dumps(again))
    list_snapshots(folder)[1].unlink()
    assert take() == again
    assert own.origin([first, again]).keys() == own.origin([first]).keys()  # one origin, whatever the weights


def test_a_snapshot_of_another_run_is_not_measured(experiment, few_pixels, tmp_path):
    own, task = experiment("own_diagonal"), few_pixels(80)
    folder = RunFolder("run", tmp_path)
    train_in_folder(config(method="esgd", epochs=1), folder, snapshot_every=1, device="cpu", progress=False)
    told = folder.manifest()
    folder.write_manifest(told | {"config": told["config"] | {"lr": 0.5}})
    with pytest.raises(CheckpointError, match="of another run than"):
        own.measured(folder, 1, task.data(), 5, torch.device("cpu"), tmp_path)


def test_a_snapshot_that_was_not_kept_is_named(experiment, few_pixels, tmp_path):
    own, task = experiment("own_diagonal"), few_pixels(80)
    folder = RunFolder("run", tmp_path)
    train_in_folder(config(method="esgd", epochs=1), folder, snapshot_every=1, device="cpu", progress=False)
    with pytest.raises(DataError, match=r"run has no snapshot of epoch 7 in .*run: train it with --snapshot-every"):
        own.measured(folder, 7, task.data(), 5, torch.device("cpu"), tmp_path)
