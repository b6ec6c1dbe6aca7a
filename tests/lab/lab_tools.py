"""The programs that the lab's tests run."""

from __future__ import annotations

import shutil

CHROMIUM = next((p for p in map(shutil.which, ("chromium", "chromium-browser", "google-chrome")) if p), None)
NODE = shutil.which("node")
