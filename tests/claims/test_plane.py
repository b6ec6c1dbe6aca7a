"""The plane: Jacobi is the best diagonal by eigenvalues, equilibration by singular values; what follows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from matrices import symmetric

from esgd.theory import (
    absolute_diagonal,
    condition_number,
    equilibration_diagonal,
    jacobi_diagonal,
    left_scaled,
    two_sided,
)

SIZES = st.floats(-3, 3).map(np.exp)
SIGNS = st.sampled_from([-1.0, 1.0])


@st.composite
def planar(draw):
    """A nonsingular symmetric matrix of size 2 with a nonzero diagonal, far enough from singular to compare κ."""
    a, b, d = (draw(SIGNS) * draw(SIZES) for _ in range(3))
    assume(abs(a * d - b * b) > 1e-4 * max(a * a, b * b, d * d))
    return np.array([[a, b], [b, d]])


@pytest.mark.claim("PLN")
@given(planar(), st.floats(0.05, 3), SIGNS)
def test_in_the_plane_jacobi_is_best_by_eigenvalues_and_only_jacobi(H, log_ratio, sign):
    best = condition_number(H, jacobi_diagonal(H))
    other = jacobi_diagonal(H) * np.array([1.0, np.exp(sign * log_ratio)])
    assert condition_number(H, other) > best * (1 + 1e-9)
    if H[0, 0] * H[1, 1] < 0:
        assert best == pytest.approx(1)
        assert np.linalg.norm(two_sided(H, jacobi_diagonal(H)), 2) > 1  # round, and not of Jacobi's own size


@pytest.mark.claim("PLN")
@given(planar(), st.floats(0.05, 3), SIGNS)
def test_in_the_plane_equilibration_is_best_by_singular_values_and_only_it(H, log_ratio, sign):
    best = condition_number(H, equilibration_diagonal(H), definition="sv")
    other = equilibration_diagonal(H) * np.array([1.0, np.exp(sign * log_ratio)])
    assert condition_number(H, other, definition="sv") > best * (1 + 1e-9)


@pytest.mark.claim("PLN", "F1")
@given(planar())
def test_in_the_plane_equilibration_never_raises_kappa(H):
    before, after = condition_number(H), condition_number(H, equilibration_diagonal(H))
    assert after <= before * (1 + 1e-9)
    a, b, d = abs(H[0, 0]), abs(H[0, 1]), abs(H[1, 1])
    if max(a, d) > 1.2 * min(a, d) and b < 3 * max(a, d):  # elsewhere the gain can be too small to see
        assert after < before * (1 - 1e-6)


@pytest.mark.claim("PLN", "F1")
@given(SIZES, SIZES, SIGNS)
def test_it_leaves_kappa_alone_where_the_diagonal_has_one_size(a, b, sign):
    assume(abs(a * a * sign - b * b) > 1e-4 * max(a * a, b * b))
    H = np.array([[a, b], [b, sign * a]])
    assert condition_number(H, equilibration_diagonal(H)) == pytest.approx(condition_number(H))


@pytest.mark.claim("PLN")
@pytest.mark.parametrize("k", [1.0, 3.0, 100.0, 1e4])
def test_by_eigenvalues_equilibration_has_no_certificate_even_on_bowls(k):
    H = np.array([[1, k], [k, 2 * k * k]])
    assert np.linalg.det(H) == pytest.approx(k * k, rel=1e-6)  # positive definite
    assert condition_number(H, jacobi_diagonal(H)) == pytest.approx(3 + 2 * np.sqrt(2), rel=1e-6)
    assert condition_number(H, equilibration_diagonal(H)) >= 2 * k + 1
    assert condition_number(H, equilibration_diagonal(H), definition="sv") <= np.sqrt(2) * (
        condition_number(H, jacobi_diagonal(H), definition="sv")
    )


@pytest.mark.claim("ThS", "PLN")
@pytest.mark.parametrize("delta", [0.9, 0.1, 1e-3, 1e-6])
def test_in_the_plane_jacobi_fails_by_norm_and_singular_values_only(delta):
    H = np.array([[delta, 1.0], [1.0, 1.0]])
    j = jacobi_diagonal(H)
    assert np.linalg.norm(two_sided(H, j), 2) == pytest.approx(1 + delta**-0.5)
    singular = np.linalg.svd(left_scaled(H, j), compute_uv=False)
    assert singular.prod() == pytest.approx(1 / delta - 1, rel=1e-6)
    assert condition_number(H, j, definition="sv") > 1 / delta
    assert condition_number(H, j) <= condition_number(H) * (1 + 1e-12)
    if delta <= 1e-3:
        assert condition_number(H) == pytest.approx((3 + np.sqrt(5)) / 2, rel=2 * delta)


@pytest.mark.claim("PLN")
@pytest.mark.parametrize("degrees", [0, 10, 44, 44.9])
def test_on_the_dial_only_the_size_is_wrong(degrees):
    t = np.deg2rad(2 * degrees)
    H = np.array([[np.cos(t), np.sin(t)], [np.sin(t), -np.cos(t)]])
    S = two_sided(H, jacobi_diagonal(H))
    assert np.linalg.cond(S) == pytest.approx(1)
    assert np.linalg.norm(S, 2) == pytest.approx(1 / np.cos(t))


@pytest.mark.claim("ORD")
@given(symmetric(max_size=5), st.integers(0, 4))
def test_when_the_three_diagonals_are_equal(H, axis):
    """D_J = D_A where the eigenvalues that touch the axis have one sign; D_A = D_E where they have one size."""
    i = axis % len(H)
    values, q = np.linalg.eigh(H)
    touches = q[i] ** 2 > 1e-6
    tol = 1e-9 * np.abs(H).max()
    j, a, e = (f(H)[i] for f in (jacobi_diagonal, absolute_diagonal, equilibration_diagonal))
    mixed = (values[touches] > 0).any() and (values[touches] < 0).any()
    assert (a - j > tol) == mixed
    flat = (q * np.where(values > 0, 2.0, -2.0)) @ q.T  # the same eigenvectors, one size
    assert absolute_diagonal(flat)[i] == pytest.approx(equilibration_diagonal(flat)[i])
    sizes = np.abs(values[touches])
    if sizes.max() > 1.1 * sizes.min():
        assert e > a * (1 + 1e-10)


@pytest.mark.claim("ORD")
@pytest.mark.parametrize("n", [2, 5])
def test_a_flat_direction_parts_two_of_the_diagonals_and_not_the_other_two(n):
    """11ᵀ: each axis touches N and 0. One sign apart from 0, so D_J = D_A; two sizes, so D_A < D_E."""
    H = np.ones((n, n))
    assert jacobi_diagonal(H) == pytest.approx(1)
    assert absolute_diagonal(H) == pytest.approx(1)
    assert equilibration_diagonal(H) == pytest.approx(np.sqrt(n))


@pytest.mark.claim("ThS", "F1")
@given(symmetric(max_size=6, decades=3))
def test_equilibration_raises_kappa_by_no_more_than_root_n(H):
    d = equilibration_diagonal(H)
    by_eigenvalues, by_singular_values = condition_number(H, d), condition_number(H, d, definition="sv")
    assert by_eigenvalues <= by_singular_values * (1 + 1e-9)
    assert by_singular_values <= np.sqrt(len(H)) * condition_number(H) * (1 + 1e-9)
