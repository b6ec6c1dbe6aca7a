"""Everything that a page loads comes from the book itself: scripts, mathematics, icons, colours.

The files are taken from the installed wheels at build time and put into one generated folder, which Sphinx
copies to ``_static``. Nothing is fetched by the reader's browser from anywhere else.
"""

from __future__ import annotations

import importlib.util
import json
import shutil
from pathlib import Path

from sphinx.application import Sphinx
from sphinx.config import Config

from esgd.figures.palette import COLOURS

MATHJAX_PACKAGE = "sphinx-mathjax-offline"
# MathJax from its parts: without the menu and the speech engine, which no page needs at first sight
MATHJAX_LOAD = ["core", "input/tex", "output/chtml"]
MATHJAX_PARTS = (
    "startup.js",
    "core.js",
    "input/tex.js",
    "input/tex/extensions",
    "output/chtml.js",
    "output/chtml/fonts",
)


def package_folder(name: str) -> Path:
    """Folder of an installed package, also of one whose name is not a Python identifier."""
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise RuntimeError(f"the book needs the package {name!r}: install requirements.txt")
    return Path(spec.origin).parent


def copy_newer(source: Path, target: Path) -> None:
    """Copy a file unless the target is the same already."""
    if target.is_file() and target.stat().st_size == source.stat().st_size:
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)


def write_changed(target: Path, text: str) -> None:
    """Write a text file unless it holds this text already."""
    if not target.is_file() or target.read_text(encoding="utf-8") != text:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")


def palette_css() -> str:
    """One custom property a method, ``--esgd-<method>``, for the light and for the dark page."""
    light = "".join(f"  --esgd-{name}: {pair[0]};\n" for name, pair in COLOURS.items())
    dark = "".join(f"  --esgd-{name}: {pair[1]};\n" for name, pair in COLOURS.items())
    # words are underlined in the colour itself, and darkened on a light page, where some hues are too pale to read
    words = "".join(
        f".c-{name} {{ color: color-mix(in srgb, var(--esgd-{name}) var(--word), black);"
        f" text-decoration: underline 0.14em var(--esgd-{name}); text-underline-offset: 0.2em; }}\n"
        for name in COLOURS
    )
    return f":root {{\n  --word: 68%;\n{light}}}\nhtml[data-theme=dark] {{\n  --word: 100%;\n{dark}}}\n{words}"


def palette_js() -> str:
    """The same colours for the figures, which are re-coloured when the reader changes the theme."""
    pairs = {light.lower(): dark.lower() for light, dark in COLOURS.values()}
    return f"window.esgdDarkColours = {json.dumps(pairs)};\n"


def assets_folder(app: Sphinx) -> Path:
    """The generated folder whose content Sphinx copies to ``_static``."""
    return Path(app.outdir).parent / ".assets"


def collect(app: Sphinx, config: Config) -> None:
    """Fill the folder of generated assets and hand it to Sphinx."""
    folder = assets_folder(app)
    copy_newer(package_folder("plotly") / "package_data" / "plotly.min.js", folder / "plotly.min.js")
    mathjax = package_folder(MATHJAX_PACKAGE) / "static" / "mathjax"
    for part in MATHJAX_PARTS:
        source = mathjax / part
        for file in source.rglob("*") if source.is_dir() else [source]:
            if file.is_file():
                copy_newer(file, folder / "mathjax" / file.relative_to(mathjax))
    write_changed(folder / "esgd-palette.css", palette_css())
    write_changed(folder / "esgd-palette.js", palette_js())
    config.html_static_path = [*config.html_static_path, str(folder)]
    config.html_css_files = ["esgd-palette.css", *config.html_css_files]
    config.mathjax_path = "mathjax/startup.js"
    config.mathjax3_config = {**(config.mathjax3_config or {}), "loader": {"load": MATHJAX_LOAD}}


def setup(app: Sphinx) -> dict:
    app.connect("config-inited", collect, priority=200)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
