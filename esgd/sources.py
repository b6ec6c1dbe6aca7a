"""Which data runs were trained on: losses on different data never stand in one comparison unnoticed.

CURVES has one name and two data sets, the original file and the generated images. Every manifest of a run has the
SHA-256 of its pixels; where runs are taken together it is compared.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from esgd.errors import ConfigError

__all__ = ["Data", "common_data", "require_data"]

Data = Mapping[str, Any]  # what a manifest says under "data"


def common_data(found: Iterable[tuple[str, Mapping[str, Any]]]) -> Data | None:
    """The data that all of some runs were trained on; None where none says.

    Args:
        found: name and manifest of each run; one whose manifest names no data is taken as it is.

    Raises:
        ConfigError: two were trained on different data; names both runs and both sources.
    """
    first: tuple[str, Data] | None = None
    for name, manifest in found:
        data = manifest.get("data")
        if not data:
            continue
        if first is None:
            first = name, data
        elif data["sha256"] != first[1]["sha256"]:
            raise ConfigError(
                f"{first[0]} was trained on {_words(first[1])}, but {name} on {_words(data)}: their losses do not "
                "compare; keep the runs on one data set, and take another folder (--runs) for the other"
            )
    return None if first is None else first[1]


def require_data(data: Data, expected: Data | None, name: str) -> None:
    """Refuse to train a run on other data than those that it will be compared with.

    Args:
        data: what is here.
        expected: what the others were trained on; None takes any.
        name: of the run.

    Raises:
        ConfigError: names both sources.
    """
    if expected is not None and data["sha256"] != expected["sha256"]:
        raise ConfigError(
            f"the trials and runs that {name} belongs with were trained on {_words(expected)}, but {data['name']} "
            f"here is {_words(data)}: set ESGD_DATA to their data, or take another folder (--runs) for these"
        )


def _words(data: Data) -> str:
    return f"{data.get('source', 'data of unknown source')} (sha256 {data['sha256'][:12]})"
