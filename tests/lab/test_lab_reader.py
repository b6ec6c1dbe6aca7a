"""What readers ran into: words cut off, dead keys, links and resets that led elsewhere, paper, a running play."""

from __future__ import annotations

import pytest

from esgd.lab import MODULE, SCENES

pytestmark = pytest.mark.browser  # one of them runs in Node where that is installed

LAB = "document.querySelector('[data-esgd-lab]').esgdLab.lab"
IN_SHADOW = "document.querySelector('[data-lab-host]').shadowRoot"


@pytest.mark.parametrize("width", [390, 600, 700, 768, 900])
def test_no_words_are_cut_off_at_any_width(open_lab, width: int) -> None:
    reader = open_lab(*SCENES, width=width)
    page = reader.page
    for place in page.locator("[data-esgd-lab]").all():
        place.scroll_into_view_if_needed()
        place.locator(".lab").wait_for()
    reader.settle()
    cut = page.evaluate(
        """() => [...document.querySelectorAll('[data-lab-host]')].flatMap((host) =>
          [...host.shadowRoot.querySelectorAll('.result, .head span, .row > output, .transport output')]
            .filter((e) => e.checkVisibility() && getComputedStyle(e).display !== 'inline')
            .filter((e) => e.scrollWidth > e.clientWidth + 1)
            .map((e) => [host.dataset.labHost, e.className, e.textContent]))"""
    )
    assert cut == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_each_key_moves_a_whole_number_by_one(open_lab) -> None:
    reader = open_lab("welcome")
    steps = reader.page.locator("input[data-key=steps]")
    seen = []
    for key in ("ArrowRight", "ArrowRight", "ArrowLeft", "PageUp", "Home", "ArrowLeft", "ArrowUp"):
        steps.press(key)
        seen.append(reader.state()["steps"])
    assert seen == [61, 62, 61, 71, 5, 5, 6]


def test_a_method_that_comes_or_goes_by_key_hands_the_focus_on(open_lab) -> None:
    reader = open_lab("welcome")
    focused = f"() => {{ const e = {IN_SHADOW}.activeElement; return e && (e.dataset.key ?? e.dataset.add); }}"
    reader.page.locator("[data-add=jacobi]").press("Enter")
    reader.settle()
    assert reader.page.evaluate(focused) == "lr_jacobi"
    reader.page.locator("[data-remove=newton]").press("Enter")
    reader.settle()
    assert reader.page.evaluate(focused) == "newton"


ROUND = """([core, scene, preset, opening, state]) => {
  const whole = core.makeState(preset, { ...opening, ...state });
  const shared = core.decodeState('#' + core.encodeState(scene, preset, whole));
  return [whole, core.makeState(preset, shared.state)]; }"""


@pytest.mark.parametrize(
    ("scene", "state"),
    [
        ("welcome", {"steps": 100, "at": 60}),
        ("rotation-dial", {"steps": 60, "at": 16}),
        ("esgd-steps", {"steps": 15, "at": 15}),
        ("esgd-steps", {"at": 40}),
        ("saddle-free", {"x0": 1.3000000000000003, "y0": 3.141592653589793}),
    ],
)
def test_an_address_tells_the_whole_state(evaluate, scene: str, state: dict) -> None:
    function = f"(core, SCENES, [scene, state]) => ({ROUND})([core, scene, SCENES[scene].state, {{}}, state])"
    told, restored = evaluate(function, [scene, state])
    assert restored == told
    for key, value in state.items():
        assert told[key] == value


def test_an_address_with_unknown_names_keeps_what_it_does_not_know(evaluate) -> None:
    found = evaluate(
        """(core, SCENES) => { const { state } = SCENES.descent;
          const of = (hash) => core.decodeState(hash).state;
          const methods = (hash) => core.makeState(state, of(hash)).methods;
          return [of('#lab=descent&constructor=5&toString=1&kappa=9'), methods('#lab=descent&methods=sophia'),
            methods('#lab=descent&methods=sophia+esgd'), methods('#lab=descent&methods='),
            Object.hasOwn(core.makeState(state, { constructor: 5 }), 'constructor')]; }"""
    )
    assert found == [{"kappa": "9"}, ["sgd", "momentum"], ["esgd"], [], False]


def test_a_lab_that_the_page_set_up_is_shared_and_reset_as_it_was(open_lab) -> None:
    own = {"x0": 1.3, "y0": 3.14, "steps": 5, "lr_newton": 1.0}
    reader = open_lab("saddle-free", state=own)
    page = reader.page
    opening = reader.state()
    assert {key: opening[key] for key in own} == own
    preset = {"x0": 0.75, "y0": 2.2, "steps": 30, "lr_newton": 0.25}
    page.evaluate("location.hash = '#lab=saddle-free'")  # the scene itself, whatever the page's own settings
    reader.settle()
    assert {key: reader.state()[key] for key in preset} == preset
    page.get_by_role("button", name="Reset").click()
    reader.settle()
    assert reader.state() == opening


def test_a_start_that_was_dragged_is_the_one_in_the_address(open_lab) -> None:
    reader = open_lab("contours")
    reader.page.locator("[data-esgd-lab] .handle").nth(1).press("ArrowUp")  # in the coordinates after the change
    state = reader.state()
    reader.page.get_by_role("button", name="Link to this state").click()
    address = reader.page.get_by_role("textbox", name="What to copy").input_value()
    assert address.endswith(f"#lab=contours&y0={state['y0']:g}")


def test_paper_shows_the_landscape_in_light_colours_and_the_screen_comes_back(open_lab) -> None:
    reader = open_lab("welcome", dark=True)
    page = reader.page
    look = f"""() => {{ const front = {IN_SHADOW}.querySelectorAll('.plot canvas')[1];
      return [front.getContext('2d').getImageData(3, 3, 1, 1).data[3],
        getComputedStyle({IN_SHADOW}.querySelector('.lab')).color]; }}"""
    screen = page.evaluate(look)
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    paper = page.evaluate(look)
    assert (screen[0], paper[0]) == (0, 255)  # the ground lies on the upper canvas too
    assert paper[1] != screen[1]
    assert page.locator("[data-esgd-lab] .handle").evaluate("e => e.style.left").endswith("%")
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.evaluate(look) == screen


def test_one_direction_at_a_time_says_what_theory_knows(open_lab) -> None:
    reader = open_lab("descent")
    image = reader.page.get_by_role("img", name="The run of")
    for methods, words in (
        (["newton"], "× 0.5 a step"),
        (["sgd"], "× \N{MINUS SIGN}0.75 a step"),
        (["rmsprop"], "no fixed factor"),
    ):
        reader.page.evaluate(f"m => {LAB}.update({{ methods: m, lr_newton: 0.5 }})", methods)
        reader.settle()
        assert words in image.get_attribute("aria-label")
    reader.page.evaluate(f"() => {LAB}.chooseLandscape('net')")
    reader.settle()
    assert "those of a quadratic" in reader.page.locator("[data-view=slice] .absent").inner_text()


def test_the_dial_says_so_where_there_is_nothing_to_turn(open_lab) -> None:
    reader = open_lab("rotation-dial")
    reader.page.evaluate(f"() => {LAB}.chooseLandscape('monkey')")
    reader.settle()
    assert "turns the quadratic" in reader.page.locator("[data-view=dial] .absent").inner_text()


def playing(reader) -> None:
    reader.page.evaluate(f"() => {{ const lab = {LAB}; lab.update({{ steps: 400, at: 0 }}); lab.play(); }}")
    reader.page.wait_for_timeout(150)


def test_a_view_opens_while_it_plays(open_lab) -> None:
    reader = open_lab("welcome")
    playing(reader)
    reader.page.get_by_role("button", name="Surface").click()
    reader.page.get_by_role("button", name="More settings").click()
    reader.page.locator("[data-view=surface]").wait_for(timeout=1500)
    decay = reader.page.locator("input[data-key=zoom]")
    assert decay.get_attribute("aria-valuetext", timeout=1500)
    assert reader.state()["playing"]


def test_a_setting_moved_while_it_plays_does_not_move_the_play(open_lab) -> None:
    reader = open_lab("welcome")
    playing(reader)
    seen = reader.page.evaluate(
        f"""async () => {{ const lab = {LAB}; const seen = [];
          for (let i = 0; i < 12; i += 1) {{ lab.update({{ lr_sgd: 0.1 + i / 1000 }});
            await new Promise(requestAnimationFrame); seen.push(lab.at); }}
          return seen; }}"""
    )
    assert seen == sorted(seen)
    assert seen[-1] < 100


def test_the_theme_reaches_every_view_while_it_plays(open_lab) -> None:
    reader = open_lab("escape")
    page = reader.page
    dark = f"""() => {{ const canvas = {IN_SHADOW}.querySelector('[data-view=escape] canvas');
      const {{ data }} = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
      let found = 0;
      for (let i = 0; i < data.length; i += 4)
        found += data[i + 3] > 200 && data[i] + data[i + 1] + data[i + 2] < 330;
      return found; }}"""
    playing(reader)
    before = page.evaluate(dark)
    page.evaluate("document.documentElement.dataset.theme = 'dark'")
    page.wait_for_timeout(400)
    assert page.evaluate(dark) < before / 3
    assert reader.state()["playing"]


def test_an_address_ends_a_play(open_lab) -> None:
    reader = open_lab("welcome")
    playing(reader)
    reader.page.evaluate("location.hash = '#lab=welcome&steps=33&at=7'")
    reader.settle()
    assert (reader.state()["playing"], reader.state()["shown"]) == (False, 7)


def test_every_lab_is_drawn_once_when_it_is_opened(open_lab) -> None:
    """What is in the window at once, what is below it a little later; nothing twice."""
    reader = open_lab("welcome", height=700)
    at_once, in_the_end, canvases = reader.page.evaluate(
        """async () => { const module = await globalThis.__esgdLab; const place = document.createElement('div');
          document.querySelector('main').prepend(place); const drawn = new Map();
          const { clearRect } = CanvasRenderingContext2D.prototype;
          CanvasRenderingContext2D.prototype.clearRect = function (...a) {
            drawn.set(this.canvas, (drawn.get(this.canvas) ?? 0) + 1); return clearRect.apply(this, a); };
          const second = module.mount(place, { scene: 'descent' });
          const first = [...drawn.values()]; const wait = () => new Promise((done) => setTimeout(done, 100));
          for (let i = 0; i < 100 && second.lab.owing(); i += 1) await wait();
          await wait(); const there = place.querySelector('[data-lab-host]').shadowRoot;
          const canvases = [...there.querySelectorAll('canvas')].filter((c) => c.checkVisibility()).length;
          second.destroy();
          return [first, [...drawn.values()], canvases]; }"""
    )
    assert len(at_once) >= 2
    assert len(in_the_end) == canvases > len(at_once)
    assert set(at_once) == set(in_the_end) == {1}


KERNEL = """async (source) => {
  const address = URL.createObjectURL(new Blob([source], { type: 'text/javascript' }));
  const { default: widget } = await import(address);
  const el = document.createElement('div'); document.body.append(el);
  let heard = null; const sent = []; const seen = [];
  const values = { scene: 'descent', state: {} };
  const model = { get: (key) => values[key], set: (key, value) => (values[key] = value),
    save_changes: () => sent.push(values.state), on: (_, listener) => (heard = listener), off: () => {} };
  const end = widget.render({ model, el });
  const kappa = el.querySelector('[data-lab-host]').shadowRoot.querySelector('input[data-key=kappa]');
  const wait = () => new Promise((done) => setTimeout(done, 400));
  kappa.value = kappa.max; kappa.dispatchEvent(new Event('input')); await wait();
  for (const state of [{}, { kappa: 1000 }]) {
    values.state = state; heard(); await wait(); seen.push(kappa.getAttribute('aria-valuetext'));
  }
  end(); return [sent.length, seen]; }"""


def test_a_state_that_the_kernel_repeats_is_taken_again(browser) -> None:
    page = browser.new_page()
    seen = page.evaluate(KERNEL, MODULE.read_text(encoding="utf-8"))
    page.close()
    assert seen == [1, ["60", "1000"]]


def test_only_a_page_offers_an_address(open_lab) -> None:
    """In a notebook nothing reads the address again: there the line of Python is the way to share."""
    reader = open_lab("welcome")
    buttons = "(host) => [...host.shadowRoot.querySelectorAll('[data-share]')].map((b) => b.dataset.share)"
    assert reader.page.locator("[data-lab-host]").evaluate(buttons) == ["link", "python"]
    notebook = reader.page.evaluate_handle(
        """async () => { const module = await globalThis.__esgdLab; const place = document.createElement('div');
          document.querySelector('main').append(place); module.mount(place, { scene: 'descent' });
          return place.querySelector('[data-lab-host]'); }"""
    )
    assert notebook.evaluate(buttons) == ["python"]
    assert reader.problems == []
