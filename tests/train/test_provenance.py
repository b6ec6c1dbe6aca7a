"""What a manifest says of the checkout: what git does not tell is unknown, and not a clean checkout."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import torch

from esgd import provenance
from esgd.config import RunConfig
from esgd.resumable import train_in_folder
from esgd.runs import RunFolder

ROOT = Path(provenance.__file__).parents[1]


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="not a checkout")
@pytest.mark.parametrize("error", [subprocess.TimeoutExpired("git", 10), subprocess.CalledProcessError(128, "git")])
def test_a_status_that_git_does_not_tell_is_unknown(tiny, tmp_path, monkeypatch, error):
    run = subprocess.run

    def slow(words, **options):
        if "status" in words:
            raise error
        return run(words, **options)

    monkeypatch.setattr(subprocess, "run", slow)
    found = provenance.provenance(torch.device("cpu"))
    assert found["changed"] is None
    assert len(found["commit"]) == 40
    folder = RunFolder("run", tmp_path)
    for epochs in (1, 2):
        train_in_folder(RunConfig("tiny", "sgd", epochs=epochs), folder, device="cpu", progress=False)
    assert [session["changed"] for session in folder.manifest()["sessions"]] == [None, None]
