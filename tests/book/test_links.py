"""Links and references of the built book, read from its files."""

from __future__ import annotations

from urllib.parse import unquote, urlsplit

import pytest
from book_tools import CHAPTERS, HTML, PAGES
from bs4 import BeautifulSoup


@pytest.fixture(scope="module")
def soups(built):
    """Every page, parsed."""
    return {
        path.relative_to(HTML).as_posix(): BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")
        for path in HTML.rglob("*.html")
        if "_static" not in path.parts
    }


@pytest.fixture(scope="module")
def anchors(soups):
    """The ids of every page."""
    return {name: {tag["id"] for tag in soup.find_all(id=True)} for name, soup in soups.items()}


@pytest.mark.parametrize("page", PAGES)
def test_links_and_files_resolve(soups, anchors, page):
    """Each link leads to a page and an anchor that exist; each script, style and image is there."""
    here = HTML / page
    broken = []
    for tag, attribute in [("a", "href"), ("link", "href"), ("script", "src"), ("img", "src"), ("source", "src")]:
        for element in soups[page].find_all(tag, attrs={attribute: True}):
            parts = urlsplit(element[attribute])
            if (
                parts.scheme
                or parts.netloc
                or element[attribute] in {"#", ""}
                or "javascript" in element[attribute]
            ):
                continue
            target = (here.parent / unquote(parts.path)).resolve() if parts.path else here
            if not target.exists():
                broken.append(element[attribute])
            elif parts.fragment and target.suffix == ".html" and tag == "a":
                name = target.relative_to(HTML.resolve()).as_posix()
                if unquote(parts.fragment) not in anchors[name]:
                    broken.append(element[attribute])
    assert broken == []


@pytest.mark.parametrize("page", PAGES)
def test_references_are_resolved(soups, page):
    """No role, citation or number was left as it was written."""
    article = soups[page].find("article")
    for code in article.find_all(["pre", "code", "script", "template"]):
        code.extract()
    text = article.get_text(" ")
    for leftover in ("{cite", "{eq}", "{numref}", "{prf:ref}", "{doc}", "{claim}", "??", "[?]"):
        assert leftover not in text, leftover


@pytest.mark.parametrize("page", CHAPTERS)
def test_equations_are_numbered_once(soups, page):
    """Numbers of equations on a page differ, and each reference names a number that is there."""
    article = soups[page].find("article")
    numbers = [tag.get_text().strip().strip("#¶ ") for tag in article.select("span.eqno")]
    assert bool(numbers) == bool(article.select("div.math"))
    assert len(set(numbers)) == len(numbers)


@pytest.mark.parametrize("page", PAGES)
def test_everything_seen_has_words(soups, page):
    """Figures and images have an alternative text that is more than a file name."""
    soup = soups[page].find("article")
    figures = soup.select("[data-esgd-plotly], [data-esgd-lab]")
    assert [f for f in figures if len(f.get("aria-label", "").strip()) < 15] == []
    assert [i["src"] for i in soup.find_all("img") if not i.get("alt") or i["alt"].startswith("../_images")] == []


def test_solutions_are_folded(soups):
    """Each solution is behind a toggle."""
    solutions = [s for page in CHAPTERS for s in soups[page].select("div.solution")]
    assert solutions
    assert all("dropdown" in s["class"] for s in solutions)


@pytest.mark.parametrize("page", PAGES)
def test_only_pages_with_a_figure_load_its_script(soups, page):
    scripts = {tag["src"].split("?")[0].rsplit("/", 1)[-1] for tag in soups[page].find_all("script", src=True)}
    assert ("plotly.min.js" in scripts) == bool(soups[page].select("[data-esgd-plotly]"))
    assert ("esgd-lab.js" in scripts) == bool(soups[page].select("[data-esgd-lab]"))
    assert not [name for name in scripts if "thebe" in name or "require" in name or "fontawesome" in name]
