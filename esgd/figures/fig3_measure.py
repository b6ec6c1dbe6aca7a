"""Figure 3, the measurement: condition numbers of random Hessians before and after diagonal preconditioning.

``python -m esgd.figures.fig3_measure`` writes ``results/fig3/conditions.csv`` and ``manifest.json``. It
goes on where it stopped: a problem that has its rows in the CSV is not computed again. One problem is one
line of work (seconds at the paper's size), so a kill loses at most one.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from esgd.errors import ConfigError, DataError
from esgd.theory.matrices import (
    abs_matrix,
    equilibration_diagonal,
    jacobi_diagonal,
    left_scaled,
    spectrum_condition,
    two_sided,
)
from esgd.theory.softmax_hessians import random_problem

__all__ = ["FIELDS", "PAPER", "Setting", "measure", "plan", "run"]

FIELDS = [
    *("family", "hidden", "inputs", "classes", "examples", "seed"),  # which problem
    *("parameters", "null", "hessian", "preconditioner", "definition", "kappa", "gap", "negative"),
]


@dataclass(frozen=True)
class Setting:
    """What is drawn: a family of models and its sizes (0 where a family has no hidden units or classes)."""

    family: str
    hidden: int = 100
    inputs: int = 10
    classes: int = 5
    examples: int = 1000

    def key(self, seed: int) -> tuple[str, ...]:
        """What identifies one problem in the CSV."""
        return (self.family, *map(str, (self.hidden, self.inputs, self.classes, self.examples, seed)))


PAPER = (Setting("network"), Setting("softmax", hidden=0), Setting("binary", hidden=0, classes=0))
SENSITIVITY = (
    *(Setting("network", hidden=h) for h in (10, 25, 50, 150)),
    *(Setting("network", inputs=d) for d in (3, 20)),
    *(Setting("network", classes=c) for c in (2, 10)),
    *(Setting("network", examples=n) for n in (250, 4000)),
)
SMALLER = tuple(Setting("network", hidden=h) for h in (25, 50))
DEMO = (Setting("network", hidden=12, inputs=4, classes=3, examples=300), *PAPER[1:])
SCALES = {
    "paper": (PAPER, range(100)),
    "sensitivity": (SENSITIVITY, range(20)),
    "controls": (SMALLER, range(100, 160)),  # away from the seeds of "sensitivity", which has some of the sizes
    "demo": (DEMO, range(20)),
}


def measure(setting: Setting, seed: int, *, controls: bool = True) -> list[dict[str, object]]:
    """All condition numbers of one random problem.

    Args:
        setting: what to draw.
        seed: which draw.
        controls: also measure the Gauss–Newton matrix and |H| (networks only), in which no sign can cancel.

    Returns:
        One row a (Hessian, preconditioner, definition), with the keys :data:`FIELDS`. ``gap`` says how far
        the kept spectrum lies above the null directions that were left out, ``negative`` is the share of
        negative eigenvalues among the kept ones.
    """
    sizes = {k: v for k, v in asdict(setting).items() if k != "family" and v}
    problem = random_problem(setting.family, seed, **sizes)
    null = problem.null
    rows: list[dict[str, object]] = []
    common = asdict(setting) | {"seed": seed, "parameters": len(problem.full), "null": null}

    def add(hessian: str, name: str, definition: str, values: np.ndarray, negative: float | str = "") -> None:
        kappa, gap = spectrum_condition(np.abs(values), null=null)
        rows.append(
            common
            | {
                "hessian": hessian,
                "preconditioner": name,
                "definition": definition,
                "kappa": f"{kappa:.9g}",
                "gap": f"{gap:.3g}",
                "negative": negative,
            }
        )

    network = setting.family == "network"
    H = problem.full
    absolute = abs_matrix(H) if network else H
    matrices = {"H": H}
    if network and controls:
        matrices |= {"gauss_newton": problem.gauss_newton, "absolute": absolute}
    for label, matrix in matrices.items():
        values = np.linalg.eigvalsh(matrix)
        kept = values[np.argsort(np.abs(values))[null:]]
        for definition in ("eig", "sv"):
            add(label, "none", definition, values, f"{np.mean(kept < 0):.6g}")
        diagonals = {"jacobi": jacobi_diagonal(matrix), "equilibration": equilibration_diagonal(matrix)}
        if label == "H" and network:
            diagonals["absolute"] = np.diagonal(absolute).copy()
        for name, diagonal in diagonals.items():
            add(label, name, "eig", np.linalg.eigvalsh(two_sided(matrix, diagonal)))
            add(label, name, "sv", np.linalg.svd(left_scaled(matrix, diagonal), compute_uv=False))
    return rows


def plan(scale: str) -> Iterator[tuple[Setting, int, bool]]:
    """The problems of a scale: (setting, seed, with controls).

    ``"paper"`` is 100 networks and 100 regressions of each kind; ``"sensitivity"`` is 20 networks at each
    of ten other sizes, without controls; ``"controls"`` is 60 networks more, with controls, at each of two
    smaller sizes; ``"demo"`` is 20 small ones, seconds in all.
    """
    if scale not in SCALES:
        raise ConfigError(f"scale must be one of {', '.join(SCALES)}, but it is {scale!r}")
    settings, seeds = SCALES[scale]
    for seed in seeds:
        for setting in settings:
            yield setting, seed, scale != "sensitivity"


def _done(path: Path) -> set[tuple[str, ...]]:
    with path.open(newline="") as file:
        reader = csv.DictReader(file)
        if reader.fieldnames != FIELDS:
            raise DataError(f"{path} is not a Figure 3 table (its columns are {reader.fieldnames}): move it away")
        return {tuple(row[k] for k in FIELDS[:6]) for row in reader}


def _commit() -> str:
    git = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=Path(__file__).parent, capture_output=True, text=True, check=False
    )
    return git.stdout.strip() or "unknown"


def run(folder: Path, scale: str = "paper", *, report: bool = True) -> Path:
    """Measure everything of a scale that the folder's CSV lacks.

    Args:
        folder: where ``conditions.csv`` and ``manifest.json`` lie, made if need be.
        scale: see :func:`plan`.
        report: print a line for every tenth problem.

    Returns:
        The path of the CSV.
    """
    folder.mkdir(parents=True, exist_ok=True)
    table, manifest = folder / "conditions.csv", folder / "manifest.json"
    if not table.exists():
        table.write_text(",".join(FIELDS) + "\n")
    done = _done(table)
    todo = [item for item in plan(scale) if item[0].key(item[1]) not in done]
    started, clock = datetime.now(UTC), time.perf_counter()
    for at, (setting, seed, controls) in enumerate(todo, start=1):
        rows = measure(setting, seed, controls=controls)
        with table.open("a", newline="") as file:
            csv.DictWriter(file, FIELDS, lineterminator="\n").writerows(rows)
        if report and (at % 10 == 0 or at == len(todo)):
            left = (time.perf_counter() - clock) / at * (len(todo) - at)
            print(f"{scale}: {at}/{len(todo)}, about {left / 60:.1f} min left", file=sys.stderr, flush=True)
    if todo:
        record = json.loads(manifest.read_text()) if manifest.exists() else {"figure": 3, "runs": []}
        record["runs"].append(
            {
                "scale": scale,
                "problems": len(todo),
                "settings": [asdict(s) for s in dict.fromkeys(item[0] for item in plan(scale))],
                "seeds": [min(i[1] for i in todo), max(i[1] for i in todo)],
                "started": started.isoformat(timespec="seconds"),
                "ended": datetime.now(UTC).isoformat(timespec="seconds"),
                "commit": _commit(),
                "python": platform.python_version(),
                "numpy": np.__version__,
                "device": f"{platform.machine()} CPU, {os.cpu_count()} cores",
                "dtype": "float64",
                "command": f"python -m esgd.figures.fig3_measure --scale {scale}",
            }
        )
        manifest.write_text(json.dumps(record, indent=1) + "\n")
    return table


def main() -> None:
    """The command line: ``python -m esgd.figures.fig3_measure --scale paper --out results/fig3``."""
    parser = argparse.ArgumentParser(description=run.__doc__.splitlines()[0])
    parser.add_argument("--scale", default="paper", choices=tuple(SCALES))
    parser.add_argument("--out", type=Path, default=Path("results/fig3"))
    args = parser.parse_args()
    run(args.out, args.scale)


if __name__ == "__main__":
    main()
