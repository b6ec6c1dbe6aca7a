"""Ten things that a reader is asked to do, each done by mouse, by touch and by keyboard alone."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.browser


class Hand:
    """What all three ways of doing have in common: a page with one lab."""

    def __init__(self, reader: Any) -> None:
        self.reader = reader
        self.page = reader.page
        self.root = self.page.locator("[data-esgd-lab]")

    def _target(self, locator: Any, fraction: tuple[float, float] = (0.5, 0.5)) -> tuple[float, float]:
        locator.scroll_into_view_if_needed()
        box = locator.bounding_box()
        return box["x"] + box["width"] * fraction[0], box["y"] + box["height"] * fraction[1]

    def _on_track(self, key: str, share: float) -> tuple[float, float]:
        slider = self.root.locator(f"input[data-key={key}]").first
        slider.scroll_into_view_if_needed()
        box = slider.bounding_box()
        return box["x"] + 9 + share * (box["width"] - 18), box["y"] + box["height"] / 2


class Mouse(Hand):
    touch = False

    def slide(self, key: str, share: float) -> None:
        self.page.mouse.click(*self._on_track(key, share))

    def press(self, selector: str) -> None:
        self.page.mouse.click(*self._target(self.root.locator(selector).first))

    def _drag(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        self.page.mouse.move(*start)
        self.page.mouse.down()
        self.page.mouse.move(*end, steps=6)
        self.page.mouse.up()

    def move_start(self, to: tuple[float, float]) -> None:
        plot = self.root.locator("[data-view=path] .plot")
        end = self._target(plot, to)
        self._drag(self._target(self.root.locator(".handle").first), end)

    def turn(self, degrees: float) -> None:
        x, y = self._target(self.root.locator(".dial svg"))
        angle = math.radians(degrees)
        now = math.radians(self.reader.state()["angle"])
        self._drag(
            (x + 24 * math.cos(now), y - 24 * math.sin(now)),
            (x + 24 * math.cos(angle), y - 24 * math.sin(angle)),
        )


class Touch(Mouse):
    touch = True

    def slide(self, key: str, share: float) -> None:
        self.page.touchscreen.tap(*self._on_track(key, share))

    def press(self, selector: str) -> None:
        self.page.touchscreen.tap(*self._target(self.root.locator(selector).first))

    def _drag(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        session = self.page.context.new_cdp_session(self.page)

        def send(kind: str, points: list[dict[str, float]]) -> None:
            session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

        send("touchStart", [{"x": start[0], "y": start[1]}])
        for i in range(1, 7):
            part = i / 6
            x, y = (s + (e - s) * part for s, e in zip(start, end, strict=True))
            send("touchMove", [{"x": x, "y": y}])
        send("touchEnd", [])
        session.detach()


class Keyboard(Hand):
    touch = False

    def _focus(self, locator: Any) -> None:
        """Reaches the control with the Tab key, from where the focus is."""
        for _ in range(80):
            if locator.evaluate("(e) => e.getRootNode().activeElement === e"):
                return
            self.page.keyboard.press("Tab")
        raise AssertionError("the Tab key does not reach this control")

    def slide(self, key: str, share: float) -> None:
        slider = self.root.locator(f"input[data-key={key}]").first
        self._focus(slider)
        self.page.keyboard.press("Home")
        place = "(e) => (e.value - e.min) / (e.max - e.min)"
        for _ in range(10):
            if slider.evaluate(place) + 0.1 > share:
                break
            self.page.keyboard.press("PageUp")
        for _ in range(100):
            if slider.evaluate(place) >= share - 1e-9:
                break
            self.page.keyboard.press("ArrowRight")

    def press(self, selector: str) -> None:
        self._focus(self.root.locator(selector).first)
        self.page.keyboard.press("Enter")

    def move_start(self, to: tuple[float, float]) -> None:
        handle = self.root.locator(".handle").first
        self._focus(handle)
        box = self.root.locator("[data-view=path] .plot").bounding_box()
        for axis, keys in ((0, ("ArrowLeft", "ArrowRight")), (1, ("ArrowUp", "ArrowDown"))):
            for _ in range(40):
                spot = handle.bounding_box()
                at = (spot["x"] + 24 - box["x"], spot["y"] + 24 - box["y"])[axis] / box["width"]
                if abs(at - to[axis]) < 0.05:
                    break
                self.page.keyboard.press("Shift+" + keys[int(at < to[axis])])
                self.page.wait_for_timeout(40)

    def turn(self, degrees: float) -> None:
        self.slide("angle", degrees / 90)


HANDS = {"mouse": Mouse, "touch": Touch, "keyboard": Keyboard}
State = dict[str, Any]


def _contours_of_a_saddle(hand: Any) -> None:
    hand.press("[data-option=absolute]")
    hand.slide("eig2", 0.3)


# the task as the reader is asked it, the scene, how it is done, and when it is done
TASKS: dict[str, tuple[str, Callable[[Any], None], Callable[[State], bool]]] = {
    "make Jacobi diverge by turning the saddle": (
        "rotation-dial",
        lambda hand: hand.turn(45),
        lambda s: (
            s["outcomes"]["jacobi"]["kind"] == "diverged" and s["outcomes"]["equilibration"]["kind"] == "escaped"
        ),
    ),
    "find a rate at which descent escapes within 20 steps": (
        "escape",
        lambda hand: hand.slide("lr_sgd", 0.84),
        lambda s: s["outcomes"]["sgd"]["kind"] == "escaped" and s["outcomes"]["sgd"]["step"] <= 20,
    ),
    "set gradient descent to its best rate": (
        "descent",
        lambda hand: hand.press("[data-best=lr_sgd]"),
        lambda s: abs(s["lr_sgd"] / s["best"]["sgd"]["value"] - 1) < 0.01,
    ),
    "start on the other side of the saddle": (
        "welcome",
        lambda hand: hand.move_start((0.25, 0.2)),
        lambda s: s["x0"] < -0.8 and s["y0"] > 0.8,
    ),
    "make the valley longer": (
        "descent",
        lambda hand: hand.slide("kappa", 0.785),
        lambda s: (
            200 < s["kappa"] < 250
            and [s["outcomes"][m]["kind"] for m in ("sgd", "momentum")] == ["moving", "converged"]  # the answer
        ),
    ),
    "let ESGD run beside Newton": (
        "saddle-free",
        lambda hand: hand.press("[data-add=esgd]"),
        lambda s: "esgd" in s["methods"] and "newton" in s["methods"],
    ),
    "look at an early step": (
        "esgd-steps",
        lambda hand: hand.slide("at", 0.125),
        lambda s: s["shown"] == 5,
    ),
    "draw Gaussian probes": (
        "esgd-steps",
        lambda hand: hand.press("[data-option=gaussian]"),
        lambda s: s["probe"] == "gaussian",
    ),
    "round the contours of a saddle with |H|": (
        "contours",
        _contours_of_a_saddle,
        lambda s: s["precond"] == "absolute" and s["eig2"] < -1 and s["methods"] == ["sgd", "saddle_free"],
    ),
    "make RMSProp oscillate": (
        "rmsprop-faces",
        lambda hand: hand.press("[data-face=oscillation]"),
        lambda s: s["noise"] == 0 and s["lr_rmsprop"] == 0.3,
    ),
}


def test_the_labs_own_page_asks_for_these_ten(evaluate) -> None:
    titles = evaluate("(core, SCENES) => Object.fromEntries(Object.entries(SCENES).map(([k, s]) => [k, s.title]))")
    text = (Path(__file__).parents[2] / "book" / "lab.md").read_text(encoding="utf-8")
    part = text.split("## Ten things to try")[1].split("\n## ")[0]
    asked = [" ".join(item.split()) for item in re.split(r"^\d+\. ", part, flags=re.MULTILINE)[1:]]
    assert len(asked) == len(TASKS) == 10
    for sentence, (task, (scene, _, _)) in zip(asked, TASKS.items(), strict=True):
        assert sentence.lower().startswith(task.lower()), (sentence, task)
        assert f"*{titles[scene]}*" in sentence
        assert re.fullmatch(r"[^.?!]+[.?]", sentence), (sentence, "one sentence")


@pytest.mark.parametrize("kappa", [200, 225, 250])
def test_momentum_alone_reaches_the_bottom_of_the_longer_valley(evaluate, kappa: int) -> None:
    kinds = evaluate(
        """(core, SCENES, kappa) => { const S = core.makeState(SCENES.descent.state, { kappa });
          return S.methods.map((m) => [m, core.outcome(core.trajectory(m, S), S).kind]); }""",
        kappa,
    )
    assert dict(kinds) == {"sgd": "moving", "momentum": "converged"}


@pytest.mark.parametrize("way", HANDS)
@pytest.mark.parametrize("task", TASKS)
def test_reader_can(open_lab, task: str, way: str) -> None:
    scene, do, done = TASKS[task]
    touch = HANDS[way].touch
    reader = open_lab(scene, touch=touch, **({"width": 390, "height": 844} if touch else {}))
    assert not done(reader.state()), "the task is done before the reader has done anything"
    do(HANDS[way](reader))
    reader.settle()
    assert done(reader.state()), reader.state()
    assert reader.problems == []
