"""What is recorded of a run: a folder with ``manifest.json``, ``records.csv`` and a checkpoint.

``records.csv`` is tidy: one row an evaluation, the same columns for every method and data set. The folder
lies in ``ESGD_RUNS`` (default: the user's cache); what is finished is exported to ``results/``.
"""

from __future__ import annotations

import contextlib
import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from esgd.errors import ConfigError, DataError, EsgdError
from esgd.files import atomic_write, exclusive_lock, is_locked, remove_stale
from esgd.paths import runs_dir

__all__ = [
    "COLUMNS",
    "RunAheadError",
    "RunBusyError",
    "RunFolder",
    "by_run",
    "list_runs",
    "read_csv",
    "read_json",
    "write_csv",
]

COLUMNS = (
    "run",  # name of the run
    "seed",
    "method",
    "epoch",  # epochs trained so far
    "step",  # updates so far
    "loss",  # cross-entropy on the whole training set, nats an example
    "squared_error",  # Σ(x − x̂)² on the whole training set, an example
    "batch_loss",  # mean of the minibatch losses of the epoch, as training saw them
    "seconds",  # of training, evaluation excluded; of all members together where the run was one of an ensemble
    "gradient_equivalents",  # updates, plus what the Hessian-vector products cost in gradients
)
_INTEGERS = frozenset({"seed", "epoch", "step", "member", "trial"})


class RunBusyError(EsgdError):
    """Another process is working on the run."""


class RunAheadError(ConfigError):
    """The run has more epochs already than were asked for.

    Args:
        message: what is said of it.
        epochs: the fewest that can be asked for: those that it has, the one it is in the middle of included.
    """

    def __init__(self, message: str, epochs: int):
        super().__init__(message)
        self.epochs = epochs


class RunFolder:
    """The folder of one run.

    Args:
        name: the run's name, used as the folder's name.
        root: folder of all runs; default ``ESGD_RUNS``.

    Raises:
        ConfigError: the name is no plain folder name.
    """

    def __init__(self, name: str, root: Path | None = None):
        if not name or name in (".", "..") or any(character in name for character in '/\\:*?"<>|\0'):
            raise ConfigError(f"a run's name must be a plain folder name, got {name!r}")
        self.name = name
        self.path = (runs_dir() if root is None else root) / name

    @property
    def checkpoint(self) -> Path:
        """Path of the checkpoint."""
        return self.path / "checkpoint.pt"

    @property
    def records(self) -> Path:
        """Path of the records."""
        return self.path / "records.csv"

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep the run to this process, and clear away what a killed one left half written.

        Raises:
            RunBusyError: another process is at it.
            EsgdError: the folder cannot be written.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            with exclusive_lock(self.path / "lock", wait=False):
                for place in (self.path, self.path / "snapshots"):
                    remove_stale(place)
                yield
        except BlockingIOError as error:
            raise RunBusyError(f"another process is working on the run in {self.path}: wait for it") from error
        except PermissionError as error:
            raise EsgdError(
                f"no permission to write {error.filename}: choose another folder with --runs or ESGD_RUNS"
            ) from error
        except OSError as error:
            raise EsgdError(f"cannot write {error.filename or self.path}: {error.strerror or error}") from error

    def busy(self) -> bool:
        """Whether a process is working on the run now; where that cannot be told (Windows), True.

        Nothing is written, so it can be asked of a folder that is read-only.
        """
        return is_locked(self.path / "lock")

    def manifest(self) -> dict[str, Any]:
        """The manifest, or an empty dict when there is none yet.

        Raises:
            DataError: the file is not JSON, or no JSON object.
        """
        return read_json(self.path / "manifest.json")

    def write_manifest(self, manifest: Mapping[str, Any]) -> None:
        """Write the manifest atomically."""
        atomic_write(self.path / "manifest.json", json.dumps(manifest, indent=2, ensure_ascii=False) + "\n")

    def write_records(self, records: Sequence[Mapping[str, Any]]) -> None:
        """Write the records atomically."""
        write_csv(self.records, records)


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file, or an empty dict when there is no such file.

    Raises:
        DataError: the file is not JSON, or no JSON object.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read ({error}): delete it") from error
    if not isinstance(found, dict):
        raise DataError(f"{path} should hold a JSON object, but it holds a {type(found).__name__}: delete it")
    return found


def list_runs(root: Path | None = None) -> list[RunFolder]:
    """The runs that have a manifest, by name."""
    root = runs_dir() if root is None else root
    if not root.is_dir():
        return []
    return [RunFolder(path.parent.name, root) for path in sorted(root.glob("*/manifest.json"))]


def by_run(records: Iterable[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    """The records of each run, in order of the epochs."""
    runs: dict[str, list[Mapping[str, Any]]] = {}
    for record in records:
        runs.setdefault(record["run"], []).append(record)
    return {name: sorted(rows, key=lambda row: row["epoch"]) for name, rows in runs.items()}


def write_csv(path: Path, records: Iterable[Mapping[str, Any]], columns: Sequence[str] = COLUMNS) -> None:
    """Write records as CSV, atomically; columns beyond ``columns`` follow in order of appearance."""
    records = list(records)
    extra = dict.fromkeys(key for record in records for key in record if key not in columns)
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, [*columns, *extra], lineterminator="\n")
    writer.writeheader()
    writer.writerows(records)
    atomic_write(path, buffer.getvalue())


def read_csv(path: Path) -> list[dict[str, Any]]:
    """Read records back: numbers as numbers, an empty field as None.

    Raises:
        DataError: the file is absent or is not such a CSV file.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"cannot read records from {path}: {error}") from error
    return [{key: _value(key, text, path) for key, text in row.items()} for row in rows]


def _value(key: str | None, text: str | list[str] | None, path: Path) -> Any:
    if key is None or isinstance(text, list):
        raise DataError(f"{path} has a row with more fields than its header: it is damaged")
    if text in ("", None):
        return None
    try:
        return int(text) if key in _INTEGERS else float(text)
    except ValueError:
        return text
