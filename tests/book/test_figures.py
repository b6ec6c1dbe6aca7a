"""Figures of the built book in a browser: drawn, in the colours of the theme, and drawn anew when it changes."""

from __future__ import annotations

import pytest
from book_tools import CHAPTERS

from esgd.figures._sphinx import figure_html
from esgd.figures.palette import COLOURS

pytestmark = pytest.mark.browser

TRACE_COLOURS = """() => [...document.querySelectorAll(".esgd-plot")].flatMap((plot) =>
  plot.data.map((trace) => (trace.line?.color ?? "").toString().toLowerCase()))"""
COLOUR_OF_A_WORD = "() => getComputedStyle(document.querySelector('.c-esgd')).textDecorationColor"
PAGE_TEXT = "() => getComputedStyle(document.querySelector('.esgd-plot .xtick text, .esgd-plot text')).fill"
TOGGLE = (
    "() => { document.documentElement.dataset.theme = 'dark'; document.documentElement.dataset.mode = 'dark'; }"
)


@pytest.mark.parametrize("page", CHAPTERS)
def test_figures_are_drawn_and_follow_the_theme(read, page):
    light = {pair[0].lower() for pair in COLOURS.values()}
    dark = {pair[1].lower() for pair in COLOURS.values()}
    with read(page, scheme="light") as seen:
        plots = seen.page.locator("[data-esgd-plotly]").count()
        if plots == 0:
            pytest.skip("no plotly figure on this page")
        assert seen.page.locator("[data-esgd-plotly] svg.main-svg").count() >= plots
        sizes = seen.page.evaluate("() => [...document.querySelectorAll('.esgd-plot')].map((p) => p.clientHeight)")
        assert min(sizes) >= 200
        before = set(seen.page.evaluate(TRACE_COLOURS))
        assert not before & dark
        ink = seen.page.evaluate(PAGE_TEXT)
        seen.page.evaluate(TOGGLE)
        seen.page.wait_for_function(
            "() => [...document.querySelectorAll('[data-esgd-plotly]')].every((f) => f.dataset.drawn === 'dark')"
        )
        seen.page.wait_for_timeout(400)
        after = set(seen.page.evaluate(TRACE_COLOURS))
        assert not after & light
        assert len(after & dark) == len(before & light)
        assert seen.page.evaluate(PAGE_TEXT) != ink, "text of a figure is unreadable on the other ground"
        assert seen.problems == []


def test_a_method_has_one_colour_in_words_and_figures(read):
    """The line under a method's name is in the palette's colour, on both grounds."""
    for scheme, index in [("light", 0), ("dark", 1)]:
        with read(CHAPTERS[0], scheme=scheme) as seen:
            shown = seen.page.evaluate(COLOUR_OF_A_WORD)
            value = COLOURS["esgd"][index].lstrip("#")
            assert shown == "rgb({}, {}, {})".format(*(int(value[i : i + 2], 16) for i in (0, 2, 4)))


def test_figure_html_keeps_text_apart_from_markup():
    """A title with markup cannot end the script element or the attribute."""
    figure = {"data": [], "layout": {"meta": {"alt": 'a "quoted" </script> b'}, "title": {"text": "</script>"}}}
    html = figure_html(figure)
    assert html.count("</script>") == 1
    assert "&quot;quoted&quot;" in html


def test_numbers_take_few_bytes_and_lose_none_that_shows():
    values = [152.0, 54.747806549072266, -0.000123456789, 3e20, float("nan"), 7]
    html = figure_html({"data": [{"y": values}], "layout": {}})
    assert '"y":[152,54.748,-0.00012346,3e+20,null,7]' in html
