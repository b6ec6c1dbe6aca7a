"""What other processes hold is waited for, so that a loop over `esgd reproduce` does not spin."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest

from esgd import rounds
from esgd.reproduce import Protocol, reproduce
from esgd.rounds import units
from esgd.search import Trials, search

PLAN = Protocol("tiny", trials=2, search_epochs=1, seeds=(0, 1), rounds=(1, 2), methods=("sgd",), eval_every=1)
QUIET = {"device": "cpu", "progress": False}


@pytest.fixture
def naps(monkeypatch):
    """What happens at each look at what others hold, by its number; no time passes but a second each."""
    events, clock = {}, [0.0]

    def sleep(seconds: float) -> None:
        clock[0] += seconds
        events.get(round(clock[0]), lambda: None)()

    monkeypatch.setattr(rounds, "time", SimpleNamespace(sleep=sleep, monotonic=lambda: clock[0]))
    return events, clock


def places(root, *, ensemble: bool = False):
    search(PLAN.study("sgd"), root=root, **QUIET)
    return [unit.place for unit in units(PLAN, root, PLAN.seeds, ensemble=ensemble)]


@pytest.mark.parametrize("ensemble", [False, True])
def test_for_a_minute_and_no_longer(tiny, tmp_path, naps, ensemble):
    _, clock = naps
    said = []
    (held, *others) = places(tmp_path, ensemble=ensemble)
    with held.locked():
        assert not reproduce(PLAN, root=tmp_path, ensemble=ensemble, say=said.append, **QUIET)
    assert clock == [rounds.WAIT]
    assert [line for line in said if "other processes are at the rest" in line] == said[-1:]
    assert all(place.manifest()["epochs_done"] == 2 for place in others)  # what was free is done
    assert reproduce(PLAN, root=tmp_path, ensemble=ensemble, say=said.append, **QUIET)
    assert clock == [rounds.WAIT]  # nothing was held


def test_what_is_let_go_is_gone_on_with_and_nothing_is_said_twice(tiny, tmp_path, naps):
    events, clock = naps
    said = []
    held, _ = places(tmp_path)
    lock = held.locked()
    lock.__enter__()
    events[7] = lambda: lock.__exit__(None, None, None)
    assert reproduce(PLAN, root=tmp_path, say=said.append, **QUIET)
    assert clock == [7]
    assert held.manifest()["epochs_done"] == 2
    for part in ("chosen lr", "other processes are at the rest", "recorded runs have 1 epochs"):
        assert len([line for line in said if part in line]) == 1


def test_a_trial_too_and_time_that_is_up_ends_it(tiny, tmp_path, naps):
    events, clock = naps
    folder = Trials(PLAN.study("sgd"), tmp_path).folder(0)
    limit = [math.inf]
    ask = {"root": tmp_path, "say": lambda line: None, "should_stop": lambda: clock[0] > limit[0], **QUIET}
    lock = folder.locked()
    lock.__enter__()
    folder.write_manifest({"run": folder.name, "status": "running"})
    limit[0] = 5
    assert not reproduce(PLAN, **ask)
    assert clock == [6]
    limit[0] = math.inf
    events[9] = lambda: lock.__exit__(None, None, None)
    assert reproduce(PLAN, **ask)
    assert clock == [9]
