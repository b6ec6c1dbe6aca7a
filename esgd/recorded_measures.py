"""Recorded measures taken over as if they had been made here: what is exported need not be measured again."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from esgd.errors import ConfigError, DataError
from esgd.files import atomic_write
from esgd.measure import COLUMNS, MeasureConfig
from esgd.measure_run import FIGURES, measure_file, one_workload
from esgd.runs import RunFolder, read_csv

__all__ = ["take_over_measures"]


def take_over_measures(folders: Sequence[RunFolder], config: MeasureConfig, source: Path) -> list[str]:
    """Put the measures that :func:`esgd.measure_run.export_measures` wrote back into the folders of their runs.

    Each snapshot that is measured here already stays as it is. Where a record was made in several goes, each with
    a commit and a device of its own, each snapshot keeps those that it was measured with.

    Args:
        folders: the runs, trained here with the settings and data of the recorded ones.
        config: the measurement's settings.
        source: the folder of all recorded results, with ``fig4/`` and ``fig6/`` in it.

    Returns:
        What was taken over, ``"run, epoch N"`` each.

    Raises:
        ConfigError: the record is of other settings, or one of its runs had other settings or data.
        DataError: the folder holds no measures of this workload, or damaged ones.
    """
    task = one_workload(folders)
    rows: dict[tuple[str, int], dict[tuple[str, ...], dict[str, Any]]] = {}
    for figure, quantities in FIGURES.items():
        out = RunFolder(task, source / figure)
        manifest = out.manifest()
        if not manifest:
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
    made = []
    for folder in folders:
        if folder.name in recorded:
            _require_same_run(folder, recorded[folder.name], source)
        for (name, epoch), found in rows.items():
            path = measure_file(folder, config, epoch)
            if name == folder.name and not path.exists():
                record = {**_origin(manifest, name, epoch), "rows": list(found.values())}
                atomic_write(path, json.dumps(record) + "\n")
                made.append(f"{name}, epoch {epoch}")
    return made


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
    told = parts[0] if parts else manifest
    return {key: manifest[key] for key in ("settings", "sample_sha256")} | {k: told[k] for k in where if k in told}
