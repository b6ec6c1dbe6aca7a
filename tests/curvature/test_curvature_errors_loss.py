"""Losses that have no Hessian, or that torch would get wrong: refused with what to do."""

from __future__ import annotations

import pytest
import torch
from refusals import refuses, weight
from torch import nn
from torch.autograd.function import once_differentiable
from torch.utils.checkpoint import checkpoint

from esgd.errors import CurvatureError
from esgd.hvp import gradient_with_graph, hvp, product_from_gradient
from esgd.probes import draw


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
