"""The subcommands of ``esgd``. Heavy imports wait until a command runs, so that ``--help`` is quick."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from esgd.cli import StopSignal
from esgd.errors import ConfigError
from esgd.measure_command import measure

__all__ = ["app"]

PAPER_METHODS = ("sgd", "rmsprop", "jacobi", "esgd")

app = typer.Typer(
    name="esgd",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1… or mps; auto takes the fastest there is.")]
Runs = Annotated[Path | None, typer.Option(help="Folder of the runs (default: ESGD_RUNS, else the user's cache).")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar.")]
Snapshots = Annotated[
    int | None, typer.Option(help="Keep weights and preconditioner every so many epochs, for esgd measure.")
]


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib import metadata

        print(f"esgd {metadata.version('esgd')}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option("--version", help="Print the version and exit.", callback=_print_version, is_eager=True),
    ] = False,
) -> None:
    """Train the paper's autoencoders, search, measure, and draw the figures."""


@app.command()
def train(
    workload: Annotated[str, typer.Argument(help="mnist, mnist-10k (packaged, needs no network) or curves.")],
    optimizer: Annotated[str, typer.Option("--optimizer", "-o", help="sgd, rmsprop, jacobi, esgd, adam.")] = "esgd",
    lr: Annotated[float | None, typer.Option(help="Learning rate (default: the method's own).")] = None,
    epochs: Annotated[int, typer.Option(help="Passes through the training set, in all.")] = 10,
    seed: Annotated[int, typer.Option(help="Of the initialisation, the data order and the probes.")] = 0,
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
    checkpoint_every: Annotated[int, typer.Option(help="Epochs between two checkpoints.")] = 1,
    snapshot_every: Snapshots = None,
    name: Annotated[str | None, typer.Option(help="Name of the run (default: made from the settings).")] = None,
    minutes: Annotated[float | None, typer.Option(help="Stop after so many minutes, resumable.")] = None,
    device: Device = "auto",
    runs: Runs = None,
    quiet: Quiet = False,
) -> None:
    """Train an autoencoder. The same command again goes on where the run stopped."""
    from esgd.config import RunConfig
    from esgd.parallel import launched, speaks, train_parallel
    from esgd.resumable import train_in_folder
    from esgd.runs import RunFolder
    from esgd.workload import workload as find_workload

    find_workload(workload)
    config = RunConfig(
        workload=workload,
        method=optimizer,
        lr=lr,
        epochs=epochs,
        seed=seed,
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
    if checkpoint_every < 1:
        raise ConfigError(f"checkpoint-every must be at least 1, got {checkpoint_every}")
    if seeds is not None:
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
    last = result.records[-1]
    summary = f"loss {last['loss']:.4f}, squared error {last['squared_error']:.4f} after {last['epoch']} epochs"
    stop.exit_if_received(f"stopped and saved ({summary}); the same command goes on from here")
    print(f"{result.status}: {folder.name}: {summary}; records in {folder.records}")
    if result.status == "diverged":
        raise typer.Exit(3)


def _parse_seeds(text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise ConfigError(f"seeds must be whole numbers with commas between them, as 0,1,2; got {text!r}") from None


def _train_ensemble(config, text, name, runs, device, quiet, minutes, checkpoint_every) -> None:
    """All seeds of a configuration in one run."""
    from dataclasses import replace

    from esgd.ensemble_run import ensemble_name, train_ensemble_in_folder
    from esgd.parallel import launched
    from esgd.runs import RunFolder

    if launched():
        raise ConfigError("an ensemble is one process: leave out torchrun or --seeds")
    configs = [replace(config, seed=seed) for seed in _parse_seeds(text)]
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
    stop.exit_if_received("stopped and saved; the same command goes on from here")
    losses = ", ".join(f"{training.member_records(k)[-1]['loss']:.4f}" for k in range(len(configs)))
    print(f"{status}: {folder.name}: losses {losses} after {training.epoch} epochs; records in {folder.records}")


@app.command()
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
    minutes: Annotated[float | None, typer.Option(help="Stop after so many minutes, resumable.")] = None,
    device: Device = "auto",
    runs: Runs = None,
    quiet: Quiet = False,
) -> None:
    """Random search, resumable; several processes may work on one study."""
    from esgd.search import SearchSettings
    from esgd.search import search as run_search

    methods = PAPER_METHODS if optimizer == "all" else (optimizer,)
    studies = [
        SearchSettings(workload, method, space, trials, epochs, seed, momentum, nesterov) for method in methods
    ]
    with StopSignal(minutes) as stop:
        for settings in studies:
            done = run_search(
                settings,
                root=runs,
                ensemble=ensemble,
                device=device,
                progress=not quiet,
                should_stop=stop,
                on_trial=lambda number, loss, name=settings.name: print(f"{name} trial {number}: loss {loss:.4f}"),
            )
            stop.exit_if_received("stopped and saved; the same command goes on from here")
            losses, best = done.losses(), done.best()
            if best is not None:
                drawn = ", ".join(f"{key} {value:.4g}" for key, value in settings.drawn(best).items())
                print(
                    f"{settings.name}: {len(losses)} of {trials} trials; best loss {losses[best]:.4f} with {drawn}"
                )


@app.command()
def reproduce(
    workload: Annotated[str, typer.Argument(help="curves, mnist or curves-nesterov.")],
    epochs: Annotated[
        int | None, typer.Option(help="Length of the recorded runs (default: the protocol's).")
    ] = None,
    seeds: Annotated[
        str | None, typer.Option(help="Go on with these seeds' recorded runs only, as 0,1 (default: all).")
    ] = None,
    recorded: Annotated[
        Path | None, typer.Option("--from", help="Take over the searches and runs of an exported folder first.")
    ] = None,
    results: Annotated[Path | None, typer.Option(help="Export what there is to this folder at the end.")] = None,
    export_only: Annotated[bool, typer.Option("--export-only", help="Run nothing, only export.")] = False,
    snapshot_every: Snapshots = None,
    ensemble: Annotated[
        bool, typer.Option("--ensemble", help="Each search, and the seeds of each method, as one vectorised run.")
    ] = False,
    minutes: Annotated[float | None, typer.Option(help="Stop after so many minutes, resumable.")] = None,
    device: Device = "auto",
    runs: Runs = None,
    quiet: Quiet = False,
) -> None:
    """Figure 5's whole protocol: search, then the best settings over seeds. Resumable at any moment."""
    from esgd.reproduce import export, protocol
    from esgd.reproduce import reproduce as run_protocol

    plan = protocol(workload)
    if export_only and results is None:
        raise ConfigError("--export-only needs --results, the folder to export to")
    if recorded is not None:
        from esgd.recorded import take_over

        print(f"took over {len(take_over(plan, recorded, root=runs))} trials and runs from {recorded}")
    done = False
    with StopSignal(minutes) as stop:
        if not export_only:
            done = run_protocol(
                plan,
                root=runs,
                epochs=epochs,
                seeds=None if seeds is None else _parse_seeds(seeds),
                device=device,
                progress=not quiet,
                should_stop=stop,
                snapshot_every=snapshot_every,
                ensemble=ensemble,
            )
        if results is not None:
            for path in export(plan, results, root=runs):
                print(f"wrote {path}")
    stop.exit_if_received("stopped and saved; the same command goes on from here")
    if not (done or export_only):
        print("not done: time is up, or other processes are at the rest; the same command goes on from here")


@app.command()
def defaults(
    results: Annotated[Path | None, typer.Option(help="Export to this folder when all is done.")] = None,
    minutes: Annotated[float | None, typer.Option(help="Stop after so many minutes, resumable.")] = None,
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
    stop.exit_if_received("stopped; the same command goes on from here")
    if not done:
        print("not done: time is up, or other processes are at the rest; the same command goes on from here")
    elif results is not None:
        for path in export_defaults(BUDGET, results, root):
            print(f"wrote {path}")


app.command()(measure)


@app.command()
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

    if number != "all" and not number.isdigit():
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
        atomic_write(place, page)
        print(f"wrote {place}")


@app.command("list")
def list_(runs: Runs = None) -> None:
    """List the runs and how far they are."""
    from esgd.paths import runs_dir
    from esgd.runs import list_runs, read_csv

    root = runs_dir() if runs is None else runs
    found = list_runs(root)
    if not found:
        print(f"no runs in {root}")
    for folder in found:
        manifest = folder.manifest()
        rows = read_csv(folder.records) if folder.records.exists() else []
        done, asked = rows[-1]["epoch"] if rows else 0, manifest.get("config", {}).get("epochs", "?")
        losses = f"loss {rows[-1]['loss']:.4f}  squared error {rows[-1]['squared_error']:.4f}" if rows else ""
        print(f"{folder.name:60}  {manifest.get('status', '?'):9}  {done:>5}/{asked:<5}  {losses}".rstrip())


def _interval(text: str) -> int | str:
    """The interval as RunConfig wants it; what is no number is left for it to refuse."""
    return int(text) if text.lstrip("-").isdigit() else text
