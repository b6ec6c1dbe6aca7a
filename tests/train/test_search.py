from __future__ import annotations

import json
import math
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from esgd.errors import ConfigError
from esgd.reproduce import Protocol, best_config, export, protocol, reproduce
from esgd.resumable import train_in_folder
from esgd.runs import RunFolder, read_csv
from esgd.search import SearchSettings, Trials, search, trial_rows
from esgd.spaces import SPACES


def study(method: str = "sgd", **changes) -> SearchSettings:
    return SearchSettings(**({"workload": "tiny", "method": method, "trials": 3, "epochs": 1} | changes))


@pytest.mark.parametrize("method", ["sgd", "rmsprop", "jacobi", "esgd"])
def test_the_papers_ranges_are_kept_and_the_wide_ones_are_as_wide_for_all(tiny, tmp_path, method):
    paper, wide = SPACES["paper"][method], SPACES["wide"][method]
    assert paper.lr == ((0.01, 0.1) if method in ("sgd", "esgd") else (1e-4, 1e-3))
    assert math.log10(wide.lr[1] / wide.lr[0]) == pytest.approx(3)
    assert wide.lr[0] == pytest.approx(paper.lr[0] / 10)
    drawn = [study(method).drawn(number) for number in range(30)]
    assert all(paper.lr[0] <= d["lr"] <= paper.lr[1] for d in drawn)
    assert len({d["lr"] for d in drawn}) == 30
    for name in ("damping", "decay"):
        assert {d.get(name) for d in drawn} == (set(getattr(paper, name)) or {None})


def test_the_extension_with_momentum_gives_each_method_two_decades_and_its_own_form():
    plan = protocol("curves-nesterov")
    assert plan.name == "curves-nesterov"
    for method in plan.methods:
        low, high = SPACES["momentum"][method].lr
        assert math.log10(high / low) == pytest.approx(2)
    forms = {method: (plan.study(method).momentum, plan.study(method).nesterov) for method in plan.methods}
    assert forms == {"esgd": (0.9, True), "rmsprop": (0.9, False), "sgd": (0.9, True)}
    assert all(study == replace(study, momentum=0.0) for study in map(protocol("curves").study, SPACES["paper"]))


def test_the_wide_protocols_are_the_papers_but_for_the_ranges():
    for name in ("curves", "mnist"):
        wide, paper = protocol(f"{name}-wide"), protocol(name)
        assert (wide.name, wide.space) == (f"{name}-wide", "wide")
        assert (wide.methods, wide.seeds, wide.search_epochs) == (paper.methods, paper.seeds, paper.search_epochs)
        for method in wide.methods:
            assert wide.study(method) == replace(paper.study(method), space="wide", trials=wide.trials)
            assert wide.study(method).name != paper.study(method).name


RECORDED = Path(__file__).parents[2] / "results" / "fig5"


@pytest.mark.parametrize("name", ["curves", "mnist", "curves-wide"])
def test_the_recorded_trials_are_drawn_again_to_the_bit(name):
    rows = read_csv(RECORDED / name / "trials.csv")
    assert rows
    for row in rows:
        settings = SearchSettings(
            row["workload"], row["method"], row["space"], epochs=int(row["epochs"]), seed=row["seed"]
        )
        recorded = {key: row[key] for key in ("lr", "damping", "decay") if row[key] is not None}
        assert settings.drawn(row["trial"]) == recorded


def test_a_study_that_is_open_twice_claims_each_trial_once_and_none_beyond_the_end(tiny, tmp_path):
    """One after the other; at once: ``test_search_processes.py``."""
    both = [Trials(study(), tmp_path) for _ in range(2)]
    assert [both[i % 2].claim() for i in range(3)] == [[0], [1], [2]]
    assert both[0].claim() == both[1].claim(2) == []
    assert both[0].begun() == [0, 1, 2]
    assert both[1].unfinished() == [[0], [1], [2]]


def test_optunas_journal_mirrors_the_folders_also_of_runs_that_were_copied(tiny, tmp_path):
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    settings = study("rmsprop")
    done = search(settings, root=tmp_path / "there", device="cpu", progress=False)
    assert len(done.losses()) == 3
    shutil.rmtree(tmp_path / "there" / "searches")  # as a machine without Optuna leaves them
    shutil.copytree(tmp_path / "there", tmp_path / "here")
    copied = Trials(replace(settings, trials=4), tmp_path / "here")
    copied.claim()
    for _ in range(2):  # opening it again changes nothing
        found = Trials(replace(settings, trials=4), tmp_path / "here").journal.study.get_trials()
        assert [trial.state.name for trial in found] == ["COMPLETE"] * 3 + ["RUNNING"]
        assert [trial.params for trial in found] == [settings.drawn(number) for number in range(4)]
        assert {n: trial.value for n, trial in enumerate(found[:3])} == done.losses()


def test_a_search_needs_no_optuna(tiny, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    done = search(study(), root=tmp_path, ensemble=2, device="cpu", progress=False)
    assert done.journal is None
    assert sorted(done.losses()) == [0, 1, 2]


def test_a_search_stopped_in_a_trial_goes_on_with_it(tiny, tmp_path):
    settings = study(epochs=60, trials=2)
    steps = iter(range(10**6))
    stopped = search(settings, root=tmp_path, device="cpu", progress=False, should_stop=lambda: next(steps) > 30)
    assert stopped.unfinished() == [[0]]
    done = search(settings, root=tmp_path, device="cpu", progress=False)
    straight = search(settings, root=tmp_path / "other", device="cpu", progress=False)
    assert done.losses() == straight.losses()
    rows = trial_rows(done)
    assert [row["trial"] for row in rows] == [0, 1]
    assert all(row["status"] == "finished" and row["squared_error"] > 0 for row in rows)
    longer = search(study(epochs=60, trials=3), root=tmp_path, device="cpu", progress=False)
    assert sorted(longer.losses()) == [0, 1, 2]


def test_a_trial_that_another_process_works_on_is_left_to_it(tiny, tmp_path):
    trials = Trials(study(trials=2), tmp_path)
    with trials.folder(*trials.claim()).locked():
        done = search(study(trials=2), root=tmp_path, device="cpu", progress=False)
    assert list(done.losses()) == [1]
    assert done.unfinished() == [[0]]


def test_reproduce_stops_goes_on_and_exports_what_all_runs_have(tiny, tmp_path):
    plan = Protocol(
        "tiny", trials=2, search_epochs=1, seeds=(0, 1), rounds=(2, 4), methods=("sgd", "esgd"), eval_every=1
    )
    assert best_config(plan, "sgd", tmp_path) is None
    with pytest.raises(ConfigError, match="run esgd reproduce first"):
        export(plan, tmp_path / "none", root=tmp_path)
    said = []
    for _ in range(200):  # a few steps a session
        steps = iter([False] * 3)
        if reproduce(
            plan,
            root=tmp_path,
            device="cpu",
            progress=False,
            should_stop=lambda s=steps: next(s, True),
            say=said.append,
        ):
            break
    assert said[-1] == "tiny: all 4 recorded runs have 4 epochs"
    files = export(plan, tmp_path / "out", root=tmp_path)
    assert [file.name for file in files] == ["manifest.json", "records.csv", "trials.csv"]
    records = read_csv(tmp_path / "out" / "records.csv")
    assert len(records) == 4 * 5
    best = min(
        (row for row in read_csv(tmp_path / "out" / "trials.csv") if row["method"] == "esgd"),
        key=lambda r: r["loss"],
    )
    assert best_config(plan, "esgd", tmp_path).lr == best["lr"]
    known = "curves, mnist, curves-nesterov, mnist-nesterov, curves-wide, mnist-wide"
    with pytest.raises(ConfigError, match=f"choose one of {known}"):
        protocol("cifar")


def of_rounds(said: list[str]) -> list[str]:
    """What was said of whole rounds, without the time that is left."""
    return [line.split("; ")[0] for line in said if line.startswith("tiny: all")]


def test_one_seed_goes_on_alone_and_each_run_is_exported_as_far_as_it_went(tiny, tmp_path):
    plan = Protocol("tiny", trials=1, search_epochs=1, seeds=(0, 1), rounds=(2, 4), methods=("sgd", "esgd"))
    options = {"root": tmp_path, "device": "cpu", "progress": False}
    said = []
    assert reproduce(plan, epochs=2, say=said.append, **options)
    assert reproduce(plan, epochs=3, seeds=(0,), say=said.append, **options)
    assert of_rounds(said) == [
        "tiny: all 4 recorded runs have 2 epochs",
        "tiny: all 2 recorded runs of seed 0 have 2 epochs",
        "tiny: all 2 recorded runs of seed 0 have 3 epochs",
    ]
    sgd = replace(best_config(plan, "sgd", tmp_path), seed=0)  # goes on without the other method
    train_in_folder(replace(sgd, epochs=5), RunFolder(sgd.name(), tmp_path), device="cpu", progress=False)
    export(plan, tmp_path / "out", root=tmp_path)
    records = read_csv(tmp_path / "out" / "records.csv")
    assert {
        (r["method"], r["seed"]): max(q["epoch"] for q in records if q["run"] == r["run"]) for r in records
    } == {
        ("sgd", 0): 5,
        ("esgd", 0): 3,
        ("sgd", 1): 2,
        ("esgd", 1): 2,
    }
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["epochs"] == 2
    for wrong in ((), (1, 1), (0, -1)):
        with pytest.raises(ConfigError, match=r"seeds must be different whole numbers ≥ 0, at least one, got \("):
            reproduce(plan, seeds=wrong, **options)


def test_a_recorded_run_that_another_process_works_on_is_left_to_it(tiny, tmp_path):
    plan = Protocol("tiny", trials=1, search_epochs=1, seeds=(0, 1), rounds=(2,), methods=("sgd",), eval_every=1)
    options = {"root": tmp_path, "device": "cpu", "progress": False, "say": lambda line: None}
    search(plan.study("sgd"), root=tmp_path, device="cpu", progress=False)
    busy = replace(best_config(plan, "sgd", tmp_path), seed=0)
    with RunFolder(busy.name(), tmp_path).locked():
        assert not reproduce(plan, **options)
    assert not RunFolder(busy.name(), tmp_path).records.exists()
    assert read_csv(RunFolder(replace(busy, seed=1).name(), tmp_path).records)[-1]["epoch"] == 2
    assert reproduce(plan, **options)


def test_a_run_that_another_process_took_past_the_round_counts_as_done(tiny, tmp_path, monkeypatch):
    plan = Protocol("tiny", trials=1, search_epochs=1, seeds=(0,), rounds=(2, 4), methods=("sgd",), eval_every=1)

    def overtaken(config, folder, **options):  # between the look at the run and its lock
        if config.epochs == 2:
            train_in_folder(replace(config, epochs=4), folder, **options)
        return train_in_folder(config, folder, **options)

    monkeypatch.setattr("esgd.reproduce.train_in_folder", overtaken)
    said = []
    assert reproduce(plan, root=tmp_path, device="cpu", progress=False, say=said.append)
    assert of_rounds(said) == [f"tiny: all 1 recorded runs have {epochs} epochs" for epochs in (2, 4)]
