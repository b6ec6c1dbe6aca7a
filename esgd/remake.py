"""The command lines that make recorded runs and measures again: with all that changes what comes out."""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from esgd.config import RunConfig

if TYPE_CHECKING:
    from esgd.protocols import Protocol

    Rows = Sequence[Mapping[str, Any]]

__all__ = ["measure_commands", "reproduce_command", "snapshot_interval", "train_command", "with_snapshots"]

_FLAG = "--snapshot-every"


def train_command(config: RunConfig, name: str, snapshot_every: int | None = None) -> str:
    """The command that makes a run with its snapshots in a folder of that name.

    Args:
        config: the run's settings.
        name: of its folder, and of the run in its records.
        snapshot_every: epochs between two snapshots; None where the run keeps none.
    """
    words = [config.command()]
    if snapshot_every is not None:
        words.append(f"{_FLAG} {snapshot_every}")
    if name != config.name():
        words.append(f"--name {shlex.quote(name)}")
    return " ".join(words)


def reproduce_command(plan: Protocol, runs: Iterable[tuple[Mapping[str, Any], Rows]]) -> str:
    """The command that makes a record again, searches and all; one a group of seeds of a length, joined by ``&&``.

    It is told by the record itself, which may have come about by several commands. Where a seed is not as long for
    every method, as of a record that was not done, it goes to the longest.

    Args:
        plan: the protocol.
        runs: manifest and rows of each recorded run.
    """
    lengths: dict[int, int] = {}
    together: dict[int, tuple[int, ...]] = {}  # seed -> the seeds of its ensemble, in order
    for manifest, rows in runs:
        seed = manifest["config"]["seed"]
        lengths[seed] = max(lengths.get(seed, 1), *(row["epoch"] for row in rows))
        if "ensemble" in manifest:
            together[seed] = tuple(map(int, manifest["ensemble"]["folder"].rpartition("-seeds")[2].split("-")))
    groups: dict[tuple[tuple[int, ...], int], list[int]] = {}
    for seed, epochs in sorted(lengths.items()):
        groups.setdefault((together.get(seed, ()), epochs), []).append(seed)
    return " && ".join(
        _reproduce_command(
            plan, sorted(seeds, key=members.index) if members else seeds, epochs, ensemble=bool(members)
        )
        for (members, epochs), seeds in (groups or {((), plan.rounds[-1]): plan.seeds}).items()
    )


def _reproduce_command(plan: Protocol, seeds: Sequence[int], epochs: int, *, ensemble: bool) -> str:
    words = ["esgd reproduce", plan.name]
    if ensemble:
        words.append("--ensemble")
    if tuple(seeds) != plan.seeds:
        words.append(f"--seeds {','.join(map(str, seeds))}")
    if epochs != plan.rounds[-1]:
        words.append(f"--epochs {epochs}")
    return " ".join(words)


def snapshot_interval(manifest: Mapping[str, Any]) -> int | None:
    """The interval of the snapshots in the command that a run's manifest tells; None where it tells none."""
    found = re.search(rf"{_FLAG} (\d+)", manifest.get("command") or "")
    return int(found[1]) if found else None


def with_snapshots(manifest: Mapping[str, Any], epochs: Collection[int]) -> dict[str, Any]:
    """A run's manifest whose command makes the snapshots of these epochs, as its own interval mostly does.

    Manifests of older runs tell none, and that of a run that went on with another interval tells the last one: the
    largest interval that meets all the epochs then takes its place.
    """
    told = snapshot_interval(manifest)
    every = math.gcd(*epochs, told or 0)
    if not manifest.get("command") or not any(epochs) or every == told:
        return dict(manifest)
    command = re.sub(rf" {_FLAG} \d+", "", manifest["command"])
    return {**manifest, "command": f"{command} {_FLAG} {every}"}


def measure_commands(
    command: str, measured: Mapping[str, Collection[int]], snapshots: Mapping[str, Collection[int]]
) -> str:
    """The command that measures runs at these epochs and at no others; one a set of epochs, joined by ``&&``.

    Args:
        command: ``esgd measure {runs} …``, with the place of the runs' names.
        measured: run -> its epochs.
        snapshots: run -> all epochs that it has snapshots of; where these are measured they need not be named.
    """
    groups: dict[tuple[int, ...], list[str]] = {}
    for run, epochs in measured.items():
        named = () if set(epochs) == set(snapshots.get(run, ())) else tuple(sorted(epochs))
        groups.setdefault(named, []).append(run)
    return " && ".join(
        command.format(runs=" ".join(map(shlex.quote, runs))) + "".join(f" --epoch {epoch}" for epoch in epochs)
        for epochs, runs in groups.items()
    )
