"""The algorithms to the letter: a few lines each, slow, for reading and for testing the fast ones against.

They take a function and a flat parameter vector, keep no graph, cache nothing and know no options beyond what their
source names. ``tests/optim`` holds the library to them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

__all__ = ["equilibrated_gradient_descent", "jacobi_gradient_descent", "rmsprop", "saddle_free_newton"]

Function = Callable[[Tensor], Tensor]  # f(θ), θ of shape (N,), to a scalar
Probe = Callable[[int], Tensor]  # number of the probe -> v, shape (N,)


def _gradient_and_product(f: Function, theta: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """∇f(θ) and H v, each of shape (N,)."""
    theta = theta.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(f(theta), theta, create_graph=True)
    (product,) = torch.autograd.grad(gradient, theta, grad_outputs=v)
    return gradient.detach(), product


def equilibrated_gradient_descent(
    f: Function, theta: Tensor, lr: float, damping: float, v: Probe
) -> Iterator[Tensor]:
    """Algorithm 1 of Dauphin et al. (2015): yields θ after each iteration, shape (N,).

    Example:
        >>> saddle = lambda theta: 2 * theta[0] ** 2 - 0.5 * theta[1] ** 2
        >>> path = equilibrated_gradient_descent(saddle, torch.ones(2), 0.5, 0.0, v=lambda k: torch.ones(2))
        >>> next(path)
        tensor([0.5000, 1.5000])
    """
    D = torch.zeros_like(theta)
    k = 0
    while True:
        gradient, Hv = _gradient_and_product(f, theta, v(k))
        k += 1
        D = D + Hv**2
        theta = theta - lr * gradient / (torch.sqrt(D / k) + damping)
        yield theta


def jacobi_gradient_descent(f: Function, theta: Tensor, lr: float, damping: float, v: Probe) -> Iterator[Tensor]:
    """The paper's Jacobi control (§6, Eq. 5), "in the same fashion" as Algorithm 1: yields θ, shape (N,).

    Example:
        >>> saddle = lambda theta: 2 * theta[0] ** 2 - 0.5 * theta[1] ** 2
        >>> path = jacobi_gradient_descent(saddle, torch.ones(2), 0.5, 0.0, v=lambda k: torch.ones(2))
        >>> next(path)
        tensor([0.5000, 1.5000])
    """
    S = torch.zeros_like(theta)
    k = 0
    while True:
        gradient, Hv = _gradient_and_product(f, theta, v(k))
        S = S + v(k) * Hv
        k += 1
        theta = theta - lr * gradient / (torch.abs(S / k) + damping)
        yield theta


def rmsprop(f: Function, theta: Tensor, lr: float, damping: float, alpha: float) -> Iterator[Tensor]:
    """RMSProp (the paper's Eq. 2 and the step below it, with the sign of descent): yields θ, shape (N,).

    Example:
        >>> saddle = lambda theta: 2 * theta[0] ** 2 - 0.5 * theta[1] ** 2
        >>> path = rmsprop(saddle, torch.ones(2), lr=0.1, damping=0.0, alpha=0.9)
        >>> next(path)
        tensor([0.6838, 1.3162])
    """
    v = torch.zeros_like(theta)
    while True:
        gradient = torch.func.grad(f)(theta)
        v = alpha * v + (1 - alpha) * gradient**2
        theta = theta - lr * gradient / (torch.sqrt(v) + damping)
        yield theta


def saddle_free_newton(f: Function, theta: Tensor, lr: float, damping: float) -> Iterator[Tensor]:
    """θ ← θ − lr (|H| + λ)⁻¹ ∇f (Dauphin et al. 2014), with the whole Hessian: yields θ, shape (N,).

    Example:
        >>> saddle = lambda theta: 2 * theta[0] ** 2 - 0.5 * theta[1] ** 2
        >>> path = saddle_free_newton(saddle, torch.ones(2), lr=1.0, damping=0.0)
        >>> next(path)
        tensor([0., 2.])
    """
    while True:
        eigenvalues, Q = torch.linalg.eigh(torch.func.hessian(f)(theta))
        gradient = torch.func.grad(f)(theta)
        theta = theta - lr * Q @ ((Q.T @ gradient) / (eigenvalues.abs() + damping))
        yield theta
