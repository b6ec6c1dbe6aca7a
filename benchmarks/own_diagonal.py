"""Why is ESGD's own D far from D_E on MNIST: because each product is of a minibatch, or because the mean remembers?

    esgd train mnist …  # the runs, with --snapshot-every 10 (their commands: fig5/mnist and fig5/mnist-awake)
    python benchmarks/own_diagonal.py

At snapshots of the recorded ESGD run of seed 0, and of the one with a larger damping, three diagonals stand side
by side. ``own``, the √(D/k) that the run divides by: products of past weights, each of a minibatch. ``fresh``: the
same mean made anew with the weights held still, one product of each minibatch of the coming epoch, so that nothing
is of the past. ``equilibration``: D_E of the sample that ``esgd measure`` takes, by the same probes. What parts
``fresh`` from D_E is the minibatches' doing; what parts ``own`` from ``fresh`` is memory. Recorded in
``results/fig4/mnist-own``; a snapshot that is measured is kept in ``ESGD_RUNS``.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import torch
from _recorded import recorded_run
from awake import calmed
from torch import Tensor
from tqdm import tqdm

from esgd.checkpoint import checkpoint_digest
from esgd.config import RunConfig
from esgd.distances import cosine_distance
from esgd.errors import DataError
from esgd.estimate import Estimate, RunningMoments
from esgd.estimators import diagonals
from esgd.files import atomic_write
from esgd.flat import VectorSpace
from esgd.half_samples import Groups
from esgd.hvp import hvp
from esgd.measure import MeasureConfig, sample_indices
from esgd.measure_export import origin
from esgd.operator import HessianOperator
from esgd.paths import runs_dir
from esgd.probes import draw
from esgd.provenance import now, pick_device, provenance
from esgd.runs import RunFolder, write_csv
from esgd.seeding import batch_order
from esgd.snapshots import Snapshot, list_snapshots, load_snapshot, require_of_run
from esgd.workload import workload

RESULTS = Path(__file__).parent.parent / "results" / "fig4"
EPOCHS = {1e-4: (10, 50, 100, 200, 260, 300), 1e-2: (10, 50, 100, 200, 300)}
PAIRS = (("own", "equilibration"), ("fresh", "equilibration"), ("own", "fresh"))
COLUMNS = ("run", "method", "damping", "epoch", "quantity", "a", "b", "value", "stderr")
FRESH_SEED = 1  # of the probes of the fresh mean; those of D_E are of seed 0


def fresh_mean(snapshot: Snapshot, data: Any, space: VectorSpace) -> Estimate:
    """Mean of (H_b v)² over one product of each minibatch that the run sees next, at weights held still."""
    task, params = workload(snapshot.config.workload), space.params
    order = batch_order(len(data), snapshot.config.seed, snapshot.epoch).to(space.device)
    moments = RunningMoments((space.num_params,), space.device, Groups.fitting(space.num_params, torch.float32))
    for i, index in enumerate(order.split(snapshot.config.batch_size)):
        batch = data.images[index]
        v = draw("rademacher", params, FRESH_SEED, i)
        moments.add(space.flatten(hvp(task.loss(snapshot.net(batch), batch), params, v)).square())
    return moments.estimate()


def measure(snapshot: Snapshot, data: Any, probes: int) -> list[dict[str, Any]]:
    """All rows of one snapshot."""
    task, net = workload(snapshot.config.workload), snapshot.net
    config = MeasureConfig(probes=probes)
    images = data.images[sample_indices(data, config)[0].to(data.images.device)]

    def loss(batch: Tensor) -> Tensor:
        return task.loss(net(batch), batch)

    operator = HessianOperator(loss, net.named_parameters(), images.split(config.batch_size))
    space = operator.space
    vectors: dict[str, Any] = {
        "own": space.flatten([snapshot.preconditioner[n] for n in space.names]),
        "fresh": fresh_mean(snapshot, data, space).sqrt(),
        "equilibration": diagonals(operator, probes).diag_squared.sqrt(),
    }
    about = {
        "run": snapshot.run,
        "method": snapshot.config.method,
        "damping": snapshot.config.damping,
        "epoch": snapshot.epoch,
    }
    rows = []
    for a, b in PAIRS:
        found = cosine_distance(vectors[a], vectors[b])
        rows.append({**about, "quantity": "cosine", "a": a, "b": b, "value": found.value, "stderr": found.stderr})
    for a, u in vectors.items():
        rms = getattr(u, "value", u).double().square().mean().sqrt().item()
        rows.append({**about, "quantity": "rms", "a": a, "b": "", "value": rms, "stderr": 0.0})
    return rows


def measured(
    folder: RunFolder, epoch: int, data: Any, probes: int, device: torch.device, kept: Path
) -> dict[str, Any]:
    """The record of one snapshot, from the file that is kept of it where there is one, of the same weights."""
    settings = {**MeasureConfig(probes=probes).settings(), "fresh_seed": FRESH_SEED}
    path = kept / f"{folder.name}-epoch{epoch:05d}.json"
    snapshots = list_snapshots(folder)
    there = checkpoint_digest(snapshots[epoch], kind="snapshot") if epoch in snapshots else None
    record = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    same = there is None or record.get("snapshot_sha256", there) == there  # older records do not tell it
    if record.get("settings") == settings and same:
        return record
    if epoch not in snapshots:
        raise DataError(
            f"{folder.name} has no snapshot of epoch {epoch} in {folder.path}: train it with --snapshot-every 10"
        )
    started = now()
    snapshot = load_snapshot(snapshots[epoch], device=device)
    require_of_run(snapshot, folder)
    rows = measure(snapshot, data, probes)
    about = {"settings": settings, "snapshot_sha256": snapshot.sha256, **provenance(device)}
    record = {**about, "started": started, "ended": now(), "rows": rows}
    atomic_write(path, json.dumps(record) + "\n")
    return record


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--probes", type=int, default=100, help="products for D_E")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--no-record", action="store_true", help="print, but leave results/ alone")
    options = parser.parse_args()
    device = pick_device(options.device)
    data = workload("mnist").data(device=device, progress=False)
    kept = runs_dir() / "mnist-own-diagonal"
    kept.mkdir(parents=True, exist_ok=True)
    configs = {1e-4: RunConfig.from_dict(recorded_run("esgd", 0)["config"]), 1e-2: calmed(0, 300)}
    folders = {damping: RunFolder(config.name()) for damping, config in configs.items()}
    records = [
        measured(folder, epoch, data, options.probes, device, kept)
        for damping, folder in folders.items()
        for epoch in tqdm(EPOCHS[damping], desc=folder.name, unit="snapshot")
    ]
    rows = [row for record in records for row in record["rows"]]
    for row in rows:
        if row["quantity"] == "cosine":
            print(
                f"damping {row['damping']:g}  epoch {row['epoch']:3d}  {row['a']} to {row['b']}: {row['value']:.3f}"
            )
    if options.no_record:
        return
    out = RunFolder("mnist-own", RESULTS)
    out.path.mkdir(parents=True, exist_ok=True)
    write_csv(out.path / "distances.csv", rows, COLUMNS)
    command = "python benchmarks/own_diagonal.py" + ("" if options.probes == 100 else f" --probes {options.probes}")
    runs = [folder.manifest() for folder in folders.values()]
    out.write_manifest({"command": command, **origin(records), "runs": runs})


if __name__ == "__main__":
    main()
