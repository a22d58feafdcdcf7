"""Newton and quasi-Newton descent on functions whose minimum is known."""

from dataclasses import replace

import numpy as np
import pytest
import scipy.optimize

from quadratics import (
    TOL,
    Function,
    minimum_within,
    no_bounds,
    quadratic,
    softened,
    spread,
)
from skhuber._solver.descent import Rules, descend, drive, polish, together
from skhuber._solver.quadratic import Model
from skhuber._solver.separable import Separable
from skhuber._solver.solution import Answer, Status

Q = 6
below = Separable.below


def newton(function, x, lower=None, **rules):
    """The solution of a descent with a fresh model at each point."""
    lower = no_bounds(len(x)) if lower is None else lower
    rules = Rules(**({"max_iter": 100} | rules))
    return drive(descend(x, below(lower), rules), function.answer)


def quasi_newton(function, x, lower=None, model=None, **rules):
    """The solution of a descent with one model, which learns from the steps."""
    lower = no_bounds(len(x)) if lower is None else lower
    rules = Rules(**({"max_iter": 300} | rules))
    model = function.model(x) if model is None else model
    return drive(descend(x, below(lower), rules, model), function.answer)


each_descent = pytest.mark.parametrize("minimise", [newton, quasi_newton])


@each_descent
@pytest.mark.parametrize("condition", [1.0, 1e4])
def test_a_quadratic_takes_one_step(minimise, condition):
    function, best, lowest = quadratic(*spread(condition=condition))
    solution = minimise(function, np.full(Q, 3.0), polish=0)
    assert solution.status is Status.CONVERGED
    assert solution.n_iter == 1
    assert len(function.calls) == 2
    np.testing.assert_allclose(solution.value, lowest, rtol=1e-10)
    np.testing.assert_allclose(solution.x, best, atol=1e-6)


def test_newtons_method_on_a_function_that_is_no_quadratic():
    function = softened(*spread(condition=1e3))
    solution = newton(function, np.full(Q, -40.0))
    assert solution.status is Status.CONVERGED
    assert solution.n_iter <= 25
    expected = scipy.optimize.minimize(
        function.value_gradient,
        solution.x,
        jac=True,
        method="trust-exact",
        hess=lambda x: function.curvature(x)[0],
        options={"gtol": 1e-12},
    )
    assert solution.value <= expected.fun * (1 + 1e-14)
    np.testing.assert_allclose(solution.x, expected.x, atol=1e-9)


def test_a_quasi_newton_descent_learns_what_its_model_lacks():
    function = softened(*spread(condition=1e3))
    best = newton(function, np.zeros(Q))
    rough = Model(
        np.diag(np.diagonal(function.model(best.x).inside)), None, np.zeros(Q)
    )
    solution = quasi_newton(function, best.x + 0.05, model=rough)
    assert solution.status is Status.CONVERGED
    # Its own gap is that of a learnt Hessian; the value is judged by Newton's.
    assert solution.value - best.value <= 100 * TOL * best.value
    assert len(function.calls) < 60


@pytest.mark.parametrize("start", [0.0, 5.0])
@pytest.mark.parametrize("seed", range(5))
@each_descent
def test_bounds(minimise, start, seed):
    H, b = spread(condition=100.0, seed=seed)
    function, best, _ = quadratic(H, b)
    lower = best + np.array([0.3, -0.2, -np.inf, 0.1, -0.1, 0.2])
    lower -= max(0.0, np.nanmax(lower))  # below zero: no variable has to stay positive
    solution = minimise(function, np.maximum(start, lower), lower)
    assert solution.status is Status.CONVERGED
    expected = minimum_within(H, b, lower)
    np.testing.assert_allclose(solution.x, expected, atol=1e-6)
    np.testing.assert_array_equal(
        solution.x[expected == lower], lower[expected == lower]
    )
    assert (solution.x >= lower).all()


@each_descent
def test_bounds_of_a_function_that_is_no_quadratic(minimise):
    function = softened(*spread(condition=100.0))
    free = newton(function, np.zeros(Q)).x
    lower = free + np.where(np.arange(Q) % 2, 0.1, -np.inf)
    lower -= np.where(lower > 0, lower, 0.0)
    solution = minimise(function, np.maximum(free, lower), lower)
    expected = scipy.optimize.minimize(
        function.value_gradient,
        solution.x,
        jac=True,
        method="L-BFGS-B",
        bounds=scipy.optimize.Bounds(lower, np.inf),
        options={"ftol": 0.0, "gtol": 1e-10},
    )
    assert solution.status is Status.CONVERGED
    assert solution.value <= expected.fun * (1 + 1e-11)
    assert (solution.x >= lower).all()


def scale_like(outer):
    """Return a function of (x, s) with a minimum at s = outer, singular at s = 0."""

    def value_gradient(x):
        z, s = x
        return 1 + z**2 + s + outer**2 / s, np.array([2 * z, 1 - outer**2 / s**2])

    def curvature(x):
        return np.diag([2.0, 2 * outer**2 / x[1] ** 3]), None

    return Function(value_gradient, curvature)


@pytest.mark.parametrize("outer", [1e-2, 0.3, 5.0])
def test_a_variable_with_a_positive_bound_stays_positive(outer):
    function = scale_like(outer)
    solution = newton(function, np.array([1.0, 1.0]), np.array([-np.inf, 1e-9]))
    assert solution.status is Status.CONVERGED
    np.testing.assert_allclose(solution.x, [0.0, outer], rtol=1e-5, atol=1e-6)
    steps = np.array([x[1] for x in function.calls])
    # No step takes it below 0.3 of itself, so that the function is never met at s < 0.
    assert (steps[1:] >= 0.29 * np.minimum.accumulate(steps)[:-1]).all()


def test_a_positive_variable_falls_to_its_bound():
    function = Function(
        lambda x: (1 + x[0] ** 2 + x[1], np.array([2 * x[0], 1.0])),
        lambda x: (np.diag([2.0, 1e-6]), None),
    )
    solution = newton(function, np.ones(2), np.array([-np.inf, 1e-3]))
    assert solution.status is Status.CONVERGED
    np.testing.assert_allclose(solution.x, [0.0, 1e-3], atol=1e-6)
    assert solution.x[1] == 1e-3


def edge(x):
    """|x − 3|·1000 rounded off within 1e-6 of the edge, and a slope."""
    z, width = x[0] - 3.0, 1e-6
    loss = 0.5 * z**2 / width if abs(z) <= width else abs(z) - width / 2
    slope = np.clip(z / width, -1.0, 1.0)
    return 1e3 * loss + 1.0, 1e3 * np.array([slope])


def test_a_step_across_an_edge_ends_near_it():
    def curvature(x):
        z, width = abs(x[0] - 3.0), 1e-6
        inside = np.array([[1e3 / width if z <= width else 0.0]])
        return inside, np.array([[0.0 if z <= width else 1e3 / z]])

    function = Function(edge, curvature)
    solution = newton(function, np.array([-50.0]))
    assert solution.status is Status.CONVERGED
    np.testing.assert_allclose(solution.x, 3.0, atol=1e-9)
    assert len(function.calls) <= 60


@each_descent
def test_a_trial_that_overflows_is_not_the_minimum(minimise):
    H, b = spread(condition=10.0)
    base, best, lowest = quadratic(H, b)
    overflowed = []

    def bounded(x):
        if np.linalg.norm(x - best) > 20.0:
            overflowed.append(x)
            return np.inf, np.zeros(Q)
        return base.value_gradient(x)

    # A Hessian a hundred times too flat: the first step goes far beyond the minimum.
    function = Function(bounded, lambda x: (H / 100, 100 * H))
    solution = minimise(function, best + 1.0)
    assert overflowed
    assert np.isfinite(solution.value)
    assert solution.value <= bounded(best + 1.0)[0]
    if minimise is quasi_newton:  # it learns the curvature from the steps
        np.testing.assert_allclose(solution.value, lowest, rtol=1e-10)


@each_descent
def test_a_start_that_overflows(minimise):
    function = Function(lambda x: (np.inf, np.zeros(2)), lambda x: (np.eye(2), None))
    solution = minimise(function, np.zeros(2))
    assert solution.status is Status.NOT_FINITE
    assert solution.gap == np.inf


@each_descent
def test_the_limit_on_iterations(minimise):
    function = softened(*spread(condition=1e3))
    start = np.full(Q, -40.0)
    for limit in (0, 1, 2):
        solution = minimise(function, start, max_iter=limit)
        assert solution.status is Status.MAX_ITER
        assert solution.n_iter == limit
        assert solution.value <= function.value_gradient(start)[0]
        if limit == 0:
            np.testing.assert_array_equal(solution.x, start)


@each_descent
def test_a_start_at_the_minimum_may_stay(minimise):
    function, best, _ = quadratic(*spread(condition=10.0))
    solution = minimise(function, best, may_stay=True)
    assert solution.status is Status.CONVERGED
    assert solution.n_iter == 0
    assert solution.x is best
    assert len(function.calls) == 1
    assert minimise(function, best).n_iter == 0


@each_descent
@pytest.mark.parametrize("after", [1, 2, 3])
def test_a_function_that_asks_to_stop(minimise, after):
    function = softened(*spread(condition=1e3), stop_after=after)
    start = np.full(Q, -2.0)
    solution = minimise(function, start)
    assert solution.status is Status.STOPPED
    assert len(function.calls) == after
    values = [function.value_gradient(x)[0] for x in function.calls]
    # The best point that was seen, and how far it is from the minimum.
    assert solution.value == min(values)
    np.testing.assert_array_equal(solution.x, function.calls[int(np.argmin(values))])
    assert 0 < solution.gap < np.inf


def test_the_gap_is_the_distance_to_the_minimum():
    H, b = spread(condition=1e6)
    function, best, lowest = quadratic(H, b)
    x = best + np.linspace(-1, 1, Q)
    expected = pytest.approx(function.value_gradient(x)[0] - lowest, rel=1e-6)
    assert newton(function, x, max_iter=0).gap == expected
    # Within bounds: the distance to the minimum there.
    for variable in range(Q):
        lower = no_bounds(Q)
        lower[variable] = x[variable]
        inner = minimum_within(H, b, lower)
        expected = function.value_gradient(x)[0] - function.value_gradient(inner)[0]
        found = newton(function, x, lower, max_iter=0).gap
        assert found == pytest.approx(expected, rel=1e-6)


@each_descent
def test_polish_goes_past_what_values_can_tell(minimise):
    H, b = spread(condition=10.0)
    function, best, lowest = quadratic(H, b, 1e6, tolerance=lambda value: np.inf)
    start = minimise(function, best + 1e-7, polish=0)
    assert start.value == pytest.approx(lowest, rel=1e-15)
    polished = drive(polish(start, below(no_bounds(Q)), 3), function.answer)
    assert polished.gap < 1e-8 * start.gap
    np.testing.assert_allclose(polished.x, best, atol=1e-13)
    # A descent polishes by itself.
    again = minimise(function, best + 1e-7)
    np.testing.assert_allclose(again.x, best, atol=1e-13)


def test_polish_does_not_climb():
    H, b = spread(condition=10.0)
    function, best, _ = quadratic(H, b, tolerance=lambda value: np.inf)
    start = newton(function, best + 1e-3, polish=0, max_iter=0)
    # A value that rises although the gradient says otherwise is not followed.
    lies = Function(
        lambda x: (start.value + 1.0, function.value_gradient(x)[1]),
        function.curvature,
        function.tolerance,
    )
    polished = drive(polish(start, below(no_bounds(Q)), 3), lies.answer)
    assert polished.x is start.x


@pytest.mark.parametrize("rises", [False, True])
@pytest.mark.parametrize(
    ("status", "then"),
    [(Status.STALLED, Status.STOPPED), (Status.CONVERGED, Status.CONVERGED)],
)
def test_a_stop_during_polish_ends_the_fit(status, then, rises):
    """If the minimum is not certified, nothing else may be tried after it."""
    function, best, _ = quadratic(*spread())
    start = newton(function, best + 1e-3, polish=0, max_iter=0)
    start = replace(start, status=status)

    def answer(ask):
        answered = function.answer(ask)
        value = answered.value + (1.0 if rises else 0.0)
        return replace(answered, value=value, stop=True)

    calls = len(function.calls)
    end = drive(polish(start, below(no_bounds(Q)), 3), answer)
    assert end.status is then
    assert len(function.calls) == calls + 1


@pytest.mark.parametrize("steps_needed", [0, 1, 2])
def test_polish_ends_at_the_least_gap(steps_needed):
    H, b = spread(condition=10.0)
    function, best, _ = quadratic(H, b, tolerance=lambda value: np.inf)
    # A Hessian that is too stiff by a tenth: a step takes the gap to a hundredth.
    stiff = Function(function.value_gradient, lambda x: (1.1 * H, None))
    start = newton(stiff, best + 1e-4, polish=0, max_iter=0)
    least = 3 * start.gap / 121**steps_needed

    def answer(ask):
        return replace(stiff.answer(ask), least_gap=least)

    start = replace(start, is_exact=start.gap <= least)
    stiff.calls.clear()
    polished = drive(polish(start, below(no_bounds(Q)), 5, 1.0), answer)
    assert len(stiff.calls) == steps_needed
    assert polished.is_exact
    assert polished.gap <= least


# --- several descents at once -----------------------------------------------------


def solve_together(functions, descents):
    calls = []

    def function(numbers, asks):
        calls.append(list(numbers))
        return [functions[k].answer(ask) for k, ask in zip(numbers, asks, strict=True)]

    return together(descents, function), calls


def several(n):
    """Quadratics, models that know their Hessians roughly, and the minima."""
    rng = np.random.default_rng(0)
    functions, models, minima = [], [], []
    for _ in range(n):
        A = rng.normal(size=(3 * Q, Q)) * np.logspace(-2, 2, Q)
        H, m = A.T @ A, rng.normal(size=Q)

        def value_gradient(x, H=H, m=m):
            return 0.5 * (x - m) @ H @ (x - m), H @ (x - m)

        functions.append(
            Function(value_gradient, lambda x, H=H: (H, None), lambda value: 1e-20)
        )
        rough = A[: 2 * Q].T @ A[: 2 * Q] * 1.5
        models.append(Model(rough, None, np.zeros(Q)))
        minima.append(m)
    return functions, models, minima


def test_several_minima_are_found_together():
    functions, models, minima = several(4)
    starts = [np.zeros(Q), minima[1], np.ones(Q), minima[3] + 1e-3]
    rules = Rules(60, polish=0)
    descents = [
        descend(x, below(no_bounds(Q)), rules, model)
        for x, model in zip(starts, models, strict=True)
    ]
    solutions, calls = solve_together(functions, descents)
    for solution, m in zip(solutions, minima, strict=True):
        np.testing.assert_allclose(solution.x, m, atol=1e-7)
    # A descent that has ended is asked no more: the second started at its minimum.
    assert calls[0] == [0, 1, 2, 3]
    assert all(1 not in call for call in calls[1:])
    assert len(calls) == max(len(function.calls) for function in functions)


def test_descents_together_are_descents_alone():
    functions = [softened(*spread(condition=1e3, seed=seed)) for seed in range(3)]
    lower = np.where(np.arange(Q) == 1, -0.5, -np.inf)
    starts = [np.full(Q, x) for x in (-0.4, 0.0, 3.0)]
    rules = Rules(100)

    def descents():
        return [descend(x, below(lower), rules) for x in starts]

    found, _ = solve_together(functions, descents())
    for one, function, alone in zip(found, functions, descents(), strict=True):
        expected = drive(alone, function.answer)
        assert one.status is expected.status is Status.CONVERGED
        np.testing.assert_array_equal(one.x, expected.x)


def test_a_limit_and_a_function_without_minimum():
    functions, models, _ = several(2)
    functions[1] = Function(lambda x: (np.inf, np.zeros(Q)), functions[1].curvature)
    descents = [
        descend(np.ones(Q), below(no_bounds(Q)), Rules(1), model) for model in models
    ]
    (first, second), _ = solve_together(functions, descents)
    assert first.status is Status.MAX_ITER
    assert first.value < functions[0].value_gradient(np.ones(Q))[0]
    assert second.status is Status.NOT_FINITE


def test_no_descents():
    assert together([], lambda numbers, asks: []) == []


def test_a_step_uphill_is_shortened():
    # The model takes the function for a hundred times flatter than it is.
    steep = Function(lambda x: (50.0 * (x @ x) + 1.0, 100.0 * x), None)
    model = Model(np.eye(2), None, np.zeros(2))
    solution = quasi_newton(steep, np.ones(2), model=model)
    assert solution.status is Status.CONVERGED
    np.testing.assert_allclose(solution.x, 0.0, atol=1e-6)


def test_answers_are_not_asked_for_models_in_vain():
    function, best, _ = quadratic(*spread(condition=10.0))
    asked = []

    def answer(ask):
        asked.append(ask.model)
        told = function.answer(ask)
        return Answer(told.value, told.gradient, told.tolerance, told.model)

    lower = below(no_bounds(Q))
    drive(descend(best + 1.0, lower, Rules(50)), answer)
    assert asked[:2] == [True, True]
    assert not any(asked[2:])  # polish uses the last model
    asked.clear()
    drive(descend(best + 1.0, lower, Rules(50), function.model(best)), answer)
    assert not any(asked)
