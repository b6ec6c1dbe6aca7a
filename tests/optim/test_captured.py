"""``CapturedStep``: what a graph replays is the step that Python would have taken."""

import copy
import pickle
import warnings

import pytest
import torch
from cases import CASES, DIAGONAL, OPTIMIZERS, Problem, assert_same, over, train
from graph_on_cpu import HostLooked, NoLooking, RecorderOnCpu
from torch import nn

from esgd import ESGD, JacobiSGD, SaddleFreeNewton
from esgd.errors import ConfigError
from esgd.optim import CapturedStep

HELD = [c for c in DIAGONAL if not c.difference]


@pytest.fixture
def graphs(monkeypatch):
    """CUDA graphs on this CPU."""
    for module in ("base", "diagonal"):
        monkeypatch.setattr(f"esgd.optim.{module}.is_capturing", lambda like: RecorderOnCpu.capturing)
    monkeypatch.setattr("esgd.optim.captured.can_capture", lambda device: True)
    monkeypatch.setattr("esgd.optim.captured.Recorder", RecorderOnCpu)


def capturable(case, params, **more):
    lr = torch.as_tensor(case.options["lr"]).clone()
    optimizer = case.make(params, **{"lr": lr, "capturable": True, "update_every": 3, **more})
    RecorderOnCpu.optimizer = optimizer
    return optimizer


class Loop:
    """A training step on static inputs, the batch and the rate changing from step to step."""

    def __init__(self, optimizer, problem):
        self.optimizer, self.problem, self.calls, self.probed = optimizer, problem, 0, []
        self.x, self.y = problem.x.clone(), problem.y.clone()

    def one_step(self):
        self.calls += 1
        self.optimizer.zero_grad()
        loss = self.optimizer.probe(self.problem.loss())
        loss.backward()
        nn.utils.clip_grad_norm_(self.problem.parameters(), 5.0)
        self.optimizer.step()
        return loss

    def run(self, step, first, steps):
        losses = []
        for i in range(first, first + steps):
            self.problem.x.copy_(self.x.roll(i, 0))
            self.problem.y.copy_(self.y.roll(2 * i, 0))
            for group in self.optimizer.param_groups:
                group["lr"].fill_(0.01 / (1 + i % 5))
            losses.append(step().detach().clone())
            self.probed.append(self.optimizer.num_products)
        return losses


def pair(case, **more):
    """The same run twice: by Python, and by graphs."""
    eager, problem = Problem(), Problem()
    first, second = capturable(case, eager.parameters(), **more), capturable(case, problem.parameters(), **more)
    plain, held = Loop(first, eager), Loop(second, problem)
    return plain, plain.one_step, held, CapturedStep(second, held.one_step)


def assert_alike(plain, held):
    assert_same(plain.problem.values(), held.problem.values())
    assert_same([p.grad for p in plain.problem.parameters()], [p.grad for p in held.problem.parameters()])
    assert plain.probed == held.probed
    for p, q in zip(plain.problem.parameters(), held.problem.parameters(), strict=True):
        mine, other = plain.optimizer.state[p], held.optimizer.state[q]
        assert mine.keys() == other.keys()
        assert_same(list(mine.values()), list(other.values()))
    for key in ("step", "next_probe", "interval", "probe_index"):
        assert plain.optimizer.param_groups[0][key] == held.optimizer.param_groups[0][key]


@over([c for c in HELD if c.name.split("-", 1)[1] != "auto"])
def test_capturable_is_the_same_run_but_for_roundings(case):
    """The sum D is added to by other operations: at most the last place of a product differs."""
    usual, problem = Problem(), Problem()
    first = case.make(usual.parameters(), lr=torch.tensor(0.01))
    second = case.make(problem.parameters(), lr=torch.tensor(0.01), capturable=True)
    train(first, usual.loss, 45)
    train(second, problem.loss, 45)
    torch.testing.assert_close(problem.values(), usual.values(), rtol=1e-5, atol=1e-7)


@over(HELD)
def test_neither_step_looks_at_a_number(case):
    problem = Problem()
    optimizer = capturable(case, problem.parameters())
    train(optimizer, problem.loss, 1)  # of the first products the host must know whether they can be used
    first = optimizer.num_products
    with NoLooking():
        for _ in range(22):
            optimizer.zero_grad()
            optimizer.probe(problem.loss()).backward()
            optimizer.step()
    assert optimizer.num_products > first
    usual = case.make(Problem().parameters())
    with pytest.raises(HostLooked), NoLooking():
        train(usual, Problem().loss, 1)


@pytest.mark.usefixtures("graphs")
@over(HELD)
def test_replayed_steps_are_the_steps_to_the_bit(case):
    plain, eager, held, step = pair(case, update_every=case.options.get("update_every", 3))
    losses, again = plain.run(eager, 0, 30), held.run(step, 0, 30)
    assert_same(again, losses)
    assert_alike(plain, held)
    assert held.calls <= 6  # first product, two steps more, and one capture of each kind; the rest was replayed
    assert plain.calls == 30


@pytest.mark.usefixtures("graphs")
@pytest.mark.parametrize("probe", ["low_rank", "gaussian"])
def test_every_kind_of_probe_is_drawn_anew(probe):
    torch.manual_seed(0)
    nets = [
        nn.Sequential(nn.Linear(48, 64), nn.Tanh(), nn.Linear(64, 40), nn.Tanh(), nn.Linear(40, 2)) for _ in "ab"
    ]
    nets[1].load_state_dict(nets[0].state_dict())
    x = torch.randn(20, 48)
    values = []
    for net, use in zip(nets, (False, True), strict=True):
        optimizer = ESGD(net.parameters(), lr=torch.tensor(0.01), capturable=True, update_every=2, probe=probe)
        RecorderOnCpu.optimizer = optimizer

        def one_step(net=net, optimizer=optimizer):
            optimizer.zero_grad()
            optimizer.probe(net(x).square().mean()).backward()
            optimizer.step()

        step = CapturedStep(optimizer, one_step) if use else one_step
        for _ in range(12):
            step()
        values.append([p.detach() for p in net.parameters()])
    assert_same(*values)


@pytest.mark.usefixtures("graphs")
@over(OPTIMIZERS[:2])
def test_a_run_goes_on_from_its_state(case):
    """Saved in the middle of replays, loaded into a fresh one, and into the one that has graphs."""
    plain, eager, held, step = pair(case)
    plain.run(eager, 0, 24)
    held.run(step, 0, 10)
    saved = copy.deepcopy((held.problem.state_dict(), held.optimizer.state_dict()))
    held.run(step, 10, 5)
    held.problem.load_state_dict(saved[0])
    held.optimizer.load_state_dict(saved[1])
    held.run(step, 10, 14)
    plain.probed = held.probed
    assert_alike(plain, held)
    other = Problem()
    other.load_state_dict(saved[0])
    fresh = Loop(capturable(case, other.parameters()), other)
    fresh.optimizer.load_state_dict(saved[1])
    fresh.run(CapturedStep(fresh.optimizer, fresh.one_step), 10, 14)
    fresh.probed = plain.probed
    assert_alike(plain, fresh)


@pytest.mark.usefixtures("graphs")
@over(OPTIMIZERS[:2])
def test_settings_may_change(case):
    """What a graph has frozen is captured anew; a damping that is written to needs no new graph."""
    damping = torch.tensor(1e-2)
    plain, eager, held, step = pair(case, damping=damping)
    for loop, do in ((plain, eager), (held, step)):
        damping.fill_(1e-2)
        loop.run(do, 0, 12)
        damping.fill_(3e-2)
        loop.run(do, 12, 5)
        loop.optimizer.param_groups[0]["momentum"] = 0.5
        loop.run(do, 17, 9)
        loop.problem.b1.requires_grad_(False)
        loop.run(do, 26, 9)
        loop.problem.b1.requires_grad_(True)
    assert_same(plain.problem.values(), held.problem.values())
    assert held.calls < 20


@pytest.mark.usefixtures("graphs")
def test_a_setting_that_never_rests_is_named():
    _, _, held, step = pair(OPTIMIZERS[0], momentum=0.5)

    def run():
        for i in range(30):
            held.optimizer.param_groups[0]["momentum"] = 0.5 + 0.01 * (i // 4)
            held.run(step, i, 1)

    with pytest.warns(RuntimeWarning, match=r"captured 6 times.*\(momentum\)"):
        run()


@pytest.mark.usefixtures("graphs")
@pytest.mark.parametrize("cls", [ESGD, JacobiSGD])
def test_parameters_may_join(cls):
    values = []
    for use in (False, True):
        problem, extra = Problem(), nn.Parameter(torch.tensor([0.3, -0.2]))
        optimizer = cls(problem.parameters(), lr=torch.tensor(0.01), capturable=True, update_every=3)
        RecorderOnCpu.optimizer = optimizer

        def one_step(problem=problem, optimizer=optimizer, extra=extra):
            optimizer.zero_grad()
            loss = problem.loss() + (extra - 1).pow(4).sum()
            optimizer.probe(loss).backward()
            optimizer.step()

        step = CapturedStep(optimizer, one_step) if use else one_step
        for i in range(20):
            if i == 8:
                optimizer.add_param_group({"params": [extra], "lr": torch.tensor(0.02)})
            step()
        values.append([*problem.values(), extra.detach()])
    assert_same(*values)


@pytest.mark.usefixtures("graphs")
@over(OPTIMIZERS[:2])
def test_products_that_are_not_finite_are_left_out_and_counted(case):
    plain, eager, held, step = pair(case)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for loop, do in ((plain, eager), (held, step)):
            loop.run(do, 0, 9)
            before = loop.problem.values()
            scale = loop.y.clone()
            loop.y.fill_(float("inf"))  # at step 9 a product is due
            loop.run(do, 9, 1)
            loop.y.copy_(scale)
            with torch.no_grad():
                for p, value in zip(loop.problem.parameters(), before, strict=True):
                    p.copy_(value)
            loop.run(do, 10, 8)
            assert loop.optimizer.num_rejected == 1
    assert_alike(plain, held)
    assert all(bool(p.isfinite().all()) for p in held.problem.values())


@pytest.mark.usefixtures("graphs")
def test_what_comes_back_is_not_written_to():
    step = pair(OPTIMIZERS[0])[-1]
    losses = [step() for _ in range(9)]
    assert len({float(x) for x in losses}) == 9
    assert not any(x.requires_grad for x in losses)


@over(OPTIMIZERS[:2])
def test_without_a_gpu_every_step_runs_as_it_is(case):
    plain, eager, held, step = pair(case)
    plain.run(eager, 0, 9)
    held.run(step, 0, 9)
    assert held.calls == 9
    assert_alike(plain, held)


def test_what_cannot_be_captured_is_refused():
    w = nn.Parameter(torch.ones(2))
    lr = torch.tensor(0.1)
    with pytest.raises(ConfigError, match=r"capturable=True"):
        CapturedStep(ESGD([w], lr=lr), lambda: None)
    with pytest.raises(ConfigError, match=r"number 0\.1.*lr=torch\.tensor\(0\.1, device='cpu'\)"):
        CapturedStep(ESGD([w], lr=0.1, capturable=True), lambda: None)
    with pytest.raises(ConfigError, match=r"curvature='exact'"):
        CapturedStep(ESGD([w], lr=lr, capturable=True, curvature="difference"), lambda: None)
    with pytest.raises(ConfigError, match="ESGD or JacobiSGD, got a SaddleFreeNewton"):
        CapturedStep(SaddleFreeNewton([w]), lambda: None)
    far = nn.Parameter(torch.ones(2, device="meta"))
    with pytest.raises(ConfigError, match="parameters are on 2"):
        CapturedStep(ESGD([w, far], lr=lr, capturable=True), lambda: None)
    with pytest.raises(ConfigError, match="damping is on meta"):
        CapturedStep(ESGD([w], lr=lr, damping=torch.tensor(0.1, device="meta"), capturable=True), lambda: None)
    with pytest.raises(ConfigError, match="capturable must be True or False, got 1"):
        ESGD([w], capturable=1)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda o: pickle.loads(pickle.dumps(o))])
def test_a_copy_is_made_for_it_too(copied):
    problem = Problem()
    optimizer = ESGD(problem.parameters(), lr=torch.tensor(0.01), capturable=True)
    train(optimizer, problem.loss, 2)
    CapturedStep(copied(optimizer), lambda: None)


@over([c for c in CASES if c.name.endswith("default")])
def test_a_step_that_is_not_made_for_it_is_not_captured(case, monkeypatch):
    """The graph would go on reading memory that the next product gives to somebody else."""
    problem = Problem()
    optimizer = case.make(problem.parameters())
    train(optimizer, problem.loss, 2)
    monkeypatch.setattr("esgd.optim.base.is_capturing", lambda like: True)
    remedy = "run its steps as they are" if case.cls is SaddleFreeNewton else "capturable=True.*CapturedStep"
    with pytest.raises(ConfigError, match=remedy):
        train(optimizer, problem.loss, 1)
