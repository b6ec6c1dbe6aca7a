"""Whether autograd differentiates a model's own functions twice as it should: each alone, against differences."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_pre_hook

from esgd.double_backward import custom_functions, translated
from esgd.errors import CurvatureError
from esgd.hvp import check_loss

__all__ = ["UNCHECKED", "check_functions"]

DRAWS = 8  # directions in each argument of a backward
FACTOR = 5.0  # kinks such as ReLU's set differences at two steps apart by no less than a third of their error
SMALL = 0.01  # of the derivative: less does no harm

_WRONG = (
    "the model uses {name}, and autograd cannot follow its backward: the second derivative that torch computes is "
    "off by {off:.0%}, by differences of that backward. Compute the backward by differentiable operations on saved "
    "inputs and outputs (no detach, no_grad or NumPy in it), or take the product from differences of gradients "
    "(curvature='difference')"
)
_UNCERTAIN = (
    "whether autograd can follow the backward of {name} could not be told: differences of it at two steps disagree "
    "by {error:.0%}"
)
_COMPILED = (
    "the model uses {name}, written in C++, whose second derivative is not checked: torch gets it silently wrong "
    "where autograd cannot follow the backward"
)
UNCHECKED = (
    "the model uses {name}, whose second derivative torch gets silently wrong where autograd cannot follow the "
    "backward: call optimizer.check_curvature(lambda: loss_fn(model(x), y)) once before the loop to look, or pass "
    "check=False to probe where you know it to be right"
)


def check_functions(closure: Callable[[], Tensor], params: Sequence[Tensor]) -> list[str]:
    """Compare the derivative of each function's backward, by autograd, with central differences of that backward.

    Each function of the model that is not torch's own is taken by itself, close to the inputs of its first call and
    with random incoming gradients, in float64 if it can: neither kinks nor detached values elsewhere in the model
    play a part. Random numbers and buffers (BatchNorm's statistics) are afterwards what they were, to the bit.

    Args:
        closure: evaluates the loss anew.
        params: the parameters.

    Returns:
        What is to be warned of.

    Raises:
        CurvatureError: a second derivative is wrong; the message names the function and says what to do.
    """
    devices = {p.device for p in params if p.device.type == "cuda"}
    with torch.random.fork_rng(devices=list(devices)), torch.enable_grad(), _restored_buffers() as restore:
        loss = closure()
        check_loss(loss)
        functions = custom_functions(loss)
        warnings = [_COMPILED.format(name=name) for name, function in functions.items() if function is None]
        python = {name: function for name, function in functions.items() if function is not None}
        if python:
            restore()
            with _recorded(list(python.values())) as calls:
                closure()
            for name, function in python.items():
                if function in calls:
                    warnings += _check(name, function, calls[function])
    return warnings


def _check(name: str, function: Any, args: tuple[Any, ...]) -> list[str]:
    """Look at one function, called with ``args``."""
    try:
        spread, off, size = _compare(_Backward(function, args, torch.float64))
    except (RuntimeError, TypeError, ValueError):  # it knows only its own dtype
        spread, off, size = _compare(_Backward(function, args, None))
    error = FACTOR * spread
    if off > error + SMALL * size:
        raise CurvatureError(_WRONG.format(name=name, off=off / size))
    return [_UNCERTAIN.format(name=name, error=spread / size)] if error > size else []


class _Backward:
    """The backward of a function, G(x, u): its inputs x and incoming gradients u, flat lists of tensors.

    Attributes:
        start: x and u to look at: inputs that the function had, and random signs.
        split: how many of them are inputs.
    """

    def __init__(self, function: Any, args: tuple[Any, ...], dtype: torch.dtype | None) -> None:
        self._function = function
        self._args = [a.to(dtype) if dtype and _is_float(a) else a for a in args]
        self._places = [i for i, a in enumerate(self._args) if _is_float(a) and a.requires_grad]
        self._generators: dict[torch.device, torch.Generator] = {}
        x = [self._args[i].detach() for i in self._places]
        # a little off: inputs may lie on a kink, as the zeros that another ReLU leaves
        x = [t + 1e-3 * _size(t) * d for t, d in zip(x, self.signs(x), strict=True)]
        self.split = len(x)
        self.start = x + self.signs(self._outputs([t.requires_grad_() for t in x]))
        self.start = [t.detach() for t in self.start]

    def signs(self, like: Sequence[Tensor]) -> list[Tensor]:
        """Random signs ±1 of the same shapes, from generators of their own."""
        made = []
        for t in like:
            generator = self._generators.setdefault(t.device, torch.Generator(t.device).manual_seed(0))
            bits = torch.randint(0, 2, t.shape, generator=generator, device=t.device)
            made.append((2 * bits - 1).to(t.dtype))
        return made

    def _outputs(self, x: list[Tensor]) -> list[Tensor]:
        given = list(self._args)
        for i, leaf in zip(self._places, x, strict=True):
            given[i] = leaf.clone()  # some functions write to what they get
        with torch.random.fork_rng(devices=list({t.device for t in x if t.device.type == "cuda"})):
            outputs = self._function.apply(*given)
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        return [o for o in outputs if _is_float(o) and o.requires_grad]

    def __call__(self, point: list[Tensor], *, create_graph: bool = False) -> list[Tensor | None]:
        """G at ``point``, which is x and u; ``None`` for inputs without a gradient."""
        x = [t if t.requires_grad else t.clone().requires_grad_() for t in point[: self.split]]
        outputs, u = self._outputs(x), point[self.split :]
        return list(torch.autograd.grad(outputs, x, u, create_graph=create_graph, allow_unused=True))


def _compare(backward: _Backward) -> tuple[float, float, float]:
    """How far differences at two steps are apart, how far from autograd, and their size: norms over directions.

    For random w and directions δ autograd gives ∂⟨w, G⟩ · δ. Differences F give the same at steps h and 2h, and
    (4 F(h) − F(2h)) / 3 has no error of order h². Directions in x and in u are taken apart. A backward that is
    meant to be no derivative (straight-through) is judged right if autograd follows it.
    """
    point = [t.clone().requires_grad_() for t in backward.start]
    eps = max(torch.finfo(t.dtype).eps for t in point)
    h = 1e-7 if eps < 1e-10 else eps ** (1 / 3)  # small, for kinks; as small as the precision allows
    with translated():
        gradient = backward(point, create_graph=True)
    spread, off, size = [], [], []
    for _ in range(DRAWS):
        w = [None if g is None else d for g, d in zip(gradient, backward.signs(_filled(gradient)), strict=True)]
        rows = [(g, y) for g, y in zip(gradient, w, strict=True) if g is not None and g.requires_grad]
        slopes: Sequence[Tensor | None] = [None] * len(point)
        if rows:
            outputs, starts = zip(*rows, strict=True)
            with translated():
                slopes = torch.autograd.grad(outputs, point, starts, retain_graph=True, allow_unused=True)
        every = [d * _size(t) for d, t in zip(backward.signs(point), point, strict=True)]
        for part in (range(backward.split), range(backward.split, len(point))):
            direction = [d if i in part else torch.zeros_like(d) for i, d in enumerate(every)]

            def along(step: float, direction: list[Tensor] = direction, w: list[Tensor | None] = w) -> float:
                there = [t.detach() + step * d for t, d in zip(point, direction, strict=True)]
                return _dot(backward(there), w)

            near, far = ((along(s) - along(-s)) / (2 * s) for s in (h, 2 * h))
            exact, truth = _dot(slopes, direction), (4 * near - far) / 3
            spread.append(abs(near - far))
            off.append(abs(exact - truth))
            size.append(max(abs(truth), abs(exact)))
    return _norm(spread), _norm(off), _norm(size)


def _is_float(value: Any) -> bool:
    return isinstance(value, Tensor) and value.is_floating_point()


def _filled(tensors: Sequence[Tensor | None]) -> list[Tensor]:
    return [torch.zeros(()) if t is None else t for t in tensors]


def _size(t: Tensor) -> Tensor:
    return t.detach().square().mean().sqrt().clamp(min=0.1)


def _dot(left: Sequence[Tensor | None], right: Sequence[Tensor | None]) -> float:
    pairs = [(a, b) for a, b in zip(left, right, strict=True) if a is not None and b is not None]
    return sum(float((a.detach().double() * b.detach().double()).sum()) for a, b in pairs)


def _norm(numbers: Sequence[float]) -> float:
    return sum(n * n for n in numbers) ** 0.5


def _copy(value: Any) -> Any:
    if not isinstance(value, Tensor):
        return value
    return value.detach().clone().requires_grad_(value.requires_grad)


@contextmanager
def _recorded(functions: Sequence[Any]) -> Iterator[dict[Any, tuple[Any, ...]]]:
    """Gives the arguments of each function's first call."""
    calls: dict[Any, tuple[Any, ...]] = {}

    def recorder(function: Any) -> Callable[..., Any]:
        forward = function.forward
        has_context = function.setup_context is torch.autograd.Function.setup_context

        def record(*args: Any) -> Any:
            if function not in calls:  # copies, since some functions write to what they get
                calls[function] = tuple(_copy(a) for a in (args[1:] if has_context else args))
            return forward(*args)

        return record

    own = [(f, f.__dict__.get("forward")) for f in functions]
    try:
        for f in functions:
            f.forward = staticmethod(recorder(f))
        yield calls
    finally:
        for f, forward in own:
            if forward is None:  # it came from a parent class
                del f.forward
            else:
                f.forward = forward


@contextmanager
def _restored_buffers() -> Iterator[Callable[[], None]]:
    """Gives a function that puts the buffers of all modules called so far back to what they were; also at the end.

    Version counters stay, since a graph of the user's may have saved the buffers.
    """
    kept: dict[nn.Module, list[tuple[str, Tensor, Tensor]]] = {}

    def keep(module: nn.Module, _: object) -> None:
        for m in module.modules():
            if m not in kept:
                kept[m] = [(n, b, b.detach().clone()) for n, b in m.named_buffers(recurse=False)]

    def restore() -> None:
        for module, buffers in kept.items():
            for name, buffer, value in buffers:
                buffer.data.copy_(value)
                if getattr(module, name) is not buffer:
                    setattr(module, name, buffer)

    hook = register_module_forward_pre_hook(keep)
    try:
        yield restore
    finally:
        hook.remove()
        restore()
