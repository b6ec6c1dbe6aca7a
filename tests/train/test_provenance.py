"""What a manifest says of the checkout: what git does not tell is unknown, and not a clean checkout."""

from __future__ import annotations

import subprocess

import pytest
import torch

from esgd import provenance
from esgd.config import RunConfig
from esgd.resumable import train_in_folder
from esgd.runs import RunFolder

COMMIT = 40 * "a"


@pytest.mark.parametrize("error", [subprocess.TimeoutExpired("git", 10), subprocess.CalledProcessError(128, "git")])
def test_a_status_that_git_does_not_tell_is_unknown(tiny, tmp_path, monkeypatch, error):
    def slow(words, **options):
        assert words[0] == "git"
        if "status" in words:
            raise error
        return subprocess.CompletedProcess(words, 0, f"{COMMIT}\n", "")

    monkeypatch.setattr(provenance.subprocess, "run", slow)
    found = provenance.provenance(torch.device("cpu"))
    assert found["changed"] is None
    assert found["commit"] == COMMIT
    folder = RunFolder("run", tmp_path)
    for epochs in (1, 2):
        train_in_folder(RunConfig("tiny", "sgd", epochs=epochs), folder, device="cpu", progress=False)
    assert [session["changed"] for session in folder.manifest()["sessions"]] == [None, None]
