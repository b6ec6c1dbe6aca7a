"""Checkpoints that are whole or absent, and that are read without running code from the file.

A checkpoint is what ``torch.save`` writes, followed by a magic word and the SHA-256 of all before it. It is
read with ``weights_only=True``. Writing goes through a temporary file, a flush to the disk and a rename: a
kill or a full disk costs the new checkpoint, never the old one.
"""

from __future__ import annotations

import hashlib
import io
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from esgd.errors import CheckpointError
from esgd.files import atomic_write

__all__ = ["load_checkpoint", "require_same", "save_checkpoint"]

MAGIC = b"esgd-ckpt-1\n"
FOOTER = len(MAGIC) + 32


def save_checkpoint(path: Path, state: Mapping[str, Any]) -> None:
    """Write a checkpoint atomically.

    Args:
        path: the file; an older checkpoint there stays until the new one is whole.
        state: tensors, numbers, strings, and lists and dicts of them.

    Raises:
        CheckpointError: the disk is full, or the folder cannot be written.
    """
    buffer = io.BytesIO()
    torch.save(dict(state), buffer)
    body = buffer.getvalue()
    try:
        atomic_write(path, body + MAGIC + hashlib.sha256(body).digest())
    except OSError as error:
        kept = "the last checkpoint is untouched" if path.exists() else "no checkpoint was written"
        raise CheckpointError(
            f"cannot write the checkpoint {path}: {error.strerror or error} ({kept}); free some space or "
            "choose another folder with ESGD_RUNS, then resume"
        ) from error


def load_checkpoint(path: Path, *, device: torch.device | str = "cpu") -> dict[str, Any]:
    """Read a checkpoint, its tensors on ``device``.

    Raises:
        CheckpointError: it is absent, truncated, damaged or not one of esgd's.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"cannot read the checkpoint {path}: {error.strerror}") from error
    body, footer = content[:-FOOTER], content[-FOOTER:]
    if not footer.startswith(MAGIC):
        what = "is truncated, or was not written by esgd" if content[:2] == b"PK" else "is not an esgd checkpoint"
        raise CheckpointError(f"{path} {what} ({len(content):,} bytes): delete it to start this run afresh")
    if hashlib.sha256(body).digest() != footer[len(MAGIC) :]:
        raise CheckpointError(f"{path} is damaged, its checksum does not fit: delete it to start this run afresh")
    try:
        return torch.load(io.BytesIO(body), map_location=device, weights_only=True)
    except (RuntimeError, pickle.UnpicklingError) as error:
        raise CheckpointError(f"{path} cannot be read by torch {torch.__version__}: {error}") from error


def require_same(saved: Mapping[str, Any], wanted: Mapping[str, Any], *, where: Path) -> None:
    """Refuse to go on from a checkpoint of other settings.

    Raises:
        CheckpointError: names every setting that differs, with both values.
    """
    missing = object()
    keys = [*saved, *(key for key in wanted if key not in saved)]
    changed = [
        f"{key} was {_shown(saved, key)} and is now {_shown(wanted, key)}"
        for key in keys
        if saved.get(key, missing) != wanted.get(key, missing)
    ]
    if changed:
        raise CheckpointError(
            f"{where} belongs to a run with other settings ({'; '.join(changed)}): use the old ones, or give "
            "the new run another name"
        )


def _shown(settings: Mapping[str, Any], key: str) -> str:
    return repr(settings[key]) if key in settings else "absent"
