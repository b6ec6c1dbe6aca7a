"""Warnings that name the line of the user's own code."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

import torch

__all__ = ["warn"]

_INSIDE = (str(Path(__file__).parents[1]), str(Path(torch.__file__).parent))


def warn(text: str) -> None:
    """Warn at the innermost call from outside this package and torch, whatever wraps ``step`` in between."""
    level, frame = 1, sys._getframe()
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_INSIDE):
        level, frame = level + 1, frame.f_back
    warnings.warn(text, RuntimeWarning, stacklevel=level)
