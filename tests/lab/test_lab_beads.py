"""Quadratics of many weights under the reader's hand: by mouse, finger and keys; what the pictures say of them."""

from __future__ import annotations

from typing import Any

import pytest
from lab_tools import LAB
from test_lab_touch import PHONE, Finger

VIEWS = ["many", "eigen", "spread"]


@pytest.fixture
def reader(open_lab) -> Any:
    """The descent scene with the three views open."""
    found = open_lab("descent", state={"show": VIEWS}, width=900, height=1300)
    yield found
    assert found.problems == []


def alt(reader: Any, view: str) -> str:
    return reader.page.locator(f"[data-esgd-lab] [data-view={view}] canvas").get_attribute("aria-label")


def focus(page: Any) -> str:
    """The name of what has the focus in the lab."""
    return page.evaluate(
        "(({ ariaLabel, innerText }) => ariaLabel ?? innerText)"
        "(document.querySelector('[data-lab-host]').shadowRoot.activeElement)"
    )


def drag(reader: Any, bead: Any, dy: float) -> None:
    bead.scroll_into_view_if_needed()
    box = bead.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    reader.page.mouse.move(x, y)
    reader.page.mouse.down()
    reader.page.mouse.move(x, y + dy, steps=4)
    reader.page.mouse.up()
    reader.settle()


@pytest.mark.browser
def test_a_data_point_follows_the_hand_and_the_fit_the_data(reader) -> None:
    beads = reader.page.locator("[data-view=many] .bead")
    assert beads.count() == 12
    before = reader.page.evaluate_handle(f"{LAB}.runs")
    at = float(beads.nth(4).get_attribute("aria-valuenow"))
    beads.nth(4).scroll_into_view_if_needed()
    top = beads.nth(4).bounding_box()["y"]
    drag(reader, beads.nth(4), -30)
    data = reader.state()["data"]
    assert data[4] > at + 0.2
    assert beads.nth(4).bounding_box()["y"] == pytest.approx(top - 30, abs=1.5)
    assert float(beads.nth(4).get_attribute("aria-valuenow")) == pytest.approx(data[4])
    same = reader.page.evaluate(f"(before) => before === {LAB}.runs", before)
    assert same, "the runs of two weights are as they were"
    drag(reader, beads.nth(4), -900)  # no farther than its range
    assert reader.state()["data"][4] == pytest.approx(2)
    page = reader.page
    box = beads.nth(4).bounding_box()
    page.mouse.move(box["x"] + 22, box["y"] + 36)  # taken below its middle it does not jump there
    page.mouse.down()
    page.mouse.move(box["x"] + 22, box["y"] + 37)
    page.mouse.up()
    reader.settle()
    assert reader.state()["data"][4] == pytest.approx(2, abs=0.05)


@pytest.mark.browser
def test_beads_are_one_stop_of_tab_and_moved_by_arrows(reader) -> None:
    page = reader.page
    beads = page.locator("[data-view=many] .bead")
    assert page.locator("[data-view=many] .bead[tabindex='0']").count() == 1
    beads.first.focus()
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    assert focus(page).startswith("Data point 4 of 12")
    at = float(beads.nth(3).get_attribute("aria-valuenow"))
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Shift+ArrowUp")
    reader.settle()
    assert reader.state()["data"][3] == pytest.approx(at + 0.3, abs=2e-3)
    page.keyboard.press("End")
    reader.settle()
    assert reader.state()["data"][3] == pytest.approx(2)
    page.keyboard.press("Tab")  # and out of the row
    assert not focus(page).startswith("Data point")


@pytest.mark.browser
def test_the_start_of_a_chain_and_of_a_mode_is_set_by_hand_and_shared(reader) -> None:
    page = reader.page
    page.locator("[data-view=many]").get_by_role("button", name="chain of neighbours").click()
    reader.settle()
    beads = page.locator("[data-view=many] .bead")
    assert beads.count() == 16
    drag(reader, beads.nth(9), -25)
    weights = reader.state()["weights"]
    assert weights[9] > 0.2
    assert sum(map(abs, weights)) == pytest.approx(weights[9])

    modes = page.locator("[data-view=eigen] .bead")
    assert modes.count() == 16
    modes.last.focus()
    page.keyboard.press("ArrowUp")
    reader.settle()
    begun = reader.state()["weights"]
    assert begun != weights
    page.locator("[data-view=eigen]").get_by_role("button", name="chain of neighbours").click()  # as it is
    reader.settle()
    assert reader.state()["weights"] == begun
    page.locator("[data-view=eigen]").get_by_role("button", name="fit of a polynomial").click()
    reader.settle()
    assert reader.state()["weights"] == []
    assert modes.count() == 6


@pytest.mark.browser
def test_what_was_moved_goes_back_by_a_button_and_by_reset(reader) -> None:
    page = reader.page
    back = page.locator("[data-view=many] .back")
    for way in (back, page.get_by_role("button", name="Reset")):
        assert not back.is_visible()
        drag(reader, page.locator("[data-view=many] .bead").nth(2), 20)
        page.locator("[data-view=eigen] .bead").first.focus()
        page.keyboard.press("ArrowUp")
        reader.settle()
        state = reader.state()
        assert state["data"]
        assert any(state["weights"])
        assert back.is_visible()
        way.click()
        reader.settle()
        assert (reader.state()["data"], reader.state()["weights"]) == ([], [])
    assert "6 weights" in alt(reader, "many")


@pytest.mark.browser
@pytest.mark.parametrize("problem", ["polynomial", "chain"])
def test_a_mode_follows_the_pointer_and_leaves_the_others_alone(reader, evaluate, problem: str) -> None:
    page = reader.page
    if problem == "chain":
        page.locator("[data-view=eigen]").get_by_role("button", name="chain of neighbours").click()
        reader.settle()
    modes = page.locator("[data-view=eigen] .bead")
    for k in (0, 3, modes.count() - 1):
        bead = modes.nth(k)
        bead.scroll_into_view_if_needed()
        before = [float(modes.nth(i).get_attribute("aria-valuenow")) for i in range(modes.count())]
        box = bead.bounding_box()
        x, y = box["x"] + 22, box["y"] + 22
        page.mouse.move(x, y)
        page.mouse.down()
        for move in range(12):
            page.mouse.move(x, y - 20 - move % 2)
            page.wait_for_timeout(30)
        reader.settle()
        held = bead.bounding_box()["y"] + 22
        page.mouse.up()
        reader.settle()
        assert held == pytest.approx(y - 21, abs=2)
        after = [float(modes.nth(i).get_attribute("aria-valuenow")) for i in range(modes.count())]
        assert after[k] > before[k], "up is more"
        others = [i for i in range(len(after)) if i != k]
        assert [after[i] for i in others] == pytest.approx([before[i] for i in others], abs=1e-4)
        top, value = bead.bounding_box()["y"], after[k]
        bead.focus()
        page.keyboard.press("ArrowDown")
        reader.settle()
        assert float(bead.get_attribute("aria-valuenow")) < value
        page.keyboard.press("Shift+ArrowDown")
        reader.settle()
        assert bead.bounding_box()["y"] > top
    assert "of the" in alt(reader, "eigen")


@pytest.mark.browser
def test_values_from_an_address_lie_within_what_is_said_of_them(open_lab) -> None:
    state = {"show": VIEWS, "many": "chain", "weights": [3, -2, 20], "data": [2, -2]}
    reader = open_lab("descent", state=state)
    for problem in ("chain of neighbours", "fit of a polynomial"):
        reader.page.locator("[data-view=many]").get_by_role("button", name=problem).click()
        reader.settle()
        for bead in reader.page.locator(".bead").all():
            least, now, most = (float(bead.get_attribute(f"aria-value{what}")) for what in ("min", "now", "max"))
            assert least - 1e-3 <= now <= most + 1e-3
        canvas = reader.page.locator("[data-view=many] canvas").bounding_box()
        for bead in reader.page.locator("[data-view=many] .bead").all():
            box = bead.bounding_box()
            assert canvas["y"] - 1 <= box["y"] + 22 <= canvas["y"] + canvas["height"] + 1
    assert reader.problems == []


@pytest.mark.browser
def test_address_and_line_of_python_hold_the_lists(open_lab, evaluate) -> None:
    shown = {"many": "chain", "weights": [0.5, -0.25, 1], "data": [0.1, -1.5]}
    line, address, back = evaluate(
        """(core, SCENES, shown) => { const preset = SCENES.descent.state; const S = core.makeState(preset, shown);
          const address = core.encodeState('descent', preset, S);
          return [core.pythonLine('descent', preset, S), address, core.decodeState('#' + address).state]; }""",
        shown,
    )
    assert "weights=[0.5,-0.25,1]" in line
    assert "data=[0.1,-1.5]" in line
    reader = open_lab("descent", hash="#" + address)
    state = reader.state()
    assert (state["weights"], state["data"], state["many"]) == (shown["weights"], shown["data"], "chain")
    assert back["weights"] == "0.5+-0.25+1"


@pytest.mark.browser
def test_a_finger_takes_the_nearest_of_crowded_beads(open_lab) -> None:
    reader = open_lab("descent", state={"show": ["many"], "many": "chain"}, **PHONE)
    finger = Finger(reader.page)
    beads = reader.page.locator("[data-view=many] .bead")
    box = beads.nth(6).bounding_box()
    assert min(box["width"], box["height"]) >= 44
    beads.nth(6).scroll_into_view_if_needed()
    box = beads.nth(6).bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    finger.send("touchStart", (x, y))  # the beads to the right lie above it
    finger.send("touchMove", (x, y - 20))
    finger.send("touchEnd")
    reader.settle()
    weights = reader.state()["weights"]
    assert [i for i, v in enumerate(weights) if v] == [6]
    finger.send("touchStart", (x, y - 20))
    finger.send("touchMove", (x, y - 45))
    finger.send("touchCancel")
    reader.settle()
    assert reader.state()["weights"] == weights
    assert reader.problems == []


@pytest.mark.browser
def test_picture_over_time_says_how_far_the_news_has_come_and_sets_the_step(reader) -> None:
    assert "of the first largest distance" in alt(reader, "spread")
    reader.page.locator("[data-view=spread]").get_by_role("button", name="chain of neighbours").click()
    reader.settle()
    reach = reader.page.evaluate(
        """async () => { const { lab } = document.querySelector('[data-esgd-lab]').esgdLab;
          const { core } = await globalThis.__esgdLab;
          const run = core.manyRun('sgd', lab.S, core.manyProblem(lab.S, 1));
          return Math.floor(core.newsReach(run.at(-1))); }"""
    )
    assert f"Gradient descent: at least half believed up to place {reach} of 16" in alt(reader, "spread")
    canvas = reader.page.locator("[data-view=spread] canvas")
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    reader.page.mouse.click(box["x"] + 0.25 * box["width"], box["y"] + 0.5 * box["height"])
    reader.settle()
    assert 35 < reader.state()["at"] < 46  # the middle of the first of two pictures of 80 steps
    update = f"(change) => {LAB}.update(change)"
    reader.page.evaluate(update, {"lr_sgd": 9, "at": 80, "steps": 80})
    reader.settle()
    assert "Gradient descent: beyond all bounds at step" in alt(reader, "spread")
    reader.page.evaluate(update, {"methods": []})
    reader.settle()
    assert "No method runs" in reader.page.locator("[data-view=spread] .absent").inner_text()
    everything = reader.page.evaluate("async () => Object.keys((await globalThis.__esgdLab).core.METHODS)")
    reader.page.evaluate(update, {"methods": everything, "lr_sgd": 1})
    reader.settle()
    said = alt(reader, "spread")
    assert "AdaGrad: " in said
    assert "ESGD: " in said
    assert "the first 6 of 11 methods" in reader.page.locator("[data-view=spread] .head").inner_text()
