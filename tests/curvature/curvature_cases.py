"""Small problems whose curvature is known from an independent channel."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn
from torch.func import functional_call, hessian, jacrev

from esgd.hvp import GaussNewtonOperator, HessianOperator

# 3-point Gauss–Hermite for N(0, 1), exact up to degree 5: nodes with their weights times six
HERMITE = ((-(3**0.5), 1), (0.0, 4), (3**0.5, 1))


def symmetric(n: int, seed: int = 0, *, dtype=torch.float64) -> Tensor:
    """A symmetric matrix of N(0, 1) numbers, indefinite."""
    a = torch.randn(n, n, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return ((a + a.T) / 2).to(dtype)


def quadratic(*matrices: Tensor, sizes: tuple[int, ...] | None = None, reduction: str = "mean") -> HessianOperator:
    """The operator of ½ θᵀ H_b θ, a batch a matrix, at a point that is not zero; two parameters of odd shapes."""
    n = len(matrices[0])
    theta = torch.linspace(-1, 1, n, dtype=matrices[0].dtype)
    head = max(1, n // 3)
    params = [theta[:head].clone().requires_grad_(), theta[head:].clone().view(1, -1).requires_grad_()]
    if n == 1:
        params = params[:1]
    sizes = sizes or (1,) * len(matrices)

    def loss(batch):
        point = torch.cat([p.reshape(-1) for p in params])
        return 0.5 * point @ batch[0] @ point

    return HessianOperator(
        loss, params, list(zip(matrices, sizes, strict=True)), reduction=reduction, size=lambda batch: batch[1]
    )


def rademacher_table(n: int) -> list[Tensor]:
    """All 2^n vectors of signs."""
    return [torch.tensor(v, dtype=torch.float64) for v in itertools.product((-1.0, 1.0), repeat=n)]


def hermite_table(n: int) -> list[Tensor]:
    """All points of the 3-point rule in n dimensions, repeated by their weights: 6^n vectors."""
    points = [node for node, weight in HERMITE for _ in range(weight)]
    return [torch.tensor(v, dtype=torch.float64) for v in itertools.product(points, repeat=n)]


def table_draw(table: list[Tensor]):
    """A stand-in for ``esgd.probes.draw_factored`` that hands out the table, probe by probe."""

    def draw(kind, params, seed, index):
        return [
            x.view(p.shape) for x, p in zip(table[index].split([p.numel() for p in params]), params, strict=True)
        ]

    return draw


class Net:
    """A tiny autoencoder with sigmoids in float64, with its dense Hessian and Gauss–Newton by torch.func."""

    def __init__(
        self, sizes=(6, 5, 2, 5, 6), examples: int = 23, batch: int = 5, dtype=torch.float64, seed: int = 0
    ):
        torch.manual_seed(seed)
        layers = []
        for a, b in itertools.pairwise(sizes):
            layers += [nn.Linear(a, b), nn.Sigmoid()]
        self.net = nn.Sequential(*layers[:-1]).to(dtype)
        self.images = torch.rand(examples, sizes[0], dtype=dtype)
        self.batches = list(self.images.split(batch))

    def loss(self, images: Tensor) -> Tensor:
        return self.of_outputs(self.net(images), images)

    @staticmethod
    def of_outputs(outputs: Tensor, images: Tensor) -> Tensor:
        total = nn.functional.binary_cross_entropy_with_logits(outputs, images, reduction="sum")
        return total / len(images)

    def operator(self, **options) -> HessianOperator:
        return HessianOperator(self.loss, self.net.named_parameters(), self.batches, **options)

    def gauss_newton(self, **options) -> GaussNewtonOperator:
        return GaussNewtonOperator(self.net, self.of_outputs, self.net.named_parameters(), self.batches, **options)

    def dense(self) -> Tensor:
        """The Hessian of the mean over all examples, by forward over reverse mode."""
        weights = {k: p.detach() for k, p in self.net.named_parameters()}
        blocks = hessian(lambda w: self.of_outputs(functional_call(self.net, w, (self.images,)), self.images))(
            weights
        )
        rows = [torch.cat([blocks[a][b].reshape(weights[a].numel(), -1) for b in weights], 1) for a in weights]
        return torch.cat(rows)

    def dense_gauss_newton(self) -> Tensor:
        """Σ_n J_nᵀ diag(p(1 − p)) J_n / examples, from the Jacobian."""
        weights = {k: p.detach() for k, p in self.net.named_parameters()}
        jacobian = jacrev(lambda w: functional_call(self.net, w, (self.images,)))(weights)
        flat = torch.cat([j.reshape(*self.images.shape, -1) for j in jacobian.values()], 2)  # (n, outputs, N)
        p = torch.sigmoid(self.net(self.images)).detach()
        return torch.einsum("noi,no,noj->ij", flat, p * (1 - p), flat) / len(self.images)


def relative(got: Tensor, expected: Tensor) -> float:
    """‖got − expected‖ / ‖expected‖."""
    return (torch.linalg.vector_norm(got - expected) / torch.linalg.vector_norm(expected)).item()
