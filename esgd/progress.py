"""Progress bars where tqdm is installed, silence where it is not."""

from __future__ import annotations

from typing import Any

__all__ = ["progress_bar"]


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
        show: False gives the stand-in.
        **options: those of ``tqdm.tqdm``.
    """
    if not show:
        return _Silent()
    try:
        from tqdm.auto import tqdm
    except ImportError:
        return _Silent()
    return tqdm(**{"dynamic_ncols": True, "mininterval": 0.2, **options})
