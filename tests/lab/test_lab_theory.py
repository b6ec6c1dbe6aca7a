"""What the lab says beside the runs: best rates, outcomes, escape, Theorem 2', the stationary law, the boost."""

from __future__ import annotations

import numpy as np
import pytest
from landscapes import rotated


def test_best_rate_of_descent_is_the_closed_form_and_beats_its_neighbours(evaluate) -> None:
    found = evaluate(
        """(core) => [1, 5, 60, 700].map((kappa) => {
          const S = core.makeState({}, { landscape: 'bowl', kappa, angle: 25, x0: 1, y0: 1.5, methods: 'sgd' });
          const best = core.bestRate('sgd', S).value;
          const radius = (lr) => Math.max(core.modeRadius(lr, 1, 0), core.modeRadius(lr, 1 / kappa, 0));
          return { kappa, best, here: radius(best), below: radius(best * 0.98), above: radius(best * 1.02) };
        })"""
    )
    for row in found:
        assert row["best"] == pytest.approx(2 / (1 + 1 / row["kappa"]), rel=1e-12)
        assert row["here"] <= min(row["below"], row["above"]) + 1e-12


def test_best_rates_of_momentum_reach_polyaks_factor(evaluate) -> None:
    kappa = 60
    found = evaluate(
        """(core, scenes, kappa) => {
          const S = core.makeState({}, { landscape: 'bowl', kappa, methods: 'momentum' });
          const { value: beta } = core.bestMomentum(S);
          const lr = core.bestRate('momentum', { ...S, momentum: beta }).value;
          return { beta, lr, radius: Math.max(core.modeRadius(lr, 1, beta), core.modeRadius(lr, 1 / kappa, beta)) };
        }""",
        kappa,
    )
    root = kappa**0.5
    assert found["beta"] == pytest.approx(((root - 1) / (root + 1)) ** 2)
    assert found["lr"] == pytest.approx((2 / (1 + 1 / root)) ** 2, rel=1e-5)
    assert found["radius"] == pytest.approx((root - 1) / (root + 1), rel=1e-5)


def test_mode_radius_is_the_spectral_radius(evaluate) -> None:
    cases = [(0.3, 1.2, 0.0), (1.9, 1.0, 0.5), (0.05, 2.0, 0.9), (0.4, -0.7, 0.8), (3.5, 1.0, 0.95)]
    ours = evaluate("(core, s, cases) => cases.map((c) => core.modeRadius(...c))", cases)
    for (lr, h, beta), radius in zip(cases, ours, strict=True):
        iteration = np.array([[1 + beta - lr * h, -beta], [1.0, 0.0]])
        assert radius == pytest.approx(max(abs(np.linalg.eigvals(iteration))), rel=1e-9)


def nesterov_step(lr: float, h: float, beta: float) -> np.ndarray:
    """One mode of Nesterov's method as torch writes it, as a matrix of (x, buffer)."""
    return np.array([[1 - lr * h * (1 + beta), -lr * beta**2], [h, beta]])


def test_nesterov_radius_is_the_spectral_radius_and_its_best_settings_are_best(evaluate) -> None:
    cases = [(0.3, 1.2, 0.0), (1.1, 1.0, 0.5), (0.05, 2.0, 0.9), (0.4, -0.7, 0.8), (1.0, 1.0, 0.6), (1.5, 1.0, 0.3)]
    ours = evaluate("(core, s, cases) => cases.map((c) => core.modeRadius(...c, core.nesterov))", cases)
    for (lr, h, beta), radius in zip(cases, ours, strict=True):
        assert radius == pytest.approx(max(abs(np.linalg.eigvals(nesterov_step(lr, h, beta)))), abs=1e-7)

    kappa = 60
    found = evaluate(
        """(core, scenes, kappa) => {
          const S = core.makeState({}, { landscape: 'bowl', kappa, methods: 'nesterov' });
          const { value: beta, how } = core.bestMomentum(S, core.nesterov);
          return { beta, how, lr: core.bestRate('nesterov', { ...S, momentum: beta }).value,
            none: core.bestMomentum(core.makeState({}, { eig2: -1 }), core.nesterov) }; }""",
        kappa,
    )
    assert found["none"] is None
    assert "3κ + 1" in found["how"]
    assert found["lr"] == pytest.approx(4 / (3 + 1 / kappa), rel=1e-5)

    def slowest(lr: float, beta: float) -> float:
        return max(max(abs(np.linalg.eigvals(nesterov_step(lr, h, beta)))) for h in (1, 1 / kappa))

    best = slowest(found["lr"], found["beta"])
    assert best == pytest.approx(1 - 2 / np.sqrt(3 * kappa + 1), abs=1e-5)
    grid = [slowest(lr, beta) for lr in np.linspace(0.05, 2, 60) for beta in np.linspace(0, 0.98, 60)]
    assert best <= min(grid) + 1e-9


NEW_SURFACES = ["camel", "himmelblau", "beale"]


@pytest.mark.parametrize("landscape", NEW_SURFACES)
def test_named_points_of_a_surface_are_critical_and_of_their_kind(evaluate, landscape: str) -> None:
    found = evaluate(
        """(core, s, landscape) => { const land = core.landscapeOf(core.makeState({}, { landscape }));
          const at = (x) => ({ value: land.f(x), gradient: land.grad(x), hessian: land.hess(x) });
          const { reference, floor } = land;
          return { saddle: at(land.saddle), minima: land.minima.map(at), reference, floor }; }""",
        landscape,
    )

    def eigenvalues(point: dict) -> np.ndarray:
        assert point["gradient"] == pytest.approx([0, 0], abs=1e-11)
        a, b, c = (point["hessian"][key] for key in "abc")
        return np.linalg.eigvalsh([[a, b], [b, c]])

    low, high = eigenvalues(found["saddle"])
    assert low < 0 < high
    assert found["reference"] == found["saddle"]["value"]
    assert all(min(eigenvalues(point)) > 0 for point in found["minima"])
    assert min(point["value"] for point in found["minima"]) == pytest.approx(found["floor"], abs=1e-12)


@pytest.mark.parametrize("landscape", NEW_SURFACES)
def test_newton_is_caught_where_saddle_free_newton_is_not(evaluate, landscape: str) -> None:
    kinds = evaluate(
        """(core, s, landscape) => {
          const S = core.makeState({}, { ...core.freshFor(landscape, {}), methods: ['newton', 'saddle_free'] });
          return S.methods.map((m) => core.outcome(core.trajectory(m, S), S).kind); }""",
        landscape,
    )
    assert kinds[0] == "caught"
    assert kinds[1] in ("escaped", "converged")


def test_a_saddle_below_the_first_is_no_escape_and_a_higher_minimum_is_named(evaluate) -> None:
    found = evaluate(
        """(core) => [['himmelblau', 3.3, 0.3, 'newton'], ['camel', 1.75, 0.9, 'sgd']].map((where) => {
          const [landscape, x0, y0, m] = where;
          const S = core.makeState({}, { landscape, x0, y0, methods: m, steps: 60, lr_newton: 0.25, lr_sgd: 0.05 });
          const run = core.trajectory(m, S);
          return { ...core.outcome(run, S), end: run.points.at(-1), loss: run.losses.at(-1) }; })"""
    )
    saddle, side = found
    assert saddle["end"] == pytest.approx([3.385, 0.074], abs=1e-3)  # of a loss far below that of the named saddle
    assert (saddle["kind"], saddle["text"]) == ("caught", "caught at a critical point")
    assert side["loss"] == pytest.approx(0.2986, abs=1e-3)
    assert side["kind"] == "escaped"
    assert side["text"].endswith(", to a higher minimum")


@pytest.mark.parametrize("landscape", ["monkey", "net", "rosenbrock", "eggbox", *NEW_SURFACES])
def test_searched_rate_is_the_best_of_its_grid(evaluate, landscape: str) -> None:
    found = evaluate(
        """(core, scenes, landscape) => {
          const starts = { monkey: [-0.5, 1.9], net: [1.45, -1.3], rosenbrock: [-1.2, 1], eggbox: [0.75, 2.2],
            camel: [1.75, 0.9], himmelblau: [-0.6, 2.4], beale: [1, 1.7] };
          const [x0, y0] = starts[landscape];
          const S = core.makeState({}, { landscape, x0, y0, steps: 50, methods: 'equilibration' });
          const best = core.bestRate('equilibration', S);
          const last = (lr) => { const r = core.trajectory('equilibration', S, 50, lr);
            return r.diverged ? 1e9 : r.losses.at(-1); };
          return { best: best.value, loss: last(best.value), others: [0.001, 0.01, 0.1, 0.3, 1, 3].map(last) };
        }""",
        landscape,
    )
    assert found["loss"] <= min(found["others"]) + 1e-12


@pytest.mark.claim("T2")
def test_theorem_2_prime_is_never_violated_in_the_phase_diagram(evaluate) -> None:
    sample = evaluate(
        """(core) => [0, 1, 2, 3].map((seed) => core.makeState({}, { landscape: 'eggbox', seed }))
          .flatMap((S) => core.phaseSample(S, 1500))
          .map(({ alpha, fN, fA, bound, Q }) => [alpha, fN, fA, bound, Q])"""
    )
    alpha, f_newton, f_free, bound, q = np.array(sample).T
    assert np.all(f_newton - f_free >= bound - 1e-9)
    promised = alpha**2 * q <= 1
    assert promised.sum() > 1000
    assert np.all(f_free[promised] <= f_newton[promised] + 1e-9)
    assert np.any(f_free > f_newton)  # beyond the promise Newton may win: the paper's Theorem 2 as printed fails


@pytest.mark.claim("T2")
def test_the_counterexample_to_theorem_2_is_in_the_egg_box(evaluate) -> None:
    found = evaluate(
        """(core) => { const S = core.makeState({}, { landscape: 'eggbox' });
          return core.comparison(core.landscapeOf(S), [1.3, Math.PI], 1); }"""
    )
    assert found["fN"] + 1 == pytest.approx(np.cos(1.3 - np.tan(1.3)), abs=1e-12)
    assert found["fA"] + 1 == pytest.approx(np.cos(1.3 + np.tan(1.3)), abs=1e-12)
    assert found["fA"] > found["fN"]


@pytest.mark.claim("R1")
def test_stationary_law_solves_its_equation_and_the_worked_example(evaluate) -> None:
    hessian, cov, lr = np.array([[4.0, 1.0], [1.0, 1.0]]), np.diag([1.0, 4.0]), 0.1
    found = evaluate(
        "(core) => core.stationary({ a: 4, b: 1, c: 1 }, { a: 1, b: 0, c: 4 }, 0.1)",
    )
    sigma = np.array([[found["sigma"]["a"], found["sigma"]["b"]], [found["sigma"]["b"], found["sigma"]["c"]]])
    left = hessian @ sigma + sigma @ hessian - lr * hessian @ sigma @ hessian
    assert left == pytest.approx(lr * cov, abs=1e-12)
    assert np.diag(hessian @ sigma @ hessian + cov) == pytest.approx(found["second"], abs=1e-12)
    assert np.sqrt(found["second"]) == pytest.approx([1.139, 2.045], abs=5e-4)
    assert np.linalg.norm(hessian, axis=1) == pytest.approx([4.123, 1.414], abs=5e-4)


def test_stationary_law_is_what_a_long_run_shows(evaluate) -> None:
    found = evaluate(
        """(core, SCENES) => {
          const S = core.makeState(SCENES['rmsprop-faces'].state, { steps: 400 });
          const H = core.landscapeOf(S).quadratic;
          const C = { a: S.noise ** 2, b: 0, c: 4 * S.noise ** 2 };
          const sums = [0, 0];
          for (let seed = 0; seed < 60; seed += 1) {
            const run = core.trajectory('sgd', { ...S, seed });
            run.records.slice(200).forEach(({ g }) => g.forEach((v, i) => (sums[i] += v * v / 200 / 60)));
          }
          return { measured: sums, theory: core.stationary(H, C, S.lr_sgd).second };
        }"""
    )
    assert found["measured"] == pytest.approx(found["theory"], rel=0.06)


@pytest.mark.claim("T1")
@pytest.mark.parametrize("boost", [-1.5, -0.4, 0.0, 0.9])
def test_hyperbolic_boosts_are_all_ideal_and_not_one(evaluate, boost: float) -> None:
    root = np.array(
        evaluate(
            """(core, scenes, boost) => {
              const S = core.makeState({}, { precond: 'absolute', eig1: 3, eig2: -0.4, angle: 30, boost,
                damping: 1e-8 });
              const { a, b, c } = core.contourRoot(S, core.landscapeOf(S).quadratic);
              return [[a, b], [b, c]]; }""",
            boost,
        )
    )
    hessian = rotated(3, -0.4, 30).numpy()
    values = np.linalg.eigvalsh(root @ hessian @ root)
    assert values == pytest.approx([-1, 1], abs=1e-7)  # but for the damping
    absolute = np.linalg.inv(root @ root)
    same = np.allclose(absolute @ absolute, hessian @ hessian)
    assert same == (boost == 0)


def test_jacobi_reads_zero_at_45_degrees_and_equilibration_one_at_every_angle(evaluate) -> None:
    found = evaluate(
        """(core) => [0, 10, 30, 45, 80].map((angle) => {
          const S = core.makeState({}, { eig1: 1, eig2: -1, angle, steps: 5, methods: 'jacobi+equilibration' });
          const read = (method) => core.trajectory(method, S).records[0].D;
          return [angle, read('jacobi'), read('equilibration')];
        })"""
    )
    for angle, jacobi, equilibration in found:
        assert jacobi == pytest.approx([abs(np.cos(np.radians(2 * angle)))] * 2, abs=1e-12)
        assert equilibration == pytest.approx([1, 1], abs=1e-12)


def test_outcomes_name_what_happened(evaluate) -> None:
    found = evaluate(
        """(core) => {
          const say = (method, wanted) => {
            const S = core.makeState({}, { methods: method, steps: 60, ...wanted });
            return core.outcome(core.trajectory(method, S), S).kind;
          };
          return [
            say('sgd', { landscape: 'bowl', kappa: 4, lr_sgd: 1 }),
            say('sgd', { landscape: 'bowl', kappa: 4, lr_sgd: 2.3 }),
            say('sgd', { landscape: 'quadratic', x0: 1.5, y0: 0.4, lr_sgd: 0.5 }),
            say('sgd', { landscape: 'quadratic', x0: 1.5, y0: 0, lr_sgd: 0.5 }),
            say('sgd', { landscape: 'quadratic', x0: 1.5, y0: 0.4, lr_sgd: 2.5 }),
            say('newton', { landscape: 'net', x0: 1.4, y0: -1.3, lr_newton: 0.3 }),
            say('saddle_free', { landscape: 'net', x0: 1.4, y0: -1.2, lr_saddle_free: 0.3 }),
            say('jacobi', { eig1: 1, eig2: -1, angle: 45, x0: 1.5, y0: 0.7, lr_jacobi: 0.25 }),
          ];
        }"""
    )
    assert found == [
        "converged", "diverged", "escaped", "caught", "diverged", "caught", "converged", "diverged",
    ]  # fmt: skip


def test_noise_free_escape_time_follows_the_growth_law(evaluate) -> None:
    lr, h, y0, drop = 0.3, 0.5, 1e-3, 0.5
    (times,) = evaluate(
        """(core, scenes, [lr, h, y0]) => {
          const S = core.makeState({}, { eig1: 1, eig2: -h, angle: 0, x0: 0, y0,
            lr_sgd: lr, steps: 200, methods: 'sgd' });
          return [core.escapeTimes('sgd', S, 3)];
        }""",
        [lr, h, y0],
    )
    expected = int(np.ceil(np.log(np.sqrt(2 * drop / h) / y0) / np.log(1 + lr * h)))
    assert times == [expected] * 3


def test_shared_address_restores_the_state(evaluate) -> None:
    found = evaluate(
        """(core, SCENES) => {
          const preset = SCENES.descent.state;
          const S = core.makeState(preset, { kappa: 123, lr_sgd: 0.75,
            methods: ['esgd', 'rmsprop'], x0: -1.25, probe: 'gaussian', at: 3 });
          const text = core.encodeState('descent', preset, S);
          const back = core.decodeState('#' + text);
          const damaged = '#lab=descent&kappa=NaN&x0=%E0%A4%A&steps=9e9&nonsense=1&methods=';
          return { text, scene: back.scene,
            same: JSON.stringify(core.makeState(preset, back.state)) === JSON.stringify(S),
            python: core.pythonLine('descent', preset, S), foreign: core.decodeState('#section-2'),
            broken: core.makeState(preset, core.decodeState(damaged).state) };
        }"""
    )
    assert found["same"]
    assert found["scene"] == "descent"
    assert found["foreign"] is None
    broken = found["broken"]
    assert (broken["kappa"], broken["x0"], broken["steps"], broken["methods"]) == (60, -1.78, 400, [])
    from esgd.lab import SaddleLab

    lab = eval(found["python"], {"SaddleLab": SaddleLab})
    assert lab.state["kappa"] == 123
    assert lab.state["methods"] == ["rmsprop", "esgd"]
