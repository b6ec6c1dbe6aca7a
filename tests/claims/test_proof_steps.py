"""The proofs of Chapters 1 to 5 and 8 line by line: each step that numbers can check, on random matrices."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from matrices import rotate, symmetric, vectors

from esgd.theory import (
    abs_matrix,
    absolute_diagonal,
    condition_number,
    equilibration_diagonal,
    hyperbolic_boost,
    ideal_preconditioner,
    jacobi_diagonal,
    left_scaled,
    newton_and_saddle_free,
    trace_minimal_majorant,
    two_cycles,
    two_sided,
)

SEED = st.integers(0, 10**6)


@pytest.mark.claim("S2")
@given(symmetric(indefinite=False, min_size=1), SEED, st.floats(0.05, 2.5))
def test_rate_theorem_bound_is_the_norm_of_the_step_and_is_attained(H, seed, scaled):
    values, q = np.linalg.eigh(H)
    rate = scaled / values[-1]
    factor = max(abs(1 - rate * values[0]), abs(1 - rate * values[-1]))
    step = np.eye(len(H)) - rate * H
    theta = vectors(seed, len(H)).reshape(len(H))
    assert np.linalg.norm(step @ theta) <= factor * np.linalg.norm(theta) * (1 + 1e-9)
    assert max(np.linalg.norm(step @ q[:, j]) for j in (0, -1)) == pytest.approx(factor, abs=1e-9)


@pytest.mark.claim("S2")
def test_one_rate_does_well_in_the_flat_direction_and_diverges_in_the_steep_one():
    H = np.array([[4.0, 1.0], [1.0, 1.0]])
    (flat, steep), q = np.linalg.eigh(H)
    for scaled in (1.9, 2.1):
        step = np.eye(2) - scaled / steep * H
        left = np.abs(q.T @ np.linalg.matrix_power(step, 60) @ q.sum(1))
        assert left[0] < 1e-8
        assert (left[1] > 100) == (scaled > 2)
    assert (1 - scaled / steep * flat) ** 60 < 1e-8  # the flat mode alone, at the rate that diverges


@pytest.mark.claim("S2")
def test_the_best_rate_is_best_for_all_starts_and_not_from_each():
    h = np.array([1.0, 100.0])
    loss = lambda rate, steps: (h * (1 - rate * h) ** (2 * steps)).sum() / h.sum()  # noqa: E731
    best, safe = 2 / h.sum(), 1 / h.max()
    assert loss(safe, 115) < 1e-3 < loss(best, 172)
    assert loss(best, 691) < 1e-12 < loss(safe, 1145)
    for rate in np.linspace(0.1, 1.99, 50) * safe:  # from one of the two axes every other rate loses
        assert np.abs(1 - rate * h).max() > np.abs(1 - best * h).max()


@pytest.mark.claim("T1")
@given(symmetric(), SEED)
def test_theorem_1_prime_cauchy_schwarz_and_the_root(H, seed):
    M = rotate(np.exp(vectors(seed, len(H))), np.random.default_rng(seed))
    sv = np.linalg.svd(H @ M, compute_uv=False)
    assert (sv**2).sum() * (sv**-2.0).sum() >= len(H) ** 2 * (1 - 1e-9)
    best = 3 * ideal_preconditioner(H)
    assert np.allclose(best @ H @ H @ best, 9 * np.eye(len(H)), atol=1e-7)  # MH²M = c²I
    root = 3 * np.linalg.inv(best)
    assert np.allclose(root @ root, H @ H, rtol=1e-7, atol=1e-9 * np.abs(H @ H).max())


@pytest.mark.claim("T1p")
@given(symmetric(indefinite=True))
def test_commuting_squares_are_enough_only_for_a_positive_definite_m(H):
    """What M ≻ 0 adds: M is a function of M², so it commutes with H² when M² does. H itself need not commute."""
    _, q = np.linalg.eigh(H)
    pair = q[:, [0, -1]]  # two eigenvectors with unlike signs, made equal in size: H² is a multiple of I there
    flat = pair @ np.diag([-1.0, 1.0]) @ pair.T
    swap = pair @ np.array([[0.0, 1.0], [1.0, 0.0]]) @ pair.T
    positive = pair @ np.array([[2.0, 1.0], [1.0, 2.0]]) @ pair.T
    for M in (swap, positive):
        assert np.allclose(flat @ flat @ M @ M, M @ M @ flat @ flat, atol=1e-9)
        assert not np.allclose(flat @ M, M @ flat, atol=0.1)
    assert np.allclose(flat @ flat @ positive, positive @ flat @ flat, atol=1e-9)


@pytest.mark.claim("T1two")
@given(symmetric(indefinite=True, max_size=6, decades=1), SEED)
def test_boosts_step_by_step(H, seed):
    n, p = len(H), int((np.linalg.eigvalsh(H) > 0).sum())
    M = hyperbolic_boost(H, 0.5 * np.random.default_rng(seed).standard_normal((p, n - p))) * 2
    assert np.allclose(M @ H @ M @ H, 4 * np.eye(n), atol=1e-7)  # (MH)² = c²I
    values, q = np.linalg.eigh(H)
    half, J = (q * np.abs(values) ** 0.5) @ q.T, (q * np.sign(values)) @ q.T
    B = half @ M @ half / 2
    assert np.allclose(B @ J @ B, J, atol=1e-7)
    logs, u = np.linalg.eigh(B)
    K = (u * np.log(logs)) @ u.T
    assert np.allclose(J @ K @ J, -K, atol=1e-7)
    # one step of size 1/c removes what should shrink and doubles what should grow
    step = np.eye(n) - M @ H / 2
    assert np.allclose(step @ step, 2 * step, atol=1e-7)
    assert np.trace(step) == pytest.approx(2 * (n - p))
    assert not np.allclose(M @ H, H @ M, rtol=1e-3)


@pytest.mark.claim("T2")
@given(symmetric(), SEED, st.floats(0.05, 2))
def test_theorem_2_prime_lengths_quadratic_and_linear_terms(H, seed, alpha):
    g = vectors(seed, len(H))
    pair = newton_and_saddle_free(H, g, alpha)
    scale = abs(g @ pair.saddle_free)
    assert np.linalg.norm(pair.newton) == pytest.approx(alpha * pair.radius)
    assert np.linalg.norm(pair.saddle_free) == pytest.approx(alpha * pair.radius)
    quadratic = [d @ H @ d / 2 for d in (pair.newton, pair.saddle_free)]
    assert quadratic[0] == pytest.approx(quadratic[1], abs=1e-9 * alpha * scale)
    assert g @ (pair.newton - pair.saddle_free) == pytest.approx(2 * alpha * pair.negative_gain, abs=1e-9 * scale)


@pytest.mark.claim("TR")
def test_the_absolute_trust_region_needs_a_nonsingular_hessian():
    H = np.diag([1.0, -1.0, 0.0])
    along = np.array([0.0, 0.0, 1e9])
    assert along @ abs_matrix(H) @ along == 0  # as far as you like, inside every region


@pytest.mark.claim("S4")
@given(symmetric(decades=4))
def test_kantorovich_step_by_step(H):
    sizes = np.abs(np.linalg.eigvalsh(H))
    m, M = sizes.min(), sizes.max()
    a, e = absolute_diagonal(H), equilibration_diagonal(H)
    assert (e**2 <= (m + M) * a - m * M + 1e-9 * M**2).all()
    assert ((m + M) / a - m * M / a**2 <= (m + M) ** 2 / (4 * m * M) * (1 + 1e-9)).all()


@pytest.mark.claim("ThS", "S53")
@given(symmetric(decades=3, min_size=1), SEED)
def test_theorem_s_step_by_step(H, seed):
    n, e = len(H), equilibration_diagonal(H)
    rows = left_scaled(H, e)
    assert np.linalg.norm(rows) == pytest.approx(np.sqrt(n))
    S = two_sided(H, e)
    assert np.linalg.norm(S, 2) <= np.linalg.norm(rows, 2) * (1 + 1e-7)  # the spectral radius of D_E⁻¹H
    d = np.exp(vectors(seed, n).reshape(n))
    B = left_scaled(H, d)
    assert np.allclose(e / d, np.linalg.norm(B, axis=1))
    assert (e / d <= np.linalg.norm(B, 2) * (1 + 1e-9)).all()
    # the learning rate: 1/√N does not overshoot a rising direction, 2/√N does not diverge in one
    rising = np.linalg.eigvalsh(S)
    rising = rising[rising > 0]
    assert (1 - rising / np.sqrt(n) >= -1e-9).all()
    assert (np.abs(1 - 1.999 * rising / np.sqrt(n)) < 1).all()


@pytest.mark.claim("ThS")
@given(st.floats(1e-6, 0.5), st.integers(3, 6))
def test_theorem_s_part_3_for_delta_up_to_a_half(delta, n):
    H = np.eye(n)
    H[:2, :2] = [[delta, 1], [1, delta]]
    j = jacobi_diagonal(H)
    grown = (1 + delta) / delta
    assert np.linalg.norm(two_sided(H, j), 2) == pytest.approx(grown)
    assert condition_number(H, j, definition="sv") == pytest.approx(grown, rel=1e-6)
    assert condition_number(H, j) == pytest.approx(grown, rel=1e-6)
    assert condition_number(H) == pytest.approx(max((1 + delta) / (1 - delta), 1))


@pytest.mark.claim("ThS")
def test_theorem_s_part_3_is_another_number_beyond_a_half():
    H = np.array([[0.8, 1, 0], [1, 0.8, 0], [0, 0, 1]])
    assert condition_number(H, jacobi_diagonal(H)) == pytest.approx(1.8 / 0.2)


@pytest.mark.claim("F1")
@given(st.floats(0.02, 1.55), st.floats(1.1, 50), st.sampled_from([1.0, -1.0]))
def test_in_the_plane_what_is_turned_becomes_rounder_at_best(angle, size, sign):
    q = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    H = q @ np.diag([size, sign]) @ q.T
    after = condition_number(H, equilibration_diagonal(H))
    assert 1 + 1e-6 < after <= size * (1 + 1e-9)


@pytest.mark.claim("F1")
def test_in_more_dimensions_a_turned_saddle_can_become_round_and_kappa_can_rise():
    swap = np.array([[0.0, 1.0], [1.0, 0.0]])
    H = np.kron(np.diag([4.0, 1.0]), swap)
    assert condition_number(H) == pytest.approx(4)
    assert condition_number(H, equilibration_diagonal(H)) == pytest.approx(1)
    rng = np.random.default_rng(0)
    draws = [a + a.T for a in rng.standard_normal((3000, 3, 3))]
    assert max(condition_number(H, equilibration_diagonal(H)) / condition_number(H) for H in draws) > 1.05


@st.composite
def positive(draw, max_size=5):
    n = draw(st.integers(1, max_size))
    B = np.random.default_rng(draw(SEED)).standard_normal((n, n + 1))
    return B @ B.T


@pytest.mark.claim("ThO")
@given(positive())
def test_theorem_o_a_there_is_always_a_cycle(H):
    best = max(two_cycles(H, 0.1), key=lambda c: c.signs @ H @ c.signs)
    every = np.array(np.meshgrid(*[[-1.0, 1.0]] * len(H))).reshape(len(H), -1)
    assert best.signs @ H @ best.signs == pytest.approx(np.einsum("is,ij,js->s", every, H, every).max())
    assert (best.root_v >= 0.05 * np.diag(H) * (1 - 1e-9)).all()


@pytest.mark.claim("ThO")
@given(positive(max_size=4), st.floats(0.1, 0.95))
def test_theorem_o_b_the_linearised_step(H, alpha):
    """The derivative of (Δ, v) → −(Δ′, v′) at a cycle, by differences, has the spectrum of the proof's blocks."""
    lr, n = 0.1, len(H)
    for cycle in two_cycles(H, lr):
        assume((cycle.root_v > 1e-3 * lr).all())
        at = np.concatenate([lr / 2 * cycle.signs, cycle.root_v**2])

        def step(x):
            g = H @ x[:n]
            v = alpha * x[n:] + (1 - alpha) * g**2
            return np.concatenate([-(x[:n] - lr * g / np.sqrt(v)), v])

        assert np.allclose(step(at), at, rtol=1e-9)
        h = 1e-5 * np.abs(at)
        J = np.stack([(step(at + e) - step(at - e)) / (2 * e.sum()) for e in np.diag(h)], 1)
        found = np.poly(J)
        a = np.linalg.eigvalsh(lr * H / np.sqrt(np.outer(cycle.root_v, cycle.root_v)))
        blocks = [[[alpha * x - 1, -alpha], [(1 - alpha) * x, alpha]] for x in a]
        predicted = np.poly(np.concatenate([np.linalg.eigvals(b) for b in blocks]))
        assert np.allclose(found, predicted, rtol=1e-3, atol=1e-4 * np.abs(predicted).max())


@pytest.mark.claim("ThO")
@given(positive())
def test_theorem_o_e_complementary_slackness(H):
    """From the other side: the program's own solution satisfies the hypotheses of (e)."""
    lr = 0.1
    best = trace_minimal_majorant(lr / 2 * H, rtol=1e-10)
    D, S = np.diag(best.diagonal), lr**2 / 4 * best.gram
    flip = (np.eye(len(H)) - lr * np.linalg.solve(D, H)) @ S
    assert np.allclose(flip, -S, atol=2e-3 * lr**2)
    assert np.allclose(np.diag(H @ S @ H), best.diagonal**2, rtol=5e-3)


@pytest.mark.claim("ThO")
@pytest.mark.parametrize("c", [0.0004, 0.04])
def test_theorem_o_f_by_simulation(c):
    """Many RMSProp paths of one noisy mode with a slow average: √v settles where the formula says."""
    rng, h, lr, alpha = np.random.default_rng(0), 1.7, 0.1, 0.999
    x, v = np.full(300, 0.1), np.full(300, 0.01)
    total, kept = 0.0, 0
    for t in range(12_000):
        g = h * x + np.sqrt(c) * rng.standard_normal(300)
        v = alpha * v + (1 - alpha) * g**2
        x = x - lr * g / np.sqrt(v)
        if t >= 8000:
            total, kept = total + np.sqrt(v).mean(), kept + 1
    assert total / kept == pytest.approx(lr * h / 4 + np.sqrt(lr**2 * h**2 / 16 + c), rel=0.02)
