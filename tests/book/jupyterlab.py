"""JupyterLab as a reader has it: a server over a folder of notebooks, and one notebook open in a browser."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PATIENCE = 300_000  # milliseconds for whatever a busy machine takes long for; nothing waits longer than it must
KERNEL_IS_IDLE = "text=/\\| Idle$/"  # in the status bar
OTHERS = ("JUPYTER", "IPYTHON", "ESGD_STATIC")  # variables of the reader's own, or of a build around us
CHOSEN = {  # what a reader can choose in JupyterLab's own settings
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},  # asks no other server
    "notebook-extension/tracker": {"windowingMode": "none"},  # cells out of sight are in the page too
}


def free_port() -> int:
    """A port of this machine that nobody listens to."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def settings(home: Path) -> dict[str, str]:
    """The environment of a JupyterLab that knows only this Python, asks no other server and disturbs no reader."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith(OTHERS)}
    places = {f"JUPYTER_{kind}_DIR": str(home / kind.lower()) for kind in ("CONFIG", "DATA", "RUNTIME")}
    for name, chosen in CHOSEN.items():
        file = home / "settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(chosen), encoding="utf-8")
    return {
        **environment, **places,
        "IPYTHONDIR": str(home / "ipython"),
        "JUPYTERLAB_SETTINGS_DIR": str(home / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(home / "workspaces"),
        "JUPYTER_PREFER_ENV_PATH": "1",
        "OMP_NUM_THREADS": "1",
    }  # fmt: skip


@contextmanager
def jupyterlab(folder: Path, home: Path) -> Iterator[str]:
    """The address of a JupyterLab over ``folder``; its own files go to ``home``.

    Raises:
        RuntimeError: if it does not answer, with the end of what it said.
    """
    port = free_port()
    command = [
        sys.executable, "-m", "jupyterlab", "--no-browser", "--ip=127.0.0.1", f"--port={port}",
        "--ServerApp.port_retries=0", "--IdentityProvider.token=", "--ServerApp.password=",
        f"--ServerApp.root_dir={folder}", "--allow-root",
    ]  # fmt: skip
    log = home / "server.log"
    with log.open("wb") as said:
        server = subprocess.Popen(command, stdout=said, stderr=subprocess.STDOUT, env=settings(home), cwd=folder)
    address = f"http://127.0.0.1:{port}/"
    try:
        deadline = time.monotonic() + PATIENCE / 1000
        while True:
            try:
                urllib.request.urlopen(address + "api/status", timeout=10).close()
                break
            except (urllib.error.URLError, OSError):
                if server.poll() is not None or time.monotonic() > deadline:
                    text = log.read_text(encoding="utf-8", errors="replace")[-2000:]
                    raise RuntimeError(f"JupyterLab did not start:\n{text}") from None
                time.sleep(0.2)
        yield address
    finally:
        server.terminate()  # ends its kernels too
        try:
            server.wait(timeout=30)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


class OpenNotebook:
    """A notebook in JupyterLab's window, and what a reader does with it."""

    def __init__(self, browser: Any, address: str, name: str) -> None:
        self.context = browser.new_context(viewport={"width": 1400, "height": 1000})
        self.page = self.context.new_page()
        self.page.set_default_timeout(PATIENCE)
        self.errors: list[str] = []
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        # in a workspace of its own: the default one opens the notebooks of earlier windows again, beside this one
        self.page.goto(f"{address}lab/workspaces/{uuid.uuid4().hex}/tree/{name}")
        self.cells = self.page.locator(".jp-CodeCell")
        self.idle()  # earlier the menu would ask which kernel is meant
        panels = self.page.locator(".jp-NotebookPanel").count()
        assert panels == 1, f"the window shows {panels} notebooks, {name} is to be alone"

    def idle(self) -> None:
        """Waits until the kernel has nothing to do."""
        self.page.wait_for_selector(KERNEL_IS_IDLE)

    def run_all(self) -> None:
        """Run > Run All Cells, until the last one has run.

        Raises:
            AssertionError: with what a cell said, if it failed.
        """
        self.page.get_by_role("menuitem", name="Run", exact=True).click()
        self.page.get_by_text("Run All Cells", exact=True).click()
        self._ran(range(self.cells.count()))

    def run_cell(self, index: int) -> str:
        """Runs one code cell again and returns what it prints."""
        prompt = self.cells.nth(index).locator(".jp-InputPrompt")
        before = prompt.inner_text()
        prompt.click()
        self.page.keyboard.press("Control+Enter")
        self.page.wait_for_function(
            "([prompt, before]) => prompt.innerText !== before", arg=[prompt.element_handle(), before]
        )
        self._ran([index])
        return self.outputs(index).inner_text()

    @contextmanager
    def dragged(self, what: Any, dx: float, dy: float) -> Iterator[None]:
        """Takes something by the mouse, moves it by so many pixels, and lets it go at the end of the block."""
        what.scroll_into_view_if_needed()
        box = what.bounding_box()
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        self.page.mouse.move(x, y)
        self.page.mouse.down()
        self.page.mouse.move(x + dx, y + dy, steps=5)
        try:
            yield
        finally:
            self.page.mouse.up()

    def outputs(self, index: int) -> Any:
        """Where a code cell shows what it has computed."""
        return self.cells.nth(index).locator(".jp-OutputArea")

    def _ran(self, indices: Iterable[int]) -> None:
        failed = self.page.wait_for_function(
            """([cells, indices]) => {
              const error = cells.flatMap((c) => [...c.querySelectorAll('[data-mime-type*="error"]')])[0];
              if (error) return error.innerText;
              const done = (c) => /\\[\\d+\\]/.test(c.querySelector(".jp-InputPrompt").innerText);
              return indices.every((i) => done(cells[i])) ? "none" : false;
            }""",
            arg=[self.cells.element_handles(), list(indices)],
        ).json_value()
        assert failed == "none", failed
        self.idle()

    def close(self) -> None:
        """Closes the window; the kernel lives on until the server ends."""
        self.context.close()
