"""Lanczos: what a Krylov space says of a Hessian's eigenvalues, and functions of the Hessian times a vector.

All with full reorthogonalisation: without it the finite precision of the products lets converged eigenvalues
return as copies. A Krylov space of m dimensions holds m vectors of N; ``max_bytes`` refuses one that is too
large instead of letting the machine swap.

A Krylov space never overstates curvature where a Rayleigh quotient is asked: its largest Ritz value is at most
the largest eigenvalue, its smallest at least the smallest. This is what is true in the paper's §5.3.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from esgd.curvature_checks import check_callable, check_counts, check_positive
from esgd.errors import ConfigError, CurvatureError
from esgd.flat import norm
from esgd.operator_base import CurvatureOperator
from esgd.operator_matrix import as_operator

__all__ = ["Krylov", "abs_matvec", "abs_products", "allocate_basis", "lanczos", "lanczos_many", "orthogonalise"]

MAX_BYTES = 4e9


@dataclass(frozen=True, eq=False)
class Krylov:
    """An orthonormal basis of a Krylov space and the operator's matrix in it.

    Attributes:
        basis: rows q_1 … q_m, shape ``(m, N)``; q_1 is the start, normalised.
        matrix: T = Q H Qᵀ, shape ``(m, m)``, tridiagonal, float64 on the CPU.
        start_norm: the start's norm.
        residual: norm of what H q_m has outside the space; 0 if the space is invariant.
    """

    basis: Tensor
    matrix: Tensor
    start_norm: float
    residual: float

    def ritz(self) -> tuple[Tensor, Tensor]:
        """Ritz values, ascending, shape ``(m,)``, and how far each is from an eigenvalue at most."""
        values, vectors = torch.linalg.eigh(self.matrix)
        return values, self.residual * vectors[-1].abs()

    def head(self, num_steps: int) -> Krylov:
        """The space of the first ``num_steps`` products only, or all of it if it has no more."""
        check_counts(num_steps=num_steps)
        m = min(num_steps, len(self.matrix))
        residual = self.residual if m == len(self.matrix) else self.matrix[m, m - 1].item()
        return Krylov(self.basis[:m], self.matrix[:m, :m], self.start_norm, residual)

    def apply(self, function: Callable[[Tensor], Tensor]) -> Tensor:
        """f(H) times the start, shape ``(N,)``, f taken entry by entry of the eigenvalues."""
        check_callable(function, "function", "a tensor of eigenvalues and returns f of each, e.g. torch.abs")
        values, vectors = torch.linalg.eigh(self.matrix)
        coefficients = vectors @ (function(values) * vectors[0]) * self.start_norm  # (m,)
        return coefficients.to(self.basis) @ self.basis


def allocate_basis(operator: CurvatureOperator, rows: int, spaces: int, max_bytes: float) -> list[Tensor]:
    """Zero bases of ``rows`` vectors each, or an error if they need more than ``max_bytes``."""
    check_positive(": bytes that the vectors of a basis may take", max_bytes=max_bytes)
    needed = rows * spaces * operator.num_params * operator.dtype.itemsize
    if needed > max_bytes:
        raise CurvatureError(
            f"{spaces * rows} vectors of {operator.num_params:,} parameters need {needed / 1e9:.2f} GB, allowed "
            f"are {max_bytes / 1e9:.2f}: take fewer steps or probes at a time, or raise max_bytes="
        )
    shape = (rows, operator.num_params)
    return [torch.zeros(shape, dtype=operator.dtype, device=operator.device) for _ in range(spaces)]


def orthogonalise(basis: Tensor, w: Tensor) -> tuple[Tensor, Tensor]:
    """A vector without its part in the span of the rows of ``basis``, and that part's coefficients, float64.

    Twice: once leaves a rest of the size of the cancellation ("twice is enough", Kahan and Parlett).
    """
    first = basis @ w
    w = w - first @ basis
    second = basis @ w
    return w - second @ basis, (first + second).to("cpu", torch.float64)


def lanczos(operator: CurvatureOperator, start: Any, num_steps: int, *, max_bytes: float = MAX_BYTES) -> Krylov:
    """The Krylov space of ``start``: span of v, H v, …, H^(m−1) v.

    Args:
        operator: the symmetric matrix H, an operator or what
            :class:`~esgd.operator_matrix.MatrixOperator` takes for one.
        start: flat tensor or NumPy array of shape ``(N,)``, or one tensor a parameter; not zero.
        num_steps: m, products taken; fewer if the space turns out invariant or is all of R^N.
        max_bytes: refuse a basis that is larger.

    Raises:
        ConfigError: fewer than one step, or a zero start.
        CurvatureError: no operator, a start that does not match it or is not finite, or a too large basis.
    """
    operator = as_operator(operator)
    return lanczos_many(operator, [operator.space.flat(start)], num_steps, max_bytes=max_bytes)[0]


def lanczos_many(
    operator: CurvatureOperator, starts: Sequence[Tensor], num_steps: int, *, max_bytes: float = MAX_BYTES
) -> list[Krylov]:
    """One Krylov space a start, a flat tensor; in each step all of them share the pass over the batches."""
    check_counts(num_steps=num_steps)
    steps = min(num_steps, operator.num_params)
    norms = [norm(s) for s in starts]
    if min(norms) == 0:
        raise ConfigError("a Krylov space needs a start that is not zero")
    bases = allocate_basis(operator, steps, len(starts), max_bytes)
    tops = [torch.zeros(steps, steps, dtype=torch.float64) for _ in starts]
    for basis, start, length in zip(bases, starts, norms, strict=True):
        basis[0] = start / length
    lengths, residuals = [steps] * len(starts), [0.0] * len(starts)
    going = list(range(len(starts)))
    for j in range(steps):
        going = [i for i in going if lengths[i] > j]
        if not going:
            break
        vectors = [operator.space.unflatten(bases[i][j]) for i in going]
        products = operator.products(vectors, label=f"Lanczos step {j + 1} of {steps}")
        for i, product in zip(going, products, strict=True):
            w, coefficients = orthogonalise(bases[i][: j + 1], operator.space.flatten(product))
            t = tops[i]
            t[j, j] = coefficients[j]
            beta = norm(w)
            scale = coefficients.norm().item() + (t[j - 1, j].item() if j else 0.0)
            if j + 1 == operator.num_params or beta <= 10 * torch.finfo(w.dtype).eps * scale:
                lengths[i], beta = j + 1, 0.0  # an invariant space: everything in it is exact
            elif j + 1 < steps:
                t[j, j + 1] = t[j + 1, j] = beta
                bases[i][j + 1] = w / beta
            residuals[i] = beta
    return [
        Krylov(b[:m], t[:m, :m], length, r)
        for b, t, m, length, r in zip(bases, tops, lengths, norms, residuals, strict=True)
    ]


def abs_products(
    operator: CurvatureOperator, vectors: Sequence[Tensor], num_steps: int, *, max_bytes: float = MAX_BYTES
) -> list[Tensor]:
    """|H| v for flat vectors, each from its own Krylov space; the spaces share the passes over the batches."""
    operator = as_operator(operator)
    starts = [operator.space.flat(v) for v in vectors]
    spaces = lanczos_many(operator, starts, num_steps, max_bytes=max_bytes)
    return [space.apply(torch.abs) for space in spaces]


def abs_matvec(operator: CurvatureOperator, v: Any, num_steps: int = 30, *, max_bytes: float = MAX_BYTES) -> Any:
    """|H| v, where |H| has H's eigenvectors and the absolute values of its eigenvalues (the paper's §5).

    From ‖v‖ Q |T| e_1 in the Krylov space of v: exact when the space is invariant, at the latest after N steps.
    The kink of |λ| at zero makes it converge slowly where many eigenvalues crowd around zero.

    Args:
        operator: the matrix H, as for :func:`lanczos`.
        v: flat tensor or NumPy array of shape ``(N,)``, or one tensor a parameter.
        num_steps: products taken.
        max_bytes: refuse a basis that is larger.

    Returns:
        |H| v in the form in which ``v`` came.

    Raises:
        ConfigError: fewer than one step.
        CurvatureError: as for :func:`lanczos`.
    """
    check_counts(num_steps=num_steps)
    operator = as_operator(operator)
    vector, back = operator.space.read(v)
    flat = operator.space.flatten(vector)
    if not flat.any():
        return back(operator.space.zeros())
    result = lanczos(operator, flat, num_steps, max_bytes=max_bytes).apply(torch.abs)
    return back(operator.space.unflatten(result))
