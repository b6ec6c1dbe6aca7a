"""Fingers, addresses and endings: cancelled drags, targets of 44 pixels, shared addresses, listeners taken away."""

from __future__ import annotations

from typing import Any

import pytest

from esgd.lab import page_script, placeholder

pytestmark = pytest.mark.browser

PHONE = {"width": 390, "height": 844, "touch": True}


class Finger:
    """One finger on the screen, moved by the browser's own input events."""

    def __init__(self, page: Any) -> None:
        self.page = page
        self.session = page.context.new_cdp_session(page)

    def send(self, kind: str, *points: tuple[float, float]) -> None:
        touches = [{"x": x, "y": y} for x, y in points]
        self.session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": touches})

    def middle(self, selector: str) -> tuple[float, float]:
        target = self.page.locator(f"[data-esgd-lab] {selector}").first
        target.scroll_into_view_if_needed()
        box = target.bounding_box()
        return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


@pytest.mark.parametrize(
    ("scene", "selector", "keys"),
    [
        ("welcome", ".handle", ("x0", "y0")),
        ("rotation-dial", ".dial svg", ("angle",)),
        ("rotation-dial", "[data-view=dial] canvas", ("angle",)),
        ("descent", "[data-view=loss] canvas", ("at",)),
        ("saddle-free", "[data-view=phase] canvas", ("lr_newton", "lr_saddle_free")),
    ],
)
def test_cancelled_drag_leaves_the_state_as_it_was(open_lab, scene: str, selector: str, keys: tuple) -> None:
    reader = open_lab(scene, **PHONE)
    finger = Finger(reader.page)
    x, y = finger.middle(selector)
    before = [reader.state()[key] for key in keys]

    finger.send("touchStart", (x, y))
    finger.send("touchMove", (x + 30, y - 14))
    reader.settle()
    assert [reader.state()[key] for key in keys] != before, "the drag does nothing"
    finger.send("touchCancel")
    reader.settle()
    assert [reader.state()[key] for key in keys] == before
    reader.page.mouse.move(x - 20, y)  # nothing is held any more
    reader.settle()
    assert [reader.state()[key] for key in keys] == before

    finger.send("touchStart", (x, y))  # and the next drag works as ever
    finger.send("touchMove", (x + 30, y - 14))
    finger.send("touchEnd")
    reader.settle()
    assert [reader.state()[key] for key in keys] != before
    assert reader.problems == []


def test_second_finger_does_not_pull_at_the_start(open_lab) -> None:
    reader = open_lab("welcome", **PHONE)
    finger = Finger(reader.page)
    x, y = finger.middle(".handle")
    finger.send("touchStart", (x, y))
    finger.send("touchMove", (x - 40, y))
    reader.settle()
    held = reader.state()["x0"]
    finger.send("touchStart", (x - 40, y), (x - 30, y + 6))
    finger.send("touchMove", (x - 40, y), (x + 60, y + 60))
    reader.settle()
    assert reader.state()["x0"] == pytest.approx(held)
    finger.send("touchEnd")


COVERED = """(e) => { const box = e.getBoundingClientRect(); const root = e.getRootNode();
  const [x, y] = [box.x + box.width / 2, box.y + box.height / 2];
  const spots = [[x, y], [x - 20, y], [x + 20, y], [x, y - 20], [x, y + 20]];
  return { width: box.width, height: box.height,
    other: spots.filter(([a, b]) => a >= 0 && a <= innerWidth && root.elementFromPoint(a, b) !== e).length }; }"""


@pytest.mark.parametrize("width", [390, 900])
def test_crosses_and_triangles_are_44_pixels_for_a_finger(open_lab, width: int) -> None:
    reader = open_lab("descent", "saddle-free", "contours", width=width, height=1000, touch=True)
    for place in reader.page.locator("[data-esgd-lab]").all():
        place.scroll_into_view_if_needed()
        place.locator(".best:visible").first.wait_for()
    for selector in ("[data-remove]", ".best"):
        for target in reader.page.locator(f"[data-esgd-lab] {selector}").all():
            if target.is_visible():
                target.scroll_into_view_if_needed()
                found = target.evaluate(COVERED)
                assert found["width"] >= 43.9, (selector, found)
                assert found["height"] >= 43.9, (selector, found)
                assert found["other"] == 0, (selector, found, "something else takes the touch")


def states(reader: Any) -> list[dict[str, Any] | None]:
    return reader.page.evaluate(
        "() => [...document.querySelectorAll('[data-esgd-lab]')].map((p) => p.esgdLab ? p.esgdLab.lab.S : null)"
    )


def test_address_finds_its_lab_wherever_on_the_page_it_is(open_lab) -> None:
    reader = open_lab("welcome", "descent", "contours", "escape", "descent", "probes")
    assert states(reader)[4] is None, "the lab far down the page is not drawn yet"
    first = states(reader)[1]

    reader.page.evaluate("location.hash = '#lab=descent.2&kappa=300'")
    reader.page.wait_for_function("document.querySelectorAll('[data-esgd-lab]')[4].esgdLab")
    reader.settle()
    assert states(reader)[4]["kappa"] == 300
    assert states(reader)[1] == first
    reader.page.evaluate("location.hash = '#lab=descent.2&kappa=20&steps=30'")
    reader.settle()
    assert (states(reader)[4]["kappa"], states(reader)[4]["steps"]) == (20, 30)
    reader.page.evaluate("location.hash = '#lab=escape&seed=9'")
    reader.settle()
    assert states(reader)[3]["seed"] == 9
    assert states(reader)[1] == first
    before = states(reader)
    for nobody in ("#lab=descent.3&kappa=5", "#lab=nowhere&kappa=5", "#lab-beside-other-figures"):
        reader.page.evaluate(f"location.hash = '{nobody}'")
        reader.settle()
    assert states(reader) == before
    assert reader.problems == []


def test_restored_state_has_its_best_rates_marked(open_lab) -> None:
    reader = open_lab("descent")
    reader.page.evaluate("location.hash = '#lab=descent&kappa=4'")
    reader.settle()
    assert reader.state()["best"]["sgd"]["value"] == pytest.approx(2 / (1 + 1 / 4))


def test_address_of_the_second_lab_of_a_scene_is_its_own(open_lab) -> None:
    reader = open_lab("descent", "descent")
    reader.page.get_by_role("button", name="Link to this state").nth(1).click()
    field = reader.page.get_by_role("textbox", name="What to copy")
    assert field.input_value().endswith("#lab=descent.2")


COUNT = """() => { window.heard = {};
  const name = (target) => target === window ? 'window' : target.nodeName ?? target.media;
  const outer = (target) => [window, document, document.documentElement, document.body].includes(target)
    || target instanceof MediaQueryList;
  const { addEventListener: add, removeEventListener: remove } = EventTarget.prototype;
  const counted = (by, whole) => function (type, ...rest) {
    const target = this ?? window;
    const key = `${type} of ${name(target)}`;
    if (outer(target)) window.heard[key] = (window.heard[key] ?? 0) + by;
    return whole.call(target, type, ...rest); };
  EventTarget.prototype.addEventListener = counted(1, add);
  EventTarget.prototype.removeEventListener = counted(-1, remove); }"""


def test_destroyed_lab_leaves_no_listener_behind(open_lab) -> None:
    reader = open_lab("welcome")
    reader.page.evaluate(COUNT)
    listened = reader.page.evaluate(
        """async () => { const module = await globalThis.__esgdLab; const place = document.createElement('div');
          document.body.append(place);
          window.second = module.mount(place, { scene: 'esgd-steps' });
          return { ...window.heard }; }"""
    )
    assert listened["beforeprint of window"] == 1
    reader.page.evaluate("window.second.destroy()")
    left = reader.page.evaluate("window.heard")
    assert set(left.values()) == {0}, left


def test_page_listens_for_the_first_print_only(browser) -> None:
    page = browser.new_page()
    places = "".join(placeholder(scene) for scene in ("welcome", "descent", "contours", "escape"))
    page.set_content(f"<main>{places}</main>")
    page.add_script_tag(content=page_script())
    page.wait_for_function("document.querySelectorAll('[data-lab-host]').length >= 2")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator("[data-lab-host]").count() == 4
    page.evaluate(
        "() => { const p = document.querySelectorAll('[data-esgd-lab]')[3]; p.esgdLab.destroy();"
        " dispatchEvent(new Event('beforeprint')); }"
    )
    assert page.locator("[data-lab-host]").count() == 3, "a destroyed lab is not drawn again"
    page.close()
