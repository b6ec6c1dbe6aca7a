from __future__ import annotations

import json
from pathlib import Path

import pytest

from esgd.errors import ConfigError, DataError
from esgd.figures.learning_curves import MEASURED, learning_curves
from esgd.figures.paper import paper_figure
from esgd.figures.step_cost import at_measured_cost, sgd_step_seconds, step_costs

from .test_learning_curves import rows


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "step.json"
    known = [("mnist", "ESGD 20", 1.25), ("mnist", "RMSprop", 1.5), ("curves", "ESGD 20", 9.0)]
    path.write_text(json.dumps({"rows": [{"net": n, "optimizer": o, "time_ratio": t} for n, o, t in known]}))
    return path


def disturbed(method: str) -> list[dict]:
    """Four evaluations, 100 updates apart, with 2, 7 and 4 seconds between them."""
    return [row | {"seconds": s} for row, s in zip(rows(method, 0, [9, 5, 3, 2]), (0, 2, 9, 13), strict=True)]


def test_seconds_are_updates_times_the_costs_whatever_the_clock_says(table):
    costs = step_costs(table, "mnist")
    assert costs == {"sgd": 1.0, "esgd": 1.25, "rmsprop": 1.5}
    records = [*disturbed("sgd"), *disturbed("esgd")]
    step = sgd_step_seconds(records)
    assert step == pytest.approx(0.02)  # the quickest stretch
    derived = at_measured_cost(records, costs, step)
    assert [row["seconds"] for row in derived] == pytest.approx([0, 2, 4, 6, 0, 2.5, 5, 7.5])
    assert [row["seconds"] for row in records[:4]] == [0, 2, 9, 13]  # not changed in place
    figure = learning_curves(records, x="seconds", costs=costs, overlay=disturbed("esgd"))
    assert figure.layout.xaxis.title.text == MEASURED == figure.layout.updatemenus[0].buttons[3].label
    assert list(figure.data[-1].x) == pytest.approx([0, 2.5, 5, 7.5])


def test_what_cannot_be_costed_is_refused(table, tmp_path):
    with pytest.raises(DataError, match="no costs for the net 'faces'"):
        step_costs(table, "faces")
    with pytest.raises(DataError, match="make bench"):
        step_costs(tmp_path / "none.json", "mnist")
    with pytest.raises(ConfigError, match="no step cost is recorded for adam"):
        at_measured_cost(disturbed("adam"), step_costs(table, "mnist"), 1.0)
    with pytest.raises(ConfigError, match="no SGD run"):
        sgd_step_seconds(disturbed("esgd"))


def test_figure_5_uses_the_recorded_costs(monkeypatch):
    monkeypatch.chdir(Path(__file__).parents[2])
    assert paper_figure(5, x="seconds").layout.xaxis.title.text == MEASURED
