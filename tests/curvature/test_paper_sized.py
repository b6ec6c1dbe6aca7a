"""The two autoencoders of the paper in full size: accuracy, memory, spectra."""

from __future__ import annotations

import pytest
import torch
from curvature_cases import relative

from esgd.estimators import diag_abs, diagonals
from esgd.hvp import HessianOperator
from esgd.nets import curves_autoencoder, mnist_autoencoder, reconstruction_loss
from esgd.probes import draw
from esgd.spectrum import extreme_eigenpairs, spectral_density


def images(examples, seed=0):
    """Sparse images in [0, 1], as digits are."""
    g = torch.Generator().manual_seed(seed)
    return torch.rand(examples, 784, generator=g) * (torch.rand(examples, 784, generator=g) < 0.2)


def operator_of(net, batches):
    return HessianOperator(lambda b: reconstruction_loss(net(b), b), net.named_parameters(), batches)


@pytest.mark.parametrize(("make", "size"), [(mnist_autoencoder, 2_837_314), (curves_autoencoder, 842_340)])
def test_float32_agrees_with_float64_to_1e_5(make, size):
    x = images(20)
    net = make()
    single = operator_of(net, [x])
    assert single.num_params == size
    v = draw("rademacher", single.params, 0, 0)
    product = single.space.flatten(single.matvec(v))
    twin = make().double()
    double = operator_of(twin, [x.double()])
    exact = double.space.flatten(double.matvec([e.double() for e in v]))
    assert relative(product.double(), exact) < 1e-5


@pytest.mark.claim("N")
def test_the_product_is_that_of_curvlinops_in_full_size():
    import curvlinops

    net = curves_autoencoder().double()
    x = images(10).double()
    ours = operator_of(net, [x])
    loss = torch.nn.MSELoss(reduction="mean")
    theirs = curvlinops.HessianLinearOperator(
        net, loss, list(net.parameters()), [(x, x)], check_deterministic=False
    )
    mine = HessianOperator(lambda b: loss(net(b), b), net.named_parameters(), [x])
    v = ours.space.flatten(draw("gaussian", ours.params, 0, 0))
    assert relative(mine @ v, theirs @ v) < 1e-12


def test_spectrum_tools_run_on_it_in_bounded_memory():
    net = curves_autoencoder()
    operator = operator_of(net, [images(20)])
    pairs = extreme_eigenpairs(operator, 1, which="largest", subspace=8, tol=1e-2, max_products=40)
    assert pairs.vectors.shape == (1, operator.num_params)
    top, value = pairs.vectors[0], pairs.values[0].item()
    assert torch.dot(top, operator @ top).item() == pytest.approx(value, rel=1e-3)
    density = spectral_density(operator, 1, num_steps=8)
    assert density.nodes.max() <= value * 1.001
    assert diag_abs(operator, 2, num_steps=4).value.shape == (operator.num_params,)


def test_diagonals_of_it():
    operator = operator_of(curves_autoencoder(), list(images(20).split(10)))
    found = diagonals(operator, 4)
    named = operator.space.named(found.diag_squared.value)
    assert list(named) == operator.space.names
    assert found.frobenius_squared.value == pytest.approx(found.diag_squared.value.sum().item(), rel=1e-6)


@pytest.mark.slow
def test_a_long_krylov_space_of_the_mnist_net_stays_orthonormal():
    from esgd.lanczos import lanczos

    operator = operator_of(mnist_autoencoder(), [images(50)])
    start = operator.space.flatten(draw("gaussian", operator.params, 0, 0))
    space = lanczos(operator, start, 40)
    basis = space.basis.double()
    gram = basis @ basis.T
    assert (gram - torch.eye(40)).abs().max() < 1e-4
