"""Equilibrated stochastic gradient descent for PyTorch, and the curvature tools behind it."""

from esgd.hvp import hvp
from esgd.optim import ESGD, JacobiSGD

__all__ = ["ESGD", "JacobiSGD", "hvp"]
__version__ = "0.1.0"
