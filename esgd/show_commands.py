"""``esgd figure`` and ``esgd list``: what there is, drawn or told."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from esgd.command_options import Runs
from esgd.errors import ConfigError

if TYPE_CHECKING:
    from esgd.runs import RunFolder

__all__ = ["figure", "list_"]


def figure(
    number: Annotated[str, typer.Argument(help="Number of the paper's figure, 1 to 6; or all.")],
    records: Annotated[Path | None, typer.Option(help="Recorded table; default: the one in results/.")] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-O", help="The page to write; default: figureN.html.")
    ] = None,
    data: Annotated[str, typer.Option(help="Figures 4 to 6: curves or mnist; all draws both.")] = "curves",
    x: Annotated[str, typer.Option(help="epoch, step, gradient_equivalents or seconds.")] = "epoch",
    y: Annotated[str, typer.Option(help="loss or squared_error.")] = "loss",
) -> None:
    """Draw figures of the paper, each as one page that needs no network."""
    from esgd.figures.paper import DATA, NUMBERS, TABLES, paper_figure, recorded
    from esgd.files import atomic_write

    if number != "all" and not (number.isascii() and number.isdecimal()):
        raise ConfigError(f"figure must be a number or all, got {number!r}")
    if number == "all" and (records or output):
        raise ConfigError("with all, every figure has its own records and page: leave --records and --output out")
    wanted = [(int(number), data)] if number != "all" else [(n, "curves") for n in NUMBERS]
    if number == "all":
        others = [name for name in DATA if name != "curves"]
        wanted += [(n, name) for n in TABLES for name in others if recorded(n, name).exists()]
    for n, name in wanted:
        page = paper_figure(n, records, data=name, x=x, y=y).to_html(include_plotlyjs=True, full_html=True)
        place = output or Path(f"figure{n}.html" if name == "curves" else f"figure{n}-{name}.html")
        atomic_write(place, page.replace("<head>", f"<head><title>Figure {n}</title>", 1))
        print(f"wrote {place}")


def list_(runs: Runs = None) -> None:
    """List the runs and how far they are; a damaged one is marked and the others follow."""
    from esgd.errors import DataError
    from esgd.paths import runs_dir
    from esgd.runs import list_runs

    root = runs_dir() if runs is None else runs
    found = list_runs(root)
    if not found:
        print(f"no runs in {root}")
    for folder in found:
        try:
            told = _told(folder)
        except DataError as error:
            told = f"{'damaged':9}  {' '.join(str(error).split())}"
        print(f"{folder.name:60}  {told}".rstrip())


def _told(folder: RunFolder) -> str:
    """Status, epochs done and asked for, and the last losses of a run.

    Raises:
        DataError: its manifest or its records are damaged.
    """
    from esgd.records import read_records
    from esgd.runs import read_csv

    manifest = folder.manifest()
    config = manifest.get("config")
    asked = config.get("epochs", "?") if isinstance(config, dict) else "?"
    rows = read_csv(folder.records) if folder.records.exists() else []
    # the table of esgd defaults has no epochs: it is no run
    rows = read_records(folder.records) if rows and "epoch" in rows[0] else []
    done = rows[-1]["epoch"] if rows else 0
    losses = f"loss {rows[-1]['loss']:.4f}  squared error {rows[-1]['squared_error']:.4f}" if rows else ""
    return f"{manifest.get('status', '?')!s:9}  {done:>5}/{asked!s:<5}  {losses}"
