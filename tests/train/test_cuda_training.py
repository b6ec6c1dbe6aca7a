"""Runs, ensembles, measures and a whole protocol on a CUDA device: what the tests beside this one ask of a CPU."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch

from esgd.checkpoint import load_checkpoint
from esgd.config import RunConfig
from esgd.ensemble_run import train_ensemble_in_folder
from esgd.figures.step_cost import fitting_costs, trained_together
from esgd.measure import MeasureConfig
from esgd.measure_export import export_measures
from esgd.measure_run import measure_run
from esgd.provenance import describe_device
from esgd.reproduce import Protocol, export, reproduce
from esgd.resumable import train_in_folder
from esgd.runs import RunFolder, read_csv

from .test_checkpoint import same
from .test_cli import in_process
from .test_ensemble_run import SETTINGS, members

DEVICE = "cuda"
QUIET = {"device": DEVICE, "progress": False}
pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here"),
]


@pytest.fixture(autouse=True)
def _deterministic(monkeypatch) -> Iterator[None]:
    """Kernels that repeat their bits, wherever there are such; the assertions tell whether those suffice."""
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    torch.use_deterministic_algorithms(True, warn_only=True)
    yield
    torch.use_deterministic_algorithms(before[0], warn_only=before[1])


def without_clock(rows: list[dict]) -> list[dict]:
    return [{key: value for key, value in row.items() if key != "seconds"} for row in rows]


def in_pieces(train, steps: int = 4) -> None:
    """Calls ``train(should_stop)`` again and again, each time for a few updates, until it says ``finished``."""
    for _ in range(50):
        answers = iter([False] * steps)
        if train(lambda a=answers: next(a, True)) == "finished":
            return
    raise AssertionError("not finished after 50 pieces")


@pytest.mark.parametrize("method", [*SETTINGS, "adam"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_run_stopped_anywhere_goes_on_to_the_bit(tiny, tmp_path, method, dtype):
    config = RunConfig("tiny", method, epochs=4, batch_size=20, warmup_probes=3, update_every=4, dtype=dtype)
    whole, pieces = RunFolder("whole", tmp_path), RunFolder("pieces", tmp_path)
    train_in_folder(config, whole, **QUIET)
    in_pieces(lambda stop: train_in_folder(config, pieces, should_stop=stop, **QUIET).status)
    one, other = load_checkpoint(whole.checkpoint), load_checkpoint(pieces.checkpoint)
    for key in ("net", "optimizer", "progress", "data", "settings"):
        assert same(one[key], other[key]), key
    rows = without_clock(read_csv(whole.records))
    for row in rows:
        del row["run"]
    for row, theirs in zip(rows, without_clock(read_csv(pieces.records)), strict=True):
        assert row == {key: theirs[key] for key in row}
    manifest = pieces.manifest()
    assert len(manifest["sessions"]) > 1
    assert {session["device_type"] for session in manifest["sessions"]} == {DEVICE}
    assert manifest["device"] == describe_device(torch.device(DEVICE))


@pytest.mark.parametrize("method", ["sgd", "rmsprop"])
def test_a_run_is_that_of_a_cpu_up_to_the_order_of_sums(tiny, tmp_path, method):
    """Of methods without probes, whose bits come from the device's own generator."""
    config = RunConfig(
        "tiny", method, epochs=5, batch_size=20, damping=0 if method == "sgd" else 1e-2, dtype="float64"
    )
    here, there = RunFolder("here", tmp_path), RunFolder("there", tmp_path)
    train_in_folder(config, here, **QUIET)
    train_in_folder(config, there, device="cpu", progress=False)
    mine, theirs = ([row["loss"] for row in read_csv(folder.records)] for folder in (here, there))
    assert mine == pytest.approx(theirs, rel=1e-5)  # evaluation sums in float32
    assert mine[-1] < mine[0]


@pytest.mark.parametrize("method", SETTINGS)
def test_an_ensemble_equals_its_runs_alone(tiny, tmp_path, method):
    configs = members(method)
    status, training = train_ensemble_in_folder(configs, RunFolder("together", tmp_path), **QUIET)
    assert status == "finished"
    assert {p.device.type for p in training.net.parameters()} == {DEVICE}
    for k, config in enumerate(configs):
        alone = train_in_folder(config, RunFolder(f"alone-{k}", tmp_path), **QUIET)
        for mine, theirs in zip(training.net.member(k).parameters(), alone.net.parameters(), strict=True):
            torch.testing.assert_close(mine, theirs, rtol=1e-7, atol=1e-7)
        rows = training.member_records(k)
        assert [row["gradient_equivalents"] for row in rows] == [r["gradient_equivalents"] for r in alone.records]
        assert [row["loss"] for row in rows] == pytest.approx([row["loss"] for row in alone.records], rel=1e-5)


@pytest.mark.parametrize("method", ["rmsprop", "esgd"])
def test_an_ensemble_stopped_anywhere_goes_on_to_the_bit(tiny, tmp_path, method):
    configs, found = members(method, dtype="float32"), {}

    def train(stop=lambda: False, name: str = "pieces") -> str:
        status, found[name] = train_ensemble_in_folder(
            configs, RunFolder(name, tmp_path), should_stop=stop, **QUIET
        )
        return status

    train(name="whole")
    in_pieces(train)
    for mine, theirs in zip(found["whole"].net.parameters(), found["pieces"].net.parameters(), strict=True):
        assert torch.equal(mine, theirs)
    assert without_clock(found["whole"].records) == without_clock(found["pieces"].records)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_measures_along_a_run(tiny, tmp_path, dtype):
    """Repeated to the bit; and where no probe is drawn, those of a CPU from the same snapshots."""
    folder = RunFolder("run", tmp_path)
    config = RunConfig("tiny", "rmsprop", epochs=2, batch_size=20, dtype=dtype)
    train_in_folder(config, folder, snapshot_every=1, **QUIET)
    small = MeasureConfig(examples=50, probes=8, spaces=1, steps=4, gradient_batches=2, abs_probes=4)
    places = {}
    for name, device in (("first", DEVICE), ("again", DEVICE), ("cpu", "cpu")):
        assert measure_run(folder, small, device=device, progress=False)
        written = export_measures([folder], small, tmp_path / name)
        rows = [row for path in written if path.suffix == ".csv" for row in read_csv(path)]
        places[name] = {(r["epoch"], r["quantity"], r["a"], r["b"]): r["value"] for r in rows}
        manifest = RunFolder("tiny", tmp_path / name / "fig4").manifest()
        assert manifest["device_type"] == device
        (measures,) = folder.path.glob("measures-*")
        measures.rename(tmp_path / f"measures-{name}")
    first, again, cpu = places.values()
    assert first.keys() == again.keys() == cpu.keys()
    for key, value in first.items():
        assert again[key] == value or (math.isnan(value) and math.isnan(again[key])), key
        if key[1] in ("loss", "saturated", "saturated_units"):
            assert value == pytest.approx(cpu[key], rel=1e-4, abs=1e-6), key
        if key[1] == "negative_energy":
            assert 0 <= value <= 1


PLAN = Protocol(
    "tiny", trials=3, search_epochs=2, seeds=(0, 1), rounds=(2, 4), methods=("sgd", "rmsprop", "esgd"), eval_every=1
)


@pytest.mark.parametrize("ensemble", [False, True])
def test_a_protocol_in_pieces_gives_the_bits_of_one_in_one_go(tiny, tmp_path, ensemble):
    whole, pieces, said = tmp_path / "whole", tmp_path / "pieces", []
    assert reproduce(PLAN, root=whole, ensemble=ensemble, say=said.append, **QUIET)
    assert said[-1] == "tiny: all 6 recorded runs have 4 epochs"

    def train(stop) -> str:
        done = reproduce(PLAN, root=pieces, ensemble=ensemble, should_stop=stop, say=said.append, **QUIET)
        return "finished" if done else "stopped"

    in_pieces(train, steps=12)
    for root in (whole, pieces):
        export(PLAN, root / "out", root=root, say=said.append)
    for name in ("trials.csv", "records.csv"):
        one, other = (without_clock(read_csv(root / "out" / name)) for root in (whole, pieces))
        assert one == other
    manifest = json.loads((pieces / "out" / "manifest.json").read_text())
    assert {session["device_type"] for run in manifest["runs"] for session in run["sessions"]} == {DEVICE}


@pytest.mark.parametrize("ensemble", [False, True])
def test_seconds_are_not_those_of_costs_on_a_cpu(tiny, tmp_path, ensemble):
    plan = replace(PLAN, methods=("sgd",), seeds=(0, 1))
    assert reproduce(plan, root=tmp_path, ensemble=ensemble, say=lambda line: None, **QUIET)
    export(plan, tmp_path / "out", root=tmp_path, say=lambda line: None)
    table = tmp_path / "out" / "records.csv"
    costs = {"rows": [{"net": "tiny", "optimizer": "RMSprop", "time_ratio": 1.5}]}
    (tmp_path / "step-cpu.json").write_text(json.dumps(costs | {"provenance": {"device_type": "cpu"}}))
    assert fitting_costs(table, tmp_path, "tiny", read_csv(table)) is None
    assert trained_together(table) is ensemble
    (tmp_path / "step-cuda.json").write_text(json.dumps(costs | {"provenance": {"device_type": "cuda"}}))
    assert (fitting_costs(table, tmp_path, "tiny", read_csv(table)) is None) is ensemble


def test_the_command_line_takes_the_gpu_by_itself(tiny, capsys, isolated):
    words = ("train", "tiny", "-o", "esgd", "--epochs", "2", "-q")
    assert in_process(capsys, *words, "--name", "run").returncode == 0
    assert in_process(capsys, *words, "--seeds", "0,1", "--name", "both").returncode == 0
    for name in ("run", "both"):
        assert RunFolder(name).manifest()["device_type"] == DEVICE
    assert all(
        tensor.device.type == "cpu" for tensor in load_checkpoint(RunFolder("run").checkpoint)["net"].values()
    )
    done = in_process(capsys, *words, "--name", "run", "--epochs", "3", "--device", "cpu")  # and goes on elsewhere
    assert done.returncode == 0, done.stderr
    kinds = [session["device_type"] for session in RunFolder("run").manifest()["sessions"]]
    assert kinds == [DEVICE, "cpu"]
