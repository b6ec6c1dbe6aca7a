"""Resumable downloads from several mirrors; only content that passes its check is ever put in place."""

from __future__ import annotations

import http.client
import os
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path

from esgd.errors import DataError
from esgd.files import exclusive_lock
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
        with exclusive_lock(target.with_name(target.name + ".lock"), wait=True):
            if target.exists():  # another process was quicker
                return target
            return _from_mirrors(urls, target, check=check, progress=progress, remedy=remedy)
    except OSError as error:
        where = error.filename or target
        raise DataError(f"cannot write {where}: {error.strerror or error}; {remedy}".rstrip("; ")) from error


def _from_mirrors(
    urls: Sequence[str], target: Path, *, check: Callable[[bytes], object], progress: bool, remedy: str
) -> Path:
    """Try the mirrors in turn. Trouble with the network is collected; OSErrors are those of our own disk."""
    part = target.with_name(target.name + ".part")
    failures = []
    for url in urls:
        for _ in range(ATTEMPTS):
            resumed = part.exists()
            try:
                _fetch(url, part, progress=progress)
                check(part.read_bytes())
            except _NetworkError as error:
                failures.append(f"{_host(url)}: {error}")
                if not error.again:
                    break
            except DataError as error:
                failures.append(f"{_host(url)}: {error}")
                part.unlink(missing_ok=True)
                if not resumed:  # a resumed file may have begun elsewhere: try once more from the start
                    break
            else:
                os.replace(part, target)
                return target
    reasons = "; ".join(dict.fromkeys(failures))
    raise DataError(f"cannot download {target.name} ({reasons}); {remedy}".rstrip("; "))


class _NetworkError(Exception):
    """The mirror cannot be reached, refuses, or broke off; ``again``: it is worth another attempt."""

    def __init__(self, message: str, *, again: bool = False):
        super().__init__(message)
        self.again = again


def _fetch(url: str, part: Path, *, progress: bool) -> None:
    """Append what is missing of ``url`` to ``part``."""
    have = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        response = urllib.request.urlopen(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code == 416:  # nothing is left to send: the check decides
            return
        raise _NetworkError(f"HTTP {error.code} {error.reason}") from error
    except (OSError, http.client.HTTPException) as error:  # URLError is an OSError
        raise _NetworkError(str(getattr(error, "reason", error))) from error
    with response:
        if response.status != 206:  # the server sends everything from the start
            have = 0
        length = response.headers.get("Content-Length")
        total = have + int(length) if length is not None else None
        bar = progress_bar(
            show=progress, total=total, initial=have, unit="B", unit_scale=True, desc=part.stem, leave=False
        )
        with bar, part.open("ab" if have else "wb") as file:
            received = have
            try:
                while chunk := _read(response):
                    file.write(chunk)
                    received += len(chunk)
                    bar.update(len(chunk))
            finally:  # what has come so far is kept, also on Ctrl-C
                file.flush()
                os.fsync(file.fileno())
    if total is not None and received < total:
        raise _NetworkError(f"the connection ended after {received:,} of {total:,} bytes", again=True)


def _read(response: http.client.HTTPResponse) -> bytes:
    try:
        return response.read(CHUNK)
    except (http.client.HTTPException, OSError) as error:
        raise _NetworkError(f"the connection broke ({error})", again=True) from error


def _host(url: str) -> str:
    return url.split("/")[2] if "//" in url else url
