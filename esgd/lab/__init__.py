"""The live lab: a saddle in the reader's hand.

``SaddleLab("rotation-dial")`` is the same figure everywhere. With anywidget installed it is a widget in
JupyterLab, Colab and VS Code, tied to Python through ``lab.state``; in a published page, or without anywidget,
the same ES module draws it by itself, without a kernel and without a network.
"""

from __future__ import annotations

import json
from html import escape
from pathlib import Path
from typing import Any

from esgd.lab.schema import SCENES, checked_scene, checked_state

__all__ = ["MODULE", "SCENES", "SaddleLab", "page_script", "placeholder"]

MODULE = Path(__file__).with_name("saddle-lab.js")
_BOOT = Path(__file__).with_name("boot.js")
_SLOT = '/* the module */ ""'


def page_script() -> str:
    """A classic script that puts a lab into every ``[data-esgd-lab]`` of a page, also of one opened as a file.

    The text of the module is inside; include it once a page with ``<script defer src=…>``.
    """
    source = json.dumps(MODULE.read_text(encoding="utf-8"), ensure_ascii=False)
    source = source.replace("</", "<\\/").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
    return _BOOT.read_text(encoding="utf-8").replace(_SLOT, source, 1)


def placeholder(scene: str, **state: Any) -> str:
    """The HTML element that :func:`page_script` turns into a lab, with words for readers without scripts.

    Args:
        scene: one of ``SCENES``.
        state: settings that differ from the scene's, as for :class:`SaddleLab`.

    Raises:
        ConfigError: an unknown scene or setting, or a value out of range.
    """
    scene = checked_scene(scene)
    settings = json.dumps(checked_state(state), ensure_ascii=False)
    words = escape(SCENES[scene])
    return (
        f'<div data-esgd-lab="{scene}" data-state="{escape(settings)}" role="group" '
        f'aria-label="Interactive figure. {words}" style="min-height:12rem">'
        f"<p><em>Interactive figure.</em> {words} "
        "It needs JavaScript; the text beside it says what it shows.</p></div>"
    )


def _widget_class() -> type | None:
    """The anywidget class, made on first use so that esgd itself needs no widgets; None without anywidget."""
    try:
        import anywidget
        import traitlets
    except ImportError:
        return None

    class SaddleLabWidget(anywidget.AnyWidget):
        _esm = MODULE
        scene = traitlets.Unicode().tag(sync=True)
        state = traitlets.Dict().tag(sync=True)

    return SaddleLabWidget


_WIDGET: list[type | None] = []


class SaddleLab:
    """A live figure of one of the lab's scenes.

    Args:
        scene: one of ``esgd.lab.SCENES``.
        state: settings that differ from the scene's preset, for example ``kappa=50``, ``lr_sgd=1.2``,
            ``methods=["sgd", "esgd"]``, ``x0=1.0``; the names and ranges are in :mod:`esgd.lab.schema`.
            The lab's own *As Python* button writes this call, import and all, for the state on the screen.

    Raises:
        ConfigError: an unknown scene or setting, or a value out of range.

    Note:
        anywidget gives a widget two seconds to start. On a page too busy for that the figure is there and tells
        Python what the reader does, but does not hear ``lab.state = …``; running its cell again mends it.

    Example:
        >>> from esgd.lab import SaddleLab
        >>> lab = SaddleLab("rotation-dial", angle=30)
        >>> lab.state
        {'angle': 30.0}
    """

    def __init__(self, scene: str = "welcome", **state: Any) -> None:
        self.scene = checked_scene(scene)
        self._state = checked_state(state)
        if not _WIDGET:
            _WIDGET.append(_widget_class())
        self.widget = _WIDGET[0](scene=self.scene, state=self._state) if _WIDGET[0] else None

    @property
    def state(self) -> dict[str, Any]:
        """The settings that differ from the scene's preset; with a kernel it follows what the reader does."""
        return dict(self.widget.state) if self.widget is not None else dict(self._state)

    @state.setter
    def state(self, settings: dict[str, Any]) -> None:
        self._state = checked_state(settings)
        if self.widget is not None:
            self.widget.state = self._state

    def __repr__(self) -> str:
        settings = "".join(f", {key}={value!r}" for key, value in self.state.items())
        return f"SaddleLab({self.scene!r}{settings})"

    def _repr_html_(self) -> str:
        """The figure for a notebook without anywidget: the placeholder and the script that fills it."""
        return f"{placeholder(self.scene, **self.state)}<script>{page_script()}</script>"

    def _repr_mimebundle_(self, **options: Any) -> Any:
        """The widget for notebooks, and for a published page the placeholder that the page's script fills."""
        if self.widget is None:
            return {"text/plain": repr(self), "text/html": self._repr_html_()}
        bundle = self.widget._repr_mimebundle_(**options)
        data, metadata = bundle if isinstance(bundle, tuple) else (bundle, {})
        return {**data, "text/plain": repr(self), "text/html": placeholder(self.scene, **self.state)}, metadata
