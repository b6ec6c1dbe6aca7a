"""A row of the ledger by its id, for tests that hold its words against the records."""

from __future__ import annotations

from pathlib import Path

import ledger

ROOT = Path(__file__).resolve().parents[2]


def row(claim: str) -> ledger.Claim:
    """The row."""
    return next(c for c in ledger.load(ROOT / "book" / "claims.yml") if c.id == claim)
