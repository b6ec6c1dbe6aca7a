"""Manifests tell which session trained which epochs, on what; a session that trained nothing leaves no trace."""

from __future__ import annotations

import pytest
import torch

from esgd import sessions
from esgd.config import RunConfig
from esgd.ensemble_run import train_ensemble_in_folder
from esgd.provenance import provenance
from esgd.resumable import train_in_folder
from esgd.runs import RunFolder

QUIET = {"device": "cpu", "progress": False}


class Killed(BaseException):
    pass


@pytest.fixture
def commit(monkeypatch):
    """Sets the commit that is found from then on."""

    def at(letter: str) -> None:
        found = provenance(torch.device("cpu")) | {"commit": 40 * letter, "device": f"machine {letter}"}
        monkeypatch.setattr(sessions, "provenance", lambda device: dict(found))

    return at


def config(epochs: int, seed: int = 0) -> RunConfig:
    return RunConfig("tiny", "sgd", epochs=epochs, batch_size=20, seed=seed)


def alone(folder: RunFolder, epochs: int, **options) -> None:
    train_in_folder(config(epochs), folder, **QUIET, **options)


def together(folder: RunFolder, epochs: int, **options) -> None:
    own = [RunFolder(f"{folder.name}-{seed}", folder.path.parent) for seed in (0, 1)]
    train_ensemble_in_folder([config(epochs, seed) for seed in (0, 1)], folder, own_folders=own, **QUIET, **options)


WAYS = pytest.mark.parametrize("train", [alone, together])


def spans(manifest: dict) -> list[tuple]:
    return [(s["commit"][0], s["device"], s["from_epoch"], s["to_epoch"]) for s in manifest["sessions"]]


@WAYS
def test_each_session_says_what_it_ran_on_and_the_first_gives_the_manifest_its_name(tiny, tmp_path, commit, train):
    folder = RunFolder("run", tmp_path)
    commit("a")
    train(folder, 2)
    commit("b")
    train(folder, 5)
    paths = list(tmp_path.glob("*/manifest.json"))
    assert len(paths) == (1 if train is alone else 3)
    for path in paths:
        manifest = RunFolder(path.parent.name, tmp_path).manifest()
        assert spans(manifest) == [("a", "machine a", 0, 2), ("b", "machine b", 2, 5)]
        assert (manifest["commit"], manifest["device"]) == (40 * "a", "machine a")
        first, last = manifest["sessions"]
        assert manifest["started"] == first["started"] <= first["ended"] <= last["started"]
        assert manifest["ended"] == last["ended"]
        assert {"started", "ended", "commit", "changed", "versions", "platform", "device"} <= set(last)


@WAYS
def test_where_nothing_is_left_to_train_the_manifest_stays_as_it_is(tiny, tmp_path, commit, train):
    folder = RunFolder("run", tmp_path)
    commit("a")
    train(folder, 2)
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in tmp_path.glob("*/*.*")}
    commit("b")
    train(folder, 2)
    assert {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in before} == before


@WAYS
def test_a_session_stopped_before_its_first_step_leaves_no_trace(tiny, tmp_path, commit, train):
    folder = RunFolder("run", tmp_path)
    commit("a")
    train(folder, 2)
    commit("b")
    train(folder, 4, should_stop=lambda: True)
    assert spans(folder.manifest()) == [("a", "machine a", 0, 2)]
    assert folder.manifest()["commit"] == 40 * "a"


@WAYS
def test_what_a_kill_left_open_is_closed_by_the_checkpoint(tiny, tmp_path, commit, train):
    folder = RunFolder("run", tmp_path)
    # three steps an epoch; two members are asked for between their evaluations as well
    steps = iter([False] * (7 if train is alone else 10))

    def mortal():
        for answer in steps:
            return answer
        raise Killed

    commit("a")
    with pytest.raises(Killed):
        train(folder, 4, should_stop=mortal, checkpoint_every=1)
    commit("b")
    with pytest.raises(Killed):  # at once: nothing of it is in the checkpoint
        train(folder, 4, should_stop=mortal)
    commit("c")
    train(folder, 4)
    manifest = folder.manifest()
    assert spans(manifest) == [("a", "machine a", 0, 2), ("c", "machine c", 2, 4)]
    assert manifest["sessions"][0]["ended"] is None


@WAYS
def test_a_manifest_without_sessions_is_taken_as_one(tiny, tmp_path, commit, train):
    folder = RunFolder("run", tmp_path)
    commit("a")
    train(folder, 2)
    old = {key: value for key, value in folder.manifest().items() if key != "sessions"}
    folder.write_manifest(old)
    train(folder, 2)  # nothing to train
    assert folder.manifest() == old
    commit("b")
    train(folder, 3)
    assert spans(folder.manifest()) == [("a", "machine a", 0, 2), ("b", "machine b", 2, 3)]
    assert folder.manifest()["sessions"][0]["ended"] == old["ended"]
