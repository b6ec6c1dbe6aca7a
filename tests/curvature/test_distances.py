"""Distances between preconditioners, and what the paper's cosine does not see."""

from __future__ import annotations

import itertools
import math
import pickle

import pytest
import torch
from curvature_cases import Net, quadratic, symmetric

from esgd.errors import ConfigError
from esgd.estimate import Estimate
from esgd.estimators import (
    compare,
    cosine_distance,
    diag,
    diag_squared,
    diagonals,
    log_dispersion,
    noise_floor,
)
from esgd.half_samples import Groups, half_sample_error


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


@pytest.fixture(scope="module")
def net():
    """A real net's Hessian, whose rows share a few large columns: their entries err together."""
    return quadratic(Net().dense())


def spread_and_claims(found):
    values = torch.tensor([f.value for f in found])
    return values.std().item(), torch.tensor([f.stderr for f in found]).square().mean().sqrt().item()


@pytest.mark.parametrize("measure", [cosine_distance, log_dispersion])
@pytest.mark.parametrize("probe", ["rademacher", "gaussian"])
@pytest.mark.parametrize("case", ["random matrix", "real net"])
def test_error_bars_are_those_of_repeated_measurements(measure, probe, case, net):
    h = symmetric(60, 5) + 2 * torch.diag(torch.linspace(0, 3, 60, dtype=torch.float64))
    operator = net if case == "real net" else quadratic(h)
    constant = torch.ones(operator.num_params, dtype=torch.float64)
    runs = [diagonals(operator, 60, probe=probe, seed=s) for s in range(60)]
    roots = [run.diag_squared.sqrt() for run in runs]
    alone = [measure(d, constant) for d in roots]
    joint = [measure(run.diag.abs(), d) for run, d in zip(runs, roots, strict=True)]
    apart = [measure(a, b) for a, b in itertools.pairwise(roots)]
    # the last is made of noise alone, and its error bar is wider than needed
    for found, low, high in ((alone, 0.75, 1.35), (joint, 0.6, 1.4), (apart, 0.9, 2.1)):
        spread, claimed = spread_and_claims(found)
        assert low < claimed / spread < high
        assert found[0].num_probes == 60


def test_an_error_bar_that_nothing_tells_is_infinite():
    u = Estimate(vector(1, 2), vector(0.1, 0.1), 50)
    for measure in (cosine_distance, log_dispersion):
        assert measure(u, vector(1, 1)).stderr == math.inf  # no groups of probes
        assert measure(vector(1, 2), vector(1, 1)).stderr == 0  # exact
        assert measure(diag_squared(quadratic(symmetric(5)), 2).sqrt(), torch.ones(5)).stderr == math.inf


def test_an_estimate_and_what_was_made_of_it_can_be_pickled(net):
    d = diag_squared(net, 20)
    for estimate in (d, d.sqrt(), d.sqrt().abs()):
        again = pickle.loads(pickle.dumps(estimate))
        assert torch.equal(again.value, estimate.value)
        assert cosine_distance(again, estimate.value).stderr == cosine_distance(estimate, estimate.value).stderr > 0


def test_one_estimate_against_itself_has_no_distance_and_no_error(net):
    d = diag_squared(net, 40).sqrt()
    assert cosine_distance(d, d).value == cosine_distance(d, d).stderr == 0
    # other counts: the sum of both sides' errors
    fewer, truth = diag_squared(net, 20, seed=1).sqrt(), torch.ones(98, dtype=torch.float64)
    both = cosine_distance(d, fewer).stderr
    assert both == pytest.approx(cosine_distance(d, fewer.value).stderr + cosine_distance(d.value, fewer).stderr)
    assert cosine_distance(d, truth).stderr == pytest.approx(cosine_distance(truth, d).stderr)


@pytest.mark.parametrize("count", [8, 16, 20, 32, 50])
def test_the_error_of_a_mean_is_its_standard_error(count):
    # for a linear statistic: exact for balanced groups, and on average for all
    samples = torch.randn(400, count, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    errors = []
    for run in samples:
        groups = Groups()
        for x in run:
            groups.add(x)
        errors.append(half_sample_error(lambda x: x.sum().item(), groups.snapshot()))
    expected = math.sqrt(3 / count)
    assert torch.tensor(errors).square().mean().sqrt().item() == pytest.approx(expected, rel=0.06)
    if count == 16:
        assert errors[0] == pytest.approx(samples[0].sum(1).std().item() / 4, rel=1e-10)


def test_groups_of_probes_are_bounded_and_keep_what_they_gave_out(monkeypatch):
    groups = Groups()
    samples = symmetric(50, 0)
    early = None
    for i, x in enumerate(samples):
        groups.add(x)
        early = groups.snapshot() if i == 9 else early
    assert len(groups.sums) <= 16
    assert sum(groups.counts) == 50
    assert torch.allclose(sum(groups.sums), samples.sum(0))
    assert torch.allclose(sum(early.sums), samples[:10].sum(0))
    mask = [True, False] * 5
    assert torch.allclose(early.then(torch.abs).of(mask), samples[:10:2].mean(0).abs())
    assert torch.allclose(early.then(torch.abs).then(torch.sqrt).of(mask), samples[:10:2].mean(0).abs().sqrt())
    with pytest.raises(ConfigError, match="even number"):
        Groups(5)
    monkeypatch.setattr("esgd.half_samples.GROUP_BYTES", 100)
    assert diag(quadratic(symmetric(5)), 4).groups is None


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
@pytest.mark.parametrize("probe", ["rademacher", "gaussian"])
def test_the_noise_floor_is_the_mean_distance_from_the_truth_also_on_a_real_net(net, probe):
    truth = net.to_dense().square().sum(1).sqrt()
    runs = [diag_squared(net, 100, probe=probe, seed=s).sqrt() for s in range(60)]
    for name, measure in (("cosine", cosine_distance), ("log_dispersion", log_dispersion)):
        found = sum(measure(u, truth).value for u in runs) / 60
        floor = sum(noise_floor(u)[name] for u in runs) / 60
        assert floor == pytest.approx(found, rel=0.2)


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
