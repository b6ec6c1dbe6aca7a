"""A spectrum that was stopped or killed anywhere goes on to the same bits."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time

import pytest
import torch

from esgd import curvature_products
from esgd.curvature_products import KeptProducts, Meter
from esgd.curvature_spectrum import SpectrumConfig, record_spectrum
from esgd.errors import CheckpointError, ConfigError, EsgdError
from esgd.hvp import HessianOperator
from esgd.runs import RunFolder

SMALL = SpectrumConfig(
    "mnist-10k", examples=60, pairs=1, probes=2, steps=5, epochs=0, batch_size=30, sizes=(784, 4, 2)
)


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    torch.set_num_threads(1)
    root = tmp_path_factory.mktemp("runs")
    return record_spectrum(SMALL, root / "out", root=root)


def bits(place):
    return [(place / name).read_bytes() for name in ("eigenpairs.csv", "nodes.csv")]


def manifest(place):
    return json.loads((place / "manifest.json").read_text())


class Stop(Exception):
    """Stands for whatever ends a process."""


def stop_after(monkeypatch, count):
    """Stop at the product after ``count`` more of them have been kept."""
    save, kept = curvature_products.save_checkpoint, []

    def counting(path, state):
        if len(kept) == count:
            raise Stop
        kept.append(path)
        save(path, state)

    monkeypatch.setattr(curvature_products, "save_checkpoint", counting)


def test_stopped_in_every_part_it_goes_on_to_the_same_bits(whole, tmp_path, monkeypatch):
    folder = RunFolder(SMALL.name(), tmp_path)
    sessions = inside = 0
    with monkeypatch.context() as patched:
        while True:
            stop_after(patched, 4)  # fewer than any part has
            try:
                place = record_spectrum(SMALL, tmp_path / "out", root=tmp_path)
                break
            except Stop:
                sessions += 1
                inside += bool(list((folder.path / "products").glob("*/*.pt")))
            patched.undo()
    assert sessions >= 5  # five products or more in each of five parts
    assert inside >= 3  # the others stopped between two parts
    assert bits(place) == bits(whole)
    assert manifest(place)["cost"]["resumes"] == sessions
    assert manifest(place)["products"] == manifest(whole)["products"]
    assert not list((folder.path / "products").glob("*/*"))
    # what is finished is not done again
    stop_after(monkeypatch, 0)
    again = record_spectrum(SMALL, tmp_path / "again", root=tmp_path)
    assert bits(again) == bits(whole)
    assert manifest(again) == manifest(place)


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_kill_9_at_a_random_moment_costs_nothing_but_time(whole, tmp_path):
    # the command, with a pause at each product, so that the kill comes while there is work left
    program = """if True:
        import sys, time
        from esgd import curvature_products, curvature_spectrum
        keep = curvature_products.save_checkpoint
        def slow(*arguments):
            print("product", flush=True)
            time.sleep(0.05)
            keep(*arguments)
            time.sleep(0.05)
        curvature_products.save_checkpoint = slow
        sys.exit(curvature_spectrum.main())
    """
    command = [sys.executable, "-c", program, *SMALL.command().split()[3:]]
    command += ["--runs", str(tmp_path), "--export", str(tmp_path / "out")]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    chance = random.Random()
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    for _ in range(chance.randint(2, 20)):
        while process.stdout.readline() != "product\n":
            assert process.poll() is None
    time.sleep(chance.uniform(0, 0.1))
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    process.stdout.close()
    assert not (tmp_path / "out").exists()
    place = record_spectrum(SMALL, tmp_path / "out", root=tmp_path)
    assert bits(place) == bits(whole)
    assert manifest(place)["cost"]["resumes"] == 1


def test_what_does_not_belong_to_the_run_is_refused(whole, tmp_path):
    root = whole.parent.parent
    other = SpectrumConfig(**{**vars(SMALL), "probes": 3})
    with pytest.raises(CheckpointError, match="probes was 2 and is now 3"):
        record_spectrum(other, tmp_path, root=root)
    with RunFolder(SMALL.name(), root).locked(), pytest.raises(EsgdError, match="another process"):
        record_spectrum(SMALL, tmp_path, root=root)
    with pytest.raises(ConfigError, match="at most the 10,000 of mnist-10k"):
        record_spectrum(SpectrumConfig("mnist-10k", examples=10_001), tmp_path, root=tmp_path)


class TestKeptProducts:
    @staticmethod
    def cubic(weight, calls):
        def loss(batch):
            calls.append(len(batch))
            return (weight**3).sum()

        return HessianOperator(loss, [weight], [torch.ones(1)], check=False)

    def test_only_the_same_vectors_get_what_was_kept(self, tmp_path):
        weight, calls = torch.tensor([1.0, 2.0], requires_grad=True), []
        first = KeptProducts(self.cubic(weight, calls), tmp_path, Meter())
        expected = [first.matvec(torch.tensor(v)) for v in ([1.0, 0.0], [0.0, 1.0])]
        assert len(calls) == 2
        second = KeptProducts(self.cubic(weight, calls), tmp_path, Meter())
        assert torch.equal(second.matvec(torch.tensor([1.0, 0.0])), expected[0])
        assert len(calls) == 2
        assert second.matvec(torch.tensor([1.0, 1.0])).tolist() == [6.0, 12.0]  # not the second of the first time
        assert len(calls) == 3
        second.discard()
        assert not tmp_path.exists()

    def test_a_damaged_file_is_refused(self, tmp_path):
        weight = torch.ones(2, requires_grad=True)
        KeptProducts(self.cubic(weight, []), tmp_path, Meter()).matvec(torch.ones(2))
        (path,) = tmp_path.glob("*.pt")
        path.write_bytes(path.read_bytes()[:-5])
        with pytest.raises(CheckpointError, match="truncated"):
            KeptProducts(self.cubic(weight, []), tmp_path, Meter()).matvec(torch.ones(2))

    def test_the_time_of_a_product_counts_once(self, tmp_path):
        weight = torch.ones(2, requires_grad=True)
        meter = Meter(seconds=5.0)
        KeptProducts(self.cubic(weight, []), tmp_path, meter).matvec(torch.ones(2))
        spent = meter.seconds
        assert spent > 5
        again = Meter(seconds=5.0)
        KeptProducts(self.cubic(weight, []), tmp_path, again).matvec(torch.ones(2))
        assert again.seconds == spent
