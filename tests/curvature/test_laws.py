"""The laws behind the estimators, by enumeration: every probe vector, every minibatch, no chance involved."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from curvature_cases import hermite_table, quadratic, rademacher_table, relative, symmetric, table_draw

from esgd import cross_batch, probing
from esgd.estimators import cross_diag_squared, diag, diag_squared, diagonals, frobenius_squared, root_bias
from esgd.probes import draw

N = 4
H = symmetric(N, 7)
ROW = (H**2).sum(1)  # ‖h‖², which is diag H²
DIAGONAL = H.diagonal()
TABLES = {"rademacher": rademacher_table(N), "gaussian": hermite_table(N)}


@pytest.fixture(params=sorted(TABLES))
def table(request, monkeypatch):
    """The estimators, fed with every vector of one kind once."""
    monkeypatch.setattr(probing, "draw_factored", table_draw(TABLES[request.param]))
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
    monkeypatch.setattr(probing, "draw_factored", table_draw(vectors))
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


def sphere_table(n):
    """Points of a sphere of radius √n whose moments up to the fifth are the sphere's: √n times a 5-design."""
    golden = (1 + math.sqrt(5)) / 2
    if n == 2:  # the hexagon
        points = [(math.cos(k * math.pi / 3), math.sin(k * math.pi / 3)) for k in range(6)]
    elif n == 3:  # the icosahedron
        corners = [(0, a, b * golden) for a in (1, -1) for b in (1, -1)]
        points = [tuple(p[(i + s) % 3] for i in range(3)) for p in corners for s in range(3)]
    else:  # the 24-cell
        signs = [-1, 1]
        points = [
            tuple(a if k == i else b if k == j else 0 for k in range(4))
            for i, j in itertools.combinations(range(4), 2)
            for a in signs
            for b in signs
        ]
    vectors = [torch.tensor(p, dtype=torch.float64) for p in points]
    return [math.sqrt(n) * x / x.norm() for x in vectors]


@pytest.mark.claim("VAR")
@pytest.mark.parametrize("n", [2, 3, 4])
def test_variances_on_the_sphere(n, monkeypatch):
    """The estimators, fed with a design that has the sphere's moments: probes of fixed length."""
    h, vectors = symmetric(n, 3), sphere_table(n)
    row, own, k = (h**2).sum(1), h.diagonal(), len(vectors)
    monkeypatch.setattr(probing, "draw_factored", table_draw(vectors))
    found = diagonals(quadratic(h), k)
    assert relative(found.diag_squared.value, row) < 1e-12
    assert relative(found.diag.value, own) < 1e-12
    assert relative(population_variance(found.diag_squared, k), 2 * (n - 1) / (n + 2) * row**2) < 1e-10
    of_product = n / (n + 2) * row + (n - 2) / (n + 2) * own**2
    assert relative(population_variance(found.diag, k), of_product) < 1e-10


@pytest.mark.claim("VAR")
@pytest.mark.parametrize("seed", range(8))
def test_rademacher_never_varies_more_than_gaussian(seed, monkeypatch):
    h, found = symmetric(3, seed), {}
    for kind, vectors in (("rademacher", rademacher_table(3)), ("gaussian", hermite_table(3))):
        monkeypatch.setattr(probing, "draw_factored", table_draw(vectors))
        both = diagonals(quadratic(h), len(vectors))
        found[kind] = [population_variance(e, len(vectors)) for e in (both.diag, both.diag_squared)]
    for signs, bells in zip(found["rademacher"], found["gaussian"], strict=True):
        assert (signs < bells).all()  # equal only for a row of zeros


@pytest.mark.claim("E5")
def test_one_rademacher_probe_has_three_faces(monkeypatch):
    table = rademacher_table(N)
    monkeypatch.setattr(probing, "draw_factored", table_draw(table))
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

    def rows(self, operator, count, probe="gaussian"):
        """Entries of H v over the row's norm, from the library's own probes, shape (count, N)."""
        row = operator.to_dense().norm(dim=1)
        pairs = probing.probe_products(operator, count, probe, 3, 1000)
        return torch.stack([h for some in pairs for _, h in some]) / row

    @pytest.mark.claim("E1b")
    def test_the_inverse_root_of_one_gaussian_probe_has_no_mean(self):
        # E[1/|x|; ε < |x| < 10 ε] is √(2/π) ln 10 for every small ε: one decade adds as much as another, for ever
        x = self.rows(quadratic(H), 20_000).abs().flatten()
        for epsilon in (1e-2, 1e-3):
            inside = torch.where((x > epsilon) & (x < 10 * epsilon), 1 / x, 0.0)
            error = inside.std() / math.sqrt(20_000)  # at worst all N rows of a probe go together
            assert abs(inside.mean() - math.sqrt(2 / math.pi) * math.log(10)) < 4 * error

    @pytest.mark.claim("E1b")
    @pytest.mark.parametrize("k", [5, 10])
    def test_the_inverse_square_has_a_mean_from_three_probes_on(self, k):
        squares = self.rows(quadratic(H), 20_000).square().view(-1, k, N).mean(1)
        inverse = 1 / squares
        error = inverse.std(0) / math.sqrt(len(inverse))
        assert ((inverse.mean(0) - k / (k - 2)).abs() < 4.5 * error).all()

    @pytest.mark.claim("E1b")
    def test_one_rademacher_probe_falls_short_by_a_factor_that_differs_by_row(self, monkeypatch):
        table = rademacher_table(6)
        monkeypatch.setattr(probing, "draw_factored", table_draw(table))

        def factors(h):
            return self.rows(quadratic(h), len(table), "rademacher").abs().mean(0)

        by_hand = torch.zeros(6, 6, dtype=torch.float64)
        by_hand[0, 0] = by_hand[1, 2] = by_hand[2, 1] = by_hand[3, 3] = by_hand[3, 4] = by_hand[4, 3] = 1
        by_hand[5, 5] = 2
        expected = [1, 1, 1, 1 / math.sqrt(2), 1, 1]  # rows with one entry, and one with two of a size
        assert factors(by_hand).tolist() == pytest.approx(expected)
        others = torch.cat([factors(symmetric(6, seed)) for seed in range(20)])
        assert others.min() >= 1 / math.sqrt(2) - 1e-12  # Khintchine, with Szarek's constant
        assert others.max() <= 1
        assert others.max() - others.min() > 0.05


EXAMPLES = torch.stack([symmetric(N, 20 + i) for i in range(6)])  # the Hessians of six examples
FULL = EXAMPLES.mean(0)
S2 = EXAMPLES.var(0, correction=1).sum(1)  # Σ_j of the sample variances with n − 1, row by row


def batch_mean(indices):
    return EXAMPLES[list(indices)].mean(0)


@pytest.mark.claim("MB")
@pytest.mark.parametrize("size", [1, 2, 3, 5, 6])
def test_a_minibatch_s_square_is_too_large_by_its_variance(size, monkeypatch):
    monkeypatch.setattr(probing, "draw_factored", table_draw(rademacher_table(N)))
    batches = [batch_mean(c) for c in itertools.combinations(range(6), size)]
    mean = torch.stack([diag_squared(quadratic(b), 2**N).value for b in batches]).mean(0)
    excess = (1 / size) * (1 - size / 6) * S2
    assert relative(mean, (FULL**2).sum(1) + excess) < 1e-10
    if size < 6:
        assert (excess > 0).all()


@pytest.mark.claim("MBx")
@pytest.mark.parametrize("size", [1, 2, 3])
def test_disjoint_minibatches_leave_minus_s_squared_over_n(size):
    table = [list(v.split([1, 3])) for v in rademacher_table(N)]
    table = [[head, tail.view(1, -1)] for head, tail in table]
    total, count = torch.zeros(N, dtype=torch.float64), 0
    for first in itertools.combinations(range(6), size):
        rest = [i for i in range(6) if i not in first]
        for second in itertools.combinations(rest, size):
            operator = quadratic(batch_mean(first), batch_mean(second))
            sides = [
                torch.stack([operator.space.flatten(h) for h in own]) for _, own in operator.batch_products(table)
            ]
            total += (sides[0] * sides[1]).mean(0)
            count += 1
    assert relative(total / count, (FULL**2).sum(1) - S2 / 6) < 1e-10


@pytest.mark.claim("MBx")
@pytest.mark.parametrize("size", [1, 2, 3])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_products_of_two_independent_minibatches_have_no_bias(size, reduction, monkeypatch):
    """cross_diag_squared itself, fed with every ordered pair of batches of a size and every vector of signs."""
    batches, table = [batch_mean(c) for c in itertools.combinations(range(6), size)], rademacher_table(N)
    pairs = iter(itertools.product(range(len(batches)), repeat=2))
    monkeypatch.setattr(cross_batch.torch, "multinomial", lambda *a, **k: torch.tensor(next(pairs)))
    monkeypatch.setattr(
        cross_batch, "draw_factored", lambda kind, params, seed, i: table_draw(table)(0, params, 0, i % 16)
    )
    operator = quadratic(*batches, reduction=reduction)
    estimate = cross_diag_squared(operator, len(batches) ** 2 * 16, probes_per_pair=16)
    assert estimate.num_probes == len(batches) ** 2 * 16
    whole = FULL if reduction == "mean" else len(batches) * FULL
    assert relative(estimate.value, (whole**2).sum(1)) < 1e-10


def crossed(h, other, count):
    """(H_b v)_0 (H_c v)_0 for ``count`` Gaussian probes, from the operator's own products."""
    operator = quadratic(h, other)
    vectors = [draw("gaussian", operator.params, 7, i) for i in range(count)]
    first, second = (torch.stack([x[0][0] for x in own]) for _, own in operator.batch_products(vectors))
    return first * second


@pytest.mark.claim("MBx")
@pytest.mark.parametrize("seed", range(3))
def test_how_often_a_cross_product_is_negative(seed):
    # x = h_bᵀv and y = h_cᵀv are jointly normal: P(xy < 0) = arccos(c/√(ab))/π, c = h_b·h_c, a = ‖h_b‖², b = ‖h_c‖²
    h, other = symmetric(8, seed), symmetric(8, seed) + 0.7 * symmetric(8, 50 + seed)
    expected = math.acos(h[0] @ other[0] / (h[0].norm() * other[0].norm())) / math.pi
    share = (crossed(h, other, 8000) < 0).double().mean().item()
    assert abs(share - expected) < 5 * math.sqrt(expected * (1 - expected) / 8000)


@pytest.mark.claim("MBx")
def test_averages_of_several_products_tame_the_sign():
    h, other = symmetric(8, 1), symmetric(8, 1) + 0.7 * symmetric(8, 51)
    products = crossed(h, other, 10_000).view(100, 100)
    shares = [(products[:, :k].mean(1) < 0).double().mean().item() for k in (1, 10, 100)]
    assert shares[0] > 0.1
    assert shares[1] < shares[0] / 2
    assert shares[2] == 0
