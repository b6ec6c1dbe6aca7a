"""Two views after Distill's article on momentum: position and velocity, and the loss that noise adds on average."""

from __future__ import annotations

from itertools import combinations, product
from typing import Any

import numpy as np
import pytest
from lab_tools import drawn
from landscapes import rotated

REGIMES = """(core, scenes, [grid, form]) => grid.map(([lr, h, beta]) => {
  const regime = core.regimeOf(lr, h, beta, core[form]);
  return { ...regime, words: core.regimeWords(regime) }; })"""
WORDS = {
    "over": "over-damped",
    "under": "under-damped",
    "critical": "critically damped",
    "leaving": "always leaves",
}


FORMS = {  # the polynomial of one mode: of (x, buffer), without its leading 1
    "heavyBall": lambda lr, h, beta: (-(1 + beta - lr * h), beta),
    "nesterov": lambda lr, h, beta: (-(1 + beta) * (1 - lr * h), beta * (1 - lr * h)),
}


def regime_by_roots(form: str, lr: float, h: float, beta: float) -> tuple[str, float, bool]:
    roots = np.roots([1, *FORMS[form](lr, h, beta)])
    if len(roots) < 2:
        roots = np.append(roots, np.zeros(2 - len(roots)))
    size = float(np.abs(roots).max())
    apart = abs(roots[0] - roots[1])
    leading = roots[np.abs(roots).argmax()]
    flips = bool(leading.real < -1e-12 and (np.isreal(roots).all() or apart < 0.02))
    if h < 0:
        return "leaving", size, flips
    if size > 1:
        return "diverging", size, flips
    if apart <= 0.02:
        return "critical", size, flips
    return ("over" if np.isreal(roots).all() else "under"), size, flips


@pytest.mark.parametrize("form", list(FORMS))
def test_regimes_are_those_of_the_roots(evaluate, form: str) -> None:
    beta, h, lr = (0, 0.13, 0.5, 0.9, 0.99), (-4, -0.3, -0.05, 0.011, 0.2, 1.07, 4), np.geomspace(1e-3, 9.7, 23)
    grid = [(float(r), c, b) for r, c, b in product(lr, h, beta)]
    double = {"heavyBall": lambda b: (1 - b**0.5) ** 2, "nesterov": lambda b: 1 - 4 * b / (1 + b) ** 2}[form]
    grid += [(double(b) / c, c, b) for c, b in product((0.3, 2.1), (0.2, 0.6, 0.95))]  # a double root
    grid += [((1 + b**0.5) ** 2 / c, c, b) for c, b in product((0.3, 2.1), (0.2, 0.6))]  # and a negative one
    seen = set()
    for case, found in zip(grid, evaluate(REGIMES, [grid, form]), strict=True):
        kind, size, flips = regime_by_roots(form, *case)
        assert found["kind"] == kind, case
        assert found["radius"] == pytest.approx(size, rel=1e-6, abs=1e-9), case
        assert found["flips"] == flips, case
        assert found["words"].startswith(WORDS.get(kind, kind)), case
        assert ("sign flips" in found["words"]) == flips
        assert (size > 1) == (kind in ("leaving", "diverging"))
        seen.add((kind, flips))
    both = {(kind, flips) for kind in ("over", "critical") for flips in (True, False)}
    if form == "nesterov":  # a negative determinant keeps the roots apart where the error flips
        both.discard(("critical", True))
        seen.discard(("critical", True))
    others = {("under", False), ("leaving", False), ("diverging", True)}  # upwards a root leaves through −1 alone
    assert seen == both | others
    at_edge = {"heavyBall": 3.0, "nesterov": 1.5}[form]
    edge, flat = evaluate(
        REGIMES, [[(at_edge, 1.0, 0.5), (0.1, 0.0, 0.5)], form]
    )  # |z| = 1: neither shrinks nor grows
    assert (edge["kind"], flat["kind"]) == ("edge", "flat")
    assert "×" not in edge["words"] + flat["words"]


@pytest.mark.parametrize("method", ["sgd", "momentum", "adam"])
@pytest.mark.parametrize("second", [0.3, -0.4])
def test_points_are_the_differences_of_the_run(evaluate, method: str, second: float) -> None:
    found = evaluate(
        """(core, scenes, state) => {
          const S = core.makeState({}, state); const run = core.trajectory(state.methods, S);
          const modes = core.modesOf(core.landscapeOf(S).quadratic);
          return { run: run.points, modes, points: modes.map((mode) => core.phasePoints(run, mode)) }; }""",
        {"eig1": 1.4, "eig2": second, "angle": 25, "x0": 1.1, "y0": -0.7, "methods": method, "noise": 0.1},
    )
    run = np.array(found["run"])
    _, vectors = np.linalg.eigh(rotated(1.4, second, 25).numpy())
    for mode, points, axis in zip(found["modes"], found["points"], vectors.T[::-1], strict=True):
        sign = np.sign(axis @ np.array(mode["axis"]))
        along = sign * run @ axis
        assert np.array(points)[:, 0] == pytest.approx(along, rel=1e-12, abs=1e-12)
        assert np.array(points)[:, 1] == pytest.approx(np.diff(along, prepend=along[0]), rel=1e-9, abs=1e-12)


EXPECTED = """(core, scenes, [state, seeds]) => {
  const S = core.makeState({}, state); const land = core.landscapeOf(S); const method = S.methods[0];
  const sum = new Array(S.steps + 1).fill(0); const squares = sum.slice();
  for (let seed = 0; seed < seeds; seed += 1) {
    core.trajectory(method, { ...S, seed }).losses.forEach((f, t) => { sum[t] += f; squares[t] += f * f; });
  }
  const quiet = core.trajectory(method, { ...S, noise: 0 });
  return { sum, squares, quiet: quiet.losses, ...core.expectedLoss(method, S, land),
    verdict: core.noiseVerdict(method, S, land) }; }"""
MODES = {"valley": {"eig1": 1.2, "eig2": 0.25}, "saddle": {"eig1": 1, "eig2": -0.15}}
COMMON = {"angle": 30, "x0": 1.2, "y0": -0.8, "steps": 40, "noise": 0.3, "momentum": 0.7}


@pytest.mark.parametrize("method", ["sgd", "momentum", "nesterov"])
@pytest.mark.parametrize("shape", ["I", "H", "H2", "tilted"])
@pytest.mark.parametrize("kind", ["valley", "saddle"])
def test_expected_loss_is_the_mean_of_noisy_runs(evaluate, method: str, shape: str, kind: str) -> None:
    n = 3000
    state = {
        **COMMON,
        **MODES[kind],
        "methods": method,
        "noise_shape": shape,
        "lr_sgd": 0.5,
        "lr_momentum": 0.4,
        "lr_nesterov": 0.3,
    }
    found = evaluate(EXPECTED, [state, n])
    mean = np.array(found["sum"]) / n
    error = np.sqrt((np.array(found["squares"]) / n - mean**2) / (n - 1))
    expected = np.array(found["start"]) + np.array(found["noise"])
    for step in (1, 2, 5, 12, 25, 40):
        assert abs(mean[step] - expected[step]) < 4 * error[step], (step, mean[step], expected[step], error[step])
        assert error[step] < 0.1 * abs(expected[step]) + 0.02, "the test would tell nothing"
    assert found["start"] == pytest.approx(found["quiet"], rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("method", ["sgd", "momentum", "nesterov"])
@pytest.mark.parametrize("lr", [0.05, 1.0, 2.6, 6.0])
def test_part_from_the_start_is_the_run_without_noise(evaluate, method: str, lr: float) -> None:
    for modes in (*MODES.values(), {"landscape": "bowl", "kappa": 300}):
        state = {**COMMON, **modes, "methods": method, f"lr_{method}": lr, "steps": 12}
        found = evaluate(EXPECTED, [state, 0])
        shared = len(found["quiet"])  # a run that diverges is cut off
        assert found["start"][:shared] == pytest.approx(found["quiet"], rel=1e-9, abs=1e-9)


FLOOR = """(core, scenes, state) => {
  const S = core.makeState({}, state); const land = core.landscapeOf(S); const [method] = S.methods;
  return { floor: core.noiseFloor(method, S, land), late: core.expectedLoss(method, S, land, 4000).noise.at(-1),
  }; }"""


@pytest.mark.parametrize(("lr", "h"), [(0.1, 1.0), (0.9, 2.0), (0.4, 0.3)])
def test_noise_part_of_one_mode_tends_to_the_closed_form(evaluate, lr: float, h: float) -> None:
    sigma = 0.3
    state = {"eig1": h, "eig2": 0, "methods": "sgd", "lr_sgd": lr, "noise": sigma}
    found = evaluate(FLOOR, state)
    variance = lr * sigma**2 / (h * (2 - lr * h))  # of x ← (1 − lr·h) x − lr·σξ
    assert found["floor"] == pytest.approx(0.5 * h * variance, rel=1e-12)
    assert found["late"] == pytest.approx(found["floor"], rel=1e-9)


@pytest.mark.parametrize("method", ["sgd", "momentum", "nesterov"])
@pytest.mark.parametrize("shape", ["I", "H", "H2", "tilted"])
def test_noise_floor_solves_the_fixed_point_of_the_covariance(evaluate, method: str, shape: str) -> None:
    state = {**COMMON, **MODES["valley"], "methods": method, "noise_shape": shape, f"lr_{method}": 0.6}
    found = evaluate(FLOOR, state)
    H = rotated(1.2, 0.25, 30).numpy()
    C = 0.09 * {"I": np.eye(2), "H": H, "H2": H @ H, "tilted": np.diag([1.0, 4.0])}[shape]
    beta = 0.0 if method == "sgd" else 0.7
    ahead = beta if method == "nesterov" else 0.0  # Nesterov's step: lr·((1 + β) g + β² m)
    A = np.block(
        [[np.eye(2) - 0.6 * (1 + ahead) * H, -0.6 * beta * (ahead or 1) * np.eye(2)], [H, beta * np.eye(2)]]
    )
    push = np.vstack([-0.6 * (1 + ahead) * np.eye(2), np.eye(2)])
    cov = np.linalg.solve(np.eye(16) - np.kron(A, A), (push @ C @ push.T).ravel()).reshape(4, 4)
    assert found["floor"] == pytest.approx(0.5 * np.trace(H @ cov[:2, :2]), rel=1e-9)
    assert found["late"] == pytest.approx(found["floor"], rel=1e-9)


@pytest.mark.parametrize(
    ("change", "kind", "words"),
    [
        ({}, "settles", "fine-tuning begins at step"),
        ({"noise": 0}, "quiet", "no noise"),
        ({"noise": 1e-6, "steps": 10}, "settles", "fine-tuning begins after step 10"),
        ({"lr_sgd": 1.7}, "diverges", "diverges"),
        ({"lr_sgd": 2 / 1.2}, "diverges", "diverges"),
        ({"eig2": -0.2, "y0": 0, "angle": 0}, "falls", "no floor: the noise takes over at step"),
        ({"eig2": -0.2, "noise": 1e-6}, "falls", "no floor: the start still leads"),
    ],
)
def test_verdict_says_when_the_noise_takes_over(evaluate, change: dict, kind: str, words: str) -> None:
    found = evaluate(EXPECTED, [{**COMMON, **MODES["valley"], "methods": "sgd", "lr_sgd": 0.5, **change}, 0])
    verdict = found["verdict"]
    assert verdict["kind"] == kind
    assert verdict["words"].startswith(words)
    start, noise = np.abs(found["start"]), np.abs(found["noise"])
    if verdict["step"] is None:
        assert kind == "diverges" or noise[-1] < start[-1]
        return
    if kind != "diverges":
        assert f"at step {verdict['step']}" in verdict["words"]
    assert np.all(noise[verdict["step"] :] >= start[verdict["step"] :])
    assert noise[verdict["step"] - 1] < start[verdict["step"] - 1]
    if kind in ("diverges", "falls"):
        assert np.all(np.diff(noise[-20:]) > 0), "it grows"


def view_words(page: Any, name: str) -> str:
    return page.locator(f"[data-esgd-lab] [data-view={name}] canvas").get_attribute("aria-label")


@pytest.mark.browser
def test_both_views_are_where_they_teach_and_tell_it_in_words(open_lab) -> None:
    descent = open_lab("descent")
    said = view_words(descent.page, "velocity")
    assert "steep mode, h = 1: " in said
    assert "under-damped, ×0.775 a step" in said
    assert "over-damped, ×0.929 a step" in said
    assert not descent.page.get_by_role("button", name="Expected loss").is_visible()  # there is no noise

    escape = open_lab("escape")
    said = view_words(escape.page, "expected")
    assert "grows without end" in said
    assert "the noise takes over at step 18" in said
    update = "(change) => document.querySelector('[data-esgd-lab]').esgdLab.lab.update(change)"
    for change, words in (
        ({"noise": 0}, "No noise"),
        ({"noise": 0.1, "methods": ["esgd"]}, "add one of them"),
        ({"methods": ["sgd"], "landscape": "eggbox"}, "choose the bowl or the quadratic"),
    ):
        escape.page.evaluate(update, change)
        escape.settle()
        absent = escape.page.locator("[data-view=expected] .absent")
        assert words in absent.inner_text()
        assert not escape.page.locator("[data-view=expected] canvas").is_visible()
    assert not escape.page.get_by_role("button", name="Position and velocity").is_visible()
    escape.page.evaluate(update, {"landscape": "quadratic"})
    escape.settle()
    escape.page.get_by_role("button", name="Position and velocity").click()
    escape.settle()
    assert "always leaves" not in view_words(escape.page, "velocity")  # descent alone has no regime
    escape.page.evaluate(update, {"methods": ["momentum"]})
    escape.settle()
    assert "always leaves" in view_words(escape.page, "velocity")
    assert descent.problems == escape.problems == []


@pytest.mark.browser
def test_a_press_on_the_expected_loss_shows_that_step(open_lab) -> None:
    reader = open_lab("escape", state={"methods": ["sgd", "momentum"]})
    canvas = reader.page.locator("[data-view=expected] canvas")
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    for share in (0.22, 0.72):  # in the panel of either method
        reader.page.mouse.click(box["x"] + share * box["width"], box["y"] + 0.6 * box["height"])
        reader.settle()
        assert 40 < reader.state()["at"] < 90


@pytest.mark.browser
@pytest.mark.parametrize("width", [390, 600, 852])
def test_words_of_both_views_are_whole_and_apart(open_lab, width: int) -> None:
    page = open_lab("descent", width=width).page
    changes = (
        {"show": ["velocity", "expected"], "noise": 0.1},
        {"lr_momentum": 3.9, "lr_sgd": 2.3},
        {"landscape": "quadratic", "eig1": 1, "eig2": -0.2, "lr_sgd": 0.25, "lr_momentum": 2.9},
    )
    for change in changes:
        found = [c for c in drawn(page, change) if c["view"] in ("velocity", "expected")]
        assert len(found) == 2
        for canvas in found:
            for word in canvas["words"]:
                left, top, right, bottom = word["box"]
                assert left >= -0.5 and top >= -0.5, (canvas["view"], word)  # noqa: PT018
                assert right <= canvas["width"] + 0.5 and bottom <= canvas["height"] + 0.5, word  # noqa: PT018
                assert word["size"] >= 10, (canvas["view"], word)
            for one, other in combinations(canvas["words"], 2):
                wide = min(one["box"][2], other["box"][2]) - max(one["box"][0], other["box"][0])
                tall = min(one["box"][3], other["box"][3]) - max(one["box"][1], other["box"][1])
                assert wide < 2 or tall < 2, (canvas["view"], one, other)
