"""How many units of a net sleep: saturated on every one of the images that are looked at."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from esgd.errors import DataError
from esgd.measure import saturated_share, sigmoid_activations
from esgd.runs import RunFolder
from esgd.snapshots import list_snapshots, load_snapshot

IMAGES = 10_000  # the first of the training set
COLUMNS = ("run", "epoch", "layer", "units", "asleep")


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
