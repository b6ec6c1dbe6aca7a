"""Two processes under torchrun against one, on the same global batches."""

from __future__ import annotations

import subprocess
import sys

import pytest

from esgd.runs import read_csv

from .conftest import cli_environment

WORDS = ("train", "curves", "-o", "esgd", "--epochs", "2", "--dtype", "float64", "--device", "cpu", "-q")


def torchrun(home, data, *words):
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "esgd"]
    env = cli_environment(home, ESGD_DATA=str(data))
    return subprocess.run([*command, *words], env=env, capture_output=True, text=True, timeout=120)


def test_two_processes_give_the_run_of_one(cli, small_curves, tmp_path):
    alone = cli(*WORDS, "--name", "alone", ESGD_DATA=str(small_curves))
    assert alone.returncode == 0, alone.stderr
    both = torchrun(tmp_path, small_curves, *WORDS, "--name", "both")
    assert both.returncode == 0, both.stderr
    assert both.stdout.count("finished") == 1  # rank 0 alone speaks
    one, two = (read_csv(tmp_path / "runs" / name / "records.csv") for name in ("alone", "both"))
    assert [row["step"] for row in two] == [row["step"] for row in one] == [0, 2, 4]
    for column in ("loss", "batch_loss"):
        mine = [row[column] for row in two if row[column] is not None]
        assert mine == pytest.approx([row[column] for row in one if row[column] is not None], rel=1e-6)
    assert one[-1]["loss"] < 0.9 * one[0]["loss"]


@pytest.mark.slow
def test_batches_that_cannot_be_shared_are_refused(small_curves, tmp_path):
    odd = torchrun(tmp_path, small_curves, *WORDS, "--batch-size", "133")
    assert odd.returncode != 0
    assert "cannot share batches of 133" in odd.stderr
