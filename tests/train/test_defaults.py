"""The protocol that chooses the defaults."""

from __future__ import annotations

import inspect
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from esgd import sessions
from esgd.config import METHODS
from esgd.defaults import (
    BEFORE,
    BUDGET,
    Budget,
    candidates,
    chosen,
    export_defaults,
    newcomer,
    run_defaults,
    scores,
)
from esgd.errors import ConfigError
from esgd.optim import ESGD, JacobiSGD
from esgd.provenance import provenance
from esgd.runs import RunFolder, read_csv, write_csv
from esgd.spaces import space
from esgd.workload import WORKLOADS

from .conftest import TINY_SIZES
from .test_sources import Otherwise


@pytest.mark.parametrize("method", METHODS)
def test_every_method_gets_one_rate_in_each_twelfth_of_three_decades(method):
    found = candidates(BUDGET, method)
    low, high = space("wide", method).lr
    assert math.log10(high / low) == pytest.approx(3)
    strata = [math.floor(BUDGET.trials * math.log(c["lr"] / low) / math.log(high / low)) for c in found]
    assert strata == list(range(12))
    for name in ("damping", "decay"):
        values = getattr(space("wide", method), name)
        counts = [sum(c.get(name) == value for c in found) for value in values]
        assert sum(counts) == (12 if values else 0)
        assert not counts or max(counts) - min(counts) <= 1


def rows(stage: str, losses: dict[str, list[float]], **changes) -> list[dict]:
    return [
        {"stage": stage, "method": "esgd", "workload": name, "trial": trial, "loss": loss, "seed": 0}
        | {"lr": 0.0123 * 10**trial, "damping": 10.0**-trial, "decay": None}
        | changes
        for name, values in losses.items()
        for trial, loss in enumerate(values)
    ]


def test_the_score_is_the_worst_relative_loss_over_the_workloads():
    table = rows("search", {"a": [10.0, 11.0, math.inf], "b": [4.0, 2.0, 3.0]})
    assert scores(table, "esgd", "search") == {0: 2.0, 1: 1.1, 2: math.inf}
    assert newcomer(table, "esgd") == {"lr": 0.1, "damping": 0.1}
    with pytest.raises(ConfigError, match="diverged"):
        scores(rows("search", {"a": [math.inf]}), "esgd", "search")


@pytest.mark.parametrize(("challenger", "wins"), [(98.5, True), (99.5, False), (101.0, False), (math.inf, False)])
def test_the_newcomer_must_be_better_by_the_margin(challenger, wins):
    table = rows("search", {"a": [1.0, 2.0]}) + rows("final", {"a": [100.0, challenger]})
    assert chosen(table, "esgd") == ({"lr": 0.01, "damping": 1.0} if wins else BEFORE["esgd"])


def test_seeds_of_the_final_are_averaged():
    table = rows("final", {"a": [100.0, 90.0]}) + rows("final", {"a": [100.0, 130.0]}, seed=1)
    assert scores(table, "esgd", "final") == {0: 1.0, 1: 1.1}


def test_stopped_anywhere_it_goes_on_and_exports_only_when_it_is_done(tiny, tmp_path):
    budget = Budget({"tiny": 1}, trials=2, seeds=(0,), methods=("sgd", "esgd"))
    said = []
    for _ in range(200):  # one step a session
        steps = iter([False] * 2)
        if run_defaults(
            budget,
            tmp_path / "stops",
            device="cpu",
            progress=False,
            should_stop=lambda s=steps: next(s, True),
            say=said.append,
        ):
            break
        with pytest.raises(ConfigError, match="go on with"):
            export_defaults(budget, tmp_path / "early", tmp_path / "stops")
    assert len(said) == budget.runs == 8
    assert run_defaults(budget, tmp_path / "straight", device="cpu", progress=False, say=said.append)
    export_defaults(budget, tmp_path / "out", tmp_path / "stops")
    table = read_csv(tmp_path / "out" / "runs.csv")
    assert table == read_csv(RunFolder("defaults", tmp_path / "straight").records)
    manifest = RunFolder("out", tmp_path).manifest()
    assert manifest["chosen"] == {method: chosen(table, method) for method in budget.methods}
    assert manifest["started"] <= manifest["ended"]


SMALL = Budget({"tiny": 1}, trials=2, seeds=(0,), methods=("sgd", "esgd"))
HERE = {"device": "cpu", "progress": False, "say": lambda line: None}


def stopped_after(steps: int):
    left = iter([False] * steps)
    return lambda: next(left, True)


def test_the_data_and_the_sessions_are_recorded_and_exported(tiny, tmp_path, monkeypatch):
    found = provenance(torch.device("cpu"))
    for letter, steps in (("a", 3), ("b", 0), ("c", 100)):  # a step a run; the second session trains nothing
        at = found | {"commit": 40 * letter, "device": f"machine {letter}"}
        monkeypatch.setattr(sessions, "provenance", lambda device, at=at: dict(at))
        done = run_defaults(SMALL, tmp_path, should_stop=stopped_after(steps), **HERE)
        assert done == (letter == "c")
    export_defaults(SMALL, tmp_path / "out", tmp_path)
    for name in ("defaults", "out"):
        manifest = RunFolder(name, tmp_path).manifest()
        assert manifest["data"]["tiny"]["sha256"] == "0" * 64
        told = [(s["commit"][0], s["device"], s["from_run"], s["to_run"]) for s in manifest["sessions"]]
        assert told == [("a", "machine a", 0, 3), ("c", "machine c", 3, 8)]
        assert manifest["commit"] == "a" * 40
    before = RunFolder("defaults", tmp_path).manifest()
    assert run_defaults(SMALL, tmp_path, **HERE)  # nothing is left
    assert RunFolder("defaults", tmp_path).manifest() == before


def test_it_does_not_go_on_with_other_data(tiny, tmp_path, monkeypatch):
    assert not run_defaults(SMALL, tmp_path, should_stop=stopped_after(0), **HERE)  # of no run, any data
    monkeypatch.setitem(WORKLOADS, "tiny", Otherwise("tiny", "tiny", TINY_SIZES))
    assert not run_defaults(SMALL, tmp_path, should_stop=stopped_after(3), **HERE)
    monkeypatch.setitem(WORKLOADS, "tiny", tiny)
    rows = read_csv(RunFolder("defaults", tmp_path).records)
    with pytest.raises(ConfigError, match=r"drawn otherwise \(sha256 1{12}\), but tiny here is made for a test"):
        run_defaults(SMALL, tmp_path, **HERE)
    assert read_csv(RunFolder("defaults", tmp_path).records) == rows


@pytest.mark.parametrize("other", [{"epochs": {"tiny": 2}}, {"trials": 3}, {"trials": 1}, {"methods": ("sgd",)}])
def test_runs_of_another_budget_are_refused(tiny, tmp_path, other):
    assert run_defaults(SMALL, tmp_path, **HERE)
    for go_on in (run_defaults, lambda budget, root, **_: export_defaults(budget, tmp_path / "out", root)):
        with pytest.raises(ConfigError, match=r"not of this protocol .* begun with another budget"):
            go_on(replace(SMALL, **other), tmp_path, **HERE)


def test_the_record_of_an_older_version_is_gone_on_with(tmp_path):
    """It knows neither data nor sessions."""
    folder = RunFolder("defaults", tmp_path)
    rows = read_csv(RECORDED / "runs.csv")
    write_csv(folder.records, rows)
    old = RunFolder("defaults", RECORDED.parent).manifest()
    folder.write_manifest({key: old[key] for key in ("started", "ended", "commit", "device", "versions")})
    assert run_defaults(BUDGET, tmp_path, **HERE)
    manifest = folder.manifest()
    (session,) = manifest["sessions"]
    assert (session["commit"], session["to_run"], manifest["ended"]) == (old["commit"], len(rows), old["ended"])
    export_defaults(BUDGET, tmp_path / "out", tmp_path)
    assert RunFolder("out", tmp_path).manifest()["chosen"] == old["chosen"]


RECORDED = Path(__file__).parents[2] / "results" / "defaults"


def test_the_defaults_are_those_that_the_recorded_runs_recommend():
    table = read_csv(RECORDED / "runs.csv")
    assert len(table) == BUDGET.runs
    manifest = RunFolder("defaults", RECORDED.parent).manifest()
    assert manifest["chosen"] == {method: chosen(table, method) for method in BUDGET.methods}
    for method, cls in {"esgd": ESGD, "jacobi": JacobiSGD}.items():
        defaults = inspect.signature(cls).parameters
        assert {name: defaults[name].default for name in ("lr", "damping")} == chosen(table, method)
    assert f"ESGD(model.parameters(), lr={chosen(table, 'esgd')['lr']:g})" in ESGD.__doc__
    for method, settings in METHODS.items():
        assert {k: v for k, v in settings.items() if (method, k) != ("sgd", "damping")} == chosen(table, method)


def test_the_recorded_runs_are_those_of_the_protocol():
    table = read_csv(RECORDED / "runs.csv")
    for method in BUDGET.methods:
        for trial, setting in enumerate(candidates(BUDGET, method)):
            mine = [r for r in table if (r["method"], r["stage"], r["trial"]) == (method, "search", trial)]
            assert {r["workload"]: r["epochs"] for r in mine} == BUDGET.epochs
            assert all(r[name] == setting.get(name) for r in mine for name in ("lr", "damping", "decay"))
