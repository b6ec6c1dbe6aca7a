"""A matrix that is there already in place of an operator: for a check, an example, another library's matrix."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from esgd.errors import CurvatureError
from esgd.operator_base import CurvatureOperator, Linearized

__all__ = ["MatrixOperator", "as_operator"]


class MatrixOperator(CurvatureOperator):
    """A symmetric matrix as an operator.

    All functions that take an operator make one of what they are given.

    Args:
        matrix: real and symmetric, shape ``(N, N)``: a dense tensor, a NumPy array, a SciPy sparse matrix or a
            SciPy ``LinearOperator`` (whose symmetry nobody checks). Integers become floating point, half
            precision becomes float32.

    Raises:
        CurvatureError: it is none of these, not square, empty, not symmetric or not finite.

    Example:
        >>> MatrixOperator(torch.tensor([[2.0, 1.0], [1.0, -1.0]])) @ torch.tensor([1.0, 1.0])
        tensor([3., 0.])
    """

    def __init__(self, matrix: Any):
        self._times, like = _read(matrix)
        super().__init__([("matrix", like)], [None], size=lambda _: 1, check=False)

    def _loss(self, batch: Any) -> Tensor:
        return torch.zeros(())

    def _linearize(self, batch: Any, vectors: Sequence[Sequence[Tensor]]) -> Linearized:
        return Linearized(lambda v, keep: [self._times(v[0])], torch.zeros(()), True)


def as_operator(matrix: Any) -> CurvatureOperator:
    """The operator itself, or one made of a matrix.

    Raises:
        CurvatureError: it is neither.
    """
    return matrix if isinstance(matrix, CurvatureOperator) else MatrixOperator(matrix)


def _read(matrix: Any) -> tuple[Callable[[Tensor], Tensor], Tensor]:
    """The product with a vector of shape ``(N,)``, and a vector of its dtype and device."""
    if isinstance(matrix, Tensor) and matrix.layout is torch.strided:
        _check_shape(matrix, is_real=not matrix.is_complex())
        dtype = torch.promote_types(matrix.dtype, torch.float32) if matrix.is_floating_point() else None
        dense = matrix.detach().to(dtype or torch.get_default_dtype())
        _check_entries((dense - dense.T).abs().max().item(), dense.abs().max().item(), torch.finfo(dense.dtype).eps)
        return dense.mv, dense.new_zeros(len(dense))
    if isinstance(matrix, np.ndarray):
        _check_shape(matrix, is_real=matrix.dtype.kind in "fiub")
        return _read(torch.from_numpy(np.array(matrix, dtype=_numpy_dtype(matrix.dtype))))
    sparse, linear = _scipy(matrix)
    if not (sparse or linear):
        raise CurvatureError(
            f"expected an operator or a symmetric matrix, got {_name(matrix)}: build HessianOperator(loss_fn, "
            "model.parameters(), batches), or pass a tensor, a NumPy array or a SciPy matrix of shape (N, N)"
        )
    _check_shape(matrix, is_real=matrix.dtype is None or matrix.dtype.kind in "fiub")
    dtype = _numpy_dtype(matrix.dtype)
    if sparse:
        _check_entries(abs(matrix - matrix.T).max(), abs(matrix).max(), np.finfo(dtype).eps)

    def times(v: Tensor) -> Tensor:
        return torch.from_numpy(np.asarray(matrix @ v.numpy(), dtype=dtype))

    return times, torch.from_numpy(np.zeros(matrix.shape[0], dtype))


def _scipy(matrix: Any) -> tuple[bool, bool]:
    """Whether it is a SciPy sparse matrix, whether a LinearOperator; where SciPy is not loaded it is neither."""
    sparse, linalg = sys.modules.get("scipy.sparse"), sys.modules.get("scipy.sparse.linalg")
    is_sparse = sparse is not None and sparse.issparse(matrix)
    return is_sparse, linalg is not None and isinstance(matrix, linalg.LinearOperator)


def _name(value: Any) -> str:
    if isinstance(value, type):
        return f"the class {value.__name__} itself"
    return "a sparse tensor (use .to_dense())" if isinstance(value, Tensor) else f"a {type(value).__name__}"


def _numpy_dtype(dtype: np.dtype | None) -> type:
    """float32 for half and single precision, float64 for all else."""
    return np.float32 if dtype is not None and dtype.kind == "f" and dtype.itemsize <= 4 else np.float64


def _check_shape(matrix: Any, *, is_real: bool) -> None:
    shape = tuple(matrix.shape)
    if len(shape) != 2 or shape[0] != shape[1] or not shape[0]:
        raise CurvatureError(f"expected a square matrix of shape (N, N) in place of an operator, got shape {shape}")
    if not is_real:
        raise CurvatureError(f"expected a matrix of real numbers, got {matrix.dtype}: take its real part")


def _check_entries(difference: float, largest: float, eps: float) -> None:
    if not largest < math.inf:
        raise CurvatureError("the matrix has entries that are not finite: look at where it was computed")
    if difference > eps**0.5 * largest:
        raise CurvatureError(
            f"expected a symmetric matrix, got one that differs from its transpose by up to {difference:.3g}: pass "
            "(A + A.T) / 2 if that is meant"
        )
