"""The shipped module: current, small, alone, and the same scenes and settings as Python knows."""

from __future__ import annotations

import gzip
import re

import pytest

from esgd.errors import ConfigError
from esgd.figures.palette import COLOURS
from esgd.lab import MODULE, page_script, schema
from esgd.lab import bundle as bundler


def test_module_is_made_from_the_present_sources() -> None:
    assert bundler.main(["--check"]) == 0


def test_check_notices_a_stale_module(tmp_path, monkeypatch, capsys) -> None:
    stale = tmp_path / "saddle-lab.js"
    stale.write_text("// old")
    monkeypatch.setattr(bundler, "MODULE", stale)
    assert bundler.main(["--check"]) == 1
    assert "python -m esgd.lab.bundle" in capsys.readouterr().err


def test_bundler_refuses_two_definitions_of_a_name(tmp_path, monkeypatch) -> None:
    (tmp_path / "index.js").write_text('import { one } from "./a.js";\nfunction two() {}\n')
    (tmp_path / "a.js").write_text("export const one = 1;\nfunction two() {}\n")
    monkeypatch.setattr(bundler, "SOURCES", tmp_path)
    with pytest.raises(ConfigError, match=r"'two' is defined in a\.js and in index\.js"):
        bundler.bundle()


def test_bundler_refuses_a_circle(tmp_path, monkeypatch) -> None:
    (tmp_path / "index.js").write_text('import { a } from "./a.js";\n')
    (tmp_path / "a.js").write_text('import { b } from "./b.js";\nexport const a = 1;\n')
    (tmp_path / "b.js").write_text('import { a } from "./a.js";\nexport const b = 1;\n')
    monkeypatch.setattr(bundler, "SOURCES", tmp_path)
    with pytest.raises(ConfigError, match="circle"):
        bundler.bundle()


def test_module_depends_on_nothing() -> None:
    text = MODULE.read_text(encoding="utf-8")
    assert not re.search(r"^\s*import\s", text, re.MULTILINE)
    assert "fetch(" not in text
    assert "XMLHttpRequest" not in text
    addresses = set(re.findall(r"https?://[^\s\"'`)]+", text))
    assert addresses <= {"http://www.w3.org/2000/svg"}  # a name space, never loaded


def test_module_and_page_script_are_small() -> None:
    assert len(gzip.compress(MODULE.read_bytes(), 9)) < 90_000
    assert len(gzip.compress(page_script().encode(), 9)) < 100_000


def test_sources_can_be_read_in_one_sitting() -> None:
    lengths = {path.name: len(path.read_text().splitlines()) for path in bundler.SOURCES.glob("*.js")}
    assert max(lengths.values()) < 350, lengths


def test_python_knows_the_same_scenes_settings_and_colours(evaluate) -> None:
    theirs = evaluate(
        "(core, SCENES) => ({ scenes: Object.keys(SCENES), settings: core.SETTINGS, palette: core.PALETTE, "
        "methods: Object.keys(core.METHODS), landscapes: Object.keys(core.LANDSCAPES) })"
    )
    assert theirs["scenes"] == list(schema.SCENES)
    assert theirs["methods"] == list(schema.METHODS)
    assert theirs["landscapes"] == list(schema.LANDSCAPES)
    settings = theirs["settings"]
    assert {k: tuple(v["list"]) for k, v in settings.items() if "list" in v} == {
        key: known for key, (_, known) in schema.LISTS.items()
    }
    numbers = {k: (v["numbers"], v["min"], v["max"]) for k, v in settings.items() if "numbers" in v}
    assert numbers == schema.NUMBERS
    ranges = {k: (v["min"], v["max"]) for k, v in settings.items() if "min" in v and k not in numbers}
    assert ranges == {k: tuple(v) for k, v in schema.RANGES.items()}
    assert {k for k, v in settings.items() if v.get("integer")} == schema.WHOLE
    assert {k: tuple(v["options"]) for k, v in settings.items() if "options" in v} == schema.OPTIONS
    assert {k: tuple(v) for k, v in theirs["palette"].items()} == {k: COLOURS[k] for k in schema.METHODS}
