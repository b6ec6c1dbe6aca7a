"""What a protocol tells while it runs: the setting that each search chose, and how long the rest will take."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from esgd.aside import epochs_done
from esgd.comparison import edge_position
from esgd.protocols import Protocol, best_config, recorded_folders
from esgd.runs import RunFolder
from esgd.sessions import ENDED
from esgd.spaces import space
from esgd.trials import Trials, trial_manifests

__all__ = ["chosen_line", "in_words", "seconds_left"]

Manifest = Mapping[str, Any]


def chosen_line(trials: Trials) -> str | None:
    """What a finished search chose, each setting with its place in its range; None while it is not finished.

    Raises:
        ConfigError: the trials were trained on different data.
    """
    study, losses, best = trials.settings, trials.losses(), trials.best()
    if best is None or len(losses) < study.trials:
        return None
    ranges, drawn = space(study.space, study.method), study.drawn(best)
    low, high = ranges.lr
    words = [
        f"lr {drawn['lr']:.4g} ({edge_position(drawn['lr'], low, high):.0%} of the way from {low:g} to {high:g})"
    ]
    for name in ("damping", "decay"):
        if name in drawn:
            known = ", ".join(f"{value:g}" for value in sorted(getattr(ranges, name)))
            words.append(f"{name} {drawn[name]:g} (of {known})")
    return (
        f"{study.workload} {study.method}: chosen {', '.join(words)}; loss {losses[best]:.4f}, "
        f"trial {best} of {study.trials}"
    )


def seconds_left(
    plan: Protocol, root: Path, *, epochs: int, seeds: Sequence[int], ensemble: bool, device: str
) -> float | None:
    """Seconds until all of a protocol is done, at the rate of the epochs done so far on a device like this one.

    Every session of the trials and runs is an observation, its evaluations and its start included. A method of
    which nothing was trained yet is taken for the slowest of the others.

    Args:
        plan: the protocol.
        root: folder of all runs.
        epochs: length of the recorded runs.
        seeds: of the recorded runs.
        ensemble: whether trials, and seeds, are trained together.
        device: as manifests name it (:func:`esgd.provenance.describe_device`).

    Returns:
        The seconds; None while nothing was trained on such a device.
    """
    rates: dict[str, float] = {}
    left: dict[str, int] = {}
    for method in plan.methods:
        trials = trial_manifests(plan.study(method), root)
        searched = all(manifest.get("status") in ENDED for manifest in trials.values())
        config = best_config(plan, method, root) if searched else None
        runs = {} if config is None else recorded_folders(config, root)
        manifests = [*trials.values(), *(folder.manifest() for folder in runs.values())]
        if (rate := _seconds_an_epoch(manifests, device)) is not None:
            rates[method] = rate
        todo = [_left(manifest, plan.search_epochs) for manifest in trials.values()]
        more = [_left_of_run(runs[seed], epochs) if seed in runs else epochs for seed in seeds]
        left[method] = max(todo) + max(more) if ensemble else sum(todo) + sum(more)
    if not rates:
        return None
    slowest = max(rates.values())
    return sum(count * rates.get(method, slowest) for method, count in left.items())


def _left(manifest: Manifest, epochs: int) -> int:
    return 0 if manifest.get("status") in ENDED else max(epochs - manifest.get("epochs_done", 0), 0)


def _left_of_run(folder: RunFolder, epochs: int) -> int:
    return 0 if folder.manifest().get("status") == "diverged" else max(epochs - epochs_done(folder), 0)


def _seconds_an_epoch(manifests: Sequence[Manifest], device: str) -> float | None:
    """Mean over the sessions on a device; members of an ensemble, which share theirs, count once."""
    units = defaultdict(dict)
    for manifest in manifests:
        name = manifest.get("ensemble", {}).get("folder", manifest.get("run"))
        units[name].update({session["started"]: session for session in _closed(manifest, device)})
    sessions = [session for unit in units.values() for session in unit.values()]
    epochs = sum(session["to_epoch"] - session["from_epoch"] for session in sessions)
    seconds = sum(_span(session["started"], session["ended"]) for session in sessions)
    return seconds / epochs if epochs else None


def _closed(manifest: Manifest, device: str) -> Iterator[Manifest]:
    for session in manifest.get("sessions", ()):
        if session.get("device") == device and session["ended"] and session["to_epoch"] is not None:
            yield session


def _span(started: str, ended: str) -> float:
    return (datetime.fromisoformat(ended) - datetime.fromisoformat(started)).total_seconds()


def in_words(seconds: float) -> str:
    """A length of time as one says it: ``less than a minute``, ``about 12 min``, ``about 3 h 20 min``."""
    minutes = round(seconds / 60)
    if minutes < 1:
        return "less than a minute"
    if minutes < 60:
        return f"about {minutes} min"
    if minutes < 48 * 60:
        return f"about {minutes // 60} h {minutes % 60} min"
    return f"about {minutes / 60 / 24:.1f} days"
