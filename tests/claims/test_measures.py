"""Sections 7 and 8: counts, captions and yardsticks."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matrices import rotate, symmetric

from esgd.nets import count_parameters, curves_autoencoder, mnist_autoencoder
from esgd.theory import condition_number, equilibration_diagonal, jacobi_diagonal


def cosine_distance(u, v):
    return 1 - u @ v / np.linalg.norm(u) / np.linalg.norm(v)


def dominance(H):
    return np.linalg.norm(np.diag(H)) / np.linalg.norm(H)


@pytest.mark.claim("N")
def test_the_two_autoencoders_by_count():
    def by_hand(sizes):
        sizes = [*sizes, *sizes[-2::-1]]
        return sum(a * b + b for a, b in itertools.pairwise(sizes)), len(sizes) - 2

    assert by_hand([784, 1000, 500, 250, 30]) == (2_837_314, 7)
    assert by_hand([784, 400, 200, 100, 50, 25, 6]) == (842_340, 11)
    assert count_parameters(mnist_autoencoder()) == 2_837_314
    assert count_parameters(curves_autoencoder()) == 842_340


@pytest.mark.claim("CAP")
@given(symmetric(indefinite=True))
def test_the_captions_formula_is_jacobis(H):
    printed = np.sqrt(np.diag(H) ** 2)
    assert np.allclose(printed, jacobi_diagonal(H))
    assert (printed <= equilibration_diagonal(H) * (1 + 1e-12)).all()
    if np.abs(H - np.diag(np.diag(H))).max() > 1e-3 * np.abs(H).max():
        assert not np.allclose(printed, equilibration_diagonal(H), rtol=1e-9)


@pytest.mark.claim("C1")
@given(st.lists(st.tuples(st.floats(0, 1e3), st.floats(0, 1e3)), min_size=1, max_size=20))
def test_non_negative_vectors_are_never_more_than_one_apart(pairs):
    u, v = np.array(pairs).T + 1e-6
    assert cosine_distance(u, v) <= 1 + 1e-12


@pytest.mark.claim("C1")
def test_the_cosine_does_not_see_small_entries():
    n = 1000
    d = np.ones(n)
    d[:300] = 1e-3  # small curvatures, for which the preconditioner matters
    other = d.copy()
    other[150:300] /= 10
    other[:150] *= 10
    assert cosine_distance(d, other) < 2e-5
    assert (other / d).max() / (other / d).min() == pytest.approx(100)


@pytest.mark.claim("C2")
def test_the_floor_of_a_hundred_probes():
    """Independent rows, as in a large network: D_E is known to 1/(4k); the noise of D_J is the row's energy."""
    rng = np.random.default_rng(0)
    k, n = 100, 300
    H = rng.standard_normal((n, n)) / np.sqrt(n)
    H = (H + H.T) / 2 + np.diag(0.3 * rng.standard_normal(n))
    e, j = equilibration_diagonal(H), jacobi_diagonal(H)
    to_e, to_j = [], []
    for _ in range(40):
        v = rng.standard_normal((k, n))
        to_e.append(cosine_distance(np.sqrt(((v @ H) ** 2).mean(0)), e))
        signs = np.sign(v)
        to_j.append(cosine_distance(np.abs((signs * (signs @ H)).mean(0)), j))
    assert np.mean(to_e) == pytest.approx(1 / (4 * k), rel=0.15)
    assert np.mean(to_j) > 4 * np.mean(to_e)  # 100 probes are not the same reference for both


@pytest.mark.claim("E6b")
def test_one_over_root_n_of_a_million():
    assert 100 / math.sqrt(10**6) == 0.1  # per cent, where the paper prints 0.01
    assert 100 / math.sqrt(10**8) == 0.01


@pytest.mark.claim("E6c")
def test_dominance_is_not_conditioning():
    assert pytest.approx(0.9775) == 1 - 0.15**2
    H = np.array([[1, 0.999], [0.999, 1]])
    assert dominance(H) == pytest.approx(0.707, abs=1e-3)
    assert condition_number(H) == pytest.approx(1999)
    grid = np.exp(np.linspace(-3, 3, 61))
    assert min(condition_number(H, [1.0, t]) for t in grid) == pytest.approx(1999)
    # and the other way round: no diagonal at all, and perfectly conditioned
    swap = np.array([[0.0, 1], [1, 0]])
    assert dominance(swap) == 0
    assert condition_number(swap) == pytest.approx(1)


@pytest.mark.claim("E6d")
def test_the_random_matrix_baseline():
    rng = np.random.default_rng(0)
    n, draws = 5, 40_000
    squares = rng.standard_normal((draws, n, n)) ** 2
    d2 = np.einsum("kii->k", squares) / squares.sum((1, 2))
    assert d2.mean() == pytest.approx(1 / n, abs=4 * d2.std() / np.sqrt(draws))
    assert np.sqrt(d2).mean() < 1 / np.sqrt(n) - 4 * np.sqrt(d2).std() / np.sqrt(draws)  # the printed equality
    # exactly, over all 3^4 matrices with entries −2, 1, 1 (mean 0), by exchangeability
    every = np.array(list(itertools.product([-2.0, 1.0, 1.0], repeat=4))) ** 2
    assert ((every[:, 0] + every[:, 3]) / every.sum(1)).mean() == pytest.approx(0.5)
    # symmetric: the off-diagonal draw counts twice
    a = rng.standard_normal((200_000, 3)) ** 2
    symmetric2 = (a[:, 0] + a[:, 1]) / (a[:, 0] + a[:, 1] + 2 * a[:, 2])
    assert symmetric2.mean() == pytest.approx(0.571, abs=0.004)


@pytest.mark.claim("E6c")
@given(st.integers(0, 10**6))
def test_a_rotation_changes_dominance_and_leaves_the_condition_number(seed):
    spectrum = np.array([10.0, 1.0, -1.0])
    H = rotate(spectrum, np.random.default_rng(seed))
    assert condition_number(H) == pytest.approx(10)
    assert dominance(H) <= dominance(np.diag(spectrum)) + 1e-12
