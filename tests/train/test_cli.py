"""The command line as a user meets it: in a process of its own."""

from __future__ import annotations

import gzip
import os
import signal
import subprocess
import sys
import time
from importlib import resources

import pytest

from esgd.checkpoint import load_checkpoint
from esgd.cli import main
from esgd.runs import RunFolder, read_csv

from .conftest import cli_environment
from .test_checkpoint import same


def one_line(done: subprocess.CompletedProcess, *parts: str, code: int | None = None) -> None:
    """One line on stderr with all the parts, no traceback, a failing exit."""
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("esgd: ")
    for part in parts:
        assert part in lines[0], lines[0]
    assert done.returncode == code if code is not None else done.returncode != 0
    assert "Traceback" not in done.stdout + done.stderr


def in_process(capsys, *words: str) -> subprocess.CompletedProcess:
    """The same main(), without the seconds that a new process takes to import torch."""
    with pytest.raises(SystemExit) as exit_:
        main(list(words))
    printed = capsys.readouterr()
    return subprocess.CompletedProcess(words, exit_.value.code, printed.out, printed.err)


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["train", "cifar"], ["unknown workload 'cifar'", "mnist-10k"]),
        (["train", "curves", "--lr", "-1"], ["lr must be a finite number above 0, got -1.0"]),
        (["train", "curves", "--optimizer", "adagrad"], ["unknown optimizer 'adagrad'", "rmsprop"]),
        (["train", "curves", "--device", "tpu9"], ["unknown device 'tpu9'"]),
        (["train", "curves", "--lr", "fast"], ["--lr"]),
        (["train"], ["workload"]),
        (["frobnicate"], ["frobnicate"]),
        (["train", "curves", "--name", "../up"], ["plain folder name"]),
        (["train", "curves", "--minutes", "0"], ["minutes must be above 0"]),
        (["train", "curves", "--checkpoint-every", "0"], ["checkpoint-every"]),
        (["search", "curves", "--space", "huge"], ["unknown search space 'huge'", "wide"]),
        (["search", "curves", "--trials", "0"], ["trials must be at least 1"]),
    ],
)
def test_bad_words_give_one_clear_line(words, parts, capsys, isolated):
    one_line(in_process(capsys, *words), *parts)


def test_bad_words_end_the_process_in_the_same_way(cli):
    one_line(cli("train", "cifar"), "unknown workload 'cifar'", code=1)


def test_missing_and_corrupted_files_give_one_clear_line(cli, tmp_path):
    one_line(cli("train", "mnist", "-q", ESGD_DATA=str(tmp_path / "nowhere")), "nowhere", "not a folder")
    packed = resources.files("esgd.data").joinpath("packaged", "t10k-images-idx3-ubyte.gz").read_bytes()
    (tmp_path / "train-images-idx3-ubyte").write_bytes(gzip.decompress(packed)[:100_000])
    done = cli("train", "mnist", "-q", ESGD_DATA=str(tmp_path))
    one_line(done, "not the canonical train-images-idx3-ubyte", "truncated")


def test_no_permission_to_write_gives_one_clear_line(cli, tmp_path, small_curves):
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    done = cli(
        "train", "curves", "-q", "--epochs", "1", ESGD_RUNS=str(blocked / "runs"), ESGD_DATA=str(small_curves)
    )
    one_line(done, "cannot write", str(blocked))


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder_gives_one_clear_line(cli, tmp_path, small_curves):
    folder = tmp_path / "readonly"
    folder.mkdir(mode=0o500)
    done = cli("train", "curves", "-q", "--epochs", "1", ESGD_RUNS=str(folder), ESGD_DATA=str(small_curves))
    one_line(done, "no permission", str(folder))


def test_train_and_list(cli, capsys, isolated, monkeypatch, small_curves):
    words = ("train", "curves", "-o", "esgd", "--epochs", "2", "--name", "run")
    done = cli(*words, ESGD_DATA=str(small_curves))
    assert done.returncode == 0, done.stderr
    assert "finished: run: loss" in done.stdout
    assert "100%" in done.stderr  # the progress bar
    rows = read_csv(isolated / "runs" / "run" / "records.csv")
    assert [row["epoch"] for row in rows] == [0, 1, 2]

    listed = in_process(capsys, "list")
    assert listed.returncode == 0
    assert f"{rows[-1]['loss']:.4f}" in listed.stdout
    assert "finished" in listed.stdout

    monkeypatch.setenv("ESGD_DATA", str(small_curves))
    one_line(in_process(capsys, *words, "--lr", "0.02"), "lr was 0.03 and is now 0.02")
    path = isolated / "runs" / "run" / "checkpoint.pt"
    path.write_bytes(path.read_bytes()[:1000])
    one_line(in_process(capsys, *words), "truncated", "delete it")


def test_divergence_has_its_own_exit_code(capsys, isolated, monkeypatch, small_curves):
    monkeypatch.setenv("ESGD_DATA", str(small_curves))
    done = in_process(capsys, "train", "curves", "-o", "sgd", "--lr", "1e20", "--epochs", "3", "-q")
    assert done.returncode == 3
    assert "diverged" in done.stdout


def test_version_and_help(capsys):
    assert in_process(capsys, "--version").stdout.startswith("esgd ")
    assert "search" in in_process(capsys, "--help").stdout
    assert in_process(capsys, "list", "--runs", "/nowhere/at/all").stdout.startswith("no runs in")


def start(tmp_path, data, *words: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-m", "esgd", *words],
        env=cli_environment(tmp_path, ESGD_DATA=str(data)),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for_checkpoint(folder: RunFolder, process: subprocess.Popen, after: float = 0.0) -> None:
    while process.poll() is None and not (folder.checkpoint.exists() and folder.checkpoint.stat().st_mtime > after):
        time.sleep(0.01)


def killed_run(tmp_path, data, kills: int) -> tuple[RunFolder, int]:
    """Train with a kill -9 at ``kills`` random moments, then to an end a little further; and how many epochs."""
    import random

    moments = random.Random(kills)
    words = ("train", "curves", "-o", "esgd", "-q", "--name", "killed", "--epochs")
    folder = RunFolder("killed", tmp_path / "runs")
    for _ in range(kills):
        process = start(tmp_path, data, *words, "100000")  # no life ends by itself
        before = folder.checkpoint.stat().st_mtime if folder.checkpoint.exists() else 0.0
        wait_for_checkpoint(folder, process, before)  # at least one epoch of progress a life
        time.sleep(moments.random() * 0.2)
        process.kill()
        process.communicate()
        assert process.returncode == -signal.SIGKILL
    (folder.path / ".checkpoint.pt.orphan.tmp").write_bytes(b"as a kill in the middle of a write leaves it")
    epochs = load_checkpoint(folder.checkpoint)["progress"]["epoch"] + 2
    process = start(tmp_path, data, *words, str(epochs))
    _, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    return folder, epochs


def compare_with_uninterrupted(cli, tmp_path, data, kills: int) -> None:
    killed, epochs = killed_run(tmp_path, data, kills)
    done = cli(
        *("train", "curves", "-o", "esgd", "-q", "--epochs", str(epochs), "--name", "whole"), ESGD_DATA=str(data)
    )
    assert done.returncode == 0, done.stderr
    whole = RunFolder("whole", tmp_path / "runs")
    mine, theirs = load_checkpoint(killed.checkpoint), load_checkpoint(whole.checkpoint)
    for key in ("net", "optimizer", "progress", "data", "settings"):
        assert same(mine[key], theirs[key]), key
    assert not list(killed.path.glob(".*.tmp"))  # what kills in the middle of a write left is cleared away


def test_kill_9_changes_no_bit(cli, tmp_path, small_curves):
    compare_with_uninterrupted(cli, tmp_path, small_curves, kills=2)


@pytest.mark.slow
def test_twenty_five_times_kill_9_changes_no_bit(cli, tmp_path, small_curves):
    compare_with_uninterrupted(cli, tmp_path, small_curves, kills=25)


def test_without_typer_one_line_says_what_to_install():
    script = "import sys; sys.modules['typer'] = None; from esgd.cli import main; main(['list'])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    one_line(done, "pip install 'esgd[train]'")
