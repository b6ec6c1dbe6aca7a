from __future__ import annotations

import shlex
from dataclasses import asdict, replace

import pytest

from esgd.config import METHODS, RunConfig
from esgd.errors import ConfigError


def test_every_method_has_working_defaults():
    for method in METHODS:
        config = RunConfig("curves", method)
        assert config.lr > 0
        assert config.batch_size == 200  # the paper's protocol
        assert config.momentum == 0
    assert RunConfig("curves", "rmsprop").decay == METHODS["rmsprop"]["decay"]
    assert RunConfig("curves", "esgd").decay is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"method": "adagrad"}, "unknown optimizer 'adagrad'.*esgd"),
        ({"lr": -0.1}, "lr must be a finite number above 0, got -0.1"),
        ({"lr": 0}, "lr must be"),
        ({"lr": float("nan")}, "lr must be"),
        ({"lr": float("inf")}, "lr must be"),
        ({"lr": "0.1"}, "lr must be"),
        ({"damping": -1e-3}, "damping must be"),
        ({"damping": float("nan")}, "damping must be"),
        ({"momentum": 1.0}, "momentum must be .* below 1"),
        ({"epochs": 0}, "epochs must be a whole number of at least 1"),
        ({"epochs": 1.5}, "epochs must be"),
        ({"batch_size": 0}, "batch_size must be"),
        ({"seed": -1}, "seed must be"),
        ({"seed": True}, "seed must be"),
        ({"update_every": 0}, "update_every must be"),
        ({"update_every": "often"}, "update_every must be"),
        ({"warmup_probes": 0}, "warmup_probes must be"),
        ({"eval_every": 0}, "eval_every must be"),
        ({"dtype": "float16"}, "unknown dtype"),
        ({"decay": 0.9}, "decay belongs to rmsprop"),
        ({"nesterov": True}, "nesterov needs a momentum"),
        ({"method": "sgd", "damping": 0.1}, "sgd has no damping"),
        ({"method": "rmsprop", "decay": 1.0}, "decay must be"),
        ({"method": "rmsprop", "momentum": 0.9, "nesterov": True}, "rmsprop has no Nesterov"),
        ({"method": "adam", "momentum": 0.9}, "adam has its own momentum"),
    ],
)
def test_bad_settings_are_refused_with_what_was_expected(changes, message):
    with pytest.raises(ConfigError, match=message):
        RunConfig(**({"workload": "curves", "method": "esgd"} | changes))


def test_the_command_makes_the_same_run():
    """The manifest's command, parsed by the command line itself, gives the configuration back."""
    import typer

    from esgd import commands

    configs = [
        RunConfig("mnist", "esgd", lr=0.1 / 3, damping=1e-4, epochs=7, seed=3, update_every="auto"),
        RunConfig("curves", "rmsprop", decay=0.9, batch_size=100, dtype="float64", eval_every=5),
        RunConfig("mnist-10k", "sgd", momentum=0.9, nesterov=True),
        RunConfig("mnist", "jacobi", update_every=1, warmup_probes=1),
    ]
    made = []
    from esgd import resumable

    class Captured(Exception):
        pass

    def capture(config, *args, **kwargs):
        made.append(config)
        raise Captured

    original, resumable.train_in_folder = resumable.train_in_folder, capture
    try:
        for config in configs:
            words = shlex.split(config.command())
            assert words[0] == "esgd"
            with pytest.raises(Captured):
                commands.app(args=words[1:], standalone_mode=False)
    finally:
        resumable.train_in_folder = original
    assert made == configs
    assert typer  # imported for its side of the interface


def test_names_tell_runs_apart():
    base = RunConfig("mnist", "esgd")
    others = [
        replace(base, **change)
        for change in (
            {"lr": 0.01},
            {"seed": 1},
            {"damping": 1e-3},
            {"momentum": 0.9},
            {"momentum": 0.9, "nesterov": True},
            {"update_every": 10},
            {"warmup_probes": 1},
            {"batch_size": 100},
            {"dtype": "float64"},
            {"workload": "mnist-10k"},
        )
    ]
    names = [config.name() for config in (base, *others)]
    assert len(set(names)) == len(names)
    assert all(set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789-.+") for name in names)
    assert replace(base, epochs=99, eval_every=3).name() == base.name()  # length is not identity


def test_round_trip_through_a_dict():
    config = RunConfig("mnist", "rmsprop", lr=3e-4)
    assert RunConfig.from_dict(asdict(config)) == config
    with pytest.raises(ConfigError, match="unknown setting lrr"):
        RunConfig.from_dict({**asdict(config), "lrr": 1})
