"""Equilibrated stochastic gradient descent for PyTorch, and the curvature tools behind it."""

from esgd.hvp import hvp
from esgd.optim import ESGD, JacobiSGD, SaddleFreeNewton

__all__ = ["ESGD", "JacobiSGD", "SaddleFreeNewton", "hvp"]
__version__ = "0.1.0"
