"""Where esgd looks for data and keeps its runs."""

from __future__ import annotations

import os
import sys
from pathlib import Path

__all__ = ["cache_dir", "data_dir", "runs_dir"]


def cache_dir() -> Path:
    """The user's cache folder for esgd: ``$XDG_CACHE_HOME/esgd`` or the platform's usual place."""
    if base := os.environ.get("XDG_CACHE_HOME"):
        return Path(base).expanduser() / "esgd"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "esgd"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local")) / "esgd"
    return Path.home() / ".cache" / "esgd"


def data_dir() -> Path | None:
    """The folder named by ``ESGD_DATA``, or None when the variable is unset or empty."""
    value = os.environ.get("ESGD_DATA")
    return Path(value).expanduser() if value else None


def runs_dir() -> Path:
    """Where runs and their checkpoints live: ``ESGD_RUNS``, else ``runs`` in the cache folder."""
    value = os.environ.get("ESGD_RUNS")
    return Path(value).expanduser() if value else cache_dir() / "runs"
