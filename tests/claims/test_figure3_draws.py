"""Figure 3 as a sample: how well its medians are known, and the same medians from other draws by another route."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

from esgd.figures import fig3
from esgd.figures.fig3_measure import DEMO, PAPER, SMALLER, Setting, measure
from esgd.hvp import hvp
from esgd.theory import equilibration_diagonal, jacobi_diagonal
from esgd.theory.softmax_hessians import network_hessian, random_problem

RECORDED = Path(__file__).resolve().parents[2] / "results" / "fig3"
NAMES = [(name, definition) for name in ("jacobi", "equilibration") for definition in ("eig", "sv")]


@pytest.fixture(scope="module")
def rows():
    return fig3.read_rows(RECORDED / "conditions.csv")


def other_draw(setting: Setting, seed: int) -> tuple[torch.Tensor, int]:
    """A random Hessian of the setting, by torch's generator and automatic differentiation, and its null space.

    A logit that every example shares is a direction in which the softmax is constant: the output layer has one a
    feature, which is counted here from the loss's own flatness at the drawn weights.
    """
    g = torch.Generator().manual_seed(seed)
    normal = lambda *shape: torch.randn(shape, generator=g, dtype=torch.float64)  # noqa: E731
    n, d, c, h = setting.examples, setting.inputs, setting.classes, setting.hidden
    x = normal(n, d)
    if setting.family == "binary":
        y = torch.randint(2, (n,), generator=g).double()
        theta, null = normal(d + 1), 0
        loss = lambda t: torch.nn.functional.softplus(x @ t[:d] + t[d]).mean() - (y * (x @ t[:d] + t[d])).mean()  # noqa: E731
    else:
        y = torch.randint(c, (n,), generator=g)
        sizes = [(d, c)] if setting.family == "softmax" else [(d, h), (h, c)]
        theta = normal(sum((a + 1) * b for a, b in sizes))
        null = sizes[-1][0] + 1

        def loss(t):
            out, at = x, 0
            for i, (a, b) in enumerate(sizes):
                out = torch.sigmoid(out) if i else out
                weight, at = t[at : at + (a + 1) * b].view(a + 1, b), at + (a + 1) * b
                out = out @ weight[:-1] + weight[-1]
            return (torch.logsumexp(out, 1) - out.gather(1, y[:, None]).squeeze(1)).mean()

    leaf = theta.requires_grad_()
    (slope,) = torch.autograd.grad(loss(leaf), leaf, create_graph=True)
    blocks = torch.eye(len(theta), dtype=torch.float64).split(50)
    rows = [torch.autograd.grad(slope, leaf, e, retain_graph=True, is_grads_batched=True)[0] for e in blocks]
    return torch.cat(rows), null


def log_kappa(values: torch.Tensor, null: int) -> float:
    kept = values.abs().sort().values[null:]
    return (kept[-1] / kept[0]).log().item()


def logs_of(H: torch.Tensor, null: int) -> np.ndarray:
    """log(κ after ÷ κ before), shape (4,), by torch's own decompositions."""
    line = []
    for D in (H.diagonal().abs(), (H @ H).diagonal().sqrt()):
        two_sided, left = torch.diag(D**-0.5) @ H @ torch.diag(D**-0.5), torch.diag(1 / D) @ H
        line += [log_kappa(torch.linalg.eigvalsh(two_sided), null), log_kappa(torch.linalg.svdvals(left), null)]
    return np.array(line) - log_kappa(torch.linalg.eigvalsh(H), null)


def other_logs(setting: Setting, seeds) -> np.ndarray:
    """The same of other draws, shape (draws, 4)."""
    return np.array([logs_of(*other_draw(setting, seed)) for seed in seeds])


def same_medians(mine: np.ndarray, others: np.ndarray) -> None:
    """Two samples of logs, shape (draws, 4): medians apart by no more than chance, 99 % a column (bootstrap)."""
    rng = np.random.default_rng(0)
    errors = [
        np.median(mine[rng.integers(len(mine), size=(2000, len(sample)))], axis=1).std(0)
        for sample in (mine, others)
    ]
    apart = np.abs(np.median(mine, 0) - np.median(others, 0))
    assert (apart < 2.6 * np.hypot(*errors)).all(), apart / np.hypot(*errors)


def recorded_logs(rows, setting: Setting) -> np.ndarray:
    found = fig3.reductions(rows, setting)
    return np.stack([np.log(found["H", *name].ratio) for name in NAMES], axis=1)


@pytest.mark.claim("F3", "F3c")
@pytest.mark.parametrize(
    ("setting", "draws"),
    [
        pytest.param(PAPER[1], 30, id="softmax"),
        pytest.param(PAPER[2], 60, id="binary"),
        pytest.param(PAPER[0], 40, id="network", marks=pytest.mark.slow),  # tens of seconds each
    ],
)
def test_the_recorded_medians_are_those_of_other_draws(rows, setting, draws):
    same_medians(recorded_logs(rows, setting), other_logs(setting, range(draws)))


@pytest.mark.claim("F3")
def test_a_full_sized_network_has_the_hessian_of_automatic_differentiation():
    """At the same weights: the slow comparison of medians above has then only the draws to judge."""
    setting = PAPER[0]
    n, d, c, h = setting.examples, setting.inputs, setting.classes, setting.hidden
    rng = np.random.default_rng(5)
    x, labels = rng.standard_normal((n, d)), rng.integers(c, size=n)
    weights = [rng.standard_normal(shape) for shape in ((h, d), h, (c, h), c)]
    H = torch.from_numpy(network_hessian(x, labels, *weights).full)
    leaves = [torch.from_numpy(w).requires_grad_() for w in weights]
    v = torch.from_numpy(rng.standard_normal((len(H), 4)))
    for column in v.T:
        logits = torch.sigmoid(torch.from_numpy(x) @ leaves[0].T + leaves[1]) @ leaves[2].T + leaves[3]
        parts = column.split([w.numel() for w in leaves])
        product = hvp(
            torch.nn.functional.cross_entropy(logits, torch.from_numpy(labels)),
            leaves,
            [part.view(w.shape) for part, w in zip(parts, leaves, strict=True)],
        )
        assert torch.allclose(torch.cat([p.flatten() for p in product]), H @ column, rtol=1e-11, atol=1e-12)


@pytest.mark.claim("F3")
def test_recorded_networks_come_out_by_other_decompositions(rows):
    sizes = {k: v for k, v in asdict(PAPER[0]).items() if k != "family"}
    problem = random_problem("network", 0, **sizes)
    found = logs_of(torch.from_numpy(problem.full), problem.null)
    assert found == pytest.approx(recorded_logs(rows, PAPER[0])[0], abs=1e-6)


@pytest.mark.claim("F3")
def test_small_networks_have_the_medians_of_other_draws():
    mine = [row for seed in range(80) for row in measure(DEMO[0], seed, controls=False)]
    same_medians(recorded_logs(mine, DEMO[0]), other_logs(DEMO[0], range(80)))


def test_the_comparison_sees_another_setting(rows):
    """Regressions with a sixteenth of the examples are told from the recorded ones."""
    others = other_logs(Setting("softmax", hidden=0, examples=60), range(20))
    with pytest.raises(AssertionError):
        same_medians(recorded_logs(rows, PAPER[1]), others)


@pytest.mark.claim("F3")
def test_the_gap_on_the_hessian_grows_with_the_network_and_in_the_controls_does_not(rows):
    small, full = (fig3.reductions(rows, setting) for setting in (SMALLER[0], PAPER[0]))
    for definition in ("eig", "sv"):
        growth = {
            hessian: np.median(fig3.gap(small, hessian, definition))
            / np.median(fig3.gap(full, hessian, definition))
            for hessian in ("H", "gauss_newton", "absolute")
        }
        assert growth["H"] > 1.3
        assert max(growth["gauss_newton"], growth["absolute"]) < 1.2


@pytest.mark.claim("F3")
def test_the_gap_hangs_on_the_entry_that_cancels_most():
    """By singular values, networks rank by the smallest D_J / D_E almost as by equilibration ÷ Jacobi."""
    sizes = {"hidden": 12, "inputs": 4, "classes": 3, "examples": 300}
    rows = [row for seed in range(40) for row in measure(Setting("network", **sizes), seed, controls=False)]
    gaps, entries = fig3.gap(fig3.reductions(rows, "network"), "H", "sv"), []
    for seed in range(40):
        H = random_problem("network", seed, **sizes).full
        entries.append((jacobi_diagonal(H) / equilibration_diagonal(H)).min())
    assert spearmanr(gaps, entries).statistic > 0.9


def test_the_median_of_few_draws_is_known_as_well_as_theory_says():
    """A normal sample's median has the standard error √(π/2)/√n."""
    values = np.random.default_rng(0).standard_normal(1500)
    for draws in (25, 100):
        low, high = fig3.median_interval(values, draws)
        assert (high - low) / 2 == pytest.approx(1.645 * np.sqrt(np.pi / 2 / draws), rel=0.1)
        assert low < 0 < high
    assert fig3.median_interval(values[:40]) == fig3.median_interval(values[:40], 40)
    assert np.diff(fig3.median_interval(values, 25, level=0.5)) < np.diff(fig3.median_interval(values, 25))


@pytest.mark.claim("F3")
def test_ten_networks_are_too_few_to_compare_gaps_on_the_hessian(rows):
    """From network to network the gap on H varies by decades, in the controls by little: so count the draws."""
    found = fig3.reductions(rows, PAPER[0])
    for definition in ("eig", "sv"):
        for hessian in ("H", "gauss_newton", "absolute"):
            low, high = fig3.median_interval(fig3.gap(found, hessian, definition), 10)
            assert high / low > 3 if hessian == "H" else high / low < 1.5
