"""Low-rank probes: their law by exact enumeration, and the vectors."""

from __future__ import annotations

import itertools

import pytest
import torch

from esgd import low_rank as module
from esgd.low_rank import RANK, LowRank
from esgd.probe_streams import probe_generator, random_bits
from esgd.probes import draw, draw_lazily

N = 48  # a matrix of N × N has factors


# -- the law ---------------------------------------------------------------------------------------------------


def all_vectors(monkeypatch, n, m, rank):
    """Every value of V, of shape (2**bits, n * m), as the library puts it together."""
    found = []
    monkeypatch.setattr(module, "RANK", rank)
    monkeypatch.setattr(module, "_has_factors", lambda p: True)
    for bits in itertools.product((-1.0, 1.0), repeat=rank * (n + m)):
        flat = torch.tensor(bits, dtype=torch.float64)
        monkeypatch.setattr(module, "_signs", lambda *args, flat=flat: args[-1] * flat)
        (v,) = LowRank([torch.empty(n, m, dtype=torch.float64)], 0, 0)
        found.append(v.flatten())
    return torch.stack(found)


def excess(h):
    """κ of the module's docstring."""
    rows, columns = h.square().sum(1), h.square().sum(0)
    square = (h.T @ h).square().sum()
    return 6 * (square - rows.square().sum() - columns.square().sum()) + 4 * h.pow(4).sum()


@pytest.mark.claim("LOWRANK")
@pytest.mark.parametrize(("n", "m", "rank"), [(3, 2, 1), (2, 3, 2), (2, 1, 4)])
def test_every_pair_of_entries_is_uncorrelated(monkeypatch, n, m, rank):
    v = all_vectors(monkeypatch, n, m, rank)
    assert v.mean(0).abs().max() < 1e-12
    assert torch.allclose(v.T @ v / len(v), torch.eye(n * m, dtype=torch.float64), rtol=0, atol=1e-12)


@pytest.mark.claim("LOWRANK")
@pytest.mark.parametrize(("n", "m", "rank"), [(3, 2, 1), (2, 3, 2), (2, 2, 3)])
def test_the_variance_is_the_one_of_the_docstring(monkeypatch, n, m, rank):
    v = all_vectors(monkeypatch, n, m, rank)
    h = torch.randn(n, m, dtype=torch.float64, generator=torch.Generator().manual_seed(n))
    squares = (v @ h.flatten()).square()
    norm = h.square().sum()
    assert squares.mean().item() == pytest.approx(norm.item(), rel=1e-12)
    expected = 2 * norm**2 + excess(h) / rank
    assert squares.var(unbiased=False).item() == pytest.approx(expected.item(), rel=1e-10)


@pytest.mark.claim("LOWRANK")
def test_the_excess_is_bounded_and_the_bound_is_met_only_at_rank_one():
    generator = torch.Generator().manual_seed(0)
    for n, m in itertools.product((1, 2, 5, 60), repeat=2):
        h = torch.randn(n, m, dtype=torch.float64, generator=generator)
        assert excess(h) <= 6 * h.square().sum() ** 2
    a, b = torch.randn(2, 400, dtype=torch.float64, generator=generator)
    one = torch.outer(a, b)
    assert excess(one) > 5.8 * one.square().sum() ** 2
    full = torch.linalg.qr(torch.randn(400, 400, dtype=torch.float64, generator=generator))[0]
    assert excess(full) < 0.1 * full.square().sum() ** 2


# -- the vector ------------------------------------------------------------------------------------------------


def test_the_sequence_and_the_list_are_one_vector():
    params = [torch.empty(N, N), torch.empty(N), torch.empty(3, N), torch.empty(2, N, N), torch.empty(())]
    lazy, dense = draw_lazily("low_rank", params, 3, 5), draw("low_rank", params, 3, 5)
    assert isinstance(lazy, LowRank)
    assert len(lazy) == len(params)
    assert all(torch.equal(a, b) for a, b in zip(lazy, dense, strict=True))
    assert torch.equal(lazy[-2], dense[3])
    assert len(lazy[1:3]) == 2
    assert [lazy.factors(i) is not None for i in range(5)] == [True, False, False, False, False]
    left, right = lazy.factors(0)
    assert left.shape == right.shape == (N, RANK)
    assert (left.abs() == RANK**-0.25).all()
    assert (right.abs() == RANK**-0.25).all()
    assert torch.linalg.matrix_rank(dense[0]) == RANK
    for v in (dense[1], dense[2], dense[3]):
        assert (v.abs() == 1).all()


@pytest.mark.parametrize("size", [1.0, 0.5])
def test_signs_from_the_table_are_the_bits(size):
    n = 1000
    found = module._signs(n, probe_generator(3, 4), size)
    words = random_bits(n, probe_generator(3, 4)).tolist()
    bits = [word >> place & 1 for word in words for place in range(32)][:n]
    assert found.dtype == torch.float32
    assert found.tolist() == [-size if bit else size for bit in bits]


def test_the_vector_depends_on_seed_and_index_alone():
    params = [torch.empty(N, N), torch.empty(7)]
    first = draw("low_rank", params, 0, 0)
    assert all(torch.equal(a, b) for a, b in zip(first, draw("low_rank", params, 0, 0), strict=True))
    for other in (draw("low_rank", params, 0, 1), draw("low_rank", params, 1, 0)):
        assert not torch.equal(first[0], other[0])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_the_factors_are_exact_in_every_dtype(dtype):
    v = draw_lazily("low_rank", [torch.empty(N, N, dtype=dtype)], 0, 0)
    assert v[0].dtype == dtype
    assert torch.equal(v[0].double(), draw("low_rank", [torch.empty(N, N)], 0, 0)[0].double())
