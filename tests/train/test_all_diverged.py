"""Searches of which every trial diverged: nothing is chosen, nothing is trained with what was not chosen."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from esgd.errors import ConfigError
from esgd.reproduce import Protocol, best_config, reproduce
from esgd.search import SearchSettings, Trials

from .test_cli import in_process, one_line

PLAN = Protocol("tiny", trials=2, search_epochs=3, seeds=(0,), rounds=(2,), methods=("sgd",), eval_every=1)


@pytest.fixture
def far_too_fast(tiny, isolated, monkeypatch):
    """SGD's trials all diverge."""
    single = SearchSettings.run_config

    def fast(self, drawn):
        config = single(self, drawn)
        return replace(config, lr=1e9 * (1 + config.lr)) if self.method == "sgd" else config

    monkeypatch.setattr(SearchSettings, "run_config", fast)
    return isolated / "runs"


def test_a_protocol_stops_where_nothing_can_be_chosen(far_too_fast):
    message = "every trial of search-tiny-sgd-.* diverged: nothing can be chosen; search smaller learning rates"
    for _ in range(2):
        with pytest.raises(ConfigError, match=message):
            reproduce(PLAN, device="cpu", progress=False, say=lambda line: None)
    assert not list(far_too_fast.glob("tiny-*"))
    with pytest.raises(ConfigError, match=message):
        best_config(PLAN, "sgd", far_too_fast)
    more = Trials(replace(PLAN.study("sgd"), trials=3), far_too_fast)
    assert set(more.losses().values()) == {math.inf}
    assert more.best() is None  # one may still come out


def test_the_command_says_so_goes_on_with_the_other_methods_and_ends_as_a_run_that_diverged(far_too_fast, capsys):
    done = in_process(capsys, "search", "tiny", "--trials", "2", "--epochs", "3", "--device", "cpu", "-q")
    lines = [line for line in done.stdout.splitlines() if " of 2 trials" in line]
    assert lines[0].endswith("2 of 2 trials; every one diverged")
    assert [line.split("-")[2] for line in lines] == ["sgd", "rmsprop", "jacobi", "esgd"]
    assert all("best loss" in line for line in lines[1:])
    assert done.returncode == 3


def test_no_trial_is_trained_where_a_later_method_knows_no_ensembles(tiny, isolated, capsys):
    words = ("search", "tiny", "--space", "momentum", "--momentum", "0.9", "--ensemble", "2", "--trials", "2")
    one_line(in_process(capsys, *words), "there are no ensembles of rmsprop with momentum", code=1)
    assert not (isolated / "runs").exists()
