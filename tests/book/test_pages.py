"""Every page of the built book: nothing from elsewhere, no errors, no sideways scrolling, light enough."""

from __future__ import annotations

import pytest
from book_tools import CHAPTERS, HTML, LAB, PAGES, visit

pytestmark = pytest.mark.browser

MEGABYTE = 1024 * 1024
SIDEWAYS = """() => {
  const limit = document.documentElement.clientWidth;
  const scrolls = (e) => {
    for (; e && e !== document.body; e = e.parentElement) {
      if (/(auto|scroll|hidden|clip)/.test(getComputedStyle(e).overflowX)) return true;
    }
    return false;
  };
  return document.documentElement.scrollWidth > limit
    ? [...document.querySelectorAll("main *")]
        .filter((e) => e.getBoundingClientRect().right > limit + 1 && !scrolls(e)).slice(0, 5)
        .map((e) => e.outerHTML.slice(0, 160)).concat(["page " + document.documentElement.scrollWidth])
    : [];
}"""


def screens(page):
    """Two visits a page, each scheme on each screen at every other page; on the lab's page all four."""
    phone, desk = (390, 844), (1400, 900)
    schemes = ["light", "dark"] if PAGES.index(page) % 2 else ["dark", "light"]
    if page == LAB:
        return [(*size, scheme) for size in (phone, desk) for scheme in schemes]
    return [(*phone, schemes[0]), (*desk, schemes[1])]


@pytest.mark.parametrize("page", PAGES)
def test_page_on_a_phone_and_on_a_desk(read, page):
    """Every visit: local requests only, no console errors, nothing wider than the screen, few bytes."""
    for width, height, scheme in screens(page):
        with read(page, width=width, height=height, scheme=scheme) as seen:
            assert seen.external == [], f"{page} asks other servers"
            assert seen.problems == [], f"{page} at {width} px"
            assert seen.page.evaluate(SIDEWAYS) == [], f"{page} scrolls sideways at {width} px"
            assert seen.page.evaluate("document.documentElement.dataset.theme") == scheme
            assert seen.page.locator("article mjx-merror, article [data-mjx-error]").count() == 0
            first, after = seen.weight(shared=True), seen.weight(shared=False)
            assert first < 2 * MEGABYTE, f"{page} weighs {first} bytes the first time"
            assert after < 300 * 1024, f"{page} weighs {after} bytes once the shared files are there"


@pytest.mark.parametrize("page", PAGES)
def test_page_opened_from_a_folder(browser, built, page):
    """The same from ``file://``, as out of a zip: figures, lab and mathematics are there."""
    with visit(browser, (HTML / page).as_uri()) as seen:
        for figure in seen.page.locator("[data-esgd-plotly]").all():  # drawn when they come near the window
            figure.scroll_into_view_if_needed()
            figure.locator("svg.main-svg").first.wait_for(state="attached", timeout=20_000)
        assert seen.external == []
        assert seen.problems == []
        facts = seen.page.evaluate(
            """() => { const all = (css, test) => [...document.querySelectorAll(css)].every(test); return {
              plots: all("[data-esgd-plotly]", (f) => f.querySelector("svg.main-svg")),
              labs: all("[data-esgd-lab]", (l) => l.dataset.esgdLabReady),
              mathematics: all("article .math", (m) => m.querySelector("mjx-container")),
            }; }"""
        )
        assert facts == {"plots": True, "labs": True, "mathematics": True}
        assert seen.page.locator("[data-lab-host] .lab").count() == seen.page.locator("[data-esgd-lab]").count()
        assert seen.page.locator("article mjx-container").count() > 0 or page not in (*CHAPTERS, LAB)


def test_the_measures_can_fail(browser, address, tmp_path):
    """A page that does everything wrong is caught by each of the measures above."""
    bad = HTML / "test-bad-page.html"
    bad.write_text(
        "<!doctype html><html data-theme=light><body><main><p style='width:900px'>wide</p></main>"
        "<script src='http://example.org/x.js'></script><script>console.error('no')</script></body></html>",
        encoding="utf-8",
    )
    try:
        with visit(browser, address + bad.name, width=390) as seen:
            assert seen.external == ["http://example.org/x.js"]
            assert any("no" in problem for problem in seen.problems)
            assert seen.page.evaluate(SIDEWAYS) != []
    finally:
        bad.unlink()
