"""Training K runs as one ensemble, in a folder, resumable to the bit.

The members share workload, method and schedule, and differ in seed, rate, damping and decay. Each follows the
trajectory of the same run trained alone. A member that diverges goes on alone with numbers that are not finite.

On one CPU core an ensemble of three takes nearly as long as its three runs one after the other (measured once, with
SGD on the CURVES net); the gain is on a GPU, where nets of this size wait for their launches.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from itertools import islice
from typing import Any

import torch
from torch import Tensor

from esgd.checkpoint import load_checkpoint, require_same, save_checkpoint
from esgd.config import RunConfig
from esgd.data import Dataset
from esgd.ensemble import (
    Ensemble,
    EnsembleRMSprop,
    EnsembleSGD,
    member_batches,
    member_losses,
    member_probe,
)
from esgd.errors import ConfigError
from esgd.progress import progress_bar
from esgd.provenance import now, pick_device, provenance
from esgd.runs import RunFolder
from esgd.train import evaluate
from esgd.workload import product_cost, workload

__all__ = ["EnsembleTraining", "train_ensemble_in_folder"]

MAY_DIFFER = ("lr", "damping", "decay", "seed")
PROGRESS = ("epoch", "position", "step", "seconds")


class EnsembleTraining:
    """K runs in memory.

    Args:
        configs: one a member; they may differ in ``lr``, ``damping``, ``decay`` and ``seed`` only.
        data: the training set, on the device that shall do the work.

    Raises:
        ConfigError: the members differ in something else, or the method knows no ensembles.
    """

    def __init__(self, configs: Sequence[RunConfig], data: Dataset):
        self.configs, self.data = list(configs), data
        _check(self.configs)
        first, images = self.configs[0], data.images
        self.seeds = [config.seed for config in self.configs]
        self.task = workload(first.workload)
        self.net = Ensemble(self.task.sizes, self.seeds).to(images.device, images.dtype)
        self.optimizer = self._make_optimizer(first)
        self.epoch = self.position = self.step = 0
        self.seconds = 0.0
        self.loss_sums = torch.zeros(len(self.configs), device=images.device)  # of this epoch's batches
        self.records: list[dict[str, Any]] = []

    def _make_optimizer(self, first: RunConfig) -> torch.optim.Optimizer:
        params = [*self.net.weights, *self.net.biases]
        lr = self._column("lr")
        if first.method == "sgd":
            return EnsembleSGD(params, lr, momentum=first.momentum, nesterov=first.nesterov)
        if first.method == "rmsprop":
            return EnsembleRMSprop(params, lr, alpha=self._column("decay"), eps=self._column("damping"))
        from esgd.optim import ESGD, JacobiSGD

        return {"esgd": ESGD, "jacobi": JacobiSGD}[first.method](
            params,
            lr,
            damping=self._column("damping"),
            update_every=first.update_every,
            warmup_probes=first.warmup_probes,
            momentum=first.momentum,
            nesterov=first.nesterov,
            probe=member_probe(self.seeds),
            members=len(self.configs),
        )

    def _column(self, name: str) -> Tensor:
        """A setting of all members, shape ``(K, 1, 1)``."""
        values = [getattr(config, name) for config in self.configs]
        images = self.data.images
        return torch.tensor(values, dtype=images.dtype, device=images.device).view(-1, 1, 1)

    @property
    def batches(self) -> int:
        """Batches in an epoch; the last may be smaller."""
        return math.ceil(len(self.data) / self.configs[0].batch_size)

    def train_epoch(
        self, *, should_stop: Callable[[], bool] = lambda: False, on_step: Callable[[], None] = lambda: None
    ) -> bool:
        """Go on to the end of the epoch; False when it was stopped before."""
        started = time.perf_counter()
        if self.position == 0:
            self.loss_sums.zero_()
        batches = member_batches(self.data.images, self.seeds, self.epoch, self.configs[0].batch_size)
        for images in islice(batches, self.position, None):
            if should_stop():
                break
            self.optimizer.zero_grad()
            losses = member_losses(self.net(images), images)
            loss = losses.sum()
            if self.configs[0].uses_curvature:
                loss = self.optimizer.probe(loss)
            loss.backward()
            self.optimizer.step()
            self.loss_sums += losses.detach()
            self.step += 1
            self.position += 1
            on_step()
        self.loss_sums.tolist()  # waits for the device
        self.seconds += time.perf_counter() - started
        if self.position < self.batches:
            return False
        self.epoch, self.position = self.epoch + 1, 0
        return True

    def record(self) -> list[dict[str, Any]]:
        """Evaluate every member on the whole training set, off the clock; one record a member is appended.

        ``seconds`` are those of the whole ensemble.
        """
        products = self.optimizer.param_groups[0].get("probe_index", 0)
        means = (self.loss_sums / self.batches).tolist()
        entries = []
        for k, config in enumerate(self.configs):
            loss, squared_error = evaluate(self.net.member(k), self.data.images, self.task)
            entries.append(
                {
                    "run": config.name(),
                    "seed": config.seed,
                    "method": config.method,
                    "epoch": self.epoch,
                    "step": self.step,
                    "loss": loss,
                    "squared_error": squared_error,
                    "batch_loss": means[k] if self.epoch else None,
                    "seconds": round(self.seconds, 3),
                    "gradient_equivalents": self.step + products * product_cost(self.task.sizes),
                    "member": k,
                }
            )
        self.records += entries
        return entries

    def state_dict(self) -> dict[str, Any]:
        """All that is needed to go on to the bit."""
        return {
            "net": self.net.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "progress": {name: getattr(self, name) for name in PROGRESS},
            "loss_sums": self.loss_sums,
            "records": self.records,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from where :meth:`state_dict` was taken."""
        self.net.load_state_dict(state["net"])
        self.optimizer.load_state_dict(state["optimizer"])
        for name in PROGRESS:
            setattr(self, name, state["progress"][name])
        self.loss_sums = state["loss_sums"].to(self.data.images.device)
        self.records = list(state["records"])


def _check(configs: Sequence[RunConfig]) -> None:
    if not configs:
        raise ConfigError("an ensemble needs at least one member")
    first = configs[0]
    shared = [{k: v for k, v in asdict(config).items() if k not in MAY_DIFFER} for config in configs]
    if odd := sorted({k for other in shared for k in other if other[k] != shared[0][k]}):
        raise ConfigError(
            f"members of an ensemble may differ in {', '.join(MAY_DIFFER)}, but {', '.join(odd)} differs"
        )
    if first.method == "adam" or (first.method == "rmsprop" and first.momentum):
        what = "adam" if first.method == "adam" else "rmsprop with momentum"
        raise ConfigError(f"there are no ensembles of {what}: train its runs one by one")
    if first.update_every == "auto":
        raise ConfigError("an ensemble needs one interval for all members: give update_every as a number")
    if len({config.name() for config in configs}) < len(configs):
        raise ConfigError("two members of the ensemble are the same run: give each its own seed or rate")


def train_ensemble_in_folder(
    configs: Sequence[RunConfig],
    folder: RunFolder,
    *,
    device: str = "auto",
    progress: bool = True,
    should_stop: Callable[[], bool] = lambda: False,
    checkpoint_every: int = 1,
) -> tuple[str, EnsembleTraining]:
    """Train an ensemble with everything kept in a folder; what the folder holds of it is gone on with.

    Args:
        configs: the members.
        folder: the ensemble's folder.
        device: as for :func:`esgd.resumable.train_in_folder`, as are the rest.
        progress: show a progress bar.
        should_stop: asked before each step.
        checkpoint_every: epochs between two checkpoints.

    Returns:
        ``"finished"`` or ``"stopped"``, and the ensemble.

    Raises:
        CheckpointError: the folder's checkpoint is damaged or belongs to other settings.
        ConfigError: the members do not fit together, or fewer epochs are asked for than are done.
        RunBusyError: another process is working in the folder.
    """
    _check(configs)
    place, first = pick_device(device), configs[0]
    with folder.locked():
        data = workload(first.workload).data(device=place, dtype=getattr(torch, first.dtype), progress=progress)
        training = EnsembleTraining(configs, data)
        about = {"name": data.name, "examples": len(data), "source": data.source, "sha256": data.digest}
        identity = {f"member {k}": config.settings() for k, config in enumerate(configs)} | {"data": about}
        if folder.checkpoint.exists():
            saved = load_checkpoint(folder.checkpoint, device=place)
            require_same(saved.get("ensemble", {}), identity, where=folder.checkpoint)
            if (done := saved["progress"]["epoch"]) > first.epochs:
                raise ConfigError(f"the ensemble in {folder.path} has {done} epochs already: ask for more")
            training.load_state_dict(saved)
        manifest = {
            "run": folder.name,
            "members": [asdict(config) for config in configs],
            "config": asdict(first),
            "data": about,
            **provenance(place),
            "started": folder.manifest().get("started", now()),
        }
        folder.write_manifest({**manifest, "status": "running"})
        if not training.records:
            training.record()
        status = _run(training, folder, identity, progress, should_stop, checkpoint_every)
        folder.write_manifest({**manifest, "ended": now(), "status": status, "epochs_done": training.epoch})
    return status, training


def _run(
    training: EnsembleTraining,
    folder: RunFolder,
    identity: dict[str, Any],
    progress: bool,
    should_stop: Callable[[], bool],
    checkpoint_every: int,
) -> str:
    first = training.configs[0]
    total = first.epochs * training.batches
    with progress_bar(show=progress, total=total, initial=training.step, unit="step", desc=folder.name) as bar:
        status = "finished"
        while training.epoch < first.epochs and status == "finished":
            if not training.train_epoch(should_stop=should_stop, on_step=bar.update):
                status = "stopped"
            elif training.epoch % first.eval_every == 0 or training.epoch == first.epochs:
                training.record()
            if status == "stopped" or training.epoch % checkpoint_every == 0 or training.epoch == first.epochs:
                save_checkpoint(folder.checkpoint, {"ensemble": identity, **training.state_dict()})
                folder.write_records(training.records)
    return status
