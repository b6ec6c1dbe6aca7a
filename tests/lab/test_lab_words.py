"""Words in tables, beside the views and on their canvases: what they say is so, and none lies on another."""

from __future__ import annotations

import re

import numpy as np
import pytest

from esgd.lab.schema import METHODS

MINUS = "\N{MINUS SIGN}"


def test_table_and_alt_text_give_the_rates_of_newton_near_the_saddle(evaluate) -> None:
    found = evaluate(
        """(core, SCENES) => {
          const S = core.makeState(SCENES.welcome.state, { methods: ['newton', 'sgd', 'equilibration'] });
          const runs = Object.fromEntries(S.methods.map((m) => [m, core.trajectory(m, S)]));
          const of = (m) => runs[m].records[50];
          return { rows: core.stepRows({ S, runs }), words: S.methods.map((m) => core.ratesWords(of(m).P)),
            records: runs.newton.records.map(({ g, d, P }) => ({ g, d, P })) }; }"""
    )
    newton = [row for row in found["rows"] if row[0] == "Newton"]
    for row, record in zip(newton, found["records"], strict=False):
        first, second, degrees = row[5:]
        assert -45.001 <= degrees <= 45.001
        axis = np.array([np.cos(np.radians(degrees)), np.sin(np.radians(degrees))])
        across = np.array([-axis[1], axis[0]])
        g = np.array(record["g"])
        assert first * (axis @ g) * axis + second * (across @ g) * across == pytest.approx(record["d"], abs=1e-12)
    assert sorted(newton[50][5:7]) == pytest.approx([-0.25, 0.25])  # it still steps a quarter of the way
    assert re.fullmatch(rf"{MINUS}?0\.25 at {MINUS}?45° from θ₁ and {MINUS}?0\.25 across that", found["words"][1])
    assert found["words"][0] == "0.1 in every direction"
    assert re.fullmatch(r"[\d.]+ for θ₁ and [\d.]+ for θ₂", found["words"][2])


def test_each_method_has_its_own_count_of_those_that_stay(evaluate) -> None:
    found = evaluate(
        """(core, SCENES, methods) => {
          const S = core.makeState(SCENES.escape.state, { methods, steps: 60 });
          return methods.map((m) => { const times = core.escapeTimes(m, S);
            return [times, core.escapeWords(times, S.steps)]; }); }""",
        ["sgd", "equilibration", "newton"],
    )
    for times, said in found:
        stay = times.count(None)
        assert said["stay"] == stay
        assert said["staying"] == (f"{stay} not out by 60" if stay else "all out")
        inside = sorted(60 * 9 if t is None else t for t in times)
        median = (inside[49] + inside[50]) / 2
        assert said["median"] == (median if median <= 60 else None)
    assert found[2][1]["words"] == "median > 60"


def test_escape_times_need_a_saddle_that_is_ahead(evaluate) -> None:
    bowl, convex, past, saddle = evaluate(
        """(core, SCENES) => [{ landscape: 'bowl' }, { eig2: 0.2 }, { landscape: 'net', x0: 0.75, y0: 2.2 }, {}]
          .map((wanted) => { const S = core.makeState(SCENES.escape.state, wanted);
            return core.whyNoEscape(S, core.landscapeOf(S)); })"""
    )
    assert "no saddle" in bowl
    assert "no saddle" in convex
    assert "already past" in past
    assert saddle is None


WORDS = """async ([view, change]) => {
  const { lab } = document.querySelector('[data-esgd-lab]').esgdLab;
  const root = document.querySelector('[data-lab-host]').shadowRoot; const boxes = [];
  const { fillText } = CanvasRenderingContext2D.prototype;
  CanvasRenderingContext2D.prototype.fillText = function (words, x, y) {
    if (this.canvas.closest(`[data-view=${view}]`)) {
      const m = this.measureText(words); const { a, e, f } = this.getTransform();
      boxes.push([words, e / a + x - m.actualBoundingBoxLeft, f / a + y - m.actualBoundingBoxAscent,
        e / a + x + m.actualBoundingBoxRight, f / a + y + m.actualBoundingBoxDescent]); }
    return fillText.call(this, words, x, y); };
  boxes.length = 0; lab.update(change); await new Promise((done) => setTimeout(done, 500));
  CanvasRenderingContext2D.prototype.fillText = fillText;
  const figure = root.querySelector(`[data-view=${view}]`);
  return { boxes, text: figure.innerText, alt: figure.querySelector('[role=img]').getAttribute('aria-label') }; }"""


@pytest.mark.browser
@pytest.mark.parametrize("width", [390, 1000])
@pytest.mark.parametrize("methods", [METHODS, ["sgd", "momentum", "newton"]])
def test_words_on_the_escape_times_never_overprint(open_lab, width: int, methods: list[str]) -> None:
    reader = open_lab("escape", width=width)
    found = reader.page.evaluate(WORDS, ["escape", {"methods": methods}])
    boxes = found["boxes"]
    assert sum(box[0].startswith(("GD", "Newton")) for box in boxes) == 2, [box[0] for box in boxes]
    for i, (words, left, top, right, bottom) in enumerate(boxes):
        for other, *box in boxes[:i]:
            apart = right <= box[0] or box[2] <= left or bottom <= box[1] or box[3] <= top
            assert apart, (words, other)
    assert "Gradient descent median 110, 29 not out by 120" in found["alt"]
    assert "Newton median > 120, 100 not out by 120" in found["alt"]
    assert "never" not in found["text"] + found["alt"]
    assert reader.problems == []


@pytest.mark.browser
def test_views_say_what_they_show_and_where_there_is_nothing(open_lab) -> None:
    reader = open_lab("escape")
    bowl = reader.page.evaluate(WORDS, ["escape", {"landscape": "bowl"}])
    assert "There is no saddle to leave" in bowl["text"]
    for scene, view, change, words in (
        (
            "probes",
            "estimates",
            {"interval": 5},
            "The band is one standard error of ESGD’s estimate on either side of 1",
        ),
        ("probes", "cloud", {"interval": 5}, "20 products Hv"),
        ("contours", "after", {"damping": 1}, "φ = √(D + λ) θ."),
        ("contours", "after", {"precond": "absolute", "eig2": -1.2, "boost": 1}, "which no method runs"),
        ("saddle-free", "phase", {"lr_newton": 1, "lr_saddle_free": 0.01}, "these steps are no point of it"),
        ("rmsprop-faces", "faces", {"eig2": -1}, "√E g² in theory: none, not a bowl"),
    ):
        reader = open_lab(scene)
        assert words in reader.page.evaluate(WORDS, [view, change])["alt"]
        assert reader.problems == []
