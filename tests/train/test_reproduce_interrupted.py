"""Recorded runs of `esgd reproduce` that were stopped or killed anywhere: they end, and the record says how."""

from __future__ import annotations

import json
import math
import shutil
from dataclasses import replace

import pytest

from esgd import checkpoint_times, rounds, runs
from esgd.checkpoint import load_checkpoint
from esgd.config import RunConfig
from esgd.ensemble_run import train_ensemble_in_folder
from esgd.reproduce import Protocol, best_config, export, reproduce
from esgd.resumable import train_in_folder
from esgd.runs import RunAheadError, RunFolder, read_csv
from esgd.search import search

from .test_ensemble_search import Killed, MortalWrites, without_clock

PLAN = Protocol("tiny", trials=1, search_epochs=1, seeds=(0, 1), rounds=(5, 20), methods=("sgd",), eval_every=5)
QUIET = {"device": "cpu", "progress": False}
OPTIONS = {**QUIET, "say": lambda line: None}
WAYS = pytest.mark.parametrize("ensemble", [False, True])


def after(steps: int):
    """A ``should_stop`` that says yes after so many questions."""
    answers = iter([False] * steps)
    return lambda: next(answers, True)


def epochs_of(folder: RunFolder) -> list[int]:
    return [row["epoch"] for row in read_csv(folder.records)]


@pytest.fixture
def searched(tiny, tmp_path):
    """The folder of a protocol whose search is done, and the folders of its two recorded runs."""
    search(PLAN.study("sgd"), root=tmp_path / "runs", **QUIET)
    config = best_config(PLAN, "sgd", tmp_path / "runs")
    return tmp_path / "runs", [RunFolder(replace(config, seed=n).name(), tmp_path / "runs") for n in PLAN.seeds]


@WAYS
def test_fewer_epochs_than_a_run_stopped_between_two_evaluations_has(searched, ensemble):
    root, folders = searched
    seeds = (0, 1) if ensemble else (0,)
    ask = {"root": root, "ensemble": ensemble, "seeds": seeds, **OPTIONS}
    assert not reproduce(PLAN, should_stop=after(12 if ensemble else 10), **ask)
    place = next(root.glob("tiny-*-seeds0-1")) if ensemble else folders[0].path
    done = load_checkpoint(place / "checkpoint.pt")["progress"]["epoch"]
    assert 7 < done < 10
    assert epochs_of(folders[0]) == [0, 5]
    assert reproduce(PLAN, epochs=7, **ask)  # there is no way back: it is evaluated where it is
    assert epochs_of(folders[0]) == [0, 5, done]
    assert folders[0].manifest()["status"] == "finished"
    assert reproduce(PLAN, epochs=7, **ask)
    assert epochs_of(folders[0]) == [0, 5, done]


def test_a_round_that_a_run_has_passed_is_left_to_the_next(searched):
    """No evaluation out of turn: the records are those of a run that was never stopped."""
    root, (folder, _) = searched
    assert not reproduce(PLAN, root=root, seeds=(0,), should_stop=after(9), **OPTIONS)
    plan = replace(PLAN, rounds=(6, 20))
    assert reproduce(plan, root=root, seeds=(0,), **OPTIONS)
    assert epochs_of(folder) == [0, 5, 10, 15, 20]


@WAYS
def test_amid_an_epoch_a_run_is_not_evaluated_as_at_its_beginning(tiny, tmp_path, ensemble):
    configs = [RunConfig("tiny", "sgd", epochs=9, batch_size=20, seed=n, eval_every=5) for n in (0, 1)]
    folder = RunFolder("run", tmp_path)

    def train(epochs: int, **options) -> None:
        asked = [replace(config, epochs=epochs) for config in configs]
        if ensemble:
            train_ensemble_in_folder(asked, folder, **QUIET, **options)
        else:
            train_in_folder(asked[0], folder, **QUIET, **options)

    train(9, should_stop=after(3 * 2 + 2))  # three steps an epoch
    with pytest.raises(RunAheadError, match="has 2 epochs and a part of the next one already") as error:
        train(2)
    assert error.value.epochs == 3
    train(3)
    assert {row["step"] for row in read_csv(folder.records)} == {0, 9}


@WAYS
def test_killed_at_any_write_recorded_runs_end_and_the_record_says_how(searched, tmp_path, monkeypatch, ensemble):
    root, folders = searched
    monkeypatch.setattr(checkpoint_times, "SECONDS", 0.0)
    plan = replace(PLAN, rounds=(1, 3), eval_every=1)
    ask = {"ensemble": ensemble, **OPTIONS}
    shutil.copytree(root, tmp_path / "straight")
    assert reproduce(plan, root=tmp_path / "straight", **ask)
    names = [folder.name for folder in folders]
    expected = [without_clock(read_csv(RunFolder(name, tmp_path / "straight").records)) for name in names]
    mortal = MortalWrites(monkeypatch)
    for writes in range(1000):
        mortal.left, place = writes, tmp_path / f"{writes}"
        shutil.copytree(root, place)
        try:
            reproduce(plan, root=place, **ask)
        except Killed:
            mortal.left = math.inf
        else:
            break
        told_rightly(plan, place, tmp_path / "out")
        shutil.copytree(place, lower := tmp_path / f"{writes}-lower")
        assert reproduce(plan, root=lower, epochs=1, **ask)
        told_rightly(plan, lower, tmp_path / "out")
        assert reproduce(plan, root=place, **ask)
        told_rightly(plan, place, tmp_path / "out")
        for name, rows in zip(names, expected, strict=True):
            assert without_clock(read_csv(place / name / "records.csv")) == rows
            assert RunFolder(name, place).manifest()["status"] == "finished"
        assert all(each.manifest()["status"] == "finished" for each in runs.list_runs(place))
    assert 10 < writes < 1000


def told_rightly(plan: Protocol, root, out) -> None:
    """Whether an export tells of every run how far it is, which sessions made it, and none as under way."""
    shutil.rmtree(out, ignore_errors=True)
    export(plan, out, root=root)
    exported = json.loads((out / "manifest.json").read_text())["runs"]
    last = {row["run"]: row for row in read_csv(out / "records.csv")} if exported else {}
    for run in exported:
        row = last[run["run"]]
        assert run["status"] in ("finished", "interrupted")
        assert (run["epochs_done"], run["loss"]) == (row["epoch"], pytest.approx(row["loss"]))
        assert all(session["to_epoch"] is not None for session in run["sessions"])
        assert [session["to_epoch"] for session in run["sessions"]][-1:] in ([row["epoch"]], [])
        assert ("ended" in run) == (run["status"] == "finished")


def test_a_run_under_way_is_exported_as_such(searched, tmp_path):
    root, (folder, _) = searched
    assert reproduce(PLAN, root=root, seeds=(0,), epochs=5, **OPTIONS)
    sessions = folder.manifest()["sessions"]
    folder.write_manifest(
        folder.manifest() | {"status": "running", "sessions": [*sessions, sessions[0] | {"to_epoch": None}]}
    )
    with folder.locked():
        export(PLAN, tmp_path / "out", root=root)
        assert reproduce(PLAN, root=root, seeds=(0,), epochs=5, **OPTIONS)  # done, whoever is at it
    (run,) = json.loads((tmp_path / "out" / "manifest.json").read_text())["runs"]
    assert (run["status"], run["epochs_done"]) == ("running", 5)


def test_runs_that_diverged_are_not_said_to_have_the_epochs(tiny, tmp_path, monkeypatch):
    chosen = rounds.best_config
    monkeypatch.setattr(rounds, "best_config", lambda *a: (found := chosen(*a)) and replace(found, lr=1e9))
    said = []
    assert reproduce(PLAN, root=tmp_path, epochs=5, **OPTIONS | {"say": said.append})
    assert said[-1] == "tiny: all 2 recorded runs have 5 epochs or have diverged"
