"""What a curvature measurement keeps while it runs, and what of it is recorded."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from esgd.dominance import DominanceSums
from esgd.estimate import RunningMoments
from esgd.files import atomic_write
from esgd.flat import VectorSpace, dot
from esgd.provenance import now
from esgd.runs import RunFolder, write_csv

__all__ = ["QUANTILES", "Tally", "export", "layer_rows", "peak_memory", "write_progress"]

QUANTILES = (0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99)
SAMPLE = 20_000  # entries recorded one by one


class Tally:
    """All sums of a measurement: what its checkpoint holds.

    Attributes:
        z: moments of v ⊙ H v, whose mean is diag H (Eq. 5).
        squares: moments of (H v)², whose mean is diag H² (Eq. 1).
        energy: moments of ‖H v‖², whose mean is ‖H‖_F².
        dominance: sums for the debiased square of Eq. 6.
        half: the mean of (H v)² after half of the passes, for a split-half check.
        trace: one row a pass: what was known after so many probes.
        sums: running sums of H v over the batches of the pass under way.
        batch: batches gone through, counted over all passes.
        resumes: how often the run was taken up again.
    """

    def __init__(self, settings: Mapping[str, Any], num_params: int, device: torch.device, loss: float):
        self.settings = dict(settings)
        self.loss = loss
        self.z = RunningMoments((num_params,), device)
        self.squares = RunningMoments((num_params,), device)
        self.energy = RunningMoments()
        self.dominance = DominanceSums()
        self.half: Tensor | None = None
        self.half_count = 0
        self.trace: list[dict[str, float]] = []
        self.sums: list[list[Tensor]] = []
        self.names: list[str] = []
        self.shapes: list[list[int]] = []
        self.batch = 0
        self.seconds = 0.0
        self.cpu_seconds = 0.0
        self.peak_bytes = 0
        self.resumes = 0

    def finish_pass(self, space: VectorSpace, vectors: Sequence[Sequence[Tensor]], examples: int) -> None:
        """Turn the sums of a pass into samples of (H v)² and v ⊙ H v."""
        for v, total in zip(vectors, self.sums, strict=True):
            h = space.flatten(total) / examples
            z = space.flatten(v) * h
            energy = dot(h, h)
            self.z.add(z)
            self.squares.add(h.square())
            self.energy.add(energy)
            self.dominance.add(z, energy)
        self.sums = []
        self.names, self.shapes = space.names, [list(p.shape) for p in space.params]
        self.trace.append(self.row())
        if self.half is None and self.squares.count * 2 >= self.settings["probes"]:
            self.half, self.half_count = self.squares.mean.clone(), self.squares.count

    def row(self) -> dict[str, float]:
        """What is known after the probes so far."""
        diag_squared, dominance, energy = (
            self.squares.estimate(),
            self.dominance.squared(),
            self.energy.estimate(),
        )
        d_e = diag_squared.sqrt()
        return {
            "probes": self.squares.count,
            "frobenius_squared": energy.value,
            "frobenius_squared_stderr": energy.stderr,
            "dominance_squared": dominance.value,
            "dominance_squared_stderr": dominance.stderr,
            "dominance_plugin": self.dominance.plugin().value,
            "diag_squared_relative_error": diag_squared.relative_error,
            "diag_relative_error": self.z.estimate().relative_error,
            "equilibration_cosine_floor": _floor(d_e.value, d_e.stderr),
            "cpu_seconds": self.cpu_seconds,
        }

    def split_half(self) -> float | None:
        """Cosine distance between √diag(H²) of the first half of the probes and of the second."""
        rest = self.squares.count - self.half_count
        if self.half is None or rest < 1:
            return None
        second = (self.squares.mean * self.squares.count - self.half * self.half_count) / rest
        return _cosine_distance(self.half.sqrt(), second.clamp(min=0).sqrt())

    def state(self) -> dict[str, Any]:
        """What a checkpoint needs."""
        self.peak_bytes = max(self.peak_bytes, peak_memory())
        plain = {k: v for k, v in vars(self).items() if k not in ("z", "squares", "energy", "dominance")}
        parts = {k: getattr(self, k).state() for k in ("z", "squares", "energy", "dominance")}
        return {"kind": "curvature", **plain, **parts}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Tally:
        """The tally that :meth:`state` described."""
        tally = cls.__new__(cls)
        vars(tally).update({key: value for key, value in state.items() if key != "kind"})
        for name in ("z", "squares", "energy"):
            setattr(tally, name, RunningMoments.from_state(state[name]))
        tally.dominance = DominanceSums.from_state(state["dominance"])
        return tally


def _cosine_distance(a: Tensor, b: Tensor) -> float:
    return 1 - (torch.dot(a, b) / (torch.linalg.vector_norm(a) * torch.linalg.vector_norm(b))).item()


def _floor(value: Tensor, error: Tensor) -> float:
    """Cosine distance from the truth that the error bars alone make: ½ Σ stderr² / Σ value²."""
    return 0.5 * (error.square().sum() / value.square().sum()).item()


def peak_memory() -> int:
    """The most bytes that this process ever held; 0 where the system does not say."""
    try:
        import resource
    except ImportError:
        return 0
    usage = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return usage if sys.platform == "darwin" else usage * 1024


def write_progress(folder: RunFolder, tally: Tally, seconds_left: float, units: int) -> str:
    """Keep ``progress.json`` beside the checkpoint, and return its content as one line."""
    share = tally.batch / units
    progress = {
        "share": share,
        "probes": tally.squares.count,
        "seconds_left": seconds_left,
        "peak_bytes": tally.peak_bytes,
    }
    atomic_write(folder.path / "progress.json", json.dumps(progress) + "\n")
    return (
        f"{100 * share:5.1f} % done, {tally.squares.count} probes complete, about {seconds_left / 60:.1f} "
        f"min left, peak memory {tally.peak_bytes / 1e9:.2f} GB"
    )


def layer_rows(tally: Tally) -> list[dict[str, Any]]:
    """One row a parameter tensor: quantiles of √diag(H²) and |diag H|, and how well they are known."""
    squared, diag = tally.squares.estimate(), tally.z.estimate()
    levels = torch.tensor(QUANTILES, dtype=squared.value.dtype)
    rows, start = [], 0
    for name, shape in zip(tally.names, tally.shapes, strict=True):
        part = slice(start, start := start + int(np.prod(shape)))
        d2, d2_error, d, d_error = (t[part].cpu() for t in (squared.value, squared.stderr, diag.value, diag.stderr))
        live = d2 > 0
        row = {"parameter": name, "entries": len(d2), "zero_share": 1 - live.double().mean().item()}
        row["negative_share"] = (d[live] < 0).double().mean().item() if live.any() else None
        row["relative_error_median"] = (d2_error[live] / d2[live]).median().item() if live.any() else None
        row["diag_error_over_value_median"] = (
            (d_error[live] / d[live].abs().clamp(min=1e-300)).median().item() if live.any() else None
        )
        row["rms_equilibration"] = d2.mean().sqrt().item()
        row["rms_jacobi_plugin"] = d.square().mean().sqrt().item()
        for label, values in (("equilibration", d2.clamp(min=0).sqrt()), ("jacobi", d.abs())):
            for level, q in zip(QUANTILES, _quantiles(values, levels), strict=True):
                row[f"{label}_q{round(100 * level):02d}"] = q
        rows.append(row)
    return rows


def _quantiles(values: Tensor, levels: Tensor) -> list[float]:
    """Quantiles by sorting: ``torch.quantile`` refuses long vectors."""
    ordered = values.sort().values
    return [ordered[round(level.item() * (len(ordered) - 1))].item() for level in levels]


def export(name: str, tally: Tally, target: Path, *, root: Path | None = None) -> None:
    """Record a finished measurement in a folder of its own below ``target``.

    It holds ``manifest.json`` (settings, provenance, cost, totals), ``layers.csv`` (:func:`layer_rows`),
    ``trace.csv`` (one row a pass) and ``sample.npz`` (20,000 entries one by one, drawn with a fixed seed).
    """
    folder = RunFolder(name, root)
    place = Path(target) / name
    squared, diag = tally.squares.estimate(), tally.z.estimate()
    manifest = {
        **folder.manifest(),
        "end": now(),
        "settings": tally.settings,
        "parameters": tally.z.mean.numel(),
        "loss": tally.loss,
        "cost": {
            "seconds": tally.seconds,
            "cpu_seconds": tally.cpu_seconds,
            "peak_bytes": tally.peak_bytes,
            "resumes": tally.resumes,
        },
        "totals": {**tally.row(), "split_half_cosine_distance": tally.split_half()},
        "files": {
            "layers.csv": "one row a parameter tensor",
            "trace.csv": "one row a pass over the data",
            "sample.npz": "entries drawn at random: index, diag, diag_stderr, squared, squared_stderr",
        },
    }
    atomic_write(place / "manifest.json", json.dumps(manifest, indent=2, ensure_ascii=False) + "\n")
    rows = layer_rows(tally)
    write_csv(place / "layers.csv", rows, columns=list(rows[0]))
    write_csv(place / "trace.csv", tally.trace, columns=list(tally.trace[0]))
    count = min(SAMPLE, tally.z.mean.numel())
    index = torch.randperm(tally.z.mean.numel(), generator=torch.Generator().manual_seed(0))[:count].sort().values
    picked = {"diag": diag.value, "diag_stderr": diag.stderr, "squared": squared.value}
    picked["squared_stderr"] = squared.stderr
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer,
        index=index.numpy().astype(np.int32),
        **{key: value.cpu()[index].numpy().astype(np.float32) for key, value in picked.items()},
    )
    atomic_write(place / "sample.npz", buffer.getvalue())
