"""A record is never destroyed: not by a run that begins anew in its folder, nor by an export of less."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from esgd.errors import ConfigError
from esgd.recorded import take_over
from esgd.reproduce import Protocol, best_config, export, reproduce
from esgd.runs import RunFolder, read_csv

PLAN = Protocol("tiny", trials=2, search_epochs=1, seeds=(0, 1), rounds=(2,), methods=("sgd", "esgd"), eval_every=1)
OPTIONS = {"device": "cpu", "progress": False, "say": lambda line: None}
ASIDE = ["manifest-recorded.json", "records-recorded.csv"]


@pytest.fixture
def record(tiny, tmp_path) -> Path:
    """Four epochs of four runs, recorded elsewhere."""
    assert reproduce(PLAN, root=tmp_path / "first", epochs=4, **OPTIONS)
    export(PLAN, tmp_path / "record", root=tmp_path / "first", say=print)
    return tmp_path / "record"


def contents(record: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in record.glob("*.csv")}


def run_manifest(record: Path, name: str) -> dict:
    runs = json.loads((record / "manifest.json").read_text())["runs"]
    return next(run for run in runs if run["run"] == name)


@pytest.mark.parametrize("ensemble", [False, True])
def test_a_longer_run_stopped_early_leaves_the_record_as_it_was(record, tmp_path, ensemble):
    before, root = contents(record), tmp_path / "second"
    take_over(PLAN, record, root=root)
    # two searches, then two epochs of one step each; an ensemble asks between its two members' evaluations as well
    steps = iter([False] * (7 if ensemble else 4))
    options = OPTIONS | {"ensemble": ensemble}
    assert not reproduce(PLAN, root=root, epochs=6, should_stop=lambda: next(steps, True), **options)
    folder = RunFolder(replace(best_config(PLAN, "sgd", root), seed=0).name(), root)
    assert read_csv(folder.records)[-1]["epoch"] == 2
    assert sorted(path.name for path in folder.path.glob("*-recorded.*")) == ASIDE
    old = run_manifest(record, folder.name)
    export(PLAN, tmp_path / "elsewhere", root=root, say=print)
    assert contents(tmp_path / "elsewhere") == before
    assert run_manifest(tmp_path / "elsewhere", folder.name) == old  # with its own manifest
    export(PLAN, record, root=root, say=print)
    assert contents(record) == before

    assert reproduce(PLAN, root=root, epochs=6, **options)
    assert not list(folder.path.glob("*-recorded.*"))
    export(PLAN, record, root=root, say=print)
    rows = read_csv(record / "records.csv")
    assert {row["run"]: row["epoch"] for row in rows} == dict.fromkeys({r["run"] for r in rows}, 6)
    if not ensemble:  # equal up to the order of sums
        earlier = {(row["run"], row["epoch"]): row["loss"] for row in rows}
        for line in before["records.csv"].splitlines()[1:]:
            run, _, _, epoch, _, loss, *_ = line.split(",")
            assert earlier[run, int(epoch)] == float(loss)


def test_a_record_taken_over_counts_as_done_as_far_as_it_goes_while_its_run_begins_anew(record, tmp_path):
    root = tmp_path / "second"
    take_over(PLAN, record, root=root)
    steps = iter([False] * 4)
    assert not reproduce(PLAN, root=root, epochs=6, should_stop=lambda: next(steps, True), **OPTIONS)
    assert reproduce(PLAN, root=root, epochs=4, **OPTIONS)  # recorded: nothing to do
    folder = RunFolder(replace(best_config(PLAN, "sgd", root), seed=0).name(), root)
    assert read_csv(folder.records)[-1]["epoch"] == 2


def test_an_export_keeps_what_an_older_record_has_more_and_says_so(record, tmp_path):
    before, said = contents(record), []
    old = json.loads((record / "manifest.json").read_text()) | {"note": "by hand, about these runs"}
    (record / "manifest.json").write_text(json.dumps(old))
    assert reproduce(PLAN, root=tmp_path / "short", epochs=2, **OPTIONS)  # the same, shorter, without --from
    export(PLAN, record, root=tmp_path / "short", say=said.append)
    assert contents(record) == before
    kept = json.loads((record / "manifest.json").read_text())
    assert [kept[key] for key in ("runs", "epochs", "note")] == [old[key] for key in ("runs", "epochs", "note")]
    assert len(said) == 4
    assert all("kept the 4 epochs of" in line and "it has 2 here" in line for line in said)

    said.clear()
    stop = iter([False, True])  # one trial of one method is all
    reproduce(PLAN, root=tmp_path / "begun", should_stop=lambda: next(stop, True), **OPTIONS)
    export(PLAN, record, root=tmp_path / "begun", say=said.append)
    assert contents(record) == before
    assert any("trials of the older record that are not done here" in line for line in said)


def test_a_record_that_cannot_be_joined_is_refused_and_left_alone(record, tmp_path):
    before = {path.name: path.read_text() for path in record.iterdir()}
    other = replace(PLAN, momentum=0.5)
    assert reproduce(other, root=tmp_path / "other", epochs=1, **OPTIONS)
    with pytest.raises(ConfigError, match="not by 'esgd reproduce tiny-nesterov': name the folder"):
        export(other, record, root=tmp_path / "other", say=print)
    longer = replace(PLAN, search_epochs=2)
    assert reproduce(longer, root=tmp_path / "longer", epochs=1, **OPTIONS)
    with pytest.raises(ConfigError, match="other settings than this protocol draws"):
        export(longer, record, root=tmp_path / "longer", say=print)
    assert {path.name: path.read_text() for path in record.iterdir()} == before
