"""The errors that esgd raises on purpose.

Every message says what was expected, what came and what to do. The command line prints the message as one
line and exits with a non-zero status; in Python they are ordinary exceptions of the usual families.
"""

from __future__ import annotations

__all__ = ["CheckpointError", "ConfigError", "CurvatureError", "DataError", "EsgdError"]


class EsgdError(Exception):
    """Base of all errors that esgd raises on purpose."""


class ConfigError(EsgdError, ValueError):
    """A setting is unknown, out of range or contradicts another."""


class DataError(EsgdError, ValueError):
    """A data file is missing, truncated, corrupted or not what its name says."""


class CheckpointError(EsgdError, RuntimeError):
    """A checkpoint cannot be written, read, or does not belong to this run."""


class CurvatureError(EsgdError, RuntimeError):
    """A Hessian-vector product cannot be had from this loss."""
