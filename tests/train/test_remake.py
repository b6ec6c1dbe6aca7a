"""The commands in manifests and exports make again what they stand beside: snapshots, names, and which epochs."""

from __future__ import annotations

import shlex
from dataclasses import replace

import pytest

from esgd.measure import MeasureConfig
from esgd.measure_export import export_measures
from esgd.measure_run import measure_run
from esgd.remake import measure_commands, train_command, with_snapshots
from esgd.resumable import train_in_folder
from esgd.runs import RunFolder
from esgd.snapshots import list_snapshots

from .test_checkpoint import config
from .test_cli import in_process

QUIET = {"device": "cpu", "progress": False}
SMALL = MeasureConfig(examples=50, probes=4, spaces=0, gradient_batches=1)


def test_a_run_tells_its_snapshots_and_its_name(tiny, tmp_path):
    settings = config(method="sgd", epochs=2)
    usual, named = RunFolder(settings.name(), tmp_path), RunFolder("a run's name", tmp_path)
    train_in_folder(settings, usual, **QUIET)
    assert usual.manifest()["command"] == settings.command()
    train_in_folder(settings, named, snapshot_every=2, **QUIET)
    assert (
        named.manifest()["command"] == f"{settings.command()} --snapshot-every 2 --name {shlex.quote(named.name)}"
    )
    train_in_folder(replace(settings, epochs=5), named, **QUIET)  # goes on as it was begun
    assert " --epochs 5 " in named.manifest()["command"]
    assert " --snapshot-every 2 " in named.manifest()["command"]
    assert list(list_snapshots(named)) == [0, 2, 4]
    train_in_folder(replace(settings, epochs=6), named, snapshot_every=3, **QUIET)
    assert " --snapshot-every 3 " in named.manifest()["command"]
    assert list(list_snapshots(named)) == [0, 2, 4, 6]
    command = with_snapshots(named.manifest(), [2, 4, 6])["command"]  # of what is measured
    assert command == f"{settings.command()} --name {shlex.quote(named.name)} --snapshot-every 1".replace(
        "--epochs 2", "--epochs 6"
    )


def test_the_exported_commands_make_the_record_again(tiny, capsys, isolated, monkeypatch):
    """Taken from the manifest of the record and run in an empty folder, word by word."""
    runs, results = isolated / "runs", isolated / "results"
    words = ("tiny", "-o", "sgd", "--epochs", "4", "-q", "--device", "cpu", "--snapshot-every", "2")
    for seed in ("0", "1"):
        assert in_process(capsys, "train", *words, "--seed", seed).returncode == 0
    folders = [RunFolder(path.parent.name, runs) for path in sorted(runs.glob("*/manifest.json"))]
    for folder in folders:  # a snapshot of 0, 2 and 4; of 0 nothing is measured
        assert measure_run(folder, SMALL, epochs=[2, 4], **QUIET)
    export_measures(folders, SMALL, results)
    told = RunFolder("tiny", results / "fig4").manifest()
    assert told["command"].endswith(" --epoch 2 --epoch 4")

    monkeypatch.setenv("ESGD_RUNS", str(isolated / "again"))
    for command in (*(run["command"] for run in told["runs"]), told["command"]):
        name, *rest = shlex.split(command)
        assert name == "esgd"
        done = in_process(capsys, *rest, "-q", "--device", "cpu")
        assert done.returncode == 0, done.stderr
    again = [RunFolder(folder.name, isolated / "again") for folder in folders]
    export_measures(again, SMALL, isolated / "second")
    for figure in ("fig4", "fig6"):
        one, other = (place / figure / "tiny" / "measures.csv" for place in (results, isolated / "second"))
        assert one.read_text() == other.read_text()


def test_epochs_are_named_where_not_every_snapshot_is_measured(tiny, tmp_path):
    folder, results = RunFolder("run", tmp_path), tmp_path / "results"
    train_in_folder(config(method="sgd", epochs=3), folder, snapshot_every=1, **QUIET)

    def command() -> str:
        export_measures([folder], SMALL, results)
        return RunFolder("tiny", results / "fig6").manifest()["command"]

    assert measure_run(folder, SMALL, epochs=[1, 3], **QUIET)
    assert command().endswith(" --spaces 0 --epoch 1 --epoch 3")
    assert measure_run(folder, SMALL, **QUIET)
    assert "--epoch" not in command()
    for path in list_snapshots(folder).values():  # exported where the snapshots are not
        path.unlink()
    assert command().endswith(" --epoch 0 --epoch 1 --epoch 2 --epoch 3")


def test_runs_of_different_epochs_have_a_command_each():
    measured = {"a": [0, 10], "b": [0, 10], "c": [10]}
    snapshots = {run: [0, 10] for run in measured}
    assert measure_commands("esgd measure {runs}", measured, snapshots) == (
        "esgd measure a b && esgd measure c --epoch 10"
    )


@pytest.mark.parametrize(
    ("command", "epochs", "found"),
    [
        ("esgd train x", [0, 10, 50, 100], "esgd train x --snapshot-every 10"),
        ("esgd train x --snapshot-every 5", [0, 10], "esgd train x --snapshot-every 5"),
        ("esgd train x --snapshot-every 5", [0], "esgd train x --snapshot-every 5"),
        ("esgd train x --snapshot-every 6 --name y", [0, 4], "esgd train x --name y --snapshot-every 2"),
        ("esgd train x", [0], "esgd train x"),
    ],
)
def test_an_older_runs_command_gets_the_interval_of_its_snapshots(command, epochs, found):
    assert with_snapshots({"run": "x", "command": command}, epochs) == {"run": "x", "command": found}
    assert with_snapshots({"run": "x"}, epochs) == {"run": "x"}


def test_a_trial_is_made_again_under_its_own_name():
    settings = config(method="sgd")
    assert train_command(settings, "search-trial000") == f"{settings.command()} --name search-trial000"
