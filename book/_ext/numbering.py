"""Theorems, exercises and equations carry their chapter's number: Theorem 3.1, equation (5.2).

Sphinx counts them through the whole book, and "Theorem 2" would be one of ours beside the paper's own Theorem 2.
The chapter is read from the file's name (``03-preconditioning``); other pages count from 1 without a prefix.
"""

from __future__ import annotations

import re

from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment

CHAPTER = re.compile(r"(?:^|/)(\d\d)-[^/]*$")
AFTER_SPHINX = 900  # its own numbers come at the default priority, 500


def number_by_chapter(app: Sphinx | None, env: BuildEnvironment) -> list[str]:
    """Replace the running numbers of every page by (chapter, place on the page), kind by kind."""
    for page, kinds in env.toc_fignumbers.items():
        chapter = CHAPTER.search(page)
        prefix = (int(chapter[1]),) if chapter else ()
        for numbers in kinds.values():
            for place, label in enumerate(sorted(numbers, key=numbers.__getitem__), start=1):
                numbers[label] = (*prefix, place)
    return []  # no page to read again: numbers are written, not read


def setup(app: Sphinx) -> dict:
    app.connect("env-get-updated", number_by_chapter, priority=AFTER_SPHINX)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
