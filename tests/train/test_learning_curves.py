from __future__ import annotations

import pytest

from esgd.errors import ConfigError
from esgd.figures.learning_curves import X_AXES, bands, learning_curves
from esgd.figures.palette import colour


def rows(method: str, seed: int, losses: list[float]) -> list[dict]:
    return [
        {
            "run": f"{method}-{seed}",
            "seed": seed,
            "method": method,
            "epoch": epoch,
            "step": 100 * epoch,
            "loss": loss,
            "squared_error": loss / 5,
            "seconds": 2.0 * epoch + seed,
            "gradient_equivalents": 109.0 * epoch,
        }
        for epoch, loss in enumerate(losses)
    ]


RECORDS = [
    *rows("esgd", 0, [9, 5, 3, 2]),
    *rows("esgd", 1, [8, 7, 1]),
    *rows("esgd", 2, [7, 6, 2]),
    *rows("sgd", 0, [9, 8]),
]


def test_bands_are_median_and_range_at_the_epochs_that_all_seeds_have():
    found = bands(RECORDS)
    assert list(found) == ["sgd", "esgd"]
    assert found["esgd"]["median"] == [8, 6, 2]
    assert found["esgd"]["low"] == [7, 5, 1]
    assert found["esgd"]["high"] == [9, 7, 3]
    assert found["esgd"]["seeds"] == [3, 3, 3]
    assert found["esgd"]["seconds"] == [1, 3, 5]  # the mean over seeds


def test_what_is_not_finite_is_left_out():
    found = bands([*rows("sgd", 0, [9, 8, float("inf")]), *rows("sgd", 1, [9, 7, 6])])
    assert found["sgd"]["median"] == [9, 7.5]


def test_each_run_is_named_on_hover_and_every_axis_can_be_chosen():
    figure = learning_curves(RECORDS, x="step", overlay=rows("esgd", 9, [9, 4]))
    hovers = [trace.hovertemplate or "" for trace in figure.data]
    for name in ("esgd-0", "esgd-1", "esgd-2", "sgd-0", "esgd-9"):
        assert any(hover.startswith(name) for hover in hovers)
    buttons = figure.layout.updatemenus[0].buttons
    assert [button.label for button in buttons] == list(X_AXES.values())
    for axis, button in zip(X_AXES, buttons, strict=True):
        assert len(button.args[0]["x"]) == len(figure.data)
        for trace, x in zip(figure.data, button.args[0]["x"], strict=True):
            assert len(x) == len(trace.y)
        single = next(i for i, h in enumerate(hovers) if h.startswith("esgd-1"))
        assert list(button.args[0]["x"][single]) == [row[axis] for row in rows("esgd", 1, [8, 7, 1])]
    assert figure.layout.xaxis.title.text == "updates"
    lines = {trace.name: trace.line.color for trace in figure.data if trace.name}
    assert lines["ESGD"] == colour("esgd")


def test_a_run_that_went_on_alone_is_dotted_from_the_end_of_the_band():
    dotted = [trace for trace in learning_curves(RECORDS).data if trace.line.dash == "dot"]
    assert [(list(t.x), list(t.y)) for t in dotted] == [([2, 3], [3, 2])]  # esgd-0, the only longer one
    assert dotted[0].hovertemplate.startswith("esgd-0")
    assert dotted[0].line.width > 1


def test_bad_requests_are_refused():
    with pytest.raises(ConfigError, match="horizontal axis 'time'"):
        learning_curves(RECORDS, x="time")
    with pytest.raises(ConfigError, match="vertical axis"):
        learning_curves(RECORDS, y="accuracy")
    with pytest.raises(ConfigError, match="no records"):
        learning_curves([])
