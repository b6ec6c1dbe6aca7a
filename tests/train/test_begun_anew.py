"""A run that begins anew inherits nothing of the run before it: no snapshots, no measures and no rows."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from esgd.aside import epochs_done, keep_aside, longest
from esgd.ensemble_run import train_ensemble_in_folder
from esgd.errors import CheckpointError
from esgd.measure import MeasureConfig
from esgd.measure_export import export_measures
from esgd.measure_run import measure_run
from esgd.records import read_records
from esgd.resumable import train_in_folder
from esgd.runs import RunFolder, read_csv
from esgd.snapshots import list_snapshots

from .test_checkpoint import config

QUIET = {"device": "cpu", "progress": False}
SMALL = MeasureConfig(examples=50, probes=4, spaces=0, gradient_batches=1)


def trained(folder: RunFolder, epochs: int, *, lr: float = 0.05, every: int | None = 2) -> RunFolder:
    settings = config(method="sgd", lr=lr, epochs=epochs, batch_size=50)
    train_in_folder(settings, folder, snapshot_every=every, **QUIET)
    return folder


@pytest.fixture
def run(tiny, tmp_path) -> RunFolder:
    """Four epochs, measured at 0, 2 and 4; then its checkpoint is lost."""
    folder = trained(RunFolder("run", tmp_path), 4)
    assert measure_run(folder, SMALL, **QUIET)
    folder.checkpoint.unlink()
    return folder


def losses(place: Path) -> dict[int, float]:
    rows = read_csv(place / "fig6" / "tiny" / "measures.csv")
    return {row["epoch"]: row["value"] for row in rows if row["quantity"] == "loss"}


def test_the_measures_are_of_the_run_that_its_manifest_tells(run, tmp_path):
    before = {path.relative_to(run.path): path.read_bytes() for path in run.path.glob("*/epoch*")}
    assert len(before) == 6
    told = run.manifest()
    trained(run, 2, lr=0.001)
    assert list(list_snapshots(run)) == [0, 2]
    assert measure_run(run, SMALL, **QUIET)
    export_measures([run], SMALL, tmp_path / "out")
    mine = {row["epoch"]: row["loss"] for row in read_csv(run.records)}
    assert losses(tmp_path / "out") == pytest.approx({epoch: mine[epoch] for epoch in (0, 2)})  # all 50 examples
    earlier = RunFolder("earlier-1", run.path)
    assert {p.relative_to(earlier.path): p.read_bytes() for p in earlier.path.glob("*/epoch*")} == before
    assert earlier.manifest() == told


def test_rows_of_other_settings_do_not_count_as_the_runs_own_and_are_kept(run):
    told, rows = run.manifest(), read_records(run.records)
    budget = iter([False])  # one epoch of one step
    settings = config(method="sgd", lr=0.001, epochs=4, batch_size=50)
    train_in_folder(settings, run, should_stop=lambda: next(budget, True), **QUIET)
    assert epochs_done(run) == 1
    assert longest(run)[0]["config"]["lr"] == 0.001
    trained(run, 6, lr=0.001)  # past the four that lie aside
    assert read_records(run.path / "records-recorded.csv") == rows
    run.checkpoint.unlink()
    trained(run, 1, lr=0.02)  # and a third run
    kept = {json.loads(path.read_text())["config"]["lr"] for path in run.path.glob("**/manifest-recorded.json")}
    assert kept == {told["config"]["lr"], 0.001}
    assert epochs_done(run) == 1


def test_a_run_killed_before_its_first_checkpoint_leaves_no_rows_of_another_under_its_name(run):
    class Killed(BaseException):
        pass

    def kill() -> bool:
        raise Killed

    settings = config(method="sgd", lr=0.001, epochs=4, batch_size=50)
    for _ in range(2):
        with pytest.raises(Killed):
            train_in_folder(settings, run, should_stop=kill, snapshot_every=1, **QUIET)
        assert run.manifest()["config"]["lr"] == 0.001
        assert epochs_done(run) == 0
    assert read_records(run.path / "records-recorded.csv")[-1]["epoch"] == 4
    keep_aside(run)
    keep_aside(run)  # nothing is left to move
    assert sorted(path.name for path in run.path.glob("earlier-*")) == ["earlier-1", "earlier-2", "earlier-3"]


def test_a_member_of_an_ensemble_keeps_the_rows_of_other_settings_too(run, tmp_path):
    rows = read_records(run.records)
    other, both = RunFolder("other", tmp_path), RunFolder("both", tmp_path)
    members = [config(method="sgd", lr=0.001, epochs=5, batch_size=50, seed=seed) for seed in (0, 1)]
    train_ensemble_in_folder(members, both, own_folders=[run, other], checkpoint_every=5, **QUIET)
    assert epochs_done(run) == 5
    assert read_records(run.path / "records-recorded.csv") == rows
    assert not list_snapshots(run)


def test_a_snapshot_of_another_run_is_refused(run, tmp_path):
    other = trained(RunFolder("other", tmp_path), 2, lr=0.001)
    for path in list_snapshots(run).values():
        path.rename(other.path / "snapshots" / path.name)
    with pytest.raises(CheckpointError, match=r"epoch 0 in .* another run .*\(lr 0\.05, not 0\.001\): move its"):
        measure_run(other, SMALL, **QUIET)


def test_a_snapshot_beyond_the_run_is_refused(tiny, tmp_path):
    longer, shorter = (trained(RunFolder(name, tmp_path), n) for name, n in (("long", 4), ("short", 2)))
    list_snapshots(longer)[4].rename(shorter.path / "snapshots" / "epoch00004.pt")
    with pytest.raises(CheckpointError, match=r"epoch 4 in .* lies beyond the 2 epochs of the run there: move it"):
        measure_run(shorter, SMALL, **QUIET)
    assert list(list_snapshots(trained(shorter, 4))) == [0, 2, 4]
    assert measure_run(shorter, SMALL, **QUIET)


@pytest.mark.parametrize("tells", [True, False])
def test_measures_of_other_weights_are_refused_where_they_tell_them(run, tmp_path, tells):
    """As an older version left them: the run begun anew, the measures still there."""
    files = sorted(run.path.glob("measures-*/epoch*.json"))
    records = {path.name: json.loads(path.read_text()) for path in files}
    again = trained(RunFolder("again", tmp_path), 4, lr=0.001)
    place = again.path / files[0].parent.name
    place.mkdir()
    for name, record in records.items():
        (place / name).write_text(json.dumps({k: v for k, v in record.items() if tells or k != "snapshot_sha256"}))
    if not tells:  # nothing to tell them by
        assert measure_run(again, SMALL, **QUIET)
        return
    for use in (
        lambda: measure_run(again, SMALL, **QUIET),
        lambda: export_measures([again], SMALL, tmp_path / "out"),
    ):
        with pytest.raises(CheckpointError, match=r"epoch0000\d\.json was measured at other weights .*move the"):
            use()


def test_measures_of_before_are_checked_by_the_settings_of_their_snapshots(run):
    for path in run.path.glob("measures-*/epoch*.json"):
        record = json.loads(path.read_text())
        del record["snapshot_sha256"]
        path.write_text(json.dumps(record))
    assert measure_run(run, SMALL, **QUIET)
    told = run.manifest()
    run.write_manifest(told | {"config": told["config"] | {"lr": 0.001}})  # begun anew by an older version
    with pytest.raises(CheckpointError, match="another run than"):
        measure_run(run, SMALL, **QUIET)


def test_a_resumed_run_remakes_its_later_snapshots_to_the_same_bytes_and_the_measures_stay(tiny, tmp_path):
    folder = trained(RunFolder("run", tmp_path), 2, every=1)
    early = folder.checkpoint.read_bytes()
    trained(folder, 4, every=1)
    assert measure_run(folder, SMALL, **QUIET)
    before = {epoch: path.read_bytes() for epoch, path in list_snapshots(folder).items()}
    folder.checkpoint.write_bytes(early)  # as a kill leaves it: snapshots ahead of the checkpoint
    list_snapshots(folder)[3].unlink()
    list_snapshots(folder)[4].write_bytes(b"")  # to be sure that both are made again
    trained(folder, 4, every=1)
    assert {epoch: path.read_bytes() for epoch, path in list_snapshots(folder).items()} == before
    assert not list(folder.path.glob("earlier-*"))
    measured = {path: path.read_bytes() for path in folder.path.glob("measures-*/*")}
    assert measure_run(folder, SMALL, **QUIET)
    assert {path: path.read_bytes() for path in folder.path.glob("measures-*/*")} == measured
