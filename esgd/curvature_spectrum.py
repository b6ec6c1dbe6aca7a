"""The spectrum of a paper-sized autoencoder's Hessian on a fixed sample: its ends, its density, its index.

``python -m esgd.curvature_spectrum mnist`` takes the net that :mod:`esgd.curvature_run` measures (it trains it if
it is not there yet) and records, for the mean loss of the first 2,000 examples: extreme eigenpairs with their
residuals, and the quadrature nodes of stochastic Lanczos for the Hessian and for its Gauss–Newton part. From the
nodes :func:`read_spectrum` gives back the density, with its error bars, for any width and any threshold.

Each product is kept outside the checkout (``ESGD_RUNS``) until the part that needs it is done: a ``kill -9`` loses
one product, and what comes out has the same bits. It takes a vector of N a product on the disk: 1.5 GB for MNIST.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from esgd.checkpoint import BEGIN_ANEW, load_checkpoint, require_same, save_checkpoint
from esgd.curvature_products import KeptProducts, Meter, digest
from esgd.curvature_record import peak_memory
from esgd.curvature_run import CurvatureConfig, command_line, measured_net
from esgd.eigenpairs import extreme_eigenpairs
from esgd.errors import ConfigError, EsgdError
from esgd.files import atomic_write
from esgd.operator import CurvatureOperator, GaussNewtonOperator, HessianOperator
from esgd.provenance import now, provenance
from esgd.runs import RunFolder, read_csv, write_csv
from esgd.spectrum import SpectralDensity, quadratures
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
    """Run or resume the measurement of a spectrum and record it in a folder of its own below ``target``.

    It holds ``manifest.json`` (settings, provenance, cost), ``eigenpairs.csv`` (a row an eigenvalue) and
    ``nodes.csv`` (a row a quadrature node of a matrix and a probe).

    Args:
        config: what to measure.
        target: where to record, e.g. ``results/curvature``.
        root: folder of all runs, for the trained net and what a resume needs; default ``ESGD_RUNS``.
        device: where to compute.
        say: called with a line after each part.

    Returns:
        The folder.

    Raises:
        EsgdError: another process is at it, the checkpoint is of other settings or another net, or a product is
            not finite.
    """
    device = torch.device(device)
    task = workload(config.workload)
    data = task.data(device=device, progress=False)
    if config.examples > len(data):
        raise ConfigError(
            f"examples must be at most the {len(data):,} of {config.workload}, got {config.examples:,}"
        )
    trained = RunFolder(config.net().name(), root)
    with trained.locked():
        net, _ = measured_net(config.net(), trained, data.images)
    params = list(net.named_parameters())
    batches = data.images[: config.examples].split(config.batch_size)
    with torch.no_grad():
        loss = sum(task.loss(net(b), b).item() * len(b) for b in batches) / sum(map(len, batches))
    operators = {
        "hessian": HessianOperator(lambda b: task.loss(net(b), b), params, batches),
        "gauss-newton": GaussNewtonOperator(net, task.loss, params, batches),
    }
    folder = RunFolder(config.name(), root)
    with folder.locked():
        belongs = {**_settings(config), "data": data.digest, "weights": digest(p for _, p in params)}
        state = _begin(config, folder, belongs, device)
        _measure(config, folder, state, operators, say or (lambda _: None))
    about = {
        **folder.manifest(),
        "end": state["end"],
        "settings": _settings(config),
        "data": {"name": data.name, "examples": len(data), "source": data.source, "sha256": data.digest},
        "parameters": operators["hessian"].num_params,
        "loss": loss,
    }
    place = Path(target) / config.name()
    _export(config, state, about, place)
    return place


def _settings(config: SpectrumConfig) -> dict[str, Any]:
    return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(config).items()}


def _begin(
    config: SpectrumConfig, folder: RunFolder, belongs: Mapping[str, Any], device: torch.device
) -> dict[str, Any]:
    """What was known when the run ended or was cut off, or the beginning of a new one."""
    if folder.checkpoint.exists():
        state = load_checkpoint(folder.checkpoint, kind="spectrum", device=device)
        require_same(state["settings"], belongs, where=folder.checkpoint, advice=BEGIN_ANEW)
        if state["end"] is None:
            state["resumes"] += 1
            save_checkpoint(folder.checkpoint, state)
        return state
    folder.write_manifest({"start": now(), "command": config.command(), **provenance(device)})
    parts = {"eigenpairs": None, "hessian": [], "gauss-newton": []}
    cost = {"seconds": 0.0, "cpu_seconds": 0.0, "peak_bytes": 0}
    state = {"kind": "spectrum", "settings": dict(belongs), **parts, "cost": cost, "resumes": 0, "end": None}
    save_checkpoint(folder.checkpoint, state)
    return state


def _measure(
    config: SpectrumConfig,
    folder: RunFolder,
    state: dict[str, Any],
    operators: Mapping[str, CurvatureOperator],
    say: Callable[[str], None],
) -> None:
    """The parts that are still missing: the eigenpairs, then one Krylov space after the other."""
    meter = Meter(state["cost"]["seconds"], state["cost"]["cpu_seconds"])
    kept = folder.path / "products"

    def close(operator: KeptProducts) -> None:
        peak = max(state["cost"]["peak_bytes"], peak_memory())
        state["cost"] = {**meter.sums(), "peak_bytes": peak}
        save_checkpoint(folder.checkpoint, state)
        operator.discard()

    if state["eigenpairs"] is None:
        operator = KeptProducts(operators["hessian"], kept / "eigenpairs", meter)
        pairs = extreme_eigenpairs(operator, config.pairs, tol=config.tol, seed=config.seed)
        state["eigenpairs"] = {
            "values": pairs.values,
            "residuals": pairs.residuals,
            "products": pairs.num_products,
            "converged": pairs.converged,
        }
        close(operator)
        say(f"eigenvalues from {pairs.values[-1]:.5g} to {pairs.values[0]:.5g} in {pairs.num_products} products")
    for label, matrix in operators.items():
        for probe in range(len(state[label]), config.probes):
            operator = KeptProducts(matrix, kept / f"{label}-{probe}", meter)
            rows = quadratures(operator, [probe], num_steps=config.steps, seed=config.seed)
            state[label].append(torch.stack(rows[0]))
            close(operator)
            say(f"density of the {label} matrix: {probe + 1} of {config.probes} probes")
        density = _density(state[label], matrix.num_params)
        say(f"the {label} matrix has at least {density.certain_negative()} negative eigenvalues")
    if state["end"] is None:
        state["end"] = now()
        save_checkpoint(folder.checkpoint, state)


def _density(rows: list[Tensor], num_params: int) -> SpectralDensity:
    return SpectralDensity(*torch.stack(rows, 1), num_params)


def _export(config: SpectrumConfig, state: Mapping[str, Any], about: Mapping[str, Any], place: Path) -> None:
    """Write the two tables and the manifest."""
    pairs, num_params = state["eigenpairs"], about["parameters"]
    values, residuals = pairs["values"].tolist(), pairs["residuals"].tolist()
    rows = [{"value": v, "residual": r} for v, r in zip(values, residuals, strict=True)]
    write_csv(place / "eigenpairs.csv", rows, columns=("value", "residual"))
    labels = ("hessian", "gauss-newton")
    rows = [row for label in labels for row in _node_rows(label, _density(state[label], num_params))]
    write_csv(place / "nodes.csv", rows, columns=("matrix", "probe", "node", "weight", "residual"))
    manifest = {
        **about,
        "converged": pairs["converged"],
        "products": {
            "eigenpairs": pairs["products"],
            "density": config.probes * min(config.steps, num_params),
        },
        "cost": {**state["cost"], "resumes": state["resumes"]},
        "files": {
            "eigenpairs.csv": "eigenvalues of the Hessian, descending, and ‖H u − λ u‖ of each",
            "nodes.csv": "nodes and weights of stochastic Lanczos quadrature, a row a node",
        },
    }
    atomic_write(place / "manifest.json", json.dumps(manifest, indent=2, ensure_ascii=False) + "\n")


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
