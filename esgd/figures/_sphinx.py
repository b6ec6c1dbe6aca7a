"""How the book shows a plotly figure: as data in the page, drawn there by one shared local script.

Registered under the entry point group ``myst_nb.mime_renderers``. It is imported by Sphinx only, and does
nothing in a book that does not use ``book/_ext/plotly_pages.py``.
"""

from __future__ import annotations

import base64
import html
import json
from typing import Any

import numpy as np

__all__ = ["MIME", "PlotlyMimeRenderer", "figure_html"]

MIME = "application/vnd.plotly.v1+json"


def alternative_text(layout: dict[str, Any]) -> str:
    """What a screen reader says of a figure: ``layout.meta.alt``, or else the figure's title."""
    meta = layout.get("meta")
    if isinstance(meta, dict) and meta.get("alt"):
        return str(meta["alt"])
    title = layout.get("title")
    text = title.get("text") if isinstance(title, dict) else title
    return str(text or "")


def lighter(value: Any) -> Any:
    """The same figure in fewer bytes: five significant digits, whole numbers without a point, and no binary arrays.

    Base64 of float64 does not compress; decimal digits do, to about a third.

    Args:
        value: any part of a plotly figure's JSON; it is not changed.
    """
    if isinstance(value, float):
        if not np.isfinite(value):
            return None
        rounded = float(f"{value:.5g}")
        return int(rounded) if rounded.is_integer() and abs(rounded) < 1e5 else rounded  # beyond, 1e+20 is shorter
    if isinstance(value, dict):
        if value.keys() >= {"dtype", "bdata"} and value["dtype"] in ("f4", "f8"):
            array = np.frombuffer(base64.b64decode(value["bdata"]), dtype="<" + value["dtype"])
            shape = [int(n) for n in str(value["shape"]).split(",")] if "shape" in value else [-1]
            return lighter(array.reshape(shape).tolist())
        return {key: lighter(part) for key, part in value.items()}
    return [lighter(part) for part in value] if isinstance(value, (list, tuple)) else value


def figure_html(figure: dict[str, Any]) -> str:
    """One figure as an HTML fragment.

    The template is left out, since the page applies its own for the light and the dark theme, and so are
    widths, since a figure is as wide as its column.

    Args:
        figure: the JSON of a plotly figure: ``data``, ``layout`` and perhaps ``frames``.
    """
    layout = {key: value for key, value in figure.get("layout", {}).items() if key not in ("template", "width")}
    content = {"data": figure.get("data", []), "layout": layout}
    if figure.get("frames"):
        content["frames"] = figure["frames"]
    alt = html.escape(alternative_text(layout), quote=True)
    height = int(layout.get("height") or 420)
    # "</" would end the script element early
    data = json.dumps(lighter(content), separators=(",", ":"), ensure_ascii=False).replace("</", "<\\/")
    return (
        f'<figure class="esgd-figure" data-esgd-plotly aria-label="{alt}">'
        f'<div class="esgd-plot" style="min-height:{height}px"></div>'
        f"<noscript><p>{alt}</p></noscript>"
        f'<script type="application/json">{data}</script></figure>'
    )


class PlotlyMimeRenderer:
    """Renderer of plotly's MIME type for ``myst_nb``."""

    mime_priority_overrides = ()

    @staticmethod
    def handle_mime(renderer: Any, data: Any, inline: bool) -> list | None:
        """Nodes for one output, or ``None`` for what is not a plotly figure.

        Args:
            renderer: the ``NbElementRenderer``.
            data: the ``MimeData`` of one output.
            inline: whether the output is glued into a line of text.
        """
        if inline or data.mime_type != MIME:
            return None
        from docutils import nodes

        if not alternative_text(data.content.get("layout", {})):
            renderer.logger.warning(
                "this figure says nothing to a reader who cannot see it: give it a title, or show it by "
                'esgd.figures.show(fig, alt="...")',
                line=data.line,
                subtype="figure_alt",
            )
        return [nodes.raw(text=figure_html(data.content), format="html", classes=["output"])]
