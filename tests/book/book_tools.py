"""The built book as the tests see it: its pages, one visit to a page and what was noticed on it."""

from __future__ import annotations

import functools
import gzip
import http.server
import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import yaml

ROOT = Path(__file__).resolve().parents[2]
HTML = Path(os.environ.get("ESGD_BOOK_HTML") or ROOT / "_build" / "html").resolve()
NOTEBOOKS = sorted((ROOT / "book").glob("*.ipynb"))


def toc_files() -> list[str]:
    """The documents of the book in reading order, as ``_toc.yml`` names them."""
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    files = [toc["root"]]
    for part in toc.get("parts", [toc]):
        for chapter in part.get("chapters", []):
            files.append(chapter["file"])
            files += [section["file"] for section in chapter.get("sections", [])]
    return files


PAGES = [f"{name}.html" for name in toc_files()]
LAB = "book/lab.html"  # the page of the lab: all nine scenes, no notebook
CHAPTERS = [page for page in PAGES if (ROOT / page).with_suffix(".ipynb").exists()]
OPENED = [page for page in CHAPTERS if re.match(r"book/(0\d|10)-", page)]  # each opens with a lab, and has figures


@dataclass
class Visit:
    """What was noticed while a page was opened and read to its end."""

    page: Any
    external: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    loaded: set[str] = field(default_factory=set)

    def weight(self, *, shared: bool) -> int:
        """Bytes, gzipped, of the files that the page loaded; without ``shared`` only those of this page alone."""
        total = 0
        for path in self.loaded:
            if shared or ("_static/" not in path and path != "searchindex.js"):
                content = (HTML / path).read_bytes()
                compressed = path.endswith((".woff", ".woff2", ".png", ".jpg", ".webp"))
                total += len(content) if compressed else len(gzip.compress(content, 6))
        return total


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    """Serves the built book without a line a request."""

    def log_message(self, *args: object) -> None:
        pass


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The address under which a folder is served on this machine."""
    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(QuietHandler, directory=str(folder))
    )
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()


READ_TO_THE_END = """async () => {
  const pause = (ms) => new Promise((done) => setTimeout(done, ms));
  const step = window.innerHeight;
  for (let y = 0; y < document.documentElement.scrollHeight; y += step) { window.scrollTo(0, y); await pause(40); }
  const waiting = () => [...document.querySelectorAll("[data-esgd-plotly]")].some((f) => f.dataset.ready !== "true")
    || [...document.querySelectorAll("[data-esgd-lab]")].some((l) => !l.dataset.esgdLabReady);
  for (let i = 0; i < 150 && waiting(); i += 1) await pause(100);
  if (window.MathJax?.startup?.promise) await window.MathJax.startup.promise;
  window.scrollTo(0, 0);
  await pause(60);
}"""


@contextmanager
def visit(
    browser: Any, address: str, *, width: int = 1280, height: int = 900, scheme: str = "light", **options: Any
) -> Iterator[Visit]:
    """Open a page (``http:`` or ``file:``), let nothing through that is not local, and read it to the end."""
    context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme, **options)
    page = context.new_page()
    seen = Visit(page)
    parts = urlsplit(address)
    base = f"{parts.scheme}://{parts.netloc}/" if parts.scheme == "http" else HTML.as_uri() + "/"

    def route(route: Any, request: Any) -> None:
        if request.url.startswith((base, "data:", "blob:")):
            if request.url.startswith(base):
                seen.loaded.add(unquote(urlsplit(request.url[len(base) :]).path))
            route.continue_()
        else:
            seen.external.append(request.url)
            route.abort()

    context.route("**/*", route)
    page.on("console", lambda m: seen.problems.append(f"{m.type}: {m.text}") if m.type == "error" else None)
    page.on("pageerror", lambda error: seen.problems.append(f"exception: {error}"))
    page.on("response", lambda r: seen.problems.append(f"{r.status}: {r.url}") if r.status >= 400 else None)
    try:
        page.goto(address, wait_until="load")
        page.evaluate(READ_TO_THE_END)
        yield seen
    finally:
        context.close()
