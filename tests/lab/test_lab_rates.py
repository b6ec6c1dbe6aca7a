"""The effective rates: what is said of them is what the steps use, and what the view speaks of is drawn."""

from __future__ import annotations

import re

import numpy as np
import pytest
from lab_tools import LAB, drawn

from esgd.lab.schema import METHODS

expect = pytest.importorskip("playwright.sync_api", reason="install esgd[test] for the browser tests").expect

STEPS = """(core, SCENES, [methods, wanted]) => methods.map((m) => {
  const S = core.makeState(SCENES.descent.state, { ...wanted, methods: m });
  return { memory: Boolean(core.METHODS[m].memory),
    steps: core.trajectory(m, S).records.map(({ g: [u, v], d, P: { a, b, c } }) =>
      [d, [a * u + b * v, b * u + c * v]]) }; })"""


def test_rates_are_those_of_the_step_but_for_methods_with_a_memory(evaluate) -> None:
    found = evaluate(STEPS, [METHODS, {"steps": 12}])
    apart = []
    for method, one in zip(METHODS, found, strict=True):
        d, rated = np.array(one["steps"]).transpose(1, 0, 2)
        assert one["memory"] == (not np.allclose(d, rated, rtol=1e-9, atol=1e-12)), method
        apart += [method] * one["memory"]
    assert apart == ["momentum", "nesterov", "adam"]


@pytest.mark.parametrize("method", ["momentum", "nesterov", "adam"])
def test_a_steady_gradient_would_get_the_rates_that_are_shown(evaluate, method: str) -> None:
    plane = {
        "landscape": "quadratic",
        "eig1": 1e-6,
        "eig2": 1e-6,
        "x0": 5,
        "y0": -4,
        "steps": 400,
        "momentum": 0.9,
        "lr_adam": 1e-4,
    }
    (one,) = evaluate(STEPS, [[method], plane])
    d, rated = one["steps"][-1]
    assert d == pytest.approx(rated, rel=1e-3)


@pytest.mark.browser
def test_the_table_says_whose_rates_are_not_of_the_step(open_lab) -> None:
    reader = open_lab("descent")
    reader.page.get_by_role("button", name="Table of the steps").click()
    caption = reader.page.locator("[data-esgd-lab] caption")
    expect(caption).to_contain_text("of Momentum they are what a steady gradient would get")
    reader.page.evaluate(f"{LAB}.update({{ methods: ['sgd', 'nesterov', 'adam'] }})")
    reader.settle()
    expect(caption).to_contain_text("of Nesterov momentum and Adam they are")  # once the hand rests
    reader.page.evaluate(f"{LAB}.update({{ methods: ['sgd', 'esgd'] }})")
    reader.settle()
    expect(caption).not_to_contain_text("steady")
    rates = next(
        v for v in drawn(reader.page, {"methods": ["sgd", "adam"], "show": ["rates"]}) if v["view"] == "rates"
    )
    assert {"GD", "Adam*"} <= {word["words"] for word in rates["words"]}
    figure = reader.page.locator("[data-esgd-lab] [data-view=rates]")
    assert "*: for a steady gradient" in figure.inner_text()
    assert figure.get_by_role("img").get_attribute("aria-label").endswith(" for a steady gradient.")


DASHES = """async (change) => {
  const { lab } = document.querySelector('[data-esgd-lab]').esgdLab; const seen = [];
  const { setLineDash } = CanvasRenderingContext2D.prototype;
  CanvasRenderingContext2D.prototype.setLineDash = function (dash) {
    if (dash.length && this.canvas.closest('[data-view=rates]')) seen.push(dash.join());
    return setLineDash.call(this, dash); };
  lab.update(change); await new Promise((done) => setTimeout(done, 400));
  CanvasRenderingContext2D.prototype.setLineDash = setLineDash;
  return [[...new Set(seen)], document.querySelector('[data-lab-host]').shadowRoot
    .querySelector('[data-view=rates] .head').innerText]; }"""
ELLIPSE, AXIS = "3,4", "4,4"


@pytest.mark.browser
@pytest.mark.parametrize(
    ("scene", "change", "dashes"),
    [
        ("welcome", {}, {AXIS}),
        ("welcome", {"methods": ["sgd", "esgd"]}, set()),
        ("welcome", {"at": 1, "methods": ["sgd"]}, {ELLIPSE}),
        ("rotation-dial", {}, {ELLIPSE}),
        ("rotation-dial", {"methods": ["newton", "jacobi"]}, {ELLIPSE, AXIS}),
        ("rotation-dial", {"methods": []}, {ELLIPSE}),
    ],
)
def test_the_rates_explain_what_is_dashed_and_nothing_else(
    open_lab, scene: str, change: dict, dashes: set[str]
) -> None:
    seen, head = open_lab(scene).page.evaluate(DASHES, change)
    assert set(seen) == dashes
    assert ("dashed: |H|⁻¹" in head) == (ELLIPSE in dashes), head
    assert ("axis: Newton uphill" in head) == (AXIS in dashes), head
    if ELLIPSE in dashes:
        assert re.search(r"\|H\|⁻¹ at (GD|Newton|Jacobi|the start)", head)


@pytest.mark.browser
@pytest.mark.parametrize("width", [390, 900])
def test_what_is_under_the_rates_stands_still_while_the_notes_change(open_lab, width: int) -> None:
    for scene, changes in (
        ("rotation-dial", [{"angle": angle} for angle in (0, 30, 44, 45)]),
        ("welcome", [{"at": at} for at in (0, 1, 5, 12, 30, 60)]),
    ):
        reader = open_lab(scene, width=width)
        places = set()
        for change in changes:
            reader.page.evaluate(f"(change) => {LAB}.update(change)", change)
            reader.settle()
            plot = reader.page.locator("[data-esgd-lab] [data-view=rates] .plot")
            places.add(plot.evaluate("(e) => e.offsetTop - e.closest('figure').offsetTop"))
        assert len(places) == 1, scene
