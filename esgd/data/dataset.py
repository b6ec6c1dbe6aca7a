"""A data set is one tensor on the device, with its name and where it came from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from esgd.data import curves, mnist
from esgd.errors import ConfigError

__all__ = ["DATASETS", "Dataset", "load", "pca_squared_error"]

DATASETS = ("mnist", "mnist-10k", "curves")


@dataclass(frozen=True, eq=False)
class Dataset:
    """Images as one tensor.

    Attributes:
        name: one of :data:`DATASETS`.
        split: ``"train"`` or ``"test"``.
        images: shape ``(examples, 784)``, in [0, 1], on the device asked for.
        source: where the pixels came from, in words; for CURVES it says whether they are the original ones.
        digest: SHA-256 of the pixels as bytes.
    """

    name: str
    split: str
    images: Tensor
    source: str
    digest: str

    def __len__(self) -> int:
        return len(self.images)

    def about(self) -> dict[str, Any]:
        """What a manifest says of the data."""
        return {"name": self.name, "examples": len(self), "source": self.source, "sha256": self.digest}

    def __repr__(self) -> str:
        return f"Dataset({self.name!r}, {self.split!r}, {len(self):,} images, {self.source})"


def load(
    name: str,
    split: str = "train",
    *,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    progress: bool = True,
) -> Dataset:
    """Load a data set, looking in ``ESGD_DATA``, then in the user's cache, then (MNIST) on the network.

    Args:
        name: ``"mnist"`` (60,000 + 10,000 digits), ``"mnist-10k"`` (the 10,000 digits that ship with the
            package; no network, no split) or ``"curves"`` (20,000 + 10,000).
        split: ``"train"`` or ``"test"``.
        device: where the tensor shall sit.
        dtype: of the tensor.
        progress: show a progress bar while downloading.

    Raises:
        ConfigError: unknown name or split.
        DataError: a file is missing, truncated, corrupted or not the canonical one.
    """
    if name not in DATASETS:
        raise ConfigError(f"unknown data set {name!r}: choose one of {', '.join(DATASETS)}")
    if split not in ("train", "test"):
        raise ConfigError(f"unknown split {split!r}: choose 'train' or 'test'")
    if name == "mnist":
        pixels, source, digest = mnist.load_images(split, progress=progress)
    elif name == "mnist-10k":
        if split != "train":
            raise ConfigError("mnist-10k is one set of 10,000 digits without a test split: use split='train'")
        pixels, source, digest = mnist.load_packaged()
    else:
        pixels, source, digest = curves.load_images(split)
    return Dataset(name, split, _as_tensor(pixels, device, dtype), source, digest)


def _as_tensor(pixels: np.ndarray, device: torch.device | str, dtype: torch.dtype) -> Tensor:
    """Bytes become [0, 1]; floats are taken as they are."""
    tensor = torch.from_numpy(pixels).to(device)
    return tensor.to(dtype).div_(255) if pixels.dtype == np.uint8 else tensor.to(dtype)


def pca_squared_error(images: Tensor, components: int) -> float:
    """Squared error per example of the best linear autoencoder with that many code units (PCA).

    The yardstick below which a deep autoencoder has learnt something non-linear.

    Args:
        images: shape ``(examples, pixels)``.
        components: size of the code.
    """
    if not 0 <= components <= images.shape[1]:
        raise ConfigError(f"components must lie in 0…{images.shape[1]}, got {components}")
    mean = images.double().mean(0)
    scatter = torch.zeros(images.shape[1], images.shape[1], dtype=torch.float64)
    for chunk in images.split(10_000):
        centred = chunk.to("cpu", torch.float64) - mean.cpu()
        scatter += centred.T @ centred
    eigenvalues = torch.linalg.eigvalsh(scatter / len(images))  # ascending
    return eigenvalues[: len(eigenvalues) - components].sum().item()
