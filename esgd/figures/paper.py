"""The paper's figures by their numbers, each remade from its recorded run or from its formula."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from esgd.errors import ConfigError
from esgd.figures import fig1, fig2, fig3, fig4, fig6
from esgd.figures.headings import add_heading, workload_of
from esgd.figures.learning_curves import X_AXES, Y_AXES, learning_curves
from esgd.figures.needs import require_plotly
from esgd.figures.step_cost import fitting_costs, trained_together
from esgd.figures.trajectory import AXES, read_measures
from esgd.records import read_records

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

__all__ = ["COMPUTED", "DATA", "NUMBERS", "OPTIONS", "RESULTS", "check_options", "paper_figure", "recorded"]

RESULTS = Path("results")
NUMBERS = (1, 2, 3, 4, 5, 6)
STEP_COSTS = RESULTS / "benchmarks"
COMPUTED = (1, 2)  # from formulas: they have no table
TABLES = {4: "measures.csv", 5: "records.csv", 6: "measures.csv"}  # of the figures that a data set has its own of
DATA = ("curves", "mnist")
_MEASURES = {"data": DATA, "x": tuple(AXES)}
# figure -> its options -> the values that each may have
OPTIONS: dict[int, dict[str, tuple[str, ...]]] = {
    1: {},
    2: {},
    3: {},
    4: _MEASURES,
    5: {"data": DATA, "x": tuple(X_AXES), "y": tuple(Y_AXES)},
    6: _MEASURES,
}


def check_options(number: int, options: Mapping[str, str]) -> None:
    """Refuse what a figure does not have, or does not know.

    Args:
        number: of the figure.
        options: by name, those that were asked for: ``data``, ``x``, ``y``.

    Raises:
        ConfigError: names the option, and the figures or values that there are.
    """
    if number not in NUMBERS:
        raise ConfigError(f"figure {number} cannot be drawn: choose one of {', '.join(map(str, NUMBERS))} or all")
    for name, value in options.items():
        if name not in OPTIONS[number]:
            owners = ", ".join(str(n) for n in NUMBERS if name in OPTIONS[n])
            raise ConfigError(f"figure {number} has no option {name}: it belongs to figure {owners}; leave it out")
        if value not in OPTIONS[number][name]:
            known = ", ".join(OPTIONS[number][name])
            raise ConfigError(f"{name} of figure {number} cannot be {value!r}: choose one of {known}")


def recorded(number: int, data: str = "curves") -> Path:
    """Where the checkout has the table behind a figure; that of Figure 3 has no data set."""
    if number == 3:
        return RESULTS / "fig3" / "conditions.csv"
    return RESULTS / f"fig{number}" / data / TABLES[number]


def paper_figure(
    number: int,
    records: Path | None = None,
    *,
    data: str | None = None,
    x: str | None = None,
    y: str | None = None,
) -> Figure:
    """A figure of the paper; 4 to 6 with a title that names the data set and where its images came from.

    Args:
        number: 1 and 2 are computed; 3 to 6 are drawn from recorded runs.
        records: the recorded table, or the folder that holds it; default: the checkout's own.
        data: whose table, where ``records`` names none, of Figures 4 to 6: ``"curves"`` (default) or ``"mnist"``.
        x: of Figure 5: ``"epoch"`` (default), ``"step"``, ``"gradient_equivalents"`` or ``"seconds"``; of Figures 4
            and 6: ``"epoch"``, ``"step"`` or ``"loss"``.
        y: of Figure 5: ``"loss"`` (default) or ``"squared_error"``.

    Raises:
        ConfigError: no such figure, an option or a value that it does not have, its records are not there, or
            plotly is not.
        DataError: the table is another one, or damaged.
    """
    given = {name: value for name, value in (("data", data), ("x", x), ("y", y)) if value is not None}
    check_options(number, given)
    require_plotly()
    data, x, y = (given.get(name, default) for name, default in (("data", "curves"), ("x", "epoch"), ("y", "loss")))
    if number in COMPUTED:
        return (fig1 if number == 1 else fig2).figure()
    source = recorded(number, data) if records is None else records
    if source.is_dir():
        source = source / recorded(number).name
    if not source.exists():
        raise ConfigError(f"{source} is not there: run this in the checkout, or name the table by --records")
    if number == 3:
        return fig3.figure(fig3.read_rows(source))
    if number in (4, 6):
        measures = read_measures(source)
        drawn = (fig4 if number == 4 else fig6).figure(measures, x=x)
        return add_heading(drawn, number, source, workload_of(source, next(iter(measures.lines.values()))))
    rows = read_records(source)
    net = workload_of(source, rows)
    costs = fitting_costs(source, STEP_COSTS, net, rows)
    drawn = learning_curves(rows, x=x, y=y, costs=costs, together=trained_together(source))
    return add_heading(drawn, number, source, net, y)
