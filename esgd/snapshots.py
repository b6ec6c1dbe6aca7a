"""Snapshots along a run: the weights and the run's own preconditioner, for what is measured afterwards.

A run that is asked for them keeps ``snapshots/epoch00010.pt`` and so on in its folder. They hold what a
measurement needs and no more: they take no part in resuming the run.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from esgd.aside import last_epoch
from esgd.checkpoint import load_with_digest, save_checkpoint
from esgd.config import RunConfig, changed_settings
from esgd.errors import CheckpointError, ConfigError, DataError
from esgd.nets import Autoencoder
from esgd.records import read_records
from esgd.runs import RunFolder
from esgd.train import Training
from esgd.workload import workload

__all__ = [
    "Snapshot",
    "by_epoch",
    "list_snapshots",
    "load_snapshot",
    "missing_line",
    "own_preconditioner",
    "require_of_run",
    "save_snapshot",
]


@dataclass(frozen=True, eq=False)
class Snapshot:
    """A run at one moment.

    Attributes:
        run: name of the run.
        config: its settings; ``epochs`` is the snapshot's own.
        data: name, number of examples, source and SHA-256 of its training set.
        epoch: epochs trained so far.
        step: updates so far.
        net: the net with the weights of that moment.
        preconditioner: the undamped diagonal that the optimizer would have divided by next, by parameter name;
            None for SGD, which has none, and before the first step.
        sha256: of the file, in hex, by which a measurement knows what it is of.
    """

    run: str
    config: RunConfig
    data: dict[str, Any]
    epoch: int
    step: int
    net: Autoencoder
    preconditioner: dict[str, Tensor] | None
    sha256: str


def own_preconditioner(optimizer: torch.optim.Optimizer, net: nn.Module) -> dict[str, Tensor] | None:
    """The diagonal D of an optimizer's step ε g/(D + λ), undamped, by parameter name.

    √(D/k) of ESGD (Algorithm 1), |S/k| of Jacobi (§6), √v of RMSProp (Eq. 2) and Adam's bias-corrected √v.

    Returns:
        One tensor a parameter, of its shape; None where the optimizer has no diagonal (yet).
    """
    found = {}
    for name, p in net.named_parameters():
        state = optimizer.state.get(p, {})
        if "curvature" in state and bool(state["weight"].any()):
            found[name] = optimizer.diagonal(p)
        elif "square_avg" in state:
            found[name] = state["square_avg"].sqrt()
        elif "exp_avg_sq" in state:
            beta = optimizer.param_groups[0]["betas"][1]
            found[name] = (state["exp_avg_sq"] / (1 - beta ** float(state["step"]))).sqrt()
    return found or None


def _path(folder: RunFolder, epoch: int) -> Path:
    return folder.path / "snapshots" / f"epoch{epoch:05d}.pt"


def save_snapshot(training: Training, folder: RunFolder, data: dict[str, Any]) -> Path:
    """Keep the run as it is now, atomically, and return the file.

    Args:
        training: the run, at the end of an epoch or before its first.
        folder: the run's folder.
        data: what the manifest says of the training set.

    Raises:
        CheckpointError: the disk is full, or the folder cannot be written.
    """
    path = _path(folder, training.epoch)
    state = {
        "kind": "snapshot",
        "run": training.name,
        "settings": training.config.settings(),
        "data": data,
        "epoch": training.epoch,
        "step": training.step,
        "weights": training.net.state_dict(),
        "preconditioner": own_preconditioner(training.optimizer, training.net),
    }
    save_checkpoint(path, state)
    return path


def list_snapshots(folder: RunFolder) -> dict[int, Path]:
    """The snapshots in a run's folder, by epoch, ascending.

    Raises:
        DataError: a file is named like a snapshot, but of no epoch.
    """
    return by_epoch(_path(folder, 0).parent.glob("epoch*.pt"))


def by_epoch(paths: Iterable[Path]) -> dict[int, Path]:
    """Files that are called by their epochs, as ``epoch00010.pt``, by epoch, ascending.

    Raises:
        DataError: one is called otherwise.
    """
    found = {}
    for path in sorted(paths):
        number = path.stem.removeprefix("epoch")
        if not (number.isascii() and number.isdecimal()):
            raise DataError(f"{path} should be called by its epoch, as epoch00010{path.suffix}: move it away")
        found[int(number)] = path
    return found


def load_snapshot(path: Path, *, device: torch.device | str = "cpu") -> Snapshot:
    """Read a snapshot, without running code from it.

    Raises:
        CheckpointError: it is absent, damaged or no snapshot, or its weights do not fit the workload's net.
    """
    state, digest = load_with_digest(path, kind="snapshot", device=device)
    config = RunConfig(**state["settings"], epochs=max(state["epoch"], 1))
    net = workload(config.workload).net(config.seed).to(device, getattr(torch, config.dtype))
    try:
        net.load_state_dict(state["weights"])
    except RuntimeError as error:
        raise CheckpointError(f"{path} holds weights of another net than {config.workload}'s: {error}") from error
    about = (state["run"], config, state["data"], state["epoch"], state["step"])
    return Snapshot(*about, net, state["preconditioner"], digest)


def require_of_run(snapshot: Snapshot, folder: RunFolder) -> None:
    """Refuse a snapshot that is not of the run that the folder's manifest tells; without a manifest any is taken.

    Raises:
        CheckpointError: it has other settings, or an epoch that the run does not reach.
    """
    told, mine = folder.manifest().get("config") or {}, snapshot.config.settings()
    what = f"the snapshot of epoch {snapshot.epoch} in {folder.path}"
    if changed := [f"{name} {mine[name]!r}, not {told[name]!r}" for name in changed_settings(told, mine)]:
        raise CheckpointError(
            f"{what} is of another run than manifest.json tells ({'; '.join(changed)}): move its snapshots and "
            "measures away, and train the run again"
        )
    if snapshot.epoch > told.get("epochs", snapshot.epoch):
        raise CheckpointError(
            f"{what} lies beyond the {told['epochs']} epochs of the run there: move it and its measures away, or "
            "train the run to it"
        )


def missing_line(folder: RunFolder, snapshot_every: int) -> str | None:
    """What to say of epochs that a run was trained for before snapshots were asked for; None if all are there."""
    done = last_epoch(read_records(folder.records)) if folder.records.exists() else -1
    kept = list_snapshots(folder)
    missing = [epoch for epoch in range(0, done + 1, snapshot_every) if epoch not in kept]
    if not missing:
        return None
    which = f"epoch {missing[0]}" if len(missing) == 1 else f"epochs {missing[0]} to {missing[-1]}"
    return (
        f"{folder.name} has no snapshots of {which}, which it was trained for without: to have them, train it "
        "again in another folder of runs"
    )


def check_interval(snapshot_every: int | None) -> None:
    """Refuse an interval that is no whole number of epochs.

    Raises:
        ConfigError: it is below 1.
    """
    if snapshot_every is not None and snapshot_every < 1:
        raise ConfigError(f"snapshot-every must be at least 1 epoch, got {snapshot_every}")
