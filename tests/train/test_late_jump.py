"""The experiment on ESGD's late jump: it goes on with the run that it names, and finds the unit that moved."""

from __future__ import annotations

import pytest
import torch

from esgd.errors import DataError
from esgd.resumable import train_in_folder
from esgd.runs import RunFolder
from esgd.snapshots import list_snapshots, load_snapshot
from esgd.workload import workload

from .test_checkpoint import config


@pytest.fixture
def late_jump(experiment):
    return experiment("late_jump")


@pytest.mark.parametrize("update_every", [1, 2])
def test_unchanged_continuation_repeats_the_run(tiny, tmp_path, late_jump, monkeypatch, update_every):
    monkeypatch.setattr(late_jump, "EPOCHS", 2)
    folder = RunFolder("run", tmp_path)
    settings = config(epochs=4, dtype="float64", update_every=update_every)
    result = train_in_folder(settings, folder, snapshot_every=2, device="cpu", progress=False)
    middle = load_snapshot(list_snapshots(folder)[2])
    data = workload(settings.workload).data(device=torch.device("cpu"), dtype=torch.float64)
    same = late_jump.continued(middle, data, {"damping": settings.damping}, settings.seed)
    rows = late_jump.train_arm(same, {"damping": settings.damping})
    assert [row["epoch"] for row in rows] == [3, 4]
    for mine, theirs in zip(same.net.parameters(), result.net.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-9, atol=1e-12)
    assert rows[-1]["loss"] == pytest.approx(result.records[-1]["loss"], rel=1e-6)

    other = late_jump.continued(middle, data, {"damping": 10 * settings.damping}, settings.seed)
    assert late_jump.train_arm(other, {"damping": 10 * settings.damping})[-1]["loss"] != rows[-1]["loss"]


def test_mean_that_forgets_begins_at_the_same_diagonal(tiny, tmp_path, late_jump):
    folder = RunFolder("run", tmp_path)
    train_in_folder(config(epochs=2), folder, snapshot_every=2, device="cpu", progress=False)
    middle = load_snapshot(list_snapshots(folder)[2])
    data = workload(middle.config.workload).data(device=torch.device("cpu"), dtype=torch.float32)
    training = late_jump.continued(middle, data, {"damping": 1e-4, "beta": 0.5}, 0)
    for name, p in training.net.named_parameters():
        torch.testing.assert_close(training.optimizer.diagonal(p), middle.preconditioner[name])
        assert training.optimizer.state[p]["weight"] == 2  # 1/(1 − β) products


def test_busiest_unit_is_the_row_that_moved_most(late_jump):
    before = {"a.weight": torch.zeros(5, 4), "a.bias": torch.zeros(5)}
    after = {"a.weight": torch.full((5, 4), 0.5), "a.bias": torch.full((5,), 100.0)}
    after["a.weight"][3] = 6.0
    diagonal = {"a.weight": torch.full((5, 4), 2.0), "a.bias": torch.ones(5)}
    diagonal["a.weight"][3] = torch.tensor([0.1, 0.2, 0.3, 9.0])
    (row,) = late_jump.busiest_units(before, after, diagonal)
    assert (row["layer"], row["unit"], row["moved"], row["median_moved"]) == ("a", 3, 12.0, 1.0)
    assert row["diagonal"] == pytest.approx(0.2)  # torch's median is the lower of the two in the middle
    assert row["typical"] == 2.0
    assert row["next_moved"] == 1.0


def test_what_leaves_a_unit_is_a_column_of_the_next_layer(tiny, tmp_path, late_jump):
    folder = RunFolder("run", tmp_path)
    train_in_folder(config(epochs=2), folder, snapshot_every=1, device="cpu", progress=False)
    earlier, later = (load_snapshot(list_snapshots(folder)[epoch]) for epoch in (1, 2))
    with torch.no_grad():
        later.net.load_state_dict(earlier.net.state_dict())
        later.net.decoder[0].weight[2] += 3.0
        later.net.decoder[2].weight[:, 2] += 4.0
        later.net.decoder[2].weight[:, 1] += 0.5
    row = {"layer": "decoder.0", "unit": 2}
    found = late_jump.of_unit(row, earlier, later)
    rows = later.net.decoder[2].weight.shape[0]
    assert found["out_moved"] == pytest.approx(4 * rows**0.5)
    assert found["out_next"] == pytest.approx(0.5 * rows**0.5)
    assert found["out_share"] == pytest.approx(16 / 16.25)
    assert found["out_diagonal"] == earlier.preconditioner["decoder.2.weight"][:, 2].median().item()


def test_missing_snapshots_are_named_with_the_command_that_makes_them(tmp_path, late_jump, monkeypatch):
    monkeypatch.setenv("ESGD_RUNS", str(tmp_path))
    with pytest.raises(DataError, match=r"run `esgd train mnist .*--snapshot-every 10` first"):
        late_jump.long_run("esgd")
