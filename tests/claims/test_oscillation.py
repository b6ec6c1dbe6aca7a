"""Theorem O: deterministic RMSProp's 2-cycles, which of them attract, and the program that they solve."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from esgd.theory import run_rmsprop, trace_minimal_majorant, two_cycles

pytestmark = pytest.mark.claim("ThO")
LR = 0.1


@st.composite
def gram(draw, min_size=2, max_size=6):
    n = draw(st.integers(min_size, max_size))
    B = np.random.default_rng(draw(st.integers(0, 2**32 - 1))).standard_normal((n, n + 1))
    return B @ B.T


@given(gram(), st.floats(0.1, 0.99))
def test_a_every_sign_fixed_point_is_a_cycle_of_the_printed_form(H, alpha):
    for cycle in two_cycles(H, LR):
        start = LR / 2 * cycle.signs
        path, v = run_rmsprop(H, start, LR, alpha, 2, v=cycle.root_v**2)
        assert np.allclose(path[1], -start)
        assert np.allclose(path[2], start)
        assert np.allclose(v, cycle.root_v**2)
        assert np.allclose(cycle.root_v, LR / 2 * np.abs(H @ cycle.signs))


@settings(max_examples=20)
@given(gram(max_size=4), st.floats(0.2, 0.95), st.integers(0, 10**6))
def test_a_there_are_no_other_cycles(H, alpha, seed):
    """Run it; where it ends in period 2, the end is one of the cycles listed."""
    n = len(H)
    start = LR * np.random.default_rng(seed).standard_normal(n)
    path, _ = run_rmsprop(H, start, LR, alpha, 4000)
    assume(np.abs(path[-1] - path[-3]).max() < 1e-10)
    end = path[-1] * np.sign(path[-1][0])
    assert min(np.abs(end - LR / 2 * c.signs).max() for c in two_cycles(H, LR)) < 1e-6


@settings(max_examples=25)
@given(gram(max_size=5), st.sampled_from([0.3, 0.7, 0.9, 0.97]), st.integers(0, 10**6))
def test_b_a_cycle_attracts_exactly_below_one_plus_one_over_alpha(H, alpha, seed):
    noise = np.random.default_rng(seed).standard_normal(len(H))
    for cycle in two_cycles(H, LR):
        if abs(cycle.largest - 1 - 1 / alpha) < 0.05:
            continue  # too near the edge to see in a finite run
        start = LR / 2 * cycle.signs
        path, _ = run_rmsprop(H, start * (1 + 1e-7 * noise), LR, alpha, 3000, v=cycle.root_v**2)
        end = path[-1] * np.sign(path[-1][0] * start[0])
        assert (np.abs(end - start).max() < 1e-4 * LR) == cycle.is_stable(alpha)


@given(gram(), st.floats(0.2, 0.99))
def test_c_an_attracting_cycle_nearly_solves_the_program(H, alpha):
    optimum = trace_minimal_majorant(LR / 2 * H, rtol=1e-8).diagonal
    for cycle in two_cycles(H, LR):
        trace = cycle.root_v.sum()
        assert trace <= optimum.sum() * (1 + 1e-7)  # s sᵀ is feasible for the dual
        if cycle.is_stable(alpha):
            assert trace >= 2 * alpha / (1 + alpha) * optimum.sum() * (1 - 1e-7)
        if cycle.largest < 2 + 1e-12:  # D ⪰ (ε/2)H
            assert np.allclose(cycle.root_v, optimum, rtol=1e-3)


@given(gram(), st.floats(0.2, 0.99))
def test_d_bounds_of_the_entries(H, alpha):
    for cycle in two_cycles(H, LR):
        assert (cycle.root_v <= LR / 2 * np.abs(H).sum(1) * (1 + 1e-12)).all()
        if cycle.is_stable(alpha):
            assert (cycle.root_v >= LR * alpha / (1 + alpha) * np.diag(H) * (1 - 1e-12)).all()
        if cycle.largest < 2 + 1e-12:
            assert (cycle.root_v >= LR / 2 * np.diag(H) * (1 - 1e-9)).all()


def test_d_the_lower_bound_needs_its_hypothesis():
    H = np.array([[4.0, 1.0], [1.0, 2.0]])
    tight, loose = two_cycles(H, LR)
    assert 2 / LR * tight.root_v == pytest.approx([5, 3])
    assert 2 / LR * loose.root_v == pytest.approx([3, 1])  # below H_ii = (4, 2), and yet a 2-cycle
    assert loose.largest == pytest.approx(14 / 3)
    assert loose.is_stable(0.27)
    assert not loose.is_stable(0.28)


@pytest.mark.parametrize("n", [3, 5])
def test_e_without_a_cycle_slow_averages_still_solve_the_program(n):
    """A frustrated Hessian: every sign vector loses, the optimum has rank above one, no cycle is tight."""
    H = 2.35 * np.eye(n) - 0.35 if n == 5 else 2 * np.eye(3) - 0.5
    assert not [c for c in two_cycles(H, LR) if c.largest < 2 + 1e-9]
    optimum = trace_minimal_majorant(LR / 2 * H)
    assert (np.linalg.eigvalsh(optimum.gram) > 1e-4).sum() > 1
    alpha = 0.999
    _, v = run_rmsprop(H, LR * np.random.default_rng(0).standard_normal(n), LR, alpha, 40_000)
    assert np.allclose(np.sqrt(v[-10_000:].mean(0)), optimum.diagonal, rtol=3e-3)


@given(gram(), st.integers(0, 5))
def test_the_majorant_is_certified_and_unique(A, seed):
    A = A - np.trace(A) / len(A) * np.eye(len(A)) * 0.7  # indefinite ones too
    found = trace_minimal_majorant(A, rtol=1e-9, seed=seed)
    assert np.linalg.eigvalsh(np.diag(found.diagonal) - A)[0] >= -1e-8 * np.abs(A).max()  # primal feasible
    assert np.allclose(np.diag(found.gram), 1)
    assert np.linalg.eigvalsh(found.gram)[0] >= -1e-12  # dual feasible
    assert found.diagonal.sum() - (A * found.gram).sum() <= 1e-7 * np.abs(A).sum()
    again = trace_minimal_majorant(A, rtol=1e-9, seed=seed + 100)
    assert np.allclose(again.diagonal, found.diagonal, atol=2e-3 * np.abs(A).max())


@given(st.floats(0.05, 1.5), st.floats(0.0, 2.0))
def test_a_diagonal_mode_with_noise_goes_from_curvature_to_noise(lr, c):
    """The fixed point of v = h²Σ + c with RMSProp's own step: √v = εh/4 + √(ε²h²/16 + c)."""
    h = 1.7
    root = lr * h / 4 + np.sqrt(lr**2 * h**2 / 16 + c)
    eff = lr / root  # the step that mode takes: θ ← θ − eff·(hθ + ξ)
    assume(c > 1e-6)
    sigma = eff * c / (2 * h - eff * h**2)  # Theorem R for one mode
    assert h**2 * sigma + c == pytest.approx(root**2, rel=1e-6)
    assert lr * h / (2 * root) <= 1 + 1e-12  # within the stable range
