"""A run repeated: the same bits on one machine, something else wherever sums are rounded in another order."""

from __future__ import annotations

import json
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


def test_recorded_replays_have_the_records_bits_where_nothing_differs_and_only_there():
    rows = read_csv(RESULTS / "replay" / "replays.csv")
    losses = {row["variant"]: {} for row in rows}
    for row in rows:
        losses[row["variant"]][row["epoch"]] = row["loss"]
    manifest = RunFolder("replay", RESULTS).manifest()
    replayed, ran = manifest["replays"], manifest["variants"]
    runs = json.loads((RESULTS / "fig5" / "curves" / "manifest.json").read_text())["runs"]
    (today,) = [run for run in runs if run["run"] == replayed["run"]]
    assert {key: today[key] for key in replayed} == replayed  # the replays are of the record of today
    record = {
        row["epoch"]: row["loss"]
        for row in read_csv(RESULTS / "fig5" / "curves" / "records.csv")
        if row["run"] == replayed["run"]
    }
    same = losses["nothing"]
    both = same.keys() & record.keys()
    assert max(same) in both
    equal = [variant for variant, found in losses.items() if all(found[e] == record[e] for e in both)]
    assert equal == ["nothing", "nothing, once more", "the code of the record's commit"]
    assert ran["the code of the record's commit"]["commit"] == today["commit"]
    assert all(ran[variant]["device"] == today["device"] for variant in equal)
    assert {found["changed"] for found in ran.values()} == {False}  # None: not known
    for variant in losses.keys() - set(equal):
        other = losses[variant]
        assert other.keys() == same.keys()
        changes = {epoch: abs(other[epoch] / same[epoch] - 1) for epoch in same}
        assert changes[0] < 1e-5, variant  # the same net and the same data
        assert changes[max(same)] < 0.1, variant  # and rounding that training enlarges
        assert max(changes.values()) > 1e-5, variant
