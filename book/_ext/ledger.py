"""The claims ledger as data: read ``book/claims.yml``, find the tests of each row, say what does not fit.

Used by the Sphinx extension that renders the ledger and by the test that guards it; no Sphinx here.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from pathlib import Path

import yaml

VERDICTS = ("holds", "corrected", "quadratic only", "false as printed", "ambiguous", "undecided")


@dataclass(frozen=True)
class Claim:
    """One row of the ledger."""

    id: str
    place: str
    printed: str
    verdict: str
    correct: str
    chapter: str
    empirical: bool = False
    epochs: int | dict[str, int] = 0
    run: str = ""
    decides: str = ""

    @property
    def runs(self) -> dict[str, int]:
        """Folder of recorded runs, below the root, and their epochs: one, or one a data set."""
        if isinstance(self.epochs, dict):
            return {f"{self.run}/{name.lower()}": count for name, count in self.epochs.items()}
        return {self.run: self.epochs} if self.run or self.epochs else {}

    @property
    def label(self) -> str:
        """The verdict as it is shown: an undecided one says how far the runs went."""
        if self.verdict != "undecided":
            return self.verdict
        if isinstance(self.epochs, dict):
            return "undecided at " + ", ".join(f"{count} epochs of {name}" for name, count in self.epochs.items())
        return f"undecided at {self.epochs} epochs"


@dataclass(frozen=True)
class TestCase:
    """A test that carries a claim's marker: where it is, and its source."""

    __test__ = False
    path: str
    line: int
    name: str
    source: str


def load(path: Path) -> list[Claim]:
    """All rows of the ledger; unknown or missing keys are an error."""
    return [Claim(**row) for row in yaml.safe_load(path.read_text(encoding="utf-8"))]


def _marked(node: ast.AST) -> list[str]:
    """The ids in ``pytest.mark.claim("a", "b")``, if that is what the expression is."""
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "claim"):
        return []
    return [a.value for a in node.args if isinstance(a, ast.Constant) and isinstance(a.value, str)]


def find_tests(folder: Path) -> dict[str, list[TestCase]]:
    """Claim id -> the tests under the folder that carry it: on a function, a class, a parameter or the module."""
    found: dict[str, list[TestCase]] = {}
    for path in sorted(folder.rglob("test_*.py")):
        text = path.read_text(encoding="utf-8")
        lines = text.splitlines()
        tree = ast.parse(text)
        where = path.relative_to(folder.parent).as_posix()

        def visit(body: list[ast.stmt], inherited: list[str], prefix: str, where=where, lines=lines) -> None:
            for node in body:
                if not isinstance(node, ast.FunctionDef | ast.ClassDef):
                    continue
                own = [i for d in node.decorator_list for sub in ast.walk(d) for i in _marked(sub)]
                ids = list(dict.fromkeys([*inherited, *own]))
                if isinstance(node, ast.ClassDef):
                    visit(node.body, ids, f"{prefix}{node.name}::", where, lines)
                elif node.name.startswith("test"):
                    start = min([node.lineno, *(d.lineno for d in node.decorator_list)])
                    source = "\n".join(lines[start - 1 : node.end_lineno])
                    for claim in ids:
                        case = TestCase(where, node.lineno, prefix + node.name, source)
                        found.setdefault(claim, []).append(case)

        module = [
            i
            for node in tree.body
            if isinstance(node, ast.Assign) and any(getattr(t, "id", "") == "pytestmark" for t in node.targets)
            for sub in ast.walk(node.value)
            for i in _marked(sub)
        ]
        visit(tree.body, module, "")
    return found


def problems(claims: list[Claim], tests: dict[str, list[TestCase]], root: Path) -> list[str]:
    """What does not fit, one line each; empty when the ledger and the tests agree both ways.

    Args:
        claims: the rows.
        tests: what :func:`find_tests` found.
        root: the repository, below which recorded runs lie.
    """
    out = []
    ids = [c.id for c in claims]
    out += [f"{i}: the id is used twice" for i in sorted({i for i in ids if ids.count(i) > 1})]
    out += [f"{t[0].path}::{t[0].name} names {i}, which is no claim" for i, t in tests.items() if i not in ids]
    for c in claims:
        if c.verdict not in VERDICTS:
            out.append(f"{c.id}: verdict {c.verdict!r} is not one of {', '.join(VERDICTS)}")
        if not all((c.place, c.printed, c.correct, c.chapter)):
            out.append(f"{c.id}: place, printed, correct and chapter must all be filled in")
        if c.verdict == "undecided" and not (c.empirical and c.decides):
            out.append(f"{c.id}: undecided is for empirical rows, and must say what would decide it")
        if c.empirical and (c.verdict != "undecided" or c.runs):
            if not c.runs or min(c.runs.values()) <= 0 or not c.run:
                out.append(f"{c.id}: an empirical verdict needs its recorded run and the epochs of it")
            out += [f"{c.id}: its run {r} is not recorded" for r in c.runs if r and not (root / r).exists()]
        if c.verdict != "undecided" and c.id not in tests:
            out.append(f"{c.id}: no test is marked with it")
    return out
