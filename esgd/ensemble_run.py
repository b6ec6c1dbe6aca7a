"""Training K runs as one ensemble, in a folder, resumable to the bit.

The members share workload, method and schedule, and differ in seed, rate, damping and decay. Each follows the
trajectory of the same run trained alone. A member that diverges harms no other; it is not evaluated again. Members
may have run folders of their own, with the records and the manifest that their runs alone would have there.

On one CPU core an ensemble of three takes nearly as long as its three runs one after the other (measured once, with
SGD on the CURVES net); the gain is on a GPU, where nets of this size wait for their launches.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from typing import Any

import torch

from esgd.aside import drop_if_passed, keep_aside
from esgd.checkpoint import load_checkpoint, require_same, save_checkpoint
from esgd.checkpoint_times import CheckpointTimes
from esgd.config import RunConfig
from esgd.ensemble_training import EnsembleTraining
from esgd.members import check_members, check_own_folders, ensemble_command, ensemble_name, write_members
from esgd.progress import progress_bar
from esgd.provenance import pick_device
from esgd.resumable import refuse_half_epoch
from esgd.runs import RunAheadError, RunFolder
from esgd.sessions import ENDED, Sessions
from esgd.sources import Data, require_data
from esgd.workload import workload

__all__ = ["EnsembleTraining", "check_members", "ensemble_name", "train_ensemble_in_folder"]


def train_ensemble_in_folder(
    configs: Sequence[RunConfig],
    folder: RunFolder,
    *,
    own_folders: Sequence[RunFolder] | None = None,
    about: Mapping[str, Any] | None = None,
    device: str = "auto",
    progress: bool = True,
    should_stop: Callable[[], bool] = lambda: False,
    checkpoint_every: int | None = None,
    data: Data | None = None,
) -> tuple[str, EnsembleTraining]:
    """Train an ensemble with everything kept in a folder; what the folder holds of it is gone on with.

    Args:
        configs: the members.
        folder: the ensemble's folder.
        own_folders: one a member, which get their records and manifests as well, but no checkpoint.
        about: goes into the ensemble's manifest; its ``command`` where members differ in more than their seeds.
        device: as for :func:`esgd.resumable.train_in_folder`, as are the rest.
        progress: show a progress bar.
        should_stop: asked before each step, and between the evaluations of two members.
        checkpoint_every: epochs between two checkpoints; None: after an epoch, at most one a minute
            (:mod:`esgd.checkpoint_times`).
        data: what the manifests of the runs that these are compared with say of their training set.

    Returns:
        ``"finished"``, ``"stopped"``, or ``"diverged"`` where every member has; and the ensemble.

    Raises:
        CheckpointError: the folder's checkpoint is damaged or belongs to other settings.
        ConfigError: the members do not fit together, one was begun alone in its own folder, the training set
            here is not ``data``, or ``checkpoint_every`` is below 1.
        RunAheadError: as there.
        RunBusyError: another process is working in one of the folders.
    """
    check_members(configs)
    times = CheckpointTimes(checkpoint_every)
    place, first, own = pick_device(device), configs[0], list(own_folders or ())
    with ExitStack() as stack:
        for each in (folder, *own):
            stack.enter_context(each.locked())
        check_own_folders(own, folder)
        saved = _saved(configs, folder, place)
        images = workload(first.workload).data(device=place, dtype=getattr(torch, first.dtype), progress=progress)
        training = EnsembleTraining(configs, images, names=[each.name for each in own] or None)
        source = images.about()
        require_data(source, data, folder.name)
        identity = _identity(configs) | {"data": source}
        if saved is not None:
            require_same(saved["ensemble"], identity, where=folder.checkpoint)
            training.load_state_dict(saved)
            refuse_half_epoch(training, first.epochs, folder)
        before = folder.manifest() if saved is not None else {}  # else records without a run
        if before.get("status") in ENDED and training.ended and _all_ended(own):
            return before["status"], training
        sessions = Sessions(before, place, epoch=training.epoch, step=training.step)
        shared = {
            "data": source,
            "net": {
                "sizes": list(training.task.sizes),
                "parameters": sum(p.numel() for p in training.net.parameters()) // len(configs),
            },
        }
        manifest = {
            "run": folder.name,
            "command": ensemble_command(configs, folder.name),
            **(about or {}),
            "members": [asdict(config) for config in configs],
            "config": asdict(first),
            **shared,
        }
        if saved is None:
            for each in (folder, *own):
                keep_aside(each)
        running = {"status": "running", **sessions.running()}
        folder.write_manifest(manifest | running)

        def keep() -> None:
            save_checkpoint(folder.checkpoint, {"kind": "ensemble", "ensemble": identity, **training.state_dict()})
            times.written()
            folder.write_records(training.records)
            drop_if_passed(folder, training.epoch)
            write_members(training, own, shared | running, folder)

        status = _run(training, progress, should_stop, times, keep, folder.name)
        end = {"status": status, **sessions.closed(epoch=training.epoch, step=training.step)}
        write_members(training, own, shared | end, folder)
        ahead = {"epochs_done": training.epoch, "diverged": sorted(training.diverged)}
        folder.write_manifest(manifest | end | ahead)
    return status, training


def _identity(configs: Sequence[RunConfig]) -> dict[str, Any]:
    return {f"member {k}": config.settings() for k, config in enumerate(configs)}


def _saved(configs: Sequence[RunConfig], folder: RunFolder, device: torch.device) -> dict[str, Any] | None:
    """The folder's checkpoint, if there is one and it belongs to these members."""
    if not folder.checkpoint.exists():
        return None
    saved = load_checkpoint(folder.checkpoint, kind="ensemble", device=device)
    members = {key: value for key, value in saved["ensemble"].items() if key != "data"}
    require_same(members, _identity(configs), where=folder.checkpoint)
    if (done := saved["progress"]["epoch"]) > configs[0].epochs:
        raise RunAheadError(
            f"the ensemble in {folder.path} has {done} epochs already, more than the {configs[0].epochs} asked "
            "for: ask for more",
            done + (saved["progress"]["position"] > 0),
        )
    return saved


def _all_ended(own: Sequence[RunFolder]) -> bool:
    return all(each.manifest().get("status") in ENDED and each.records.exists() for each in own)


def _run(
    training: EnsembleTraining,
    progress: bool,
    should_stop: Callable[[], bool],
    times: CheckpointTimes,
    keep: Callable[[], None],
    name: str,
) -> str:
    epochs = training.configs[0].epochs
    total = epochs * training.batches
    with progress_bar(show=progress, total=total, initial=training.step, unit="step", desc=name) as bar:
        stopped = not _evaluated(training, should_stop)
        while not stopped and training.epoch < epochs and not training.lost:
            stopped = not training.train_epoch(should_stop=should_stop, on_step=bar.update)
            stopped = stopped or not _evaluated(training, should_stop)
            if not stopped and not training.ended and times.due(training.epoch):
                keep()
    keep()
    if stopped:
        return "stopped"
    return "diverged" if training.lost else "finished"


def _evaluated(training: EnsembleTraining, should_stop: Callable[[], bool]) -> bool:
    """Evaluate the members that are due; False when stopped between two, for the next session to go on.

    One is evaluated in any case, so that sessions too short for all of them come to an end as well.
    """
    for count, member in enumerate(sorted(training.due)):
        if count and should_stop():
            return False
        training.record([member])
    return True
