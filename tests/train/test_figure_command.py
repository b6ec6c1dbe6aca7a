"""The figures of the paper, from the command line."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def run(*arguments, cwd):
    return subprocess.run(
        [sys.executable, "-m", "esgd", "figure", *map(str, arguments)], cwd=cwd, capture_output=True, text=True
    )


@pytest.mark.parametrize("number", [1, 2, 3, 4, 5, 6])
def test_a_figure_is_one_page_without_a_network(tmp_path, number):
    page = tmp_path / "page.html"
    done = run(number, "-O", page, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    text = page.read_text()
    assert "Plotly.newPlot" in text
    assert 'src="http' not in text


@pytest.mark.parametrize(
    ("arguments", "words"),
    [((4,), "is not there"), ((9,), "choose one of"), (("x",), "got 'x'"), ((3,), "is not there"),
     (("all", "-O", "a.html"), "leave")],
)  # fmt: skip
def test_bad_input_gets_one_line(tmp_path, arguments, words):
    done = run(*arguments, cwd=tmp_path)
    assert done.returncode != 0
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
