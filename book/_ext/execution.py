"""Notebooks are executed again whenever what they import or draw has changed.

Jupyter Book's execution cache knows the code of a notebook, but not the library that it imports. This
extension hashes the library, the recorded runs and the pinned environment; when the hash differs from that of
the last build, the cache and the pages built from it are dropped before Sphinx loads them.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
from pathlib import Path

from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.util import logging

logger = logging.getLogger(__name__)

# what an executed notebook depends on, besides its own text
SOURCES = ("esgd", "results", "requirements.txt", "book/_ext", "book/claims.yml")
SUFFIXES = {".py", ".js", ".css", ".csv", ".json", ".yml", ".txt", ".gz", ".npz"}


def execution_key(root: Path) -> str:
    """Hash of everything that an executed notebook of the book depends on."""
    digest = hashlib.sha256(f"{sys.version_info[:2]} {os.environ.get('ESGD_DATA', '')}".encode())
    for source in SOURCES:
        path = root / source
        files = sorted(path.rglob("*")) if path.is_dir() else [path]
        for file in files:
            if file.is_file() and file.suffix in SUFFIXES:
                digest.update(file.relative_to(root).as_posix().encode())
                digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()


def drop_stale_results(app: Sphinx, config: Config) -> None:
    """Empty the execution cache and the pickled pages when the key has changed."""
    # figures leave the kernel as plain JSON, which plotly_pages draws
    os.environ["PLOTLY_RENDERER"] = "plotly_mimetype"
    # no kernel stands behind a published page: esgd.figures.controls draws figures without sliders
    os.environ["ESGD_STATIC"] = "1"
    build = Path(app.outdir).parent
    stamp = build / ".execution-key"
    key = execution_key(Path(app.srcdir))
    if stamp.is_file() and stamp.read_text() == key:
        return
    for stale in (build / ".jupyter_cache", Path(app.doctreedir)):
        if stale.is_dir():
            logger.info("the library or its data changed: dropping %s", stale.name)
            shutil.rmtree(stale)
    Path(app.doctreedir).mkdir(parents=True, exist_ok=True)
    build.mkdir(parents=True, exist_ok=True)
    stamp.write_text(key)


def setup(app: Sphinx) -> dict:
    app.connect("config-inited", drop_stale_results, priority=100)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
