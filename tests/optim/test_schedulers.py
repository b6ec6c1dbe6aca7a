"""Every scheduler of torch drives the rate, as a number and as a Tensor; so do the averages of ``swa_utils``."""

import copy

import pytest
import torch
from cases import OPTIMIZERS, Problem, assert_same, one_step, over, since_torch_2_6, train
from torch.optim import lr_scheduler as s
from torch.optim.swa_utils import SWALR, AveragedModel

SCHEDULERS = {
    "LambdaLR": lambda o: s.LambdaLR(o, lambda epoch: 0.9**epoch),
    "MultiplicativeLR": lambda o: s.MultiplicativeLR(o, lambda epoch: 0.9),
    "StepLR": lambda o: s.StepLR(o, step_size=2),
    "MultiStepLR": lambda o: s.MultiStepLR(o, milestones=[1, 3]),
    "ConstantLR": lambda o: s.ConstantLR(o, factor=0.5, total_iters=2),
    "LinearLR": lambda o: s.LinearLR(o, start_factor=0.1, total_iters=4),
    "ExponentialLR": lambda o: s.ExponentialLR(o, gamma=0.8),
    "PolynomialLR": lambda o: s.PolynomialLR(o, total_iters=8),
    "CosineAnnealingLR": lambda o: s.CosineAnnealingLR(o, T_max=5),
    "CosineAnnealingWarmRestarts": lambda o: s.CosineAnnealingWarmRestarts(o, T_0=3),
    "CyclicLR": lambda o: s.CyclicLR(o, base_lr=0.001, max_lr=0.01, step_size_up=2, cycle_momentum=False),
    "OneCycleLR": lambda o: s.OneCycleLR(o, max_lr=0.01, total_steps=10, cycle_momentum=False),
    "ReduceLROnPlateau": lambda o: s.ReduceLROnPlateau(o, patience=0),
    "SequentialLR": lambda o: s.SequentialLR(
        o, [s.ConstantLR(o, factor=0.1, total_iters=2), s.ExponentialLR(o, gamma=0.9)], milestones=[2]
    ),
    "ChainedScheduler": lambda o: s.ChainedScheduler([s.LinearLR(o), s.ExponentialLR(o, gamma=0.9)], optimizer=o),
    "SWALR": lambda o: SWALR(o, swa_lr=0.001, anneal_epochs=3),
}
# torch 2.5 puts a number in the place of a Tensor there, under its own optimizers as well
REPLACING = ("CosineAnnealingWarmRestarts", "ReduceLROnPlateau", "SequentialLR")


def test_the_table_has_every_scheduler():
    known = {name for name in s.__all__ if name != "LRScheduler"}
    assert known <= SCHEDULERS.keys()


def advance(scheduler, loss: float) -> None:
    scheduler.step(loss) if isinstance(scheduler, s.ReduceLROnPlateau) else scheduler.step()


def rate(optimizer) -> float:
    return float(optimizer.param_groups[0]["lr"])


@pytest.mark.parametrize(
    "kind", [pytest.param(k, marks=since_torch_2_6 if k in REPLACING else ()) for k in SCHEDULERS]
)
@over(OPTIMIZERS)
def test_a_scheduler_drives_numbers_and_tensors_alike(case, kind):
    """The path equals one whose rate is set by hand from torch's SGD under the same scheduler."""
    guide = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.01)
    guided = SCHEDULERS[kind](guide)
    problems = [Problem(torch.float64) for _ in range(3)]
    options = {"lr": 0.01}
    number = case.make(problems[0].parameters(), **options)
    tensor = case.make(problems[1].parameters(), lr=torch.tensor(0.01, dtype=torch.float64))
    by_hand = case.make(problems[2].parameters(), **options)
    schedulers = [SCHEDULERS[kind](number), SCHEDULERS[kind](tensor)]
    held = tensor.param_groups[0]["lr"]
    rates = set()
    for _ in range(6):
        by_hand.param_groups[0]["lr"] = rate(guide)
        one_step(by_hand, problems[2].loss)
        one_step(number, problems[0].loss)
        one_step(tensor, problems[1].loss)
        rates.add(rate(number))
        assert rate(number) == rate(guide)
        assert rate(tensor) == pytest.approx(rate(guide))
        guide.step()
        for scheduler in (guided, *schedulers):
            advance(scheduler, 1.0)
    assert len(rates) > 1
    assert tensor.param_groups[0]["lr"] is held  # the scheduler writes into the Tensor
    assert_same(problems[0].values(), problems[2].values())
    torch.testing.assert_close(problems[1].values(), problems[2].values())


@pytest.mark.parametrize("kind", ["CyclicLR", "OneCycleLR"])
@over([c for c in OPTIMIZERS if c.diagonal])
def test_a_cycle_of_momentum(case, kind):
    problem = Problem()
    optimizer = case.make(problem.parameters(), momentum=0.9)
    if kind == "CyclicLR":
        scheduler = s.CyclicLR(optimizer, base_lr=0.001, max_lr=0.01, step_size_up=2)
    else:
        scheduler = s.OneCycleLR(optimizer, max_lr=0.01, total_steps=8)
    seen = set()
    for _ in range(6):
        one_step(optimizer, problem.loss)
        scheduler.step()
        seen.add(optimizer.param_groups[0]["momentum"])
    assert len(seen) > 1
    assert all(0.8 <= m <= 0.95 for m in seen)


@over(OPTIMIZERS)
def test_a_scheduler_resumes_with_the_optimizer(case):
    problem = Problem()
    optimizer = case.make(problem.parameters(), lr=torch.tensor(0.01))
    scheduler = s.CosineAnnealingLR(optimizer, T_max=5)
    for _ in range(3):
        one_step(optimizer, problem.loss)
        scheduler.step()
    other = copy.deepcopy(problem)
    second = case.make(other.parameters(), lr=torch.tensor(0.01))
    resumed = s.CosineAnnealingLR(second, T_max=5)
    second.load_state_dict(optimizer.state_dict())
    resumed.load_state_dict(scheduler.state_dict())
    for opt, sch, prob in ((optimizer, scheduler, problem), (second, resumed, other)):
        for _ in range(3):
            one_step(opt, prob.loss)
            sch.step()
    assert rate(optimizer) == rate(second)
    assert_same(problem.values(), other.values())


@over(OPTIMIZERS)
def test_weight_averaging_follows(case):
    problem = Problem()
    average = AveragedModel(problem)
    optimizer = case.make(problem.parameters())
    seen = []
    for _ in range(3):
        train(optimizer, problem.loss, 1)
        average.update_parameters(problem)
        seen.append(problem.values()[0])
    torch.testing.assert_close(average.module.W1.detach(), torch.stack(seen).mean(0))
