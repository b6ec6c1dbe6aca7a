"""What the Hessian and the Gauss–Newton operator share: batches, sums, flat vectors, dense and SciPy forms.

The objective is the mean (or sum) of a loss over all examples of all batches, and the operator is its exact
Hessian, or Gauss–Newton matrix, of N × N entries that are never formed. Several vectors share the graph of
each batch: for k vectors a pass over the data costs about 1 + 1.8 k gradients on the paper's autoencoders,
and memory grows by 2 k vectors of N.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from esgd.curvature_checks import check_callable, check_counts, check_number, is_number
from esgd.errors import CurvatureError
from esgd.flat import Params, VectorSpace, batch_size
from esgd.hvp import UNREACHED
from esgd.progress import progress_bar

if TYPE_CHECKING:
    from scipy.sparse.linalg import LinearOperator

__all__ = ["CurvatureOperator", "Linearized"]


@dataclass(frozen=True)
class Linearized:
    """One batch's matrix C, ready to be multiplied.

    Attributes:
        product: takes ``(v, keep the graph)`` and returns C v, one tensor a parameter.
        loss: the batch's loss, a tensor.
        reached: whether the loss depends on any of the parameters.
    """

    product: Callable[[Sequence[Tensor], bool], list[Tensor]]
    loss: Tensor
    reached: bool


class CurvatureOperator(ABC):
    """A symmetric N × N matrix of curvature, summed over batches; see its two leaves.

    Attributes:
        space: names, shapes and flattening of the parameters.
        params: the parameters, a list of tensors.
        shape: ``(N, N)``.
        dtype: torch dtype of vectors and products; ``float32`` sums for half precision.
        device: device of the first parameter.
    """

    def __init__(
        self,
        params: Params,
        batches: Iterable[Any],
        *,
        reduction: str = "mean",
        size: Callable[[Any], int] = batch_size,
        progress: bool = False,
        check: bool = True,
    ):
        self.space = VectorSpace(params)
        self.params = self.space.params
        if reduction not in ("mean", "sum"):
            raise CurvatureError(
                "reduction says what loss_fn does over the examples of a batch: it must be 'mean' or 'sum', "
                f"got {reduction!r}"
            )
        if isinstance(batches, Tensor | np.ndarray):
            kind = "tensor" if isinstance(batches, Tensor) else "array"
            raise CurvatureError(
                f"batches must be a collection of batches, got one {kind} of shape {tuple(batches.shape)}: "
                f"pass [{kind}] for a single batch, or tensor.split(size)"
            )
        if not isinstance(batches, Iterable) or iter(batches) is batches:
            raise CurvatureError(
                "batches must be a collection that can be gone through many times, got "
                f"{type(batches).__name__}: pass list(batches), or a DataLoader"
            )
        self.batches = batches
        if self._count(batches) == 0:
            raise _empty()
        self.reduction = reduction
        self.size = check_callable(size, "size", "one batch and returns the number of its examples")
        self.progress = progress
        self.check = check
        self._repeats = self._reached = not check  # what the first use looks at
        self._used = False

    @property
    def num_params(self) -> int:
        """N, the number of scalar parameters."""
        return self.space.num_params

    @property
    def shape(self) -> tuple[int, int]:
        """``(N, N)``."""
        return self.num_params, self.num_params

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of flat vectors and products."""
        return self.space.dtype

    @property
    def device(self) -> torch.device:
        """The device of flat vectors and products."""
        return self.space.device

    def __repr__(self) -> str:
        count = self._count(self.batches)
        return (
            f"{type(self).__name__}(N={self.num_params:,}, batches={'?' if count is None else count}, "
            f"dtype={self.dtype}, device={self.device}, reduction={self.reduction!r})"
        )

    @staticmethod
    def _count(batches: Iterable[Any]) -> int | None:
        """How many batches there are, if they tell: a DataLoader of an IterableDataset has a len that raises."""
        try:
            return len(batches)
        except TypeError:
            return None

    @abstractmethod
    def _loss(self, batch: Any) -> Tensor:
        """One batch's loss."""

    @abstractmethod
    def _linearize(self, batch: Any, vectors: Sequence[Sequence[Tensor]]) -> Linearized:
        """One batch's matrix: what serves all the vectors to come is done here."""

    # one batch after the other

    def _sweep(
        self, vectors: Sequence[Sequence[Tensor]], batches: Iterable[Any] | None, label: str
    ) -> Iterator[tuple[int, Iterator[list[Tensor]]]]:
        """For each batch its size and an iterator over its products, one at a time from one graph."""
        batches = self.batches if batches is None else batches
        total, number = self._count(batches), -1

        def results(batch: Any, number: int) -> Iterator[list[Tensor]]:
            linear = self._linearize_checked(batch, vectors)
            for i, v in enumerate(vectors):
                h = linear.product(v, i + 1 < len(vectors))
                self.space.check_finite(h, f"of batch {number}", v)
                yield h

        with progress_bar(total=total, desc=label, unit="batch", leave=False, delay=0.5, show=self.progress) as bar:
            for number, batch in enumerate(batches):
                examples = self.size(batch)
                if not is_number(examples) or not 0 <= examples < math.inf:
                    raise CurvatureError(
                        f"size must return the number of examples of a batch, got {examples!r} for batch {number}"
                    )
                if examples == 0 and self.reduction == "mean":
                    raise CurvatureError(
                        f"batch {number} has no examples, and a mean over none is undefined: leave it out"
                    )
                yield examples, results(batch, number)
                bar.update(1)
        if number < 0:
            raise _empty(self._used)
        self._used = True
        if vectors and not self._reached:
            raise CurvatureError(UNREACHED)

    def _linearize_checked(self, batch: Any, vectors: Sequence[Sequence[Tensor]]) -> Linearized:
        """One batch's matrix; on the first use also whether its loss is the same when computed again."""
        before = None
        if not self._repeats:
            with torch.enable_grad():  # as in the linearisation: other modes may choose other kernels
                loss = self._loss(batch)
            before = loss.item() if isinstance(loss, Tensor) and loss.numel() == 1 else None
            del loss
        linear = self._linearize(batch, vectors)
        self._repeats, self._reached = True, self._reached or linear.reached
        if before is not None:
            again = linear.loss.item()
            if abs(again - before) > 100 * torch.finfo(linear.loss.dtype).eps * max(abs(again), abs(before)):
                self._repeats = False
                raise CurvatureError(
                    f"the loss of the first batch is {before:.7g} and, computed again, {again:.7g}, but an "
                    "operator must be the same matrix at each product: put dropout into eval(), seed what loss_fn "
                    "draws, or pass check=False to go on nevertheless"
                )
        return linear

    def batch_products(
        self, vectors: Sequence[Sequence[Tensor]], batches: Iterable[Any] | None = None, *, label: str = ""
    ) -> Iterator[tuple[int, list[list[Tensor]]]]:
        """For each batch its size and its own products with ``vectors``, from one graph a batch.

        Args:
            vectors: k vectors, each one tensor a parameter.
            batches: other batches than the operator's own.
            label: what the progress bar says.

        Yields:
            ``(n_b, [C_b v_1, …, C_b v_k])`` with C_b the batch's own matrix (a mean over its n_b examples, or
            their sum, as ``reduction`` says).

        Raises:
            CurvatureError: a product is not finite (which parameter, which batch), there is no batch or an empty
                one, the loss changes from one call to the next, or it depends on none of the parameters.
        """
        for n, results in self._sweep(vectors, batches, label):
            yield n, list(results)

    def products(
        self, vectors: Sequence[Sequence[Tensor]], batches: Iterable[Any] | None = None, *, label: str = ""
    ) -> list[list[Tensor]]:
        """C v for several vectors in one pass over the batches.

        Args:
            vectors: k vectors, each one tensor a parameter, of its shape, dtype and device.
            batches: other batches than the operator's own.
            label: what the progress bar says.

        Returns:
            k products, each one tensor a parameter.

        Raises:
            CurvatureError: see :meth:`batch_products`.
        """
        sums = [self.space.zeros() for _ in vectors]
        examples = 0
        for n, results in self._sweep(vectors, batches, label):
            weight = n if self.reduction == "mean" else 1
            examples += weight
            for total, h in zip(sums, results, strict=True):
                torch._foreach_add_(total, [x.to(t.dtype) for x, t in zip(h, total, strict=True)], alpha=weight)
        if self.reduction == "mean":
            for total in sums:
                torch._foreach_div_(total, examples)
        return sums

    # the matrix

    def matvec(self, v: Any) -> Any:
        """C v for one vector, returned in the form in which ``v`` came.

        Args:
            v: flat tensor or NumPy array of shape ``(N,)`` (or ``(N, 1)``), or one tensor a parameter.
        """
        vector, back = self.space.read(v)
        return back(self.products([vector])[0])

    def matmat(self, vectors: Any, *, probes_per_pass: int = 16) -> Any:
        """C V for the columns of V, which share each batch's graph.

        Args:
            vectors: flat tensor or NumPy array of shape ``(N, k)``.
            probes_per_pass: how many columns share a pass over the batches; memory grows with it.

        Returns:
            C V, of shape ``(N, k)``.

        Raises:
            ConfigError: ``probes_per_pass`` is no whole number of at least 1.
        """
        check_counts(probes_per_pass=probes_per_pass)
        columns, back = self.space.read_columns(vectors)
        result = []
        for start in range(0, len(columns), probes_per_pass):
            result += self.products(columns[start : start + probes_per_pass])
        return back(result)

    def __matmul__(self, other: Any) -> Any:
        """``operator @ v`` for a vector or a matrix of columns."""
        if getattr(other, "ndim", 1) == 2:
            return self.matmat(other)
        return self.matvec(other)

    def to_dense(self, *, max_params: int = 20_000) -> Tensor:
        """The whole matrix, shape ``(N, N)``, for small nets.

        Args:
            max_params: refuse more parameters than this.

        Raises:
            CurvatureError: N is larger than ``max_params``.
            ConfigError: ``max_params`` is no number.
        """
        check_number(max_params=max_params)
        if self.num_params > max_params:
            raise CurvatureError(
                f"the dense matrix of {self.num_params:,} parameters has "
                f"{self.num_params**2 * self.dtype.itemsize / 1e9:.3g} GB: use matvec, the estimators or "
                "esgd.spectrum, or raise max_params="
            )
        n = self.num_params
        dense = torch.empty(n, n, dtype=self.dtype, device=self.device)
        for first in range(0, n, 256):  # block by block: the whole identity would need as much again
            block = torch.zeros(min(256, n - first), n, dtype=self.dtype, device=self.device)
            block.diagonal(first).fill_(1)
            for i, h in enumerate(self.products([self.space.unflatten(row) for row in block])):
                dense[:, first + i] = self.space.flatten(h)
        return dense

    def to_scipy(self) -> LinearOperator:
        """A ``scipy.sparse.linalg.LinearOperator`` of NumPy arrays, e.g. for ``eigsh``.

        Raises:
            CurvatureError: SciPy is not installed.
        """
        try:
            from scipy.sparse.linalg import LinearOperator
        except ImportError as error:
            raise CurvatureError("to_scipy needs SciPy: pip install scipy") from error
        numpy_dtype = torch.empty(0, dtype=self.dtype).numpy().dtype
        return LinearOperator(
            self.shape,
            matvec=self.matvec,
            rmatvec=self.matvec,
            matmat=self.matmat,
            rmatmat=self.matmat,
            dtype=numpy_dtype,
        )


def _empty(used: bool = False) -> CurvatureError:
    if used:
        return CurvatureError(
            "there were batches before and now there are none: what gives them can be gone through only once; "
            "pass list(batches)"
        )
    return CurvatureError("an operator needs at least one batch, but the batches are empty: check the loader")
