"""The operators against dense matrices, curvlinops and SciPy."""

from __future__ import annotations

import importlib
import time

import numpy as np
import pytest
import torch
from curvature_cases import Net, quadratic, relative, symmetric
from torch import nn

from esgd import operator as operator_module
from esgd.flat import batch_size
from esgd.hvp import GaussNewtonOperator, HessianOperator
from esgd.probes import draw


@pytest.fixture(scope="module")
def case() -> Net:
    return Net()


def test_dense_hessian_over_unequal_batches_to_1e_12(case):
    # 23 examples in batches of 5, 5, 5, 5, 3: each counts by its examples
    dense = case.operator().to_dense()
    assert relative(dense, case.dense()) < 1e-12
    assert relative(dense, dense.T) < 1e-14


def test_dense_gauss_newton_to_1e_12_and_no_negative_eigenvalue(case):
    dense = case.gauss_newton().to_dense()
    assert relative(dense, case.dense_gauss_newton()) < 1e-12
    eigenvalues = torch.linalg.eigvalsh(dense)
    assert eigenvalues[0] > -1e-14 * eigenvalues[-1]
    assert torch.linalg.eigvalsh(case.dense())[0] < -1e-3  # the Hessian beside it is indefinite


def test_gauss_newton_is_the_hessian_of_a_linear_model():
    net = nn.Linear(4, 3).double()
    x, y = torch.randn(10, 4, dtype=torch.float64), torch.randint(0, 3, (10,))
    batches = list(zip(x.split(4), y.split(4), strict=True))
    entropy = nn.functional.cross_entropy
    hessian = HessianOperator(lambda b: entropy(net(b[0]), b[1]), net.parameters(), batches)
    gauss = GaussNewtonOperator(lambda b: net(b[0]), lambda o, b: entropy(o, b[1]), net.parameters(), batches)
    assert relative(gauss.to_dense(), hessian.to_dense()) < 1e-13


def test_gauss_newton_with_an_unused_parameter_and_a_frozen_model():
    net, unused = nn.Linear(2, 2).double(), torch.ones(3, dtype=torch.float64, requires_grad=True)
    x = torch.ones(4, 2, dtype=torch.float64)
    operator = GaussNewtonOperator(net, lambda o, b: o.square().mean(), [*net.parameters(), unused], [x])
    product = operator.matvec(torch.ones(9, dtype=torch.float64))
    assert product[:6].any()
    assert not product[6:].any()


@pytest.mark.parametrize("frozen", [(), ("weight",), ("bias",), ("0.weight", "2.bias")])
def test_gauss_newton_against_the_jacobian_with_biases_and_frozen_parameters(frozen):
    # `w + b` adds a parameter to the outputs as it is: its pullback is the vector that is pulled back
    w, b = (torch.randn(4, dtype=torch.float64, requires_grad=True) for _ in range(2))
    net = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)).double()
    x = torch.randn(5, 3, dtype=torch.float64)
    deep = any(name[0].isdigit() for name in frozen) or not frozen
    named = dict(net.named_parameters()) if deep else {"weight": w, "bias": b}
    model = net if deep else lambda _: w + b

    def outputs(parameters):
        return (
            torch.func.functional_call(net, parameters, (x,)) if deep else parameters["weight"] + parameters["bias"]
        )

    for name in frozen:
        named[name].requires_grad_(False)
    jacobian = torch.func.jacrev(outputs)({k: p.detach() for k, p in named.items()})
    out = outputs(named).numel()
    flat = torch.cat(
        [jacobian[k].reshape(out, -1) * (k not in frozen) for k in named], dim=1
    )  # a frozen parameter moves nothing
    operator = GaussNewtonOperator(model, lambda o, _: 0.5 * o.square().sum(), named.items(), [x])
    assert relative(operator.to_dense(), flat.T @ flat) < 1e-12


def test_gauss_newton_of_a_sum_of_two_parameters_by_hand():
    w, b = (torch.ones(2, dtype=torch.float64, requires_grad=True) for _ in range(2))
    operator = GaussNewtonOperator(lambda _: w + b, lambda o, _: 0.5 * o.square().sum(), [w, b], [torch.ones(1)])
    eye = torch.eye(2, dtype=torch.float64)
    assert torch.equal(operator.to_dense(), torch.cat([torch.cat([eye, eye], 1)] * 2))


def test_sum_reduction_adds_the_batches():
    a, b = symmetric(4, 0), symmetric(4, 1)
    assert relative(quadratic(a, b, reduction="sum").to_dense(), a + b) < 1e-14
    assert relative(quadratic(a, b, sizes=(1, 3)).to_dense(), (a + 3 * b) / 4) < 1e-14


@pytest.mark.parametrize("matrix", ["hessian", "gauss-newton"])
def test_agrees_with_curvlinops(matrix):
    import curvlinops

    case = Net(sizes=(6, 5, 6))
    data = [(x, x) for x in case.images.split(5)]
    loss = nn.BCEWithLogitsLoss(reduction="mean")
    params = dict(case.net.named_parameters())

    def of_outputs(outputs, batch):
        return loss(outputs, batch[1])

    if matrix == "hessian":
        ours = HessianOperator(lambda b: of_outputs(case.net(b[0]), b), params.items(), data)
        theirs = curvlinops.HessianLinearOperator(case.net, loss, list(params.values()), data)
    else:
        ours = GaussNewtonOperator(lambda b: case.net(b[0]), of_outputs, params.items(), data)
        theirs = curvlinops.GGNLinearOperator(case.net, loss, list(params.values()), data)
    v = torch.randn(ours.num_params, 2, dtype=torch.float64)
    assert relative(ours @ v, theirs @ v) < 1e-12


def test_forms_of_a_vector(case):
    operator = case.operator()
    parts = draw("gaussian", operator.params, 0, 0)
    flat = operator.space.flatten(parts)
    expected = operator.to_dense() @ flat
    assert relative(operator.matvec(flat), expected) < 1e-13
    assert relative(operator.space.flatten(operator.matvec(parts)), expected) < 1e-13
    array = operator.matvec(flat.numpy())
    assert isinstance(array, np.ndarray)
    assert relative(torch.from_numpy(array), expected) < 1e-13
    assert operator.matvec(flat[:, None]).shape == (operator.num_params, 1)
    assert operator.matvec(flat.numpy()[:, None]).shape == (operator.num_params, 1)
    assert relative(operator @ flat, expected) < 1e-13
    several = torch.stack([flat, 2 * flat, -flat], 1)
    assert relative(operator @ several, torch.stack([expected, 2 * expected, -expected], 1)) < 1e-13
    assert relative(operator.matmat(several, probes_per_pass=2), operator @ several) < 1e-14
    assert isinstance(operator.matmat(several.numpy()), np.ndarray)
    backwards = operator.matmat(several.numpy()[:, ::-1])  # views with any strides
    assert relative(torch.from_numpy(backwards).flip(1), operator @ several) < 1e-14
    assert relative(torch.from_numpy(operator.matvec(flat.numpy().astype(int))), operator @ flat.trunc()) < 1e-14
    assert (operator @ several[:, :0]).shape == (operator.num_params, 0)


def test_several_probes_share_the_graph_of_each_batch(case):
    calls = []

    def loss(batch):
        calls.append(len(batch))
        return case.loss(batch)

    operator = HessianOperator(loss, case.net.parameters(), case.batches)
    operator.products([draw("rademacher", operator.params, 0, i) for i in range(7)])
    assert calls == [5, 5, 5, 5, 5, 3]  # once more on the first batch, to see that the loss repeats itself
    calls.clear()
    operator.products([draw("rademacher", operator.params, 0, i) for i in range(7)])
    assert calls == [5, 5, 5, 5, 3]


def test_a_batch_s_own_products(case):
    operator = case.operator()
    v = draw("rademacher", operator.params, 0, 0)
    sizes, own = zip(*operator.batch_products([v]), strict=True)
    assert sizes == (5, 5, 5, 5, 3)
    mixed = sum(n * operator.space.flatten(h[0]) for n, h in zip(sizes, own, strict=True)) / 23
    assert relative(operator.space.flatten(operator.matvec(v)), mixed) < 1e-14


def test_as_a_scipy_linear_operator(case):
    from scipy.sparse.linalg import LinearOperator, cg, eigsh

    operator = case.operator()
    wrapped = operator.to_scipy()
    assert isinstance(wrapped, LinearOperator)
    assert wrapped.dtype == np.float64
    dense = case.dense().numpy()
    assert np.allclose(wrapped @ np.eye(operator.num_params), dense, atol=1e-14)
    truth = np.linalg.eigvalsh(dense)
    assert np.allclose(eigsh(wrapped, k=3, which="LA")[0], truth[-3:], atol=1e-9)
    assert np.allclose(eigsh(wrapped, k=2, which="SA")[0], truth[:2], atol=1e-9)
    gauss = case.gauss_newton().to_scipy()
    shifted = gauss + LinearOperator(gauss.shape, matvec=lambda x: 0.1 * x, dtype=gauss.dtype)
    solution, failed = cg(shifted, np.ones(operator.num_params), rtol=1e-10)
    assert failed == 0
    system = case.dense_gauss_newton().numpy() + 0.1 * np.eye(operator.num_params)
    assert np.allclose(system @ solution, 1, atol=1e-7)


def test_a_dense_matrix_over_several_blocks_of_columns():
    h = symmetric(300, 3) + torch.triu(torch.ones(300, 300, dtype=torch.float64))  # columns and rows differ
    w = torch.zeros(300, dtype=torch.float64, requires_grad=True)
    operator = HessianOperator(lambda b: w.sum(), [w], [torch.ones(1)], check=False)
    operator.products = lambda vectors: [[h @ v[0]] for v in vectors]
    assert relative(operator.to_dense(), h) < 1e-14


def test_names_and_views(case):
    operator = case.operator()
    flat = torch.arange(operator.num_params, dtype=torch.float64)
    named = operator.space.named(flat)
    assert list(named) == [name for name, _ in case.net.named_parameters()]
    assert named["0.weight"].shape == (5, 6)
    assert torch.equal(operator.space.flatten(list(named.values())), flat)
    assert "N=98" in repr(operator)
    assert "batches=5" in repr(operator)


def test_a_data_loader_of_pairs_and_a_dictionary():
    from torch.utils.data import DataLoader, TensorDataset

    net = nn.Linear(3, 1).double()
    x, y = torch.randn(7, 3, dtype=torch.float64), torch.randn(7, 1, dtype=torch.float64)
    loader = DataLoader(TensorDataset(x, y), batch_size=3, shuffle=True)
    operator = HessianOperator(lambda b: (net(b[0]) - b[1]).square().mean(), net.parameters(), loader)
    inputs = torch.cat([x, torch.ones(7, 1, dtype=torch.float64)], 1)
    assert relative(operator.to_dense(), 2 * inputs.T @ inputs / 7) < 1e-13
    assert batch_size({"label": 3, "image": x}) == 7
    assert batch_size((None, [y])) == 7


def test_half_precision_sums_in_float32():
    operator = quadratic(*[symmetric(6, s, dtype=torch.bfloat16) for s in range(3)])
    assert operator.dtype is torch.float32
    v = torch.ones(6)
    exact = sum(symmetric(6, s, dtype=torch.bfloat16).float() for s in range(3)) @ v / 3
    assert relative(operator.matvec(v), exact) < 1e-2
    assert operator.to_scipy().dtype == np.float32


def test_a_progress_bar_when_asked(case, capsys, monkeypatch):
    pytest.importorskip("tqdm")
    monkeypatch.setattr("esgd.progress._watched", lambda: True)  # in a log a line comes every half a minute
    case.operator().to_dense()
    assert capsys.readouterr().err == ""
    operator = case.operator(progress=True)
    slow = operator._linearize
    operator._linearize = lambda *given: (time.sleep(0.3), slow(*given))[1]
    operator.matvec(torch.ones(operator.num_params, dtype=torch.float64))
    assert "/5" in capsys.readouterr().err


def test_the_module_exports_its_operators_and_nothing_made_up():
    hvp_module = importlib.import_module("esgd.hvp")
    assert hvp_module.HessianOperator is operator_module.HessianOperator
    assert hvp_module.GaussNewtonOperator is operator_module.GaussNewtonOperator
    with pytest.raises(AttributeError, match="nothing"):
        _ = hvp_module.nothing


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_a_gpu():
    case = Net()
    expected = case.operator().to_dense()
    case.net.cuda()
    case.batches = [b.cuda() for b in case.batches]
    assert relative(case.operator().to_dense().cpu(), expected) < 1e-12
