"""The run folders of an ensemble's members: what their runs alone would leave there, but the checkpoint.

The manifest of such a folder names the ensemble, whose folder holds the checkpoint of all members. A run that was
begun alone cannot go on as a member, nor a member alone; both are refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from esgd.errors import ConfigError
from esgd.runs import RunFolder

if TYPE_CHECKING:
    from esgd.ensemble_run import EnsembleTraining

__all__ = ["check_own_folders", "refuse_member", "write_members"]


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
        other = folder.manifest().get("ensemble", {}).get("folder", ensemble.name)
        if other != ensemble.name:
            raise ConfigError(
                f"the run in {folder.path} is a member of the ensemble {other} and cannot be one of "
                f"{ensemble.name} as well: ask for the same members, or take another folder for the runs"
            )


def refuse_member(folder: RunFolder) -> None:
    """Refuse to go on alone with a run that is a member of an ensemble.

    Raises:
        ConfigError: names the ensemble, and what to do.
    """
    if ensemble := folder.manifest().get("ensemble"):
        raise ConfigError(
            f"the run in {folder.path} is a member of the ensemble {ensemble['folder']} and cannot go on alone: go "
            "on with the ensemble, or take another folder or name for the run"
        )


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
        last = records[-1]
        folder.write_records(records)
        folder.write_manifest(
            {
                "run": folder.name,
                "command": training.configs[k].command(),
                "config": asdict(training.configs[k]),
                "ensemble": {"folder": ensemble.name, "member": k, "members": len(folders)},
                **shared,
                **({"status": "diverged"} if k in diverged else {}),
                "epochs_done": last["epoch"],
                "loss": last["loss"],
                "squared_error": last["squared_error"],
            }
        )
