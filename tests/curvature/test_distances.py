"""Distances between preconditioners, and what the paper's cosine does not see."""

from __future__ import annotations

import math

import pytest
import torch
from curvature_cases import quadratic, symmetric

from esgd.errors import ConfigError
from esgd.estimate import Estimate
from esgd.estimators import compare, cosine_distance, diag, diag_squared, log_dispersion, noise_floor


def vector(*entries):
    return torch.tensor(entries, dtype=torch.float64)


def test_by_hand():
    assert cosine_distance(vector(3, 4), vector(4, 3)).value == pytest.approx(1 - 24 / 25)
    assert log_dispersion(vector(1, math.e**2), vector(1, 1)).value == pytest.approx(1)  # logs 0 and 2
    assert cosine_distance(vector(1, 0), vector(0, 2)).value == 1
    assert cosine_distance(vector(1, 0), vector(-1, 0)).value == 2


def test_scale_means_nothing():
    u, v = symmetric(20, 0)[0].abs(), symmetric(20, 1)[0].abs()
    for measure in (cosine_distance, log_dispersion):
        assert measure(7 * u, v).value == pytest.approx(measure(u, v).value, rel=1e-12)
        assert measure(u, 3 * u).value == pytest.approx(0, abs=1e-14)


@pytest.mark.claim("C1")
def test_vectors_without_negative_entries_never_exceed_one():
    generator = torch.Generator().manual_seed(0)
    pairs = torch.rand(2000, 2, 5, generator=generator).square().square()
    assert max(cosine_distance(u, v).value for u, v in pairs) <= 1


@pytest.mark.claim("C1")
def test_the_cosine_is_blind_to_small_entries_and_the_log_dispersion_is_not():
    d = torch.ones(1000, dtype=torch.float64)
    d[:500] = 1e-2 * 0.5
    other = d.clone()
    other[:250] *= 10**0.5  # D⁻¹D′ runs from 1/√10 … to √10 on entries that hardly count
    other[250:500] /= 10**0.5
    ratio = other / d
    assert ratio.max() / ratio.min() == pytest.approx(10)
    assert cosine_distance(other, d).value < 1e-3
    assert log_dispersion(other, d).value > 0.5
    # the figure of the ledger: κ(D⁻¹D′) = 100 at a distance of about 1e-5
    small = torch.ones(10, dtype=torch.float64)
    small[0] = 5e-4
    wrong = small.clone()
    wrong[0] *= 100
    assert (wrong / small).max() / (wrong / small).min() == pytest.approx(100)
    assert cosine_distance(wrong, small).value < 2e-4


def test_zeros():
    found = compare(vector(1, 2, 0, 0), vector(1, 2, 0, 0))
    assert found.dropped == 2
    assert found.log_dispersion.value == 0
    assert found.constant_log_dispersion.value == pytest.approx(math.log(2) / 2)
    assert log_dispersion(vector(1, 0), vector(1, 1)).value == math.inf


def test_the_constant_baseline_is_that_of_a_constant():
    d = symmetric(30, 3)[0].abs()
    found = compare(d, d)
    assert found.cosine.value == pytest.approx(0, abs=1e-15)
    assert found.constant_cosine.value == pytest.approx(cosine_distance(torch.full_like(d, 5.0), d).value)
    assert found.constant_log_dispersion.value == pytest.approx(d.log().std(correction=0).item())


def test_error_bars_are_those_of_repeated_measurements():
    h = symmetric(60, 5) + 2 * torch.diag(torch.linspace(0, 3, 60, dtype=torch.float64))
    constant = torch.ones(60, dtype=torch.float64)
    runs = [diag_squared(quadratic(h), 60, probe="gaussian", seed=s).sqrt() for s in range(40)]
    for measure in (cosine_distance, log_dispersion):
        found = [measure(d, constant) for d in runs]
        spread = torch.tensor([f.value for f in found]).std().item()
        assert 0.5 < found[0].stderr / spread < 2
        assert found[0].num_probes == 60


@pytest.mark.claim("C2")
@pytest.mark.parametrize("k", [20, 100])
def test_the_noise_floor_of_equilibration_is_a_quarter_of_one_over_k(k):
    h = symmetric(400, 9)
    truth = h.square().sum(1).sqrt()
    estimate = diag_squared(quadratic(h), k, probe="gaussian").sqrt()
    assert cosine_distance(estimate, truth).value == pytest.approx(1 / (4 * k), rel=0.15)
    assert noise_floor(estimate)["cosine"] == pytest.approx(1 / (4 * k), rel=0.15)
    assert noise_floor(estimate)["log_dispersion"] == pytest.approx(1 / math.sqrt(2 * k), rel=0.15)


@pytest.mark.claim("C2")
def test_jacobi_s_floor_is_far_larger():
    h = symmetric(400, 9)
    estimate = diag(quadratic(h), 100).abs()
    distance = cosine_distance(estimate, h.diagonal().abs()).value
    assert distance > 50 * (1 / 400)


@pytest.mark.claim("CAP")
def test_the_root_of_the_squared_diagonal_is_not_the_root_of_the_diagonal_of_the_square():
    h = symmetric(50, 2)
    as_printed, meant = h.diagonal().square().sqrt(), (h @ h).diagonal().sqrt()
    assert torch.equal(as_printed, h.diagonal().abs())  # Jacobi's
    assert torch.allclose(meant, h.square().sum(1).sqrt())  # equilibration's
    assert (meant > as_printed).all()
    assert compare(as_printed, meant).cosine.value > 0.1


def test_refusals():
    good = vector(1, 2)
    for bad, word in ((vector(1, 2, 3), "3 entries"), (torch.ones(2, 2), r"\(2, 2\)"), (3.0, "float")):
        with pytest.raises(ConfigError, match=word):
            cosine_distance(bad, good)
    with pytest.raises(ConfigError, match="zero vector"):
        cosine_distance(vector(0, 0), good)
    with pytest.raises(ConfigError, match="absolute value"):
        log_dispersion(vector(-1, 2), good)
    with pytest.raises(ConfigError, match="at least two entries"):
        log_dispersion(vector(1, 0), vector(2, 0))
    assert isinstance(cosine_distance(Estimate(good, good, 3), good), Estimate)
