"""``esgd train``: one run, or the seeds of one setting as an ensemble."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from esgd.cli import DIVERGED, StopSignal
from esgd.command_options import Checkpoints, Device, Minutes, Quiet, Runs, Snapshots, end_not_done, parse_seeds
from esgd.errors import ConfigError

if TYPE_CHECKING:
    from esgd.config import RunConfig

__all__ = ["train"]


def train(
    workload: Annotated[str, typer.Argument(help="mnist, mnist-10k (packaged, needs no network) or curves.")],
    optimizer: Annotated[str, typer.Option("--optimizer", "-o", help="sgd, rmsprop, jacobi, esgd, adam.")] = "esgd",
    lr: Annotated[float | None, typer.Option(help="Learning rate (default: the method's own).")] = None,
    epochs: Annotated[int, typer.Option(help="Passes through the training set, in all.")] = 10,
    seed: Annotated[
        int | None, typer.Option(help="Of the initialisation, the data order and the probes (default: 0).")
    ] = None,
    seeds: Annotated[
        str | None, typer.Option(help="Several seeds, as 0,1,2: one vectorised run of all of them.")
    ] = None,
    damping: Annotated[float | None, typer.Option(help="λ of the preconditioner (default: the method's).")] = None,
    decay: Annotated[float | None, typer.Option(help="RMSProp's decay rate α (default: 0.9).")] = None,
    momentum: Annotated[float, typer.Option(help="Heavy-ball momentum; the paper uses none.")] = 0.0,
    nesterov: Annotated[bool, typer.Option("--nesterov", help="Nesterov's form of the momentum.")] = False,
    update_every: Annotated[str, typer.Option(help="Steps between two curvature probes, or auto.")] = "20",
    warmup_probes: Annotated[int, typer.Option(help="Probes before the first step.")] = 10,
    batch_size: Annotated[int, typer.Option(help="Examples a step.")] = 200,
    dtype: Annotated[str, typer.Option(help="float32 or float64.")] = "float32",
    eval_every: Annotated[int, typer.Option(help="Epochs between two evaluations.")] = 1,
    checkpoint_every: Checkpoints = None,
    snapshot_every: Snapshots = None,
    name: Annotated[str | None, typer.Option(help="Name of the run (default: made from the settings).")] = None,
    minutes: Minutes = None,
    device: Device = "auto",
    runs: Runs = None,
    quiet: Quiet = False,
) -> None:
    """Train an autoencoder. The same command again goes on where the run stopped."""
    from esgd.checkpoint_times import CheckpointTimes
    from esgd.config import RunConfig
    from esgd.parallel import launched, speaks, train_parallel
    from esgd.resumable import train_in_folder
    from esgd.runs import RunFolder
    from esgd.snapshots import missing_line
    from esgd.workload import workload as find_workload

    find_workload(workload)
    config = RunConfig(
        workload=workload,
        method=optimizer,
        lr=lr,
        epochs=epochs,
        seed=0 if seed is None else seed,
        batch_size=batch_size,
        damping=damping,
        decay=decay,
        momentum=momentum,
        nesterov=nesterov,
        update_every=_interval(update_every),
        warmup_probes=warmup_probes,
        dtype=dtype,
        eval_every=eval_every,
    )
    CheckpointTimes(checkpoint_every)  # refuses an interval below 1 before any data are loaded
    if seeds is not None:
        if seed is not None:
            raise ConfigError(f"--seeds {seeds} and --seed {seed} contradict each other: give one of them")
        if snapshot_every is not None:
            raise ConfigError("members of an ensemble keep no snapshots: leave out --seeds or --snapshot-every")
        _train_ensemble(config, seeds, name, runs, device, quiet, minutes, checkpoint_every)
        return
    folder = RunFolder(config.name() if name is None else name, runs)
    with StopSignal(minutes) as stop:
        result = (train_parallel if launched() else train_in_folder)(
            config,
            folder,
            device=device,
            progress=not quiet,
            should_stop=stop,
            checkpoint_every=checkpoint_every,
            snapshot_every=snapshot_every,
        )
    if not speaks():
        return
    if snapshot_every is not None and (line := missing_line(folder, snapshot_every)) is not None:
        print(line)
    last = result.records[-1]
    summary = f"loss {last['loss']:.4f}, squared error {last['squared_error']:.4f} after {last['epoch']} epochs"
    if result.status == "stopped":  # else the signal came too late to stop anything
        stop.exit_if_received(f"stopped and saved ({summary}); the same command goes on from here")
    _end(result.status, f"{result.status}: {folder.name}: {summary}; records in {folder.records}")


def _train_ensemble(
    config: RunConfig,
    text: str,
    name: str | None,
    runs: Path | None,
    device: str,
    quiet: bool,
    minutes: float | None,
    checkpoint_every: int | None,
) -> None:
    """All seeds of a configuration in one run."""
    from dataclasses import replace

    from esgd.ensemble_run import ensemble_name, train_ensemble_in_folder
    from esgd.parallel import launched
    from esgd.runs import RunFolder

    if launched():
        raise ConfigError("an ensemble is one process: leave out torchrun or --seeds")
    configs = [replace(config, seed=seed) for seed in parse_seeds(text)]
    folder = RunFolder(ensemble_name(configs) if name is None else name, runs)
    with StopSignal(minutes) as stop:
        status, training = train_ensemble_in_folder(
            configs,
            folder,
            device=device,
            progress=not quiet,
            should_stop=stop,
            checkpoint_every=checkpoint_every,
        )
    if status == "stopped":
        stop.exit_if_received("stopped and saved; the same command goes on from here")
    records = [training.member_records(k) for k in range(len(configs))]
    losses = ", ".join(f"{own[-1]['loss']:.4f}" if own else "not evaluated yet" for own in records)
    lost = ", ".join(str(configs[k].seed) for k in sorted(training.diverged))
    which = f" (seed {lost} diverged)" if lost and status != "diverged" else ""
    _end(
        status,
        f"{status}: {folder.name}: losses {losses} after {training.epoch} epochs{which}; "
        f"records in {folder.records}",
    )


def _end(status: str, line: str) -> None:
    """Say how the run ended, and exit as its status asks for.

    Under torchrun a run that is not done exits with 0: torchrun takes any other code for a failure.
    """
    from esgd.parallel import launched

    if status == "stopped" and not launched():
        end_not_done(f"{line}; not done: the same command goes on from here")
    print(line)
    if status == "diverged":
        raise typer.Exit(DIVERGED)


def _interval(text: str) -> int | str:
    """The interval as RunConfig wants it; what is no number is left for it to refuse."""
    try:
        return int(text)
    except ValueError:
        return text
