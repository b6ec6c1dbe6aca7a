"""Ctrl-C, SIGTERM and a connection that drops: the run is saved, and what is said is true."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import contextmanager

import pytest

from esgd import ensemble_run, resumable
from esgd.checkpoint import load_checkpoint
from esgd.cli import StopSignal
from esgd.runs import RunFolder, read_csv

from .conftest import cli_environment
from .test_cli import in_process, one_line, start, wait_for_checkpoint

STOPPING = "esgd: stopping; press Ctrl-C again to stop at once\n"
posix = pytest.mark.skipif(os.name != "posix", reason="signals are those of POSIX")


@contextmanager
def ended(process):
    """Whatever happens, the process does not outlive its test."""
    try:
        yield
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def heard():
    """A hangup is not ignored, as it is in all that a ``nohup`` starts."""
    if not hasattr(signal, "SIGHUP"):
        yield
        return
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)  # which the processes of a test inherit
    yield
    signal.signal(signal.SIGHUP, before)


@posix
@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 143), ("SIGHUP", 129)])
def test_a_signal_saves_says_one_line_and_the_run_can_go_on(cli, tmp_path, small_curves, heard, name, code):
    words = ("train", "curves", "-o", "rmsprop", "-q", "--name", "run")
    folder = RunFolder("run", tmp_path / "runs")
    process = start(tmp_path, small_curves, *words, "--epochs", "100000")
    with ended(process):
        wait_for_checkpoint(folder, process)
        process.send_signal(getattr(signal, name))
        out, err = process.communicate(timeout=60)
    if name == "SIGINT":
        assert err.startswith(STOPPING)
    rest = err.removeprefix(STOPPING)
    one_line(subprocess.CompletedProcess(words, process.returncode, out, rest), "stopped and saved", code=code)
    progress = load_checkpoint(folder.checkpoint)["progress"]
    done = cli(*words, "--epochs", str(progress["epoch"] + 1), ESGD_DATA=str(small_curves))
    assert done.returncode == 0, done.stderr
    assert read_csv(folder.records)[-1]["step"] == 2 * (progress["epoch"] + 1)


@posix
def test_a_run_whose_terminal_is_gone_is_saved(tmp_path, small_curves, heard):
    """Its progress bar would be written to a terminal that takes nothing any more."""
    master, slave = os.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "esgd", "train", "curves", "-o", "sgd", "--name", "run", "--epochs", "100000"],
        env=cli_environment(tmp_path, ESGD_DATA=str(small_curves)),
        stdin=slave,
        stdout=slave,
        stderr=slave,
    )
    os.close(slave)
    folder = RunFolder("run", tmp_path / "runs")
    with ended(process):
        wait_for_checkpoint(folder, process)
        process.send_signal(signal.SIGHUP)
        os.close(master)
        assert process.wait(timeout=60) == 129
    assert folder.manifest()["status"] == "stopped"


@posix
@pytest.mark.parametrize(("words", "said"), [([], "finished: run: loss"), (["--seeds", "0,1"], "finished: run:")])
def test_a_signal_that_comes_too_late_to_stop_anything_is_not_told_as_a_stop(
    tiny, isolated, capsys, monkeypatch, words, said
):
    place = ensemble_run if words else resumable
    save = place.save_checkpoint

    def interrupted(*arguments):
        save(*arguments)
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(place, "save_checkpoint", interrupted)
    few = ("--epochs", "1", "--device", "cpu", "-q", "--name", "run", *words)
    done = in_process(capsys, "train", "tiny", "-o", "sgd", *few)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(said)


@posix
def test_a_search_that_is_done_when_the_signal_comes_ends_as_done(tiny, isolated, capsys, monkeypatch):
    save = resumable.save_checkpoint

    def interrupted(*arguments):
        save(*arguments)
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(resumable, "save_checkpoint", interrupted)
    words = ("search", "tiny", "--epochs", "1", "--device", "cpu", "-q")
    done = in_process(capsys, *words, "-o", "sgd", "--trials", "1")
    assert done.returncode == 0, done.stderr
    assert "1 of 1 trials; best loss" in done.stdout
    one_line(in_process(capsys, *words, "-o", "sgd", "--trials", "3"), "stopped and saved", code=143)
    one_line(in_process(capsys, *words, "--trials", "1"), "stopped and saved", code=143)  # other methods follow


@posix
def test_the_first_ctrl_c_is_answered_at_once_and_the_second_stops(capfd):
    with StopSignal() as stop:
        os.kill(os.getpid(), signal.SIGINT)
        assert stop()
        assert capfd.readouterr().err == STOPPING
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


@posix
def test_a_hangup_that_is_ignored_stays_so():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with StopSignal() as stop:
            os.kill(os.getpid(), signal.SIGHUP)
            assert not stop()
    finally:
        signal.signal(signal.SIGHUP, before)
