from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from esgd.config import RunConfig
from esgd.ensemble_run import EnsembleTraining, train_ensemble_in_folder
from esgd.errors import CheckpointError, ConfigError
from esgd.nets import Autoencoder
from esgd.runs import RunFolder, read_csv
from esgd.train import evaluate, train

from .test_cli import in_process

SETTINGS = {
    "sgd": ({"lr": 0.01}, {"lr": 0.05}),
    "rmsprop": ({"lr": 1e-3, "damping": 1e-3, "decay": 0.9}, {"lr": 2e-3, "damping": 1e-2, "decay": 0.95}),
    "jacobi": ({"lr": 1e-3, "damping": 1e-1}, {"lr": 5e-4, "damping": 1e-2}),
    "esgd": ({"lr": 0.01, "damping": 1e-1}, {"lr": 0.03, "damping": 1e-2}),
}


def members(method: str, epochs: int = 5, dtype: str = "float64") -> list[RunConfig]:
    shared = {"epochs": epochs, "batch_size": 20, "warmup_probes": 3, "update_every": 4, "dtype": dtype}
    return [RunConfig("tiny", method, seed=k, **own, **shared) for k, own in enumerate(SETTINGS[method])]


def run(configs, folder, **options):
    return train_ensemble_in_folder(configs, folder, device="cpu", progress=False, **options)


@pytest.mark.parametrize("method", SETTINGS)
def test_records_of_a_member_are_those_of_its_run_alone(tiny, tmp_path, method):
    configs = members(method)
    status, _ = run(configs, RunFolder("together", tmp_path))
    assert status == "finished"
    rows = read_csv(tmp_path / "together" / "records.csv")
    for k, config in enumerate(configs):
        alone = train(config, tiny.data(dtype=torch.float64), progress=False).records
        mine = [row for row in rows if row["member"] == k]
        for column in ("epoch", "step", "seed", "run", "gradient_equivalents"):
            assert [row[column] for row in mine] == [row[column] for row in alone]
        # evaluation sums in float32
        assert [row["loss"] for row in mine] == pytest.approx([row["loss"] for row in alone], rel=1e-6)


@pytest.mark.parametrize("method", ["rmsprop", "esgd"])
def test_an_ensemble_stopped_anywhere_goes_on_to_the_bit(tiny, tmp_path, method):
    configs = members(method, dtype="float32")
    _, straight = run(configs, RunFolder("straight", tmp_path))
    folder, status = RunFolder("pieces", tmp_path), "stopped"
    while status == "stopped":
        steps = iter([False] * 4)  # 15 steps in all, three an epoch
        status, pieces = run(configs, folder, should_stop=lambda s=steps: next(s, True))
    for a, b in zip(straight.net.parameters(), pieces.net.parameters(), strict=True):
        assert torch.equal(a, b)
    without = [{k: v for k, v in row.items() if k != "seconds"} for row in straight.records]
    assert without == [{k: v for k, v in row.items() if k != "seconds"} for row in pieces.records]
    with pytest.raises(CheckpointError, match="other settings"):
        run([configs[1], configs[0]], folder)


@pytest.mark.filterwarnings("ignore:a Hessian-vector product was not finite")
def test_a_member_that_diverges_is_recorded_and_harms_no_other(tiny):
    configs = members("esgd")
    healthy, hurt = (EnsembleTraining(configs, tiny.data(dtype=torch.float64)) for _ in range(2))
    with torch.no_grad():
        hurt.net.weights[0][1].fill_(float("nan"))
    for training in (healthy, hurt):
        training.record()
        training.train_epoch()
        training.record()
    assert hurt.records[-2]["loss"] == pytest.approx(healthy.records[-2]["loss"], rel=1e-12)
    assert math.isnan(hurt.records[-1]["loss"])


def test_members_that_do_not_fit_are_refused(tiny):
    data = tiny.data()
    with pytest.raises(ConfigError, match="but batch_size differs"):
        EnsembleTraining([RunConfig("tiny", "sgd"), RunConfig("tiny", "sgd", seed=1, batch_size=10)], data)
    with pytest.raises(ConfigError, match="no ensembles of adam"):
        EnsembleTraining([RunConfig("tiny", "adam")], data)
    with pytest.raises(ConfigError, match="the same run"):
        EnsembleTraining([RunConfig("tiny", "sgd")] * 2, data)
    with pytest.raises(ConfigError, match="one interval"):
        EnsembleTraining([RunConfig("tiny", "esgd", update_every="auto")], data)


def test_seeds_on_the_command_line(cli, small_curves, tmp_path):
    words = (
        "train",
        "curves",
        "-o",
        "esgd",
        "--epochs",
        "1",
        "--seeds",
        "0,1",
        "--name",
        "both",
        "--device",
        "cpu",
        "-q",
    )
    done = cli(*words, ESGD_DATA=str(small_curves))
    assert done.returncode == 0, done.stderr
    rows = read_csv(tmp_path / "runs" / "both" / "records.csv")
    assert [(row["member"], row["seed"], row["epoch"]) for row in rows] == [
        (0, 0, 0),
        (1, 1, 0),
        (0, 0, 1),
        (1, 1, 1),
    ]
    bad = cli("train", "curves", "--seeds", "0,x", "-q", ESGD_DATA=str(small_curves))
    assert bad.returncode == 1
    assert "whole numbers" in bad.stderr


def test_an_evaluation_builds_no_net_and_gives_that_of_the_net_alone_to_the_bit(tiny, monkeypatch):
    training = EnsembleTraining(members("esgd", dtype="float32"), tiny.data())
    training.train_epoch()
    images = training.data.images
    alone = [evaluate(training.net.member(k), images, training.task) for k in range(2)]

    def no_net(*arguments, **options):
        raise AssertionError("a net was initialised, to be thrown away")

    monkeypatch.setattr(Autoencoder, "__init__", no_net)
    assert [(row["loss"], row["squared_error"]) for row in training.record()] == alone


@pytest.mark.parametrize("every", [1, 2])
def test_stopped_between_two_evaluations_it_goes_on_to_the_same_bits(tiny, tmp_path, every):
    """Each session hears one no: it evaluates a member or two, or makes a step."""
    first = replace(members("esgd", 3, "float32")[0], eval_every=every)
    configs = [replace(first, seed=seed) for seed in range(4)]

    def train_in(root, **options):
        own = [RunFolder(f"own{k}", root) for k in range(len(configs))]
        return run(configs, RunFolder("together", root), own_folders=own, **options)

    _, straight = train_in(tmp_path / "straight")
    status, told = "stopped", []
    while status == "stopped":
        answers = iter([False])
        status, pieces = train_in(tmp_path / "pieces", should_stop=lambda a=answers: next(a, True))
        told.append(len(pieces.records))
    assert told[:2] == [2, 4]
    assert len(told) < 40
    without = [{k: v for k, v in row.items() if k != "seconds"} for row in straight.records]
    assert without == [{k: v for k, v in row.items() if k != "seconds"} for row in pieces.records]
    for a, b in zip(straight.net.parameters(), pieces.net.parameters(), strict=True):
        assert torch.equal(a, b)
    for k in range(len(configs)):
        manifest = RunFolder(f"own{k}", tmp_path / "pieces").manifest()
        assert (manifest["status"], manifest["epochs_done"]) == ("finished", 3)


def test_time_that_is_up_before_all_are_evaluated_is_told(tiny, tmp_path, capsys, isolated):
    words = ("train", "tiny", "-o", "sgd", "--epochs", "1", "--seeds", "0,1", "-q", "--device", "cpu")
    done = in_process(capsys, *words, "--minutes", "1e-9")
    assert done.returncode == 75
    assert ", not evaluated yet after 0 epochs" in done.stdout
    assert in_process(capsys, *words).returncode == 0
