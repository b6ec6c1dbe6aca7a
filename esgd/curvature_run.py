"""Diagonals of the Hessian of a paper-sized autoencoder over a whole data set: resumable, in bounded memory.

``python -m esgd.curvature_run mnist`` trains the net for a few epochs, then takes 100 Hessian-vector products
over all 60,000 digits and records diag(H²), diag(H), ‖H‖_F² and the diagonal dominance, all from the same
products (the paper's Eq. 1, 5 and 6). Ten probes share the graph of each batch, so that a pass over the data
costs about 17 gradients. A checkpoint outside the checkout (``ESGD_RUNS``) is written every minute: a
``kill -9`` loses at most that, and what comes out has the same bits.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from esgd.checkpoint import BEGIN_ANEW, load_checkpoint, require_same, save_checkpoint
from esgd.curvature_record import Tally, export, write_progress
from esgd.errors import ConfigError, EsgdError
from esgd.nets import Autoencoder
from esgd.operator import HessianOperator
from esgd.probes import PROBES, draw_factored
from esgd.provenance import now, provenance
from esgd.runs import RunFolder
from esgd.seeding import batch_order
from esgd.workload import workload

__all__ = ["CurvatureConfig", "main", "measure_curvature", "measured_net"]


@dataclass(frozen=True)
class CurvatureConfig:
    """What decides the numbers of a measurement.

    Attributes:
        workload: ``"mnist"``, ``"mnist-10k"`` or ``"curves"``.
        probes: how many probe vectors.
        probe: ``"rademacher"``, ``"gaussian"`` or ``"low_rank"``.
        epochs: passes of Adam (rate ``lr``, batches of 200) before the measurement; 0 measures at the sparse
            initialisation.
        lr: Adam's learning rate.
        batch_size: examples that share a graph in the measurement; it changes rounding only.
        probes_per_pass: probes that share a pass over the data; memory grows with it.
        seed: of the initialisation, the order of the data and the probes.
        sizes: units from the input to the code; None takes the workload's own.
        examples: measure on the first so many examples; None takes all.
    """

    workload: str = "mnist"
    probes: int = 100
    probe: str = "rademacher"
    epochs: int = 2
    lr: float = 1e-3
    batch_size: int = 1000
    probes_per_pass: int = 10
    seed: int = 0
    sizes: tuple[int, ...] | None = None
    examples: int | None = None

    def __post_init__(self):
        for name, least in (("probes", 2), ("epochs", 0), ("batch_size", 1), ("probes_per_pass", 1)):
            if getattr(self, name) < least:
                raise ConfigError(f"{name} must be at least {least}, got {getattr(self, name)}")
        if self.probe not in PROBES:
            raise ConfigError(f"probe must be one of {sorted(PROBES)}, got {self.probe!r}")

    def name(self) -> str:
        """A readable name for the run."""
        size = "" if self.sizes is None else "-" + "x".join(map(str, self.sizes))
        part = "" if self.examples is None else f"-first{self.examples}"
        return (
            f"curvature-{self.workload}{size}{part}-epochs{self.epochs}-{self.probe}{self.probes}-seed{self.seed}"
        )

    def command(self) -> str:
        """The command line that makes this measurement."""
        return command_line("esgd.curvature_run", self)


def command_line(module: str, config: Any) -> str:
    """``python -m module workload --setting value …`` for a dataclass of settings; what is None is left out."""
    words = [f"python -m {module} {config.workload}"]
    for key, value in asdict(config).items():
        if key != "workload" and value is not None:
            shown = ",".join(map(str, value)) if key == "sizes" else value
            words.append(f"--{key.replace('_', '-')} {shown}")
    return " ".join(words)


def trained_net(config: CurvatureConfig, images: Tensor) -> Autoencoder:
    """The net after its epochs of Adam; the same bits each time on the same device and threads."""
    task = workload(config.workload)
    net = (Autoencoder(config.sizes, seed=config.seed) if config.sizes else task.net(config.seed)).to(images)
    optimizer = torch.optim.Adam(net.parameters(), lr=config.lr)
    for epoch in range(config.epochs):
        for index in batch_order(len(images), config.seed, epoch).split(200):
            batch = images[index.to(images.device)]
            optimizer.zero_grad()
            task.loss(net(batch), batch).backward()
            optimizer.step()
    return net


def measure_curvature(
    config: CurvatureConfig,
    *,
    root: Path | None = None,
    device: torch.device | str = "cpu",
    checkpoint_every: float = 60.0,
    say: Callable[[str], None] | None = None,
) -> Tally:
    """Run or resume a measurement to its end.

    Args:
        config: what to measure.
        root: folder of all runs; default ``ESGD_RUNS``.
        device: where to compute.
        checkpoint_every: seconds of work between checkpoints.
        say: called with a line about progress and the time left at each checkpoint.

    Returns:
        The sums of all probes.

    Raises:
        EsgdError: another process is at it, the checkpoint is of other settings, or a product is not finite.
    """
    device = torch.device(device)
    folder = RunFolder(config.name(), root)
    task = workload(config.workload)
    images = task.data(device=device, progress=False).images[: config.examples]
    with folder.locked():
        net, loss = measured_net(config, folder, images)
        operator = HessianOperator(
            lambda batch: task.loss(net(batch), batch),
            net.named_parameters(),
            images.split(config.batch_size),
        )
        tally = _resume(config, folder, operator, loss)
        _measure(config, folder, operator, tally, checkpoint_every, say or (lambda _: None))
    return tally


def measured_net(config: CurvatureConfig, folder: RunFolder, images: Tensor) -> tuple[Autoencoder, float]:
    """The net to measure, trained once and kept beside the run, and its loss."""
    path = folder.path / "weights.pt"
    settings = {"workload": config.workload, "epochs": config.epochs, "lr": config.lr, "seed": config.seed}
    settings |= {"sizes": list(config.sizes or workload(config.workload).sizes), "examples": config.examples}
    if path.exists():
        saved = load_checkpoint(path, kind="weights", device=images.device)
        require_same(saved["settings"], settings, where=path, advice=BEGIN_ANEW)
        net = Autoencoder(settings["sizes"]).to(images)
        net.load_state_dict(saved["weights"])
        return net, saved["loss"]
    net = trained_net(config, images)
    with torch.no_grad():
        total = sum(workload(config.workload).loss(net(x), x).item() * len(x) for x in images.split(1000))
    loss = total / len(images)
    state = {"kind": "weights", "settings": settings, "weights": net.state_dict(), "loss": loss}
    save_checkpoint(path, state)
    return net, loss


def _resume(config: CurvatureConfig, folder: RunFolder, operator: HessianOperator, loss: float) -> Tally:
    settings = {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(config).items()}
    if folder.checkpoint.exists():
        state = load_checkpoint(folder.checkpoint, kind="curvature", device=operator.device)
        require_same(state["settings"], settings, where=folder.checkpoint, advice=BEGIN_ANEW)
        tally = Tally.from_state(state)
        if tally.batch < len(operator.batches) * -(-config.probes // config.probes_per_pass):
            tally.resumes += 1
        return tally
    return Tally(settings, operator.num_params, operator.device, loss)


def _measure(
    config: CurvatureConfig,
    folder: RunFolder,
    operator: HessianOperator,
    tally: Tally,
    checkpoint_every: float,
    say: Callable[[str], None],
) -> None:
    """The passes that are still missing; ``tally.batch`` counts (pass, batch) pairs done."""
    batches = operator.batches
    units = len(batches) * -(-config.probes // config.probes_per_pass)
    if not folder.manifest():
        folder.write_manifest({"start": now(), "command": config.command(), **provenance(operator.device)})
    clock = Clock(tally, units)
    saved = time.monotonic()
    while tally.batch < units:
        first = tally.batch // len(batches) * config.probes_per_pass
        indices = range(first, min(first + config.probes_per_pass, config.probes))
        vectors = [draw_factored(config.probe, operator.params, config.seed, i) for i in indices]
        if not tally.sums:
            tally.sums = [operator.space.zeros() for _ in indices]
        for number in range(tally.batch % len(batches), len(batches)):
            for n, results in operator.batch_products(vectors, [batches[number]]):
                for total, h in zip(tally.sums, results, strict=True):
                    torch._foreach_add_(total, h, alpha=n)
            tally.batch += 1
            clock.tick()
            if number + 1 < len(batches) and time.monotonic() - saved > checkpoint_every:
                save_checkpoint(folder.checkpoint, tally.state())
                saved = time.monotonic()
                say(write_progress(folder, tally, clock.left(), units))
        tally.finish_pass(operator.space, vectors, sum(map(len, batches)))
        save_checkpoint(folder.checkpoint, tally.state())
        saved = time.monotonic()
        say(write_progress(folder, tally, clock.left(), units))


class Clock:
    """Wall and processor seconds of the work, and how many are left."""

    def __init__(self, tally: Tally, units: int):
        self.tally = tally
        self.units = units
        self.begun = self.last = time.monotonic()
        self.cpu = time.process_time()
        self.done = 0

    def tick(self) -> None:
        """One batch has been gone through."""
        wall, cpu = time.monotonic(), time.process_time()
        self.tally.seconds += wall - self.last
        self.tally.cpu_seconds += cpu - self.cpu
        self.last, self.cpu = wall, cpu
        self.done += 1

    def left(self) -> float:
        """Seconds still to go at this session's pace."""
        return (self.last - self.begun) / max(self.done, 1) * (self.units - self.tally.batch)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m esgd.curvature_run", description=__doc__.splitlines()[0])
    default = CurvatureConfig()
    parser.add_argument("workload", nargs="?", default=default.workload)
    for name, value in asdict(default).items():
        if name not in ("workload", "sizes", "examples"):
            parser.add_argument(f"--{name.replace('_', '-')}", type=type(value), default=value)
    parser.add_argument("--sizes", type=_sizes, help="units from the input to the code, e.g. 784,100,10")
    parser.add_argument("--examples", type=int, help="measure on the first so many examples")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--runs", type=Path, help="folder of all runs (default: ESGD_RUNS)")
    parser.add_argument("--checkpoint-every", type=float, default=60.0, metavar="SECONDS")
    parser.add_argument("--export", type=Path, help="write the summary into this folder, e.g. results/curvature")
    options: dict[str, Any] = vars(parser.parse_args(arguments))
    target, root = options.pop("export"), options.pop("runs")
    every, device = options.pop("checkpoint_every"), options.pop("device")
    try:
        config = CurvatureConfig(**options)
        tally = measure_curvature(
            config, root=root, device=device, checkpoint_every=every, say=lambda s: print(s, flush=True)
        )
        if target is not None:
            export(config.name(), tally, target, root=root)
            print(f"recorded in {target}")
    except EsgdError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _sizes(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(","))


if __name__ == "__main__":
    raise SystemExit(main())
