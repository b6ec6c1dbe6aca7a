"""What an operator is made of: forms that are accepted, and forms that are refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from refusals import refuses
from torch import nn

from esgd import estimators, spectrum
from esgd.errors import CurvatureError
from esgd.hvp import HessianOperator


class Empty(nn.Module):
    """A model without parameters."""


class TestArguments:
    net = nn.Sequential(nn.Linear(3, 2), nn.Tanh(), nn.Linear(2, 1)).double()
    x = torch.randn(4, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))

    def operator(self, params, batches=None):
        batches = [self.x] if batches is None else batches
        return HessianOperator(lambda b: self.net(b).square().mean(), params, batches)

    def test_the_model_itself_and_dictionaries(self):
        expected = self.operator(self.net.named_parameters())
        for params in (self.net, dict(self.net.named_parameters())):
            operator = self.operator(params)
            assert operator.space.names == expected.space.names
            assert torch.equal(operator.to_dense(), expected.to_dense())

    @pytest.mark.parametrize(
        ("params", "words"),
        [
            (None, ("collection of tensors", "NoneType", "model.parameters()")),
            (5, ("collection of tensors", "int")),
            ("weight", ("collection of tensors", "str")),
            (Empty(), ("at least one parameter", "model.parameters()")),
            ([("a", 1, torch.ones(1))], ("parameter 0 is a tuple",)),
            ([()], ("parameter 0 is a tuple",)),
            ([{"params": []}], ("parameter 0 is a dict",)),
            ([np.ones(3)], ("parameter 0 is a ndarray", "model.parameters()")),
            ([torch.ones(2, device="meta")], ("meta device", "to_empty")),
            ([torch.ones(0)], ("empty tensors",)),
        ],
    )
    def test_what_is_none(self, params, words):
        with refuses(*words):
            self.operator(params)

    def test_batches(self):
        with refuses("one array of shape (4, 3)", "[array]"):
            self.operator(self.net, np.ones((4, 3)))

        class Once(torch.utils.data.IterableDataset):
            def __iter__(self):
                return self.stream

        data = Once()
        data.stream = iter([self.x, self.x])
        operator = self.operator(self.net, torch.utils.data.DataLoader(data, batch_size=None))
        assert "batches=?" in repr(operator)
        assert operator.matvec(operator.space.zeros())
        with refuses("batches before and now there are none", "list(batches)"):
            operator.matvec(operator.space.zeros())

    @pytest.mark.parametrize("size", [lambda b: None, lambda b: -1, lambda b: "a", lambda b: float("nan")])
    def test_sizes(self, size):
        operator = HessianOperator(lambda b: self.net(b).square().mean(), self.net, [self.x], size=size)
        with refuses("size must return the number of examples", "for batch 0"):
            operator.matvec(operator.space.zeros())

    def test_size_is_a_function(self):
        with pytest.raises(CurvatureError, match="size must be a function that takes one batch"):
            HessianOperator(lambda b: self.net(b).square().mean(), self.net, [self.x], size=4)


@pytest.mark.parametrize(
    "loss", [lambda b: 1.0, lambda b: None, lambda b: (b.sum(), 1), lambda b: {"loss": b.sum()}]
)
def test_losses_that_are_no_tensors(loss):
    operator = HessianOperator(loss, [torch.ones(2, requires_grad=True)], [torch.ones(1)])
    with refuses("loss as a tensor with its graph"):
        estimators.diag(operator)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_parameters_have_sums_in_single(dtype):
    weight = torch.tensor([1.0, 2.0], dtype=dtype, requires_grad=True)
    operator = HessianOperator(lambda b: (weight**3).sum(), [weight], [torch.ones(1)])
    assert estimators.diag(operator, 2).value.tolist() == [6, 12]
    assert spectrum.extreme_eigenpairs(operator).values.tolist() == pytest.approx([12, 6])
    with refuses("torch.float32", str(dtype), "v.to("):
        operator.matvec(torch.ones(2, dtype=dtype))


def test_no_batch_with_examples():
    weight = torch.ones(2, requires_grad=True)
    operator = HessianOperator(lambda b: (weight**2).sum(), [weight], [torch.ones(0), torch.ones(0)])
    with refuses("no batch has any examples"):
        estimators.cross_diag_squared(operator)
