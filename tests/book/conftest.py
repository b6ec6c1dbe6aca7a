"""Fixtures of the book's tests: the built book, served; and one visit to a page."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import pytest
from book_tools import HTML, PAGES, Visit, served, visit


@pytest.fixture(scope="session")
def built() -> None:
    """The book, built after the last change of its list of pages; else a line that says how to build it."""
    missing = [page for page in PAGES if not (HTML / page).is_file()]
    if missing:
        pytest.skip(f"the book is not built ({missing[0]} is missing): run `make book` first")


@pytest.fixture(scope="session")
def address(built: None) -> Iterator[str]:
    """Where the built book is served."""
    with served(HTML) as base:
        yield base


@pytest.fixture
def read(browser: Any, address: str) -> Callable[..., AbstractContextManager[Visit]]:
    """``read("book/00-start.html", width=390)``: a visit to a page of the served book."""
    return lambda page, **options: visit(browser, address + page, **options)
