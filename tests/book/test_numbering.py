"""Theorems and equations are numbered within their chapter, so that none has the number of one of the paper's."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from book_tools import CHAPTERS, HTML

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "book" / "_ext"))
from numbering import number_by_chapter


def test_numbers_begin_anew_in_every_chapter():
    env = SimpleNamespace(
        toc_fignumbers={
            "book/03-preconditioning": {"theorem": {"b": (12,), "a": (9,)}, "displaymath": {"e": (30,)}},
            "book/04-absolute-hessian": {"theorem": {"c": (13,)}},
            "book/appendix-cost": {"displaymath": {"f": (70,), "g": (71,)}},
        }
    )
    assert number_by_chapter(None, env) == []
    assert env.toc_fignumbers == {
        "book/03-preconditioning": {"theorem": {"b": (3, 2), "a": (3, 1)}, "displaymath": {"e": (3, 1)}},
        "book/04-absolute-hessian": {"theorem": {"c": (4, 1)}},
        "book/appendix-cost": {"displaymath": {"f": (1,), "g": (2,)}},
    }


@pytest.mark.parametrize("page", [p for p in CHAPTERS if re.search(r"/\d\d-", p)])
def test_built_chapters_show_their_own_number(built, page):
    text = (HTML / page).read_text(encoding="utf-8")
    chapter = int(re.search(r"/(\d\d)-", page)[1])
    theorems = re.findall(r'caption-number">\s*(?:Theorem|Lemma|Proposition|Exercise) ([\d.]*)', text)
    equations = re.findall(r'class="eqno">\(([\d.]*)\)', text)
    assert [n for n in theorems + equations if not n.startswith(f"{chapter}.")] == []
    assert len(set(equations)) == len(equations)
    if 1 <= chapter <= 8:
        assert theorems
        assert equations
