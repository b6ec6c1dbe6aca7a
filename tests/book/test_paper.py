"""A page with a lab on paper: its landscape is there, in the colours of paper, and nothing is cut off."""

from __future__ import annotations

import pytest
from book_tools import CHAPTERS, LAB, OPENED

pytestmark = pytest.mark.browser

PAPER = 720  # pixels of A4 between common margins

# of every lab: is the ground on the canvas that is printed, how light is it, what is wider than the sheet
LOOK = """() => [...document.querySelectorAll("[data-lab-host]")].map((host) => {
  const root = host.shadowRoot;
  const limit = document.documentElement.clientWidth + 1;
  const fronts = [...root.querySelectorAll(".plot.square canvas[role=img]")].filter((c) => c.checkVisibility());
  const corner = (canvas) => [...canvas.getContext("2d").getImageData(5, 5, 1, 1).data];
  const { data } = fronts[0].getContext("2d").getImageData(0, 0, fronts[0].width, fronts[0].height);
  const seen = new Set();
  for (let i = 0; i < data.length; i += 64) seen.add(data.slice(i, i + 3).join());
  return {
    scene: host.dataset.labHost, corners: fronts.map(corner), colours: seen.size,
    wide: [...root.querySelectorAll("figure, .caption, .rows, p")]
      .filter((e) => e.checkVisibility() && e.getBoundingClientRect().right > limit).map((e) => e.className),
    blank: [...root.querySelectorAll("canvas[role=img]")].filter((c) => c.checkVisibility())
      .filter((c) => { const box = c.getBoundingClientRect(); return box.width < 60 || box.height < 60; }).length,
    buttons: [...root.querySelectorAll(".transport, .foot, .add, .best")].filter((e) => e.checkVisibility()).length,
  };
})"""


@pytest.mark.parametrize(("page", "scheme"), [(CHAPTERS[0], "dark"), (LAB, "light")])
def test_labs_are_whole_on_paper(read, page, scheme):
    """As the browser does it: the print media, its event, and the page as wide as a sheet."""
    with read(page, width=PAPER, height=1000, scheme=scheme) as seen:
        seen.page.emulate_media(media="print")
        seen.page.evaluate("() => dispatchEvent(new Event('beforeprint'))")
        seen.page.wait_for_timeout(400)
        labs = seen.page.evaluate(LOOK)
        assert len(labs) == seen.page.locator("[data-esgd-lab]").count() > 0
        for lab in labs:
            assert lab["corners"], lab
            for red, green, blue, alpha in lab["corners"]:
                assert alpha == 255, (lab["scene"], "the landscape is not on the canvas that is printed")
                assert min(red, green, blue) > 180, (lab["scene"], "paper is white")
            assert lab["colours"] > 20, (lab["scene"], "the landscape is blank")
            assert (lab["wide"], lab["blank"], lab["buttons"]) == ([], 0, 0), lab
        assert seen.problems == []


PLOTS = """() => [...document.querySelectorAll("[data-esgd-plotly]")].map((figure) => {
  const { width, height } = figure.querySelector("svg.main-svg").getBoundingClientRect();
  return { drawn: figure.dataset.drawn, wide: width, tall: height,
    controls: [...figure.querySelectorAll(".esgd-controls")].filter((e) => e.checkVisibility()).length }; })"""

FILLS = """() => { const plot = document.querySelector(".esgd-plot");
  return Math.abs(plot.clientWidth - plot.querySelector("svg").clientWidth) < 3; }"""


@pytest.mark.parametrize("page", OPENED)
def test_figures_fit_on_paper(read, page):
    """From a wide dark screen to a sheet: every figure is drawn, in the colours of paper, and not cut off."""
    with read(page, width=1500, height=1000, scheme="dark") as seen:
        assert seen.page.locator("[data-esgd-plotly]").count() > 0
        seen.page.emulate_media(media="print", color_scheme="dark")
        seen.page.evaluate("() => dispatchEvent(new Event('beforeprint'))")
        for _ in range(40):
            plots = seen.page.evaluate(PLOTS)
            if all(plot["drawn"] == "light" and plot["wide"] <= PAPER for plot in plots):
                break
            seen.page.wait_for_timeout(250)
        for plot in plots:
            assert plot["drawn"] == "light"
            assert 200 < plot["wide"] <= PAPER
            assert plot["tall"] > 150
            assert plot["controls"] == 0
        seen.page.emulate_media(media="screen")
        seen.page.evaluate("() => dispatchEvent(new Event('afterprint'))")
        seen.page.wait_for_function(FILLS)
        assert seen.problems == []
