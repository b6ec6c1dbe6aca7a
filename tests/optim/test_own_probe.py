"""Probes of the user's own: one vector for one index, and what a rejected one brings."""

from __future__ import annotations

import pytest
import torch
from cases import Problem, one_step

from esgd import ESGD, JacobiSGD
from esgd.errors import ConfigError


@pytest.fixture
def problem():
    return Problem(torch.float64)


@pytest.mark.parametrize("cls", [ESGD, JacobiSGD])
def test_a_probe_of_the_users_gives_one_vector_for_one_index(cls, problem):
    optimizer = cls(problem.parameters(), probe=lambda params, index: [torch.randn_like(p) for p in params])
    with pytest.raises(ConfigError, match=r"two vectors for one index.*seeded by the index"):
        optimizer.probe(problem.loss())


def test_a_probe_that_is_not_finite_is_no_other_vector(problem):
    optimizer = ESGD(problem.parameters(), probe=lambda params, index: [p.detach() * float("nan") for p in params])
    optimizer.probe(problem.loss())


def test_a_part_of_the_first_products_rejected_brings_as_many_again(problem):
    def probe(params, index):
        return [torch.full_like(p, float("inf") if index == 3 else 1.0) for p in params]

    optimizer = ESGD(problem.parameters(), probe=probe, update_every=50)
    with pytest.warns(RuntimeWarning, match="was not finite"):
        one_step(optimizer, problem.loss)
    one_step(optimizer, problem.loss)
    assert optimizer.num_products == 20
    assert not optimizer.curvature_due
