"""The subcommands of ``esgd``. Heavy imports wait until a command runs, so that ``--help`` is quick."""

from __future__ import annotations

from typing import Annotated

import typer

from esgd.command_options import EXIT_CODES
from esgd.measure_command import measure
from esgd.protocol_commands import defaults, reproduce, search
from esgd.show_commands import figure, list_
from esgd.train_command import train

__all__ = ["app"]

app = typer.Typer(
    name="esgd",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from esgd import __version__

        print(f"esgd {__version__}")  # also of a checkout that is not installed
        raise typer.Exit


@app.callback(epilog=EXIT_CODES)
def _root(
    version: Annotated[
        bool,
        typer.Option("--version", help="Print the version and exit.", callback=_print_version, is_eager=True),
    ] = False,
) -> None:
    """Train the paper's autoencoders, search, measure, and draw the figures."""


for command in (train, search, reproduce, defaults, measure, figure):
    app.command()(command)
app.command("list")(list_)
