"""`esgd list`: a run that was killed is told from one that is trained, and long names keep the columns."""

from __future__ import annotations

import os
import signal
import time

import pytest

from esgd.resumable import train_in_folder
from esgd.runs import RunFolder

from .test_checkpoint import config
from .test_cli import in_process, start

NAME = "curves-esgd-lr0.0431592-damping0.0001-nesterov0.9-every20-warmup10-seed0"


def status(capsys, name: str) -> str:
    (line,) = [line for line in in_process(capsys, "list").stdout.splitlines() if line.startswith(f"{name} ")]
    return line.split()[1]


def test_a_killed_run_is_interrupted_and_one_that_is_trained_is_running(capsys, isolated, small_curves):
    words = ("train", "curves", "-o", "sgd", "-q", "--device", "cpu", "--name", NAME, "--epochs", "100000")
    process = start(isolated, small_curves, *words)
    folder = RunFolder(NAME, isolated / "runs")
    while process.poll() is None and folder.manifest().get("status") != "running":
        time.sleep(0.02)
    try:
        assert status(capsys, NAME) == "running"
        assert folder.busy()
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=60)
    assert folder.manifest()["status"] == "running"  # nobody could write anything else
    assert status(capsys, NAME) == "interrupted"
    assert not folder.busy()


def test_columns_are_as_wide_as_the_longest_name(tiny, capsys, isolated):
    for name in ("short", NAME):
        train_in_folder(config(epochs=1), RunFolder(name), device="cpu", progress=False)
    killed = RunFolder("killed")
    killed.write_manifest({"run": "killed", "status": "running", "config": {"epochs": 3}})
    lines = in_process(capsys, "list").stdout.splitlines()
    assert len(lines) == 3
    assert {line.index("/") for line in lines} == {lines[0].index("/")}
    assert status(capsys, "killed") == "interrupted"


@pytest.mark.skipif(os.name != "posix", reason="locks are those of POSIX")
def test_asking_leaves_no_file_and_does_not_hold_the_run(tmp_path):
    folder = RunFolder("run", tmp_path)
    assert not folder.busy()
    assert not list(tmp_path.iterdir())
    with folder.locked():
        assert folder.busy()
    assert not folder.busy()
    with folder.locked():
        pass
