"""Can everybody use the page: axe-core, and the keyboard alone."""

from __future__ import annotations

from importlib.resources import files

import pytest
from book_tools import CHAPTERS, LAB, OPENED, PAGES

pytestmark = pytest.mark.browser

# findings in what the theme and its extensions write, which the book cannot mend from outside: rule -> place
THEMES_OWN = {
    ("button-name", ".search-button"),
    ("list", "dl.citation"),
    ("definition-list", "dl.citation"),
    ("aria-allowed-role", ".citation"),
    ("aria-deprecated-role", ".citation"),
    ("aria-required-children", ".citation-list"),
    ("aria-required-children", "[role=list]"),
    ("scrollable-region-focusable", "pre"),
    ("scrollable-region-focusable", ".highlight"),
}

RUN = """async () => (await axe.run(document, {
  runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"], resultTypes: ["violations"],
})).violations.flatMap((v) => v.nodes.map((n) => ({
  rule: v.id, html: n.html.slice(0, 200), target: n.target.flat().join(" "), why: n.failureSummary.slice(0, 200),
})))"""


def is_themes_own(page, finding):
    """Whether a finding is on the list of those in the theme's own markup."""
    for rule, place in THEMES_OWN:
        if rule == finding["rule"]:
            inside = page.evaluate(
                "([target, place]) => !!document.querySelector(target)?.closest(place || '*')",
                [finding["target"].split(" >>> ")[0], place],
            )
            if inside:
                return True
    return False


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("page", PAGES)
def test_axe_finds_nothing_of_ours(read, page, scheme):
    axe = (files("axe_playwright_python") / "axe.min.js").read_text(encoding="utf-8")
    with read(page, scheme=scheme, reduced_motion="reduce") as seen:
        seen.page.evaluate(axe)
        found = [f for f in seen.page.evaluate(RUN) if not is_themes_own(seen.page, f)]
        assert found == []


def test_axe_would_find_something(read):
    """An image without words and pale text are reported, so that an empty list means something."""
    axe = (files("axe_playwright_python") / "axe.min.js").read_text(encoding="utf-8")
    with read(CHAPTERS[0]) as seen:
        seen.page.evaluate(
            """() => document.querySelector("article").insertAdjacentHTML("beforeend",
                 "<img src='data:image/gif;base64,R0lGODlhAQABAAAAACw='>" +
                 "<p style='color:#ddd;background:#fff'>pale</p>")"""
        )
        seen.page.evaluate(axe)
        assert {"image-alt", "color-contrast"} <= {finding["rule"] for finding in seen.page.evaluate(RUN)}


@pytest.mark.parametrize("page", [CHAPTERS[0], CHAPTERS[len(CHAPTERS) // 2], LAB])
def test_keyboard_reaches_content_theme_and_solutions(read, page):
    """Tab shows where it is; Enter skips to the content, switches the theme and opens a solution."""
    path = page
    with read(path) as seen:
        page = seen.page
        page.keyboard.press("Tab")
        assert "skip" in page.evaluate("() => document.activeElement.closest('[id]').id")
        page.keyboard.press("Enter")
        assert page.evaluate("() => location.hash") == "#main-content"

        button = page.locator("button.theme-switch-button").first
        button.focus()
        before = page.evaluate("() => document.documentElement.dataset.mode")
        page.keyboard.press("Enter")
        assert page.evaluate("() => document.documentElement.dataset.mode") != before

        if path == LAB:  # it has no exercises
            assert seen.problems == []
            return
        toggle = page.locator("div.solution button.toggle-button").first
        body = page.locator("div.solution p:not(.admonition-title)").first
        assert not body.is_visible()
        toggle.focus()
        outline = page.evaluate("() => getComputedStyle(document.activeElement).outlineStyle")
        assert outline != "none"
        page.keyboard.press("Enter")
        body.wait_for(state="visible")
        assert seen.problems == []


STATE = "() => { const { x0, y0 } = document.querySelector('[data-esgd-lab]').esgdLab.lab.S; return [x0, y0]; }"
FOCUSED = "() => document.activeElement?.shadowRoot?.activeElement?.className ?? ''"


@pytest.mark.parametrize("page", [*OPENED, LAB])
def test_keyboard_moves_the_start_of_a_lab_and_stays_on_the_page(read, page):
    """From the content on, Tab comes to the lab; arrow keys move its start, and are not the book's page keys."""
    with read(page, reduced_motion="reduce") as seen:
        keys = seen.page.keyboard
        keys.press("Tab")
        keys.press("Enter")
        for _ in range(80):
            if "handle" in seen.page.evaluate(FOCUSED):
                break
            keys.press("Tab")
        assert "handle" in seen.page.evaluate(FOCUSED), "Tab does not come to the start"
        before, address = seen.page.evaluate(STATE), seen.page.url
        keys.press("ArrowLeft")
        keys.press("ArrowDown")
        after = seen.page.evaluate(STATE)
        assert after[0] != before[0]
        assert after[1] != before[1]
        assert seen.page.url == address
        assert seen.problems == []


CONTROLS = "[data-esgd-plotly] .esgd-controls :is(select, input)"
WITH_CONTROLS = {"02": 1, "03": 2, "05": 1, "08": 4, "09": 4, "10": 2}
SHOWN = """(i) => { const plot = document.querySelectorAll('.esgd-plot')[i]; return JSON.stringify([
  plot.data.map((t) => [t.visible ?? true, Array.from(t.x ?? []).slice(0, 5)]),
  (plot.layout.annotations ?? []).map((a) => a.text), plot._fullLayout.xaxis.title.text]); }"""
OTHER_THEME = """async () => { const { dataset } = document.documentElement;
  dataset.theme = dataset.theme === "dark" ? "light" : "dark";
  await new Promise((done) => setTimeout(done, 400)); }"""


@pytest.mark.parametrize("number", WITH_CONTROLS)
def test_figures_are_switched_by_keyboard_and_keep_what_was_chosen(read, number):
    """Menus and sliders of the figures are the browser's own: named, reached by Tab, moved by arrow keys."""
    (path,) = [page for page in CHAPTERS if page.startswith(f"book/{number}-")]
    with read(path, width=390, height=844, reduced_motion="reduce") as seen:
        page = seen.page
        controls = page.locator(CONTROLS)
        assert controls.count() == WITH_CONTROLS[number]
        assert page.locator("[data-esgd-plotly] :is(.updatemenu-container, .slider-container)").count() == 0
        for i in range(controls.count()):
            control = controls.nth(i)
            assert len(control.evaluate("(c) => c.labels[0].firstChild.textContent").strip()) > 3
            figure = control.evaluate(
                "(c) => [...document.querySelectorAll('[data-esgd-plotly]')].indexOf(c.closest('figure'))"
            )
            assert control.evaluate(
                "(c) => c.getBoundingClientRect().right <= c.closest('figure').getBoundingClientRect().right"
            )
            before = page.evaluate(SHOWN, figure)
            control.evaluate("(c) => { const f = c.closest('figure'); f.tabIndex = -1; f.focus(); }")
            for _ in range(3):  # the figure's first control, or its second
                page.keyboard.press("Tab")
                if control.evaluate("(c) => c === document.activeElement"):
                    break
            assert control.evaluate("(c) => c === document.activeElement")
            assert control.evaluate("(c) => getComputedStyle(c).outlineStyle") != "none"
            page.keyboard.press("ArrowDown" if control.evaluate("(c) => c.tagName") == "SELECT" else "ArrowRight")
            page.wait_for_function(f"([i, before]) => ({SHOWN})(i) !== before", arg=[figure, before])
            after = page.evaluate(SHOWN, figure)
            page.evaluate(OTHER_THEME)
            page.wait_for_function(f"([i, after]) => ({SHOWN})(i) === after", arg=[figure, after])
            assert control.evaluate("(c) => c === document.activeElement")
        assert seen.problems == []
