"""The further views: the error mode by mode, and the surface that is turned by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from landscapes import rotated

from esgd.lab import SCENES
from esgd.lab.schema import LANDSCAPES

CASES = [("sgd", 0.3), ("newton", 0.4), ("saddle_free", 0.7)]


def modes_of(evaluate: Any, state: dict[str, Any]) -> dict[str, Any]:
    return evaluate(
        """(core, scenes, state) => {
          const S = core.makeState({}, state); const H = core.landscapeOf(S).quadratic;
          const modes = core.modesOf(H);
          const [method] = S.methods; const run = core.trajectory(method, S);
          return { points: run.points, losses: run.losses, modes, z: modes.map((m) => core.amplitudes(run, m)),
            factors: modes.map(({ h }) => core.modeFactor(method, S, h)), mixes: core.mixes(method, H),
            shares: core.shares(run, modes, 7) }; }""",
        state,
    )


@pytest.mark.parametrize(("method", "lr"), CASES)
@pytest.mark.parametrize("eigenvalues", [(1.5, 0.2), (1.2, -0.3)])
def test_each_mode_shrinks_by_its_own_factor(evaluate, method: str, lr: float, eigenvalues: tuple) -> None:
    first, second = eigenvalues
    state = {"eig1": first, "eig2": second, "angle": 35, "x0": 1.1, "y0": -0.6, "methods": method, "steps": 20}
    found = modes_of(evaluate, {**state, f"lr_{method}": lr, "damping": 0.05})
    hessian = rotated(first, second, 35).numpy()
    values, vectors = np.linalg.eigh(hessian)
    points = np.array(found["points"])
    for mode, z, factor, h, axis in zip(
        found["modes"], found["z"], found["factors"], values[::-1], vectors.T[::-1], strict=True
    ):
        assert mode["h"] == pytest.approx(h)
        assert np.abs(z) == pytest.approx(np.abs(points @ axis), rel=1e-9, abs=1e-12)
        assert np.abs(z[1:]) == pytest.approx(factor * np.abs(z[:-1]), rel=1e-9)
    assert not found["mixes"]


def test_momentum_tends_to_the_factor_of_each_mode(evaluate) -> None:
    state = {"landscape": "bowl", "kappa": 9, "x0": 1, "y0": 1, "methods": "momentum", "steps": 400}
    found = modes_of(evaluate, {**state, "momentum": 0.5, "lr_momentum": 0.05})
    for z, factor in zip(np.abs(found["z"]), found["factors"], strict=True):
        late = z[100:160]
        assert (late[-1] / late[0]) ** (1 / 59) == pytest.approx(factor, rel=0.01)


@pytest.mark.parametrize("method", ["jacobi", "equilibration", "rmsprop", "adam", "esgd"])
def test_a_diagonal_mixes_the_modes_of_a_turned_valley_only(evaluate, method: str) -> None:
    state = {"eig1": 2, "eig2": 0.3, "x0": 1, "y0": 0.4, "methods": method, "steps": 12, "damping": 0.01}
    turned, straight = (modes_of(evaluate, {**state, "angle": angle}) for angle in (30, 0))
    assert turned["mixes"]
    assert not straight["mixes"]
    alone = modes_of(evaluate, {**state, "angle": 0, "x0": 0, "y0": 0.4})
    assert np.abs(alone["z"][0]).max() < 1e-12  # what starts in one mode stays in it


def test_shares_are_the_parts_of_the_loss(evaluate) -> None:
    found = modes_of(evaluate, {"landscape": "bowl", "angle": 20, "x0": -1.5, "y0": 1, "lr_sgd": 0.4, "steps": 12})
    parts = [0.5 * mode["h"] * z[7] ** 2 for mode, z in zip(found["modes"], found["z"], strict=True)]
    assert sum(parts) == pytest.approx(found["losses"][7])
    assert found["shares"] == pytest.approx([part / sum(parts) for part in parts])


MESH = """(core, scenes, [name, tilt, turn]) => {
  const S = core.makeState({}, { landscape: name }); const land = core.landscapeOf(S);
  const mesh = core.meshOf(land, land.window); const camera = core.cameraOf(turn, tilt, 600, 400);
  const points = []; const half = land.window[2];
  for (let i = 0; i < 200; i += 1) { const next = core.stream(i, 1, 0);
    points.push([0, 1].map((k) => land.window[k] + half * 0.98 * (2 * next() - 1))); }
  const laid = points.map(mesh.place);
  return { loss: points.map(land.f), laid, hidden: laid.map((p) => core.isHidden(mesh, camera, p)),
    corners: [[-1, -1], [1, -1], [1, 1], [-1, 1]].map(([x, y]) => [camera.x(x, y), camera.y(x, y, 0)]),
    heights: [...mesh.heights], lift: land.lift ?? null }; }"""


@pytest.mark.parametrize("name", LANDSCAPES)
def test_surface_is_as_high_as_the_loss(evaluate, name: str) -> None:
    found = evaluate(MESH, [name, 35, 25])
    loss, height = np.array(found["loss"]), np.array(found["laid"])[:, 2]
    order = np.argsort(loss)
    assert np.all(np.diff(height[order]) >= -1e-12)
    assert (min(found["heights"]), max(found["heights"])) == pytest.approx((-0.46, 0.46))
    if found["lift"] is None:
        assert np.corrcoef(loss, height)[0, 1] == pytest.approx(1)  # nothing is bent


def test_from_straight_above_the_surface_is_the_path_view_and_hides_nothing(evaluate) -> None:
    found = evaluate(MESH, ["eggbox", 90, 0])
    (left, bottom), (right, _), (_, top), _ = found["corners"]
    assert right > left
    assert top < bottom  # the second weight grows upwards on the screen
    assert right - left == pytest.approx(bottom - top)
    assert not any(found["hidden"])


@pytest.mark.parametrize("turn", [0, 70, 200, 305])
def test_a_hill_hides_what_is_behind_it(evaluate, turn: int) -> None:
    found = evaluate(MESH, ["eggbox", 20, turn])
    a, e = np.radians(turn), np.radians(20)
    toward = np.array([-np.sin(a), -np.cos(a), np.tan(e)])  # one unit along the ground towards the camera
    seen = np.linspace(0.08, 3, 3000)
    agree = 0
    for (x, y, z), hidden in zip(found["laid"], found["hidden"], strict=True):
        ray = np.array([x, y, z]) + seen[:, None] * toward
        inside = np.all(np.abs(ray[:, :2]) <= 1, axis=1)
        ground = 0.23 * (np.cos(4.6 * ray[:, 0]) + np.cos(4.6 * ray[:, 1]))
        agree += hidden == bool(np.any((ground > ray[:, 2] + 0.02) & inside))
    assert sum(found["hidden"]) > 20
    assert agree >= 194  # the mesh is a little flatter than the cosine


def lab_state(reader: Any) -> tuple[float, float]:
    state = reader.state()
    return state["turn"], state["tilt"]


@pytest.mark.browser
def test_surface_turns_by_mouse_by_keys_and_by_slider(open_lab) -> None:
    reader = open_lab("descent")
    page = reader.page
    figure = page.locator("[data-esgd-lab] [data-view=surface]")
    assert not figure.is_visible()
    page.get_by_role("button", name="Surface", exact=True).click()
    reader.settle()
    grip = figure.locator(".grip")
    grip.scroll_into_view_if_needed()
    picture = "(e) => e.querySelector('canvas').toDataURL()"
    first, drawn = lab_state(reader), figure.evaluate(picture)

    box = grip.bounding_box()
    page.mouse.move(box["x"] + 200, box["y"] + 100)
    page.mouse.down()
    page.mouse.move(box["x"] + 260, box["y"] + 130, steps=4)
    page.mouse.up()
    reader.settle()
    turned = lab_state(reader)
    assert turned[0] != first[0]
    assert turned[1] > first[1]
    assert figure.evaluate(picture) != drawn

    grip.press("Shift+ArrowLeft")
    grip.press("ArrowUp")
    assert lab_state(reader) == ((turned[0] + 15) % 360, turned[1] - 5)
    figure.locator("input[data-key=tilt]").press("End")
    reader.settle()
    assert lab_state(reader)[1] == 90
    assert reader.problems == []


@pytest.mark.browser
def test_surface_turns_under_a_finger_and_a_scroll_leaves_it(open_lab) -> None:
    reader = open_lab("escape", width=390, height=844, touch=True, state={"show": ["surface"]})
    page = reader.page
    grip = page.locator("[data-esgd-lab] .grip")
    grip.scroll_into_view_if_needed()
    box = grip.bounding_box()
    session = page.context.new_cdp_session(page)

    def send(kind: str, *points: tuple[float, float]) -> None:
        touches = [{"x": x, "y": y} for x, y in points]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": touches})

    x, y = box["x"] + 200, box["y"] + 120
    before = lab_state(reader)
    send("touchStart", (x, y))
    for i in range(1, 6):
        send("touchMove", (x + 14 * i, y))
    send("touchEnd")
    reader.settle()
    turned = lab_state(reader)
    assert turned[0] != before[0]
    top = page.evaluate("scrollY")
    send("touchStart", (x, y))
    for i in range(1, 9):
        send("touchMove", (x, y + 25 * i))
    send("touchEnd")
    reader.settle()
    assert page.evaluate("scrollY") != top, "the page does not scroll over the surface"
    assert lab_state(reader) == turned


@pytest.mark.browser
def test_modes_are_offered_where_there_are_some_and_travel_in_an_address(open_lab) -> None:
    reader = open_lab("escape", hash="#lab=escape&show=modes+surface&tilt=60")
    page = reader.page
    assert page.locator("[data-esgd-lab] [data-view=modes]").is_visible()
    assert page.locator("[data-esgd-lab] [data-view=surface]").is_visible()
    assert "downhill mode" in page.locator("[data-view=modes] canvas").get_attribute("aria-label")
    page.get_by_role("button", name="More settings").click()
    page.locator("[data-esgd-lab] select[data-key=landscape]").select_option("monkey")
    reader.settle()
    assert not page.locator("[data-esgd-lab] [data-view=modes]").is_visible()
    assert not page.get_by_role("button", name="Mode by mode").is_visible()
    page.get_by_role("button", name="Link to this state").click()
    assert "show=surface%2Bmodes" in page.get_by_role("textbox", name="What to copy").input_value()
    assert reader.problems == []


@pytest.mark.browser
def test_turning_the_surface_computes_no_run_again(open_lab) -> None:
    reader = open_lab("rmsprop-faces", state={"show": ["surface"]})
    same = reader.page.evaluate(
        """async () => { const { lab } = document.querySelector('[data-esgd-lab]').esgdLab;
          const { runs, best } = lab;
          lab.update({ turn: 100 }); await new Promise((done) => setTimeout(done, 400));
          return lab.runs === runs && lab.best === best && lab.S.turn === 100; }"""
    )
    assert same


@pytest.mark.parametrize("problem", ["polynomial", "chain"])
def test_many_weights_shrink_mode_by_mode_as_two_do(evaluate, problem: str) -> None:
    found = evaluate(
        """(core, scenes, many) => {
          const S = core.makeState({}, { many, methods: 'sgd', lr_sgd: 1.3, steps: 30 });
          const p = core.manyProblem(core.makeState({}, { many }), 1); const run = core.manyRun('sgd', S, p);
          const left = core.leftOver(p, run[30]);
          return { H: p.H, goal: p.goal, values: p.values, vectors: p.vectors, left }; }""",
        problem,
    )
    hessian, vectors = np.array(found["H"]), np.array(found["vectors"])
    assert found["values"] == pytest.approx(np.linalg.eigvalsh(hessian)[::-1], abs=1e-13)
    assert found["values"][0] == pytest.approx(1)
    assert vectors @ vectors.T == pytest.approx(np.eye(len(hessian)), abs=1e-12)
    assert found["left"] == pytest.approx(np.abs(1 - 1.3 * np.array(found["values"])) ** 30, rel=1e-6, abs=1e-9)
    if problem == "chain":
        n = len(hessian)
        known = 4 * np.sin((2 * np.arange(n, 0, -1) - 1) * np.pi / (4 * n + 2)) ** 2
        assert found["values"] == pytest.approx(known / known[0])
        assert found["goal"] == pytest.approx(np.ones(n))


@pytest.mark.browser
def test_reader_sees_a_polynomial_or_a_chain(open_lab) -> None:
    reader = open_lab("descent")
    page = reader.page
    page.get_by_role("button", name="Many weights").click()
    reader.settle()
    label = "[data-view=many] canvas"
    assert page.locator(label).get_attribute("aria-label").startswith("6 weights, a polynomial")
    page.get_by_role("button", name="chain of neighbours").click()
    reader.settle()
    assert page.locator(label).get_attribute("aria-label").startswith("16 weights, a chain")
    assert reader.problems == []


@pytest.mark.browser
def test_map_of_rates_is_of_the_form_of_momentum_that_runs(open_lab) -> None:
    reader = open_lab("descent", state={"show": ["convergence"], "methods": ["sgd", "nesterov"]})
    page = reader.page
    view = page.locator("[data-esgd-lab] [data-view=convergence]")
    assert "of Nesterov’s form" in view.inner_text()
    words = view.locator("canvas").get_attribute("aria-label")
    root = (3 * 60 + 1) ** 0.5
    assert f"Best: momentum {(root - 2) / (root + 2):.3f} with rate 1.33" in words
    assert "Nesterov ×" in words
    assert "Nesterov’s" in page.locator("[data-best=momentum]").get_attribute("aria-label")
    view.locator("canvas").scroll_into_view_if_needed()
    box = view.locator("canvas").bounding_box()
    page.mouse.click(box["x"] + 0.4 * box["width"], box["y"] + 0.4 * box["height"])
    reader.settle()
    state = reader.state()
    assert state["methods"] == ["sgd", "nesterov"]
    assert state["lr_nesterov"] != 0.1
    page.locator("[data-add=momentum]").click()
    reader.settle()
    assert "of the heavy ball" in view.inner_text()
    assert "heavy ball" in page.locator("[data-best=momentum]").get_attribute("aria-label")
    assert reader.problems == []


@pytest.mark.browser
def test_map_of_rates_and_momenta_is_offered_on_bowls_and_sets_both(open_lab) -> None:
    reader = open_lab("descent", state={"show": ["convergence"]})
    page = reader.page
    canvas = page.locator("[data-esgd-lab] [data-view=convergence] canvas")
    root = 60**0.5
    best = f"a factor of {(root - 1) / (root + 1):.3f}"
    assert best in canvas.get_attribute("aria-label")
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    before = reader.state()
    page.mouse.click(box["x"] + box["width"] * 0.5, box["y"] + box["height"] * 0.2)
    reader.settle()
    after = reader.state()
    assert after["momentum"] > before["momentum"] + 0.1
    assert after["lr_momentum"] < before["lr_momentum"] / 2
    page.locator("[data-remove=momentum]").click()
    page.mouse.click(box["x"] + box["width"] * 0.5, box["y"] + box["height"] * 0.5)
    reader.settle()
    assert "momentum" in reader.state()["methods"]
    assert reader.problems == []

    saddle = open_lab("escape", state={"show": ["convergence"]})
    assert not saddle.page.locator("[data-esgd-lab] [data-view=convergence]").is_visible()
    assert not saddle.page.get_by_role("button", name="All rates").is_visible()


@pytest.mark.browser
@pytest.mark.parametrize("scene", SCENES)
def test_every_scene_can_show_path_loss_and_rates(open_lab, scene: str) -> None:
    reader = open_lab(scene)
    for name in ("Loss", "Effective rates"):
        button = reader.page.get_by_role("button", name=name, exact=True)
        if button.count():
            button.click()
    reader.settle()
    views = reader.page.locator("[data-esgd-lab] figure[data-view]:visible")
    shown = views.evaluate_all("(all) => all.map((e) => e.dataset.view)")
    assert {"path", "loss", "rates"} <= set(shown)
    assert len(shown) == len(set(shown))
    assert reader.problems == []
