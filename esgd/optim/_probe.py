"""Between the forward pass and ``backward()``: when curvature is due, how it is collected, and what clears it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from esgd import probes
from esgd.double_backward import custom_functions
from esgd.errors import ConfigError, CurvatureError
from esgd.hvp import check_vector
from esgd.optim._check import UNCHECKED, check_functions
from esgd.optim._cuda_graph import is_capturing
from esgd.optim._distributed import resolve_group
from esgd.optim._graph import deposit, inspect_graph
from esgd.optim._pending import Arrivals, Pending, Trace, no_backward
from esgd.optim._products import difference_products, exact_products
from esgd.optim._warning import warn

__all__ = ["Probing"]


class Probing:
    """The half of an optimizer that looks at losses; :class:`~esgd.optim.base.CurvatureOptimizer` is the other."""

    state: dict[Tensor, dict[str, Any]]
    param_groups: list[dict[str, Any]]

    def _reset_transient(self) -> None:
        self._pending: Pending | None = None
        self._cleared = False
        self._unreached = False  # whether the loss probed last depends on none of the parameters
        self._checked = False  # whether somebody has looked for functions that cannot be differentiated twice
        self._draw_checked = False  # whether a probe of the user's gave the same vector twice
        self._given: Sequence[Tensor] | None = None  # v in a captured step, which is drawn outside

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
        if self._given is not None:
            return self._given
        clock = self.param_groups[0]
        if clock["probe"] != "custom":
            return probes.draw_lazily(clock["probe"], params, clock["seed"], index)
        if self._draw_custom is None:
            raise ConfigError(
                "this optimizer's probe was a callable, which a state_dict cannot carry: construct the optimizer "
                "with the same probe= before load_state_dict"
            )
        vector = self._draw_custom(params, index)
        if not self._draw_checked:
            check_vector(vector, params)
            again = self._draw_custom(params, index)
            if not all(torch.allclose(*pair, 0, 0, equal_nan=True) for pair in zip(vector, again, strict=True)):
                raise ConfigError(
                    "probe gave two vectors for one index, but micro-batches, ranks and resumed runs need the same "
                    "one: draw it from a generator that is seeded by the index"
                )
            self._draw_checked = True
        return vector

    def _num_vectors(self) -> int:
        clock = self.param_groups[0]
        cold = not clock["probe_index"] or clock["cold"] or self._has_new_parameters() or not self._is_warm()
        return clock["warmup_probes"] if cold else 1

    def _is_warm(self) -> bool:
        """Whether something is known of every parameter's curvature: not if the first products were rejected."""
        return True

    @torch._disable_dynamo  # where a whole step is compiled, the graph behind the loss is looked at from outside
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

        Micro-batches: probe ``loss / n`` of each; the products are summed and squared once, in ``step()``. A batch
        that is skipped after this line wants ``optimizer.zero_grad()``.
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
            CurvatureError: the loss is not a scalar with a graph, cannot be differentiated twice, or was probed
                already in this step; the message says what to do.
            ConfigError: a probe of your own gives two vectors for one index.

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
        if not self._probed():
            return None if is_function else loss  # everything is frozen
        pending = self._pending_for_this_step()
        if pending.sums and weight != pending.weight:
            raise ConfigError(
                f"weight is this rank's for the whole step: it was {pending.weight:g} for an earlier micro-batch "
                f"and is {weight:g} now. Divide the losses instead, so that their sum is the objective"
            )
        if not is_function and any(t is not None and t.is_of(loss) for t in pending.traces):
            raise CurvatureError("this loss has been probed already in this step: probe each loss once")
        params, trace = pending.params, None
        index, count = pending.first_index, len(pending.sums) or self._num_vectors()
        vectors = (self._draw(params, index + i) for i in range(count))
        result: Tensor | None = None
        if is_function and self.param_groups[0]["curvature"] == "difference":
            step = self.param_groups[0]["difference_step"]
            products, reached = difference_products(_uncached(loss, loss_scale), params, vectors, step=step)
            _divide(products, loss_scale)
        elif is_function:
            with torch.enable_grad():
                value = loss()
                if check:
                    self._check_once(value, loss)
                _, products, reached = exact_products(value * loss_scale, params, vectors, count, keep_graph=False)
            _divide(products, loss_scale)
        else:
            result, products, reached = self._probe_graph(loss, params, vectors, count, loss_scale)
            if check:
                self._check_once(loss)
            trace = Trace(loss, result) if result is not loss else Trace(loss)
        if not (any(reached) or pending.sums or resolve_group(self._process_group)):
            self._unreached = True  # there is nothing to wait for, unless other ranks reach something
            return result
        pending.reached = [a or b for a, b in zip(reached, pending.reached or reached, strict=True)]
        if pending.sums:
            for mine, new in zip(pending.sums, products, strict=True):
                torch._foreach_add_(mine, new)
        else:
            look = (params[0].device.type != "cuda" or count > 1) and not is_capturing(params[0])
            pending.sums, pending.arrivals = products, Arrivals(params, reached, look=look)
        pending.weight = weight
        pending.traces.append(trace)
        self._pending, self._cleared, self._unreached = pending, False, False
        return result

    def _check_once(self, value: Tensor, closure: Callable[[], Tensor] | None = None) -> None:
        """Where the graph of ``value`` holds a function of somebody's own: compare, or warn without a closure."""
        if self._checked or not isinstance(value, Tensor):
            return
        if functions := custom_functions(value):
            if closure is not None:
                self.check_curvature(closure)
            else:
                warn(UNCHECKED.format(name=" and ".join(functions)))
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
            warn(text)
        self._checked = True

    def _probe_graph(
        self, loss: Tensor, params: list[Tensor], vectors: Any, count: int, loss_scale: float | Tensor
    ) -> tuple[Tensor, list[list[Tensor]], list[bool]]:
        with torch.enable_grad():
            scaled = loss if isinstance(loss_scale, (int, float)) and loss_scale == 1 else loss * loss_scale
        with no_backward():  # another optimizer may wait for a backward() through this graph
            gradient, products, reached = exact_products(scaled, params, vectors, count, keep_graph=True)
        if scaled is not loss:
            _divide([[g for g in gradient if g is not None], *products], loss_scale)
        hooked = any(p._backward_hooks for p in params)
        if hooked or inspect_graph(loss, params).foreign_leaves:
            return loss, products, reached
        with torch.enable_grad():
            return deposit(loss, params, gradient), products, reached

    def _pending_for_this_step(self) -> Pending:
        """What earlier micro-batches of this step left, or a fresh start where there are none."""
        pending = self._pending
        if pending is not None and (pending.abandoned or pending.arrivals.cleared(pending.params)):
            # the losses were thrown away before backward(), or the gradients were cleared without us
            # (model.zero_grad(), after a step that a GradScaler skipped): it belongs to a step never made
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


def _uncached(closure: Callable[[], Tensor], scale: float | Tensor) -> Callable[[], Tensor]:
    """``closure`` times ``scale``, without autocast's memory of cast weights, which hides that parameters move."""

    def evaluate() -> Tensor:
        torch.clear_autocast_cache()
        value = closure()
        return value * scale if isinstance(value, Tensor) else value

    return evaluate


def _divide(vectors: Sequence[list[Tensor]], scale: float | Tensor) -> None:
    if isinstance(scale, (int, float)) and scale == 1:
        return
    for vector in vectors:
        if vector:
            torch._foreach_div_(vector, scale)
