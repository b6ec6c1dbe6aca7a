"""Quadratics of many weights: the data as moved, a start of one's own, shares of modes, a chain's news."""

from __future__ import annotations

import numpy as np
import pytest

PROBLEM = """(core, s, state) => {
  const S = core.makeState({}, { methods: 'sgd', lr_sgd: 0.9, steps: 25, ...state });
  const p = core.manyProblem(S, 1);
  const run = core.manyRun('sgd', S, p);
  return { ...p, run, left: core.leftOver(p, run.at(-1)), amounts: core.amountsOf(p, p.start) }; }"""


def test_goal_is_the_least_squares_fit_of_the_data_as_moved(evaluate) -> None:
    x = np.linspace(-1, 1, 12)
    plain = evaluate(PROBLEM, {})
    moved = [0.4, -1.3, 0.25, 2, 0, -0.6, 1.1]
    found = evaluate(PROBLEM, {"data": moved})
    y = np.array(plain["data"])[:, 1]
    assert plain["goal"] == pytest.approx(np.polynomial.polynomial.polyfit(x, y, 5), rel=1e-9)
    y[: len(moved)] = moved
    assert np.array(found["data"]) == pytest.approx(np.stack([x, y], axis=1))
    assert found["goal"] == pytest.approx(np.polynomial.polynomial.polyfit(x, y, 5), rel=1e-9)
    assert found["values"] == plain["values"], "the curvature does not depend on the data"


@pytest.mark.parametrize("problem", ["polynomial", "chain"])
def test_run_begins_where_the_hand_put_it_and_forgets_it_mode_by_mode(evaluate, problem: str) -> None:
    weights = [0.5, -1.5, 2.0, 0.25]
    found = evaluate(PROBLEM, {"many": problem, "weights": weights})
    n = len(found["goal"])
    start = np.array(weights + [0] * (n - 4))
    assert found["run"][0] == pytest.approx(start)
    assert found["amounts"] == pytest.approx(np.array(found["vectors"]) @ start)
    assert found["left"] == pytest.approx(np.abs(1 - 0.9 * np.array(found["values"])) ** 25, rel=1e-5, abs=1e-9)


def test_a_mode_without_error_at_the_start_has_no_share_left(evaluate) -> None:
    done = evaluate(PROBLEM, {"many": "chain", "weights": [1] * 16})
    assert done["left"] == [None] * 16
    vectors = np.array(done["vectors"])
    found = evaluate(PROBLEM, {"many": "chain", "weights": list(1 + 0.5 * vectors[3])})
    assert found["left"][3] == pytest.approx(abs(1 - 0.9 * done["values"][3]) ** 25, rel=1e-6, abs=1e-12)
    assert [k for k, left in enumerate(found["left"]) if left is not None] == [3]


def test_reach_of_the_news_and_its_words(evaluate) -> None:
    cases = [[0, 0, 0], [0.4, 0.9, 0.9], [1, 0.75, 0.25], [1, 1, 1], [1.2, 0.5, 0.1], [1, 0, 1]]
    found = evaluate("(core, s, cases) => cases.map((c) => [core.newsReach(c), core.newsWords(c)])", cases)
    assert [reach for reach, _ in found] == pytest.approx([0, 0, 2.5, 3, 2, 1.5])
    assert [words.removeprefix("at least half believed ") for _, words in found] == [
        "by nobody", "not yet at place 1, and by 2 of 3 in all", "up to place 2 of 3", "up to place 3 of 3",
        "up to place 2 of 3", "up to place 1, and by 2 of 3 in all",
    ]  # fmt: skip


@pytest.mark.parametrize("method", ["sgd", "momentum", "nesterov", "adagrad", "rmsprop", "adam", "jacobi"])
def test_no_news_is_anywhere_before_it_can_be(evaluate, method: str) -> None:
    """A step takes it one place on; what divides by past gradients would make rounding visible beyond."""
    run = evaluate(
        """(core, s, method) => {
          const S = core.makeState({}, { many: 'chain', methods: method, steps: 15, damping: 1e-8 });
          return core.manyRun(method, S, core.manyProblem(S, 1)); }""",
        method,
    )
    for t, beliefs in enumerate(run):
        assert all(v == 0 for v in beliefs[t:]), t
        if t:
            assert beliefs[t - 1] != 0


def test_news_travels_as_the_root_of_the_time_by_descent_and_faster_by_momentum(evaluate) -> None:
    reach = evaluate(
        """(core) => { const rates = { lr_sgd: 1, lr_momentum: 1, momentum: 0.8 };
          const S = core.makeState({}, { many: 'chain', steps: 160, ...rates });
          const p = core.manyProblem(S, 1);
          return ['sgd', 'momentum'].map((m) => core.manyRun(m, S, p).map(core.newsReach)); }"""
    )
    descent, momentum = map(np.array, reach)
    assert descent[160] / descent[40] == pytest.approx(2, rel=0.15)  # four times the time, twice as far
    assert momentum[160] > 1.5 * descent[160]


@pytest.mark.parametrize("wrong", [{"data": ["a"]}, {"data": [None]}, {"weights": [True]}, {"weights": [1e999]}])
def test_lists_that_are_no_numbers_are_left_out(evaluate, wrong: dict) -> None:
    key = next(iter(wrong))
    assert evaluate("(core, s, [wrong, key]) => core.makeState({}, wrong)[key]", [wrong, key]) == []
    long = evaluate("(core) => core.makeState({}, { data: new Array(40).fill(7), weights: '99+-99' })")
    assert long["data"] == [2] * 12
    assert long["weights"] == [20, -20]
