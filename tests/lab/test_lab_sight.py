"""What is scrolled out of the window waits: for the reader's scroll, for a quiet moment, or for the printer."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.browser

# counts the drawings of each view from now on, and holds back what is to be done when the page is idle
COUNT = """() => {
  window.drawings = {};
  const { clearRect } = CanvasRenderingContext2D.prototype;
  CanvasRenderingContext2D.prototype.clearRect = function (...a) {
    const { view } = this.canvas.closest('[data-view]').dataset;
    drawings[view] = (drawings[view] ?? 0) + 1;
    return clearRect.apply(this, a); };
  window.waiting = []; window.requestIdleCallback = (call) => waiting.push(call);
}"""
FRAMES = "async () => { for (let i = 0; i < 3; i += 1) await new Promise(requestAnimationFrame); }"


@pytest.fixture
def phone(open_lab):
    """A lab on a phone's screen, at the top of its page: the first views are seen, the last ones are not."""
    reader = open_lab("descent", width=390, height=844)
    reader.page.evaluate(COUNT)
    return reader


def drawings(reader, change: str | None = None) -> dict[str, int]:
    page = reader.page
    page.evaluate("() => { window.drawings = {}; }")
    if change:
        page.evaluate(f"() => {{ const {{ lab }} = document.querySelector('[data-esgd-lab]').esgdLab; {change}; }}")
    page.evaluate(FRAMES)
    return page.evaluate("window.drawings")


def seen(reader) -> dict[str, bool]:
    return reader.page.evaluate(
        """() => Object.fromEntries([...document.querySelector('[data-lab-host]').shadowRoot
             .querySelectorAll('[data-view]')].filter((e) => e.checkVisibility()).map((e) => {
               const { top, bottom } = e.getBoundingClientRect();
               return [e.dataset.view, bottom > 0 && top < innerHeight]; }))"""
    )


def test_change_draws_what_is_seen_at_once_and_the_rest_in_a_quiet_moment(phone) -> None:
    views = seen(phone)
    assert {True, False} == set(views.values()), "the screen should hold some of the views"
    at_once = set(drawings(phone, "lab.update({ kappa: 7 })"))
    assert {view for view, there in views.items() if there} <= at_once
    below = {view for view, there in views.items() if not there} - at_once
    assert below
    assert phone.page.evaluate("document.querySelector('[data-esgd-lab]').esgdLab.lab.owing()")

    one_by_one = []
    for _ in range(20):
        if not phone.page.evaluate("waiting.length"):
            break
        one_by_one.append(set(drawings(phone, "waiting.shift()()")))
    assert all(len(views) == 1 for views in one_by_one)
    assert set.union(*one_by_one) == below
    assert not phone.page.evaluate("document.querySelector('[data-esgd-lab]').esgdLab.lab.owing()")
    assert phone.problems == []


def test_play_draws_nothing_out_of_sight_and_its_end_makes_up_for_it(phone) -> None:
    views = seen(phone)
    counts = drawings(phone, "lab.update({ at: 0 }); lab.play()")
    phone.page.wait_for_function("lab => document.querySelector('[data-esgd-lab]').esgdLab.lab.at > 3")
    counts = drawings(phone)
    assert counts["path"] >= 2
    assert not phone.page.evaluate("waiting.length"), "nothing is drawn out of sight while it plays"
    below = {view for view, there in views.items() if not there} - set(counts)
    assert below
    drawings(phone, "lab.pause()")
    made_up = set()
    while phone.page.evaluate("waiting.length"):
        made_up |= set(drawings(phone, "waiting.shift()()"))
    assert below - {"convergence"} <= made_up


def test_scroll_shows_the_present_state(phone) -> None:
    last = [view for view, there in seen(phone).items() if not there][-1]
    assert last not in drawings(phone, "lab.update({ kappa: 7 })")
    view = phone.page.locator(f"[data-esgd-lab] [data-view={last}]")
    phone.page.evaluate("() => { window.drawings = {}; }")
    view.scroll_into_view_if_needed()
    phone.page.wait_for_function(f"window.drawings.{last}")
    assert phone.problems == []


def test_print_has_every_view(phone) -> None:
    views = seen(phone)
    drawings(phone, "lab.update({ kappa: 7 })")
    phone.page.evaluate("() => { window.drawings = {}; dispatchEvent(new Event('beforeprint')); }")
    assert set(views) <= set(phone.page.evaluate("window.drawings"))
