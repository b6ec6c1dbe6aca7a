"""The measurement over a whole data set: it resumes after a kill with the same bits, and records itself."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from esgd.curvature_record import export, layer_rows
from esgd.curvature_run import CurvatureConfig, main, measure_curvature
from esgd.errors import CheckpointError, ConfigError, EsgdError
from esgd.estimators import diagonals
from esgd.hvp import HessianOperator
from esgd.nets import Autoencoder, reconstruction_loss
from esgd.runs import RunFolder, read_csv
from esgd.workload import workload

SMALL = CurvatureConfig(
    "mnist-10k", probes=12, epochs=1, batch_size=100, probes_per_pass=4, sizes=(784, 8, 3), examples=600
)


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def results(tally):
    return tally.squares.mean, tally.squares.variance(), tally.z.mean, tally.dominance.squared().value


def same(a, b):
    return all(
        torch.equal(torch.as_tensor(x), torch.as_tensor(y)) for x, y in zip(results(a), results(b), strict=True)
    )


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    torch.set_num_threads(1)
    root = tmp_path_factory.mktemp("runs")
    return measure_curvature(SMALL, root=root), root


def test_it_is_the_estimator_s_result(whole):
    tally, root = whole
    net = Autoencoder(SMALL.sizes)
    net.load_state_dict(torch.load(root / SMALL.name() / "weights.pt", weights_only=True)["weights"])
    images = workload("mnist-10k").data(progress=False).images[:600]
    operator = HessianOperator(lambda b: reconstruction_loss(net(b), b), net.named_parameters(), images.split(100))
    expected = diagonals(operator, 12)
    assert torch.allclose(tally.squares.mean, expected.diag_squared.value, rtol=1e-4, atol=1e-12)
    assert torch.allclose(tally.z.estimate().stderr, expected.diag.stderr, rtol=1e-4, atol=1e-12)
    assert tally.dominance.squared().value == pytest.approx(expected.dominance_squared.value, rel=1e-3, abs=1e-7)


class Stop(Exception):
    """Stands for whatever ends a process."""


@pytest.mark.parametrize("after", [1, 4, 9])
def test_stopped_anywhere_it_goes_on_to_the_same_bits(whole, tmp_path, after, monkeypatch):
    calls = []

    def say(line):
        calls.append(line)
        if len(calls) == after:
            raise Stop

    with pytest.raises(Stop):
        measure_curvature(SMALL, root=tmp_path, checkpoint_every=0, say=say)
    progress = json.loads((tmp_path / SMALL.name() / "progress.json").read_text())
    assert 0 < progress["share"] < 1
    assert progress["seconds_left"] > 0
    assert "% done" in calls[-1]
    assert "left" in calls[-1]
    resumed = measure_curvature(SMALL, root=tmp_path, checkpoint_every=0)
    assert same(resumed, whole[0])
    assert resumed.resumes == 1
    # a finished run is not done again
    assert same(measure_curvature(SMALL, root=tmp_path), whole[0])
    assert measure_curvature(SMALL, root=tmp_path).resumes == 1


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_kill_9_costs_nothing_but_time(whole, tmp_path):
    # the command, with a pause after each checkpoint, so that the kill comes while there is work left
    program = """if True:
        import sys, time
        from esgd import curvature_run
        keep = curvature_run.write_progress
        def slow(*arguments):
            line = keep(*arguments)
            print(line, flush=True)
            time.sleep(0.3)
            return line
        curvature_run.write_progress = slow
        sys.exit(curvature_run.main())
    """
    command = [sys.executable, "-c", program, *SMALL.command().split()[3:]]
    command += ["--runs", str(tmp_path), "--checkpoint-every", "0"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    for _ in range(4):
        assert "% done" in process.stdout.readline()
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    process.stdout.close()
    folder = tmp_path / SMALL.name()
    assert 0 < json.loads((folder / "progress.json").read_text())["share"] < 1
    assert (folder / "checkpoint.pt").exists()
    resumed = measure_curvature(SMALL, root=tmp_path)
    assert resumed.resumes == 1
    assert same(resumed, whole[0])


def test_two_at_a_time_are_refused(tmp_path):
    folder = RunFolder(SMALL.name(), tmp_path)
    with folder.locked(), pytest.raises(EsgdError, match="another process"):
        measure_curvature(SMALL, root=tmp_path)


def test_a_checkpoint_of_other_settings_is_refused(whole, tmp_path):
    _, root = whole
    other = CurvatureConfig(**{**SMALL.__dict__, "probes_per_pass": 3})
    assert other.name() == SMALL.name()
    with pytest.raises(CheckpointError, match="probes_per_pass was 4 and is now 3"):
        measure_curvature(other, root=root)


def test_what_is_recorded(whole, tmp_path):
    tally, root = whole
    export(SMALL.name(), tally, tmp_path, root=root)
    place = tmp_path / SMALL.name()
    manifest = json.loads((place / "manifest.json").read_text())
    assert manifest["parameters"] == tally.z.mean.numel() == 2 * 784 * 8 + 2 * 8 * 3 + 8 + 3 + 8 + 784
    assert manifest["settings"]["probes"] == manifest["totals"]["probes"] == 12
    assert {"seconds", "cpu_seconds", "peak_bytes", "resumes"} == set(manifest["cost"])
    assert {"versions", "device", "commit", "start", "end", "command"} <= set(manifest)
    text = (place / "manifest.json").read_text()
    assert str(Path.cwd()) not in text
    assert str(root) not in text
    layers = read_csv(place / "layers.csv")
    assert [row["parameter"] for row in layers] == tally.names
    assert sum(row["entries"] for row in layers) == manifest["parameters"]
    assert all(row["equilibration_q10"] <= row["equilibration_q50"] <= row["equilibration_q90"] for row in layers)
    trace = read_csv(place / "trace.csv")
    assert [row["probes"] for row in trace] == [4, 8, 12]
    with np.load(place / "sample.npz") as sample:
        index = sample["index"]
        assert np.allclose(sample["squared"], tally.squares.mean[index].numpy(), rtol=1e-6)
    assert layer_rows(tally)[0]["zero_share"] > 0  # pixels that are always black


def test_the_command_remakes_the_run(whole, tmp_path, capsys):
    command = SMALL.command().split()[3:]
    assert main([*command, "--runs", str(tmp_path), "--export", str(tmp_path / "out")]) == 0
    assert "100.0 % done" in capsys.readouterr().out
    manifest = json.loads((tmp_path / "out" / SMALL.name() / "manifest.json").read_text())
    assert manifest["totals"]["frobenius_squared"] == whole[0].energy.estimate().value


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["mnist", "--probes", "1"], "probes must be at least 2"),
        (["nowhere"], "unknown workload"),
        (["mnist", "--probe", "x"], "probe must be"),
    ],
)
def test_errors_are_one_line(arguments, word, capsys, tmp_path):
    assert main([*arguments, "--runs", str(tmp_path)]) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert word in error
    assert error.count("\n") == 1
    with pytest.raises(ConfigError):
        CurvatureConfig(probes=0)


def test_time_left_is_an_estimate_from_the_pace(tmp_path):
    from esgd.curvature_run import Clock

    tally = type("T", (), {"seconds": 0.0, "cpu_seconds": 0.0, "batch": 0})()
    clock = Clock(tally, 10)
    for _ in range(2):
        time.sleep(0.05)
        tally.batch += 1
        clock.tick()
    assert clock.left() == pytest.approx(8 / 2 * tally.seconds)
    assert tally.seconds >= 0.1
