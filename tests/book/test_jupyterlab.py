"""Chapter 7 in JupyterLab: sliders and the live lab reach a kernel, and what it computes reaches the screen."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from book_tools import ROOT
from jupyterlab import PATIENCE, OpenNotebook, jupyterlab

expect = pytest.importorskip("playwright.sync_api", reason="install esgd[test] for the browser tests").expect
pytestmark = pytest.mark.browser

CHAPTER = ROOT / "book" / "07-esgd.ipynb"
FIRST_PATH = ".scatterlayer .trace path.js-line"
Y = "(plot) => plot.data.map((trace) => Array.from(trace.y ?? []))"


@pytest.fixture(scope="module")
def book(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two notebooks: chapter 7, and its own cells up to the live figure, then a few of ours."""
    folder = tmp_path_factory.mktemp("book")
    chapter = nbformat.read(CHAPTER, as_version=4)
    nbformat.write(chapter, folder / "chapter.ipynb")
    code = [cell for cell in chapter.cells if cell.cell_type == "code"]
    last = next(i for i, cell in enumerate(code) if "controls(path_figure" in cell.source)
    ours = [
        "lab = SaddleLab('esgd-steps')\nlab",
        "print(lab.state)",
        "lab.state = {'seed': lab.state.get('seed', 1) + 4}",
        "import json\nprint(json.dumps([trace.y for trace in path_figure(damping=20.0).data]))",
    ]
    chapter.cells = [*code[: last + 1], *map(nbformat.v4.new_code_cell, ours)]
    nbformat.write(chapter, folder / "short.ipynb")
    return folder


@pytest.fixture(scope="module")
def address(browser: Any, book: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A JupyterLab over that folder."""
    with jupyterlab(book, tmp_path_factory.mktemp("jupyter")) as base:
        yield base


@pytest.fixture(scope="module")
def short(browser: Any, address: str) -> Iterator[OpenNotebook]:
    """The short notebook, open and run to its end."""
    notebook = OpenNotebook(browser, address, "short.ipynb")
    notebook.run_all()
    yield notebook
    notebook.close()
    assert notebook.errors == []


class Live:
    """The live figure of a notebook, and the hands on its sliders."""

    def __init__(self, notebook: OpenNotebook) -> None:
        self.page = notebook.page
        self.box = self.page.locator(".jp-OutputArea-output:has(.widget-hslider)")
        self.plot = self.box.locator(".js-plotly-plot")
        self.plot.locator(FIRST_PATH).first.wait_for()
        self.words = self.box.get_by_role("status")

    def handle(self, name: str) -> Any:
        """The handle of a slider."""
        return self.box.locator(f".widget-hslider:has(label:text-is('{name}')) [role=slider]")

    def path(self) -> str:
        """The first curve as it is drawn."""
        return self.plot.locator(FIRST_PATH).first.get_attribute("d")

    def says(self, words: str) -> None:
        """Waits until the words under the figure contain these."""
        self.words.filter(has_text=words).wait_for()


def test_a_slider_makes_the_kernel_draw_the_figure_anew(short: OpenNotebook) -> None:
    live = Live(short)
    live.says("damping 0.05")
    first = live.path()
    live.handle("damping").focus()
    short.page.keyboard.press("End")
    live.says("damping 20.0")
    short.idle()
    assert live.path() != first
    expected = json.loads(short.run_cell(short.cells.count() - 1))
    drawn = live.plot.evaluate(Y)
    assert len(drawn) == len(expected) == 6
    assert all(a == pytest.approx(b, rel=1e-12) for a, b in zip(drawn, expected, strict=True))

    with short.dragged(live.handle("lr"), 200, 0):
        live.says("rate 1.0")  # while the button is still held

    live.box.get_by_role("button", name="Reset", exact=True).click()
    live.says("damping 0.05")
    live.says("rate 0.1,")
    short.idle()
    assert live.path() == first


def test_the_figure_is_as_wide_as_the_notebook_and_stays_so(short: OpenNotebook) -> None:
    live = Live(short)
    fits = """([plot, box]) => Math.abs(plot.querySelector('.main-svg').getBoundingClientRect().width
      - box.getBoundingClientRect().width) < 40"""
    both = [live.plot.element_handle(), live.box.element_handle()]
    short.page.wait_for_function(fits, arg=both)
    before = live.box.bounding_box()["width"]
    short.page.get_by_role("tab", name="File Browser").first.click()  # closes the side bar
    short.page.wait_for_function("([box, before]) => box.clientWidth > before + 50", arg=[both[1], before])
    short.page.wait_for_function(fits, arg=both)


def listening_lab(notebook: OpenNotebook, lab: int, setter: int) -> Any:
    """The output of the lab's cell, once the lab on the screen does what the kernel says.

    anywidget gives a widget two seconds to start and is deaf to the kernel if it is later, as it may be on a busy
    machine; a reader then runs the cell again, and so do we.
    """
    for attempt in range(5):
        notebook.run_cell(lab)
        notebook.run_cell(setter)
        seed = notebook.outputs(lab).locator("input[data-key=seed]")
        try:
            expect(seed).to_have_value("5", timeout=10_000)
        except AssertionError:
            if attempt == 4:
                raise
        else:
            break
    return notebook.outputs(lab)


def test_the_lab_and_the_kernel_share_one_state(short: OpenNotebook) -> None:
    page, cells = short.page, short.cells.count()
    output = listening_lab(short, cells - 4, cells - 2)
    ring = output.locator(".lab .handle").first

    def state() -> dict[str, Any]:
        return ast.literal_eval(short.run_cell(cells - 3))

    assert state() == {"seed": 5}
    ring.focus()
    for key in ("ArrowRight", "ArrowUp", "b"):  # b would add a cell, if JupyterLab took it for its own
        page.keyboard.press(key)
    moved = until_changed(state, {"seed": 5})
    assert moved.keys() == {"seed", "x0", "y0"}
    assert short.cells.count() == cells

    with short.dragged(ring, -60, 30):
        pass
    dragged = until_changed(state, moved)
    assert dragged["x0"] < moved["x0"]
    assert dragged["y0"] < moved["y0"]

    short.run_cell(cells - 2)  # the kernel sets it as a whole: the start goes back to the scene's
    expect(output.locator("input[data-key=seed]")).to_have_value("9", timeout=PATIENCE)
    assert state() == {"seed": 9}


def until_changed(state: Any, before: dict[str, Any]) -> dict[str, Any]:
    """The state that the kernel prints once the lab's message has come; each look is a run of a cell."""
    for _ in range(20):
        after = state()
        if after != before:
            return after
    raise AssertionError(f"the kernel still says {before}")


def test_the_whole_chapter_runs_and_its_slider_works(browser: Any, address: str) -> None:
    notebook = OpenNotebook(browser, address, "chapter.ipynb")
    notebook.page.set_default_timeout(15 * 60_000)  # it trains three nets
    notebook.run_all()
    live = Live(notebook)
    first = live.path()
    live.handle("damping").focus()
    notebook.page.keyboard.press("End")
    live.says("damping 20.0")
    notebook.idle()
    assert live.path() != first
    assert notebook.errors == []
    notebook.close()
