"""Why does ESGD begin so badly on MNIST in the paper's ranges? One cause at a time.

    python benchmarks/damping.py [--device cuda]

The best trial of ESGD's search (rate 0.0359, damping 1e-4) trains the deep autoencoder for five epochs: as it was,
then with a larger damping, with more products before the first step, and with a product four times as often, each
from two nets through the same batches. The runs are ordinary ones, kept in ``ESGD_RUNS`` and gone on with after a
kill. What is recorded goes to ``results/fig5/mnist-damping``: the losses, and how many units of each sigmoid layer
are saturated on all of 10,000 images at the end (``asleep.csv``).
"""

from __future__ import annotations

import argparse
from itertools import product

from _sleep import asleep, export, looked_at

from esgd.config import RunConfig
from esgd.resumable import train_in_folder
from esgd.runs import RunFolder, read_csv
from esgd.search import SEARCH_SEED

EPOCHS = 5
SEEDS = (SEARCH_SEED, SEARCH_SEED + 1)
CHANGES = (
    {"damping": 1e-4},
    {"damping": 1e-3},
    {"damping": 1e-2},
    {"damping": 1e-4, "warmup_probes": 100},
    {"damping": 1e-4, "update_every": 5},
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="auto")
    parser.add_argument("--no-record", action="store_true", help="print, but leave results/ alone")
    options = parser.parse_args()
    folders = []
    for change, seed in product(CHANGES, SEEDS):
        config = RunConfig("mnist", "esgd", lr=0.0359384, epochs=EPOCHS, seed=seed, **change)
        folders.append(RunFolder(config.name()))
        train_in_folder(config, folders[-1], device=options.device, snapshot_every=EPOCHS)
    images = looked_at()
    sleepers = {folder.name: asleep(folder, EPOCHS, images) for folder in folders}
    for folder in folders:
        count = sum(row["asleep"] for row in sleepers[folder.name])
        print(f"{folder.name:60}{read_csv(folder.records)[-1]['loss']:8.2f}{count:6d} units asleep")
    if not options.no_record:
        rows = [row for found in sleepers.values() for row in found]
        export("mnist-damping", "python benchmarks/damping.py", folders, rows)


if __name__ == "__main__":
    main()
