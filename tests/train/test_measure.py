"""Measures along a run: against the dense Hessian of a tiny net, stopped and gone on with, exported."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from statistics import fmean, stdev

import pytest
import torch

from esgd.errors import CheckpointError, ConfigError
from esgd.measure import (
    DAMPING,
    MNIST_DAMPING,
    MeasureConfig,
    MeasurementStopped,
    measure_snapshot,
    saturated_share,
    saturation,
    sigmoid_activations,
)
from esgd.measure_export import export_measures
from esgd.measure_run import measure_run
from esgd.nets import Autoencoder
from esgd.operator import HessianOperator
from esgd.probes import draw
from esgd.resumable import train_in_folder
from esgd.runs import RunFolder, read_csv
from esgd.snapshots import list_snapshots, load_snapshot
from esgd.workload import WORKLOADS, workload

from .conftest import TinyWorkload
from .test_checkpoint import config
from .test_cli import in_process, one_line

SMALL = MeasureConfig(examples=50, probes=8, spaces=1, steps=4, gradient_batches=2)


@pytest.fixture
def run(tiny, tmp_path) -> RunFolder:
    folder = RunFolder("run", tmp_path)
    settings = config(method="rmsprop", epochs=2, dtype="float64")
    train_in_folder(settings, folder, snapshot_every=1, device="cpu", progress=False)
    return folder


@pytest.mark.parametrize(("name", "chosen"), [("curves", DAMPING), ("mnist", MNIST_DAMPING)])
def test_the_steps_are_compared_at_the_dampings_that_the_recorded_searches_chose(name, chosen):
    trials = read_csv(Path(__file__).resolve().parents[2] / "results" / "fig5" / name / "trials.csv")
    for method, vector in (("esgd", "equilibration"), ("jacobi", "jacobi"), ("rmsprop", "rmsprop")):
        best = min((t for t in trials if t["method"] == method), key=lambda t: t["loss"])
        assert chosen[vector] == best["damping"]


def value(rows, quantity, a="", b="") -> float:
    (row,) = [r for r in rows if (r["quantity"], r["a"], r["b"]) == (quantity, a, b)]
    return row["value"]


def test_measures_are_those_of_the_dense_hessian(few_pixels, tmp_path):
    task = few_pixels(50)
    folder = RunFolder("run", tmp_path)
    settings = config(method="rmsprop", epochs=2, dtype="float64")
    train_in_folder(settings, folder, snapshot_every=2, device="cpu", progress=False)
    snapshot = load_snapshot(list_snapshots(folder)[2])
    data, net = task.data(), snapshot.net
    wide = MeasureConfig(examples=50, probes=4000, spaces=4, steps=40, gradient_batches=9)
    rows = measure_snapshot(snapshot, data, wide)
    H = HessianOperator(lambda x: task.loss(net(x), x), net.parameters(), [data.images]).to_dense()
    d_e, d_j = H.square().sum(1).sqrt(), H.diagonal().abs()
    cosine = 1 - torch.dot(d_e, d_j) / (d_e.norm() * d_j.norm())
    assert value(rows, "cosine", "jacobi", "equilibration") == pytest.approx(cosine.item(), abs=0.02)
    one = torch.ones_like(d_e)
    constant = 1 - torch.dot(d_e, one) / (d_e.norm() * one.norm())
    assert value(rows, "cosine", "constant", "equilibration") == pytest.approx(constant.item(), abs=0.02)
    assert value(rows, "dominance") == pytest.approx((d_j.square().sum() / H.square().sum()).item(), abs=0.03)
    eigenvalues = torch.linalg.eigvalsh(H)
    assert value(rows, "largest") == pytest.approx(eigenvalues[-1].item(), rel=1e-6)
    assert value(rows, "smallest") == pytest.approx(eigenvalues[0].item(), abs=1e-6 * eigenvalues[-1].item())
    own = torch.cat([snapshot.preconditioner[n].flatten() for n, _ in net.named_parameters()])
    mine = 1 - torch.dot(d_e, own) / (d_e.norm() * own.norm())
    assert value(rows, "cosine", "own", "equilibration") == pytest.approx(mine.item(), abs=0.02)
    assert value(rows, "step", "sgd", "rmsprop") < 1


def test_the_diagonal_of_the_absolute_hessian_is_that_of_the_dense_one(monkeypatch, tmp_path):
    class FewPixels(TinyWorkload):  # 48 weights and biases: 48 steps of Lanczos are exact
        def data(self, *args, **options):
            full = super().data(*args, **options)
            return replace(full, images=full.images[:, 300:304].contiguous())

    monkeypatch.setitem(WORKLOADS, "tiny", FewPixels("tiny", "tiny", (4, 3, 2)))
    folder = RunFolder("run", tmp_path)
    train_in_folder(config(epochs=1, dtype="float64"), folder, snapshot_every=1, device="cpu", progress=False)
    snapshot = load_snapshot(list_snapshots(folder)[1])
    data, task, net = workload("tiny").data(dtype=torch.float64), workload("tiny"), snapshot.net
    settings = MeasureConfig(examples=50, probes=400, spaces=0, steps=48, abs_probes=30, gradient_batches=2)
    rows = measure_snapshot(snapshot, data, settings)
    H = HessianOperator(lambda x: task.loss(net(x), x), net.parameters(), [data.images]).to_dense()
    eigenvalues, basis = torch.linalg.eigh(H)
    assert eigenvalues[0] < -1e-3 * eigenvalues[-1]  # indefinite, so that |H| is not H
    absolute = basis * eigenvalues.abs() @ basis.T
    params = [p.detach() for p in net.parameters()]
    probes = [torch.cat([x.flatten() for x in draw("rademacher", params, 0, i)]) for i in range(30)]
    same_probes = torch.stack([v * (absolute @ v) for v in probes]).mean(0)
    assert value(rows, "rms", "absolute") == pytest.approx(same_probes.square().mean().sqrt().item(), rel=1e-6)
    d_e, exact = H.square().sum(1).sqrt(), absolute.diagonal()
    assert (exact <= d_e * (1 + 1e-12)).all()
    assert value(rows, "rms", "absolute") <= 1.05 * value(rows, "rms", "equilibration")
    cosine = 1 - torch.dot(exact, d_e) / (exact.norm() * d_e.norm())
    floor = value(rows, "floor", "absolute")  # what the noise of so few probes adds
    assert 0 < floor < 0.1
    assert cosine < value(rows, "cosine", "absolute", "equilibration") < cosine + 2 * floor + 0.005
    names = ("equilibration", "jacobi", "rmsprop", "own", "sgd")
    pairs = {(r["a"], r["b"]) for r in rows if r["quantity"] == "step" and "absolute" in (r["a"], r["b"])}
    assert {(set(pair) - {"absolute"}).pop() for pair in pairs} == set(names)


def test_the_error_of_root_v_knows_that_its_minibatches_are_a_draw(few_pixels, tmp_path):
    data = few_pixels(400).data()
    folder = RunFolder("run", tmp_path)
    settings = config(method="rmsprop", epochs=1, dtype="float64", batch_size=4)
    train_in_folder(settings, folder, snapshot_every=1, device="cpu", progress=False)
    snapshot = load_snapshot(list_snapshots(folder)[1])
    measured = MeasureConfig(examples=100, probes=200, spaces=0, gradient_batches=16)
    found = []
    for seed in range(24):  # each sees other batches next; the probes are the same
        other = replace(snapshot, config=replace(snapshot.config, seed=seed))
        (row,) = (
            r
            for r in measure_snapshot(other, data, measured)
            if (r["quantity"], r["a"], r["b"]) == ("cosine", "rmsprop", "equilibration")
        )
        found.append((row["value"], row["stderr"]))
    spread, told = stdev(value for value, _ in found), fmean(error for _, error in found)
    assert 0.5 < told / spread < 2


def test_saturated_units_are_counted(tiny):
    net = tiny.net(0)
    with torch.no_grad():
        for layer in net.linear_layers():
            layer.weight.zero_()
            layer.bias.zero_()
        net.encoder[0].bias[:6] = 9.0  # 6 of the 12 + 8 + 8 + 12 hidden sigmoids
    found = saturation(net, torch.rand(10, 784))
    assert found == {"saturated": pytest.approx(6 / 40), "saturated_units": pytest.approx(6 / 40)}


def test_a_stop_keeps_what_is_measured_and_the_rest_has_the_same_bits(run, tmp_path):
    data = workload("tiny").data(dtype=torch.float64)
    straight = [r for p in list_snapshots(run).values() for r in measure_snapshot(load_snapshot(p), data, SMALL)]
    with pytest.raises(MeasurementStopped):
        measure_snapshot(load_snapshot(list_snapshots(run)[1]), data, SMALL, should_stop=lambda: True)
    calls = iter([False] * 15 + [True] * 10_000)
    assert not measure_run(run, SMALL, device="cpu", progress=False, should_stop=lambda: next(calls))
    assert measure_run(run, SMALL, device="cpu", progress=False)
    results = tmp_path / "results"
    written = export_measures([run], SMALL, results)
    assert [p.relative_to(results).parts[0] for p in written] == ["fig4", "fig4", "fig6", "fig6"]
    rows = [r for figure in ("fig4", "fig6") for r in read_csv(results / figure / "tiny" / "measures.csv")]
    exported = {(r["epoch"], r["quantity"], r["a"] or "", r["b"] or ""): r["value"] for r in rows}
    for row in straight:
        key = (row["epoch"], row["quantity"], row["a"], row["b"])
        assert exported[key] == row["value"] or (math.isnan(exported[key]) and math.isnan(row["value"])), key
    manifest = RunFolder("tiny", results / "fig6").manifest()
    assert manifest["epochs"] == 2
    assert manifest["settings"]["probes"] == 8
    assert len(manifest["sample_sha256"]) == 64


def test_the_check_on_the_whole_set_tells_where_it_comes_from(run, tmp_path):
    """Its own settings, commit and device, not those of the sample; and which runs it left out."""
    other = RunFolder("other", tmp_path)
    train_in_folder(
        config(epochs=2, dtype="float64", seed=1), other, snapshot_every=1, device="cpu", progress=False
    )
    part, full, results = replace(SMALL, examples=40), replace(SMALL, examples=None, probes=9), tmp_path / "results"
    for folder in (run, other):
        assert measure_run(folder, part, epochs=[0, 1], device="cpu", progress=False)
    assert measure_run(run, full, epochs=[1], device="cpu", progress=False)
    (path,) = run.path.glob("measures-all*/epoch00001.json")
    record = json.loads(path.read_text()) | {"commit": "a commit of its own", "device": "another device"}
    path.write_text(json.dumps(record))
    export_measures([run, other], part, results, full=full)
    for figure in ("fig4", "fig6"):
        manifest = RunFolder("tiny", results / figure).manifest()
        told = manifest["full"]
        assert told["settings"] == full.settings() != manifest["settings"]
        assert (told["commit"], told["device"]) == ("a commit of its own", "another device")
        assert manifest["commit"] != told["commit"]
        assert told["sample_sha256"] != manifest["sample_sha256"]
        assert told["measured"] == {"run": [1]}
        words = "--full-data --probes 9 --gradient-batches 2 --spaces 1 --steps 4 --epoch 1"
        assert told["command"] == f"esgd measure run {words}"
        assert {r["run"] for r in read_csv(results / figure / "tiny" / "full.csv")} == {"run"}
        # the runs have two epochs, the rows end with the first
        assert {(r["epochs_done"], r["recorded_epochs"]) for r in manifest["runs"]} == {(2, 1)}
    noted = RunFolder("tiny", results / "fig6")
    noted.write_manifest({**noted.manifest(), "note": "of the check"})
    export_measures([run, other], part, results)  # full.csv stays, and what is told of it
    assert noted.manifest()["full"] == told
    assert noted.manifest()["note"] == "of the check"


def test_errors_say_what_to_do(run, tiny, tmp_path):
    with pytest.raises(ConfigError, match=r"no snapshots.*--snapshot-every"):
        measure_run(RunFolder("none", tmp_path), SMALL, device="cpu", progress=False)
    with pytest.raises(ConfigError, match=r"no snapshot of epoch 7: it has \[0, 1, 2\]"):
        measure_run(run, SMALL, epochs=[7], device="cpu", progress=False)
    with pytest.raises(ConfigError, match="examples is 5,000, but tiny has 50"):
        measure_run(run, MeasureConfig(examples=5000), device="cpu", progress=False)
    with pytest.raises(ConfigError, match="probes must be at least 4, got 3"):
        MeasureConfig(probes=3)
    with pytest.raises(ConfigError, match="nothing is measured"):
        export_measures([run], SMALL, tmp_path / "results")
    assert measure_run(run, SMALL, epochs=[0], device="cpu", progress=False)
    with pytest.raises(
        CheckpointError, match=r"steps was 4 and is now 5.*move .*measures-50x8-seed0 away to"
    ) as error:
        measure_run(run, replace(SMALL, steps=5), device="cpu", progress=False)
    assert "another name" not in str(error.value)  # a measurement has none


def test_runs_of_several_workloads_are_refused_before_anything_is_measured(tiny, capsys, isolated, monkeypatch):
    monkeypatch.setitem(WORKLOADS, "other", replace(tiny, name="other"))
    for name in ("tiny", "other"):
        train_in_folder(
            config(method="sgd", epochs=1, workload=name),
            RunFolder(name),
            snapshot_every=1,
            device="cpu",
            progress=False,
        )
    results = isolated / "results"
    words = ("measure", "--examples", "50", "--probes", "4", "--spaces", "0", "--device", "cpu", "-q")
    done = in_process(capsys, *words, "--results", str(results))
    one_line(done, "one workload at a time", "other, tiny", "name the runs of one")
    assert not list((isolated / "runs").glob("*/measures-*"))
    assert in_process(capsys, *words, "tiny", "--results", str(results)).returncode == 0


def test_saturated_shares_are_told_by_unit_and_layer():
    net = Autoencoder((784, 6, 3), seed=0)
    with torch.no_grad():
        net.encoder[0].bias[2] = 100.0  # always on
        net.decoder[0].bias[4] = -100.0
    images = torch.rand(50, 784)
    shares = {layer: saturated_share(a) for layer, a in sigmoid_activations(net, images).items()}
    assert set(shares) == {"encoder.0", "decoder.0"}  # the code is linear, and the output's logits are no units
    assert (shares["encoder.0"] == 1).nonzero().tolist() == [[2]]
    assert (shares["decoder.0"] == 1).nonzero().tolist() == [[4]]
    a = torch.sigmoid(net.encoder[0](images))
    torch.testing.assert_close(shares["encoder.0"], (a * (1 - a) < 0.01).double().mean(0).float())
