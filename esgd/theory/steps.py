"""Theorem 2′: the Newton step against the saddle-free step."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from esgd.errors import ConfigError
from esgd.theory.matrices import nonsingular_eigh

__all__ = ["StepPair", "newton_and_saddle_free"]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class StepPair:
    """Both steps from one point, and what Theorem 2′ says about them.

    Attributes:
        newton: −α H⁻¹g, shape (N,).
        saddle_free: −α |H|⁻¹g, shape (N,), of the same length.
        negative_gain: S = Σ over λ < 0 of (qᵀg)² / |λ|, in units of the loss.
        radius: r = ‖H⁻¹g‖.
        step: α.
    """

    newton: Array
    saddle_free: Array
    negative_gain: float
    radius: float
    step: float

    def margin(self, lipschitz: float) -> float:
        """Lower bound 2αS − (L/3)α³r³ of f(Newton) − f(saddle-free), for an L-Lipschitz Hessian."""
        return 2 * self.step * self.negative_gain - lipschitz / 3 * (self.step * self.radius) ** 3

    def safe_step(self, lipschitz: float) -> float:
        """Largest α at which the theorem promises that the saddle-free step is no worse: α²Lr³ ≤ 6S.

        Infinite also for S = 0, where the two steps are one, and for L = 0, a quadratic.
        """
        if lipschitz * self.radius == 0 or self.negative_gain == 0:
            return np.inf
        return float(np.sqrt(6 * self.negative_gain / (lipschitz * self.radius**3)))


def newton_and_saddle_free(H: ArrayLike, g: ArrayLike, step: float = 1.0) -> StepPair:
    """The two steps of Section 5.2 and the quantities of Theorem 2′.

    Args:
        H: symmetric and nonsingular, shape (N, N).
        g: gradient, shape (N,).
        step: step length α > 0; the paper takes 1.

    Raises:
        ConfigError: H singular, shapes that do not match, or a step that is not positive.
    """
    values, vectors = nonsingular_eigh(H)
    g = np.asarray(g, dtype=np.float64)
    if g.shape != values.shape:
        raise ConfigError(f"g must have shape ({len(values)},), but its shape is {g.shape}")
    if not step > 0:
        raise ConfigError(f"step must be positive, but it is {step}")
    part = vectors.T @ g
    newton, saddle_free = -vectors @ (part / values), -vectors @ (part / np.abs(values))
    gain = float((part[values < 0] ** 2 / -values[values < 0]).sum())
    return StepPair(step * newton, step * saddle_free, gain, float(np.linalg.norm(newton)), float(step))
