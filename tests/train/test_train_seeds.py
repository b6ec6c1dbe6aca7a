"""`esgd train --seeds`: what it cannot do it refuses, and members that diverge are told."""

from __future__ import annotations

import pytest

from esgd.runs import RunFolder

from .test_cli import in_process, one_line

WORDS = ("train", "curves", "-o", "sgd", "--device", "cpu", "-q", "--epochs", "3", "--seeds", "0,1")


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["--snapshot-every", "1"], ["keep no snapshots", "--seeds or --snapshot-every"]),
        (["--seed", "0"], ["--seeds 0,1 and --seed 0 contradict each other"]),
        (["--seed", "5"], ["--seeds 0,1 and --seed 5 contradict each other"]),
    ],
)
def test_options_that_an_ensemble_would_ignore_are_refused(capsys, isolated, words, parts):
    one_line(in_process(capsys, *WORDS, *words), *parts)
    assert not (isolated / "runs").exists()


@pytest.mark.parametrize("every", ["1", "5"])
def test_an_ensemble_that_diverges_says_so_and_exits_as_a_run_alone_does(
    capsys, isolated, monkeypatch, small_curves, every
):
    monkeypatch.setenv("ESGD_DATA", str(small_curves))
    words = (*WORDS, "--lr", "1e20", "--name", "lost", "--checkpoint-every", every)
    for _ in range(2):  # the second finds it so
        done = in_process(capsys, *words)
        assert done.returncode == 3
        assert done.stdout.startswith("diverged: lost: losses")
        folder = RunFolder("lost", isolated / "runs")
        assert folder.manifest()["status"] == "diverged"
        assert folder.records.exists()
        assert len(folder.manifest()["sessions"]) == 1
    fine = in_process(capsys, *WORDS, "--name", "fine")
    assert fine.returncode == 0
    assert fine.stdout.startswith("finished: fine: losses")
    assert "diverged" not in fine.stdout
