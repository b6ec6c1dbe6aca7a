"""The figures of the paper, from the command line."""

import subprocess
import sys
from pathlib import Path

import pytest

from esgd.figures.paper import paper_figure

ROOT = Path(__file__).parents[2]


def run(*arguments, cwd):
    return subprocess.run(
        [sys.executable, "-m", "esgd", "figure", *map(str, arguments)], cwd=cwd, capture_output=True, text=True
    )


def test_all_draws_every_figure_of_every_data_set_as_pages_without_a_network(tmp_path):
    (tmp_path / "results").symlink_to(ROOT / "results")
    done = run("all", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    pages = {page.name: page.read_text() for page in tmp_path.glob("*.html")}
    recorded = {n for n in (4, 5, 6) if (ROOT / "results" / f"fig{n}" / "mnist").exists()}
    assert set(pages) == {f"figure{n}.html" for n in range(1, 7)} | {f"figure{n}-mnist.html" for n in recorded}
    for text in pages.values():
        assert "Plotly.newPlot" in text
        assert 'src="http' not in text
    assert "mnist-esgd" in pages["figure5-mnist.html"]
    assert "mnist-esgd" not in pages["figure5.html"]


def test_one_figure_goes_where_it_is_told(tmp_path):
    done = run(5, "--data", "mnist", "-O", tmp_path / "page.html", cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert "mnist-esgd" in (tmp_path / "page.html").read_text()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [((4,), "is not there"), ((9,), "choose one of"), (("x",), "got 'x'"), ((3,), "is not there"),
     ((5, "--data", "faces"), "choose one of curves, mnist"), ((4, "--data", "mnist"), "is not there"),
     (("all", "-O", "a.html"), "leave")],
)  # fmt: skip
def test_bad_input_gets_one_line(tmp_path, arguments, words):
    done = run(*arguments, cwd=tmp_path)
    assert done.returncode != 0
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize(("data", "panels"), [("curves", 3), ("mnist", 2)])
def test_figure_6_has_a_panel_for_what_was_measured_and_no_other(data, panels):
    """On MNIST the spectrum was left out."""
    drawn = paper_figure(6, ROOT / "results" / "fig6" / data / "measures.csv")
    titles = [axis.title.text for axis in drawn.select_yaxes()]
    assert len(titles) == panels
    assert ("share of Σλ² on λ < 0" in titles) == (panels == 3)
    (menu,) = drawn.layout.updatemenus
    assert all(f"xaxis{panels}.title.text" in button.args[1] for button in menu.buttons)
    assert drawn.layout[f"xaxis{panels}"].title.text == "epochs"
    assert all(trace.x for trace in drawn.data)
