"""The ``esgd`` command: one clear line and a non-zero exit for what goes wrong, never a traceback."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from typing import NoReturn

try:
    import typer
except ImportError:  # said in one line by main()
    typer = None  # type: ignore[assignment]

from esgd.errors import ConfigError, EsgdError

__all__ = ["main"]

DIVERGED = 3
NOT_DONE = 75  # EX_TEMPFAIL of sysexits.h: the same command goes on
INTERRUPTED = 130  # what a shell reports for Ctrl-C
TERMINATED = 143
HUNG_UP = 129  # the terminal is gone, as when a connection drops
_CODES = {
    getattr(signal, name): code
    for name, code in (("SIGINT", INTERRUPTED), ("SIGTERM", TERMINATED), ("SIGHUP", HUNG_UP))
    if hasattr(signal, name)  # Windows has no SIGHUP
}


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run the command line and exit.

    Args:
        arguments: the words after ``esgd``; default: the process's own.
    """
    if typer is None:
        _fail("the command line needs typer and tqdm: `pip install 'esgd[train]'`")
    from esgd.commands import app

    usage_error = typer.BadParameter.__mro__[2]  # ClickException, of click or of typer's own copy
    try:
        code = app(args=arguments, prog_name="esgd", standalone_mode=False)
    except EsgdError as error:
        _fail(str(error))
    except usage_error as error:
        _fail(f"{error.format_message()} (see esgd --help)", code=2)
    except (KeyboardInterrupt, typer.Abort):
        _fail("interrupted", code=INTERRUPTED)
    except BrokenPipeError:  # `esgd list | head`
        sys.stderr.close()
        raise SystemExit(1) from None
    except PermissionError as error:
        _fail(f"no permission: {error.filename}")
    except OSError as error:
        _fail(f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}")
    except Exception as error:
        if (message := _known_torch_error(error)) is None:
            raise
        _fail(message)
    raise SystemExit(code or 0)


def _known_torch_error(error: Exception) -> str | None:
    """Trouble that torch reports and the user can do something about."""
    import torch

    if isinstance(error, torch.OutOfMemoryError):
        return "the GPU's memory is full: stop what else runs there, or take --device cpu or a smaller batch"
    return None


def _fail(message: str, code: int = 1) -> NoReturn:
    print(f"esgd: {' '.join(message.split())}", file=sys.stderr)
    raise SystemExit(code)


class StopSignal:
    """Turns Ctrl-C, SIGTERM, SIGHUP and a time limit into a request that the loop asks for: a ``should_stop``.

    A second Ctrl-C stops at once. A SIGHUP that is ignored, as under ``nohup``, stays so; any other says that the
    terminal is gone: what would be written to it goes nowhere then, so that it cannot hinder saving.

    Args:
        minutes: the time limit, from now; None sets none.

    Raises:
        ConfigError: the limit is not above 0.
    """

    def __init__(self, minutes: float | None = None) -> None:
        if minutes is not None and not minutes > 0:
            raise ConfigError(f"minutes must be above 0, got {minutes:g}")
        self.received = 0
        self._deadline = float("inf") if minutes is None else time.monotonic() + 60 * minutes

    def __enter__(self) -> StopSignal:
        from esgd.parallel import speaks

        self._speaks = speaks()
        self._terminals = [descriptor for descriptor in (1, 2) if os.isatty(descriptor)]
        caught = [n for n in _CODES if _CODES[n] != HUNG_UP or signal.getsignal(n) != signal.SIG_IGN]
        self._old = {number: signal.signal(number, self._note) for number in caught}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._old.items():
            signal.signal(number, handler)

    def _note(self, number: int, _frame: object) -> None:
        if self.received == number == signal.SIGINT:
            raise KeyboardInterrupt
        self.received = number
        if number == signal.SIGINT and self._speaks:
            _say_now("esgd: stopping; press Ctrl-C again to stop at once\n")
        if _CODES[number] == HUNG_UP:
            _silence(self._terminals)

    def __call__(self) -> bool:
        return self.received != 0 or time.monotonic() > self._deadline

    def exit_if_received(self, line: str) -> None:
        """Exit as the signal asks for, after one line on stderr; for what was left undone, not for what is done."""
        if self.received:
            _fail(line, code=_CODES[self.received])


def _say_now(line: str) -> None:
    """Write to stderr past its buffer, which the code that a signal interrupts may be writing to just now."""
    with contextlib.suppress(OSError):  # no stderr
        os.write(2, line.encode())


def _silence(descriptors: list[int]) -> None:
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for descriptor in descriptors:
        os.dup2(nowhere, descriptor)
    os.close(nowhere)
