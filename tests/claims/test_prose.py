"""Tested prose: the update equations as the chapters display them, evaluated and compared with the library.

The right-hand side is read from the notebook by its label and translated symbol by symbol, so that a changed sign
or a lost square root in the text fails here.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from esgd.theory import equilibration_diagonal, newton_and_saddle_free, two_sided

BOOK = Path(__file__).resolve().parents[2] / "book"
SYMBOLS = {
    r"\\nabla f\(\\theta_t\)": " g ", r"\\theta_t": " theta ", r"\\varepsilon": " lr ", r"\\alpha": " alpha ",
    r"\\lambda": " damping ", r"v_\{t-1\}": " v ", r"\\sqrt\{v_t\}": " np.sqrt(v_new) ", r"g_t\^2": " g**2 ",
    r"g_t": " g ", r"D\^\{-1\}": " Dinv ", r"D\^\{-1/2\}": " Droot ", r"\\,": " ",
}  # fmt: skip


def displayed(chapter: str, label: str) -> str:
    """The LaTeX of the equation with this label."""
    cells = json.loads((BOOK / f"{chapter}.ipynb").read_text(encoding="utf-8"))["cells"]
    text = "\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "markdown")
    found = re.findall(r"\$\$\n((?:(?!\$\$).)*?)\n\$\$ \(" + re.escape(label) + r"\)", text, re.DOTALL)
    assert len(found) == 1, f"{chapter} displays {label} {len(found)} times"
    return found[0].strip().rstrip(". ,")


def value(latex: str, **names):
    """The right-hand side as a number; juxtaposition is a product."""
    right = latex.split("=", 1)[1]
    right = re.sub(r"\\frac\{g_t\}\{(.*)\}$", r"( g_t )/( \1 )", right)
    for pattern, name in SYMBOLS.items():
        right = re.sub(pattern, lambda _, name=name: name, right)
    tokens = re.findall(r"np\.sqrt\(\w+\)|[A-Za-z_]+(?:\*\*2)?|\d+|[-+()/*]", right)
    out = []
    for token in tokens:
        if out and (out[-1][-1].isalnum() or out[-1][-1] == ")") and (token[0].isalnum() or token[0] == "("):
            out.append("*")
        out.append(token)
    return eval(" ".join(out), {"np": np}, names)


H, START = np.array([[4.0, 1.0], [1.0, 2.0]]), np.array([1.0, -0.5])


def torch_step(make):
    theta = torch.tensor(START, requires_grad=True)
    optimiser = make([theta])
    (theta @ torch.tensor(H) @ theta / 2).backward()
    optimiser.step()
    return theta.detach().numpy()


@pytest.mark.claim("S2b")
def test_gradient_descent_as_displayed():
    shown = displayed("01-descent", "eq:gd")
    step = torch_step(lambda p: torch.optim.SGD(p, lr=0.1))
    assert np.allclose(value(shown, theta=START, g=H @ START, lr=0.1), step)
    printed = shown.replace("-", "+")
    assert not np.allclose(value(printed, theta=START, g=H @ START, lr=0.1), step)


@pytest.mark.claim("S2b", "S2c")
def test_the_preconditioned_step_as_displayed():
    D = equilibration_diagonal(H)
    shown = value(
        displayed("03-preconditioning", "eq:preconditioned"), theta=START, g=H @ START, lr=0.1, Dinv=1 / D
    )
    phi = np.sqrt(D) * START
    in_phi = phi - 0.1 * two_sided(H, D) @ phi  # plain descent in φ
    assert np.allclose(shown, in_phi / np.sqrt(D))


@pytest.mark.claim("S2b", "E2")
def test_rmsprop_as_displayed():
    alpha, lr, damping = 0.9, 0.05, 1e-3
    g, v = H @ START, np.zeros(2)
    v_new = value(displayed("08-rmsprop", "eq:rmsprop-v"), v=v, g=g, alpha=alpha)
    assert np.allclose(v_new, (1 - alpha) * g**2)
    latex = displayed("08-rmsprop", "eq:rmsprop-step")
    shown = value(latex, theta=START, g=g, lr=lr, v_new=v_new, damping=damping)
    step = torch_step(lambda p: torch.optim.RMSprop(p, lr=lr, alpha=alpha, eps=damping))
    assert np.allclose(shown, step)
    wrong = value(latex.replace(r"\sqrt{v_t}", "v_t").replace("v_t", r"\sqrt{v_t}^2"), theta=START, g=g, lr=2 * lr,
                  v_new=v_new, damping=damping)  # fmt: skip
    assert not np.allclose(wrong, step)


@pytest.mark.claim("T2")
def test_the_two_second_order_steps_as_displayed():
    shown = displayed("04-absolute-hessian", "eq:two-steps")
    assert re.sub(r"\s", "", shown) == r"\Delta_N=-\alphaH^{-1}g,\qquad\Delta_A=-\alpha|H|^{-1}g"
    pair = newton_and_saddle_free(np.diag([2.0, -1.0]), [1.0, 1.0], 0.5)
    assert np.allclose(pair.newton, [-0.25, 0.5])
    assert np.allclose(pair.saddle_free, [-0.25, -0.5])
