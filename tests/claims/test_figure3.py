"""Figure 3: the exact Hessians, the recorded table, the comparison, and the small version that runs live."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from esgd.errors import ConfigError, DataError
from esgd.figures import fig1, fig2, fig3
from esgd.figures.fig3_measure import FIELDS, PAPER, SENSITIVITY, Setting, measure, plan, run
from esgd.theory.softmax_hessians import binary_hessian, network_hessian, random_problem, regression_hessian

RECORDED = Path(__file__).resolve().parents[2] / "results" / "fig3"
SMALL = Setting("network", hidden=6, inputs=3, classes=3, examples=80)


def draw(n=9, d=3, h=4, c=3):
    rng = np.random.default_rng(0)
    return (
        rng.standard_normal((n, d)), rng.integers(c, size=n), rng.standard_normal((h, d)), rng.standard_normal(h),
        rng.standard_normal((c, h)), rng.standard_normal(c),
    )  # fmt: skip


def test_the_networks_hessian_is_automatic_differentiations():
    x, y, w1, b1, w2, b2 = draw()
    (h, d), c = w1.shape, len(b2)
    X, Y = torch.tensor(x), torch.tensor(y)

    def logits(t):
        a, b, e = h * d, h * d + h, h * d + h + c * h
        return torch.sigmoid(X @ t[:a].view(h, d).T + t[a:b]) @ t[b:e].view(c, h).T + t[e:]

    theta = torch.tensor(np.concatenate([w1.ravel(), b1, w2.ravel(), b2]))
    loss = lambda t: torch.nn.functional.cross_entropy(logits(t), Y)  # noqa: E731
    H = torch.autograd.functional.hessian(loss, theta).numpy()
    mine = network_hessian(x, y, w1, b1, w2, b2)
    assert np.abs(mine.full - H).max() < 1e-15
    p = torch.softmax(logits(theta), 1)
    J = torch.autograd.functional.jacobian(logits, theta)
    gn = torch.einsum("nci,ncd,ndj->ij", J, torch.diag_embed(p) - p[:, :, None] * p[:, None, :], J) / len(x)
    assert np.abs(mine.gauss_newton - gn.numpy()).max() < 1e-15
    # the null directions, in the open: one constant for all classes, from each hidden unit and the bias
    shift = np.zeros((h + 1, len(theta)))
    for k in range(h):
        shift[k, h * d + h + k : h * d + h + c * h : h] = 1
    shift[h, -c:] = 1
    assert np.abs(shift @ mine.full).max() < 1e-15
    assert mine.null == np.linalg.matrix_rank(shift) == h + 1


def test_the_regressions_hessians_are_automatic_differentiations():
    x, y, _, _, _, b = draw()
    w = np.random.default_rng(1).standard_normal((3, 3))
    X, Y = torch.tensor(x), torch.tensor(y)
    loss = lambda t: torch.nn.functional.cross_entropy(X @ t[:9].view(3, 3).T + t[9:], Y)  # noqa: E731
    H = torch.autograd.functional.hessian(loss, torch.tensor(np.concatenate([w.ravel(), b]))).numpy()
    assert np.abs(regression_hessian(x, w, b).full - H).max() < 1e-15
    binary = lambda t: torch.nn.functional.binary_cross_entropy_with_logits(X @ t[:3] + t[3], (Y > 0).double())  # noqa: E731
    H = torch.autograd.functional.hessian(binary, torch.tensor([*w[0], 0.3])).numpy()
    assert np.abs(binary_hessian(x, w[0], 0.3).full - H).max() < 1e-15


@pytest.fixture(scope="module")
def rows():
    if not (RECORDED / "conditions.csv").exists():
        pytest.skip("results/fig3/conditions.csv is not recorded")
    return fig3.read_rows(RECORDED / "conditions.csv")


@pytest.mark.claim("F3")
def test_equilibration_wins_on_every_recorded_network(rows):
    found = fig3.reductions(rows, PAPER[0])
    for definition in ("eig", "sv"):
        jacobi, equil = found["H", "jacobi", definition], found["H", "equilibration", definition]
        assert equil.seeds == jacobi.seeds == tuple(range(100))
        assert (equil.ratio < jacobi.ratio).all()
        assert (equil.ratio < 1).all()  # and never harms
        assert np.median(jacobi.ratio / equil.ratio) > 3
        # the controls: without signs to cancel the gap shrinks, so the signs are a cause
        for control in ("gauss_newton", "absolute"):
            assert np.median(fig3.gap(found, control, definition)) > 1.5 * np.median(equil.ratio / jacobi.ratio)


@pytest.mark.claim("F3c")
def test_on_regressions_the_two_are_close(rows):
    for setting in PAPER[1:]:
        found = fig3.reductions(rows, setting)
        for definition in ("eig", "sv"):
            ratio = found["H", "jacobi", definition].ratio / found["H", "equilibration", definition].ratio
            assert len(ratio) == 100
            assert 0.85 < np.median(ratio) < 1.1


@pytest.mark.claim("F3c")
def test_the_softmax_regression_is_not_positive_definite():
    problem = random_problem("softmax", 0)
    values = np.linalg.eigvalsh(problem.full)
    assert (np.abs(values[: problem.null]) < 1e-15).all()  # the caption says positive-definite
    assert values[problem.null] > 1e-6
    assert np.linalg.eigvalsh(random_problem("binary", 0).full)[0] > 1e-6


@pytest.mark.claim("F3")
def test_the_null_directions_stand_far_below_the_rest(rows):
    mine = [r for r in rows if int(r["null"]) > 0]
    assert min(float(r["gap"]) for r in mine if r["hessian"] != "gauss_newton") > 1e6
    assert min(float(r["gap"]) for r in mine) > 100  # Gauss–Newton reaches lower, and is a control only
    record = json.loads((RECORDED / "manifest.json").read_text())
    assert {r["scale"] for r in record["runs"]} >= {"paper"}
    assert all(r["commit"] and r["command"] and r["ended"] for r in record["runs"])


@pytest.mark.claim("F3", "F3c")
@pytest.mark.parametrize(
    ("setting", "seed"),
    [
        pytest.param(PAPER[0], 41, id="network", marks=pytest.mark.slow),  # at full size, 1605 weights
        pytest.param(PAPER[0], 87, id="another network", marks=pytest.mark.slow),
        pytest.param(PAPER[1], 7, id="softmax"),
        pytest.param(PAPER[2], 7, id="binary"),
        *(pytest.param(s, 11, id=f"hidden {s.hidden}") for s in SENSITIVITY[:2]),
    ],
)
def test_a_recorded_problem_is_measured_again(rows, setting, seed):
    """Every number of one problem, on the spot: the Hessian, its null directions and all condition numbers."""
    again = {tuple(str(r[k]) for k in FIELDS[8:11]): r for r in measure(setting, seed, controls=False)}
    old = [r for r in rows if tuple(r[k] for k in FIELDS[:6]) == setting.key(seed) and r["hessian"] == "H"]
    assert len(old) == len(again) >= 6
    for row in old:
        new = again[tuple(row[k] for k in FIELDS[8:11])]
        assert float(row["kappa"]) == pytest.approx(float(str(new["kappa"])), rel=1e-5)
        assert (int(row["parameters"]), int(row["null"])) == (new["parameters"], new["null"])
        assert row["negative"] == new["negative"]


@pytest.mark.claim("F3")
def test_the_demo_shows_the_same():
    found = fig3.reductions(fig3.demo_rows(12), "network")
    assert np.median(found["H", "equilibration", "sv"].ratio) < np.median(found["H", "jacobi", "sv"].ratio)


def test_a_stopped_measurement_goes_on(tmp_path, monkeypatch):
    few = [(SMALL, s, True) for s in range(3)]
    monkeypatch.setattr("esgd.figures.fig3_measure.plan", lambda scale: iter(few[:1]))
    table = run(tmp_path, report=False)
    first = table.read_text()
    monkeypatch.setattr("esgd.figures.fig3_measure.plan", lambda scale: iter(few))
    run(tmp_path, report=False)
    whole = table.read_text()
    assert whole.startswith(first)
    run(tmp_path, report=False)
    assert table.read_text() == whole
    assert [r["problems"] for r in json.loads((tmp_path / "manifest.json").read_text())["runs"]] == [1, 2]
    table.write_text("a,b\n1,2\n")
    with pytest.raises(DataError, match="not a Figure 3 table"):
        run(tmp_path)


def test_bad_input_is_refused(tmp_path):
    with pytest.raises(DataError, match="make it with"):
        fig3.read_rows(tmp_path / "none.csv")
    with pytest.raises(ConfigError, match="scale must be one of paper"):
        list(plan("huge"))
    with pytest.raises(ConfigError, match="family"):
        random_problem("tree", 0)
    with pytest.raises(ConfigError, match="at least"):
        random_problem("network", 0, classes=1)
    with pytest.raises(ConfigError, match="steps"):
        fig2.mode_path(1.0, 0.1, 0)


def test_the_figures_are_complete():
    rows = [r for s in range(4) for setting in (SMALL, *PAPER[1:]) for r in measure(setting, s)]
    fig = fig3.figure(rows)
    menu = fig.layout.updatemenus[0].buttons
    assert len(menu) == 6  # two definitions × three matrices
    for button in menu:
        shown = [t for t, on in zip(fig.data, button.args[0]["visible"], strict=True) if on]
        assert {t.name for t in shown} >= {"Jacobi", "Equilibration"}
        assert all(sum(t.y) == 4 for t in shown)
    assert len(fig3.size_table(rows)) == 1
    assert len(fig1.figure().data) == 8
    assert len(fig1.figure(-4, 1).layout.sliders[0].steps) == 4
    still, noisy = fig2.figure().layout.updatemenus[0].buttons
    assert [not v for v in still.args[0]["visible"]] == list(noisy.args[0]["visible"])
