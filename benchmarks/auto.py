"""What ``update_every="auto"`` costs in statistics: is its D as near to the truth, and its loss as low?

    python benchmarks/auto.py [--seeds 5]

A deep autoencoder of the packaged digits (784-250-100-30, mirrored) is trained for 1,000 steps at batch 200 with
ESGD's defaults, once with a product every 20 steps, once with ``"auto"``, and once at a constant interval that
takes as many products as ``"auto"`` did. At marked steps the true D_E is measured anew with many products, each of
its own batch and its own v: √E[(H v)²] at that very point, which is what the optimizer's running mean stands for.
Recorded are

* the log-dispersion of √(D/k) + λ, by which the step divides, to D_E + λ, and how much of it is the noise of the
  reference alone (from its two halves);
* the same of √(D/k) to D_E, over the entries that are not zero in either;
* the loss on all training images.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from scipy.stats import t
from torch import Tensor
from tqdm import tqdm

from esgd import ESGD
from esgd.data import load
from esgd.distances import log_dispersion
from esgd.hvp import hvp
from esgd.nets import Autoencoder, reconstruction_loss
from esgd.probes import draw
from esgd.provenance import now, provenance
from esgd.runs import RunFolder, write_csv
from esgd.seeding import batch_order, named_generator

RESULTS = Path(__file__).parent.parent / "results" / "auto"
SIZES = (784, 250, 100, 30)
BATCH = 200
MARKS = (100, 300, 600, 1000)  # steps at which is measured; the last ends the run
FIRST_SEED = 10  # those below were used while the rule was being chosen
REFERENCE = 200  # products in each measurement of the true D_E
DEFAULTS = ESGD([torch.zeros(1)]).defaults
COLUMNS = (
    "update_every",
    "seed",
    "step",
    "products",
    "interval",
    "loss",
    "damped_log_dispersion",
    "damped_noise",
    "log_dispersion",
    "noise",
)


def batches(images: Tensor, seed: int) -> Iterator[Tensor]:
    """Batches without end, an epoch after the other."""
    epoch = 0
    while True:
        for index in batch_order(len(images), seed, epoch).split(BATCH):
            yield images[index]
        epoch += 1


def reference(net: Autoencoder, images: Tensor, seed: int) -> tuple[Tensor, Tensor]:
    """Mean of (H v)² over two halves of :data:`REFERENCE` fresh products, shape (N,) each."""
    params = list(net.parameters())
    order = named_generator("auto reference", seed)
    halves = [torch.zeros(sum(p.numel() for p in params)) for _ in range(2)]
    for i in range(REFERENCE):
        x = images[torch.randint(len(images), (BATCH,), generator=order)]
        product = hvp(reconstruction_loss(net(x), x), params, draw("rademacher", params, 10**6 + seed, i))
        halves[i % 2] += torch.cat([h.flatten() for h in product]).square()
    return halves[0] / (REFERENCE // 2), halves[1] / (REFERENCE // 2)


def dispersions(optimizer: ESGD, net: Autoencoder, images: Tensor, seed: int) -> dict[str, float]:
    """How far the optimizer's D is from the true one, and how much of that is the reference's own noise."""
    mine = torch.cat([optimizer.diagonal(p).flatten() for p in net.parameters()])
    first, second = reference(net, images, seed)
    truth, first, second = ((first + second) / 2).sqrt(), first.sqrt(), second.sqrt()
    damping = optimizer.param_groups[0]["damping"]
    live = (mine > 0) & (first > 0) & (second > 0)

    def between(a: Tensor, b: Tensor) -> float:
        return log_dispersion(a, b).value

    return {  # a mean of two halves has half their distance
        "damped_log_dispersion": between(mine + damping, truth + damping),
        "damped_noise": between(first + damping, second + damping) / 2,
        "log_dispersion": between(mine[live], truth[live]),
        "noise": between(first[live], second[live]) / 2,
    }


@torch.no_grad()
def full_loss(net: Autoencoder, images: Tensor) -> float:
    """Loss on all images."""
    return sum(reconstruction_loss(net(x), x).item() * len(x) for x in images.split(2000)) / len(images)


def run(
    update_every: int | str, seed: int, images: Tensor, label: str | None = None, probe: str = DEFAULTS["probe"]
) -> list[dict]:
    """One training run; a row a mark."""
    net = Autoencoder(SIZES, seed=seed)
    optimizer = ESGD(net.parameters(), update_every=update_every, seed=seed, probe=probe)
    rows = []
    stream = batches(images, seed)
    for step in range(1, MARKS[-1] + 1):
        x = next(stream)
        optimizer.zero_grad()
        optimizer.probe(reconstruction_loss(net(x), x)).backward()
        optimizer.step()
        if step in MARKS:
            rows.append(
                {
                    "update_every": update_every if label is None else label,
                    "seed": seed,
                    "step": step,
                    "products": optimizer.num_products,
                    "interval": optimizer.param_groups[0]["interval"],
                    "loss": full_loss(net, images),
                    **dispersions(optimizer, net, images, seed),
                }
            )
    return rows


def equal_cost(products: int) -> int:
    """The constant interval that takes about as many products in a run, after the same warm-up."""
    return max(1, round(MARKS[-1] / max(1, products - DEFAULTS["warmup_probes"] + 1)))


def summary(rows: list[dict], labels: Sequence[str] = ("auto", "equal cost")) -> dict[str, dict[str, float]]:
    """At the last mark, against period 20 with the same seed: mean difference and half of its 90 % band."""
    last = {(r["update_every"], r["seed"]): r for r in rows if r["step"] == MARKS[-1]}
    seeds = sorted({seed for _, seed in last})
    found = {}
    for label in labels:
        entry = {}
        for column in ("loss", "damped_log_dispersion", "log_dispersion"):
            differences = [float(last[label, s][column] - last[20, s][column]) for s in seeds]
            mean = sum(differences) / len(seeds)
            deviation = math.sqrt(sum((d - mean) ** 2 for d in differences) / max(1, len(seeds) - 1))
            entry[column] = mean
            entry[f"{column}_band"] = t.ppf(0.95, len(seeds) - 1) * deviation / math.sqrt(len(seeds))
        found[label] = entry
    return found


def report(rows: list[dict], difference: dict[str, dict[str, float]]) -> None:
    """Print the rows, and how the others differ from period 20."""
    for r in rows:
        print("  ".join(f"{r[c]:.4f}" if isinstance(r[c], float) else f"{r[c]!s:>10}" for c in COLUMNS))
    for label, entry in difference.items():
        print(f"{label} minus period 20 after {MARKS[-1]} steps:")
        for column in ("loss", "damped_log_dispersion", "log_dispersion"):
            print(f"  {column:24}{entry[column]:+8.4f} ± {entry[f'{column}_band']:.4f}")


def record(
    folder: Path, command: str, rows: list[dict], difference: dict[str, dict[str, float]], started: str
) -> None:
    """Write the rows and where they come from."""
    folder.mkdir(parents=True, exist_ok=True)
    write_csv(folder / "runs.csv", rows, columns=COLUMNS)
    RunFolder(folder.name, folder.parent).write_manifest(
        {
            "command": command,
            "sizes": SIZES,
            "batch": BATCH,
            "reference_products": REFERENCE,
            "settings": {k: DEFAULTS[k] for k in ("lr", "damping", "warmup_probes")},
            "started": started,
            "ended": now(),
            **provenance(torch.device("cpu")),
            "difference_from_20": difference,
        }
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5, choices=range(2, 100), metavar="N")
    parser.add_argument("--no-record", action="store_true", help="print, but leave results/ alone")
    options = parser.parse_args()
    images = load("mnist-10k").images
    started, rows = now(), []
    for seed in tqdm(range(FIRST_SEED, FIRST_SEED + options.seeds), desc="seeds", disable=None):
        mine = run("auto", seed, images)
        rows += run(20, seed, images) + mine
        rows += run(equal_cost(mine[-1]["products"]), seed, images, "equal cost")
    report(rows, summary(rows))
    if not options.no_record:
        record(RESULTS, "python benchmarks/auto.py", rows, summary(rows), started)


if __name__ == "__main__":
    main()
