"""Does a damping of 1e-2 keep ESGD's net awake on MNIST, and where is it then beside RMSProp?

    python benchmarks/awake.py [--epochs 300 100 100] [--device cuda]

The recorded ESGD runs of Figure 5 once more, each with its seed, rate and batches, but with the damping that §6 of
the paper recommends in place of the 1e-4 that was the best of §7's range. The runs are ordinary ones, kept in
``ESGD_RUNS`` and gone on with after a kill. What is recorded goes to ``results/fig5/mnist-awake``: the losses, and
every ten epochs how many units of each sigmoid layer are saturated on all of 10,000 images (``asleep.csv``).
"""

from __future__ import annotations

import argparse
from dataclasses import replace

from _recorded import recorded_run
from _sleep import asleep, export, looked_at
from tqdm import tqdm

from esgd.config import RunConfig
from esgd.resumable import train_in_folder
from esgd.runs import RunFolder, read_csv
from esgd.snapshots import list_snapshots

DAMPING = 1e-2
EPOCHS = (300, 100, 100)  # of seeds 0, 1 and 2, as far as the recorded runs went
EVERY = 10


def calmed(seed: int, epochs: int) -> RunConfig:
    """The settings of the recorded ESGD run of a seed, but for the damping and the length."""
    return replace(RunConfig.from_dict(recorded_run("esgd", seed)["config"]), damping=DAMPING, epochs=epochs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, nargs="+", default=EPOCHS, help="of seeds 0, 1, …")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--no-record", action="store_true", help="print, but leave results/ alone")
    options = parser.parse_args()
    configs = [calmed(seed, epochs) for seed, epochs in enumerate(options.epochs)]
    folders = [RunFolder(config.name()) for config in configs]
    for config, folder in zip(configs, folders, strict=True):
        train_in_folder(config, folder, device=options.device, checkpoint_every=5, snapshot_every=EVERY)
    images = looked_at()
    looks = [(folder, epoch) for folder in folders for epoch in sorted(list_snapshots(folder)) if epoch]
    sleepers = {(f.name, epoch): asleep(f, epoch, images) for f, epoch in tqdm(looks, desc="asleep", unit="look")}
    for folder in folders:
        losses = {row["epoch"]: row["loss"] for row in read_csv(folder.records)}
        for epoch in (e for name, e in sleepers if name == folder.name and e in (10, 50, 100, 200, 300)):
            count = sum(row["asleep"] for row in sleepers[folder.name, epoch])
            print(f"{folder.name}  epoch {epoch:3d}{losses[epoch]:8.2f}{count:6d} units asleep")
    if not options.no_record:
        lengths = "" if tuple(options.epochs) == EPOCHS else f" --epochs {' '.join(map(str, options.epochs))}"
        rows = [row for found in sleepers.values() for row in found]
        export("mnist-awake", f"python benchmarks/awake.py{lengths}", folders, rows)


if __name__ == "__main__":
    main()
