"""The recorded runs of Figure 5 on MNIST, which the experiments on ESGD's damping repeat or take apart."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from esgd.errors import DataError
from esgd.runs import RunFolder

RESULTS = Path(__file__).parent.parent / "results" / "fig5"


def recorded_run(method: str, seed: int) -> dict[str, Any]:
    """What the manifest says of the run of a method and a seed.

    Raises:
        DataError: there is none.
    """
    runs = RunFolder("mnist", RESULTS).manifest()["runs"]
    found = {(r["config"]["method"], r["config"]["seed"]): r for r in runs}
    if (method, seed) not in found:
        seeds = ", ".join(str(s) for m, s in sorted(found) if m == method) or "none"
        raise DataError(f"{RESULTS / 'mnist'} has no run of {method} with seed {seed}, only with: {seeds}")
    return found[method, seed]
