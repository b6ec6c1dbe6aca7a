"""The laws of the optimizers: what D estimates, what k counts, where the damping stands, how often it looks.

A loss that falls proves none of this: peers with D divided twice, or with probes that are all −1, train as well.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from esgd import ESGD, JacobiSGD, SaddleFreeNewton, probes
from esgd.optim import reference

N = 6


@pytest.fixture(autouse=True)
def _double():
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


def saddle(seed: int = 0, n: int = N) -> Tensor:
    """A random symmetric indefinite matrix, shape (n, n)."""
    A = torch.randn(n, n, generator=torch.Generator().manual_seed(seed))
    return A + A.T


def quadratic(H: Tensor):
    return lambda theta: 0.5 * theta @ H @ theta + theta.sum()


def curved(H: Tensor):
    """Not quadratic: the Hessian changes along the way."""
    return lambda theta: 0.5 * theta @ H @ theta + (theta**4).sum() / 20 + theta.sin().sum()


def take(optimizer: torch.optim.Optimizer, f, theta: Tensor, steps: int) -> Tensor:
    """θ after each of ``steps`` steps, shape (steps, N)."""
    path = []
    for _ in range(steps):
        optimizer.zero_grad()
        optimizer.probe(f(theta)).backward()
        optimizer.step()
        path.append(theta.detach().clone())
    return torch.stack(path)


def leaf(seed: int = 1, n: int = N) -> Tensor:
    return torch.randn(n, generator=torch.Generator().manual_seed(seed)).requires_grad_()


def rademacher(index: int, seed: int, n: int = N) -> Tensor:
    return probes.draw("rademacher", [torch.empty(n)], seed, index)[0]


# -- the literal twins ---------------------------------------------------------------------------------------


@pytest.mark.claim("A1")
@pytest.mark.parametrize("foreach", [None, False])
@pytest.mark.parametrize(
    ("cls", "twin"),
    [(ESGD, reference.equilibrated_gradient_descent), (JacobiSGD, reference.jacobi_gradient_descent)],
)
def test_equals_the_literal_algorithm(cls, twin, foreach):
    f, theta = curved(saddle()), leaf()
    optimizer = cls([theta], 0.1, damping=0.5, update_every=1, warmup_probes=1, seed=3, foreach=foreach)
    literal = twin(f, theta.detach().clone(), 0.1, 0.5, lambda k: rademacher(k, 3))
    expected = torch.stack(list(itertools.islice(literal, 30)))
    torch.testing.assert_close(take(optimizer, f, theta, 30), expected, rtol=1e-12, atol=1e-12)


def test_paper_preset_is_algorithm_1_with_gaussian_probes():
    f, theta = curved(saddle()), leaf()
    optimizer = ESGD.paper([theta], 0.1, damping=0.01, seed=5)
    literal = reference.equilibrated_gradient_descent(
        f, theta.detach().clone(), 0.1, 0.01, lambda k: probes.draw("gaussian", [torch.empty(N)], 5, k)[0]
    )
    expected = torch.stack(list(itertools.islice(literal, 20)))
    torch.testing.assert_close(take(optimizer, f, theta, 20), expected, rtol=1e-12, atol=1e-12)


def test_saddle_free_newton_equals_the_dense_step():
    f = curved(saddle())
    for seed in range(10):
        theta = leaf(seed)
        expected = next(reference.saddle_free_newton(f, theta.detach().clone(), 0.5, 0.1))
        (got,) = take(SaddleFreeNewton([theta], 0.5, damping=0.1), f, theta, 1)
        torch.testing.assert_close(got, expected, rtol=1e-9, atol=1e-9)


def test_saddle_free_newton_in_a_small_space_is_exact_where_the_gradient_lies_in_it():
    # g is a mixture of three eigenvectors: its Krylov space is theirs, and three products are enough
    eigenvalues = torch.tensor([3.0, -2.0, 0.5, 7.0, -11.0, 1.0])
    Q, _ = torch.linalg.qr(torch.randn(N, N, generator=torch.Generator().manual_seed(2)))
    H = Q @ torch.diag(eigenvalues) @ Q.T
    theta = (Q[:, 0] + 2 * Q[:, 1] - Q[:, 4]).requires_grad_()
    optimizer = SaddleFreeNewton([theta], 1.0, damping=0.0, krylov_dim=20)
    before = theta.detach().clone()
    take(optimizer, lambda t: 0.5 * t @ H @ t, theta, 1)
    step = Q.T @ (theta.detach() - before)
    # −|λ|⁻¹ λ (qᵀθ): to the critical point along positive curvature, as far away from it along negative
    expected = torch.tensor([-1.0, 2.0, 0.0, 0.0, -1.0, 0.0])
    torch.testing.assert_close(step, expected, atol=1e-10, rtol=0)
    assert optimizer.num_products == 3


# -- what the running mean estimates -------------------------------------------------------------------------


def moments(cls, H: Tensor, seeds: int, **options) -> tuple[Tensor, Tensor]:
    """Mean and standard error over ``seeds`` of the running mean after 8 steps of length zero."""
    f, samples = quadratic(H), []
    for seed in range(seeds):
        theta = leaf()
        optimizer = cls([theta], 0.0, seed=seed, update_every=1, **options)
        take(optimizer, f, theta, 8)
        samples.append(optimizer.mean_curvature(theta))
    samples = torch.stack(samples)
    return samples.mean(0), samples.std(0) / math.sqrt(seeds)


@pytest.mark.claim("E1")
@pytest.mark.parametrize("probe", ["rademacher", "gaussian"])
@pytest.mark.parametrize("options", [{"warmup_probes": 1}, {"warmup_probes": 4}, {"beta": 0.7}], ids=str)
def test_esgd_mean_is_the_diagonal_of_the_squared_hessian(probe, options):
    H = saddle()
    mean, error = moments(ESGD, H, 400, probe=probe, **options)
    truth = (H @ H).diagonal()
    assert ((mean - truth).abs() < 4.5 * error).all()
    assert ((mean - H.diagonal() ** 2).abs() > 4.5 * error).any(), "no power: the wrong law would pass as well"


@pytest.mark.claim("E5")
@pytest.mark.parametrize("probe", ["rademacher", "gaussian"])
def test_jacobi_mean_is_the_diagonal_of_the_hessian(probe):
    H = saddle()
    mean, error = moments(JacobiSGD, H, 400, probe=probe)
    assert ((mean - H.diagonal()).abs() < 4.5 * error).all()


def test_exact_enumeration_of_all_probes_gives_the_diagonals_exactly():
    H = saddle()
    signs = [torch.tensor(s) for s in itertools.product((1.0, -1.0), repeat=N)]

    def enumerate_signs(params: Sequence[Tensor], index: int) -> list[Tensor]:
        return [signs[index].clone()]

    for cls, truth in ((ESGD, (H @ H).diagonal()), (JacobiSGD, H.diagonal())):
        theta = leaf()
        optimizer = cls([theta], 0.0, update_every=1, warmup_probes=len(signs), probe=enumerate_signs)
        take(optimizer, quadratic(H), theta, 1)
        torch.testing.assert_close(optimizer.mean_curvature(theta), truth, rtol=1e-12, atol=1e-12)


def test_jacobi_takes_the_absolute_value_last():
    # v ∘ Hv is +3 and −1 for the two probes: |mean| = 1, while the mean of |·| is 2 and the root mean square √5
    H = torch.tensor([[1.0, 2.0], [2.0, 1.0]])
    pair = [torch.tensor([1.0, 1.0]), torch.tensor([1.0, -1.0])]
    theta = torch.zeros(2, requires_grad=True)
    optimizer = JacobiSGD([theta], 1.0, damping=0.0, warmup_probes=2, probe=lambda params, i: [pair[i].clone()])
    take(optimizer, quadratic(H), theta, 1)
    torch.testing.assert_close(optimizer.diagonal(theta), torch.tensor([1.0, 1.0]))
    torch.testing.assert_close(theta.detach(), torch.tensor([-1.0, -1.0]))


@pytest.mark.claim("E1b")
def test_single_gaussian_root_has_the_factor_c_1():
    H, roots = saddle(), []
    for seed in range(4000):
        (v,) = probes.draw("gaussian", [torch.empty(N)], seed, 0)
        roots.append((H @ v).abs())
    roots = torch.stack(roots)
    ratio = roots.mean(0) / H.norm(dim=1)
    error = roots.std(0) / H.norm(dim=1) / math.sqrt(len(roots))
    assert ((ratio - math.sqrt(2 / math.pi)).abs() < 4.5 * error).all()
    assert ((ratio - 1).abs() > 4.5 * error).all(), "D itself would be unbiased: it is not"


# -- k, the schedule, the averages ---------------------------------------------------------------------------


@pytest.mark.claim("A1")
@pytest.mark.parametrize("every", [1, 3, 20])
@pytest.mark.parametrize("warmup", [1, 5])
def test_k_counts_products_not_steps(every, warmup):
    H, theta = saddle(), leaf()
    optimizer = ESGD([theta], 0.0, update_every=every, warmup_probes=warmup, seed=2)
    take(optimizer, quadratic(H), theta, 41)
    products = warmup + 40 // every
    assert optimizer.num_products == products
    assert optimizer.state[theta]["weight"] == products
    expected = sum((H @ rademacher(i, 2)) ** 2 for i in range(products)) / products
    torch.testing.assert_close(optimizer.mean_curvature(theta), expected, rtol=1e-12, atol=1e-12)


def test_products_are_taken_at_steps_0_period_2_period():
    theta, taken = leaf(), []
    f = quadratic(saddle())
    optimizer = ESGD([theta], 1e-3, update_every=7, warmup_probes=2)
    for i in range(30):
        if optimizer.curvature_due:
            taken.append(i)
        take(optimizer, f, theta, 1)
    assert taken == [0, 7, 14, 21, 28]


@pytest.mark.claim("A1")
def test_exponential_mean_is_the_corrected_one():
    H, theta, beta = saddle(), leaf(), 0.8
    optimizer = ESGD([theta], 0.0, update_every=1, warmup_probes=1, beta=beta, seed=4)
    take(optimizer, quadratic(H), theta, 9)
    squares = torch.stack([(H @ rademacher(i, 4)) ** 2 for i in range(9)])
    weights = beta ** torch.arange(8.0, -1.0, -1.0)
    expected = (weights[:, None] * squares).sum(0) / weights.sum()
    torch.testing.assert_close(optimizer.mean_curvature(theta), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.claim("A1")
def test_lag_of_the_two_means_on_a_ramp():
    # the curvature grows linearly with the refresh: the mean reads it (k−1)/2, and β/(1−β), refreshes late
    def mean_after(k: int, beta: float | None) -> float:
        theta = torch.zeros(1, requires_grad=True)
        optimizer = ESGD([theta], 0.0, update_every=1, warmup_probes=1, beta=beta)
        for i in range(k):
            optimizer.zero_grad()
            optimizer.probe((0.5 * math.sqrt(i) * theta**2).sum()).backward()
            optimizer.step()
        return optimizer.mean_curvature(theta).item()  # (Hv)² = i

    assert mean_after(41, None) == pytest.approx(40 - (41 - 1) / 2)
    assert mean_after(400, 0.9) == pytest.approx(399 - 0.9 / (1 - 0.9), rel=1e-6)


@pytest.mark.claim("A2")
def test_damping_outside_and_inside_the_root():
    H, g = torch.diag(torch.tensor([2.0, 0.5, 0.0])), torch.ones(3)
    for mode, denominator in (
        ("outside", torch.tensor([2.1, 0.6, 0.1])),
        ("inside", torch.tensor([4.1, 0.35, 0.1]).sqrt()),
    ):
        theta = torch.zeros(3, requires_grad=True)
        optimizer = ESGD([theta], 1.0, damping=0.1, damping_mode=mode)
        take(optimizer, lambda t, H=H: 0.5 * t @ H @ t + t.sum(), theta, 1)
        torch.testing.assert_close(theta.detach(), -g / denominator)


@pytest.mark.claim("A2")
def test_the_two_dampings_agree_at_zero_curvature_when_one_is_the_square_of_the_other():
    steps = []
    for mode, damping in (("outside", 1e-2), ("inside", 1e-4)):
        theta = torch.zeros(3, requires_grad=True)
        take(ESGD([theta], 1.0, damping=damping, damping_mode=mode), lambda t: t.sum(), theta, 1)
        steps.append(theta.detach().clone())
    torch.testing.assert_close(steps[0], steps[1])


def test_warm_up_tames_the_first_step():
    # with k Gaussian products the smallest of many estimated row norms falls far short of the true one
    n = 400
    H = saddle(7, n)
    truth = H.norm(dim=1)

    def longest(warmup: int) -> float:
        theta = torch.zeros(n, requires_grad=True)
        optimizer = ESGD([theta], 0.0, warmup_probes=warmup, probe="gaussian")
        take(optimizer, quadratic(H), theta, 1)
        return (truth / optimizer.diagonal(theta)).max().item()

    assert longest(1) > 50
    assert longest(10) < 4


def test_preconditioner_is_rebuilt_when_damping_changes_between_products():
    theta = torch.zeros(2, requires_grad=True)
    optimizer = ESGD([theta], 1.0, damping=1.0, update_every=1000)
    f = lambda t: t.sum()  # noqa: E731  no curvature: the step is lr / damping
    take(optimizer, f, theta, 1)
    optimizer.param_groups[0]["damping"] = 0.25
    take(optimizer, f, theta, 1)
    torch.testing.assert_close(theta.detach(), torch.full((2,), -1.0 - 4.0))


def test_momentum_and_nesterov_follow_torchs_sgd_on_a_unit_preconditioner():
    # curvature 1 everywhere and no damping: M = 1, and the optimizer is torch's SGD
    for options in ({"momentum": 0.9}, {"momentum": 0.9, "nesterov": True}):
        ours, theirs = leaf(), leaf()
        a = ESGD([ours], 0.1, damping=0.0, update_every=1, **options)
        b = torch.optim.SGD([theirs], 0.1, **options)
        f = lambda t: 0.5 * (t @ t)  # noqa: E731
        path = take(a, f, ours, 15)
        for expected in path:
            b.zero_grad()
            f(theirs).backward()
            b.step()
            torch.testing.assert_close(theirs.detach(), expected, rtol=1e-12, atol=1e-14)


def test_weight_decay_is_decoupled():
    theta = torch.ones(3, requires_grad=True)
    take(ESGD([theta], 0.5, damping=1.0, weight_decay=0.2), lambda t: 0.0 * t.sum(), theta, 1)
    torch.testing.assert_close(theta.detach(), torch.full((3,), 1 - 0.5 * 0.2))


# -- what a saddle asks for ----------------------------------------------------------------------------------


@pytest.mark.claim("ORD")
def test_jacobi_vanishes_on_the_rotated_saddle_and_equilibration_does_not():
    H = torch.tensor([[0.0, 1.0], [1.0, 0.0]])  # eigenvalues ±1, rotated by 45°
    both = [torch.tensor([1.0, 1.0]), torch.tensor([1.0, -1.0])]
    diagonals = {}
    for cls in (ESGD, JacobiSGD):
        theta = torch.tensor([0.3, 0.1], requires_grad=True)
        optimizer = cls([theta], 0.0, warmup_probes=2, probe=lambda params, i: [both[i].clone()])
        take(optimizer, quadratic(H), theta, 1)
        diagonals[cls] = optimizer.diagonal(theta)
    torch.testing.assert_close(diagonals[ESGD], torch.ones(2))
    torch.testing.assert_close(diagonals[JacobiSGD], torch.zeros(2))


def test_auto_never_takes_more_products_than_a_period_of_20():
    """Curvature that decays for long keeps every product below the mean; asking more often would not help."""
    theta = torch.nn.Parameter(torch.ones(6))
    optimizer = ESGD([theta], 0.0, update_every="auto", warmup_probes=1)
    for step in range(400):
        optimizer.zero_grad()
        optimizer.probe(0.5 * 0.98**step * theta.square().sum()).backward()
        optimizer.step()
        assert optimizer.param_groups[0]["interval"] >= 20
    assert optimizer.num_products == 400 // 20


def test_auto_interval_grows_on_a_quadratic_and_shrinks_when_the_curvature_jumps():
    n = 200
    H, theta = saddle(3, n), leaf(3, n)
    optimizer = ESGD([theta], 0.0, update_every="auto")
    take(optimizer, quadratic(H), theta, 1000)
    assert 40 <= optimizer.param_groups[0]["interval"] <= 50  # a twentieth of the steps
    take(optimizer, quadratic(H), theta, 4200)
    settled = optimizer.param_groups[0]["interval"]
    assert settled == 200  # the limit: nothing changes
    take(optimizer, quadratic(30 * H), theta, 401)
    assert optimizer.param_groups[0]["interval"] < settled
    assert optimizer.num_products < 10 + 5200 // 30


@pytest.mark.parametrize("cls", [ESGD, JacobiSGD])
def test_under_auto_a_product_counts_in_proportion_to_the_steps_it_stands_for(cls):
    """So the weights add up to those of a constant interval of 20, whatever the intervals were."""
    H, theta = saddle(3, 200), leaf(3, 200)
    optimizer = cls([theta], 0.0, update_every="auto", warmup_probes=4)
    probed, weights = [], []
    for step in range(1500):
        if optimizer.curvature_due:
            probed.append(step)
        take(optimizer, quadratic(H), theta, 1)
        weights.append(optimizer.state[theta]["weight"].item())
    gaps = [b - a for a, b in itertools.pairwise(probed)]
    assert max(gaps) > 2 * min(gaps)
    for i, step in enumerate(probed):
        assert weights[step] == pytest.approx(4 + step / 20), i
    # H v has the same law throughout: however its products are weighed, the mean stays an unbiased one
    if cls is ESGD:
        expected = H.square().sum(1).to(theta)
        ratio = optimizer.mean_curvature(theta) / expected
        assert ratio.mean().item() == pytest.approx(1, abs=0.1)
