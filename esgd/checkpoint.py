"""Checkpoints that are whole or absent, and that are read without running code from the file.

A checkpoint is what ``torch.save`` writes, followed by a magic word and the SHA-256 of all before it. It is
read with ``weights_only=True``. Writing goes through a temporary file, a flush to the disk and a rename: a
kill or a full disk costs the new checkpoint, never the old one.

Each says under ``kind`` what it holds, so that a run never reads an ensemble's. Older ones do not say it and are
known by their keys.
"""

from __future__ import annotations

import hashlib
import io
import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from esgd.errors import CheckpointError
from esgd.files import atomic_write

__all__ = [
    "BEGIN_ANEW",
    "KINDS",
    "Kind",
    "checkpoint_digest",
    "load_checkpoint",
    "load_with_digest",
    "require_same",
    "save_checkpoint",
]


@dataclass(frozen=True)
class Kind:
    """What a checkpoint may hold.

    Attributes:
        what: in words.
        keys: that it has in any case.
        advice: what to do where it was expected and another kind came.
        damaged: what to do where it is damaged.
    """

    what: str
    keys: tuple[str, ...]
    advice: str
    damaged: str


_TRAINED = ("net", "optimizer", "progress", "records")
_ELSEWHERE = "move it away, or take another folder for the runs"
BEGIN_ANEW = "use the old ones, or move it away to begin anew"  # where a name follows from the settings
_AGAIN = "delete it, and the same command makes it again"
KINDS = {
    "run": Kind(
        "the checkpoint of a single run",
        ("settings", "data", *_TRAINED),
        "give the run another --name; an ensemble goes on with the --seeds that it was begun with",
        "delete it to start this run afresh",
    ),
    "ensemble": Kind(
        "the checkpoint of an ensemble",
        ("ensemble", "loss_sums", *_TRAINED),
        "give the ensemble another --name; a single run goes on without --seeds",
        "delete it to start this ensemble afresh",
    ),
    "snapshot": Kind(
        "a snapshot",
        ("run", "settings", "data", "epoch", "step", "weights", "preconditioner"),
        "take one that `esgd train --snapshot-every N` wrote",
        "delete it and do without its epoch, or train the run again in another folder (--runs)",
    ),
    "weights": Kind("the weights of a measured net", ("settings", "weights", "loss"), _ELSEWHERE, _AGAIN),
    "curvature": Kind(
        "the checkpoint of a curvature measurement", ("settings", "batch", "sums"), _ELSEWHERE, _AGAIN
    ),
    "spectrum": Kind("the checkpoint of a spectrum", ("settings", "eigenpairs", "cost", "end"), _ELSEWHERE, _AGAIN),
    "measures": Kind("a measurement under way", ("about", "started", "state"), _ELSEWHERE, _AGAIN),
    "products": Kind("products of a measurement", ("vectors", "products", "cost"), _ELSEWHERE, _AGAIN),
}

MAGIC = b"esgd-ckpt-1\n"
FOOTER = len(MAGIC) + 32


def save_checkpoint(path: Path, state: Mapping[str, Any]) -> None:
    """Write a checkpoint atomically.

    Args:
        path: the file; an older checkpoint there stays until the new one is whole.
        state: tensors, numbers, strings, and lists and dicts of them; ``kind`` says which of :data:`KINDS` it is.

    Raises:
        CheckpointError: the disk is full, or the folder cannot be written.
    """
    buffer = io.BytesIO()
    torch.save(dict(state), buffer)
    with buffer.getbuffer() as body:  # no copy: it may be large
        digest = hashlib.sha256(body).digest()
    buffer.seek(0, io.SEEK_END)
    buffer.write(MAGIC + digest)
    try:
        atomic_write(path, buffer.getbuffer())
    except OSError as error:
        kept = "the last checkpoint is untouched" if path.exists() else "no checkpoint was written"
        raise CheckpointError(
            f"cannot write the checkpoint {path}: {error.strerror or error} ({kept}); free some space, or "
            "move the folder of the runs to another disk and set ESGD_RUNS to it; then the same command goes on"
        ) from error


def load_checkpoint(path: Path, *, kind: str | None = None, device: torch.device | str = "cpu") -> dict[str, Any]:
    """Read a checkpoint, its tensors on ``device``.

    Args:
        path: the file.
        kind: what it must hold, one of :data:`KINDS`; None takes any.
        device: where the tensors shall sit.

    Raises:
        CheckpointError: it is absent, truncated, damaged, not one of esgd's, or of another kind.
    """
    return load_with_digest(path, kind=kind, device=device)[0]


def load_with_digest(
    path: Path, *, kind: str | None = None, device: torch.device | str = "cpu"
) -> tuple[dict[str, Any], str]:
    """What :func:`load_checkpoint` reads, and the SHA-256 of just that.

    Args and errors: as for :func:`load_checkpoint`.
    """
    advice = "delete it" if kind is None else KINDS[kind].damaged
    try:
        content = path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"cannot read the checkpoint {path}: {error.strerror}") from error
    body, footer, size = content[:-FOOTER], content[-FOOTER:], len(content)
    del content  # not two copies: it may be large
    if not footer.startswith(MAGIC):
        zipped = (body + footer)[:2] == b"PK"
        what = "is truncated, or was not written by esgd" if zipped else "is not an esgd checkpoint"
        raise CheckpointError(f"{path} {what} ({size:,} bytes): {advice}")
    if hashlib.sha256(body).digest() != footer[len(MAGIC) :]:
        raise CheckpointError(f"{path} is damaged, its checksum does not fit: {advice}")
    try:
        state = torch.load(io.BytesIO(body), map_location=device, weights_only=True)
    except (RuntimeError, pickle.UnpicklingError) as error:
        raise CheckpointError(f"{path} cannot be read by torch {torch.__version__}: {error}") from error
    if kind is not None:
        _require_kind(state, kind, path)
    return state, footer[len(MAGIC) :].hex()


def checkpoint_digest(path: Path, *, kind: str) -> str:
    """The SHA-256 that a checkpoint ends with, in hex; what comes before it is not read.

    Args:
        path: the file.
        kind: what it holds, one of :data:`KINDS`; for the advice where it is damaged.

    Raises:
        CheckpointError: it is absent, truncated, or not one of esgd's.
    """
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(size - FOOTER, 0))
            footer = file.read()
    except OSError as error:
        raise CheckpointError(f"cannot read the checkpoint {path}: {error.strerror}") from error
    if not footer.startswith(MAGIC):
        raise CheckpointError(f"{path} is truncated, or was not written by esgd: {KINDS[kind].damaged}")
    return footer[len(MAGIC) :].hex()


def _require_kind(state: Mapping[str, Any], kind: str, path: Path) -> None:
    """Refuse a checkpoint of another kind; one that does not name its kind is taken where its keys fit."""
    wanted, found = KINDS[kind], state.get("kind")
    if found not in (None, kind):
        known = KINDS[found].what if found in KINDS else f"of the unknown kind {found!r}"
        raise CheckpointError(f"{path} is not {wanted.what}: {wanted.advice} (it is {known})")
    if missing := [key for key in wanted.keys if key not in state]:
        held = next((other.what for other in KINDS.values() if set(other.keys) <= set(state)), None)
        seen = f"it is {held}" if held else f"it lacks {', '.join(missing)}"
        raise CheckpointError(f"{path} is not {wanted.what}: {wanted.advice} ({seen})")


def require_same(
    saved: Mapping[str, Any],
    wanted: Mapping[str, Any],
    *,
    where: Path,
    advice: str = "use the old ones, or give the new run another name",
) -> None:
    """Refuse to go on from a checkpoint of other settings.

    Args:
        saved: the settings in the file.
        wanted: those of now.
        where: the file.
        advice: what to do.

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
        raise CheckpointError(f"{where} belongs to a run with other settings ({'; '.join(changed)}): {advice}")


def _shown(settings: Mapping[str, Any], key: str) -> str:
    return repr(settings[key]) if key in settings else "absent"
