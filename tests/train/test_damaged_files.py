"""Files that are cut, empty or another table: one line names them, and the other runs are told all the same."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from esgd.errors import DataError
from esgd.figures.paper import paper_figure
from esgd.measure import MeasureConfig
from esgd.measure_export import export_measures
from esgd.measure_run import measure_run
from esgd.records import read_records
from esgd.resumable import train_in_folder
from esgd.runs import RunFolder
from esgd.snapshots import list_snapshots

from .test_checkpoint import config
from .test_cli import in_process, one_line

RESULTS = Path(__file__).parents[2] / "results"
QUIET = {"device": "cpu", "progress": False}


def table(place: Path, name: str, edit) -> Path:
    """A recorded table, edited as text."""
    target = place / "table.csv"
    target.write_text(edit((RESULTS / name).read_text()))
    return target


@pytest.mark.parametrize(
    ("number", "name", "edit", "parts"),
    [
        (5, "fig4/curves/measures.csv", str, ["is not a table of records: it lacks loss", "columns are run"]),
        (5, "fig5/curves/trials.csv", str, ["is not a table of records: it lacks run"]),
        (5, "fig5/curves/records.csv", lambda text: text[:1000], ["line", "has no", "cut off or damaged"]),
        (
            5,
            "fig5/curves/records.csv",
            lambda text: text.replace("sgd", "sdg"),
            ["unknown method 'sdg'", "rmsprop"],
        ),
        (5, "fig5/curves/records.csv", lambda text: text.replace(",0,0,", ",0,zero,", 1), ["number, got 'zero'"]),
        (4, "fig4/curves/measures.csv", lambda text: text[:1000], ["line", "has no", "cut off or damaged"]),
        (4, "fig5/curves/records.csv", str, ["is not a table of measures: it lacks quantity"]),
        (6, "fig6/curves/measures.csv", lambda text: text.replace("esgd", "sgde"), ["unknown method 'sgde'"]),
    ],
)
def test_a_table_that_is_not_whole_or_another_one_gets_one_line(capsys, tmp_path, number, name, edit, parts):
    path = table(tmp_path, name, edit)
    page = tmp_path / "page.html"
    one_line(in_process(capsys, "figure", str(number), "--records", str(path), "-O", str(page)), *parts)
    assert not page.exists()


@pytest.mark.parametrize("number", ["²", "٣", "-1", "1.5", ""])
def test_what_is_no_number_of_a_figure_is_refused(capsys, tmp_path, monkeypatch, number):
    monkeypatch.chdir(tmp_path)
    done = in_process(capsys, "figure", "--", number)
    one_line(done, "figure must be a number or all, got")


@pytest.mark.parametrize("text", ["²", "--5", "5.5"])
def test_an_interval_that_is_no_number_is_refused(capsys, isolated, text):
    one_line(in_process(capsys, "train", "curves", f"--update-every={text}"), "update_every must be a whole number")


def test_every_recorded_table_is_whole():
    for path in RESULTS.glob("fig5/*/records.csv"):
        assert read_records(path)
    for path in RESULTS.glob("fig[46]/*/measures.csv"):
        assert paper_figure(int(path.parts[-3][-1]), path).data


def test_a_damaged_run_is_marked_in_the_list_and_hides_no_other(tiny, capsys, isolated):
    whole = RunFolder("m-whole")
    train_in_folder(config(epochs=1), whole, **QUIET)
    damages = {
        "a-list": lambda folder: (folder.path / "manifest.json").write_text("[]"),
        "b-text": lambda folder: (folder.path / "manifest.json").write_text("{"),
        "c-cut": lambda folder: folder.records.write_text(folder.records.read_text()[:-70]),
        "x-bytes": lambda folder: folder.records.write_bytes(b"\xff\xfe" * 50),
        "z-odd": lambda folder: (folder.path / "manifest.json").write_text('{"config": [], "status": null}'),
    }
    for name, damage in damages.items():
        shutil.copytree(whole.path, whole.path.parent / name)
        damage(RunFolder(name))
    table_of_another_kind = RunFolder("y-defaults")  # as esgd defaults keeps it
    table_of_another_kind.write_manifest({"started": "x"})
    table_of_another_kind.records.write_text("stage,method,epochs\nsearch,sgd,6\n")
    done = in_process(capsys, "list")
    assert done.returncode == 0
    lines = {line.split()[0]: line for line in done.stdout.splitlines()}
    assert set(lines) == {*damages, "m-whole", "y-defaults"}
    assert {name for name, line in lines.items() if line.split()[1] == "damaged"} == set(damages) - {"z-odd"}
    assert "finished" in lines["m-whole"]
    assert "JSON object" in lines["a-list"]
    assert "cut off or damaged" in lines["c-cut"]


def test_a_snapshot_or_a_measure_of_no_epoch_is_named(tiny, tmp_path):
    folder = RunFolder("run", tmp_path)
    train_in_folder(config(epochs=1), folder, snapshot_every=1, **QUIET)
    odd = folder.path / "snapshots" / "epochX.pt"
    odd.touch()
    with pytest.raises(DataError, match=r"epochX\.pt should be called by its epoch, as epoch00010\.pt: move it"):
        list_snapshots(folder)
    odd.rename(odd.with_name("epoch².pt"))
    with pytest.raises(DataError, match="should be called by its epoch"):
        list_snapshots(folder)


@pytest.mark.parametrize("content", ["{}", "[]", '{"settings": {}}', "{", "null"])
def test_a_file_of_measures_that_is_none_is_named(tiny, tmp_path, content):
    folder, small = RunFolder("run", tmp_path), MeasureConfig(50, probes=4, spaces=0, gradient_batches=2)
    train_in_folder(config(epochs=1), folder, snapshot_every=1, **QUIET)
    assert measure_run(folder, small, **QUIET)
    path = next(folder.path.glob("measures-*/epoch00001.json"))
    assert json.loads(path.read_text())["rows"]
    path.write_text(content)
    for use in (
        lambda: measure_run(folder, small, **QUIET),
        lambda: export_measures([folder], small, tmp_path / "r"),
    ):
        with pytest.raises(DataError, match=r"epoch00001\.json .*delete it, and it is measured again"):
            use()
    path.with_name("epochX.json").write_text("{}")
    path.unlink()
    with pytest.raises(DataError, match=r"should be called by its epoch, as epoch00010\.json"):
        export_measures([folder], small, tmp_path / "r")
