"""Who takes part in ``step.py``: optimizers, ours and others, and how each takes a step."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from esgd import ESGD, JacobiSGD
from esgd.data import load
from esgd.nets import curves_autoencoder, mnist_autoencoder, reconstruction_loss
from esgd.optim import CapturedStep

BATCH = 200
LR = 1e-5  # small: the nets stay where they are, and every step costs the same
NETS = {"mnist": mnist_autoencoder, "curves": curves_autoencoder}
SETTLED = 1000  # training steps before the interval of "auto" counts as settled


@dataclass(frozen=True)
class Contender:
    """One optimizer under one setting.

    Attributes:
        name: as printed.
        build: (net, images) -> a function that takes one whole step.
        period: steps in one period of it; a round runs at least one.
        ours: whether it is this project's.
        peer: whether it is a curvature-based optimizer of somebody else.
        settle: steps before it is measured, with those that are captured.
        counted: builds the step whose FLOPs are counted, where it is another one: those of a replay cannot be.
    """

    name: str
    build: Callable[[torch.nn.Module, Tensor], Callable[[], None]]
    period: int = 1
    ours: bool = False
    peer: bool = False
    settle: int = 2
    counted: Callable[[torch.nn.Module, Tensor], Callable[[], None]] | None = None


def plain(factory: Callable[[list[Tensor]], torch.optim.Optimizer]):
    """A step of an optimizer that needs nothing but the gradient."""

    def build(net: torch.nn.Module, x: Tensor) -> Callable[[], None]:
        optimizer = factory(list(net.parameters()))

        def step() -> None:
            optimizer.zero_grad()
            reconstruction_loss(net(x), x).backward()
            optimizer.step()

        return step

    return build


def probed(factory: Callable[[list[Tensor]], torch.optim.Optimizer]):
    """A step of ours: the one line more."""

    def build(net: torch.nn.Module, x: Tensor) -> Callable[[], None]:
        optimizer = factory(list(net.parameters()))

        def step() -> None:
            optimizer.zero_grad()
            loss = reconstruction_loss(net(x), x)
            loss = optimizer.probe(loss)
            loss.backward()
            optimizer.step()

        step.optimizer = optimizer
        return step

    return build


def captured(factory: Callable[[list[Tensor], Tensor], torch.optim.Optimizer]):
    """A step of ours as two CUDA graphs; the factory gets the learning rate as a tensor."""

    def build(net: torch.nn.Module, x: Tensor) -> Callable[[], None]:
        optimizer = factory(list(net.parameters()), torch.tensor(LR, device=x.device))

        def step() -> None:
            optimizer.zero_grad()
            optimizer.probe(reconstruction_loss(net(x), x)).backward()
            optimizer.step()

        return CapturedStep(optimizer, step)

    return build


def captured_peer(factory: Callable[[list[Tensor]], torch.optim.Optimizer]):
    """A step of one of torch's optimizers as a CUDA graph, by torch's rules for the capture of a whole step."""

    def build(net: torch.nn.Module, x: Tensor) -> Callable[[], None]:
        step = plain(factory)(net, x)
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(3):
                step()
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=side):
            step()
        return graph.replay

    return build


def contenders_in_graphs() -> Iterator[Contender]:
    """Steps captured in CUDA graphs, and what they are to be compared with."""
    for name, factory in (
        ("SGD", lambda p: torch.optim.SGD(p, lr=LR)),
        ("Adam", lambda p: torch.optim.Adam(p, lr=LR, capturable=True)),
    ):
        yield Contender(f"{name}, captured", captured_peer(factory), counted=plain(factory))
    for name, every in (("ESGD plain step", 10**9), ("ESGD 1", 1), ("ESGD 20", 20)):
        yield Contender(
            f"{name}, captured",
            captured(lambda p, lr, e=every: ESGD(p, lr=lr, update_every=e, warmup_probes=1, capturable=True)),
            min(every, 20) if every < 10**9 else 1,
            ours=True,
            settle=2 * min(every, 20) + 4,
            counted=probed(lambda p, e=every: ESGD(p, lr=LR, update_every=e, warmup_probes=1)),
        )


def probed_by_function(factory: Callable[[list[Tensor]], torch.optim.Optimizer], examples: int):
    """A step of ours with the curvature from a function: a part of the batch, or differences."""

    def build(net: torch.nn.Module, x: Tensor) -> Callable[[], None]:
        optimizer = factory(list(net.parameters()))
        part = x[:examples]

        def step() -> None:
            optimizer.zero_grad()
            optimizer.probe(lambda: reconstruction_loss(net(part), part))
            reconstruction_loss(net(x), x).backward()
            optimizer.step()

        return step

    return build


def images(net: str, device: torch.device) -> Tensor:
    """Real training images of a net, shape (n, 784)."""
    return load("mnist-10k" if net == "mnist" else "curves", device=device).images


@cache
def _trained(name: str, device: torch.device) -> tuple[torch.nn.Module, dict, list[Tensor]]:
    """A net after ``SETTLED`` steps of ``update_every="auto"``, the optimizer's state, and more batches."""
    net, data = NETS[name](seed=0).to(device), images(name, device)
    optimizer = ESGD(net.parameters(), update_every="auto")
    order = torch.Generator().manual_seed(0)

    def batch() -> Tensor:
        return data[torch.randint(len(data), (BATCH,), generator=order).to(device)]

    for _ in range(SETTLED):
        x = batch()
        optimizer.zero_grad()
        optimizer.probe(reconstruction_loss(net(x), x)).backward()
        optimizer.step()
    return net, copy.deepcopy(optimizer.state_dict()), [batch() for _ in range(100)]


def settled(net: torch.nn.Module, x: Tensor) -> Callable[[], None]:
    """Steps of ``update_every="auto"`` that go on training a net whose interval has settled.

    They take other batches at every step, at the default rate: on one batch, or at rest, every product would agree
    with the mean, and the interval would go on growing. ``step.intervals`` tells the interval at each step.
    """
    name = "curves" if sum(p.numel() for p in net.parameters()) < 10**6 else "mnist"
    trained, state, batches = _trained(name, x.device)
    net.load_state_dict(trained.state_dict())
    optimizer = ESGD(net.parameters(), update_every="auto")
    optimizer.load_state_dict(copy.deepcopy(state))
    intervals: list[int] = []

    def step() -> None:
        batch = batches[len(intervals) % len(batches)]
        optimizer.zero_grad()
        optimizer.probe(reconstruction_loss(net(batch), batch)).backward()
        optimizer.step()
        intervals.append(optimizer.param_groups[0]["interval"])

    step.intervals = intervals
    return step


def create_graph(factory: Callable[[list[Tensor]], torch.optim.Optimizer], period: int):
    """A step of pytorch-optimizer's: backward with a graph, only on the steps that need it."""

    def build(net: torch.nn.Module, x: Tensor) -> Callable[[], None]:
        optimizer = factory(list(net.parameters()))
        count = 0

        def step() -> None:
            nonlocal count
            optimizer.zero_grad()
            reconstruction_loss(net(x), x).backward(create_graph=count % period == 0)
            optimizer.step()
            count += 1

        return step

    return build


def torchzero_esgd(period: int):
    """A step of torchzero's ESGD, by its closure."""
    import torchzero as tz

    def build(net: torch.nn.Module, x: Tensor) -> Callable[[], None]:
        optimizer = tz.Optimizer(net.parameters(), tz.m.ESGD(update_freq=period), tz.m.LR(1e-5))

        def closure(backward: bool = True) -> Tensor:
            loss = reconstruction_loss(net(x), x)
            if backward:
                optimizer.zero_grad()
                loss.backward()
            return loss

        return lambda: optimizer.step(closure)

    return build


def contenders() -> Iterator[Contender]:
    """All of them; a peer that is not installed is left out, and said so."""
    lr = LR
    yield Contender("gradient alone", lambda net, x: _gradient_alone(net, x))
    yield Contender("RMSprop", plain(lambda p: torch.optim.RMSprop(p, lr=lr, foreach=True)))
    yield Contender("Adam fused", plain(lambda p: torch.optim.Adam(p, lr=lr, fused=True)))
    yield Contender(
        "ESGD plain step", probed(lambda p: ESGD(p, lr=lr, update_every=10**9, warmup_probes=1)), ours=True
    )
    for every in (1, 10, 20):
        yield Contender(
            f"ESGD {every}",
            probed(lambda p, e=every: ESGD(p, lr=lr, update_every=e, warmup_probes=1)),
            every,
            ours=True,
        )
    for every in (1, 10, 20):
        yield Contender(
            f"ESGD low rank {every}",
            probed(lambda p, e=every: ESGD(p, lr=lr, update_every=e, warmup_probes=1, probe="low_rank")),
            every,
            ours=True,
        )
    yield Contender("ESGD auto", settled, 60, ours=True, settle=60)  # about two of the intervals that it chooses
    yield Contender(
        "ESGD quarter batch 20",
        probed_by_function(lambda p: ESGD(p, lr=lr, warmup_probes=1), BATCH // 4),
        20,
        ours=True,
    )
    yield Contender(
        "ESGD low rank quarter batch 20",
        probed_by_function(lambda p: ESGD(p, lr=lr, warmup_probes=1, probe="low_rank"), BATCH // 4),
        20,
        ours=True,
    )
    yield Contender(
        "ESGD difference 20",
        probed_by_function(lambda p: ESGD(p, lr=lr, warmup_probes=1, curvature="difference"), BATCH // 4),
        20,
        ours=True,
    )
    yield Contender(
        "ESGD Nesterov 20",
        probed(lambda p: ESGD(p, lr=lr, warmup_probes=1, momentum=0.9, nesterov=True)),
        20,
        ours=True,
    )
    yield Contender("JacobiSGD 20", probed(lambda p: JacobiSGD(p, lr=lr, warmup_probes=1)), 20, ours=True)
    try:
        import pytorch_optimizer as po
    except ImportError:
        print("pytorch-optimizer is not installed: its AdaHessian and SophiaH are left out")
    else:
        for every in (1, 20):
            yield Contender(
                f"pytorch-optimizer AdaHessian {every}",
                create_graph(lambda p, e=every: po.AdaHessian(p, lr=lr, update_period=e), every),
                every,
                peer=True,
            )
        for every in (10, 20):
            yield Contender(
                f"pytorch-optimizer SophiaH {every}",
                create_graph(lambda p, e=every: po.SophiaH(p, lr=lr, update_period=e), every),
                every,
                peer=True,
            )
    try:
        import torchzero  # noqa: F401
    except ImportError:
        print("torchzero is not installed: its ESGD is left out")
    else:
        for every in (1, 20):
            yield Contender(f"torchzero ESGD {every}", torchzero_esgd(every), every, peer=True)


def _gradient_alone(net: torch.nn.Module, x: Tensor) -> Callable[[], None]:
    params = list(net.parameters())
    return lambda: torch.autograd.grad(reconstruction_loss(net(x), x), params)
