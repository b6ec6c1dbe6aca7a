"""A run repeated: the same bits on one machine, something else wherever sums are rounded in another order."""

from __future__ import annotations

from pathlib import Path

from esgd.runs import RunFolder, read_csv

RESULTS = Path(__file__).parents[2] / "results"


def test_two_processes_give_the_same_bits(cli, small_curves, tmp_path):
    words = "train curves -o esgd --epochs 1 --device cpu -q --name"
    for name in ("first", "second"):
        done = cli(*words.split(), name, ESGD_DATA=str(small_curves))
        assert done.returncode == 0, done.stderr
    first, second = (
        [{k: v for k, v in row.items() if k not in ("run", "seconds")} for row in read_csv(folder / "records.csv")]
        for folder in (tmp_path / "runs" / "first", tmp_path / "runs" / "second")
    )
    assert first == second
    assert first[-1]["step"] > 0


def test_recorded_replays_agree_to_the_bit_only_where_nothing_differs():
    rows = read_csv(RESULTS / "replay" / "replays.csv")
    losses = {row["variant"]: {} for row in rows}
    for row in rows:
        losses[row["variant"]][row["epoch"]] = row["loss"]
    same = losses.pop("one thread")
    assert losses.pop("one thread, again") == same
    assert len(losses) >= 2
    for variant, other in losses.items():
        assert other.keys() == same.keys()
        changes = {epoch: abs(other[epoch] / same[epoch] - 1) for epoch in same}
        assert changes[0] < 1e-5, variant  # the same net and the same data
        assert changes[max(same)] < 0.1, variant  # and rounding that training enlarges
        assert max(changes.values()) > 1e-5, variant
    replayed = RunFolder("replay", RESULTS).manifest()["replays"]
    (record,) = [
        row["loss"]
        for row in read_csv(RESULTS / "fig5" / "curves" / "records.csv")
        if (row["run"], row["epoch"]) == (replayed, max(same))
    ]
    assert abs(record / same[max(same)] - 1) < 0.05
