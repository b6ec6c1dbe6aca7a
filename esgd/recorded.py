"""A recorded protocol taken over as if it had been run here: its searches need not be run again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from esgd.errors import ConfigError
from esgd.paths import runs_dir
from esgd.reproduce import Protocol
from esgd.runs import RunFolder, by_run, read_csv
from esgd.trials import Trials

__all__ = ["take_over"]


def take_over(plan: Protocol, source: Path, *, root: Path | None = None) -> list[str]:
    """Make folders of the runs that :func:`esgd.reproduce.export` wrote; what there is already stays as it is.

    Finished trials count as done, so that the search is not run again. Recorded runs have their records and no
    checkpoint: an export takes them along, and a run that is asked for more epochs begins anew.

    Args:
        plan: the protocol.
        source: the folder that was exported to.
        root: folder of all runs; default ``ESGD_RUNS``.

    Returns:
        The names of the folders that were made.

    Raises:
        ConfigError: the folder is the record of another protocol, or of trials with other settings.
        DataError: the folder holds no record, or a damaged one.
    """
    root = runs_dir() if root is None else root
    record = RunFolder(source.resolve().name, source.resolve().parent)
    trials, manifest = read_csv(source / "trials.csv"), record.manifest()
    if manifest.get("command") != f"esgd reproduce {plan.name}":
        raise ConfigError(
            f"{source} was written by {manifest.get('command')!r}, not by 'esgd reproduce {plan.name}': "
            "name the folder of this protocol's record"
        )
    made = []
    firsts = {first["run"]: first for search in manifest["searches"] if (first := search["first"])}
    studies = {method: Trials(plan.study(method), root) for method in plan.methods}
    for row in trials:
        study = studies.get(row["method"])
        if study is None or not _same_trial(row, study):
            raise ConfigError(
                f"trial {row['trial']} of {row['method']} in {source} has other settings than this protocol draws: "
                "it was recorded by another version, search anew without --from"
            )
        folder = study.folder(row["trial"])
        if row["status"] in ("finished", "diverged") and not folder.manifest():
            kept = {name: row[name] for name in ("status", "loss", "squared_error")}
            if row.get("members", 1) > 1:
                kept["ensemble"] = {"folder": "that was recorded", "members": int(row["members"])}
            folder.write_manifest(firsts.get(folder.name, {"run": folder.name, "recorded": True, **kept}))
            made.append(folder.name)
    for study in studies.values():
        study.update_journal()
    records = by_run(read_csv(record.records)) if record.records.exists() else {}
    for run in manifest["runs"]:
        folder = RunFolder(run["run"], root)
        if not folder.manifest() and run["run"] in records:
            folder.write_manifest(run)
            folder.write_records(records[run["run"]])
            made.append(folder.name)
    return made


def _same_trial(row: dict[str, Any], study: Trials) -> bool:
    asked = study.settings
    same = all(row[name] == getattr(asked, name) for name in ("workload", "space", "momentum", "seed", "epochs"))
    return same and all(row[name] == value for name, value in asked.drawn(row["trial"]).items())
