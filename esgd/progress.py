"""Progress bars where tqdm is installed, silence where it is not."""

from __future__ import annotations

import sys
from typing import Any

__all__ = ["progress_bar"]

LOG_EVERY = 30.0  # seconds between two lines of a bar that is no terminal's


class _Silent:
    """Stands in for a tqdm bar."""

    n = initial = 0.0

    def update(self, n: float = 1) -> None:
        """Do nothing."""

    def set_postfix_str(self, text: str = "", refresh: bool = True) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""

    def __enter__(self) -> _Silent:
        return self

    def __exit__(self, *_: object) -> None:
        return None


def progress_bar(*, show: bool = True, **options: Any) -> Any:
    """A tqdm bar (a notebook widget in a notebook), or a silent stand-in.

    Args:
        show: False gives the stand-in. Where stderr is no terminal, as in the log of a job, a line is written every
            half a minute.
        **options: those of ``tqdm.tqdm``.
    """
    if not show:
        return _Silent()
    try:
        from tqdm.auto import tqdm
    except ImportError:
        return _Silent()
    pace = {"mininterval": 0.2} if _watched() else {"mininterval": LOG_EVERY, "maxinterval": LOG_EVERY}
    return tqdm(**{"dynamic_ncols": True, **pace, **options})


def _watched() -> bool:
    """Whether somebody sees the bar move: at a terminal or in a notebook."""
    notebook = "IPython" in sys.modules and sys.modules["IPython"].get_ipython() is not None
    return notebook or (sys.stderr is not None and sys.stderr.isatty())
