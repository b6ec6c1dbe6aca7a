"""The recorded spectrum: what is written is what was measured, and it reads back."""

from __future__ import annotations

import json

import pytest
import torch

from esgd.curvature_run import measured_net
from esgd.curvature_spectrum import SpectrumConfig, main, read_spectrum, record_spectrum
from esgd.errors import ConfigError
from esgd.hvp import HessianOperator
from esgd.nets import reconstruction_loss
from esgd.runs import RunFolder, read_csv
from esgd.spectrum import spectral_density
from esgd.workload import workload

SMALL = SpectrumConfig(
    "mnist-10k", examples=100, pairs=2, probes=2, steps=8, epochs=1, batch_size=50, sizes=(784, 4, 2)
)


@pytest.fixture(scope="module")
def record(tmp_path_factory):
    root = tmp_path_factory.mktemp("runs")
    return record_spectrum(SMALL, root / "out", root=root), root


def test_it_is_the_spectrum_of_the_net_on_the_first_examples(record):
    place, root = record
    images = workload("mnist-10k").data(progress=False).images
    net, _ = measured_net(SMALL.net(), RunFolder(SMALL.net().name(), root), images)
    images = images[:100]
    operator = HessianOperator(lambda b: reconstruction_loss(net(b), b), net.parameters(), [images])
    rows = read_csv(place / "eigenpairs.csv")
    assert len(rows) == 4
    values = [row["value"] for row in rows]
    assert values == sorted(values, reverse=True)
    assert values[-1] < 0 < values[0]
    # no other vector does better, as far as forty steps from another start can see
    other = spectral_density(operator, 1, num_steps=40, seed=1).nodes
    assert other.max().item() == pytest.approx(values[0], rel=1e-3)
    assert other.min().item() == pytest.approx(values[-1], abs=1e-3 * values[0])
    assert all(row["residual"] <= 1e-4 * values[0] * 1.001 for row in rows)
    mine, again = read_spectrum(place)["hessian"], spectral_density(operator, 2, num_steps=8)
    assert torch.allclose(mine.nodes, again.nodes, rtol=1e-3, atol=1e-3 * values[0])
    assert mine.num_params == operator.num_params
    for function in (torch.square, torch.abs):
        assert mine.trace(function).value == pytest.approx(again.trace(function).value, rel=1e-3)


def test_gauss_newton_has_no_negative_eigenvalue(record):
    density = read_spectrum(record[0])["gauss-newton"]
    assert density.certain_negative() == 0
    assert density.weights.sum(1).tolist() == pytest.approx([1, 1])


def test_its_manifest(record):
    place, root = record
    text = (place / "manifest.json").read_text()
    manifest = json.loads(text)
    assert {"versions", "device", "commit", "start", "end", "command", "cost", "loss"} <= set(manifest)
    assert manifest["converged"] is True
    assert manifest["settings"]["examples"] == 100
    assert manifest["products"]["density"] == 16
    assert str(root) not in text


def test_the_command_remakes_it(record, tmp_path, capsys):
    place, _ = record
    command = SMALL.command().split()[3:]
    assert main([*command, "--runs", str(tmp_path), "--export", str(tmp_path)]) == 0
    assert "negative eigenvalues" in capsys.readouterr().out
    for name in ("eigenpairs.csv", "nodes.csv"):
        mine, again = read_csv(place / name), read_csv(tmp_path / SMALL.name() / name)
        for a, b in zip(mine, again, strict=True):
            assert (
                a == pytest.approx(b, rel=1e-3, abs=1e-4)
                if name == "eigenpairs.csv"
                else a["matrix"] == b["matrix"]
            )
    assert main(["nowhere", "--runs", str(tmp_path)]) == 1
    assert "unknown workload" in capsys.readouterr().err
    with pytest.raises(ConfigError, match="steps must be at least 1"):
        SpectrumConfig(steps=0)
