"""Data parallel training under ``torchrun``: every rank takes its share of each batch, only rank 0 writes.

The batches are those of the run on one process, in the same order; the gradient is the mean over the batch, and
the curvature optimizers average the products over the ranks before they square. So the run equals that of one
process up to the order of sums. A batch that the ranks cannot share evenly is refused: the mean of means differs.
"""

from __future__ import annotations

import os

import torch
import torch.distributed as dist
from torch import Tensor

from esgd.config import RunConfig
from esgd.data import Dataset
from esgd.errors import ConfigError
from esgd.provenance import pick_device
from esgd.seeding import batch_order
from esgd.train import Training

__all__ = ["ParallelTraining", "end_group", "launched", "start_group", "train_parallel"]


def launched() -> bool:
    """Whether ``torchrun`` started this process as one of several."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


def start_group(device: str) -> torch.device:
    """Join the other ranks, gloo on CPUs and nccl on CUDA; the device of this one."""
    place = pick_device(device)
    if place.type == "cuda":
        place = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(place)
    dist.init_process_group("nccl" if place.type == "cuda" else "gloo")
    return place


def end_group() -> None:
    """Leave the group."""
    if dist.is_initialized():
        dist.destroy_process_group()


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

    def _rest_of_epoch(self):
        order = batch_order(len(self.data), self.config.seed, self.epoch).to(self.data.images.device)
        for index in order.split(self.config.batch_size)[self.position :]:
            yield self.data.images[index.chunk(self.world)[self.rank]]

    def _step(self, images: Tensor) -> Tensor:
        self.optimizer.zero_grad()
        loss = self.task.loss(self.net(images), images)
        if self.config.uses_curvature:
            loss = self.optimizer.probe(loss)
        loss.backward()
        grads = [p.grad for p in self.net.parameters()]
        flat = torch.cat([*(g.reshape(-1) for g in grads), loss.detach().reshape(1).to(grads[0])])
        dist.all_reduce(flat)
        flat /= self.world
        for grad, mean in zip(grads, flat[:-1].split([g.numel() for g in grads]), strict=True):
            grad.copy_(mean.view_as(grad))
        self.optimizer.step()
        return flat[-1].clone()


def train_parallel(config: RunConfig, folder, *, device: str = "auto", progress: bool = True):
    """Train on all ranks; rank 0 alone writes records and manifest. It writes no checkpoint: a rerun starts afresh.

    Args:
        config: the settings.
        folder: the :class:`~esgd.runs.RunFolder` to write.
        device: ``"auto"``, ``"cpu"`` or ``"cuda"``; on CUDA each rank takes the GPU of its local rank.
        progress: show a progress bar, on rank 0.

    Returns:
        The :class:`~esgd.train.TrainResult`, the same on every rank.
    """
    from dataclasses import asdict

    from esgd.provenance import now, provenance
    from esgd.train import train
    from esgd.workload import workload

    place = start_group(device)
    try:
        writes = dist.get_rank() == 0
        data = workload(config.workload).data(
            device=place, dtype=getattr(torch, config.dtype), progress=progress and writes
        )
        training = ParallelTraining(config, data, name=folder.name)
        started = now()
        result = train(config, data, progress=progress and writes, training=training)
        if writes:
            with folder.locked():
                folder.write_records(result.records)
                folder.write_manifest(
                    {
                        "run": folder.name,
                        "config": asdict(config),
                        "processes": dist.get_world_size(),
                        "data": {"name": data.name, "source": data.source, "sha256": data.digest},
                        **provenance(place),
                        "started": started,
                        "ended": now(),
                        "status": result.status,
                        "epochs_done": result.records[-1]["epoch"],
                    }
                )
        dist.barrier()
    finally:
        end_group()
    return result
