from __future__ import annotations

import errno
import hashlib
import os
import pickle
import subprocess
import sys
import textwrap

import pytest
import torch

from esgd.checkpoint import (
    KINDS,
    checkpoint_digest,
    load_checkpoint,
    load_with_digest,
    require_same,
    save_checkpoint,
)
from esgd.config import RunConfig
from esgd.errors import CheckpointError, ConfigError
from esgd.resumable import train_in_folder
from esgd.runs import RunBusyError, RunFolder, list_runs, read_csv

STATE = {"net": {"w": torch.arange(5.0)}, "records": [{"loss": 1.5, "epoch": 2, "note": None}], "names": ["a"]}


def config(**changes) -> RunConfig:
    return RunConfig(**({"workload": "tiny", "method": "esgd", "epochs": 3, "batch_size": 20} | changes))


ADDED = ("seconds", "differentiable")  # the clock; a default that torch adds when it loads a state


def same(a, b) -> bool:
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        a, b = ({key: value for key, value in x.items() if key not in ADDED} for x in (a, b))
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b


def test_round_trip(tmp_path):
    save_checkpoint(tmp_path / "c.pt", STATE)
    assert same(load_checkpoint(tmp_path / "c.pt"), STATE)
    assert [p.name for p in tmp_path.iterdir()] == ["c.pt"]  # nothing temporary stays


def test_missing(tmp_path):
    with pytest.raises(CheckpointError, match="cannot read"):
        load_checkpoint(tmp_path / "none.pt")


@pytest.mark.parametrize("keep", [0, 1, 100, -1, -44])
def test_truncated(tmp_path, keep):
    path = tmp_path / "c.pt"
    save_checkpoint(path, STATE)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(CheckpointError, match=r"truncated|not an esgd checkpoint") as error:
        load_checkpoint(path)
    assert "delete it" in str(error.value)
    for kind in KINDS:  # the advice is of what it was
        with pytest.raises(CheckpointError) as error:
            load_checkpoint(path, kind=kind)
        assert str(error.value).endswith(KINDS[kind].damaged)
        assert ("start this run afresh" in str(error.value)) == (kind == "run")


def test_the_checksum_is_read_from_the_end(tmp_path):
    path = tmp_path / "c.pt"
    save_checkpoint(path, STATE)
    assert checkpoint_digest(path, kind="snapshot") == load_with_digest(path)[1] == content_digest(path)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(CheckpointError, match=r"truncated.*do without its epoch"):
        checkpoint_digest(path, kind="snapshot")
    path.write_bytes(b"")
    with pytest.raises(CheckpointError, match="truncated"):
        checkpoint_digest(path, kind="snapshot")
    path.unlink()
    with pytest.raises(CheckpointError, match="cannot read"):
        checkpoint_digest(path, kind="snapshot")


def content_digest(path) -> str:
    return hashlib.sha256(path.read_bytes()[:-44]).hexdigest()


def test_damaged(tmp_path):
    path = tmp_path / "c.pt"
    save_checkpoint(path, STATE)
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 4
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match="damaged"):
        load_checkpoint(path)


def test_foreign(tmp_path):
    torch.save({"model": 1}, tmp_path / "torch.pt")
    with pytest.raises(CheckpointError, match="not written by esgd"):
        load_checkpoint(tmp_path / "torch.pt")
    (tmp_path / "text.pt").write_text("hello" * 30)
    with pytest.raises(CheckpointError, match="is not an esgd checkpoint"):
        load_checkpoint(tmp_path / "text.pt")


class Bomb:
    def __reduce__(self):
        return os.system, ("touch exploded",)


def test_code_in_a_checkpoint_is_not_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_checkpoint(tmp_path / "c.pt", {"x": Bomb()})  # a valid footer around a malicious body
    with pytest.raises(CheckpointError, match="cannot be read"):
        load_checkpoint(tmp_path / "c.pt")
    assert not (tmp_path / "exploded").exists()
    assert pickle  # the danger being avoided


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_full_disk_keeps_the_old_checkpoint(tmp_path, monkeypatch, call):
    path = tmp_path / "c.pt"
    save_checkpoint(path, STATE)
    before = path.read_bytes()

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, call, full)
    with pytest.raises(CheckpointError, match=r"No space left.*untouched.*move the folder of the runs .*ESGD_RUNS"):
        save_checkpoint(path, {"big": torch.zeros(10)})
    monkeypatch.undo()
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["c.pt"]


def test_a_real_limit_on_file_size_keeps_the_old_checkpoint(tmp_path):
    """The operating system itself refuses the write, half-way through the file."""
    script = f"""
        import resource, signal, torch, pathlib
        from esgd.checkpoint import save_checkpoint, load_checkpoint
        from esgd.errors import CheckpointError
        path = pathlib.Path({str(tmp_path / "c.pt")!r})
        save_checkpoint(path, {{"x": torch.ones(3)}})
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
        try:
            save_checkpoint(path, {{"x": torch.zeros(100_000)}})
        except CheckpointError as error:
            assert "untouched" in str(error)
            assert load_checkpoint(path)["x"].tolist() == [1, 1, 1]
            print("refused")
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True)
    assert done.stdout.strip() == "refused", done.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["c.pt"]


def test_changed_settings_are_all_named(tmp_path):
    require_same({"lr": 1, "seed": 0}, {"lr": 1, "seed": 0}, where=tmp_path)
    with pytest.raises(
        CheckpointError, match=r"lr was 1 and is now 2; seed was 0 and is now absent; new was absent"
    ):
        require_same({"lr": 1, "seed": 0}, {"lr": 2, "new": 3}, where=tmp_path)


@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("sgd", {"momentum": 0.9, "nesterov": True}),
        ("rmsprop", {"momentum": 0.5}),
        ("adam", {}),
        ("jacobi", {"update_every": 2}),
        ("esgd", {"update_every": 2, "momentum": 0.9}),
        ("esgd", {"update_every": "auto"}),
    ],
)
def test_a_run_stopped_anywhere_gives_the_bits_of_one_that_was_not(tiny, tmp_path, method, options):
    settings = config(method=method, epochs=3, **options)
    whole = RunFolder("whole", tmp_path)
    train_in_folder(settings, whole, device="cpu", progress=False)
    parts = RunFolder("parts", tmp_path)
    for _ in range(20):
        budget = iter([False, False, True])  # two steps a session: stops inside epochs and at their ends
        result = train_in_folder(
            settings, parts, device="cpu", progress=False, should_stop=lambda b=budget: next(b)
        )
        if result.status == "finished":
            break
    assert result.status == "finished"
    mine, theirs = load_checkpoint(parts.checkpoint), load_checkpoint(whole.checkpoint)
    for key in ("net", "optimizer", "progress"):
        assert same(mine[key], theirs[key]), key
    for a, b in zip(read_csv(parts.records), read_csv(whole.records), strict=True):
        assert {k: v for k, v in a.items() if k not in ("run", "seconds")} == {
            k: v for k, v in b.items() if k not in ("run", "seconds")
        }


def test_a_finished_run_is_not_run_again_and_can_be_made_longer(tiny, tmp_path):
    folder = RunFolder("run", tmp_path)
    train_in_folder(config(epochs=1), folder, device="cpu", progress=False)
    before = folder.checkpoint.read_bytes()
    again = train_in_folder(config(epochs=1), folder, device="cpu", progress=False)
    assert again.status == "finished"
    assert folder.checkpoint.read_bytes() == before
    longer = train_in_folder(config(epochs=3), folder, device="cpu", progress=False)
    straight = train_in_folder(config(epochs=3), RunFolder("straight", tmp_path), device="cpu", progress=False)
    assert longer.records[-1]["loss"] == straight.records[-1]["loss"]
    with pytest.raises(ConfigError, match="3 epochs already"):
        train_in_folder(config(epochs=2), folder, device="cpu", progress=False)


def test_another_configuration_in_the_same_folder_is_refused_and_nothing_is_lost(tiny, tmp_path):
    folder = RunFolder("run", tmp_path)
    train_in_folder(config(), folder, device="cpu", progress=False)
    before = {p.name: p.read_bytes() for p in folder.path.iterdir()}
    with pytest.raises(CheckpointError, match=r"lr was 0.03 and is now 0.01"):
        train_in_folder(config(lr=0.01), folder, device="cpu", progress=False)
    assert {p.name: p.read_bytes() for p in folder.path.iterdir()} == before


def test_other_data_under_the_same_name_are_refused(tiny, tmp_path, monkeypatch):
    folder = RunFolder("run", tmp_path)
    train_in_folder(config(epochs=1), folder, device="cpu", progress=False)
    path = folder.checkpoint
    saved = load_checkpoint(path)
    saved["data"]["sha256"] = "f" * 64
    save_checkpoint(path, saved)
    with pytest.raises(CheckpointError, match="sha256 was"):
        train_in_folder(config(epochs=2), folder, device="cpu", progress=False)


def test_one_process_at_a_time(tiny, tmp_path):
    folder = RunFolder("run", tmp_path)
    with folder.locked(), pytest.raises(RunBusyError, match="another process"):
        train_in_folder(config(), RunFolder("run", tmp_path), device="cpu", progress=False)


def test_manifest_tells_what_ran_where_and_how(tiny, tmp_path):
    folder = RunFolder("run", tmp_path)
    train_in_folder(config(epochs=2), folder, device="cpu", progress=False)
    manifest = folder.manifest()
    assert manifest["status"] == "finished"
    assert manifest["config"]["lr"] == 0.03
    assert manifest["config"]["seed"] == 0
    assert manifest["versions"]["torch"] == torch.__version__
    assert manifest["data"]["source"] == "made for a test"
    assert manifest["started"] <= manifest["ended"]
    assert manifest["command"].startswith("esgd train tiny --optimizer esgd")
    assert manifest["device_type"] == "cpu"
    assert manifest["commit"] is None or len(manifest["commit"]) == 40
    text = (folder.path / "manifest.json").read_text()
    assert str(tmp_path) not in text
    assert os.path.expanduser("~") not in text or os.path.expanduser("~") == "/"
    assert [run.name for run in list_runs(tmp_path)] == ["run"]


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a\\b", "a:b", "a\0b"])
def test_a_run_cannot_leave_its_folder(name):
    with pytest.raises(ConfigError, match="plain folder name"):
        RunFolder(name)


def test_what_a_kill_left_half_written_is_cleared_away_under_the_lock(tiny, tmp_path):
    folder = RunFolder("run", tmp_path)
    train_in_folder(config(epochs=1), folder, snapshot_every=1, device="cpu", progress=False)
    orphans = [folder.path / ".checkpoint.pt.ab12.tmp", folder.path / "snapshots" / ".epoch00001.pt.x_y.tmp"]
    for orphan in orphans:
        orphan.write_bytes(b"half")
    mine = folder.path / "notes.tmp"
    mine.touch()
    with folder.locked():
        assert not any(orphan.exists() for orphan in orphans)
        orphans[0].write_bytes(b"being written")
        with pytest.raises(RunBusyError), RunFolder("run", tmp_path).locked():
            pass
        assert orphans[0].exists()  # another process may be at it
    assert mine.exists()
    assert folder.checkpoint.exists()
