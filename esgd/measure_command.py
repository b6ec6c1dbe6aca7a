"""``esgd measure``: what §8.1 and §8.3 measure, at the snapshots of recorded runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from esgd.cli import StopSignal
from esgd.command_options import Minutes, end_not_done
from esgd.errors import ConfigError

__all__ = ["measure"]


def measure(
    runs_named: Annotated[
        list[str] | None, typer.Argument(metavar="RUN...", help="Names of runs; default: all with snapshots.")
    ] = None,
    examples: Annotated[int, typer.Option(help="Size of the fixed sample of the training set.")] = 2000,
    full_data: Annotated[bool, typer.Option("--full-data", help="Take the whole training set instead.")] = False,
    probes: Annotated[int, typer.Option(help="Hessian-vector products for diagonals and dominance.")] = 100,
    batch_size: Annotated[int, typer.Option(help="Examples that share a graph: more take more memory.")] = 1000,
    gradient_batches: Annotated[int, typer.Option(help="Minibatches behind √v, at most.")] = 100,
    spaces: Annotated[int, typer.Option(help="Krylov spaces of the spectrum; 0 leaves it out.")] = 2,
    steps: Annotated[int, typer.Option(help="Dimension of each space.")] = 30,
    abs_probes: Annotated[int, typer.Option(help="Probes for diag|H|, each --steps products; 0: none.")] = 0,
    seed: Annotated[int, typer.Option(help="Of the sample and the probes.")] = 0,
    epoch: Annotated[list[int] | None, typer.Option(help="Only the snapshot of this epoch; repeatable.")] = None,
    results: Annotated[
        Path | None, typer.Option(help="Export to fig4/ and fig6/ in this folder, up to the last common epoch.")
    ] = None,
    recorded: Annotated[
        Path | None,
        typer.Option("--from", help="Take over the measures of an exported results folder first, as results."),
    ] = None,
    export_only: Annotated[bool, typer.Option("--export-only", help="Measure nothing, only export.")] = False,
    minutes: Minutes = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1… or mps.")] = "auto",
    runs: Annotated[Path | None, typer.Option(help="Folder of the runs (default: ESGD_RUNS).")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar.")] = False,
) -> None:
    """Measure curvature along runs trained with --snapshot-every. The same command again goes on."""
    from dataclasses import replace

    from esgd.measure import MeasureConfig
    from esgd.measure_export import check_export, export_measures
    from esgd.measure_run import measure_run
    from esgd.paths import runs_dir
    from esgd.runs import RunFolder, list_runs
    from esgd.snapshots import list_snapshots

    config = MeasureConfig(
        None if full_data else examples, probes, batch_size, gradient_batches, spaces, steps, abs_probes, seed
    )
    full = replace(config, examples=None)
    if export_only and results is None:
        raise ConfigError("--export-only needs --results, the folder to export to")
    root = runs_dir() if runs is None else runs
    folders = [RunFolder(name, root) for name in runs_named or ()]
    folders = folders or [folder for folder in list_runs(root) if list_snapshots(folder)]
    if not folders:
        raise ConfigError(f"no runs with snapshots in {root}: train one with --snapshot-every N")
    if results is not None:
        check_export(folders, config, results, full=full)
    if recorded is not None:
        from esgd.recorded_measures import take_over_measures

        print(f"took over {len(take_over_measures(folders, config, recorded))} measured snapshots from {recorded}")
    done = True
    with StopSignal(minutes) as stop:
        for folder in () if export_only else folders:
            done = measure_run(
                folder,
                config,
                epochs=epoch,
                device=device,
                progress=not quiet,
                should_stop=stop,
            )
            if not done:
                break
            print(f"measured: {folder.name}")
    if not done:
        stop.exit_if_received("stopped; what is measured is kept, the same command goes on from here")
        end_not_done("not done: time is up; the same command goes on from here")
    if results is not None:
        for path in export_measures(folders, config, results, full=full):
            print(f"wrote {path}")
