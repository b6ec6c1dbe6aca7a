"""Settings shared by the tests of the claims."""

from __future__ import annotations

import sys
from pathlib import Path

from hypothesis import settings

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "book" / "_ext"), str(Path(__file__).parent)]

settings.register_profile("claims", deadline=None, max_examples=60, derandomize=True)
settings.load_profile("claims")
