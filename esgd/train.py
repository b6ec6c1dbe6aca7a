"""The training loop.

:class:`Training` is a run in memory: it steps, evaluates and can be saved and restored to the bit.
:func:`train` drives it with a progress bar. :mod:`esgd.resumable` keeps it in a folder.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from esgd.config import RunConfig
from esgd.data import Dataset
from esgd.methods import make_optimizer
from esgd.nets import Autoencoder
from esgd.progress import progress_bar
from esgd.provenance import pick_device
from esgd.seeding import batch_order
from esgd.workload import product_cost, workload

__all__ = ["TrainResult", "Training", "evaluate", "train"]

Record = dict[str, Any]
EVALUATION_CHUNK = 2000  # examples at once
DIVERGED = 100.0  # times the untrained net's loss


@dataclass
class TrainResult:
    """What a run gave.

    Attributes:
        config: its settings.
        status: ``"finished"``, ``"stopped"`` (resumable) or ``"diverged"``.
        records: one dict an evaluation, with the columns of :data:`esgd.runs.COLUMNS`.
        net: the trained net.
    """

    config: RunConfig
    status: str
    records: list[Record]
    net: Autoencoder = field(repr=False)


@torch.no_grad()
def evaluate(net: Callable[[Tensor], Tensor], images: Tensor, task: Any) -> tuple[float, float]:
    """Loss and squared error per example over all images, without a graph.

    Args:
        net: the net, or a function from images to logits.
        images: shape ``(examples, pixels)``.
        task: a :class:`~esgd.workload.Workload`.
    """
    totals = torch.zeros(2, device=images.device)
    for chunk in images.split(EVALUATION_CHUNK):
        logits = net(chunk)
        totals += len(chunk) * torch.stack([task.loss(logits, chunk), task.squared_error(logits, chunk)]).float()
    loss, squared_error = (totals / len(images)).tolist()
    return loss, squared_error


class Training:
    """One run in memory: net, optimizer, and how far it is.

    Args:
        config: the settings.
        data: the training set, on the device that shall do the work.
        name: the run's name in the records; default: the settings' own.
    """

    world = 1  # processes that share each batch

    def __init__(self, config: RunConfig, data: Dataset, *, name: str | None = None):
        self.config, self.data = config, data
        self.name = config.name() if name is None else name
        self.task = workload(config.workload)
        self.net = self.task.net(config.seed).to(data.images.device, data.images.dtype)
        self.optimizer = make_optimizer(config, self.net.parameters())
        self.epoch = 0  # finished epochs
        self.position = 0  # batches done of the epoch that follows
        self.step = 0
        self.seconds = 0.0
        self.loss_sum = 0.0  # of this epoch's batches
        self.records: list[Record] = []

    @property
    def batches(self) -> int:
        """Batches in an epoch; the last may be smaller."""
        return math.ceil(len(self.data) / self.config.batch_size)

    @property
    def diverged(self) -> bool:
        """Whether the loss is not finite, or a hundred times that of the untrained net.

        Saturated sigmoids keep the loss finite where other nets would overflow.
        """
        return bool(self.records) and self._blown_up(self.records[-1]["loss"])

    @property
    def ended(self) -> bool:
        """Whether nothing is left to train: all epochs are done and evaluated, or the run has diverged."""
        done = bool(self.records) and self.records[-1]["epoch"] == self.epoch >= self.config.epochs
        return done or self.diverged

    @property
    def suspect(self) -> bool:
        """Whether the epoch's batches have diverged: reason enough to evaluate out of turn."""
        return self._blown_up(self.loss_sum / self.batches)

    def _blown_up(self, loss: float) -> bool:
        return not math.isfinite(loss) or loss > DIVERGED * self.records[0]["loss"]

    @property
    def products(self) -> int:
        """Hessian-vector products taken so far."""
        return self.optimizer.param_groups[0].get("probe_index", 0)

    def _rest_of_epoch(self) -> Iterator[Tensor]:
        """The batches of this epoch that are still to come."""
        order = batch_order(len(self.data), self.config.seed, self.epoch).to(self.data.images.device)
        for index in order.split(self.config.batch_size)[self.position :]:
            yield self.data.images[self._share(index)]

    def _share(self, index: Tensor) -> Tensor:
        """What this process takes of a batch: all of it, where it is alone."""
        return index

    def _averaged(self, loss: Tensor) -> Tensor:
        """The loss of the whole batch; gradients are made those of the whole batch on the way."""
        return loss

    def train_epoch(
        self, *, should_stop: Callable[[], bool] = lambda: False, on_step: Callable[[], None] = lambda: None
    ) -> bool:
        """Go on to the end of the epoch; False when it was stopped before."""
        started = time.perf_counter()
        total = torch.full((), self.loss_sum, device=self.data.images.device)
        for images in self._rest_of_epoch():
            if should_stop():
                break
            total += self._step(images)
            self.step += 1
            self.position += 1
            on_step()
        self.loss_sum = total.item()  # waits for the device
        self.seconds += time.perf_counter() - started
        if self.position < self.batches:
            return False
        self.epoch, self.position = self.epoch + 1, 0
        return True

    def _step(self, images: Tensor) -> Tensor:
        """One update; returns the loss of the batch, detached."""
        self.optimizer.zero_grad()
        loss = self.task.loss(self.net(images), images)
        if self.config.uses_curvature:
            loss = self.optimizer.probe(loss)
        loss.backward()
        loss = self._averaged(loss.detach())
        self.optimizer.step()
        return loss

    def record(self) -> Record:
        """Evaluate on the whole training set, off the clock, and append the record."""
        loss, squared_error = evaluate(self.net, self.data.images, self.task)
        entry = {
            "run": self.name,
            "seed": self.config.seed,
            "method": self.config.method,
            "epoch": self.epoch,
            "step": self.step,
            "loss": loss,
            "squared_error": squared_error,
            "batch_loss": self.loss_sum / self.batches if self.epoch else None,
            "seconds": round(self.seconds, 3),
            "gradient_equivalents": self.step + self.products * product_cost(self.task.sizes),
        }
        self.records.append(entry)
        return entry

    def state_dict(self) -> dict[str, Any]:
        """All that is needed to go on to the bit."""
        return {
            "net": self.net.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "progress": {name: getattr(self, name) for name in _PROGRESS},
            "records": self.records,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from where :meth:`state_dict` was taken."""
        self.net.load_state_dict(state["net"])
        self.optimizer.load_state_dict(state["optimizer"])
        for name in _PROGRESS:
            setattr(self, name, state["progress"][name])
        self.records = list(state["records"])


_PROGRESS = ("epoch", "position", "step", "seconds", "loss_sum")


def train(
    config: RunConfig,
    data: Dataset | None = None,
    *,
    device: str | torch.device = "auto",
    progress: bool = True,
    on_record: Callable[[Training], None] = lambda training: None,
    on_checkpoint: Callable[[Training], None] = lambda training: None,
    should_stop: Callable[[], bool] = lambda: False,
    training: Training | None = None,
) -> TrainResult:
    """Train, with a progress bar that shows the time left.

    Args:
        config: the settings.
        data: the training set; default: the workload's own, loaded onto ``device``.
        device: ``"auto"``, ``"cpu"``, ``"cuda"``, ``"mps"``; only used to load the data.
        progress: show the bar.
        on_record: called after each evaluation.
        on_checkpoint: called after each epoch and when the run ends or is stopped.
        should_stop: asked before each step; True stops the run there.
        training: go on with this one.

    Returns:
        Records, status and net.

    Example:
        >>> from esgd.config import RunConfig
        >>> result = train(RunConfig("mnist-10k", "esgd", epochs=1), progress=False)  # doctest: +SKIP
        >>> result.records[-1]["squared_error"]  # doctest: +SKIP
    """
    if training is None:
        if data is None:
            place = pick_device(device) if isinstance(device, str) else device
            data = workload(config.workload).data(
                device=place, dtype=getattr(torch, config.dtype), progress=progress
            )
        training = Training(config, data)
    if not training.records:
        training.record()
        on_record(training)
    total = config.epochs * training.batches
    bar = progress_bar(show=progress, total=total, initial=training.step, unit="step", desc=training.name)
    if training.epoch == config.epochs and not training.ended:  # stopped between two evaluations, and asked to end
        training.record()
        on_record(training)
        on_checkpoint(training)
    status = "diverged" if training.diverged else "finished"
    with bar:
        while training.epoch < config.epochs and status == "finished":
            if training.position == 0:
                training.loss_sum = 0.0
            if not training.train_epoch(should_stop=should_stop, on_step=bar.update):
                status = "stopped"
            elif training.epoch % config.eval_every == 0 or training.epoch == config.epochs or training.suspect:
                entry = training.record()
                text = f"loss {entry['loss']:.2f}, squared error {entry['squared_error']:.2f}"
                bar.set_postfix_str(text, refresh=False)
                if training.diverged:
                    status = "diverged"
                on_record(training)
            on_checkpoint(training)
    return TrainResult(config, status, training.records, training.net)
