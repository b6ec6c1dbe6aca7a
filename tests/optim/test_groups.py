"""Parameter groups, and the words of refusal: as torch's ``test_param_groups_*`` and ``test_errors``."""

import pytest
import torch
from cases import (
    CASES,
    DIAGONAL,
    OPTIMIZERS,
    Problem,
    assert_same,
    curvature_of,
    one_step,
    over,
    since_torch_2_6,
    train,
)
from torch import nn
from torch.distributed.fsdp import FullyShardedDataParallel

from esgd import ESGD, JacobiSGD, SaddleFreeNewton
from esgd.errors import ConfigError, CurvatureError


@over(CASES)
def test_a_group_uses_its_own_learning_rate(case):
    problem = Problem()
    before = problem.values()
    groups = [{"params": [problem.W1, problem.b1], "lr": 0.0}, {"params": [problem.w2]}]
    train(case.make(groups, **({"weight_decay": 0.0} if case.diagonal else {})), problem.loss, 3)
    assert_same([problem.W1, problem.b1], before[:2])
    assert not torch.equal(problem.w2, before[2])


@pytest.mark.parametrize("cls", [ESGD, JacobiSGD])
def test_groups_equal_two_optimizers_by_themselves(cls):
    """Two independent problems in one optimizer follow the paths that they follow alone, settings and all."""
    settings = [
        {"lr": 0.02, "damping": 0.1, "momentum": 0.5},
        {"lr": 0.05, "damping": 1e-3, "damping_mode": "inside", "weight_decay": 0.3, "beta": 0.5, "maximize": True},
    ]

    def signs(params, index):  # the same for a parameter wherever it stands
        return [torch.randn(p.shape, generator=torch.Generator().manual_seed(index)).sign() for p in params]

    alone = [Problem(seed=1), Problem(seed=2)]
    for problem, setting in zip(alone, settings, strict=True):
        train(cls(problem.parameters(), **setting, probe=signs, update_every=2), problem.loss, 7)
    both = [Problem(seed=1), Problem(seed=2)]
    groups = [{"params": list(p.parameters()), **s} for p, s in zip(both, settings, strict=True)]
    optimizer = cls(groups, probe=signs, update_every=2)
    train(optimizer, lambda: both[0].loss() + both[1].loss(), 7)
    for left, right in zip(alone, both, strict=True):
        torch.testing.assert_close(left.values(), right.values(), rtol=1e-5, atol=1e-7)


@over(DIAGONAL)
def test_weight_decay_shrinks_where_the_gradient_is_zero(case):
    p = nn.Parameter(torch.ones(3))
    optimizer = case.make([{"params": [p], "weight_decay": 0.5, "lr": 0.1}])
    for _ in range(2):
        one_step(optimizer, lambda: (p * 0).sum())
    torch.testing.assert_close(p.detach(), torch.full((3,), 0.95**2))


@over(OPTIMIZERS)
def test_duplicates_are_refused(case):
    p = nn.Parameter(torch.ones(2))
    with pytest.warns(UserWarning, match="duplicate parameters"):
        case.make([p, p])
    with pytest.raises(ValueError, match="some parameters appear in more than one parameter group"):
        case.make([{"params": [p]}, {"params": [p]}])


@over(OPTIMIZERS)
def test_torchs_own_refusals_come_through(case):
    p = nn.Parameter(torch.ones(2))
    with pytest.raises(TypeError, match="should be an iterable"):
        case.make(p)
    with pytest.raises(ValueError, match="empty parameter list"):
        case.make([])
    with pytest.raises(ValueError, match="non-leaf"):
        case.make([p * 2])
    with pytest.raises(TypeError, match="set"):
        case.make([{"params": {p}}])
    with pytest.raises(TypeError, match="unexpected keyword"):
        case.make([p], betas=(0.9, 0.999))


@pytest.mark.parametrize("cls", [ESGD, JacobiSGD])
@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ({"lr": -0.1}, r"Invalid learning rate: expected lr >= 0, got -0\.1"),
        ({"lr": float("nan")}, "Invalid learning rate"),
        ({"lr": torch.tensor([0.1, 0.2])}, "one element"),
        ({"damping": -1e-3}, r"Invalid damping: expected damping >= 0, got -0\.001"),
        ({"damping": torch.tensor([0.1, 0.2])}, "one element"),
        ({"damping_mode": "around"}, "must be 'outside'.*or 'inside'.*got 'around'"),
        ({"momentum": 1.0}, "Invalid momentum: expected 0 <= momentum < 1, got 1.0"),
        ({"momentum": -0.1}, "Invalid momentum"),
        ({"nesterov": True}, "requires a momentum: set momentum=0.9"),
        ({"weight_decay": -1}, "Invalid weight_decay"),
        ({"beta": 1.0}, r"in \[0, 1\), got 1.0"),
        ({"beta": -0.5}, r"in \[0, 1\), got -0.5"),
        ({"update_every": 0}, "update_every must be a whole number"),
        ({"update_every": 2.5}, r"got 2\.5"),
        ({"update_every": True}, "got True"),
        ({"update_every": "never"}, "got 'never'"),
        ({"warmup_probes": 0}, "warmup_probes must be"),
        ({"lr": None}, "lr must be a number or a Tensor, got None"),
        ({"damping": "1e-2"}, "damping must be a number or a Tensor, got '1e-2'"),
        ({"probe": "normal"}, r"probe must be one of \['gaussian', 'low_rank', 'rademacher'\].*got 'normal'"),
        ({"curvature": "rough"}, "'exact' or 'difference', got 'rough'"),
        ({"seed": "one"}, "seed must be a whole number, got 'one'"),
    ],
    ids=str,
)
def test_a_setting_out_of_range_is_named(cls, setting, says):
    p = nn.Parameter(torch.ones(2))
    with pytest.raises(ConfigError, match=says):
        cls([p], **setting)
    optimizer = cls([{"params": [p]}])
    if setting.keys() & {"update_every", "warmup_probes", "probe", "curvature", "seed"}:
        return
    with pytest.raises(ConfigError, match=says):  # and the optimizer is as it was
        optimizer.add_param_group({"params": [nn.Parameter(torch.ones(1))], **setting})
    assert len(optimizer.param_groups) == 1


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ({"lr": -1.0}, "Invalid learning rate"),
        ({"damping": -1.0}, "Invalid damping"),
        ({"krylov_dim": 0}, "krylov_dim must be a whole number >= 1, got 0"),
        ({"krylov_dim": 2.0}, "krylov_dim"),
    ],
    ids=str,
)
def test_saddle_free_newton_names_its_settings(setting, says):
    with pytest.raises(ConfigError, match=says):
        SaddleFreeNewton([nn.Parameter(torch.ones(2))], **setting)


@over(DIAGONAL[:1])
def test_a_setting_that_all_groups_share_may_not_differ(case):
    p, q = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2))
    with pytest.raises(ConfigError, match=r"update_every is shared by all parameter groups.*expected 20.*got 5"):
        case.make([{"params": [p], "update_every": 20}, {"params": [q], "update_every": 5}])


@over(OPTIMIZERS)
@pytest.mark.parametrize(
    ("p", "says"),
    [
        (lambda: torch.zeros(2, dtype=torch.complex64), "complex.*view_as_complex"),
        (lambda: torch.eye(2).to_sparse(), r"sparse.*to_dense\(\)"),
    ],
    ids=["complex", "sparse"],
)
def test_parameters_without_a_product_are_refused(case, p, says):
    with pytest.raises(CurvatureError, match=says):
        case.make([p().requires_grad_()])


@over(OPTIMIZERS)
def test_sharded_parameters_are_refused(case, tmp_path):
    distributed = pytest.importorskip("torch.distributed.tensor")
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    try:
        mesh = torch.distributed.init_device_mesh("cpu", (1,))
        p = nn.Parameter(distributed.distribute_tensor(torch.ones(2), mesh))
        with pytest.raises(CurvatureError, match=r"DTensor.*DistributedDataParallel"):
            case.make([p])
        for whole in (False, True):  # the flat parameter, and the parameters cut out of it
            sharded = FullyShardedDataParallel(nn.Linear(2, 2), device_id="cpu", use_orig_params=whole)
            with pytest.raises(CurvatureError, match=r"FullyShardedDataParallel.*DistributedDataParallel"):
                case.make(sharded.parameters())
    finally:
        torch.distributed.destroy_process_group()


@over(CASES)
def test_a_group_added_after_steps_is_warmed_up_and_trained(case):
    problem = Problem()
    problem.w2.requires_grad_(False)
    optimizer = case.make([problem.W1, problem.b1])
    train(optimizer, problem.loss, 2)
    before = problem.values()
    products = optimizer.num_products
    problem.w2.requires_grad_()
    optimizer.add_param_group({"params": [problem.w2], "lr": 0.05})
    assert optimizer.curvature_due
    one_step(optimizer, problem.loss)
    assert not torch.equal(problem.w2, before[2])
    if case.diagonal:
        assert optimizer.num_products - products == optimizer.param_groups[0]["warmup_probes"]
        assert optimizer.state[problem.w2]["weight"] < optimizer.state[problem.W1]["weight"] or case.options.get(
            "beta"
        )
        assert curvature_of(optimizer, [problem.w2]).abs().sum() > 0


@pytest.mark.parametrize("names", [pytest.param(True, marks=since_torch_2_6), False])
def test_named_parameters_keep_their_names(names):
    problem = Problem()
    optimizer = ESGD(problem.named_parameters() if names else problem.parameters(), lr=0.1)
    train(optimizer, problem.loss, 2)
    group = optimizer.state_dict()["param_groups"][0]
    assert ("param_names" in group) is names
    if names:
        assert group["param_names"] == ["W1", "b1", "w2"]
