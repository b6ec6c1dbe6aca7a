"""Sections 3 and 5.3: what equilibration is, what it bounds (Theorem S), and how it differs from Jacobi."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matrices import rotate, symmetric, vectors

from esgd.theory import (
    abs_matrix,
    absolute_diagonal,
    condition_number,
    equilibration_diagonal,
    jacobi_diagonal,
    left_scaled,
    two_sided,
)


@pytest.mark.claim("S3")
@given(symmetric())
def test_three_readings_of_equilibration(H):
    d = equilibration_diagonal(H)
    assert np.allclose(d, np.sqrt(np.diag(H @ H)), rtol=1e-12)
    assert np.allclose(d, [np.linalg.norm(row) for row in H], rtol=1e-14)
    a = abs_matrix(H)
    assert np.allclose(a @ a, H @ H, rtol=1e-9, atol=1e-12 * np.abs(H @ H).max())
    assert np.linalg.eigvalsh(a)[0] >= -1e-12 * np.abs(a).max()
    assert np.allclose(np.linalg.norm(left_scaled(H, d), axis=1), 1)


@pytest.mark.claim("S3")
def test_the_two_sided_matrix_is_not_row_equilibrated():
    H = np.array([[4.0, 1.0], [1.0, -1.0]])
    norms = np.linalg.norm(two_sided(H, equilibration_diagonal(H)), axis=1)
    assert abs(norms[0] - norms[1]) > 0.05
    # and for a matrix that is not symmetric √diag(H²) is not the norm of the rows
    A = np.array([[0.0, 1.0], [0.0, 0.0]])
    assert np.diag(A @ A)[0] != np.linalg.norm(A[0])


@pytest.mark.claim("ORD", "S4", "RAY")
@given(symmetric(decades=4))
def test_order_and_kantorovich(H):
    j, a, e = jacobi_diagonal(H), absolute_diagonal(H), equilibration_diagonal(H)
    tol = 1e-9 * np.abs(H).max()
    assert (j <= a + tol).all()
    assert (a <= e + tol).all()
    root = np.sqrt(condition_number(H))
    assert (e <= (root + 1 / root) / 2 * a * (1 + 1e-7) + tol).all()
    values, q = np.linalg.eigh(H)  # Rayleigh quotients as weighted sums: signs cancel in the first only
    assert np.allclose(j, np.abs((q**2) @ values), atol=tol)
    assert np.allclose(e**2, (q**2) @ values**2, atol=tol * np.abs(H).max())


@pytest.mark.claim("S4")
@given(st.floats(1.5, 1e4))
def test_the_kantorovich_bound_is_attained(kappa):
    """Two eigenvalues, weights κ/(1+κ) on the small one: row 1 reaches the bound, so D_E is not diag|H|."""
    angle = np.arctan(1 / np.sqrt(kappa))
    q = np.array([[np.sin(angle), np.cos(angle)], [-np.cos(angle), np.sin(angle)]])
    H = q @ np.diag([kappa, 1.0]) @ q.T
    ratio = equilibration_diagonal(H)[0] / absolute_diagonal(H)[0]
    assert ratio == pytest.approx((np.sqrt(kappa) + 1 / np.sqrt(kappa)) / 2, rel=1e-6)
    assert ratio > 1.01


@pytest.mark.claim("ORD")
def test_total_cancellation_at_45_degrees():
    for angle in np.linspace(0, np.pi / 2, 13):
        c, s = np.cos(angle), np.sin(angle)
        H = np.array([[c * c - s * s, 2 * c * s], [2 * c * s, s * s - c * c]])  # λ = (1, −1), turned
        assert np.allclose(equilibration_diagonal(H), 1)
        assert np.allclose(absolute_diagonal(H), 1)
        assert np.allclose(jacobi_diagonal(H), abs(np.cos(2 * angle)), atol=1e-15)


@pytest.mark.claim("ThS", "S53")
@given(symmetric(decades=4, max_size=8))
def test_the_root_n_certificate(H):
    n, d = len(H), equilibration_diagonal(H)
    assert np.linalg.norm(two_sided(H, d), 2) <= np.sqrt(n) * (1 + 1e-9)
    assert (np.abs(np.diag(two_sided(H, d))) <= 1 + 1e-12).all()  # on the axes: 1


@pytest.mark.claim("ThS", "S53")
@pytest.mark.parametrize("n", [2, 5, 30])
def test_the_certificate_is_attained(n):
    H = np.ones((n, n))
    assert np.linalg.norm(two_sided(H, equilibration_diagonal(H)), 2) == pytest.approx(np.sqrt(n))
    assert np.sqrt(n) > 1  # so curvature in the direction 1 does come out above D_E's own scale


@pytest.mark.claim("ThS")
@given(symmetric(decades=3, max_size=6), st.integers(0, 10**6))
def test_van_der_sluis(H, seed):
    best = min(
        condition_number(H, np.exp(t), definition="sv") for t in 1.5 * vectors(seed, len(H), 20).reshape(20, -1)
    )
    mine = condition_number(H, equilibration_diagonal(H), definition="sv")
    assert mine <= np.sqrt(len(H)) * min(best, condition_number(H)) * (1 + 1e-7)


@pytest.mark.claim("ThS")
@pytest.mark.parametrize("delta", [1e-2, 1e-4, 1e-6])
def test_jacobi_has_no_such_bound(delta):
    H = np.array([[delta, 1, 0], [1, delta, 0], [0, 0, 1.0]])
    before = condition_number(H)
    assert before == pytest.approx(1, abs=3 * delta)
    for definition in ("eig", "sv"):
        assert condition_number(H, jacobi_diagonal(H), definition=definition) == pytest.approx(1 / delta, rel=0.05)
        assert condition_number(H, equilibration_diagonal(H), definition=definition) <= before * (1 + 1e-9)


@pytest.mark.claim("ThS")
@given(symmetric(indefinite=False, decades=3, max_size=6), st.integers(0, 10**6))
def test_on_positive_definite_matrices_jacobi_has_one(H, seed):
    """van der Sluis again: κ(D_J^{-1/2}HD_J^{-1/2}) ≤ N min κ. So the saddle is what breaks it."""
    best = min(condition_number(H, np.exp(t)) for t in 1.5 * vectors(seed, len(H), 20).reshape(20, -1))
    assert condition_number(H, jacobi_diagonal(H)) <= len(H) * min(best, condition_number(H)) * (1 + 1e-7)


@pytest.mark.claim("S4")
def test_the_diagonal_of_the_absolute_hessian_is_another_preconditioner():
    rng = np.random.default_rng(0)
    H = rotate(np.array([50.0, 1.0, -0.2, 0.1]), rng)
    ratio = equilibration_diagonal(H) / absolute_diagonal(H)
    assert ratio.max() / ratio.min() > 1.2  # not even proportional
