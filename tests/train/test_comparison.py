from __future__ import annotations

import math

import pytest

from esgd.comparison import (
    best_losses,
    edge_position,
    first_reached,
    last_common,
    last_medians,
    losses_of,
    median_lead,
    median_reached,
    until,
    within_range,
)
from esgd.errors import ConfigError

from .test_learning_curves import RECORDS, rows


def test_the_first_evaluation_below_the_target_and_the_median_over_seeds():
    assert best_losses(RECORDS) == {"esgd": 1, "sgd": 8}
    hits = first_reached(RECORDS, 6)
    assert [hit and hit["epoch"] for hit in hits["esgd"]] == [1, 2, 1]
    assert hits["sgd"] == [None]
    assert median_reached(hits["esgd"]) == 1
    assert median_reached(hits["esgd"], "gradient_equivalents") == 109
    assert median_reached(hits["sgd"]) == math.inf
    assert median_reached(first_reached(RECORDS, 1)["esgd"]) == math.inf  # one seed of three is not the median


def test_methods_are_compared_at_the_last_epoch_of_all():
    assert last_common(RECORDS) == (1, {"esgd": [5, 6, 7], "sgd": [8]})
    with pytest.raises(ConfigError, match="nothing to compare"):
        last_common([])


@pytest.mark.parametrize("loss", [math.nan, math.inf, 901.0])
def test_a_run_that_diverged_is_infinite_from_then_on_and_holds_nobody_back(loss):
    three = [rows("esgd", 0, [9, 8, 3]), rows("esgd", 1, [9, loss]), rows("esgd", 2, [9, 7, 1])]
    records = [row for run in (*three, rows("sgd", 0, [9, 8, 2])) for row in run]
    assert last_common(records) == (2, {"esgd": [1, 3, math.inf], "sgd": [2]})
    assert last_medians(records) == (2, {"esgd": [7, 8, math.inf], "sgd": [8]})
    assert last_common(records, "squared_error") == (2, {"esgd": [0.2, 0.6, math.inf], "sgd": [0.4]})
    assert last_common(three[1]) == (1, {"esgd": [math.inf]})
    assert last_common(until(records, 0)) == (0, {"esgd": [9, 9, 9], "sgd": [9]})  # not yet
    late = [*rows("esgd", 0, [9, 8]), *rows("esgd", 1, [9, 8, 7, loss])]
    assert last_common(late) == (1, {"esgd": [8, 8]})


def test_a_run_that_diverged_between_two_evaluations_of_the_others_makes_no_epoch_of_its_own():
    others = [row for row in rows("esgd", 0, [9, 8, 3, 2, 1]) if row["epoch"] % 2 == 0]
    lost = [row for row in rows("esgd", 1, [9, 9, 9, math.nan]) if row["epoch"] in (0, 2, 3)]
    assert last_common([*others, *lost]) == (4, {"esgd": [1, math.inf]})
    assert last_common([*until(others, 2), *lost]) == (2, {"esgd": [3, 9]})


def test_medians_over_the_last_epochs_are_not_moved_by_one_evaluation():
    rows = [
        {"run": f"{m}{s}", "method": m, "seed": s, "epoch": e, "loss": 50.0 * (e == 30) + base + s}
        for m, base in (("a", 1.0), ("b", 5.0))
        for s in (0, 1)
        for e in (0, 5, 10, 20, 25, 30)
    ]
    assert last_common(rows)[1]["a"] == [51.0, 52.0]
    assert last_medians(rows) == (30, {"a": [1.0, 2.0], "b": [5.0, 6.0]})
    assert last_medians(rows, width=5) == last_common(rows)


def test_a_run_is_held_against_the_range_of_its_own_method():
    mine = rows("esgd", 9, [8, 4, 2, 9])
    found = within_range(mine, [*RECORDS, *rows("sgd", 1, [1, 1, 1, 1])])
    assert [(f["epoch"], f["low"], f["high"], f["inside"]) for f in found] == [
        (0, 7, 9, True), (1, 5, 7, False), (2, 1, 3, True), (3, 2, 2, False),
    ]  # fmt: skip
    assert within_range(rows("adam", 0, [1]), RECORDS) == []


def test_the_position_in_a_range_is_logarithmic():
    assert edge_position(0.01, 0.01, 0.1) == 0
    assert edge_position(0.1, 0.01, 0.1) == 1
    assert edge_position(1e-3 * 10**-0.5, 1e-4, 1e-3) == pytest.approx(0.5)


def test_the_median_lead_is_of_what_both_have_in_the_window():
    records = [
        {"method": m, "seed": seed, "epoch": e, "loss": loss + seed}
        for m, path in (("esgd", {0: 9, 10: 5, 20: 4, 30: 1}), ("sgd", {0: 9, 10: 8, 20: 6, 25: 0, 30: 5}))
        for e, loss in path.items()
        for seed in (0, 7)
    ]
    esgd, sgd = (losses_of(records, m, 7) for m in ("esgd", "sgd"))
    assert esgd == {0: 16, 10: 12, 20: 11, 30: 8}
    assert median_lead(esgd, sgd, (20, 30), width=20) == {20: 2.5, 30: 3}  # 25 is not shared
    assert median_lead(sgd, esgd, [30], width=5) == {30: -4}
    with pytest.raises(ConfigError, match="no evaluation in common in the 5 epochs up to 15"):
        median_lead(esgd, sgd, [15], width=5)
