"""Theorem 1′: ideal preconditioners, one-sided (unique) and two-sided (a whole family)."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from esgd.errors import ConfigError
from esgd.theory.matrices import nonsingular_eigh

__all__ = ["frobenius_condition", "hyperbolic_boost", "ideal_preconditioner"]

Array = NDArray[np.float64]


def frobenius_condition(X: ArrayLike) -> float:
    """κ_F(X) = ‖X‖_F ‖X⁻¹‖_F ≥ N, the condition number in which the paper's Theorem 1 is proved.

    It equals N, not 1, at its minimum: the identity already has κ_F = N.

    Args:
        X: nonsingular, shape (N, N), symmetric or not.

    Raises:
        ConfigError: X not square, or singular to rounding.
    """
    X = np.asarray(X, dtype=np.float64)
    if X.ndim != 2 or X.shape[0] != X.shape[1] or X.shape[0] == 0:
        raise ConfigError(f"X must be a square matrix, but its shape is {X.shape}")
    sv = np.linalg.svd(X, compute_uv=False)
    if sv[-1] <= len(sv) * np.finfo(np.float64).eps * sv[0]:
        raise ConfigError("a singular matrix has no κ_F: its smallest singular value is 0 to rounding")
    return float(np.sqrt((sv**2).sum() * (1 / sv**2).sum()))


def ideal_preconditioner(H: ArrayLike) -> Array:
    """|H|⁻¹, the only symmetric positive definite M with κ(HM) minimal, up to a factor (Theorem 1′).

    Args:
        H: symmetric and nonsingular, shape (N, N).
    """
    return hyperbolic_boost(H, None)


def hyperbolic_boost(H: ArrayLike, X: ArrayLike | None) -> Array:
    """A symmetric positive definite M with κ(M^{1/2} H M^{1/2}) = 1: two-sided, |H|⁻¹ is not the only one.

    With p positive and q negative eigenvalues, every such M is, up to a factor, |H|^{-1/2} B |H|^{-1/2} with
    B = exp [[0, X], [Xᵀ, 0]] in the eigenbasis of H (positive eigenvalues first): a pq-dimensional family of
    "boosts", the symmetric positive definite elements of the group O(p, q). X = 0 gives |H|⁻¹.

    Args:
        H: symmetric and nonsingular, shape (N, N).
        X: shape (p, q), or ``None`` for zero. The rows go with the positive eigenvalues in descending
            order, the columns with the negative ones in ascending order.

    Raises:
        ConfigError: H singular, or X of another shape.
    """
    values, vectors = nonsingular_eigh(H)
    order = np.concatenate([np.flatnonzero(values > 0)[::-1], np.flatnonzero(values < 0)])
    values, vectors = values[order], vectors[:, order]
    p, n = int((values > 0).sum()), len(values)
    generator = np.zeros((n, n))
    if X is not None:
        X = np.asarray(X, dtype=np.float64)
        if X.shape != (p, n - p):
            raise ConfigError(f"X must have shape (p, q) = ({p}, {n - p}), but its shape is {X.shape}")
        generator[:p, p:] = X
        generator[p:, :p] = X.T
    rates, axes = np.linalg.eigh(generator)
    boost = (axes * np.exp(rates)) @ axes.T
    root = vectors / np.sqrt(np.abs(values))
    return root @ boost @ root.T
