"""Pages that show a plotly figure, and only they, load plotly and the script that draws figures."""

from __future__ import annotations

from sphinx.application import Sphinx

MARK = "data-esgd-plotly"


def add_scripts(app: Sphinx, pagename: str, templatename: str, context: dict, doctree: object) -> None:
    """Add the scripts to a page whose body has a figure."""
    if MARK in context.get("body", ""):
        for script in ("esgd-palette.js", "plotly.min.js", "figures.js"):
            app.add_js_file(script, loading_method="defer")


def setup(app: Sphinx) -> dict:
    app.connect("html-page-context", add_scripts)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
