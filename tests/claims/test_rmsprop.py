"""Section 4: what RMSProp's average reads. Theorems R and O."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from matrices import rotate, symmetric, vectors

from esgd import ESGD
from esgd.errors import ConfigError
from esgd.theory import (
    equilibration_diagonal,
    gradient_second_moment,
    jacobi_diagonal,
    run_rmsprop,
    simulate_sgd,
    stationary_covariance,
    trace_minimal_majorant,
    two_cycles,
)

ALPHA = st.floats(0.3, 0.99)


def covariance(seed: int, n: int) -> np.ndarray:
    B = np.random.default_rng(seed).standard_normal((n, n + 1))
    return B @ B.T / n


def spread(x: np.ndarray) -> float:
    """Largest ÷ smallest: 1 exactly for a constant vector."""
    return float(x.max() / x.min())


@pytest.mark.claim("E2")
@given(ALPHA, st.integers(1, 60), st.floats(0.1, 10))
def test_the_average_is_short_by_alpha_to_the_t(alpha, t, square):
    v = 0.0
    for _ in range(t):
        v = alpha * v + (1 - alpha) * square
    assert v == pytest.approx((1 - alpha**t) * square)
    assert v / (1 - alpha**t) == pytest.approx(square)
    assert v < square or alpha**t < 1e-15  # as printed, it has not the mean that it is said to have


@pytest.mark.claim("E3")
@given(st.floats(0.3, 0.97), st.floats(0.1, 3))
def test_the_average_lags_behind_a_ramp(alpha, rate):
    v, t = 0.0, 0
    while alpha**t > 1e-13:
        t += 1
        v = alpha * v + (1 - alpha) * rate * t
    lag = t - v / rate
    assert lag == pytest.approx(alpha / (1 - alpha), rel=1e-6)  # so v is the current g² only if that stands still


@pytest.mark.claim("Q4")
@given(st.integers(1, 4), st.integers(0, 10**6), st.floats(0.01, 2))
def test_the_secant_equation_is_exact_only_on_quadratics(n, seed, size):
    rng = np.random.default_rng(seed)
    a, w = rng.standard_normal((2 * n, n)), rng.standard_normal(2 * n)
    lipschitz = (np.abs(w) * np.linalg.norm(a, axis=1) ** 3).sum()
    gradient = lambda x: -a.T @ (w * np.sin(a @ x))  # noqa: E731  of Σ w cos(a·x), critical at 0
    hessian = lambda x: -(a.T * (w * np.cos(a @ x))) @ a  # noqa: E731
    delta = vectors(seed, n).reshape(n)
    delta *= size / np.linalg.norm(delta)
    error = np.linalg.norm(gradient(delta) - hessian(np.zeros(n)) @ delta)
    assert error <= lipschitz / 2 * size**2 * (1 + 1e-9)


@pytest.mark.claim("Q4")
def test_the_hessian_in_equation_4_is_the_one_at_the_critical_point():
    x = 0.5  # f = x⁴ + x², critical at 0: H(0) = 2, H(x) = 12x² + 2
    gradient = 4 * x**3 + 2 * x
    assert gradient != pytest.approx(2 * x)  # the printed equality
    assert abs(gradient - 2 * x) < abs(gradient - (12 * x**2 + 2) * x)


@pytest.mark.claim("R1")
@given(symmetric(), st.integers(0, 10**6))
def test_what_v_reads_is_the_second_moment_of_the_displacement(H, seed):
    """Exact, by a finite cloud of displacements: Gaussian or not is not asked."""
    cloud = vectors(seed, len(H), 3 * len(H)).reshape(-1, len(H))
    sigma = cloud.T @ cloud / len(cloud)
    v = ((cloud @ H) ** 2).mean(0)
    assert np.allclose(v, np.diag(H @ sigma @ H), rtol=1e-9)


@pytest.mark.claim("R1")
def test_shape_does_not_matter_and_correlation_does():
    H = np.array([[4.0, 1.0], [1.0, 1.0]])
    signs = np.array([[1, 1], [1, -1], [-1, 1], [-1, -1.0]])  # far from Gaussian, Σ = I
    assert np.allclose(((signs @ H) ** 2).mean(0), equilibration_diagonal(H) ** 2)
    root = np.linalg.cholesky(np.array([[1.0, 0.9], [0.9, 1.0]]))  # unit variance each, correlated
    v = ((signs @ root.T @ H) ** 2).mean(0)
    assert spread(np.sqrt(v) / equilibration_diagonal(H)) > 1.1


@pytest.mark.claim("R1")
@given(st.integers(2, 5), st.integers(0, 10**6))
def test_only_a_multiple_of_the_identity_serves_every_hessian(n, seed):
    """The proof's two test matrices find any Σ that is not cI."""
    sigma = covariance(seed, n)
    off = np.abs(sigma - np.trace(sigma) / n * np.eye(n)).max() / np.trace(sigma)
    assume(off > 1e-3)
    ratios = [spread(np.diag(sigma))]  # H = I reads the diagonal of Σ
    for i in range(n):
        for j in range(n):
            if i != j:
                H = np.eye(n)
                H[j, j], H[i, j], H[j, i] = 0, 1, 1  # row i = e_i + e_j, row j = e_i
                ratios.append(spread(np.diag(H @ sigma @ H) / np.diag(H @ H)))
    assert max(ratios) > 1 + 1e-4


@pytest.mark.claim("F2")
@given(st.floats(-3, 3), st.floats(0.01, 1.5))
def test_descent_alternates_exactly_beyond_one_and_never_at_random(h, lr):
    assume(min(abs(lr * h - 1), abs(lr * h - 2), abs(lr * h)) > 1e-3)
    path = [1.0]
    for _ in range(30):
        path.append(path[-1] - lr * h * path[-1])
    path = np.array(path)
    flips = np.sign(path[1:]) != np.sign(path[:-1])
    assert flips.all() if lr * h > 1 else not flips.any()
    grows = np.abs(path[-1]) > 1
    assert grows == (lr * h > 2 or h < 0)
    if h < 0:
        assert not flips.any()


@pytest.mark.claim("ThR", "R2")
@given(symmetric(indefinite=False, max_size=5, decades=1.5), st.integers(0, 10**6), st.floats(0.02, 1.9))
def test_theorem_r(H, seed, fraction):
    n, C = len(H), covariance(seed, len(H))
    lr = fraction / np.linalg.eigvalsh(H)[-1]
    S = stationary_covariance(H, C, lr)
    step = np.eye(n) - lr * H
    assert np.allclose(S, step @ S @ step + lr**2 * C, rtol=1e-9, atol=1e-12 * np.abs(S).max())  # stationary
    assert np.linalg.eigvalsh(S)[0] >= -1e-12 * np.abs(S).max()
    moment = gradient_second_moment(H, C, lr)
    assert np.allclose(moment, H @ S @ H + C, rtol=1e-9, atol=1e-12 * np.abs(moment).max())
    # the unique one: the linear map has no null vector
    kron = np.kron(H, np.eye(n)) + np.kron(np.eye(n), H) - lr * np.kron(H, H)
    direct = np.linalg.solve(kron, lr * C.ravel()).reshape(n, n)
    assert np.allclose(direct, S, rtol=1e-7, atol=1e-10 * np.abs(S).max())


@pytest.mark.claim("ThR")
def test_theorem_r_against_a_simulation():
    H, C, lr = np.array([[4.0, 1.0], [1.0, 1.0]]), np.array([[1.0, 0.5], [0.5, 4.0]]), 0.1
    cloud = simulate_sgd(H, C, lr, chains=40_000, steps=200, seed=0)
    S = stationary_covariance(H, C, lr)
    estimate = cloud.T @ cloud / len(cloud)
    stderr = np.sqrt((np.outer(np.diag(S), np.diag(S)) + S**2) / len(cloud))
    assert (np.abs(estimate - S) < 4.5 * stderr).all()


@pytest.mark.claim("ThR")
@given(st.lists(st.tuples(st.floats(0.1, 3), st.floats(0.1, 3)), min_size=1, max_size=4), st.floats(0.01, 0.6))
def test_theorem_r_in_a_common_eigenbasis(modes, lr):
    h, c = np.array(modes).T
    v = np.diag(gradient_second_moment(np.diag(h), np.diag(c), lr))
    assert np.allclose(v, 2 * c / (2 - lr * h))


@pytest.mark.claim("R2")
def test_small_rates_read_the_noise():
    rng = np.random.default_rng(1)
    H, C = rotate(np.array([3.0, 1.0, 0.3]), rng), covariance(5, 3)
    gaps = [np.abs(np.diag(gradient_second_moment(H, C, lr)) / np.diag(C) - 1).max() for lr in (1e-2, 1e-3, 1e-4)]
    assert gaps[0] / gaps[1] == pytest.approx(10, rel=0.1)
    assert gaps[1] / gaps[2] == pytest.approx(10, rel=0.1)
    read = lambda C: np.sqrt(np.diag(gradient_second_moment(H, C, 1e-7)))  # noqa: E731
    assert spread(read(np.eye(3))) == pytest.approx(1, abs=1e-5)  # a constant
    assert spread(read(H) / np.sqrt(jacobi_diagonal(H))) == pytest.approx(1, abs=1e-5)  # √D_J
    assert spread(read(H @ H) / equilibration_diagonal(H)) == pytest.approx(1, abs=1e-5)  # D_E
    assert spread(read(np.eye(3)) / equilibration_diagonal(H)) > 1.2  # the printed claim


@pytest.mark.claim("R2")
def test_the_worked_example_inverts_the_order():
    H, C = np.array([[4.0, 1.0], [1.0, 1.0]]), np.diag([1.0, 4.0])
    read = np.sqrt(np.diag(gradient_second_moment(H, C, 0.1)))
    assert read == pytest.approx([1.139, 2.045], abs=1e-3)
    assert equilibration_diagonal(H) == pytest.approx([4.123, 1.414], abs=1e-3)
    squared = np.sqrt(np.diag(gradient_second_moment(H, H @ H, 0.1))) / equilibration_diagonal(H)
    assert squared == pytest.approx([1.129, 1.105], abs=1e-3)  # even C = H² is off at a finite rate


@pytest.mark.claim("LR")
@given(symmetric(), st.integers(0, 10**6), st.floats(0.01, 100))
def test_root_v_scales_with_the_rms_of_the_displacement(H, seed, scale):
    cloud = vectors(seed, len(H), 8)
    root = lambda d: np.sqrt(((d @ H) ** 2).mean(0))  # noqa: E731
    assert np.allclose(root(scale * cloud), scale * root(cloud))
    if abs(scale - 1) > 0.01:
        assert not np.allclose(root(scale * cloud), scale**2 * root(cloud))  # the variance
    # Jacobi's diagonal does not know the displacement at all, and is searched in the same small range
    assert np.allclose(jacobi_diagonal(H), np.abs(np.diag(H)))


def test_bad_input_is_refused():
    with pytest.raises(ConfigError, match="positive definite"):
        stationary_covariance(np.diag([1.0, -1.0]), np.eye(2), 0.1)
    with pytest.raises(ConfigError, match="lr must lie"):
        stationary_covariance(np.eye(2), np.eye(2), 2.0)
    with pytest.raises(ConfigError, match="covariance"):
        stationary_covariance(np.eye(2), -np.eye(2), 0.1)
    with pytest.raises(ConfigError, match="one shape"):
        stationary_covariance(np.eye(2), np.eye(3), 0.1)
    with pytest.raises(ConfigError, match="alpha"):
        run_rmsprop(np.eye(2), [1.0, 1.0], 0.1, 1.0, 3)
    with pytest.raises(ConfigError, match="at most 16"):
        two_cycles(np.eye(17), 0.1)
    with pytest.raises(ConfigError, match="max_sweeps"):
        trace_minimal_majorant(covariance(0, 4), rtol=1e-15, max_sweeps=20)


GRADIENTS = st.lists(st.one_of(st.just(0.0), st.floats(1e-6, 1e6), st.floats(-1e6, -1e-6)), min_size=1, max_size=30)


def steps(optimizer: torch.optim.Optimizer, w: torch.Tensor, gradients: list[float]) -> list[float]:
    """How far one weight moves at each step, given its gradients."""
    found = []
    for gradient in gradients:
        before = w.item()
        w.grad = torch.full_like(w, gradient)
        optimizer.step()
        found.append(abs(w.item() - before))
    return found


@pytest.mark.claim("BND")
@given(ALPHA, GRADIENTS, st.sampled_from([0.0, 1e-6, 1e-2]))
def test_no_step_of_rmsprop_passes_its_bound(alpha, gradients, damping):
    assume(damping > 0 or gradients[0] != 0)  # 0/0
    w = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    moved = steps(torch.optim.RMSprop([w], lr=0.1, alpha=alpha, eps=damping), w, gradients)
    assert max(moved) <= 0.1 / math.sqrt(1 - alpha) * (1 + 1e-9)
    if damping == 0:  # from v = 0 the first step reaches it
        assert moved[0] == pytest.approx(0.1 / math.sqrt(1 - alpha))


@pytest.mark.claim("BND")
@given(st.floats(-3, 9), st.sampled_from([1e-4, 1e-2, 1.0]))
def test_a_step_of_esgd_grows_with_the_gradient_where_no_curvature_was_met(power, damping):
    """A weight that slept through every product and wakes up between two: ε|g|/λ, the bound itself."""
    w = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    optimizer = ESGD([w], lr=0.1, damping=damping, update_every=20, warmup_probes=3)
    for _ in range(5):
        optimizer.zero_grad()
        optimizer.probe(0 * w.square().sum()).backward()
        optimizer.step()
    assert w.item() == 0
    gradient = 10**power
    assert steps(optimizer, w, [gradient]) == [pytest.approx(0.1 * gradient / damping)]


@pytest.mark.claim("BND")
@given(st.floats(0.01, 100), st.floats(0.01, 100), st.sampled_from([1e-4, 1e-2]))
def test_a_step_of_esgd_is_at_most_the_gradient_over_the_damping(curvature, gradient, damping):
    w = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    optimizer = ESGD([w], lr=0.1, damping=damping)
    optimizer.probe((gradient * w + curvature / 2 * w.square()).sum()).backward()
    optimizer.step()
    assert abs(w.item()) == pytest.approx(0.1 * gradient / (curvature + damping))
    assert abs(w.item()) <= 0.1 * gradient / damping
