"""Measurements along recorded runs, resumable after any batch; :mod:`esgd.measure_export` makes tables of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from esgd.checkpoint import checkpoint_digest, load_checkpoint, require_same, save_checkpoint
from esgd.data import Dataset
from esgd.errors import CheckpointError, ConfigError, DataError
from esgd.files import atomic_write
from esgd.measure import MeasureConfig, MeasurementStopped, measure_snapshot, sample_indices
from esgd.progress import progress_bar
from esgd.provenance import now, pick_device, provenance
from esgd.runs import RunFolder
from esgd.snapshots import Snapshot, list_snapshots, load_snapshot, require_of_run
from esgd.workload import workload

__all__ = ["measure_file", "measure_run", "read_measured", "require_same_snapshot"]

BAR = "{desc}: {percentage:3.0f}%|{bar}| {n:.2f}/{total} snapshots [{elapsed}<{remaining}]"


def measure_file(folder: RunFolder, config: MeasureConfig, epoch: int) -> Path:
    """Where the measures of a snapshot lie."""
    size = "all" if config.examples is None else config.examples
    return folder.path / f"measures-{size}x{config.probes}-seed{config.seed}" / f"epoch{epoch:05d}.json"


def measure_run(
    folder: RunFolder,
    config: MeasureConfig,
    *,
    epochs: Sequence[int] | None = None,
    device: str = "auto",
    progress: bool = True,
    should_stop: Callable[[], bool] = lambda: False,
) -> bool:
    """Measure a run's snapshots; those that are measured already are left as they are.

    Args:
        folder: the run's folder, with the snapshots of ``esgd train --snapshot-every N``.
        config: what to measure.
        epochs: only these; default: every snapshot.
        device: as for :func:`esgd.resumable.train_in_folder`.
        progress: show a progress bar over the snapshots.
        should_stop: asked after each batch; a stop keeps what is done of the snapshot under way, and the next call
            goes on from there where code, versions and device are the same, to the same bits. A kill loses that
            snapshot.

    Returns:
        Whether all are measured; False when it was stopped.

    Raises:
        ConfigError: the run has no snapshots, or not those asked for.
        CheckpointError: a snapshot is damaged or not of this run, or older measures are of other settings or of
            other weights.
        DataError: the training set is not the one of the run.
    """
    found = list_snapshots(folder)
    if not found:
        raise ConfigError(
            f"the run {folder.name} has no snapshots in {folder.path}: train it with --snapshot-every N"
        )
    if missing := sorted(set(epochs or ()) - set(found)):
        raise ConfigError(f"the run {folder.name} has no snapshot of epoch {missing[0]}: it has {list(found)}")
    place = pick_device(device)
    asked = [epoch for epoch in found if epochs is None or epoch in epochs]
    todo = []
    for epoch in asked:
        if (path := measure_file(folder, config, epoch)).exists():
            _require_current(path, config, found[epoch], folder)
        else:
            todo.append(epoch)
    data = None
    bar = progress_bar(
        show=progress, total=len(asked), initial=len(asked) - len(todo), desc=folder.name, bar_format=BAR
    )
    for count, epoch in enumerate(todo, len(asked) - len(todo) + 1):
        if epoch != todo[0] and should_stop():  # each session gets on by a batch at least
            bar.close()
            return False
        snapshot = load_snapshot(found[epoch], device=place)
        require_of_run(snapshot, folder)
        if data is None:
            task, dtype = workload(snapshot.config.workload), getattr(torch, snapshot.config.dtype)
            data = task.data(device=place, dtype=dtype, progress=progress)
            if data.digest != snapshot.data["sha256"]:
                raise DataError(
                    f"{folder.name} was trained on {snapshot.data['source']}, but {data.name} here is "
                    f"{data.source}: measure it where its data are"
                )
        if not _measure(measure_file(folder, config, epoch), snapshot, data, config, bar, should_stop):
            bar.close()
            return False
        bar.update(count - bar.n)  # a Krylov space that ended early, or rounding
    bar.close()
    return True


def _measure(
    path: Path,
    snapshot: Snapshot,
    data: Dataset,
    config: MeasureConfig,
    bar: Any,
    should_stop: Callable[[], bool],
) -> bool:
    """Measure a snapshot into its file, from where a stop left it; False when stopped again."""
    place, part = data.images.device, path.with_suffix(".part.pt")
    about = {
        "settings": config.settings(),
        "sample_sha256": sample_indices(data, config)[1],
        "snapshot_sha256": snapshot.sha256,
        **provenance(place),
    }
    begun = _begun(part, about, place)
    started = begun.get("started", now())
    if begun:  # no work of this session, and none of its pace
        bar.n += begun["state"]["share"]
        bar.initial += begun["state"]["share"]
    options = {"should_stop": should_stop, "on_progress": bar.update, "state": begun.get("state")}
    try:
        rows = measure_snapshot(snapshot, data, config, **options)
    except MeasurementStopped as stop:
        told = {"kind": "measures", "about": json.dumps(about), "started": started}
        save_checkpoint(part, {**told, "state": stop.state})
        return False
    atomic_write(path, json.dumps(about | {"started": started, "ended": now(), "rows": rows}) + "\n")
    part.unlink(missing_ok=True)
    return True


def _require_current(path: Path, config: MeasureConfig, snapshot: Path, folder: RunFolder) -> None:
    """Refuse measures of other settings or of other weights than the run's snapshot has."""
    record = read_measured(path)
    advice = f"use the old ones, or move {path.parent} away to measure anew"
    require_same(record["settings"], config.settings(), where=path, advice=advice)
    require_same_snapshot(record, path, snapshot)
    if "snapshot_sha256" not in record:  # by an older version, which did not look whose it was
        require_of_run(load_snapshot(snapshot), folder)


def _begun(part: Path, about: Mapping[str, Any], device: torch.device) -> dict[str, Any]:
    """What a stop left of a measurement; nothing where weights, code, versions or device were others."""
    if not part.exists():
        return {}
    saved = load_checkpoint(part, kind="measures", device=device)
    return saved if saved["about"] == json.dumps(about) else {}


def read_measured(path: Path) -> dict[str, Any]:
    """The measures of one snapshot.

    Raises:
        DataError: the file is not what :func:`measure_run` writes.
    """
    advice = "delete it, and it is measured again"
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(f"{path} cannot be read ({error}): {advice}") from error
    wanted = ("settings", "rows", "started", "ended")
    if not isinstance(record, dict) or (missing := [key for key in wanted if key not in record]):
        lacks = ", ".join(missing) if isinstance(record, dict) else ", ".join(wanted)
        raise DataError(f"{path} is no file of measures, it lacks {lacks}: {advice}")
    return record


def require_same_snapshot(record: Mapping[str, Any], path: Path, snapshot: Path) -> None:
    """Refuse measures of other weights than the snapshot's; records of older versions do not tell theirs.

    Raises:
        CheckpointError: names both files.
    """
    there = checkpoint_digest(snapshot, kind="snapshot")
    if record.get("snapshot_sha256", there) != there:
        raise CheckpointError(
            f"{path} was measured at other weights than {snapshot} holds now: move the measures away, and they are "
            "made again"
        )
