"""What the manifests say of recorded runs, against the rows that lie beside them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from esgd.runs import read_csv

RESULTS = Path(__file__).resolve().parents[2] / "results"


def named_runs(path: Path) -> list[dict]:
    """The runs of a manifest that have a name; Figure 3's draws have none."""
    return [run for run in json.loads(path.read_text(encoding="utf-8")).get("runs", []) if "run" in run]


def last_rows(folder: Path) -> dict[str, int]:
    """Run -> the last epoch of its rows, over the tables of a folder that have a row an epoch."""
    last: dict[str, int] = {}
    for path in sorted(folder.glob("*.csv")):
        for row in read_csv(path):
            if {"run", "epoch"} <= row.keys():
                last[row["run"]] = max(row["epoch"], last.get(row["run"], 0))
    return last


MANIFESTS = [path for path in sorted(RESULTS.glob("**/manifest.json")) if named_runs(path)]


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.parent.relative_to(RESULTS).as_posix())
def test_each_run_has_as_many_epochs_as_its_manifest_says(path):
    """Of the rows: a run that went on before its export says so in a number of its own."""
    said = {run["run"]: run.get("recorded_epochs", run.get("epochs_done")) for run in named_runs(path)}
    assert said == last_rows(path.parent)


def test_no_manifest_of_runs_escapes():
    folders = {path.parent.relative_to(RESULTS).as_posix() for path in MANIFESTS}
    assert {f"fig{n}/{data}" for n in (4, 5, 6) for data in ("curves", "mnist")} | {"fig5/mnist-damping"} <= folders


@pytest.mark.parametrize("figure", ["fig4", "fig6"])
def test_what_is_known_of_the_check_on_all_examples_is_said(figure):
    """Where it comes from, or that this is not known; and which runs it left out."""
    for path in RESULTS.glob(f"{figure}/*/full.csv"):
        manifest = json.loads((path.parent / "manifest.json").read_text(encoding="utf-8"))
        measured = {row["run"] for row in read_csv(path)}
        if "full" in manifest:
            assert set(manifest["full"]["measured"]) == measured
        else:
            assert "full.csv" in manifest["note"]
            left = {run["run"] for run in manifest["runs"]} - measured
            assert all(name in manifest["note"] for name in left)
