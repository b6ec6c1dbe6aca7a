"""A snapshot's measurement in pieces: stopped after any batch, it goes on from there and gives the same bits.

What a stop keeps is the sums so far, the products that the present sum is made of, and the batches of the product
under way. What is made of them is made again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from esgd.estimate import Estimate, RunningMoments
from esgd.estimators import Diagonals, DiagonalSums, running_moments
from esgd.lanczos import lanczos_many
from esgd.operator import HessianOperator
from esgd.probes import draw
from esgd.probing import probe_products
from esgd.seeding import batch_order

if TYPE_CHECKING:
    from esgd.data import Dataset
    from esgd.measure import MeasureConfig
    from esgd.snapshots import Snapshot

__all__ = ["STEPS_COMPARED", "Pieces", "StoppableHessian"]

PROBE = "rademacher"
STEPS_COMPARED = 8  # minibatches whose steps are compared


class StoppableHessian(HessianOperator):
    """A Hessian whose products may be interrupted after any batch.

    Products are kept until :meth:`forget`. After a stop they are given out again in their order, so that what asks
    for them, a Krylov space for one, gets to where it was without going through the data.

    Args:
        loss_fn: as for :class:`~esgd.operator.HessianOperator`.
        params: likewise.
        batches: a sequence.
        after_batch: called with (examples · vectors) after each batch; it may raise.
    """

    def __init__(
        self,
        loss_fn: Callable[[Tensor], Tensor],
        params: Any,
        batches: Sequence[Tensor],
        after_batch: Callable[[int], None],
    ):
        super().__init__(loss_fn, params, batches)
        self._after_batch = after_batch
        self._kept: list[list[list[Tensor]]] = []  # a list of products a call
        self._given = 0  # calls answered
        self._part: dict[str, Any] | None = None  # of the call under way

    def products(
        self, vectors: Sequence[Sequence[Tensor]], batches: Any = None, *, label: str = ""
    ) -> list[list[Tensor]]:
        """As for any operator, always over its own batches."""
        self._given += 1
        if self._given > len(self._kept):
            self._kept.append(self._computed(vectors, label))
            self._part = None
            self._after_batch(len(vectors) * len(self.batches[-1]))
        return self._kept[self._given - 1]

    def _computed(self, vectors: Sequence[Sequence[Tensor]], label: str) -> list[list[Tensor]]:
        """The products, from the first batch that is missing."""
        part = self._part or {"batches": 0, "examples": 0, "sums": [self.space.zeros() for _ in vectors]}
        self._part = part
        for n, results in self._sweep(vectors, self.batches[part["batches"] :], label):
            for total, h in zip(part["sums"], results, strict=True):
                torch._foreach_add_(total, list(h), alpha=n)
            part["batches"] += 1
            part["examples"] += n
            if part["batches"] < len(self.batches):
                self._after_batch(len(vectors) * n)
        for total in part["sums"]:
            torch._foreach_div_(total, part["examples"])
        return part["sums"]

    def forget(self) -> None:
        """Drop the products so far: they are in a sum."""
        self._kept, self._given = [], 0

    def state(self) -> dict[str, Any]:
        """What a checkpoint needs."""
        return {"kept": self._kept, "part": self._part}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on from what :meth:`state` described."""
        self._kept, self._part, self._given = list(state["kept"]), state["part"], 0


class Pieces:
    """The sums of a snapshot's measurement, and what adds to them what is missing.

    Args:
        snapshot: what is measured.
        data: its training set.
        config: the measurement's settings.
        loss_fn: the loss of a batch of images.
        operator: the Hessian on the sample.
        after_batch: called with a number of examples after each minibatch of gradients; it may raise.
        state: of a measurement that was stopped; None begins one.
    """

    def __init__(
        self,
        snapshot: Snapshot,
        data: Dataset,
        config: MeasureConfig,
        loss_fn: Callable[[Tensor], Tensor],
        operator: StoppableHessian,
        after_batch: Callable[[int], None],
        state: Mapping[str, Any] | None = None,
    ):
        self._snapshot, self._data, self._config = snapshot, data, config
        self._loss_fn, self._operator, self._after_batch = loss_fn, operator, after_batch
        self._loss: float | None = None
        self._diagonals = DiagonalSums(operator)
        self._root_v, self._absolute = (running_moments(operator, (operator.num_params,)) for _ in range(2))
        self._gradients: list[Tensor] = []
        if state is not None:
            self._loss = state["loss"]
            self._diagonals = DiagonalSums.from_state(state["diagonals"])
            self._root_v = RunningMoments.from_state(state["root_v"])
            self._absolute = RunningMoments.from_state(state["absolute"])
            self._gradients = list(state["gradients"])
            operator.load_state(state["products"])

    def state(self) -> dict[str, Any]:
        """What a checkpoint needs."""
        return {
            "loss": self._loss,
            "diagonals": self._diagonals.state(),
            "root_v": self._root_v.state(),
            "absolute": self._absolute.state(),
            "gradients": self._gradients,
            "products": self._operator.state(),
        }

    def loss(self) -> float:
        """The mean loss on the sample."""
        if self._loss is None:
            with torch.no_grad():
                total = sum(self._loss_fn(batch).item() * len(batch) for batch in self._operator.batches)
            self._loss = total / sum(map(len, self._operator.batches))
        return self._loss

    def diagonals(self) -> Diagonals:
        """As :func:`esgd.estimators.diagonals`."""
        sums, operator = self._diagonals, self._operator
        for pairs in probe_products(
            operator, self._config.probes, PROBE, self._config.seed, None, begin=sums.count
        ):
            for v, h in pairs:
                sums.add(v, h)
            operator.forget()
        return sums.found()

    def root_v(self) -> tuple[Estimate, list[Tensor]]:
        """√E g_b² over the minibatches that the run sees next, and the first few gradients; flat, shape (N,)."""
        images, config, space = self._data.images, self._snapshot.config, self._operator.space
        order = batch_order(len(self._data), config.seed, self._snapshot.epoch).to(images.device)
        for index in order.split(config.batch_size)[self._root_v.count : self._config.gradient_batches]:
            g = space.flatten(torch.autograd.grad(self._loss_fn(images[index]), space.params))
            self._root_v.add(g.square())
            if len(self._gradients) < STEPS_COMPARED:
                self._gradients.append(g)
            self._after_batch(len(index))
        return self._root_v.estimate().sqrt(), self._gradients

    def absolute(self) -> Estimate:
        """The value of :func:`esgd.estimators.diag_abs`."""
        operator, config = self._operator, self._config
        for i in range(self._absolute.count, config.abs_probes):
            v = operator.space.flatten(draw(PROBE, operator.params, config.seed, i))
            (space,) = lanczos_many(operator, [v], config.steps)
            self._absolute.add(v * space.apply(torch.abs))
            operator.forget()
        return self._absolute.estimate()
