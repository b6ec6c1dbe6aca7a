"""A matrix in place of an operator: what every function makes of it, and what is refused."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch
from curvature_cases import quadratic, symmetric
from refusals import refuses
from scipy import sparse
from scipy.sparse.linalg import aslinearoperator
from torch import nn

from esgd import estimators, spectrum
from esgd.operator import HessianOperator, MatrixOperator

A = symmetric(6)
FORMS = {
    "tensor": A,
    "array": A.numpy(),
    "sparse": sparse.csr_array(A.numpy()),
    "linear operator": aslinearoperator(A.numpy()),
}
USES = {
    "diag": lambda a: estimators.diag(a, 8).value,
    "diag_squared": lambda a: estimators.diag_squared(a, 8).value,
    "frobenius_squared": lambda a: estimators.frobenius_squared(a, 8).value,
    "diagonals": lambda a: estimators.diagonals(a, 8).diag.value,
    "diag_abs": lambda a: estimators.diag_abs(a, 3).value,
    "dominance_squared": lambda a: estimators.dominance_squared(a, 8).value,
    "dominance_plugin": lambda a: estimators.dominance_plugin(a, 8).value,
    "spectral_density": lambda a: spectrum.spectral_density(a, 2, num_steps=4).nodes,
    "extreme_eigenpairs": lambda a: spectrum.extreme_eigenpairs(a, 2).values,
    "exact_negative_count": lambda a: spectrum.exact_negative_count(a),
    "lanczos": lambda a: spectrum.lanczos(a, torch.ones(6, dtype=torch.float64), 4).matrix,
    "abs_matvec": lambda a: spectrum.abs_matvec(a, torch.ones(6, dtype=torch.float64)),
}


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("form", FORMS)
def test_it_is_as_good_as_the_hessian_of_its_quadratic(form, use):
    # one parameter, so that the probes are the same
    theta = torch.zeros(6, dtype=torch.float64, requires_grad=True)
    operator = HessianOperator(lambda b: 0.5 * theta @ A @ theta, [theta], [torch.ones(1)])
    got, expected = (torch.as_tensor(USES[use](x), dtype=torch.float64) for x in (FORMS[form], operator))
    assert torch.allclose(got, expected, rtol=1e-10, atol=1e-10)


def test_the_truth():
    values = torch.linalg.eigvalsh(A)
    assert spectrum.extreme_eigenpairs(A).values.tolist() == pytest.approx([values[-1].item(), values[0].item()])
    found = estimators.diag_squared(A, 4000)
    assert ((found.value - (A @ A).diagonal()).abs() <= 5 * found.stderr).all()


def test_numbers_of_other_kinds():
    assert estimators.diag(torch.diag(torch.tensor([1, 2, 3])), 2).value.tolist() == [1, 2, 3]
    assert estimators.diag(torch.eye(3), 2).value.tolist() == [1, 1, 1]
    assert estimators.diag(np.diag([1, 2, 3]), 2).value.tolist() == [1, 2, 3]
    dtypes = {torch.float16: torch.float32, torch.bfloat16: torch.float32, torch.float64: torch.float64}
    for dtype, expected in {**dtypes, torch.int64: torch.float32}.items():
        assert MatrixOperator(torch.eye(3, dtype=dtype)).dtype == expected
    for dtype, expected in {np.float32: torch.float32, np.float64: torch.float64, np.int32: torch.float64}.items():
        assert MatrixOperator(np.eye(3, dtype=dtype)).dtype == expected
        assert MatrixOperator(aslinearoperator(np.eye(3, dtype=dtype))).dtype == expected
    rounded = A.float() @ torch.eye(6) + 1e-6 * torch.triu(torch.ones(6, 6))  # symmetric but for rounding
    assert MatrixOperator(rounded).num_params == 6


@pytest.mark.parametrize(
    ("matrix", "words"),
    [
        (None, ("operator or a symmetric matrix", "NoneType", "HessianOperator(")),
        ([[1.0]], ("operator or a symmetric matrix", "a list", "a tensor")),
        (lambda v: v, ("operator or a symmetric matrix", "a function")),
        (nn.Linear(2, 2), ("operator or a symmetric matrix", "a Linear", "HessianOperator(")),
        (HessianOperator, ("operator or a symmetric matrix", "class HessianOperator itself")),
        (torch.eye(3).to_sparse(), ("a sparse tensor", ".to_dense()")),
        (torch.ones(3), ("square matrix", "(N, N)", "(3,)")),
        (torch.ones(2, 3), ("square matrix", "(2, 3)")),
        (torch.ones(0, 0), ("square matrix", "(0, 0)")),
        (np.ones((2, 3)), ("square matrix", "(2, 3)")),
        (sparse.csr_array(np.ones((2, 3))), ("square matrix", "(2, 3)")),
        (torch.eye(2, dtype=torch.complex64), ("real numbers", "complex64")),
        (np.eye(2, dtype=complex), ("real numbers", "complex128")),
        (np.array([["a"]]), ("real numbers", "<U1")),
        (torch.tensor([[1.0, 2.0], [0.0, 1.0]]), ("symmetric", "transpose by up to 2", "(A + A.T) / 2")),
        (sparse.csr_array(np.array([[1.0, 2.0], [0.0, 1.0]])), ("symmetric", "transpose by up to 2")),
        (torch.full((2, 2), torch.nan), ("not finite",)),
        (torch.full((2, 2), torch.inf), ("not finite",)),
    ],
    ids=lambda x: type(x).__name__ if not isinstance(x, tuple) else x[0],
)
def test_what_is_none_is_refused_by_every_function(matrix, words):
    for use in (*USES.values(), estimators.cross_diag_squared):
        with refuses(*words):
            use(matrix)


def test_a_matrix_has_no_batches():
    with refuses("at least two batches"):
        estimators.cross_diag_squared(A)


def test_scipy_is_not_needed():
    program = "import sys; sys.modules['scipy'] = None; import torch; from esgd.estimators import diag; "
    program += "print(diag(torch.eye(2), 2).value.tolist())"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[1.0, 1.0]\n"


def test_quadratics_of_the_tests_agree():
    assert torch.allclose(quadratic(A).to_dense(), MatrixOperator(A).to_dense())
