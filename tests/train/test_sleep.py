"""The experiments on units that sleep: how they are counted, and which runs are repeated."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest
import torch

from esgd.errors import DataError
from esgd.resumable import train_in_folder
from esgd.runs import RunFolder
from esgd.snapshots import Snapshot, list_snapshots, load_snapshot

from .conftest import tiny_images
from .test_checkpoint import config

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def benchmark(monkeypatch):
    """A module of ``benchmarks/`` by its name."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))

    def load(name: str):
        spec = importlib.util.spec_from_file_location(name, BENCHMARKS / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    yield load
    sys.modules.pop("_sleep", None)


def test_units_that_are_off_or_on_for_all_images_are_counted(tiny, tmp_path, benchmark, monkeypatch):
    sleep = benchmark("_sleep")
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


def test_repeated_runs_are_the_recorded_ones(benchmark):
    awake = benchmark("awake")
    settings = [awake.recorded(seed) for seed in (0, 1, 2)]
    assert [s.seed for s in settings] == [0, 1, 2]
    assert {(s.method, s.damping, s.lr) for s in settings} == {("esgd", 1e-4, settings[0].lr)}
    assert awake.DAMPING == 1e-2
    assert max(awake.EPOCHS) == settings[0].epochs
