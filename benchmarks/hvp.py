"""The cost of one Hessian-vector product against one gradient, for ours and for peers.

    python benchmarks/hvp.py [--net mnist] [--net curves] [--rounds 25] [--no-memory]

Every contender computes on the same batch of 200 images with the paper's autoencoder in float32. The rounds are
interleaved and in random order: in every round each contender runs once between two gradients, and its figure is
the ratio to their mean. Printed are the median over the rounds and a 90 % bootstrap interval of that median.
Memory (on Linux) is the parameters plus how far the resident set of a fresh process grows at its peak, as a ratio
to the same of the gradient. Only ratios are worth quoting.
"""

from __future__ import annotations

import argparse
import gc
import json
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import curvlinops
import torch
from torch import Tensor
from torch.func import functional_call, grad, jvp, vjp

from esgd.data import load
from esgd.files import atomic_write
from esgd.hvp import gradient_with_graph, hvp, product_from_gradient
from esgd.linear_layers import LayerGradient
from esgd.nets import Autoencoder, curves_autoencoder, mnist_autoencoder, reconstruction_loss
from esgd.probes import draw, draw_lazily
from esgd.provenance import now, provenance

RESULT = Path(__file__).parent.parent / "results" / "benchmarks" / "hvp.json"
NETS = {"mnist": mnist_autoencoder, "curves": curves_autoencoder}
DATA = {"mnist": "mnist-10k", "curves": "curves"}
BATCH = 200
SHARED = 8  # probes that share one graph
SUMMED = torch.nn.BCEWithLogitsLoss(reduction="sum")  # curvlinops wants a loss that names its reduction
OURS = "gradient and product, one graph"
LOW_RANK = "gradient and product along a low-rank v"
SIGNS, LOW_RANK_SIGNS = "drawing v, signs", "drawing v, low rank"
TARGETS = {
    net: {OURS: product, LOW_RANK: product, SIGNS: 0.06, LOW_RANK_SIGNS: 0.06}
    for net, product in {"mnist": 2.9, "curves": 2.7}.items()
}


@dataclass(frozen=True)
class Problem:
    """One net with one batch and one vector."""

    net: torch.nn.Module
    params: list[Tensor]
    x: Tensor
    v: list[Tensor]

    def loss(self) -> Tensor:
        """The loss with its graph, as in training."""
        return reconstruction_loss(self.net(self.x), self.x)


def problem(name: str) -> Problem:
    net = NETS[name]()
    params = list(net.parameters())
    return Problem(
        net, params, load(DATA[name], progress=False).images[:BATCH].clone(), draw("rademacher", params, 0, 0)
    )


def gradient(p: Problem) -> Callable[[], object]:
    return lambda: torch.autograd.grad(p.loss(), p.params)


def one_graph(p: Problem) -> Callable[[], object]:
    def run() -> object:
        g = gradient_with_graph(p.loss(), p.params)
        return g, product_from_gradient(g, p.params, p.v)

    return run


def low_rank(p: Problem) -> Callable[[], object]:
    v = draw_lazily("low_rank", p.params, 0, 0)

    def run() -> object:
        layers = LayerGradient(p.loss(), p.params, v)
        return layers.gradient, layers.product(v)

    return run


def separate(p: Problem) -> Callable[[], object]:
    return lambda: (torch.autograd.grad(p.loss(), p.params), hvp(p.loss(), p.params, p.v))


def another(p: Problem) -> Callable[[], object]:
    g = gradient_with_graph(p.loss(), p.params)
    return lambda: product_from_gradient(g, p.params, p.v, retain_graph=True)


def shared(p: Problem) -> Callable[[], object]:
    def run() -> object:
        g = gradient_with_graph(p.loss(), p.params)
        return [product_from_gradient(g, p.params, p.v, retain_graph=i + 1 < SHARED) for i in range(SHARED)]

    return run


def batched(p: Problem) -> Callable[[], object]:
    vectors = [torch.stack([v] * SHARED) for v in p.v]

    def run() -> object:
        g = gradient_with_graph(p.loss(), p.params)
        return torch.autograd.grad(g, p.params, vectors, is_grads_batched=True)

    return run


def curvlinops_product(p: Problem) -> Callable[[], object]:
    operator = curvlinops.HessianLinearOperator(
        p.net, SUMMED, p.params, [(p.x, p.x)], check_deterministic=False, num_data=len(p.x)
    )
    return lambda: operator @ p.v


def _functional(p: Problem) -> tuple[Callable, dict[str, Tensor], dict[str, Tensor]]:
    weights = {k: w.detach() for k, w in p.net.named_parameters()}
    vectors = dict(zip(weights, p.v, strict=True))
    return grad(lambda w: reconstruction_loss(functional_call(p.net, w, (p.x,)), p.x)), weights, vectors


def func_jvp(p: Problem) -> Callable[[], object]:
    f, weights, vectors = _functional(p)
    return lambda: jvp(f, (weights,), (vectors,))


def func_vjp(p: Problem) -> Callable[[], object]:
    f, weights, vectors = _functional(p)

    def run() -> object:
        value, pull = vjp(f, weights)
        return value, pull(vectors)

    return run


def drawn_in_parts(p: Problem) -> None:
    """All parts of v, each let go before the next."""
    for _ in draw_lazily("rademacher", p.params, 0, 1):
        pass


CONTENDERS: dict[str, Callable[[Problem], Callable[[], object]]] = {
    OURS: one_graph,
    LOW_RANK: low_rank,
    "gradient, then hvp() with its own graph": separate,
    "one more product from a graph": another,
    f"{SHARED} products from one graph, a product": shared,
    f"{SHARED} products by is_grads_batched, a product": batched,
    "curvlinops HessianLinearOperator": curvlinops_product,
    "torch.func jvp of grad": func_jvp,
    "torch.func vjp of grad": func_vjp,
    SIGNS: lambda p: lambda: draw("rademacher", p.params, 0, 1),
    "drawing v, signs, part by part as ESGD does": lambda p: lambda: drawn_in_parts(p),
    LOW_RANK_SIGNS: lambda p: lambda: draw_lazily("low_rank", p.params, 0, 1),
    "drawing v, normal": lambda p: lambda: draw("gaussian", p.params, 0, 1),
}
PEERS = ("curvlinops HessianLinearOperator", "torch.func jvp of grad", "torch.func vjp of grad")


def agree(name: str) -> None:
    """All contenders compute the same product, or the comparison means nothing."""
    p = problem(name)
    flat = [h.flatten() for h in hvp(p.loss(), p.params, p.v)]
    expected = torch.cat(flat)
    along = torch.cat([h.flatten() for h in hvp(p.loss(), p.params, draw("low_rank", p.params, 0, 0))])
    mine = torch.cat([h.flatten() for h in low_rank(p)()[1]])
    if torch.linalg.vector_norm(mine - along) > 1e-4 * torch.linalg.vector_norm(along):
        raise SystemExit(f"the product along a low-rank v differs on {name} from that along its entries")
    for label, pick in (
        ("curvlinops HessianLinearOperator", list),
        *((c, lambda r: list(r[1].values())) for c in PEERS[1:2]),
    ):
        got = torch.cat([h.flatten() for h in pick(CONTENDERS[label](p)())])
        got = got / BATCH if label.startswith("curvlinops") else got  # a sum over examples, ours is their mean
        error = (torch.linalg.vector_norm(got - expected) / torch.linalg.vector_norm(expected)).item()
        if error > 1e-4:
            raise SystemExit(
                f"{label} differs from ours by {error:.1e} on {name}: the benchmark compares unlike things"
            )


def seconds(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def interval(ratios: list[float]) -> tuple[float, float]:
    """A 90 % bootstrap interval of the median."""
    generator = random.Random(0)
    medians = sorted(statistics.median(generator.choices(ratios, k=len(ratios))) for _ in range(1000))
    return medians[50], medians[949]


def time_all(name: str, rounds: int) -> dict[str, dict[str, float]]:
    p = problem(name)
    reference = gradient(p)
    runs = {label: build(p) for label, build in CONTENDERS.items()}
    for run in (reference, *runs.values()):  # warm-up
        run()
        run()
    ratios: dict[str, list[float]] = {label: [] for label in runs}
    order = random.Random(0)
    for _ in range(rounds):
        before = seconds(reference)
        for label in order.sample(list(runs), len(runs)):
            mine = seconds(runs[label])
            after = seconds(reference)
            share = SHARED if label.startswith(f"{SHARED} products") else 1
            ratios[label].append(mine / share / ((before + after) / 2))
            before = after
    result = {}
    for label, values in ratios.items():
        low, high = interval(values)
        result[label] = {"time": statistics.median(values), "low": low, "high": high}
    return result


def peak_of(name: str, label: str) -> float:
    """Bytes above the start at the peak, in a fresh process."""
    command = [sys.executable, __file__, "--child", name, label]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[-1])


def status(field: str) -> int:
    """A field of this process's memory in bytes, as Linux keeps it."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(field)).split()[1]) * 1024


def child(name: str, label: str) -> None:
    """Print how far the resident set grows while one contender runs three times."""
    p = problem(name)
    # the same code on a tiny net first, so that libraries and thread pools are loaded before the count
    net = Autoencoder((784, 8))
    tiny = Problem(net, list(net.parameters()), p.x[:1], draw("rademacher", list(net.parameters()), 0, 0))
    build = gradient if label == "gradient" else CONTENDERS[label]
    build(tiny)()
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
    before = status("VmRSS")
    run = build(p)
    for _ in range(3):
        run()
    print(status("VmHWM") - before)


def memory_all(name: str) -> dict[str, float]:
    """Parameters and peak growth of each contender, over the gradient's."""
    own = 4 * sum(p.numel() for p in NETS[name]().parameters())
    labels = [c for c in CONTENDERS if not c.startswith("drawing")]
    base = own + peak_of(name, "gradient")
    return {label: (own + peak_of(name, label)) / base for label in labels}


def table(name: str, results: dict[str, dict[str, float]]) -> None:
    print(f"\n{name}: ratio to one gradient, batch {BATCH}")
    print(f"{'':48s}{'time':>7s}  {'90 % interval':>15s}  {'memory':>7s}  {'target':>7s}")
    for label, row in results.items():
        memory = f"{row['memory']:7.2f}" if "memory" in row else f"{'':7s}"
        target = TARGETS[name].get(label)
        verdict = "" if target is None else f"≤ {target:<5g} {'met' if row['time'] <= target else 'MISSED'}"
        print(f"{label:48s}{row['time']:7.3f}  [{row['low']:.3f}, {row['high']:.3f}]  {memory}  {verdict}")
    behind = all(results[peer]["time"] > results[OURS]["time"] for peer in PEERS)
    print(f"every peer behind ours: {'yes' if behind else 'NO'}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--net", action="append", choices=NETS, help="may be given twice; default: both")
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument("--no-memory", action="store_true")
    parser.add_argument("--output", type=Path, default=RESULT)
    parser.add_argument("--child", nargs=2, metavar=("NET", "CONTENDER"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(*options.child)
        return
    record = {"start": now(), "command": "python benchmarks/hvp.py", "rounds": options.rounds, "batch": BATCH}
    record["nets"] = {}
    for name in options.net or list(NETS):
        agree(name)
        results = time_all(name, options.rounds)
        if not options.no_memory and sys.platform == "linux":
            for label, ratio in memory_all(name).items():
                results[label]["memory"] = ratio
        table(name, results)
        record["nets"][name] = results
    record |= {"targets": TARGETS, "peers": list(PEERS), "curvlinops": curvlinops_version(), "end": now()}
    record |= provenance(torch.device("cpu"))
    atomic_write(options.output, json.dumps(record, indent=2) + "\n")


def curvlinops_version() -> str:
    from importlib.metadata import version

    return version("curvlinops-for-pytorch")


if __name__ == "__main__":
    main()
