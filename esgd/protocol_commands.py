"""``esgd search``, ``esgd reproduce`` and ``esgd defaults``: many runs by one command, resumable."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from esgd.cli import DIVERGED, StopSignal
from esgd.command_options import Device, Minutes, Quiet, Runs, end_not_done, parse_seeds
from esgd.errors import ConfigError, DataError

if TYPE_CHECKING:
    from esgd.protocols import Protocol

__all__ = ["defaults", "reproduce", "search"]

PAPER_METHODS = ("sgd", "rmsprop", "jacobi", "esgd")


def search(
    workload: Annotated[str, typer.Argument(help="mnist, mnist-10k or curves.")],
    optimizer: Annotated[str, typer.Option("--optimizer", "-o", help="A method, or all of the paper's.")] = "all",
    space: Annotated[str, typer.Option(help="Ranges: paper (§7), wide or momentum.")] = "paper",
    trials: Annotated[int, typer.Option(help="Trials a method, in all.")] = 12,
    epochs: Annotated[int, typer.Option(help="Length of each trial.")] = 30,
    seed: Annotated[int, typer.Option(help="Of each trial's net, data order and probes.")] = 1000,
    momentum: Annotated[float, typer.Option(help="Momentum of each trial; the paper uses none.")] = 0.0,
    nesterov: Annotated[bool, typer.Option("--nesterov", help="Nesterov's form of the momentum.")] = False,
    ensemble: Annotated[
        int, typer.Option(help="Train so many trials at once as one vectorised run: faster on a GPU.")
    ] = 1,
    minutes: Minutes = None,
    device: Device = "auto",
    runs: Runs = None,
    quiet: Quiet = False,
) -> None:
    """Random search, resumable; several processes may work on one study."""
    from math import isfinite

    from esgd.search import SearchSettings, check_ensemble
    from esgd.search import search as run_search

    methods = PAPER_METHODS if optimizer == "all" else (optimizer,)
    studies = [
        SearchSettings(workload, method, space, trials, epochs, seed, momentum, nesterov) for method in methods
    ]
    for settings in studies:
        check_ensemble(settings, ensemble)
    finished, lost = True, False
    with StopSignal(minutes) as stop:
        for settings in studies:
            done = run_search(
                settings,
                root=runs,
                ensemble=ensemble,
                device=device,
                progress=not quiet,
                should_stop=stop,
                on_trial=lambda number, loss, name=settings.name: print(
                    f"{name} trial {number}: loss {loss:.4f}", flush=True
                ),
            )
            losses = done.losses()
            finished = finished and len(losses) == trials
            if not finished or settings is not studies[-1]:
                stop.exit_if_received("stopped and saved; the same command goes on from here")
            told = f"{settings.name}: {len(losses)} of {trials} trials"
            if any(map(isfinite, losses.values())):
                best = done.best()
                drawn = ", ".join(f"{key} {value:.4g}" for key, value in settings.drawn(best).items())
                print(f"{told}; best loss {losses[best]:.4f} with {drawn}")
            elif losses:
                print(f"{told}; every one diverged")
                lost = True
            if stop():  # begins no trial of the methods that follow
                finished = finished and settings is studies[-1]
                break
    if not finished:
        end_not_done()
    if lost:
        raise typer.Exit(DIVERGED)


def reproduce(
    workload: Annotated[str, typer.Argument(help="curves or mnist; with -nesterov or -wide, an extension.")],
    epochs: Annotated[
        int | None, typer.Option(help="Length of the recorded runs (default: the protocol's).")
    ] = None,
    seeds: Annotated[
        str | None, typer.Option(help="Record these seeds, any, as 0,1 (default: the protocol's).")
    ] = None,
    recorded: Annotated[
        Path | None, typer.Option("--from", help="Take over the searches and runs of an exported folder first.")
    ] = None,
    results: Annotated[
        Path | None, typer.Option(help="Export what there is to this folder at the end, as results/fig5/mnist.")
    ] = None,
    export_only: Annotated[bool, typer.Option("--export-only", help="Run nothing, only export.")] = False,
    snapshot_every: Annotated[
        int | None,
        typer.Option(help="Of the first of the seeds, keep snapshots every so many epochs, for esgd measure."),
    ] = None,
    ensemble: Annotated[
        bool, typer.Option("--ensemble", help="Each search, and the seeds of each method, as one vectorised run.")
    ] = False,
    minutes: Minutes = None,
    device: Device = "auto",
    runs: Runs = None,
    quiet: Quiet = False,
) -> None:
    """Figure 5's whole protocol: search, then the best settings over seeds. Resumable at any moment.

    Each trial and each run tells its loss, each search what it chose, and all of them the time that is left. With
    --minutes it can be run in pieces: as long as the exit code is 75, the same command goes on.
    """
    from esgd.export import check_destination
    from esgd.reproduce import check_request, export, protocol
    from esgd.reproduce import reproduce as run_protocol

    plan = protocol(workload)
    if export_only and results is None:
        raise ConfigError("--export-only needs --results, the folder to export to")
    chosen = None if seeds is None else parse_seeds(seeds)
    check_request(plan, epochs, chosen, snapshot_every, ensemble)
    if recorded is not None:
        from esgd.recorded import take_over

        print(f"took over {len(take_over(plan, recorded, root=runs))} trials and runs from {recorded}")
    data = None if results is None or export_only else check_destination(plan, results, root=runs)
    done = False
    with StopSignal(minutes) as stop:
        if not export_only:
            with _data_advice(plan):
                done = run_protocol(
                    plan,
                    root=runs,
                    epochs=epochs,
                    seeds=chosen,
                    device=device,
                    progress=not quiet,
                    should_stop=stop,
                    say=lambda line: print(line, flush=True),
                    snapshot_every=snapshot_every,
                    ensemble=ensemble,
                    data=data,
                )
        if results is not None:
            for path in export(plan, results, root=runs):
                print(f"wrote {path}")
    if not (done or export_only):
        stop.exit_if_received("stopped and saved; the same command goes on from here")
        end_not_done()


@contextmanager
def _data_advice(plan: Protocol) -> Iterator[None]:
    """Where the digits cannot be had, say which commands the advised ``mnist-10k`` is for: this is not one."""
    try:
        yield
    except DataError as error:
        if "mnist-10k" not in str(error):
            raise
        raise DataError(
            f"{error}; that is for esgd train and esgd search: esgd reproduce {plan.name} needs the 60,000 digits"
        ) from error


def defaults(
    results: Annotated[Path | None, typer.Option(help="Export to this folder when all is done.")] = None,
    minutes: Minutes = None,
    device: Device = "auto",
    runs: Runs = None,
    quiet: Quiet = False,
) -> None:
    """Tune every method by the same small budget: where the defaults come from. Resumable."""
    from esgd.defaults import BUDGET, export_defaults, run_defaults
    from esgd.paths import runs_dir

    root = runs_dir() if runs is None else runs
    with StopSignal(minutes) as stop:
        done = run_defaults(
            BUDGET,
            root,
            device=device,
            progress=not quiet,
            should_stop=stop,
            say=lambda line: print(line, flush=True),
        )
    if not done:
        stop.exit_if_received("stopped; the same command goes on from here")
        end_not_done()
    if results is not None:
        for path in export_defaults(BUDGET, results, root):
            print(f"wrote {path}")
