"""Theorem R: what RMSProp's average reads when plain SGD has settled on a quadratic."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from esgd.errors import ConfigError
from esgd.theory.matrices import check_symmetric

__all__ = ["gradient_second_moment", "simulate_sgd", "stationary_covariance"]

Array = NDArray[np.float64]


def _checked(H: ArrayLike, C: ArrayLike, lr: float) -> tuple[Array, Array, Array, Array]:
    H, C = check_symmetric(H), check_symmetric(C, "C")
    if H.shape != C.shape:
        raise ConfigError(f"H and C must have one shape, but they have {H.shape} and {C.shape}")
    values, vectors = np.linalg.eigh(H)
    if values[0] <= 0:
        raise ConfigError(
            f"H must be positive definite, but its smallest eigenvalue is {values[0]:.3g}: "
            "at a saddle SGD has no stationary law"
        )
    if not 0 < lr < 2 / values[-1]:
        raise ConfigError(
            f"lr must lie in (0, {2 / values[-1]:.4g}) = (0, 2/λ_max), but it is {lr}: beyond it SGD diverges"
        )
    if np.linalg.eigvalsh(C)[0] < -1e-12 * np.abs(C).max():
        raise ConfigError("C must be a covariance, but it has a negative eigenvalue")
    return H, C, values, vectors


def stationary_covariance(H: ArrayLike, C: ArrayLike, lr: float) -> Array:
    """Σ = E ΔΔᵀ of θ ← θ − ε(HΔ + ξ), E ξ = 0, E ξξᵀ = C: the solution of HΣ + ΣH − εHΣH = εC.

    In the eigenbasis of H the equation decouples: Σ_ij (h_i + h_j − ε h_i h_j) = ε C_ij, and the bracket is
    positive for 0 < ε < 2/h_max.

    Args:
        H: symmetric positive definite, shape (N, N).
        C: covariance of the gradient's noise, shape (N, N).
        lr: ε, in (0, 2/λ_max).

    Returns:
        Σ, shape (N, N).
    """
    H, C, h, q = _checked(H, C, lr)
    rotated = q.T @ C @ q
    return q @ (lr * rotated / (h[:, None] + h[None, :] - lr * h[:, None] * h[None, :])) @ q.T


def gradient_second_moment(H: ArrayLike, C: ArrayLike, lr: float) -> Array:
    """E g_b g_bᵀ of the noisy gradient g_b = HΔ + ξ at stationarity: (HΣ + ΣH)/ε = HΣH + C.

    Its diagonal is what RMSProp's v estimates when it watches SGD; √ of it is compared with D_E in Theorem R.

    Args:
        H: symmetric positive definite, shape (N, N).
        C: covariance of the gradient's noise, shape (N, N).
        lr: ε, in (0, 2/λ_max).
    """
    sigma = stationary_covariance(H, C, lr)
    H = np.asarray(H, dtype=np.float64)
    return (H @ sigma + sigma @ H) / lr


def simulate_sgd(H: ArrayLike, C: ArrayLike, lr: float, *, chains: int, steps: int, seed: int) -> Array:
    """Final displacements of many independent SGD chains on the quadratic, shape (chains, N).

    Args:
        H: symmetric positive definite, shape (N, N).
        C: covariance of the gradient's noise, shape (N, N).
        lr: ε, in (0, 2/λ_max).
        chains: number of independent chains, all started at the minimum.
        steps: steps of each; take several times 1/(ε λ_min).
        seed: of NumPy's generator.
    """
    H, C, _, _ = _checked(H, C, lr)
    values, vectors = np.linalg.eigh(C)
    root = vectors * np.sqrt(np.clip(values, 0, None))
    rng = np.random.default_rng(seed)
    delta = np.zeros((chains, len(H)))
    for _ in range(steps):
        noise = rng.standard_normal(delta.shape) @ root.T
        delta = delta - lr * (delta @ H + noise)
    return delta
