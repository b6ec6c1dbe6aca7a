"""The lab says nothing false: its words and marks beside the runs, held against the runs themselves."""

from __future__ import annotations

import re

import numpy as np
import pytest

from esgd.lab.schema import METHODS

MINUS = "\N{MINUS SIGN}"

SAY = """(core, SCENES, cases) => cases.map(([scene, wanted]) => {
  const S = core.makeState(scene ? SCENES[scene].state : {}, wanted);
  return Object.fromEntries(S.methods.map((m) => [m, core.outcome(core.trajectory(m, S), S)])); })"""


@pytest.mark.parametrize("state", [{"eig1": 1, "eig2": -0.2}, {"eig1": -1, "eig2": -2}, {"eig1": 1, "eig2": 0}])
def test_newton_has_no_best_rate_where_a_curvature_is_not_positive(evaluate, state: dict) -> None:
    best, bowl, caught = evaluate(
        """(core, SCENES, state) => {
          const S = core.makeState(SCENES.escape.state, { ...state, noise: 0, y0: 0.4, lr_newton: 1 });
          const best = (changes) => core.bestRate('newton', { ...S, ...changes });
          return [best({}), best({ eig1: 1, eig2: 0.2 }), core.outcome(core.trajectory('newton', S), S).kind]; }""",
        state,
    )
    assert best is None
    assert bowl["value"] == 1
    assert state["eig2"] == 0 or caught == "caught"  # a flat valley gives Newton no step at all


def test_a_run_that_still_falls_is_not_at_rest(evaluate) -> None:
    start = {"landscape": "rosenbrock", "x0": -1.2, "y0": 1, "steps": 200, "lr_sgd": 0.001, "lr_momentum": 0.001}
    (said,) = evaluate(SAY, [[None, {**start, "methods": METHODS}]])
    for method in ("sgd", "momentum", "jacobi", "equilibration", "esgd"):
        assert said[method]["kind"] == "moving", (method, said[method])
        assert re.fullmatch(r"loss [\d.]+ at step 200", said[method]["text"])
    assert said["newton"]["kind"] == "converged"


def test_noise_is_never_at_rest_and_a_slow_departure_is_not_caught(evaluate) -> None:
    noisy, leaving, ridge, full = evaluate(
        SAY,
        [
            ["rmsprop-faces", {"x0": 2, "y0": 2}],
            [None, {"eig1": 1, "eig2": -0.2, "x0": 1.9, "y0": 1e-3, "lr_sgd": 0.25, "steps": 60}],
            [None, {"eig1": 1, "eig2": -0.2, "x0": 1.9, "y0": 0, "lr_sgd": 0.25, "steps": 60}],
            ["saddle-free", {"lr_newton": 1}],
        ],
    )
    assert {noisy["sgd"]["kind"], noisy["rmsprop"]["kind"]} == {"moving"}
    assert leaving["sgd"]["kind"] == "moving"
    assert ridge["sgd"]["kind"] == full["newton"]["kind"] == "caught"  # the second by steps of rounding alone


RANDOM = """(core, SCENES, methods) => {
  const next = core.stream(11, 2, 3); const within = (a, b) => a + (b - a) * next();
  const pick = (list) => list[Math.floor(next() * list.length)];
  const wrong = []; const said = {};
  const onRidge = ({ eig1, eig2, angle }) => { // a tenth at most off the way into the saddle
    const a = (eig1 > eig2 ? angle : angle + 90) * Math.PI / 180;
    const [u, v] = [within(-2, 2), 10 ** within(-8, -1) * pick([-1, 0, 1])];
    return { x0: u * Math.cos(a) - v * Math.sin(a), y0: u * Math.sin(a) + v * Math.cos(a) }; };
  const rests = (run, S, land) => { const { a, b, c } = land.hess(run.points.at(-1)); // at another saddle
    return core.hasStopped(run, S, land) && (a + c - Math.hypot(a - c, 2 * b)) / 2 < 0; };
  for (let i = 0; i < 3000; i += 1) {
    const m = pick(methods);
    const wanted = { landscape: pick(Object.keys(core.LANDSCAPES)), methods: m,
      x0: within(-2, 2), y0: within(-2, 2), kappa: 10 ** within(0, 3), eig1: within(-1, 3), eig2: within(-2, 2),
      angle: within(0, 90), seed: i % 50, steps: pick([5, 16, 60, 150]), noise: pick([0, 0, 0, 0.1]),
      [`lr_${m}`]: 10 ** within(-2.5, 0.5), damping: 10 ** within(-8, 0), momentum: within(0, 0.95) };
    if (i >= 2500) Object.assign(wanted, { landscape: 'quadratic', noise: 0 }, onRidge(wanted));
    const S = core.makeState({}, wanted); const land = core.landscapeOf(S);
    const run = core.trajectory(m, S); const { kind, step, text } = core.outcome(run, S);
    const on = core.trajectory(m, S, S.steps + 400); // the same run, for as long as the lab can show one
    const [end, losses] = [run.points.at(-1), run.losses];
    said[kind] = (said[kind] ?? 0) + 1;
    const moved = Math.max(...on.points.slice(S.steps).map((p) => Math.hypot(p[0] - end[0], p[1] - end[1])));
    const bad = {
      caught: () => S.noise > 0 || moved > 0.03 * land.window[2] || on.diverged !== null,
      diverged: () => run.diverged === null && Math.hypot(...end) < 3 * land.window[2],
      escaped: () => step === 0 || losses.at(-1) >= land.reference || rests(run, S, land),
      climbing: () => losses.at(-1) <= losses[0],
    }[kind];
    const higher = text.includes('higher minimum') && S.landscape !== 'camel'; // no other has one
    if (bad?.() || higher) wrong.push([kind, wanted]);
  }
  return { wrong, said }; }"""


def test_words_hold_for_random_runs_and_for_how_they_go_on(evaluate) -> None:
    found = evaluate(RANDOM, METHODS)
    assert found["wrong"] == []
    assert min(found["said"][kind] for kind in ("caught", "diverged", "escaped", "climbing", "converged")) > 20


def test_a_bounded_run_has_overshot_and_not_diverged(evaluate) -> None:
    state = {"landscape": "bowl", "kappa": 60, "x0": -1.9, "y0": 0.8, "steps": 400, "methods": ["rmsprop", "sgd"]}
    bowl, net, wide = evaluate(
        SAY,
        [
            [None, {**state, "lr_rmsprop": 3, "lr_sgd": 2.2}],
            [None, {"landscape": "net", "x0": 0.75, "y0": 2.2, "steps": 5, "lr_sgd": 0.001}],
            [None, {"eig1": 1, "eig2": -1, "x0": 0.1, "y0": 2, "steps": 5, "lr_sgd": 0.01}],
        ],
    )
    assert bowl["rmsprop"]["text"].startswith("overshot at step 1; loss ")
    assert bowl["sgd"]["kind"] == "diverged"
    for said in (net, wide):
        assert said["sgd"]["text"].startswith("started past the saddle; loss ")


CHANGE = """(core, SCENES, wanted) => {
  const S = core.makeState(SCENES.contours.state, wanted); const land = core.landscapeOf(S);
  const H = land.hess([S.x0, S.y0]);
  const full = ({ a, b, c }) => [[a, b], [b, c]];
  const method = { jacobi: 'jacobi', equilibration: 'equilibration', absolute: 'saddle_free' }[S.precond];
  return { root: full(core.contourRoot(S, H)), H: full(H), lr: S[`lr_${method}`],
    run: core.trajectory(method, S).points, under: core.descentUnder(core.preconditioner(S, H), S, land),
    change: core.changeOfVariables(S, land) }; }"""
SADDLE = {"eig1": 3.5, "eig2": -1.2, "angle": 30, "x0": -1.9, "y0": 1.25, "steps": 6}
RATES = {"lr_jacobi": 0.3, "lr_equilibration": 0.3, "lr_saddle_free": 0.3}


@pytest.mark.parametrize("damping", [1e-8, 1.0])
@pytest.mark.parametrize(
    ("precond", "boost"), [("jacobi", 0), ("equilibration", 0), ("absolute", 0), ("absolute", 1), ("jacobi", 1)]
)
def test_descent_on_the_right_is_the_run_on_the_left_or_the_lab_says_not(
    evaluate, precond: str, boost: float, damping: float
) -> None:
    found = evaluate(CHANGE, {**SADDLE, **RATES, "precond": precond, "boost": boost, "damping": damping})
    root, hessian = np.array(found["root"]), np.array(found["H"])
    phi = np.linalg.solve(root, found["run"][0])
    descent = [root @ phi]
    for _ in range(6):
        phi = phi - found["lr"] * root @ hessian @ root @ phi
        descent.append(root @ phi)
    assert np.array(found["under"]) == pytest.approx(np.array(descent), rel=1e-8, abs=1e-8)
    same = np.allclose(found["run"], descent, rtol=1e-6, atol=1e-6)
    boosted = precond == "absolute" and boost != 0
    assert same is not boosted
    assert (found["change"]["caveat"] is None) == same
    letter = "|H|" if precond == "absolute" else "D"
    plain = f"√({letter} + λ) θ" if damping == 1 else f"√{letter} θ"
    assert found["change"]["formula"] == ("√M⁻¹ θ" if boosted else plain)


def test_where_the_change_of_variables_is_not_the_runs_the_lab_says_so(evaluate) -> None:
    for state, words in (
        ({"landscape": "eggbox"}, "curvature at the start"),
        ({"precond": "jacobi", "curvature": "probes"}, "which the run estimates"),
    ):
        assert words in evaluate(CHANGE, state)["change"]["because"]


FIRST = """(core, SCENES, wanted) => {
  const S = core.makeState(SCENES['saddle-free'].state, wanted);
  const runs = Object.fromEntries(S.methods.map((m) => [m, core.trajectory(m, S)]));
  const first = core.firstSteps(S, core.landscapeOf(S), runs);
  return { ...first, words: core.firstStepWords(first), losses: S.methods.map((m) => runs[m].losses[1]) }; }"""


@pytest.mark.parametrize(
    "state",
    [{}, {"lr_saddle_free": 0.01, "lr_newton": 1}, {"damping": 1}, {"noise": 0.2}, {"x0": 1.3, "y0": 3.14159}],
)
def test_who_steps_lower_is_what_the_runs_did(evaluate, state: dict) -> None:
    found = evaluate(FIRST, state)
    newton, free = found["losses"]
    assert found["gap"] == pytest.approx(newton - free)
    said = re.fullmatch(r"step 1: (\|H\||Newton) lower by ([\d.]+)", found["words"])
    assert said[1] == ("|H|" if newton >= free else "Newton")
    assert float(said[2]) == pytest.approx(abs(newton - free), rel=0.06)
    assert found["alike"] == (not {"lr_newton", "damping", "noise"} & set(state))  # the dot is hidden elsewhere


def test_who_steps_lower_without_both_runs_is_said_to_be_theory(evaluate) -> None:
    found = evaluate(FIRST, {"methods": ["saddle_free"], "lr_saddle_free": 0.4, "damping": 1})
    assert found["words"].startswith("at equal α, undamped: ")
    assert found["alpha"] == 0.4


@pytest.mark.parametrize("interval", [1, 5])
@pytest.mark.parametrize("warmup", [1, 4])
@pytest.mark.parametrize("methods", [["esgd"], ["jacobi"], ["sgd"]])
def test_cloud_holds_the_probes_of_the_run(evaluate, interval: int, warmup: int, methods: list) -> None:
    found = evaluate(
        """(core, SCENES, wanted) => {
          const S = core.makeState(SCENES.probes.state, wanted);
          const runs = Object.fromEntries(S.methods.map((m) => [m, core.trajectory(m, S)]));
          const esgd = core.trajectory('esgd', S);
          return [1, 7, 100].map((at) => [core.probesSoFar(S, runs, at), esgd.records[at - 1]]); }""",
        {"interval": interval, "warmup": warmup, "methods": methods},
    )
    for probes, record in found:
        assert len(probes) == record["k"]
        assert np.sqrt(np.mean([np.square(p["Hv"]) for p in probes], axis=0)) == pytest.approx(record["D"])
    assert interval == 1 or len(found[-1][0]) == 19 + warmup


@pytest.mark.parametrize("probe", ["gaussian", "rademacher"])
def test_band_of_the_estimates_is_one_standard_error(evaluate, probe: str) -> None:
    k = 64
    found = evaluate(
        """(core, SCENES, [probe, k]) => {
          const S = core.makeState(SCENES.probes.state, { probe, interval: 1, steps: k });
          const H = core.landscapeOf(S).quadratic;
          const D = (seed) => core.trajectory('esgd', { ...S, seed }).records[k - 1].D;
          return { share: core.errorShare(S, H), H: [[H.a, H.b], [H.b, H.c]],
            D: Array.from({ length: 600 }, (_, seed) => D(seed)) }; }""",
        [probe, k],
    )
    truth = np.linalg.norm(found["H"], axis=1)
    errors = np.std(np.array(found["D"]) / truth, axis=0)
    assert found["share"] / np.sqrt(k) == pytest.approx(errors.max(), rel=0.12)


FACES = """(core, SCENES, wanted) => {
  const S = core.makeState(SCENES['rmsprop-faces'].state, wanted);
  const runs = Object.fromEntries(S.methods.map((m) => [m, core.trajectory(m, S)]));
  return core.faceRows({ S, land: core.landscapeOf(S), runs }); }"""


@pytest.mark.parametrize(
    ("state", "why"),
    [
        ({}, None),
        ({"eig2": -1}, "not a bowl"),
        ({"landscape": "eggbox"}, "not a quadratic"),
        ({"lr_sgd": 0.6}, "rate ≥ 2/λ₁"),
        ({"noise": 0, "face": "noise"}, "no noise"),
    ],
)
def test_theory_of_stationary_noise_is_shown_where_there_is_one(evaluate, state: dict, why: str | None) -> None:
    rows = {row["name"]: row for row in evaluate(FACES, state)}
    theory = rows["√E g² in theory"]
    assert ("v" in theory) == (why is None)
    assert theory.get("why", "").startswith(why or "")
    path = next(row for name, row in rows.items() if name.startswith("√mean g²"))
    assert path["hue"] == "sgd"  # it is descent's path, and wears descent's colour and name
    assert "GD" in path["name"]


@pytest.mark.parametrize(
    ("state", "why"),
    [
        ({}, None),
        ({"decay": 0.5}, None),
        ({"eig2": -1}, "not a bowl"),
        ({"noise": 0.3}, "there is noise"),
        ({"steps": 5}, "no jump between two points"),
    ],
)
def test_bounds_of_the_oscillation_are_shown_where_they_hold(evaluate, state: dict, why: str | None) -> None:
    function = FACES.replace("wanted);", "{ ...SCENES['rmsprop-faces'].faces.oscillation, ...wanted });", 1)
    low, reads, high, _ = evaluate(function, state)
    assert low.get("why") == high.get("why") == why
    if why is None:
        assert np.all(np.array(low["v"]) < np.array(reads["v"]))
        assert np.all(np.array(reads["v"]) <= np.array(high["v"]) * 1.02)


def test_chosen_face_stays_and_old_addresses_still_find_theirs(evaluate) -> None:
    found = evaluate(
        """(core, SCENES) => {
          const { state: preset, faces } = SCENES['rmsprop-faces'];
          const address = (S) => core.encodeState('rmsprop-faces', preset, S);
          const round = (S) => core.makeState(preset, core.decodeState('#' + address(S)).state);
          const chosen = (face, more) => core.makeState(preset, { ...preset, ...faces[face], ...more });
          const { state: saddle } = SCENES.escape;
          const slower = chosen('oscillation', { lr_rmsprop: 0.14 });
          const silent = chosen('noise', { noise: 0 });
          const old = (name) => {
            const { face, ...rest } = faces[name]; return core.makeState(preset, rest).face; };
          return { slower: [slower.face, round(slower).face], silent: [silent.face, round(silent).face],
            old: Object.keys(faces).map((face) => [face, old(face)]),
            opens: address(core.makeState(preset, faces.oscillation)),
            elsewhere: core.encodeState('escape', saddle, core.makeState(saddle, { noise: 0 })) }; }"""
    )
    assert found["slower"] == ["oscillation"] * 2
    assert found["silent"] == ["noise"] * 2
    assert all(face == guessed for face, guessed in found["old"])
    assert "face=" not in found["opens"]  # the settings tell it
    assert found["elsewhere"] == "lab=escape&noise=0"
