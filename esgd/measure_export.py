"""Measures along recorded runs as tidy tables, with what tells where they come from."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from esgd.errors import ConfigError
from esgd.measure import COLUMNS, MeasureConfig
from esgd.measure_run import measure_file, read_measured, require_same_snapshot
from esgd.remake import measure_commands, with_snapshots
from esgd.runs import RunFolder, read_csv, write_csv
from esgd.snapshots import by_epoch, list_snapshots

__all__ = ["FIGURES", "check_export", "export_measures", "one_workload", "origin"]

# which figure shows which quantity
FIGURES = {
    "fig4": ("loss", "cosine", "log_dispersion", "floor", "step", "rms"),
    "fig6": (
        *("loss", "dominance", "dominance_plugin", "frobenius_squared", "largest", "smallest", "negative"),
        *("positive", "negative_energy", "saturated", "saturated_units"),
    ),
}


# what a record says of its snapshot alone, and not of where it comes from
OF_ONE = ("rows", "started", "ended", "snapshot_sha256")


def export_measures(
    folders: Sequence[RunFolder], config: MeasureConfig, results: Path, *, full: MeasureConfig | None = None
) -> list[Path]:
    """Write what is measured to ``results/fig4/<workload>`` and ``results/fig6/<workload>``.

    Each holds ``measures.csv`` (the columns of :data:`esgd.measure.COLUMNS`, one row a measure) up to the last
    epoch at which all the runs are measured, and ``manifest.json``, whose commands make the snapshots that were
    measured and measure these alone. There ``recorded_epochs`` of a run is the last epoch of its rows, and ``full``
    tells where ``full.csv`` comes from: settings, commit and device of its own, and which runs were measured on the
    whole training set, at which epochs.

    Args:
        folders: runs of one workload.
        config: the measurement's settings.
        results: the folder of all recorded results.
        full: settings of a check on the whole training set, exported as ``full.csv`` where it was made.

    Raises:
        CheckpointError: measures are of other weights than the snapshot that is there.
        ConfigError: runs of several workloads; nothing is measured yet; or the folder holds a record of other runs,
            which would be lost.
    """
    task = one_workload(folders)
    measured = {folder: _measured(folder, config) for folder in folders}
    if not all(measured.values()):
        empty = next(folder.name for folder, records in measured.items() if not records)
        raise ConfigError(f"nothing is measured of {empty} with these settings yet: run esgd measure first")
    common = min(max(records) for records in measured.values())
    records = [r for kept in measured.values() for epoch, r in kept.items() if epoch <= common]
    epochs = {folder.name: [epoch for epoch in kept if epoch <= common] for folder, kept in measured.items()}
    snapshots = {folder.name: list(list_snapshots(folder)) for folder in folders}
    checked = {folder.name: _measured(folder, full) for folder in folders} if full else {}
    checked = {name: kept for name, kept in checked.items() if kept}
    whole = [r for kept in checked.values() for r in kept.values()]
    _require_all_named(folders, results, checked)
    written = []
    for figure, quantities in FIGURES.items():
        out = RunFolder(task, results / figure)
        out.path.mkdir(parents=True, exist_ok=True)
        for name, chosen in (("measures.csv", records), ("full.csv", whole)):
            rows = [row for r in chosen for row in r["rows"] if row["quantity"] in quantities]
            if rows:
                write_csv(out.path / name, rows, COLUMNS)
                written.append(out.path / name)
        old = out.manifest() if (out.path / "full.csv").exists() else {}
        manifest = {
            "workload": out.name,
            "command": measure_commands(config.command("{runs}"), epochs, snapshots),
            "epochs": common,
            **origin(records),
            "runs": [
                with_snapshots(folder.manifest(), {*snapshots[folder.name], *epochs[folder.name]})
                | {"recorded_epochs": common}
                for folder in folders
            ],
        }
        if full and checked:
            manifest["full"] = _full(checked, full, snapshots)
        else:  # of the table that is left as it is
            manifest |= {key: old[key] for key in ("full", "note") if key in old}
        out.write_manifest(manifest)
        written.append(out.path / "manifest.json")
    return written


def check_export(
    folders: Sequence[RunFolder], config: MeasureConfig, results: Path, *, full: MeasureConfig | None = None
) -> None:
    """Refuse before hours of measuring what :func:`export_measures` would refuse after them.

    Args and errors: as for :func:`export_measures`.
    """
    one_workload(folders)
    whole = full if full != config else None  # else it is what is going to be measured
    _require_all_named(folders, results, [f.name for f in folders if whole and _measured(f, whole)])


def _require_all_named(folders: Sequence[RunFolder], results: Path, checked: Collection[str]) -> None:
    """Refuse an export that would drop runs from the record in its place.

    Raises:
        ConfigError: names them.
    """
    named = {folder.name for folder in folders}
    for figure in FIGURES:
        out = RunFolder(one_workload(folders), results / figure)
        dropped = [run["run"] for run in out.manifest().get("runs", ()) if run["run"] not in named]
        what = "measures"
        if not dropped and checked and (out.path / "full.csv").exists():
            rows = read_csv(out.path / "full.csv")
            dropped = sorted({row["run"] for row in rows if row.get("run") not in checked})
            what = "a check on all examples"
        if dropped:
            raise ConfigError(
                f"{out.path} also holds {what} of {', '.join(dropped)}, which this export would drop: measure and "
                "name those too, or export to another folder"
            )


def one_workload(folders: Sequence[RunFolder]) -> str:
    """The workload of runs that are exported together.

    Raises:
        ConfigError: they are of several, which one table cannot hold.
    """
    for folder in folders:
        if not folder.manifest().get("config"):
            raise ConfigError(
                f"there is no run {folder.name} in {folder.path.parent}: esgd list shows those there are"
            )
    names = {folder.manifest()["config"].get("workload") for folder in folders}
    if len(names) != 1:
        raise ConfigError(
            f"export runs of one workload at a time, got {', '.join(sorted(map(str, names)))}: name the runs of one"
        )
    return names.pop()


def origin(records: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Where measures come from, for a manifest: settings, sample, versions, commit and device, and when.

    Measures of several origins have a list of them, ``origins``, each with the epochs of its runs; the keys beside
    it are those of the first.
    """
    parts: dict[str, list[dict[str, Any]]] = {}
    for record in records:
        where = {key: value for key, value in record.items() if key not in OF_ONE}
        parts.setdefault(json.dumps(where, sort_keys=True), []).append(record)
    told = [_span(members) for members in parts.values()]
    whole = told[0] | _span(records, when_only=True)
    if len(told) == 1:
        return whole
    for part, members in zip(told, parts.values(), strict=True):
        for key in ("settings", "sample_sha256"):  # one for all
            part.pop(key, None)
        part["measured"] = {}
        for record in members:
            row = record["rows"][0]
            part["measured"].setdefault(row["run"], []).append(row["epoch"])
    return whole | {"origins": told}


def _span(records: Sequence[dict[str, Any]], *, when_only: bool = False) -> dict[str, Any]:
    """What records of one origin have in common, and when the first began and the last ended."""
    same = {key: value for key, value in records[0].items() if key not in OF_ONE}
    when = {"started": min(r["started"] for r in records), "ended": max(r["ended"] for r in records)}
    return when if when_only else same | when


def _full(
    checked: dict[str, dict[int, dict[str, Any]]], config: MeasureConfig, snapshots: dict[str, list[int]]
) -> dict[str, Any]:
    """Where the check on the whole training set comes from; ``measured``: run -> its epochs."""
    return {
        "command": measure_commands(config.command("{runs}"), checked, snapshots),
        "measured": {name: sorted(kept) for name, kept in checked.items()},
        **origin([r for kept in checked.values() for r in kept.values()]),
    }


def _measured(folder: RunFolder, config: MeasureConfig) -> dict[int, dict[str, Any]]:
    """The measures of a run with these settings, by epoch."""
    paths = by_epoch(measure_file(folder, config, 0).parent.glob("epoch*.json"))
    found = {epoch: read_measured(path) for epoch, path in paths.items()}
    found = {epoch: record for epoch, record in found.items() if record["settings"] == config.settings()}
    snapshots = list_snapshots(folder)
    for epoch in found.keys() & snapshots.keys():
        require_same_snapshot(found[epoch], paths[epoch], snapshots[epoch])
    return found
