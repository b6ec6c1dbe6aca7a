"""The deep autoencoders of the paper's §7 and their sparse initialisation.

Sizes follow Martens (2010) and Hinton and Salakhutdinov (2006): 784-1000-500-250-30 for MNIST and
784-400-200-100-50-25-6 for CURVES, mirrored. Hidden units are sigmoids, the code layer is linear, and the
output is a sigmoid whose cross-entropy is summed over pixels and averaged over examples.

The paper speaks of "on the order of a million parameters"; the nets have 2,837,314 and 842,340.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from esgd.errors import ConfigError
from esgd.seeding import named_generator

__all__ = [
    "CURVES_SIZES",
    "MNIST_SIZES",
    "Autoencoder",
    "count_parameters",
    "curves_autoencoder",
    "mnist_autoencoder",
    "reconstruction_loss",
    "sparse_init_",
    "squared_error",
]

MNIST_SIZES = (784, 1000, 500, 250, 30)
CURVES_SIZES = (784, 400, 200, 100, 50, 25, 6)
INCOMING = 15


class Autoencoder(nn.Module):
    """A mirrored deep autoencoder with a linear code.

    Args:
        sizes: units from the input to the code, e.g. ``(784, 1000, 500, 250, 30)``; the decoder mirrors them.
        seed: seed of the sparse initialisation; the weights depend on it only, not on the device.
        generator: draw the initialisation from this CPU generator instead of from ``seed``.

    Raises:
        ConfigError: fewer than two sizes, or a size below 1.

    ``forward`` takes images of shape ``(..., sizes[0])`` in [0, 1] and returns *logits* of the same shape.

    Example:
        >>> net = Autoencoder((784, 100, 10), seed=0)
        >>> net(torch.zeros(5, 784)).shape
        torch.Size([5, 784])
    """

    def __init__(self, sizes: Sequence[int], *, seed: int = 0, generator: torch.Generator | None = None):
        super().__init__()
        sizes = tuple(int(size) for size in sizes)
        if len(sizes) < 2 or min(sizes) < 1:
            raise ConfigError(f"an autoencoder needs at least two sizes of at least 1 unit each, got {sizes}")
        self.sizes = sizes
        self.encoder = _stack(sizes)
        self.decoder = _stack(sizes[::-1])
        generator = named_generator("init", seed) if generator is None else generator
        for layer in self.linear_layers():
            sparse_init_(layer.weight, generator=generator)
            nn.init.zeros_(layer.bias)

    def linear_layers(self) -> list[nn.Linear]:
        """The fully connected layers, from the input to the output."""
        return [m for m in (*self.encoder, *self.decoder) if isinstance(m, nn.Linear)]

    def encode(self, images: Tensor) -> Tensor:
        """The code of each image, shape ``(..., sizes[-1])``."""
        return self.encoder(images)

    def decode(self, code: Tensor) -> Tensor:
        """Logits of the images that the codes stand for, shape ``(..., sizes[0])``."""
        return self.decoder(code)

    def forward(self, images: Tensor) -> Tensor:
        """Logits of the reconstruction, of the images' shape."""
        return self.decode(self.encode(images))

    @torch.no_grad()
    def reconstruct(self, images: Tensor) -> Tensor:
        """The reconstruction itself, in (0, 1), of the images' shape, without a graph."""
        return torch.sigmoid(self(images))


def _stack(sizes: Sequence[int]) -> nn.Sequential:
    """Fully connected layers with sigmoids between them and none after the last."""
    layers: list[nn.Module] = []
    for fan_in, fan_out in pairwise(sizes):
        # skip_init: the sparse initialisation follows, torch's own would draw from the global generator
        layers += [nn.utils.skip_init(nn.Linear, fan_in, fan_out), nn.Sigmoid()]
    return nn.Sequential(*layers[:-1])


@torch.no_grad()
def sparse_init_(weight: Tensor, *, generator: torch.Generator, incoming: int = INCOMING) -> Tensor:
    """Sparse initialisation in place: each unit gets a few N(0, 1) incoming weights, the others are zero.

    Martens (2010), §5, quoted in the paper's §7. A layer with fewer inputs than ``incoming`` (the one that
    follows the CURVES code has 6) uses all of them.

    Args:
        weight: shape ``(out, in)``, changed in place.
        generator: a CPU generator.
        incoming: incoming weights a unit.
    """
    fan_out, fan_in = weight.shape
    chosen = min(incoming, fan_in)
    # the `chosen` largest of fan_in uniform numbers are a random subset without replacement
    index = torch.rand(fan_out, fan_in, generator=generator).topk(chosen, dim=1).indices  # (out, chosen)
    values = torch.randn(fan_out, chosen, generator=generator)
    sparse = torch.zeros(fan_out, fan_in).scatter_(1, index, values)
    return weight.copy_(sparse)


def mnist_autoencoder(seed: int = 0) -> Autoencoder:
    """The MNIST autoencoder, 784-1000-500-250-30 mirrored, 2,837,314 parameters."""
    return Autoencoder(MNIST_SIZES, seed=seed)


def curves_autoencoder(seed: int = 0) -> Autoencoder:
    """The CURVES autoencoder, 784-400-200-100-50-25-6 mirrored, 842,340 parameters."""
    return Autoencoder(CURVES_SIZES, seed=seed)


def reconstruction_loss(logits: Tensor, images: Tensor) -> Tensor:
    """Cross-entropy in nats, summed over pixels and averaged over examples: a scalar.

    Args:
        logits: what the net returns, shape ``(batch, pixels)``.
        images: the input, in [0, 1], of the same shape.
    """
    total = nn.functional.binary_cross_entropy_with_logits(logits, images, reduction="sum")
    return total / images.shape[0]


def squared_error(logits: Tensor, images: Tensor) -> Tensor:
    """Squared error Σ(x − x̂)², summed over pixels and averaged over examples: the literature's figure."""
    return (torch.sigmoid(logits) - images).square().sum() / images.shape[0]


def count_parameters(net: nn.Module) -> int:
    """The number of trainable parameters."""
    return sum(p.numel() for p in net.parameters() if p.requires_grad)
