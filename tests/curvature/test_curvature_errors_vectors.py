"""Parameters and vectors that do not go together, and products that are not finite."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from curvature_cases import Net, quadratic, symmetric
from refusals import refuses, weight

from esgd.hvp import HessianOperator, gradient_with_graph, hvp


class TestParameters:
    def test_sparse(self):
        w = torch.eye(2).to_sparse().requires_grad_()
        with refuses("parameter 0 is sparse", "to_dense()"):
            gradient_with_graph(torch.sparse.sum(w), [w])

    def test_complex(self):
        w = weight(2, dtype=torch.complex64)
        with refuses("parameter 1 is complex", "view_as_complex"):
            gradient_with_graph(w.abs().sum(), [weight(), w])

    def test_integers(self):
        w = weight()
        with refuses("parameter 0", "torch.int64"):
            gradient_with_graph(w.sum(), [torch.ones(2, dtype=torch.int64)])

    def test_none_at_all(self):
        with refuses("at least one parameter", "model.parameters()"):
            gradient_with_graph(weight().sum(), [])

    def test_names_instead_of_tensors(self):
        with refuses("parameter 0 is a str", "model.parameters()"):
            HessianOperator(lambda b: b.sum(), ["weight"], [torch.ones(1)])

    def test_the_same_one_twice(self):
        w = weight()
        with refuses("listed twice", "each tensor once"):
            HessianOperator(lambda b: b.sum(), [w, w], [torch.ones(1)])

    def test_one_tensor_instead_of_a_list(self):
        with refuses("one tensor", "pass [tensor]"):
            HessianOperator(lambda b: b.sum(), weight(), [torch.ones(1)])


class TestVector:
    @pytest.mark.parametrize(
        ("v", "words"),
        [
            ([torch.ones(3)], ("v[0] has shape (3,)", "parameter has shape (2,)")),
            ([torch.ones(2), torch.ones(2)], ("list of 1 tensors", "2 tensors", "draw")),
            (torch.ones(2), ("list of 1 tensors", "one tensor of shape (2,)")),
            ([torch.ones(2, dtype=torch.float64)], ("torch.float64", "torch.float32", "v[0].to(parameter)")),
            ([torch.ones(2, device="meta")], ("meta", "cpu")),
        ],
        ids=["shape", "count", "flat", "dtype", "device"],
    )
    def test_that_does_not_match(self, v, words):
        w = weight()
        with refuses(*words):
            hvp((w**3).sum(), [w], v)

    def test_of_numbers(self):
        w = weight()
        with refuses("v[0] is a float", "one tensor a parameter"):
            hvp((w**3).sum(), [w], [1.0])
        with refuses("list of 1 tensors", "a float"):
            hvp((w**3).sum(), [w], 1.0)

    def test_a_generator_is_as_good_as_a_list(self):
        w = weight()
        assert hvp((w**3).sum(), [w], (torch.ones(2) for _ in range(1)))[0].tolist() == [6.0, 6.0]
        operator = HessianOperator(lambda b: (w**3).sum(), [w], [torch.ones(1)])
        assert operator.matvec(torch.ones_like(p) for p in [w])[0].tolist() == [6.0, 6.0]

    def test_complex_arrays_and_arrays_of_other_things(self):
        operator = quadratic(symmetric(5))
        for array in (np.ones(5, dtype=complex), np.array(["a"] * 5)):
            with refuses("real numbers", str(array.dtype), "one by one"):
                operator.matvec(array)
            with refuses("real numbers", str(array.dtype)):
                operator.matmat(array[:, None])

    def test_flat_ones_of_the_operator(self):
        operator = quadratic(symmetric(5))
        with refuses("shape (5,)", "(4,)"):
            operator.matvec(torch.ones(4, dtype=torch.float64))
        with refuses("torch.float64", "torch.float32", "v.to("):
            operator.matvec(torch.ones(5))
        with refuses("columns", "(5, k)", "(4, 2)"):
            operator.matmat(torch.ones(4, 2, dtype=torch.float64))


class TestNotFinite:
    def test_a_vector_that_is_not_finite_is_blamed_itself(self):
        case = Net()
        v = torch.ones(98, dtype=torch.float64)
        v[3] = torch.nan
        with refuses("v itself is not finite in '0.weight' (1 of 30 entries)"):
            case.operator().matvec(v)
        with refuses("v itself is not finite in '0.weight'"):
            case.gauss_newton().matvec(v)

    def test_names_the_parameter_and_the_batch(self):
        case = Net()
        case.batches[3] = case.batches[3].clone()
        case.batches[3][0, 0] = torch.inf
        with refuses("batch 3", "'0.weight'", "entries", "learning rate"):
            case.operator().matvec(torch.ones(case.operator().num_params, dtype=torch.float64))

    def test_a_sum_that_overflows_while_every_entry_is_finite_is_no_error(self):
        operator = quadratic(torch.eye(8, dtype=torch.float32) * 3e38)
        assert torch.isfinite(operator.matvec(torch.ones(8))).all()

    def test_other_parameters_are_not_blamed(self):
        a, b = weight(), weight()
        operator = HessianOperator(
            lambda x: (a**2).sum() + (b**2 * x).sum(), [("a", a), ("b", b)], [torch.tensor([1.0, torch.nan])]
        )
        with refuses("batch 0", "'b' (1 of 2 entries)"):
            operator.matvec(torch.ones(4))
