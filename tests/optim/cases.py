"""The table of optimizers and options that the contract is tested over, and small problems to drive them on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from esgd import ESGD, JacobiSGD, SaddleFreeNewton
from esgd.probes import draw

TORCH = tuple(int(number) for number in torch.__version__.split(".")[:2])
since_torch_2_6 = pytest.mark.skipif(
    TORCH < (2, 6), reason="torch's own optimizers and schedulers learnt this in 2.6"
)


@dataclass(frozen=True)
class Case:
    """One optimizer with one choice of options."""

    name: str
    cls: type[torch.optim.Optimizer]
    options: dict[str, Any] = field(default_factory=dict)

    def make(self, params: Any, **more: Any) -> torch.optim.Optimizer:
        options = {k: v.clone() if isinstance(v, Tensor) else v for k, v in self.options.items()}
        return self.cls(params, **{**options, **more})

    @property
    def diagonal(self) -> bool:
        return self.cls is not SaddleFreeNewton

    @property
    def difference(self) -> bool:
        return self.options.get("curvature") == "difference"

    @property
    def maximize(self) -> bool:
        return self.options.get("maximize", False)


def alternating_probe(params: Sequence[Tensor], index: int) -> list[Tensor]:
    """A probe of the user's own: signs that alternate along each parameter, shifted by the index."""
    return [
        ((torch.arange(p.numel(), device=p.device) + index + i) % 2 * 2 - 1).to(p.dtype).view(p.shape)
        for i, p in enumerate(params)
    ]


_OPTIONS: dict[str, dict[str, Any]] = {
    "default": {},
    "every": {"update_every": 3, "warmup_probes": 1},
    "ema": {"beta": 0.9, "update_every": 2},
    "uniform": {"beta": None, "update_every": 2},
    "inside": {"damping_mode": "inside", "damping": 1e-4},
    "momentum": {"momentum": 0.9},
    "nesterov": {"momentum": 0.9, "nesterov": True},
    "decay": {"weight_decay": 0.1},
    "maximize": {"maximize": True},
    "tensor-lr": {"lr": torch.tensor(0.01)},
    "for-loop": {"foreach": False},
    "foreach": {"foreach": True},
    "auto": {"update_every": "auto"},
    "difference": {"curvature": "difference"},
    "gaussian": {"probe": "gaussian"},
    "low-rank": {"probe": "low_rank"},
    "callable": {"probe": alternating_probe},
    "everything": {
        "momentum": 0.8,
        "nesterov": True,
        "weight_decay": 0.01,
        "lr": torch.tensor(0.01),
        "beta": 0.8,
        "damping_mode": "inside",
        "damping": torch.tensor(1e-3),
        "update_every": 2,
        "warmup_probes": 4,
        "probe": "gaussian",
    },
}
_KRYLOV: dict[str, dict[str, Any]] = {
    "default": {"lr": 0.3},
    "short": {"lr": 0.3, "krylov_dim": 3, "damping": 0.1},
    "maximize": {"lr": 0.3, "maximize": True},
    "tensor-lr": {"lr": torch.tensor(0.3)},
}

DIAGONAL = [
    Case(f"{cls.__name__}-{name}", cls, {"lr": 0.01, **options})
    for cls in (ESGD, JacobiSGD)
    for name, options in _OPTIONS.items()
]
CASES = [*DIAGONAL, *(Case(f"SaddleFreeNewton-{n}", SaddleFreeNewton, o) for n, o in _KRYLOV.items())]
OPTIMIZERS = [c for c in CASES if c.name.endswith("-default")]
DTYPES = [torch.float32, torch.float64, torch.bfloat16, torch.float16]


def over(cases: Sequence[Case]) -> pytest.MarkDecorator:
    """Run a test once for each case, as its argument ``case``."""
    return pytest.mark.parametrize("case", cases, ids=lambda c: c.name)


class Problem(nn.Module):
    """A small regression whose Hessian is indefinite: y ≈ w₂ᵀ tanh(W₁x + b₁), seeded."""

    def __init__(self, dtype: torch.dtype = torch.float32, seed: int = 0) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)

        def normal(*shape: int) -> Tensor:
            return torch.randn(*shape, generator=generator).to(dtype)

        self.W1 = nn.Parameter(normal(3, 4) * 0.5)
        self.b1 = nn.Parameter(normal(4) * 0.1)
        self.w2 = nn.Parameter(normal(4) * 0.5)
        self.x, self.y = normal(16, 3), normal(16)

    def loss(self, rows: slice = slice(None)) -> Tensor:
        out = torch.tanh(self.x[rows] @ self.W1 + self.b1) @ self.w2
        return (out - self.y[rows]).square().mean()

    def values(self) -> list[Tensor]:
        return [p.detach().clone() for p in self.parameters()]


def one_step(optimizer: torch.optim.Optimizer, loss: Callable[[], Tensor]) -> float:
    """The loop of the README, in the form that the optimizer's ``curvature`` asks for; the loss before the step."""
    optimizer.zero_grad()
    if optimizer.param_groups[0]["curvature"] == "difference":
        optimizer.probe(loss)
        value = loss()
    else:
        value = optimizer.probe(loss())
    value.backward()
    optimizer.step()
    return float(value.detach())


def train(optimizer: torch.optim.Optimizer, loss: Callable[[], Tensor], steps: int) -> list[float]:
    return [one_step(optimizer, loss) for _ in range(steps)]


def assert_same(left: Sequence[Tensor], right: Sequence[Tensor]) -> None:
    """Equal to the bit, dtype and device included."""
    for a, b in zip(left, right, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0)


def dense_hessian(loss: Callable[[], Tensor], params: Sequence[Tensor], step: float = 1e-5) -> Tensor:
    """Hessian of shape (N, N) by central differences of plain gradients: a channel without double backward.

    Meant for float64, where it is right to about 1e-9; the parameters are restored.
    """
    params = list(params)

    def gradient() -> Tensor:
        grads = torch.autograd.grad(loss(), params, allow_unused=True)
        return torch.cat(
            [(torch.zeros_like(p) if g is None else g).flatten() for g, p in zip(grads, params, strict=True)]
        )

    rows = []
    for p in params:
        flat = p.data.view(-1)
        for i in range(p.numel()):
            kept = flat[i].clone()
            flat[i] = kept + step
            ahead = gradient()
            flat[i] = kept - step
            rows.append((ahead - gradient()) / (2 * step))
            flat[i] = kept
    hessian = torch.stack(rows)
    return (hessian + hessian.T) / 2


def flatten(tensors: Sequence[Tensor]) -> Tensor:
    return torch.cat([t.detach().reshape(-1) for t in tensors])


def curvature_of(optimizer: torch.optim.Optimizer, params: Sequence[Tensor]) -> Tensor:
    """The summed curvature of all parameters, flat, shape (N,)."""
    return flatten([optimizer.state[p]["curvature"] for p in params])


def grads_of(problem: nn.Module) -> list[Tensor]:
    return [p.grad.clone() for p in problem.parameters()]


def plain_grads(problem: Problem, factor: float = 1.0) -> list[Tensor]:
    return [factor * g for g in torch.autograd.grad(problem.loss(), list(problem.parameters()))]


def expected_sum(case: Case, hessian: Tensor, params: Sequence[Tensor], count: int = 10, first: int = 0) -> Tensor:
    """What the state must hold after one step: Σ_k (H v_k)², or Σ_k v_k (H v_k), flat, from a dense H."""
    total = torch.zeros(hessian.shape[0], dtype=hessian.dtype)
    for k in range(count):
        v = flatten(draw("rademacher", params, 0, first + k))
        total += (hessian @ v) ** 2 if case.cls is ESGD else v * (hessian @ v)
    return total


def quadratic(n: int = 3, curvature: float = 1.0) -> tuple[nn.Parameter, Callable[[], Tensor]]:
    """The smallest problem: a parameter of ones and curvature · ‖w‖² / 2, in float64."""
    w = nn.Parameter(torch.ones(n, dtype=torch.float64))
    return w, lambda: curvature * w.square().sum() / 2


def still(w: Tensor) -> None:
    """Let ``w`` have a gradient, which is zero."""
    w.grad = torch.zeros_like(w)
