"""Runs that live in a folder: killed, stopped or finished, they go on from there to the bit."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import torch

from esgd.aside import drop_if_passed, keep_aside
from esgd.checkpoint import load_checkpoint, require_same, save_checkpoint
from esgd.checkpoint_times import CheckpointTimes
from esgd.config import RunConfig
from esgd.data import Dataset
from esgd.members import refuse_member
from esgd.nets import count_parameters
from esgd.provenance import pick_device
from esgd.remake import snapshot_interval, train_command
from esgd.runs import RunAheadError, RunFolder
from esgd.sessions import ENDED, Sessions
from esgd.snapshots import check_interval, save_snapshot
from esgd.sources import Data, require_data
from esgd.train import Training, TrainResult, train
from esgd.workload import workload

if TYPE_CHECKING:
    from esgd.ensemble_training import EnsembleTraining

__all__ = ["refuse_half_epoch", "train_in_folder"]


def train_in_folder(
    config: RunConfig,
    folder: RunFolder,
    *,
    device: str = "auto",
    progress: bool = True,
    should_stop: Callable[[], bool] = lambda: False,
    checkpoint_every: int | None = None,
    snapshot_every: int | None = None,
    training_type: type[Training] = Training,
    writes: bool = True,
    data: Data | None = None,
) -> TrainResult:
    """Train with everything kept in a folder; a folder that holds a part of this run is gone on with.

    The checkpoint is written as ``checkpoint_every`` says and when the run stops; a kill loses what came after
    the last one, and the resumed run gives the same bits as an uninterrupted one. Records without a
    checkpoint are kept aside until the run, which begins anew, has passed them (:mod:`esgd.aside`).

    Args:
        config: the settings; ``epochs`` may be larger than those of the run in the folder, the rest may not
            differ.
        folder: the run's folder.
        device: ``"auto"``, ``"cpu"``, ``"cuda"``… or ``"mps"``.
        progress: show a progress bar.
        should_stop: asked before each step; True stops the run there, resumable.
        checkpoint_every: epochs between two checkpoints; None: after an epoch, at most one a minute
            (:mod:`esgd.checkpoint_times`).
        snapshot_every: keep weights and preconditioner before the first epoch and after every so many, for
            ``esgd measure`` (:mod:`esgd.snapshots`); it changes nothing in the run. None: as the run was begun, and
            none where it begins.
        training_type: what trains, for several processes at one run (:mod:`esgd.parallel`).
        writes: whether this process keeps the folder; of several exactly one does.
        data: what the manifests of the runs that this one is compared with say of their training set.

    Raises:
        CheckpointError: the folder's checkpoint is damaged or belongs to other settings.
        ConfigError: the run is a member of an ensemble, the training set here is not ``data``, or an interval is
            below 1.
        RunAheadError: fewer epochs are asked for than are done, or as many of a run that is amid the next one and
            has no evaluation there.
        DataError: the data are missing or damaged.
        EsgdError: the folder cannot be written, or another process is working in it.
    """
    check_interval(snapshot_every)
    times = CheckpointTimes(checkpoint_every)
    place = pick_device(device)
    with folder.locked() if writes else nullcontext():
        refuse_member(folder)
        saved = _saved(config, folder, place)
        images = workload(config.workload).data(device=place, dtype=getattr(torch, config.dtype), progress=progress)
        training = training_type(config, images, name=folder.name)
        if snapshot_every is None and (saved is not None or not folder.records.exists()):  # else it begins anew
            snapshot_every = snapshot_interval(folder.manifest())
        manifest = _manifest(config, folder, images, training, snapshot_every)
        require_data(manifest["data"], data, folder.name)
        if saved is not None:
            require_same(saved["data"], manifest["data"], where=folder.checkpoint)
            training.load_state_dict(saved)
            refuse_half_epoch(training, config.epochs, folder)
        before = folder.manifest() if saved is not None else {}  # else a record without a run
        if before.get("status") in ENDED and training.ended and folder.records.exists():
            return TrainResult(config, before["status"], training.records, training.net)
        sessions = Sessions(before, place, epoch=training.epoch, step=training.step)
        if writes:
            if saved is None:
                keep_aside(folder)
            folder.write_manifest({**manifest, "status": "running", **sessions.running()})

        def snapshot() -> None:
            if snapshot_every is not None and training.position == 0 and training.epoch % snapshot_every == 0:
                save_snapshot(training, folder, manifest["data"])

        def write_records() -> None:
            folder.write_records(training.records)
            drop_if_passed(folder, training.records[-1]["epoch"])

        kept = None if saved is None else training.step  # the update that the checkpoint is of

        def checkpoint() -> None:
            nonlocal kept
            about = {"kind": "run", "settings": config.settings(), "data": manifest["data"]}
            save_checkpoint(folder.checkpoint, {**about, **training.state_dict()})
            kept = training.step
            times.written()
            write_records()

        def keep(training: Training) -> None:
            if not writes:
                return
            snapshot()  # before the checkpoint: a kill in between makes it again
            if training.position or training.ended or times.due(training.epoch):
                checkpoint()

        if writes and training.step == 0:
            snapshot()
        result = train(
            config, images, progress=progress, on_checkpoint=keep, should_stop=should_stop, training=training
        )
        if writes:
            if kept != training.step:  # stopped between two epochs
                checkpoint()
            write_records()
            closed = sessions.closed(epoch=training.epoch, step=training.step)
            folder.write_manifest({**manifest, "status": result.status, **_last(result), **closed})
    return result


def _saved(config: RunConfig, folder: RunFolder, device: torch.device) -> dict[str, Any] | None:
    """The folder's checkpoint, if there is one and it belongs to these settings."""
    if not folder.checkpoint.exists():
        return None
    saved = load_checkpoint(folder.checkpoint, kind="run", device=device)
    require_same(saved["settings"], config.settings(), where=folder.checkpoint)
    done = saved["progress"]["epoch"]
    if done > config.epochs:
        raise RunAheadError(
            f"the run in {folder.path} has {done} epochs already, more than the {config.epochs} asked for: "
            "ask for more, or give the new run another name",
            done + (saved["progress"]["position"] > 0),
        )
    return saved


def refuse_half_epoch(training: Training | EnsembleTraining, epochs: int, folder: RunFolder) -> None:
    """Refuse to end a run amid the epoch that follows: what it has are no longer the weights to evaluate there.

    Raises:
        RunAheadError: it was stopped there, and the epochs that are asked for were not evaluated on the way.
    """
    if training.position and training.epoch >= epochs and not training.ended:
        raise RunAheadError(
            f"the run in {folder.path} has {training.epoch} epochs and a part of the next one already, and was not "
            f"evaluated at the {epochs} asked for: ask for {training.epoch + 1} or more",
            training.epoch + 1,
        )


def _manifest(
    config: RunConfig, folder: RunFolder, images: Dataset, training: Training, snapshot_every: int | None
) -> dict[str, Any]:
    """What a manifest says of the run itself; its sessions tell when and where it was trained."""
    return {
        "run": folder.name,
        "command": train_command(config, folder.name, snapshot_every),
        "config": asdict(config),
        "data": images.about(),
        "net": {
            "sizes": list(training.task.sizes),
            "parameters": count_parameters(training.net),
        },
        **({"processes": training.world} if training.world > 1 else {}),
    }


def _last(result: TrainResult) -> dict[str, Any]:
    last = result.records[-1]
    return {"epochs_done": last["epoch"], "loss": last["loss"], "squared_error": last["squared_error"]}
