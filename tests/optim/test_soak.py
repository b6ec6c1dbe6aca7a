"""Long runs: memory stays flat, and nothing of a graph gathers anywhere."""

import gc
import os
import resource

import pytest
import torch
from torch import nn

from esgd import ESGD, JacobiSGD


def resident_bytes() -> int:
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:  # not Linux: the peak, in kilobytes or bytes
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def soak(optimizer, w, c, steps, samples=16):
    """Steps on a tiny net whose loss never settles; resident memory and live objects along the way."""
    memory, objects = [], []
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(997, 2, generator=generator)
    for step in range(steps):
        optimizer.zero_grad()
        loss = (torch.tanh(w * noise[step % 997]) - c).square().sum()
        optimizer.probe(loss).backward()
        optimizer.step()
        if step % (steps // samples) == 0:
            assert w.grad.grad_fn is None
            gc.collect()
            memory.append(resident_bytes())
            objects.append(len(gc.get_objects()))
    return memory, objects


def grew(series) -> float:
    """The mean of the last quarter less that of the second, both past the warm-up of allocators and caches."""
    quarter = len(series) // 4
    return sum(series[-quarter:]) / quarter - sum(series[quarter : 2 * quarter]) / quarter


@pytest.mark.parametrize(
    ("cls", "steps", "options"),
    [
        pytest.param(ESGD, 8_000, {"update_every": 5}, id="ESGD"),
        pytest.param(JacobiSGD, 3_000, {"update_every": "auto", "momentum": 0.9}, id="JacobiSGD-auto"),
        pytest.param(ESGD, 1_000_000, {}, id="a-million", marks=pytest.mark.slow),
        pytest.param(ESGD, 100_000, {"update_every": 1}, id="every-step", marks=pytest.mark.slow),
    ],
)
def test_memory_is_flat(cls, steps, options):
    w, c = nn.Parameter(torch.tensor([0.5, -0.3])), torch.tensor([0.2, 0.6])
    optimizer = cls([w], lr=1e-3, **options)
    memory, objects = soak(optimizer, w, c, steps)
    assert grew(objects) < 50  # Python's; a leak of one object a step would be thousands
    assert grew(memory) < 4 * 2**20  # 4 MiB; a leak of one 100-byte tensor a step would be more over a million
    assert bool(w.isfinite().all())
    assert optimizer.param_groups[0]["step"] == steps
