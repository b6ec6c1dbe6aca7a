"""Eigenpairs at the ends of a Hessian's spectrum, in bounded memory."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from esgd.errors import ConfigError
from esgd.flat import norm
from esgd.lanczos import MAX_BYTES, allocate_basis, orthogonalise
from esgd.operator_base import CurvatureOperator
from esgd.probes import draw

__all__ = ["Eigenpairs", "extreme_eigenpairs"]


@dataclass(frozen=True, eq=False)
class Eigenpairs:
    """Some eigenvalues with their eigenvectors.

    Attributes:
        values: shape ``(k,)``, descending, float64.
        vectors: rows, orthonormal, shape ``(k, N)``.
        residuals: ‖H u − λ u‖ of each: an eigenvalue of H lies within that of λ.
        num_products: products taken.
        converged: whether all residuals are within the tolerance.
    """

    values: Tensor
    vectors: Tensor
    residuals: Tensor
    num_products: int
    converged: bool


_WHICH = ("largest", "smallest", "both", "magnitude")


def _chosen(values: Tensor, k: int, which: str) -> Tensor:
    """Indices of the wanted among ascending ``values``; "both" takes k from each end."""
    n = len(values)
    if which == "magnitude":
        return values.abs().topk(min(k, n)).indices.sort().values
    low = torch.arange(min(k, n)) if which in ("smallest", "both") else torch.arange(0)
    high = torch.arange(max(n - k, 0), n) if which in ("largest", "both") else torch.arange(0)
    return torch.cat([low, high]).unique()


def extreme_eigenpairs(
    operator: CurvatureOperator,
    k: int = 1,
    *,
    which: str = "both",
    tol: float = 1e-4,
    subspace: int | None = None,
    max_products: int = 500,
    seed: int = 0,
    max_bytes: float = MAX_BYTES,
) -> Eigenpairs:
    """Eigenpairs at the ends of the spectrum, by thick-restart Lanczos (Wu and Simon 2000).

    The space is cut back to the best Ritz vectors whenever it is full, so that memory stays at ``subspace``
    vectors of N. One start sees one vector of a multiple eigenvalue's eigenspace until rounding brings others.

    Args:
        operator: the symmetric matrix H.
        k: how many; with ``which="both"`` that many from each end.
        which: ``"largest"``, ``"smallest"`` (the most negative), ``"both"``, or ``"magnitude"``.
        tol: residual allowed, relative to the largest Ritz value in magnitude.
        subspace: dimension at which to restart; None takes twice the wanted ones plus 20.
        max_products: stop there, converged or not.
        seed: of the random start.
        max_bytes: refuse a basis that is larger.

    Raises:
        ConfigError: bad settings.
        CurvatureError: the basis is too large.
    """
    n = operator.num_params
    wanted = 2 * k if which == "both" else k
    if which not in _WHICH:
        raise ConfigError(f"which must be one of {', '.join(_WHICH)}, got {which!r}")
    if k < 1 or wanted > n:
        raise ConfigError(f"k must lie between 1 and {n // (2 if which == 'both' else 1)}, got {k}")
    size = min(n, 2 * wanted + 20 if subspace is None else subspace)
    if size <= wanted and size < n:
        raise ConfigError(f"subspace must be larger than the {wanted} wanted eigenvalues, got {subspace}")
    (basis,) = allocate_basis(operator, size, 1, max_bytes)
    top = torch.zeros(size, size, dtype=torch.float64)
    fresh = iter(range(1 << 30))

    def random_direction(filled: int) -> Tensor:
        start = operator.space.flatten(draw("gaussian", operator.params, seed, next(fresh)))
        w, _ = orthogonalise(basis[:filled], start)
        return w / norm(w)

    basis[0] = random_direction(0)
    filled, products = 0, 0  # rows of basis whose product is in `top`
    while True:
        while filled < size:
            vector = operator.space.unflatten(basis[filled])
            (product,) = operator.products([vector], label=f"product {products + 1}")
            products += 1
            filled += 1
            w, coefficients = orthogonalise(basis[:filled], operator.space.flatten(product))
            top[:filled, filled - 1] = top[filled - 1, :filled] = coefficients
            beta = norm(w)
            if beta <= 10 * torch.finfo(w.dtype).eps * top[:filled, :filled].abs().max().item():
                beta = 0.0  # an invariant space: go on from a direction outside it
            following = random_direction(filled) if beta == 0 and filled < n else w / max(beta, 1e-300)
            if filled < size:
                basis[filled] = following
            values, vectors = torch.linalg.eigh(top[:filled, :filled])
            picked = _chosen(values, k, which)
            residuals = beta * vectors[-1, picked].abs()
            done = len(picked) == wanted and bool((residuals <= tol * values.abs().max()).all())
            if done or products >= max_products or filled == n:
                rotated = vectors[:, picked].T.to(basis) @ basis[:filled]
                order = values[picked].argsort(descending=True)
                return Eigenpairs(values[picked][order], rotated[order], residuals[order], products, done)
        # thick restart: the wanted Ritz vectors, some more on either side, then the residual's direction
        keep = _chosen(values, max(k, (size - wanted) // 4 + k), which)[: size - 1]
        kept = vectors[:, keep].T.to(basis) @ basis
        basis[: len(keep)], basis[len(keep)] = kept, following
        top.zero_()
        top.diagonal()[: len(keep)] = values[keep]
        filled = len(keep)
