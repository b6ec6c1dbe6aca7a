"""Error bars that hold, stops that stop, and the dominance without the plug-in's bias."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch
from curvature_cases import Net, quadratic, rademacher_table, relative, symmetric

from esgd.errors import ConfigError, CurvatureError
from esgd.estimate import Estimate, RunningMoments
from esgd.estimators import (
    DominanceSums,
    cross_diag_squared,
    diag,
    diag_abs,
    diag_squared,
    diagonals,
    dominance_plugin,
    dominance_squared,
    frobenius_squared,
)
from esgd.hvp import HessianOperator
from esgd.probes import draw

H = symmetric(40, 11)
ROW, DIAGONAL = (H**2).sum(1), H.diagonal()


def scores(estimate, truth):
    """How many standard errors each entry is off."""
    return (torch.as_tensor(estimate.value) - truth) / torch.as_tensor(estimate.stderr)


class TestErrorBars:
    @pytest.mark.parametrize("probe", ["rademacher", "gaussian"])
    def test_cover_the_truth(self, probe):
        found = diagonals(quadratic(H), 400, probe=probe, seed=5)
        for estimate, truth in ((found.diag, DIAGONAL), (found.diag_squared, ROW)):
            z = scores(estimate, truth)
            assert 0.7 < z.std() < 1.3
            assert z.abs().max() < 4.5
        assert abs(scores(found.frobenius_squared, ROW.sum())) < 4

    @pytest.mark.parametrize("probe", ["rademacher", "gaussian"])
    def test_shrink_with_the_root_of_the_probes(self, probe):
        few, many = (diag_squared(quadratic(H), k, probe=probe) for k in (100, 1600))
        assert few.stderr.mean() / many.stderr.mean() == pytest.approx(4, rel=0.15)

    def test_are_infinite_after_one_probe(self):
        one = diag(quadratic(H), 1)
        assert one.num_probes == 1
        assert torch.isinf(one.stderr).all()
        assert one.relative_error == math.inf

    def test_have_the_right_size_for_the_dominance_too(self):
        h = symmetric(30, 2) + 3 * torch.eye(30, dtype=torch.float64)
        truth = ((h.diagonal() ** 2).sum() / (h**2).sum()).item()
        found = [dominance_squared(quadratic(h), 48, seed=s) for s in range(60)]
        spread = torch.tensor([e.value for e in found]).std().item()
        claimed = sum(e.stderr for e in found) / len(found)
        assert 0.7 < claimed / spread < 1.5
        assert abs(sum(e.value for e in found) / 60 - truth) < 4 * spread / math.sqrt(60)


class TestRtol:
    def test_stops_when_the_error_bar_is_small_enough(self):
        estimate = diag_squared(quadratic(H), 100_000, rtol=0.1, probes_per_pass=16)
        assert estimate.relative_error <= 0.1
        assert estimate.num_probes < 1000
        assert estimate.num_probes % 16 == 0
        shorter = diag_squared(quadratic(H), estimate.num_probes - 16, probes_per_pass=16)
        assert shorter.relative_error > 0.1

    @pytest.mark.parametrize(
        "estimator", [diag, diag_squared, frobenius_squared, dominance_squared, dominance_plugin]
    )
    def test_is_known_to_all(self, estimator):
        h = symmetric(10, 1) + 4 * torch.eye(10, dtype=torch.float64)
        estimate = estimator(quadratic(h), 5000, rtol=0.2)
        assert estimate.num_probes < 5000
        assert estimate.relative_error <= 0.2

    def test_of_the_estimators_with_their_own_loops(self):
        h = symmetric(10, 1) + 4 * torch.eye(10, dtype=torch.float64)
        assert cross_diag_squared(quadratic(h, h), 5000, rtol=0.3).num_probes < 5000
        assert diag_abs(quadratic(h), 500, num_steps=10, rtol=0.2).num_probes < 500

    @pytest.mark.parametrize("rtol", [0, -1.0, math.nan])
    def test_must_be_positive(self, rtol):
        with pytest.raises(ConfigError, match="rtol must be above 0"):
            diag(quadratic(H), 20, rtol=rtol)


class TestEstimate:
    def test_is_frozen(self):
        estimate = Estimate(1.0, 0.1, 3)
        with pytest.raises(dataclasses.FrozenInstanceError):
            estimate.value = 2.0
        assert repr(estimate) == "Estimate(1 ± 0.1, num_probes=3)"

    def test_root_and_absolute_value(self):
        estimate = Estimate(torch.tensor([4.0, 0.0, -1.0]), torch.tensor([0.4, 0.25, 0.04]), 5)
        root = estimate.sqrt()
        assert root.value.tolist() == [2.0, 0.0, 0.0]
        assert torch.allclose(root.stderr, torch.tensor([0.1, 0.5, 0.2]))
        assert Estimate(-2.0, 0.1, 5).abs().value == 2.0
        assert Estimate(9.0, 0.6, 5).sqrt().value == 3.0
        assert Estimate(9.0, 0.6, 5).sqrt().stderr == pytest.approx(0.1)
        assert "(3,) entries" in repr(estimate)

    def test_running_moments_are_the_moments_also_far_from_zero(self):
        samples = torch.randn(50, 3, dtype=torch.float64) + 1e8
        moments = RunningMoments((3,))
        for x in samples:
            moments.add(x)
        assert torch.allclose(moments.mean, samples.mean(0), rtol=1e-15)
        assert torch.allclose(moments.variance(), samples.var(0), rtol=1e-6)
        again = RunningMoments.from_state(moments.state())
        again.add(samples[0])
        assert again.count == 51

    def test_settings_are_checked(self):
        operator = quadratic(H)
        for bad in ({"num_probes": 0}, {"probes_per_pass": 0}):
            with pytest.raises(ConfigError, match="at least 1"):
                diag(operator, **bad)
        with pytest.raises(ConfigError, match=r"'gaussian', 'low_rank', 'rademacher'.*'uniform'"):
            diag(operator, probe="uniform")


def test_the_seed_decides_and_how_probes_share_passes_does_not():
    operator = quadratic(H, symmetric(40, 12))
    a, b, c = diag(operator, 20, seed=1), diag(operator, 20, seed=1, probes_per_pass=3), diag(operator, 20, seed=2)
    assert relative(a.value, b.value) < 1e-14
    assert relative(a.value, c.value) > 0.01


def test_the_joint_measurement_equals_the_single_ones():
    operator = quadratic(H)
    found = diagonals(operator, 30, seed=3)
    assert torch.equal(found.diag.value, diag(operator, 30, seed=3).value)
    assert torch.equal(found.diag_squared.stderr, diag_squared(operator, 30, seed=3).stderr)
    assert found.frobenius_squared.value == frobenius_squared(operator, 30, seed=3).value
    assert found.dominance_squared.value == dominance_squared(operator, 30, seed=3).value
    assert found.dominance_plugin.value == dominance_plugin(operator, 30, seed=3).value


class TestDominance:
    def brute_force(self, z, energies):
        k = len(z)
        pairs = sum(z[i] @ z[j] for i in range(k) for j in range(k) if i != j) / (k * (k - 1))
        return (pairs / energies.mean()).item(), (z.mean(0).square().sum() / energies.mean()).sqrt().item()

    @pytest.mark.claim("E6")
    @pytest.mark.parametrize("k", [2, 5, 16, 17, 100])
    def test_sums_equal_the_double_loop(self, k):
        v = torch.sign(torch.randn(k, 40, dtype=torch.float64, generator=torch.Generator().manual_seed(k)))
        products = v @ H
        sums = DominanceSums()
        for x, h in zip(v, products, strict=True):
            sums.add(x * h, (h @ h).item())
        expected, plugin = self.brute_force(v * products, products.square().sum(1))
        assert sums.count == k
        assert sums.squared().value == pytest.approx(expected, rel=1e-10, abs=1e-13)
        assert sums.plugin().value == pytest.approx(plugin, rel=1e-10)
        assert len(sums.sums) <= sums.max_groups
        copy = DominanceSums.from_state(sums.state())
        assert copy.squared() is not None
        assert copy.squared().stderr == sums.squared().stderr

    @pytest.mark.claim("E6")
    def test_all_pairs_of_probes_give_the_energy_of_the_diagonal(self):
        h = symmetric(4, 7)
        own, all_of_it = (h.diagonal() ** 2).sum().item(), (h**2).sum().item()
        table = rademacher_table(4)

        def sums_of(*probes):
            sums = DominanceSums()
            for v in probes:
                sums.add(v * (h @ v), (h @ v).square().sum().item())
            return sums, sum(t[2] for t in sums.tallies) / sums.count  # and the mean of ‖Hv‖²

        # two independent probes: every ordered pair, equal ones included; the numerator alone has the mean own
        pairs = [sums_of(v, w) for v in table for w in table]
        assert sum(s.squared().value * energy for s, energy in pairs) / len(pairs) == pytest.approx(own, rel=1e-10)
        # the plug-in squares the mean of k probes: it adds the energy off the diagonal, divided by k
        ones = [sums_of(v) for v in table]
        plugin = [sum(s.plugin().value ** 2 * e for s, e in found) / len(found) for found in (ones, pairs)]
        off = all_of_it - own
        assert plugin == pytest.approx([own + off, own + off / 2], rel=1e-10)

    @pytest.mark.claim("E6")
    def test_a_zero_diagonal_reads_zero_where_the_plug_in_reads_ten_percent(self):
        h = symmetric(300, 4)
        h.fill_diagonal_(0)
        found = [diagonals(quadratic(h), 100, seed=s) for s in range(5)]
        for one in found:
            assert abs(one.dominance_squared.value) < 3 * one.dominance_squared.stderr
            assert one.dominance_squared.stderr < 3e-3
            assert one.dominance_plugin.value == pytest.approx(0.1, abs=0.02)
        assert sum(one.dominance_plugin.value for one in found) / 5 == pytest.approx(0.1, abs=0.008)
        assert min(one.dominance_squared.value for one in found) < 0  # negatives are allowed, and come

    @pytest.mark.claim("E6")
    def test_the_root_of_a_noisy_zero_reads_a_percent(self):
        h = symmetric(300, 4)
        h.fill_diagonal_(0)
        roots = [math.sqrt(max(0.0, dominance_squared(quadratic(h), 100, seed=s).value)) for s in range(20)]
        assert 0.004 < sum(roots) / 20 < 0.03

    def test_of_a_diagonal_matrix_is_one_without_error(self):
        found = diagonals(quadratic(torch.diag(torch.arange(1.0, 9.0, dtype=torch.float64))), 8)
        assert found.dominance_squared.value == pytest.approx(1)
        assert found.dominance_squared.stderr < 1e-12
        assert found.dominance_plugin.value == pytest.approx(1)

    def test_of_a_zero_matrix_is_undefined(self):
        assert math.isnan(dominance_squared(quadratic(torch.zeros(4, 4, dtype=torch.float64)), 4).value)

    def test_of_a_single_probe_is_undefined(self):
        one = dominance_squared(quadratic(H), 1)
        assert not math.isfinite(one.value)
        assert one.stderr == math.inf

    @pytest.mark.parametrize("groups", [2, 5])
    def test_groups_must_be_even(self, groups):
        with pytest.raises(ConfigError, match="even number of at least 4"):
            DominanceSums(groups)

    @pytest.mark.claim("E6b")
    def test_entries_of_one_size_have_dominance_one_over_root_n(self):
        # symmetric matrices with all entries of one variance: d² = 1/N, so d is a tenth of a percent at a million
        for n in (50, 200):
            a = torch.randn(n, n, dtype=torch.float64, generator=torch.Generator().manual_seed(n))
            h = torch.triu(a) + torch.triu(a, 1).T
            d2 = dominance_squared(quadratic(h), 400)
            assert abs(d2.value - 1 / n) < 4 * d2.stderr
            assert d2.stderr < 0.3 / n


class TestCrossBatch:
    def pieces(self):
        return [symmetric(10, 0) + 2 * symmetric(10, 60 + i) for i in range(12)]

    @pytest.mark.claim("MB", "MBx")
    def test_is_free_of_the_bias_that_one_batch_has(self):
        pieces = self.pieces()
        truth = (torch.stack(pieces).mean(0) ** 2).sum(1)
        cross = cross_diag_squared(quadratic(*pieces), 2000, probes_per_pair=2, seed=1)
        z = scores(cross, truth)
        assert z.abs().max() < 4
        one_batch = torch.stack([(p**2).sum(1) for p in pieces]).mean(0)
        assert ((one_batch - truth) / cross.stderr).min() > 3.5

    def test_weighs_batches_by_their_examples(self):
        a, b = symmetric(6, 0), symmetric(6, 1)
        truth = (((a + 3 * b) / 4) ** 2).sum(1)
        z = scores(cross_diag_squared(quadratic(a, b, sizes=(1, 3)), 1600, probes_per_pair=4), truth)
        assert z.abs().max() < 4

    def test_counts_probes_and_checks_its_settings(self):
        operator = quadratic(*self.pieces())
        assert cross_diag_squared(operator, 10, probes_per_pair=5).num_probes == 10
        with pytest.raises(ConfigError, match="probes_per_pair must be at least 1"):
            cross_diag_squared(operator, 10, probes_per_pair=0)
        with pytest.raises(CurvatureError, match=r"at least two batches.*smaller"):
            cross_diag_squared(quadratic(H), 10)

    def test_batches_that_cannot_be_indexed(self):
        from torch.utils.data import DataLoader

        net = torch.nn.Linear(2, 1)
        operator = HessianOperator(lambda b: net(b).mean(), net.parameters(), DataLoader(torch.ones(4, 2)))
        with pytest.raises(CurvatureError, match=r"DataLoader cannot be indexed.*list\(loader\)"):
            cross_diag_squared(operator, 10)


class TestDiagAbs:
    @pytest.mark.claim("S4", "ORD")
    def test_agrees_with_the_eigendecomposition_and_lies_between_jacobi_and_equilibration(self):
        case = Net()
        dense = case.dense()
        values, vectors = torch.linalg.eigh(dense)
        truth = (vectors * values.abs()) @ vectors.T
        estimate = diag_abs(quadratic(dense), 60, num_steps=98, probes_per_pass=60)
        assert scores(estimate, truth.diagonal()).abs().max() < 4.5
        exact = truth.diagonal()
        assert (dense.diagonal().abs() <= exact + 1e-12).all()
        assert (exact <= dense.square().sum(1).sqrt() + 1e-12).all()

    @pytest.mark.parametrize("num_steps", [6, 12, 24])
    def test_the_truncation_figure_is_about_the_error_of_the_krylov_space(self, num_steps):
        dense = Net().dense()
        values, vectors = torch.linalg.eigh(dense)
        absolute = (vectors * values.abs()) @ vectors.T
        operator = quadratic(dense)
        estimate = diag_abs(operator, 200, num_steps=num_steps, probes_per_pass=50)
        # the truth from the same probes: what is left is the Krylov space's doing
        same = torch.stack([operator.space.flatten(draw("rademacher", operator.params, 0, i)) for i in range(200)])
        left = (estimate.value - (same * (same @ absolute)).mean(0)).norm() / estimate.value.norm()
        assert 0.5 < estimate.relative_truncation / left < 20
        assert estimate.truncation.num_probes == estimate.num_probes == 200

    def test_more_probes_lower_the_error_bar_and_not_the_truncation(self):
        operator = quadratic(Net().dense())
        few, many = (diag_abs(operator, k, num_steps=6, probes_per_pass=50) for k in (50, 800))
        assert many.relative_error < few.relative_error / 2.5
        assert many.relative_truncation > few.relative_truncation / 2.5
        deep = diag_abs(operator, 50, num_steps=60, probes_per_pass=50)
        assert deep.relative_truncation < few.relative_truncation / 3

    def test_there_is_nothing_to_compare_one_step_with(self):
        with pytest.raises(ConfigError, match="num_steps must be at least 2"):
            diag_abs(quadratic(H), 4, num_steps=1)


def test_a_real_net_s_diagonals_within_their_error_bars():
    case = Net()
    dense = case.dense()
    found = diagonals(case.operator(), 200)
    assert scores(found.diag, dense.diagonal()).abs().max() < 4.5
    assert scores(found.diag_squared, dense.square().sum(1)).abs().max() < 4.5
    gauss = diag(case.gauss_newton(), 200)
    assert scores(gauss, case.dense_gauss_newton().diagonal()).abs().max() < 4.5
