"""Pages that have a live figure, and only they, load the lab's script.

A page opened from a folder (``file://``) may not import modules; ``esgd.lab.page_script`` is therefore one
classic script with the module's text inside. JupyterLab and Colab use the very same module through anywidget.

The state of the widgets, which MyST-NB writes into each page for a widget manager, holds the module once more. No
page has a manager, so it is left out: 50 kB less to load.
"""

from __future__ import annotations

from assets import assets_folder, write_changed
from myst_nb.sphinx_ import NbMetadataCollector
from sphinx.application import Sphinx
from sphinx.config import Config

from esgd.lab import page_script

MARK = "data-esgd-lab"
SCRIPT = "esgd-lab.js"


def write_script(app: Sphinx, config: Config) -> None:
    """Put the lab's script among the generated assets."""
    write_changed(assets_folder(app) / SCRIPT, page_script())


def add_script(app: Sphinx, pagename: str, templatename: str, context: dict, doctree: object) -> None:
    """Add the lab to a page whose body has a live figure."""
    if MARK in context.get("body", ""):
        app.add_js_file(SCRIPT, loading_method="defer")


def drop_widget_state(app: Sphinx, pagename: str, templatename: str, context: dict, doctree: object) -> None:
    """Take the widgets' state off the page's scripts."""
    NbMetadataCollector.get_js_files(app.env, pagename).pop("ipywidgets_state", None)


def setup(app: Sphinx) -> dict:
    app.connect("config-inited", write_script, priority=300)
    app.connect("html-page-context", add_script)
    app.connect("html-page-context", drop_widget_state, priority=100)  # before MyST-NB reads it
    return {"parallel_read_safe": True, "parallel_write_safe": True}
