"""Resumable downloads from several mirrors; only content that passes its check is ever put in place."""

from __future__ import annotations

import contextlib
import http.client
import os
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from esgd.errors import DataError
from esgd.progress import progress_bar

__all__ = ["download"]

CHUNK = 1 << 16
ATTEMPTS = 3
TIMEOUT = 20.0


def download(
    urls: Sequence[str],
    target: Path,
    *,
    check: Callable[[bytes], object],
    progress: bool = True,
    remedy: str = "",
) -> Path:
    """Fetch a file from the first mirror that gives the right content.

    Bytes go to ``<target>.part``, from which an interrupted transfer goes on. The finished file is checked,
    flushed to the disk and renamed, so that ``target`` is either absent or whole and right.

    Args:
        urls: the same file on several mirrors.
        target: where it shall lie.
        check: gets the bytes of the finished file and raises :class:`DataError` when they are wrong.
        progress: show a progress bar.
        remedy: what the user can do when every mirror fails; ends the error's message.

    Raises:
        DataError: no mirror delivered, or the folder cannot be written.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"cannot create {target.parent}: {error.strerror}; {remedy}") from error
    part = target.with_name(target.name + ".part")
    failures = []
    with _only_one(part.with_suffix(".lock")):
        if target.exists():  # another process was quicker
            return target
        for url in urls:
            for _ in range(ATTEMPTS):
                resumed = part.exists()
                try:
                    _fetch(url, part, progress=progress)
                    check(part.read_bytes())
                except DataError as error:
                    part.unlink(missing_ok=True)
                    failures.append(f"{_host(url)}: {error}")
                    if resumed:  # the beginning may come from elsewhere: once more from the start
                        continue
                    break
                except _Interrupted as error:
                    failures.append(f"{_host(url)}: {error}")
                    continue
                except (urllib.error.URLError, http.client.HTTPException, OSError, ValueError) as error:
                    if isinstance(error, OSError) and error.filename:  # our disk, not the network
                        raise DataError(f"cannot write {error.filename}: {error.strerror}") from error
                    failures.append(f"{_host(url)}: {getattr(error, 'reason', None) or error}")
                    break
                os.replace(part, target)
                return target
    reasons = "; ".join(dict.fromkeys(failures))
    raise DataError(f"cannot download {target.name} ({reasons}); {remedy}".rstrip("; "))


class _Interrupted(Exception):
    """The connection ended before the whole file had come."""


def _fetch(url: str, part: Path, *, progress: bool) -> None:
    """Append what is missing of ``url`` to ``part``."""
    have = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        response = urllib.request.urlopen(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code == 416:  # nothing is left to send: the check decides
            return
        raise
    with response:
        if response.status != 206:  # the server sends everything from the start
            have = 0
        length = response.headers.get("Content-Length")
        total = have + int(length) if length is not None else None
        received = have
        bar = progress_bar(
            show=progress, total=total, initial=have, unit="B", unit_scale=True, desc=part.stem, leave=False
        )
        with bar, part.open("ab" if have else "wb") as file:
            try:
                while chunk := response.read(CHUNK):
                    file.write(chunk)
                    received += len(chunk)
                    bar.update(len(chunk))
            except (http.client.HTTPException, ConnectionError, TimeoutError) as error:
                raise _Interrupted(f"the connection broke after {received:,} bytes ({error})") from error
            finally:
                file.flush()
                os.fsync(file.fileno())
    if total is not None and received < total:
        raise _Interrupted(f"the connection ended after {received:,} of {total:,} bytes")


@contextlib.contextmanager
def _only_one(lock: Path) -> Iterator[None]:
    """Let one process at a time write the file; the lock goes with the process that holds it."""
    try:
        import fcntl
    except ImportError:  # not on Windows: two downloads at once may then disturb each other
        yield
        return
    try:
        file = lock.open("w")
    except OSError as error:
        raise DataError(f"cannot write {lock}: {error.strerror}") from error
    with file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _host(url: str) -> str:
    return url.split("/")[2] if "//" in url else url
