"""What a record of `esgd reproduce` says of how it is made again, and that its folder is looked at first."""

from __future__ import annotations

import json
import shlex
from dataclasses import replace

import pytest

from esgd import reproduce as module
from esgd.errors import ConfigError, EsgdError
from esgd.export import check_destination, read_record
from esgd.protocols import PROTOCOLS
from esgd.remake import reproduce_command
from esgd.reproduce import Protocol, export, reproduce
from esgd.rounds import ensemble_lines, units
from esgd.runs import RunFolder, read_csv
from esgd.search import search

from .test_cli import in_process, one_line
from .test_ensemble_search import without_clock

PLAN = Protocol(
    "tiny", trials=1, search_epochs=1, seeds=(0, 1), rounds=(2, 4), methods=("sgd", "esgd"), eval_every=1
)
QUIET = {"device": "cpu", "progress": False}
OPTIONS = {**QUIET, "say": lambda line: None}


@pytest.fixture
def plan(tiny, monkeypatch) -> Protocol:
    """The protocol ``tiny``, known by name for the length of the test."""
    monkeypatch.setitem(PROTOCOLS, "tiny", PLAN)
    return PLAN


def command(place) -> str:
    return json.loads((place / "manifest.json").read_text())["command"]


@pytest.mark.parametrize("ensemble", [False, True])
def test_the_command_in_a_record_makes_it_again(plan, tmp_path, capsys, isolated, ensemble):
    root = tmp_path / "first"
    assert reproduce(plan, root=root, epochs=2, seeds=(3, 1), ensemble=ensemble, **OPTIONS)
    if not ensemble:
        assert reproduce(plan, root=root, epochs=3, seeds=(1,), **OPTIONS)
    export(plan, tmp_path / "record", root=root)
    told = command(tmp_path / "record")
    assert told == (
        "esgd reproduce tiny --ensemble --seeds 3,1 --epochs 2"
        if ensemble
        else "esgd reproduce tiny --seeds 1 --epochs 3 && esgd reproduce tiny --seeds 3 --epochs 2"
    )
    for part in told.split(" && "):
        name, *words = shlex.split(part)
        assert name == "esgd"
        assert in_process(capsys, *words, "--device", "cpu", "-q").returncode == 0
    export(plan, tmp_path / "again")
    assert command(tmp_path / "again") == told
    for name in ("records.csv", "trials.csv"):
        old, new = (without_clock(read_csv(tmp_path / place / name)) for place in ("record", "again"))
        assert new == old
    read_record(plan, tmp_path / "record")


def test_the_whole_protocol_and_searches_alone_need_no_more_words(plan, tmp_path):
    search(plan.study("sgd"), root=tmp_path, **QUIET)
    export(plan, tmp_path / "out", root=tmp_path)
    assert command(tmp_path / "out") == "esgd reproduce tiny"
    assert reproduce(plan, root=tmp_path, **OPTIONS)
    export(plan, tmp_path / "out", root=tmp_path)
    assert command(tmp_path / "out") == "esgd reproduce tiny"


def test_a_seed_whose_methods_are_not_as_long_goes_to_the_longest():
    def run(method: str, seed: int, epochs: int):
        return {"config": {"method": method, "seed": seed}}, [{"epoch": epoch} for epoch in range(epochs + 1)]

    runs = [run("sgd", 0, 4), run("sgd", 1, 4), run("esgd", 0, 1), run("esgd", 1, 2)]  # diverged, or under way
    assert reproduce_command(PLAN, runs) == "esgd reproduce tiny"


def test_results_that_cannot_be_written_are_refused_before_anything_is_trained(
    plan, tmp_path, capsys, isolated, monkeypatch
):
    foreign, damaged, blocked = (tmp_path / name for name in ("foreign", "damaged", "file"))
    for folder, text in ((foreign, '{"command": "esgd reproduce mnist"}'), (damaged, "{")):
        folder.mkdir()
        (folder / "manifest.json").write_text(text)
    blocked.write_text("")
    monkeypatch.setattr(module, "search", None)  # would be the first to train
    for place, parts in (
        (foreign, ("was written by 'esgd reproduce mnist'", "not by 'esgd reproduce tiny'")),
        (damaged, ("manifest.json cannot be read",)),
        (blocked, ("cannot write the results to", "name another folder")),
        (blocked / "below", ("cannot write the results to", "name another folder")),
    ):
        done = in_process(capsys, "reproduce", "tiny", "--device", "cpu", "-q", "--results", str(place))
        one_line(done, *parts, code=1)


def test_a_destination_is_looked_at_and_left_alone(plan, tmp_path):
    assert check_destination(plan, tmp_path / "a" / "new" / "folder", root=tmp_path / "runs") is None
    assert not (tmp_path / "a").exists()
    (tmp_path / "file").write_text("")
    with pytest.raises(EsgdError, match="name another folder"):
        check_destination(plan, tmp_path / "file", root=tmp_path / "runs")


def test_other_settings_chosen_and_other_data_are_seen_before_the_first_step(plan, tmp_path, monkeypatch):
    assert reproduce(plan, root=tmp_path / "first", epochs=1, **OPTIONS)
    export(plan, tmp_path / "record", root=tmp_path / "first")
    data = check_destination(plan, tmp_path / "record", root=tmp_path / "second")
    assert data["sha256"] == "0" * 64
    other = {**data, "sha256": "1" * 64}
    with pytest.raises(ConfigError, match="set ESGD_DATA to their data"):
        reproduce(plan, root=tmp_path / "second", data=other, **OPTIONS)
    assert not list((tmp_path / "second").glob("*/records.csv"))
    manifest = json.loads((tmp_path / "record" / "manifest.json").read_text())
    text = (tmp_path / "record" / "records.csv").read_text()
    name = manifest["runs"][0]["run"]
    for path, old in (
        (tmp_path / "record" / "manifest.json", json.dumps(manifest)),
        (tmp_path / "record" / "records.csv", text),
    ):
        path.write_text(old.replace(name, "tiny-sgd-lr7-seed0"))
    with pytest.raises(ConfigError, match="they are not one record"):
        check_destination(plan, tmp_path / "record", root=tmp_path / "first")


def test_on_a_gpu_the_option_that_makes_it_fast_is_named(plan, tmp_path):
    def line(plan: Protocol, device_type: str = "cuda", epochs: int = 2) -> list[str]:
        return ensemble_lines(plan, list(units(plan, tmp_path, (0,), ensemble=False)), device_type, epochs)

    assert "--ensemble" in line(plan)[0]
    assert line(plan, "cpu") == []
    assert line(replace(plan, methods=("sgd", "adam"))) == []
    sgd = replace(plan, methods=("sgd",))
    search(sgd.study("sgd"), root=tmp_path, **QUIET)
    assert "--ensemble" in line(sgd)[0]
    assert reproduce(sgd, root=tmp_path, seeds=(0,), epochs=2, **OPTIONS)
    assert line(sgd, epochs=9) == []  # begun alone
    RunFolder(next(units(sgd, tmp_path, (0,), ensemble=False)).place.name, tmp_path).checkpoint.unlink()
    assert "--ensemble" in line(sgd, epochs=9)[0]
    assert line(sgd) == []  # done
