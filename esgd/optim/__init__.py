"""Optimizers for ``torch`` that look at curvature through Hessian-vector products."""

from esgd.optim.captured import CapturedStep
from esgd.optim.esgd import ESGD
from esgd.optim.jacobi import JacobiSGD
from esgd.optim.saddle_free import SaddleFreeNewton

__all__ = ["ESGD", "CapturedStep", "JacobiSGD", "SaddleFreeNewton"]
