"""A workload: a named task with its net, its data, its loss and its target."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from esgd.data import Dataset, load, pca_squared_error
from esgd.errors import ConfigError
from esgd.nets import CURVES_SIZES, MNIST_SIZES, Autoencoder, reconstruction_loss, squared_error

__all__ = ["WORKLOADS", "Workload", "product_cost", "workload"]


@dataclass(frozen=True)
class Workload:
    """A task of the paper's §7: train this autoencoder on these images.

    Attributes:
        name: what the task is called.
        dataset: name of its data set.
        sizes: units of the autoencoder, from the input to the code.
        batch_size: examples a step in the paper's protocol.
    """

    name: str
    dataset: str
    sizes: tuple[int, ...]
    batch_size: int = 200

    def net(self, seed: int = 0) -> Autoencoder:
        """The net with its sparse initialisation, on the CPU, in float32."""
        return Autoencoder(self.sizes, seed=seed)

    def data(
        self,
        split: str = "train",
        *,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
        progress: bool = True,
    ) -> Dataset:
        """The images, as one tensor on the device."""
        return load(self.dataset, split, device=device, dtype=dtype, progress=progress)

    @staticmethod
    def loss(logits: Tensor, images: Tensor) -> Tensor:
        """Cross-entropy in nats, summed over pixels, averaged over examples."""
        return reconstruction_loss(logits, images)

    @staticmethod
    def squared_error(logits: Tensor, images: Tensor) -> Tensor:
        """Squared error, summed over pixels, averaged over examples."""
        return squared_error(logits, images)

    def target(self, images: Tensor) -> float:
        """Squared error of PCA with as many components as the code has units: what a deep net must beat."""
        return pca_squared_error(images, self.sizes[-1])


WORKLOADS = {
    "mnist": Workload("mnist", "mnist", MNIST_SIZES),
    "mnist-10k": Workload("mnist-10k", "mnist-10k", MNIST_SIZES),
    "curves": Workload("curves", "curves", CURVES_SIZES),
}


def workload(name: str) -> Workload:
    """The workload of that name.

    Raises:
        ConfigError: there is none.
    """
    if name not in WORKLOADS:
        raise ConfigError(f"unknown workload {name!r}: choose one of {', '.join(WORKLOADS)}")
    return WORKLOADS[name]


def product_cost(sizes: Sequence[int]) -> float:
    """What one Hessian-vector product adds to a step, in gradients: a count of matrix products.

    A layer with weights of n numbers takes 3 products of 2·batch·n operations for its gradient (forward,
    weights, inputs) and 6 more for the Hessian-vector product from the same graph; the first layer needs no
    gradient of its inputs: 2 and 2. The paper's §3 and §6 say "about two".

    Args:
        sizes: units of the autoencoder, from the input to the code.
    """
    weights = 2 * sum(fan_in * fan_out for fan_in, fan_out in pairwise(sizes))
    first = sizes[0] * sizes[1]
    return (6 * weights - 4 * first) / (3 * weights - first)
