"""Launch buttons (Colab, Binder) and repository links, once the repository's address is known.

``BOOK_REPOSITORY_URL`` (and ``BOOK_REPOSITORY_BRANCH``, ``main`` unless told) are read from the environment at
build time, as the publishing workflow sets them. Unset, the book has no such button, rather than a dead one.
"""

from __future__ import annotations

import os

from sphinx.application import Sphinx
from sphinx.config import Config


def set_repository(app: Sphinx, config: Config) -> None:
    """Fill the theme's repository options from the environment."""
    url = os.environ.get("BOOK_REPOSITORY_URL", "").rstrip("/")
    options = dict(config.html_theme_options)
    if url:
        options |= {
            "repository_url": url,
            "repository_branch": os.environ.get("BOOK_REPOSITORY_BRANCH") or "main",
            "path_to_docs": "",
            "use_repository_button": True,
            "use_issues_button": True,
            "launch_buttons": {
                "colab_url": "https://colab.research.google.com",
                "binderhub_url": "https://mybinder.org",
                "notebook_interface": "jupyterlab",
            },
        }
    config.html_theme_options = options


def setup(app: Sphinx) -> dict:
    # Jupyter Book always sets this option of sphinx-comments, which the book leaves out
    app.add_config_value("comments_config", {}, "")
    app.connect("config-inited", set_repository, priority=100)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
