"""Exact Hessians of small softmax models, in closed form: the random matrices of the paper's Figure 3.

The loss is the cross-entropy averaged over n examples, θ is flattened in the order W1, b1, W2, b2 (rows
first). Float64, NumPy only; :func:`network_hessian` agrees with automatic differentiation to rounding.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from esgd.errors import ConfigError

__all__ = ["Hessians", "binary_hessian", "network_hessian", "random_problem", "regression_hessian"]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Hessians:
    """The Hessian of one random model and its Gauss–Newton part.

    Attributes:
        full: the Hessian, shape (N, N).
        gauss_newton: its positive semidefinite part, shape (N, N); the same matrix for a regression.
        null: number of directions in which the loss is exactly constant: adding one number to the weights
            that a feature sends to all C classes leaves the softmax as it is.
    """

    full: Array
    gauss_newton: Array
    null: int


def _softmax(z: Array) -> Array:
    z = np.exp(z - z.max(axis=1, keepdims=True))
    return z / z.sum(axis=1, keepdims=True)


def _root(p: Array) -> Array:
    """Square roots L of diag(p) − ppᵀ, one an example: (n, C) -> (n, C, C), L Lᵀ = diag(p) − ppᵀ."""
    root = np.sqrt(p)
    return np.eye(p.shape[1]) * root[:, :, None] - p[:, :, None] * root[:, None, :]


def _with_one(x: Array) -> Array:
    return np.concatenate([x, np.ones((len(x), 1))], axis=1)


def regression_hessian(x: Array, weight: Array, bias: Array) -> Hessians:
    """Softmax regression: H = mean of (diag p − ppᵀ) ⊗ x̃x̃ᵀ, which the targets do not enter.

    Args:
        x: inputs, shape (n, d).
        weight: shape (C, d).
        bias: shape (C,).

    Returns:
        Hessians of size N = C(d + 1), in the order W, b, with d + 1 null directions.
    """
    n, d = x.shape
    c = len(bias)
    p = _softmax(x @ weight.T + bias)
    root, xt = _root(p), _with_one(x)  # (n, C, C), (n, d + 1)
    jac = np.einsum("ncr,ni->nrci", root, xt)  # root applied to the Jacobian of the logits
    rows = np.concatenate([jac[..., :d].reshape(n * c, c * d), jac[..., d].reshape(n * c, c)], axis=1)
    H = rows.T @ rows / n
    return Hessians(H, H, d + 1)


def binary_hessian(x: Array, weight: Array, bias: float) -> Hessians:
    """Binary logistic regression: H = mean of p(1 − p) x̃x̃ᵀ, size d + 1, without null directions."""
    p = 1 / (1 + np.exp(-(x @ weight + bias)))
    xt = _with_one(x) * np.sqrt(p * (1 - p))[:, None]
    H = xt.T @ xt / len(x)
    return Hessians(H, H, 0)


def network_hessian(x: Array, labels: NDArray[np.int64], w1: Array, b1: Array, w2: Array, b2: Array) -> Hessians:
    """One hidden layer of sigmoid units and a softmax.

    H = mean of Jᵀ(diag p − ppᵀ)J + Σ_c (p_c − y_c) ∇²z_c, with J the Jacobian of the logits z = W2 σ(W1x +
    b1) + b2. The first term is the Gauss–Newton matrix, the second brings the negative eigenvalues.

    Args:
        x: inputs, shape (n, d).
        labels: classes 0 … C − 1, shape (n,).
        w1: shape (h, d).
        b1: shape (h,).
        w2: shape (C, h).
        b2: shape (C,).

    Returns:
        Hessians of size N = h(d + 1) + C(h + 1), with h + 1 null directions.
    """
    n, d = x.shape
    c, h = w2.shape
    if labels.shape != (n,) or labels.min() < 0 or labels.max() >= c:
        raise ConfigError(f"labels must be {n} classes in 0 … {c - 1}")
    xt = _with_one(x)  # (n, d + 1)
    a = 1 / (1 + np.exp(-(x @ w1.T + b1)))  # (n, h)
    a1 = a * (1 - a)  # σ'
    a2 = a1 * (1 - 2 * a)  # σ''
    p = _softmax(a @ w2.T + b2)
    root = _root(p)

    # rows of root · J, ordered W1, b1, W2, b2
    hidden = np.einsum("ncr,ck,nk->nrk", root, w2, a1)  # (n, C, h)
    first = np.einsum("nrk,ni->nrki", hidden, xt)
    second = np.einsum("ncr,nk->nrck", root, _with_one(a))
    rows = np.concatenate(
        [
            first[..., :d].reshape(n * c, h * d),
            first[..., d].reshape(n * c, h),
            second[..., :h].reshape(n * c, c * h),
            second[..., h].reshape(n * c, c),
        ],
        axis=1,
    )
    gauss_newton = rows.T @ rows / n

    residual = p.copy()
    residual[np.arange(n), labels] -= 1  # p − y, (n, C)
    full = gauss_newton.copy()
    # W1/b1 against themselves: unit k with itself only
    curvature = (residual @ w2) * a2 / n  # (n, h)
    block = np.einsum("nk,ni,nj->kij", curvature, xt, xt, optimize=True)  # (h, d + 1, d + 1)
    w1_at = np.arange(h * d).reshape(h, d)
    index = np.concatenate([w1_at, h * d + np.arange(h)[:, None]], axis=1)  # (h, d + 1): where unit k's weights are
    full[index[:, :, None], index[:, None, :]] += block
    # W2[c, k] against the weights of unit k
    cross = np.einsum("nc,nk,ni->cki", residual, a1, xt, optimize=True) / n  # (C, h, d + 1)
    w2_at = h * (d + 1) + np.arange(c * h).reshape(c, h)
    at_row = np.broadcast_to(w2_at[:, :, None], cross.shape)
    at_col = np.broadcast_to(index[None], cross.shape)
    full[at_row, at_col] += cross
    full[at_col, at_row] += cross
    return Hessians(full, gauss_newton, h + 1)


def random_problem(
    family: str, seed: int, *, hidden: int = 100, inputs: int = 10, classes: int = 5, examples: int = 1000
) -> Hessians:
    """One draw of Figure 3: inputs, weights and biases N(0, 1), classes uniform.

    The paper gives the 100 hidden units; d, C and n are not stated there, so they are settings here.

    Args:
        family: ``"network"``, ``"softmax"`` (regression) or ``"binary"`` (logistic regression).
        seed: seed of NumPy's generator; each seed is another problem.
        hidden: hidden units h, networks only.
        inputs: d.
        classes: C, networks and softmax regressions only.
        examples: n.

    Raises:
        ConfigError: unknown family or sizes below 1 (2 for the classes).
    """
    if min(hidden, inputs, examples) < 1 or classes < 2:
        raise ConfigError(
            f"sizes must be at least 1 and classes at least 2: {hidden=}, {inputs=}, {classes=}, {examples=}"
        )
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((examples, inputs))
    if family == "binary":
        return binary_hessian(x, rng.standard_normal(inputs), float(rng.standard_normal()))
    if family == "softmax":
        return regression_hessian(x, rng.standard_normal((classes, inputs)), rng.standard_normal(classes))
    if family != "network":
        raise ConfigError(f'family must be "network", "softmax" or "binary", but it is {family!r}')
    labels = rng.integers(classes, size=examples)
    w1, b1 = rng.standard_normal((hidden, inputs)), rng.standard_normal(hidden)
    w2, b2 = rng.standard_normal((classes, hidden)), rng.standard_normal(classes)
    return network_hessian(x, labels, w1, b1, w2, b2)
