"""The ledger and the tests agree, both ways; and the check that says so can itself fail."""

from __future__ import annotations

from pathlib import Path

import ledger
import pytest

ROOT = Path(__file__).resolve().parents[2]


def test_every_claim_has_a_test_and_every_test_a_claim():
    claims = ledger.load(ROOT / "book" / "claims.yml")
    assert ledger.problems(claims, ledger.find_tests(ROOT / "tests"), ROOT) == []


def test_the_chapters_that_the_ledger_names_are_the_books():
    names = {c.chapter for c in ledger.load(ROOT / "book" / "claims.yml")}
    known = {"01-descent", "02-saddles", "03-preconditioning", "04-absolute-hessian", "05-jacobi", "06-curvature"}
    known |= {"07-esgd", "08-rmsprop", "09-autoencoders", "10-landscape"}
    assert names <= known


ROW = {
    "id": "X", "place": "here", "printed": "p", "verdict": "holds", "correct": "t", "chapter": "01-descent",
}  # fmt: skip
CASE = ledger.TestCase("tests/test_x.py", 1, "test_x", "")


@pytest.mark.parametrize(
    ("change", "tests", "word"),
    [
        ({}, {}, "no test"),
        ({}, {"X": [CASE], "Y": [CASE]}, "no claim"),
        ({"verdict": "true"}, {"X": [CASE]}, "not one of"),
        ({"correct": ""}, {"X": [CASE]}, "filled in"),
        ({"verdict": "undecided"}, {}, "empirical"),
        ({"empirical": True}, {"X": [CASE]}, "recorded run"),
        ({"empirical": True, "epochs": 300, "run": "results/none"}, {"X": [CASE]}, "not recorded"),
        ({"empirical": True, "verdict": "undecided", "decides": "d", "epochs": 9}, {}, "recorded run"),
        ({"empirical": True, "epochs": {"A": 9, "B": 9}, "run": "results"}, {"X": [CASE]}, "results/b is not"),
        ({"empirical": True, "epochs": {"A": 9, "B": 0}, "run": "results"}, {"X": [CASE]}, "recorded run"),
    ],
)
def test_the_check_sees(change, tests, word, tmp_path):
    found = ledger.problems([ledger.Claim(**(ROW | change))], tests, tmp_path)
    assert any(word in line for line in found), found


def test_the_badge_names_the_epochs_of_each_data_set():
    row = ledger.Claim(**(ROW | {"verdict": "undecided", "epochs": {"CURVES": 150, "MNIST": 100}, "run": "r"}))
    assert row.label == "undecided at 150 epochs of CURVES, 100 epochs of MNIST"
    assert row.runs == {"r/curves": 150, "r/mnist": 100}


def test_the_check_passes_what_is_right(tmp_path):
    rows = [
        ledger.Claim(**ROW),
        ledger.Claim(**(ROW | {"id": "Y", "verdict": "undecided", "empirical": True, "decides": "d"})),
    ]
    assert ledger.problems(rows, {"X": [CASE]}, tmp_path) == []
    assert ledger.problems([*rows, rows[0]], {"X": [CASE]}, tmp_path) == ["X: the id is used twice"]


def test_markers_are_found_wherever_they_stand(tmp_path):
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_a.py").write_text(
        "import pytest\n"
        "pytestmark = [pytest.mark.slow, pytest.mark.claim('M')]\n"
        "@pytest.mark.claim('A', 'B')\n"
        "def test_one():\n    assert 1\n"
        "class TestC:\n"
        "    @pytest.mark.parametrize('x', [pytest.param(1, marks=pytest.mark.claim('P'))])\n"
        "    def test_two(self, x):\n        assert x\n"
        "def helper():\n    pass\n"
    )
    found = ledger.find_tests(tmp_path / "tests")
    assert {k: [t.name for t in v] for k, v in found.items()} == {
        "M": ["test_one", "TestC::test_two"], "A": ["test_one"], "B": ["test_one"], "P": ["TestC::test_two"],
    }  # fmt: skip
    assert found["A"][0].source.startswith("@pytest.mark.claim")
    assert found["A"][0].path == "tests/test_a.py"
