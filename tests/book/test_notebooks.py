"""The notebooks as they are committed: stripped, with stable names, and checking themselves."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys

import pytest
from book_tools import NOTEBOOKS, ROOT, toc_files

IDS = [path.stem for path in NOTEBOOKS]


def cells(path, kind):
    """Cells of one kind, as dictionaries."""
    return [cell for cell in json.loads(path.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == kind]


def plain(source):
    """Code without the lines that only IPython understands."""
    return "\n".join("pass" if line.lstrip().startswith(("%", "!")) else line for line in source.splitlines())


@pytest.mark.parametrize("path", NOTEBOOKS, ids=IDS)
def test_notebook_is_stripped(path):
    done = subprocess.run(
        [sys.executable, "-m", "nbstripout", "--keep-id", "--verify", str(path)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"run nbstripout --keep-id {path.name}: {done.stdout}{done.stderr}"


def test_the_gate_sees_an_output(tmp_path):
    """A notebook with an output does not pass, so that the test above means something."""
    notebook = json.loads(NOTEBOOKS[0].read_text(encoding="utf-8"))
    code = next(cell for cell in notebook["cells"] if cell["cell_type"] == "code")
    code["outputs"] = [{"output_type": "stream", "name": "stdout", "text": ["1\n"]}]
    dirty = tmp_path / "dirty.ipynb"
    dirty.write_text(json.dumps(notebook), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "nbstripout", "--keep-id", "--verify", str(dirty)], capture_output=True, check=False
    )
    assert done.returncode != 0


@pytest.mark.parametrize("path", NOTEBOOKS, ids=IDS)
def test_cells_check_themselves(path):
    """A chapter that computes has assertions, and none of them is a constant."""
    code = cells(path, "code")
    asserts = [
        node
        for cell in code
        for node in ast.walk(ast.parse(plain("".join(cell["source"]))))
        if isinstance(node, ast.Assert)
    ]
    assert len(asserts) >= 3, f"{path.name} has {len(code)} code cells and {len(asserts)} assertions"
    assert not [node for node in asserts if isinstance(node.test, ast.Constant)]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=IDS)
def test_notebook_is_a_chapter(path):
    """One title; ids that are there and differ; a plain kernel; a place in the table of contents."""
    notebook = json.loads(path.read_text(encoding="utf-8"))
    ids = [cell["id"] for cell in notebook["cells"]]
    assert len(set(ids)) == len(ids)
    assert notebook["metadata"]["kernelspec"]["name"] == "python3"
    assert "widgets" not in notebook["metadata"]
    text = "\n".join("".join(cell["source"]) for cell in cells(path, "markdown"))
    assert len(re.findall(r"^# ", text, re.MULTILINE)) == 1
    assert f"book/{path.stem}" in toc_files(), f"add {path.stem} to _toc.yml"


SCENE_OF = {
    "01": "descent", "02": "escape", "03": "contours", "04": "saddle-free", "05": "rotation-dial", "06": "probes",
    "07": "esgd-steps", "08": "rmsprop-faces",
}  # fmt: skip


@pytest.mark.parametrize("path", [p for p in NOTEBOOKS if re.match(r"\d\d-", p.name)], ids=str)
def test_chapter_ends_with_summary_and_exercises(path):
    text = "\n".join("".join(cell["source"]) for cell in cells(path, "markdown"))
    headings = re.findall(r"^## (.+)$", text, re.MULTILINE)
    assert [h for h in headings if h.startswith("Summary")]
    assert [h for h in headings if h.startswith("Exercises")]
    exercises = re.findall(r"^(?:```+|:::+)\{exercise(?:-start)?\}", text, re.MULTILINE)
    solutions = re.findall(r"^(?:```+|:::+)\{solution(?:-start)?\}", text, re.MULTILINE)
    assert len(exercises) >= 3
    assert len(solutions) >= len(exercises), "every exercise has a folded solution"
    code = ["".join(cell["source"]) for cell in cells(path, "code")]
    assert [c for c in code if "not answered yet" in c.lower()], "one exercise at least is checked by a cell"
    opening = code[0]
    assert "SaddleLab(" in opening, "a chapter opens with a figure to play with"
    if path.stem[:2] in SCENE_OF:
        assert f'SaddleLab("{SCENE_OF[path.stem[:2]]}"' in opening


def test_no_file_names_a_place_on_somebodys_machine():
    """Committed text has no absolute path of a home directory or a scratch folder in it."""
    done = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip("not a git checkout")
    home = re.compile(r"(?<![\w.])/(?:home|Users|root)/[a-z]\w*/|C:\\Users", re.IGNORECASE)
    found = []
    for name in done.stdout.split():
        path = ROOT / name
        if path.suffix in {
            ".py",
            ".md",
            ".ipynb",
            ".yml",
            ".yaml",
            ".toml",
            ".json",
            ".txt",
            ".csv",
            ".js",
            ".css",
        }:
            for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
                if home.search(line) and path.name != "test_notebooks.py":
                    found.append(f"{name}:{number}")
    assert found == []
