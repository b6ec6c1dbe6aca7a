"""Runs on different data are never taken together unnoticed: each way in is refused, with both sources named."""

from __future__ import annotations

import shutil
from dataclasses import replace

import pytest

from esgd.errors import ConfigError
from esgd.recorded import take_over
from esgd.reproduce import Protocol, best_config, export, reproduce
from esgd.search import SearchSettings, Trials, search
from esgd.workload import WORKLOADS

from .conftest import TINY_SIZES, TinyWorkload

PLAN = Protocol("tiny", trials=2, search_epochs=1, seeds=(0,), rounds=(2,), methods=("sgd", "esgd"), eval_every=1)
HERE = {"device": "cpu", "progress": False}
OPTIONS = HERE | {"say": lambda line: None}
BOTH = r"made for a test \(sha256 0{12}\).*drawn otherwise \(sha256 1{12}\)"
EITHER = r"(made for a test .*drawn otherwise|drawn otherwise .*made for a test)"


def study(trials: int = 2) -> SearchSettings:
    return SearchSettings("tiny", "sgd", trials=trials, epochs=1)


class Otherwise(TinyWorkload):
    """The same task by name, on other images."""

    def data(self, *args, **options):
        return replace(super().data(*args, **options), source="drawn otherwise", digest="1" * 64)


@pytest.fixture
def other_data(tiny, monkeypatch):
    """From the call on, ``tiny`` has other images."""
    return lambda: monkeypatch.setitem(WORKLOADS, "tiny", Otherwise("tiny", "tiny", TINY_SIZES))


def test_a_search_does_not_go_on_with_other_data(other_data, tmp_path):
    search(study(), root=tmp_path, **HERE)
    other_data()
    with pytest.raises(ConfigError, match=f"trained on {BOTH}: set ESGD_DATA"):
        search(study(3), root=tmp_path, **HERE)
    with pytest.raises(ConfigError, match=f"trained on {BOTH}"):
        search(study(5), root=tmp_path, ensemble=2, **HERE)


def test_the_losses_of_trials_on_different_data_are_not_compared(other_data, tmp_path):
    done = search(study(), root=tmp_path / "one", **HERE)
    other_data()
    search(study(), root=tmp_path / "two", **HERE)
    name = done.folder(1).name
    shutil.rmtree(tmp_path / "one" / name)
    shutil.copytree(tmp_path / "two" / name, tmp_path / "one" / name)  # as from another machine
    for compare in (done.losses, done.best, lambda: Trials(study(), tmp_path / "one").unfinished()):
        with pytest.raises(ConfigError, match=f"trial000 was trained on .*trial001 on .*|{BOTH}"):
            compare()


def test_no_method_and_no_run_of_a_protocol_is_trained_on_other_data(other_data, tmp_path):
    search(PLAN.study("sgd"), root=tmp_path, **HERE)
    other_data()
    with pytest.raises(ConfigError, match=BOTH):  # the search of the other method
        reproduce(PLAN, root=tmp_path, **OPTIONS)
    with pytest.raises(ConfigError, match=BOTH):
        search(PLAN.study("esgd"), root=tmp_path, data=Trials(PLAN.study("sgd"), tmp_path).data(), **HERE)


@pytest.mark.parametrize("ensemble", [False, True])
def test_a_record_taken_over_is_not_gone_on_with_on_other_data(other_data, tmp_path, ensemble):
    assert reproduce(PLAN, root=tmp_path / "first", **OPTIONS)
    export(PLAN, tmp_path / "record", root=tmp_path / "first")
    take_over(PLAN, tmp_path / "record", root=tmp_path / "second")
    trials = Trials(PLAN.study("esgd"), tmp_path / "second")
    for number in range(2):  # one has its manifest in the record, the other the data of the search's first
        assert trials.folder(number).manifest()["data"]["sha256"] == "0" * 64
    other_data()
    with pytest.raises(ConfigError, match=BOTH):
        reproduce(PLAN, root=tmp_path / "second", epochs=3, ensemble=ensemble, **OPTIONS)
    with pytest.raises(ConfigError, match=BOTH):  # a seed that no run of the record is on
        reproduce(PLAN, root=tmp_path / "second", seeds=(7,), ensemble=ensemble, **OPTIONS)
    assert best_config(PLAN, "sgd", tmp_path / "second")


def test_a_record_is_not_taken_over_beside_trials_on_other_data_nor_exported_over_such_a_record(
    other_data, tmp_path
):
    assert reproduce(PLAN, root=tmp_path / "first", **OPTIONS)
    export(PLAN, tmp_path / "record", root=tmp_path / "first")
    before = (tmp_path / "record" / "records.csv").read_text()
    other_data()
    stop = iter([False, True])
    reproduce(PLAN, root=tmp_path / "second", should_stop=lambda: next(stop, True), **OPTIONS)
    with pytest.raises(ConfigError, match=EITHER):
        take_over(PLAN, tmp_path / "record", root=tmp_path / "second")
    with pytest.raises(ConfigError, match=EITHER):
        export(PLAN, tmp_path / "record", root=tmp_path / "second")
    assert (tmp_path / "record" / "records.csv").read_text() == before


def test_a_trial_without_a_manifest_of_its_own_has_the_data_of_the_searchs_first(other_data, tmp_path):
    """As an older version took trials over: status and loss, and nothing of the data."""
    done = search(study(), root=tmp_path, **HERE)
    manifest = done.folder(1).manifest()
    bare = {"run": manifest["run"], "recorded": True, "status": "finished", "loss": manifest["loss"]}
    done.folder(1).write_manifest(bare)
    assert done.data()["sha256"] == "0" * 64
    assert len(done.losses()) == 2
    other_data()
    with pytest.raises(ConfigError, match=BOTH):
        search(study(3), root=tmp_path, **HERE)
