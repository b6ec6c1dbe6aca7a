"""Functions that torch differentiates twice without a word, and wrongly: found by differences of gradients."""

import warnings

import pytest
import torch
from cases import assert_same, train
from torch import nn
from torch.nn import functional as F

from esgd import ESGD, JacobiSGD, SaddleFreeNewton
from esgd.double_backward import custom_functions
from esgd.errors import CurvatureError


class Right(torch.autograd.Function):
    """tanh, with a backward that autograd can follow."""

    @staticmethod
    def forward(ctx, x):
        y = x.tanh()
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx, incoming):
        (y,) = ctx.saved_tensors
        return incoming * (1 - y * y)


class Detached(Right):
    """The same numbers in the first derivative; the second lacks the curvature of tanh itself."""

    @staticmethod
    def backward(ctx, incoming):
        (y,) = ctx.saved_tensors
        return incoming * (1 - y.detach() ** 2)


class InNumpy(Right):
    """The backward leaves torch."""

    @staticmethod
    def backward(ctx, incoming):
        (y,) = ctx.saved_tensors
        return torch.from_numpy(incoming.detach().numpy() * (1 - y.detach().numpy() ** 2))


class FromForward(Right):
    """The backward reuses what forward computed on the way and kept past autograd."""

    @staticmethod
    def forward(ctx, x):
        y = x.tanh()
        ctx.slope = 1 - y * y
        return y

    @staticmethod
    def backward(ctx, incoming):
        return incoming * ctx.slope


class Rounded(torch.autograd.Function):
    """Straight-through: a backward that is meant to be no derivative."""

    @staticmethod
    def forward(ctx, x):
        return (8 * x).round() / 8

    @staticmethod
    def backward(ctx, incoming):
        return incoming


WRONG = [Detached, InNumpy, FromForward]


class Apply(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function.apply(x)


def classifier(function, dtype=torch.float32):
    """A net with BatchNorm and dropout around ``function``; the net, and its loss on a fixed batch."""
    torch.manual_seed(0)
    norm = [nn.Linear(12, 20), nn.BatchNorm1d(20), Apply(function), nn.Dropout(0.3), nn.Linear(20, 4)]
    net = nn.Sequential(*norm).to(dtype)
    x, y = torch.randn(40, 12, dtype=dtype), torch.arange(40) % 4
    return net, lambda: F.cross_entropy(net(x), y)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("function", WRONG, ids=lambda f: f.__name__)
@pytest.mark.parametrize("cls", [ESGD, JacobiSGD, SaddleFreeNewton])
def test_a_wrong_function_is_named_with_the_remedy(cls, function, dtype):
    net, loss = classifier(function, dtype)
    before = [t.clone() for t in net.state_dict().values()]
    optimizer = cls(net.parameters(), lr=0.1)
    for _ in range(2):  # and again
        with pytest.raises(
            CurvatureError, match=rf"uses {function.__name__}, .*off by \d+%.*curvature='difference'"
        ):
            optimizer.check_curvature(loss)
    assert_same([*net.state_dict().values()], before)
    with pytest.raises(CurvatureError, match=function.__name__):
        optimizer.probe(loss)
    assert all(not p._post_accumulate_grad_hooks for p in net.parameters())


@pytest.mark.parametrize("function", WRONG, ids=lambda f: f.__name__)
def test_the_remedy_trains_like_the_right_function(function):
    """Differences see the first derivative alone, and that is right."""
    runs = []
    for f in (function, Right):
        net, loss = classifier(f, torch.float64)
        torch.manual_seed(1)
        train(ESGD(net.parameters(), curvature="difference", update_every=3), loss, 8)
        runs.append([*net.state_dict().values()])
    assert_same(*runs)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("cls", [ESGD, JacobiSGD, SaddleFreeNewton])
def test_a_right_function_passes_and_nothing_is_touched(cls, dtype):
    net, loss = classifier(Right, dtype)
    before, generator = [t.clone() for t in net.state_dict().values()], torch.get_rng_state()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cls(net.parameters(), lr=0.1).check_curvature(loss)
    assert_same([*net.state_dict().values()], before)
    assert torch.equal(torch.get_rng_state(), generator)
    assert all(p.grad is None for p in net.parameters())


def test_the_trajectory_does_not_depend_on_the_check():
    runs = []
    for check in (True, False):
        net, loss = classifier(Right)
        optimizer = ESGD(net.parameters(), lr=0.1, update_every=2)
        for _ in range(5):
            optimizer.zero_grad()
            optimizer.probe(loss, check=check)
            loss().backward()
            optimizer.step()
        runs.append([*net.state_dict().values()])
    assert_same(*runs)


def test_the_check_is_made_once_and_only_where_there_is_something_to_check():
    calls = []
    for function in (Right, torch.Tensor):
        net, loss = classifier(Right)
        if function is torch.Tensor:
            net[2] = nn.Tanh()

        def counted(loss=loss):
            calls[-1] += 1
            return loss()

        optimizer = ESGD(net.parameters(), lr=0.1, update_every=1)
        for _ in range(3):
            calls.append(0)
            optimizer.zero_grad()
            optimizer.probe(counted)
            loss().backward()
            optimizer.step()
    assert calls == [3, 1, 1, 1, 1, 1]  # once to find the functions, once for their inputs, once for the product


def test_without_a_function_it_warns_once_and_tells_how_to_check():
    net, loss = classifier(Right)
    optimizer = ESGD(net.parameters(), lr=0.1, update_every=1)
    with pytest.warns(RuntimeWarning, match=r"uses Right, .*optimizer\.check_curvature\(lambda") as caught:
        train(optimizer, loss, 3)
    assert len(caught) == 1
    assert caught[0].filename.endswith("cases.py")  # the line of the user's loop that probed
    quiet = ESGD(net.parameters(), lr=0.1, update_every=1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        quiet.check_curvature(loss)
        train(quiet, loss, 3)
        ESGD(net.parameters(), lr=0.1).probe(loss(), check=False)


def test_a_backward_that_is_meant_to_be_no_derivative_passes():
    """Straight-through: autograd differentiates what was written, and that is what is asked."""
    w = nn.Parameter(torch.tensor([0.3, -0.7, 1.1], dtype=torch.float64))
    optimizer = ESGD([w], lr=0.1)
    optimizer.probe(lambda: Rounded.apply(w).pow(4).sum())
    Rounded.apply(w).pow(4).sum().backward()
    optimizer.step()
    torch.testing.assert_close(
        optimizer.diagonal(w), 12 * (8 * torch.tensor([0.3, -0.7, 1.1]).double()).round() ** 2 / 64
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_kinks_and_detached_values_elsewhere_play_no_part(dtype):
    """Through the whole model differences would cross ReLU's kinks, and move what the loss holds fast."""
    for function in (Right, Detached):
        torch.manual_seed(0)
        net = nn.Sequential(nn.Linear(16, 64), nn.ReLU(), Apply(function), nn.Linear(64, 64), nn.ReLU()).to(dtype)
        x = torch.randn(100, 16, dtype=dtype)

        def loss(net=net, x=x):
            out = net(x)
            return (out - out.detach().roll(1, 0)).square().mean()

        optimizer = ESGD(net.parameters(), lr=0.1)
        if function is Right:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                optimizer.check_curvature(loss)
        else:
            with pytest.raises(CurvatureError, match="Detached"):
                optimizer.check_curvature(loss)


class Hinge(torch.autograd.Function):
    """max(x, 0) of somebody's own, in place; with a second output that is no number to differentiate."""

    @staticmethod
    def forward(ctx, x, slope):
        positive = x > 0
        ctx.slope = slope
        ctx.save_for_backward(positive)
        ctx.mark_dirty(x)
        ctx.mark_non_differentiable(positive)
        return x.clamp_(min=0).mul_(slope), positive

    @staticmethod
    def backward(ctx, incoming, _):
        (positive,) = ctx.saved_tensors
        return incoming * positive * ctx.slope, None


class HingeDetached(Hinge):
    @staticmethod
    def backward(ctx, incoming, _):
        (positive,) = ctx.saved_tensors
        return incoming.detach() * positive * ctx.slope, None


class WithSetup(torch.autograd.Function):
    """x · y in the newer style, known in float32 only."""

    @staticmethod
    def forward(x, y):
        if x.dtype is not torch.float32:
            raise TypeError("only float32")
        return x * y

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx, incoming):
        x, y = ctx.saved_tensors
        return incoming * y, incoming * x


class WithSetupDetached(WithSetup):
    @staticmethod
    def backward(ctx, incoming):
        x, y = ctx.saved_tensors
        return incoming * y, incoming * x.detach()


@pytest.mark.parametrize(
    ("function", "right"), [(Hinge, True), (HingeDetached, False), (WithSetup, True), (WithSetupDetached, False)]
)
def test_functions_of_every_make(function, right):
    w = nn.Parameter(torch.randn(4000))
    other = torch.randn(4000, requires_grad=True)
    forward = function.__dict__.get("forward")

    def loss():
        out = function.apply(w * 1.5, 0.7) if issubclass(function, Hinge) else function.apply(w, other * w.cos())
        out = out[0] if isinstance(out, tuple) else out
        return out.square().sum()

    optimizer = ESGD([w], lr=0.1)
    if right:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            optimizer.check_curvature(loss)
    else:
        with pytest.raises(CurvatureError, match=function.__name__):
            optimizer.check_curvature(loss)
    assert function.__dict__.get("forward") is forward


def test_a_loss_without_curvature_of_its_own_passes():
    """Nothing but roundings to compare: a linear function has the product zero."""

    class Doubled(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return 2 * x

        @staticmethod
        def backward(ctx, incoming):
            return 2 * incoming

    for seed in range(20):
        w = nn.Parameter(torch.randn(3, generator=torch.Generator().manual_seed(seed)))
        c = torch.randn(3)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ESGD([w], lr=0.1).check_curvature(lambda w=w, c=c: (Doubled.apply(w) * c).sum())


@pytest.mark.parametrize("outside", [True, False])
def test_differences_see_through_autocast(outside):
    """Where it is on around the probe it keeps cast weights in memory, which would not move with the parameters."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 1))
    x, y = torch.randn(64, 8), torch.randn(64, 1)

    def loss():
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return F.mse_loss(net(x).float(), y)

    optimizer = ESGD(net.parameters(), lr=0.0, curvature="difference")
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=outside):
        value = loss()
        optimizer.probe(loss)
    value.backward()
    optimizer.step()
    exact = ESGD(net.parameters(), lr=0.0)
    exact.probe(F.mse_loss(net(x), y)).backward()
    exact.step()
    found, expected = (torch.cat([o.diagonal(p).flatten() for p in net.parameters()]) for o in (optimizer, exact))
    assert (found - expected).norm() < 0.15 * expected.norm()


def test_spectral_norm_is_put_back():
    """Its buffers turn a little in every forward pass, so that each evaluation would be of another function."""
    torch.manual_seed(0)
    body = nn.utils.parametrizations.spectral_norm(nn.Linear(6, 6))
    net = nn.Sequential(body, Apply(Right), nn.Linear(6, 1)).double()
    x = torch.randn(30, 6, dtype=torch.float64)
    before = [b.clone() for b in net.buffers()]
    assert before
    ESGD(net.parameters(), lr=0.1).check_curvature(lambda: net(x).square().mean())
    assert_same(list(net.buffers()), before)


def test_operators_of_torch_library_and_torchs_own_functions():
    @torch.library.custom_op("esgd_tests::sine", mutates_args=())
    def sine(x: torch.Tensor) -> torch.Tensor:
        return x.sin()

    def backward(ctx, incoming):
        return incoming * ctx.cos

    def setup(ctx, inputs, output):
        ctx.cos = inputs[0].detach().cos()

    sine.register_autograd(backward, setup_context=setup)
    w = nn.Parameter(torch.linspace(-1, 1, 5, dtype=torch.float64))
    assert list(custom_functions(sine(w).sum())) == ["esgd_tests_sine"]
    with pytest.raises(CurvatureError, match="esgd_tests_sine"):
        ESGD([w], lr=0.1).probe(lambda: sine(w).square().sum())
    net = nn.Sequential(nn.Linear(5, 5), nn.Tanh()).double()
    light = torch.utils.checkpoint.checkpoint(net, w, use_reentrant=False)
    assert custom_functions(light.sum()) == {}
