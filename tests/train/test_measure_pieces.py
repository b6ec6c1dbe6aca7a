"""A measurement that is stopped within a snapshot goes on there, and comes to the bits of one that was not."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import count

import pytest

from esgd.checkpoint import load_checkpoint
from esgd.errors import CheckpointError
from esgd.estimators import diag_abs, diagonals
from esgd.measure import MeasureConfig, MeasurementStopped, measure_snapshot
from esgd.measure_run import measure_file, measure_run
from esgd.operator import HessianOperator
from esgd.resumable import train_in_folder
from esgd.runs import RunFolder
from esgd.snapshots import list_snapshots, load_snapshot
from esgd.spectrum import spectral_density
from esgd.workload import workload

from .test_checkpoint import config
from .test_cli import in_process, one_line

QUIET = {"device": "cpu", "progress": False}
# two passes of probes, three batches, more probes than groups, minibatches that are not of one size
WIDE = MeasureConfig(examples=50, probes=20, batch_size=20, spaces=2, steps=3, abs_probes=2, gradient_batches=9)
ASKED = 3 * 2 + 4 + 3 * 3 * 2 + 3 * 3  # batches: of probes, of gradients, of |H|, of the spectrum


@pytest.fixture
def run(tiny, tmp_path) -> RunFolder:
    folder = RunFolder("run", tmp_path)
    train_in_folder(config(method="rmsprop", epochs=1, batch_size=15), folder, snapshot_every=1, **QUIET)
    return folder


def text(rows) -> str:
    return json.dumps(rows)  # every bit of every float, and NaN is NaN


@pytest.mark.parametrize("pieces", [1, 4])
def test_stopped_after_every_few_batches_it_gives_the_same_bits(run, pieces):
    data = workload("tiny").data()
    straight = {e: measure_snapshot(load_snapshot(p), data, WIDE) for e, p in list_snapshots(run).items()}
    stops, part = 0, measure_file(run, WIDE, 1).with_suffix(".part.pt")
    for _ in range(3 * ASKED):
        asked = count(1)
        done = measure_run(run, WIDE, should_stop=lambda n=asked: next(n) % pieces == 0, **QUIET)
        if done:
            break
        stops += 1
    assert done
    assert stops == {1: 2 * ASKED + 1, 4: 2 * ASKED // 4}[pieces]  # one of them between the two snapshots
    for epoch, rows in straight.items():
        assert text(json.loads(measure_file(run, WIDE, epoch).read_text())["rows"]) == text(rows)
    assert not part.exists()


def test_the_pieces_are_the_estimators(run):
    data, snapshot = workload("tiny").data(), load_snapshot(list_snapshots(run)[1])
    rows = {(r["quantity"], r["a"], r["b"]): r for r in measure_snapshot(snapshot, data, WIDE)}
    task, net = workload("tiny"), snapshot.net
    operator = HessianOperator(lambda x: task.loss(net(x), x), net.named_parameters(), data.images.split(20))
    found = diagonals(operator, 20)
    for quantity, estimate in (
        ("dominance", found.dominance_squared),
        ("frobenius_squared", found.frobenius_squared),
    ):
        assert (rows[quantity, "", ""]["value"], rows[quantity, "", ""]["stderr"]) == (
            estimate.value,
            estimate.stderr,
        )
    d_e, absolute = found.diag_squared.sqrt().value, diag_abs(operator, 2, num_steps=3).abs().value
    assert rows["rms", "equilibration", ""]["value"] == d_e.square().mean().sqrt().item()
    assert rows["rms", "absolute", ""]["value"] == absolute.square().mean().sqrt().item()
    nodes = spectral_density(operator, 2, num_steps=3, probes_per_pass=2).nodes
    assert rows["largest", "", ""]["value"] == nodes.max().item()


def test_the_shares_of_the_work_make_one(run):
    data, snapshot = workload("tiny").data(), load_snapshot(list_snapshots(run)[1])
    shares = []
    measure_snapshot(snapshot, data, WIDE, on_progress=shares.append)
    assert len(shares) == ASKED
    assert sum(shares) == pytest.approx(1)
    assert max(shares) < 0.25


def test_the_bar_tells_the_share_of_a_snapshot(run, monkeypatch):
    class Bar:
        def __init__(self, *, show, total, initial, **_):
            self.total, self.n, self.initial = total, initial, initial
            bars.append(self)

        def update(self, share):
            self.n += share

        def close(self):
            self.closed = True

    bars = []
    monkeypatch.setattr("esgd.measure_run.progress_bar", Bar)
    half = iter([False] * (ASKED // 2) + [True])
    assert not measure_run(run, WIDE, should_stop=lambda: next(half), **QUIET)
    assert measure_run(run, WIDE, **QUIET)
    assert measure_run(run, WIDE, **QUIET)
    assert [bar.total for bar in bars] == [2, 2, 2]
    assert 0.2 < bars[0].n < 0.8
    assert bars[1].initial == pytest.approx(bars[0].n)  # which is no work of the second session
    assert [bar.n for bar in bars[1:]] == [2, 2]
    assert bars[2].initial == 2


def test_what_was_begun_by_other_code_or_at_other_weights_is_begun_again(run, monkeypatch):
    def stopped() -> dict:
        assert not measure_run(run, WIDE, epochs=[1], should_stop=lambda: True, **QUIET)
        return load_checkpoint(part, kind="measures")

    part = measure_file(run, WIDE, 1).with_suffix(".part.pt")
    first, second = (stopped()["state"]["products"] for _ in range(2))
    assert (first["part"]["batches"], second["part"]["batches"]) == (1, 2)
    monkeypatch.setattr("esgd.measure_run.provenance", lambda device: {"commit": "another"})
    assert stopped()["state"]["products"]["part"]["batches"] == 1
    snapshot = list_snapshots(run)[1]
    list_snapshots(run)[0].replace(snapshot)
    assert stopped()["state"]["products"]["part"]["batches"] == 1
    part.write_bytes(b"PK")
    with pytest.raises(CheckpointError, match=r"part\.pt is truncated.*delete it, and the same command makes it"):
        stopped()


def test_a_stop_keeps_the_loss_and_the_products_of_a_pass_that_is_done(run):
    data, snapshot = workload("tiny").data(), load_snapshot(list_snapshots(run)[1])
    with pytest.raises(MeasurementStopped) as stop:
        measure_snapshot(snapshot, data, replace(WIDE, batch_size=50), should_stop=lambda: True)
    state = stop.value.state
    assert state["loss"] is not None
    assert len(state["products"]["kept"][0]) == 16  # the first pass


def test_sessions_of_no_time_at_all_come_to_the_end(tiny, capsys, isolated):
    folder = RunFolder("m")
    train_in_folder(config(method="sgd", epochs=1, batch_size=50), folder, snapshot_every=1, **QUIET)
    words = ("measure", "m", "--examples", "50", "--probes", "4", "--spaces", "1", "--steps", "2", "-q")
    codes = []
    while codes.count(75) < 20:
        done = in_process(capsys, *words, "--device", "cpu", "--minutes", "0.00001")
        codes.append(done.returncode)
        if done.returncode != 75:
            break
        assert "the same command goes on from here" in done.stdout
    # two snapshots, each of one batch for the probes, one gradient and two batches of Lanczos; once between the two
    assert codes == [75] * 9 + [0]
    one_line(in_process(capsys, *words, "--minutes", "0"), "minutes must be above 0")
