"""The lab tells the truth: its steps are the library's steps, to 1e-9 and better."""

from __future__ import annotations

import itertools
import json
import math
import statistics
import subprocess
from pathlib import Path

import make_golden
import pytest
from lab_tools import NODE

from esgd.errors import ConfigError
from esgd.lab import MODULE
from esgd.lab.rng import draw_noise, draw_probe, stream
from esgd.lab.schema import LANDSCAPES, METHODS, SCENES

GOLDEN = Path(make_golden.FOLDER)
COMPARE = Path(__file__).with_name("compare.mjs")
needs_node = pytest.mark.skipif(NODE is None, reason="Node is not installed")


def golden() -> dict[str, list]:
    return {path.stem: json.loads(path.read_text()) for path in GOLDEN.glob("*.json")}


def check(results: list[dict]) -> None:
    scenes = [r for r in results if r.get("scene")]
    assert {r["scene"] for r in scenes} == set(SCENES)
    runs = [r for r in results if "seed" in r["what"] and r not in scenes]
    noisy = len(make_golden.noisy_states())
    assert len(runs) == len(LANDSCAPES) * (len(METHODS) + 1) * len(make_golden.SEEDS) + noisy
    many = [r for r in results if r.get("many")]
    assert len(many) == 2 * 4 * (len(METHODS) + 1)  # a bowl, a saddle, there moved by hand and hardly damped
    assert len(results) == len(scenes) + len(many) + len(runs) + 5 * len(LANDSCAPES) + 36
    worst = max(results, key=lambda r: r["deviation"])
    assert worst["deviation"] < 1e-9, worst


@pytest.mark.skipif(NODE is None, reason="Node is not installed; the same comparison runs in Chromium")
def test_node_equals_the_library() -> None:
    command = [NODE, str(COMPARE), str(MODULE), str(GOLDEN)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    check(json.loads(done.stdout))


@pytest.mark.browser
def test_chromium_equals_the_library(browser) -> None:
    page = browser.new_page()
    page.goto("about:blank")
    results = page.evaluate(
        """async ([module, compare, golden]) => {
          const load = (text) => import(URL.createObjectURL(new Blob([text], {type: 'text/javascript'})));
          const { core, SCENES } = await load(module);
          return (await load(compare)).deviations(core, SCENES, golden);
        }""",
        [MODULE.read_text(), COMPARE.read_text(), golden()],
    )
    page.close()
    check(results)


def wrong_in(content: dict[str, list], right: str, wrong: str) -> list[str]:
    """What the comparison calls wrong in a module in which one piece of text is replaced."""
    module = MODULE.read_text()
    assert right in module
    script = (
        COMPARE.read_text().split("if (typeof process")[0]
        + "const { core, SCENES } = await import('data:text/javascript,' + "
        + f"encodeURIComponent({json.dumps(module.replace(right, wrong))}));"
        + f"console.log(JSON.stringify(deviations(core, SCENES, {json.dumps(content)})));"
    )
    done = subprocess.run([NODE, "--input-type=module", "-"], input=script, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return [r["what"] for r in json.loads(done.stdout) if r["deviation"] > 1e-9]


@needs_node
def test_comparison_sees_a_wrong_step() -> None:
    bad = wrong_in(
        {"bowl": golden()["bowl"]}, "S.decay * v + (1 - S.decay) * g[i] * g[i]", "S.decay * v + g[i] * g[i]"
    )
    assert {what.split()[1] for what in bad} == {"rmsprop"}


@needs_node
def test_comparison_sees_adam_without_its_bias_correction() -> None:
    bad = wrong_in({"net": golden()["net"]}, "Math.sqrt(v / seen2)", "Math.sqrt(v)")
    assert {what.split()[1] for what in bad} == {"adam"}


@needs_node
def test_comparison_sees_a_preset_that_has_changed_since() -> None:
    bad = wrong_in(
        {"scenes": golden()["scenes"]}, "eig1: 1, eig2: -0.2, angle: 0", "eig1: 1, eig2: -0.21, angle: 0"
    )
    assert {what.split()[0] for what in bad} == {"escape"}


@needs_node
def test_every_golden_file_is_what_the_library_makes_now() -> None:
    stored = golden()
    for name, content in make_golden.documents().items():
        for fresh, old in zip(content, stored[name], strict=True):
            if isinstance(fresh, str):
                assert content[fresh] == stored[name][fresh]
            elif "points" in fresh:
                assert fresh["state"] == old["state"]
                assert fresh.get("diverged") == old.get("diverged")
                for ours, theirs in zip(fresh["points"], old["points"], strict=True):
                    assert ours == pytest.approx(theirs, rel=1e-9, abs=1e-11)
                assert ("losses" in fresh) == ("losses" in old)
                if "losses" in old:
                    assert fresh["losses"] == pytest.approx(old["losses"], rel=1e-9, abs=1e-11)
            else:
                assert fresh == old


def test_probes_have_the_moments_of_eq_1() -> None:
    n = 20_000
    for kind, fourth in (("rademacher", 1.0), ("gaussian", 3.0)):
        pairs = [draw_probe(kind, 5, i) for i in range(n)]
        first = [p[0] for p in pairs]
        second = [p[1] for p in pairs]
        for values in (first, second):
            assert abs(statistics.fmean(values)) < 4 / math.sqrt(n)
            assert statistics.fmean(v * v for v in values) == pytest.approx(1, abs=4 * math.sqrt(2 / n))
            assert statistics.fmean(v**4 for v in values) == pytest.approx(fourth, abs=4 * math.sqrt(96 / n))
        assert abs(statistics.fmean(a * b for a, b in pairs)) < 4 / math.sqrt(n)


def test_neighbouring_draws_are_unrelated() -> None:
    n = 20_000
    noise = [draw_noise(3, i)[0] for i in range(n + 1)]
    assert abs(statistics.fmean(a * b for a, b in itertools.pairwise(noise))) < 4 / math.sqrt(n)
    assert draw_noise(3, 0) != draw_probe("gaussian", 3, 0)
    assert stream(3, 1, 0)() != stream(4, 1, 0)()


def test_unknown_probe_kind_is_refused() -> None:
    with pytest.raises(ConfigError, match="'rademacher' or 'gaussian', not 'sphere'"):
        draw_probe("sphere", 0, 0)
