"""A recorded protocol taken over on a new machine: no search is run again, an export is the record again."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from esgd.errors import ConfigError, DataError
from esgd.recorded import take_over
from esgd.reproduce import PROTOCOLS, Protocol, best_config, export, reproduce
from esgd.runs import RunFolder, read_csv
from esgd.search import Trials

PLAN = Protocol(
    "tiny", trials=2, search_epochs=1, seeds=(0, 1), rounds=(2, 4), methods=("sgd", "esgd"), eval_every=1
)
OPTIONS = {"device": "cpu", "progress": False, "say": lambda line: None}


@pytest.fixture
def record(tiny, tmp_path):
    """A protocol run to its first round and exported; the folder of the export."""
    assert reproduce(PLAN, root=tmp_path / "first", epochs=2, **OPTIONS)
    export(PLAN, tmp_path / "record", root=tmp_path / "first")
    return tmp_path / "record"


def test_taken_over_and_exported_a_record_is_the_same(record, tmp_path):
    made = take_over(PLAN, record, root=tmp_path / "second")
    assert len(made) == 2 * 2 + 2 * 2
    export(PLAN, tmp_path / "again", root=tmp_path / "second")
    for name in ("trials.csv", "records.csv"):
        assert (tmp_path / "again" / name).read_text() == (record / name).read_text()
    old, new = (json.loads((place / "manifest.json").read_text()) for place in (record, tmp_path / "again"))
    assert new | {"exported": None} == old | {"exported": None}
    assert take_over(PLAN, record, root=tmp_path / "second") == []  # what there is stays


def test_no_trial_is_trained_again_and_a_run_goes_on_from_its_start_to_the_same_bits(record, tmp_path, monkeypatch):
    take_over(PLAN, record, root=tmp_path / "second")

    def no_search(*args, **options):
        raise AssertionError("a trial was trained again")

    monkeypatch.setattr("esgd.search.train_in_folder", no_search)
    assert reproduce(PLAN, root=tmp_path / "second", epochs=2, **OPTIONS)  # nothing to do
    sgd = replace(best_config(PLAN, "sgd", tmp_path / "second"), seed=0)
    folder = RunFolder(sgd.name(), tmp_path / "second")
    folder.write_manifest(folder.manifest() | {"started": "2001-01-01T00:00:00+00:00"})
    assert reproduce(PLAN, root=tmp_path / "second", seeds=(0,), epochs=3, **OPTIONS)
    rows = [row for row in read_csv(folder.records) if row["epoch"] <= 2]
    before = [row for row in read_csv(record / "records.csv") if row["run"] == folder.name]
    assert [row["loss"] for row in rows] == [row["loss"] for row in before]
    assert not folder.manifest()["started"].startswith("2001")  # the new run's own start
    assert folder.manifest()["epochs_done"] == 3


def test_trials_that_were_not_done_are_searched(record, tmp_path):
    rows = (record / "trials.csv").read_text().splitlines()
    (record / "trials.csv").write_text("\n".join(rows[:-1]) + "\n")  # without the last trial of esgd
    take_over(PLAN, record, root=tmp_path / "second")
    assert len(Trials(PLAN.study("esgd"), tmp_path / "second").losses()) == 1
    assert best_config(PLAN, "esgd", tmp_path / "second") is None
    reproduce(PLAN, root=tmp_path / "second", epochs=2, **OPTIONS)
    assert best_config(PLAN, "esgd", tmp_path / "second") == best_config(PLAN, "esgd", tmp_path / "first")


def test_another_protocols_record_other_settings_and_no_record_are_refused(record, tmp_path):
    with pytest.raises(ConfigError, match="not by 'esgd reproduce mnist': name the folder"):
        take_over(PROTOCOLS["mnist"], record, root=tmp_path / "second")
    with pytest.raises(ConfigError, match=r"trial 0 of sgd .* has other settings than this protocol draws"):
        take_over(replace(PLAN, search_epochs=2), record, root=tmp_path / "second")
    with pytest.raises(ConfigError, match="trial 0 of esgd"):
        take_over(replace(PLAN, methods=("sgd",)), record, root=tmp_path / "second")
    with pytest.raises(DataError, match="holds no record: name a folder"):
        take_over(PLAN, tmp_path / "nowhere", root=tmp_path / "second")


@pytest.mark.parametrize("name", ["curves", "mnist", "curves-nesterov"])
def test_our_own_records_are_taken_over(name, tmp_path):
    source = Path(__file__).parents[2] / "results" / "fig5" / name
    plan = PROTOCOLS[name]
    made = take_over(plan, source, root=tmp_path)
    assert len(made) == len(read_csv(source / "trials.csv")) + len(plan.methods) * len(plan.seeds)
    export(plan, tmp_path / "again", root=tmp_path)
    assert (tmp_path / "again" / "records.csv").read_text() == (source / "records.csv").read_text()
