"""Optimizers with a diagonal preconditioner that is a running mean over Hessian-vector products."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from esgd.errors import ConfigError, CurvatureError
from esgd.optim._auto import next_interval, stands_for
from esgd.optim._lagged import LaggedScalars
from esgd.optim._scale import Scales
from esgd.optim._settings import check_diagonal
from esgd.optim.base import CurvatureOptimizer

__all__ = ["DiagonalOptimizer"]


class DiagonalOptimizer(CurvatureOptimizer):
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
        momentum: float,
        nesterov: bool,
        weight_decay: float,
        maximize: bool,
        foreach: bool | None,
        seed: int,
        process_group: Any,
        members: int | None,
    ) -> None:
        self._members = members
        defaults = {
            "lr": lr,
            "damping": damping,
            "damping_mode": damping_mode,
            "update_every": update_every,
            "warmup_probes": warmup_probes,
            "beta": beta,
            "curvature": curvature,
            "momentum": momentum,
            "nesterov": nesterov,
            "weight_decay": weight_decay,
            "maximize": maximize,
            "foreach": foreach,
            "seed": seed,
        }
        super().__init__(params, defaults, probe=probe, process_group=process_group)

    def _reset_transient(self) -> None:
        super()._reset_transient()
        self._scales = Scales()  # the cached M
        self._scale_key: list[Any] | None = None
        self._lagged = LaggedScalars()
        self._log_ratio: float | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_members": self._members}

    def __setstate__(self, state: dict[str, Any]) -> None:
        members = getattr(self, "_members", None)
        super().__setstate__(state)
        self.__dict__.setdefault("_members", members)

    def _check_group(self, group: dict[str, Any]) -> None:
        super()._check_group(group)
        check_diagonal(group, self._members)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load what ``state_dict()`` returned, onto the parameters' devices.

        The curvature keeps its own precision (float32 for half-precision parameters), where torch would cast it.
        """
        loaded: list[dict[str, Any]] = []

        def look(_: Any, state_dict: dict[str, Any]) -> None:  # after the user's hooks, which may replace it
            loaded.append(state_dict)

        def restore(_: Any) -> None:  # before the user's hooks
            (given,) = loaded
            numbers = [n for g in given["param_groups"] for n in g["params"]]
            mine = [p for g in self.param_groups for p in g["params"]]
            for number, p in zip(numbers, mine, strict=True):
                for key, value in given["state"].get(number, {}).items():
                    if key in ("curvature", "weight", "energy"):
                        self.state[p][key] = value.detach().clone().to(p.device)
                    elif isinstance(value, Tensor):  # what is loaded is not written to by later steps
                        self.state[p][key] = self.state[p][key].clone()

        before = self.register_load_state_dict_pre_hook(look)
        after = self.register_load_state_dict_post_hook(restore, prepend=True)
        try:
            super().load_state_dict(state_dict)
        finally:
            before.remove()
            after.remove()

    def _draw(self, params: Sequence[Tensor], index: int) -> Sequence[Tensor]:
        self._scale_key = None  # M is rebuilt after the product, in the memory of the product
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

    needs_probe = False  # whether _factor looks at v

    def _absorb(self, params: list[Tensor], products: list[list[Tensor]], first_index: int) -> bool:
        lagged = self._lagged.read()  # of the products before: on a device this costs no wait
        if lagged is not None:
            self._note(*lagged)
        bad, ratios, count = [], [], stands_for(self.param_groups[0], len(products))
        for i, product in enumerate(products):
            product = [h.float() if h.dtype in (torch.float16, torch.bfloat16) else h for h in product]
            states = [self._state_of(p, h) for p, h in zip(params, product, strict=True)]
            good, ratio = self._judge(states, product, count)
            v = self._draw(params, first_index + i) if self.needs_probe else []
            self._add(states, self._factor(v, product), product, good, self._factors(params), count)
            bad.append((~good).sum())
            ratios.append(ratio)
        self._scale_key = None
        for p, h in zip(params, products[-1], strict=True):
            self._scales.adopt(p, h)
        products.clear()
        self._lagged.push(torch.stack([torch.stack(bad).sum().float(), torch.stack(ratios).mean().float()]))
        if bad[0].device.type == "cuda":
            return True
        rejected, log_ratio = self._lagged.read()
        self._note(rejected, log_ratio)
        return self._members is not None or not rejected

    def _note(self, rejected: float, log_ratio: float) -> None:
        self._warn_rejected(int(rejected))
        self._log_ratio = log_ratio if math.isfinite(log_ratio) else None

    def _factors(self, params: list[Tensor]) -> list[float]:
        beta = {p: g["beta"] for g in self.param_groups for p in g["params"]}
        return [1.0 if beta[p] is None else beta[p] for p in params]

    def _judge(self, states: list[dict[str, Any]], product: list[Tensor], count: float) -> tuple[Tensor, Tensor]:
        """Whether a product can be summed, shape () or (members,), and how its energy compares with the past.

        The second is the mean over the parameters of log(‖Hv‖² / mean of ‖Hv‖² so far), NaN where nothing is
        known yet or nobody asks (only ``update_every="auto"`` does).
        """
        unknown = product[0].new_full((), float("nan"))
        if self._members is not None:
            flat = [h.reshape(self._members, -1).square().sum(1) for h in product]
            return torch.stack(flat).isfinite().all(0), unknown
        home = product[0].device
        energy = torch.stack([n.to(home, torch.float32) for n in torch._foreach_norm(product)]).square()
        good = energy.isfinite().all()
        if self.param_groups[0]["update_every"] != "auto":
            return good, unknown
        past = torch.stack(
            [s.setdefault("energy", torch.zeros_like(s["weight"])).to(home, torch.float32) for s in states]
        )
        weight = torch.stack([s["weight"].to(home, torch.float32) for s in states])
        ratio = (energy * weight / past).log()
        alive = (past > 0) & (energy > 0) & good
        mean = torch.where(alive, ratio, 0.0).sum() / alive.sum()
        for s, e in zip(states, torch.where(good, energy, 0.0).unbind(), strict=True):
            s["energy"].add_(e.to(s["energy"]), alpha=count)
        return good, mean

    def _add(
        self,
        states: list[dict[str, Any]],
        left: list[Tensor],
        product: list[Tensor],
        good: Tensor,
        factors: list[float],
        count: float,
    ) -> None:
        """Discount the sums and add ``left`` ∘ ``product`` ``count`` times, unless the product is rejected."""
        sums, weights = [s["curvature"] for s in states], [s["weight"] for s in states]
        if good.device.type != "cuda" and bool(good.all()):  # nothing to mask, known without waiting
            for factor in {f for f in factors if f != 1.0}:
                torch._foreach_mul_([s for s, f in zip(sums, factors, strict=True) if f == factor], factor)
                torch._foreach_mul_([w for w, f in zip(weights, factors, strict=True) if f == factor], factor)
            torch._foreach_addcmul_(sums, left, product, count)
            torch._foreach_add_(weights, count)
            return
        for total, weight, a, h, factor in zip(sums, weights, left, product, factors, strict=True):
            mask = good.to(h.device).view(weight.shape)
            keep = torch.where(mask, factor, 1.0)
            total.mul_(keep.to(total.dtype)).add_(torch.where(mask, a * h, 0.0), alpha=count)
            weight.mul_(keep).add_(mask, alpha=count)

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
                        state.setdefault("energy", torch.zeros_like(state["weight"]))
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
        return state["curvature"] / state["weight"].to(state["curvature"].dtype)

    @property
    def num_products(self) -> int:
        """Hessian-vector products taken so far, rejected ones included."""
        return self.param_groups[0]["probe_index"]

    @property
    def num_rejected(self) -> int:
        """Products left out because they were not finite, since this object was made; reading it may wait."""
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
            if not known:
                continue
            sums = [self.state[p]["curvature"] for p in known]
            weights = [self.state[p]["weight"] for p in known]
            scales = [self._scales.place(p) for p in known]
            work = [m if m.dtype == s.dtype else torch.empty_like(s) for m, s in zip(scales, sums, strict=True)]
            for m, total, w in zip(work, sums, weights, strict=True):
                torch.div(total, w.to(total.dtype), out=m)
            self._damped_diagonal_(work, group["damping_mode"], group["damping"])
            torch._foreach_reciprocal_(work)
            for m, w in zip(work, weights, strict=True):
                if w.device.type == "cuda" or self._members is not None or not bool(w):
                    m.masked_fill_(w == 0, 0.0)  # every product was rejected: stand still until one is not
            for m, w in zip(scales, work, strict=True):
                if m is not w:  # 1/damping may be beyond half precision, and infinity times 0 is not a step
                    m.copy_(w.clamp_(max=torch.finfo(m.dtype).max))
        self._scale_key = key

    def _update(self) -> None:
        self._refresh()
        for group in self.param_groups:
            params = [p for p in group["params"] if p.grad is not None]
            for p in params:
                if p not in self._scales:
                    raise CurvatureError(
                        f"a frozen parameter of shape {tuple(p.shape)} has a gradient but no curvature: set its "
                        "gradient to None, or requires_grad_() before probe"
                    )
            if params:
                self._update_group(group, params)

    def _update_group(self, group: dict[str, Any], params: list[Tensor]) -> None:
        lr, momentum = group["lr"], group["momentum"]
        sign = 1.0 if group["maximize"] else -1.0
        grads, scales = [p.grad for p in params], [self._scales[p] for p in params]
        if group["weight_decay"]:
            _each(params, Tensor.mul_, 1 - lr * group["weight_decay"])
        if not momentum and not isinstance(lr, Tensor):
            if group["foreach"] is False:
                for p, g, m in zip(params, grads, scales, strict=True):
                    p.addcmul_(g, m, value=sign * lr)
            else:
                torch._foreach_addcmul_(params, grads, scales, sign * lr)
            return
        steps = torch._foreach_mul(grads, scales)
        if momentum:
            buffers = [self._momentum_buffer(p) for p in params]
            torch._foreach_mul_(buffers, momentum)
            torch._foreach_add_(buffers, steps)
            if group["nesterov"]:
                torch._foreach_add_(steps, buffers, alpha=momentum)
            else:
                steps = buffers
        if isinstance(lr, Tensor):
            steps = [d * lr.to(d.device) for d in steps]
            torch._foreach_add_(params, steps, alpha=sign)
        else:
            torch._foreach_add_(params, steps, alpha=sign * lr)

    def _momentum_buffer(self, p: Tensor) -> Tensor:
        state = self.state[p]
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(p, requires_grad=False)
        return state["momentum_buffer"]


def _identity(value: float | Tensor) -> Any:
    """What tells whether a setting has changed; a tensor counts as unchanged while it is the same object."""
    return (id(value), value._version) if isinstance(value, Tensor) else value


def _each(tensors: list[Tensor], operation: Callable[[Tensor, Any], Any], value: float | Tensor) -> None:
    for t in tensors:
        operation(t, value.to(t.device) if isinstance(value, Tensor) else value)
