"""What every area's tests share: one browser for the whole run, or one line that says how to get one."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
MAC = Path("/Applications/Google Chrome.app/Contents/MacOS/Google Chrome")
REMEDY = (
    "no Chromium found, so the browser tests are skipped; get one by `apt-get install chromium`, "
    "`.venv/bin/playwright install chromium`, or name one in ESGD_CHROMIUM"
)


def find_chromium(playwright: Any = None) -> str | None:
    """Path of a Chromium: ``ESGD_CHROMIUM``, the system's, Chrome on a Mac, or playwright's own."""
    named = os.environ.get("ESGD_CHROMIUM")
    if named:
        return named
    found = next((path for path in map(shutil.which, NAMES) if path), None)
    if found is None and MAC.exists():
        found = str(MAC)
    if found is None and playwright is not None and Path(playwright.chromium.executable_path).exists():
        found = playwright.chromium.executable_path
    return found


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Chromium with its name resolution closed: whatever is not on this machine cannot be reached."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="install esgd[test] for the browser tests")
    # one instance for all areas: playwright's synchronous interface cannot be started twice in a process
    with sync_api.sync_playwright() as playwright:
        path = find_chromium(playwright)
        if path is None:
            if os.environ.get("ESGD_NEED_BROWSER"):
                pytest.fail(REMEDY.replace(", so the browser tests are skipped", ""), pytrace=False)
            pytest.skip(REMEDY)
        chromium = playwright.chromium.launch(
            executable_path=path,
            args=[
                "--no-sandbox",
                "--disable-dev-shm-usage",
                "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
            ],
        )
        yield chromium
        chromium.close()
