"""When a checkpoint is due: after every so many epochs where that is asked for, else at most once a minute.

A checkpoint holds weights and the optimizer's state of every member, and is flushed to the disk: 182 MB for eight
MNIST nets. On a GPU an epoch takes less than that; a minute's work is little to lose.
"""

from __future__ import annotations

import math
import time

from esgd.errors import ConfigError

__all__ = ["SECONDS", "CheckpointTimes"]

SECONDS = 60.0


class CheckpointTimes:
    """Tells after which epochs of a session the checkpoint is written; at its end it is in any case.

    Args:
        every: epochs between two checkpoints; None writes one after the session's first epoch and then after each
            epoch that ends :data:`SECONDS` or more after the last one, so that a kill loses a minute, or an epoch
            where an epoch takes longer.

    Raises:
        ConfigError: ``every`` is below 1.
    """

    def __init__(self, every: int | None = None):
        if every is not None and every < 1:
            raise ConfigError(f"checkpoint-every must be at least 1 epoch, got {every}")
        self._every, self._last = every, -math.inf

    def due(self, epoch: int) -> bool:
        """Whether a checkpoint is due at the end of this epoch."""
        if self._every is not None:
            return epoch % self._every == 0
        return time.monotonic() - self._last >= SECONDS

    def written(self) -> None:
        """Note that one has just been written."""
        self._last = time.monotonic()
