"""`esgd train --seeds`: what it cannot do it refuses, and members that diverge are told."""

from __future__ import annotations

import shlex
from dataclasses import replace

import pytest

from esgd.config import RunConfig
from esgd.members import ensemble_name
from esgd.runs import RunFolder, read_csv
from esgd.search import SearchSettings, search

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


def listed(capsys, name: str) -> str:
    (line,) = [line for line in in_process(capsys, "list").stdout.splitlines() if line.startswith(f"{name} ")]
    return line


def test_the_list_tells_all_members(tiny, isolated, capsys):
    words = ("train", "tiny", "-o", "sgd", "--device", "cpu", "-q", "--epochs", "2", "--seeds", "0,1,2")
    assert in_process(capsys, *words, "--name", "three").returncode == 0
    rows = read_csv(RunFolder("three").records)
    low, middle, high = sorted(row["loss"] for row in rows if row["epoch"] == 2)
    assert listed(capsys, "three").endswith(
        f"    2/2      losses {low:.4f} to {high:.4f}, median {middle:.4f}, 3 members"
    )
    for row in rows:
        if row["member"] == 1 and row["epoch"] == 2:
            row["loss"] = float("nan")
    RunFolder("three").write_records(rows)
    assert listed(capsys, "three").endswith(", 3 members, 1 diverged")
    assert "nan" not in listed(capsys, "three")
    assert in_process(capsys, *words, "--lr", "1e20", "--name", "lost").returncode == 3
    assert listed(capsys, "lost").endswith("  3 members, 3 diverged")


@pytest.mark.parametrize("name", [None, "a name"])
def test_an_ensembles_command_makes_it_again(tiny, isolated, capsys, monkeypatch, name):
    words = (
        "train",
        "tiny",
        "-o",
        "esgd",
        "--device",
        "cpu",
        "-q",
        "--epochs",
        "2",
        "--seeds",
        "4,1",
        "--lr",
        "0.02",
    )
    assert in_process(capsys, *words, *(("--name", name) if name else ())).returncode == 0
    (path,) = (isolated / "runs").glob("*/manifest.json")
    folder = RunFolder(path.parent.name)
    first, *rest = shlex.split(folder.manifest()["command"])
    assert first == "esgd"
    monkeypatch.setenv("ESGD_RUNS", str(isolated / "again"))
    assert in_process(capsys, *rest, "-q", "--device", "cpu").returncode == 0
    one, other = (
        [{k: v for k, v in row.items() if k != "seconds"} for row in read_csv(RunFolder(folder.name, root).records)]
        for root in (isolated / "runs", isolated / "again")
    )
    assert one == other


def test_an_ensemble_of_trials_has_the_command_of_its_search(tiny, tmp_path):
    settings = SearchSettings("tiny", "sgd", trials=2, epochs=1)
    done = search(settings, root=tmp_path, ensemble=2, device="cpu", progress=False)
    assert done.ensemble_folder([0, 1]).manifest()["command"] == f"{settings.command()} --ensemble 2"


def test_a_name_that_no_file_may_have_is_shortened_and_no_other(tiny, isolated, capsys):
    def name(*seeds: int) -> str:
        config = RunConfig("tiny", "sgd", lr=0.03)
        return ensemble_name([replace(config, seed=seed) for seed in seeds])

    assert name(0, 2, 1) == "tiny-sgd-lr0.03-seeds0-2-1"
    assert name(*range(60)) == f"tiny-sgd-lr0.03-seeds{'-'.join(map(str, range(60)))}"
    assert name(*range(1, 100)) == "tiny-sgd-lr0.03-seeds1to99"
    odd, other = range(0, 200, 2), [2, 0, *range(4, 200, 2)]
    assert name(*odd).startswith("tiny-sgd-lr0.03-100seeds-")
    assert name(*odd) != name(*other)
    words = ("train", "tiny", "-o", "sgd", "--lr", "0.03", "--device", "cpu", "-q", "--epochs", "1")
    done = in_process(capsys, *words, "--seeds", ",".join(map(str, range(91))))
    assert done.returncode == 0, done.stderr
    assert "-seeds0to90: " in done.stdout
    assert (isolated / "runs" / "tiny-sgd-lr0.03-seeds0to90").is_dir()
