"""Mixed precision: scaled losses, steps that a GradScaler skips, autocast."""

import pytest
import torch
from cases import DIAGONAL, OPTIMIZERS, Problem, assert_same, curvature_of, over, train
from torch import nn

from esgd import ESGD, JacobiSGD

SCALABLE = [c for c in OPTIMIZERS if c.diagonal]


def scaler_of(scale=1024.0, **options):
    return torch.amp.GradScaler("cpu", init_scale=scale, growth_interval=10**6, **options)


def scaled_step(optimizer, scaler, loss, *, clear=None, poison=False, clip=None):
    (clear or optimizer.zero_grad)()
    scaler.scale(optimizer.probe(loss())).backward()
    if poison:
        optimizer.param_groups[0]["params"][0].grad.view(-1)[0] = float("inf")
    if clip is not None:
        scaler.unscale_(optimizer)
        torch.nn.utils.clip_grad_norm_(optimizer.param_groups[0]["params"], clip)
    scaler.step(optimizer)
    scaler.update()


@pytest.mark.parametrize("clip", [None, 1e9])
@over([c for c in DIAGONAL if not c.difference])
def test_a_scaler_changes_nothing(case, clip):
    plain, scaled = Problem(), Problem()
    first, second = case.make(plain.parameters()), case.make(scaled.parameters())
    scaler = scaler_of()
    for _ in range(5):
        train(first, plain.loss, 1)
        scaled_step(second, scaler, scaled.loss, clip=clip)
    assert_same(plain.values(), scaled.values())


@pytest.mark.parametrize("how", ["optimizer", "model to None", "model to zero"])
@pytest.mark.parametrize("unscale", [False, True])
@over(SCALABLE)
def test_a_skipped_step_leaves_everything_alone(case, how, unscale):
    """Two overflows in a row: no parameter moves, no product is counted, the clock stands."""
    problem, straight = Problem(), Problem()
    optimizer, reference = (
        case.make(problem.parameters(), update_every=2),
        case.make(straight.parameters(), update_every=2),
    )
    clear = {
        "optimizer": optimizer.zero_grad,
        "model to None": lambda: problem.zero_grad(set_to_none=True),
        "model to zero": lambda: problem.zero_grad(set_to_none=False),
    }[how]
    scaler = scaler_of()
    clip = 1e9 if unscale else None
    for step in range(5):
        if step in (0, 2, 3):  # at steps that are due, and at one that is not
            for _ in range(2):
                before = problem.values()
                scaled_step(optimizer, scaler, problem.loss, clear=clear, poison=True, clip=clip)
                assert_same(problem.values(), before)
                assert optimizer.param_groups[0]["step"] == step
        scaled_step(optimizer, scaler, problem.loss, clear=clear, clip=clip)
        train(reference, straight.loss, 1)
        assert_same(problem.values(), straight.values())
    assert optimizer.num_products == reference.num_products
    assert scaler.get_scale() == 1024.0 / 2**6


@pytest.mark.parametrize("scale", [1.0, 1024.0, 2.0**24])
@pytest.mark.parametrize("cls", [ESGD, JacobiSGD])
def test_loss_scale_cancels_out_of_the_curvature(cls, scale):
    """ESGD-M inflates √D with the scale: here the product is of the unscaled loss, however it is computed."""
    plain, scaled = Problem(), Problem()
    first, second = cls(plain.parameters(), lr=0.1), cls(scaled.parameters(), lr=0.1)
    train(first, plain.loss, 1)
    (second.probe(scaled.loss(), loss_scale=scale) * 2).backward()
    for p in scaled.parameters():
        p.grad /= 2
    second.step()
    assert_same(plain.values(), scaled.values())
    assert_same([curvature_of(first, list(plain.parameters()))], [curvature_of(second, list(scaled.parameters()))])


@pytest.mark.parametrize("given", ["number", "tensor"])
def test_loss_scale_rescues_what_float16_would_lose(given):
    """A curvature of 2e-8 is below float16's smallest number on its way back through a half-precision weight."""
    w = nn.Parameter(torch.tensor([1.0, 1.0]))

    def loss():
        half = w.half()
        return ((half * half).float() * 1e-8).sum()

    lost, kept = ESGD([w], lr=0.0), ESGD([w], lr=0.0)
    scale = 2.0**16 if given == "number" else torch.tensor(2.0**16)
    for optimizer, options in ((lost, {}), (kept, {"loss_scale": scale})):
        optimizer.zero_grad()
        optimizer.probe(loss(), **options).backward()
        optimizer.step()
    assert (lost.diagonal(w) == 0).all()
    torch.testing.assert_close(kept.diagonal(w), torch.full((2,), 2e-8), rtol=1e-3, atol=0)


def test_loss_scale_rescues_differences_as_well():
    w = nn.Parameter(torch.tensor([1.0, 1.0]))

    def loss():
        half = w.half()
        return ((half * half).float() * 1e-8).sum()

    found = []
    for options in ({}, {"loss_scale": 2.0**16}):
        optimizer = ESGD([w], lr=0.0, curvature="difference")
        optimizer.probe(loss, **options)
        loss().backward()
        optimizer.step()
        found.append(optimizer.diagonal(w))
    assert (found[0] == 0).all()
    torch.testing.assert_close(found[1], torch.full((2,), 2e-8), rtol=1e-2, atol=0)


@pytest.mark.parametrize("scale", [2.0**16, 2.0**15])
def test_a_scale_beyond_float16_reaches_half_gradients_finite(scale):
    w = nn.Parameter(torch.full((2,), 1e-3, dtype=torch.float16))
    optimizer = ESGD([w], lr=0.1)
    (optimizer.probe((w.float() ** 2).sum() * 1e-4) * scale).backward()
    torch.testing.assert_close(w.grad.float(), torch.full((2,), 2e-7 * scale), rtol=0.3, atol=0)


@pytest.mark.parametrize("inside", [True, False], ids=["probe inside autocast", "probe outside"])
@over(SCALABLE)
def test_autocast_bfloat16(case, inside):
    """The curvature of a net whose products run in bfloat16 is near that of the float32 net, and it trains."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Linear(16, 1))
    x = torch.randn(64, 6)
    y = x.square().sum(1, keepdim=True) / 6
    start = {k: v.clone() for k, v in net.state_dict().items()}

    def run(enabled, steps):
        net.load_state_dict(start)
        optimizer = case.make(net.parameters(), lr=0.05 if case.cls is ESGD else 0.01, damping=1e-2)
        losses = []
        for _ in range(steps):
            optimizer.zero_grad()
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=enabled):
                loss = nn.functional.mse_loss(net(x), y.to(torch.bfloat16) if enabled else y)
                if inside:
                    loss = optimizer.probe(loss)
            if not inside:
                loss = optimizer.probe(loss)
            loss.backward()
            optimizer.step()
            losses.append(float(loss.detach()))
        return losses, torch.cat([optimizer.diagonal(p).flatten() for p in net.parameters()])

    _, exact = run(False, 1)
    _, half = run(True, 1)
    assert half.dtype is torch.float32
    cosine = float(torch.nn.functional.cosine_similarity(exact, half, dim=0))
    assert cosine > 0.99
    losses, _ = run(True, 120)
    assert losses[-1] < 0.6 * losses[0]


@over(SCALABLE)
def test_pure_bfloat16_keeps_its_curvature_in_float32(case):
    """Sums of squares over many products would stall in bfloat16 after 256 of them."""
    w = nn.Parameter(torch.ones(3, dtype=torch.bfloat16))
    optimizer = case.make([w], lr=0.0, update_every=1, warmup_probes=1)
    for _ in range(600):
        optimizer.probe((w.float() ** 2).sum() / 2).backward()
        optimizer.step()
        optimizer.zero_grad()
    assert optimizer.state[w]["weight"] == 600
    torch.testing.assert_close(optimizer.mean_curvature(w), torch.ones(3))
