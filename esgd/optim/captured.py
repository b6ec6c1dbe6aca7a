"""A training step as CUDA graphs: one without a product, one with, and the host decides which of them runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from esgd.errors import ConfigError
from esgd.low_rank import LowRank
from esgd.optim._cuda_graph import Recorder, can_capture
from esgd.optim._distributed import resolve_group
from esgd.optim._warning import warn
from esgd.optim.base import CLOCK
from esgd.optim.diagonal import DiagonalOptimizer

__all__ = ["CapturedStep"]

WARM_UP = 3  # steps before one is captured, so that libraries and the optimizer have made what they keep
MANY = 5  # captures, after which one is told


@dataclass(frozen=True)
class _Graph:
    """A captured step: what replays it, and the tensors that a replay writes."""

    replay: Callable[[], None]
    result: Any
    gradients: list[tuple[Tensor, Tensor | None]]


class CapturedStep:
    """A whole training step as CUDA graphs, so that the host launches one thing a step instead of hundreds.

    On small networks the launches are most of a step's time. There are two graphs, of the step without a product
    and of the step with one; the host decides by the optimizer's schedule which of them runs::

        lr = torch.tensor(0.03, device="cuda")
        optimizer = ESGD(model.parameters(), lr=lr, capturable=True)
        x, y = torch.empty(200, 784, device="cuda"), torch.empty(200, 10, device="cuda")

        def one_step():
            optimizer.zero_grad()
            loss = optimizer.probe(loss_fn(model(x), y))
            loss.backward()
            optimizer.step()
            return loss

        step = CapturedStep(optimizer, one_step)
        for images, labels in loader:
            x.copy_(images)
            y.copy_(labels)
            loss = step()
            scheduler.step()

    The first steps run as they are; they warm up, and are part of the training. Then each kind of step is captured
    when it comes, and replayed from there on. The run is the one that it would be without this class: v is drawn
    outside the graph, from ``(seed, index)``, and the state is the optimizer's, to be saved at any time. Where a
    setting changes or a state is loaded, steps are captured anew. Without a GPU every step runs as it is.

    What a graph can hold is torch's business: shapes are fixed, inputs stay where they are, nothing may wait for
    the device (``.item()``, ``GradScaler``). What Python does in ``one_step`` (printing, hooks, a scheduler)
    happens only when a step runs as it is or is captured, so keep it outside.

    Args:
        optimizer: an :class:`~esgd.ESGD` or :class:`~esgd.JacobiSGD` with ``capturable=True``, its parameters on
            one device, ``lr`` a Tensor there.
        one_step: takes a whole step: ``zero_grad``, forward, ``probe``, ``backward``, ``step``; it may return a
            tensor or a tuple of them.

    Raises:
        ConfigError: the optimizer cannot be captured; the message says why.

    Example:
        >>> import torch
        >>> from esgd import ESGD
        >>> w = torch.tensor([1.0, 1.0], requires_grad=True)
        >>> optimizer = ESGD([w], lr=torch.tensor(0.5), damping=0.0, capturable=True)
        >>> def one_step():
        ...     optimizer.zero_grad()
        ...     optimizer.probe(2 * w[0] ** 2 - 0.5 * w[1] ** 2).backward()
        ...     optimizer.step()
        >>> step = CapturedStep(optimizer, one_step)
        >>> step()
        >>> w.detach()
        tensor([0.5000, 1.5000])
    """

    def __init__(self, optimizer: DiagonalOptimizer, one_step: Callable[[], Any]) -> None:
        if not isinstance(optimizer, DiagonalOptimizer):
            raise ConfigError(f"expected an ESGD or JacobiSGD, got a {type(optimizer).__name__}")
        self._optimizer, self._one_step = optimizer, one_step
        self._recorder: Recorder | None = None
        self._frozen: dict[str, Any] | None = None
        self._times_forgotten = 0
        self._forget()
        self._check()

    def _forget(self) -> None:
        self._graphs: dict[str, _Graph] = {}
        self._vector: Sequence[Tensor] | None = None  # v, in memory that the graph of the probe step reads
        self._steps_run = 0  # as they are

    def _check(self) -> None:
        """Refuse what a graph would freeze or could not hold."""
        optimizer = self._optimizer
        devices = {p.device for p in self._params()}
        if len(devices) != 1:
            raise ConfigError(f"a CUDA graph holds the work of one device, the parameters are on {len(devices)}")
        (device,) = devices
        name = type(optimizer).__name__
        if not optimizer._capturable:
            raise ConfigError(f"construct {name} with capturable=True to capture its steps")
        for group in optimizer.param_groups:
            if group["curvature"] != "exact":
                raise ConfigError(
                    "differences of gradients move the parameters by a length that the host works out, which a "
                    f"graph cannot hold: construct {name} with curvature='exact', or run its steps as they are"
                )
            if not isinstance(group["lr"], Tensor):
                raise ConfigError(
                    f"lr is the number {group['lr']}, which a graph would freeze: pass lr=torch.tensor("
                    f"{group['lr']}, device={str(device)!r}); torch's schedulers write to it in place"
                )
            for key in ("lr", "damping"):
                if isinstance(group[key], Tensor) and group[key].device != device:
                    raise ConfigError(
                        f"{key} is on {group[key].device} and the parameters are on {device}, so that a graph "
                        "would freeze it: move it there"
                    )
        if resolve_group(optimizer._process_group) is not None:
            raise ConfigError(
                "steps with products averaged over several processes are not captured: run them as they are, or "
                "construct the optimizer with process_group=None in a run of one process"
            )

    def _params(self) -> list[Tensor]:
        return [p for g in self._optimizer.param_groups for p in g["params"]]

    def _settings(self) -> dict[str, Any]:
        """What a graph freezes; tensors and other objects stand for themselves, whatever is written to them."""
        settings: dict[str, Any] = {"state": _Same(self._optimizer._scales)}
        for i, group in enumerate(self._optimizer.param_groups):
            for key, value in group.items():
                if key == "params":
                    settings[f"{i} params"] = [(_Same(p), p.requires_grad) for p in value]
                elif key not in (*CLOCK, "initial_lr"):
                    settings[f"{i} {key}"] = _Same(value) if isinstance(value, Tensor) else value
        return settings

    def _forget_if_changed(self) -> None:
        now = self._settings()
        if self._frozen == now:
            return
        if self._graphs:
            self._times_forgotten += 1
            if self._times_forgotten == MANY:
                changed = [k.partition(" ")[2] or k for k in now if self._frozen.get(k) != now[k]]
                warn(
                    f"steps have been captured {MANY + 1} times, which costs more than it saves: a graph freezes "
                    f"what changed ({', '.join(changed)}). Only lr and damping may change, as Tensors in place"
                )
        self._forget()
        self._check()
        self._frozen = now

    def __call__(self) -> Any:
        """Take one step.

        Returns:
            What ``one_step`` returns, its tensors detached and in memory of their own.
        """
        optimizer, device = self._optimizer, self._params()[0].device
        if not can_capture(device):
            return _own(self._one_step())
        self._forget_if_changed()
        if self._recorder is None:
            self._recorder = Recorder(device)
        due = optimizer.curvature_due
        # products that make the memory of the state, or of which the host must know whether they were finite
        first = not optimizer.num_products or optimizer._has_new_parameters() or not optimizer._is_warm()
        if self._steps_run < WARM_UP or (due and first):
            self._steps_run += 1
            return _own(self._recorder.run(self._one_step))
        optimizer._refresh()  # the damping may have been written to
        if due:
            optimizer._before_products(1)
            self._draw()
        kind = "probe" if due else "plain"
        if kind in self._graphs:
            self._advance(due)
        else:
            self._graphs[kind] = self._capture(due)
        graph = self._graphs[kind]
        graph.replay()
        if due:
            optimizer._after_products()
        for p, g in graph.gradients:
            p.grad = g
        return _own(graph.result)

    def _draw(self) -> None:
        """Put the v of the coming product where the graph reads it."""
        optimizer = self._optimizer
        params = optimizer._probed()
        fresh = optimizer._draw(params, optimizer.param_groups[0]["probe_index"])
        if self._vector is None:
            self._vector = fresh if isinstance(fresh, LowRank) else [t.clone() for t in fresh]
            return
        for mine, new in zip(_parts(self._vector), _parts(fresh), strict=True):
            mine.copy_(new)

    def _capture(self, due: bool) -> _Graph:
        optimizer = self._optimizer
        optimizer._given = self._vector if due else None
        try:
            replay, result = self._recorder.record(self._one_step)
        finally:
            optimizer._given = None
        return _Graph(replay, result, [(p, p.grad) for p in self._params()])

    def _advance(self, due: bool) -> None:
        """Set the clock, which a replay does not."""
        optimizer = self._optimizer
        if due:
            optimizer._schedule_next(1, True)
        optimizer._set_clock(step=optimizer.param_groups[0]["step"] + 1)


@dataclass(frozen=True)
class _Same:
    """An object that equals only itself."""

    it: Any

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and self.it is other.it


def _parts(vector: Sequence[Tensor]) -> list[Tensor]:
    """The tensors that hold ``vector``."""
    return vector.tensors() if isinstance(vector, LowRank) else list(vector)


def _own(result: Any) -> Any:
    """Tensors in memory that no later step writes to."""
    if isinstance(result, Tensor):
        return result.detach().clone()
    return tuple(_own(r) for r in result) if isinstance(result, (tuple, list)) else result
