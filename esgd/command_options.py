"""Options that several subcommands of ``esgd`` share, and how their values are read."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, NoReturn

import typer

from esgd.cli import DIVERGED, HUNG_UP, INTERRUPTED, NOT_DONE, TERMINATED
from esgd.errors import ConfigError

__all__ = [
    "EXIT_CODES",
    "Checkpoints",
    "Device",
    "Minutes",
    "Quiet",
    "Runs",
    "Snapshots",
    "end_not_done",
    "parse_seeds",
]

EXIT_CODES = (
    f"Exit codes: 0 done; 1 an error; 2 words that are not understood; {DIVERGED} the run, or every trial of a "
    f"study, diverged; {NOT_DONE} not done, time is up or other processes are at the rest, the same command goes "
    f"on; {INTERRUPTED}, {TERMINATED} and {HUNG_UP} stopped by Ctrl-C, SIGTERM and SIGHUP, what is done is kept."
)

Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1… or mps; auto takes the fastest there is.")]
Runs = Annotated[Path | None, typer.Option(help="Folder of the runs (default: ESGD_RUNS, else the user's cache).")]
Minutes = Annotated[
    float | None,
    typer.Option(
        help=f"Stop after so many minutes; what is not done then ends with exit code {NOT_DONE} and goes on."
    ),
]
Checkpoints = Annotated[
    int | None, typer.Option(help="Epochs between two checkpoints (default: after an epoch, at most one a minute).")
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar.")]
Snapshots = Annotated[
    int | None,
    typer.Option(
        help="Keep weights and preconditioner every so many epochs, for esgd measure (default: as it was begun)."
    ),
]


def end_not_done(
    line: str = "not done: time is up, or other processes are at the rest; the same command goes on from here",
) -> NoReturn:
    """Say so and exit with the code of its own that a script can go on by.

    Raises:
        typer.Exit: always.
    """
    print(line, flush=True)
    raise typer.Exit(NOT_DONE)


def parse_seeds(text: str) -> list[int]:
    """Whole numbers with commas between them.

    Raises:
        ConfigError: they are not.
    """
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise ConfigError(f"seeds must be whole numbers with commas between them, as 0,1,2; got {text!r}") from None
