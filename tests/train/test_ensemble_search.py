"""Searches and recorded runs as ensembles: the same as one by one, killed anywhere, never mixed silently."""

from __future__ import annotations

import math
import os
from dataclasses import replace

import pytest

from esgd import checkpoint, runs
from esgd.errors import ConfigError
from esgd.reproduce import Protocol, best_config, export, reproduce
from esgd.runs import RunFolder, read_csv
from esgd.search import SearchSettings, Trials, search, trial_rows


@pytest.fixture(autouse=True)
def _no_waiting_for_the_disk(monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


HERE = {"device": "cpu", "progress": False}
PLAN = Protocol(
    "tiny", trials=3, search_epochs=2, seeds=(0, 1), rounds=(2, 4), methods=("rmsprop", "esgd"), eval_every=1
)


def study(method: str = "rmsprop", **changes) -> SearchSettings:
    return SearchSettings(**({"workload": "tiny", "method": method, "trials": 3, "epochs": 3} | changes))


def without_clock(rows: list[dict]) -> list[dict]:
    return [{key: value for key, value in row.items() if key != "seconds"} for row in rows]


@pytest.mark.parametrize("method", ["sgd", "rmsprop", "jacobi", "esgd"])
def test_a_trial_is_the_same_alone_and_as_a_member(tiny, tmp_path, monkeypatch, method):
    # in float64: where D is near 0, 1/(D + λ) at the paper's λ makes much of the order of float32 sums
    single = SearchSettings.run_config
    monkeypatch.setattr(SearchSettings, "run_config", lambda *a: replace(single(*a), dtype="float64"))
    told = []
    alone = search(study(method), root=tmp_path / "alone", **HERE)
    members = search(
        study(method), root=tmp_path / "members", ensemble=3, on_trial=lambda n, _: told.append(n), **HERE
    )
    assert told == [0, 1, 2]
    assert members.best() == alone.best()
    for number in range(3):
        one, other = (read_csv(trials.folder(number).records) for trials in (alone, members))
        assert list(one[0]) == list(other[0])
        for row, member in zip(one, other, strict=True):
            for column, value in row.items():
                if column == "seconds":
                    continue
                if isinstance(value, float):
                    assert member[column] == pytest.approx(value, rel=1e-6), column
                else:
                    assert member[column] == value
        manifest = members.folder(number).manifest()
        assert manifest["ensemble"] == {
            "folder": members.ensemble_folder([0, 1, 2]).name,
            "member": number,
            "members": 3,
        }
        for key in ("run", "command", "config", "data", "net", "status", "epochs_done"):
            assert manifest[key] == alone.folder(number).manifest()[key]
    assert [row["members"] for row in trial_rows(members)] == [3, 3, 3]
    assert [row["members"] for row in trial_rows(alone)] == [1, 1, 1]


def test_a_search_of_any_length_is_cut_into_ensembles(tiny, tmp_path):
    trials = search(study(trials=7, epochs=1), root=tmp_path, ensemble=3, **HERE)
    assert trials.ensembles() == [[0, 1, 2], [3, 4, 5]]  # the seventh alone
    assert sorted(trials.losses()) == list(range(7))
    longer = search(study(trials=9, epochs=1), root=tmp_path, ensemble=3, **HERE)
    assert longer.ensembles() == [[0, 1, 2], [3, 4, 5], [7, 8]]


class Killed(BaseException):
    pass


class MortalWrites:
    """Lets ``left`` writes of runs and checkpoints pass, then kills."""

    def __init__(self, monkeypatch):
        self.left, self._write = math.inf, runs.atomic_write
        for module in (runs, checkpoint):
            monkeypatch.setattr(module, "atomic_write", self)

    def __call__(self, path, data):
        self.left -= 1
        if self.left < 0:
            raise Killed
        self._write(path, data)


def test_killed_at_any_write_a_search_goes_on_to_the_same_bits(tiny, tmp_path, monkeypatch):
    settings = study(epochs=1)
    straight = search(settings, root=tmp_path / "straight", ensemble=3, **HERE)
    expected = [without_clock(read_csv(straight.folder(n).records)) for n in range(3)]
    mortal = MortalWrites(monkeypatch)
    for writes in range(1, 100):  # at 0 nothing is begun
        mortal.left, root = writes, tmp_path / str(writes)
        try:
            search(settings, root=root, ensemble=3, **HERE)
        except Killed:
            mortal.left = math.inf
            again = search(settings, root=root, **HERE)  # goes on with the ensemble unasked
            assert again.losses() == straight.losses()
            assert [without_clock(read_csv(again.folder(n).records)) for n in range(3)] == expected
        else:
            break
    assert 15 < writes < 100


def test_a_search_stopped_at_any_step_goes_on_to_the_same_bits(tiny, tmp_path):
    straight = search(study("esgd"), root=tmp_path / "straight", ensemble=3, **HERE)
    for _ in range(100):
        steps = iter([False] * 2)
        done = search(
            study("esgd"), root=tmp_path / "pieces", ensemble=3, should_stop=lambda s=steps: next(s, True), **HERE
        )
        if len(done.losses()) == 3:
            break
    assert done.losses() == straight.losses()


@pytest.mark.filterwarnings("ignore:a Hessian-vector product was not finite")
@pytest.mark.parametrize("method", ["sgd", "esgd"])
def test_a_trial_that_diverges_is_infinite_and_harms_no_other(tiny, tmp_path, monkeypatch, method):
    trial = SearchSettings.trial

    def wild(self, number):
        return replace(trial(self, number), **({"lr": 1e6} if number == 1 else {}))

    monkeypatch.setattr(SearchSettings, "trial", wild)
    alone = search(study(method), root=tmp_path / "alone", **HERE)
    members = search(study(method), root=tmp_path / "members", ensemble=3, **HERE)
    assert members.losses() == pytest.approx(alone.losses(), rel=1e-5)
    assert [row["status"] for row in trial_rows(members)] == ["finished", "diverged", "finished"]
    assert members.losses()[1] == math.inf
    one, other = (read_csv(trials.folder(1).records) for trials in (alone, members))
    assert [row["epoch"] for row in other] == [row["epoch"] for row in one]
    assert len(other) < len(read_csv(members.folder(0).records)) or one[-1]["epoch"] == 3


def test_an_ensemble_whose_members_all_diverge_ends(tiny, tmp_path, monkeypatch):
    trial = SearchSettings.trial
    monkeypatch.setattr(SearchSettings, "trial", lambda self, n: replace(trial(self, n), lr=10.0 ** (6 + n)))
    trials = search(study("sgd", epochs=50), root=tmp_path, ensemble=3, **HERE)
    assert set(trials.losses().values()) == {math.inf}
    assert trials.ensemble_folder([0, 1, 2]).manifest()["epochs_done"] < 50


def test_what_is_begun_goes_on_as_it_was(tiny, tmp_path):
    trials = Trials(study(trials=4), tmp_path)
    assert trials.claim() == [0]
    assert trials.claim(2) == [1, 2]
    assert trials.unfinished() == [[0], [1, 2]]
    with trials.folder(1).locked():  # another process is at a member: both are left to it
        done = search(study(trials=4), root=tmp_path, **HERE)
    assert sorted(done.losses()) == [0, 3]
    done = search(study(trials=4), root=tmp_path, ensemble=4, **HERE)
    assert [row["members"] for row in trial_rows(done)] == [1, 2, 2, 1]
    assert trials.claim(4) == []
    assert all(row["status"] == "finished" for row in trial_rows(done))


def test_refused_before_anything_is_begun(tiny, tmp_path):
    with pytest.raises(ConfigError, match="no ensembles of adam"):
        search(study("adam"), root=tmp_path, ensemble=2, **HERE)
    with pytest.raises(ConfigError, match="at least 1 trial, got 0"):
        search(study(), root=tmp_path, ensemble=0, **HERE)
    with pytest.raises(ConfigError, match="no ensembles of adam"):
        reproduce(replace(PLAN, methods=("sgd", "adam")), root=tmp_path, ensemble=True, **HERE)
    with pytest.raises(ConfigError, match="--snapshot-every"):
        reproduce(PLAN, root=tmp_path, ensemble=True, snapshot_every=1, **HERE)
    assert not list(tmp_path.iterdir())


def test_reproduce_as_ensembles_exports_what_single_runs_do(tiny, tmp_path):
    for root, ensemble in (("alone", False), ("members", True)):
        said = []
        for _ in range(200):
            steps = iter([False] * 12)
            if reproduce(
                PLAN,
                root=tmp_path / root,
                ensemble=ensemble,
                should_stop=lambda s=steps: next(s, True),
                say=said.append,
                **HERE,
            ):
                break
        assert said[-1] == "tiny: all 4 recorded runs have 4 epochs"
        export(PLAN, tmp_path / "out" / root, root=tmp_path / root)
    for name in ("records.csv", "trials.csv"):
        one, other = (read_csv(tmp_path / "out" / root / name) for root in ("alone", "members"))
        for row, member in zip(one, other, strict=True):
            assert list(row) == list(member)
            for column in row.keys() - {"seconds", "members"}:
                exact = not isinstance(row[column], float)
                assert member[column] == (row[column] if exact else pytest.approx(row[column], rel=1e-5)), column
    assert {row["members"] for row in other} == {3}
    found = RunFolder("members", tmp_path / "out").manifest()["runs"]
    assert [run["ensemble"]["members"] for run in found] == [2] * 4
    # a finished run is the same either way: nothing to do, nothing to refuse
    assert reproduce(PLAN, root=tmp_path / "alone", ensemble=True, say=said.append, **HERE)
    assert reproduce(PLAN, root=tmp_path / "members", say=said.append, **HERE)


@pytest.mark.parametrize("first", [False, True])
def test_recorded_runs_are_not_mixed_silently(tiny, tmp_path, first):
    plan = replace(PLAN, methods=("rmsprop",))
    assert reproduce(plan, root=tmp_path, epochs=2, ensemble=first, say=lambda line: None, **HERE)
    folder = RunFolder(replace(best_config(plan, "rmsprop", tmp_path), seed=0).name(), tmp_path)
    before = folder.records.read_bytes()
    words = r"member of the ensemble .* go on alone" if first else "begun alone .* member of an ensemble"
    with pytest.raises(ConfigError, match=words):
        reproduce(plan, root=tmp_path, ensemble=not first, say=lambda line: None, **HERE)
    assert folder.records.read_bytes() == before
    assert reproduce(plan, root=tmp_path, ensemble=first, say=lambda line: None, **HERE)


def test_on_the_command_line(cli, small_curves, tmp_path):
    words = "search curves -o sgd --trials 3 --epochs 1 --ensemble 3 --device cpu -q"
    done = cli(*words.split(), ESGD_DATA=str(small_curves))
    assert done.returncode == 0, done.stderr
    assert "3 of 3 trials; best loss" in done.stdout
    (folder,) = (tmp_path / "runs").glob("search-*-trials000to002")
    assert (folder / "checkpoint.pt").exists()
