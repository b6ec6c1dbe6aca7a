"""The figures of the paper, from the command line."""

import subprocess
import sys
from pathlib import Path

import pytest

from esgd.figures import paper
from esgd.figures.paper import paper_figure
from esgd.measure import COLUMNS
from esgd.runs import read_csv, write_csv

from .test_cli import in_process, one_line

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


@pytest.mark.parametrize(
    ("arguments", "words"),
    [((1, "--data", "mnist"), ("figure 1 has no option data", "4, 5, 6")),
     ((1, "--x", "seconds"), ("figure 1 has no option x",)),
     ((3, "--y", "loss"), ("figure 3 has no option y", "belongs to figure 5")),
     ((4, "--y", "squared_error"), ("figure 4 has no option y",)),
     ((4, "--x", "seconds"), ("x of figure 4 cannot be 'seconds'", "epoch, step, loss")),
     ((5, "--x", "loss"), ("x of figure 5 cannot be 'loss'", "gradient_equivalents")),
     ((2, "--records", "t.csv"), ("figure 2 is computed",)),
     ((5, "--records", "t.csv", "--data", "mnist"), ("leave --data out",)),
     (("all", "--x", "colour"), ("no figure knows x 'colour'", "epoch, step, loss, gradient_equivalents, seconds")),
     (("all", "--data", "faces"), ("no figure knows data 'faces'",)),
     (("all",), ("is not there",))],
)  # fmt: skip
def test_what_a_figure_does_not_have_is_refused_before_anything_is_written(
    capsys, monkeypatch, tmp_path, arguments, words
):
    """``all`` is asked for where there are no records: Figures 1 and 2 could be drawn, and are not written."""
    monkeypatch.chdir(tmp_path)
    one_line(in_process(capsys, "figure", *map(str, arguments)), *words)
    assert not list(tmp_path.iterdir())


class Drawn:
    def to_html(self, **options) -> str:
        return "<head>"


@pytest.fixture
def drawn(monkeypatch, tmp_path) -> list:
    """What the command asks to be drawn, which is not drawn."""
    asked = []

    def note(number, records=None, **options):
        asked.append((number, options))
        return Drawn()

    monkeypatch.setattr(paper, "paper_figure", note)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "results").symlink_to(ROOT / "results")
    return asked


def test_all_gives_an_option_to_the_figures_that_know_it(capsys, drawn):
    assert in_process(capsys, "figure", "all", "--x", "seconds").returncode == 0
    assert {number for number, options in drawn if options.get("x") == "seconds"} == {5}
    assert {number for number, _ in drawn} == {1, 2, 3, 4, 5, 6}
    drawn.clear()
    assert in_process(capsys, "figure", "all", "--x", "loss", "--y", "squared_error").returncode == 0
    assert {(number, options.get("x"), options.get("y")) for number, options in drawn} == {
        *((number, None, None) for number in (1, 2, 3)),
        *((number, "loss", None) for number in (4, 6)),
        (5, None, "squared_error"),
    }
    drawn.clear()
    done = in_process(capsys, "figure", "all", "--data", "mnist")
    assert [(number, options.get("data")) for number, options in drawn] == [
        *((number, None) for number in (1, 2, 3)),
        *((number, "mnist") for number in (4, 5, 6)),
    ]
    assert done.stdout.split()[1::2] == [f"figure{n}{'-mnist' * (n > 3)}.html" for n in range(1, 7)]


def test_help_tells_every_value(capsys):
    shown = " ".join(in_process(capsys, "figure", "--help").stdout.split())
    for name in ("gradient_equivalents", "seconds", "Figures 4 and 6: epoch, step or loss", "squared_error"):
        assert name in shown
    assert {value for options in paper.OPTIONS.values() for value in options.get("x", ())} == {
        "epoch", "step", "loss", "gradient_equivalents", "seconds",
    }  # fmt: skip


@pytest.mark.parametrize("panels", [3, 2])
def test_figure_6_has_a_panel_for_what_was_measured_and_no_other(panels, tmp_path):
    """Where the spectrum was left out, as by ``esgd measure --spaces 0``, there is none for it."""
    rows = read_csv(ROOT / "results" / "fig6" / "mnist" / "measures.csv")
    spectrum = ("largest", "smallest", "negative", "positive", "negative_energy")
    kept = [row for row in rows if panels == 3 or row["quantity"] not in spectrum]
    write_csv(tmp_path / "measures.csv", kept, COLUMNS)
    drawn = paper_figure(6, tmp_path / "measures.csv")
    titles = [axis.title.text for axis in drawn.select_yaxes()]
    assert len(titles) == panels
    assert ("share of Σλ² on λ < 0" in titles) == (panels == 3)
    (menu,) = drawn.layout.updatemenus
    assert all(f"xaxis{panels}.title.text" in button.args[1] for button in menu.buttons)
    assert drawn.layout[f"xaxis{panels}"].title.text == "epochs"
    assert all(trace.x for trace in drawn.data)
