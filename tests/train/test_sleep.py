"""The experiments on units that sleep: how they are counted, and which runs are repeated."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import pytest
import torch

from esgd.errors import DataError
from esgd.resumable import train_in_folder
from esgd.runs import RunFolder, read_csv
from esgd.snapshots import Snapshot, list_snapshots, load_snapshot

from .conftest import tiny_images
from .test_checkpoint import config


def test_units_that_are_off_or_on_for_all_images_are_counted(tiny, tmp_path, experiment, monkeypatch):
    sleep = experiment("_sleep")
    folder = RunFolder("run", tmp_path)
    train_in_folder(config(epochs=1), folder, snapshot_every=1, device="cpu", progress=False)
    images = tiny_images()
    awake = sleep.asleep(folder, 1, images)
    assert all(row["asleep"] == 0 for row in awake)

    def pushed(path: Path) -> Snapshot:
        found = load_snapshot(path)
        with torch.no_grad():
            found.net.encoder[0].bias[:2] = torch.tensor([-50.0, 50.0])  # off, and on, whatever the image
            found.net.encoder[0].bias[2] = 50.0
            found.net.encoder[0].weight[2] = -1e3  # on for the black image, off for others: it tells them apart
        return found

    monkeypatch.setattr(sleep, "load_snapshot", pushed)
    black_too = torch.cat([images, 0 * images[:1]])
    rows = sleep.asleep(folder, 1, black_too)
    with torch.no_grad():
        first = torch.sigmoid(pushed(list_snapshots(folder)[1]).net.encoder[0](black_too))
    assert rows[0]["asleep"] == ((first * (1 - first)) < 0.01).all(dim=0).sum().item()
    assert rows[0]["asleep"] >= 2
    assert [row["units"] for row in rows] == [row["units"] for row in awake]
    assert {row["epoch"] for row in rows} == {1}
    with pytest.raises(DataError, match="kept no snapshot of its epoch 7"):
        sleep.asleep(folder, 7, images)


def test_repeated_runs_are_the_recorded_ones_but_for_the_damping(experiment):
    awake, recorded = experiment("awake"), experiment("_recorded")
    for seed, epochs in enumerate(awake.EPOCHS):
        theirs = recorded.recorded_run("esgd", seed)["config"]
        mine = asdict(awake.calmed(seed, epochs))
        assert {key for key in mine if mine[key] != theirs[key]} == {"damping"}
        assert (mine["damping"], theirs["damping"]) == (1e-2, 1e-4)
    with pytest.raises(DataError, match="no run of esgd with seed 9, only with: 0, 1, 2"):
        awake.calmed(9, 10)


def test_export_holds_every_run_and_every_count(tiny, tmp_path, experiment, monkeypatch):
    sleep = experiment("_sleep")
    monkeypatch.setattr(sleep, "RESULTS", tmp_path / "results")
    folders = [RunFolder(f"run{seed}", tmp_path) for seed in (0, 1)]
    for seed, folder in enumerate(folders):
        train_in_folder(config(epochs=1, seed=seed), folder, snapshot_every=1, device="cpu", progress=False)
    rows = [row for folder in folders for row in sleep.asleep(folder, 1, tiny_images())]
    sleep.export("out", "python some.py", folders, rows)
    out = RunFolder("out", tmp_path / "results")
    assert read_csv(out.path / "asleep.csv") == rows
    assert {row["seed"] for row in read_csv(out.records)} == {0, 1}
    assert out.manifest()["command"] == "python some.py"
    assert out.manifest()["runs"] == [folder.manifest() for folder in folders]
