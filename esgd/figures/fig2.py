"""Figure 2, corrected: gradient descent near a critical point, mode by mode. Nothing in it is random."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from esgd.errors import ConfigError

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

__all__ = ["figure", "mode_path"]


def mode_path(
    h: float, lr: float, steps: int, *, start: float = 1.0, noise: float = 0.0, seed: int = 0
) -> np.ndarray:
    """One eigenmode of gradient descent: x ← x − ε(hx + ξ), ξ normal of standard deviation ``noise``.

    Args:
        h: the mode's curvature.
        lr: ε.
        steps: how many updates.
        start: first displacement.
        noise: standard deviation of the gradient's noise; 0 for descent itself.
        seed: of the noise.

    Returns:
        The path, shape (steps + 1,).
    """
    if steps < 1:
        raise ConfigError(f"steps must be at least 1, but it is {steps}")
    rng = np.random.default_rng(seed)
    path = [start]
    for _ in range(steps):
        path.append(path[-1] - lr * (h * path[-1] + noise * rng.standard_normal()))
    return np.array(path)


def figure(curvatures: tuple[float, ...] = (18.0, 12.0, 3.0, -1.0), lr: float = 0.1, steps: int = 24) -> Figure:
    """Displacement along four eigenvectors against the step, with a switch that adds gradient noise.

    Args:
        curvatures: one mode a curve.
        lr: ε; a mode alternates exactly when ε h > 1.
        steps: how many updates.
    """
    import plotly.graph_objects as go

    fig = go.Figure()
    hues = ("#B8578F", "#0072B2", "#007A57", "#D55E00")
    dashes = ("solid", "dash", "dot", "dashdot")
    for noise in (0.0, 1.5):
        for at, h in enumerate(curvatures):
            path = mode_path(h, lr, steps, noise=noise, start=1.0 if h > 0 else 0.1, seed=at)
            fig.add_trace(
                go.Scatter(
                    y=np.round(path, 6),
                    name=f"h = {h:g}: × {1 - lr * h:.2g}".replace("-", "−"),
                    mode="lines+markers",
                    line={"color": hues[at % 4], "dash": dashes[at % 4]},
                    visible=noise == 0,
                )
            )
    count = len(curvatures)
    buttons = [
        {"label": label, "method": "update", "args": [{"visible": [on] * count + [not on] * count}]}
        for label, on in (("gradient descent", True), ("with gradient noise", False))
    ]
    fig.update_layout(
        height=420,
        margin={"l": 50, "r": 20, "t": 60, "b": 110},
        xaxis_title="step",
        yaxis_title="displacement",
        legend={"orientation": "h", "y": -0.24},
        updatemenus=[
            {
                "name": "Method",
                "buttons": buttons,
                "x": 0,
                "xanchor": "left",
                "y": 1.18,
                "yanchor": "top",
                "bgcolor": "#8882",
            }
        ],
    )
    return fig
