"""Names stand at what they name: beside the curve that leaves, off the numbers, in the order of the curves."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Any

import pytest
from lab_tools import LAB, drawn

pytestmark = pytest.mark.browser

NAMES = ("GD", "Momentum", "Nesterov", "Newton", "Saddle-free", "Jacobi", "Equilibration", "AdaGrad", "RMSProp",
         "Adam", "ESGD")  # fmt: skip
NUMBER = "[−·.\\d⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+"


def front(found: list[dict[str, Any]], name: str) -> dict[str, Any]:
    return next(canvas for canvas in found if canvas["view"] == name and canvas["front"])


def boxes(view: dict[str, Any]) -> dict[str, list[float]]:
    return {word["words"]: word["box"] for word in view["words"]}


def away(box: list[float], points: list[list[float]]) -> float:
    """The distance in pixels from a box to the nearest of some points."""
    left, top, right, bottom = box
    return min(max(left - x, x - right, top - y, y - bottom, 0) for x, y in points)


@pytest.mark.parametrize("width", [390, 900])
def test_a_run_that_leaves_the_loss_upward_is_named_where_it_leaves(open_lab, width: int) -> None:
    reader = open_lab("descent", width=width)
    loss = front(drawn(reader.page, {"lr_sgd": 2.1, "lr_momentum": 3.5}), "loss")
    top = min(y for line in loss["lines"]["#d5dae0"] for _, y in line)  # of the lines of the grid
    for name, hue in (("GD", "#0072b2"), ("Momentum", "#6a51a3")):
        curve = max(loss["lines"][hue], key=len)
        assert min(y for _, y in curve) < top - 20, "it leaves the plot"
        dense = [
            (x + (u - x) * k / 99, y + (v - y) * k / 99) for (x, y), (u, v) in pairwise(curve) for k in range(100)
        ]
        seen = [(x, y) for x, y in dense if y >= top - 4]
        assert away(boxes(loss)[name], seen) < 60, name


@pytest.mark.parametrize("width", [390, 900])
def test_no_name_lies_on_the_numbers_of_an_axis(open_lab, width: int) -> None:
    reader = open_lab("descent", width=width, state={"methods": ["sgd", "momentum", "rmsprop", "adam"]})
    for change in (
        {"show": ["many"], "lr_sgd": 2.1, "lr_momentum": 9, "lr_rmsprop": 5, "lr_adam": 9},
        {"lr_sgd": 10, "lr_momentum": 10, "lr_adam": 10, "lr_rmsprop": 10},
        {"landscape": "quadratic", "eig1": 1, "eig2": -1, "lr_sgd": 8, "lr_momentum": 8},
    ):
        found = drawn(reader.page, change)
        for view in (front(found, "loss"), front(found, "many")):
            numbers = [w["box"] for w in view["words"] if re.fullmatch(NUMBER, w["words"])]
            assert len(numbers) >= 6
            for name in NAMES:
                for word in (w for w in view["words"] if w["words"] == name):
                    left, top, right, bottom = word["box"]
                    for box in numbers:
                        apart = right <= box[0] or box[2] <= left - 9 or bottom <= box[1] or box[3] <= top
                        assert apart, (view["view"], name, change)


def test_a_dragged_table_is_written_once_the_hand_rests(open_lab) -> None:
    reader = open_lab("descent")
    reader.page.get_by_role("button", name="Table of the steps").click()
    reader.settle()
    made, caption = reader.page.evaluate(
        f"""async () => {{ const lab = {LAB}; let made = 0;
          const table = lab.root.querySelector('.table');
          const watch = new MutationObserver(() => (made += 1)); watch.observe(table, {{ childList: true }});
          for (let i = 0; i < 20; i += 1) {{ lab.update({{ x0: -1 + i / 50 }}); await null; }}
          const during = made, words = () => table.querySelector('caption').textContent;
          for (let i = 0; i < 200 && !words().includes('−0.62'); i += 1)
            await new Promise((done) => setTimeout(done, 50));
          return [[during, made], table.querySelector('caption').textContent]; }}"""
    )
    assert made[0] == 0, "a row is not written at every move"
    assert 1 <= made[1] <= 2
    assert "from (−0.62, " in caption


@pytest.mark.parametrize("width", [390, 900])
@pytest.mark.parametrize("many", ["polynomial", "chain"])
def test_a_run_that_has_blown_up_is_a_word_and_no_stripe(open_lab, many: str, width: int) -> None:
    reader = open_lab("descent", width=width)
    state = {"methods": ["sgd", "esgd"], "many": many, "show": ["eigen", "many"], "lr_esgd": 10, "lr_sgd": 0.5}
    found = drawn(reader.page, state)
    for name in ("eigen", "many"):
        canvases = [canvas for canvas in found if canvas["view"] == name]
        for canvas in canvases:
            steep = [
                line
                for line in canvas["lines"].get("#007a57", [])
                if max(y for _, y in line) - min(y for _, y in line) > 2000
            ]
            assert not steep, name
    assert "ESGD is out" in boxes(front(found, "many"))
    assert "#007a57" not in front(found, "many")["lines"], "its name stands beside no curve"
    assert "ESGD is out" in reader.page.locator("[data-esgd-lab] [data-view=eigen] .key").inner_text()
    calm = drawn(reader.page, {"lr_esgd": 0.01})
    assert "ESGD is out" not in boxes(front(calm, "many"))
    assert "out" not in reader.page.locator("[data-esgd-lab] [data-view=eigen] .key").inner_text()


ORDER = f"""async () => {{ const {{ core }} = await globalThis.__esgdLab; const {{ S, land, runs }} = {LAB};
  const {{ start, noise }} = core.expectedLoss('sgd', S, land);
  const ends = {{ 'from the start': start.at(-1), 'from the noise': noise.at(-1),
    'this run': runs.sgd.losses.at(-1) - land.reference }};
  return Object.keys(ends).sort((a, b) => ends[b] - ends[a]); }}"""


@pytest.mark.parametrize("change", [{}, {"noise": 0.05, "seed": 9}, {"eig2": 0.3, "noise": 0.1}])
@pytest.mark.parametrize("width", [390, 900])
def test_parts_of_the_expected_loss_are_named_in_the_order_of_their_ends(
    open_lab, width: int, change: dict
) -> None:
    reader = open_lab("escape", width=width, state={"methods": ["sgd"]})
    view = front(drawn(reader.page, change), "expected")
    order = reader.page.evaluate(ORDER)
    assert sorted(order, key=lambda name: boxes(view)[name][1]) == order
    right = max(x for curve in view["lines"]["#0072b2"] for x, _ in curve[:1])
    assert all(boxes(view)[name][0] > right for name in order), "beside the curves, not on them"


START = """() => [...document.querySelector('[data-lab-host]').shadowRoot.querySelectorAll('.handle')]
  .filter((e) => e.checkVisibility()).map((handle) => { const plot = handle.parentElement.getBoundingClientRect();
    const word = handle.querySelector('i').getBoundingClientRect(); const ring = handle.getBoundingClientRect();
    return [plot.bottom - word.bottom, word.bottom - ring.top - 14, word.top - ring.bottom + 14]; })"""


@pytest.mark.parametrize("width", [390, 900])
def test_the_word_start_stays_within_the_picture(open_lab, width: int) -> None:
    reader = open_lab("welcome", width=width)
    for y in (-2.3, -2.1, -1.9, 0, 2.3):
        reader.page.evaluate(f"(y0) => {LAB}.update({{ y0 }})", y)
        reader.settle()
        ((inside, above, below),) = reader.page.evaluate(START)
        assert inside >= 0, y
        assert above <= 1 or below >= -4, "over the ring or under it"


@pytest.mark.parametrize("width", [390, 700, 900])
def test_the_two_linked_maps_stand_level(open_lab, width: int) -> None:
    reader = open_lab("contours", width=width)
    for change in ({}, {"damping": 0.1}, {"precond": "absolute", "eig2": -1.2, "boost": 0.5}):
        reader.page.evaluate(f"(change) => {LAB}.update(change)", change)
        reader.settle()
        tops = [
            reader.page.locator(f"[data-esgd-lab] [data-view={name}] .plot").bounding_box()["y"]
            for name in ("path", "after")
        ]
        assert tops[0] == pytest.approx(tops[1], abs=0.6), change
