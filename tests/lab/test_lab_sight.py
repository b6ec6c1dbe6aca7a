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


def places(reader) -> dict[str, str]:
    """Where each view is: on the screen, near it, or far beyond its edges."""
    return reader.page.evaluate(
        """() => Object.fromEntries([...document.querySelector('[data-lab-host]').shadowRoot
             .querySelectorAll('[data-view]')].filter((e) => e.checkVisibility()).map((e) => {
               const { top, bottom } = e.getBoundingClientRect();
               const away = Math.max(-bottom, top - innerHeight);
               const place = away < 0 ? 'seen' : away < 150 ? 'near' : away > 170 ? 'far' : 'edge';
               return [e.dataset.view, place]; }))"""
    )


def those(views: dict[str, str], *where: str) -> set[str]:
    return {view for view, place in views.items() if place in where}


def owing(reader) -> bool:
    return reader.page.evaluate("document.querySelector('[data-esgd-lab]').esgdLab.lab.owing()")


def test_change_draws_what_is_seen_at_once_and_the_rest_in_a_quiet_moment(phone) -> None:
    views = places(phone)
    assert those(views, "seen")
    assert those(views, "far")
    at_once = set(drawings(phone, "lab.update({ kappa: 7 })"))
    assert those(views, "seen", "near") <= at_once
    assert not those(views, "far") & at_once
    assert owing(phone)
    one_by_one = []
    for _ in range(20):
        if not phone.page.evaluate("waiting.length"):
            break
        one_by_one.append(set(drawings(phone, "waiting.shift()()")))
    assert all(len(views) == 1 for views in one_by_one)
    assert set.union(*one_by_one) == set(views) - at_once
    assert not owing(phone)
    assert phone.problems == []


def test_busy_page_pays_all_at_once_after_a_while(phone) -> None:
    far = those(places(phone), "far")
    drawings(phone, "lab.update({ kappa: 7 })")
    assert far <= set(drawings(phone, "waiting.shift()({ didTimeout: true })"))
    assert not owing(phone)


def test_play_draws_nothing_out_of_sight_and_its_end_makes_up_for_it(phone) -> None:
    drawings(phone, "lab.update({ steps: 400, at: 0 }); lab.play()")
    far = those(places(phone), "far")
    phone.page.evaluate("() => { waiting.length = 0; }")
    phone.page.wait_for_function("document.querySelector('[data-esgd-lab]').esgdLab.lab.at > 3")
    counts = drawings(phone)
    assert counts["path"] >= 2
    assert not far & set(counts)
    assert not phone.page.evaluate("waiting.length"), "nothing is drawn out of sight while it plays"
    made_up = set(drawings(phone, "lab.pause()"))
    while phone.page.evaluate("waiting.length"):
        made_up |= set(drawings(phone, "waiting.shift()()"))
    assert far <= made_up
    assert phone.problems == []


def test_slow_play_without_motion_leaves_time_for_what_is_out_of_sight(open_lab) -> None:
    reader = open_lab("descent", width=390, height=844, motion="reduce")
    reader.page.evaluate(COUNT)
    drawings(reader, "lab.update({ at: 0 }); lab.play()")
    far = those(places(reader), "far")
    made_up = set()
    for _ in range(20):
        if reader.page.evaluate("waiting.length"):
            made_up |= set(drawings(reader, "waiting.shift()()"))
    assert far <= made_up


def test_view_that_has_nothing_to_say_any_more_is_not_drawn_when_it_comes_into_sight(phone) -> None:
    """While it plays the landscape becomes one without modes; the debts of before are void."""
    drawings(phone, "lab.update({ steps: 400, at: 0 }); lab.play()")
    phone.page.wait_for_function("document.querySelector('[data-esgd-lab]').esgdLab.lab.at > 2")
    drawings(phone, "lab.chooseLandscape('rosenbrock')")
    phone.page.locator("[data-esgd-lab] [data-view=modes]").scroll_into_view_if_needed()
    counts = drawings(phone)
    assert "modes" not in counts
    assert phone.problems == []


def test_view_that_fails_keeps_no_other_from_being_drawn(phone) -> None:
    first, *others = [view for view, place in places(phone).items() if place == "far"]
    assert others
    phone.page.evaluate(
        """(name) => { const { clearRect } = CanvasRenderingContext2D.prototype;
             CanvasRenderingContext2D.prototype.clearRect = function (...a) {
               if (this.canvas.closest('[data-view]').dataset.view === name) throw new Error('a view that fails');
               return clearRect.apply(this, a); }; }""",
        first,
    )
    drawn = set(drawings(phone, "lab.update({ kappa: 7 })"))
    for _ in range(20):
        if phone.page.evaluate("waiting.length"):
            phone.page.evaluate(
                "() => { try { waiting.shift()(); } catch (error) { window.failed = error.message; } }"
            )
            drawn |= set(phone.page.evaluate("window.drawings"))
    assert phone.page.evaluate("window.failed") == "a view that fails"
    assert set(others) <= drawn
    assert not owing(phone)


def test_scroll_shows_the_present_state(phone) -> None:
    last = sorted(those(places(phone), "far"))[-1]
    assert last not in drawings(phone, "lab.update({ kappa: 7 })")
    view = phone.page.locator(f"[data-esgd-lab] [data-view={last}]")
    phone.page.evaluate("() => { window.drawings = {}; }")
    view.scroll_into_view_if_needed()
    phone.page.wait_for_function(f"window.drawings.{last}")
    assert phone.problems == []


def test_print_has_every_view(phone) -> None:
    views = places(phone)
    drawings(phone, "lab.update({ kappa: 7 })")
    phone.page.evaluate("() => { window.drawings = {}; dispatchEvent(new Event('beforeprint')); }")
    assert set(views) <= set(phone.page.evaluate("window.drawings"))
    assert phone.problems == []
