"""Docstrings write |H| as mathematics does; reStructuredText would take it for a substitution."""

from __future__ import annotations

import re

BAR = re.compile(r"(?<!\\)\|")
QUOTED = re.compile(r"(``.*?``|:math:`.*?`)")


def escape_bars(lines: list[str]) -> list[str]:
    """Escape every bar outside literals, formulas and examples."""
    result, block = [], None  # block: the indentation of the line that opened a literal or a formula
    for line in lines:
        indent = len(line) - len(line.lstrip())
        if block is not None and line.strip() and indent <= block:
            block = None
        if block is None and not line.lstrip().startswith((">>>", "...")):
            parts = QUOTED.split(line)
            result.append("".join(p if i % 2 else BAR.sub(r"\|", p) for i, p in enumerate(parts)))
        else:
            result.append(line)
        if block is None and line.rstrip().endswith("::"):
            block = indent
    return result


def _process(app, what, name, obj, options, lines):
    lines[:] = escape_bars(lines)


def setup(app):
    app.connect("autodoc-process-docstring", _process, priority=400)  # before napoleon rearranges it
    return {"parallel_read_safe": True, "parallel_write_safe": True}
