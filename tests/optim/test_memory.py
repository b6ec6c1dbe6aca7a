"""Memory: what a step allocates at its peak, what stays, and that nothing of a graph stays."""

import gc
import weakref

import pytest
import torch
from cases import CASES, OPTIMIZERS, Problem, one_step, over, train
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from esgd import ESGD, JacobiSGD, SaddleFreeNewton
from esgd.hvp import gradient_with_graph, product_from_gradient
from esgd.low_rank import LowRank
from esgd.optim._products import exact_products
from esgd.probes import Signs, draw


class LiveBytes(TorchDispatchMode):
    """Counts the bytes of storages that operations inside it made and that are still alive, and their peak."""

    def __init__(self):
        super().__init__()
        self.now = self.peak = 0
        self._seen = {}

    def _freed(self, key, size):
        self.now -= size
        self._seen.pop(key, None)

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        known = {t.untyped_storage()._cdata for t in tree_leaves((args, kwargs)) if isinstance(t, torch.Tensor)}
        result = func(*args, **(kwargs or {}))
        for t in tree_leaves(result):
            if isinstance(t, torch.Tensor):
                storage = t.untyped_storage()
                key = storage._cdata
                if key not in known and key not in self._seen:
                    self._seen[key] = storage.nbytes()
                    self.now += storage.nbytes()
                    self.peak = max(self.peak, self.now)
                    weakref.finalize(storage, self._freed, key, storage.nbytes())
        return result


def wide_net():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(200, 400), nn.Sigmoid(), nn.Linear(400, 200), nn.Sigmoid(), nn.Linear(200, 100))
    x, y = torch.randn(20, 200), torch.randn(20, 100)
    return net, lambda: (net(x) - y).square().mean()


@over([c for c in OPTIMIZERS if c.diagonal])
def test_each_product_of_the_first_step_takes_one_copy_of_the_parameters(case):
    """They are squared when all micro-batches are in; so says the reference."""
    peaks = {}
    for probes in (4, 7, 10):
        net, loss = wide_net()
        optimizer = case.make(net.parameters(), warmup_probes=probes)
        peaks[probes] = peak_of(lambda o=optimizer, f=loss: one_step(o, f))
    copy_of_all = sum(p.numel() * p.element_size() for p in net.parameters())
    for more, fewer in ((7, 4), (10, 7)):
        assert peaks[more] - peaks[fewer] == pytest.approx(3 * copy_of_all, rel=0.05)


def peak_of(step) -> int:
    gc.collect()
    with LiveBytes() as live:
        step()
    return live.peak


@pytest.mark.parametrize("cls", [ESGD, JacobiSGD])
def test_a_plain_step_allocates_what_sgd_does(cls):
    net, loss = wide_net()
    sgd = torch.optim.SGD(net.parameters(), lr=0.01)

    def reference():
        sgd.zero_grad()
        loss().backward()
        sgd.step()

    reference()
    optimizer = cls(net.parameters(), lr=0.01)
    train(optimizer, loss, 2)
    assert not optimizer.curvature_due
    assert peak_of(lambda: one_step(optimizer, loss)) <= 1.01 * peak_of(reference)


@pytest.mark.parametrize(
    ("cls", "probe", "bound"),
    [
        (ESGD, "rademacher", 2.8),
        (ESGD, "low_rank", 2.85),  # both factors of v are there, a ninth of matrices as small as these
        (JacobiSGD, "rademacher", 3.0),  # Jacobi's v is needed once more
    ],
)
def test_a_probe_step_stays_within_its_bound(cls, probe, bound):
    """At rest two copies of the parameters beyond SGD; at the peak g, H v, and what autograd keeps besides."""
    net, loss = wide_net()
    size = sum(p.numel() * p.element_size() for p in net.parameters())
    sgd = torch.optim.SGD(net.parameters(), lr=0.01)

    def reference():
        sgd.zero_grad()
        loss().backward()
        sgd.step()

    reference()
    base = size + peak_of(reference)
    optimizer = cls(net.parameters(), lr=0.01, update_every=1, probe=probe)
    train(optimizer, loss, 2)
    rest = sum(t.numel() * t.element_size() for s in optimizer.state.values() for t in s.values() if t.dim())
    rest += optimizer._scales.nbytes
    assert rest <= 2 * size
    optimizer.zero_grad()
    assert (
        size + rest + peak_of(lambda: one_step(optimizer, loss)) <= bound * base
    )  # M counts, although it is freed


WIDTH, BATCH, DEPTH = 256, 2000, 5


def deep_net():
    """Large activations, small parameters."""
    torch.manual_seed(0)
    layers = [m for _ in range(DEPTH) for m in (nn.Linear(WIDTH, WIDTH), nn.Sigmoid())]
    return nn.Sequential(*layers), torch.randn(BATCH, WIDTH)


@pytest.mark.parametrize("probe", [Signs, LowRank])
def test_the_last_product_frees_what_the_gradient_saved(probe):
    """Most of a copy of the activations less at the peak than with all of the graph retained."""
    net, x = deep_net()
    params = list(net.parameters())

    def retained():
        gradient = gradient_with_graph(net(x).square().mean(), params)
        product_from_gradient(gradient, params, draw("rademacher", params, 0, 0), retain_graph=True)

    def released():
        loss = net(x).square().mean()
        exact_products(loss, params, [probe(params, 0, 0)], 1, keep_graph=True)
        loss.backward()  # the caller's graph is whole

    activations = DEPTH * 4 * BATCH * WIDTH
    assert peak_of(released) < peak_of(retained) - 0.5 * activations


def test_a_low_rank_product_starts_each_layer_when_the_sweep_comes_to_it():
    """What starts at the activations and at their gradients is as large as they: it is never there all at once."""
    net, x = deep_net()
    params = list(net.parameters())

    def product(probe):
        return lambda: exact_products(net(x).square().mean(), params, [probe(params, 0, 0)], 1, keep_graph=False)

    layer = 4 * BATCH * WIDTH
    assert peak_of(product(LowRank)) < peak_of(product(Signs)) + 1.5 * layer  # all together: 2 DEPTH - 1 layers


@over([c for c in CASES if not c.difference])
def test_no_graph_is_left(case):
    """Nothing that hung on the graph outlives the step: not on ``.grad``, not in the state, nor anywhere."""
    problem = Problem()
    optimizer = case.make(problem.parameters())

    class Witness:
        pass

    graphs = []
    for _ in range(3):
        optimizer.zero_grad()
        loss = problem.loss()
        witness = Witness()
        loss.grad_fn.register_hook(lambda *_, witness=witness: None)
        graphs.append(weakref.ref(witness))
        del witness
        loss = optimizer.probe(loss)
        loss.backward()
        optimizer.step()
        assert all(p.grad.grad_fn is None and not p.grad.requires_grad for p in problem.parameters())
    del loss
    assert [g() for g in graphs] == [None] * 3  # by reference counting alone, without the collector
    held = [t for s in optimizer.state.values() for t in s.values()]
    assert all(not t.requires_grad and t.grad_fn is None for t in held)


@over(OPTIMIZERS)
def test_an_abandoned_probe_is_freed(case):
    """The optimizer dies between probe and step, with its products and the parameters."""
    problem = Problem()
    optimizer = case.make(problem.parameters())
    optimizer.probe(problem.loss()).backward()
    ghosts = [weakref.ref(optimizer), weakref.ref(problem.W1)]
    del optimizer, problem
    gc.collect()
    assert [g() for g in ghosts] == [None, None]


@over(OPTIMIZERS)
def test_hooks_on_the_parameters_are_taken_off(case):
    problem = Problem()
    optimizer = case.make(problem.parameters())
    train(optimizer, problem.loss, 2)
    assert all(not p._post_accumulate_grad_hooks for p in problem.parameters())
    with pytest.raises(RuntimeError, match="scalar"):
        case.make(problem.parameters()).probe(problem.loss() * torch.ones(2))
    assert all(not p._post_accumulate_grad_hooks for p in problem.parameters())


@pytest.mark.parametrize(
    "options", [{"momentum": 0.9}, {"momentum": 0.9, "nesterov": True}], ids=["heavy", "nesterov"]
)
@pytest.mark.parametrize("rate", [0.01, torch.tensor(0.01)], ids=["number", "tensor"])
def test_a_plain_step_with_momentum_allocates_what_sgd_does(options, rate):
    net, loss = wide_net()
    sgd = torch.optim.SGD(net.parameters(), lr=0.01, **options)
    train_sgd = [lambda: (sgd.zero_grad(), loss().backward(), sgd.step())] * 2
    for step in train_sgd:
        step()
    optimizer = ESGD(net.parameters(), lr=rate, **options)
    train(optimizer, loss, 2)
    largest = max(p.numel() * p.element_size() for p in net.parameters())
    more = largest if isinstance(rate, torch.Tensor) else 0  # rate · g is made of one parameter after the other
    assert peak_of(lambda: one_step(optimizer, loss)) <= 1.01 * peak_of(train_sgd[0]) + more


@pytest.mark.parametrize("dim", [2, 8])
def test_a_krylov_space_takes_its_dimension_and_a_few_copies_more(dim):
    net, loss = wide_net()
    size = sum(p.numel() * p.element_size() for p in net.parameters())
    optimizer = SaddleFreeNewton(net.parameters(), lr=0.1, krylov_dim=dim)
    one_step(optimizer, loss)
    assert peak_of(lambda: one_step(optimizer, loss)) <= (dim + 8) * size
