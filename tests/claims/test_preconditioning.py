"""Sections 2 and 5.1: what preconditioning is, and Theorem 1 made right."""

from __future__ import annotations

import numpy as np
import pytest
import sympy as sp
import torch
from hypothesis import given
from hypothesis import strategies as st
from matrices import rotate, symmetric, vectors

from esgd.errors import ConfigError
from esgd.theory import (
    abs_matrix,
    condition_number,
    equilibration_diagonal,
    frobenius_condition,
    hyperbolic_boost,
    ideal_preconditioner,
    left_scaled,
    two_sided,
)


@pytest.mark.claim("S2a")
def test_the_quadratic_term_has_a_half():
    x, d = sp.symbols("x d")
    for f in (sp.exp(x), sp.cos(x), x**4):
        printed = f + sp.diff(f, x) * d + d * sp.diff(f, x, 2) * d
        true = f + sp.diff(f, x) * d + d * sp.diff(f, x, 2) * d / 2
        shifted = sp.series(f.subs(x, x + d), d, 0, 3).removeO()
        assert sp.simplify(shifted - true) == 0
        assert sp.simplify(shifted - printed) != 0


@pytest.mark.claim("S2b")
@given(symmetric(indefinite=False), st.integers(0, 10**6))
def test_the_sign_of_the_step_is_minus(H, seed):
    theta = vectors(seed, len(H))
    loss = lambda t: t @ H @ t / 2  # noqa: E731
    g, d = H @ theta, equilibration_diagonal(H)
    step = 1 / np.sqrt(len(H)) * g / d  # 1/√N: Theorem S makes this a descent step
    assert loss(theta - step) < loss(theta) < loss(theta + step)


@pytest.mark.claim("S2c")
@given(symmetric(), st.integers(0, 10**6))
def test_the_transformed_hessian_is_two_sided(H, seed):
    n = len(H)
    d = np.exp(vectors(seed, n))
    # by automatic differentiation of f(D^{-1/2} φ)
    Ht, root = torch.tensor(H), torch.tensor(np.sqrt(d))
    phi = torch.tensor(vectors(seed + 1, n)) * root
    f = lambda p: (p / root) @ Ht @ (p / root) / 2  # noqa: E731
    truth = torch.autograd.functional.hessian(f, phi).numpy()
    scale = np.abs(truth).max()
    assert np.allclose(truth, two_sided(H, d), atol=1e-12 * scale)
    # same eigenvalues as D⁻¹H, which is not symmetric and has other singular values
    left = left_scaled(H, d)
    eig = np.sort(np.linalg.eigvals(left).real)
    assert np.allclose(eig, np.linalg.eigvalsh(two_sided(H, d)), atol=1e-8 * np.abs(eig).max())
    if np.abs(left - left.T).max() > 1e-6 * np.abs(left).max():
        sv = np.linalg.svd(left, compute_uv=False)
        assert (sv**2).sum() > (eig**2).sum()  # Schur: equality only for normal matrices
    # a gradient step in φ is a preconditioned step in θ
    theta = phi.numpy() / np.sqrt(d)
    moved = (phi.numpy() - 0.1 * truth @ phi.numpy()) / np.sqrt(d)
    assert np.allclose(moved, theta - 0.1 * (H @ theta) / d, atol=1e-9 * max(1, np.abs(moved).max()))


@pytest.mark.claim("S2c")
def test_a_matrix_where_the_two_differ():
    H, d = np.array([[1.0, 2.0], [2.0, 1.0]]), np.array([1.0, 4.0])
    assert not np.allclose(left_scaled(H, d), left_scaled(H, d).T)
    assert condition_number(H, d, definition="sv") > 1.2 * condition_number(H, d, definition="eig")


@pytest.mark.claim("S2d")
def test_with_the_papers_update_the_perfect_d_is_h_itself_and_leads_to_the_saddle():
    H, theta = np.diag([4.0, -1.0]), np.array([1.0, 1.0])
    g = H @ theta
    assert np.allclose(theta - np.linalg.solve(H, g), 0)  # D = H: κ(D⁻¹H) = 1, and the saddle in one step
    assert np.linalg.cond(np.linalg.solve(H, H)) == pytest.approx(1)
    assert np.linalg.cond(np.linalg.solve(np.linalg.inv(H), H)) == pytest.approx(16)  # D = H⁻¹: κ squared
    f = lambda t: t @ H @ t / 2  # noqa: E731
    start = np.array([0.1, 1.0])
    assert f(start) < 0 == f(start - np.linalg.solve(H, H @ start))  # uphill


@pytest.mark.claim("T1")
@given(symmetric(), st.integers(0, 10**6), st.floats(0.05, 20))
def test_theorem_1_prime(H, seed, scale):
    n = len(H)
    best = scale * ideal_preconditioner(H)
    assert np.linalg.eigvalsh(best)[0] > 0
    assert frobenius_condition(H @ best) == pytest.approx(n, rel=1e-6)  # N, not the printed 1
    assert np.linalg.cond(H @ best) == pytest.approx(1, rel=1e-6)
    other = rotate(np.exp(vectors(seed, n)), np.random.default_rng(seed))  # some other SPD matrix
    assert frobenius_condition(H @ other) >= n * (1 - 1e-9)
    ratio = other @ abs_matrix(H)
    distance = np.abs(ratio / np.trace(ratio) * n - np.eye(n)).max()
    if distance > 1e-2:
        assert frobenius_condition(H @ other) > n * (1 + 1e-7)
        assert np.linalg.cond(H @ other) > 1 + 1e-4


@pytest.mark.claim("T1")
@pytest.mark.parametrize("seed", range(6))
def test_an_optimiser_reaches_only_the_absolute_inverse(seed):
    rng = np.random.default_rng(seed)
    n = 3
    H = torch.tensor(rotate(np.array([3.0, 0.7, -1.5]) * rng.choice([1, -1], 3), rng))
    factor = torch.tensor(rng.standard_normal((n, n)) + np.eye(n), requires_grad=True)
    optimiser = torch.optim.LBFGS(
        [factor], max_iter=2000, line_search_fn="strong_wolfe", tolerance_grad=1e-12, tolerance_change=1e-15
    )

    def closure():
        optimiser.zero_grad()
        X = H @ factor @ factor.T
        loss = torch.log(X.square().sum()) + torch.log(torch.linalg.inv(X).square().sum())
        loss.backward()
        return loss

    optimiser.step(closure)
    M = (factor @ factor.T).detach().numpy()
    found = M @ abs_matrix(H.numpy())
    assert np.allclose(found / np.trace(found) * n, np.eye(n), atol=1e-4)


@pytest.mark.claim("S51")
def test_there_are_other_positive_definite_preconditioners():
    H = np.diag([2.0, -1.0])
    identity = np.eye(2)
    assert np.linalg.eigvalsh(identity)[0] > 0
    assert not np.allclose(identity / identity[0, 0], ideal_preconditioner(H) / ideal_preconditioner(H)[0, 0])
    assert np.linalg.cond(H @ identity) == pytest.approx(2)  # positive definite, and not ideal
    assert np.linalg.cond(H @ abs_matrix(H)) == pytest.approx(4)  # |H| itself, which the sentence names: κ squared


@pytest.mark.claim("T1p")
def test_the_proofs_counterexample():
    H, M = np.diag([1.0, -1.0]), np.array([[0.0, 1.0], [1.0, 0.0]])
    assert np.linalg.cond(H @ M) == pytest.approx(1)  # ideal
    product = M @ H @ H @ M
    assert np.allclose(product, product.T)  # what the commuting step starts from
    assert np.allclose(np.linalg.inv(M @ M @ H @ H), np.linalg.inv(H @ H @ M @ M))
    assert not np.allclose(H @ M, M @ H)  # and where it is said to end
    X = np.diag([2.0, -1.0]) @ M
    assert np.trace(X @ X) != pytest.approx((X**2).sum())  # tr(X²) is not ‖X‖_F²
    n = 2
    assert frobenius_condition(H @ M) == pytest.approx(n)  # "‖M⁻¹A⁻¹‖ = ‖AM‖⁻¹" would make it 1


@pytest.mark.claim("T1p")
def test_the_printed_gradient_is_not_the_gradient():
    rng = np.random.default_rng(3)
    A = rotate(np.array([2.0, -0.5, 1.0]), rng)
    M = rotate(np.array([1.0, 2.0, 0.6]), rng)
    inv = np.linalg.inv

    def value(m):
        return (inv(A @ m) ** 2).sum() * ((A @ m) ** 2).sum()

    direction = rng.standard_normal((3, 3))
    direction += direction.T
    h = 1e-5
    numeric = (value(M + h * direction) - value(M - h * direction)) / (2 * h)
    a, b = ((A @ M) ** 2).sum(), (inv(A @ M) ** 2).sum()
    printed = -inv(M @ M) @ inv(A @ A) @ inv(M) * a + b * M @ A @ A
    # ∂‖AM‖² = 2A²M and ∂‖(AM)⁻¹‖² = −2M⁻¹·M⁻¹A⁻²M⁻¹ (symmetrised), by d(M⁻¹) = −M⁻¹dM M⁻¹
    right = 2 * b * A @ A @ M - 2 * a * inv(M) @ inv(M) @ inv(A @ A) @ inv(M)
    right = (right + right.T) / 2
    assert np.allclose(right, printed + printed.T)  # what vanishes is this sum; the proof sets one term to zero
    assert numeric == pytest.approx((right * direction).sum(), rel=1e-6)
    assert abs(numeric - (printed * direction).sum()) > 0.1 * abs(numeric)


@pytest.mark.claim("T1two")
@given(symmetric(indefinite=True, max_size=6), st.integers(0, 10**6), st.floats(0.01, 1.0))
def test_the_boosts_are_ideal_too(H, seed, size):
    n, p = len(H), int((np.linalg.eigvalsh(H) > 0).sum())
    X = size * np.random.default_rng(seed).standard_normal((p, n - p))
    M = hyperbolic_boost(H, X)
    values, q = np.linalg.eigh(M)
    root = (q * np.sqrt(values)) @ q.T
    assert values[0] > 0
    assert np.linalg.cond(root @ H @ root) == pytest.approx(1, rel=1e-4)
    assert np.linalg.cond(H @ M) > 1 + 1e-6 * size  # yet one-sided they are not ideal


@pytest.mark.claim("T1two")
@given(symmetric(indefinite=True, max_size=5, decades=1), st.integers(0, 10**6))
def test_everything_ideal_two_sided_is_a_boost(H, seed):
    """From the other end: any SPD element of O(p, q) is ideal, with a logarithm [[0, X], [Xᵀ, 0]]."""
    rng = np.random.default_rng(seed)
    values, q = np.linalg.eigh(H)
    J = np.diag(np.sign(values))
    # an SPD element of O(p, q) made without the formula: RᵀR for a random R in O(p, q) (Cayley transform)
    K = rng.standard_normal(H.shape) * 0.3
    R = np.linalg.solve(np.eye(len(H)) - J @ (K - K.T), np.eye(len(H)) + J @ (K - K.T))
    assert np.allclose(R.T @ J @ R, J, atol=1e-8 * np.abs(R).max() ** 2)
    B = R.T @ R
    logs, u = np.linalg.eigh(B)
    generator = (u * np.log(logs)) @ u.T
    assert np.allclose(
        generator @ J, -J @ generator, atol=1e-6 * max(1, np.abs(generator).max())
    )  # [[0, X], [Xᵀ, 0]]
    half = (q * np.abs(values) ** -0.5) @ q.T
    M = half @ (q @ B @ q.T) @ half
    MH2 = M @ H @ M @ H
    assert np.allclose(MH2, np.eye(len(H)), atol=1e-6 * max(1, np.abs(M).max() * np.abs(H).max()))


@pytest.mark.claim("T1two")
@pytest.mark.parametrize("spectrum", [(2.0, -0.7), (1.5, 0.6, -1.0), (2.0, 1.0, 0.5)])
def test_an_optimiser_of_the_two_sided_number_ends_on_a_boost(spectrum):
    """The 'only if', without the formula: M from a random start until all |λ(MH)| are alike."""
    rng, n = np.random.default_rng(1), len(spectrum)
    H = rotate(np.array(spectrum), rng)
    factor = torch.tensor(np.eye(n) + 0.4 * rng.standard_normal((n, n)), requires_grad=True)
    optimiser = torch.optim.LBFGS(
        [factor], max_iter=2000, line_search_fn="strong_wolfe", tolerance_grad=1e-13, tolerance_change=1e-16
    )

    def closure():
        optimiser.zero_grad()
        X = factor @ factor.T @ torch.tensor(H)
        back = torch.linalg.inv(X)
        loss = torch.log(torch.trace(X @ X)) + torch.log(torch.trace(back @ back))  # Σλ² and Σλ⁻²
        loss.backward()
        return loss

    optimiser.step(closure)
    M = (factor @ factor.T).detach().numpy()
    c = np.abs(np.linalg.eigvals(M @ H)).mean()
    values, q = np.linalg.eigh(H)
    half, J = (q * np.abs(values) ** 0.5) @ q.T, (q * np.sign(values)) @ q.T
    B = half @ M @ half / c
    assert np.allclose(B @ J @ B, J, atol=1e-5)
    assert np.allclose(B, np.eye(n), atol=1e-2) == (values[0] > 0)  # on a bowl the boost is none


@pytest.mark.claim("F1")
def test_equilibration_and_round_contours():
    turn = lambda a: np.array([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]])  # noqa: E731
    make = lambda spectrum, a: turn(a) @ np.diag(spectrum) @ turn(a).T  # noqa: E731
    after = lambda H: condition_number(H, equilibration_diagonal(H))  # noqa: E731
    assert after(make([25.0, 1.0], 0)) == pytest.approx(1)
    for spectrum in ([25.0, 1.0], [25.0, -1.0]):
        stays = make(spectrum, np.pi / 4)
        assert after(stays) == pytest.approx(25)  # a multiple of the identity: nothing changes
        assert 1.5 < after(make(spectrum, np.pi / 8)) < 25  # rounder, not round


def test_bad_input_is_refused():
    with pytest.raises(ConfigError, match="symmetric"):
        abs_matrix([[1.0, 2.0], [0.0, 1.0]])
    with pytest.raises(ConfigError, match="square"):
        abs_matrix(np.ones((2, 3)))
    with pytest.raises(ConfigError, match="finite"):
        abs_matrix([[np.nan, 0], [0, 1.0]])
    with pytest.raises(ConfigError, match="positive entries"):
        two_sided(np.eye(2), [1.0, 0.0])
    with pytest.raises(ConfigError, match="shape"):
        hyperbolic_boost(np.diag([1.0, -1.0]), np.ones((2, 2)))
    with pytest.raises(ConfigError, match="nonsingular"):
        hyperbolic_boost(np.diag([1.0, 0.0]), None)
    with pytest.raises(ConfigError, match="definition"):
        condition_number(np.eye(2), definition="both")
    with pytest.raises(ConfigError, match="null"):
        condition_number(np.eye(2), null=2)
