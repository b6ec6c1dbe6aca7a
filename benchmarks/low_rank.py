"""What low-rank probes cost in statistics: is D as near to the truth, and the loss as low, as with signs?

    python benchmarks/low_rank.py [--seeds 5]

The runs, marks and measures are those of ``auto.py``: a deep autoencoder of the packaged digits, 1,000 steps, a
product every 20 steps, once with independent signs and once with ``probe="low_rank"``, from the same nets through
the same batches.
"""

from __future__ import annotations

import argparse

from auto import FIRST_SEED, RESULTS, record, report, run, summary
from tqdm import tqdm

from esgd.data import load
from esgd.provenance import now


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5, choices=range(2, 100), metavar="N")
    parser.add_argument("--no-record", action="store_true", help="print, but leave results/ alone")
    options = parser.parse_args()
    images = load("mnist-10k").images
    started, rows = now(), []
    for seed in tqdm(range(FIRST_SEED, FIRST_SEED + options.seeds), desc="seeds", disable=None):
        rows += run(20, seed, images) + run(20, seed, images, "low rank", "low_rank")
    difference = summary(rows, ["low rank"])
    report(rows, difference)
    if not options.no_record:
        record(RESULTS.parent / "low_rank", "python benchmarks/low_rank.py", rows, difference, started)


if __name__ == "__main__":
    main()
