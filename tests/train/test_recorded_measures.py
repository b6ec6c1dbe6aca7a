"""Measures that were exported go on where their runs are trained again."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import pytest

from esgd.checkpoint import load_checkpoint, save_checkpoint
from esgd.errors import CheckpointError, ConfigError, DataError
from esgd.measure import MeasureConfig
from esgd.measure_export import export_measures
from esgd.measure_run import measure_run
from esgd.recorded_measures import take_over_measures
from esgd.resumable import train_in_folder
from esgd.runs import RunFolder, read_csv
from esgd.snapshots import list_snapshots

from .test_checkpoint import config
from .test_cli import in_process, one_line

SMALL = MeasureConfig(examples=50, probes=8, spaces=1, steps=4, gradient_batches=5)


def trained(root, epochs: int, **changes) -> RunFolder:
    folder = RunFolder("run", root)
    settings = config(method="rmsprop", epochs=epochs, dtype="float64", **changes)
    train_in_folder(settings, folder, snapshot_every=1, device="cpu", progress=False)
    return folder


@pytest.fixture
def results(tiny, tmp_path):
    """Measures of epochs 0 and 1, exported."""
    first = trained(tmp_path / "first", 1)
    assert measure_run(first, SMALL, device="cpu", progress=False)
    export_measures([first], SMALL, tmp_path / "results")
    return tmp_path / "results"


def test_what_was_exported_is_not_measured_again_and_the_rest_joins_it(results, tmp_path, monkeypatch):
    again = trained(tmp_path / "second", 3)
    straight = trained(tmp_path / "third", 3)
    assert take_over_measures([again], SMALL, results) == ["run, epoch 0", "run, epoch 1"]
    assert take_over_measures([again], SMALL, results) == []  # what is here stays
    monkeypatch.setattr("esgd.measure_run.provenance", lambda device: {"commit": "another", "device": "elsewhere"})
    assert measure_run(again, SMALL, device="cpu", progress=False)
    assert measure_run(straight, SMALL, device="cpu", progress=False)
    export_measures([again], SMALL, results)
    export_measures([straight], SMALL, tmp_path / "all")
    before = {figure: RunFolder("tiny", results / figure).manifest() for figure in ("fig4", "fig6")}
    for figure, manifest in before.items():
        assert read_csv(results / figure / "tiny" / "measures.csv") == read_csv(
            tmp_path / "all" / figure / "tiny" / "measures.csv"
        )
        one, other = manifest["origins"]
        assert (one["measured"], other["measured"]) == ({"run": [0, 1]}, {"run": [2, 3]})
        assert manifest["commit"] == one["commit"] != other["commit"] == "another"
        assert manifest["epochs"] == 3
        assert manifest["started"] == one["started"] <= other["started"] <= other["ended"] == manifest["ended"]
    # and the joined record can be taken over too, each snapshot with its own origin
    last = trained(tmp_path / "fourth", 3)
    assert len(take_over_measures([last], SMALL, results)) == 4
    export_measures([last], SMALL, tmp_path / "once-more")
    for figure, manifest in before.items():
        assert RunFolder("tiny", tmp_path / "once-more" / figure).manifest()["origins"] == manifest["origins"]


def test_a_record_of_one_origin_has_no_list_of_them(results):
    assert "origins" not in RunFolder("tiny", results / "fig4").manifest()


def test_other_measures_and_other_runs_are_refused(results, tmp_path):
    again = trained(tmp_path / "second", 1)
    with pytest.raises(ConfigError, match=r"made with .*'probes': 8.* not with .*'probes': 9"):
        take_over_measures([again], replace(SMALL, probes=9), results)
    with pytest.raises(DataError, match=r"no measures of tiny: name the folder"):
        take_over_measures([again], SMALL, tmp_path)
    other = trained(tmp_path / "third", 1, lr=0.002, seed=3)
    with pytest.raises(ConfigError, match="another lr and seed than the run of that name"):
        take_over_measures([other], SMALL, results)
    assert not list(tmp_path.glob("[st]*/run/measures*"))
    table = results / "fig4" / "tiny" / "measures.csv"
    table.write_text("run,epoch\nrun,1\n")
    with pytest.raises(DataError, match=r"lacks seed, method"):
        take_over_measures([again], SMALL, results)


def test_another_path_is_refused_though_its_settings_are_the_same(results, tmp_path):
    again = trained(tmp_path / "second", 1)
    snapshot = again.path / "snapshots" / "epoch00001.pt"
    state = load_checkpoint(snapshot)
    state["weights"][next(name for name in state["weights"] if name.endswith("bias"))][0] += 0.5
    save_checkpoint(snapshot, state)
    with pytest.raises(ConfigError, match=r"on another path here .* at epoch 1 is .* and was .*another folder"):
        take_over_measures([again], SMALL, results)
    told = again.manifest()
    again.write_manifest(told | {"config": told["config"] | {"epochs": 0}})
    with pytest.raises(CheckpointError, match="lies beyond the 0 epochs of the run there"):
        take_over_measures([again], SMALL, results)
    again.write_manifest(told)
    snapshot.unlink()
    take_over_measures([again], SMALL, results)  # epoch 0 is compared
    (again.path / "snapshots" / "epoch00000.pt").unlink()
    with pytest.raises(ConfigError, match=r"no snapshot here of an epoch .*\[0, 1\]"):
        take_over_measures([again], SMALL, results)


def test_what_a_run_has_not_reached_here_is_not_taken_over(results, tmp_path):
    longer = trained(tmp_path / "second", 3)
    take_over_measures([longer], SMALL, results)
    assert measure_run(longer, SMALL, device="cpu", progress=False)
    export_measures([longer], SMALL, results)
    short = trained(tmp_path / "third", 2)
    assert take_over_measures([short], SMALL, results) == ["run, epoch 0", "run, epoch 1", "run, epoch 2"]


def test_a_killed_run_takes_over_as_far_as_it_got(results, tmp_path):
    longer = trained(tmp_path / "second", 4)
    take_over_measures([longer], SMALL, results)
    assert measure_run(longer, SMALL, device="cpu", progress=False)
    export_measures([longer], SMALL, results)

    class Killed(BaseException):
        pass

    def kill() -> bool:
        if 2 in list_snapshots(folder):
            raise Killed
        return False

    folder = RunFolder("run", tmp_path / "third")
    settings = config(method="rmsprop", epochs=9, dtype="float64")
    with pytest.raises(Killed):
        train_in_folder(settings, folder, snapshot_every=1, should_stop=kill, device="cpu", progress=False)
    assert "epochs_done" not in folder.manifest()  # it says no end
    assert take_over_measures([folder], SMALL, results) == ["run, epoch 0", "run, epoch 1", "run, epoch 2"]


def test_an_export_drops_no_run_of_the_record(results, tmp_path):
    other = RunFolder("other", tmp_path)
    train_in_folder(config(epochs=1, dtype="float64"), other, snapshot_every=1, device="cpu", progress=False)
    assert measure_run(other, SMALL, device="cpu", progress=False)
    before = (results / "fig4" / "tiny" / "measures.csv").read_bytes()
    with pytest.raises(ConfigError, match=r"fig4.tiny also holds measures of run, which this export would drop"):
        export_measures([other], SMALL, results)
    assert (results / "fig4" / "tiny" / "measures.csv").read_bytes() == before
    with pytest.raises(ConfigError, match="holds measures of run and of none of the runs named"):
        take_over_measures([other], SMALL, results)


def test_a_run_that_is_not_named_is_missed_before_anything_is_measured(results, isolated, capsys):
    runs = isolated / "runs"
    trained(runs, 1)
    other = RunFolder("other", runs)
    train_in_folder(config(epochs=1, dtype="float64"), other, snapshot_every=1, device="cpu", progress=False)
    words = ("measure", "other", "--examples", "50", "--probes", "8", "--spaces", "0", "--device", "cpu", "-q")
    for which in ((), ("--full-data",)):
        done = in_process(capsys, *words, *which, "--results", str(results))
        one_line(done, "also holds measures of run, which this export would drop")
    assert not list(other.path.glob("measures-*"))
    # nor is a check on all examples dropped after the sample has been measured
    both = ("measure", "run", "other", *words[2:], "--gradient-batches", "1")
    for which in (("--full-data",), ()):
        assert in_process(capsys, *both, *which, "--results", str(results)).returncode == 0
    shutil.rmtree(next(other.path.glob("measures-all*")))
    for place in runs.glob("*/measures-50*"):
        shutil.rmtree(place)
    done = in_process(capsys, *both, "--results", str(results))
    one_line(done, "also holds a check on all examples of other, which this export would drop")
    assert not list(runs.glob("*/measures-50*"))


def test_the_command_goes_on_from_a_record(results, isolated, capsys):
    trained(isolated / "runs", 2)
    words = ("measure", "run", "--examples", "50", "--probes", "8", "--spaces", "1", "--steps", "4")
    words += ("--gradient-batches", "5", "--device", "cpu", "-q", "--from", str(results))
    done = in_process(capsys, *words, "--results", str(results))
    assert done.returncode == 0
    assert f"took over 2 measured snapshots from {results}" in done.stdout
    assert {row["epoch"] for row in read_csv(results / "fig6" / "tiny" / "measures.csv")} == {0, 1, 2}
    files = (isolated / "runs" / "run").glob("measures*/*.json")
    assert sorted(json.loads(path.read_text())["rows"][0]["epoch"] for path in files) == [0, 1, 2]
    one_line(in_process(capsys, *words[:-1], str(isolated)), "no measures of tiny")
