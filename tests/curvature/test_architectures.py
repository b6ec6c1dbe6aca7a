"""A small convolutional net and a small transformer: products, diagonals and spectra against their dense Hessians.

The dense Hessian is that of differences of gradients: ``torch.func.hessian`` (torch 2.13) is several percent off in
the rows of a LayerNorm's weights, and not symmetric there.
"""

from __future__ import annotations

import math

import pytest
import torch
from curvature_cases import relative
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from esgd.estimators import cross_diag_squared, diag_abs, diagonals
from esgd.operator import GaussNewtonOperator, HessianOperator
from esgd.spectrum import exact_negative_count, extreme_eigenpairs, spectral_density


class Transformer(nn.Module):
    """One block with causal attention, LayerNorm and embeddings."""

    def __init__(self, words=5, width=4, length=4):
        super().__init__()
        self.embedding = nn.Embedding(words, width)
        self.position = nn.Parameter(0.1 * torch.randn(length, width))
        self.block = nn.TransformerEncoderLayer(width, 2, 4, dropout=0.1, batch_first=True, norm_first=True)
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, words)
        self.register_buffer("mask", torch.triu(torch.full((length, length), -math.inf), 1))

    def forward(self, tokens):
        return self.head(self.norm(self.block(self.embedding(tokens) + self.position, src_mask=self.mask)))


def convolutional():
    x, y = torch.rand(40, 1, 6, 6), torch.randint(0, 3, (40,))
    net = nn.Sequential(
        nn.Conv2d(1, 3, 3, padding=1),
        nn.GELU(),
        nn.MaxPool2d(2),
        nn.Conv2d(3, 4, 2),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(16, 3),
    )
    return net, x, y


def transformer():
    tokens = torch.randint(0, 5, (20, 4))
    return Transformer(), tokens, tokens.roll(-1, 1)


class Case:
    def __init__(self, make):
        before = torch.get_default_dtype()
        torch.set_default_dtype(torch.float64)
        torch.manual_seed(0)
        self.net, self.x, self.y = make()
        adam = torch.optim.Adam(self.net.parameters(), lr=1e-2)
        for _ in range(30):
            adam.zero_grad()
            self.loss((self.x, self.y)).backward()
            adam.step()
        torch.set_default_dtype(before)
        self.net.eval()
        self.batches = list(zip(self.x.split(7), self.y.split(7), strict=True))  # the last is smaller
        self.operator = HessianOperator(self.loss, self.net, self.batches)
        self.H = self.differences()

    def loss(self, batch):
        return self.of_outputs(self.net(batch[0]), batch)

    @staticmethod
    def of_outputs(outputs, batch):
        return nn.functional.cross_entropy(outputs.flatten(0, -2), batch[1].flatten())

    def differences(self, step=1e-5):
        """The dense Hessian from central differences of the gradient of all examples."""
        params = list(self.net.parameters())
        here = self.operator.space.flatten(params)

        def gradient(point):
            with torch.no_grad():
                for p, x in zip(params, self.operator.space.unflatten(point), strict=True):
                    p.copy_(x)
            return self.operator.space.flatten(torch.autograd.grad(self.loss((self.x, self.y)), params))

        rows = [
            gradient(here + step * e) - gradient(here - step * e) for e in torch.eye(len(here), dtype=torch.float64)
        ]
        gradient(here)
        dense = torch.stack(rows) / (2 * step)
        return (dense + dense.T) / 2


@pytest.fixture(scope="module", params=[convolutional, transformer], ids=["convolutional", "transformer"])
def case(request):
    with sdpa_kernel(SDPBackend.MATH):
        yield Case(request.param)


def test_products(case):
    assert relative(case.operator.to_dense(), case.H) < 1e-7
    assert list(case.operator.space.named(torch.zeros(len(case.H)))) == [n for n, _ in case.net.named_parameters()]


def test_the_ends_of_the_spectrum(case):
    values, vectors = torch.linalg.eigh(case.H)
    found = extreme_eigenpairs(case.operator, 2, tol=1e-7)
    assert found.converged
    expected = values[[-1, -2, 1, 0]]
    assert torch.allclose(found.values, expected, atol=1e-5 * values.abs().max().item())
    for mine, true in ((found.vectors[0], vectors[:, -1]), (found.vectors[-1], vectors[:, 0])):
        assert abs(torch.dot(mine, true)) > 0.999


def test_diagonals_within_their_error_bars(case):
    found = diagonals(case.operator, 200)
    squared = case.H.square()
    for estimate, truth in ((found.diag, case.H.diagonal()), (found.diag_squared, squared.sum(1))):
        live = estimate.stderr > 1e-9 * truth.abs().max()
        score = ((estimate.value - truth) / estimate.stderr)[live]
        assert score.square().mean().sqrt() < 1.6  # one probe moves all entries together
        assert (score.abs() < 3).double().mean() > 0.95
    d2 = (case.H.diagonal().square().sum() / squared.sum()).item()
    assert abs(found.dominance_squared.value - d2) < 4 * found.dominance_squared.stderr
    assert abs(found.frobenius_squared.value - squared.sum().item()) < 4 * found.frobenius_squared.stderr
    crossed = cross_diag_squared(case.operator, 60)
    assert relative(crossed.value, squared.sum(1)) < 4 * crossed.relative_error


@pytest.mark.slow
def test_the_diagonal_of_the_absolute_value(case):
    values, vectors = torch.linalg.eigh(case.H)
    truth = ((vectors * values.abs()) @ vectors.T).diagonal()
    found = diag_abs(case.operator, 10, num_steps=40, probes_per_pass=10)
    assert relative(found.value, truth) < 4 * found.relative_error
    assert found.relative_truncation < 0.05


@pytest.mark.slow
def test_the_density(case):
    values = torch.linalg.eigvalsh(case.H)
    found = spectral_density(case.operator, 16, num_steps=30, probes_per_pass=16)
    for function in (torch.abs, torch.square, lambda x: x):
        estimate = found.trace(function)
        assert abs(estimate.value - function(values).sum().item()) < 4 * estimate.stderr
    level = 0.02 * values.abs().max().item()
    below = found.count_below(-level)
    assert abs(below.value - (values < -level).sum().item()) < 4 * below.stderr + 1
    zero = 1e-7 * values.abs().max()  # differences of gradients know no better
    assert 0 < found.certain_negative() <= (values < -zero).sum()
    assert (values < -zero).sum() <= exact_negative_count(case.operator) <= (values < zero).sum()


def test_gauss_newton_has_no_negative_curvature(case):
    operator = GaussNewtonOperator(lambda b: case.net(b[0]), case.of_outputs, case.net, case.batches)
    values = torch.linalg.eigvalsh(operator.to_dense())
    assert values.min() > -1e-10 * values.max()
    assert exact_negative_count(operator) == 0
    assert spectral_density(operator, 2, num_steps=20).certain_negative() == 0
