"""On a bare GPU machine there are torch, numpy, tqdm and typer; what needs more says so in one line."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from .conftest import cli_environment
from .test_cli import one_line

ROOT = Path(__file__).parents[2]
# none of these can be found, nor is esgd installed
SCRIPT = """
import sys
from importlib import metadata
from importlib.machinery import PathFinder

MISSING = ("plotly", "optuna", "pandas", "scipy", "matplotlib", "ipywidgets", "anywidget")

class Bare:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name.partition(".")[0] in MISSING:
            return None
        return PathFinder.find_spec(name, path, target)

def absent(name):
    raise metadata.PackageNotFoundError(name)

sys.meta_path = [Bare if finder is PathFinder else finder for finder in sys.meta_path]
metadata.version = absent
sys.path.insert(0, sys.argv.pop(1))
from train.conftest import TINY_SIZES, TinyWorkload
from esgd.cli import main
from esgd.workload import WORKLOADS
WORKLOADS["tiny"] = TinyWorkload("tiny", "tiny", TINY_SIZES)
main(sys.argv[1:])
"""
SMALL = ("-o", "sgd", "--epochs", "1", "--device", "cpu", "-q")


def bare(home: Path, *words: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-c", SCRIPT, str(ROOT / "tests"), *words],
        env=cli_environment(home),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )


def test_the_version_is_told_where_nothing_is_installed(tmp_path):
    done = bare(tmp_path, "--version")
    assert done.returncode == 0, done.stderr
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert done.stdout == f"esgd {version}\n"


@pytest.mark.parametrize("number", ["1", "3", "5", "6", "all"])
def test_figures_say_what_they_need(tmp_path, number):
    one_line(bare(tmp_path, "figure", number), "figures need plotly: `pip install 'esgd[train]'`", code=1)
    assert not list(ROOT.glob("figure*.html"))


def test_training_needs_no_plotting_search_or_table_library(tmp_path):
    done = bare(tmp_path, "train", "mnist-10k", *SMALL, "--batch-size", "5000")
    assert done.returncode == 0, done.stderr


def test_nor_do_measuring_ensembles_and_searches(tmp_path):
    few = ("--examples", "20", "--probes", "4", "--spaces", "1", "--gradient-batches", "1", "--device", "cpu", "-q")
    for words in (
        ("train", "tiny", *SMALL, "--snapshot-every", "1", "--name", "run"),
        ("measure", "run", *few),
        ("train", "tiny", *SMALL, "--seeds", "0,1"),
        ("search", "tiny", *SMALL, "--trials", "2"),
    ):
        done = bare(tmp_path, *words)
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("seeds", [("--seed", "0"), ("--seeds", "0,1")])
def test_a_world_size_in_the_environment_launches_nothing(cli, small_curves, seeds):
    words = ("train", "curves", "-o", "sgd", "--epochs", "1", "--device", "cpu", "-q", *seeds)
    cluster = {"WORLD_SIZE": "2", "RANK": "1", "MASTER_ADDR": "127.0.0.1"}  # as some images set them
    done = cli(*words, ESGD_DATA=str(small_curves), **cluster)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("finished")
