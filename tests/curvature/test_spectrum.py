"""Krylov spaces against dense eigendecompositions, SciPy and Gauss quadrature."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from curvature_cases import Net, quadratic, relative, symmetric

from esgd.errors import ConfigError, CurvatureError
from esgd.spectrum import (
    abs_matvec,
    exact_negative_count,
    extreme_eigenpairs,
    lanczos,
    spectral_density,
)


def with_spectrum(values, seed=0):
    """A symmetric matrix with these eigenvalues."""
    n = len(values)
    g = torch.Generator().manual_seed(seed)
    q, _ = torch.linalg.qr(torch.randn(n, n, dtype=torch.float64, generator=g))
    return (q * torch.as_tensor(values, dtype=torch.float64)) @ q.T


@pytest.fixture(scope="module")
def case():
    return Net()


def absolute(h):
    values, vectors = torch.linalg.eigh(h)
    return (vectors * values.abs()) @ vectors.T


class TestLanczos:
    def test_basis_is_orthonormal_and_tridiagonalises(self):
        # a spectrum with outliers that converge early: without reorthogonalisation they come back as copies
        h = with_spectrum([1e6, 1e4, *torch.linspace(-1, 1, 58).tolist()])
        space = lanczos(quadratic(h), torch.ones(60, dtype=torch.float64), 40)
        eye = torch.eye(40, dtype=torch.float64)
        assert relative(space.basis @ space.basis.T, eye) < 1e-13
        assert relative(space.basis @ h @ space.basis.T, space.matrix) < 1e-12
        values, _ = space.ritz()
        assert (values > 1e3).sum() == 2

    def test_ritz_values_lie_within_their_residuals_of_eigenvalues(self):
        h = symmetric(50, 1)
        truth = torch.linalg.eigvalsh(h)
        values, radius = lanczos(quadratic(h), torch.ones(50, dtype=torch.float64), 20).ritz()
        nearest = (values[:, None] - truth[None, :]).abs().min(1).values
        assert (nearest <= radius + 1e-12).all()

    @pytest.mark.claim("KRY")
    def test_never_overstates_an_extreme_eigenvalue(self):
        for seed in range(40):
            h = symmetric(20, seed)
            truth = torch.linalg.eigvalsh(h)
            for m in (1, 3, 8):
                values, _ = lanczos(quadratic(h), symmetric(20, seed + 100)[0], m).ritz()
                assert values[-1] <= truth[-1] + 1e-12
                assert values[0] >= truth[0] - 1e-12
                k = (m + 1) // 2
                largest = truth.abs().sort(descending=True).values[:k].sum()
                assert values.abs().sort(descending=True).values[:k].sum() <= largest + 1e-12

    @pytest.mark.claim("KRY")
    def test_yet_the_absolute_value_in_the_space_can_exceed_that_of_the_hessian(self):
        above = 0
        for seed in range(60):
            h = symmetric(12, seed)
            space = lanczos(quadratic(h), symmetric(12, seed + 200)[0], 4)
            inside = space.basis @ absolute(h) @ space.basis.T
            above += bool(torch.linalg.eigvalsh(inside - absolute(space.matrix))[0] < -1e-10)
        assert above > 20  # |VᵀHV| ⪯ Vᵀ|H|V fails often

    def test_stops_in_an_invariant_space(self):
        h = torch.diag(torch.tensor([3.0, 2.0, 1.0, 0.5], dtype=torch.float64))
        space = lanczos(quadratic(h), torch.tensor([1.0, 1.0, 0.0, 0.0], dtype=torch.float64), 4)
        assert space.matrix.shape == (2, 2)
        assert space.residual == 0
        assert torch.allclose(space.ritz()[0], torch.tensor([2.0, 3.0], dtype=torch.float64))

    def test_refuses(self):
        operator = quadratic(symmetric(50))
        start = torch.ones(50, dtype=torch.float64)
        with pytest.raises(ConfigError, match="not zero"):
            lanczos(operator, 0 * start, 3)
        with pytest.raises(ConfigError, match="num_steps"):
            lanczos(operator, start, 0)
        with pytest.raises(CurvatureError, match=r"10 vectors of 50.*fewer steps.*max_bytes"):
            lanczos(operator, start, 10, max_bytes=1000)


class TestAbsolute:
    def test_is_exact_in_the_whole_space(self, case):
        h = case.dense()
        v = torch.randn(len(h), dtype=torch.float64, generator=torch.Generator().manual_seed(0))
        expected = absolute(h) @ v
        operator = case.operator()
        assert relative(abs_matvec(operator, v, len(h)), expected) < 1e-9
        errors = [relative(abs_matvec(operator, v, m), expected) for m in (3, 10, 30)]
        assert errors[0] > errors[1] > errors[2]
        parts = operator.space.unflatten(v)
        in_parts = abs_matvec(operator, parts, 30)
        assert [x.shape for x in in_parts] == [p.shape for p in operator.params]
        assert isinstance(abs_matvec(operator, v.numpy(), 30), np.ndarray)
        assert not abs_matvec(operator, 0 * v, 30).any()

    def test_flips_the_negative_part_only(self):
        h = torch.diag(torch.tensor([-2.0, 3.0, 0.0], dtype=torch.float64))
        assert abs_matvec(quadratic(h), torch.ones(3, dtype=torch.float64), 3).tolist() == pytest.approx([2, 3, 0])


class TestEigenpairs:
    @pytest.mark.parametrize("which", ["largest", "smallest", "both", "magnitude"])
    @pytest.mark.parametrize("subspace", [None, 12])
    def test_agree_with_the_dense_ones(self, which, subspace):
        h = symmetric(120, 3)
        values, vectors = torch.linalg.eigh(h)
        found = extreme_eigenpairs(quadratic(h), 3, which=which, tol=1e-9, subspace=subspace, max_products=2000)
        assert found.converged
        chosen = {
            "largest": values[-3:],
            "smallest": values[:3],
            "both": torch.cat([values[:3], values[-3:]]),
            "magnitude": values[values.abs().topk(3).indices].sort().values,
        }[which]
        assert torch.allclose(found.values, chosen.flip(0), atol=1e-8)
        for value, vector in zip(found.values, found.vectors, strict=True):
            match = vectors[:, (values - value).abs().argmin()]
            assert abs(match @ vector) == pytest.approx(1, abs=1e-7)
            assert torch.linalg.vector_norm(h @ vector - value * vector) < 1e-7
        assert torch.allclose(
            found.vectors @ found.vectors.T, torch.eye(len(chosen), dtype=torch.float64), atol=1e-10
        )

    def test_agree_with_scipy_on_a_net(self, case):
        from scipy.sparse.linalg import eigsh

        operator = case.operator()
        ours = extreme_eigenpairs(operator, 2, which="both", tol=1e-8)
        theirs = np.sort(eigsh(operator.to_scipy(), k=4, which="BE", return_eigenvectors=False))[::-1]
        assert np.allclose(ours.values.numpy(), theirs, atol=1e-7)

    def test_a_restart_keeps_memory_and_needs_few_more_products(self):
        h = with_spectrum(torch.linspace(-1, 1, 200).pow(3).tolist())
        short = extreme_eigenpairs(quadratic(h), 1, which="largest", subspace=10, tol=1e-6, max_products=3000)
        long = extreme_eigenpairs(quadratic(h), 1, which="largest", subspace=200, tol=1e-6)
        assert short.converged
        assert short.values[0] == pytest.approx(long.values[0].item(), abs=1e-5)
        assert short.num_products < 3 * long.num_products

    def test_says_when_it_has_not_converged(self):
        found = extreme_eigenpairs(quadratic(symmetric(200)), 2, tol=1e-12, max_products=10)
        assert not found.converged
        assert found.num_products == 10
        assert found.residuals.max() > 1e-3

    def test_goes_on_past_an_invariant_space(self):
        # the identity plus one outlier: every Krylov space has two dimensions
        h = torch.eye(30, dtype=torch.float64)
        h[0, 0] = 5
        found = extreme_eigenpairs(quadratic(h), 3, which="largest")
        assert torch.allclose(found.values, torch.tensor([5.0, 1.0, 1.0], dtype=torch.float64))

    @pytest.mark.parametrize(
        ("spectrum", "k", "which", "expected"),
        [
            ([5, 5, *[1] * 28], 2, "largest", [5, 5]),
            ([5, 5, 5, *[1] * 27], 2, "largest", [5, 5]),
            ([5, *[1] * 29], 2, "largest", [5, 1]),
            ([*[1] * 30], 3, "smallest", [1, 1, 1]),
            ([-4, -4, 5, 5, 5, *[0] * 25], 2, "both", [5, 5, -4, -4]),
            ([-5, 5, 5, -5, *[1] * 26], 4, "magnitude", [5, 5, -5, -5]),
            ([3, 3, *torch.linspace(-2, 2.5, 198).tolist()], 2, "largest", [3, 3]),
            ([3, 3, 3, *torch.linspace(-2, 2.5, 197).tolist()], 3, "largest", [3, 3, 3]),
            ([-3, -3, *torch.linspace(-2, 2.5, 198).tolist()], 2, "both", [2.5, 2.5 - 4.5 / 197, -3, -3]),
        ],
    )
    @pytest.mark.parametrize("rotated", [False, True])
    def test_multiple_eigenvalues_count_as_often_as_they_are_there(self, spectrum, k, which, expected, rotated):
        h = with_spectrum(spectrum) if rotated else torch.diag(torch.tensor(spectrum, dtype=torch.float64))
        found = extreme_eigenpairs(quadratic(h), k, which=which, tol=1e-6)
        assert found.converged
        assert found.values.tolist() == pytest.approx(expected, abs=1e-5)
        assert (
            torch.linalg.vector_norm(found.vectors @ h - found.values[:, None] * found.vectors, dim=1).max() < 3e-5
        )

    @pytest.mark.parametrize("max_products", [8, 20, 60, 400])
    def test_residuals_are_true_converged_or_not(self, max_products):
        h = symmetric(150, 5)
        found = extreme_eigenpairs(quadratic(h), 2, max_products=max_products, subspace=20)
        u, values = found.vectors, found.values
        true = torch.linalg.vector_norm(u @ h - values[:, None] * u, dim=1)
        assert torch.allclose(found.residuals, true, rtol=1e-8, atol=1e-11)
        assert torch.allclose(values, (u @ h * u).sum(1), rtol=1e-10)
        assert found.num_products <= max_products
        truth = torch.linalg.eigvalsh(h)
        assert ((values[:, None] - truth).abs().min(1).values <= found.residuals + 1e-12).all()

    def test_single_precision_finds_a_double_eigenvalue_too(self):
        h = with_spectrum([3, 3, *torch.linspace(-2, 2.5, 298).tolist()]).float()
        found = extreme_eigenpairs(quadratic(h), 2, which="largest", tol=1e-4)
        assert found.converged
        assert found.values.tolist() == pytest.approx([3, 3], abs=1e-3)

    def test_of_a_tiny_matrix(self):
        found = extreme_eigenpairs(quadratic(torch.diag(torch.tensor([2.0, -1.0], dtype=torch.float64))), 1)
        assert found.values.tolist() == pytest.approx([2.0, -1.0])

    @pytest.mark.parametrize(
        ("settings", "word"),
        [
            ({"which": "middle"}, "which must be one of"),
            ({"k": 0}, "k must be at least 1"),
            ({"k": 16}, "k must lie between 1 and 15"),
            ({"k": 4, "subspace": 5}, "subspace must be larger than the 8"),
            ({"k": 4, "subspace": 9}, "and the 2 watched"),
            ({"k": 4, "max_products": 15}, "max_products must be at least 16"),
            ({"tol": 0.0}, "tol must be above 0"),
        ],
    )
    def test_refuses(self, settings, word):
        with pytest.raises(ConfigError, match=word):
            extreme_eigenpairs(quadratic(symmetric(30)), **settings)


class TestDensity:
    def test_integrates_polynomials_exactly(self):
        # Gauss quadrature with m nodes: exact up to degree 2m − 1 for each probe
        h = symmetric(30, 2)
        density = spectral_density(quadratic(h), 2, num_steps=4)
        from esgd.probes import draw

        operator = quadratic(h)
        for i in range(2):
            v = operator.space.flatten(draw("rademacher", operator.params, 0, i))
            for degree in range(8):
                expected = v @ torch.linalg.matrix_power(h, degree) @ v / 30
                got = density.weights[i] @ density.nodes[i] ** degree
                assert got.item() == pytest.approx(expected.item(), rel=1e-9)

    @pytest.mark.parametrize("probe", ["rademacher", "gaussian"])
    def test_traces_within_their_error_bars(self, case, probe):
        h = case.dense()
        values = torch.linalg.eigvalsh(h)
        density = spectral_density(quadratic(h), 40, num_steps=60, probe=probe, probes_per_pass=20)
        assert density.num_probes == 40
        for function in (lambda x: x, torch.square, torch.abs):
            estimate = density.trace(function)
            assert abs(estimate.value - function(values).sum()) < 4 * estimate.stderr + 1e-9
        if probe == "rademacher":
            assert density.weights.sum(1).tolist() == pytest.approx([1] * 40)

    def test_density_is_the_smoothed_histogram(self):
        values = torch.cat([torch.linspace(-2, -1, 30), torch.linspace(1, 3, 90)]).double()
        h = with_spectrum(values.tolist())
        grid = torch.linspace(-4, 5, 400, dtype=torch.float64)
        width = 0.2
        estimate = spectral_density(quadratic(h), 40, num_steps=40, probes_per_pass=40).density(grid, width)
        normal = (-0.5 * ((grid[:, None] - values) / width) ** 2).exp() / (width * (2 * torch.pi) ** 0.5)
        expected = normal.mean(1)
        assert torch.trapezoid(estimate.value, grid).item() == pytest.approx(1, abs=1e-3)
        assert (estimate.value - expected).abs().max() < 0.05 * expected.max()
        with pytest.raises(ConfigError, match="width"):
            spectral_density(quadratic(h), 1, num_steps=2).density(grid, 0)

    def test_counts_negative_eigenvalues(self):
        values = torch.cat([torch.linspace(-2, -1, 30), torch.linspace(1, 3, 90)]).double()
        operator = quadratic(with_spectrum(values.tolist()))
        assert exact_negative_count(operator) == 30
        density = spectral_density(operator, 40, num_steps=30, probes_per_pass=40)
        count = density.count_below()
        assert abs(count.value - 30) < 4 * count.stderr
        assert count.stderr < 1.5
        assert 10 <= density.certain_negative() <= 30
        assert exact_negative_count(operator, threshold=-1.5) == 15

    def test_a_positive_definite_matrix_has_index_zero(self, case):
        gauss = case.gauss_newton()
        density = spectral_density(gauss, 4, num_steps=50)
        assert density.certain_negative() == 0
        assert density.count_below(-1e-9).value == 0

    def test_an_invariant_space_is_filled_up_with_weight_zero(self):
        density = spectral_density(quadratic(torch.eye(6, dtype=torch.float64)), 3, num_steps=4)
        assert density.trace(torch.square).value == pytest.approx(6)
        assert density.count_below(0.5).value == 0

    @pytest.mark.parametrize(
        "spectrum", [[-1, 1], [-1, -1], [-2, -2, -2, 1], [-3, *[1] * 9], [-1] * 5, [-2, -1, *[0] * 8]]
    )
    def test_certain_means_certain_also_in_invariant_spaces(self, spectrum):
        truth = sum(x < 0 for x in spectrum)
        # [[0, 1], [1, 0]] has one negative eigenvalue, and a sign vector is an eigenvector of it
        h = torch.tensor([[0, 1], [1, 0]]).double() if spectrum == [-1, 1] else with_spectrum(spectrum)
        for seed in range(10):
            assert spectral_density(quadratic(h), 3, num_steps=10, seed=seed).certain_negative() <= truth

    def test_refuses(self):
        with pytest.raises(ConfigError, match="at least 1"):
            spectral_density(quadratic(symmetric(4)), 0)
        with pytest.raises(CurvatureError, match="max_bytes"):
            spectral_density(quadratic(symmetric(50)), 1, num_steps=10, max_bytes=100)
