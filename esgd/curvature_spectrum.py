"""The spectrum of a paper-sized autoencoder's Hessian on a fixed sample: its ends, its density, its index.

``python -m esgd.curvature_spectrum mnist`` takes the net that :mod:`esgd.curvature_run` measures (it trains it if
it is not there yet) and records, for the mean loss of the first 2,000 examples: extreme eigenpairs with their
residuals, and the quadrature nodes of stochastic Lanczos for the Hessian and for its Gauss–Newton part. From the
nodes :func:`read_spectrum` gives back the density, with its error bars, for any width and any threshold.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from esgd.curvature_record import peak_memory
from esgd.curvature_run import CurvatureConfig, command_line, measured_net
from esgd.eigenpairs import Eigenpairs, extreme_eigenpairs
from esgd.errors import ConfigError, EsgdError
from esgd.files import atomic_write
from esgd.operator import GaussNewtonOperator, HessianOperator
from esgd.provenance import now, provenance
from esgd.runs import RunFolder, read_csv, write_csv
from esgd.spectrum import SpectralDensity, spectral_density
from esgd.workload import workload

__all__ = ["SpectrumConfig", "main", "read_spectrum", "record_spectrum"]


@dataclass(frozen=True)
class SpectrumConfig:
    """What decides the numbers of a spectrum.

    Attributes:
        workload: ``"mnist"``, ``"mnist-10k"`` or ``"curves"``.
        examples: the mean loss of the first so many is the function whose Hessian it is.
        pairs: eigenpairs at each end.
        tol: their residual, relative to the largest eigenvalue in magnitude.
        probes: Krylov spaces of the density.
        steps: nodes of each.
        epochs: passes of Adam over the whole data set before the measurement.
        lr: Adam's learning rate.
        batch_size: examples that share a graph; it changes rounding only.
        seed: of the initialisation, the order of the data and the probes.
        sizes: units from the input to the code; None takes the workload's own.
    """

    workload: str = "mnist"
    examples: int = 2000
    pairs: int = 5
    tol: float = 1e-4
    probes: int = 4
    steps: int = 60
    epochs: int = 2
    lr: float = 1e-3
    batch_size: int = 500
    seed: int = 0
    sizes: tuple[int, ...] | None = None

    def __post_init__(self):
        for name, least in (("examples", 1), ("pairs", 1), ("probes", 1), ("steps", 1), ("batch_size", 1)):
            if getattr(self, name) < least:
                raise ConfigError(f"{name} must be at least {least}, got {getattr(self, name)}")

    def net(self) -> CurvatureConfig:
        """The measurement whose net is taken."""
        return CurvatureConfig(self.workload, epochs=self.epochs, lr=self.lr, seed=self.seed, sizes=self.sizes)

    def name(self) -> str:
        """A readable name for the record."""
        size = "" if self.sizes is None else "-" + "x".join(map(str, self.sizes))
        return f"spectrum-{self.workload}{size}-first{self.examples}-epochs{self.epochs}-seed{self.seed}"

    def command(self) -> str:
        """The command line that makes this record."""
        return command_line("esgd.curvature_spectrum", self)


def record_spectrum(
    config: SpectrumConfig,
    target: Path,
    *,
    root: Path | None = None,
    device: torch.device | str = "cpu",
    say: Callable[[str], None] | None = None,
) -> Path:
    """Measure a spectrum and record it in a folder of its own below ``target``.

    It holds ``manifest.json`` (settings, provenance, cost), ``eigenpairs.csv`` (a row an eigenvalue) and
    ``nodes.csv`` (a row a quadrature node of a matrix and a probe).

    Args:
        config: what to measure.
        target: where to record, e.g. ``results/curvature``.
        root: folder of all runs, where the trained net is kept; default ``ESGD_RUNS``.
        device: where to compute.
        say: called with a line after each part.

    Returns:
        The folder.

    Raises:
        EsgdError: another process is at the net, or a product is not finite.
    """
    say = say or (lambda _: None)
    device = torch.device(device)
    task = workload(config.workload)
    images = task.data(device=device, progress=False).images
    folder = RunFolder(config.net().name(), root)
    with folder.locked():
        net, _ = measured_net(config.net(), folder, images)
    start, wall, cpu = now(), time.monotonic(), time.process_time()
    params = list(net.named_parameters())
    batches = images[: config.examples].split(config.batch_size)
    hessian = HessianOperator(lambda b: task.loss(net(b), b), params, batches)
    gauss = GaussNewtonOperator(net, task.loss, params, batches)
    with torch.no_grad():
        loss = sum(task.loss(net(b), b).item() * len(b) for b in batches) / sum(map(len, batches))
    pairs = extreme_eigenpairs(hessian, config.pairs, tol=config.tol, seed=config.seed)
    say(f"eigenvalues from {pairs.values[-1]:.5g} to {pairs.values[0]:.5g} in {pairs.num_products} products")
    densities = {}
    for label, operator in (("hessian", hessian), ("gauss-newton", gauss)):
        densities[label] = spectral_density(operator, config.probes, num_steps=config.steps, seed=config.seed)
        say(f"density of the {label} matrix: at least {densities[label].certain_negative()} negative eigenvalues")
    place = Path(target) / config.name()
    write_csv(place / "eigenpairs.csv", _eigen_rows(pairs), columns=("value", "residual"))
    rows = [row for label, density in densities.items() for row in _node_rows(label, density)]
    write_csv(place / "nodes.csv", rows, columns=("matrix", "probe", "node", "weight", "residual"))
    settings = {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(config).items()}
    manifest = {
        "start": start,
        "command": config.command(),
        **provenance(device),
        "end": now(),
        "settings": settings,
        "parameters": hessian.num_params,
        "loss": loss,
        "converged": pairs.converged,
        "products": {
            "eigenpairs": pairs.num_products,
            "density": config.probes * min(config.steps, hessian.num_params),
        },
        "cost": {
            "seconds": time.monotonic() - wall,
            "cpu_seconds": time.process_time() - cpu,
            "peak_bytes": peak_memory(),
        },
        "files": {
            "eigenpairs.csv": "eigenvalues of the Hessian, descending, and ‖H u − λ u‖ of each",
            "nodes.csv": "nodes and weights of stochastic Lanczos quadrature, a row a node",
        },
    }
    atomic_write(place / "manifest.json", json.dumps(manifest, indent=2, ensure_ascii=False) + "\n")
    return place


def _eigen_rows(pairs: Eigenpairs) -> list[dict[str, Any]]:
    values, residuals = pairs.values.tolist(), pairs.residuals.tolist()
    return [{"value": v, "residual": r} for v, r in zip(values, residuals, strict=True)]


def _node_rows(label: str, density: SpectralDensity) -> list[dict[str, Any]]:
    return [
        {"matrix": label, "probe": i, "node": node, "weight": weight, "residual": residual}
        for i, columns in enumerate(zip(density.nodes, density.weights, density.residuals, strict=True))
        for node, weight, residual in zip(*(c.tolist() for c in columns), strict=True)
    ]


def read_spectrum(place: Path) -> dict[str, SpectralDensity]:
    """The densities of a record, by matrix: ``"hessian"`` and ``"gauss-newton"``.

    Args:
        place: a folder that :func:`record_spectrum` wrote.

    Raises:
        DataError: the record is absent or damaged.
    """
    rows = read_csv(Path(place) / "nodes.csv")
    num_params = RunFolder(place.name, place.parent).manifest()["parameters"]
    found = {}
    for label in dict.fromkeys(row["matrix"] for row in rows):
        mine = [row for row in rows if row["matrix"] == label]
        probes = 1 + max(int(row["probe"]) for row in mine)
        columns = (
            torch.tensor([float(row[key]) for row in mine], dtype=torch.float64).view(probes, -1)
            for key in ("node", "weight", "residual")
        )
        found[label] = SpectralDensity(*columns, num_params)
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m esgd.curvature_spectrum", description=__doc__.splitlines()[0])
    default = SpectrumConfig()
    parser.add_argument("workload", nargs="?", default=default.workload)
    for name, value in asdict(default).items():
        if name not in ("workload", "sizes"):
            parser.add_argument(f"--{name.replace('_', '-')}", type=type(value), default=value)
    parser.add_argument("--sizes", type=lambda text: tuple(map(int, text.split(","))), help="e.g. 784,100,10")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--runs", type=Path, help="folder of all runs (default: ESGD_RUNS)")
    parser.add_argument("--export", type=Path, default=Path("results/curvature"), help="where to record")
    options: dict[str, Any] = vars(parser.parse_args(arguments))
    target, root, device = options.pop("export"), options.pop("runs"), options.pop("device")
    try:
        place = record_spectrum(
            SpectrumConfig(**options), target, root=root, device=device, say=lambda s: print(s, flush=True)
        )
        print(f"recorded in {place}")
    except EsgdError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
