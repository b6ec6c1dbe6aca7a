"""Titles for the pages of figures: what is drawn, on which data, and where those came from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING, Any

from esgd.runs import read_json

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

__all__ = ["add_heading", "workload_of"]

SUBJECTS = {
    4: "How far other diagonals are from equilibration's",
    5: "Training loss",
    6: "Diagonal dominance along the runs",
}
WIDTH = 50  # letters of small print that a phone has room for
NAMES = {"curves": "CURVES", "mnist": "MNIST", "mnist-10k": "MNIST's 10,000 test digits"}


def _manifest(table: Path) -> dict[str, Any]:
    """What lies beside a table and tells where it comes from; empty if nothing does."""
    return read_json(table.parent / "manifest.json")


def _data(manifest: Mapping[str, Any]) -> Mapping[str, Any]:
    """The data of a run's manifest, or of the first run or trial in a record's."""
    firsts = (search.get("first") or {} for search in manifest.get("searches", ()))
    return next((x["data"] for x in (manifest, *manifest.get("runs", ()), *firsts) if x.get("data")), {})


def workload_of(table: Path, rows: list[Mapping[str, Any]]) -> str:
    """The workload of recorded runs: what the manifest says, else how the runs' names begin."""
    manifest = _manifest(table)
    named = manifest.get("workload") or manifest.get("config", {}).get("workload")
    return named or next((str(row["run"]).split("-")[0] for row in rows), "")


def add_heading(figure: Figure, number: int, table: Path, workload: str, y: str = "loss") -> Figure:
    """Put a title over Figure 4, 5 or 6, with the data set and the source of its images; returns the figure.

    Args:
        figure: changed in place.
        number: of the figure.
        table: the recorded table, with its manifest beside it.
        workload: that was trained.
        y: of Figure 5: ``"loss"`` or ``"squared_error"``.
    """
    subject = "Squared error" if (number, y) == (5, "squared_error") else SUBJECTS[number]
    source = _data(_manifest(table)).get("source", "no manifest beside the table tells where the images came from")
    lines = [subject, *wrap(f"Images: {source}", WIDTH)]
    small = "".join(f"<br><span style='font-size:12px'>{line}</span>" for line in lines)
    top = 75 + 19 * len(lines)  # the heading, and the menus below it
    figure.update_layout(
        title={
            "text": f"Figure {number}. {NAMES.get(workload, workload or 'unknown data')}{small}",
            "font": {"size": 16},
            "x": 0.01,
            "xanchor": "left",
            "y": 1,
            "yref": "container",
            "yanchor": "top",
            "pad": {"t": 12},
        },
        height=figure.layout.height + top - (figure.layout.margin.t or 0),
        margin={"t": top},
    )
    return figure
