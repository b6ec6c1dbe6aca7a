"""The hand on the controls: keys on every slider, a start that stays in the picture, what a choice takes along."""

from __future__ import annotations

from typing import Any

import pytest
from lab_tools import LAB

from esgd.lab import SCENES
from esgd.lab.schema import LANDSCAPES

WALK = """(core, scenes, key) => {
  const setting = core.SETTINGS[key];
  const walk = (from, stride) => {
    const seen = [from];
    while (seen.length < 3000) {
      const next = core.nudged(setting, seen[seen.length - 1], stride);
      if (next === seen[seen.length - 1]) break;
      seen.push(next);
    }
    return seen;
  };
  return { min: setting.min, max: setting.max, up: walk(setting.min, 1), down: walk(setting.max, -1),
    pages: walk(setting.min, setting.integer ? 10 : 100) }; }"""


def test_a_key_moves_every_logarithmic_slider_from_end_to_end(evaluate) -> None:
    keys = evaluate("(core) => Object.keys(core.SETTINGS).filter((k) => core.SETTINGS[k].scale === 'log')")
    assert {"kappa", "zoom", "steps", "damping", "lr_sgd", "lr_esgd"} <= set(keys)
    for key in keys:
        walk = evaluate(WALK, key)
        assert walk["up"] == sorted(set(walk["up"])), key
        assert walk["down"] == sorted(set(walk["down"]), reverse=True), key
        assert (walk["up"][0], walk["up"][-1]) == (walk["min"], walk["max"]), key
        assert (walk["down"][0], walk["down"][-1]) == (walk["max"], walk["min"]), key
        assert len(walk["up"]) <= 1100, (key, "a key moves about a thousandth of the track")
        assert walk["pages"][-1] == walk["max"]
        assert len(walk["pages"]) <= 41, key


@pytest.mark.browser
@pytest.mark.parametrize(
    ("key", "value"), [("zoom", 1), ("zoom", 1.26), ("kappa", 1.01), ("kappa", 1.05), ("damping", 1e-4)]
)
def test_arrow_keys_are_not_dead(open_lab, key: str, value: float) -> None:
    reader = open_lab("descent", state={"methods": ["sgd", "esgd"]})
    reader.page.get_by_role("button", name="More settings").click()
    slider = reader.page.locator(f"[data-esgd-lab] input[data-key={key}]")
    for press, sign in (("ArrowRight", 1), ("ArrowUp", 1), ("ArrowLeft", -1), ("ArrowDown", -1)):
        reader.page.evaluate(f"([key, value]) => {LAB}.update({{ [key]: value }})", [key, value])
        reader.settle()
        slider.press(press)
        reader.settle()
        moved = reader.state()[key] - value
        assert moved * sign > 0 or (value == 1 and sign < 0), press
        assert abs(moved) < 0.05 * value


SECOND = {
    "welcome": "loss",
    "descent": "loss",
    "escape": "escape",
    "contours": "after",
    "saddle-free": "phase",
    "rotation-dial": "dial",
    "probes": "cloud",
    "esgd-steps": "bars",
    "rmsprop-faces": "faces",
}


@pytest.mark.browser
@pytest.mark.parametrize("scene", SCENES)
def test_on_a_phone_what_plays_and_what_moves_are_seen_together(open_lab, scene: str) -> None:
    reader = open_lab(scene, width=390, height=844, touch=True)
    root = reader.page.locator("[data-esgd-lab]")
    box = {
        name: root.locator(selector).bounding_box()
        for name, selector in (
            ("path", "[data-view=path]"),
            ("second", f"[data-view={SECOND[scene]}]"),
            ("transport", ".transport"),
            ("caption", ".caption"),
            ("methods", ".methods"),
        )
    }
    together = [box[name] for name in ("path", "second", "transport")]
    top = min(b["y"] for b in together)
    bottom = max(b["y"] + b["height"] for b in together)
    assert bottom - top < 690
    assert box["caption"]["y"] + box["caption"]["height"] <= top, "the question stands before the figure"
    assert box["methods"]["y"] >= bottom
    play = root.locator(".transport .play").bounding_box()
    assert abs(play["y"] - root.locator(".transport .time").bounding_box()["y"]) < 3, "one row"


def window_of(reader: Any) -> tuple[list[float], float]:
    cx, cy, half = reader.page.evaluate(f"() => {LAB}.land.window")
    return [cx, cy], half / reader.state()["zoom"]


@pytest.mark.browser
@pytest.mark.parametrize(
    ("scene", "handle", "key"),
    [
        ("descent", 0, "Shift+ArrowRight"),
        ("descent", 0, "Shift+ArrowDown"),
        ("saddle-free", 0, "Shift+ArrowUp"),
        ("contours", 1, "Shift+ArrowLeft"),
        ("contours", 1, "Shift+ArrowUp"),
    ],
)
def test_keys_keep_the_start_in_the_picture(open_lab, scene: str, handle: int, key: str) -> None:
    reader = open_lab(scene)
    grip = reader.page.locator("[data-esgd-lab] .handle").nth(handle)
    for _ in range(25):
        grip.press(key)
        reader.page.wait_for_timeout(25)
    reader.settle()
    centre, half = window_of(reader)
    state = reader.state()
    for value, middle in zip((state["x0"], state["y0"]), centre, strict=True):
        assert abs(value - middle) <= half
    plot = reader.page.locator("[data-esgd-lab] .plot.square").nth(handle).bounding_box()
    spot = grip.bounding_box()
    x, y = spot["x"] + spot["width"] / 2, spot["y"] + spot["height"] / 2
    assert plot["x"] - 1 <= x <= plot["x"] + plot["width"] + 1
    assert plot["y"] - 1 <= y <= plot["y"] + plot["height"] + 1


@pytest.mark.browser
@pytest.mark.parametrize("landscape", ["quadratic", "net"])
def test_a_drag_after_the_change_of_variables_does_not_run_away(open_lab, landscape: str) -> None:
    reader = open_lab("contours", state={"landscape": landscape, "x0": -1.4, "y0": 0.9})
    page = reader.page
    page.locator("[data-view=after]").scroll_into_view_if_needed()
    grip = page.locator("[data-view=after] .handle")
    plot = page.locator("[data-view=after] .plot").bounding_box()
    box = grip.bounding_box()
    page.mouse.move(box["x"] + 24, box["y"] + 24)
    page.mouse.down()
    path = [(0.35, 0.4), (0.6, 0.45), (0.55, 0.6)]
    for share in path:
        goal = plot["x"] + share[0] * plot["width"], plot["y"] + share[1] * plot["height"]
        page.mouse.move(*goal, steps=4)
        page.wait_for_timeout(80)
        spot = grip.bounding_box()
        if landscape == "quadratic":
            assert spot["x"] + 24 == pytest.approx(goal[0], abs=3), "the start slips from under the hand"
            assert spot["y"] + 24 == pytest.approx(goal[1], abs=3)
    for far in range(1, 9):  # and on beyond the edge of the plot
        page.mouse.move(plot["x"] + plot["width"] * (1 + far / 10), plot["y"] - 60)
        page.wait_for_timeout(30)
    page.mouse.up()
    reader.settle()
    centre, half = window_of(reader)
    assert abs(reader.state()["x0"] - centre[0]) <= half
    assert abs(reader.state()["y0"] - centre[1]) <= half
    assert reader.problems == []


def choose(reader: Any, *landscapes: str) -> dict[str, Any]:
    select = reader.page.locator("[data-esgd-lab] select[data-key=landscape]")
    for landscape in landscapes:
        select.select_option(landscape)
        reader.settle()
    return {k: v for k, v in reader.state().items() if k not in ("outcomes", "best")}


@pytest.mark.browser
def test_a_landscape_leaves_nothing_behind(open_lab) -> None:
    reader = open_lab("descent")
    reader.page.get_by_role("button", name="More settings").click()
    opening = {k: v for k, v in reader.state().items() if k not in ("outcomes", "best")}
    away = choose(reader, "rosenbrock")
    assert (away["steps"], away["lr_momentum"]) == (200, 0.001)
    assert choose(reader, "bowl") == opening, "the scene's own landscape comes back as the scene has it"
    assert choose(reader, "rosenbrock", "quadratic") == choose(reader, "monkey", "quadratic")
    assert choose(reader, "eggbox", "net") == choose(reader, "rosenbrock", "net")


@pytest.mark.browser
def test_every_method_does_something_at_the_fresh_rates(open_lab) -> None:
    reader = open_lab("descent", state={"methods": ["sgd"]})
    reader.page.get_by_role("button", name="More settings").click()
    everything = reader.page.evaluate("async () => Object.keys((await globalThis.__esgdLab).core.METHODS)")
    for landscape in (name for name in LANDSCAPES if name != "bowl"):  # the scene opens with it
        choose(reader, landscape)
        reader.page.evaluate(f"methods => {LAB}.update({{ methods }})", everything)
        reader.settle()
        kinds = {m: o["kind"] for m, o in reader.state()["outcomes"].items()}
        assert "diverged" not in kinds.values(), (landscape, kinds)


@pytest.mark.browser
def test_a_preconditioner_swaps_its_own_method_only(open_lab) -> None:
    reader = open_lab("contours")
    page = reader.page
    page.locator("[data-add=adam]").click()
    page.locator("[data-remove=sgd]").click()
    page.locator("[data-add=newton]").click()
    for option, methods in (
        ("jacobi", ["newton", "jacobi", "adam"]),
        ("absolute", ["newton", "saddle_free", "adam"]),
        ("equilibration", ["newton", "equilibration", "adam"]),
    ):
        page.locator(f"[data-option={option}]").click()
        reader.settle()
        assert reader.state()["methods"] == methods
