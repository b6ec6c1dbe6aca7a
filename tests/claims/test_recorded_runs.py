"""What the ledger says of recorded runs, read again from the records."""

from __future__ import annotations

import csv
from collections import defaultdict
from pathlib import Path

import pytest

RESULTS = Path(__file__).resolve().parents[2] / "results"


def final_losses(path: Path) -> tuple[int, dict[str, list[float]]]:
    """The last recorded epoch, and the loss there of every run by method."""
    last: dict[str, tuple[int, str, float]] = {}
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            epoch = int(row["epoch"])
            if row["run"] not in last or epoch > last[row["run"]][0]:
                last[row["run"]] = (epoch, row["method"], float(row["loss"]))
    losses = defaultdict(list)
    for _, method, loss in last.values():
        losses[method].append(loss)
    return min(epoch for epoch, _, _ in last.values()), dict(losses)


@pytest.mark.claim("F5")
def test_figure_5_on_generated_curves_so_far():
    import ledger

    row = next(c for c in ledger.load(RESULTS.parent / "book" / "claims.yml") if c.id == "F5")
    epochs, losses = final_losses(RESULTS.parent / row.run / "records.csv")
    assert epochs >= row.epochs
    assert {len(v) for v in losses.values()} == {3}
    for method in ("esgd", "rmsprop", "jacobi"):
        assert max(losses[method]) < min(losses["sgd"])
    assert max(losses["esgd"] + losses["rmsprop"]) < min(losses["jacobi"])
    assert min(losses["esgd"]) < min(losses["rmsprop"]) < max(losses["rmsprop"]) < max(losses["esgd"])
