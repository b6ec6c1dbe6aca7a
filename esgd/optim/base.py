"""The plumbing that the curvature-based optimizers share: when curvature is due, and how it is collected."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from esgd import probes
from esgd.double_backward import custom_functions
from esgd.errors import ConfigError, CurvatureError
from esgd.hvp import check_parameters
from esgd.optim._check import UNCHECKED, check_functions
from esgd.optim._distributed import average_over_ranks, resolve_group
from esgd.optim._graph import deposit, inspect_graph
from esgd.optim._pending import Arrivals, Pending
from esgd.optim._products import difference_products, exact_products
from esgd.optim._settings import check_shared

__all__ = ["CurvatureOptimizer"]

# one product serves all groups, so these settings are the optimizer's, and each group carries the same value
SHARED = ("update_every", "warmup_probes", "probe", "curvature", "seed")
# where the schedule stands; kept in the groups, since only groups and state survive a state_dict
CLOCK = {"step": 0, "next_probe": 0, "interval": 0, "probe_index": 0}

_NEVER_PROBED = (
    "curvature is due at this step, but {name} has seen no loss: between the forward pass and backward() add\n"
    "    loss = optimizer.probe(loss)"
)
_CLEARED = (
    "curvature is due at this step, and {name} had it, but zero_grad() came between probe() and step() and "
    "cleared it: call optimizer.zero_grad() first, then optimizer.probe(loss), loss.backward(), optimizer.step()"
)


class CurvatureOptimizer(Optimizer):
    """Base of the optimizers that look at Hessian-vector products; not used by itself.

    A subclass says in :meth:`_absorb` what becomes of the products and in :meth:`_update` how the parameters
    move. Everything that must survive ``state_dict``, pickling and ``deepcopy`` lives in ``state`` and
    ``param_groups``; what is derived (a cached preconditioner) may vanish at any time.
    """

    _members: int | None = None  # the number of nets, where the parameters hold an ensemble

    def __init__(
        self,
        params: Any,
        defaults: dict[str, Any],
        *,
        probe: str | Callable[[Sequence[Tensor], int], list[Tensor]],
        process_group: Any = "world",
    ) -> None:
        self._draw_custom = probe if callable(probe) else None
        self._process_group = process_group
        defaults = {**defaults, "probe": "custom" if callable(probe) else probe}
        self._reset_transient()
        super().__init__(params, defaults)

    # -- groups, pickling, state ---------------------------------------------------------------------------

    def _reset_transient(self) -> None:
        self._pending: Pending | None = None
        self._cleared = False
        self._rejected = 0
        self._checked = False  # whether somebody has looked for functions that cannot be differentiated twice

    def __getstate__(self) -> dict[str, Any]:
        kept = {"_draw_custom": self._draw_custom, "_process_group": self._process_group}
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
        super().add_param_group(param_group)
        group = self.param_groups[-1]
        try:
            check_parameters(group["params"] or [torch.zeros(())])
            self._check_group(group)
            first = self.param_groups[0]
            for key in SHARED:
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

    def _set_clock(self, **values: int) -> None:
        for group in self.param_groups:
            group.update(values)

    # -- the one extra line --------------------------------------------------------------------------------

    @property
    def curvature_due(self) -> bool:
        """Whether the coming ``step()`` needs curvature, so that ``probe`` has work to do."""
        clock = self.param_groups[0]
        return clock["step"] >= clock["next_probe"] or self._has_new_parameters()

    def _has_new_parameters(self) -> bool:
        get = self.state.get
        return any(
            p.requires_grad and "curvature" not in get(p, ()) for g in self.param_groups for p in g["params"]
        )

    def _probed(self) -> list[Tensor]:
        """The parameters that the products cover, in the order of the groups."""
        return [p for g in self.param_groups for p in g["params"] if p.requires_grad]

    def _draw(self, params: Sequence[Tensor], index: int) -> Sequence[Tensor]:
        clock = self.param_groups[0]
        if clock["probe"] != "custom":
            return probes.draw_lazily(clock["probe"], params, clock["seed"], index)
        if self._draw_custom is None:
            raise ConfigError(
                "this optimizer's probe was a callable, which a state_dict cannot carry: construct the optimizer "
                "with the same probe= before load_state_dict"
            )
        return self._draw_custom(params, index)

    def _num_vectors(self) -> int:
        clock = self.param_groups[0]
        return clock["warmup_probes"] if not clock["probe_index"] or self._has_new_parameters() else 1

    def probe(
        self,
        loss: Tensor | Callable[[], Tensor],
        *,
        weight: float = 1.0,
        loss_scale: float | Tensor = 1.0,
        check: bool = True,
    ) -> Tensor | None:
        """Take the curvature of ``loss`` if it is due; the one line more than ``torch.optim`` asks for.

        Between the forward pass and ``backward()``, in every step::

            loss = optimizer.probe(loss)

        When curvature is not due, ``loss`` comes back untouched. When it is due, gradient and Hessian-vector
        product are taken from the graph of ``loss`` and a loss comes back whose ``backward()`` hands out that
        gradient instead of computing it again. It is the original loss that comes back where the graph reaches
        parameters that the optimizer does not hold, or where a parameter has gradient hooks; using the original
        loss in any case is right as well, only slower.

        Micro-batches: probe ``loss / n`` of each; the products are summed and squared once, in ``step()``.
        Mixed precision: probe the unscaled loss, ``scaler.scale(optimizer.probe(loss)).backward()``; in float16
        give ``loss_scale=scaler.get_scale()`` so that the small gradients survive on the way.

        Args:
            loss: scalar with its graph; or a function that evaluates it anew, called only when curvature is
                due: for curvature from a part of the batch, and the only form for ``curvature="difference"``.
                It runs a forward pass of its own, which moves BatchNorm's running statistics once more and
                draws new dropout masks.
            weight: this rank's weight in the mean over ranks (for example its number of examples). The default
                is the plain mean, which is DistributedDataParallel's own objective.
            loss_scale: the loss is multiplied by it before differentiation, and the results divided by it.
            check: at the first product, look whether the model holds an autograd function of somebody's own. If so,
                :meth:`check_curvature` where ``loss`` is a function, and warn where it is not.

        Returns:
            The loss to call ``backward()`` on; ``None`` where ``loss`` was a function.

        Raises:
            CurvatureError: the loss is not a scalar with a graph, or cannot be differentiated twice; the
                message says what to do.

        Example:
            >>> from esgd import ESGD
            >>> net, x = torch.nn.Linear(3, 1), torch.ones(8, 3)
            >>> optimizer = ESGD(net.parameters(), lr=0.1, update_every=20, warmup_probes=10)
            >>> for half in x.split(4):  # micro-batches: each adds to the gradient and to the products
            ...     loss = net(half).square().mean() / 2
            ...     optimizer.probe(loss).backward()
            >>> optimizer.step()
            >>> optimizer.num_products, optimizer.curvature_due
            (10, False)
        """
        is_function = callable(loss) and not isinstance(loss, Tensor)
        if not self.curvature_due:
            return None if is_function else loss
        if self.param_groups[0]["curvature"] == "difference" and not is_function:
            raise CurvatureError(
                "curvature='difference' evaluates the loss anew, so it needs a function: "
                "optimizer.probe(lambda: loss_fn(model(x), y))"
            )
        pending = self._pending_for_this_step()
        params = pending.params
        index, count = pending.first_index, len(pending.sums) or self._num_vectors()
        vectors = (self._draw(params, index + i) for i in range(count))
        result: Tensor | None = None
        if is_function and self.param_groups[0]["curvature"] == "difference":
            products = difference_products(_uncached(loss), params, vectors)
        elif is_function:
            with torch.enable_grad():
                value = loss()
                if check:
                    self._check_once(value, loss)
                _, products = exact_products(value * loss_scale, params, vectors, count, keep_graph=False)
            _divide(products, loss_scale)
        else:
            result, products = self._probe_graph(loss, params, vectors, count, loss_scale)
            if check:
                self._check_once(loss)
        if pending.sums:
            for mine, new in zip(pending.sums, products, strict=True):
                torch._foreach_add_(mine, new)
        else:
            pending.sums, pending.arrivals = products, Arrivals(params)
        pending.weight = weight
        self._pending, self._cleared = pending, False
        return result

    def _check_once(self, value: Tensor, closure: Callable[[], Tensor] | None = None) -> None:
        """Where the graph of ``value`` holds a function of somebody's own: compare, or warn without a closure."""
        if self._checked or not isinstance(value, Tensor):
            return
        if functions := custom_functions(value):
            if closure is not None:
                self.check_curvature(closure)
            else:
                warnings.warn(UNCHECKED.format(name=" and ".join(functions)), RuntimeWarning, stacklevel=3)
        self._checked = True

    def check_curvature(self, closure: Callable[[], Tensor]) -> None:
        """Compare what autograd makes of the model's own functions with differences, and raise where it is wrong.

        A ``torch.autograd.Function`` whose backward autograd cannot follow (it detaches, leaves torch, or reuses
        what forward computed on the way) has a wrong second derivative, and torch says nothing. ``probe`` with a
        function does this by itself at its first product; call it once before the loop where ``probe`` is given the
        loss. Each function is taken alone, with the inputs that it has in this model. Nothing changes: random
        numbers, buffers and parameters are afterwards what they were. It costs two forward passes.

        Args:
            closure: evaluates the loss.

        Raises:
            CurvatureError: a second derivative is wrong; the message names the function and says what to do.

        Example:
            >>> from esgd import ESGD
            >>> class Cube(torch.autograd.Function):
            ...     @staticmethod
            ...     def forward(ctx, x):
            ...         ctx.save_for_backward(x)
            ...         return x**3
            ...
            ...     @staticmethod
            ...     def backward(ctx, incoming):
            ...         (x,) = ctx.saved_tensors
            ...         return 3 * x.detach() ** 2 * incoming
            >>> w = torch.tensor([1.0, 2.0], requires_grad=True)
            >>> ESGD([w], lr=0.1).check_curvature(lambda: Cube.apply(w).sum())  # doctest: +ELLIPSIS
            Traceback (most recent call last):
            esgd.errors.CurvatureError: the model uses Cube, and autograd cannot follow its backward: ...
        """
        for text in check_functions(closure, self._probed()):
            warnings.warn(text, RuntimeWarning, stacklevel=2)
        self._checked = True

    def _probe_graph(
        self, loss: Tensor, params: list[Tensor], vectors: Any, count: int, loss_scale: float | Tensor
    ) -> tuple[Tensor, list[list[Tensor]]]:
        scaled = loss if isinstance(loss_scale, (int, float)) and loss_scale == 1 else loss * loss_scale
        gradient, products = exact_products(scaled, params, vectors, count, keep_graph=True)
        if scaled is not loss:
            _divide([[g for g in gradient if g is not None], *products], loss_scale)
        hooked = any(p._backward_hooks for p in params)
        if hooked or inspect_graph(loss, params).foreign_leaves:
            return loss, products
        return deposit(loss, params, gradient), products

    def _pending_for_this_step(self) -> Pending:
        """What earlier micro-batches of this step left, or a fresh start where there are none."""
        pending = self._pending
        if pending is not None and pending.arrivals.cleared(pending.params):
            # the gradients were cleared without us (model.zero_grad(), after a step that a GradScaler skipped):
            # what is pending belongs to a step that was never made
            self._drop_pending()
            pending = None
        if pending is not None:
            return pending
        return Pending(self.param_groups[0]["probe_index"], self._probed(), [], 1.0)

    def _drop_pending(self) -> None:
        if self._pending is not None:
            self._pending.arrivals.forget()
            self._pending = None

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Clear the gradients, and with them the products of a step that was not made.

        Args:
            set_to_none: free the gradients instead of filling them with zeros.
        """
        if self._pending is not None:
            self._drop_pending()
            self._cleared = True
        super().zero_grad(set_to_none)

    # -- step ----------------------------------------------------------------------------------------------

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step of the optimizer.

        Args:
            closure: evaluates the model, probes and calls ``backward()``; its value is returned.

        Raises:
            CurvatureError: curvature is due and there is none; the message tells whether ``probe`` was never
                called or its result was cleared. Also for sparse gradients.
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
            text = _CLEARED if self._cleared else _NEVER_PROBED
            raise CurvatureError(text.format(name=type(self).__name__))
        self._drop_pending()
        group = resolve_group(self._process_group)
        if group is not None:
            average_over_ranks(pending.sums, pending.weight, group)
        count = len(pending.sums)
        accepted = self._absorb(pending.params, pending.sums, pending.first_index)
        clock = self.param_groups[0]
        every = clock["update_every"]
        interval = self._auto_interval() if every == "auto" else every
        if accepted:
            self._set_clock(interval=interval, next_probe=clock["step"] + interval)
        self._set_clock(probe_index=pending.first_index + count)
        self._cleared = False

    def _absorb(self, params: list[Tensor], products: list[list[Tensor]], first_index: int) -> bool:
        """Work the products into the state; ``False`` asks for others at the very next step."""
        raise NotImplementedError

    def _auto_interval(self) -> int:
        """Steps to the next product under ``update_every="auto"``."""
        raise NotImplementedError

    def _update(self) -> None:
        """Move the parameters that have a gradient."""
        raise NotImplementedError

    def _warn_rejected(self, count: int) -> None:
        if count and not self._rejected:
            warnings.warn(
                "a Hessian-vector product was not finite and was left out of the curvature estimate: lower the "
                "learning rate, or look for an overflow in the model (further ones are counted in num_rejected)",
                RuntimeWarning,
                stacklevel=4,
            )
        self._rejected += count


def _uncached(closure: Callable[[], Tensor]) -> Callable[[], Tensor]:
    """``closure`` without autocast's memory of cast weights, which would hide that the parameters move."""

    def evaluate() -> Tensor:
        torch.clear_autocast_cache()
        return closure()

    return evaluate


def _divide(vectors: Sequence[list[Tensor]], scale: float | Tensor) -> None:
    if isinstance(scale, (int, float)) and scale == 1:
        return
    for vector in vectors:
        if vector:
            torch._foreach_div_(vector, scale)
