"""What RMSProp reads at a saddle, where Theorem R has no stationary law: the noise first, then the escape."""

from __future__ import annotations

import numpy as np
import pytest

from esgd.errors import ConfigError
from esgd.figures import fig2
from esgd.theory import stationary_covariance


def second_moment(h: float, lr: float, c: float, t: int) -> float:
    """E g_b² = h² E x_t² + c of one falling mode that starts on the ridge (chapters 2 and 8)."""
    grow = (1 - lr * h) ** 2
    return h**2 * lr**2 * c * (grow**t - 1) / (grow - 1) + c


@pytest.mark.claim("R2", "ThR")
def test_the_falling_mode_reads_what_chapter_8_says():
    h, lr, c, t = -1.0, 0.1, 0.25, 25
    x = np.array([fig2.mode_path(h, lr, t, start=0.0, noise=np.sqrt(c), seed=s)[-1] for s in range(3000)])
    noise = np.random.default_rng(1).standard_normal(3000) * np.sqrt(c)
    assert np.mean((h * x + noise) ** 2) == pytest.approx(second_moment(h, lr, c, t), rel=0.1)


@pytest.mark.claim("R2", "ThR")
def test_first_the_noise_then_the_escape():
    c = 0.25
    assert second_moment(-1.0, 1e-4, c, 50) == pytest.approx(c, rel=0.01)  # ε|h|t = 0.005
    late = [second_moment(-1.0, 0.1, c, t) for t in (150, 151)]
    assert late[0] > 1e6 * c
    assert late[1] / late[0] == pytest.approx(1.1**2, rel=1e-6)
    with pytest.raises(ConfigError, match="no stationary law"):
        stationary_covariance(np.diag([1.0, -1.0]), np.eye(2), 0.1)
