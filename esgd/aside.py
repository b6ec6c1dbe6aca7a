"""Records without a run: kept aside when the run begins anew, until it has passed them.

A run that was taken over from a record (:mod:`esgd.recorded`) has its rows and no checkpoint. Asked for more epochs
it begins from its first, and for long is shorter than what was recorded. Until it is not, the recorded rows lie in
its folder as ``records-recorded.csv`` with ``manifest-recorded.json``, and an export takes the longer of the two.
"""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

from esgd.files import atomic_write
from esgd.records import read_records
from esgd.runs import RunFolder, read_json, write_csv

__all__ = ["drop_if_passed", "epochs_done", "keep_aside", "last_epoch", "longest"]

Rows = list[dict[str, Any]]


def _paths(folder: RunFolder) -> tuple[Path, Path]:
    return folder.path / "records-recorded.csv", folder.path / "manifest-recorded.json"


def keep_aside(folder: RunFolder) -> None:
    """Copy the records of a folder whose run is about to begin from its first epoch, with their manifest.

    A longer record that lies aside already stays. The manifest is written last: without it there is none aside.
    """
    records, manifest = _paths(folder)
    rows = read_records(folder.records) if folder.records.exists() else []
    if not rows or last_epoch(rows) <= last_epoch(_aside(folder)[1]):
        return
    manifest.unlink(missing_ok=True)
    write_csv(records, rows)
    atomic_write(manifest, json.dumps(folder.manifest(), indent=2, ensure_ascii=False) + "\n")


def drop_if_passed(folder: RunFolder, epoch: int) -> None:
    """Remove the record that lies aside once the run's own records reach as far."""
    records, manifest = _paths(folder)
    if records.exists() and epoch >= last_epoch(_aside(folder)[1]):
        for path in (manifest, records):
            with contextlib.suppress(FileNotFoundError):
                path.unlink()


def _aside(folder: RunFolder) -> tuple[dict[str, Any], Rows]:
    records, manifest = _paths(folder)
    return (read_json(manifest), read_records(records)) if manifest.exists() and records.exists() else ({}, [])


def longest(folder: RunFolder) -> tuple[dict[str, Any], Rows]:
    """Manifest and rows of a run as far as it is recorded: its own, or those that lie aside and reach further.

    Where both reach as far, the run was stopped before its first checkpoint, and the rows are still the older ones.
    """
    own = folder.manifest(), read_records(folder.records) if folder.records.exists() else []
    aside = _aside(folder)
    return aside if aside[1] and last_epoch(aside[1]) >= last_epoch(own[1]) else own


def epochs_done(folder: RunFolder) -> int:
    """The last epoch that a run is recorded to, 0 without records."""
    return max(last_epoch(longest(folder)[1]), 0)


def last_epoch(rows: Rows) -> int:
    """The largest epoch of some records; −1 where there are none."""
    return max((row["epoch"] for row in rows), default=-1)
