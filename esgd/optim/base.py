"""What the curvature-based optimizers share: groups, state, and the step that works products in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from esgd.errors import ConfigError, CurvatureError
from esgd.hvp import check_parameters
from esgd.optim._cuda_graph import is_capturing
from esgd.optim._distributed import average_over_ranks, check_alike, resolve_group, shared_by_copies
from esgd.optim._probe import Probing
from esgd.optim._settings import check_shared
from esgd.optim._warning import warn

__all__ = ["CurvatureOptimizer"]

# where the schedule stands; kept in the groups, since only groups and state survive a state_dict
# "cold": the next products are as many as the first ones, for the sake of parameters of which nothing is known
# "underway": of the last products, what the host had not read when the state was taken: how many were rejected, and
# their mean log-ratio of energies
CLOCK = {"step": 0, "next_probe": 0, "interval": 0, "probe_index": 0, "cold": False, "underway": None}

_NEVER_PROBED = (
    "curvature is due at this step, but {name} has seen no loss: between the forward pass and backward() add\n"
    "    loss = optimizer.probe(loss)"
)
_CLEARED = (
    "curvature is due at this step, and {name} had it, but zero_grad() came between probe() and step() and "
    "cleared it: call optimizer.zero_grad() first, then optimizer.probe(loss), loss.backward(), optimizer.step()"
)
_UNREACHED = (
    "curvature is due at this step, and the loss that {name} was shown depends on none of its parameters, but they "
    "have gradients: probe the loss that backward() runs on, computed with these parameters and not with a copy of "
    "the model"
)


_SKIPPED = (
    "of the losses that were probed for this step only a part was run backward, and the products of the others "
    "cannot be taken out again: call optimizer.zero_grad() where a batch is skipped after probe()"
)
_PARTIAL = (
    "a part of the gradient of this step comes from losses that were not probed, so that the curvature is that of "
    "the others alone: probe every micro-batch, loss = optimizer.probe(loss / n), or a function for a part of it"
)


class CurvatureOptimizer(Probing, Optimizer):
    """Base of the optimizers that look at Hessian-vector products; not used by itself.

    A subclass says in :meth:`_absorb` what becomes of the products and in :meth:`_update` how the parameters
    move. Everything that must survive ``state_dict``, pickling and ``deepcopy`` lives in ``state`` and
    ``param_groups``; what is derived (a cached preconditioner) may vanish at any time.
    """

    _members: int | None = None  # the number of nets, where the parameters hold an ensemble
    _may_be_captured = False  # whether CUDA graphs can hold the steps of this class,
    _capturable = False  # and of this object
    _remembers = False  # whether a step can be made from earlier products
    # one product serves all groups, so these settings are the optimizer's, and each group carries the same value
    _shared: tuple[str, ...] = ("update_every", "warmup_probes", "probe", "curvature", "difference_step", "seed")

    def __init__(
        self,
        params: Any,
        defaults: dict[str, Any],
        *,
        probe: str | Callable[[Sequence[Tensor], int], list[Tensor]],
        process_group: Any = "world",
    ) -> None:
        self._draw_custom = probe if callable(probe) else None
        if isinstance(process_group, str) and process_group != "world":
            raise ConfigError(f"process_group must be 'world', None or a process group, got {process_group!r}")
        self._process_group = process_group
        defaults = {**defaults, "probe": "custom" if callable(probe) else probe}
        self._reset_transient()
        super().__init__(params, defaults)

    # -- groups, pickling, state ---------------------------------------------------------------------------

    def _reset_transient(self) -> None:
        super()._reset_transient()
        self._rejected = 0
        self._warned_partial = self._warned_skipped = False
        self._alike: list[int] | None = None  # sizes of parameters that all ranks are known to hold

    def __getstate__(self) -> dict[str, Any]:
        kept = {"_draw_custom": self._draw_custom, "_process_group": shared_by_copies(self._process_group)}
        return {**super().__getstate__(), **kept}

    def __setstate__(self, state: dict[str, Any]) -> None:
        custom, group = getattr(self, "_draw_custom", None), getattr(self, "_process_group", "world")
        if "_pending" in self.__dict__:
            self._drop_pending()
        super().__setstate__(state)
        self.__dict__.setdefault("_draw_custom", custom)
        self.__dict__.setdefault("_process_group", group)
        self._reset_transient()
        for entry in self.param_groups:  # state of an older version may lack settings that came later
            for key, value in {**self.defaults, **CLOCK}.items():
                if key != "differentiable":  # torch adds it to the defaults, and it means nothing here
                    entry.setdefault(key, value)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add parameters, with settings of their own where they are given.

        Curvature becomes due at once, with ``warmup_probes`` products, since the new parameters have none.

        Args:
            param_group: ``{"params": ..., option: value, ...}`` as everywhere in ``torch.optim``.

        Raises:
            ConfigError: a setting is out of range, or one that the whole optimizer shares differs.
            CurvatureError: a parameter is complex, sparse or sharded.
        """
        before = len(self.param_groups)
        if before and isinstance(param_group, dict):  # what is shared is what it is now, not what it was at first
            param_group = {**{key: self.param_groups[0][key] for key in self._shared}, **param_group}
        super().add_param_group(param_group)
        group = self.param_groups[-1]
        try:
            check_parameters(group["params"] or [torch.zeros(())])
            self._check_group(group)
            first = self.param_groups[0]
            for key in self._shared:
                if group[key] != first[key]:
                    raise ConfigError(
                        f"{key} is shared by all parameter groups, since one product serves them all: expected "
                        f"{first[key]!r} as in the first group, got {group[key]!r}"
                    )
        except Exception:
            del self.param_groups[before:]
            raise
        for key, value in CLOCK.items():
            group[key] = first.get(key, value) if before else value
        self._set_clock(next_probe=group["step"])

    def _check_group(self, group: dict[str, Any]) -> None:
        """Check one group's settings; subclasses add theirs."""
        check_shared(group, self._members)
        for key in ("update_every", "warmup_probes", "seed"):
            if group[key] != "auto":
                group[key] = int(group[key])  # a whole number of NumPy's would not survive everywhere

    def _set_clock(self, **values: Any) -> None:
        for group in self.param_groups:
            group.update(values)

    # -- step ----------------------------------------------------------------------------------------------

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step of the optimizer.

        Args:
            closure: evaluates the model, probes and calls ``backward()``; its value is returned.

        Raises:
            CurvatureError: curvature is due and there is none; the message tells whether ``probe`` was never
                called, its result was cleared, or a probed batch was skipped before anything is known. Also for
                sparse gradients.

        Warns:
            RuntimeWarning: once, where ``backward()`` of losses that were not probed has added to the gradient; and
                where a batch was skipped between ``probe`` and ``backward`` without ``optimizer.zero_grad()``: its
                products count nowhere, and this step is made without new ones. Among several processes that is an
                error, since the others wait for the products.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        moving = [p for g in self.param_groups for p in g["params"] if p.grad is not None]
        if not moving:
            return loss
        for p in moving:
            if p.grad.layout is not torch.strided:
                raise CurvatureError(
                    f"{type(self).__name__} does not take sparse gradients (got {p.grad.layout}): construct the "
                    "embedding with sparse=False"
                )
        if is_capturing(moving[0]) and not self._capturable:
            remedy = "construct it with capturable=True, and capture with esgd.optim.CapturedStep"
            raise ConfigError(
                f"{type(self).__name__} is not made to be captured in a CUDA graph: "
                f"{remedy if self._may_be_captured else 'run its steps as they are'}"
            )
        if self.curvature_due:
            if not self._has_pending() and self._rates_are_zero():
                # nothing would move: torch.distributed.checkpoint asks by such a step for the shape of the state
                self._prepare_state()
                return loss
            self._take_curvature()
        self._update()
        self._set_clock(step=self.param_groups[0]["step"] + 1)
        return loss

    def _has_pending(self) -> bool:
        return self._pending is not None

    def _prepare_state(self) -> None:
        """Make the entries of ``state`` as they are before anything is known."""

    def _rates_are_zero(self) -> bool:
        return all(not bool(torch.as_tensor(g["lr"]).any()) for g in self.param_groups)

    @torch._disable_dynamo  # once an interval, and its schedule is not for a compiled graph
    def _take_curvature(self) -> None:
        pending = self._pending
        if pending is None:
            text = _UNREACHED if self._unreached else _CLEARED if self._cleared else _NEVER_PROBED
            raise CurvatureError(text.format(name=type(self).__name__))
        self._drop_pending()
        group = resolve_group(self._process_group)
        if pending.partly_run:
            self._leave_out(alone=group is None)
            return
        if pending.partly_probed and not self._warned_partial:
            warn(_PARTIAL)
            self._warned_partial = True
        if group is not None:
            self._check_ranks(pending.params, group)
            pending.reached = average_over_ranks(pending.sums, pending.weight, group, pending.reached)
        if not any(pending.reached):
            raise CurvatureError(_UNREACHED.format(name=type(self).__name__))
        count = len(pending.sums)
        accepted = self._absorb(pending.params, pending.sums, pending.first_index, pending.reached)
        self._schedule_next(count, accepted)
        self._set_clock(cold=not accepted and count > 1)  # what was rejected comes again, as many
        self._cleared = False

    def _leave_out(self, *, alone: bool) -> None:
        """Where a batch was probed and then skipped: go on without these products, which are due at the next step.

        Raises:
            CurvatureError: nothing is known to go on with, or other ranks wait for these products.
        """
        if not (alone and self._remembers and self._is_warm()) or self._has_new_parameters():
            raise CurvatureError(_SKIPPED)
        if not self._warned_skipped:
            warn(f"{_SKIPPED}. This step is made without new curvature")
            self._warned_skipped = True

    def _check_ranks(self, params: list[Tensor], group: Any) -> None:
        """Once for the parameters as they are: the ranks hold the same."""
        if (sizes := [p.numel() for p in params]) != self._alike:
            check_alike(params, group)
            self._alike = sizes

    def _schedule_next(self, count: int, accepted: bool) -> None:
        """Set the clock after ``count`` products."""
        clock = self.param_groups[0]
        every = clock["update_every"]
        interval = self._auto_interval() if every == "auto" else every
        if accepted:
            self._set_clock(interval=interval, next_probe=clock["step"] + interval)
        self._set_clock(probe_index=clock["probe_index"] + count)

    def _absorb(
        self, params: list[Tensor], products: list[list[Tensor]], first_index: int, reached: list[bool]
    ) -> bool:
        """Work the products into the state; ``False`` asks for others at the very next step.

        Args:
            params: those that were probed.
            products: for each vector one tensor a parameter.
            first_index: the number of the first vector.
            reached: whether the loss depends on each parameter; nothing is learnt of the others.
        """
        raise NotImplementedError

    def _auto_interval(self) -> int:
        """Steps to the next product under ``update_every="auto"``."""
        raise NotImplementedError

    def _update(self) -> None:
        """Move the parameters that have a gradient."""
        raise NotImplementedError

    def _warn_rejected(self, count: int) -> None:
        if count and not self._rejected:
            warn(
                "a Hessian-vector product was not finite and was left out of the curvature estimate: lower the "
                "learning rate, or look for an overflow in the model (further ones are counted in num_rejected)"
            )
        self._rejected += count
