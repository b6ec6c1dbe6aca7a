"""Tested prose: the equations that the chapters display, evaluated and compared with the library.

What stands in the text is read by its label and evaluated symbol by symbol (:mod:`latex_value`), so that a changed
sign, a lost root or absolute value in the text fails here.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from latex_value import displayed, sides, value

from esgd import ESGD, JacobiSGD, SaddleFreeNewton
from esgd.figures import fig2
from esgd.optim import reference
from esgd.theory import (
    absolute_diagonal,
    condition_number,
    equilibration_diagonal,
    frobenius_condition,
    gradient_second_moment,
    hyperbolic_boost,
    jacobi_diagonal,
    left_scaled,
    newton_and_saddle_free,
    stationary_covariance,
    two_sided,
)

H, START = np.array([[4.0, 1.0], [1.0, -2.0]]), np.array([1.0, -0.5])
BOWL = np.array([[4.0, 1.0], [1.0, 2.0]])
G = H @ START
STEP = {r"\theta_t": START, r"\theta": START, r"\nabla f(\theta_t)": G, "g_t": G, "g": G, r"\varepsilon": 0.1}


def library_step(make, hessian=H):
    """θ after one step of a torch optimizer, or of one of ours, on ½θᵀHθ."""
    theta = torch.tensor(START, requires_grad=True)
    optimizer = make([theta])
    loss = theta @ torch.tensor(hessian) @ theta / 2
    if hasattr(optimizer, "probe"):
        loss = optimizer.probe(loss)
    loss.backward()
    optimizer.step()
    return theta.detach().numpy()


def basis(params, index):
    """Probes √2 e₁, √2 e₂ in turn: the mean of (Hv)² over both is diag(H²), that of v ⊙ Hv is diag H."""
    v = torch.zeros(2, dtype=torch.float64)
    v[index % 2] = 2**0.5
    return [v]


EXACT = {"lr": 0.1, "damping": 1e-12, "warmup_probes": 2, "probe": basis}


@pytest.mark.claim("S2b")
def test_gradient_descent_as_displayed():
    (right,) = sides(displayed("01-descent", "eq:gd")).values()
    step = library_step(lambda p: torch.optim.SGD(p, lr=0.1))
    assert np.allclose(value(right[0], **STEP), step)
    assert not np.allclose(value(right[0].replace("-", "+"), **STEP), step)


@pytest.mark.claim("S2")
def test_the_best_rate_as_displayed():
    shown = sides(displayed("01-descent", "eq:best-rate"))
    m, M = 0.5, 8.0
    rates = np.linspace(0.001, 0.3, 30_000)
    worst = np.maximum(np.abs(1 - rates * m), np.abs(1 - rates * M))
    assert value(shown[r"\varepsilon^*"][0], m=m, M=M) == pytest.approx(rates[worst.argmin()], abs=2e-5)
    assert value(shown["q^*"][0], **{r"\kappa": M / m}) == pytest.approx(worst.min(), abs=1e-4)


@pytest.mark.claim("F2")
def test_the_modes_as_displayed():
    h, lr, c, t = -0.7, 0.1, 0.3, 12
    names = {r"\varepsilon": lr, "h": h, "x_t": 0.3}
    (right,) = sides(displayed("02-saddles", "eq:mode")).values()
    assert value(right[0], **names) == pytest.approx(fig2.mode_path(h, lr, 1, start=0.3)[1])
    (right,) = sides(displayed("02-saddles", "eq:escape")).values()
    time = value(right[0], R=1.0, x_0=0.01, **names)
    path = np.abs(fig2.mode_path(h, lr, 100, start=0.01))
    assert path[int(np.ceil(time))] >= 1 > path[int(np.ceil(time)) - 1]
    (right,) = sides(displayed("02-saddles", "eq:noise-escape")).values()
    variance = 0.0
    for _ in range(t):
        variance = (1 - lr * h) ** 2 * variance + lr**2 * c
    assert value(right[0], c=c, t=t, **names) == pytest.approx(variance)


@pytest.mark.claim("S2b", "S2c")
def test_the_preconditioned_step_as_displayed():
    """With D = D_E and D = D_J of Chapter 5 it is ESGD's and Jacobi's step."""
    (right,) = sides(displayed("03-preconditioning", "eq:preconditioned")).values()
    diagonals = sides(displayed("05-jacobi", "eq:three-diagonals"))
    for name, truth, optimizer in (
        ("D_E", equilibration_diagonal, ESGD), ("D_J", jacobi_diagonal, JacobiSGD), ("D_A", absolute_diagonal, None)
    ):  # fmt: skip
        D = value(diagonals[name][0], H=H)
        assert np.allclose(D, truth(H), rtol=1e-12)
        shown = value(right[0], D=np.diag(D), **STEP)
        phi = np.sqrt(D) * START
        assert np.allclose(shown, (phi - 0.1 * two_sided(H, D) @ phi) / np.sqrt(D))  # plain descent in φ
        if optimizer:
            step = library_step(lambda p, optimizer=optimizer: optimizer(p, **EXACT))
            assert np.allclose(shown, step, rtol=1e-9)
            assert not np.allclose(value(right[0].replace("D^{-1}", "D"), D=np.diag(D), **STEP), step)


@pytest.mark.claim("S2c", "S3")
def test_the_change_of_coordinates_as_displayed():
    D = np.array([3.0, 0.5])
    names = {"H": H, "D": np.diag(D), r"\nabla f": G}
    shown = sides(displayed("03-preconditioning", "eq:transformed"))
    in_phi = value(shown[r"H_\varphi"][0], **names)
    assert np.allclose(in_phi, two_sided(H, D))
    assert np.allclose(value(shown[r"\nabla_\varphif"][0], **names), in_phi @ (np.sqrt(D) * START))
    similar = sides(displayed("03-preconditioning", "eq:similar"))
    assert np.allclose(value(similar["D^{-1}H"][0], **{r"H_\varphi": in_phi}, **names), left_scaled(H, D))
    norms = sides(displayed("03-preconditioning", "eq:equilibration"))["(D_E)_i"]
    assert value(norms[0], h_i=H[1]) == pytest.approx(equilibration_diagonal(H)[1])
    assert np.allclose(value(norms[2].replace("_i", ""), H=H), equilibration_diagonal(H))


@pytest.mark.claim("T1", "T1two")
def test_ideal_preconditioners_as_displayed():
    shown = sides(displayed("03-preconditioning", "eq:kappa-f"))[r"\kappa_F(X)"][0]
    assert value(shown, X=H) == pytest.approx(frobenius_condition(H))
    boost = sides(displayed("03-preconditioning", "eq:boost"))["M"][0]
    flat, x = np.diag([4.0, -1.0]), 0.6
    B = np.array([[np.cosh(x), np.sinh(x)], [np.sinh(x), np.cosh(x)]])
    assert np.allclose(value(boost, c=1.0, H=flat, B=B), hyperbolic_boost(flat, [[x]]))


@pytest.mark.claim("T2", "S3b")
def test_the_second_order_steps_as_displayed():
    alpha, L = 0.5, 3.0
    pair = newton_and_saddle_free(H, G, alpha)
    names = {"H": H, "g": G, r"\alpha": alpha, "L": L}
    steps = sides(displayed("04-absolute-hessian", "eq:two-steps"))
    newton, free = (value(steps[rf"\Delta_{k}"][0], **names) for k in "NA")
    assert np.allclose(newton, pair.newton)
    assert np.allclose(free, pair.saddle_free)
    assert not np.allclose(newton, free)
    # the optimizer and its literal twin take the second one
    krylov = library_step(lambda p: SaddleFreeNewton(p, lr=alpha, damping=0.0, krylov_dim=2))
    assert np.allclose(START + free, krylov, rtol=1e-9)
    quadratic = lambda t: t @ torch.tensor(H) @ t / 2  # noqa: E731
    twin = next(reference.saddle_free_newton(quadratic, torch.tensor(START), alpha, 0.0))
    assert np.allclose(START + free, twin.numpy(), rtol=1e-9)
    r = value(sides(displayed("04-absolute-hessian", "eq:s-and-r"))["r"][0], **names)
    assert r == pytest.approx(pair.radius)
    (margin,) = sides(displayed("04-absolute-hessian", "eq:margin")).values()
    assert value(margin[0], S=pair.negative_gain, r=r, **names) == pytest.approx(pair.margin(L))


@pytest.mark.claim("S4")
def test_kantorovich_as_displayed():
    bound = sides(displayed("05-jacobi", "eq:kantorovich"))["D_E"][0]
    for angle in (0.1, 0.5, 1.2):
        q = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        A = q @ np.diag([30.0, -1.0]) @ q.T
        most = value(bound, **{r"\kappa": condition_number(A), "D_A": absolute_diagonal(A)})
        assert (equilibration_diagonal(A) <= most * (1 + 1e-12)).all()
    q = np.array([[1, np.sqrt(30)], [-np.sqrt(30), 1]]) / np.sqrt(31)
    A = q @ np.diag([30.0, 1.0]) @ q.T
    most = value(bound, **{r"\kappa": 30.0, "D_A": absolute_diagonal(A)})
    assert most[0] == pytest.approx(equilibration_diagonal(A)[0])


@pytest.mark.claim("S2b", "A1", "E1")
def test_esgd_as_displayed():
    lr, damping = 0.1, 1e-2
    accumulate = sides(displayed("07-esgd", "eq:esgd-accumulate"))
    (update,) = sides(displayed("07-esgd", "eq:esgd-update")).values()
    D, k, theta = np.zeros(2), 0, START
    quadratic = lambda t: t @ torch.tensor(H) @ t / 2  # noqa: E731
    probes = [torch.tensor(v, dtype=torch.float64) for v in ([1.3, -0.2], [0.4, 0.9], [-1.0, 1.1])]
    path = reference.equilibrated_gradient_descent(
        quadratic, torch.tensor(START), lr, damping, v=lambda i: probes[i]
    )
    leaf = torch.tensor(START, requires_grad=True)
    optimizer = ESGD(
        [leaf], lr=lr, damping=damping, update_every=1, warmup_probes=1, probe=lambda p, i: [probes[i]]
    )
    for i in range(3):
        D = value(accumulate["D"][0], D=D, H=H, v=probes[i].numpy())
        k = value(accumulate["k"][0], k=k)
        names = {r"\theta": theta, "g": H @ theta, r"\varepsilon": lr, r"\lambda": damping, "D": D, "k": k}
        theta = value(update[0], **names)
        assert np.allclose(theta, next(path).numpy(), rtol=1e-12)
        optimizer.zero_grad()
        optimizer.probe(quadratic(leaf)).backward()
        optimizer.step()
        assert np.allclose(theta, leaf.detach().numpy(), rtol=1e-9)
        assert not np.allclose(value(update[0].replace(r"\sqrt{D/k}", "D/k"), **names), theta)


@pytest.mark.claim("S2b", "E2")
def test_rmsprop_as_displayed():
    alpha, damping = 0.9, 1e-3
    (average,) = sides(displayed("08-rmsprop", "eq:rmsprop-v")).values()
    (update,) = sides(displayed("08-rmsprop", "eq:rmsprop-step")).values()
    v = value(average[0], **{r"\alpha": alpha, "v_{t-1}": np.zeros(2), "g_t": G})
    assert np.allclose(v, (1 - alpha) * G**2)
    step = library_step(lambda p: torch.optim.RMSprop(p, lr=0.1, alpha=alpha, eps=damping))
    names = STEP | {"v_t": v, r"\lambda": damping}
    assert np.allclose(value(update[0], **names), step)
    assert not np.allclose(value(update[0].replace(r"\sqrt{v_t}", "v_t"), **names), step)


@pytest.mark.claim("R1", "ThR", "ThO")
def test_what_rmsprop_reads_as_displayed():
    C, lr = np.array([[1.0, 0.3], [0.3, 2.0]]), 0.1
    S = stationary_covariance(BOWL, C, lr)
    names = {"H": BOWL, "C": C, r"\Sigma": S, r"\varepsilon": lr}
    left, (right,) = next(iter(sides(displayed("08-rmsprop", "eq:lyapunov")).items()))
    left = left.replace(r"\SigmaH", r"\Sigma H")
    assert np.allclose(value(left, **names), value(right, **names))
    both = next(iter(sides(displayed("08-rmsprop", "eq:noisy-moment")).values()))
    assert len(both) == 2
    for right in both:
        assert np.allclose(value(right, **names), gradient_second_moment(BOWL, C, lr))
    (moment,) = sides(displayed("08-rmsprop", "eq:moment")).values()
    root = np.linalg.cholesky(S)
    cloud = np.concatenate([root.T, -root.T]) * np.sqrt(2)  # second moment Σ, exactly
    assert np.allclose(cloud.T @ cloud / 4, S)
    assert np.allclose(value(moment[0], **names), ((cloud @ BOWL) ** 2).mean(0))
    (mode,) = sides(displayed("08-rmsprop", "eq:from-curvature-to-noise")).values()
    h, c = 1.7, 0.4
    u = value(mode[0], h=h, c=c, **{r"\varepsilon": lr})
    assert gradient_second_moment([[h]], [[c]], lr / u)[0, 0] == pytest.approx(u**2)  # Theorem R at the rate ε/√v


def test_the_evaluator_refuses_what_it_does_not_understand():
    assert value(r"-2x^2/\sqrt{4} + |y|", x=3.0, y=-1.0) == pytest.approx(-8)
    for wrong in (r"\unknown x", "x +", "(x", "x)"):
        with pytest.raises((ValueError, AssertionError)):
            value(wrong, x=1.0)
