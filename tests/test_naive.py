"""The tests' own yardsticks: the restatement, the slow solver, the certificate."""

import numpy as np
import pytest
import statsmodels.api as sm
from scipy.optimize import check_grad
from sklearn.linear_model import HuberRegressor, Ridge
from sklearn.linear_model._huber import _huber_loss_and_gradient

import naive
import problems

RHO, ALPHA = 1.35, 1e-4

PROBLEMS = [
    problems.plain(60, 3),
    problems.house_prices(200),
    problems.timestamps(100, 3),
    problems.units(100, 5),
    problems.correlated(100, 4),
    problems.dummies(120, 5),
    problems.heavy_tailed(100, 4),
    problems.wide_in_small_units(20, 30),
]
NAMES = [
    "plain",
    "house_prices",
    "timestamps",
    "units",
    "correlated",
    "dummies",
    "heavy_tailed",
    "wide",
]
each_problem = pytest.mark.parametrize("problem", PROBLEMS, ids=NAMES)


def random_weights(n, seed=0):
    return np.random.default_rng(seed).integers(0, 4, n).astype(float)


def test_the_loss_is_quadratic_inside_and_linear_outside():
    z = np.array([-3.0, -2.0, -1.0, 0.0, 0.5, 2.0, 2.5])
    expected = [8.0, 4.0, 1.0, 0.0, 0.25, 4.0, 6.0]
    np.testing.assert_array_equal(naive.huber(z, 2.0), expected)
    np.testing.assert_array_equal(naive.huber(z, np.inf), z**2)


@pytest.mark.parametrize("weighted", [False, True])
def test_objective_and_gradient_are_scikit_learns(weighted):
    X, y, coef, intercept = problems.plain(60, 3)
    s = random_weights(60) if weighted else np.ones(60)
    rng = np.random.default_rng(1)
    for scale in (0.1, 1.0, 30.0):
        w, b = coef + rng.normal(size=3), intercept + rng.normal()
        point = np.concatenate([w, [b, scale]])
        loss, grad = _huber_loss_and_gradient(point, X, y, RHO, 0.3, s)
        ours = naive.objective(X, y, w, b, scale, RHO, 0.3, s)
        np.testing.assert_allclose(float(ours), loss, rtol=1e-13)
        fixed = naive.objective(X, y, w, b, scale, RHO, 0.3, s, joint=False)
        np.testing.assert_allclose(float(fixed), loss - s.sum() * scale, rtol=1e-13)
        ours = naive.gradient(X, y, w, b, scale, RHO, 0.3, s)
        np.testing.assert_allclose(ours, grad, rtol=1e-12, atol=1e-11)


def test_gradient_by_finite_differences_on_both_sides_of_the_threshold():
    X = np.array([[1.0, 2.0], [0.5, -1.0], [2.0, 0.3], [-1.0, 1.0]])
    y = np.array([1.0, -2.0, 0.1, 8.0])

    def value(t):
        return float(naive.objective(X, y, t[:2], t[2], t[3], 1.5, 0.2))

    def slope(t):
        return naive.gradient(X, y, t[:2], t[2], t[3], 1.5, 0.2)

    inside = [0, 0]
    for scale in (0.5, 1.0, 4.0):
        point = np.array([0.3, 0.2, 0.1, scale])
        assert check_grad(value, slope, point) < 1e-6
        outside = naive.outliers(X, y, point[:2], 0.1, scale, 1.5)
        inside[0] += outside.sum()
        inside[1] += (~outside).sum()
    assert min(inside) > 0


def test_robust_weights_are_the_clipped_share_of_the_residual():
    X, y, coef, intercept = problems.plain(60, 3)
    scale = 0.5
    r = naive.residuals(X, y, coef, intercept)
    weights = naive.robust_weights(X, y, coef, intercept, scale, RHO)
    clipped = np.clip(r, -RHO * scale, RHO * scale)
    np.testing.assert_allclose(weights * r, clipped, rtol=1e-14)
    outside = naive.outliers(X, y, coef, intercept, scale, RHO)
    np.testing.assert_array_equal(outside, weights < 1)
    assert 0 < outside.sum() < len(y)


@pytest.mark.parametrize("n", [1, 2, 7, 8])
def test_weighted_median_is_the_median_of_the_repeated(n):
    for seed in range(20):
        values = np.random.default_rng(seed).normal(size=n)
        s = random_weights(n, seed)
        s[0] += 1
        repeated = np.repeat(values, s.astype(int))
        assert naive.weighted_median(values, s) == np.median(repeated)
        assert naive.weighted_median(values, 0.1 * s) == np.median(repeated)


@each_problem
def test_the_slow_solver_ends_at_a_minimum(problem):
    X, y = problem.X, problem.y
    best = naive.minimise(X, y)
    assert best.gap < 1e-25
    gap = naive.relative_gap(X, y, *best[:3], RHO, ALPHA)
    assert gap < 1e-22
    value = naive.objective(X, y, *best[:3], RHO, ALPHA)
    np.testing.assert_allclose(float(value), float(best.objective), rtol=1e-13)
    theirs = HuberRegressor(max_iter=5000, tol=1e-8)
    theirs.fit(X - X.mean(axis=0), y)
    intercept = theirs.intercept_ - X.mean(axis=0) @ theirs.coef_
    theirs = naive.objective(X, y, theirs.coef_, intercept, theirs.scale_, RHO, ALPHA)
    assert value <= theirs * (1 + 1e-12)


def test_the_slow_solver_at_a_fixed_scale_agrees_with_statsmodels():
    X, y = problems.real("stackloss")
    for scale in (0.3, 1.0, 3.0, 100.0):
        ours = naive.minimise(X, y, rho=1.2, scale=scale, alpha=0.0)
        model = sm.RLM(y, sm.add_constant(X), M=sm.robust.norms.HuberT(t=1.2))
        theirs = model.fit(
            start_scale=scale,
            update_scale=False,
            conv="coefs",
            maxiter=20_000,
            tol=1e-13,
        ).params
        np.testing.assert_allclose(
            np.append(ours.intercept, ours.coef), theirs, rtol=1e-9, atol=1e-10
        )


def test_the_slow_solver_without_threshold_is_ridge():
    X, y = problems.plain(50, 3)[:2]
    s = random_weights(50)
    ours = naive.minimise(X, y, rho=np.inf, scale=2.0, alpha=3.0, sample_weight=s)
    ridge = Ridge(alpha=6.0).fit(X, y, sample_weight=s)
    np.testing.assert_allclose(ours.coef, ridge.coef_, rtol=1e-11)
    np.testing.assert_allclose(ours.intercept, ridge.intercept_, rtol=1e-11)


def displaced(problem, size, seed):
    """A point near the optimum, moved in every coordinate by its own unit."""
    X, y = problem.X, problem.y
    best = naive.minimise(X, y)
    rng = np.random.default_rng(seed)
    width = X.std(axis=0)
    coef = best.coef + size * best.scale * rng.normal(size=len(width)) / width
    middle = best.intercept + X.mean(axis=0) @ best.coef
    middle += size * best.scale * rng.normal()
    scale = best.scale * (1 + size * rng.normal())
    point = coef, middle - X.mean(axis=0) @ coef, scale
    excess = naive.objective(X, y, *point, RHO, ALPHA) / best.objective - 1
    return point, float(excess)


@each_problem
@pytest.mark.parametrize("size", [1e-2, 1e-3, 1e-4])
def test_the_certificate_tells_the_true_distance(problem, size):
    # Timestamps are 1.6e12: the intercept's own rounding shows at smaller sizes.
    for seed in range(5):
        point, excess = displaced(problem, size, seed)
        gap = naive.relative_gap(problem.X, problem.y, *point, RHO, ALPHA)
        assert excess > 0
        assert excess / 2 < gap < 2 * excess


def test_the_certificate_does_not_depend_on_the_units_of_the_columns():
    problem = problems.plain(60, 3)
    X, y = problem.X, problem.y
    (coef, intercept, scale), _ = displaced(problem, 1e-3, 0)
    gap = naive.relative_gap(X, y, coef, intercept, scale, RHO, 0.0)
    factor, shift = np.array([1e-4, 1.0, 1e5]), np.array([1.0, -30.0, 1e7])
    moved = coef / factor
    other = naive.relative_gap(
        X * factor + shift, y, moved, intercept - moved @ shift, scale, RHO, 0.0
    )
    np.testing.assert_allclose(other, gap, rtol=1e-6)


def test_the_certificate_sees_scikit_learn_stop_early_on_house_prices():
    X, y = problems.house_prices(500)[:2]
    stopped = HuberRegressor().fit(X, y)
    point = stopped.coef_, stopped.intercept_, stopped.scale_
    best = naive.minimise(X, y)
    excess = naive.objective(X, y, *point, RHO, ALPHA) / best.objective - 1
    gap = naive.relative_gap(X, y, *point, RHO, ALPHA)
    assert excess > 1e-3
    assert gap > 1e-3


def test_the_certificate_works_without_intercept_and_at_a_fixed_scale():
    X, y = problems.plain(80, 3)[:2]
    s = random_weights(80)
    best = naive.minimise(X, y, fit_intercept=False, sample_weight=s)
    args = RHO, ALPHA, s, False
    assert naive.relative_gap(X, y, *best[:3], *args) < 1e-25
    moved = best.coef + 1e-3
    excess = naive.objective(X, y, moved, 0.0, best.scale, RHO, ALPHA, s)
    excess = float(excess / best.objective - 1)
    gap = naive.relative_gap(X, y, moved, 0.0, best.scale, *args)
    assert excess / 2 < gap < 2 * excess

    best = naive.minimise(X, y, scale=0.7, sample_weight=s)
    args = RHO, ALPHA, s, True, False
    assert naive.relative_gap(X, y, *best[:3], *args) < 1e-25
    moved = best.coef + 1e-3
    excess = naive.objective(
        X, y, moved, best.intercept, 0.7, RHO, ALPHA, s, joint=False
    )
    excess = float(excess / best.objective - 1)
    gap = naive.relative_gap(X, y, moved, best.intercept, 0.7, *args)
    assert excess / 2 < gap < 2 * excess


def test_the_certificate_is_large_where_no_curvature_is_left():
    # Every row is far outside: the loss is linear, its minimum far away.
    X, y = problems.plain(60, 3)[:2]
    gap = naive.relative_gap(X, y + 1e4, np.zeros(3), 0.0, 1.0, RHO, 0.0)
    assert gap > 0.1


@pytest.mark.parametrize("name", problems.REAL)
def test_every_real_data_set_has_one_self_consistent_scale(name):
    X, y = problems.real(name)
    found = naive.mad_fixed_points(X, y, rho=1.345, n_grid=60)
    assert len(found) == 1
    reported = problems.r_reference()[name]["rlm_mad"]["scale"]
    np.testing.assert_allclose(found[0], reported, rtol=1e-4)
