"""A protocol's trials and runs as small files to commit; an older record in the same place is never made shorter.

What a record already holds and this machine does not (a longer run, a trial, a seed) stays in it. A record that
cannot be joined with what is here, of another protocol, other data or other settings, is refused and left as it is.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from esgd.aside import last_epoch, longest
from esgd.config import METHODS
from esgd.errors import ConfigError, EsgdError
from esgd.paths import runs_dir
from esgd.protocols import Protocol, best_config, recorded_folders
from esgd.provenance import now
from esgd.records import read_records, require_table
from esgd.remake import reproduce_command
from esgd.runs import RunFolder, by_run, read_csv, write_csv
from esgd.search import trial_rows
from esgd.sessions import ENDED, closed_by
from esgd.sources import Data, common_data
from esgd.trials import Trials, trial_manifests

__all__ = ["Record", "check_destination", "export", "read_record", "same_trial"]

Run = tuple[dict[str, Any], list[dict[str, Any]]]  # manifest, rows


@dataclass
class Record:
    """What an export wrote, or is about to write.

    Attributes:
        trials: a row a trial.
        firsts: the manifests of the first trials of the searches.
        runs: manifest and rows of each recorded run, by name.
        note: what somebody wrote into the manifest about these runs.
    """

    trials: list[dict[str, Any]] = field(default_factory=list)
    firsts: list[dict[str, Any]] = field(default_factory=list)
    runs: dict[str, Run] = field(default_factory=dict)
    note: str | None = None

    def manifests(self, place: str) -> list[tuple[str, dict[str, Any]]]:
        """Every manifest of a run in it, with a name that says where it lies."""
        found = [*self.firsts, *(manifest for manifest, _ in self.runs.values())]
        return [(f"{manifest['run']} in {place}", manifest) for manifest in found]


def read_record(plan: Protocol, source: Path) -> Record:
    """What a folder holds of a protocol; empty where nothing was exported to it.

    Raises:
        ConfigError: it is the record of another protocol, or of trials with other settings.
        DataError: it is damaged.
    """
    folder = RunFolder(source.resolve().name, source.resolve().parent)
    manifest = folder.manifest()
    if not manifest:
        return Record()
    if str(manifest.get("command")).split()[:3] != ["esgd", "reproduce", plan.name]:
        raise ConfigError(
            f"{source} was written by {manifest.get('command')!r}, not by 'esgd reproduce {plan.name}': "
            "name the folder of this protocol's record"
        )
    trials = read_csv(source / "trials.csv")
    table = {"texts": ("workload", "method", "space", "status"), "numbers": ("momentum", "trial", "seed", "epochs")}
    require_table(trials, source / "trials.csv", "trials", methods=METHODS, **table)
    for row in trials:
        row |= {name: int(row[name]) for name in ("epochs", "members") if row.get(name) is not None}
        if row["method"] not in plan.methods or not same_trial(plan, row):
            raise ConfigError(
                f"trial {row['trial']} of {row['method']} in {source} has other settings than this protocol draws: "
                "it was recorded by another version; search anew without --from, and export to another folder"
            )
    rows = by_run(read_records(folder.records)) if folder.records.exists() else {}
    runs = {run["run"]: (run, rows[run["run"]]) for run in manifest.get("runs", ()) if run["run"] in rows}
    firsts = [first for search in manifest.get("searches", ()) if (first := search["first"])]
    return Record(trials, firsts, runs, manifest.get("note"))


def same_trial(plan: Protocol, row: dict[str, Any]) -> bool:
    """Whether a recorded trial has the settings that the protocol draws for its number."""
    asked = plan.study(row["method"])
    same = all(row[name] == getattr(asked, name) for name in ("workload", "space", "momentum", "seed", "epochs"))
    return same and all(row[name] == value for name, value in asked.drawn(row["trial"]).items())


def export(
    plan: Protocol, destination: Path, *, root: Path | None = None, say: Callable[[str], None] = print
) -> list[Path]:
    """Write what there is of a protocol as small files to commit.

    ``trials.csv`` has a row a trial of the searches, ``records.csv`` a row an evaluation of the recorded runs,
    each as far as it went, of every seed that all methods have begun; ``manifest.json`` tells where they come from,
    the command that makes all of it again, and the last epoch that all have.

    Args:
        plan: the protocol.
        destination: the folder to write. What it holds beyond what is here is kept.
        root: folder of all runs; default ``ESGD_RUNS``.
        say: told what was kept of the older record, one line each.

    Raises:
        ConfigError: there is nothing yet; the trials and runs, those of the older record among them, are not on one
            data set; or the destination holds a record that cannot be joined with them.
    """
    root = runs_dir() if root is None else root
    here, old = _gathered(plan, destination, root)
    if not here.trials and not here.runs:
        raise ConfigError(f"no trials and no runs of {plan.name} in {root} yet: run esgd reproduce first")
    trials = _joined_trials(plan, here, old, say)
    runs = _joined_runs(plan, here, old, say)
    out = RunFolder(destination.name, destination.parent)
    out.path.mkdir(parents=True, exist_ok=True)
    write_csv(out.path / "trials.csv", trials, columns=tuple(trials[0]) if trials else ("trial",))
    if runs:
        out.write_records([row for _, rows in runs.values() for row in rows])
    # a note is about the runs that it stood with: it stays while one of them does
    noted = old.note and any(run[0] in [manifest for manifest, _ in runs.values()] for run in old.runs.values())
    out.write_manifest(
        {
            "workload": plan.workload,
            "command": reproduce_command(plan, runs.values()),
            "exported": now(),
            **({"note": old.note} if noted else {}),
            "epochs": min((last_epoch(rows) for _, rows in runs.values()), default=0),
            "searches": [_search(Trials(plan.study(method), root), plan, trials, old) for method in plan.methods],
            "runs": [manifest for manifest, _ in runs.values()],
        }
    )
    return [out.path / name for name in ("manifest.json", *(["records.csv"] if runs else []), "trials.csv")]


def check_destination(plan: Protocol, destination: Path, *, root: Path | None = None) -> Data | None:
    """Refuse a folder that an export could not be written to, which is best done before anything is trained.

    Args:
        plan: the protocol.
        destination: the folder that shall be exported to.
        root: folder of all runs; default ``ESGD_RUNS``.

    Returns:
        What the record in it says of the training set; None where it says nothing.

    Raises:
        ConfigError: it holds a record that cannot be joined with what is here, as for :func:`export`.
        DataError: that record is damaged.
        EsgdError: it cannot be written.
    """
    try:
        place = next(folder for folder in (destination, *destination.absolute().parents) if folder.exists())
        with tempfile.TemporaryFile(dir=place):
            pass
    except OSError as error:
        reason = error.strerror or error
        raise EsgdError(f"cannot write the results to {destination} ({reason}): name another folder") from error
    root = runs_dir() if root is None else root
    here, old = _gathered(plan, destination, root)
    _joined_runs(plan, here, old, lambda line: None)
    return common_data(old.manifests(str(destination)))


def _gathered(plan: Protocol, destination: Path, root: Path) -> tuple[Record, Record]:
    """What is here and what the destination holds, all on one data set."""
    old = read_record(plan, destination)
    studies = [Trials(plan.study(method), root) for method in plan.methods]
    here = Record([row for study in studies for row in trial_rows(study)], [], _runs(plan, root))
    begun = [
        (study.folder(number).name, manifest)
        for study in studies
        for number, manifest in trial_manifests(study.settings, root).items()
    ]
    common_data([*begun, *here.manifests(str(root)), *old.manifests(str(destination))])
    return here, old


def _search(study: Trials, plan: Protocol, trials: list[dict[str, Any]], old: Record) -> dict[str, Any]:
    """What a record's manifest says of one method's search."""
    done = [row for row in trials if row["method"] == study.settings.method and row["status"] in ENDED]
    first, name = study.folder(0).manifest(), study.folder(0).name
    if first.get("status") not in ENDED:
        first = next((recorded for recorded in old.firsts if recorded["run"] == name), first)
    return {
        "command": study.settings.command(),
        "trials_done": len(done),
        "trials_asked": plan.trials,
        "first": first or None,
    }


def _runs(plan: Protocol, root: Path) -> dict[str, Run]:
    """The recorded runs of the seeds that every method with known settings has begun."""
    found = []
    for method in plan.methods:
        if (config := best_config(plan, method, root)) is not None:
            folders = recorded_folders(config, root)
            runs = {seed: _told(folder, *longest(folder)) for seed, folder in folders.items()}
            found.append({seed: run for seed, run in runs.items() if run[1]})
    seeds = set.intersection(*map(set, found)) if found else set()  # else the first round is under way
    return {runs[seed][0]["run"]: runs[seed] for runs in found for seed in sorted(seeds)}


def _told(folder: RunFolder, manifest: dict[str, Any], rows: list[dict[str, Any]]) -> Run:
    """A run whose manifest tells how far it is recorded, also where its process was killed before it could say so.

    Such a run is called interrupted, as in ``esgd list``; one that a process is training now stays ``running``.
    """
    last = rows[-1] if rows else {"epoch": None}
    if not rows or (manifest.get("status") != "running" and manifest.get("epochs_done") in (last["epoch"], None)):
        return manifest, rows
    where = RunFolder(manifest["ensemble"]["folder"], folder.path.parent) if "ensemble" in manifest else folder
    sessions = where.manifest().get("sessions", manifest.get("sessions", ()))  # a member's may lag behind its rows
    told = {"status": "running", "epochs_done": last["epoch"]}
    told |= {name: last[name] for name in ("loss", "squared_error")}
    if not folder.busy():
        told |= {"status": "interrupted", "sessions": closed_by(sessions, last["epoch"])}
        manifest = {key: value for key, value in manifest.items() if key != "ended"}
    return manifest | told, rows


def _joined_trials(plan: Protocol, here: Record, old: Record, say: Callable[[str], None]) -> list[dict[str, Any]]:
    rows = {(row["method"], row["trial"]): row for row in here.trials}
    kept = 0
    for row in old.trials:
        mine = rows.get((row["method"], row["trial"]))
        if row["status"] in ENDED and (mine is None or mine["status"] not in ENDED):
            rows[row["method"], row["trial"]] = row
            kept += 1
    if kept:
        say(f"kept {kept} trials of the older record that are not done here")
    return sorted(rows.values(), key=lambda row: (plan.methods.index(row["method"]), row["trial"]))


def _joined_runs(plan: Protocol, here: Record, old: Record, say: Callable[[str], None]) -> dict[str, Run]:
    def which(run: Run) -> tuple[str, int]:
        return run[0]["config"]["method"], run[0]["config"]["seed"]

    runs, names = dict(here.runs), {which(run): name for name, run in here.runs.items()}
    for name, run in old.runs.items():
        if (other := names.get(which(run), name)) != name:
            raise ConfigError(
                f"the older record has {name} of {last_epoch(run[1])} epochs, where the search here chose {other}: "
                "they are not one record; export to another folder, or move the older record away"
            )
        mine = last_epoch(runs[name][1]) if name in runs else None
        if mine is None or mine < last_epoch(run[1]):
            runs[name] = run
            shorter = "is not here" if mine is None else f"has {mine} here"
            say(f"kept the {last_epoch(run[1])} epochs of {name} in the older record: it {shorter}")

    def order(name: str) -> tuple[int, int]:
        method, seed = which(runs[name])
        return plan.methods.index(method), seed

    return {name: runs[name] for name in sorted(runs, key=order)}
