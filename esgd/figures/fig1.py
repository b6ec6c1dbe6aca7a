"""Figure 1, with its other half: contours before and after equilibration, for bowls and saddles at any angle."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from esgd.figures.palette import COLOURS
from esgd.theory.matrices import condition_number, equilibration_diagonal, two_sided

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

__all__ = ["figure", "rotated"]

# low to high; both ends can be seen on a light and on a dark page
HEIGHTS = [[0, COLOURS["sgd"][0]], [0.5, COLOURS["newton"][0]], [1, COLOURS["jacobi"][0]]]


def rotated(first: float, second: float, degrees: float) -> np.ndarray:
    """The 2×2 symmetric matrix with these eigenvalues, its first eigenvector turned by an angle from the x-axis."""
    c, s = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    q = np.array([[c, -s], [s, c]])
    return q @ np.diag([first, second]) @ q.T


def figure(first: float = 16.0, second: float = 1.0, degrees: tuple[float, ...] = (0, 15, 30, 45)) -> Figure:
    """Contours of ½θᵀHθ and of the same loss in φ = D_E^{1/2}θ, with a slider for the angle.

    The paper shows one pair, that of an axis-aligned bowl. Over each panel stands its κ.

    Args:
        first: first eigenvalue of H; negative for a saddle.
        second: second eigenvalue.
        degrees: the angles of the slider.
    """
    import plotly.graph_objects as go
    from plotly.subplots import make_subplots

    axis = np.linspace(-1, 1, 61)
    grid = np.stack(np.meshgrid(axis, axis), -1)
    fig = make_subplots(cols=2, subplot_titles=("before", "after"), horizontal_spacing=0.08)
    steps = []
    for at, angle in enumerate(degrees):
        H = rotated(first, second, angle)
        diagonal = equilibration_diagonal(H)
        for col, matrix in ((1, H), (2, two_sided(H, diagonal))):
            values = np.einsum("xyi,ij,xyj->xy", grid, matrix, grid) / 2
            values /= np.abs(values).max()
            fig.add_trace(
                go.Contour(
                    x=axis,
                    y=axis,
                    z=np.round(values, 4),
                    ncontours=18,
                    contours={"coloring": "lines"},
                    colorscale=HEIGHTS,
                    showscale=False,
                    hoverinfo="skip",
                    visible=at == 0,
                ),
                row=1,
                col=col,
            )
        before, after = condition_number(H), condition_number(H, diagonal)
        shown = [k // 2 == at for k in range(2 * len(degrees))]
        titles = [f"before: κ = {before:.3g}", f"after: κ = {after:.3g}"]
        if at == 0:
            fig.update_annotations(font_size=14)
            for annotation, title in zip(fig.layout.annotations, titles, strict=True):
                annotation.text = title
        named = {f"annotations[{i}].text": title for i, title in enumerate(titles)}
        steps.append({"label": f"{angle:g}°", "method": "update", "args": [{"visible": shown}, named]})
    fig.update_layout(
        height=440,
        margin={"l": 40, "r": 30, "t": 40, "b": 40},
        sliders=[{"steps": steps, "active": 0, "pad": {"t": 50}, "currentvalue": {"prefix": "angle "}}],
    )
    fig.update_xaxes(showticklabels=False, constrain="domain")
    fig.update_xaxes(title_text="θ", col=1)
    fig.update_xaxes(title_text="φ = D<sub>E</sub><sup>½</sup>θ", col=2)
    fig.update_yaxes(showticklabels=False, constrain="domain", constraintoward="top", scaleratio=1)
    fig.update_yaxes(scaleanchor="x", col=1)
    fig.update_yaxes(scaleanchor="x2", col=2)
    return fig
