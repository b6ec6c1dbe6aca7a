"""Several processes on one search, in earnest: each trial is claimed once, trained once and in the journal once."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from esgd.search import SearchSettings, Trials
from esgd.trials import trial_manifests

from .conftest import cli_environment

TRIALS = 20
# knows the workload ``tiny``, begins when all three are there, and is slow between looking and claiming
SCRIPT = """
import sys, time
from pathlib import Path
sys.path.insert(0, sys.argv.pop(1))
here, mine, folder = sys.argv.pop(1), sys.argv.pop(1), Path(sys.argv.pop(1))
from train.conftest import TINY_SIZES, TinyWorkload
from esgd.cli import main
from esgd.trials import Trials
from esgd.workload import WORKLOADS
import esgd.journal, esgd.search

WORKLOADS["tiny"] = TinyWorkload("tiny", "tiny", TINY_SIZES)
begun, claim = Trials.begun, Trials.claim

def slowly(self):
    found = begun(self)
    time.sleep(0.01)
    return found

def told(self, count=1):
    numbers = claim(self, count)
    print("claimed", *numbers, flush=True)
    return numbers

Trials.begun, Trials.claim = slowly, told
(folder / f"ready{mine}").touch()
while len(list(folder.glob("ready*"))) < int(here):
    time.sleep(0.01)
main(sys.argv[1:])
"""


def _claimed(printed: str) -> list[int]:
    return [int(n) for line in printed.splitlines() if line.startswith("claimed") for n in line.split()[1:]]


def together(folder: Path, *words: tuple[str, ...]) -> list[subprocess.CompletedProcess]:
    """Run ``esgd`` with each of the words at once, a process each."""
    where = [str(Path(__file__).parents[1]), str(len(words))]
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", SCRIPT, *where, str(k), str(folder), *each],
            env=cli_environment(folder),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for k, each in enumerate(words)
    ]
    try:
        ended = [process.communicate(timeout=400) for process in processes]
    finally:
        for process in processes:
            process.kill()
    return [
        subprocess.CompletedProcess(each, process.returncode, *printed)
        for each, process, printed in zip(words, processes, ended, strict=True)
    ]


@pytest.mark.skipif(sys.platform == "win32", reason="locks are those of POSIX")
def test_three_processes_share_the_trials_of_a_study(tiny, tmp_path):
    words = ("search", "tiny", "-o", "sgd", "--trials", str(TRIALS), "--epochs", "1", "--device", "cpu", "-q")
    done = together(tmp_path, *((*words, "--ensemble", str(count)) for count in (1, 2, 3)))
    for process in done:
        assert process.returncode in (0, 75), process.stderr
        assert not process.stderr
    claimed = [_claimed(process.stdout) for process in done]
    assert Counter(number for numbers in claimed for number in numbers) == Counter(range(TRIALS))
    assert sum(map(bool, claimed)) > 1  # they did meet

    settings, root = SearchSettings("tiny", "sgd", trials=TRIALS, epochs=1), tmp_path / "runs"
    trials = Trials(settings, root)
    for manifest in trial_manifests(settings, root).values():
        assert (manifest["status"], manifest["epochs_done"], len(manifest["sessions"])) == ("finished", 1, 1)
    if trials.journal is not None:
        found = trials.journal.study.get_trials()
        assert [trial.params for trial in found] == [settings.drawn(number) for number in range(TRIALS)]
        assert {trial.number: trial.value for trial in found} == trials.losses()
