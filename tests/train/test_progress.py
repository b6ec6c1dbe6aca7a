"""A bar moves where somebody looks; in the log of a job it writes a line now and then."""

from __future__ import annotations

import io
import sys
import time

import pytest

from esgd.config import RunConfig
from esgd.progress import LOG_EVERY, progress_bar
from esgd.train import train

pytest.importorskip("tqdm")


class Stderr(io.StringIO):
    def __init__(self, terminal: bool):
        super().__init__()
        self._terminal = terminal

    def isatty(self) -> bool:
        return self._terminal


@pytest.mark.parametrize("terminal", [True, False])
def test_a_log_gets_a_line_now_and_then(monkeypatch, terminal):
    monkeypatch.setattr(sys, "stderr", Stderr(terminal))
    with progress_bar(total=20) as bar:
        for _ in range(20):
            time.sleep(0.05)
            bar.update()
    moved = sys.stderr.getvalue().count("%|") - 2  # all but the beginning and the end
    assert moved >= 2 if terminal else moved == 0
    assert "20/20" in sys.stderr.getvalue()
    assert terminal or bar.maxinterval == LOG_EVERY  # else tqdm's own watch writes after ten seconds


def test_evaluations_write_no_line_each(tiny, monkeypatch):
    monkeypatch.setattr(sys, "stderr", Stderr(False))
    result = train(RunConfig("tiny", "sgd", epochs=20), device="cpu")
    written = sys.stderr.getvalue()
    assert written.count("%|") == 2
    assert f"loss {result.records[-1]['loss']:.2f}" in written
