"""The sessions of a run: each stretch that one process trained, with what it ran on.

A manifest lists them under ``sessions``. Its other keys of provenance are those of the first session, which made
the net; a later session may have run another commit on another machine, and its own entry says so. Manifests of
older runs have no list: what they tell is taken as one session.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch

from esgd.provenance import now, provenance

__all__ = ["ENDED", "Sessions", "closed_by"]

ENDED = ("finished", "diverged")  # statuses of a run with nothing left to train
_WHERE = ("versions", "platform", "device", "device_type", "commit", "changed")


class Sessions:
    """The sessions of a run, the last of which is this process's own.

    Args:
        before: the manifest of the run so far; empty for a run that begins.
        device: where this session trains.
        epoch: whole epochs of the run so far.
        step: updates so far.
        unit: what ``epoch`` counts; ``"run"`` where the sessions are those of many short runs.
    """

    def __init__(
        self, before: Mapping[str, Any], device: torch.device, *, epoch: int, step: int, unit: str = "epoch"
    ):
        self._unit, self._from, self._to = unit, f"from_{unit}", f"to_{unit}"
        self._past = self._earlier(before, epoch)
        self._ended = before.get("ended")
        self._step = step
        self._mine = {
            "started": now(),
            "ended": None,
            **provenance(device),
            self._from: epoch,
            self._to: None,  # unknown until it ends: after a kill the checkpoint tells
        }

    def running(self) -> dict[str, Any]:
        """What a manifest says while this session trains."""
        return self._about([*self._past, self._mine])

    def closed(self, *, epoch: int, step: int) -> dict[str, Any]:
        """What a manifest says after it; a session that made no update leaves no trace behind earlier ones."""
        if step == self._step and self._past:
            return self._about(self._past) | {"ended": self._ended or now()}
        ended = now()
        return self._about([*self._past, self._mine | {"ended": ended, self._to: epoch}]) | {"ended": ended}

    @staticmethod
    def _about(sessions: list[dict[str, Any]]) -> dict[str, Any]:
        first = sessions[0]
        where = {key: first[key] for key in _WHERE if key in first}
        return {**where, "started": first["started"], "sessions": sessions}

    def _earlier(self, before: Mapping[str, Any], epoch: int) -> list[dict[str, Any]]:
        """The earlier sessions; what a kill left open is closed by what the checkpoint has."""
        if "sessions" in before:
            sessions = before["sessions"]
        elif "started" in before:
            where = {key: before[key] for key in _WHERE if key in before}
            span = {"started": before["started"], "ended": before.get("ended")}
            sessions = [{**span, **where, self._from: 0, self._to: epoch}]
        else:
            return []
        return closed_by(sessions, epoch, unit=self._unit)


def closed_by(sessions: Iterable[Mapping[str, Any]], epoch: int, *, unit: str = "epoch") -> list[dict[str, Any]]:
    """Sessions of which the last, if a kill left it open, ends with the epoch (or unit) that is kept of it."""
    sessions, (begin, end) = [dict(session) for session in sessions], (f"from_{unit}", f"to_{unit}")
    if sessions and sessions[-1][end] is None:
        sessions[-1][end] = epoch
        if sessions[-1][begin] >= epoch:  # nothing of it is kept
            sessions.pop()
    return sessions
