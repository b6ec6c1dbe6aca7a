"""Training K runs as one ensemble, in a folder, resumable to the bit.

The members share workload, method and schedule, and differ in seed, rate, damping and decay. Each follows the
trajectory of the same run trained alone. A member that diverges harms no other; it is not evaluated again. Members
may have run folders of their own, with the records and the manifest that their runs alone would have there.

On one CPU core an ensemble of three takes nearly as long as its three runs one after the other (measured once, with
SGD on the CURVES net); the gain is on a GPU, where nets of this size wait for their launches.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
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
from esgd.members import check_own_folders, write_members
from esgd.progress import progress_bar
from esgd.provenance import now, pick_device, provenance
from esgd.runs import RunAheadError, RunFolder
from esgd.train import DIVERGED, evaluate
from esgd.workload import product_cost, workload

__all__ = ["EnsembleTraining", "check_members", "ensemble_name", "train_ensemble_in_folder"]

MAY_DIFFER = ("lr", "damping", "decay", "seed")
PROGRESS = ("epoch", "position", "step", "seconds")


class EnsembleTraining:
    """K runs in memory.

    Args:
        configs: one a member; they may differ in ``lr``, ``damping``, ``decay`` and ``seed`` only.
        data: the training set, on the device that shall do the work.
        names: of the members in the records; default: their settings' own.

    Raises:
        ConfigError: the members differ in something else, or the method knows no ensembles.
    """

    def __init__(self, configs: Sequence[RunConfig], data: Dataset, *, names: Sequence[str] | None = None):
        self.configs, self.data = list(configs), data
        check_members(self.configs)
        self.names = [config.name() for config in self.configs] if names is None else list(names)
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

    def member_records(self, k: int) -> list[dict[str, Any]]:
        """The records of a member, without its number: those of its run alone."""
        return [{x: y for x, y in r.items() if x != "member"} for r in self.records if r["member"] == k]

    @property
    def diverged(self) -> set[int]:
        """Members whose last recorded loss is not finite, or a hundred times that of their untrained net."""
        last = {record["member"]: record["loss"] for record in self.records}
        return self._blown_up(last)

    @property
    def suspects(self) -> set[int]:
        """Members whose batches of the epoch have diverged: reason enough to evaluate them out of turn."""
        return self._blown_up(dict(enumerate((self.loss_sums / self.batches).tolist())))

    def _blown_up(self, losses: Mapping[int, float]) -> set[int]:
        first = {record["member"]: record["loss"] for record in reversed(self.records)}
        return {k for k, loss in losses.items() if not math.isfinite(loss) or loss > DIVERGED * first[k]}

    def record(self, members: Iterable[int] | None = None) -> list[dict[str, Any]]:
        """Evaluate members on the whole training set, off the clock; one record of each is appended.

        ``seconds`` are those of the whole ensemble.

        Args:
            members: their numbers; default: all.
        """
        products = self.optimizer.param_groups[0].get("probe_index", 0)
        means = (self.loss_sums / self.batches).tolist()
        entries = []
        for k in range(len(self.configs)) if members is None else sorted(members):
            config = self.configs[k]
            loss, squared_error = evaluate(self.net.member(k), self.data.images, self.task)
            entries.append(
                {
                    "run": self.names[k],
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


def check_members(configs: Sequence[RunConfig]) -> None:
    """Refuse runs that cannot be the members of one ensemble.

    Raises:
        ConfigError: there are none, they differ in more than they may, or the method knows no ensembles.
    """
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


def ensemble_name(configs: Sequence[RunConfig]) -> str:
    """A readable name for runs that differ in their seeds only, e.g. ``curves-sgd-lr0.02-seeds0-1-2``."""
    first = configs[0]
    return f"{first.name().removesuffix(f'seed{first.seed}')}seeds{'-'.join(str(c.seed) for c in configs)}"


def train_ensemble_in_folder(
    configs: Sequence[RunConfig],
    folder: RunFolder,
    *,
    own_folders: Sequence[RunFolder] | None = None,
    about: Mapping[str, Any] | None = None,
    device: str = "auto",
    progress: bool = True,
    should_stop: Callable[[], bool] = lambda: False,
    checkpoint_every: int = 1,
) -> tuple[str, EnsembleTraining]:
    """Train an ensemble with everything kept in a folder; what the folder holds of it is gone on with.

    Args:
        configs: the members.
        folder: the ensemble's folder.
        own_folders: one a member, which get their records and manifests as well, but no checkpoint.
        about: goes into the ensemble's manifest.
        device: as for :func:`esgd.resumable.train_in_folder`, as are the rest.
        progress: show a progress bar.
        should_stop: asked before each step.
        checkpoint_every: epochs between two checkpoints.

    Returns:
        ``"finished"`` or ``"stopped"``, and the ensemble.

    Raises:
        CheckpointError: the folder's checkpoint is damaged or belongs to other settings.
        ConfigError: the members do not fit together, or one was begun alone in its own folder.
        RunAheadError: fewer epochs are asked for than are done.
        RunBusyError: another process is working in one of the folders.
    """
    check_members(configs)
    place, first, own = pick_device(device), configs[0], list(own_folders or ())
    with ExitStack() as stack:
        for each in (folder, *own):
            stack.enter_context(each.locked())
        check_own_folders(own, folder)
        data = workload(first.workload).data(device=place, dtype=getattr(torch, first.dtype), progress=progress)
        training = EnsembleTraining(configs, data, names=[each.name for each in own] or None)
        source = {"name": data.name, "examples": len(data), "source": data.source, "sha256": data.digest}
        identity = {f"member {k}": config.settings() for k, config in enumerate(configs)} | {"data": source}
        if folder.checkpoint.exists():
            saved = load_checkpoint(folder.checkpoint, device=place)
            require_same(saved.get("ensemble", {}), identity, where=folder.checkpoint)
            if (done := saved["progress"]["epoch"]) > first.epochs:
                raise RunAheadError(f"the ensemble in {folder.path} has {done} epochs already: ask for more")
            training.load_state_dict(saved)
        shared = {
            "data": source,
            "net": {
                "sizes": list(training.task.sizes),
                "parameters": sum(p.numel() for p in training.net.parameters()) // len(configs),
            },
            **provenance(place),
            "started": folder.manifest().get("started", now()),
        }
        manifest = {
            "run": folder.name,
            **(about or {}),
            "members": [asdict(config) for config in configs],
            "config": asdict(first),
            **shared,
        }
        folder.write_manifest({**manifest, "status": "running"})
        if not training.records:
            training.record()

        def keep() -> None:
            save_checkpoint(folder.checkpoint, {"ensemble": identity, **training.state_dict()})
            folder.write_records(training.records)
            write_members(training, own, {**shared, "status": "running"}, folder)

        status = _run(training, progress, should_stop, checkpoint_every, keep, folder.name)
        end = {"ended": now(), "status": status}
        write_members(training, own, {**shared, **end}, folder)
        folder.write_manifest(
            {**manifest, **end, "epochs_done": training.epoch, "diverged": sorted(training.diverged)}
        )
    return status, training


def _run(
    training: EnsembleTraining,
    progress: bool,
    should_stop: Callable[[], bool],
    checkpoint_every: int,
    keep: Callable[[], None],
    name: str,
) -> str:
    epochs, every, size = training.configs[0].epochs, training.configs[0].eval_every, len(training.configs)
    total = epochs * training.batches
    with progress_bar(show=progress, total=total, initial=training.step, unit="step", desc=name) as bar:
        status = "finished"
        while training.epoch < epochs and status == "finished" and len(training.diverged) < size:
            if not training.train_epoch(should_stop=should_stop, on_step=bar.update):
                status = "stopped"
            else:
                due = training.epoch % every == 0 or training.epoch == epochs
                training.record((set(range(size)) if due else training.suspects) - training.diverged)
            if status == "stopped" or training.epoch % checkpoint_every == 0 or training.epoch == epochs:
                keep()
    return status
