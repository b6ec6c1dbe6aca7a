"""Optuna's journal is only a mirror: damaged, it is moved aside and made anew from the folders of the runs."""

from __future__ import annotations

import json

import pytest

from esgd.search import SearchSettings, Trials, search

pytest.importorskip("optuna")
HERE = {"device": "cpu", "progress": False}


def study(trials: int = 3) -> SearchSettings:
    return SearchSettings("tiny", "rmsprop", trials=trials, epochs=1)


@pytest.fixture
def done(tiny, tmp_path) -> Trials:
    return search(study(), root=tmp_path, **HERE)


def journal(trials: Trials):
    return trials.root / "searches" / f"{trials.settings.name}.journal"


def mirrored(trials: Trials) -> dict[int, float]:
    return {trial.number: trial.value for trial in Trials(trials.settings, trials.root).journal.study.trials}


def cut(content: bytes) -> bytes:
    return content[:-30]


def glued(content: bytes) -> bytes:
    """As another process leaves it that writes on behind a cut line."""
    return content[:-30] + content.splitlines(keepends=True)[-1]


def foreign(content: bytes) -> bytes:
    return json.dumps({"hello": 1}).encode() + b"\n"


@pytest.mark.parametrize("damage", [cut, glued, foreign, lambda content: b"\0" * 100])
def test_a_damaged_journal_blocks_no_search(done, capsys, damage):
    losses, path = done.losses(), journal(done)
    path.write_bytes(damage(path.read_bytes()))
    broken = path.read_bytes()
    longer = search(study(4), root=done.root, **HERE)
    assert len(longer.losses()) == 4
    assert mirrored(done) | losses == mirrored(longer)
    (aside,) = path.parent.glob("*.journal-damaged*")
    assert aside.read_bytes() == broken
    said = capsys.readouterr().err
    assert "was damaged: moved to" in said
    assert "made anew from the runs" in said
    assert len(said.strip().splitlines()) == 1


def test_a_journal_that_is_cut_while_it_is_open_is_made_anew_for_all_that_have_it_open(done):
    others = [Trials(study(6), done.root) for _ in range(2)]
    path = journal(done)
    path.write_bytes(cut(path.read_bytes()))
    for trials in (*others, *others):
        (number,) = trials.claim()
        assert [trial.number for trial in trials.journal.study.get_trials()] == list(range(number + 1))
        if number == 5:
            break
    assert {n: mirrored(others[0])[n] for n in range(3)} == done.losses()


def test_a_sound_journal_is_left_alone(done):
    before = journal(done).read_bytes()
    assert mirrored(done) == done.losses()
    assert journal(done).read_bytes().startswith(before)
    assert not list(journal(done).parent.glob("*damaged*"))
