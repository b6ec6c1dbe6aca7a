"""Why are the steps of D_E and √v more alike on the whole training set than on a sample? By weight and by damping.

    python benchmarks/step_similarity.py [RUN …] [--epoch 100] [--probes 20]

At a snapshot of a recorded run (default: every run with a preconditioner on CURVES that has one of that epoch), D_E
is estimated on the sample that `esgd measure` takes, on another sample of that size, and on the whole training set,
by the same probes; √v is the root second moment of the gradients of all minibatches. The steps g/(D_E + λ) and
g/(√v + λ) of eight minibatch gradients are compared: over all weights at several dampings, over the weights of each
layer, and without those whose D_E the sample reads far too small. Recorded in ``results/fig4/curves-steps``.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from esgd.estimators import diagonals
from esgd.measure import DAMPING, MeasureConfig, sample_indices
from esgd.operator import HessianOperator
from esgd.paths import runs_dir
from esgd.provenance import now, pick_device, provenance
from esgd.runs import RunFolder, list_runs, write_csv
from esgd.seeding import batch_order
from esgd.snapshots import list_snapshots, load_snapshot
from esgd.workload import workload

RESULTS = Path(__file__).parent.parent / "results" / "fig4"
DAMPINGS = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1)
COMPARED = 8  # minibatch gradients
TOO_SMALL = 0.3  # of the D_E of all examples: below that the sample overlooks a weight
COLUMNS = ("run", "method", "epoch", "by", "group", "weights", "source", "cosine", "energy", "energy_v")


def cosine(a: Tensor, b: Tensor) -> float:
    """Cosine of the angle between two vectors."""
    return (torch.dot(a, b) / (torch.linalg.vector_norm(a) * torch.linalg.vector_norm(b))).item()


def compare(d_e: Tensor, root_v: Tensor, gradients: list[Tensor], damping: float, part: Tensor) -> dict[str, float]:
    """Means over the gradients, on a part of the weights: cosine of the two steps, and the part's share of each."""
    found = []
    for g in gradients:
        one = g / (d_e + damping)
        other = g / (root_v + (DAMPING["rmsprop"] if damping == DAMPING["equilibration"] else damping))
        share = [(s[part].square().sum() / s.square().sum()).item() for s in (one, other)]
        found.append((cosine(one[part], other[part]), *share))
    return dict(zip(("cosine", "energy", "energy_v"), torch.tensor(found).mean(0).tolist(), strict=True))


def measure(folder: RunFolder, epoch: int, probes: int, device: torch.device) -> list[dict[str, Any]]:
    """All rows of one run's snapshot."""
    snapshot = load_snapshot(list_snapshots(folder)[epoch], device=device)
    task, net = workload(snapshot.config.workload), snapshot.net
    data = task.data(device=device, progress=False)
    index = sample_indices(data, MeasureConfig())[0].to(device)
    other = sample_indices(data, MeasureConfig(seed=1))[0].to(device)

    def loss(batch: Tensor) -> Tensor:
        return task.loss(net(batch), batch)

    diagonal = {}
    for source, images in (("sample", data.images[index]), ("another", data.images[other]), ("all", data.images)):
        operator = HessianOperator(loss, net.named_parameters(), images.split(1000))
        diagonal[source] = diagonals(operator, probes).diag_squared.sqrt().value.double()
    space = operator.space
    order = batch_order(len(data), snapshot.config.seed, snapshot.epoch).to(device)
    moment, gradients = torch.zeros(space.num_params, dtype=torch.float64, device=device), []
    batches = order.split(snapshot.config.batch_size)
    for batch in batches:
        g = space.flatten(torch.autograd.grad(loss(data.images[batch]), space.params)).double()
        moment += g.square() / len(batches)
        gradients = [*gradients, g][:COMPARED]
    root_v, everything = moment.sqrt(), torch.ones_like(moment, dtype=torch.bool)
    layers = torch.cat([torch.full((p.numel(),), i, device=device) for i, p in enumerate(space.params)])
    seen = diagonal["sample"] >= TOO_SMALL * diagonal["all"]
    chosen = DAMPING["equilibration"]
    groups = [("damping", f"{damping:g}", damping, everything) for damping in DAMPINGS]
    groups += [("layer", name, chosen, layers == i) for i, name in enumerate(space.names)]
    groups += [("sample", "overlooked", chosen, ~seen), ("sample", "seen", chosen, seen)]
    identity = {"run": snapshot.run, "method": snapshot.config.method, "epoch": epoch}
    return [
        {**identity, "by": by, "group": group, "weights": part.double().mean().item(), "source": source}
        | compare(d_e, root_v, gradients, damping, part)
        for by, group, damping, part in groups
        for source, d_e in diagonal.items()
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="*", help="names of runs with snapshots in ESGD_RUNS")
    parser.add_argument("--epoch", type=int, default=100)
    parser.add_argument("--probes", type=int, default=20)
    parser.add_argument("--device", default="auto")
    options = parser.parse_args()
    device, started, rows = pick_device(options.device), now(), []
    folders = [RunFolder(name, runs_dir()) for name in options.runs] or [
        folder
        for folder in list_runs(runs_dir())
        if folder.name.startswith("curves-")
        and "-sgd-" not in folder.name
        and options.epoch in list_snapshots(folder)
    ]
    if not folders:
        print(f"no run on CURVES has a snapshot of epoch {options.epoch}: `esgd train --snapshot-every` makes them")
        return
    for folder in folders:
        rows += measure(folder, options.epoch, options.probes, device)
        for row in rows:
            if row["run"] == folder.name and row["by"] != "layer":
                print(
                    f"{row['method']:8s} {row['by']:8s} {row['group']:10s} {row['source']:8s} {row['cosine']:.3f}"
                )
    out = RunFolder("curves-steps", RESULTS)
    out.path.mkdir(parents=True, exist_ok=True)
    write_csv(out.path / "steps.csv", rows, COLUMNS)
    settings = f"--epoch {options.epoch} --probes {options.probes}"
    command = f"python benchmarks/step_similarity.py {' '.join(folder.name for folder in folders)} {settings}"
    made = {"command": command, "started": started, "ended": now(), **provenance(device)}
    out.write_manifest(made | {"runs": [folder.manifest() for folder in folders]})


if __name__ == "__main__":
    main()
