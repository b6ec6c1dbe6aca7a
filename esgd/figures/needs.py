"""What drawing needs beyond torch and numpy."""

from __future__ import annotations

from esgd.errors import ConfigError

__all__ = ["require_plotly"]


def require_plotly() -> None:
    """Say in one line what to install where plotly is not, as on a machine that only trains.

    Raises:
        ConfigError: plotly is not installed.
    """
    try:
        import plotly.graph_objects  # noqa: F401
    except ImportError as error:
        raise ConfigError("figures need plotly: `pip install 'esgd[train]'`") from error
