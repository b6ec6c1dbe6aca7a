"""The laws behind the estimators, by enumeration: every probe vector, every minibatch, no chance involved."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from curvature_cases import hermite_table, quadratic, rademacher_table, relative, symmetric, table_draw

from esgd import cross_batch, probing
from esgd.estimators import cross_diag_squared, diag, diag_squared, diagonals, frobenius_squared, root_bias

N = 4
H = symmetric(N, 7)
ROW = (H**2).sum(1)  # ‖h‖², which is diag H²
DIAGONAL = H.diagonal()
TABLES = {"rademacher": rademacher_table(N), "gaussian": hermite_table(N)}


@pytest.fixture(params=sorted(TABLES))
def table(request, monkeypatch):
    """The estimators, fed with every vector of one kind once."""
    monkeypatch.setattr(probing, "draw", table_draw(TABLES[request.param]))
    return request.param, len(TABLES[request.param])


def population_variance(estimate, k):
    """The variance of one probe, from the standard error over all k of them."""
    return estimate.stderr**2 * (k - 1)


@pytest.mark.claim("E1")
def test_the_mean_of_hv_squared_is_the_diagonal_of_h_squared(table):
    _, k = table
    estimate = diag_squared(quadratic(H), k)
    assert estimate.num_probes == k
    assert relative(estimate.value, (H @ H).diagonal()) < 1e-10


@pytest.mark.claim("E5")
def test_the_mean_of_v_times_hv_is_the_diagonal_of_h(table):
    _, k = table
    assert relative(diag(quadratic(H), k).value, DIAGONAL) < 1e-10


@pytest.mark.claim("E1", "E5")
def test_a_whitened_law_that_is_neither_normal_nor_of_signs_serves_as_well(monkeypatch):
    # uniform on the 2N vectors ±√N e_i: E v vᵀ = I, and the entries are not even independent
    vectors = [s * math.sqrt(N) * e for e in torch.eye(N, dtype=torch.float64) for s in (1, -1)]
    monkeypatch.setattr(probing, "draw", table_draw(vectors))
    found = diagonals(quadratic(H), len(vectors))
    assert relative(found.diag_squared.value, ROW) < 1e-12
    assert relative(found.diag.value, DIAGONAL) < 1e-12


@pytest.mark.claim("E1")
def test_the_mean_of_the_squared_norm_is_the_squared_frobenius_norm(table):
    _, k = table
    assert frobenius_squared(quadratic(H), k).value == pytest.approx((H**2).sum().item(), rel=1e-12)


@pytest.mark.claim("VAR")
def test_variances_of_one_probe(table):
    kind, k = table
    found = diagonals(quadratic(H), k)
    fourth = (H**4).sum(1)
    square = 2 * ROW**2 if kind == "gaussian" else 2 * (ROW**2 - fourth)
    single = ROW + DIAGONAL**2 if kind == "gaussian" else ROW - DIAGONAL**2
    assert relative(population_variance(found.diag_squared, k), square) < 1e-10
    assert relative(population_variance(found.diag, k), single) < 1e-10


@pytest.mark.claim("VAR")
@pytest.mark.parametrize("n", [2, 3, 6])
def test_variances_on_the_sphere(n):
    # the fourth moment of v uniform on the sphere of radius √n: E v_i v_j v_k v_l = n/(n+2) (three pairings)
    h = symmetric(n, 3)
    row, own = (h**2).sum(1), h.diagonal()
    factor = n / (n + 2)
    eye = torch.eye(n, dtype=torch.float64)
    fourth = factor * (
        torch.einsum("ij,kl->ijkl", eye, eye)
        + torch.einsum("ik,jl->ijkl", eye, eye)
        + torch.einsum("il,jk->ijkl", eye, eye)
    )
    of_square = torch.einsum("ra,rb,rc,rd,abcd->r", h, h, h, h, fourth) - row**2
    assert relative(of_square, 2 * (n - 1) / (n + 2) * row**2) < 1e-12
    # v_r h_a v_a v_r h_b v_b
    of_product = torch.einsum("ra,rb,rarb->r", h, h, torch.einsum("rasb->rasb", fourth)) - own**2
    assert relative(of_product, n / (n + 2) * row + (n - 2) / (n + 2) * own**2) < 1e-12


@pytest.mark.claim("VAR")
def test_rademacher_never_varies_more_than_gaussian():
    for seed in range(50):
        h = symmetric(6, seed)
        row = (h**2).sum(1)
        assert (row**2 - (h**4).sum(1) <= row**2).all()
        assert (row - h.diagonal() ** 2 <= row + h.diagonal() ** 2).all()


@pytest.mark.claim("E5")
def test_one_rademacher_probe_has_three_faces(monkeypatch):
    table = rademacher_table(N)
    monkeypatch.setattr(probing, "draw", table_draw(table))
    z = torch.stack([v * (H @ v) for v in table])
    assert relative(z.mean(0), DIAGONAL) < 1e-12
    assert relative(z.square().mean(0).sqrt(), (H @ H).diagonal().sqrt()) < 1e-12
    assert relative(z.var(0, correction=0), ROW - DIAGONAL**2) < 1e-12
    found = diagonals(quadratic(H), len(table))
    assert relative(found.diag.value, z.mean(0)) < 1e-12
    assert relative(found.diag_squared.sqrt().value, z.square().mean(0).sqrt()) < 1e-12


class TestRootBias:
    """E √(D²_k) = c_k ‖h‖."""

    @pytest.mark.claim("E1b")
    @pytest.mark.parametrize(("k", "expected"), [(1, 0.798), (100, 0.9975)])
    def test_the_constant(self, k, expected):
        assert root_bias(k) == pytest.approx(expected, abs=5e-5 if k > 1 else 5e-4)
        assert root_bias(1) == pytest.approx(math.sqrt(2 / math.pi), rel=1e-14)
        assert root_bias(2) == pytest.approx(math.sqrt(math.pi) / 2, rel=1e-14)

    @pytest.mark.claim("E1b")
    @pytest.mark.parametrize("k", [1, 2, 3, 10, 100])
    def test_against_the_integral_and_against_probes(self, k):
        from scipy import integrate, stats

        integral = integrate.quad(lambda x: x * stats.chi.pdf(x, k), 0, math.inf)[0] / math.sqrt(k)
        assert root_bias(k) == pytest.approx(integral, rel=1e-8)
        row = H[0]
        draws = torch.randn(20_000, k, N, dtype=torch.float64, generator=torch.Generator().manual_seed(k))
        roots = (draws @ row).square().mean(1).sqrt() / row.norm()
        assert abs(roots.mean() - root_bias(k)) < 5 * roots.std() / math.sqrt(len(roots))

    @pytest.mark.claim("E1b")
    def test_the_inverse_root_of_one_gaussian_probe_has_no_mean(self):
        from scipy import integrate, stats

        # E[1/|x|; |x| > ε] grows by √(2/π) ln 10 with every decade of ε, for ever
        tails = [integrate.quad(lambda x: 2 * stats.norm.pdf(x) / x, e, 1)[0] for e in (1e-3, 1e-4, 1e-5, 1e-6)]
        steps = [b - a for a, b in itertools.pairwise(tails)]
        assert steps == pytest.approx([math.sqrt(2 / math.pi) * math.log(10)] * 3, rel=1e-4)

    @pytest.mark.claim("E1b")
    def test_the_inverse_square_has_a_mean_from_three_probes_on(self):
        from scipy import integrate, stats

        for k in (3, 4, 10):
            mean = integrate.quad(lambda x, k=k: k / x * stats.chi2.pdf(x, k), 0, math.inf)[0]
            assert mean == pytest.approx(k / (k - 2), rel=1e-6)
        low = [integrate.quad(lambda x: 2 / x * stats.chi2.pdf(x, 2), e, 1)[0] for e in (1e-2, 1e-4, 1e-6)]
        assert low[2] - low[1] == pytest.approx(low[1] - low[0], rel=1e-2)  # k = 2: it grows for ever

    @pytest.mark.claim("E1b")
    def test_one_rademacher_probe_falls_short_by_a_factor_that_differs_by_row(self):
        table = torch.stack(rademacher_table(6))

        def factor(row):
            return ((table @ row).abs().mean() / row.norm()).item()

        e1, pair = torch.zeros(6, dtype=torch.float64), torch.zeros(6, dtype=torch.float64)
        e1[0] = pair[0] = pair[1] = 1
        assert factor(e1) == pytest.approx(1)
        assert factor(pair) == pytest.approx(1 / math.sqrt(2))
        others = [factor(row) for seed in range(30) for row in symmetric(6, seed)]
        assert min(others) >= 1 / math.sqrt(2) - 1e-12  # Khintchine, with Szarek's constant
        assert max(others) <= 1
        assert max(others) - min(others) > 0.05


EXAMPLES = torch.stack([symmetric(N, 20 + i) for i in range(6)])  # the Hessians of six examples
FULL = EXAMPLES.mean(0)
S2 = EXAMPLES.var(0, correction=1).sum(1)  # Σ_j of the sample variances with n − 1, row by row


def batch_mean(indices):
    return EXAMPLES[list(indices)].mean(0)


@pytest.mark.claim("MB")
@pytest.mark.parametrize("size", [1, 2, 3, 5, 6])
def test_a_minibatch_s_square_is_too_large_by_its_variance(size, monkeypatch):
    monkeypatch.setattr(probing, "draw", table_draw(rademacher_table(N)))
    batches = [batch_mean(c) for c in itertools.combinations(range(6), size)]
    mean = torch.stack([diag_squared(quadratic(b), 2**N).value for b in batches]).mean(0)
    excess = (1 / size) * (1 - size / 6) * S2
    assert relative(mean, (FULL**2).sum(1) + excess) < 1e-10
    if size < 6:
        assert (excess > 0).all()


@pytest.mark.claim("MBx")
@pytest.mark.parametrize("size", [1, 2, 3])
def test_products_of_two_independent_minibatches_have_no_bias(size):
    batches = [batch_mean(c) for c in itertools.combinations(range(6), size)]
    table = torch.stack(rademacher_table(N))
    products = torch.stack([table @ b for b in batches])  # (batches, probes, N)
    pairs = torch.einsum("bpn,cpn->n", products, products) / (len(batches) ** 2 * len(table))
    assert relative(pairs, (FULL**2).sum(1)) < 1e-10


@pytest.mark.claim("MBx")
@pytest.mark.parametrize("size", [1, 2, 3])
def test_disjoint_minibatches_leave_minus_s_squared_over_n(size):
    table = torch.stack(rademacher_table(N))
    total, count = torch.zeros(N, dtype=torch.float64), 0
    for first in itertools.combinations(range(6), size):
        rest = [i for i in range(6) if i not in first]
        for second in itertools.combinations(rest, size):
            total += ((table @ batch_mean(first)) * (table @ batch_mean(second))).mean(0)
            count += 1
    assert relative(total / count, (FULL**2).sum(1) - S2 / 6) < 1e-10


@pytest.mark.claim("MBx")
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_the_estimator_over_all_pairs_and_probes(reduction, monkeypatch):
    """cross_diag_squared itself, fed with every ordered pair of batches and every vector of signs."""
    batches, table = [batch_mean((0, 1)), batch_mean((2, 3)), batch_mean((4, 5))], rademacher_table(N)
    pairs = iter([[b, c] for b in range(3) for c in range(3)])
    monkeypatch.setattr(cross_batch.torch, "multinomial", lambda *a, **k: torch.tensor(next(pairs)))
    monkeypatch.setattr(cross_batch, "draw", lambda kind, params, seed, i: table_draw(table)(0, params, 0, i % 16))
    operator = quadratic(*batches, reduction=reduction)
    estimate = cross_diag_squared(operator, 9 * 16, probes_per_pair=16)
    assert estimate.num_probes == 144
    whole = FULL if reduction == "mean" else 3 * FULL
    assert relative(estimate.value, (whole**2).sum(1)) < 1e-10


@pytest.mark.claim("MBx")
def test_how_often_a_cross_product_is_negative():
    # x = h_bᵀv and y = h_cᵀv are jointly normal: P(xy < 0) = arccos(c/√(ab))/π, c = h_b·h_c, a = ‖h_b‖², b = ‖h_c‖²
    g = torch.Generator().manual_seed(0)
    for seed in range(4):
        h, other = symmetric(8, seed)[0], symmetric(8, seed)[0] + 0.7 * symmetric(8, 50 + seed)[0]
        expected = math.acos(h @ other / (h.norm() * other.norm())) / math.pi
        v = torch.randn(40_000, 8, dtype=torch.float64, generator=g)
        share = ((v @ h) * (v @ other) < 0).double().mean().item()
        assert abs(share - expected) < 5 * math.sqrt(expected * (1 - expected) / 40_000)


@pytest.mark.claim("MBx")
def test_averages_of_several_products_tame_the_sign():
    h, other = symmetric(8, 1)[0], symmetric(8, 1)[0] + 0.7 * symmetric(8, 51)[0]
    v = torch.randn(4000, 100, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    products = (v @ h) * (v @ other)
    shares = [(products[:, :k].mean(1) < 0).double().mean().item() for k in (1, 10, 100)]
    assert shares[0] > 0.1
    assert shares[1] < shares[0] / 3
    assert shares[2] == 0
