"""Tables of recorded runs, read with every field checked: what is not whole is refused with its line."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from esgd.config import METHODS
from esgd.errors import DataError
from esgd.runs import COLUMNS, read_csv

__all__ = ["read_records", "require_table"]

_TEXTS = ("run", "method")
_NUMBERS = tuple(name for name in COLUMNS if name not in (*_TEXTS, "batch_loss"))  # batch_loss: none at epoch 0


def read_records(path: Path) -> list[dict[str, Any]]:
    """The records of one run or of several, as ``esgd train`` and ``esgd reproduce`` write them.

    Raises:
        DataError: the file is absent, another table, cut off or otherwise damaged, or names an unknown method.
    """
    rows = read_csv(path)
    require_table(rows, path, "records", texts=_TEXTS, numbers=_NUMBERS, methods=METHODS)
    return rows


def require_table(
    rows: Sequence[Mapping[str, Any]],
    path: Path,
    what: str,
    *,
    texts: Collection[str],
    numbers: Collection[str],
    methods: Collection[str],
) -> None:
    """Refuse rows that are not what their table should hold.

    Args:
        rows: as :func:`esgd.runs.read_csv` gave them.
        path: of the table, for the message.
        what: the table is expected to hold, in a word.
        texts: columns that must be filled.
        numbers: columns that must hold numbers.
        methods: what may stand in the column ``method``.

    Raises:
        DataError: a column is missing, a field is empty or no number, a method is unknown.
    """
    if not rows:
        return
    if missing := [name for name in (*texts, *numbers) if name not in rows[0]]:
        raise DataError(
            f"{path} is not a table of {what}: it lacks {', '.join(missing)}; its columns are {', '.join(rows[0])}"
        )
    for line, row in enumerate(rows, 2):  # the header is line 1
        for name in (*texts, *numbers):
            if row[name] is None:
                raise DataError(f"{path} line {line} has no {name}: it is cut off or damaged, delete that line")
        for name in numbers:
            if not isinstance(row[name], int | float):
                raise DataError(f"{path} line {line}: {name} should be a number, got {row[name]!r}: it is damaged")
        if row["method"] not in methods:
            raise DataError(
                f"{path} line {line} names the unknown method {row['method']!r}: known are {', '.join(methods)}"
            )
