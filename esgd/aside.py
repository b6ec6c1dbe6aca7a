"""What an earlier run left in its folder, kept aside when the run begins anew.

A run that was taken over from a record (:mod:`esgd.recorded`) has its rows and no checkpoint. Asked for more epochs
it begins from its first, and for long is shorter than what was recorded. Until it is not, the recorded rows lie in
its folder as ``records-recorded.csv`` with ``manifest-recorded.json``, and an export takes the longer of the two.
Records of other settings are never taken for the run's own: they stay where they lie.

Snapshots, and what was measured of them, belong to the weights of the run that made them. They move to
``earlier-1/``, ``earlier-2/`` and so on in the folder, each with the manifest of that time.
"""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

from esgd.config import changed_settings
from esgd.files import atomic_write
from esgd.records import read_records
from esgd.runs import RunFolder, read_json, write_csv

__all__ = ["drop_if_passed", "epochs_done", "keep_aside", "last_epoch", "longest"]

Rows = list[dict[str, Any]]


def _paths(folder: RunFolder) -> tuple[Path, Path]:
    return folder.path / "records-recorded.csv", folder.path / "manifest-recorded.json"


def keep_aside(folder: RunFolder) -> None:
    """Clear the folder of a run that is about to begin from its first epoch; nothing that it holds is lost.

    Its records go aside, with their manifest, so that the rows are never read beside the new run's. A record of the
    same settings that lies aside already and is as long stays; one of other settings makes room, as snapshots and
    measures do (see above). The manifest is written last: without it there is none aside.
    """
    records, manifest = _paths(folder)
    _move_earlier(folder, [folder.path / "snapshots", *sorted(folder.path.glob("measures-*"))])
    rows = read_records(folder.records) if folder.records.exists() else []
    if not rows:
        return
    if not _same_run(_aside(folder)[0], folder.manifest()):
        _move_earlier(folder, [records, manifest])
    if last_epoch(rows) > last_epoch(_aside(folder)[1]):
        manifest.unlink(missing_ok=True)
        write_csv(records, rows)
        atomic_write(manifest, json.dumps(folder.manifest(), indent=2, ensure_ascii=False) + "\n")
    folder.records.unlink()


def _move_earlier(folder: RunFolder, paths: list[Path]) -> None:
    """Move what there is of some paths to a place of its own in the folder, with a copy of the manifest."""
    found = [path for path in paths if path.exists()]
    if not found:
        return
    numbers = (int(n) for path in folder.path.glob("earlier-*") if (n := path.name[len("earlier-") :]).isdecimal())
    place = folder.path / f"earlier-{max(numbers, default=0) + 1}"
    place.mkdir()
    if told := folder.manifest():
        RunFolder(place.name, folder.path).write_manifest(told)
    for path in found:
        path.rename(place / path.name)


def _same_run(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether two manifests tell the same settings; one that tells none may be of any."""
    return not changed_settings(one.get("config") or {}, other.get("config") or {})


def drop_if_passed(folder: RunFolder, epoch: int) -> None:
    """Remove the record that lies aside once the run's own records, of the same settings, reach as far."""
    records, manifest = _paths(folder)
    if not records.exists():
        return
    told, rows = _aside(folder)
    if epoch >= last_epoch(rows) and _same_run(told, folder.manifest()):
        for path in (manifest, records):
            with contextlib.suppress(FileNotFoundError):
                path.unlink()


def _aside(folder: RunFolder) -> tuple[dict[str, Any], Rows]:
    records, manifest = _paths(folder)
    return (read_json(manifest), read_records(records)) if manifest.exists() and records.exists() else ({}, [])


def longest(folder: RunFolder) -> tuple[dict[str, Any], Rows]:
    """Manifest and rows of a run as far as it is recorded: its own, or those that lie aside and reach further.

    Those that lie aside count where they are of the same settings.
    """
    own = folder.manifest(), read_records(folder.records) if folder.records.exists() else []
    aside = _aside(folder)
    further = aside[1] and last_epoch(aside[1]) >= last_epoch(own[1])
    return aside if further and _same_run(aside[0], own[0]) else own


def epochs_done(folder: RunFolder) -> int:
    """The last epoch that a run is recorded to, 0 without records."""
    return max(last_epoch(longest(folder)[1]), 0)


def last_epoch(rows: Rows) -> int:
    """The largest epoch of some records; −1 where there are none."""
    return max((row["epoch"] for row in rows), default=-1)
