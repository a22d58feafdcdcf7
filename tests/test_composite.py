"""Minima of quadratic models, and of functions, with absolute values and bounds."""

import numpy as np
import pytest
import scipy.optimize

from quadratics import Function, softened, spread
from skhuber._solver.composite import minimise_composite
from skhuber._solver.descent import Rules, descend, drive
from skhuber._solver.quadratic import Model
from skhuber._solver.separable import Separable
from skhuber._solver.solution import Status

Q = 8
BOUNDS = {
    "none": (-np.inf, np.inf),
    "below": (-0.1, np.inf),
    "above": (-np.inf, 0.2),
    "box": (-0.1, 0.05),
    "positive": (0.0, np.inf),
    "one value": (0.1, 0.1),
}
each_bound = pytest.mark.parametrize("bounds", BOUNDS)
each_seed = pytest.mark.parametrize("seed", range(4))


def part_of(l1, lower=-np.inf, upper=np.inf):
    l1 = np.asarray(l1, dtype=float)
    sides = (np.full(len(l1), side) for side in (lower, upper))
    return Separable(l1, *sides, np.zeros(len(l1), dtype=bool))


def split_minimum(value_gradient, part, start):
    """The minimum by scipy, with each variable the difference of two that are ≥ 0."""
    q = len(start)

    def split(ab):
        value, gradient = value_gradient(ab[:q] - ab[q:])
        value += part.l1 @ (ab[:q] + ab[q:])
        return value, np.concatenate([gradient + part.l1, part.l1 - gradient])

    sides = [
        (max(low, 0.0), max(high, 0.0))
        for low, high in zip(
            np.concatenate([part.lower, -part.upper]),
            np.concatenate([part.upper, -part.lower]),
            strict=True,
        )
    ]
    first = np.concatenate([np.maximum(start, 0.0), np.maximum(-start, 0.0)])
    options = {"ftol": 0.0, "gtol": 1e-13, "maxiter": 20_000, "maxfun": 10**6}
    found = scipy.optimize.minimize(
        split, first, jac=True, method="L-BFGS-B", bounds=sides, options=options
    )
    return found.x[:q] - found.x[q:], found.fun


def quadratic_at(H, gradient, x):
    return lambda z: (
        0.5 * (z - x) @ H @ (z - x) + gradient @ (z - x),
        gradient + H @ (z - x),
    )


@each_bound
@each_seed
@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.99, 1.01])
def test_minima_of_models(bounds, seed, share):
    H, b = spread(Q, condition=100.0, seed=seed)
    x = np.clip(np.linspace(-1, 1, Q), *BOUNDS[bounds])
    part = part_of(np.full(Q, share * np.abs(H @ x - b).max()), *BOUNDS[bounds])
    gradient = H @ x - b
    step = minimise_composite(Model(H, None, np.zeros(Q)), gradient, x, part, 1e-13)
    end = part.moved(x, step.x)
    assert (end >= part.lower).all()
    assert (end <= part.upper).all()
    value = quadratic_at(H, gradient, x)
    best, lowest = split_minimum(value, part, x)
    found = value(end)[0] + part.l1 @ np.abs(end)
    assert found <= lowest + 2e-6 * step.fall + 1e-12
    np.testing.assert_allclose(end, best, atol=1e-3)
    # The fall is from x, where P is not zero.
    fall = part.l1 @ np.abs(x) - found
    assert step.fall == pytest.approx(fall, rel=1e-9, abs=1e-12)


def test_zeros_and_bounds_are_hit_to_the_bit():
    H, b = spread(Q, condition=10.0)
    part = part_of(np.full(Q, 0.3), -0.1, 1 / 3)
    x = np.linspace(-0.1, 1 / 3, Q)
    model = Model(H, None, np.zeros(Q))
    end = part.moved(x, minimise_composite(model, H @ x - b, x, part, 0.0).x)
    expected, _ = split_minimum(quadratic_at(H, H @ x - b, x), part, x)
    for bound in (0.0, -0.1, 1 / 3):
        near = np.abs(expected - bound) < 1e-8
        np.testing.assert_array_equal(end[near], bound)
    assert {0.0, -0.1, 1 / 3} <= set(end)


def test_a_large_penalty_leaves_nothing():
    H, b = spread(Q)
    x = np.linspace(-1, 1, Q)
    part = part_of(np.full(Q, 1e6 * np.abs(b).max() + np.abs(H).sum()))
    step = minimise_composite(Model(H, None, np.zeros(Q)), H @ x - b, x, part, 1e-12)
    np.testing.assert_array_equal(part.moved(x, step.x), 0.0)


def test_columns_that_are_equal():
    # The face of equal columns is singular: the fit is unique, its parts are not.
    rng = np.random.default_rng(0)
    A = rng.normal(size=(30, 3))
    A = np.column_stack([A, A[:, 0], A[:, 0] * (1 + 1e-9)])
    b = A.T @ rng.normal(size=30)
    part = part_of(np.full(5, 0.1 * np.abs(b).max()))
    x = np.zeros(5)
    model = Model(A.T @ A, None, np.zeros(5))
    end = minimise_composite(model, -b, x, part, 1e-13).x
    _, lowest = split_minimum(quadratic_at(A.T @ A, -b, x), part, x)
    value = quadratic_at(A.T @ A, -b, x)(end)[0] + part.l1 @ np.abs(end)
    assert value <= lowest + 1e-9


def test_a_variable_that_nothing_curves_stays():
    H = np.diag([1.0, 0.0, 2.0])
    part = part_of([0.1, 0.1, 0.0])
    model = Model(H, None, np.zeros(3))
    step = minimise_composite(model, np.array([1.0, 0.0, 1.0]), np.zeros(3), part, 0.0)
    np.testing.assert_allclose(step.x, [-0.9, 0.0, -0.5])


@each_bound
@each_seed
@pytest.mark.parametrize("kind", ["fresh", "learnt"])
def test_minima_of_functions(bounds, seed, kind):
    function = softened(*spread(Q, condition=100.0, seed=seed))
    start = np.clip(np.linspace(-1, 1, Q), *BOUNDS[bounds])
    slopes = np.abs(function.value_gradient(np.zeros(Q))[1])
    part = part_of(np.full(Q, 0.3 * slopes.max()), *BOUNDS[bounds])
    smooth = function.value_gradient
    whole = Function(
        lambda x: (smooth(x)[0] + part.value(x), smooth(x)[1]), function.curvature
    )
    model = None if kind == "fresh" else whole.model(start)
    solution = drive(descend(start, part, Rules(300), model), whole.answer)
    assert solution.status is Status.CONVERGED
    assert len(whole.calls) < 100
    best, lowest = split_minimum(smooth, part, start)
    assert solution.value <= lowest * (1 + 1e-11)
    np.testing.assert_allclose(solution.x, best, atol=2e-5)
    np.testing.assert_array_equal(solution.x[np.abs(best) < 1e-9], 0.0)


@each_seed
def test_violations_of_the_optimality_conditions(seed):
    rng = np.random.default_rng(seed)
    part = part_of(np.full(5, 0.5), -1.0, 1.0)
    x = np.array([0.0, 0.3, -0.3, 1.0, -1.0])
    g = rng.normal(size=5)
    expected = [
        max(abs(g[0]) - 0.5, 0.0),
        abs(g[1] + 0.5),
        abs(g[2] - 0.5),
        max(g[3] + 0.5, 0.0),
        max(0.5 - g[4], 0.0),
    ]
    np.testing.assert_allclose(part.least_slopes(x, g), expected)


@each_seed
def test_changes_and_slopes_of_the_penalty(seed):
    rng = np.random.default_rng(seed)
    part = part_of(rng.uniform(size=5))
    x, step = rng.normal(size=(2, 5))
    x[0], step[1], step[2] = 0.0, -x[1], -2 * x[2]
    change = part.value(x + step) - part.value(x)
    assert part.change(x, step) == pytest.approx(change, abs=1e-15)
    h = 2.0**-30
    ahead = (part.value(x + h * step) - part.value(x)) / h
    assert part.slope(x, step) == pytest.approx(ahead, abs=1e-6)
    # A small change is not lost beside the value.
    tiny = 1e-14 * step
    tiny[0] = 0.0
    expected = float(part.l1 @ (np.sign(x) * tiny))
    assert part.change(x, tiny) == pytest.approx(expected, rel=1e-12)
