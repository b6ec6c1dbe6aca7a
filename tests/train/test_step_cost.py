from __future__ import annotations

import json
from pathlib import Path

import pytest

from esgd.errors import ConfigError, DataError
from esgd.figures.learning_curves import MEASURED, TOGETHER, X_AXES, learning_curves
from esgd.figures.paper import paper_figure
from esgd.figures.step_cost import at_measured_cost, fitting_costs, sgd_step_seconds, step_costs, trained_together

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


def manifest(folder: Path, *kinds: tuple[str, ...], **about) -> Path:
    """A record whose runs had sessions on these device types."""
    runs = [{"run": str(n), "sessions": [{"device_type": k} for k in run]} | about for n, run in enumerate(kinds)]
    (folder / "manifest.json").write_text(json.dumps({"runs": runs, "searches": []}))
    return folder / "records.csv"


@pytest.fixture
def benchmarks(tmp_path, table) -> Path:
    """A folder with the costs on a CPU alone."""
    costs = json.loads(table.read_text()) | {"provenance": {"device_type": "cpu"}}
    (tmp_path / "step-cpu.json").write_text(json.dumps(costs))
    return tmp_path


RUNS = [*disturbed("sgd"), *disturbed("esgd")]


def test_costs_go_to_runs_on_the_device_that_they_were_measured_on(benchmarks, tmp_path):
    cpu = manifest(tmp_path, ("cpu",), ("cpu", "cpu"))
    assert fitting_costs(cpu, benchmarks, "mnist", RUNS) == step_costs(benchmarks / "step-cpu.json", "mnist")
    assert fitting_costs(cpu, benchmarks, "faces", RUNS) is None
    assert fitting_costs(cpu, benchmarks, "mnist", disturbed("esgd")) is None  # no SGD run gives the unit
    assert fitting_costs(cpu, benchmarks, "mnist", [*RUNS, *disturbed("adam")]) is None
    assert fitting_costs(tmp_path / "nowhere" / "records.csv", benchmarks, "mnist", RUNS) is None
    for kinds in ((("cuda",), ("cuda",)), (("cpu",), ("cuda",)), (("cpu", "cuda"),)):
        assert fitting_costs(manifest(tmp_path, *kinds), benchmarks, "mnist", RUNS) is None
    wrong = json.loads((benchmarks / "step-cpu.json").read_text())
    (benchmarks / "step-cuda.json").write_text(json.dumps(wrong))  # by name alone
    gpu = manifest(tmp_path, ("cuda",))
    assert fitting_costs(gpu, benchmarks, "mnist", RUNS) is None
    (benchmarks / "step-cuda.json").write_text(json.dumps(wrong | {"provenance": {"device_type": "cuda"}}))
    assert fitting_costs(gpu, benchmarks, "mnist", RUNS)["esgd"] == 1.25
    older = {"runs": [{"run": "a", "device_type": "cpu"}]}  # without sessions
    (tmp_path / "manifest.json").write_text(json.dumps(older))
    assert fitting_costs(cpu, benchmarks, "mnist", RUNS)


def test_seconds_of_an_ensemble_are_the_clocks_and_say_whose(benchmarks, tmp_path):
    source = manifest(tmp_path, ("cpu",), ("cpu",), ensemble={"folder": "both", "member": 0, "members": 2})
    assert trained_together(source)
    assert fitting_costs(source, benchmarks, "mnist", RUNS) is None
    assert not trained_together(manifest(tmp_path, ("cpu",)))
    figure = learning_curves(RUNS, x="seconds", together=True)
    assert figure.layout.xaxis.title.text == TOGETHER == figure.layout.updatemenus[0].buttons[3].label
    assert list(figure.data[-1].x) == [0, 2, 9, 13]
    assert at_measured_cost(RUNS, None, 1.0) == RUNS


@pytest.mark.parametrize(
    ("change", "title"),
    [
        ({}, MEASURED),
        ({"device_type": "cuda"}, X_AXES["seconds"]),
        ({"ensemble": {"folder": "a", "members": 3}}, TOGETHER),
    ],
)
def test_figure_5_of_a_record_on_another_device_has_the_clock(monkeypatch, tmp_path, change, title):
    root = Path(__file__).parents[2]
    record = root / "results" / "fig5" / "curves"
    told = json.loads((record / "manifest.json").read_text())
    told["runs"] = [
        run
        | {key: value for key, value in change.items() if key == "ensemble"}
        | {"sessions": [session | change for session in run["sessions"]]}
        for run in told["runs"]
    ]
    (tmp_path / "manifest.json").write_text(json.dumps(told))
    (tmp_path / "records.csv").write_bytes((record / "records.csv").read_bytes())
    monkeypatch.chdir(root)
    drawn = paper_figure(5, tmp_path, x="seconds")
    assert drawn.layout.xaxis.title.text == title
