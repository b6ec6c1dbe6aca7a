"""Optimizers with a diagonal preconditioner that is a running mean over Hessian-vector products."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from esgd.errors import ConfigError, CurvatureError
from esgd.optim._auto import next_interval, stands_for
from esgd.optim._average import ENERGY, accumulate, judge, with_energy
from esgd.optim._cuda_graph import is_capturing
from esgd.optim._descent import descend
from esgd.optim._lagged import LaggedScalars
from esgd.optim._late import LateParameters
from esgd.optim._loading import precision_kept
from esgd.optim._scale import Scales
from esgd.optim._settings import check_diagonal
from esgd.optim.base import CurvatureOptimizer

__all__ = ["DiagonalOptimizer"]

_HALF = (torch.float16, torch.bfloat16)


class DiagonalOptimizer(LateParameters, CurvatureOptimizer):
    """Base of :class:`~esgd.ESGD` and :class:`~esgd.JacobiSGD`: θ ← θ − lr · M ∘ g, M a cached diagonal.

    State of a parameter: ``curvature``, the (discounted) sum over products, of the parameter's shape, float32 for
    half-precision parameters; ``weight``, the (discounted) number of products in it, so that the running mean is
    ``curvature / weight``; and ``momentum_buffer`` where there is momentum. M is derived from them, cached, and
    rebuilt only when they or the damping change.
    """

    def __init__(
        self,
        params: Any,
        lr: float | Tensor,
        *,
        damping: float | Tensor,
        damping_mode: str,
        update_every: int | str,
        warmup_probes: int,
        beta: float | None,
        probe: str | Callable[[Sequence[Tensor], int], list[Tensor]],
        curvature: str,
        difference_step: float,
        momentum: float,
        nesterov: bool,
        weight_decay: float,
        maximize: bool,
        foreach: bool | None,
        capturable: bool,
        seed: int,
        process_group: Any,
        members: int | None,
    ) -> None:
        if not isinstance(capturable, bool):
            raise ConfigError(f"capturable must be True or False, got {capturable!r}")
        # not in the groups: torch.compile sets an entry of this name by itself
        self._members, self._capturable = members, capturable
        defaults = {
            "lr": lr,
            "damping": damping,
            "damping_mode": damping_mode,
            "update_every": update_every,
            "warmup_probes": warmup_probes,
            "beta": beta,
            "curvature": curvature,
            "difference_step": difference_step,
            "momentum": momentum,
            "nesterov": nesterov,
            "weight_decay": weight_decay,
            "maximize": maximize,
            "foreach": foreach,
            "seed": seed,
            "diagonal": self._diagonal_of,
        }
        super().__init__(params, defaults, probe=probe, process_group=process_group)

    def _reset_transient(self) -> None:
        super()._reset_transient()
        self._reset_late()
        self._scales = Scales()  # the cached M
        self._scale_key: list[Any] | None = None
        self._dampings: list[Any] = []  # what M was made with: kept, so that no other tensor takes its id
        self._lagged = LaggedScalars()
        self._log_ratio: float | None = None
        self._count = 1.0  # how often the products of this step count,
        self._times: Tensor | None = None  # and the same where a captured step reads it
        self._report: Tensor | None = None  # (rejected products, mean log-ratio of energies) of the last ones

    def __getstate__(self) -> dict[str, Any]:
        self._keep_underway()
        return {**super().__getstate__(), "_members": self._members, "_capturable": self._capturable}

    def __setstate__(self, state: dict[str, Any]) -> None:
        members, capturable = self._members, self._capturable
        super().__setstate__(state)
        self.__dict__.setdefault("_members", members)
        self.__dict__.setdefault("_capturable", capturable)

    def _check_group(self, group: dict[str, Any]) -> None:
        super()._check_group(group)
        check_diagonal(group, self._members)

    def state_dict(self) -> dict[str, Any]:
        """What a run needs to go on to the bit, as of every optimizer of torch.

        Where the host reads late (a GPU, ``capturable=True``) it waits here for what it has not read yet.
        """
        self._keep_underway()
        return super().state_dict()

    def _keep_underway(self) -> None:
        """Put what the host will learn at the next products into the clock, which a state carries."""
        if (underway := self._lagged.peek()) is not None:
            self._set_clock(underway=underway)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load what ``state_dict()`` returned, onto the parameters' devices.

        The curvature keeps its own precision (float32 for half-precision parameters), where torch would cast it.

        Raises:
            ConfigError: the state is of the other class of diagonal preconditioner.
        """
        for group in state_dict.get("param_groups", ()):
            if group.get("diagonal", self._diagonal_of) != self._diagonal_of:
                raise ConfigError(
                    f"this state holds a running mean of {group['diagonal']}, and {type(self).__name__} needs one "
                    f"of {self._diagonal_of}: load it into an optimizer of the class that saved it, or begin anew"
                )
        with precision_kept(self, ("curvature", "weight", *ENERGY)):
            super().load_state_dict(state_dict)

    def _draw(self, params: Sequence[Tensor], index: int) -> Sequence[Tensor]:
        if not self._capturable:  # M is rebuilt after the product, in its memory; a graph remembers M's own
            self._scale_key = None
            self._scales.clear()
        return super()._draw(params, index)

    # -- curvature -----------------------------------------------------------------------------------------

    def _factor(self, v: list[Tensor], product: list[Tensor]) -> list[Tensor]:
        """What Hv is multiplied by, elementwise, before it is summed."""
        raise NotImplementedError

    @staticmethod
    def _damped_diagonal_(means: list[Tensor], mode: str, damping: float | Tensor) -> None:
        """Turn running means, in place, into the damped diagonal whose reciprocal is M."""
        raise NotImplementedError

    _diagonal_of = ""  # what the running mean is of, as the state names it
    _may_be_captured = _remembers = True
    needs_probe = False  # whether _factor looks at v

    def _absorb(
        self, params: list[Tensor], products: list[list[Tensor]], first_index: int, reached: list[bool]
    ) -> bool:
        capturing = is_capturing(params[0])
        warming = not self._warm or self._has_new_parameters()
        for p, h in zip(params, products[0], strict=True):
            self._state_of(p, h.float() if h.dtype in _HALF else h)
        here = self._places_learnt(params, reached, len(products))
        if not here:
            products.clear()
            return False
        everybody, params = params, [params[i] for i in here]
        if not capturing:
            self._before_products(len(products))
        auto = self.param_groups[0]["update_every"] == "auto"
        count = self._times if auto and self._capturable else self._count
        bad, ratios, factors = [], [], self._factors(params)
        for i, product in enumerate(products):
            product = [product[j].float() if product[j].dtype in _HALF else product[j] for j in here]
            states = [self.state[p] for p in params]
            good, ratio = judge(states, product, factors, members=self._members, auto=auto, count=count)
            v = self._draw(everybody, first_index + i) if self.needs_probe else []
            v = [v[j] for j in here] if v else []
            left, look = self._factor(v, product), self._may_look(good)
            accumulate(states, left, product, good, factors, count, look=look)
            bad.append((~good).sum())
            ratios.append(ratio)
        self._scale_key = None
        if not self._capturable:
            for p, j in zip(params, here, strict=True):
                self._scales.adopt(p, products[-1][j])
        products.clear()
        report = torch.stack([torch.stack(bad).sum().float(), torch.stack(ratios).mean().float()])
        self._report = report if self._report is None or not self._capturable else self._report.copy_(report)
        if capturing:
            return True
        self._after_products()
        self._note_learnt(params, warming=warming)
        if not (self._may_look(good) or warming):  # the first products are worth a wait, no later ones are
            return True
        rejected, log_ratio = self._lagged.read()
        self._note(rejected, log_ratio)
        return self._is_warm() and (self._members is not None or not rejected or not self._may_look(good))

    def _may_look(self, t: Tensor) -> bool:
        """Whether the host may look at numbers of the device of ``t`` without waiting."""
        return t.device.type != "cuda" and not self._capturable

    def _before_products(self, number: int) -> None:
        """The host's part before ``number`` products: what it learns of those before, and how much these count."""
        lagged, loaded = self._lagged.read(), self.param_groups[0]["underway"]  # on a device this costs no wait
        if lagged is not None:
            self._note(*lagged)
        elif loaded is not None:
            self._note(0, loaded[1])  # what was rejected, the one that saved it has counted
        self._set_clock(underway=None)
        self._count = stands_for(self.param_groups[0], number)
        if self._capturable:
            if self._times is None:
                self._times = torch.ones((), device=self.param_groups[0]["params"][0].device)
            self._times.fill_(self._count)

    def _after_products(self) -> None:
        """The host's part after products: what it will learn of them."""
        self._lagged.push(self._report)

    def _note(self, rejected: float, log_ratio: float) -> None:
        self._warn_rejected(int(rejected))
        self._log_ratio = log_ratio if math.isfinite(log_ratio) else None

    def _factors(self, params: list[Tensor]) -> list[float]:
        beta = {p: g["beta"] for g in self.param_groups for p in g["params"]}
        return [1.0 if beta[p] is None else beta[p] for p in params]

    def _state_of(self, p: Tensor, like: Tensor) -> dict[str, Any]:
        state = self.state[p]
        if "curvature" not in state:
            state["curvature"] = torch.zeros_like(p, dtype=like.dtype, requires_grad=False)
            shape = () if self._members is None else (self._members, *[1] * (p.dim() - 1))
            state["weight"] = torch.zeros(shape, dtype=like.dtype, device=p.device)
        return state

    def _prepare_state(self) -> None:
        for group in self.param_groups:
            for p in group["params"]:
                if p.requires_grad:
                    state = self._state_of(p, p.new_empty(0, dtype=torch.promote_types(p.dtype, torch.float32)))
                    if group["update_every"] == "auto":
                        with_energy(state)
                    if group["momentum"]:
                        self._momentum_buffer(p)

    def _auto_interval(self) -> int:
        return next_interval(self.param_groups[0], self._log_ratio)

    # -- what a user may look at ---------------------------------------------------------------------------

    def mean_curvature(self, p: Tensor) -> Tensor:
        """The running mean over products for parameter ``p``, of its shape: D/k in Algorithm 1.

        Raises:
            ConfigError: ``p`` has no curvature yet, or is not held by this optimizer.
        """
        state = self.state.get(p, {})
        if "curvature" not in state:
            raise ConfigError(
                "this parameter has no curvature yet: it comes with the first step after optimizer.probe(loss), "
                "for parameters that the optimizer holds"
            )
        if not bool(state["weight"].any()):
            raise ConfigError(
                "nothing is known of this parameter's curvature: no loss that was probed depends on it, or all its "
                "products were rejected"
            )
        return state["curvature"] / state["weight"].to(state["curvature"].dtype)

    @property
    def num_products(self) -> int:
        """Hessian-vector products taken so far, rejected ones included."""
        return self.param_groups[0]["probe_index"]

    @property
    def num_rejected(self) -> int:
        """Products left out because they were not finite, since this object was made or loaded a state.

        Reading it may wait for the device.
        """
        underway = self._lagged.peek()
        return self._rejected + (0 if underway is None else int(underway[0]))

    # -- the update ----------------------------------------------------------------------------------------

    def _refresh(self) -> None:
        """Rebuild the cached M where curvature or damping has changed."""
        key = [(_identity(g["damping"]), g["damping_mode"]) for g in self.param_groups]
        if key == self._scale_key:
            return
        for group in self.param_groups:
            known = [p for p in group["params"] if "curvature" in self.state.get(p, {})]
            if known:
                damp = partial(self._damped_diagonal_, mode=group["damping_mode"], damping=group["damping"])
                states, look = [self.state[p] for p in known], self._may_look(known[0])
                undamped = not isinstance(group["damping"], Tensor) and group["damping"] == 0
                self._scales.rebuild(known, states, damp, look=look, undamped=undamped)
        self._scale_key, self._dampings = key, [g["damping"] for g in self.param_groups]

    def _update(self) -> None:
        self._refresh()
        self._look_out()
        for group in self.param_groups:
            params = [p for p in group["params"] if p.grad is not None]
            for p in params:
                if p not in self._scales:
                    raise CurvatureError(
                        f"a frozen parameter of shape {tuple(p.shape)} has a gradient but no curvature: set its "
                        "gradient to None, or requires_grad_() before probe"
                    )
            if params:
                descend(group, params, [self._scales[p] for p in params], self._momentum_buffer)

    def _momentum_buffer(self, p: Tensor) -> Tensor:
        state = self.state[p]
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(p, requires_grad=False)
        return state["momentum_buffer"]


def _identity(value: float | Tensor) -> Any:
    """What tells whether a setting has changed; a tensor counts as unchanged while it is the same object."""
    return (id(value), value._version) if isinstance(value, Tensor) else value
