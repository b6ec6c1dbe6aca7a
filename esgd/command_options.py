"""Options that several subcommands of ``esgd`` share, and how their values are read."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from esgd.errors import ConfigError

__all__ = ["NOT_DONE", "Device", "Quiet", "Runs", "Snapshots", "parse_seeds"]

NOT_DONE = "not done: time is up, or other processes are at the rest; the same command goes on from here"

Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1… or mps; auto takes the fastest there is.")]
Runs = Annotated[Path | None, typer.Option(help="Folder of the runs (default: ESGD_RUNS, else the user's cache).")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar.")]
Snapshots = Annotated[
    int | None, typer.Option(help="Keep weights and preconditioner every so many epochs, for esgd measure.")
]


def parse_seeds(text: str) -> list[int]:
    """Whole numbers with commas between them.

    Raises:
        ConfigError: they are not.
    """
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise ConfigError(f"seeds must be whole numbers with commas between them, as 0,1,2; got {text!r}") from None
