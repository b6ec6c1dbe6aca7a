"""Every row that the paper has wrong is refused as printed: the mutations of :mod:`printed`, made and run.

So is what the ledger itself once said of recorded runs and had to take back.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import ledger
import pytest
from overstated import LEDGER, OVERSTATED
from printed import PRINTED, Printed

ROOT = Path(__file__).resolve().parents[2]
# a counterexample is enough, hypothesis need not look for a smaller one
WITHOUT_SHRINKING = """
from hypothesis import Phase

quick = settings(settings.get_profile("claims"), phases=[Phase.explicit, Phase.generate])
settings.register_profile("quick", quick)
settings.load_profile("quick")
"""
WRONG = ("corrected", "quadratic only", "false as printed", "ambiguous")


def test_every_row_that_is_wrong_as_printed_is_put_back_here():
    claims = ledger.load(ROOT / "book" / "claims.yml")
    wrong = {c.id for c in claims if c.verdict in WRONG and not c.place.startswith("new")}
    assert {p.claim for p in PRINTED} == wrong


def test_what_the_ledger_overstated_is_of_rows_that_runs_decide():
    claims = {c.id: c for c in ledger.load(ROOT / "book" / "claims.yml")}
    assert all(claims[edit.claim].empirical for edit in OVERSTATED)
    # each of them in the ledger's own words, whatever else of it is edited
    assert {edit.claim for edit in OVERSTATED} == {edit.claim for edit in OVERSTATED if edit.path == LEDGER}


def test_the_edits_fit_the_files_and_the_tests_carry_the_rows():
    marked = {
        (claim, f"{case.path}::{case.name}")
        for claim, cases in ledger.find_tests(ROOT / "tests").items()
        for case in cases
    }
    for edit in (*PRINTED, *OVERSTATED):
        assert (ROOT / edit.path).read_text(encoding="utf-8").count(edit.true) == 1, edit
        assert (edit.claim, edit.test) in marked, edit


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """What the tests of the claims need of the repository, to be edited."""
    folder = tmp_path_factory.mktemp("printed")
    for name in ("esgd", "tests", "book", "results"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "_build"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    with (folder / "tests" / "claims" / "conftest.py").open("a", encoding="utf-8") as file:
        file.write(WITHOUT_SHRINKING)
    return folder


def run(folder: Path, *nodes: str) -> subprocess.CompletedProcess[str]:
    """Pytest on some nodes of the copy, against the copy's own library; bytecode would outlive an edit."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--tb=native", *nodes]
    env = os.environ | {"PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_the_copy_itself_passes(copy):
    done = run(copy, *dict.fromkeys(edit.test for edit in (*PRINTED, *OVERSTATED)))
    assert done.returncode == 0, done.stdout
    assert "skipped" not in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    "edit", [*PRINTED, *OVERSTATED], ids=lambda edit: f"{edit.claim}-{edit.test.split('::')[-1]}"
)
def test_as_printed_the_test_fails(copy, edit: Printed):
    path = copy / edit.path
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace(edit.true, edit.printed), encoding="utf-8")
    try:
        done = run(copy, edit.test)
    finally:
        path.write_text(text, encoding="utf-8")
    assert done.returncode == 1, done.stdout  # 1: tests failed; 2 and above: it did not come so far
    assert "AssertionError" in done.stdout  # a statement was refused, nothing broke
