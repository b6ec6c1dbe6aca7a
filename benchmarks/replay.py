"""How far a recorded run's replay is from the record, and what moves it: five epochs of ESGD on CURVES, seed 0.

The settings are those of the recorded run; each variant changes nothing but the rounding. A process of its own runs
each, since threads and instruction sets are chosen when PyTorch starts; all but what a variant changes are those of
the record. Replays of another record than today's are thrown away.

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
SAME = {"OMP_NUM_THREADS": "1", "ATEN_CPU_CAPABILITY": "avx2"}  # one thread, AVX2: what the record was made with
VARIANTS = {
    "nothing": {},
    "nothing, once more": {},
    RECORDED_CODE: {},
    "one weight's last bit": {},
    "ATen without vector instructions": {"ATEN_CPU_CAPABILITY": "default"},
    "ATen with AVX-512": {"ATEN_CPU_CAPABILITY": "avx512"},
    "MKL in its compatible mode": {"MKL_CBWR": "COMPATIBLE"},
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


def run(variant: str) -> dict:
    """A variant in a process of its own: its records, and where they come from."""
    with tempfile.TemporaryDirectory() as checkout:
        env = os.environ | SAME | VARIANTS[variant]
        if variant == RECORDED_CODE:
            unpack(recorded()["commit"], Path(checkout))
            env["PYTHONPATH"] = checkout
        words = [sys.executable, __file__, "--variant", variant]
        done = subprocess.run(words, env=env, check=True, stdout=subprocess.PIPE, text=True)
    found = json.loads(done.stdout.splitlines()[-1])
    if variant == RECORDED_CODE:  # it ran from an archive, which is no checkout
        found["provenance"] |= {"commit": recorded()["commit"], "changed": False}
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--variant", choices=VARIANTS, help="run this one here and print its records")
    if (variant := parser.parse_args().variant) is not None:
        print(json.dumps({"records": replay(variant), "provenance": provenance(torch.device("cpu"))}))
        return
    if not recorded()["device"].endswith("1 thread, AVX2"):
        raise SystemExit(f"the record was made on {recorded()['device']!r}: set SAME to what it had")
    out = RunFolder("replay", RESULTS)
    table = out.path / "replays.csv"
    record = {key: recorded()[key] for key in ("run", "commit", "device")}
    manifest = out.manifest() or {}
    rows = read_csv(table) if manifest.get("replays") == record else []  # those of another say nothing of this
    if not rows:
        manifest = {"command": "python benchmarks/replay.py", "replays": record, "started": now(), "variants": {}}
    for variant in VARIANTS:
        if variant in {row["variant"] for row in rows}:
            continue  # a stopped session goes on
        found = run(variant)
        rows += found["records"]
        manifest["variants"][variant] = {"ran": now(), **found["provenance"]}
        out.write_manifest(manifest | {"ended": now()})
        write_csv(table, rows, COLUMNS)
        print(f"{variant}: loss {rows[-1]['loss']:.4f} after {rows[-1]['epoch']} epochs", flush=True)


if __name__ == "__main__":
    main()
