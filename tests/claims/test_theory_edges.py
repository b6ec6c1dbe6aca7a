"""The edges of the theorems' hypotheses: one weight, zero gradients, singular, repeated and complex spectra."""

from __future__ import annotations

import numpy as np
import pytest

from esgd.errors import ConfigError
from esgd.theory import (
    abs_matrix,
    condition_number,
    equilibration_diagonal,
    frobenius_condition,
    gradient_second_moment,
    hyperbolic_boost,
    ideal_preconditioner,
    newton_and_saddle_free,
    run_rmsprop,
    trace_minimal_majorant,
    two_cycles,
    two_sided,
)


@pytest.mark.parametrize("h", [3.0, -0.2])
def test_one_weight(h):
    assert ideal_preconditioner([[h]]) == pytest.approx(1 / abs(h))
    assert frobenius_condition([[h]]) == condition_number([[h]]) == pytest.approx(1)
    assert two_sided([[h]], equilibration_diagonal([[h]])) == pytest.approx(np.sign(h))
    pair = newton_and_saddle_free([[h]], [0.5], 0.7)
    assert pair.negative_gain == pytest.approx(0 if h > 0 else 0.25 / abs(h))
    if h > 0:
        (cycle,) = two_cycles([[h]], 0.1)
        assert cycle.root_v == pytest.approx(0.05 * h)
        assert gradient_second_moment([[h]], [[2.0]], 0.1) == pytest.approx(4 / (2 - 0.1 * h))
        assert trace_minimal_majorant([[h]]).diagonal == pytest.approx(h)


@pytest.mark.parametrize("spectrum", [(2.0, 2.0, -2.0), (1.0, 1.0, 1.0), (-3.0, -3.0, 5.0)])
def test_repeated_eigenvalues_do_not_depend_on_the_basis(spectrum):
    values = np.array(spectrum)
    for seed in range(4):
        q = np.linalg.qr(np.random.default_rng(seed).standard_normal((3, 3)))[0]
        H = (q * values) @ q.T
        H = (H + H.T) / 2
        g = np.array([1.0, -2.0, 0.5])
        pair = newton_and_saddle_free(H, g)
        assert abs_matrix(H) == pytest.approx((q * np.abs(values)) @ q.T, abs=1e-12)
        S = sum((q[:, j] @ g) ** 2 / -v for j, v in enumerate(values) if v < 0)
        assert pair.negative_gain == pytest.approx(S, abs=1e-12)
        assert hyperbolic_boost(H, None) == pytest.approx((q / np.abs(values)) @ q.T, abs=1e-12)


def test_without_a_gradient_or_without_falling_directions_the_steps_are_one():
    still = newton_and_saddle_free(np.diag([2.0, -1.0]), [0.0, 0.0])
    assert not still.newton.any()
    assert still.margin(5.0) == 0
    assert still.safe_step(5.0) == np.inf
    along = newton_and_saddle_free(np.diag([2.0, -1.0]), [1.0, 0.0])
    assert (along.newton == along.saddle_free).all()
    assert along.safe_step(5.0) == np.inf  # S = 0, and yet r > 0


def test_singular_and_complex_matrices_are_refused():
    q = np.linalg.qr(np.random.default_rng(0).standard_normal((4, 4)))[0]
    H = (q * [3.0, 1.0, -2.0, 0.0]) @ q.T  # its zero is one to rounding only
    H = (H + H.T) / 2
    for call in (
        lambda: newton_and_saddle_free(H, np.ones(4)),
        lambda: ideal_preconditioner(H),
        lambda: two_cycles(H @ H, 0.1),
    ):
        with pytest.raises(ConfigError, match="nonsingular"):
            call()
    with pytest.raises(ConfigError, match="singular"):
        frobenius_condition(H)
    with pytest.raises(ConfigError, match="square"):
        frobenius_condition(np.ones((2, 3)))
    with pytest.raises(ConfigError, match="real"):
        abs_matrix([[1, 1j], [-1j, 1]])
    with pytest.raises(ConfigError, match="positive definite"):
        two_cycles(np.diag([1.0, -1.0]), 0.1)
    with pytest.raises(ConfigError, match="lr must be positive"):
        two_cycles(np.eye(2), 0.0)
    # what needs no inverse takes a singular matrix
    assert np.linalg.eigvalsh(abs_matrix(H)) == pytest.approx([0, 1, 2, 3], abs=1e-12)


def test_a_weight_without_gradient_stays():
    path, v = run_rmsprop(np.diag([1.0, 2.0]), [1.0, 0.0], 0.1, 0.9, 5)
    assert np.isfinite(path).all()
    assert (path[:, 1] == 0).all()
    assert (v[:, 1] == 0).all()
    assert (np.diff(path[:, 0]) < 0).all()


def test_the_program_of_the_zero_matrix():
    found = trace_minimal_majorant(np.zeros((3, 3)))
    assert not found.diagonal.any()
    assert found.gap == 0
