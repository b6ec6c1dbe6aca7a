"""What is drawn can be read: words that fit and contrast, names beside curves, and colours that a system forces."""

from __future__ import annotations

from itertools import combinations, pairwise
from typing import Any

import pytest
from lab_tools import LAB, drawn, pixels

from esgd.lab import SCENES

pytestmark = pytest.mark.browser

EVERY = ["sgd", "momentum", "newton", "saddle_free", "jacobi", "equilibration", "rmsprop", "adam", "esgd"]
GROUND = {False: "#ffffff", True: "#14181e"}


def luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    parts = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]


def contrast(one: str, other: str) -> float:
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def view_of(found: list[dict[str, Any]], name: str) -> dict[str, Any]:
    return next(canvas for canvas in found if canvas["view"] == name and canvas["front"])


def overlap(a: list[float], b: list[float]) -> tuple[float, float]:
    return min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])


@pytest.mark.parametrize("width", [390, 852])
@pytest.mark.parametrize("scene", SCENES)
def test_words_are_whole_and_apart(open_lab, scene: str, width: int) -> None:
    found = drawn(open_lab(scene, width=width).page)
    assert sum(len(canvas["words"]) for canvas in found) > 6
    for canvas in found:
        for word in canvas["words"]:
            left, top, right, bottom = word["box"]
            where = (canvas["view"], word, canvas["width"], canvas["height"])
            assert left >= -0.5, where
            assert top >= -0.5, where
            assert right <= canvas["width"] + 0.5, where
            assert bottom <= canvas["height"] + 0.5, where
            assert word["size"] >= 10, where
        for one, other in combinations(canvas["words"], 2):
            wide, tall = overlap(one["box"], other["box"])
            assert wide < 2 or tall < 2, (canvas["view"], one, other)


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("scene", ["escape", "probes", "esgd-steps", "rotation-dial", "saddle-free", "descent"])
def test_words_on_canvases_contrast_with_the_ground(open_lab, scene: str, dark: bool) -> None:
    reader = open_lab(scene, dark=dark)
    seen = set()
    for methods in (EVERY[:3], EVERY[3:6], EVERY[6:]):
        for canvas in drawn(reader.page, {"methods": methods, "show": ["modes", "many"]}):
            seen |= {word["colour"] for word in canvas["words"]}
    assert len(seen) >= 2
    for colour in seen:
        assert contrast(colour, GROUND[dark]) >= 4.5, colour


def test_curves_are_named_where_they_end(open_lab) -> None:
    reader = open_lab("welcome")
    names = ["GD", "Newton", "ESGD"]
    for name in ("path", "loss", "rates"):
        words = {word["words"] for word in view_of(drawn(reader.page), name)["words"]}
        assert set(names) <= words, name
    path = {word["words"] for word in view_of(drawn(reader.page), "path")["words"]}
    assert {"θ₁ →", "↑ θ₂"} <= path

    dial = view_of(drawn(open_lab("rotation-dial").page), "dial")
    assert {"|H|", "Equilibration", "Jacobi"} <= {word["words"] for word in dial["words"]}
    after = view_of(drawn(open_lab("contours").page), "after")
    assert {"φ₁ →", "↑ φ₂"} <= {word["words"] for word in after["words"]}


def test_nine_names_stand_apart(open_lab) -> None:
    found = drawn(open_lab("welcome").page, {"methods": EVERY})
    for name in ("path", "loss"):
        words = [word for word in view_of(found, name)["words"] if word["words"][:1].isalpha()]
        assert len(words) >= 9
        for one, other in combinations(words, 2):
            wide, tall = overlap(one["box"], other["box"])
            assert wide < 2 or tall < 2, (name, one, other)


def test_the_weights_have_one_notation(evaluate) -> None:
    words = evaluate(
        """(core, SCENES) => [...Object.values(core.LANDSCAPES).map((l) => l.formula),
          ...Object.values(SCENES).map((s) => s.caption)]"""
    )
    for text in words:
        assert not any(other in text for other in ("w₁", "x²", "x³", "cos x", "y²")), text


@pytest.mark.parametrize(
    ("scene", "landscape", "views"),
    [
        ("descent", "monkey", ["slice", "modes"]),
        ("saddle-free", "quadratic", ["phase"]),
        ("rotation-dial", "net", ["dial"]),
        ("escape", "rosenbrock", ["escape"]),
    ],
)
@pytest.mark.parametrize("width", [390, 900])
def test_a_view_without_a_subject_says_so_in_a_line(
    open_lab, scene: str, landscape: str, views: list[str], width: int
) -> None:
    reader = open_lab(scene, width=width)
    figures = [reader.page.locator(f"[data-esgd-lab] [data-view={name}]") for name in views]
    tall = [figure.bounding_box()["height"] for figure in figures]
    reader.page.evaluate(f"name => {LAB}.chooseLandscape(name)", landscape)
    reader.settle()
    for figure in figures:
        words = figure.locator(".absent")
        assert words.is_visible()
        assert float(words.evaluate("(e) => parseFloat(getComputedStyle(e).fontSize)")) >= 12
        assert "choose" in words.inner_text()
        assert figure.bounding_box()["height"] < 95, "no blank is left"
        assert not figure.locator("canvas").first.is_visible()
    reader.page.evaluate(f"() => {LAB}.reset()")
    reader.settle()
    assert [figure.bounding_box()["height"] for figure in figures] == tall
    for figure in figures:
        size = "(c) => [c.width / c.clientWidth, c.height / c.clientHeight]"
        assert figure.locator("canvas").first.evaluate(size) == pytest.approx([1, 1], abs=0.02), "it is blurred"


def test_views_without_their_methods_say_what_to_add(open_lab) -> None:
    reader = open_lab("probes")
    reader.page.evaluate(f"() => {LAB}.update({{ methods: ['sgd'] }})")
    reader.settle()
    assert "add ESGD" in reader.page.locator("[data-view=estimates] .absent").inner_text()
    steps = open_lab("esgd-steps")
    steps.page.evaluate(f"() => {LAB}.update({{ methods: ['sgd'] }})")
    steps.settle()
    assert "add ESGD" in steps.page.locator("[data-view=bars] .absent").inner_text()
    assert reader.problems == steps.problems == []


def hues(rows: list[list[list[int]]]) -> set[tuple[int, ...]]:
    return {tuple(pixel) for row in rows for pixel in row}


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_forced_colours_leave_every_control_to_be_seen(open_lab, scheme: str) -> None:
    reader = open_lab("rotation-dial")
    page = reader.page
    page.emulate_media(forced_colors="active", color_scheme=scheme)
    reader.settle()
    root = page.locator("[data-esgd-lab]")
    ground = (255, 255, 255) if scheme == "light" else (0, 0, 0)

    swatch = hues(pixels(page, root.locator("[data-row=jacobi] .name i")))
    assert (0xD5, 0x5E, 0x00) in swatch
    dot = hues(pixels(page, root.locator("[data-add=sgd] i")))
    assert (0x00, 0x72, 0xB2) in dot
    for track in ("input[data-key=at]", "input[data-key=lr_jacobi]", "input[data-key=eig2]"):
        rows = pixels(page, root.locator(track))
        middle = rows[len(rows) // 2]
        share = sum(tuple(pixel) != ground for pixel in middle[12:-12]) / len(middle[12:-12])
        assert share > 0.9, (track, "the track cannot be seen")
        column = [tuple(row[len(row) // 7]) for row in rows[12:33]]
        assert sum(pixel != ground for pixel in column) <= 8, (track, "the track is not a box")
    triangle = pixels(page, root.locator("[data-best=lr_equilibration]"))
    painted = [sum(tuple(pixel) != ground for pixel in row) for row in triangle[4:11]]
    assert painted[0] < painted[-1], "the triangle is not a box"
    loss = page.locator("[data-view=dial] canvas").first
    assert (255, 255, 255) in hues(pixels(page, loss)), "a plot keeps the ground that its ink was chosen for"
    dial = hues(pixels(page, root.locator(".dial svg")))
    assert len(dial) > 4
    assert reader.problems == []


def test_a_method_beyond_the_frame_does_not_flood_the_rates(open_lab) -> None:
    reader = open_lab("rotation-dial", state={"angle": 45})
    alpha = """(c) => { const { data } = c.getContext('2d').getImageData(0, 0, c.width, c.height);
      let tinted = 0; for (let i = 3; i < data.length; i += 4) tinted += data[i] > 0;
      return tinted * 4 / data.length; }"""
    assert reader.page.locator("[data-view=rates] canvas").evaluate(alpha) < 0.45
    assert "Jacobi leaves the frame" in reader.page.locator("[data-view=rates] .head").inner_text()


def test_nothing_is_drawn_over_the_axes_names_of_the_rates(open_lab) -> None:
    rates = view_of(drawn(open_lab("rotation-dial").page), "rates")
    names = [word["box"] for word in rates["words"] if word["words"].startswith("θ")]
    assert len(names) == 2
    for left, top, right, bottom in names:
        for line in (line for lines in rates["lines"].values() for line in lines):
            for (x, y), (u, v) in pairwise(line):
                between = [(x + (u - x) * i / 10, y + (v - y) * i / 10) for i in range(11)]
                assert not any(left - 3 < a < right + 3 and top - 3 < b < bottom + 3 for a, b in between)


@pytest.mark.parametrize(("first", "second"), [(1, 1 / 60), (3, 0.5), (0.5, 3)])
def test_the_dial_shows_an_ellipse_as_the_contours_lie(evaluate, first: float, second: float) -> None:
    path = evaluate("(core, scenes, [a, b]) => core.contourPath(a, b)", [first, second])
    points = [tuple(map(float, part.split())) for part in path.strip("MZ").split("L")]
    along, across = (max(p[i] for p in points) - min(p[i] for p in points) for i in (0, 1))
    assert (along > across) == (first < second), "a contour is long where the curvature is small"


PIECES = """(lines) => { const root = new Map();
  const find = (k) => { while (root.get(k) !== k) k = root.get(k); return k; };
  const key = ([x, y]) => `${Math.round(4 * x)},${Math.round(4 * y)}`;
  for (const line of lines) { const keys = line.map(key);
    keys.forEach((k) => root.has(k) || root.set(k, k));
    keys.slice(1).forEach((k) => root.set(find(k), find(keys[0]))); }
  const pieces = {};
  for (const k of root.keys()) (pieces[find(k)] ??= []).push(k.split(',').map((v) => v / 4));
  const reach = (points, i) => Math.max(...points.map((p) => p[i])) - Math.min(...points.map((p) => p[i]));
  return Object.values(pieces).map((points) => Math.max(reach(points, 0), reach(points, 1))); }"""


def test_the_contours_of_a_narrow_valley_are_whole(open_lab) -> None:
    reader = open_lab("descent")
    found = drawn(reader.page, {"landscape": "rosenbrock", "x0": -1.2, "y0": 1, "lr_sgd": 0.001})
    ground = next(canvas for canvas in found if canvas["view"] == "path" and not canvas["front"])
    (contours,) = ground["lines"].values()
    sizes = sorted(reader.page.evaluate(PIECES, contours))
    assert len(sizes) > 20
    assert sizes[2] > 10, "a line is broken into islets"


def test_a_fall_down_a_saddle_is_seen_for_many_steps(open_lab) -> None:
    reader = open_lab("contours")
    change = {"eig2": -0.8, "precond": "absolute"}
    loss = view_of(drawn(reader.page, change), "loss")
    for hue in ("#0072b2", "#b8578f"):
        steps = max(loss["lines"][hue], key=len)
        assert len([y for _, y in steps if -1 <= y <= loss["height"] - 34]) >= 9, hue
    ticks = [word["words"] for word in loss["words"]]
    assert "0" in ticks
    assert any(tick.startswith("\N{MINUS SIGN}10") for tick in ticks)
    assert "asinh" in reader.page.locator("[data-view=loss] .head").inner_text()
