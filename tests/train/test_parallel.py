"""Two processes under torchrun against one, on the same global batches."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from esgd.runs import read_csv

from .conftest import cli_environment

WORDS = ("train", "curves", "-o", "esgd", "--dtype", "float64", "--device", "cpu", "-q")


def torchrun(home, data, *words):
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "esgd"]
    env = cli_environment(home, ESGD_DATA=str(data))
    return subprocess.run([*command, *words], env=env, capture_output=True, text=True, timeout=120)


def test_two_processes_go_on_with_the_run_of_one(cli, small_curves, tmp_path):
    alone = cli(*WORDS, "--epochs", "3", "--name", "alone", ESGD_DATA=str(small_curves))
    begun = cli(*WORDS, "--epochs", "1", "--name", "both", ESGD_DATA=str(small_curves))
    assert alone.returncode == begun.returncode == 0, alone.stderr + begun.stderr
    both = torchrun(tmp_path, small_curves, *WORDS, "--epochs", "3", "--name", "both")
    assert both.returncode == 0, both.stderr
    assert both.stdout.count("finished") == 1  # rank 0 alone speaks
    one, two = (read_csv(tmp_path / "runs" / name / "records.csv") for name in ("alone", "both"))
    assert [row["step"] for row in two] == [row["step"] for row in one] == [0, 2, 4, 6]
    for column in ("loss", "batch_loss"):
        mine = [row[column] for row in two if row[column] is not None]
        assert mine == pytest.approx([row[column] for row in one if row[column] is not None], rel=1e-9)
    assert one[-1]["loss"] < 0.9 * one[0]["loss"]
    assert json.loads((tmp_path / "runs" / "both" / "manifest.json").read_text())["processes"] == 2


@pytest.mark.slow
def test_a_time_limit_stops_all_processes_at_one_step(small_curves, tmp_path):
    words = (*WORDS, "--epochs", "100000", "--minutes", "0.05", "--name", "long")
    for _ in range(2):  # the second goes on where the first was stopped
        stopped = torchrun(tmp_path, small_curves, *words)
        assert stopped.returncode == 0, stopped.stderr
        assert "stopped: long" in stopped.stdout


@pytest.mark.slow
def test_batches_that_cannot_be_shared_are_refused(small_curves, tmp_path):
    odd = torchrun(tmp_path, small_curves, *WORDS, "--epochs", "1", "--batch-size", "133")
    assert odd.returncode != 0
    assert "cannot share batches of 133" in odd.stderr
