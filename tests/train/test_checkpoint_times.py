"""A checkpoint at most once a minute, or as often as is asked for; what is stopped or ends is always kept."""

from __future__ import annotations

from dataclasses import replace

import pytest

from esgd import checkpoint_times, ensemble_run, resumable
from esgd.checkpoint import load_checkpoint
from esgd.checkpoint_times import CheckpointTimes
from esgd.errors import ConfigError
from esgd.runs import RunFolder

from .test_checkpoint import config

EPOCHS = 7
STEPS = 3  # an epoch


@pytest.fixture
def clock(monkeypatch):
    """The seconds that each epoch takes, to be set; time passes at the end of each."""

    class Clock:
        now, epoch = 0.0, 20.0

        def monotonic(self):
            return self.now

    clock = Clock()
    monkeypatch.setattr(checkpoint_times, "time", clock)
    return clock


@pytest.fixture(params=["alone", "together"])
def train(request, tiny, tmp_path, monkeypatch, clock):
    """Trains; returns status and the updates after which checkpoints were written."""
    written = []
    for module in (resumable, ensemble_run):
        save = module.save_checkpoint

        def noted(path, state, save=save):
            written.append(state["progress"]["step"])
            save(path, state)

        monkeypatch.setattr(module, "save_checkpoint", noted)

    # questions are counted and take their time, one a step: none between the evaluations of two members
    evaluated = ensemble_run._evaluated
    monkeypatch.setattr(ensemble_run, "_evaluated", lambda training, _: evaluated(training, lambda: False))

    def run(steps: int | None = None, epochs: int = EPOCHS, **options) -> tuple[str, list[int]]:
        written.clear()
        asked = 0

        def should_stop() -> bool:
            nonlocal asked
            clock.now += clock.epoch / STEPS
            asked += 1
            return steps is not None and asked > steps

        options |= {"device": "cpu", "progress": False, "should_stop": should_stop}
        first, folder = config(method="sgd", epochs=epochs), RunFolder("run", tmp_path)
        if request.param == "alone":
            status = resumable.train_in_folder(first, folder, **options).status
        else:
            members = [first, replace(first, seed=1)]
            status = ensemble_run.train_ensemble_in_folder(members, folder, **options)[0]
        assert load_checkpoint(folder.checkpoint)["progress"]["step"] == written[-1]
        return status, list(written)

    return run


def test_quick_epochs_share_a_checkpoint_a_minute(train):
    assert train() == ("finished", [STEPS * epoch for epoch in (1, 4, 7)])


def test_slow_epochs_have_one_each(train, clock):
    clock.epoch = 90.0
    assert train() == ("finished", [STEPS * epoch for epoch in range(1, EPOCHS + 1)])


def test_what_is_asked_for_is_kept_to(train):
    assert train(checkpoint_every=3) == ("finished", [STEPS * epoch for epoch in (3, 6, 7)])


@pytest.mark.parametrize("options", [{}, {"checkpoint_every": 5}])
@pytest.mark.parametrize("steps", [2 * STEPS, 2 * STEPS + 1])
def test_a_stop_keeps_everything_between_two_epochs_too(train, steps, options):
    status, written = train(steps=steps, **options)
    assert status == "stopped"
    assert written[-1] == steps
    assert train(**options)[0] == "finished"


def test_intervals_below_one_are_refused():
    with pytest.raises(ConfigError, match="checkpoint-every must be at least 1 epoch, got 0"):
        CheckpointTimes(0)
