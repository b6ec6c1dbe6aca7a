"""What is not done when time is up has an exit code of its own, so that a script can go on by it."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from esgd.cli import NOT_DONE
from esgd.command_options import parse_seeds
from esgd.protocols import protocol

from .test_cli import in_process

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
ONE = ("curves", "-o", "sgd", "--epochs", "1", "--device", "cpu", "-q")


@pytest.fixture(autouse=True)
def _curves(isolated, monkeypatch, small_curves):
    monkeypatch.setenv("ESGD_DATA", str(small_curves))


@pytest.mark.parametrize(
    "words",
    [
        ("train", *ONE),
        ("train", *ONE, "--seeds", "0,1"),
        ("search", *ONE, "--trials", "1"),
        ("reproduce", "curves", "--device", "cpu", "-q"),
        ("reproduce", "curves", "--device", "cpu", "-q", "--ensemble"),
        ("defaults", "--device", "cpu", "-q"),
    ],
)
def test_time_that_is_up_has_its_own_code_and_a_finished_command_ends_with_0(capsys, words):
    done = in_process(capsys, *words, "--minutes", "1e-9")
    assert done.returncode == NOT_DONE == 75, done.stdout + done.stderr
    assert "not done" in done.stdout.splitlines()[-1]
    assert done.stderr == ""
    if words[0] in ("train", "search"):
        assert in_process(capsys, *words).returncode == 0
        assert in_process(capsys, *words, "--minutes", "1e-9").returncode == 0  # nothing is left to do


def test_measuring_too(capsys):
    assert in_process(capsys, "train", *ONE, "--snapshot-every", "1", "--name", "run").returncode == 0
    words = (
        "measure",
        "run",
        "--examples",
        "50",
        "--probes",
        "4",
        "--spaces",
        "0",
        "--gradient-batches",
        "1",
        "-q",
    )
    done = in_process(capsys, *words, "--device", "cpu", "--minutes", "1e-9")
    assert done.returncode == NOT_DONE
    assert "not done: time is up" in done.stdout
    assert in_process(capsys, *words, "--device", "cpu").returncode == 0


def test_help_tells_the_codes(capsys):
    shown = " ".join(in_process(capsys, "--help").stdout.split())
    assert "75 not done, time is up or other processes are at the rest, the same command goes on" in shown
    for command in ("train", "search", "reproduce", "defaults", "measure"):
        assert "exit code 75" in " ".join(in_process(capsys, command, "--help").stdout.split()), command


@pytest.mark.parametrize(("codes", "calls"), [((75, 75, 0), 3), ((75, 1), 2), ((130,), 1), ((0,), 1)])
def test_the_loop_of_the_readme_goes_on_until_it_is_done_and_stops_on_errors(tmp_path, codes, calls):
    (line,) = re.findall(r"^until .*$", README, re.MULTILINE)
    stub = tmp_path / ".venv" / "bin" / "esgd"
    stub.parent.mkdir(parents=True)
    stub.write_text(
        "#!/bin/sh\n"
        'echo "$@" >> calls\n'
        f"set -- {' '.join(map(str, codes))}\n"
        "shift $(($(wc -l < calls) - 1))\n"
        "exit $1\n"
    )
    stub.chmod(0o755)
    subprocess.run(["sh", "-c", line], cwd=tmp_path, check=True, timeout=20)
    assert len((tmp_path / "calls").read_text().splitlines()) == calls


def test_the_lines_for_a_gpu_are_the_whole_protocol():
    lines = re.findall(r"esgd reproduce (\w+) --ensemble --seeds ([\d,]+)(.*)", README)
    assert len(lines) == 2
    for name, seeds, rest in lines:
        assert len(parse_seeds(seeds)) == 5
        assert protocol(name).rounds[-1] == 1000
        assert "--epochs" not in rest
