"""Every refusal says what was expected, what came and what to do."""

from __future__ import annotations

import copy
import re

import numpy as np
import pytest
import torch
from curvature_cases import Net, quadratic, symmetric
from torch import nn
from torch.autograd.function import once_differentiable
from torch.utils.checkpoint import checkpoint

from esgd.errors import ConfigError, CurvatureError
from esgd.estimators import diag_abs
from esgd.hvp import GaussNewtonOperator, HessianOperator, gradient_with_graph, hvp, product_from_gradient
from esgd.probes import draw
from esgd.spectrum import spectral_density


def refuses(*words: str):
    """A CurvatureError whose message has all the words, in that order."""
    return pytest.raises(CurvatureError, match=".*".join(map(re.escape, words)))


def weight(*shape, **options):
    return torch.ones(*(shape or (2,)), requires_grad=True, **options)


def product_of(net: nn.Module, outputs: torch.Tensor):
    params = list(net.parameters())
    return hvp(outputs.square().sum(), params, draw("rademacher", params, 0, 0))


class TestLoss:
    def test_that_is_not_a_scalar(self):
        w = weight(3)
        with refuses("scalar loss", "(3,)", ".mean()"):
            hvp(w**2, [w], [torch.ones(3)])

    def test_without_a_graph(self):
        w = weight()
        with refuses("no graph", "torch.no_grad()", ".detach()"):
            hvp(w.sum().detach(), [w], [torch.ones(2)])

    def test_that_is_a_number(self):
        with refuses("tensor with its graph", "float"):
            gradient_with_graph(1.0, [weight()])

    def test_that_is_complex(self):
        w = weight()
        with refuses("real loss", "complex64", ".real"):
            gradient_with_graph((w * 1j).sum(), [w])

    def test_that_did_not_depend_on_its_graph_any_more(self):
        w = weight()
        gradient = gradient_with_graph((w**3).sum(), [w])
        product_from_gradient(gradient, [w], [torch.ones(2)])
        with refuses("graph of this loss is gone", "retain_graph=True"):
            product_from_gradient(gradient, [w], [torch.ones(2)])


class TestNoDoubleBackward:
    def test_fused_attention(self):
        q = torch.randn(1, 2, 4, 8, requires_grad=True)
        loss = nn.functional.scaled_dot_product_attention(q, q, q).square().sum()
        with refuses("fused attention", "SDPBackend.MATH", "curvature='difference'"):
            hvp(loss, [q], [torch.ones_like(q)])

    def test_the_remedy_for_attention_works(self):
        q = torch.randn(1, 2, 4, 8, requires_grad=True, dtype=torch.float64)
        v = torch.randn_like(q)

        def gradient(x):
            x = x.detach().requires_grad_()
            loss = nn.functional.scaled_dot_product_attention(x, x, x).square().sum()
            return torch.autograd.grad(loss, x)[0]

        with nn.attention.sdpa_kernel(nn.attention.SDPBackend.MATH):
            (h,) = hvp(nn.functional.scaled_dot_product_attention(q, q, q).square().sum(), [q], [v])
            difference = (gradient(q + 1e-5 * v) - gradient(q - 1e-5 * v)) / 2e-5
        assert torch.allclose(h, difference, rtol=1e-6, atol=1e-8)

    def test_a_compiled_module(self):
        net = nn.Linear(2, 2)
        compiled = torch.compile(net, backend="aot_eager")
        with refuses("torch.compile", "_orig_mod"):
            product_of(net, compiled(torch.ones(3, 2)))
        assert product_of(net, compiled._orig_mod(torch.ones(3, 2)))

    def test_embedding_bag(self):
        net = nn.EmbeddingBag(5, 3)
        with refuses("EmbeddingBag", "use Embedding"):
            product_of(net, net(torch.tensor([[0, 1], [2, 3]])))

    def test_reentrant_checkpointing_and_its_remedy(self):
        net = nn.Sequential(nn.Linear(2, 2), nn.Tanh()).double()
        x = torch.ones(3, 2, requires_grad=True, dtype=torch.float64)
        with refuses("reentrant", "use_reentrant=False"):
            product_of(net, checkpoint(net, x, use_reentrant=True))
        got = product_of(net, checkpoint(net, x, use_reentrant=False))
        assert all(torch.equal(a, b) for a, b in zip(got, product_of(net, net(x)), strict=True))

    def test_once_differentiable_which_torch_gets_silently_wrong(self):
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

        class Follows(Cube):
            @staticmethod
            def backward(ctx, grad):
                (x,) = ctx.saved_tensors
                return 3 * x**2 * grad

        w = torch.tensor([1.0, 2.0], requires_grad=True)
        # torch itself: the gradient has no graph, so that its derivative reads zero and nothing is raised
        assert torch.autograd.grad(Cube.apply(w).sum(), w, create_graph=True)[0].grad_fn is None
        with refuses("Cube", "once_differentiable", "silently be wrong"):
            hvp((Cube.apply(w) * 2).sum(), [w], [torch.ones(2)])
        assert hvp(Follows.apply(w).sum(), [w], [torch.ones(2)])[0].tolist() == [6.0, 12.0]

    def test_other_runtime_errors_pass_through(self):
        w = weight()

        class Broken(torch.autograd.Function):
            @staticmethod
            def forward(ctx, x):
                return x.clone()

            @staticmethod
            def backward(ctx, grad):
                raise RuntimeError("a bug of the user's")

        with pytest.raises(RuntimeError, match="a bug of the user's") as caught:
            hvp(Broken.apply(w).sum(), [w], [torch.ones(2)])
        assert not isinstance(caught.value, CurvatureError)


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


def test_a_dense_matrix_that_would_not_fit():
    operator = quadratic(symmetric(30))
    with refuses("30 parameters", "GB", "max_params="):
        operator.to_dense(max_params=29)


@pytest.mark.parametrize("count", [0, -2])
def test_counts_below_one(count):
    operator = quadratic(symmetric(5))
    uses = {
        "num_probes": [diag_abs, spectral_density],
        "probes_per_pass": [diag_abs, spectral_density, lambda o, **k: o.matmat(o.to_dense(), **k)],
        "num_steps": [diag_abs, spectral_density],
    }
    for name, functions in uses.items():
        for function in functions:
            with pytest.raises(ConfigError, match=f"{name} must be at least 1, got {count}"):
                function(operator, **{name: count})


def test_curvature_errors_are_runtime_errors_and_settings_are_value_errors():
    assert issubclass(CurvatureError, RuntimeError)
    assert issubclass(ConfigError, ValueError)
