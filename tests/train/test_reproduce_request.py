"""What `esgd reproduce` and `esgd search` accept, refuse at once, and say when time is up."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from esgd import checkpoint_times
from esgd.checkpoint import load_checkpoint
from esgd.errors import ConfigError
from esgd.recorded import take_over
from esgd.reproduce import PROTOCOLS, Protocol, best_config, export, protocol, reproduce
from esgd.resumable import train_in_folder
from esgd.runs import RunFolder, read_csv
from esgd.search import search
from esgd.snapshots import list_snapshots
from esgd.spaces import SPACES

from .test_cli import in_process, one_line

PLAN = Protocol("tiny", trials=1, search_epochs=1, seeds=(0, 1), rounds=(2, 4), methods=("sgd", "esgd"))
OPTIONS = {"device": "cpu", "progress": False, "say": lambda line: None}


def exported_seeds(place) -> list[int]:
    runs = json.loads((place / "manifest.json").read_text())["runs"]
    assert {run["config"]["seed"] for run in runs} == {row["seed"] for row in read_csv(place / "records.csv")}
    return [run["config"]["seed"] for run in runs if run["config"]["method"] == "sgd"]


def test_any_seeds_are_recorded_and_all_that_are_found_are_exported(tiny, tmp_path):
    said = []
    assert reproduce(PLAN, root=tmp_path, epochs=2, seeds=(0, 1, 7), **OPTIONS | {"say": said.append})
    assert said[-1] == "tiny: all 6 recorded runs of seed 0, 1, 7 have 2 epochs"
    sgd = best_config(PLAN, "sgd", tmp_path)
    seed12 = replace(sgd, seed=12, epochs=2)
    train_in_folder(seed12, RunFolder(seed12.name(), tmp_path), device="cpu", progress=False)
    export(PLAN, tmp_path / "out", root=tmp_path)
    assert exported_seeds(tmp_path / "out") == [0, 1, 7]  # 12 is not begun by all methods: nothing to compare
    take_over(PLAN, tmp_path / "out", root=tmp_path / "second")
    export(PLAN, tmp_path / "again", root=tmp_path / "second")
    assert exported_seeds(tmp_path / "again") == [0, 1, 7]


def test_the_extension_on_mnist_is_that_of_curves_on_other_data():
    mnist, curves = protocol("mnist-nesterov"), protocol("curves-nesterov")
    assert mnist.name == "mnist-nesterov"
    same = {"workload": "curves", "search_epochs": curves.search_epochs}
    assert replace(mnist, **same) == curves
    assert all(mnist.study(method).name.startswith("search-mnist-") for method in mnist.methods)
    assert set(mnist.methods) <= set(SPACES["momentum"])
    assert [plan.name for plan in PROTOCOLS.values()] == list(PROTOCOLS)


def test_recorded_runs_keep_a_checkpoint_after_each_long_epoch(tiny, tmp_path, monkeypatch):
    """Evaluated every five epochs, killed after three: two are on the disk, at the least."""
    monkeypatch.setattr(checkpoint_times, "SECONDS", 0.0)

    class Killed(BaseException):
        pass

    plan = replace(PLAN, methods=("sgd",), seeds=(0,), rounds=(10,))
    search(plan.study("sgd"), root=tmp_path, device="cpu", progress=False)
    answers = iter([False] * 4)  # after the search, and before each epoch's one step

    def mortal():
        for answer in answers:
            return answer
        raise Killed

    with pytest.raises(Killed):
        reproduce(plan, root=tmp_path, should_stop=mortal, **OPTIONS)
    folder = RunFolder(replace(best_config(plan, "sgd", tmp_path), seed=0).name(), tmp_path)
    assert load_checkpoint(folder.checkpoint)["progress"]["epoch"] == 3
    assert reproduce(plan, root=tmp_path, epochs=3, **OPTIONS)  # evaluated where it is asked to end
    assert [row["epoch"] for row in read_csv(folder.records)] == [0, 3]
    assert reproduce(plan, root=tmp_path, **OPTIONS)
    assert [row["epoch"] for row in read_csv(folder.records)] == [0, 3, 5, 10]


@pytest.mark.parametrize("ensemble", [False, True])
@pytest.mark.parametrize("epochs", [0, -3])
def test_epochs_below_one_are_refused_before_the_search(tiny, tmp_path, epochs, ensemble):
    with pytest.raises(ConfigError, match=f"epochs must be a whole number of at least 1, got {epochs}"):
        reproduce(PLAN, root=tmp_path, epochs=epochs, ensemble=ensemble, **OPTIONS)
    with pytest.raises(ConfigError, match="snapshot-every must be at least 1"):
        reproduce(PLAN, root=tmp_path, snapshot_every=epochs, **OPTIONS)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["curves", "--epochs", "0"], ["epochs must be a whole number of at least 1, got 0"]),
        (["curves", "--epochs", "-1", "--from", "/nowhere/at/all"], ["at least 1, got -1"]),
        (["curves", "--seeds", "0,x"], ["whole numbers", "0,x"]),
        (["curves", "--seeds", "0,0"], ["different whole numbers"]),
        (["cifar"], ["curves, mnist, curves-nesterov, mnist-nesterov, curves-wide, mnist-wide"]),
    ],
)
def test_on_the_command_line_before_anything_is_written(capsys, isolated, words, parts):
    one_line(in_process(capsys, "reproduce", *words), *parts)
    assert not (isolated / "runs").exists()


def test_a_search_whose_time_runs_out_says_so(capsys, isolated, monkeypatch, small_curves):
    monkeypatch.setenv("ESGD_DATA", str(small_curves))
    words = ("search", "curves", "--trials", "2", "--epochs", "1", "--device", "cpu", "-q")
    whole = in_process(capsys, *words, "--minutes", "60", "--optimizer", "sgd")
    assert whole.returncode == 0
    assert "not done" not in whole.stdout
    done = in_process(capsys, *words, "--minutes", "1e-9")
    assert done.returncode == 75
    assert done.stdout.splitlines()[-1].startswith("not done: time is up")
    assert not list((isolated / "runs").glob("search-curves-esgd-*"))  # no trial of what follows is begun


@pytest.mark.parametrize("ensemble", [True, False])
def test_a_recorded_ensemble_is_begun_anew_as_one_or_refused_in_words_that_help(tiny, tmp_path, ensemble):
    assert reproduce(PLAN, root=tmp_path / "first", epochs=2, ensemble=True, **OPTIONS)
    export(PLAN, tmp_path / "record", root=tmp_path / "first")
    take_over(PLAN, tmp_path / "record", root=tmp_path / "second")
    if ensemble:
        assert reproduce(PLAN, root=tmp_path / "second", epochs=3, ensemble=True, **OPTIONS)
        with pytest.raises(ConfigError, match=r"go on alone: go on with the ensemble"):  # now it has a folder
            reproduce(PLAN, root=tmp_path / "second", epochs=4, **OPTIONS)
        return
    with pytest.raises(
        ConfigError, match=r"taken over from a record, .* one of 2 members .* add --ensemble, which"
    ):
        reproduce(PLAN, root=tmp_path / "second", epochs=3, **OPTIONS)
    with pytest.raises(ConfigError, match=r"taken over from a record, .*-seeds0-1: ask for those members"):
        reproduce(PLAN, root=tmp_path / "second", epochs=3, seeds=(0,), ensemble=True, **OPTIONS)


def test_snapshots_are_those_of_the_first_seed_that_is_asked_for(tiny, tmp_path):
    plan, said = replace(PLAN, methods=("sgd",)), []
    ask = {"root": tmp_path, **OPTIONS, "say": said.append}
    assert reproduce(plan, seeds=(1, 0), epochs=1, snapshot_every=1, **ask)
    sgd = best_config(plan, "sgd", tmp_path)
    runs = [RunFolder(replace(sgd, seed=seed).name(), tmp_path) for seed in (0, 1)]
    assert [list(list_snapshots(run)) for run in runs] == [[], [0, 1]]
    assert "no snapshots" not in " ".join(said)
    assert reproduce(plan, epochs=1, snapshot_every=1, **ask)  # of seed 0, which is done
    assert said[-1].startswith(
        f"{runs[0].name} has no snapshots of epochs 0 to 1, which it was trained for without"
    )
