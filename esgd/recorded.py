"""A recorded protocol taken over as if it had been run here: its searches need not be run again."""

from __future__ import annotations

from pathlib import Path

from esgd.errors import DataError
from esgd.export import read_record
from esgd.paths import runs_dir
from esgd.protocols import Protocol, protocol_data
from esgd.runs import RunFolder
from esgd.sessions import ENDED
from esgd.sources import common_data
from esgd.trials import Trials

__all__ = ["take_over"]


def take_over(plan: Protocol, source: Path, *, root: Path | None = None) -> list[str]:
    """Make folders of the runs that :func:`esgd.export.export` wrote; what there is already stays as it is.

    Finished trials count as done, so that the search is not run again. Recorded runs have their records and no
    checkpoint: an export takes them along, and a run that is asked for more epochs begins anew, with the recorded
    rows kept aside until it has passed them (:mod:`esgd.aside`).

    Args:
        plan: the protocol.
        source: the folder that was exported to.
        root: folder of all runs; default ``ESGD_RUNS``.

    Returns:
        The names of the folders that were made.

    Raises:
        ConfigError: the folder is the record of another protocol, of trials with other settings, or of other data
            than the runs that are here already.
        DataError: the folder holds no record, or a damaged one.
    """
    root = runs_dir() if root is None else root
    record = read_record(plan, source)
    if not record.trials:
        raise DataError(f"{source} holds no record: name a folder that esgd reproduce --results wrote")
    data = common_data(record.manifests(str(source)))
    mine = protocol_data(plan, root)
    common_data([(f"{plan.name} in {source}", {"data": data}), (f"{plan.name} in {root}", {"data": mine})])
    made = []
    firsts = {first["run"]: first for first in record.firsts}
    studies = {method: Trials(plan.study(method), root) for method in plan.methods}
    for row in record.trials:
        folder = studies[row["method"]].folder(row["trial"])
        if row["status"] in ENDED and not folder.manifest():
            kept = {name: row[name] for name in ("status", "loss", "squared_error")}
            if row.get("members", 1) > 1:
                kept["ensemble"] = {"folder": "that was recorded", "members": int(row["members"])}
            if data is not None:  # a record has one data set, which the first trial of each search names
                kept["data"] = dict(data)
            folder.write_manifest(firsts.get(folder.name, {"run": folder.name, "recorded": True, **kept}))
            made.append(folder.name)
    for study in studies.values():
        study.update_journal()
    for name, (manifest, rows) in record.runs.items():
        folder = RunFolder(name, root)
        if not folder.manifest():
            folder.write_records(rows)  # first: a manifest says that the folder is complete
            folder.write_manifest(manifest)
            made.append(name)
    return made
