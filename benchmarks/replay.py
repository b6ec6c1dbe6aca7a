"""How far a recorded run's replay is from the record, and what moves it: five epochs of ESGD on CURVES, seed 0.

The settings are those of the recorded run; each variant changes nothing but the rounding. A process of its own runs
each, since threads and instruction sets are chosen when PyTorch starts.

    python benchmarks/replay.py        # writes results/replay; about half a minute a variant on a free core
"""

from __future__ import annotations

import argparse
import io
import json
import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import torch

from esgd.config import RunConfig
from esgd.provenance import now, provenance
from esgd.runs import RunFolder, read_csv, write_csv
from esgd.train import Training, train
from esgd.workload import workload

RESULTS = Path(__file__).resolve().parents[1] / "results"
EPOCHS = 5
RECORDED_CODE = "the code of the record's commit"
VARIANTS = {
    "one thread": {},
    "one thread, again": {},
    "one weight's last bit": {},
    "ATen without vector instructions": {"ATEN_CPU_CAPABILITY": "default"},
    "ATen with AVX-512": {"ATEN_CPU_CAPABILITY": "avx512"},
    "MKL in its compatible mode": {"MKL_CBWR": "COMPATIBLE"},
    RECORDED_CODE: {},
    "two threads": {"OMP_NUM_THREADS": "2"},
}
COLUMNS = ("variant", "epoch", "step", "loss", "squared_error")


def recorded() -> dict:
    """The manifest of the recorded run that is replayed."""
    runs = json.loads((RESULTS / "fig5" / "curves" / "manifest.json").read_text())["runs"]
    return next(run for run in runs if (run["config"]["method"], run["config"]["seed"]) == ("esgd", 0))


def replay(variant: str) -> list[dict]:
    """The records of one variant, in this process."""
    config = RunConfig.from_dict(recorded()["config"] | {"epochs": EPOCHS, "eval_every": 1})
    data = workload("curves").data(progress=False)
    if data.digest != recorded()["data"]["sha256"]:
        raise SystemExit(f"the record was made on {recorded()['data']['source']}, here is {data.source}")
    training = Training(config, data)
    if variant == "one weight's last bit":
        with torch.no_grad():
            weights = next(training.net.parameters()).view(-1)
            at = weights.abs().argmax()
            weights[at] = torch.nextafter(weights[at], torch.tensor(torch.inf))
    records = train(config, data, progress=False, training=training).records
    return [{"variant": variant} | {name: r[name] for name in COLUMNS[1:]} for r in records]


def unpack(commit: str, folder: Path) -> None:
    """The package as it was at a commit."""
    archive = subprocess.run(
        ["git", "-C", str(RESULTS.parent), "archive", commit, "esgd"], check=True, capture_output=True
    ).stdout
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        tar.extractall(folder, filter="data")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--variant", choices=VARIANTS, help="run this one here and print its records")
    if (variant := parser.parse_args().variant) is not None:
        print(json.dumps(replay(variant)))
        return
    out = RunFolder("replay", RESULTS)
    table = out.path / "replays.csv"
    rows = read_csv(table) if table.exists() else []
    manifest = out.manifest() or {
        "command": "python benchmarks/replay.py",
        "replays": recorded()["run"],
        **provenance(torch.device("cpu")),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "started": now(),
    }
    for variant in VARIANTS:
        if variant in {row["variant"] for row in rows}:
            continue  # a stopped session goes on
        with tempfile.TemporaryDirectory() as checkout:
            env = os.environ | {"OMP_NUM_THREADS": "1"} | VARIANTS[variant]
            if variant == RECORDED_CODE:
                unpack(recorded()["commit"], Path(checkout))
                env["PYTHONPATH"] = checkout
            words = [sys.executable, __file__, "--variant", variant]
            done = subprocess.run(words, env=env, check=True, stdout=subprocess.PIPE, text=True)
        rows += json.loads(done.stdout.splitlines()[-1])
        manifest.setdefault("variants", {})[variant] = {"ran": now(), **provenance(torch.device("cpu"))}
        out.write_manifest(manifest | {"ended": now()})
        write_csv(table, rows, COLUMNS)
        print(f"{variant}: loss {rows[-1]['loss']:.4f} after {rows[-1]['epoch']} epochs", flush=True)


if __name__ == "__main__":
    main()
