"""What the tests of refusals share."""

from __future__ import annotations

import re

import pytest
import torch

from esgd.errors import ConfigError, CurvatureError


def refuses(*words: str, error: type[Exception] = CurvatureError):
    """An error, by default of curvature, whose message has all the words, in that order."""
    return pytest.raises(error, match=".*".join(map(re.escape, words)))


def refuses_setting(*words: str):
    """An error of a setting whose message has all the words, in that order."""
    return refuses(*words, error=ConfigError)


def weight(*shape, **options):
    """A parameter of ones."""
    return torch.ones(*(shape or (2,)), requires_grad=True, **options)
