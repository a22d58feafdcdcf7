"""The minimisers on functions whose minimum is known."""

import numpy as np
import pytest

from skhuber._solver import (
    Status,
    Whitening,
    newton,
    polish,
    solve_semidefinite,
    whitened_lbfgs,
)


def spread(q=6, condition=1e8, seed=0):
    """A positive definite matrix of this condition, and a vector."""
    rng = np.random.default_rng(seed)
    basis = np.linalg.qr(rng.normal(size=(q, q)))[0]
    return (basis * np.geomspace(1, condition, q)) @ basis.T, rng.normal(size=q)


def quadratic(H, b, constant=10.0):
    """½ xᵀHx − bᵀx + constant, its Hessian, and where and what its minimum is."""
    best = np.linalg.solve(H, b)

    def function(x):
        return 0.5 * x @ H @ x - b @ x + constant, H @ x - b

    return function, lambda x: (H, H), best, function(best)[0]


def softened(H, b):
    """Σ log cosh of linear forms and a little of a quadratic: convex, no quadratic."""
    root = np.linalg.cholesky(H)

    def function(x):
        z = root.T @ x - b
        value = np.logaddexp(z, -z).sum() + 0.01 * x @ x
        return value, root @ np.tanh(z) + 0.02 * x

    def hessian(x):
        z = root.T @ x - b
        curvature = 1 / np.cosh(np.clip(z, -300, 300)) ** 2
        above = np.divide(np.tanh(z), z, out=np.ones_like(z), where=z != 0)
        ridge = 0.02 * np.eye(len(x))
        return (root * curvature) @ root.T + ridge, (root * above) @ root.T + ridge

    return function, hessian


SETTINGS = {
    "lower_last": -np.inf,
    "tolerance": lambda x, value: 1e-12 * value,
    "max_iter": 100,
}


def run_newton(function, hessian, start, **changed):
    settings = SETTINGS | {"noise": lambda x: 1e-30} | changed
    return newton(function, hessian, start, **settings)


def run_lbfgs(function, hessian, start, **changed):
    whitening = Whitening(hessian(start)[0])
    return whitened_lbfgs(function, whitening, start, **(SETTINGS | changed))


each_minimiser = pytest.mark.parametrize("run", [run_newton, run_lbfgs])


@each_minimiser
@pytest.mark.parametrize("condition", [1.0, 1e4])
def test_a_quadratic_takes_one_step(run, condition):
    function, hessian, best, lowest = quadratic(*spread(condition=condition))
    solution = run(function, hessian, np.full(6, 3.0))
    assert solution.status is Status.CONVERGED
    assert solution.n_iter == 1
    np.testing.assert_allclose(solution.value, lowest, rtol=1e-10)
    np.testing.assert_allclose(solution.x, best, rtol=1e-6)


def test_a_quadratic_takes_two_calls():
    # scipy's first trial is the Newton step: no call is spent on finding a length.
    function, hessian, _, _ = quadratic(*spread())
    calls = []

    def counted(x):
        calls.append(x)
        return function(x)

    run_lbfgs(counted, hessian, np.full(6, 3.0))
    assert len(calls) == 2


@each_minimiser
@pytest.mark.parametrize("offset", [0.0, 1.0])
def test_a_bound_on_the_last_variable(run, offset):
    H, b = spread(condition=10.0)
    function, hessian, best, _ = quadratic(H, b)
    lower = best[-1] + 1.0 + offset + 2.0
    solution = run(function, hessian, np.full(6, lower + 1.0), lower_last=lower)
    inner = np.linalg.solve(H[:-1, :-1], b[:-1] - H[:-1, -1] * lower)
    assert solution.status is Status.CONVERGED
    assert solution.x[-1] == lower
    np.testing.assert_allclose(solution.x[:-1], inner, atol=1e-5)


@pytest.mark.parametrize(
    ("run", "start"),
    [(run_newton, 0.0), (run_newton, -40.0), (run_lbfgs, 0.0), (run_lbfgs, 0.5)],
)
def test_a_function_that_is_no_quadratic(run, start):
    function, hessian = softened(*spread(condition=1e3))
    solution = run(function, hessian, np.full(6, start))
    assert solution.status is Status.CONVERGED
    _, gradient = function(solution.x)
    np.testing.assert_array_equal(gradient, solution.gradient)
    exact = 0.5 * gradient @ np.linalg.solve(hessian(solution.x)[0], gradient)
    assert exact <= 1e-10 * solution.value


def test_a_trial_that_overflows_is_not_the_minimum():
    H, b = spread(condition=10.0)
    function, _, best, _ = quadratic(H, b)
    overflowed = []

    def bounded(x):
        if np.linalg.norm(x - best) > 10.0:
            overflowed.append(x)
            return np.inf, np.zeros(6)
        return function(x)

    # A Hessian a hundred times too flat: the first step goes far beyond the minimum.
    solution = whitened_lbfgs(bounded, Whitening(H / 100), best + 1.0, **SETTINGS)
    assert overflowed
    assert np.isfinite(solution.value)
    assert solution.value <= bounded(best + 1.0)[0]


def test_the_gap_is_the_distance_to_the_minimum():
    H, b = spread(condition=1e6)
    function, hessian, best, lowest = quadratic(H, b)
    x = best + np.linspace(-1, 1, 6)
    value, gradient = function(x)
    assert Whitening(H).gap(gradient, False) == pytest.approx(value - lowest)
    assert run_newton(function, hessian, x, max_iter=0).gap == pytest.approx(
        value - lowest
    )
    # With the last variable held: the distance to the minimum over the others.
    inner = x.copy()
    inner[:-1] = np.linalg.solve(H[:-1, :-1], b[:-1] - H[:-1, -1] * x[-1])
    expected = value - function(inner)[0]
    assert Whitening(H).gap(gradient, True) == pytest.approx(expected)


@each_minimiser
def test_the_limit_on_iterations(run):
    function, hessian = softened(*spread(condition=1e3))
    for limit in (0, 1, 2):
        solution = run(function, hessian, np.full(6, -40.0), max_iter=limit)
        assert solution.status is Status.MAX_ITER
        assert solution.n_iter == limit
        assert solution.value <= function(np.full(6, -40.0))[0]


@each_minimiser
def test_a_start_at_the_minimum_takes_no_step(run):
    function, hessian, best, _ = quadratic(*spread(condition=10.0))
    assert run(function, hessian, best).n_iter == 0


def test_polish_goes_past_what_values_can_tell():
    function, hessian, best, lowest = quadratic(*spread(condition=10.0), constant=1e6)
    start = run_lbfgs(function, hessian, best + 1e-7, tolerance=lambda x, v: np.inf)
    assert start.value == pytest.approx(lowest, rel=1e-15)
    whitening = Whitening(hessian(best)[0])
    polished = polish(
        function,
        whitening,
        start,
        lower_last=-np.inf,
        tolerance=lambda x, v: 0.0,
        max_steps=3,
    )
    assert polished.gap < 1e-8 * start.gap
    np.testing.assert_allclose(polished.x, best, atol=1e-13)


@pytest.mark.parametrize("q", [1, 5])
def test_whitening_is_a_change_of_coordinates(q):
    H, v = spread(q=q, condition=1e4)
    g = np.linspace(1.0, 2.0, q)
    for hessian in (H, np.diagonal(H).copy()):
        whitening = Whitening(hessian)
        full = hessian if hessian.ndim == 2 else np.diag(hessian)
        x = whitening.unwhiten(v)
        np.testing.assert_allclose(x @ full @ x, v @ v, rtol=1e-10)
        # Products of gradients and steps do not depend on the coordinates.
        np.testing.assert_allclose(whitening.whiten_gradient(g) @ v, g @ x, rtol=1e-10)
        np.testing.assert_allclose(whitening.last_coordinate(x[-1]), v[-1], rtol=1e-10)


def test_whitening_of_a_singular_hessian():
    H = np.ones((3, 3))
    H[2] = H[:, 2] = 0.0
    whitening = Whitening(H)
    v = np.array([1.0, -2.0, 3.0])
    x = whitening.unwhiten(v)
    assert np.isfinite(x).all()
    # What the Hessian does not know is left as it is, and the ridge is small.
    np.testing.assert_allclose(x[2], v[2], rtol=1e-12)
    gap = whitening.gap(np.array([2.0, 2.0, 0.0]), False)
    np.testing.assert_allclose(gap, 2.0, rtol=1e-5)


def test_a_singular_system_moves_nothing_along_its_null_space():
    H = np.array([[2.0, 2.0, 0.0], [2.0, 2.0, 0.0], [0.0, 0.0, 0.0]])
    x = solve_semidefinite(H, np.array([4.0, 4.0, 0.0]))
    np.testing.assert_allclose(x, [1.0, 1.0, 0.0], atol=1e-12)
    # A gradient along the null space beyond rounding is a straight slope: go far.
    x = solve_semidefinite(H, np.array([5.0, 3.0, 0.0]), noise=1e-20)
    assert x[0] - x[1] > 1e6


def test_a_gap_that_hangs_on_a_ridge_is_no_certificate():
    # Two equal variables: the Hessian is singular, and gets a ridge.
    whitening = Whitening(np.ones((2, 2)))
    along, across = np.array([1.0, 1.0]), np.array([1e-9, -1e-9])
    np.testing.assert_allclose(whitening.gap(along, False), 0.5, rtol=1e-3)
    # Across, the function falls without end, however flat it looks with the ridge.
    with_ridge = 0.5 * np.sum(whitening.whiten_gradient(across) ** 2)
    assert with_ridge < 1e-3
    assert whitening.gap(across, False) > 1e3 * with_ridge


def test_a_diagonal_says_that_it_is_one():
    assert Whitening(np.ones(3)).is_diagonal
    assert not Whitening(np.eye(3)).is_diagonal
