"""Displayed equations as numbers: a small evaluator for the LaTeX that the chapters use.

``Equation("04-absolute-hessian", "eq:two-steps")`` reads an equation from its notebook; ``value(latex, names)``
evaluates an expression. Names are LaTeX as it stands in the text (``\\theta_t``, ``H_\\varphi``), values are NumPy
arrays: juxtaposition is a matrix product where a matrix is involved and else a product entry by entry; ``|H|`` of
a symmetric matrix is the absolute matrix; powers of a matrix are matrix powers, those of a vector go entry by
entry.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np

BOOK = Path(__file__).resolve().parents[2] / "book"
SPACE = re.compile(r"\\(?:quad|qquad|textstyle|[,;! ])|\\[bB]igg?[lr]?(?![a-zA-Z])|&|\s+|~")
FUNCTIONS = {"log": np.log, "sin": np.sin, "cos": np.cos}


def displayed(chapter: str, label: str) -> str:
    """The LaTeX of the equation with this label."""
    cells = json.loads((BOOK / f"{chapter}.ipynb").read_text(encoding="utf-8"))["cells"]
    text = "\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "markdown")
    found = re.findall(r"\$\$\n((?:(?!\$\$).)*?)\n\$\$ \(" + re.escape(label) + r"\)", text, re.DOTALL)
    assert len(found) == 1, f"{chapter} displays {label} {len(found)} times"
    return found[0].strip().rstrip(". ,")


def sides(latex: str) -> dict[str, list[str]]:
    """``left -> [right, …]`` of every equality or assignment in a display; several stand beside each other."""
    out = {}
    latex = re.sub(r"\\(begin|end)\{aligned\}", "", latex)
    for part in re.split(r",?\s*(?:\\quad|\\qquad|\\\\)", latex):
        pieces = re.split(r"=|\\leftarrow|\\le(?![a-z])|\\ge(?![a-z])", part)
        left, *right = (piece.strip().rstrip(". ,") for piece in pieces)
        out[re.sub(r"\s|&", "", left)] = right
    return out


def power(x, exponent):
    """x to the exponent: of a matrix by its eigenvectors, of anything else entry by entry."""
    if np.ndim(x) < 2:
        return np.asarray(x, dtype=float) ** exponent
    if float(exponent).is_integer():
        return np.linalg.matrix_power(x, int(exponent))
    values, q = np.linalg.eigh(x)
    return (q * values**exponent) @ q.T


def times(a, b):
    """Matrix product where a matrix takes part, else entry by entry."""
    return a @ b if (np.ndim(a) == 2 and np.ndim(b) > 0) or (np.ndim(b) == 2 and np.ndim(a) > 0) else a * b


def absolute(x):
    if np.ndim(x) < 2:
        return np.abs(x)
    values, q = np.linalg.eigh(x)
    return (q * np.abs(values)) @ q.T


class Reader:
    """A recursive descent through one expression."""

    def __init__(self, latex: str, names: dict[str, object]):
        self.text = SPACE.sub(lambda m: " " if m.group().strip() == "" else "", latex)
        self.text = re.sub(r"\s+", " ", self.text).strip()
        self.names = {re.sub(r"\s+", " ", k): v for k, v in names.items()}
        self.order = sorted(self.names, key=len, reverse=True)
        self.at = 0
        self.ends: tuple[str, ...] = ()

    def peek(self, *options: str) -> str | None:
        while self.text.startswith(" ", self.at):
            self.at += 1
        return next((o for o in options if self.text.startswith(o, self.at)), None)

    def take(self, *options: str) -> str:
        found = self.peek(*options)
        if found is None:
            raise ValueError(f"expected one of {options} at {self.text[self.at :]!r} in {self.text!r}")
        self.at += len(found)
        return found

    def sum(self):
        sign = -1 if self.peek("-") and self.take("-") else 1
        out = sign * self.product()
        while op := self.peek("+", "-"):
            self.take(op)
            term = self.product()
            out = out + term if op == "+" else out - term
        return out

    def product(self):
        out = self.factor()
        while True:
            if self.peek("/"):
                self.take("/")
                out = out / self.factor()
            elif self.peek(r"\odot"):
                self.take(r"\odot")
                out = out * self.factor()
            elif self.at >= len(self.text) or self.peek("+", "-", ")", "}", r"\rVert", r"\right", *self.ends):
                return out
            else:
                out = times(out, self.factor())

    def factor(self):
        x = self.atom()
        while self.peek("^"):
            self.take("^")
            if self.peek(r"\top", r"{\top}"):
                self.take(r"\top", r"{\top}")
                x = np.transpose(x)
            else:
                x = power(x, self.argument())
        return x

    def argument(self):
        """What follows \\frac, \\sqrt or ^: a group in braces, or one symbol."""
        if self.peek("{"):
            return self.within("{", "}")
        name = self.peek(*self.order)
        if name:
            self.take(name)
            return self.names[name]
        while self.peek(" "):
            self.at += 1
        self.at += 1
        return float(self.text[self.at - 1])

    def within(self, opening: str, closing: str):
        self.take(opening)
        ends, self.ends = self.ends, ("|",) if closing == "|" else ()
        out = self.sum()
        self.ends = ends
        self.take(closing)
        return out

    def atom(self):
        if name := self.peek(*self.order):
            self.take(name)
            return self.names[name]
        if found := self.peek(r"\tfrac", r"\frac"):
            self.take(found)
            return self.argument() / self.argument()
        if self.peek(r"\sqrt"):
            self.take(r"\sqrt")
            return np.sqrt(self.argument())
        for opening, closing, meaning in (
            (r"\left(", r"\right)", lambda x: x),
            ("(", ")", lambda x: x),
            (r"\lVert", r"\rVert_F", np.linalg.norm)
            if r"\rVert_F" in self.text
            else ("\\lVert", "\\rVert", np.linalg.norm),
            ("|", "|", absolute),
        ):
            if self.peek(opening):
                return meaning(self.within(opening, closing))
        if found := self.peek(r"\mathrm{diag}", r"\operatorname{diag}"):
            self.take(found)
            return np.diagonal(self.factor())
        for name, function in FUNCTIONS.items():
            if self.peek("\\" + name):
                self.take("\\" + name)
                return function(self.factor() if self.peek("(") else self.product())
        number = re.compile(r"\d+").match(self.text, self.at)
        if not number:
            raise ValueError(f"cannot read {self.text[self.at :]!r} in {self.text!r}")
        self.at = number.end()
        return float(number.group())


def value(latex: str, **names):
    """An expression as a number. Names of more than letters are passed as ``**{r"\\theta_t": …}``."""
    reader = Reader(latex, names)
    out = reader.sum()
    assert reader.at == len(reader.text), f"{reader.text[reader.at :]!r} is left over in {latex!r}"
    return out
