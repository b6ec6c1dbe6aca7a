from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from esgd.errors import ConfigError
from esgd.nets import (
    Autoencoder,
    count_parameters,
    curves_autoencoder,
    mnist_autoencoder,
    reconstruction_loss,
    squared_error,
)


@pytest.mark.claim("N")
@pytest.mark.parametrize(
    ("make", "parameters", "hidden"), [(mnist_autoencoder, 2_837_314, 7), (curves_autoencoder, 842_340, 11)]
)
def test_sizes_of_the_papers_nets(make, parameters, hidden):
    net = make()
    assert count_parameters(net) == parameters
    assert len(net.linear_layers()) - 1 == hidden  # hidden layers, the code among them


def test_hidden_units_are_sigmoids_and_code_and_output_are_linear():
    net = Autoencoder((6, 5, 4, 2))
    for half in (net.encoder, net.decoder):
        kinds = [type(m) for m in half]
        assert kinds == [nn.Linear, nn.Sigmoid, nn.Linear, nn.Sigmoid, nn.Linear]
    x = torch.rand(3, 6)
    layers = net.linear_layers()
    by_hand = x
    for i, layer in enumerate(layers):
        by_hand = by_hand @ layer.weight.T + layer.bias
        if i not in (2, 5):
            by_hand = 1 / (1 + torch.exp(-by_hand))
    torch.testing.assert_close(net(x), by_hand)
    torch.testing.assert_close(net.reconstruct(x), torch.sigmoid(by_hand))
    assert not net.reconstruct(x).requires_grad


def test_sparse_initialisation_has_fifteen_incoming_weights_or_all_of_fewer():
    for net in (mnist_autoencoder(1), curves_autoencoder(1)):
        for layer in net.linear_layers():
            incoming = (layer.weight != 0).sum(1)
            assert (incoming == min(15, layer.in_features)).all()
            assert (layer.bias == 0).all()


def test_sparse_initialisation_is_standard_normal_on_uniform_places():
    layer = mnist_autoencoder(0).linear_layers()[0]  # 1000 × 784
    values = layer.weight[layer.weight != 0]
    n = len(values)
    assert abs(values.mean().item()) < 4 / math.sqrt(n)
    assert abs(values.var().item() - 1) < 4 * math.sqrt(2 / n)
    chosen = (layer.weight != 0).sum(0).double()  # how often each input is taken: binomial(1000, 15/784)
    expected = 1000 * 15 / 784
    chi_squared = ((chosen - expected) ** 2 / (expected * (1 - 15 / 784))).sum().item()
    assert abs(chi_squared - 784) < 5 * math.sqrt(2 * 784)


def test_initialisation_depends_on_the_seed_only():
    torch.manual_seed(1)
    first = curves_autoencoder(3)
    before = torch.get_rng_state()
    second = curves_autoencoder(3)
    assert torch.equal(before, torch.get_rng_state())  # the global generator is left alone
    for a, b in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(a, b)
    other = next(curves_autoencoder(4).parameters())
    assert not torch.equal(other, next(first.parameters()))
    given = Autoencoder((784, 5), generator=torch.Generator().manual_seed(0))
    again = Autoencoder((784, 5), generator=torch.Generator().manual_seed(0))
    assert torch.equal(given.encoder[0].weight, again.encoder[0].weight)


def test_loss_is_cross_entropy_summed_over_pixels_and_averaged_over_examples():
    logits, x = torch.randn(4, 7, dtype=torch.float64), torch.rand(4, 7, dtype=torch.float64)
    p = 1 / (1 + torch.exp(-logits))
    entropy = -(x * p.log() + (1 - x) * (1 - p).log()).sum(1).mean()
    torch.testing.assert_close(reconstruction_loss(logits, x), entropy)
    torch.testing.assert_close(squared_error(logits, x), ((x - p) ** 2).sum(1).mean())


def test_loss_is_finite_for_extreme_logits():
    logits = torch.tensor([[1e4, -1e4]])
    assert reconstruction_loss(logits, torch.tensor([[1.0, 0.0]])).item() == 0
    assert reconstruction_loss(logits, torch.tensor([[0.0, 0.0]])).item() == 1e4


@pytest.mark.parametrize("sizes", [(784,), (), (784, 0), (784, 10, -1)])
def test_bad_sizes_are_refused(sizes):
    with pytest.raises(ConfigError, match="at least"):
        Autoencoder(sizes)
