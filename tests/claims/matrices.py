"""Matrices to attack the theorems with: rotations of a chosen spectrum, so that κ and the index are known."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st


def rotate(spectrum: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    q = np.linalg.qr(rng.standard_normal((len(spectrum),) * 2))[0]
    h = (q * spectrum) @ q.T
    return (h + h.T) / 2


@st.composite
def symmetric(draw, min_size=2, max_size=7, indefinite=None, decades=2.0):
    """A symmetric nonsingular matrix: sizes log-uniform over some decades, signs free, or forced either way."""
    n = draw(st.integers(min_size, max_size))
    logs = draw(st.lists(st.floats(-decades / 2, decades / 2), min_size=n, max_size=n))
    signs = np.array(draw(st.lists(st.sampled_from([-1.0, 1.0]), min_size=n, max_size=n)))
    if indefinite is True:
        signs[0], signs[1] = 1.0, -1.0
    elif indefinite is False:
        signs[:] = 1.0
    seed = draw(st.integers(0, 2**32 - 1))
    return rotate(signs * 10.0 ** np.array(logs), np.random.default_rng(seed))


def vectors(seed: int, n: int, count: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((count, n)).squeeze()
