from __future__ import annotations

import importlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from esgd.data import Dataset
from esgd.workload import WORKLOADS, Workload

TINY_SIZES = (784, 12, 8, 3)
TINY_EXAMPLES = 50


def tiny_images(count: int = TINY_EXAMPLES, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    generator = torch.Generator().manual_seed(5)
    return torch.rand(count, 784, generator=generator).pow(8).to(dtype)


class TinyWorkload(Workload):
    """A task of a few milliseconds with the interface of the real ones."""

    def data(self, split="train", *, device="cpu", dtype=torch.float32, progress=True) -> Dataset:
        return Dataset("tiny", split, tiny_images(dtype=dtype).to(device), "made for a test", "0" * 64)


@pytest.fixture
def tiny(monkeypatch) -> Workload:
    """The workload ``tiny``, known by name for the length of the test."""
    task = TinyWorkload("tiny", "tiny", TINY_SIZES)
    monkeypatch.setitem(WORKLOADS, "tiny", task)
    return task


@pytest.fixture
def few_pixels(monkeypatch) -> Callable[[int], Workload]:
    """Makes ``tiny`` a workload of so many images of twelve pixels, in float64: its Hessians can be formed."""

    def make(count: int) -> Workload:
        class FewPixels(TinyWorkload):
            def data(self, *args, **options) -> Dataset:
                images = tiny_images(count, torch.float64)[:, 300:312].contiguous()
                return Dataset("tiny", "train", images, "made for a test", "0" * 64)

        task = FewPixels("tiny", "tiny", (12, 6, 3))
        monkeypatch.setitem(WORKLOADS, "tiny", task)
        return task

    return make


BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def experiment(monkeypatch) -> Iterator[Callable[[str], ModuleType]]:
    """A module of ``benchmarks/`` by its name."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    before = set(sys.modules)
    yield importlib.import_module
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", None)).startswith(str(BENCHMARKS)):
            del sys.modules[name]


@pytest.fixture(scope="session")
def small_curves(tmp_path_factory) -> Path:
    """A data folder with a `digs3pts_1.mat` of 400 + 200 images: the real CURVES task in miniature."""
    from scipy.io import savemat

    from esgd.data.curves import draw_curves

    folder = tmp_path_factory.mktemp("data")
    pixels = draw_curves(600, seed=3).astype(np.float64) / 255
    savemat(folder / "digs3pts_1.mat", {"bdata": pixels[:400], "bdatatest": pixels[400:]})
    return folder


@pytest.fixture
def isolated(monkeypatch, tmp_path) -> Path:
    """No data, no cache and no runs but those below a fresh folder, which is returned."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("ESGD_RUNS", str(tmp_path / "runs"))
    monkeypatch.delenv("ESGD_DATA", raising=False)
    monkeypatch.setattr(sys, "platform", "linux")
    return tmp_path


Cli = Callable[..., subprocess.CompletedProcess]


def cli_environment(home: Path, **variables: str) -> dict[str, str]:
    env = {key: value for key, value in os.environ.items() if not key.startswith("ESGD_")}
    env |= {"XDG_CACHE_HOME": str(home / "cache"), "ESGD_RUNS": str(home / "runs"), "OMP_NUM_THREADS": "1"}
    return env | variables


@pytest.fixture
def cli(tmp_path) -> Cli:
    """Runs ``python -m esgd …`` as a user would; keyword arguments are environment variables."""

    def run(*words: str, timeout: float = 120, **variables: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            [sys.executable, "-m", "esgd", *words],
            env=cli_environment(tmp_path, **variables),
            capture_output=True,
            text=True,
            timeout=timeout,
        )

    return run
