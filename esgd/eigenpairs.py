"""Eigenpairs at the ends of a Hessian's spectrum, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from esgd.curvature_checks import check_counts, check_positive, check_seed
from esgd.errors import ConfigError
from esgd.flat import dot, norm
from esgd.lanczos import MAX_BYTES, allocate_basis, orthogonalise
from esgd.operator_base import CurvatureOperator
from esgd.operator_matrix import as_operator
from esgd.probes import draw

__all__ = ["Eigenpairs", "extreme_eigenpairs"]


@dataclass(frozen=True, eq=False)
class Eigenpairs:
    """Some eigenvalues with their eigenvectors.

    Attributes:
        values: Rayleigh quotients uᵀH u, shape ``(k,)``, descending, float64.
        vectors: rows u, orthonormal, shape ``(k, N)``.
        residuals: ‖H u − λ u‖ of each, from products taken with u itself at the end, not from a recurrence:
            an eigenvalue of H lies within that of λ.
        num_products: products taken.
        converged: all residuals are within the tolerance, and a search outside the vectors found no other
            eigenvalue that belongs among them.
    """

    values: Tensor
    vectors: Tensor
    residuals: Tensor
    num_products: int
    converged: bool


_WHICH = ("largest", "smallest", "both", "magnitude")
_SEARCH = 10  # steps that a search outside takes at least: enough for an outlier of weight 1/N to stand out


def _chosen(values: Tensor, k: int, which: str) -> Tensor:
    """Indices of the wanted among ascending ``values``; "both" takes k from each end."""
    n = len(values)
    if which == "magnitude":
        return values.abs().topk(min(k, n)).indices.sort().values
    low = torch.arange(min(k, n)) if which in ("smallest", "both") else torch.arange(0)
    high = torch.arange(max(n - k, 0), n) if which in ("largest", "both") else torch.arange(0)
    return torch.cat([low, high]).unique()


class _Space:
    """An orthonormal basis that grows by one product at a time, and H's matrix in it.

    Attributes:
        basis: rows, the first ``filled`` of them with their product taken.
        top: the matrix, float64; its leading ``filled`` × ``filled`` block counts.
        beta: norm of what the last product has outside; 0 if that is rounding only.
        following: the direction to go on in, a unit vector outside.
        products: products taken.
    """

    def __init__(self, operator: CurvatureOperator, size: int, seed: int, max_bytes: float):
        self.operator = operator
        (self.basis,) = allocate_basis(operator, size, 1, max_bytes)
        self.top = torch.zeros(size, size, dtype=torch.float64)
        self.seed, self._drawn = seed, 0
        self.filled = self.products = 0
        self.beta = 0.0
        self.following = self.outside()

    def outside(self) -> Tensor:
        """A random unit vector orthogonal to the basis."""
        start = self.operator.space.flatten(draw("gaussian", self.operator.params, self.seed, self._drawn))
        self._drawn += 1
        w, _ = orthogonalise(self.basis[: self.filled], start)
        return w / norm(w)

    def extend(self) -> None:
        """Take the product of the direction to go on in, and find the next."""
        self.basis[self.filled] = self.following
        (h,) = self.take([self.following])
        self.filled += 1
        w, coefficients = orthogonalise(self.basis[: self.filled], h)
        block = self.top[: self.filled, : self.filled]
        block[:, -1] = block[-1, :] = coefficients
        self.beta = norm(w)
        if self.beta <= 10 * torch.finfo(w.dtype).eps * block.abs().max().item():
            self.beta = 0.0  # an invariant space
        if self.filled < self.operator.num_params:
            self.following = w / self.beta if self.beta else self.outside()

    def take(self, flat: list[Tensor]) -> Iterator[Tensor]:
        """Flat products of flat vectors, from shared passes over the batches."""
        for first in range(0, len(flat), 8):
            vectors = [self.operator.space.unflatten(x) for x in flat[first : first + 8]]
            self.products += len(vectors)
            for h in self.operator.products(vectors, label=f"product {self.products}"):
                yield self.operator.space.flatten(h)

    def ritz(self) -> tuple[Tensor, Tensor]:
        """Ritz values, ascending, and their coefficients in the basis, as columns."""
        return torch.linalg.eigh(self.top[: self.filled, : self.filled])

    def restart(self, values: Tensor, vectors: Tensor, keep: Tensor) -> Tensor:
        """Cut the basis back to some Ritz vectors, which are returned; the direction to go on in stays."""
        kept = vectors[:, keep].T.to(self.basis) @ self.basis[: self.filled]
        self.basis[: len(keep)] = kept
        self.top.zero_()
        self.top.diagonal()[: len(keep)] = values[keep]
        self.filled = len(keep)
        return kept


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
    vectors of N. A Krylov space of one start holds one vector of a multiple eigenvalue's eigenspace. So what
    has converged is locked, and the search goes on from a random direction outside until the next eigenvalue
    there has converged too; this is repeated until it changes nothing. The last products are taken with the
    eigenvectors themselves, for residuals that owe nothing to the recurrence.

    Args:
        operator: the symmetric matrix H, an operator or what
            :class:`~esgd.operator_matrix.MatrixOperator` takes for one.
        k: how many; with ``which="both"`` that many from each end.
        which: ``"largest"``, ``"smallest"`` (the most negative), ``"both"``, or ``"magnitude"``.
        tol: residual allowed, relative to the largest Ritz value in magnitude.
        subspace: dimension at which to restart; None takes twice the wanted ones plus 20.
        max_products: stop there, converged or not.
        seed: of the random starts.
        max_bytes: refuse a basis that is larger.

    Raises:
        ConfigError: bad settings.
        CurvatureError: no operator, a too large basis, or a product that is not finite.
    """
    if not isinstance(which, str) or which not in _WHICH:
        raise ConfigError(f"which must be one of {', '.join(_WHICH)}, got {which!r}")
    check_counts(k=k, max_products=max_products, **({} if subspace is None else {"subspace": subspace}))
    check_positive(": it is the residual allowed, relative to the largest eigenvalue", tol=tol)
    check_seed(seed)
    operator = as_operator(operator)
    n = operator.num_params
    ends = 2 if which == "both" else 1
    wanted = ends * k
    if wanted > n:
        if n < ends:
            raise ConfigError(f"a matrix with one eigenvalue has no two ends: take which='largest', not {which!r}")
        raise ConfigError(f"k must lie between 1 and {n // ends}, got {k}")
    watched = min(n, wanted + ends)  # the next eigenvalue of each end tells when a search outside may stop
    size = min(n, 2 * wanted + 20 if subspace is None else subspace)
    if size <= watched and size < n:
        raise ConfigError(
            f"subspace must be larger than the {wanted} wanted eigenvalues and the {ends} watched beside them, "
            f"got {subspace}"
        )
    if max_products < 2 * wanted:
        raise ConfigError(
            f"max_products must be at least {2 * wanted}, to find {wanted} eigenpairs and to check them, got "
            f"{max_products}"
        )
    space = _Space(operator, size, seed, max_bytes)
    settled: Tensor | None = None  # the wanted values, once they have converged
    steps = 0
    while True:
        space.extend()
        steps += 1
        values, vectors = space.ritz()
        picked = _chosen(values, k, which)
        seen = picked if settled is None else _chosen(values, k + 1, which)
        allowed = tol * values.abs().max().item()
        ready = len(seen) == (wanted if settled is None else watched)
        ready = ready and bool((space.beta * vectors[-1, seen].abs() <= allowed).all())
        ready = ready and (settled is None or steps >= _SEARCH or space.beta == 0)
        exhausted = space.products + wanted >= max_products
        found = ready and settled is not None and bool((values[picked] - settled).abs().max() <= allowed)
        if space.filled == n or exhausted or found:
            pairs, rests = _checked(space, vectors, picked)
            within = bool((pairs.residuals <= allowed).all())
            complete = space.filled == n or (found and within)
            if complete or exhausted or space.products + wanted >= max_products:
                return Eigenpairs(pairs.values, pairs.vectors, pairs.residuals, space.products, complete and within)
            # what the locked vectors lost on the way: go on where the worst of them points
            space.restart(values, vectors, picked)
            rest, _ = orthogonalise(space.basis[: space.filled], rests)
            space.following, steps = rest / norm(rest) if norm(rest) else space.outside(), 0
        elif ready:  # lock, and search outside
            settled, steps = values[picked], 0
            space.restart(values, vectors, picked)
            space.following = space.outside()
        elif space.filled == size:  # thick restart: the wanted, some more on either side, the residual's direction
            count = max(k if settled is None else k + 1, (size - wanted) // 4 + k)
            space.restart(values, vectors, _chosen(values, count, which)[: size - 1])


def _checked(space: _Space, vectors: Tensor, picked: Tensor) -> tuple[Eigenpairs, Tensor]:
    """The picked Ritz pairs with residuals from products of their own, and the residual that is largest."""
    rows = vectors[:, picked].T.to(space.basis) @ space.basis[: space.filled]
    values, residuals, worst = [], [], rows[0]
    for u, h in zip(rows, space.take(list(rows)), strict=True):
        values.append(dot(u, h) / dot(u, u))
        rest = h - values[-1] * u
        residuals.append(norm(rest))
        worst = rest if residuals[-1] == max(residuals) else worst
    found = torch.tensor(values, dtype=torch.float64)
    order = found.argsort(descending=True)
    errors = torch.tensor(residuals, dtype=torch.float64)
    return Eigenpairs(found[order], rows[order], errors[order], space.products, False), worst
