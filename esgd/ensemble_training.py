"""K runs in memory as one ensemble: steps, evaluations, and all that is needed to go on to the bit.

:mod:`esgd.ensemble_run` keeps it in a folder.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from typing import Any

import torch
from torch import Tensor

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
from esgd.members import check_members
from esgd.train import DIVERGED, evaluate
from esgd.workload import product_cost, workload

__all__ = ["EnsembleTraining"]

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
    def lost(self) -> bool:
        """Whether every member has diverged."""
        return len(self.diverged) == len(self.configs)

    @property
    def unevaluated(self) -> set[int]:
        """Members that go on and have no record of the present epoch."""
        seen = {record["member"]: record["epoch"] for record in self.records}
        return {k for k in range(len(self.configs)) if seen.get(k) != self.epoch} - self.diverged

    @property
    def ended(self) -> bool:
        """Whether nothing is left to train: all epochs are done and evaluated, or every member has diverged."""
        return self.lost or (self.epoch >= self.configs[0].epochs and not self.unevaluated)

    @property
    def suspects(self) -> set[int]:
        """Members whose batches of the epoch have diverged: reason enough to evaluate them out of turn."""
        return self._blown_up(dict(enumerate((self.loss_sums / self.batches).tolist())))

    def _blown_up(self, losses: Mapping[int, float]) -> set[int]:
        first = {record["member"]: record["loss"] for record in reversed(self.records)}
        return {k for k, loss in losses.items() if not math.isfinite(loss) or loss > DIVERGED * first[k]}

    @property
    def due(self) -> set[int]:
        """Members to evaluate before the next step: those not evaluated yet, where it is time; else suspects."""
        if self.position:
            return set()
        first = self.configs[0]
        every = self.epoch % first.eval_every == 0 or self.epoch == first.epochs
        return self.unevaluated if every else self.unevaluated & self.suspects

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
            loss, squared_error = evaluate(self.net.alone(k), self.data.images, self.task)
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
