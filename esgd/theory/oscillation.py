"""Theorem O: deterministic RMSProp on a quadratic, its 2-cycles and the semidefinite program behind them."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import ArrayLike, NDArray

from esgd.errors import ConfigError
from esgd.theory.matrices import check_symmetric, nonsingular_eigh

__all__ = ["Cycle", "Majorant", "run_rmsprop", "trace_minimal_majorant", "two_cycles"]

Array = NDArray[np.float64]


def run_rmsprop(
    H: ArrayLike, start: ArrayLike, lr: float, alpha: float, steps: int, *, v: ArrayLike | None = None
) -> tuple[Array, Array]:
    """RMSProp without damping or noise on ½ΔᵀHΔ: v ← αv + (1 − α)g², Δ ← Δ − ε g/√v (Eq. 2, sign corrected).

    An entry whose gradient has been zero all along (v = g = 0) stays where it is.

    Args:
        H: symmetric, shape (N, N).
        start: first displacement Δ, shape (N,).
        lr: ε.
        alpha: decay rate α in [0, 1).
        steps: number of updates.
        v: first average, shape (N,); the square of the first gradient if left out.

    Returns:
        ``(path, averages)``, shapes (steps + 1, N) and (steps, N): the averages are those the steps divided
        by.
    """
    H, delta = check_symmetric(H), np.array(start, dtype=np.float64)
    if not 0 <= alpha < 1 or not lr > 0:
        raise ConfigError(f"alpha must lie in [0, 1) and lr be positive, but they are {alpha} and {lr}")
    average = (H @ delta) ** 2 if v is None else np.array(v, dtype=np.float64)
    path, averages = [delta], []
    for _ in range(steps):
        g = H @ delta
        average = alpha * average + (1 - alpha) * g**2
        delta = delta - lr * np.divide(g, np.sqrt(average), out=np.zeros_like(g), where=average > 0)
        path.append(delta)
        averages.append(average)
    return np.array(path), np.array(averages)


@dataclass(frozen=True)
class Cycle:
    """A 2-cycle of deterministic RMSProp: Δ flips between ±(ε/2)s while √v stays at (ε/2)|Hs|.

    Attributes:
        signs: s ∈ {−1, 1}^N with sign(Hs) = s, shape (N,).
        root_v: √v, shape (N,).
        largest: largest eigenvalue of εD⁻¹H with D = diag √v; never below 2, the eigenvalue of s itself.
    """

    signs: Array
    root_v: Array
    largest: float

    def is_stable(self, alpha: float) -> bool:
        """Whether small disturbances die out in the linearised method: largest < 1 + 1/α (Theorem O, b)."""
        return alpha * self.largest < alpha + 1


def two_cycles(H: ArrayLike, lr: float) -> list[Cycle]:
    """All 2-cycles of deterministic RMSProp on a quadratic, by trying the 2^(N−1) sign vectors up to ±.

    Args:
        H: symmetric positive definite, shape (N, N), N ≤ 16.
        lr: ε > 0.

    Returns:
        At least one: the sign vector with the largest sᵀHs, and every other one with sign(Hs) = s.

    Raises:
        ConfigError: H not positive definite or too large, or a rate that is not positive.
    """
    values, _ = nonsingular_eigh(H)
    if values[0] < 0:
        raise ConfigError(
            f"H must be positive definite, but its smallest eigenvalue is {values[0]:.3g}: Theorem O asks for it"
        )
    if not lr > 0:
        raise ConfigError(f"lr must be positive, but it is {lr}")
    H = check_symmetric(H)
    n = len(H)
    if n > 16:
        raise ConfigError(f"2^{n - 1} sign vectors are too many: N must be at most 16")
    found = []
    for tail in product((1.0, -1.0), repeat=n - 1):
        s = np.array((1.0, *tail))
        pull = s * (H @ s)
        if (pull > 0).all():
            root = lr / 2 * pull
            largest = np.linalg.eigvalsh(lr * H / np.sqrt(root[:, None] * root[None, :]))[-1]
            found.append(Cycle(s, root, float(largest)))
    return found


@dataclass(frozen=True)
class Majorant:
    """The diagonal D of least trace with D ⪰ A, and the certificate that nothing smaller will do.

    Attributes:
        diagonal: of D, shape (N,).
        gram: X ⪰ 0 with unit diagonal, shape (N, N): tr(AX) ≤ tr D for every feasible D.
        gap: (tr D − tr(AX)) / tr D, the relative duality gap.
    """

    diagonal: Array
    gram: Array
    gap: float


def trace_minimal_majorant(
    A: ArrayLike, *, rtol: float = 1e-9, max_sweeps: int = 100_000, seed: int = 0
) -> Majorant:
    """The least tr D subject to D ⪰ A, D diagonal: the program whose solution is RMSProp's √v in Theorem O.

    Its dual, max tr(AX) over X ⪰ 0 with unit diagonal, is the relaxation of the maximum cut of Delorme and
    Poljak (1993) and Goemans and Williamson (1995). It is solved by block ascent over unit vectors, X = VVᵀ;
    the multipliers ‖(AV)_i‖ are then raised by a multiple of the identity until D ⪰ A holds exactly.

    Args:
        A: symmetric, shape (N, N).
        rtol: duality gap to stop at.
        max_sweeps: sweeps over all N vectors before giving up.
        seed: of the starting vectors.

    Raises:
        ConfigError: the gap was not reached.
    """
    A = check_symmetric(A, "A")
    n = len(A)
    if not A.any():
        return Majorant(np.zeros(n), np.eye(n), 0.0)
    shift = max(0.0, -float(np.linalg.eigvalsh(A)[0])) + 1e-3 * float(np.abs(A).max())
    work = A + shift * np.eye(n)  # X has unit diagonal: the shift moves both optima by n · shift
    rng = np.random.default_rng(seed)
    V = rng.standard_normal((n, n))
    V /= np.linalg.norm(V, axis=1, keepdims=True)
    gap = np.inf
    for sweep in range(1, max_sweeps + 1):
        for i in range(n):
            pull = work[i] @ V
            V[i] = pull / np.linalg.norm(pull)
        if sweep % 20:
            continue
        diagonal = np.linalg.norm(work @ V, axis=1)
        diagonal += max(0.0, float(np.linalg.eigvalsh(work - np.diag(diagonal))[-1]))
        value = float(np.einsum("ij,ik,jk->", work, V, V))
        gap = (diagonal.sum() - value) / abs(diagonal.sum())
        if gap <= rtol:
            return Majorant(diagonal - shift, V @ V.T, max(gap, 0.0))
    raise ConfigError(f"the gap stayed at {gap:.2g} after {max_sweeps} sweeps: raise max_sweeps or rtol")
