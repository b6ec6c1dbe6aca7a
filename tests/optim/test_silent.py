"""torch's own functions with a silently wrong second derivative are refused, with a remedy."""

import pytest
import torch
from torch import nn

from esgd import ESGD, SaddleFreeNewton
from esgd.errors import CurvatureError
from esgd.hvp import hvp
from esgd.probes import draw


def operator_of_torch(name):
    """A private operator, which not every version of torch has."""
    return getattr(pytest.importorskip(f"torch._higher_order_ops.{name}"), name)


def normed(norm):
    torch.manual_seed(0)
    net, x = norm(nn.Linear(3, 2)).double(), torch.randn(5, 3, dtype=torch.float64)
    return list(net.parameters()), lambda: net(x).tanh().square().sum()


def conditional():
    a = torch.tensor([1.0, 2.0], dtype=torch.float64, requires_grad=True)
    return [a], lambda: torch.cond(a.sum() > 0, lambda x: (x**3).sum(), lambda x: x.sum(), (a,))


def scanned():
    a = torch.tensor([1.0, 2.0], dtype=torch.float64, requires_grad=True)
    one, scan = torch.ones((), dtype=torch.float64), operator_of_torch("scan")
    return [a], lambda: scan(lambda c, x: (c * x, (c * x).clone()), one, a)[1].sum()


def fused_head():
    """The head of a language model, its loss taken in chunks."""
    if not hasattr(nn, "LinearCrossEntropyOptions"):
        pytest.skip("this version of torch has no linear_cross_entropy")
    torch.manual_seed(0)
    lower, head = nn.Linear(3, 4).double(), nn.Parameter(torch.randn(5, 4, dtype=torch.float64))
    x, target = torch.randn(6, 3, dtype=torch.float64), torch.arange(6) % 5

    def loss():
        options = nn.LinearCrossEntropyOptions()
        return nn.functional.linear_cross_entropy(lower(x).tanh(), head, target, options=options)

    return [head, *lower.parameters()], loss


MODELS = {
    "weight_norm": (lambda: normed(torch.nn.utils.parametrizations.weight_norm), r"weight_norm.*g \* v / v\.norm"),
    "cond": (conditional, "torch's cond operator"),
    "scan": (scanned, "torch's scan operator"),
    "linear_cross_entropy": (fused_head, r"linear_cross_entropy in chunks.*cross_entropy.linear"),
}


def slope(params, loss, v, h=1e-5):
    ends = []
    for sign in (1, -1):
        for p, x in zip(params, v, strict=True):
            p.data.add_(x, alpha=sign * h)
        ends.append(torch.autograd.grad(loss(), params))
        for p, x in zip(params, v, strict=True):
            p.data.sub_(x, alpha=sign * h)
    return [(a - b) / (2 * h) for a, b in zip(*ends, strict=True)]


@pytest.mark.parametrize("name", MODELS)
def test_torch_is_silently_wrong_there(name):
    """The reason for the refusal: if torch mends it, this fails, and the refusal can go."""
    params, loss = MODELS[name][0]()
    v = [torch.ones_like(p) for p in params]
    graph = torch.autograd.grad(loss(), params, create_graph=True)
    live = [(g, x) for g, x in zip(graph, v, strict=True) if g.requires_grad]
    found = (
        torch.autograd.grad([g for g, _ in live], params, [x for _, x in live], allow_unused=True)
        if live
        else [None] * len(params)
    )
    found = [torch.zeros_like(p) if g is None else g for g, p in zip(found, params, strict=True)]
    truth = slope(params, loss, v)
    off = max(float((a - b).norm() / b.norm()) for a, b in zip(found, truth, strict=True))
    assert off > 0.1


@pytest.mark.parametrize("name", MODELS)
def test_it_is_refused_and_differences_are_right(name):
    build, words = MODELS[name]
    params, loss = build()
    v = [torch.ones_like(p) for p in params]
    with pytest.raises(CurvatureError, match=rf"(?s){words}.*curvature='difference'"):
        hvp(loss(), params, v)
    for cls in (ESGD, SaddleFreeNewton):
        with pytest.raises(CurvatureError, match=words):
            cls(params).probe(loss())
    with pytest.raises(CurvatureError, match=words):
        ESGD(params, probe="low_rank").probe(loss())
    optimizer = ESGD(
        params, lr=0.0, curvature="difference", difference_step=1e-5, warmup_probes=1, probe=lambda p, i: v
    )
    optimizer.probe(loss)
    loss().backward()
    optimizer.step()
    for p, h in zip(params, slope(params, loss, v), strict=True):
        torch.testing.assert_close(optimizer.diagonal(p), h.abs(), rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("probe", ["rademacher", "gaussian", "low_rank"])
def test_torchs_map_is_differentiated_as_it_should_be(probe):
    """Hooks on saved tensors would make its second derivative zero."""
    a = torch.tensor([1.0, 2.0], dtype=torch.float64, requires_grad=True)
    optimizer = ESGD([a], lr=0.0, probe=probe, warmup_probes=1)
    optimizer.probe(operator_of_torch("map")(lambda x: x**3, a).sum()).backward()
    torch.testing.assert_close(a.grad, 3 * a.detach() ** 2)
    optimizer.step()
    (v,) = draw(probe, [a], 0, 0)
    torch.testing.assert_close(optimizer.diagonal(a), (6 * a.detach() * v).abs())
