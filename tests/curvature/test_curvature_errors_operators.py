"""Operators that are not what was meant: batches, functions, parameters of a copy, dropout."""

from __future__ import annotations

import copy

import pytest
import torch
from curvature_cases import Net, quadratic, symmetric
from refusals import refuses, weight
from torch import nn
from torch.autograd.function import once_differentiable

from esgd.hvp import GaussNewtonOperator, HessianOperator, hvp


class TestBatches:
    def test_empty(self):
        with refuses("at least one batch", "empty", "check the loader"):
            HessianOperator(lambda b: b.sum(), [weight()], [])

    def test_found_empty_only_when_used(self):
        class Unsized:
            def __iter__(self):
                return iter(())

        w = weight()
        operator = HessianOperator(lambda b: (w**2).sum(), [w], Unsized())
        with refuses("at least one batch"):
            operator.matvec(torch.ones(2))

    def test_a_generator_that_can_be_read_once(self):
        with refuses("many times", "generator", "list(batches)"):
            HessianOperator(lambda b: b.sum(), [weight()], (torch.ones(1) for _ in range(2)))

    def test_one_tensor(self):
        with refuses("collection of batches", "(4, 2)", "[tensor]"):
            HessianOperator(lambda b: b.sum(), [weight()], torch.ones(4, 2))

    def test_of_unknown_size(self):
        w = weight()
        operator = HessianOperator(lambda b: (w**2).sum(), [w], [object()])
        with refuses("number of examples", "object", "size="):
            operator.matvec(torch.ones(2))

    def test_reduction(self):
        with refuses("'mean' or 'sum'", "'none'"):
            HessianOperator(lambda b: b.sum(), [weight()], [torch.ones(1)], reduction="none")

    def test_without_examples(self):
        case = Net()
        case.batches.insert(2, case.images[:0])
        with refuses("batch 2 has no examples", "leave it out"):
            case.operator().matvec(torch.ones(98, dtype=torch.float64))
        # a sum over none is zero
        w = weight(2)
        operator = HessianOperator(
            lambda b: (b * w**2).sum(), [w], [torch.ones(2, 2), torch.ones(0, 2)], reduction="sum"
        )
        assert operator.to_dense().tolist() == [[4.0, 0.0], [0.0, 4.0]]


class TestGaussNewton:
    """Its own traps, and those of the Hessian with the same remedies."""

    def product(self, model, loss=None, params=None):
        params = params or [weight()]
        loss = loss or (lambda outputs, batch: outputs.square().sum())
        operator = GaussNewtonOperator(model, loss, params, [torch.ones(3, 2)])
        return operator.matvec(torch.ones(operator.num_params))

    def test_outputs_that_are_not_one_tensor(self):
        with refuses("one tensor", "got tuple", "torch.cat"):
            self.product(lambda b: (b, b))

    def test_outputs_of_integers(self):
        with refuses("outputs are torch.int64", "real floating point"):
            self.product(lambda b: b.long())

    def test_a_detached_model(self):
        net = nn.Linear(2, 2)
        with refuses("outputs have no graph", ".detach()"):
            self.product(lambda b: net(b).detach(), params=list(net.parameters()))

    def test_a_loss_that_ignores_the_outputs(self):
        net = nn.Linear(2, 2)
        with refuses("does not depend on the model's outputs", "first argument"):
            self.product(net, lambda _, batch: net(batch).square().sum(), list(net.parameters()))

    def test_fused_attention(self):
        net = nn.Linear(8, 8)
        x = torch.randn(1, 2, 4, 8)

        def model(_):
            q = net(x)
            return nn.functional.scaled_dot_product_attention(q, q, q)

        with refuses("fused attention", "SDPBackend.MATH"):
            self.product(model, params=list(net.parameters()))

    def test_once_differentiable(self):
        class Cube(torch.autograd.Function):
            @staticmethod
            def forward(ctx, x):
                ctx.save_for_backward(x)
                return x**3

            @staticmethod
            @once_differentiable
            def backward(ctx, grad):
                (x,) = ctx.saved_tensors
                return 3 * x**2 * grad

        w = weight()
        with refuses("Cube", "once_differentiable"):
            self.product(lambda b: Cube.apply(w), params=[w])

    def test_parameters_of_a_copy(self):
        net = nn.Linear(2, 2)
        with refuses("none of the parameters", "of a copy"):
            self.product(net, params=list(copy.deepcopy(net).parameters()))


class TestOperatorThatIsNotWhatWasMeant:
    def test_functions_that_are_none(self):
        w = weight()
        with refuses("loss_fn must be a function", "one batch", "got Tensor"):
            HessianOperator((w**2).sum(), [w], [torch.ones(1)])
        with refuses("model_fn must be a function", "got NoneType"):
            GaussNewtonOperator(None, lambda o, b: o.sum(), [w], [torch.ones(1)])
        with refuses("loss_fn must be a function", "(outputs, batch)", "got float"):
            GaussNewtonOperator(lambda b: w, 1.0, [w], [torch.ones(1)])

    def test_parameters_of_a_copy(self):
        case = Net()
        names = copy.deepcopy(case.net).named_parameters()
        operator = HessianOperator(case.loss, names, case.batches)
        with refuses("none of the parameters", "not of a copy"):
            operator.matvec(torch.ones(98, dtype=torch.float64))
        w = weight()
        with refuses("none of the parameters"):
            hvp((w**2).sum(), [weight()], [torch.ones(2)])

    def test_all_frozen(self):
        w, other = torch.ones(2), weight()
        operator = HessianOperator(lambda b: (w**2 * other).sum(), [w], [torch.ones(1)])
        with refuses("none of the parameters", "requires_grad=True"):
            operator.matvec(torch.ones(2))

    def test_a_parameter_that_some_batches_do_not_reach_is_no_error(self):
        w, other = weight(), weight()
        operator = HessianOperator(
            lambda b: ((w if b.item() else other) ** 2).sum(), [w], [torch.zeros(1), torch.ones(1), torch.zeros(1)]
        )
        assert operator.matvec(torch.ones(2)).tolist() == pytest.approx([2 / 3, 2 / 3])
        blind = HessianOperator(lambda b: (other**2).sum(), [w], [torch.ones(1)], check=False)
        assert blind.matvec(torch.ones(2)).tolist() == [0.0, 0.0]

    @pytest.mark.parametrize("matrix", ["hessian", "gauss-newton"])
    def test_dropout_in_training_mode(self, matrix):
        torch.manual_seed(0)
        net = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.1), nn.Linear(8, 1))
        x = torch.randn(500, 4)

        def operator(**options):
            if matrix == "hessian":
                return HessianOperator(lambda b: net(b).square().mean(), net.parameters(), x.split(250), **options)
            return GaussNewtonOperator(
                net, lambda o, b: o.square().mean(), net.parameters(), x.split(250), **options
            )

        one = torch.ones(operator().num_params)
        with refuses("loss of the first batch", "computed again", "eval()", "check=False"):
            operator().matvec(one)
        unchecked = operator(check=False)
        assert not torch.equal(unchecked.matvec(one), unchecked.matvec(one))
        net.eval()
        settled = operator()
        assert torch.equal(settled.matvec(one), settled.matvec(one))

    def test_it_is_asked_again_after_a_refusal(self):
        w = weight()
        calls = iter(range(100))
        operator = HessianOperator(lambda b: (w**2).sum() * (1 + next(calls)), [w], [torch.ones(1)])
        for _ in range(2):
            with refuses("computed again"):
                operator.matvec(torch.ones(2))


def test_a_dense_matrix_that_would_not_fit():
    operator = quadratic(symmetric(30))
    with refuses("30 parameters", "GB", "max_params="):
        operator.to_dense(max_params=29)
