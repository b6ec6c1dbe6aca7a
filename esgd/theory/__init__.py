"""The book's theorems as functions: exact linear algebra on small matrices, in float64 and NumPy only.

Theorem 1′ is :mod:`~esgd.theory.boosts`, 2′ :mod:`~esgd.theory.steps`, R :mod:`~esgd.theory.stationary`,
O :mod:`~esgd.theory.oscillation`, S and the definitions :mod:`~esgd.theory.matrices`; the random Hessians
of the paper's Figure 3 are :mod:`~esgd.theory.softmax_hessians`.
"""

from esgd.theory.boosts import frobenius_condition, hyperbolic_boost, ideal_preconditioner
from esgd.theory.matrices import (
    PRECONDITIONERS,
    abs_matrix,
    absolute_diagonal,
    condition_number,
    equilibration_diagonal,
    jacobi_diagonal,
    left_scaled,
    two_sided,
)
from esgd.theory.oscillation import Cycle, Majorant, run_rmsprop, trace_minimal_majorant, two_cycles
from esgd.theory.softmax_hessians import Hessians, random_problem
from esgd.theory.stationary import gradient_second_moment, simulate_sgd, stationary_covariance
from esgd.theory.steps import StepPair, newton_and_saddle_free

__all__ = [
    "PRECONDITIONERS",
    "Cycle",
    "Hessians",
    "Majorant",
    "StepPair",
    "abs_matrix",
    "absolute_diagonal",
    "condition_number",
    "equilibration_diagonal",
    "frobenius_condition",
    "gradient_second_moment",
    "hyperbolic_boost",
    "ideal_preconditioner",
    "jacobi_diagonal",
    "left_scaled",
    "newton_and_saddle_free",
    "random_problem",
    "run_rmsprop",
    "simulate_sgd",
    "stationary_covariance",
    "trace_minimal_majorant",
    "two_cycles",
    "two_sided",
]
