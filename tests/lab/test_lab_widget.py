"""SaddleLab in Python: what a notebook, a published page and a script get."""

from __future__ import annotations

import json
import subprocess
import sys
from html.parser import HTMLParser

import numpy as np
import pytest

import esgd.lab as lab_package
from esgd.errors import ConfigError
from esgd.lab import SCENES, SaddleLab, page_script, placeholder


class _First(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.attributes: dict[str, str | None] = {}
        self.words = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "div" and not self.attributes:
            self.attributes = dict(attrs)

    def handle_data(self, data: str) -> None:
        self.words += data


@pytest.mark.parametrize("scene", SCENES)
def test_every_scene_offers_a_widget_and_a_placeholder(scene: str) -> None:
    data, _ = SaddleLab(scene, x0=1.5)._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in data
    first = _First(data["text/html"])
    assert first.attributes["data-esgd-lab"] == scene
    assert json.loads(first.attributes["data-state"]) == {"x0": 1.5}
    assert SCENES[scene] in first.words
    assert SCENES[scene] in first.attributes["aria-label"]


def test_state_goes_both_ways() -> None:
    lab = SaddleLab("descent", kappa=50)
    assert lab.state == {"kappa": 50.0}
    lab.widget.state = {"kappa": 70}  # as the front end does
    assert lab.state == {"kappa": 70}
    lab.state = {"lr_sgd": 0.5}
    assert lab.widget.state == {"lr_sgd": 0.5}
    assert repr(lab) == "SaddleLab('descent', lr_sgd=0.5)"


def test_without_anywidget_the_page_script_comes_along(monkeypatch) -> None:
    monkeypatch.setattr(lab_package, "_WIDGET", [None])
    lab = SaddleLab("probes", seed=5)
    assert lab.widget is None
    assert lab.state == {"seed": 5}
    data = lab._repr_mimebundle_()
    assert set(data) == {"text/plain", "text/html"}
    assert data["text/html"].startswith('<div data-esgd-lab="probes"')
    assert "<script>" in data["text/html"]


def test_importing_the_lab_needs_neither_widgets_nor_plots() -> None:
    script = (
        "import sys\n"
        "for name in ('anywidget', 'ipywidgets', 'plotly'): sys.modules[name] = None\n"
        "from esgd.lab import SaddleLab\n"
        "assert SaddleLab('welcome').widget is None\n"
        "assert 'traitlets' not in sys.modules or sys.modules.get('anywidget') is None\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_page_script_cannot_end_its_own_element() -> None:
    text = page_script()
    assert "</script" not in text.lower()
    assert '/* the module */ ""' not in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"scene": "rotation"}, "unknown scene 'rotation'; did you mean 'rotation-dial'"),
        ({"kapa": 3}, "unknown setting 'kapa'; did you mean 'kappa'"),
        ({"kappa": 0}, "kappa must be a number from 1 to 1000, not 0"),
        ({"kappa": "many"}, "kappa must be a number from 1 to 1000, not 'many'"),
        ({"kappa": True}, "kappa must be a number"),
        ({"x0": float("nan")}, "x0 must be a number from -5 to 5, not nan"),
        ({"methods": ["sgd", "adamw"]}, "unknown method 'adamw'; did you mean 'adam'"),
        ({"show": "surfaces"}, "unknown view 'surfaces'; did you mean 'surface'"),
        ({"landscape": "ackley"}, "landscape must be one of bowl, quadratic"),
        ({"data": [0.1] * 13}, "data must be at most 12 numbers from -2 to 2"),
        ({"data": [0.1, "high"]}, "data must be at most 12 numbers"),
        ({"weights": 0.5}, "weights must be at most 16 numbers from -20 to 20, not 0.5"),
        ({"weights": "0.5"}, "weights must be at most 16 numbers"),
        ({"steps": 1000}, "steps must be a whole number from 5 to 400, not 1000"),
        ({"steps": 60.9}, r"steps must be a whole number from 5 to 400, not 60\.9"),
        ({"seed": 3.7}, r"seed must be a whole number from 0 to 999, not 3\.7"),
        (
            {"methods": None},
            r"methods must be the name of a method or a list of such names, not None: give \[\] for none",
        ),
        ({"methods": 5}, "methods must be the name of a method or a list of such names, not 5"),
        ({"methods": [None]}, r"unknown method None\. Known: sgd, "),
        ({"show": None}, "show must be the name of a view or a list"),
        ({"kappa": 10**400}, r"kappa must be a number from 1 to 1000, not 10{56}\.\.\.$"),
        ({"kappa": 10**5000}, "kappa must be a number from 1 to 1000, not a number too long to write"),
        ({"data": [10**400]}, "data must be at most 12 numbers"),
        ({"scene": None}, r"unknown scene None\. Known: welcome, "),
        ({"scene": []}, r"unknown scene \[\]\. Known: welcome, "),
    ],
)
def test_wrong_settings_are_refused_with_the_remedy(arguments: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        SaddleLab(**{"scene": "descent", **arguments})


def test_whole_numbers_may_be_written_as_others_are() -> None:
    state = SaddleLab(
        "descent", steps=60.0, seed=np.int64(3), methods=("sgd", "adam"), show=np.array(["loss"])
    ).state
    assert state == {"steps": 60, "seed": 3, "methods": ["sgd", "adam"], "show": ["loss"]}
    assert all(type(state[key]) is int for key in ("steps", "seed"))


def test_assigning_a_wrong_state_changes_nothing() -> None:
    lab = SaddleLab("descent", kappa=50)
    with pytest.raises(ConfigError):
        lab.state = {"kappa": -1}
    for wrong in (None, 5, ["kappa"]):
        with pytest.raises(
            ConfigError, match=r"must be a dictionary of settings, not .*: give \{\} for the scene's own"
        ):
            lab.state = wrong
    assert lab.state == {"kappa": 50.0}


def test_placeholder_escapes_what_it_is_given() -> None:
    assert "<script" not in placeholder("welcome", methods=["sgd"])
    with pytest.raises(ConfigError):
        placeholder("<script>")
