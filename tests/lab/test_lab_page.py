"""The lab on a page: every scene from a file, on a phone, in the dark, printed, by keyboard, without motion."""

from __future__ import annotations

from pathlib import Path

import pytest

from esgd.lab import SCENES

pytestmark = pytest.mark.browser

INK = """(host) => [...host.shadowRoot.querySelectorAll('figure:not([hidden]) canvas')].map((canvas) => {
  const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
  const seen = new Set();
  for (let i = 0; i < data.length; i += 4) seen.add(data.slice(i, i + 4).join());
  return seen.size; })"""


@pytest.mark.parametrize("scene", SCENES)
def test_scene_draws_from_a_file_without_network_or_errors(open_lab, scene: str) -> None:
    reader = open_lab(scene)
    assert reader.problems == []
    assert reader.outside() == []
    host = reader.page.locator("[data-lab-host]")
    assert all(count > 3 for count in host.evaluate(INK)), "a canvas is blank"
    for image in reader.page.get_by_role("img").all():
        assert len(image.get_attribute("aria-label") or "") > 20
    assert reader.page.locator("[data-esgd-lab] .caption").inner_text().rstrip().endswith("?")


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("scene", SCENES)
def test_phone_has_no_sideways_scroll_and_handles_for_a_thumb(open_lab, scene: str, dark: bool) -> None:
    reader = open_lab(scene, width=390, height=844, touch=True, dark=dark)
    page = reader.page
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    for selector in (
        ".handle",
        ".transport button",
        ".foot button",
        ".chip",
        "input[type=range]",
        ".segments button",
    ):
        for target in page.locator(f"[data-esgd-lab] {selector}").all():
            if target.is_visible():
                box = target.bounding_box()
                assert box["height"] >= 43.9, (selector, box)
                if selector == ".handle":
                    assert box["width"] >= 43.9
    assert reader.problems == []


def _luminance(colour: list[int]) -> float:
    parts = [c / 255 / 12.92 if c <= 10 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in colour]
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]


def test_figure_follows_the_pages_theme_while_it_is_open(open_lab) -> None:
    reader = open_lab("welcome")
    corner = """() => { const c = document.querySelector('[data-lab-host]').shadowRoot.querySelector('canvas');
      return [...c.getContext('2d').getImageData(2, 2, 1, 1).data.slice(0, 3)]; }"""
    light = _luminance(reader.page.evaluate(corner))
    reader.page.evaluate("document.documentElement.dataset.theme = 'dark'")
    reader.settle()
    dark = _luminance(reader.page.evaluate(corner))
    assert light > 0.6
    assert dark < 0.1


@pytest.mark.browser
def test_figure_hidden_while_the_theme_changes_is_sharp_afterwards(open_lab) -> None:
    """As in JupyterLab, which hides its page for as long as the new theme's style sheet takes."""
    reader = open_lab("esgd-steps")
    sizes = """() => [...document.querySelector('[data-lab-host]').shadowRoot.querySelectorAll('canvas')]
      .filter((c) => c.clientWidth).flatMap((c) => [c.width - c.clientWidth, c.height - c.clientHeight])"""
    assert not any(reader.page.evaluate(sizes))
    reader.page.evaluate(
        """async () => {
          document.body.style.display = 'none'; document.documentElement.dataset.theme = 'dark';
          await Promise.resolve(); // the lab asks for its frame
          await new Promise(requestAnimationFrame); document.body.style.display = ''; }"""
    )
    reader.settle()
    found = reader.page.evaluate(sizes)
    assert len(found) >= 6
    assert not any(found)
    assert reader.problems == []


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("scene", SCENES)
def test_axe_finds_nothing(open_lab, scene: str, dark: bool) -> None:
    axe_module = pytest.importorskip("axe_playwright_python.sync_playwright", reason="install esgd[test]")
    reader = open_lab(scene, dark=dark)
    for opener in reader.page.locator("[data-esgd-lab] .foot [aria-expanded]:visible").all():
        opener.click()
    reader.settle()
    results = axe_module.Axe().run(reader.page)
    found = [
        (v["id"], v["nodes"][0]["target"], v["nodes"][0]["failureSummary"]) for v in results.response["violations"]
    ]
    assert found == []


def test_text_table_has_every_step_and_the_one_shown(open_lab) -> None:
    reader = open_lab("rotation-dial")
    reader.page.get_by_role("button", name="Table of the steps").click()
    rows = reader.page.locator("[data-esgd-lab] tbody tr")
    assert rows.count() == 2 * 17
    assert rows.nth(0).locator("td").all_inner_texts()[:4] == ["Jacobi", "0", "1.5", "0.75"]
    reader.page.get_by_role("button", name="One step back").click()
    reader.settle()
    assert rows.locator("xpath=self::tr[@class='at']").count() == 2


def test_play_runs_to_the_end_and_pause_stops_it(open_lab) -> None:
    reader = open_lab("rotation-dial")
    page = reader.page
    page.get_by_role("button", name="Play").click()
    page.wait_for_timeout(300)
    assert reader.state()["playing"]
    page.get_by_role("button", name="Pause").click()
    stopped = reader.state()
    assert not stopped["playing"]
    assert 0 <= stopped["shown"] < 16
    page.wait_for_timeout(200)
    assert reader.state()["shown"] == stopped["shown"]
    page.get_by_role("button", name="Play").click()
    page.wait_for_function("document.querySelector('[data-esgd-lab]').esgdLab.lab.at === 16", timeout=15_000)
    page.wait_for_function("!document.querySelector('[data-esgd-lab]').esgdLab.lab.playing")


def test_reduced_motion_plays_whole_steps_only(open_lab) -> None:
    reader = open_lab("rotation-dial", motion="reduce")
    shown = reader.page.evaluate(
        """async () => { const { lab } = document.querySelector('[data-esgd-lab]').esgdLab; lab.play();
          const seen = []; const end = performance.now() + 900;
          while (performance.now() < end) { await new Promise(requestAnimationFrame); seen.push(lab.at); }
          lab.pause(); return seen; }"""
    )
    assert all(value == int(value) for value in shown)
    assert max(shown) <= 2


def test_reset_returns_to_the_opening_state(open_lab) -> None:
    reader = open_lab("descent")
    before = reader.state()
    reader.page.locator("input[data-key=kappa]").press("End")
    reader.page.locator("[data-add=esgd]").click()
    reader.settle()
    assert reader.state()["kappa"] == 1000
    reader.page.get_by_role("button", name="Reset").click()
    reader.settle()
    assert reader.state() == before


def test_keyboard_reaches_every_control_and_the_focus_is_seen(open_lab) -> None:
    reader = open_lab("esgd-steps")
    page = reader.page
    wanted = page.evaluate(
        """() => [...document.querySelector('[data-lab-host]').shadowRoot.querySelectorAll('button, input, select')]
          .filter((e) => e.checkVisibility()).length"""
    )
    page.locator("main a").focus()
    seen = set()
    for _ in range(wanted + 3):
        page.keyboard.press("Tab")
        spot = page.evaluate(
            """() => { const root = document.querySelector('[data-lab-host]').shadowRoot;
              const e = root.activeElement;
              if (!e) return null; const s = getComputedStyle(e);
              return [[...root.querySelectorAll('*')].indexOf(e), s.outlineStyle, parseFloat(s.outlineWidth)]; }"""
        )
        if spot is None:
            continue
        assert spot[1] == "solid"
        assert spot[2] >= 2, spot
        seen.add(spot[0])
    assert len(seen) == wanted


def test_keys_do_not_reach_the_notebook_around_the_lab(open_lab) -> None:
    reader = open_lab("welcome")
    reader.page.evaluate("window.heard = []; document.addEventListener('keydown', (e) => window.heard.push(e.key))")
    handle = reader.page.locator("[data-esgd-lab] .handle")
    handle.press("ArrowUp")
    handle.press("b")
    assert reader.page.evaluate("window.heard") == []


def test_shared_address_opens_the_same_state(open_lab) -> None:
    reader = open_lab("welcome", "descent", hash="#lab=descent&kappa=200&lr_sgd=0.5&methods=sgd+esgd&at=7")
    shared = reader.page.evaluate(
        "() => { const { S } = document.querySelectorAll('[data-esgd-lab]')[1].esgdLab.lab; return S; }"
    )
    assert (shared["kappa"], shared["lr_sgd"], shared["methods"], shared["at"]) == (200, 0.5, ["sgd", "esgd"], 7)
    assert reader.state()["landscape"] == "net"  # the other lab of the page is as it was
    reader.page.evaluate("location.hash = '#lab=welcome&steps=33'")
    reader.settle()
    assert reader.state()["steps"] == 33


def test_a_whole_state_keeps_its_methods(open_lab) -> None:
    reader = open_lab("rmsprop-faces")
    reader.page.locator("[data-face=oscillation]").click()
    reader.settle()
    assert reader.state()["methods"] == ["sgd", "rmsprop"]
    reader.page.evaluate("location.hash = '#lab=rmsprop-faces&methods=esgd+newton'")
    reader.settle()
    assert reader.state()["methods"] == ["newton", "esgd"]


def test_link_and_python_are_offered_as_text(open_lab) -> None:
    reader = open_lab("descent")
    page = reader.page
    page.locator("input[data-key=kappa]").press("End")
    reader.settle()
    page.get_by_role("button", name="Link to this state").click()
    field = page.get_by_role("textbox", name="What to copy")
    assert field.input_value().endswith("page.html#lab=descent&kappa=1000")
    page.get_by_role("button", name="As Python").click()
    assert field.input_value() == 'from esgd.lab import SaddleLab; SaddleLab("descent", kappa=1000)'


def test_print_keeps_the_figure_and_drops_the_buttons(open_lab) -> None:
    reader = open_lab("contours")
    reader.page.emulate_media(media="print")
    assert reader.page.locator("[data-esgd-lab] canvas").first.is_visible()
    assert not reader.page.locator("[data-esgd-lab] .transport").is_visible()
    assert not reader.page.locator("[data-esgd-lab] .foot").is_visible()
    assert reader.problems == []


def test_without_javascript_the_words_stand(open_lab) -> None:
    reader = open_lab("probes", wait=False, javascript=False)
    assert SCENES["probes"] in reader.page.locator("[data-esgd-lab]").inner_text()


def test_nine_labs_on_one_page_load_as_they_are_reached(open_lab) -> None:
    reader = open_lab(*SCENES)
    page = reader.page
    assert page.locator("[data-esgd-lab] .lab").count() < len(SCENES)
    for place in page.locator("[data-esgd-lab]").all():
        place.scroll_into_view_if_needed()
        place.locator(".lab").wait_for()
    assert page.locator("[data-esgd-lab] .lab").count() == len(SCENES)
    assert reader.problems == []


def test_broken_state_of_a_page_is_reported_and_the_scene_still_opens(open_lab) -> None:
    reader = open_lab("welcome")
    reader.page.evaluate(
        """async () => { const module = await globalThis.__esgdLab; const place = document.createElement('div');
          document.body.append(place);
          window.second = module.mount(place, { scene: 'no such scene',
            state: { kappa: 'x', methods: 3, steps: -5 } }); }"""
    )
    assert reader.page.evaluate("window.second.lab.scene") == "welcome"
    assert reader.page.evaluate("window.second.lab.S.steps") == 5
    reader.page.evaluate("window.second.destroy()")
    assert reader.page.locator("[data-lab-host]").count() == 1
    assert reader.problems == []


def test_the_labs_own_page_shows_every_scene() -> None:
    text = (Path(__file__).parents[2] / "book" / "lab.md").read_text(encoding="utf-8")
    assert [s for s in SCENES if f'data-esgd-lab="{s}"' not in text] == []
