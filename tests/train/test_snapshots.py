"""Snapshots along a run: what they hold, that they cost the run nothing, that a stop loses none."""

from __future__ import annotations

import pytest
import torch

from esgd.checkpoint import load_checkpoint, save_checkpoint
from esgd.errors import CheckpointError, ConfigError
from esgd.resumable import train_in_folder
from esgd.runs import RunFolder, read_csv
from esgd.snapshots import list_snapshots, load_snapshot, own_preconditioner

from .test_checkpoint import config, same
from .test_cli import in_process

QUIET = {"device": "cpu", "progress": False}


def test_snapshots_are_taken_at_their_epochs_and_change_nothing_in_the_run(tiny, tmp_path):
    plain, kept = RunFolder("plain", tmp_path), RunFolder("kept", tmp_path)
    train_in_folder(config(epochs=4), plain, **QUIET)
    train_in_folder(config(epochs=4), kept, snapshot_every=2, **QUIET)
    assert list_snapshots(plain) == {}
    assert list(list_snapshots(kept)) == [0, 2, 4]
    mine, theirs = load_checkpoint(kept.checkpoint), load_checkpoint(plain.checkpoint)
    assert mine["settings"] == theirs["settings"]
    for key in ("net", "optimizer", "progress"):
        assert same(mine[key], theirs[key]), key
    last = load_snapshot(list_snapshots(kept)[4])
    assert (last.run, last.epoch, last.step) == ("kept", 4, 12)
    assert last.data["source"] == "made for a test"
    assert last.config.settings() == config().settings()
    assert same(last.net.state_dict(), mine["net"])


@pytest.mark.parametrize("method", ["esgd", "jacobi", "rmsprop", "adam", "sgd"])
def test_the_preconditioner_is_what_the_next_step_divides_by(tiny, tmp_path, method):
    """θ moves by ε g/(D + λ): D is read off a step of the restored optimizer itself."""
    folder = RunFolder(method, tmp_path)
    settings = config(method=method, epochs=2, decay=0.9 if method == "rmsprop" else None, dtype="float64")
    train_in_folder(settings, folder, snapshot_every=1, **QUIET)
    first, last = (load_snapshot(list_snapshots(folder)[epoch]) for epoch in (0, 2))
    assert first.preconditioner is None
    if method == "sgd":
        assert last.preconditioner is None
        return
    from esgd.methods import make_optimizer

    optimizer = make_optimizer(settings, last.net.parameters())
    optimizer.load_state_dict(load_checkpoint(folder.checkpoint)["optimizer"])
    assert same(own_preconditioner(optimizer, last.net), last.preconditioner)
    for group in optimizer.param_groups:  # the averages stay, so that the step is that of the snapshot's D
        group |= {"alpha": 1 - 1e-12} if method == "rmsprop" else {}
    if method == "adam":
        return  # its step has its own numerator: the average of gradients
    before = {name: p.detach().clone() for name, p in last.net.named_parameters()}
    for p in last.net.parameters():
        p.grad = torch.full_like(p, 0.5)
    if method in ("esgd", "jacobi"):
        optimizer.param_groups[0]["next_probe"] += 100
        assert not optimizer.curvature_due
    optimizer.step()
    for name, p in last.net.named_parameters():
        expected = settings.lr * 0.5 / (last.preconditioner[name] + settings.damping)
        torch.testing.assert_close(before[name] - p, expected, rtol=1e-6, atol=1e-12)


def test_a_run_stopped_anywhere_keeps_the_same_snapshots(tiny, tmp_path):
    whole, parts = RunFolder("whole", tmp_path), RunFolder("parts", tmp_path)
    train_in_folder(config(), whole, snapshot_every=1, **QUIET)
    for _ in range(20):
        budget = iter([False, False, True])
        result = train_in_folder(
            config(), parts, snapshot_every=1, should_stop=lambda b=budget: next(b), checkpoint_every=2, **QUIET
        )
        if result.status == "finished":
            break
    assert list(list_snapshots(parts)) == list(list_snapshots(whole)) == [0, 1, 2, 3]
    for a, b in zip(list_snapshots(parts).values(), list_snapshots(whole).values(), strict=True):
        mine, theirs = load_checkpoint(a), load_checkpoint(b)
        assert same(mine | {"run": ""}, theirs | {"run": ""})
    assert read_csv(parts.records)[-1]["epoch"] == 3


def test_what_is_no_snapshot_is_refused(tiny, tmp_path):
    folder = RunFolder("run", tmp_path)
    train_in_folder(config(epochs=1), folder, snapshot_every=1, **QUIET)
    with pytest.raises(CheckpointError, match="is not a snapshot: take one"):
        load_snapshot(folder.checkpoint)
    path = list_snapshots(folder)[1]
    state = load_checkpoint(path)
    save_checkpoint(path, state | {"weights": {"encoder.0.weight": torch.zeros(3, 3)}})
    with pytest.raises(CheckpointError, match="weights of another net than tiny"):
        load_snapshot(path)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(CheckpointError, match="delete it and do without its epoch"):
        load_snapshot(path)
    with pytest.raises(ConfigError, match="snapshot-every must be at least 1 epoch, got 0"):
        train_in_folder(config(epochs=1), folder, snapshot_every=0, **QUIET)


def test_a_run_begun_anew_from_a_record_keeps_them_only_where_asked(tiny, tmp_path):
    """The record's manifest tells the interval of another machine; what is not kept here is not told either."""
    first, second = RunFolder("run", tmp_path / "first"), RunFolder("run", tmp_path / "second")
    train_in_folder(config(epochs=1), first, snapshot_every=1, **QUIET)
    second.path.mkdir(parents=True)
    second.write_records(read_csv(first.records))
    second.write_manifest(first.manifest())
    train_in_folder(config(epochs=2), second, **QUIET)
    assert list_snapshots(second) == {}
    assert "--snapshot-every" not in second.manifest()["command"]


def test_asked_for_too_late_they_are_said_to_be_missing(tiny, capsys, isolated):
    words = ("train", "tiny", "-o", "sgd", "-q", "--device", "cpu", "--name", "run")
    assert in_process(capsys, *words, "--epochs", "2").returncode == 0
    for epochs in ("2", "3"):
        done = in_process(capsys, *words, "--epochs", epochs, "--snapshot-every", "1")
        assert done.returncode == 0
        assert "run has no snapshots of epochs 0 to 2, which it was trained for without" in done.stdout
    assert list(list_snapshots(RunFolder("run", isolated / "runs"))) == [3]
    done = in_process(capsys, *words, "--epochs", "3", "--snapshot-every", "3")
    assert "run has no snapshots of epoch 0, which" in done.stdout
    assert "no snapshots" not in in_process(capsys, *words, "--epochs", "4").stdout
