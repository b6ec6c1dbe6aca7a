from __future__ import annotations

import pytest
import torch

from esgd.config import METHODS, RunConfig
from esgd.ensemble import (
    Ensemble,
    EnsembleRMSprop,
    EnsembleSGD,
    member_batches,
    member_losses,
    member_probe,
)
from esgd.optim import ESGD, JacobiSGD
from esgd.train import Training

from .conftest import TINY_SIZES, tiny_images

SEEDS = (3, 4, 5)
STEPS = 100
BATCH = 10


def column(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64).view(-1, 1, 1)


RATES = {
    "sgd": (0.01, 0.03, 0.05),
    "esgd": (0.01, 0.02, 0.03),
    "rmsprop": (1e-3, 2e-3, 5e-4),
    "jacobi": (1e-3, 5e-4, 2e-3),
}
DAMPINGS = (1e-1, 3e-2, 1e-2)


def run(method: str, seeds, rates, dampings, steps: int = STEPS, poison: int | None = None) -> Ensemble:
    net = Ensemble(TINY_SIZES, seeds).double()
    params = [*net.weights, *net.biases]
    lr, damping = column(*rates), column(*dampings)
    if method == "sgd":
        optimizer = EnsembleSGD(params, lr)
    elif method == "rmsprop":
        optimizer = EnsembleRMSprop(params, lr, alpha=METHODS["rmsprop"]["decay"], eps=damping)
    else:
        kind = {"esgd": ESGD, "jacobi": JacobiSGD}[method]
        optimizer = kind(
            params,
            lr,
            damping=damping,
            update_every=20,
            warmup_probes=3,
            probe=member_probe(seeds),
            members=len(seeds),
        )
    images, done, epoch = tiny_images(dtype=torch.float64), 0, 0
    if poison is not None:
        with torch.no_grad():
            net.weights[0][poison].fill_(float("nan"))
    while done < steps:
        for batch in member_batches(images, seeds, epoch, BATCH):
            optimizer.zero_grad()
            loss = member_losses(net(batch), batch).sum()
            if method in ("esgd", "jacobi"):
                loss = optimizer.probe(loss)
            loss.backward()
            optimizer.step()
            done += 1
        epoch += 1
    return net


@pytest.mark.parametrize("method", RATES)
def test_a_member_equals_the_same_net_trained_alone(tiny, method):
    together = run(method, SEEDS, RATES[method], DAMPINGS)
    for k, seed in enumerate(SEEDS):
        config = RunConfig(
            "tiny",
            method,
            lr=RATES[method][k],
            damping=None if method == "sgd" else DAMPINGS[k],
            seed=seed,
            batch_size=BATCH,
            warmup_probes=3,
            epochs=STEPS * BATCH // 50,
            dtype="float64",
        )
        alone = Training(config, tiny.data(dtype=torch.float64))
        while alone.step < STEPS:
            alone.train_epoch()
        for mine, theirs in zip(together.member(k).parameters(), alone.net.parameters(), strict=True):
            torch.testing.assert_close(mine, theirs, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("method", RATES)
@pytest.mark.filterwarnings("ignore:a Hessian-vector product was not finite")
def test_a_diverged_member_harms_no_other(method):
    healthy = run(method, SEEDS, RATES[method], DAMPINGS, steps=40)
    poisoned = run(method, SEEDS, RATES[method], DAMPINGS, steps=40, poison=1)
    for k in (0, 2):
        for mine, theirs in zip(poisoned.member(k).parameters(), healthy.member(k).parameters(), strict=True):
            torch.testing.assert_close(mine, theirs, rtol=1e-12, atol=1e-12)
    assert not torch.isfinite(poisoned.weights[0][1]).any()


@pytest.mark.parametrize("options", [{}, {"momentum": 0.9}, {"momentum": 0.9, "nesterov": True}])
def test_sgd_equals_torchs_at_one_member(options):
    mine, theirs = (torch.ones(1, 4, 3, dtype=torch.float64, requires_grad=True) for _ in range(2))
    a, b = EnsembleSGD([mine], column(0.1), **options), torch.optim.SGD([theirs], 0.1, **options)
    for _ in range(20):
        for p, optimizer in ((mine, a), (theirs, b)):
            optimizer.zero_grad()
            (p**4).sum().backward()
            optimizer.step()
    torch.testing.assert_close(mine, theirs, rtol=1e-14, atol=0)
