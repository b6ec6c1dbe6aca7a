"""MNIST from its canonical idx files, verified by the SHA-256 of their content."""

from __future__ import annotations

import gzip
import hashlib
import struct
import zlib
from importlib import resources
from pathlib import Path

import numpy as np

from esgd.data.download import download
from esgd.errors import DataError
from esgd.paths import cache_dir, data_dir

__all__ = ["FILES", "MIRRORS", "load_images", "load_labels", "load_packaged", "read_idx"]

# file -> SHA-256 of its decompressed content
FILES = {
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}
MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)
PACKAGED = "t10k-images-idx3-ubyte"
_PREFIX = {"train": "train", "test": "t10k"}


def load_images(split: str, *, progress: bool = True) -> tuple[np.ndarray, str, str]:
    """Pixels of shape ``(examples, 784)`` as bytes, where they came from, and their SHA-256."""
    return _load(f"{_PREFIX[split]}-images-idx3-ubyte", progress=progress)


def load_labels(split: str = "train", *, progress: bool = True) -> np.ndarray:
    """The digit that each image shows, shape ``(examples,)``, bytes."""
    return _load(f"{_PREFIX[split]}-labels-idx1-ubyte", progress=progress)[0]


def load_packaged() -> tuple[np.ndarray, str, str]:
    """The 10,000 digits that ship with the package (MNIST's test images), as :func:`load_images`."""
    packed = resources.files("esgd.data").joinpath("packaged", f"{PACKAGED}.gz")
    if not packed.is_file():
        raise DataError(f"the packaged file {PACKAGED}.gz is missing from this installation: reinstall esgd")
    content = verified(PACKAGED, packed.read_bytes(), where=f"{PACKAGED}.gz of the package", compressed=True)
    return read_idx(content, PACKAGED), "the 10,000 digits packaged with esgd", FILES[PACKAGED]


def _load(name: str, *, progress: bool) -> tuple[np.ndarray, str, str]:
    found = find(name)
    if found is None:
        found = cache_dir() / "mnist" / f"{name}.gz"
        download(
            [mirror + found.name for mirror in MIRRORS],
            found,
            check=lambda data: verified(name, data, where="the download", compressed=True),
            progress=progress,
            remedy=f"put {name} or {name}.gz into the folder that ESGD_DATA names, or use 'mnist-10k', "
            "which ships with the package",
        )
    try:
        data = found.read_bytes()
    except OSError as error:
        raise DataError(f"cannot read {found}: {error.strerror}") from error
    content = verified(name, data, where=str(found), compressed=found.suffix == ".gz")
    return read_idx(content, str(found)), "the canonical MNIST idx files", FILES[name]


def find(name: str) -> Path | None:
    """The file, plain or ``.gz``, in ``ESGD_DATA``, its ``mnist`` folder or the cache; None if nowhere.

    Raises:
        DataError: ``ESGD_DATA`` is set, but no such folder exists.
    """
    folders = [cache_dir() / "mnist"]
    if (chosen := data_dir()) is not None:
        if not chosen.is_dir():
            raise DataError(f"ESGD_DATA names {chosen}, which is not a folder: correct the variable or unset it")
        folders = [chosen, chosen / "mnist", *folders]
    candidates = [folder / file for folder in folders for file in (name, f"{name}.gz")]
    return next((path for path in candidates if path.is_file()), None)


def verified(name: str, data: bytes, *, where: str, compressed: bool) -> bytes:
    """The decompressed content, or :class:`DataError` when it is not exactly the canonical file."""
    if compressed:
        try:
            data = gzip.decompress(data)
        except (EOFError, OSError, zlib.error) as error:
            raise DataError(
                f"{where} is truncated or corrupted ({error}): delete it so that it is fetched again"
            ) from error
    digest = hashlib.sha256(data).hexdigest()
    if digest != FILES[name]:
        raise DataError(
            f"{where} is not the canonical {name}: expected SHA-256 {FILES[name][:12]}…, got {digest[:12]}… "
            f"({len(data):,} bytes); it is truncated, corrupted or another file: replace it or delete it"
        )
    return data


def read_idx(content: bytes, where: str) -> np.ndarray:
    """Decode an idx file of bytes: images as ``(examples, pixels)``, labels as ``(examples,)``.

    Raises:
        DataError: the header is not that of an idx file of unsigned bytes, or the length does not fit it.
    """
    if len(content) < 4 or content[:3] != b"\x00\x00\x08":
        raise DataError(f"{where} is not an idx file of unsigned bytes: it starts with {content[:4].hex()}")
    dimensions = content[3]
    header = 4 + 4 * dimensions
    if len(content) < header:
        raise DataError(f"{where} ends inside its header: it is truncated, replace it")
    shape = struct.unpack(f">{dimensions}I", content[4:header])
    expected = int(np.prod(shape, dtype=np.int64))
    if len(content) - header != expected:
        raise DataError(
            f"{where} promises {expected:,} values of shape {shape} but holds {len(content) - header:,}: "
            "it is truncated or corrupted, replace it"
        )
    values = np.frombuffer(content, np.uint8, offset=header).reshape(shape)
    return values.reshape(shape[0], -1).copy() if dimensions > 1 else values.copy()
