"""Golden trajectories for the lab: every method × landscape × seed, and every scene as it opens, in float64.

    python tests/lab/make_golden.py            writes tests/lab/golden/*.json
    python tests/lab/make_golden.py --check    says whether they are current

``torch.optim`` makes gradient descent, both momenta, AdaGrad, RMSProp and Adam; ``esgd`` makes ESGD, Jacobi from
probes and saddle-free Newton (both directions of a plane are a whole Krylov space); Newton, Jacobi, equilibration
with the exact diagonal come from dense Hessians by autograd. The scenes' presets are read from the module by Node.
"""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from pathlib import Path

import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parent))
from lab_tools import NODE
from landscapes import Loss, landscape, many_weights

from esgd import ESGD, JacobiSGD, SaddleFreeNewton
from esgd.lab import MODULE
from esgd.lab.rng import draw_noise, draw_probe, lab_probe
from esgd.lab.schema import LANDSCAPES, METHODS

FOLDER = Path(__file__).with_name("golden")
STEPS = 40

STARTS = {
    "bowl": {"x0": -1.9, "y0": 0.8, "kappa": 30.0, "angle": 25.0},
    "quadratic": {"x0": 1.6, "y0": -0.45, "eig1": 1.5, "eig2": -0.35, "angle": 32.0},
    "monkey": {"x0": -0.5, "y0": 1.9},
    "net": {"x0": 1.45, "y0": -1.3},
    "rosenbrock": {"x0": -1.2, "y0": 1.0},
    "eggbox": {"x0": 0.75, "y0": 2.2},
    "camel": {"x0": 1.75, "y0": 0.9},
    "himmelblau": {"x0": -0.6, "y0": 2.4},
    "beale": {"x0": 1.0, "y0": 1.7},
}
RATES = {
    "sgd": 0.12, "momentum": 0.05, "nesterov": 0.05, "newton": 0.3, "saddle_free": 0.3, "jacobi": 0.08,
    "equilibration": 0.08, "adagrad": 0.06, "rmsprop": 0.03, "adam": 0.1, "esgd": 0.08,
}  # fmt: skip
SEEDS = {
    1: {"noise": 0.0, "noise_shape": "I", "probe": "rademacher", "interval": 1, "warmup": 1, "damping": 5e-2},
    7: {"noise": 0.05, "noise_shape": "I", "probe": "gaussian", "interval": 3, "warmup": 4, "damping": 1e-1},
    23: {"noise": 0.1, "noise_shape": "tilted", "probe": "rademacher", "interval": 5, "warmup": 2, "damping": 0.3},
}
SHAPES = {"I": (1.0, 1.0), "tilted": (1.0, 2.0)}
STEEP = {"rosenbrock": 200, "camel": 3, "himmelblau": 40, "beale": 60}  # by which the rates of descent are lowered
MOVED = {  # by the reader's hand: data of the fit, and weights at the start
    "polynomial": {"data": [0.5, -1.2, 0.3, 0.0, 1.75, -0.4, 0.9], "weights": [0.6, -1.1, 0.25, 2.0, 0.0, -0.75]},
    "chain": {"data": [], "weights": [1.2, -0.3, 0.5, 0.0, 0.9, 0.1, 0.25, 1.0]},
}
POWERS = {"H": 0.5, "H2": 1.0}  # noise of covariance |H| or H²: the factor is this power of |H|
PRESETS = """const { core, SCENES } = await import("data:text/javascript;base64,%s");
const opened = Object.entries(SCENES).flatMap(([scene, { state, faces = {} }]) =>
  [[null, {}], ...Object.entries(faces)].map(([face, more]) =>
    ({ scene, face, state: core.makeState(state, more) })));
console.log(JSON.stringify(opened));"""


def states() -> list[dict]:
    """The state of every golden run; Jacobi appears with its exact diagonal and with probes."""
    found = []
    for name in LANDSCAPES:
        for seed, options in SEEDS.items():
            for method in METHODS:
                for curvature in ("exact", "probes") if method == "jacobi" else ("exact",):
                    rate = RATES[method]
                    if method in ("sgd", "momentum", "nesterov"):
                        rate /= STEEP.get(name, 1)
                    found.append(
                        {
                            "landscape": name, "methods": [method], "seed": seed, "steps": STEPS,
                            f"lr_{method}": rate,
                            "momentum": 0.8, "decay": 0.9, "beta1": 0.85, "beta2": 0.97, "curvature": curvature,
                            **STARTS[name], **options,
                        }
                    )  # fmt: skip
    return found


def noisy_states() -> list[dict]:
    """Noise that follows the Hessian, on a quadratic along its axes and turned, and where the Hessian changes."""
    places = [{**STARTS["quadratic"], "angle": angle} for angle in (0, 35, 90)] + [{**STARTS["net"]}]
    return [
        {
            "landscape": "quadratic" if "angle" in place else "net", "methods": [method], "seed": 5, "steps": STEPS,
            f"lr_{method}": RATES[method], "decay": 0.8, "curvature": "exact", "noise": 0.2, "noise_shape": shape,
            "probe": "rademacher", "interval": 2, "warmup": 1, "damping": 0.1, **place,
        }
        for place in places
        for shape in POWERS
        for method in ("sgd", "rmsprop", "esgd")
    ]  # fmt: skip


def presets() -> list[dict]:
    """Every scene, and every face of a scene, as it opens: {scene, face, state}, one for each of its methods."""
    if NODE is None:
        raise SystemExit(
            "the presets are read from the module by Node: install it (for example `apt install nodejs`)"
        )
    script = PRESETS % base64.b64encode(MODULE.read_bytes()).decode()
    command = [NODE, "--input-type=module", "-"]
    opened = json.loads(subprocess.run(command, input=script, capture_output=True, text=True, check=True).stdout)
    return [
        {**item, "state": {**item["state"], "methods": [m]}} for item in opened for m in item["state"]["methods"]
    ]


def _dense_step(method: str, state: dict, loss: Loss):
    """The methods with an exact Hessian: a function (θ, gradient with noise) -> step."""

    def direction(theta: Tensor, gradient: Tensor) -> Tensor:
        hessian = torch.func.hessian(loss)(theta)
        if method == "newton":
            return torch.linalg.solve(hessian, gradient)
        diagonal = hessian.diagonal().abs() if method == "jacobi" else hessian.norm(dim=1)
        return gradient / (diagonal + state["damping"])

    return direction


def _optimizer(method: str, theta: Tensor, state: dict) -> torch.optim.Optimizer:
    lr = state[f"lr_{method}"]
    probed = {
        "lr": lr, "damping": state["damping"], "update_every": state["interval"], "warmup_probes": state["warmup"],
        "beta": None, "probe": lab_probe(state["probe"], state["seed"]),
    }  # fmt: skip
    return {
        "sgd": lambda: torch.optim.SGD([theta], lr=lr),
        "momentum": lambda: torch.optim.SGD([theta], lr=lr, momentum=state["momentum"]),
        "nesterov": lambda: torch.optim.SGD([theta], lr=lr, momentum=state["momentum"], nesterov=True),
        "adagrad": lambda: torch.optim.Adagrad([theta], lr=lr, eps=state["damping"]),
        "rmsprop": lambda: torch.optim.RMSprop([theta], lr=lr, alpha=state["decay"], eps=state["damping"]),
        "adam": lambda: torch.optim.Adam(
            [theta], lr=lr, betas=(state["beta1"], state["beta2"]), eps=state["damping"]
        ),
        "esgd": lambda: ESGD([theta], **probed),
        "jacobi": lambda: JacobiSGD([theta], **probed),
        "saddle_free": lambda: SaddleFreeNewton([theta], lr=lr, damping=state["damping"], krylov_dim=theta.numel()),
    }[method]()


def trajectory(state: dict) -> dict:
    """Points (steps + 1, 2) and losses of one run; cut off where it leaves the radius of the lab's arithmetic."""
    return _run(state, landscape(state), torch.tensor([state["x0"], state["y0"]], dtype=torch.float64))


def many_trajectory(state: dict) -> dict:
    """Every eighth point of one run on a problem of many weights, without noise."""
    loss, _, start = many_weights(state)
    run = _run({**state, "noise": 0.0}, loss, start)
    return {"state": state, "every": 8, "points": run["points"][::8], "diverged": run["diverged"]}


def many_states() -> list[dict]:
    """Every method on both problems, at a bowl and at a saddle; there also moved by hand, and hardly damped."""
    chosen = [s for s in states() if (s["landscape"], s["seed"]) in (("bowl", 7), ("quadratic", 1))]
    plain = [{**state, "many": many} for state in chosen for many in MOVED]
    moved = [{**state, **MOVED[state["many"]]} for state in plain if state["landscape"] == "quadratic"]
    undamped = [{**state, "damping": 1e-4} for state in plain if state["landscape"] == "quadratic"]
    return plain + moved + undamped


def _run(state: dict, loss: Loss, start: Tensor) -> dict:
    (method,) = state["methods"]
    theta = start.clone().requires_grad_()
    dense = method in ("newton", "equilibration") or (method == "jacobi" and state["curvature"] == "exact")
    optimizer = None if dense else _optimizer(method, theta, state)
    points, losses = [theta.tolist()], [loss(theta).item()]
    for t in range(state["steps"]):
        noise = torch.zeros_like(start)
        if state["noise"]:
            factor = _noise_factor(state["noise_shape"], loss, theta.detach())
            noise = state["noise"] * factor @ torch.tensor(draw_noise(state["seed"], t), dtype=torch.float64)
        if dense:
            gradient = torch.func.grad(loss)(theta.detach()) + noise
            step = _dense_step(method, state, loss)(theta.detach(), gradient)
            with torch.no_grad():
                theta -= state[f"lr_{method}"] * step
        else:
            optimizer.zero_grad()
            value = loss(theta) + noise @ theta  # a linear term: noise in the gradient, none in the Hessian
            if hasattr(optimizer, "probe"):
                value = optimizer.probe(value)
            value.backward()
            optimizer.step()
        if not float(theta.detach().norm()) < 1e6:
            return {"state": state, "points": points, "losses": losses, "diverged": t + 1}
        points.append(theta.tolist())
        losses.append(loss(theta).item())
    return {"state": state, "points": points, "losses": losses, "diverged": None}


def _noise_factor(shape: str, loss: Loss, theta: Tensor) -> Tensor:
    """A square root of the noise's covariance, shape (2, 2)."""
    if shape in SHAPES:
        return torch.diag(torch.tensor(SHAPES[shape], dtype=torch.float64))
    eigenvalues, vectors = torch.linalg.eigh(torch.func.hessian(loss)(theta))
    return (vectors * eigenvalues.abs() ** POWERS[shape]) @ vectors.T


def derivatives() -> list[dict]:
    """Value, gradient and Hessian of every landscape at a few points, by autograd."""
    found = []
    for name in LANDSCAPES:
        state = {"landscape": name, **STARTS[name]}
        loss = landscape(state)
        for index in range(5):
            point = torch.tensor(draw_noise(99, index), dtype=torch.float64)
            found.append(
                {
                    "state": state,
                    "point": point.tolist(),
                    "value": float(loss(point)),
                    "gradient": torch.func.grad(loss)(point).tolist(),
                    "hessian": torch.func.hessian(loss)(point).tolist(),
                }
            )
    return found


def draws() -> dict:
    """A few probes and noises, for a direct look at the generator."""
    pairs = [(seed, index) for seed in (0, 1, 999) for index in (0, 1, 2, 1000)]
    return {
        kind: [{"seed": s, "index": i, "pair": list(draw_probe(kind, s, i))} for s, i in pairs]
        for kind in ("rademacher", "gaussian")
    } | {"noise": [{"seed": s, "index": i, "pair": list(draw_noise(s, i))} for s, i in pairs]}


def documents() -> dict[str, object]:
    """What belongs into each golden file."""
    runs = [trajectory(state) for state in states()]
    files: dict[str, object] = {
        name: [run for run in runs if run["state"]["landscape"] == name] for name in LANDSCAPES
    }
    scenes = [item | trajectory(item["state"]) for item in presets()]
    many = [many_trajectory(state) for state in many_states()]
    noise = [trajectory(state) for state in noisy_states()]
    return files | {"derivatives": derivatives(), "draws": draws(), "scenes": scenes, "many": many, "noise": noise}


def main() -> int:
    torch.set_num_threads(1)
    FOLDER.mkdir(exist_ok=True)
    stale = []
    for name, content in documents().items():
        text = json.dumps(content, separators=(",", ":"))
        text = text.replace('{"state"', '\n{"state"').replace('{"scene"', '\n{"scene"') + "\n"
        path = FOLDER / f"{name}.json"
        if "--check" in sys.argv:
            if not path.exists() or path.read_text() != text:
                stale.append(path.name)
        else:
            path.write_text(text)
    if stale:
        print(f"not current: {', '.join(stale)}: run python tests/lab/make_golden.py", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    raise SystemExit(main())
