"""Why does ESGD's loss jump after 265 epochs of MNIST? The recorded run's own snapshots, and continuations of it.

    esgd train mnist …  # the two runs to 300 epochs, with --snapshot-every 10 (their commands: fig5/mnist)
    python benchmarks/late_jump.py

First, of each layer and of every ten epochs of the two long runs: the unit whose incoming weights moved most,
with its diagonal before and after (``units.csv``). Then the run goes on from its snapshot of epoch 260, ten
epochs, one change at a time and two draws of batches and probes each: a larger damping, and a mean that forgets
(``arms.csv``). The accumulator is made again from the snapshot's √(D/k), so the first arm repeats the record up
to rounding, not to the bit. A finished arm is kept in ``ESGD_RUNS``; several processes share them.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from itertools import product
from typing import Any

import torch
from _recorded import RESULTS, recorded_run
from _sleep import looked_at
from torch import Tensor
from tqdm import tqdm

from esgd import ESGD
from esgd.config import RunConfig
from esgd.data import Dataset
from esgd.errors import DataError
from esgd.measure import saturated_share, sigmoid_activations
from esgd.provenance import now, pick_device, provenance
from esgd.runs import RunBusyError, RunFolder, read_csv, write_csv
from esgd.snapshots import Snapshot, list_snapshots, load_snapshot
from esgd.train import Training
from esgd.workload import workload

START, EPOCHS = 260, 10
SEEDS = (0, 1)
CHANGES: tuple[dict[str, float], ...] = (
    {"damping": 1e-4},
    {"damping": 1e-3},
    {"damping": 1e-2},
    {"damping": 1e-4, "beta": 0.99},
)
UNIT_COLUMNS = (
    *("run", "method", "epoch", "layer", "unit", "moved", "median_moved", "diagonal", "typical", "after"),
    *("next_moved", "out_moved", "out_next", "out_share", "out_diagonal", "awake", "asleep", "constant"),
)
CONSTANT = 0.01  # range of a sigmoid over the images below which it says the same of all
ARM_COLUMNS = (
    *("run", "seed", "method", "epoch", "step", "loss", "squared_error", "damping", "beta"),
    *("layer", "unit", "moved", "next_moved", "median_moved", "diagonal", "typical"),
)


def long_run(method: str) -> RunFolder:
    """The folder of seed 0 of a method, trained to 300 epochs with snapshots.

    Raises:
        DataError: it is not there; the message has the command that makes it.
    """
    recorded = recorded_run(method, 0)
    folder = RunFolder(recorded["run"])
    if START not in list_snapshots(folder):
        command = recorded["command"]
        if "--snapshot-every" not in command:  # records of before commands carried it
            command += " --snapshot-every 10"
        raise DataError(f"no snapshot of epoch {START} in {folder.path}: run `{command}` first")
    return folder


def busiest_units(
    before: dict[str, Tensor], after: dict[str, Tensor], diagonal: dict[str, Tensor]
) -> Iterator[dict]:
    """Of each layer the unit whose incoming weights moved most.

    Args:
        before: the weights, by parameter name.
        after: the same, later.
        diagonal: the preconditioner's undamped diagonal at the earlier moment, by parameter name.

    Yields:
        The layer, the unit, the norm of its move, that of the next unit and the layer's median, the median of its
        diagonal entries and the median of those medians over the layer.
    """
    for name in before:
        if before[name].dim() != 2:
            continue
        moves = (after[name] - before[name]).norm(dim=1)
        entries = diagonal[name].median(dim=1).values
        unit = int(moves.argmax())
        yield {
            "layer": name.removesuffix(".weight"), "unit": unit, "moved": moves[unit].item(),
            "next_moved": moves.topk(2).values[1].item(), "median_moved": moves.median().item(),
            "diagonal": entries[unit].item(), "typical": entries.median().item(),
        }  # fmt: skip


def of_unit(row: dict[str, Any], earlier: Snapshot, later: Snapshot) -> dict[str, Any]:
    """How the weights that leave a hidden unit moved, next to all weights of the layer that they enter."""
    names = [name for name in earlier.preconditioner if name.endswith(".weight")]
    name = names[names.index(f"{row['layer']}.weight") + 1]
    then, present = (dict(moment.net.named_parameters())[name].detach() for moment in (earlier, later))
    moves = (present - then).norm(dim=0)
    return {
        "out_moved": moves[row["unit"]].item(), "out_next": moves.topk(2).values[1].item(),
        "out_share": (moves[row["unit"]].square() / moves.square().sum()).item(),
        "out_diagonal": earlier.preconditioner[name][:, row["unit"]].median().item(),
    }  # fmt: skip


def units(folder: RunFolder, images: Tensor) -> list[dict[str, Any]]:
    """The busiest unit of each layer between every two neighbouring snapshots of a run.

    For a hidden sigmoid also what became of the weights that leave it, the share of ``images`` on which it was not
    saturated at the earlier of the two, and how many units of its layer were saturated on all of them, and how many
    of these gave one and the same value.
    """
    rows = []
    earlier: Snapshot | None = None
    for epoch, path in tqdm(list_snapshots(folder).items(), desc=folder.name):
        snapshot = load_snapshot(path)
        if earlier is not None and earlier.preconditioner is not None:
            then, present = (dict(moment.net.named_parameters()) for moment in (earlier, snapshot))
            active = sigmoid_activations(earlier.net, images)
            with torch.no_grad():
                for row in busiest_units(then, present, earlier.preconditioner):
                    after = snapshot.preconditioner[f"{row['layer']}.weight"][row["unit"]].median().item()
                    if row["layer"] in active:
                        a = active[row["layer"]]
                        share, spread = saturated_share(a), a.amax(dim=0) - a.amin(dim=0)
                        row |= of_unit(row, earlier, snapshot)
                        row |= {
                            "awake": 1 - share[row["unit"]].item(), "asleep": int((share == 1).sum()),
                            "constant": int(((share == 1) & (spread < CONSTANT)).sum()),
                        }  # fmt: skip
                    about = {"run": folder.name, "method": snapshot.config.method, "epoch": epoch}
                    rows.append(about | row | {"after": after})
        earlier = snapshot
    return rows


def continued(snapshot: Snapshot, data: Dataset, change: dict[str, float], seed: int) -> Training:
    """The run as it was at the snapshot, with one thing changed and a draw of batches and probes of its own."""
    damping, beta = change["damping"], change.get("beta")
    settings = snapshot.config.settings() | {"damping": damping, "seed": seed}
    config = RunConfig(**settings, epochs=snapshot.epoch + EPOCHS)
    training = Training(config, data, name=f"mnist-late-jump-damping{damping:g}-beta{beta or 1:g}-seed{seed}")
    training.net.load_state_dict(snapshot.net.state_dict())
    training.optimizer = optimizer = ESGD(
        training.net.parameters(), lr=config.lr, damping=damping, beta=beta, update_every=config.update_every,
        warmup_probes=config.warmup_probes, seed=seed,
    )  # fmt: skip
    # probes: the warm-up's at step 0, then one every so many steps, of which that of this step is still to come
    products = config.warmup_probes - 1 + snapshot.step // config.update_every
    weight = float(products) if beta is None else min(products, 1 / (1 - beta))
    for name, p in training.net.named_parameters():
        mean = snapshot.preconditioner[name].to(p.device).square()
        optimizer.state[p] = {"curvature": mean * weight, "weight": torch.tensor(weight, device=p.device)}
    clock = {"step": snapshot.step, "next_probe": snapshot.step, "interval": config.update_every}
    optimizer.param_groups[0].update(clock, probe_index=products)
    training.epoch, training.step = snapshot.epoch, snapshot.step
    return training


def train_arm(training: Training, change: dict[str, float]) -> list[dict[str, Any]]:
    """One row an epoch: the loss, and the unit of all layers that moved most, against its layer's median."""
    rows = []
    for _ in tqdm(range(EPOCHS), desc=training.name):
        before = {name: p.detach().clone() for name, p in training.net.named_parameters()}
        diagonal = {name: training.optimizer.diagonal(p).clone() for name, p in training.net.named_parameters()}
        training.loss_sum = 0.0
        training.train_epoch()
        entry = training.record()
        with torch.no_grad():
            busiest = max(
                busiest_units(before, dict(training.net.named_parameters()), diagonal), key=lambda r: r["moved"]
            )
        rows.append({key: entry[key] for key in ARM_COLUMNS if key in entry} | change | busiest)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="auto")
    parser.add_argument("--no-record", action="store_true", help="train, but leave results/ alone")
    options = parser.parse_args()
    folders = [long_run(method) for method in ("esgd", "rmsprop")]
    device = pick_device(options.device)
    snapshot = load_snapshot(list_snapshots(folders[0])[START], device=device)
    data = workload("mnist").data(device=device, dtype=torch.float32)
    arms, busy = [], []
    for seed, change in product(SEEDS, CHANGES):
        training = continued(snapshot, data, change, seed)
        arm = RunFolder(training.name)
        try:
            with arm.locked():
                if not arm.manifest():
                    started = now()
                    write_csv(arm.records, train_arm(training, change), ARM_COLUMNS)
                    arm.write_manifest(
                        {
                            "run": arm.name, "command": "python benchmarks/late_jump.py",
                            "config": training.config.settings() | {"beta": change.get("beta")},
                            "begins": {"run": folders[0].name, "epoch": START},
                            "epochs_done": training.epoch, "started": started, "ended": now(),
                            **provenance(device),
                        }
                    )  # fmt: skip
            arms.append(arm)
        except RunBusyError:
            busy.append(arm.name)
    for arm in arms:
        rows = read_csv(arm.records)
        print(f"{arm.name:52}{rows[-1]['loss']:8.2f}  largest move of a unit {max(r['moved'] for r in rows):8.1f}")
    if busy:
        print(f"not recorded yet, another process is at it: {', '.join(busy)}. Run the command again")
    elif not options.no_record:
        out = RunFolder("mnist-jump", RESULTS)
        moved = [row for folder in folders for row in units(folder, looked_at())]
        write_csv(out.path / "units.csv", moved, UNIT_COLUMNS)
        rows = [{key: row.get(key) for key in ARM_COLUMNS} for arm in arms for row in read_csv(arm.records)]
        write_csv(out.path / "arms.csv", rows, ARM_COLUMNS)
        long = [folder.manifest() | {"recorded_epochs": max(list_snapshots(folder))} for folder in folders]
        out.write_manifest(
            {
                "command": "python benchmarks/late_jump.py", "exported": now(),
                "runs": [*long, *(arm.manifest() for arm in arms)],
            }
        )  # fmt: skip


if __name__ == "__main__":
    main()
