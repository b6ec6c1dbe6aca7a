"""Absolute values, diagonal preconditioners and condition numbers of symmetric matrices, in float64.

Everything here is exact linear algebra on small matrices: the yardstick that the stochastic estimators of
:mod:`esgd.estimators` and the theorems of the book are measured against. NumPy only.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from esgd.errors import ConfigError

__all__ = [
    "PRECONDITIONERS",
    "abs_matrix",
    "absolute_diagonal",
    "check_symmetric",
    "condition_number",
    "equilibration_diagonal",
    "jacobi_diagonal",
    "left_scaled",
    "nonsingular_eigh",
    "spectrum_condition",
    "two_sided",
]

Array = NDArray[np.float64]


def check_symmetric(matrix: ArrayLike, name: str = "H", *, rtol: float = 1e-10) -> Array:
    """The matrix as a float64 array, or an error that says what is wrong with it.

    Args:
        matrix: anything that NumPy reads as a square matrix, shape (N, N).
        name: what the error calls it.
        rtol: largest asymmetry allowed, relative to the largest entry.

    Raises:
        ConfigError: not real, not square, not finite or not symmetric.
    """
    if np.iscomplexobj(matrix):
        raise ConfigError(f"{name} must be real, but it is complex: a Hessian of a real loss has real entries")
    out = np.asarray(matrix, dtype=np.float64)
    if out.ndim != 2 or out.shape[0] != out.shape[1] or out.shape[0] == 0:
        raise ConfigError(f"{name} must be a square matrix, but its shape is {out.shape}")
    if not np.isfinite(out).all():
        raise ConfigError(f"{name} has entries that are not finite: check the loss that it comes from")
    gap = float(np.abs(out - out.T).max())
    if gap > rtol * max(float(np.abs(out).max()), np.finfo(float).tiny):
        raise ConfigError(
            f"{name} must be symmetric, but it differs from its transpose by {gap:.3g}: "
            f"use ({name} + {name}.T) / 2 if that is rounding only"
        )
    return out


def nonsingular_eigh(H: ArrayLike, name: str = "H") -> tuple[Array, Array]:
    """Eigenvalues (N,) in ascending order and eigenvectors (N, N) of a symmetric matrix that has an inverse.

    Raises:
        ConfigError: what :func:`check_symmetric` refuses, or an eigenvalue that is zero to rounding: below N
            times the machine precision, relative to the largest.
    """
    values, vectors = np.linalg.eigh(check_symmetric(H, name))
    sizes = np.abs(values)
    if sizes.min() <= len(values) * np.finfo(np.float64).eps * sizes.max():
        raise ConfigError(f"{name} must be nonsingular, but an eigenvalue is zero to rounding: it has no inverse")
    return values, vectors


def abs_matrix(H: ArrayLike) -> Array:
    """|H| = √(H²): the eigenvectors of H with the absolute values of its eigenvalues.

    Dauphin, de Vries & Bengio (2015), Section 3. H must be symmetric: for the non-symmetric matrices that the
    paper's Lemmas 1 and 2 allow, "the absolute value of the eigenvalues" is not enough to define it.

    Args:
        H: symmetric, shape (N, N).

    Returns:
        |H|, symmetric positive semidefinite, shape (N, N).
    """
    values, vectors = np.linalg.eigh(check_symmetric(H))
    return (vectors * np.abs(values)) @ vectors.T


def jacobi_diagonal(H: ArrayLike) -> Array:
    """D_J = |diag H|, shape (N,): Section 2 (the "√diag(H)²" of Section 5.3 is the same thing)."""
    return np.abs(np.diagonal(check_symmetric(H))).copy()


def equilibration_diagonal(H: ArrayLike) -> Array:
    """D_E = √diag(H²), the 2-norms of the rows, shape (N,): Section 3."""
    return np.linalg.norm(check_symmetric(H), axis=1)


def absolute_diagonal(H: ArrayLike) -> Array:
    """D_A = diag|H|, shape (N,), what Section 3 relates equilibration to. D_J ≤ D_A ≤ D_E entry by entry."""
    return np.diagonal(abs_matrix(H)).copy()


PRECONDITIONERS = {
    "jacobi": jacobi_diagonal,
    "equilibration": equilibration_diagonal,
    "absolute": absolute_diagonal,
}


def _positive(diagonal: ArrayLike, size: int) -> Array:
    d = np.asarray(diagonal, dtype=np.float64)
    if d.shape != (size,):
        raise ConfigError(f"the diagonal must have shape ({size},), but its shape is {d.shape}")
    if not (d > 0).all():
        raise ConfigError(
            f"a diagonal preconditioner needs positive entries, but {int((d <= 0).sum())} of {size} are not: "
            "add damping, or drop the rows that are zero"
        )
    return d


def two_sided(H: ArrayLike, diagonal: ArrayLike) -> Array:
    """D^{-1/2} H D^{-1/2}: the Hessian in the coordinates φ = D^{1/2} θ, the one that a descent step feels.

    Args:
        H: symmetric, shape (N, N).
        diagonal: the positive diagonal of D, shape (N,).
    """
    H = check_symmetric(H)
    root = np.sqrt(_positive(diagonal, len(H)))
    return H / root[:, None] / root[None, :]


def left_scaled(H: ArrayLike, diagonal: ArrayLike) -> Array:
    """D⁻¹H, the matrix of the paper's text: the eigenvalues of :func:`two_sided`, other singular values."""
    H = check_symmetric(H)
    return H / _positive(diagonal, len(H))[:, None]


def spectrum_condition(magnitudes: ArrayLike, *, null: int = 0) -> tuple[float, float]:
    """Condition number from the absolute values of a spectrum, and the gap above its null directions.

    Args:
        magnitudes: absolute eigenvalues or singular values, shape (N,), any order.
        null: how many of the smallest belong to directions in which the loss is exactly flat; they are left
            out.

    Returns:
        ``(kappa, gap)``: largest ÷ smallest of the kept values, and smallest kept ÷ largest dropped
        (infinity when none is dropped). A gap near 1 means that the count ``null`` is wrong.
    """
    kept = np.sort(np.asarray(magnitudes, dtype=np.float64))
    if not 0 <= null < kept.size:
        raise ConfigError(f"null must lie in [0, {kept.size}), but it is {null}")
    dropped, kept = kept[:null], kept[null:]
    smallest = float(kept[0])
    kappa = float(kept[-1]) / smallest if smallest > 0 else np.inf
    largest_dropped = float(dropped[-1]) if null else 0.0
    gap = smallest / largest_dropped if largest_dropped > 0 else np.inf
    return kappa, gap


def condition_number(
    H: ArrayLike, diagonal: ArrayLike | None = None, *, definition: str = "eig", null: int = 0
) -> float:
    """Condition number of a symmetric matrix before or after diagonal preconditioning.

    The paper speaks of κ(D⁻¹H) and does not say which number it plots in Figure 3. Two are in use:

    - ``"eig"``: max|λ| ÷ min|λ| of D^{-1/2}HD^{-1/2}, which has the eigenvalues of D⁻¹H. This one sets the
      rate of preconditioned descent.
    - ``"sv"``: largest ÷ smallest singular value of D⁻¹H, the 2-norm condition number of the literal matrix.
      Without null directions it is never the smaller of the two.

    Args:
        H: symmetric, shape (N, N).
        diagonal: positive diagonal of D, shape (N,); ``None`` for H itself.
        definition: ``"eig"`` or ``"sv"``.
        null: number of exactly flat directions to leave out.

    Raises:
        ConfigError: an unknown definition, or what :func:`check_symmetric` and :func:`two_sided` refuse.
    """
    H = check_symmetric(H)
    if definition not in ("eig", "sv"):
        raise ConfigError(f'definition must be "eig" or "sv", but it is {definition!r}')
    if diagonal is None:
        return spectrum_condition(np.abs(np.linalg.eigvalsh(H)), null=null)[0]
    if definition == "eig":
        return spectrum_condition(np.abs(np.linalg.eigvalsh(two_sided(H, diagonal))), null=null)[0]
    return spectrum_condition(np.linalg.svd(left_scaled(H, diagonal), compute_uv=False), null=null)[0]
