"""Parameter space: a list of tensors seen as one flat vector of N entries, and back."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from esgd.errors import CurvatureError
from esgd.hvp import check_parameters, check_vector

__all__ = ["Params", "VectorSpace", "batch_size", "dot", "norm"]

Back = Callable[[Any], Any]
Params = torch.nn.Module | Mapping[str, Tensor] | Iterable[Tensor] | Iterable[tuple[str, Tensor]]


class VectorSpace:
    """The parameters' names, shapes and order, and the way between lists of tensors and flat vectors.

    Args:
        params: tensors, ``(name, tensor)`` pairs as from ``model.named_parameters()``, a dictionary of them, or the
            model itself.

    Raises:
        CurvatureError: no parameters, the same one twice, or one that has no Hessian-vector product.

    Attributes:
        names: one a parameter; ``"parameter 3"`` where none was given.
        params: the tensors themselves.
        num_params: N.
        dtype: of flat vectors: the widest of the parameters', at least float32.
        device: of flat vectors: the first parameter's.
    """

    def __init__(self, params: Params):
        if isinstance(params, Tensor):
            raise CurvatureError("params must be a collection of tensors, got one tensor: pass [tensor]")
        if isinstance(params, torch.nn.Module):
            params = params.named_parameters()
        elif isinstance(params, Mapping):
            params = params.items()
        if not isinstance(params, Iterable) or isinstance(params, str):
            raise CurvatureError(
                f"params must be a collection of tensors, got {type(params).__name__}: pass model.parameters()"
            )
        given = list(params)
        pairs = [p if isinstance(p, tuple) and len(p) == 2 else (f"parameter {i}", p) for i, p in enumerate(given)]
        self.names = [str(name) for name, _ in pairs]
        self.params = [p for _, p in pairs]
        check_parameters(self.params)
        if len({id(p) for p in self.params}) < len(self.params):
            raise CurvatureError(
                "a parameter is listed twice, so its rows would be too: pass each tensor once "
                "(model.parameters() does)"
            )
        if any(p.is_meta for p in self.params):
            raise CurvatureError(
                "a parameter is on the meta device, which holds no numbers: give the model a device with "
                "model.to_empty(device=…) and load its weights"
            )
        self.num_params = sum(p.numel() for p in self.params)
        if not self.num_params:
            raise CurvatureError("all parameters are empty tensors: there is nothing to differentiate")
        self.device = self.params[0].device
        self.dtype = torch.float32
        for p in self.params:
            self.dtype = torch.promote_types(self.dtype, p.dtype)

    def zeros(self) -> list[Tensor]:
        """A zero vector, one tensor a parameter, in at least float32."""
        return [
            torch.zeros(p.shape, dtype=torch.promote_types(p.dtype, torch.float32), device=p.device)
            for p in self.params
        ]

    def flatten(self, v: Sequence[Tensor]) -> Tensor:
        """One flat vector, shape ``(N,)``, from one tensor a parameter."""
        return torch.cat([x.detach().reshape(-1).to(device=self.device, dtype=self.dtype) for x in v])

    def unflatten(self, flat: Tensor) -> list[Tensor]:
        """One tensor a parameter, of its shape, dtype and device, from a flat vector of shape ``(N,)``."""
        if flat.shape != (self.num_params,):
            raise CurvatureError(
                f"expected a flat vector of shape ({self.num_params},), got {tuple(flat.shape)}: one entry a "
                "parameter, in the order of params"
            )
        if flat.dtype != self.dtype:
            raise CurvatureError(f"expected a vector of {self.dtype}, got {flat.dtype}: use v.to({self.dtype})")
        if flat.device != self.device:
            raise CurvatureError(
                f"expected a vector on {self.device}, got one on {flat.device}: use v.to({str(self.device)!r})"
            )
        pieces = flat.split([p.numel() for p in self.params])
        return [x.view(p.shape).to(p) for x, p in zip(pieces, self.params, strict=True)]

    def named(self, flat: Tensor) -> dict[str, Tensor]:
        """Views of a flat vector by the parameters' names, in their shapes."""
        pieces = flat.split([p.numel() for p in self.params])
        return {n: x.view(p.shape) for n, x, p in zip(self.names, pieces, self.params, strict=True)}

    def read(self, v: Any) -> tuple[list[Tensor], Back]:
        """A vector in any form as a list of tensors, and the way back to that form.

        Args:
            v: flat tensor or NumPy array of shape ``(N,)`` or ``(N, 1)``, or one tensor a parameter.

        Raises:
            CurvatureError: shape, dtype or device do not match the parameters.
        """
        if isinstance(v, np.ndarray):
            flat = self._from_numpy(v).reshape(-1)
            shape = v.shape if flat.numel() == self.num_params else None
            return self.unflatten(flat), lambda h: self.flatten(h).cpu().numpy().reshape(shape)
        if isinstance(v, Tensor):
            column = v.ndim == 2 and v.shape[1] == 1
            parts = self.unflatten(v[:, 0] if column else v)
            return parts, lambda h: self.flatten(h).view(v.shape)
        v = list(v) if isinstance(v, Iterator) else v
        check_vector(v, self.params)
        return list(v), list

    def flat(self, v: Any) -> Tensor:
        """A vector in any form of :meth:`read` as a flat tensor, shape ``(N,)``; a flat tensor stays as it is."""
        parts, _ = self.read(v)
        return v if isinstance(v, Tensor) and v.ndim == 1 else self.flatten(parts)

    def _from_numpy(self, array: np.ndarray) -> Tensor:
        """An array of real numbers in this space's dtype, on its device."""
        if array.dtype.kind not in "fiub":
            raise CurvatureError(
                f"expected an array of real numbers, got {array.dtype}: the matrix is real, so take the real and "
                "the imaginary part of a complex vector one by one"
            )
        return torch.from_numpy(np.ascontiguousarray(array)).to(self.device, self.dtype)

    def read_columns(self, vectors: Any) -> tuple[list[list[Tensor]], Back]:
        """The columns of an ``(N, k)`` tensor or NumPy array as lists of tensors, and the way back."""
        is_numpy = isinstance(vectors, np.ndarray)
        matrix = self._from_numpy(vectors) if is_numpy else vectors
        if not isinstance(matrix, Tensor) or matrix.ndim != 2 or matrix.shape[0] != self.num_params:
            came = tuple(matrix.shape) if isinstance(matrix, Tensor) else type(matrix).__name__
            raise CurvatureError(f"expected vectors as columns, shape ({self.num_params}, k), got {came}")

        def back(columns: list[list[Tensor]]) -> Any:
            if not columns:
                return vectors.copy() if is_numpy else matrix.clone()
            result = torch.stack([self.flatten(c) for c in columns], dim=1)
            return result.cpu().numpy() if is_numpy else result

        return [self.unflatten(column) for column in matrix.T.contiguous()], back

    def check_finite(self, h: Sequence[Tensor], where: str, v: Sequence[Tensor]) -> None:
        """Refuse a product with an infinite or undefined entry.

        Args:
            h: the product, one tensor a parameter.
            where: what the message says of the place, e.g. ``"of batch 3"``.
            v: the vector that it is a product with.

        Raises:
            CurvatureError: which parameter, how many entries, and what to look at: the vector if it is not
                finite itself, the batch otherwise.
        """
        bad = self._not_finite(h)
        if bad is None:
            return
        source = self._not_finite(v)
        if source is not None:
            raise CurvatureError(f"v itself is not finite in {source}: look at where it was computed")
        raise CurvatureError(
            f"the product {where} is not finite in {bad}: look at that batch's loss and inputs, lower the learning "
            "rate that led here, or use float64"
        )

    def _not_finite(self, h: Sequence[Tensor]) -> str | None:
        """The first parameter that has entries which are not finite, and how many; None if all are finite."""
        # one number for all: it is finite unless an entry is not, or the sum overflows (looked at below)
        total = torch.stack([x.sum().to(self.device, self.dtype) for x in h]).sum()
        if torch.isfinite(total):
            return None
        for name, x in zip(self.names, h, strict=True):
            bad = int((~torch.isfinite(x)).sum())
            if bad:
                return f"{name!r} ({bad} of {x.numel()} entries)"
        return None


def batch_size(batch: Any) -> int:
    """The number of examples of a batch: the length of the first tensor or array in it.

    Args:
        batch: a tensor, or a tuple, list or dictionary that holds one.

    Raises:
        CurvatureError: there is none; give the operator ``size=``.
    """
    if isinstance(batch, Tensor | np.ndarray) and batch.ndim > 0:
        return len(batch)
    parts = batch.values() if isinstance(batch, dict) else batch if isinstance(batch, tuple | list) else ()
    for part in parts:
        try:
            return batch_size(part)
        except CurvatureError:
            continue
    raise CurvatureError(
        f"cannot tell the number of examples of a batch of type {type(batch).__name__}: pass size=, a "
        "function of one batch (lambda batch: 1 weighs all batches alike)"
    )


def dot(a: Tensor, b: Tensor) -> float:
    """The product a · b of flat vectors, summed in float64 where the device has it.

    A float32 sum over millions of entries is off by 1e-4; this one is not.
    """
    if a.device.type == "mps":
        return torch.dot(a, b).item()
    pairs = zip(a.split(1 << 20), b.split(1 << 20), strict=True)  # a million at a time bounds the copies
    return sum(torch.dot(x.double(), y.double()).item() for x, y in pairs)


def norm(a: Tensor) -> float:
    """‖a‖ of a flat vector, summed as in :func:`dot`."""
    return math.sqrt(dot(a, a))
