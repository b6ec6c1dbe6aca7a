"""Fixtures of the lab's tests: the module evaluated in Node or Chromium, and pages that hold one lab."""

from __future__ import annotations

import base64
import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from lab_tools import NODE

from esgd.lab import MODULE, page_script, placeholder

PAGE = """<!doctype html><html lang="en"{theme}><head><meta charset="utf-8"><title>A lab</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>body {{ font-family: system-ui, sans-serif; max-width: 820px; margin: 0 auto; padding: 0 16px;
background: #fff }}
a {{ color: inherit }} html[data-theme=dark] body {{ background: #14181e; color: #ddd }}</style></head>
<body><main><h1>A lab</h1><p>Above <a href="#">a link</a>.</p>{places}</main>
<script src="lab.js"></script></body></html>"""


@pytest.fixture(scope="session")
def evaluate(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """Calls a function ``(core, SCENES, argument) => value`` of JavaScript, in Node if there is one."""
    source = MODULE.read_text(encoding="utf-8")
    if NODE is not None:

        def in_node(function: str, argument: Any = None) -> Any:
            url = "data:text/javascript;base64," + base64.b64encode(source.encode()).decode()
            script = (
                f"const m = await import({json.dumps(url)}); const value = await ({function})"
                f"(m.core, m.SCENES, {json.dumps(argument)}); console.log(JSON.stringify(value ?? null));"
            )
            command = [NODE, "--input-type=module", "-"]
            done = subprocess.run(command, input=script, capture_output=True, text=True, timeout=120)
            assert done.returncode == 0, done.stderr[-2000:]
            return json.loads(done.stdout)

        return in_node
    page = request.getfixturevalue("browser").new_page()
    page.goto("about:blank")

    def in_browser(function: str, argument: Any = None) -> Any:
        return page.evaluate(
            """async ([source, text, argument]) => {
              const module = await import(URL.createObjectURL(new Blob([source], {type: 'text/javascript'})));
              return (await (0, eval)(text)(module.core, module.SCENES, argument)) ?? null;
            }""",
            [source, function, argument],
        )

    return in_browser


class Reader:
    """A page with labs on it, watched for errors and requests, and shorthand for what a reader does."""

    def __init__(self, page: Any) -> None:
        self.page = page
        self.problems: list[str] = []
        self.requests: list[str] = []
        page.on("console", lambda m: self.problems.append(m.text) if m.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: self.problems.append(str(error)))
        page.on("request", lambda request: self.requests.append(request.url))

    def state(self) -> dict[str, Any]:
        """The settings and the outcomes of the first lab."""
        return self.page.evaluate(
            """() => { const { lab } = document.querySelector('[data-esgd-lab]').esgdLab;
                 const { at: shown, playing, outcomes, best } = lab;
                 return { ...lab.S, shown, playing, outcomes, best }; }"""
        )

    def outside(self) -> list[str]:
        """Requests to anything but the page's own files and memory."""
        return [url for url in self.requests if not url.startswith(("file:", "blob:", "data:"))]

    def settle(self) -> None:
        """Waits until the lab has drawn and said what has changed."""
        self.page.wait_for_timeout(260)
        self.page.wait_for_function(
            "[...document.querySelectorAll('[data-esgd-lab]')].every((p) =>"
            " !p.esgdLab?.lab.seeking && !p.esgdLab?.lab.owing())"
        )


@pytest.fixture
def open_lab(browser: Any, tmp_path: Path) -> Iterator[Callable[..., Reader]]:
    """Opens a page with the scenes named, from a file, and waits for the first lab."""
    contexts = []

    def open_page(
        *scenes: str, hash: str = "", dark: bool = False, width: int = 900, height: int = 1000, touch: bool = False,
        motion: str = "no-preference", state: dict[str, Any] | None = None, wait: bool = True,
        javascript: bool = True,
    ) -> Reader:  # fmt: skip
        places = "".join(placeholder(scene, **(state or {})) for scene in scenes)
        theme = ' data-theme="dark"' if dark else ' data-theme="light"'
        (tmp_path / "page.html").write_text(PAGE.format(theme=theme, places=places), encoding="utf-8")
        (tmp_path / "lab.js").write_text(page_script(), encoding="utf-8")
        context = browser.new_context(
            viewport={"width": width, "height": height}, has_touch=touch, is_mobile=touch, reduced_motion=motion,
            java_script_enabled=javascript,
        )  # fmt: skip
        contexts.append(context)
        reader = Reader(context.new_page())
        reader.page.goto((tmp_path / "page.html").as_uri() + hash)
        if wait:
            reader.page.wait_for_selector("[data-esgd-lab] .lab")
            reader.settle()
        return reader

    yield open_page
    for context in contexts:
        context.close()
