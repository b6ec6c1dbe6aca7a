"""Saddle-free Newton: the step |H|⁻¹ g in a Krylov space of the gradient."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from esgd.errors import ConfigError, CurvatureError
from esgd.hvp import gradient_with_graph, product_from_gradient
from esgd.optim._descent import number
from esgd.optim._distributed import average_over_ranks, resolve_group
from esgd.optim._graph import deposit, inspect_graph
from esgd.optim._pending import no_backward
from esgd.optim._products import STEP, check_dense
from esgd.optim._settings import is_count
from esgd.optim._warning import warn
from esgd.optim.base import CurvatureOptimizer

__all__ = ["SaddleFreeNewton"]

ALIKE = 0.99  # from this cosine on the gradient at the step counts as the one that was probed, shortened or rounded


class SaddleFreeNewton(CurvatureOptimizer):
    r"""Saddle-free Newton in a Krylov space.

    After Dauphin et al. 2014, "Identifying and attacking the saddle point problem".

    In every step Lanczos' method with full reorthogonalisation, started at the gradient g, builds an orthonormal
    basis V of span{g, Hg, …, H^{m−1} g} and the tridiagonal T = Vᵀ H V. The step is

    .. math::
        \theta \leftarrow \theta - \mathrm{lr} \cdot V \,(|T| + \lambda I)^{-1} V^\top g ,

    where \|T\| has T's eigenvectors and the absolute values of its eigenvalues. With m = N it is the full
    saddle-free step of the paper's §5, Theorem 2; g lies in the space, so no part of it is lost for smaller m.

    **What it costs:** ``krylov_dim`` Hessian-vector products in *every* step, 1.8 gradients of arithmetic each, and
    ``krylov_dim`` and a few more copies of the parameters while the step is taken. The default of 20 makes a step
    about 40 gradients: it is here to be studied at saddle points, on small problems and large batches.

    The loop is that of :class:`~esgd.ESGD`. ``probe`` sees the whole batch: micro-batches cannot be summed, since
    the space depends on the gradient itself. What is done to ``.grad`` between ``backward`` and ``step`` (clipping)
    scales the whole step, by ⟨.grad, g⟩ / ‖g‖². With ``torch.distributed`` gradient and products are averaged over
    the ranks, one all-reduce each.

    Args:
        params: parameters or groups, as everywhere in ``torch.optim``; real and dense. ``lr`` and ``maximize``
            may differ between groups.
        lr: length of the step; 1 is the Newton length. A number or a Tensor.
        damping: λ, added to the absolute eigenvalues, in units of curvature. With 0 the step stands still along
            eigenvectors of T without curvature.
        krylov_dim: m, the most products in a step. Fewer are taken where the space is exhausted before.
        maximize: ascend: the step becomes +lr · (|T| + λ)⁻¹ Vᵀ g.
        process_group: ranks whose gradients and products are averaged, as in :class:`~esgd.ESGD`.

    Raises:
        ConfigError: a setting is out of range.

    Differences from Dauphin et al. 2014: a fixed damping instead of a search over several, and Lanczos vectors
    alone instead of adding the direction of the last step.

    Example:
        One step from (1, 1) on 2x² − y²/2: onto the valley's floor, and down the other axis by a Newton length.

        >>> w = torch.tensor([1.0, 1.0], requires_grad=True)
        >>> optimizer = SaddleFreeNewton([w], lr=1.0, damping=0.0)
        >>> optimizer.probe(2 * w[0] ** 2 - 0.5 * w[1] ** 2).backward()
        >>> optimizer.step()
        >>> torch.allclose(w, torch.tensor([0.0, 2.0]), atol=1e-5)
        True
    """

    def __init__(
        self,
        params: Any,
        lr: float | Tensor = 1.0,
        *,
        damping: float = 1e-3,
        krylov_dim: int = 20,
        maximize: bool = False,
        process_group: Any = "world",
    ) -> None:
        defaults = {
            "lr": lr,
            "damping": damping,
            "krylov_dim": krylov_dim,
            "maximize": maximize,
            "update_every": 1,
            "warmup_probes": 1,
            "curvature": "exact",
            "difference_step": STEP,
            "seed": 0,
        }
        super().__init__(params, defaults, probe="rademacher", process_group=process_group)

    def _reset_transient(self) -> None:
        super()._reset_transient()
        self._direction: list[tuple[Tensor, Tensor, Tensor]] | None = None  # parameter, step, gradient

    def _check_group(self, group: dict[str, Any]) -> None:
        super()._check_group(group)
        if not is_count(group["krylov_dim"]):
            raise ConfigError(f"krylov_dim must be a whole number >= 1, got {group['krylov_dim']!r}")
        group["krylov_dim"] = int(group["krylov_dim"])
        if not group["damping"] >= 0:
            raise ConfigError(f"Invalid damping: expected damping >= 0, got {group['damping']}")
        first = self.param_groups[0]
        for key in ("krylov_dim", "damping"):
            if group[key] != first[key]:
                raise ConfigError(
                    f"{key} is shared by all parameter groups, since one Krylov space serves them all: expected "
                    f"{first[key]!r} as in the first group, got {group[key]!r}"
                )

    @property
    def curvature_due(self) -> bool:
        """Always: every step needs a Krylov space of its own."""
        return True

    @property
    def num_products(self) -> int:
        """Hessian-vector products taken so far."""
        return self.param_groups[0]["probe_index"]

    def probe(
        self,
        loss: Tensor | Callable[[], Tensor],
        *,
        weight: float = 1.0,
        loss_scale: float | Tensor = 1.0,
        check: bool = True,
    ) -> Tensor | None:
        """Build the Krylov space of this step from the graph of ``loss``; call it in every step.

        Args:
            loss: scalar with its graph over the whole batch, or a function that evaluates it.
            weight: this rank's weight in the mean over ranks, as in :meth:`esgd.ESGD.probe`.
            loss_scale: the loss is multiplied by it before differentiation, and the results divided by it.
            check: look at the first product of models with functions of somebody's own, as in
                :meth:`esgd.ESGD.probe`.

        Returns:
            The loss to call ``backward()`` on; ``None`` where ``loss`` was a function.

        Raises:
            CurvatureError: as :meth:`esgd.ESGD.probe`; also when a step has been probed already.
        """
        if self._direction is not None and self._any_gradient():
            raise CurvatureError(
                "SaddleFreeNewton was probed twice in one step: a Krylov space cannot be summed over "
                "micro-batches. Probe one loss over the whole batch, or call optimizer.zero_grad() before the next"
            )
        is_function = callable(loss) and not isinstance(loss, Tensor)
        with torch.enable_grad():
            value, params = loss() if is_function else loss, self._probed()
            if not params:
                return None if is_function else loss  # everything is frozen
            scaled = isinstance(loss_scale, Tensor) or loss_scale != 1
            with no_backward():
                graph = gradient_with_graph(value * loss_scale if scaled else value, params)
            if scaled:
                graph = [None if g is None else g / loss_scale for g in graph]
            check_dense(graph)
            if check:
                self._check_once(value, loss if is_function else None)
            gradient = [
                torch.zeros_like(p, requires_grad=False) if g is None else g.detach().clone()
                for g, p in zip(graph, params, strict=True)
            ]
            reached, group = [g is not None for g in graph], resolve_group(self._process_group)
            if group is not None:
                self._check_ranks(params, group)
                reached = average_over_ranks([gradient], weight, group, reached)
            self._unreached = not any(reached)
            with no_backward():
                step = None if self._unreached else self._solve(params, graph, gradient, group, weight)
        self._direction, self._cleared = step and list(zip(params, step, gradient, strict=True)), False
        if is_function:
            return None
        if any(p._backward_hooks for p in params) or inspect_graph(value, params).foreign_leaves:
            return value
        with torch.enable_grad():
            return deposit(value, params, [None if g is None else g.detach() for g in graph])

    @torch.no_grad()
    def _solve(
        self, params: list[Tensor], graph: list[Tensor | None], gradient: list[Tensor], group: Any, weight: float
    ) -> list[Tensor]:
        """V (|T| + λ)⁻¹ Vᵀ g, one tensor a parameter."""
        clock = self.param_groups[0]
        dtype = torch.promote_types(gradient[0].dtype, torch.float32)
        sizes = [p.numel() for p in params]
        home = gradient[0].device

        def flat(tensors: list[Tensor]) -> Tensor:
            return torch.cat([t.reshape(-1).to(home, dtype) for t in tensors])

        def cut(vector: Tensor) -> list[Tensor]:
            return [x.view(p.shape).to(p) for x, p in zip(vector.split(sizes), params, strict=True)]

        g = flat(gradient)
        size = g.norm()
        limit = min(clock["krylov_dim"], g.numel())
        if not bool(size.isfinite()) or not bool(size > 0):
            return cut(torch.zeros_like(g))  # a critical point, or a gradient that no step can be made of
        V = g.new_empty(limit, len(g))  # the basis, row by row
        V[0], m = g / size, 1
        T = torch.zeros(limit, limit, dtype=torch.float64)
        for j in range(limit):
            product = product_from_gradient(graph, params, cut(V[j]), retain_graph=True)
            if group is not None:
                average_over_ranks([product], weight, group)
            w = flat(product)
            coefficients = V[:m] @ w
            scale = w.norm()
            w = w - V[:m].T @ coefficients
            again = V[:m] @ w  # a second pass keeps the basis orthogonal to working precision
            w = w - V[:m].T @ again
            T[: j + 1, j] = T[j, : j + 1] = (coefficients + again).to("cpu", torch.float64)
            rest = w.norm()
            if j + 1 == limit or not bool(rest > 100 * torch.finfo(dtype).eps * scale):
                break
            V[m], m = w / rest, m + 1
        self._set_clock(probe_index=clock["probe_index"] + m)
        if not bool(T[:m, :m].isfinite().all()):
            self._warn_rejected(1)
            return cut(torch.zeros_like(g))
        eigenvalues, Q = torch.linalg.eigh(T[:m, :m])
        damped = eigenvalues.abs() + clock["damping"]
        tiny = m * torch.finfo(dtype).eps * damped.max() if not clock["damping"] else 0.0
        still = damped <= tiny  # no curvature and no damping
        y = Q @ torch.where(still, 0.0, Q[0] * float(size) / damped)
        return cut(V[:m].T @ y.to(home, dtype))

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Clear the gradients, and with them the Krylov step of a step that was not made."""
        if self._direction is not None:
            self._direction, self._cleared = None, True
        super().zero_grad(set_to_none)

    def _any_gradient(self) -> bool:
        return any(p.grad is not None and bool(p.grad.any()) for p in self._probed())

    def _has_pending(self) -> bool:
        return self._direction is not None

    def _take_curvature(self) -> None:
        if self._direction is None:
            super()._take_curvature()  # raises: the message tells why there is none

    def _update(self) -> None:
        moving = [(p, s, g) for p, s, g in self._direction if p.grad is not None]
        self._direction = None
        if not moving:
            return
        clipped, cosine = _clipping(moving)
        if not self._warned_partial and bool(cosine < ALIKE):
            warn(
                "the gradient at this step is not the one that was probed (their cosine is "
                f"{float(cosine):.2f}), and SaddleFreeNewton steps by the latter: probe the loss of the whole "
                "batch, and clip by the norm over all parameters, not by value, by parts or in hooks"
            )
            self._warned_partial = True
        direction = {p: s for p, s, _ in moving}
        for group in self.param_groups:
            sign = 1.0 if group["maximize"] else -1.0
            lr = number(group["lr"])
            for p in group["params"]:
                if p in direction:
                    p.add_(direction[p] * clipped.to(p) * lr, alpha=sign)


def _clipping(moving: list[tuple[Tensor, Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """⟨.grad, g⟩ / ‖g‖², by how much the gradient was shortened since ``backward``, and the cosine of the two.

    The first is 1 where that is no number, of a gradient that is zero or not finite. Both have shape ().

    Args:
        moving: parameter, step and gradient g.
    """
    home, wide = moving[0][0].device, torch.promote_types(moving[0][0].dtype, torch.float32)

    def dot(pairs: Iterable[tuple[Tensor, Tensor]]) -> Tensor:
        return torch.stack([(a.to(b) * b).sum(dtype=wide).to(home) for a, b in pairs]).sum()

    now, then = dot((p.grad, g) for p, _, g in moving), dot((g, g) for _, _, g in moving)
    length = dot((p.grad, p.grad.to(g)) for p, _, g in moving)
    factor = now / then
    return torch.where(factor.isfinite(), factor, 1.0), now / then.sqrt() / length.sqrt()  # the step is zero then
