"""Runs that live in a folder: killed, stopped or finished, they go on from there to the bit."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict
from typing import Any

import torch

from esgd.checkpoint import load_checkpoint, require_same, save_checkpoint
from esgd.config import RunConfig
from esgd.data import Dataset
from esgd.members import refuse_member
from esgd.nets import count_parameters
from esgd.provenance import now, pick_device, provenance
from esgd.runs import RunAheadError, RunFolder
from esgd.snapshots import check_interval, save_snapshot
from esgd.train import Training, TrainResult, train
from esgd.workload import workload

__all__ = ["train_in_folder"]


def train_in_folder(
    config: RunConfig,
    folder: RunFolder,
    *,
    device: str = "auto",
    progress: bool = True,
    should_stop: Callable[[], bool] = lambda: False,
    checkpoint_every: int = 1,
    snapshot_every: int | None = None,
    training_type: type[Training] = Training,
    writes: bool = True,
) -> TrainResult:
    """Train with everything kept in a folder; a folder that holds a part of this run is gone on with.

    The checkpoint is written every ``checkpoint_every`` epochs and when the run stops; a kill loses what came
    after the last one, and the resumed run gives the same bits as an uninterrupted one.

    Args:
        config: the settings; ``epochs`` may be larger than those of the run in the folder, the rest may not
            differ.
        folder: the run's folder.
        device: ``"auto"``, ``"cpu"``, ``"cuda"``… or ``"mps"``.
        progress: show a progress bar.
        should_stop: asked before each step; True stops the run there, resumable.
        checkpoint_every: epochs between two checkpoints.
        snapshot_every: keep weights and preconditioner before the first epoch and after every so many, for
            ``esgd measure`` (:mod:`esgd.snapshots`); it changes nothing in the run. None keeps none.
        training_type: what trains, for several processes at one run (:mod:`esgd.parallel`).
        writes: whether this process keeps the folder; of several exactly one does.

    Raises:
        CheckpointError: the folder's checkpoint is damaged or belongs to other settings.
        ConfigError: the run is a member of an ensemble.
        RunAheadError: fewer epochs are asked for than are done.
        DataError: the data are missing or damaged.
        EsgdError: the folder cannot be written, or another process is working in it.
    """
    check_interval(snapshot_every)
    place = pick_device(device)
    with folder.locked() if writes else nullcontext():
        refuse_member(folder)
        saved = _saved(config, folder, place)
        data = workload(config.workload).data(device=place, dtype=getattr(torch, config.dtype), progress=progress)
        training = training_type(config, data, name=folder.name)
        manifest = _manifest(config, folder, data, training, place)
        if saved is not None:
            require_same(saved["data"], manifest["data"], where=folder.checkpoint)
            training.load_state_dict(saved)
        if writes:
            folder.write_manifest(manifest)

        def snapshot() -> None:
            if snapshot_every is not None and training.position == 0 and training.epoch % snapshot_every == 0:
                save_snapshot(training, folder, manifest["data"])

        def keep(training: Training) -> None:
            if not writes:
                return
            snapshot()  # before the checkpoint: a kill in between makes it again
            if training.position == 0 and training.epoch % checkpoint_every and training.epoch < config.epochs:
                return
            state = {"settings": config.settings(), "data": manifest["data"], **training.state_dict()}
            save_checkpoint(folder.checkpoint, state)
            folder.write_records(training.records)

        if writes and training.step == 0:
            snapshot()
        result = train(
            config, data, progress=progress, on_checkpoint=keep, should_stop=should_stop, training=training
        )
        if writes:
            folder.write_records(result.records)
            folder.write_manifest({**manifest, "ended": now(), "status": result.status, **_last(result)})
    return result


def _saved(config: RunConfig, folder: RunFolder, device: torch.device) -> dict[str, Any] | None:
    """The folder's checkpoint, if there is one and it belongs to these settings."""
    if not folder.checkpoint.exists():
        return None
    saved = load_checkpoint(folder.checkpoint, device=device)
    require_same(saved["settings"], config.settings(), where=folder.checkpoint)
    done = saved["progress"]["epoch"]
    if done > config.epochs:
        raise RunAheadError(
            f"the run in {folder.path} has {done} epochs already, more than the {config.epochs} asked for: "
            "ask for more, or give the new run another name"
        )
    return saved


def _manifest(
    config: RunConfig, folder: RunFolder, data: Dataset, training: Training, device: torch.device
) -> dict[str, Any]:
    begun = folder.manifest() if folder.checkpoint.exists() else {}  # else a record without a run
    return {
        "run": folder.name,
        "command": config.command(),
        "config": asdict(config),
        "data": {"name": data.name, "examples": len(data), "source": data.source, "sha256": data.digest},
        "net": {
            "sizes": list(training.task.sizes),
            "parameters": count_parameters(training.net),
        },
        **({"processes": training.world} if training.world > 1 else {}),
        **provenance(device),
        "started": begun.get("started", now()),
        "status": "running",
    }


def _last(result: TrainResult) -> dict[str, Any]:
    last = result.records[-1]
    return {"epochs_done": last["epoch"], "loss": last["loss"], "squared_error": last["squared_error"]}
