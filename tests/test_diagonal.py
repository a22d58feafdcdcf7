"""Steps that the Hessian's diagonal alone whitens, and what certifies their end."""

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp

from skhuber._fit import Settings, fit_rows, levels
from skhuber._fit.diagonal import minimise_by_diagonal
from skhuber._fit.levels import Samples, minimise
from skhuber._fit.plan import plan_of
from skhuber._fit.problem import Problem, Trust
from skhuber._fit.standardise import frame_of, objective_of
from skhuber._fit.start import best_start
from skhuber._rows import make_rows
from skhuber._solver.diagonal import DiagonalModel
from skhuber._solver.solution import Status

N, P = 20_000, 100


# --- the model --------------------------------------------------------------------


def model(intercept, seed=0, is_certain=False):
    """A model of four columns, an intercept or none, and a scale."""
    rng = np.random.default_rng(seed)
    q = 5 + (intercept is not None)
    penalty = np.zeros(q)
    penalty[:4] = rng.uniform(0.01, 0.1, 4)
    mean = rng.normal(size=4) if intercept is not None else np.zeros(4)
    diagonal = penalty + rng.uniform(0.5, 2.0, q)
    return DiagonalModel(diagonal, penalty, mean, intercept, is_certain)


def hessian(model):
    """TᵀDT, with b' = b + μ·w."""
    T = np.eye(len(model.diagonal))
    if model.intercept is not None:
        T[model.intercept, :4] = model.mean
    return T.T @ np.diag(model.diagonal) @ T


@pytest.mark.parametrize("intercept", [4, None])
def test_the_coordinates_whiten_the_hessian(intercept):
    one = model(intercept)
    H, q = hessian(one), len(one.diagonal)
    R_inverse = np.column_stack([one.whitening.to_x(v) for v in np.eye(q)])
    np.testing.assert_allclose(R_inverse.T @ H @ R_inverse, np.eye(q), atol=1e-12)
    g = np.random.default_rng(1).normal(size=q)
    np.testing.assert_allclose(one.whitening.of_gradient(g), R_inverse.T @ g)
    x = one.whitening.to_x(g)
    np.testing.assert_allclose(one.whitening.of_last(x[-1]), g[-1])


@pytest.mark.parametrize("intercept", [4, None])
def test_the_step_leads_to_the_models_minimum(intercept):
    one = model(intercept)
    H, q = hessian(one), len(one.diagonal)
    g, free = np.random.default_rng(1).normal(size=q), np.full(q, -np.inf)
    step = one.minimise(g, free, 0.0)
    np.testing.assert_allclose(step.x, -np.linalg.solve(H, g))
    np.testing.assert_allclose(step.fall, 0.5 * g @ np.linalg.solve(H, g))
    # The scale is as far away as its bound allows.
    lowest = free.copy()
    lowest[-1] = step.x[-1] + 0.1
    bounded = one.minimise(g, lowest, 0.0)
    np.testing.assert_allclose(bounded.x[:-1], step.x[:-1])
    assert bounded.x[-1] == lowest[-1]


@pytest.mark.parametrize("seed", range(5))
def test_the_penalty_bounds_the_gap_of_columns_that_are_alike(seed):
    rng = np.random.default_rng(seed)
    one = model(4, seed, is_certain=True)
    Z = rng.normal(size=(50, 6))
    Z[:, 1] = Z[:, 0] + 1e-4 * rng.normal(size=50)  # which the diagonal does not see
    Z[:, :4] += one.mean
    Z[:, 4] = 1.0
    H = Z.T @ Z / 50 + np.diag(one.penalty)
    g = rng.normal(size=6) * [1, 1, 1, 1, 1e-3, 1e-3]
    exact, held = 0.5 * g @ np.linalg.solve(H, g), np.zeros(6, dtype=bool)
    assert exact <= one.gap(g, held)
    assert replace(one, is_certain=False).gap(g, held) < exact


# --- fits -------------------------------------------------------------------------


def data(alike=False, mean=3.0):
    """20,000 rows of about ten numbers, and one in ten an outlier.

    A hundred columns; if they are `alike`, the last one is nearly the sum of all.
    """
    rng = np.random.default_rng(0)
    X = sp.csr_array(sp.random(N, P, 0.1, "csr", random_state=1))
    X.data = mean + rng.normal(size=X.nnz)
    if alike:
        total = X[:, : P - 1] @ np.ones(P - 1) + 1e-3 * rng.normal(size=N)
        X = sp.csr_array(sp.hstack([X[:, : P - 1], total[:, None]]))
    y = X @ rng.normal(size=P) + rng.normal(size=N)
    y[::10] += 100 * rng.normal(size=N // 10)
    return X, y


def by_diagonal(X, y, sample_rows, *, alpha=1e-4, polish=0, **settings):
    """All rows, and their problem and samples, with the diagonal first."""
    one = replace(Settings(1.35, "joint", alpha, True, 1000, 1e-12), **settings)
    rows = make_rows(X, y, None, 1)
    plan = replace(
        plan_of(rows), sample_rows=sample_rows, diagonal_first=True, polish=polish
    )
    samples = Samples(rows, plan)
    frame = frame_of(rows, samples.any, one)
    problem = Problem(objective_of(rows, frame, one), rows, Trust(one.tol))
    part = Problem(problem.objective, samples.any, Trust(0.0), matrix_free=True)
    return rows, problem, samples, best_start(part), one


def dense_fit(X, y, settings):
    return fit_rows(make_rows(X.toarray(), y, None, 1), settings)


# A sample with inliers enough to certify, one without, and none.
each_sample = pytest.mark.parametrize("sample_rows", [2_000, 400, 0])


@pytest.mark.compiled
@each_sample
@pytest.mark.parametrize(
    "settings",
    [{}, {"fit_intercept": False}, {"scale": 1.0}, {"alpha": 1.0}],
    ids=["joint", "without intercept", "fixed scale", "alpha"],
)
def test_it_leads_to_the_minimum_in_few_sweeps(sample_rows, settings):
    # (Columns that no intercept centres are uncorrelated if their mean is zero.)
    X, y = data(mean=3.0 if settings.get("fit_intercept", True) else 0.0)
    rows, problem, samples, theta, one = by_diagonal(X, y, sample_rows, **settings)
    expected = dense_fit(X, y, one).objective
    before = rows.n_sweeps
    found = minimise(problem, samples, theta, max_iter=100)
    assert found.status is Status.CONVERGED
    value = problem.objective.natural_value(found.value)
    assert value == pytest.approx(expected, rel=1e-12)
    assert found.gap <= 1e-12 * found.value
    # It is an upper bound of the fall that remains.
    assert (
        value - expected <= problem.objective.natural_value(found.gap) + 1e-13 * value
    )
    # Without a sample a start is far off, and without its Hessian the bound takes
    # twice as many digits.
    most = {2_000: 9, 400: 21, 0: 24}[sample_rows]
    assert rows.n_sweeps - before <= most


@pytest.mark.compiled
@each_sample
def test_columns_that_are_alike_are_fitted_in_the_plans_way(sample_rows, monkeypatch):
    ways = []
    way = levels._in_plans_way
    monkeypatch.setattr(
        levels, "_in_plans_way", lambda *a, **k: ways.append(1) or way(*a, **k)
    )
    X, y = data(alike=True)
    _, problem, samples, theta, one = by_diagonal(X, y, sample_rows)
    found = minimise(problem, samples, theta, max_iter=200)
    assert ways
    assert found.status is Status.CONVERGED
    value = problem.objective.natural_value(found.value)
    assert value == pytest.approx(dense_fit(X, y, one).objective, rel=1e-11)


@pytest.mark.compiled
@pytest.mark.parametrize("alpha", [0.0, 1e-12])
def test_without_a_penalty_to_speak_of_the_diagonal_is_not_tried(alpha):
    X, y = data()
    _, problem, samples, theta, _ = by_diagonal(X, y, 2_000, alpha=alpha)
    rules = levels.Rules(100)
    assert minimise_by_diagonal(problem, samples.first, theta, rules) is None
    found = minimise(problem, samples, theta, max_iter=100)
    assert found.status is Status.CONVERGED


@pytest.mark.compiled
@pytest.mark.parametrize("max_iter", [0, 1, 3])
def test_the_limit_of_iterations(max_iter):
    X, y = data()
    _, problem, samples, theta, _ = by_diagonal(X, y, 2_000)
    found = minimise(problem, samples, theta, max_iter=max_iter)
    assert found.n_iter <= max_iter
    assert found.status is Status.MAX_ITER


@pytest.mark.compiled
def test_a_start_that_is_the_minimum_stays():
    X, y = data()
    _, problem, samples, theta, _ = by_diagonal(X, y, 2_000)
    found = minimise(problem, samples, theta, max_iter=100)
    again = minimise(problem, samples, found.x, max_iter=100, warm=True, may_stay=True)
    assert again.status is Status.CONVERGED
    assert again.n_iter == 0
    np.testing.assert_array_equal(again.x, found.x)


@pytest.mark.compiled
def test_the_digits_of_the_coefficients():
    """They are those of an exact fit, not only those that the tolerance asks for."""
    X, y = data()
    _, problem, samples, theta, one = by_diagonal(X, y, 2_000, polish=6)
    found = minimise(problem, samples, theta, max_iter=100)
    u, intercept, _ = problem.objective.split(found.x)
    coef, _ = problem.objective.frame.to_natural(u, intercept)
    exact = dense_fit(X, y, replace(one, tol=1e-16))
    assert found.gap <= 1e-12 * found.value
    np.testing.assert_allclose(coef, exact.coef, rtol=0, atol=1e-9)
