"""Section 5.2 and its neighbours: the lemmas, Theorem 2 made right, trust regions, subspaces."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from matrices import rotate, symmetric, vectors

from esgd.errors import ConfigError
from esgd.theory import abs_matrix, newton_and_saddle_free

# the paper's |A|: the same eigenvectors with the absolute values of the eigenvalues, symmetric or not
SHEAR = np.array([[1.0, 10.0], [0.0, -1.0]])


def paper_abs(A):
    values, vecs = np.linalg.eig(A)
    return (vecs * np.abs(values)) @ np.linalg.inv(vecs)


@pytest.mark.claim("L1", "L2")
@given(symmetric(), st.integers(0, 10**6), st.booleans())
def test_the_lemmas_for_symmetric_matrices(A, seed, singular):
    if singular:  # nonsingularity is not needed
        values, q = np.linalg.eigh(A)
        values[np.argmin(np.abs(values))] = 0
        A = (q * values) @ q.T
        A = (A + A.T) / 2
    x = vectors(seed, len(A))
    tol = 1e-12 * np.abs(A).max() * (x @ x)
    assert abs(x @ A @ x) <= x @ abs_matrix(A) @ x + tol
    assert np.linalg.norm(A @ x) == pytest.approx(np.linalg.norm(abs_matrix(A) @ x), rel=1e-9)


@pytest.mark.claim("L1")
def test_lemma_1_as_printed_fails_without_symmetry():
    x = np.array([1.0, 1.0])
    assert np.allclose(paper_abs(SHEAR), np.eye(2))
    assert abs(np.linalg.det(SHEAR)) == pytest.approx(1)  # nonsingular, as the lemma asks
    assert x @ SHEAR @ x > x @ paper_abs(SHEAR) @ x


@pytest.mark.claim("L2")
def test_lemma_2_as_printed_fails_without_symmetry():
    v = np.array([0.0, 1.0])
    assert np.linalg.norm(SHEAR @ v) > 10 * np.linalg.norm(paper_abs(SHEAR) @ v)


@pytest.mark.claim("T2")
@given(symmetric(), st.integers(0, 10**6), st.floats(0.01, 2))
def test_on_a_quadratic_the_gain_is_exactly_2_alpha_s(H, seed, step):
    g = vectors(seed, len(H))
    pair = newton_and_saddle_free(H, g, step)
    f = lambda d: g @ d + d @ H @ d / 2  # noqa: E731
    scale = np.abs(g @ pair.newton) + np.abs(pair.newton @ H @ pair.newton) + 1e-300
    assert f(pair.newton) - f(pair.saddle_free) == pytest.approx(2 * step * pair.negative_gain, abs=1e-9 * scale)
    assert np.linalg.norm(pair.newton) == pytest.approx(np.linalg.norm(pair.saddle_free), rel=1e-9)


class Waves:
    """f(x) = Σ_k w_k cos(a_k·x + b_k): its Hessian is Lipschitz with constant Σ|w_k|‖a_k‖³."""

    def __init__(self, n: int, seed: int):
        rng = np.random.default_rng(seed)
        self.a = rng.standard_normal((2 * n, n)) / np.sqrt(n)
        self.w, self.b = rng.standard_normal(2 * n), rng.uniform(0, 2 * np.pi, 2 * n)
        self.lipschitz = float((np.abs(self.w) * np.linalg.norm(self.a, axis=1) ** 3).sum())

    def __call__(self, x):
        return float(self.w @ np.cos(self.a @ x + self.b))

    def gradient(self, x):
        return -self.a.T @ (self.w * np.sin(self.a @ x + self.b))

    def hessian(self, x):
        h = -(self.a.T * (self.w * np.cos(self.a @ x + self.b))) @ self.a
        return (h + h.T) / 2


@pytest.mark.claim("T2")
@given(st.integers(1, 5), st.integers(0, 10**6), st.floats(0.001, 1.5))
def test_theorem_2_prime_has_no_violation(n, seed, step):
    f, x = Waves(n, seed), vectors(seed + 1, n).reshape(n)
    H, g = f.hessian(x), f.gradient(x)
    assume(np.abs(np.linalg.eigvalsh(H)).min() > 1e-3)
    pair = newton_and_saddle_free(H, g, step)
    difference = f(x + pair.newton) - f(x + pair.saddle_free)
    assert difference >= pair.margin(f.lipschitz) - 1e-9
    if step <= pair.safe_step(f.lipschitz):
        assert difference >= -1e-12


@pytest.mark.claim("T2")
def test_the_printed_theorem_2_fails_on_the_cosine():
    x = 1.3
    pair = newton_and_saddle_free([[-np.cos(x)]], [-np.sin(x)])
    newton, absolute = np.cos(x + pair.newton[0]), np.cos(x + pair.saddle_free[0])
    assert absolute == pytest.approx(0.189, abs=1e-3)
    assert newton == pytest.approx(-0.668, abs=1e-3)
    assert absolute > newton  # the printed inequality, reversed
    assert pair.step > pair.safe_step(1.0)  # and 2′ does not promise it there


@pytest.mark.claim("T2", "T2p")
@pytest.mark.parametrize("sign", [1, -1])
def test_the_constant_of_theorem_2_prime_is_attained(sign):
    """f = gx − ½x² + sign·(L/6)x³ has the constant third derivative sign·L."""
    g, L, step = 0.8, 2.0, 0.9
    f = lambda x: g * x - x * x / 2 + sign * L / 6 * x**3  # noqa: E731
    pair = newton_and_saddle_free([[-1.0]], [g], step)
    difference = f(pair.newton[0]) - f(pair.saddle_free[0])
    extra = sign * L / 3 * (step * pair.radius) ** 3
    assert difference == pytest.approx(2 * step * pair.negative_gain + extra)
    if sign < 0:
        assert difference == pytest.approx(pair.margin(L))


@pytest.mark.claim("T2p")
@pytest.mark.parametrize("delta", [1e-2, -1e-3])
def test_the_remainder_is_of_the_order_of_the_cube(delta):
    """f less its quadratic model, over δ³, tends to f‴/6: O(δ³), and not o(δ³) as printed."""
    x = 0.7
    for f, first, second, third in (
        (np.exp, np.exp(x), np.exp(x), np.exp(x)),
        (np.sin, np.cos(x), -np.sin(x), -np.cos(x)),
    ):
        remainder = f(x + delta) - (f(x) + first * delta + second * delta**2 / 2)
        assert remainder / delta**3 == pytest.approx(third / 6, rel=0.02)


@pytest.mark.claim("T2p")
@given(symmetric(), st.integers(0, 10**6))
def test_both_quadratic_terms_are_those_of_the_inverse(H, seed):
    """The proof's line for them ends at ΔθᵀHΔθ; with ∇f for Δθ it is the inverse that stands there."""
    g = vectors(seed, len(H))
    pair = newton_and_saddle_free(H, g)
    inverse, scale = g @ np.linalg.solve(H, g), abs(g @ pair.saddle_free)
    for delta in (pair.newton, pair.saddle_free):
        assert delta @ H @ delta == pytest.approx(inverse, abs=1e-8 * scale)
    tripled = newton_and_saddle_free(3 * H, g)  # a term gᵀHg would grow with H, and this one shrinks
    assert 3 * tripled.newton @ H @ tripled.newton == pytest.approx(inverse / 3, abs=1e-8 * scale)


@pytest.mark.claim("S3b")
@given(symmetric(indefinite=True), st.integers(0, 10**6))
def test_only_indefinite_preconditioners_turn_descent_into_ascent(H, seed):
    g = vectors(seed, len(H))
    values, q = np.linalg.eigh(H)
    uphill = q[:, np.argmin(values)]  # a gradient along a negative direction
    assert uphill @ np.linalg.solve(H, uphill) < 0  # −H⁻¹g climbs
    spd = abs_matrix(H)
    assert g @ np.linalg.solve(spd, g) > 0


@pytest.mark.claim("TR")
@given(symmetric(indefinite=True), st.integers(0, 10**6))
def test_the_exact_trust_region_is_unbounded_and_the_absolute_one_lies_inside(H, seed):
    values, q = np.linalg.eigh(H)
    low, high = np.argmin(values), np.argmax(values)
    null = q[:, low] / np.sqrt(-values[low]) + q[:, high] / np.sqrt(values[high])
    tol = 1e-10 * np.abs(H).max() * (null @ null)
    assert abs(null @ H @ null) <= tol  # a whole line of zero "size": the region has no bound
    assert null @ abs_matrix(H) @ null == pytest.approx(2, rel=1e-6)
    d = vectors(seed, len(H))
    assert abs(d @ H @ d) <= d @ abs_matrix(H) @ d * (1 + 1e-9)
    # minimise g·Δ over ½Δᵀ|H|Δ ≤ δ: the saddle-free direction; no boundary point is better
    g, delta = vectors(seed + 1, len(H)), 0.3
    best = -np.linalg.solve(abs_matrix(H), g)
    best *= np.sqrt(2 * delta / (best @ abs_matrix(H) @ best))
    other = d * np.sqrt(2 * delta / (d @ abs_matrix(H) @ d))
    assert g @ best <= g @ other + 1e-9


@pytest.mark.claim("KRY")
def test_subspaces_underestimate_sums_but_not_in_the_loewner_order():
    rng = np.random.default_rng(0)
    loewner = 0
    for _ in range(400):
        n = int(rng.integers(4, 11))
        k = int(rng.integers(2, n))
        H = rotate(rng.standard_normal(n), rng)
        krylov = [rng.standard_normal(n)]
        for _ in range(k - 1):
            krylov.append(H @ krylov[-1] / np.linalg.norm(krylov[-1]))
        V = np.linalg.qr(np.stack(krylov, 1))[0]
        projected, absolute = V.T @ H @ V, V.T @ abs_matrix(H) @ V
        projected, absolute = (projected + projected.T) / 2, (absolute + absolute.T) / 2
        ritz = np.sort(np.abs(np.linalg.eigvalsh(projected)))[::-1]
        whole = np.sort(np.linalg.eigvalsh(absolute))[::-1]
        assert (np.cumsum(ritz) <= np.cumsum(whole) + 1e-9).all()  # Ky Fan
        x = rng.standard_normal(k)
        assert abs(x @ projected @ x) <= x @ absolute @ x + 1e-9  # Rayleigh quotients
        loewner += np.linalg.eigvalsh(absolute - abs_matrix(projected))[0] < -1e-9
    assert loewner > 200  # most of them


@pytest.mark.claim("KRY")
@pytest.mark.parametrize("dimensions", [1, 2, 4])
def test_the_loewner_order_fails_on_krylov_spaces_and_hardly_on_few_random_directions(dimensions):
    rng = np.random.default_rng(1)
    failures = {"krylov": 0, "random": 0}
    for _ in range(150):
        H = rng.standard_normal((40, 40))
        H = H + H.T
        random = rng.standard_normal((40, dimensions))
        krylov = [random[:, 0]]
        for _ in range(dimensions - 1):
            krylov.append(H @ krylov[-1] / np.linalg.norm(krylov[-1]))
        for kind, span in (("krylov", np.stack(krylov, 1)), ("random", random)):
            V = np.linalg.qr(span)[0]
            projected, absolute = V.T @ H @ V, V.T @ abs_matrix(H) @ V
            projected, absolute = (projected + projected.T) / 2, (absolute + absolute.T) / 2
            failures[kind] += np.linalg.eigvalsh(absolute - abs_matrix(projected))[0] < -1e-9
    assert failures["random"] <= 1
    assert failures["krylov"] == 0 if dimensions == 1 else failures["krylov"] > 140


def test_bad_input_is_refused():
    with pytest.raises(ConfigError, match="nonsingular"):
        newton_and_saddle_free(np.diag([1.0, 0.0]), [1.0, 1.0])
    with pytest.raises(ConfigError, match="shape"):
        newton_and_saddle_free(np.eye(2), [1.0])
    with pytest.raises(ConfigError, match="positive"):
        newton_and_saddle_free(np.eye(2), [1.0, 0.0], step=0)
    assert newton_and_saddle_free(np.eye(2), [1.0, 0.0]).safe_step(0.0) == np.inf
