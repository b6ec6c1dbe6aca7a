"""Icons as a font of a few kilobytes instead of half a megabyte of script.

The theme ships Font Awesome twice: as a script that draws each icon, and as web fonts with every icon there is.
The script is left out of the page; the fonts are cut down to the icons that the built pages and the theme's
style sheets use.
"""

from __future__ import annotations

import logging
import re
from pathlib import Path

from fontTools import subset
from sphinx.application import Sphinx

logging.getLogger("fontTools").setLevel(logging.WARNING)

FONTS = Path("_static/vendor/fontawesome/webfonts")
STYLES = Path("_static/styles")


def drop_icon_script(html: str) -> str:
    """Template filter: the head of a page without the icon script."""
    return re.sub(r"\s*<script[^>]*scripts/fontawesome\.js[^>]*></script>", "", html)


def register_filter(app: Sphinx) -> None:
    """Make the filter known to the page template (``book/_templates/layout.html``)."""
    if app.builder.format == "html":
        app.builder.templates.environment.filters["drop_icon_script"] = drop_icon_script


def used_codepoints(outdir: Path) -> set[int]:
    """Code points of the icons that pages (by class) and style sheets (by ``content``) use."""
    css = "".join(file.read_text(encoding="utf-8") for file in sorted((outdir / STYLES).glob("*.css")))
    by_class = {
        name: int(code, 16)
        for names, code in re.findall(r'((?:\.fa-[\w-]+::?before,?)+)\{content:"\\([0-9a-f]+)"', css)
        for name in re.findall(r"\.(fa-[\w-]+)", names)
    }
    # the style sheets' own icons stand in them as characters of the private use area, or as escapes
    used = {ord(char) for char in css if 0xE000 <= ord(char) <= 0xF8FF} | {0xF107}
    used |= {int(code, 16) for code in re.findall(r'--pst-[\w-]+:\s*"\\([0-9a-f]{4})"', css)}
    for page in outdir.rglob("*.html"):
        for name in set(re.findall(r"\bfa-[a-z0-9-]+", page.read_text(encoding="utf-8"))):
            if name in by_class:
                used.add(by_class[name])
    return used


def cut_fonts(app: Sphinx, exception: Exception | None) -> None:
    """Rewrite the copied web fonts with the used icons only."""
    if exception or app.builder.format != "html":
        return
    outdir = Path(app.outdir)
    codepoints = used_codepoints(outdir)
    for file in (outdir / FONTS).glob("*.woff2"):
        options = subset.Options(flavor="woff2", drop_tables=["FFTM"], notdef_outline=True)
        font = subset.load_font(str(file), options)
        subsetter = subset.Subsetter(options)
        subsetter.populate(unicodes=codepoints)
        subsetter.subset(font)
        subset.save_font(font, str(file), options)
    for file in (outdir / FONTS).glob("*.ttf"):  # for browsers of before 2016 only
        file.unlink()


def setup(app: Sphinx) -> dict:
    app.connect("builder-inited", register_filter)
    app.connect("build-finished", cut_fonts, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
