"""Bad settings of every function of the curvature tools: refused before any product, with what was expected."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from curvature_cases import quadratic, symmetric
from refusals import refuses, refuses_setting

from esgd import estimators, spectrum
from esgd.dominance import DominanceSums
from esgd.errors import ConfigError, CurvatureError, EsgdError
from esgd.estimate import Estimate
from esgd.half_samples import Groups, half_sample_error
from esgd.lanczos import abs_products

ESTIMATORS = {
    name: getattr(estimators, name)
    for name in (
        "diag",
        "diag_squared",
        "frobenius_squared",
        "diagonals",
        "diag_abs",
        "dominance_squared",
        "dominance_plugin",
        "cross_diag_squared",
    )
}
BAD = {
    "count": (10.0, True, None, "a", math.nan, [3], torch.tensor(2.5)),
    "number": (None, "a", True, [1.0], 1j, torch.ones(2)),
    "seed": (None, "a", 1.5, True),
}


@pytest.fixture
def operator():
    """One that must not be used: it says so."""

    def products(*_, **__):
        raise AssertionError("a product was taken before the settings were looked at")

    made = quadratic(symmetric(6), symmetric(6, 1))
    made.products = made.batch_products = products
    return made


def start():
    return torch.ones(6, dtype=torch.float64)


def uses(name):
    """The functions that have a setting of that name, each taking an operator and the setting."""
    if name in ("num_probes", "seed", "probe"):
        return [*ESTIMATORS.values(), spectrum.spectral_density] + [spectrum.extreme_eigenpairs] * (name == "seed")
    if name == "probes_per_pass":
        shared = [f for key, f in ESTIMATORS.items() if key != "cross_diag_squared"]
        return [*shared, spectrum.spectral_density, lambda o, **k: o.matmat(start()[:, None], **k)]
    if name == "num_steps":
        return [
            estimators.diag_abs,
            spectrum.spectral_density,
            lambda o, **k: spectrum.lanczos(o, start(), **k),
            lambda o, **k: spectrum.abs_matvec(o, start(), **k),
        ]
    if name == "probes_per_pair":
        return [estimators.cross_diag_squared]
    return [spectrum.extreme_eigenpairs]  # k, subspace, max_products


COUNTS = ("num_probes", "probes_per_pass", "probes_per_pair", "num_steps", "k", "subspace", "max_products")
HAVE_A_DEFAULT = ("probes_per_pass", "subspace")  # None stands for it


@pytest.mark.parametrize("name", COUNTS)
def test_counts(operator, name):
    for function in uses(name):
        for value in BAD["count"]:
            if value is None and name in HAVE_A_DEFAULT:
                continue
            with refuses_setting(f"{name} must be a whole number of at least 1", f"got {value!r}"):
                function(operator, **{name: value})
        for value in (0, -1):
            with refuses_setting(f"{name} must be at least 1, got {value}"):
                function(operator, **{name: value})


def test_integers_of_other_libraries_are_counts():
    operator = quadratic(symmetric(6))
    expected = estimators.diag(operator, 4).value
    for count in (np.int64(4), torch.tensor(4)):
        assert torch.equal(estimators.diag(operator, count).value, expected)


def test_seeds(operator):
    for function in uses("seed"):
        for value in BAD["seed"]:
            with refuses_setting("seed must be a whole number", f"got {value!r}", "another number"):
                function(operator, seed=value)


def test_probes(operator):
    for function in uses("probe"):
        for value in ("uniform", None, ["rademacher"], 3):
            with refuses_setting("probe must be one of", "'rademacher'", f"got {value!r}"):
                function(operator, probe=value)


@pytest.mark.parametrize("name", ESTIMATORS)
def test_rtol(operator, name):
    for value in (0, -1.0, math.nan):
        with refuses_setting(f"rtol must be above 0, got {value}", "relative to the value"):
            ESTIMATORS[name](operator, rtol=value)
    for value in BAD["number"]:
        if value is not None:  # that is: do not stop
            with refuses_setting("rtol must be a number above 0", f"got {value!r}"):
                ESTIMATORS[name](operator, rtol=value)


@pytest.mark.parametrize("name", ["tol", "max_bytes"])
def test_sizes_of_the_eigenvalue_search(operator, name):
    for value in (0, -1, math.nan, *BAD["number"]):
        with refuses_setting(f"{name} must be", "above 0", "got"):
            spectrum.extreme_eigenpairs(operator, **{name: value})


def test_eigenpairs_that_there_are_not(operator):
    with refuses_setting("k must lie between 1 and 3, got 4"):
        spectrum.extreme_eigenpairs(operator, 4)
    with refuses_setting("k must lie between 1 and 6, got 7"):
        spectrum.extreme_eigenpairs(operator, 7, which="smallest")
    with refuses_setting("no two ends", "which='largest'"):
        spectrum.extreme_eigenpairs(torch.ones(1, 1))
    for value in ("top", None, [], 3):
        with refuses_setting("which must be one of largest", f"got {value!r}"):
            spectrum.extreme_eigenpairs(operator, which=value)


def test_one_probe_has_an_infinite_error_bar():
    operator = quadratic(symmetric(6))
    for name in ("diag", "diag_squared", "frobenius_squared", "diag_abs", "dominance_squared"):
        assert math.isinf(ESTIMATORS[name](operator, 1).relative_error)


STARTS = {
    "short": (torch.ones(5, dtype=torch.float64), "(6,)", "(5,)"),
    "float32": (torch.ones(6), "torch.float64", "v.to("),
    "elsewhere": (torch.ones(6, dtype=torch.float64, device="meta"), "on cpu", "on meta", "v.to('cpu')"),
    "nan": (torch.full((6,), math.nan, dtype=torch.float64), "v itself is not finite"),
    "two columns": (torch.ones(6, 2, dtype=torch.float64), "(6,)", "(6, 2)"),
    "numbers": ([1.0] * 6, "list of 2 tensors"),
    "nothing": (None, "list of 2 tensors", "a NoneType"),
}


@pytest.mark.parametrize("case", STARTS)
def test_starts(case):
    operator = quadratic(symmetric(6))
    start, *words = STARTS[case]
    for function in (spectrum.lanczos, spectrum.abs_matvec):
        with refuses(*words):
            function(operator, start, 3)
    with refuses(*words):
        abs_products(operator, [start], 3)


def test_starts_in_any_form():
    operator = quadratic(symmetric(6))
    expected = spectrum.lanczos(operator, start(), 3).matrix
    for form in (start().numpy(), start()[:, None], operator.space.unflatten(start())):
        assert torch.equal(spectrum.lanczos(operator, form, 3).matrix, expected)
    with refuses_setting("start that is not zero"):
        spectrum.lanczos(operator, 0 * start(), 3)


class TestDensity:
    density = spectrum.spectral_density(quadratic(symmetric(6)), 2, num_steps=3)

    def test_width_and_points(self):
        for value in (0, -1, math.nan, *BAD["number"]):
            with refuses_setting("width must be", "above 0", "a hundredth of the spectrum's range"):
                self.density.density(torch.zeros(2), value)
        for points, came in ((None, "NoneType"), ("a", "str"), (3.0, "shape ()"), (torch.zeros(2, 2), "(2, 2)")):
            with refuses_setting("points must be numbers, shape (p,)", came):
                self.density.density(points, 1.0)
        assert self.density.density([0.0, 1.0], torch.tensor(1.0)).value.shape == (2,)

    def test_thresholds(self, operator):
        for value in (math.nan, *BAD["number"]):
            with refuses_setting("threshold must be a number", "got"):
                self.density.count_below(value)
            with refuses_setting("threshold must be a number", "got"):
                spectrum.exact_negative_count(operator, value)
        with refuses_setting("max_params must be a number", "'a'"):
            spectrum.exact_negative_count(operator, max_params="a")

    def test_functions(self):
        with refuses("function must be a function", "torch.abs", "got NoneType"):
            self.density.trace(None)
        with refuses_setting("a tensor of shape (3,)", "shape ()"):
            self.density.trace(torch.sum)
        krylov = spectrum.lanczos(quadratic(symmetric(6)), start(), 3)
        with refuses("function must be a function", "got int"):
            krylov.apply(3)
        with refuses_setting("num_steps must be at least 1, got 0"):
            krylov.head(0)


VECTORS = {
    "list": ([1.0] * 6, "flat vector", "a list"),
    "nothing": (None, "flat vector", "a NoneType"),
    "matrix": (torch.ones(6, 1), "flat vector", "shape (6, 1)"),
    "empty": (torch.ones(0), "flat vector", "shape (0,)"),
    "estimate of a number": (Estimate(3.0, 0.1, 4), "flat vector", "a float"),
    "short": (torch.ones(5), "entries", "5", "same parameters' order"),
    "nan": (torch.tensor([math.nan, 1, 1, 1, 1, math.inf]), "2 of 6 entries", "not finite"),
    "complex": (torch.ones(6, dtype=torch.complex64), "must be real", "absolute value"),
    "elsewhere": (torch.ones(6, device="meta"), "on meta", ".to("),
}


class TestDistances:
    """Vectors that cannot be compared, on either side of each of the three functions."""

    u = estimators.diag_squared(quadratic(symmetric(6)), 8).sqrt()

    @pytest.mark.parametrize("case", VECTORS)
    def test_each(self, case):
        x, *words = VECTORS[case]
        for function in (estimators.cosine_distance, estimators.log_dispersion, estimators.compare):
            for pair in ((self.u, x), (x, self.u)):
                with pytest.raises(ConfigError) as caught:
                    function(*pair)
                assert all(word in str(caught.value) for word in words)

    def test_arrays_are_vectors(self):
        array = np.arange(1.0, 7.0)
        expected = estimators.cosine_distance(self.u, torch.arange(1.0, 7.0))
        assert estimators.cosine_distance(self.u, array).value == expected.value

    def test_a_floor_needs_error_bars(self):
        with refuses_setting("u must be an Estimate", "got Tensor"):
            estimators.noise_floor(self.u.value)

    def test_halves(self):
        with refuses_setting("groups of one estimate", "none", "estimate.groups"):
            half_sample_error(lambda: 0.0)
        with refuses_setting("groups of one estimate", "got NoneType"):
            half_sample_error(lambda x: 0.0, None)
        with refuses_setting("different counts of probes"):
            half_sample_error(lambda x, y: 0.0, self.u.groups, estimators.diag(symmetric(6), 4).groups)
        with refuses("statistic must be a function"):
            half_sample_error(0.0, self.u.groups)
        with refuses_setting("statistic must return a number", "tensor("):
            half_sample_error(lambda x: x, self.u.groups)


@pytest.mark.parametrize("sums", [Groups, DominanceSums])
def test_groups(sums):
    for value in BAD["count"]:
        with refuses_setting("max_groups must be a whole number", f"got {value!r}"):
            sums(value)
    for value in (2, 5):
        with refuses_setting("max_groups must be an even number of at least 4", f"got {value}"):
            sums(value)


def test_root_bias_and_truncation(operator):
    for value in (*BAD["count"], 0):
        with refuses_setting("num_probes must be", "at least 1"):
            estimators.root_bias(value)
    with refuses_setting("num_steps must be at least 2", "half of them", "got 1"):
        estimators.diag_abs(operator, num_steps=1)


def test_curvature_errors_are_runtime_errors_and_settings_are_value_errors():
    assert issubclass(CurvatureError, EsgdError)
    assert issubclass(CurvatureError, RuntimeError)
    assert issubclass(ConfigError, EsgdError)
    assert issubclass(ConfigError, ValueError)
