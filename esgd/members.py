"""The members of an ensemble: which runs may be, and their folders, with all that runs leave but a checkpoint.

The manifest of such a folder names the ensemble, whose folder holds the checkpoint of all members. A run that was
begun alone cannot go on as a member, nor a member alone; both are refused.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from esgd.aside import drop_if_passed
from esgd.config import RunConfig
from esgd.errors import ConfigError
from esgd.remake import train_command
from esgd.runs import RunFolder

if TYPE_CHECKING:
    from esgd.ensemble_training import EnsembleTraining

__all__ = [
    "check_members",
    "check_own_folders",
    "ensemble_command",
    "ensemble_name",
    "refuse_member",
    "write_members",
]

LONGEST_NAME = 255  # of a file or folder, in bytes
MAY_DIFFER = ("lr", "damping", "decay", "seed")


def check_members(configs: Sequence[RunConfig]) -> None:
    """Refuse runs that cannot be the members of one ensemble.

    Raises:
        ConfigError: there are none, they differ in more than they may, or the method knows no ensembles.
    """
    if not configs:
        raise ConfigError("an ensemble needs at least one member")
    first = configs[0]
    shared = [{k: v for k, v in asdict(config).items() if k not in MAY_DIFFER} for config in configs]
    if odd := sorted({k for other in shared for k in other if other[k] != shared[0][k]}):
        raise ConfigError(
            f"members of an ensemble may differ in {', '.join(MAY_DIFFER)}, but {', '.join(odd)} differs"
        )
    if first.method == "adam" or (first.method == "rmsprop" and first.momentum):
        what = "adam" if first.method == "adam" else "rmsprop with momentum"
        raise ConfigError(f"there are no ensembles of {what}: train its runs one by one")
    if first.update_every == "auto":
        raise ConfigError("an ensemble needs one interval for all members: give update_every as a number")
    if len({config.name() for config in configs}) < len(configs):
        raise ConfigError("two members of the ensemble are the same run: give each its own seed or rate")


def ensemble_name(configs: Sequence[RunConfig]) -> str:
    """A readable name for runs that differ in their seeds only, e.g. ``curves-sgd-lr0.02-seeds0-1-2``.

    Where it would be longer than a file's name may be, it ends in ``seeds0to99`` or in ``100seeds-`` and a hash.
    """
    stem, seeds = configs[0].name().removesuffix(f"seed{configs[0].seed}"), [config.seed for config in configs]
    text = "-".join(map(str, seeds))
    if len(f"{stem}seeds{text}") <= LONGEST_NAME:
        return f"{stem}seeds{text}"
    if seeds == list(range(seeds[0], seeds[-1] + 1)):
        return f"{stem}seeds{seeds[0]}to{seeds[-1]}"
    return f"{stem}{len(seeds)}seeds-{sha256(text.encode()).hexdigest()[:12]}"


def ensemble_command(configs: Sequence[RunConfig], name: str) -> str | None:
    """The command that makes an ensemble in a folder of that name; None where not only the seeds differ."""
    first = configs[0]
    if any(replace(config, seed=first.seed) != first for config in configs):
        return None
    seeds = ",".join(str(config.seed) for config in configs)
    command = first.command().replace(f"--seed {first.seed}", f"--seeds {seeds}", 1)
    return command if name == ensemble_name(configs) else f"{command} --name {shlex.quote(name)}"


def check_own_folders(folders: Sequence[RunFolder], ensemble: RunFolder) -> None:
    """Refuse folders that hold runs begun alone, or as members of another ensemble.

    Raises:
        ConfigError: names the folder, and what to do.
    """
    for folder in folders:
        if folder.checkpoint.exists():
            raise ConfigError(
                f"the run in {folder.path} was begun alone and cannot go on as a member of an ensemble: leave "
                "ensembles out, or take another folder for the runs"
            )
        recorded = folder.manifest().get("ensemble")
        if recorded and recorded["folder"] != ensemble.name:
            if _is_here(recorded["folder"], folder):
                raise ConfigError(
                    f"the run in {folder.path} is a member of the ensemble {recorded['folder']} and cannot be one "
                    f"of {ensemble.name} as well: ask for the same members, or take another folder for the runs"
                )
            raise ConfigError(
                f"the run in {folder.path} was taken over from a record, where it was one of {recorded['members']} "
                f"members of the ensemble {recorded['folder']}: ask for those members (that name has the seeds), "
                "which begins them anew, or take another folder for the runs"
            )


def refuse_member(folder: RunFolder) -> None:
    """Refuse to go on alone with a run that is, or is recorded as, a member of an ensemble.

    Raises:
        ConfigError: names the ensemble, and what to do.
    """
    if ensemble := folder.manifest().get("ensemble"):
        if _is_here(ensemble["folder"], folder):
            raise ConfigError(
                f"the run in {folder.path} is a member of the ensemble {ensemble['folder']} and cannot go on "
                "alone: go on with the ensemble, or take another folder or name for the run"
            )
        raise ConfigError(
            f"the run in {folder.path} was taken over from a record, where it was one of {ensemble['members']} "
            "members of an ensemble, and cannot go on alone: add --ensemble, which begins all of them anew and "
            "keeps the recorded rows until they are passed, or take another folder for the runs"
        )


def _is_here(name: str, member: RunFolder) -> bool:
    """Whether the checkpoint of an ensemble lies beside its member's folder; a record taken over has none."""
    return RunFolder(name, member.path.parent).checkpoint.exists()


def write_members(
    training: EnsembleTraining, folders: Sequence[RunFolder], shared: Mapping[str, Any], ensemble: RunFolder
) -> None:
    """Write the records and manifests of all members, each file atomically.

    Args:
        training: the ensemble as it is now.
        folders: one a member, or none at all.
        shared: what all manifests say: data, net, versions, device, times, status.
        ensemble: the ensemble's folder.
    """
    diverged = training.diverged
    for k, folder in enumerate(folders):
        records = training.member_records(k)
        if not records:  # stopped before its first evaluation
            continue
        last = records[-1]
        folder.write_records(records)
        folder.write_manifest(
            {
                "run": folder.name,
                "command": train_command(training.configs[k], folder.name),
                "config": asdict(training.configs[k]),
                "ensemble": {"folder": ensemble.name, "member": k, "members": len(folders)},
                **shared,
                **({"status": "diverged"} if k in diverged else {}),
                "epochs_done": last["epoch"],
                "loss": last["loss"],
                "squared_error": last["squared_error"],
            }
        )
        drop_if_passed(folder, last["epoch"])  # after the manifest, which tells whether it is the same run
