"""The reference pages: every example in them and in the docstrings runs, and nothing public is left out."""

import doctest
import importlib.util
import re
from pathlib import Path

import pytest

import esgd

BOOK = Path(__file__).parents[2] / "book"
MODULES = [
    "esgd.double_backward",
    "esgd.hvp",
    "esgd.nets",
    "esgd.operator",
    "esgd.optim._probe",
    "esgd.optim.captured",
    "esgd.optim.esgd",
    "esgd.optim.jacobi",
    "esgd.optim.reference",
    "esgd.optim.saddle_free",
    "esgd.probes",
]
PAGES = sorted(BOOK.glob("api-*.md"))
EXAMPLES = re.compile(r"^```pycon\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def run(test) -> int:
    runner = doctest.DocTestRunner(verbose=False)
    report = []
    runner.run(test, out=report.append)
    assert not runner.failures, "".join(report)
    return runner.tries


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_a_module_run(name):
    module = importlib.import_module(name)
    tests = [t for t in doctest.DocTestFinder(exclude_empty=True).find(module) if t.examples]
    assert tests, "a module listed here has examples"
    assert sum(run(test) for test in tests) > 0


@pytest.mark.parametrize("name", ["esgd.optim.reference", "esgd.probes"])
def test_every_public_function_has_an_example(name):
    module = importlib.import_module(name)
    functions = [getattr(module, n) for n in module.__all__ if callable(getattr(module, n))]
    assert [f.__name__ for f in functions if ">>>" not in f.__doc__] == []


@pytest.mark.parametrize("name", esgd.__all__)
def test_what_the_package_exports_has_an_example_and_a_page(name):
    assert ">>>" in getattr(esgd, name).__doc__
    assert any(re.search(rf"auto\w+:: esgd\.(\w+\.)*{name}$", p.read_text("utf-8"), re.MULTILINE) for p in PAGES)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_the_examples_of_a_page_run(page):
    """The blocks of a page follow one another, as a reader would type them."""
    text = "\n".join(EXAMPLES.findall(page.read_text("utf-8")))
    if text:
        run(doctest.DocTestParser().get_doctest(text, {}, page.name, str(page), 0))
    else:
        assert "autoclass" in page.read_text("utf-8")


def test_bars_of_absolute_values_are_escaped_outside_formulas():
    spec = importlib.util.spec_from_file_location("docstrings", BOOK / "_ext" / "docstrings.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    lines = ["|H| and :math:`|S|`, ``|a|``", ".. math::", "    |S/k|", "", ">>> a | b", "after \\|T| too"]
    expected = ["\\|H\\| and :math:`|S|`, ``|a|``", ".. math::", "    |S/k|", "", ">>> a | b", "after \\|T\\| too"]
    assert module.escape_bars(lines) == expected
