"""What the lab says of itself: captions, a first step that failed, a truth of zero, what was copied; paper."""

from __future__ import annotations

import re
import zlib

import pytest
from lab_tools import LAB, drawn

pytestmark = pytest.mark.browser

AS = "As it opens: "


def inflated(stream: bytes) -> bytes:
    """A stream of a PDF; nothing where it is no compressed one."""
    try:
        return zlib.decompress(stream)
    except zlib.error:
        return b""


def test_a_caption_says_when_it_is_of_another_figure(open_lab) -> None:
    for scene, change in (
        ("welcome", {"landscape": "rosenbrock"}),
        ("rotation-dial", {"eig2": -0.3}),
        ("rotation-dial", {"landscape": "net"}),
    ):
        reader = open_lab(scene)
        caption = reader.page.locator("[data-esgd-lab] .caption")
        plain = caption.inner_text()
        assert not plain.startswith(AS)
        reader.page.evaluate(f"(change) => {LAB}.update(change)", change)
        reader.settle()
        assert caption.inner_text() == AS + plain
        reader.page.evaluate(f"{LAB}.reset()")
        reader.settle()
        assert caption.inner_text() == plain
    dial = open_lab("rotation-dial")
    dial.page.evaluate(f"{LAB}.update({{ angle: 10, lr_jacobi: 0.1 }})")
    dial.settle()
    assert not dial.page.locator("[data-esgd-lab] .caption").inner_text().startswith(AS)


def test_a_method_that_diverged_at_once_is_not_missed(open_lab) -> None:
    lost = {"eig1": 4, "eig2": 0, "angle": 45, "lr_esgd": 10, "damping": 1e-8, "seed": 2}
    reader = open_lab("esgd-steps", state=lost)
    root = reader.page.locator("[data-esgd-lab]")
    words = "ESGD diverged in its first step"
    for name in ("bars", "ledger"):
        assert words in root.locator(f"[data-view={name}]").inner_text(), name
    probes = open_lab("probes", state={**lost, "probe": "rademacher", "methods": ["esgd"], "interval": 5})
    for name in ("cloud", "estimates"):
        assert words in probes.page.locator(f"[data-esgd-lab] [data-view={name}]").inner_text(), name
    reader.page.evaluate(f"{LAB}.update({{ methods: ['sgd'] }})")
    reader.settle()
    assert "add ESGD" in root.locator("[data-view=bars] .absent").inner_text()


def test_a_truth_of_zero_gives_no_ratio(open_lab) -> None:
    reader = open_lab("probes")
    view = next(v for v in drawn(reader.page, {"eig1": 1, "eig2": -1, "angle": 45}) if v["view"] == "estimates")
    figure = reader.page.locator("[data-esgd-lab] [data-view=estimates]")
    alt = figure.get_by_role("img").get_attribute("aria-label")
    assert "Jacobi: a truth of 0 gives no ratio" in alt
    assert "both tend to 1" not in alt
    assert "Jacobi (–, –)" in alt
    assert "a truth of 0" in figure.inner_text()
    assert "#d55e00" not in view["lines"], "no curve, and no name"
    reader.page.evaluate(f"{LAB}.update({{ angle: 25 }})")
    reader.settle()
    assert "a truth of 0" not in figure.get_by_role("img").get_attribute("aria-label")


def test_what_was_copied_goes_with_the_next_change(open_lab) -> None:
    reader = open_lab("descent")
    page = reader.page
    field = page.locator("[data-esgd-lab] .foot input")
    page.get_by_role("button", name="Link to this state").click()
    assert field.is_visible()
    page.evaluate(f"{LAB}.update({{ kappa: 30 }})")
    assert not field.is_visible()
    assert page.locator("[data-esgd-lab] .foot [role=status]").inner_text() == ""
    page.get_by_role("button", name="As Python").click()
    assert field.input_value() == 'from esgd.lab import SaddleLab; SaddleLab("descent", kappa=30)'


@pytest.mark.parametrize("dark", [False, True])
def test_paper_keeps_the_grounds_that_say_what_is_chosen(open_lab, dark: bool) -> None:
    reader = open_lab("contours", dark=dark)
    page = reader.page
    page.emulate_media(media="print")
    root = page.locator("[data-esgd-lab]")
    for selector in (".segments [aria-pressed=true]", "input[data-key=eig1]", ".row .name i", ".plot"):
        exact = "(e) => getComputedStyle(e).printColorAdjust ?? getComputedStyle(e).webkitPrintColorAdjust"
        assert root.locator(selector).first.evaluate(exact) == "exact", selector
    pdf = page.pdf()  # without the browser's option to print backgrounds
    streams = re.findall(rb"stream\r?\n(.*?)\r?\nendstream", pdf, re.DOTALL)
    drawn_on_paper = b"".join(inflated(stream) for stream in streams)
    assert re.search(rb"\.811\d* \.835\d* \.858\d* rg", drawn_on_paper), "the rails of the sliders"
