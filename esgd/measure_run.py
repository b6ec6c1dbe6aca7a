"""Measurements along recorded runs: resumable after any batch, exported as tidy tables."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from esgd.checkpoint import checkpoint_digest, load_checkpoint, require_same, save_checkpoint
from esgd.errors import CheckpointError, ConfigError, DataError
from esgd.files import atomic_write
from esgd.measure import COLUMNS, MeasureConfig, MeasurementStopped, measure_snapshot, sample_indices
from esgd.progress import progress_bar
from esgd.provenance import now, pick_device, provenance
from esgd.remake import measure_commands, with_snapshots
from esgd.runs import RunFolder, read_csv, write_csv
from esgd.snapshots import by_epoch, list_snapshots, load_snapshot, require_of_run
from esgd.workload import workload

__all__ = ["FIGURES", "check_export", "export_measures", "measure_file", "measure_run", "one_workload", "origin"]

BAR = "{desc}: {percentage:3.0f}%|{bar}| {n:.2f}/{total} snapshots [{elapsed}<{remaining}]"
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
    for epoch in todo:
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
        about = {
            "settings": config.settings(),
            "sample_sha256": sample_indices(data, config)[1],
            "snapshot_sha256": snapshot.sha256,
            **provenance(place),
        }
        path = measure_file(folder, config, epoch)
        part = path.with_suffix(".part.pt")
        begun = _begun(part, about, place)
        started, end = begun.get("started", now()), todo.index(epoch) + 1 + len(asked) - len(todo)
        if begun:  # no work of this session, and none of its pace
            bar.n += begun["state"]["share"]
            bar.initial += begun["state"]["share"]
        options = {"should_stop": should_stop, "on_progress": bar.update, "state": begun.get("state")}
        try:
            rows = measure_snapshot(snapshot, data, config, **options)
        except MeasurementStopped as stop:
            bar.close()
            told = {"kind": "measures", "about": json.dumps(about), "started": started}
            save_checkpoint(part, {**told, "state": stop.state})
            return False
        atomic_write(path, json.dumps(about | {"started": started, "ended": now(), "rows": rows}) + "\n")
        part.unlink(missing_ok=True)
        bar.update(end - bar.n)  # a Krylov space that ended early, or rounding
    bar.close()
    return True


def _require_current(path: Path, config: MeasureConfig, snapshot: Path, folder: RunFolder) -> None:
    """Refuse measures of other settings or of other weights than the run's snapshot has."""
    record = _read(path)
    advice = f"use the old ones, or move {path.parent} away to measure anew"
    require_same(record["settings"], config.settings(), where=path, advice=advice)
    _require_same_snapshot(record, path, snapshot)
    if "snapshot_sha256" not in record:  # by an older version, which did not look whose it was
        require_of_run(load_snapshot(snapshot), folder)


def _begun(part: Path, about: Mapping[str, Any], device: torch.device) -> dict[str, Any]:
    """What a stop left of a measurement; nothing where weights, code, versions or device were others."""
    if not part.exists():
        return {}
    saved = load_checkpoint(part, kind="measures", device=device)
    return saved if saved["about"] == json.dumps(about) else {}


def _read(path: Path) -> dict[str, Any]:
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


def _require_same_snapshot(record: Mapping[str, Any], path: Path, snapshot: Path) -> None:
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
    found = {epoch: _read(path) for epoch, path in paths.items()}
    found = {epoch: record for epoch, record in found.items() if record["settings"] == config.settings()}
    snapshots = list_snapshots(folder)
    for epoch in found.keys() & snapshots.keys():
        _require_same_snapshot(found[epoch], paths[epoch], snapshots[epoch])
    return found
