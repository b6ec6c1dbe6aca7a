"""What `esgd reproduce` tells while it runs: losses, what the searches chose, and the time that is left."""

from __future__ import annotations

from dataclasses import replace

import pytest

from esgd.data import mnist
from esgd.protocol_progress import chosen_line, in_words, seconds_left
from esgd.reproduce import Protocol, best_config, reproduce
from esgd.runs import RunFolder
from esgd.search import search

from .test_cli import in_process, one_line

PLAN = Protocol("tiny", trials=3, search_epochs=2, seeds=(0, 1), rounds=(2, 4), methods=("sgd", "rmsprop"))
HERE = {"device": "cpu", "progress": False}


@pytest.mark.parametrize("ensemble", [False, True])
def test_every_trial_choice_and_run_has_its_line(tiny, tmp_path, ensemble):
    said = []
    assert reproduce(PLAN, root=tmp_path, ensemble=ensemble, say=said.append, **HERE)
    losses = {method: search(PLAN.study(method), root=tmp_path, **HERE).losses() for method in PLAN.methods}
    for method, found in losses.items():
        study = PLAN.study(method).name
        for number, loss in found.items():
            assert [line for line in said if line.startswith(f"{study} trial {number}: loss {loss:.4f}")], said
        (chosen,) = [line for line in said if line.startswith(f"tiny {method}: chosen lr ")]
        config = best_config(PLAN, method, tmp_path)
        assert f"lr {config.lr:.4g} (" in chosen
        assert f"loss {min(found.values()):.4f}" in chosen
        assert said.index(chosen) < min(n for n, line in enumerate(said) if "seed 0 has 2 epochs" in line)
        for epochs in (2, 4):
            runs = [line for line in said if line.startswith(f"tiny {method}: ") and f"has {epochs} epochs" in line]
            assert sum(line.count("loss") for line in runs) == 2
            assert len(runs) == (1 if ensemble else 2)


def test_a_choice_tells_its_place_in_its_range(tiny, tmp_path):
    plan = Protocol("curves", trials=1, search_epochs=1, methods=("rmsprop",))
    study = plan.study("rmsprop")
    trials = search(replace(study, workload="tiny"), root=tmp_path, **HERE)
    line = chosen_line(trials)
    drawn = trials.settings.drawn(0)
    assert f"damping {drawn['damping']:g} (of 1e-06, 1e-05, 0.0001)" in line
    assert f"decay {drawn['decay']:g} (of 0.9, 0.95)" in line
    assert "% of the way from 0.0001 to 0.001)" in line
    trials.folder(0).write_manifest({"run": "x", "status": "running"})
    assert chosen_line(trials) is None


def session(start: int, seconds: int, first: int, last: int | None, device: str = "here") -> dict:
    times = [f"2026-01-01T{start:02}:{s // 60:02}:{s % 60:02}+00:00" for s in (0, seconds)]
    return {
        "started": times[0],
        "ended": times[1] if last is not None else None,
        "device": device,
        "from_epoch": first,
        "to_epoch": last,
    }


def left(root, **changes) -> float | None:
    return seconds_left(
        PLAN, root, **({"epochs": 4, "seeds": (0, 1), "ensemble": False, "device": "here"} | changes)
    )


def trial(root, method: str, number: int, **manifest) -> None:
    name = f"{PLAN.study(method).name}-trial{number:03}"
    RunFolder(name, root).write_manifest({"run": name, **manifest})


def test_time_left_goes_by_the_epochs_done_on_such_a_device(tiny, tmp_path):
    assert left(tmp_path) is None
    trial(tmp_path, "sgd", 0, status="finished", loss=1.0, epochs_done=2, sessions=[session(1, 20, 0, 2)])
    # sgd: two trials of 2 epochs, two seeds of 4; rmsprop three trials: 12 + 14 epochs of 10 s
    assert left(tmp_path) == 10 * (2 * 2 + 2 * 4 + 3 * 2 + 2 * 4)
    assert left(tmp_path, seeds=(0,), epochs=10) == 10 * (2 * 2 + 10 + 3 * 2 + 10)
    assert left(tmp_path, device="elsewhere") is None
    trial(tmp_path, "sgd", 1, status="stopped", epochs_done=1, sessions=[session(2, 30, 0, 1)])
    assert left(tmp_path) == pytest.approx(50 / 3 * (1 + 2 + 8 + 14))  # 50 s in 3 epochs
    trial(tmp_path, "rmsprop", 0, status="running", sessions=[session(3, 60, 0, 1), session(4, 9, 1, None)])
    assert left(tmp_path) == pytest.approx(50 / 3 * 11 + 60 * 14)


def test_members_of_an_ensemble_count_once_and_are_trained_together(tiny, tmp_path):
    shared = {"status": "finished", "loss": 1.0, "epochs_done": 2, "sessions": [session(1, 20, 0, 2)]}
    for number in range(3):
        trial(tmp_path, "rmsprop", number, ensemble={"folder": "all"}, **shared)
    config = replace(best_config(PLAN, "rmsprop", tmp_path), seed=1)
    run = RunFolder(config.name(), tmp_path)
    run.write_manifest({"run": run.name, "status": "diverged", "sessions": []})
    assert left(tmp_path, ensemble=True) == 10 * (2 + 4 + 4)
    assert left(tmp_path) == 10 * (3 * 2 + 2 * 4 + 4)  # the diverged one is at its end


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "less than a minute"), (100, "about 2 min"), (12_000, "about 3 h 20 min"), (216_000, "about 2.5 days")],
)
def test_times_in_words(seconds, words):
    assert in_words(seconds) == words


def test_without_the_digits_the_advice_fits_the_command(capsys, isolated, monkeypatch):
    monkeypatch.setattr(mnist, "MIRRORS", ("http://127.0.0.1:1/",))
    done = in_process(capsys, "reproduce", "mnist", "-q", "--device", "cpu")
    one_line(
        done, "ESGD_DATA", "mnist-10k", "esgd train and esgd search", "reproduce mnist needs the 60,000", code=1
    )
    assert "reproduce" not in in_process(capsys, "train", "mnist", "-q", "--device", "cpu").stderr
