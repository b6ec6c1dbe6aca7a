"""Products from differences in the precision in which people train: kinks, autocast, and the length h."""

import pytest
import torch
from torch import nn

from esgd import ESGD, JacobiSGD
from esgd.errors import ConfigError
from esgd.optim._products import typical_weight

CE = nn.functional.cross_entropy


def mlp(act):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(20, 64), act(), nn.Linear(64, 64), act(), nn.Linear(64, 10))
    x, y = torch.randn(200, 20), torch.randint(10, (200,))
    return net, lambda: CE(net(x), y)


def convnet(act):
    torch.manual_seed(0)
    pool = nn.MaxPool2d(2) if act is nn.ReLU else nn.AvgPool2d(2)
    net = nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), act(), pool, nn.Flatten(), nn.Linear(8 * 49, 10)
    )
    x, y = torch.randn(64, 1, 14, 14), torch.randint(10, (64,))
    return net, lambda: CE(net(x), y)


def encoder(act):
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(32, 4, 64, dropout=0.0, batch_first=True, activation=act())
    net = nn.Sequential(nn.Embedding(20, 32), layer, nn.Linear(32, 20))
    x = torch.randint(20, (16, 12))

    def loss():
        with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
            return CE(net(x).flatten(0, 1), x.roll(-1, 1).flatten())

    return net, loss


def diagonal(net, loss, mode, **options):
    """√(D/k) of ten products along the same vectors, as one vector."""
    optimizer = ESGD(net.parameters(), lr=0.0, curvature=mode, warmup_probes=10, **options)
    optimizer.probe(loss)
    loss().backward()
    optimizer.step()
    return torch.cat([optimizer.diagonal(p).flatten().float() for p in net.parameters()])


@pytest.mark.parametrize("build", [mlp, convnet, encoder])
@pytest.mark.parametrize("act", [nn.Tanh, nn.GELU])
def test_smooth_models_lose_a_few_percent(build, act):
    net, loss = build(act)
    exact, found = (diagonal(net, loss, mode) for mode in ("exact", "difference"))
    assert 0 < (found - exact).norm() / exact.norm() < 0.1  # ten probes scatter by a quarter


@pytest.mark.parametrize("build", [mlp, convnet, encoder])
def test_kinks_do_not_drown_the_curvature(build):
    """A kink within h adds its jump over h, so that short differences read D an order of magnitude too large."""
    net, loss = build(nn.ReLU)
    exact, found = (diagonal(net, loss, mode) for mode in ("exact", "difference"))
    assert 0.9 < found.norm() / exact.norm() < 2.5
    short = diagonal(net, loss, "difference", difference_step=1e-4)
    assert short.norm() > 3 * found.norm()  # and the length is what decides it


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_differences_survive_the_rounding_of_autocast(dtype):
    net, loss = mlp(nn.Tanh)

    def cast():
        with torch.autocast("cpu", dtype=dtype):
            return loss()

    exact, found = diagonal(net, loss, "exact"), diagonal(net, cast, "difference")
    assert (found - exact).norm() / exact.norm() < 0.15


def test_the_length_is_measured_by_the_weight_matrices():
    wide, narrow = torch.full((50, 30), 1.0), torch.full((30, 10), -0.02)
    assert typical_weight([wide, narrow]) == pytest.approx(0.02)  # an embedding does not decide
    assert typical_weight([narrow, torch.full((30,), 5.0)]) == pytest.approx(0.02)  # nor biases and gains
    assert typical_weight([narrow, torch.zeros(10, 2)]) == pytest.approx(0.02)  # nor an output that starts at 0
    assert typical_weight([torch.zeros(4, 4), torch.full((3,), 2.0)]) == pytest.approx(2.0)
    assert typical_weight([torch.zeros(4, 4)]) == 0.1
    assert typical_weight([torch.full((2, 2), float("inf")), narrow]) == pytest.approx(0.02)


@pytest.mark.parametrize("cls", [ESGD, JacobiSGD])
def test_the_step_asked_for_is_the_step_taken(cls):
    """f = w⁴/12 has f″ = w² and (f′(w + h) − f′(w)) / h = w² + w h + h²/3, here along the sign of v."""
    w = torch.tensor([[3.0]], dtype=torch.float64, requires_grad=True)
    optimizer = cls([w], lr=0.0, curvature="difference", difference_step=0.5, warmup_probes=1)
    optimizer.probe(lambda: (w**4).sum() / 12)
    (w**4).sum().div(12).backward()
    optimizer.step()
    h = 0.5 * 3.0
    assert any(abs(optimizer.diagonal(w).item() - (9 + s * 3 * h + h**2 / 3)) < 1e-9 for s in (1, -1))
    again = cls([w], lr=0.0, curvature="difference")
    again.load_state_dict(optimizer.state_dict())
    assert again.param_groups[0]["difference_step"] == 0.5


@pytest.mark.parametrize("step", [0, -0.1, float("nan"), float("inf"), "long", None])
def test_a_length_that_is_none_is_refused(step):
    with pytest.raises(ConfigError, match="difference_step must be a finite number above 0"):
        ESGD([torch.ones(2, requires_grad=True)], difference_step=step)
