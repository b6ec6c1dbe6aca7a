"""``update_every="auto"``: when the next product is due, and how much one counts that stands for many steps."""

from __future__ import annotations

import math
from typing import Any

__all__ = ["next_interval", "stands_for"]

START, LIMIT = 20, 200  # steps between products at first, which is the least, and at most
# the interval grows by GROW after each product that agrees with the estimate, and falls by SHRINK after one that
# does not: where the mean log-ratio of energies leaves its band. It stays at START or above: where curvature drifts
# for long, the mean lags behind whatever is done, and more products would only cost
GROW, SHRINK, BAND = 1.25, 0.5, (-1.6, 1.2)
SHARE = 20  # the interval stays below this part of the steps so far, so that no product outweighs the others


def stands_for(clock: dict[str, Any], products: int) -> float:
    """How often a product counts: once, and under ``"auto"`` in proportion to the steps since the last one.

    So the mean runs over the same stretch of training as that of a constant interval of 20 steps. Where products
    grow rare, each counting once would leave D to the few steps at the start.

    Args:
        clock: the parameter group that holds the schedule.
        products: how many come at this step; several are the warm-up, and each counts once.
    """
    if clock["update_every"] != "auto" or products > 1 or not clock["interval"]:
        return 1.0
    return (clock["step"] - clock["next_probe"] + clock["interval"]) / START


def next_interval(clock: dict[str, Any], log_ratio: float | None) -> int:
    """Steps to the next product.

    Args:
        clock: the parameter group that holds the schedule.
        log_ratio: mean over the parameters of log(‖Hv‖² / its mean so far); None where nothing is known yet.
    """
    interval = clock["interval"] or START
    if log_ratio is None:
        return interval
    if not BAND[0] <= log_ratio <= BAND[1]:
        return max(START, int(interval * SHRINK))
    return min(LIMIT, max(START, clock["step"] // SHARE), math.ceil(interval * GROW))
