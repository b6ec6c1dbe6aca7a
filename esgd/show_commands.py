"""``esgd figure`` and ``esgd list``: what there is, drawn or told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

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
    data: Annotated[
        str | None,
        typer.Option(help="Figures 4 to 6: curves (default) or mnist; all draws both where it is left out."),
    ] = None,
    x: Annotated[
        str | None,
        typer.Option(
            help="Figure 5: epoch (default), step, gradient_equivalents or seconds; "
            "Figures 4 and 6: epoch, step or loss."
        ),
    ] = None,
    y: Annotated[str | None, typer.Option(help="Figure 5: loss (default) or squared_error.")] = None,
) -> None:
    """Draw figures of the paper, each as one page that needs no network.

    With all, an option goes to the figures that have it. Nothing is written before all of them are drawn.
    """
    from esgd.figures.paper import COMPUTED, check_options, paper_figure
    from esgd.files import atomic_write

    if number != "all" and not (number.isascii() and number.isdecimal()):
        raise ConfigError(f"figure must be a number or all, got {number!r}")
    if number == "all" and (records or output):
        raise ConfigError("with all, every figure has its own records and page: leave --records and --output out")
    given = {name: value for name, value in (("data", data), ("x", x), ("y", y)) if value is not None}
    if number == "all":
        wanted = _all_figures(given)
    else:
        wanted = [(int(number), given)]
        check_options(int(number), given)
        if records is not None and int(number) in COMPUTED:
            raise ConfigError(f"figure {number} is computed and has no table: leave --records out")
        if records is not None and data is not None:
            raise ConfigError(f"--records names the table of figure {number}: leave --data out")
    pages = {}
    for n, options in wanted:
        name = options.get("data", "curves")
        place = output or Path(f"figure{n}.html" if name == "curves" else f"figure{n}-{name}.html")
        page = paper_figure(n, records, **options).to_html(include_plotlyjs=True, full_html=True)
        pages[place] = page.replace("<head>", f"<head><title>Figure {n}</title>", 1)
    for place, page in pages.items():
        atomic_write(place, page)
        print(f"wrote {place}")


def _all_figures(given: Mapping[str, str]) -> list[tuple[int, dict[str, str]]]:
    """Every figure of every data set, each with the options that it has; or of the one that is asked for.

    Raises:
        ConfigError: no figure has an option, or knows its value.
    """
    from esgd.figures.paper import DATA, NUMBERS, OPTIONS, TABLES, recorded

    for name, value in given.items():
        known = list(dict.fromkeys(each for options in OPTIONS.values() for each in options.get(name, ())))
        if value not in known:
            raise ConfigError(f"no figure knows {name} {value!r}: choose one of {', '.join(known)}")
    data = (given["data"],) if "data" in given else DATA
    wanted = [(n, {}) for n in NUMBERS if n not in TABLES]
    wanted += [
        (n, {"data": name})
        for name in data
        for n in TABLES
        if name == "curves" or "data" in given or recorded(n, name).exists()
    ]
    mine = {n: {name: v for name, v in given.items() if v in OPTIONS[n].get(name, ())} for n in NUMBERS}
    return [(n, mine[n] | options) for n, options in wanted]


def list_(runs: Runs = None) -> None:
    """List the runs and how far they are.

    A run that was killed is called interrupted: the command that trained it goes on. A damaged one is marked, and
    the others follow.
    """
    from esgd.errors import DataError
    from esgd.paths import runs_dir
    from esgd.runs import list_runs

    root = runs_dir() if runs is None else runs
    found = list_runs(root)
    if not found:
        print(f"no runs in {root}")
    rows = []
    for folder in found:
        try:
            rows.append((folder.name, *_told(folder)))
        except DataError as error:
            rows.append((folder.name, "damaged", " ".join(str(error).split())))
    names, statuses = (max((len(row[column]) for row in rows), default=0) for column in (0, 1))
    for name, status, told in rows:
        print(f"{name:{names}}  {status:{statuses}}  {told}".rstrip())


def _told(folder: RunFolder) -> tuple[str, str]:
    """Status of a run; epochs done and asked for, and the last losses.

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
    status = str(manifest.get("status", "?"))
    if status == "running" and not folder.busy():
        status = "interrupted"  # its process was killed
    return status, f"{done:>5}/{asked!s:<5}  {_losses(rows)}"


def _losses(rows: Sequence[Mapping[str, Any]]) -> str:
    """The last losses of a run; of an ensemble their range and median, over the members that did not diverge."""
    from statistics import median

    from esgd.comparison import has_diverged

    if not rows:
        return ""
    members: dict[int | None, list[Mapping[str, Any]]] = {}
    for row in rows:
        members.setdefault(row.get("member"), []).append(row)
    if set(members) == {None}:
        return f"loss {rows[-1]['loss']:.4f}  squared error {rows[-1]['squared_error']:.4f}"
    last = [each[-1]["loss"] for each in members.values() if not has_diverged(each)]
    told = f"losses {min(last):.4f} to {max(last):.4f}, median {median(last):.4f}, " if last else ""
    lost = len(members) - len(last)
    return f"{told}{len(members)} members{f', {lost} diverged' if lost else ''}"
