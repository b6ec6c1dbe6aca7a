"""The paper's figures by their numbers, each remade from its recorded run or from its formula."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from esgd.errors import ConfigError
from esgd.figures import fig1, fig2, fig3, fig4, fig6
from esgd.figures.headings import add_heading, workload_of
from esgd.figures.learning_curves import learning_curves
from esgd.figures.step_cost import step_costs
from esgd.figures.trajectory import read_measures
from esgd.records import read_records

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

__all__ = ["DATA", "NUMBERS", "RESULTS", "paper_figure", "recorded"]

RESULTS = Path("results")
NUMBERS = (1, 2, 3, 4, 5, 6)
STEP_COSTS = RESULTS / "benchmarks" / "step-cpu.json"
TABLES = {4: "measures.csv", 5: "records.csv", 6: "measures.csv"}  # of the figures that a data set has its own of
DATA = ("curves", "mnist")


def recorded(number: int, data: str = "curves") -> Path:
    """Where the checkout has the table behind a figure; that of Figure 3 has no data set."""
    if number == 3:
        return RESULTS / "fig3" / "conditions.csv"
    return RESULTS / f"fig{number}" / data / TABLES[number]


def paper_figure(
    number: int, records: Path | None = None, *, data: str = "curves", x: str = "epoch", y: str = "loss"
) -> Figure:
    """A figure of the paper; 4 to 6 with a title that names the data set and where its images came from.

    Args:
        number: 1 and 2 are computed; 3 to 6 are drawn from recorded runs.
        records: the recorded table, or the folder that holds it; default: the checkout's own.
        data: whose table, where ``records`` names none: ``"curves"`` or ``"mnist"``, for Figures 4 to 6.
        x: of Figure 5: ``"epoch"``, ``"step"``, ``"gradient_equivalents"`` or ``"seconds"``; of Figures 4 and 6:
            ``"epoch"``, ``"step"`` or ``"loss"``.
        y: of Figure 5: ``"loss"`` or ``"squared_error"``.

    Raises:
        ConfigError: no such figure or data set, or its records are not there.
        DataError: the table is another one, or damaged.
    """
    if number not in NUMBERS:
        raise ConfigError(f"figure {number} cannot be drawn: choose one of {', '.join(map(str, NUMBERS))} or all")
    if data not in DATA:
        raise ConfigError(f"there are no recorded runs on {data!r}: choose one of {', '.join(DATA)}")
    if number in (1, 2):
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
    costs = step_costs(STEP_COSTS, net) if _costs_apply(rows, net) else None
    return add_heading(learning_curves(rows, x=x, y=y, costs=costs), number, source, net, y)


def _costs_apply(rows: list, net: str) -> bool:
    """Whether the seconds can be those of a measured cost: the net's costs are here, and SGD gave the unit."""
    return net in DATA and STEP_COSTS.exists() and any(row["method"] == "sgd" and row["step"] for row in rows)
