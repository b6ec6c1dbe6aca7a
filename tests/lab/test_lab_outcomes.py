"""What the lab says of runs that are nearly caught, of critical points by their signs, and of modes."""

from __future__ import annotations

import pytest
from lab_tools import drawn

SAY = """(core, SCENES, cases) => cases.map(([scene, wanted]) => {
  const S = core.makeState(scene ? SCENES[scene].state : {}, wanted);
  return Object.fromEntries(S.methods.map((m) => [m, core.outcome(core.trajectory(m, S), S)])); })"""


def test_a_run_that_will_leave_is_not_caught(evaluate) -> None:
    state = {"noise": 0, "eig2": -0.1, "y0": 0.048}
    short, long, ridge, turned = evaluate(
        SAY,
        [
            ["escape", {**state, "steps": 20}],
            ["escape", {**state, "steps": 400}],
            ["escape", {**state, "steps": 60, "y0": 0}],
            ["escape", {**state, "steps": 60, "angle": 30, "x0": 1.9 * 3**0.5 / 2, "y0": 0.95}],  # but for rounding
        ],
    )
    assert short["sgd"]["kind"] == "moving"
    assert long["sgd"]["text"] == "escaped at step 170"
    assert ridge["sgd"]["text"] == "caught at a critical point"
    assert turned["sgd"]["kind"] == "caught"


def test_a_higher_minimum_is_one(evaluate) -> None:
    beale, himmelblau, camel = evaluate(
        SAY,
        [
            [
                None,
                {
                    "landscape": "beale", "x0": -0.298, "y0": -3.492, "methods": ["equilibration"],
                    "lr_equilibration": 0.25, "steps": 20,
                },
            ],
            [
                None,
                {
                    "landscape": "himmelblau", "x0": -4.074, "y0": -2.037, "methods": ["esgd"], "lr_esgd": 0.25,
                    "interval": 2, "warmup": 2, "damping": 0.01, "steps": 5,
                },
            ],
            [None, {"landscape": "camel", "x0": 1.6, "y0": -0.7, "methods": ["sgd"], "lr_sgd": 0.05}],
        ],
    )  # fmt: skip
    assert beale["equilibration"]["kind"] == "moving"
    assert himmelblau["esgd"]["text"] == "escaped at step 1"
    assert camel["sgd"]["text"].endswith("higher minimum")


@pytest.mark.parametrize(
    ("curvatures", "point", "said"),
    [
        ((1, -0.5), "saddle", "escaped at step"),
        ((-1, -0.5), "maximum", "left the maximum at step"),
        ((0, -0.5), "ridge", "left the ridge at step"),
    ],
)
def test_the_critical_point_is_named_by_its_signs(evaluate, curvatures: tuple, point: str, said: str) -> None:
    start = {"noise": 0, "x0": 0.2, "y0": 0.1, "methods": ["sgd"]}
    state = {**start, "eig1": curvatures[0], "eig2": curvatures[1]}
    (near,) = evaluate(SAY, [["escape", state]])
    assert near["sgd"]["text"].startswith(said)
    past = {**state, "x0": 0.1, "y0": 2}
    (far,) = evaluate(SAY, [["escape", past]])
    assert far["sgd"]["text"].startswith(f"started past the {point}; ")
    why = """(core, SCENES, wanted) => { const S = core.makeState(SCENES.escape.state, wanted);
      return core.whyNoEscape(S, core.landscapeOf(S)); }"""
    assert f"past the {point}" in evaluate(why, past)


def test_modes_are_named_by_their_signs(evaluate) -> None:
    names = evaluate(
        "(core, _, pairs) => pairs.map(([h, other]) => core.modeName(h, other))",
        [[1, 0.2], [0.2, 1], [1, 1], [1, -1], [-1, 1], [0, -0.5], [-0.5, 0], [1e-17, 1], [-1e-17, 1], [-1, -1]],
    )
    up, down, flat = "uphill mode", "downhill mode", "flat mode"
    assert names == ["steep mode", flat, "mode", up, down, flat, down, flat, flat, down]


@pytest.mark.browser
@pytest.mark.parametrize(
    ("change", "named"), [({"eig1": -1, "eig2": -0.5}, "maximum"), ({"eig1": 1, "eig2": -0.5}, "saddle")]
)
def test_the_views_name_it_too(open_lab, change: dict, named: str) -> None:
    reader = open_lab("escape", state={"x0": 0.4, "y0": 0.2})
    words = {
        view["view"]: {word["words"] for word in view["words"]}
        for view in drawn(reader.page, {**change, "show": ["surface"]})
        if view["front"]
    }
    for view in ("path", "loss", "surface"):
        assert {"maximum", "saddle"} & words[view] == {named}, view
