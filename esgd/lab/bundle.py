"""Joins ``esgd/lab/src/*.js`` into the one module that is shipped, ``esgd/lab/saddle-lab.js``.

Run ``python -m esgd.lab.bundle`` after a change in ``src``; ``--check`` only says whether the module is current.
The sources are plain ES modules that import one another by name, without renaming and without a default
export (but for the entry), so joining them in the order of their imports is all that there is to do. Their comments
stay in ``src``: a page carries the module, and is to weigh little.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from esgd.errors import ConfigError

__all__ = ["MODULE", "SOURCES", "bundle", "main"]

SOURCES = Path(__file__).with_name("src")
MODULE = Path(__file__).with_name("saddle-lab.js")

_IMPORT = re.compile(r'^import\s*\{[^}]*\}\s*from\s*"\./([\w-]+\.js)";\n?', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(?:async )?function|const|let|class)", re.MULTILINE)
_TOP_LEVEL = re.compile(r"^(?:export )?(?:async )?(?:function|const|let|class) (\w+)", re.MULTILINE)
_COMMENTS = re.compile(r"^[ \t]*(?://.*|/\*\*(?:[^*]|\*(?!/))*\*/[ \t]*)\n", re.MULTILINE)  # on lines of their own
_HEADER = (
    "// The live lab of esgd: one module without dependencies. Made from esgd/lab/src by\n"
    "// `python -m esgd.lab.bundle`: change the sources, not this file.\n"
)


def _ordered(name: str, seen: dict[str, str], trail: tuple[str, ...] = ()) -> None:
    """Adds a module to ``seen`` after everything that it imports."""
    if name in seen:
        return
    if name in trail:
        raise ConfigError(f"the lab's sources import in a circle: {' -> '.join([*trail, name])}")
    text = (SOURCES / name).read_text(encoding="utf-8")
    for other in _IMPORT.findall(text):
        _ordered(other, seen, (*trail, name))
    seen[name] = text


def bundle() -> str:
    """The text of the module.

    Raises:
        ConfigError: the sources import in a circle, or two of them define the same top-level name.
    """
    modules: dict[str, str] = {}
    _ordered("index.js", modules)
    owner: dict[str, str] = {}
    for name, text in modules.items():
        for symbol in _TOP_LEVEL.findall(text):
            if symbol in owner and owner[symbol] != name:
                raise ConfigError(f"'{symbol}' is defined in {owner[symbol]} and in {name}: rename one of them")
            owner[symbol] = name
    parts = [_HEADER]
    for name, text in modules.items():
        body = _IMPORT.sub("", text)
        if name != "index.js":
            body = _EXPORT.sub("", body)
        parts.append(f"// {name}\n{_COMMENTS.sub('', body).strip()}\n")
    return "\n".join(parts)


def main(arguments: list[str] | None = None) -> int:
    """Writes the module, or with ``--check`` compares it; returns the exit status."""
    arguments = sys.argv[1:] if arguments is None else arguments
    text = bundle()
    if "--check" in arguments:
        current = MODULE.exists() and MODULE.read_text(encoding="utf-8") == text
        if not current:
            print("esgd/lab/saddle-lab.js is not current: run `python -m esgd.lab.bundle`", file=sys.stderr)
        return 0 if current else 1
    MODULE.write_text(text, encoding="utf-8")
    print(f"wrote {MODULE.name}: {len(text) / 1024:.0f} KiB")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
