"""Recorded measures taken over as if they had been made here: what is exported need not be measured again."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from esgd.aside import last_epoch
from esgd.errors import ConfigError, DataError
from esgd.files import atomic_write
from esgd.measure import COLUMNS, MeasureConfig, sample_indices
from esgd.measure_export import FIGURES, one_workload
from esgd.measure_run import measure_file
from esgd.records import read_records
from esgd.runs import RunFolder, read_csv
from esgd.snapshots import list_snapshots, load_snapshot, require_of_run
from esgd.workload import workload

__all__ = ["take_over_measures"]

SAME = 1e-5  # relative; paths that rounding parts are per cents apart after five epochs (results/replay)


def take_over_measures(folders: Sequence[RunFolder], config: MeasureConfig, source: Path) -> list[str]:
    """Put the measures that :func:`esgd.measure_export.export_measures` wrote back into the folders of their runs.

    Each snapshot that is measured here already stays as it is, and none is taken over that lies beyond what the run
    has been trained to here. Where a record was made in several goes, each with a commit and a device of its own,
    each snapshot keeps those that it was measured with.

    Args:
        folders: the runs, trained here with the settings and data of the recorded ones.
        config: the measurement's settings.
        source: the folder of all recorded results, with ``fig4/`` and ``fig6/`` in it.

    Returns:
        What was taken over, ``"run, epoch N"`` each.

    Raises:
        CheckpointError: a snapshot is damaged or not of its run.
        ConfigError: the record is of other settings or of other runs; or one of its runs had other settings, other
            data or other weights.
        DataError: the folder holds no measures of this workload, or damaged ones.
    """
    task = one_workload(folders)
    rows: dict[tuple[str, int], dict[tuple[str, ...], dict[str, Any]]] = {}
    for figure, quantities in FIGURES.items():
        out = RunFolder(task, source / figure)
        manifest = out.manifest()
        if not {"settings", "sample_sha256", "runs"} <= manifest.keys():
            raise DataError(
                f"{source} holds no measures of {task}: name the folder that esgd measure --results wrote"
            )
        made_with, asked = manifest.get("settings"), config.settings()
        if made_with != asked:
            raise ConfigError(
                f"the measures in {out.path} were made with {made_with}, not with {asked}: give those settings"
            )
        for row in read_csv(out.path / "measures.csv"):
            if missing := [name for name in COLUMNS if name not in row]:
                raise DataError(
                    f"{out.path / 'measures.csv'} lacks {', '.join(missing)}: it is no table of measures"
                )
            if row["quantity"] in quantities:
                row |= {"a": row["a"] or "", "b": row["b"] or ""}
                key = (row["quantity"], row["a"], row["b"])
                rows.setdefault((row["run"], row["epoch"]), {})[key] = {name: row[name] for name in COLUMNS}
    recorded = {run["run"]: run for run in manifest["runs"]}
    if not any(folder.name in recorded for folder in folders):
        raise ConfigError(
            f"{source} holds measures of {', '.join(recorded)} and of none of the runs named: name one of them, or "
            "measure without --from"
        )
    made = []
    for folder in folders:
        if folder.name not in recorded:
            continue
        _require_same_run(folder, recorded[folder.name], source)
        losses = {e: found["loss", "", ""]["value"] for (name, e), found in rows.items() if name == folder.name}
        _require_same_weights(folder, config, losses, source)
        reached = _reached(folder)
        for (name, epoch), found in rows.items():
            path = measure_file(folder, config, epoch)
            if name == folder.name and epoch <= reached and not path.exists():
                record = {**_origin(manifest, name, epoch), "rows": list(found.values())}
                atomic_write(path, json.dumps(record) + "\n")
                made.append(f"{name}, epoch {epoch}")
    return made


def _reached(folder: RunFolder) -> int:
    """The last epoch that a run has been trained to here, also where it was killed or is still running."""
    rows = read_records(folder.records) if folder.records.exists() else []
    return max(last_epoch(rows), *list_snapshots(folder))


@torch.no_grad()
def _require_same_weights(
    folder: RunFolder, config: MeasureConfig, losses: Mapping[int, float], source: Path
) -> None:
    """Compare the loss on the sample at the last snapshot that both have: rounding alone may part two paths."""
    both = {epoch: path for epoch, path in list_snapshots(folder).items() if epoch in losses}
    if not both:
        raise ConfigError(
            f"{folder.name} has no snapshot here of an epoch that {source} has measures of ({sorted(losses)}), to "
            "compare them by: train it with --snapshot-every, at one of these"
        )
    epoch = max(both)
    snapshot = load_snapshot(both[epoch])
    require_of_run(snapshot, folder)
    task = workload(snapshot.config.workload)
    data = task.data(dtype=getattr(torch, snapshot.config.dtype), progress=False)
    images = data.images[sample_indices(data, config)[0]]
    batches = images.split(config.batch_size)
    mine = sum(task.loss(snapshot.net(batch), batch).item() * len(batch) for batch in batches) / len(images)
    if not math.isclose(mine, losses[epoch], rel_tol=SAME):
        raise ConfigError(
            f"{folder.name} is on another path here than in {source}: its loss on the sample at epoch {epoch} is "
            f"{mine:.6g} and was {losses[epoch]:.6g}. Another processor, number of threads or torch rounds "
            "differently; measure it here, and export to another folder"
        )


def _require_same_run(folder: RunFolder, recorded: Mapping[str, Any], source: Path) -> None:
    mine = folder.manifest()
    changed = [
        key
        for key in mine["config"]
        if key != "epochs" and mine["config"][key] != recorded["config"].get(key, mine["config"][key])
    ]
    if mine["data"]["sha256"] != recorded["data"]["sha256"]:
        changed.append("data")
    if changed:
        raise ConfigError(
            f"{folder.name} was trained here with another {' and '.join(changed)} than the run of that name in "
            f"{source}: its measures are of other weights; measure it here, and export to another folder"
        )


def _origin(manifest: Mapping[str, Any], run: str, epoch: int) -> dict[str, Any]:
    """Settings and provenance of the measures of a snapshot."""
    where = ("versions", "platform", "device", "device_type", "commit", "changed", "started", "ended")
    parts = [p for p in manifest.get("origins", ()) if epoch in p["measured"].get(run, ())]
    if "origins" in manifest and not parts:
        raise DataError(
            f"the record's manifest does not tell where the measures of {run} at epoch {epoch} come from"
        )
    told = parts[0] if parts else manifest
    return {key: manifest[key] for key in ("settings", "sample_sha256")} | {k: told[k] for k in where if k in told}
