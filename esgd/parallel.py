"""Data parallel training under ``torchrun``: every rank takes its share of each batch, only rank 0 writes.

The batches are those of the run on one process, in the same order; the gradient is the mean over the batch, and
the curvature optimizers average the products over the ranks before they square. So the run equals that of one
process up to the order of sums, and either can go on where the other stopped. A batch that the ranks cannot share
evenly is refused: the mean of means differs.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from esgd.config import RunConfig
from esgd.data import Dataset
from esgd.errors import ConfigError
from esgd.provenance import pick_device
from esgd.resumable import train_in_folder
from esgd.runs import RunFolder
from esgd.train import Training, TrainResult

__all__ = ["ParallelTraining", "launched", "speaks", "train_parallel"]


_RENDEZVOUS = ("WORLD_SIZE", "RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")  # torchrun sets them all


def launched() -> bool:
    """Whether ``torchrun`` started this process as one of several.

    One or the other of its variables may stand in the environment of a machine where nothing was launched.
    """
    return all(name in os.environ for name in _RENDEZVOUS) and int(os.environ["WORLD_SIZE"]) > 1


def speaks() -> bool:
    """Whether this process tells what happens: it is alone, or rank 0."""
    return not launched() or os.environ["RANK"] == "0"


class ParallelTraining(Training):
    """A run whose batches are shared by the ranks of the default process group.

    Gradients are averaged by one flat all-reduce a step rather than by DistributedDataParallel, whose
    ``static_graph=True`` would give wrong gradients when probed; so that option does not exist here.

    Args:
        config: the settings; ``batch_size`` is that of all ranks together.
        data: the whole training set, on every rank.
        name: the run's name in the records.

    Raises:
        ConfigError: the ranks cannot share every batch evenly.
    """

    def __init__(self, config: RunConfig, data: Dataset, *, name: str | None = None):
        self.rank, self.world = dist.get_rank(), dist.get_world_size()
        last = len(data) % config.batch_size
        if config.batch_size % self.world or last % self.world:
            raise ConfigError(
                f"{self.world} processes cannot share batches of {config.batch_size}"
                + (f" and a last one of {last}" if last else "")
                + " evenly: choose a batch size and a number of processes that divide"
            )
        super().__init__(config, data, name=name)

    def train_epoch(
        self, *, should_stop: Callable[[], bool] = lambda: False, on_step: Callable[[], None] = lambda: None
    ) -> bool:
        """Go on to the end of the epoch; False when it was stopped before, by any rank and on all at one step."""

        def anybody() -> bool:
            flag = torch.tensor(int(should_stop()))  # on the CPU: no wait for the GPU
            dist.all_reduce(flag, op=dist.ReduceOp.MAX)
            return bool(flag)

        return super().train_epoch(should_stop=anybody, on_step=on_step)

    def _share(self, index: Tensor) -> Tensor:
        return index.chunk(self.world)[self.rank]

    def _averaged(self, loss: Tensor) -> Tensor:
        grads = [p.grad for p in self.net.parameters()]
        flat = torch.cat([*(g.reshape(-1) for g in grads), loss.reshape(1).to(grads[0])])
        dist.all_reduce(flat)
        flat /= self.world
        for grad, mean in zip(grads, flat[:-1].split([g.numel() for g in grads]), strict=True):
            grad.copy_(mean.view_as(grad))
        return flat[-1].clone()


def train_parallel(config: RunConfig, folder: RunFolder, *, device: str = "auto", **options: Any) -> TrainResult:
    """Train on all ranks, resumable as :func:`esgd.resumable.train_in_folder` is; rank 0 alone writes.

    Args:
        config: the settings.
        folder: the run's folder, which all ranks can read.
        device: ``"auto"``, ``"cpu"`` or ``"cuda"``; on CUDA each rank takes the GPU of its local rank.
        options: as for :func:`esgd.resumable.train_in_folder`.

    Returns:
        The result, the same on every rank.
    """
    place = pick_device(device)
    if place.type == "cuda":
        place = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(place)
    dist.init_process_group("cpu:gloo,cuda:nccl" if place.type == "cuda" else "gloo")
    try:
        options["progress"] = options.get("progress", True) and speaks()
        return train_in_folder(
            config, folder, device=str(place), training_type=ParallelTraining, writes=speaks(), **options
        )
    finally:
        dist.destroy_process_group()
