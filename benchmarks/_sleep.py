"""How many units of a net sleep: saturated on every one of the images that are looked at."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from _recorded import RESULTS
from torch import Tensor

from esgd.errors import DataError
from esgd.measure import saturated_share, sigmoid_activations
from esgd.provenance import now
from esgd.runs import RunFolder, read_csv, write_csv
from esgd.snapshots import list_snapshots, load_snapshot
from esgd.workload import workload

IMAGES = 10_000  # the first of the training set


def looked_at() -> Tensor:
    """The images on which units are looked at, shape ``(10000, 784)``."""
    return workload("mnist").data(device="cpu", dtype=torch.float32).images[:IMAGES]


def asleep(folder: RunFolder, epoch: int, images: Tensor) -> list[dict[str, Any]]:
    """For each sigmoid layer at an epoch of a run, how many units are saturated on all the images.

    Raises:
        DataError: the run kept no snapshot of that epoch.
    """
    snapshots = list_snapshots(folder)
    if epoch not in snapshots:  # of a time when none was kept
        raise DataError(
            f"the run in {folder.path} kept no snapshot of its epoch {epoch}: move it away and run again"
        )
    activations = sigmoid_activations(load_snapshot(snapshots[epoch]).net, images)
    about = {"run": folder.name, "epoch": epoch}
    return [
        about | {"layer": layer, "units": a.shape[1], "asleep": int((saturated_share(a) == 1).sum())}
        for layer, a in activations.items()
    ]


def export(name: str, command: str, folders: Sequence[RunFolder], sleepers: Sequence[dict[str, Any]]) -> None:
    """Write the losses of runs and what :func:`asleep` found to ``results/fig5/<name>``."""
    out = RunFolder(name, RESULTS)
    out.path.mkdir(parents=True, exist_ok=True)
    out.write_records([row for folder in folders for row in read_csv(folder.records)])
    write_csv(out.path / "asleep.csv", sleepers, ("run", "epoch", "layer", "units", "asleep"))
    runs = [folder.manifest() for folder in folders]
    out.write_manifest({"command": command, "exported": now(), "runs": runs})
