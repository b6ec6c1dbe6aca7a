"""Small real models, each with a small real problem, for the tests that ask whether the optimizers train them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.checkpoint import checkpoint


@dataclass(frozen=True)
class Task:
    """A model, and its loss on a fixed batch."""

    net: nn.Module
    loss: Callable[[], Tensor]
    batch: tuple[Tensor, Tensor]


def classify(net: nn.Module, x: Tensor, y: Tensor) -> Task:
    return Task(net, lambda: F.cross_entropy(net(x), y), (x, y))


def images(count: int = 32, size: int = 8) -> tuple[Tensor, Tensor]:
    """Bright bars, lying or standing, at four places: eight classes, with noise."""
    generator = torch.Generator().manual_seed(1)
    y = torch.arange(count) % 8
    x = 0.3 * torch.randn(count, 1, size, size, generator=generator)
    for i, label in enumerate(y.tolist()):
        place = 2 * (label % 4)
        if label < 4:
            x[i, 0, place : place + 2] += 1
        else:
            x[i, 0, :, place : place + 2] += 1
    return x, y


def sequences(count: int = 24, length: int = 6, words: int = 5) -> tuple[Tensor, Tensor]:
    """Words whose class is that of the word most frequent among the first three."""
    generator = torch.Generator().manual_seed(2)
    x = torch.randint(words, (count, length), generator=generator)
    return x, x[:, :3].mode(1).values


class Residual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(channels)
        self.second = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        out = F.relu(self.norm1(self.first(x)))
        return F.relu(x + self.norm2(self.second(out)))


class Attention(nn.Module):
    """One block of a transformer; ``fused`` leaves the choice of the kernel to torch."""

    def __init__(self, width: int, heads: int, fused: bool) -> None:
        super().__init__()
        self.heads, self.fused = heads, fused
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (t.unflatten(-1, (self.heads, -1)).transpose(1, 2) for t in self.qkv(self.norm1(x)).chunk(3, -1))
        if self.fused:
            mixed = F.scaled_dot_product_attention(q, k, v)
        else:
            with sdpa_kernel(SDPBackend.MATH):
                mixed = F.scaled_dot_product_attention(q, k, v)
        x = x + self.out(mixed.transpose(1, 2).flatten(2))
        return x + self.mlp(self.norm2(x))


class Sequence(nn.Module):
    """Embed, transform by ``body``, read the first place."""

    def __init__(self, body: nn.Module, width: int = 8, words: int = 5, sparse: bool = False) -> None:
        super().__init__()
        self.embed = nn.Embedding(words, width, sparse=sparse)
        self.place = nn.Parameter(torch.randn(6, width) * 0.3)
        self.body, self.head = body, nn.Linear(width, words)

    def forward(self, x: Tensor) -> Tensor:
        out = self.body(self.embed(x) + self.place)
        out = out[0] if isinstance(out, tuple) else out
        return self.head(out.mean(1))


class Bag(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.bag, self.head = nn.EmbeddingBag(5, 8), nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.tanh(self.bag(x[:, :3])))


class Tied(nn.Module):
    """A denoiser whose decoder is the transpose of its encoder: one tensor used twice."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Linear(64, 6)

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(self.encoder(x)) @ self.encoder.weight


class Checkpointed(nn.Module):
    def __init__(self, net: nn.Sequential, use_reentrant: bool) -> None:
        super().__init__()
        self.net, self.use_reentrant = net, use_reentrant

    def forward(self, x: Tensor) -> Tensor:
        first, rest = self.net[:2], self.net[2:]
        return rest(checkpoint(first, x, use_reentrant=self.use_reentrant))


def mlp() -> nn.Sequential:
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.Tanh(), nn.Linear(16, 8))


def convnet() -> nn.Module:
    return nn.Sequential(
        *(nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten()),
        *(nn.Dropout(0.2), nn.Linear(128, 8)),
    )


def resnet() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1),
        Residual(8),
        Residual(8),
        nn.AdaptiveAvgPool2d(4),
        nn.Flatten(),
        nn.Linear(128, 8),
    )


def encoder_layer() -> nn.Module:
    return nn.TransformerEncoderLayer(8, 2, dim_feedforward=16, dropout=0.0, batch_first=True)


def build(name: str, dtype: torch.dtype = torch.float32) -> Task:
    """One of the models by name, seeded, on its problem."""
    torch.manual_seed(0)
    x, y = images()
    x = x.to(dtype)
    if name == "tied":
        net, flat = Tied().to(dtype), x.flatten(1)
        return Task(net, lambda: (net(flat) - flat).square().mean(), (flat, flat))
    pictures = {
        "mlp": mlp,
        "convnet": convnet,
        "resnet": resnet,
        "checkpointed": lambda: Checkpointed(mlp(), use_reentrant=False),
        "reentrant": lambda: Checkpointed(mlp(), use_reentrant=True),
        "compiled": lambda: torch.compile(mlp(), backend="aot_eager"),
    }
    if name in pictures:
        return classify(pictures[name]().to(dtype), x.requires_grad_(name == "reentrant"), y)
    bodies = {
        "lstm": lambda: Sequence(nn.LSTM(8, 8, batch_first=True)),
        "gru": lambda: Sequence(nn.GRU(8, 8, batch_first=True)),
        "math attention": lambda: Sequence(Attention(8, 2, fused=False)),
        "fused attention": lambda: Sequence(Attention(8, 2, fused=True)),
        "encoder layer": lambda: Sequence(encoder_layer()),
        "embedding bag": Bag,
        "sparse embedding": lambda: Sequence(nn.Identity(), sparse=True),
    }
    return classify(bodies[name]().to(dtype), *sequences())
