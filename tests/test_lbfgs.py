"""scipy's L-BFGS-B in whitened coordinates, on functions whose minimum is known."""

import numpy as np
import pytest

from quadratics import (
    Function,
    minimum_within,
    no_bounds,
    quadratic,
    softened,
    spread,
)
from skhuber._solver.lbfgs import whitened_lbfgs
from skhuber._solver.quadratic import Model
from skhuber._solver.solution import Status

Q = 6


def minimise(function, x, *, model=None, lower=None, max_iter=100):
    model = function.model(x) if model is None else model
    lower = no_bounds(len(x)) if lower is None else lower
    return whitened_lbfgs(function.at, model, x, function.at(x), lower, max_iter)


@pytest.mark.parametrize("condition", [1.0, 1e4, 1e8])
def test_a_quadratic_takes_two_calls(condition):
    # scipy's first trial is the Newton step: no call is spent on finding a length.
    function, best, lowest = quadratic(*spread(condition=condition))
    solution = minimise(function, np.full(Q, 3.0))
    assert solution.status is Status.CONVERGED
    assert solution.n_iter == 1
    assert len(function.calls) == 2
    np.testing.assert_allclose(solution.value, lowest, rtol=1e-9)
    np.testing.assert_allclose(solution.x, best, atol=1e-6)


@pytest.mark.parametrize("offset", [-1.0, 0.5, 3.0])
def test_a_bound_on_the_last_variable(offset):
    H, b = spread(condition=10.0)
    function, best, _ = quadratic(H, b)
    lower = no_bounds(Q)
    lower[-1] = best[-1] + offset
    solution = minimise(function, np.full(Q, lower[-1] + 1.0), lower=lower)
    assert solution.status is Status.CONVERGED
    assert (solution.x[-1] == lower[-1]) == (offset > 0)
    np.testing.assert_allclose(solution.x, minimum_within(H, b, lower), atol=1e-5)


@pytest.mark.parametrize("start", [0.0, 0.5])
def test_it_learns_what_the_model_lacks(start):
    function = softened(*spread(condition=1e3))
    solution = minimise(function, np.full(Q, start))
    assert solution.status is Status.CONVERGED
    value, gradient = function.value_gradient(solution.x)
    np.testing.assert_array_equal(gradient, solution.gradient)
    exact = (
        0.5 * gradient @ np.linalg.solve(function.model(solution.x).inside, gradient)
    )
    assert exact <= 1e-10 * value


def test_values_far_larger_than_their_differences():
    H, b = spread(condition=10.0)
    function, best, _ = quadratic(H, b, 1e8, tolerance=lambda value: 1e-14)
    rough = Model(1.5 * H + 0.3 * np.eye(Q), None, np.zeros(Q))
    solution = minimise(function, best + 1e-3, model=rough)
    assert solution.gap <= 1e-12
    np.testing.assert_allclose(solution.x, best, atol=1e-5)


def test_a_trial_that_overflows_is_not_the_minimum():
    H, b = spread(condition=10.0)
    base, best, _ = quadratic(H, b)
    overflowed = []

    def bounded(x):
        if np.linalg.norm(x - best) > 10.0:
            overflowed.append(x)
            return np.inf, np.zeros(Q)
        return base.value_gradient(x)

    # A Hessian a hundred times too flat: the first step goes far beyond the minimum.
    function = Function(bounded, lambda x: (H / 100, None))
    solution = minimise(function, best + 1.0)
    assert overflowed
    assert np.isfinite(solution.value)
    assert solution.value <= bounded(best + 1.0)[0]


def test_the_limit_on_iterations():
    function = softened(*spread(condition=1e3))
    start = np.full(Q, -40.0)
    for limit in (0, 1, 2):
        solution = minimise(function, start, max_iter=limit)
        assert solution.status is Status.MAX_ITER
        assert solution.n_iter == limit
        assert solution.value <= function.value_gradient(start)[0]


def test_a_start_at_the_minimum_takes_no_step():
    function, best, _ = quadratic(*spread(condition=10.0))
    solution = minimise(function, best)
    assert solution.status is Status.CONVERGED
    assert solution.n_iter == 0
    assert solution.x is best
    assert len(function.calls) == 1


@pytest.mark.parametrize("after", [1, 2, 3])
def test_a_function_that_asks_to_stop(after):
    function = softened(*spread(condition=1e3), stop_after=after)
    solution = minimise(function, np.full(Q, 0.5))
    assert solution.status is Status.STOPPED
    assert len(function.calls) == after
    values = [function.value_gradient(x)[0] for x in function.calls]
    assert solution.value == min(values)
    assert 0 < solution.gap < np.inf


def test_a_model_that_is_singular():
    # The data leave a direction to the penalty, which is far below their rounding.
    H = np.ones((2, 2))
    penalty = np.full(2, 1e-17)

    def value_gradient(x):
        z = x.sum() - 1.0
        return 1 + 0.5 * z**2 + 0.5 * penalty @ x**2, z * np.ones(2) + penalty * x

    function = Function(value_gradient, lambda x: (H, None))
    solution = minimise(function, np.array([3.0, 4.0]), model=Model(H, None, penalty))
    assert solution.status is Status.CONVERGED
    np.testing.assert_allclose(solution.x.sum(), 1.0, atol=1e-6)
