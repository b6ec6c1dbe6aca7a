"""Every checkpoint says what it holds; another kind is refused, an older one that does not say it still loads."""

from __future__ import annotations

import shutil

import pytest

from esgd.checkpoint import KINDS, load_checkpoint, save_checkpoint
from esgd.curvature_run import CurvatureConfig, measure_curvature
from esgd.ensemble_run import train_ensemble_in_folder
from esgd.errors import CheckpointError
from esgd.resumable import train_in_folder
from esgd.runs import RunFolder
from esgd.snapshots import list_snapshots, load_snapshot

from .test_checkpoint import config
from .test_cli import in_process, one_line

QUIET = {"device": "cpu", "progress": False}


def test_a_run_and_an_ensemble_of_one_name_are_told_apart(capsys, isolated, monkeypatch, small_curves):
    monkeypatch.setenv("ESGD_DATA", str(small_curves))
    words = ("train", "curves", "-o", "sgd", "--epochs", "1", "-q", "--device", "cpu")
    assert in_process(capsys, *words, "--seeds", "0,1", "--name", "both").returncode == 0
    done = in_process(capsys, *words, "--name", "both")
    one_line(done, "is not the checkpoint of a single run", "it is the checkpoint of an ensemble", "another --name")
    assert in_process(capsys, *words, "--name", "one").returncode == 0
    done = in_process(capsys, *words, "--seeds", "0,1", "--name", "one")
    one_line(done, "is not the checkpoint of an ensemble", "it is the checkpoint of a single run")


def test_a_snapshot_in_the_checkpoints_place_is_refused(tiny, tmp_path):
    folder = RunFolder("run", tmp_path)
    train_in_folder(config(epochs=1), folder, snapshot_every=1, **QUIET)
    shutil.copy(list_snapshots(folder)[1], folder.checkpoint)
    with pytest.raises(CheckpointError, match=r"not the checkpoint of a single run: .*it is a snapshot"):
        train_in_folder(config(epochs=2), folder, **QUIET)


def test_every_checkpoint_names_its_kind_and_loads_without_the_name(tiny, tmp_path):
    run, ensemble = RunFolder("run", tmp_path), RunFolder("both", tmp_path)
    train_in_folder(config(epochs=1), run, snapshot_every=1, **QUIET)
    train_ensemble_in_folder([config(epochs=1), config(epochs=1, seed=1)], ensemble, **QUIET)
    settings = CurvatureConfig("mnist-10k", epochs=0, probes=2, probes_per_pass=2, sizes=(784, 4, 2), examples=50)
    measured = RunFolder(settings.name(), tmp_path)
    measure_curvature(settings, root=tmp_path)
    paths = {
        "run": run.checkpoint,
        "snapshot": list_snapshots(run)[1],
        "ensemble": ensemble.checkpoint,
        "weights": measured.path / "weights.pt",
        "curvature": measured.checkpoint,
    }
    for kind, path in paths.items():
        state = load_checkpoint(path)
        assert state["kind"] == kind
        save_checkpoint(path, {key: value for key, value in state.items() if key != "kind"})
        assert "kind" not in load_checkpoint(path, kind=kind)  # as an older version wrote it
        for other in KINDS.keys() - {kind}:
            with pytest.raises(CheckpointError, match=f"is not {KINDS[other].what}"):
                load_checkpoint(path, kind=other)
    train_in_folder(config(epochs=2), run, **QUIET)
    train_ensemble_in_folder([config(epochs=2), config(epochs=2, seed=1)], ensemble, **QUIET)
    assert load_snapshot(paths["snapshot"]).epoch == 1
    measure_curvature(settings, root=tmp_path)


def test_what_lacks_keys_or_has_an_unknown_kind_is_refused(tmp_path):
    save_checkpoint(tmp_path / "c.pt", {"hello": 1})
    with pytest.raises(CheckpointError, match="it lacks settings, data, net, optimizer, progress, records"):
        load_checkpoint(tmp_path / "c.pt", kind="run")
    save_checkpoint(tmp_path / "c.pt", {"kind": "cake"})
    with pytest.raises(CheckpointError, match="of the unknown kind 'cake'"):
        load_checkpoint(tmp_path / "c.pt", kind="run")
