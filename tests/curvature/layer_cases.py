"""Nets whose matrices enter through linear layers, for products along low-rank probes."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.functional import scaled_dot_product_attention, softplus
from torch.utils.checkpoint import checkpoint

N = 48  # a matrix of N × N has factors


class Tied(nn.Module):
    """One matrix as encoder and as decoder."""

    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.randn(N, N) / 7)

    def forward(self, x):
        return torch.tanh(x @ self.w.T) @ self.w


class Recurrent(nn.Module):
    """One matrix at every time step, and one that gets the same input as another."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.c = nn.Linear(N, N), nn.Linear(N, N, bias=False), nn.Linear(N, N)

    def forward(self, x):
        h = x
        for _ in range(3):
            h = torch.tanh(self.a(h) + self.b(x)) * torch.sigmoid(self.c(x))
        return h


class Attention(nn.Module):
    """Linear layers of three-dimensional inputs, with and without bias."""

    def __init__(self):
        super().__init__()
        self.q, self.k, self.v = (nn.Linear(N, N, bias=bias) for bias in (True, False, True))

    def forward(self, x):
        x = x.view(4, -1, N)
        with nn.attention.sdpa_kernel(nn.attention.SDPBackend.MATH):
            return scaled_dot_product_attention(self.q(x), self.k(x), self.v(x))


class Checkpointed(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(N, N), nn.Tanh(), nn.Linear(N, N))

    def forward(self, x):
        return checkpoint(self.net, x, use_reentrant=False)


def sequential(*layers):
    return lambda: nn.Sequential(*(layer() for layer in layers))


def linear(n=N, m=N, **kwargs):
    return lambda: nn.Linear(n, m, **kwargs)


NETS = {
    "perceptron": (sequential(linear(), nn.Tanh, linear(), nn.Softplus, linear(N, 3)), 2),
    "no bias": (sequential(linear(bias=False), nn.Tanh, linear(bias=False)), 2),
    "in place": (sequential(linear(), lambda: nn.SiLU(inplace=True), linear()), 2),
    "tied": (Tied, 1),
    "recurrent": (Recurrent, 3),
    "attention": (Attention, 3),
    "checkpoint": (Checkpointed, 2),
    "batch norm": (sequential(linear(), lambda: nn.BatchNorm1d(N), nn.Tanh, linear()), 2),
    "convolution": (
        sequential(
            linear(),
            lambda: nn.Unflatten(1, (3, 4, 4)),
            lambda: nn.Conv2d(3, 3, 3, padding=1),
            nn.Tanh,
            nn.Flatten,
            linear(),
        ),
        2,
    ),
}


def problem(name, dtype=torch.float64):
    torch.manual_seed(1)
    net = NETS[name][0]().to(dtype)
    x = torch.randn(20, N, dtype=dtype)
    return list(net.parameters()), lambda: softplus(net(x)).mean() + net(x).square().mean()


def agree(found, expected, rtol):
    for i, (a, b) in enumerate(zip(found, expected, strict=True)):
        scale = max(b.abs().max().item(), 1e-3)
        assert torch.allclose(a, b, rtol=rtol, atol=rtol * scale), f"parameter {i}: {(a - b).abs().max():.3g}"
