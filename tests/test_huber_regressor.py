"""The estimator from outside: what it minimises, finds, accepts and remembers."""

import pickle
import re
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse as sp
import sklearn
import statsmodels.api as sm
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import HuberRegressor as TheirHuberRegressor
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.metrics import r2_score
from sklearn.model_selection import KFold, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import naive
import problems
from compare import assert_same_bits, assert_same_fit, certificate
from skhuber import HuberRegressor

RHO, ALPHA = 1.35, 1e-4


def random_weights(n, seed=0):
    return np.random.default_rng(seed).integers(0, 4, n).astype(float)


def max_iter_is_too_small():
    return pytest.warns(ConvergenceWarning)


# --- it finds the minimum, whatever the columns look like -------------------

SMALL = {
    "plain": problems.plain(150, 4),
    "house_prices": problems.house_prices(500),
    "timestamps": problems.timestamps(150, 4),
    "units": problems.units(150, 5),
    "correlated": problems.correlated(150, 5),
    "dummies": problems.dummies(200, 5),
    "heavy_tailed": problems.heavy_tailed(150, 5),
    "wide_in_small_units": problems.wide_in_small_units(20, 30),
}
LARGER = {
    "plain": (problems.plain, (3000, 8), (30_000, 10)),
    "house_prices": (problems.house_prices, (5000, 2), (30_000, 10)),
    "timestamps": (problems.timestamps, (3000, 8), (30_000, 10)),
    "units": (problems.units, (3000, 10), (30_000, 10)),
    "correlated": (problems.correlated, (3000, 8), (30_000, 10)),
    "dummies": (problems.dummies, (5000, 12), (30_000, 10)),
    "heavy_tailed": (problems.heavy_tailed, (3000, 8), (30_000, 10)),
    "wide_in_small_units": (problems.wide_in_small_units, (150, 200), (300, 500)),
}
each_small = pytest.mark.parametrize("problem", SMALL.values(), ids=SMALL.keys())


@each_small
def test_the_minimum_is_certified(problem):
    fit = HuberRegressor().fit(problem.X, problem.y)
    assert certificate(fit, problem.X, problem.y) <= 1e-12


@pytest.mark.compiled
@pytest.mark.parametrize("size", [1, 2], ids=["modest", "large"])
@pytest.mark.parametrize("name", LARGER)
def test_the_minimum_is_certified_on_larger_data(name, size):
    make, *shapes = LARGER[name]
    problem = make(*shapes[size - 1], seed=1)
    fit = HuberRegressor().fit(problem.X, problem.y)
    assert certificate(fit, problem.X, problem.y) <= 1e-12
    assert fit.optimality_gap_ <= 1e-12


@each_small
@pytest.mark.parametrize(
    "options",
    [
        {"fit_intercept": False},
        {"rho": 1.2},
        {"rho": 3.0},
        {"alpha": 1e-2},
        {"alpha": 100.0},
        {"scale": 0.5, "rho": 0.5},
        {"scale": 20.0},
    ],
    ids=str,
)
def test_the_minimum_is_certified_for_other_parameters(problem, options):
    s = random_weights(len(problem.y))
    fit = HuberRegressor(**options).fit(problem.X, problem.y, sample_weight=s)
    assert certificate(fit, problem.X, problem.y, s) <= 1e-12


@pytest.mark.parametrize("name", [name for name in SMALL if "wide" not in name])
def test_the_minimum_is_certified_without_penalty(name):
    problem = SMALL[name]
    fit = HuberRegressor(alpha=0.0).fit(problem.X, problem.y)
    assert certificate(fit, problem.X, problem.y) <= 1e-12


@pytest.mark.parametrize("name", ["house_prices", "dummies", "timestamps"])
def test_the_minimum_is_certified_for_sparse_data(name):
    problem = SMALL[name]
    X = sp.csr_array(problem.X)
    fit = HuberRegressor().fit(X, problem.y)
    assert certificate(fit, X, problem.y) <= 1e-12


@each_small
def test_coefficients_are_those_of_the_slow_solver(problem):
    X, y = problem.X, problem.y
    fit = HuberRegressor().fit(X, y)
    best = naive.minimise(X, y)
    width = X.std(axis=0)
    largest = max(np.max(np.abs(best.coef) * width), best.scale)
    np.testing.assert_allclose(
        fit.coef_ * width / largest, best.coef * width / largest, rtol=0, atol=1e-8
    )
    middle = best.intercept + X.mean(axis=0) @ best.coef
    found = fit.intercept_ + X.mean(axis=0) @ fit.coef_
    np.testing.assert_allclose(found, middle, rtol=1e-8, atol=1e-8 * largest)
    np.testing.assert_allclose(fit.scale_, best.scale, rtol=1e-8)
    np.testing.assert_allclose(fit.objective_, float(best.objective), rtol=1e-12)


def test_the_year_of_a_house_gets_its_price():
    problem = SMALL["house_prices"]
    fit = HuberRegressor().fit(problem.X, problem.y)
    np.testing.assert_allclose(fit.coef_, problem.coef, rtol=0.05)
    # scikit-learn stops at less than a tenth of it, which is why this exists.
    theirs = TheirHuberRegressor().fit(problem.X, problem.y)
    assert theirs.coef_[0] < 0.1 * problem.coef[0]


def test_more_columns_than_rows_meet_every_target():
    # In these units the penalty is too weak to keep the fit off the targets: the
    # minimum lies at scale 0, where F is alpha times the least squared norm.
    X, y = problems.wide(30, 50)[:2]
    centred = X - X.mean(axis=0)
    shortest, *_ = np.linalg.lstsq(centred, y - y.mean(), rcond=None)
    lowest = ALPHA * shortest @ shortest
    multipliers = ALPHA * np.linalg.pinv(centred @ centred.T) @ (y - y.mean())
    assert np.max(np.abs(multipliers)) < RHO
    assert multipliers @ multipliers < len(y)
    fit = HuberRegressor().fit(X, y)
    np.testing.assert_allclose(fit.predict(X), y, rtol=1e-8)
    np.testing.assert_allclose(fit.coef_, shortest, rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(fit.objective_, lowest, rtol=1e-6)
    assert certificate(fit, X, y) <= 1e-12
    assert 0 <= fit.scale_ < 1e-8


@each_small
def test_nothing_else_has_a_lower_objective(problem):
    X, y = problem.X, problem.y
    fit = HuberRegressor().fit(X, y)
    least_squares = LinearRegression().fit(X, y)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        theirs = TheirHuberRegressor(max_iter=1000).fit(X, y)
    rivals = [
        (least_squares.coef_, least_squares.intercept_),
        (problem.coef, problem.intercept),
        (theirs.coef_, theirs.intercept_),
        (np.zeros(X.shape[1]), np.median(y)),
    ]
    ours = naive.objective(X, y, fit.coef_, fit.intercept_, fit.scale_, RHO, ALPHA)
    for coef, intercept in rivals:
        scale = naive.best_scale(naive.residuals(X, y, coef, intercept), RHO)
        if scale < 1e-10:
            continue  # least squares with p > n is exact: no such comparison
        rival = naive.objective(X, y, coef, intercept, scale, RHO, ALPHA)
        assert ours <= rival * (1 + 1e-14)


# --- the fitted attributes --------------------------------------------------


@pytest.mark.parametrize("name", ["plain", "house_prices", "dummies"])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"fit_intercept": False, "alpha": 2.0},
        {"scale": 0.2},
        {"scale": "mad", "alpha": 0.0},
        {"scale": 0.2, "rho": 0.3, "alpha": 0.5},
    ],
    ids=str,
)
def test_attributes_are_those_of_the_naive_restatement(name, options):
    X, y = SMALL[name][:2]
    s = random_weights(len(y))
    if options.get("scale") == 0.2:
        # In units of the target, so that some rows are inside and some are not.
        options = options | {"scale": 0.2 * np.median(np.abs(y - np.median(y)))}
    fit = HuberRegressor(**options).fit(X, y, sample_weight=s)
    point = fit.coef_, fit.intercept_, fit.scale_, fit.rho_
    expected = naive.objective(X, y, *point, fit.alpha, s, joint=fit.scale == "joint")
    np.testing.assert_allclose(fit.objective_, float(expected), rtol=1e-12)
    outside = naive.outliers(X, y, *point)
    np.testing.assert_array_equal(fit.outliers_, outside)
    assert 0 < outside.sum() < len(y)
    np.testing.assert_allclose(
        fit.robust_weights_, naive.robust_weights(X, y, *point), rtol=1e-10
    )
    np.testing.assert_array_equal(fit.robust_weights_ < 1, fit.outliers_)
    assert fit.rho_ == fit.rho


@pytest.mark.parametrize("as_container", [np.asarray, sp.csr_array])
def test_types_and_shapes_of_attributes(as_container):
    X, y = SMALL["plain"][:2]
    fit = HuberRegressor().fit(as_container(X), y)
    assert fit.coef_.shape == (4,)
    assert fit.coef_.dtype == np.float64
    for name in ("intercept_", "scale_", "rho_", "objective_", "optimality_gap_"):
        assert isinstance(getattr(fit, name), float), name
    for name in ("n_iter_", "n_sweeps_", "n_features_in_"):
        assert type(getattr(fit, name)) is int, name
    assert fit.outliers_.shape == y.shape
    assert fit.outliers_.dtype == np.bool_
    assert fit.robust_weights_.shape == y.shape
    assert fit.robust_weights_.dtype == np.float64
    assert fit.n_features_in_ == 4
    assert 0 <= fit.optimality_gap_ <= 1e-12
    assert 0 <= fit.n_iter_ <= fit.max_iter
    assert fit.n_sweeps_ >= 1
    assert not hasattr(fit, "feature_names_in_")


def test_without_intercept_the_intercept_is_zero():
    X, y = SMALL["plain"][:2]
    fit = HuberRegressor(fit_intercept=False).fit(X, y)
    assert fit.intercept_ == 0.0
    assert isinstance(fit.intercept_, float)


def check_the_reported_gap(problem):
    X, y = problem.X, problem.y
    best = naive.minimise(X, y)
    compared = 0
    for max_iter in range(12):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            fit = HuberRegressor(max_iter=max_iter).fit(X, y)
        point = fit.coef_, fit.intercept_, fit.scale_
        true = naive.objective(X, y, *point, RHO, ALPHA)
        true = float(true / best.objective - 1)
        if true > 1e-3:
            # Too far away for a quadratic, but known to be far away.
            assert fit.optimality_gap_ > 1e-4
        elif true > 1e-13:
            assert true / 10 < fit.optimality_gap_ < 10 * true
            compared += 1
        else:
            assert fit.optimality_gap_ < 1e-12
    assert compared > 0


@pytest.mark.parametrize("name", ["plain", "correlated", "heavy_tailed"])
def test_the_reported_gap_is_the_distance_to_the_minimum(name):
    check_the_reported_gap(SMALL[name])


@pytest.mark.compiled
@pytest.mark.parametrize("name", ["house_prices", "dummies", "heavy_tailed"])
def test_the_reported_gap_is_the_distance_to_the_minimum_on_larger_data(name):
    make, _, shape = LARGER[name]
    check_the_reported_gap(make(*shape))


@pytest.mark.parametrize("tol", [1e-3, 1e-6, 1e-9, 1e-12])
def test_tol_bounds_the_gap(tol):
    for name in ("plain", "correlated", "heavy_tailed", "units"):
        X, y = SMALL[name][:2]
        fit = HuberRegressor(tol=tol).fit(X, y)
        assert fit.optimality_gap_ <= tol
        assert certificate(fit, X, y) <= 10 * tol


# --- scales and thresholds --------------------------------------------------


@pytest.mark.parametrize("sigma", [1.0, 0.25, 40.0])
@pytest.mark.parametrize("fit_intercept", [True, False])
def test_an_infinite_threshold_at_a_fixed_scale_is_ridge(sigma, fit_intercept):
    # F = sum(s * r**2) / sigma + alpha * w @ w: Ridge with alpha * sigma.
    X, y = SMALL["plain"][:2]
    s = random_weights(len(y))
    ours = HuberRegressor(
        rho=np.inf, scale=sigma, alpha=3.0, fit_intercept=fit_intercept
    ).fit(X, y, sample_weight=s)
    ridge = Ridge(alpha=3.0 * sigma, fit_intercept=fit_intercept)
    ridge.fit(X, y, sample_weight=s)
    np.testing.assert_allclose(ours.coef_, ridge.coef_, rtol=1e-9)
    np.testing.assert_allclose(ours.intercept_, ridge.intercept_, rtol=1e-9)
    assert ours.rho_ == np.inf
    assert ours.scale_ == sigma
    assert not ours.outliers_.any()
    np.testing.assert_array_equal(ours.robust_weights_, 1.0)


@pytest.mark.parametrize("scale", ["joint", "mad"])
def test_an_infinite_threshold_without_penalty_is_least_squares(scale):
    X, y = SMALL["plain"][:2]
    ours = HuberRegressor(rho=np.inf, scale=scale, alpha=0.0).fit(X, y)
    theirs = LinearRegression().fit(X, y)
    np.testing.assert_allclose(ours.coef_, theirs.coef_, rtol=1e-9)
    np.testing.assert_allclose(ours.intercept_, theirs.intercept_, rtol=1e-9)
    r = y - theirs.predict(X)
    expected = np.sqrt(np.mean(r**2)) if scale == "joint" else naive.mad_scale(r)
    np.testing.assert_allclose(ours.scale_, expected, rtol=1e-9)


@pytest.mark.parametrize("scale", [0.05, 0.5, 5.0, 500.0])
def test_a_number_as_scale_is_kept(scale):
    X, y = SMALL["plain"][:2]
    fit = HuberRegressor(rho=0.8, scale=scale, alpha=0.1).fit(X, y)
    assert fit.scale_ == scale
    best = naive.minimise(X, y, rho=0.8, scale=scale, alpha=0.1)
    np.testing.assert_allclose(fit.coef_, best.coef, rtol=1e-8)
    np.testing.assert_allclose(fit.intercept_, best.intercept, rtol=1e-8)
    np.testing.assert_allclose(fit.objective_, float(best.objective), rtol=1e-12)


def test_an_integer_threshold_and_scale_are_numbers():
    X, y = SMALL["plain"][:2]
    one = HuberRegressor(rho=2, scale=1, alpha=1).fit(X, y)
    other = HuberRegressor(rho=2.0, scale=1.0, alpha=1.0).fit(X, y)
    assert_same_bits(one, other)


def test_with_the_joint_scale_found_a_fixed_scale_finds_the_same():
    X, y = SMALL["heavy_tailed"][:2]
    joint = HuberRegressor().fit(X, y)
    fixed = HuberRegressor(scale=joint.scale_).fit(X, y)
    assert_same_fit(fixed, joint, X, 1e-8)
    np.testing.assert_allclose(
        fixed.objective_, joint.objective_ - len(y) * joint.scale_, rtol=1e-12
    )


@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("rho", [0.6, 1.345, 4.0])
def test_mad_is_self_consistent(rho, weighted, fit_intercept):
    for name in ("plain", "house_prices", "heavy_tailed", "correlated"):
        X, y = SMALL[name][:2]
        s = random_weights(len(y)) if weighted else None
        fit = HuberRegressor(rho=rho, scale="mad", fit_intercept=fit_intercept)
        fit.fit(X, y, sample_weight=s)
        r = naive.residuals(X, y, fit.coef_, fit.intercept_)
        np.testing.assert_allclose(fit.scale_, naive.mad_scale(r, s), rtol=1e-9)
        best = naive.minimise(
            X,
            y,
            rho=rho,
            scale=fit.scale_,
            fit_intercept=fit_intercept,
            sample_weight=s,
        )
        largest = np.max(np.abs(best.coef) * X.std(axis=0))
        np.testing.assert_allclose(
            (fit.coef_ - best.coef) * X.std(axis=0) / largest, 0, atol=1e-8
        )
        np.testing.assert_allclose(fit.objective_, float(best.objective), rtol=1e-11)


# Every one of these has a single self-consistent scale (test_naive.py looks for
# more), so there is one answer and no choice.
@pytest.mark.parametrize("name", problems.REAL)
def test_mad_agrees_with_statsmodels(name):
    X, y = problems.real(name)
    model = sm.RLM(y, sm.add_constant(X), M=sm.robust.norms.HuberT(t=1.345))
    theirs = model.fit(scale_est="mad", conv="coefs", maxiter=10_000, tol=1e-13)
    ours = HuberRegressor(rho=1.345, scale="mad", alpha=0.0).fit(X, y)
    found = np.append(ours.intercept_, ours.coef_)
    np.testing.assert_allclose(found, theirs.params, rtol=1e-7)
    np.testing.assert_allclose(ours.scale_, theirs.scale, rtol=1e-7)
    np.testing.assert_allclose(ours.robust_weights_, theirs.weights, rtol=1e-7)


@pytest.mark.parametrize("name", problems.REAL)
def test_mad_agrees_with_rlm_of_r(name):
    # R rounds the quartile of the normal to 0.6745 and stops at 1e-4.
    X, y = problems.real(name)
    theirs = problems.r_reference()[name]["rlm_mad"]
    ours = HuberRegressor(rho=1.345, scale="mad", alpha=0.0).fit(X, y)
    difference = np.append(ours.intercept_, ours.coef_) - theirs["coef"]
    size = np.maximum(np.abs(theirs["coef"]), theirs["se"])
    assert np.max(np.abs(difference) / size) < 1e-4
    np.testing.assert_allclose(ours.scale_, theirs["scale"], rtol=1e-4)


@pytest.mark.parametrize("name", problems.REAL)
@pytest.mark.parametrize("alpha", [0.0, 1e-4])
def test_joint_on_real_data(name, alpha):
    X, y = problems.real(name)
    ours = HuberRegressor(alpha=alpha).fit(X, y)
    assert certificate(ours, X, y) <= 1e-12
    best = naive.minimise(X, y, alpha=alpha)
    np.testing.assert_allclose(ours.coef_, best.coef, rtol=1e-7)
    np.testing.assert_allclose(ours.intercept_, best.intercept, rtol=1e-7)
    np.testing.assert_allclose(ours.scale_, best.scale, rtol=1e-7)


def test_defaults_are_scikit_learns_objective():
    # Columns of one unit, where theirs converges to six digits.
    X, y = SMALL["plain"][:2]
    theirs = TheirHuberRegressor(max_iter=10_000, tol=1e-9).fit(X, y)
    ours = HuberRegressor().fit(X, y)
    np.testing.assert_allclose(ours.coef_, theirs.coef_, rtol=1e-5)
    np.testing.assert_allclose(ours.intercept_, theirs.intercept_, rtol=1e-5)
    np.testing.assert_allclose(ours.scale_, theirs.scale_, rtol=1e-5)
    np.testing.assert_array_equal(ours.outliers_, theirs.outliers_)


def test_how_far_an_outlier_lies_does_not_matter():
    X, y = SMALL["plain"][:2]
    fit = HuberRegressor().fit(X, y)
    r = naive.residuals(X, y, fit.coef_, fit.intercept_)
    gross = np.abs(r) > 5 * fit.scale_
    assert gross.sum() == 15
    for scale in ("joint", "mad", 0.5):
        near = HuberRegressor(scale=scale).fit(X, y)
        for way in (1e2, 1e6, 1e10):
            far = HuberRegressor(scale=scale)
            far.fit(X, y + np.where(gross, way * np.sign(r), 0.0))
            assert_same_fit(far, near, X, 1e-8)


# --- stopping and starting --------------------------------------------------


def test_one_iteration():
    X, y = SMALL["heavy_tailed"][:2]
    with max_iter_is_too_small():
        fit = HuberRegressor(max_iter=1).fit(X, y)
    assert fit.n_iter_ == 1
    assert fit.optimality_gap_ > fit.tol
    assert np.isfinite(fit.coef_).all()


@pytest.mark.compiled
@pytest.mark.parametrize("max_iter", [1, 2])
def test_few_iterations_on_larger_data(max_iter):
    X, y = problems.dummies(30_000, 10)[:2]
    with max_iter_is_too_small():
        fit = HuberRegressor(max_iter=max_iter).fit(X, y)
    assert fit.n_iter_ == max_iter
    assert fit.optimality_gap_ > fit.tol


def test_no_iteration_returns_the_start_and_says_so():
    X, y = SMALL["heavy_tailed"][:2]
    with max_iter_is_too_small():
        fit = HuberRegressor(max_iter=0).fit(X, y)
    assert fit.n_iter_ == 0
    assert np.isfinite(fit.coef_).all()
    assert fit.optimality_gap_ > fit.tol


def test_the_warning_names_max_iter():
    X, y = SMALL["heavy_tailed"][:2]
    with pytest.warns(ConvergenceWarning, match="max_iter"):
        HuberRegressor(max_iter=1).fit(X, y)


@each_small
def test_iterations_stay_within_max_iter(problem):
    fit = HuberRegressor(max_iter=50).fit(problem.X, problem.y)
    assert fit.n_iter_ <= 50


@pytest.mark.parametrize("scale", ["joint", "mad", 0.5])
@pytest.mark.parametrize("fit_intercept", [True, False])
def test_a_warm_start_at_the_minimum_stays_there(scale, fit_intercept):
    X, y = SMALL["correlated"][:2]
    options = {"scale": scale, "fit_intercept": fit_intercept}
    cold = HuberRegressor(**options).fit(X, y)
    warm = HuberRegressor(**options, warm_start=True).fit(X, y)
    assert_same_fit(warm, cold, X, 1e-9)
    warm.fit(X, y)
    assert warm.n_iter_ == 0
    assert_same_fit(warm, cold, X, 1e-9)
    if not fit_intercept:
        assert warm.intercept_ == 0.0


def test_a_warm_start_goes_on_where_the_last_fit_stopped():
    X, y = SMALL["heavy_tailed"][:2]
    warm = HuberRegressor(warm_start=True, max_iter=1)
    with max_iter_is_too_small():
        first = warm.fit(X, y).objective_
    warm.set_params(max_iter=1000).fit(X, y)
    assert warm.objective_ < first
    assert_same_fit(warm, HuberRegressor().fit(X, y), X, 1e-9)


@pytest.mark.parametrize(
    "change",
    [
        {"alpha": 10.0},
        {"rho": 2.0},
        {"scale": "mad"},
        {"scale": 3.0},
        {"fit_intercept": False},
        {"rho": np.inf},
    ],
    ids=str,
)
def test_a_warm_start_does_not_change_the_answer(change):
    X, y = SMALL["plain"][:2]
    warm = HuberRegressor(warm_start=True).fit(X, y)
    warm.set_params(**change).fit(X, y)
    cold = HuberRegressor(**change).fit(X, y)
    assert_same_fit(warm, cold, X, 1e-8)
    assert warm.intercept_ == pytest.approx(cold.intercept_, rel=1e-8, abs=0)


def test_a_warm_start_does_not_change_the_answer_for_other_data():
    X, y = SMALL["plain"][:2]
    warm = HuberRegressor(warm_start=True).fit(X, y)
    for other in (problems.units(150, 4), SMALL["timestamps"], SMALL["plain"]):
        warm.fit(other.X, other.y)
        cold = HuberRegressor().fit(other.X, other.y)
        assert_same_fit(warm, cold, other.X, 1e-8)


def test_a_warm_start_from_other_columns_is_refused():
    warm = HuberRegressor(warm_start=True).fit(*SMALL["plain"][:2])
    coef = warm.coef_
    with pytest.raises(ValueError, match=r"(?s)(?=.*\b4\b)(?=.*\b2\b)(?=.*warm_start)"):
        warm.fit(*SMALL["house_prices"][:2])
    assert warm.coef_ is coef
    assert warm.n_features_in_ == 4


def test_without_warm_start_a_fit_forgets_the_last_one():
    X, y = SMALL["plain"][:2]
    other = SMALL["house_prices"]
    again = HuberRegressor().fit(other.X, other.y).fit(X, y)
    assert_same_bits(again, HuberRegressor().fit(X, y))


# --- containers and layouts -------------------------------------------------


def many_zeros(n=150, p=4, seed=0):
    rng = np.random.default_rng(seed)
    X = np.where(rng.random((n, p)) < 0.5, 0.0, rng.normal(size=(n, p)))
    y = X @ np.arange(1.0, p + 1) + 2.0 + 0.5 * rng.normal(size=n)
    y[::10] += 20.0
    return X, y


def strided_rows(X):
    return np.repeat(X, 2, axis=0)[::2]


def strided_columns(X):
    return np.repeat(X, 2, axis=1)[:, ::2]


def reversed_rows(X):
    return X[::-1].copy()[::-1]


def read_only(X):
    X = X.copy()
    X.flags.writeable = False
    return X


def unaligned(X):
    buffer = np.zeros(X.nbytes + 1, dtype=np.uint8)
    view = buffer[1:].view(X.dtype).reshape(X.shape)
    view[...] = X
    return view


def big_endian(X):
    return X.astype(">f8")


def indexed(container, dtype):
    def convert(X):
        S = container(X)
        for name in ("indices", "indptr", "row", "col"):
            if isinstance(getattr(S, name, None), np.ndarray):
                setattr(S, name, getattr(S, name).astype(dtype))
        return S

    convert.__name__ = f"{container.__name__}_{np.dtype(dtype).name}"
    return convert


def coo_with_int64(X):
    S = sp.coo_array(X)
    return sp.coo_array(
        (S.data, (S.row.astype(np.int64), S.col.astype(np.int64))), shape=S.shape
    )


def coo_with_duplicates(X):
    S = sp.coo_array(X)
    halves = np.concatenate([S.data / 2, S.data / 2])
    both = np.concatenate([S.row, S.row]), np.concatenate([S.col, S.col])
    return sp.coo_array((halves, both), shape=S.shape)


def csr_unsorted_with_duplicates_and_zeros(X):
    rows = []
    indptr = [0]
    indices = []
    for row in X:
        for j in range(len(row))[::-1]:
            rows += [row[j] / 2, row[j] / 2]
            indices += [j, j]
        indptr.append(len(indices))
    return sp.csr_matrix((rows, indices, indptr), shape=X.shape)


def csr_read_only(X):
    S = sp.csr_array(X)
    for part in (S.data, S.indices, S.indptr):
        part.flags.writeable = False
    return S


LAYOUTS = [
    np.asfortranarray,
    strided_rows,
    strided_columns,
    reversed_rows,
    read_only,
    unaligned,
    big_endian,
    np.ndarray.tolist,
    sp.csr_array,
    sp.csr_matrix,
    sp.csc_array,
    sp.csc_matrix,
    sp.coo_array,
    sp.coo_matrix,
    indexed(sp.csr_array, np.int32),
    indexed(sp.csr_array, np.int64),
    indexed(sp.csc_array, np.int32),
    indexed(sp.csc_array, np.int64),
    coo_with_int64,
    coo_with_duplicates,
    csr_unsorted_with_duplicates_and_zeros,
    csr_read_only,
]
each_layout = pytest.mark.parametrize("layout", LAYOUTS, ids=lambda f: f.__name__)


@each_layout
@pytest.mark.parametrize("scale", ["joint", "mad", 0.5])
def test_every_layout_gives_the_same_fit(layout, scale):
    X, y = many_zeros()
    s = random_weights(len(y))
    expected = HuberRegressor(scale=scale).fit(X, y, sample_weight=s)
    other = layout(X)
    fit = HuberRegressor(scale=scale).fit(other, y, sample_weight=s)
    assert_same_fit(fit, expected, X, 1e-10)
    np.testing.assert_array_equal(fit.outliers_, expected.outliers_)
    np.testing.assert_allclose(fit.robust_weights_, expected.robust_weights_, rtol=1e-9)
    np.testing.assert_allclose(fit.objective_, expected.objective_, rtol=1e-12)
    assert fit.coef_.dtype == np.float64
    np.testing.assert_allclose(fit.predict(other), expected.predict(X), rtol=1e-9)
    np.testing.assert_allclose(
        fit.score(other, y, s), expected.score(X, y, s), rtol=1e-9
    )


@pytest.mark.compiled
@pytest.mark.parametrize(
    "layout", [np.asfortranarray, strided_columns, sp.csr_array, sp.csc_array]
)
def test_layouts_agree_on_larger_data(layout):
    X, y = many_zeros(30_000, 10)
    expected = HuberRegressor().fit(X, y)
    assert_same_fit(HuberRegressor().fit(layout(X), y), expected, X, 1e-10)


@pytest.mark.parametrize("dtype", [bool, np.int8, np.uint16, np.int32, np.int64])
def test_integers_and_booleans_are_numbers(dtype):
    X, y = many_zeros()
    X = (X > 0 if dtype is bool else np.abs(10 * X)).astype(dtype)
    expected = HuberRegressor().fit(X.astype(np.float64), y)
    assert_same_bits(HuberRegressor().fit(X, y), expected)
    sparse = HuberRegressor().fit(sp.csr_array(X), y)
    assert_same_fit(sparse, expected, X, 1e-10)


def test_strided_and_integer_targets_and_weights():
    X, y = many_zeros()
    y = np.round(4 * y)
    s = random_weights(len(y))
    expected = HuberRegressor().fit(X, y, sample_weight=s)
    strided = HuberRegressor().fit(
        X, np.repeat(y, 2)[::2], sample_weight=np.repeat(s, 3)[::3]
    )
    assert_same_bits(strided, expected)
    integers = HuberRegressor().fit(X, y.astype(int), sample_weight=s.astype(int))
    assert_same_bits(integers, expected)
    lists = HuberRegressor().fit(X, y.tolist(), sample_weight=s.tolist())
    assert_same_bits(lists, expected)


@pytest.mark.parametrize(
    "layout", [np.ascontiguousarray, np.asfortranarray, sp.csr_array]
)
@pytest.mark.parametrize("scale", ["joint", "mad", 0.5])
def test_float32(layout, scale):
    X, y = many_zeros()
    X = X.astype(np.float32)
    fit = HuberRegressor(scale=scale).fit(layout(X), y)
    assert fit.coef_.dtype == np.float32
    expected = HuberRegressor(scale=scale).fit(X.astype(np.float64), y)
    np.testing.assert_allclose(fit.coef_, expected.coef_, rtol=1e-6)
    np.testing.assert_allclose(fit.intercept_, expected.intercept_, rtol=1e-6)
    np.testing.assert_allclose(fit.scale_, expected.scale_, rtol=1e-6)
    np.testing.assert_allclose(
        fit.predict(layout(X)), expected.predict(X), rtol=1e-4, atol=1e-4
    )


def test_float32_targets_and_weights_are_numbers_too():
    X, y = many_zeros()
    y = y.astype(np.float32)
    s = random_weights(len(y)).astype(np.float32)
    fit = HuberRegressor().fit(X, y, sample_weight=s)
    expected = HuberRegressor().fit(X, y.astype(float), sample_weight=s.astype(float))
    assert fit.coef_.dtype == np.float64
    assert_same_fit(fit, expected, X, 1e-10)


@pytest.mark.parametrize(
    "layout",
    [
        np.ascontiguousarray,
        np.asfortranarray,
        strided_columns,
        sp.csr_array,
        sp.csc_array,
        sp.coo_array,
        coo_with_duplicates,
        csr_unsorted_with_duplicates_and_zeros,
    ],
    ids=lambda f: f.__name__,
)
def test_the_data_is_not_modified(layout):
    X, y = many_zeros()
    s = random_weights(len(y))
    X = layout(X)
    names = ["data", "indices", "indptr", "row", "col"] if sp.issparse(X) else []
    before = {name: getattr(X, name).copy() for name in names if hasattr(X, name)}
    copies = (X.copy(), y.copy(), s.copy())
    fit = HuberRegressor().fit(X, y, sample_weight=s)
    fit.predict(X)
    fit.score(X, y, sample_weight=s)
    np.testing.assert_array_equal(naive.dense(X), naive.dense(copies[0]))
    np.testing.assert_array_equal(y, copies[1])
    np.testing.assert_array_equal(s, copies[2])
    for name, value in before.items():
        np.testing.assert_array_equal(getattr(X, name), value, err_msg=name)


def test_the_fit_does_not_hold_on_to_the_data():
    X, y = many_zeros()
    fit = HuberRegressor().fit(X, y)
    coef, weights = fit.coef_.copy(), fit.robust_weights_.copy()
    X[:], y[:] = np.nan, np.nan
    np.testing.assert_array_equal(fit.coef_, coef)
    np.testing.assert_array_equal(fit.robust_weights_, weights)
    assert len(pickle.dumps(fit)) < 10_000


FRAMES = [
    pytest.param(pd.DataFrame, pd.Series, id="pandas"),
    pytest.param(pl.DataFrame, pl.Series, id="polars"),
]


@pytest.mark.parametrize(("frame", "series"), FRAMES)
def test_frames(frame, series):
    X, y = many_zeros()
    s = random_weights(len(y))
    table = frame({"a": X[:, 0], "b": X[:, 1], "c": X[:, 2], "d": X[:, 3]})
    fit = HuberRegressor().fit(table, series(y), sample_weight=series(s))
    expected = HuberRegressor().fit(X, y, sample_weight=s)
    assert_same_fit(fit, expected, X, 1e-10)
    np.testing.assert_array_equal(fit.feature_names_in_, ["a", "b", "c", "d"])
    assert fit.feature_names_in_.dtype == object
    np.testing.assert_allclose(fit.predict(table), expected.predict(X), rtol=1e-9)
    renamed = frame({"a": X[:, 0], "b": X[:, 1], "c": X[:, 2], "e": X[:, 3]})
    with pytest.raises(ValueError, match="feature names"):
        fit.predict(renamed)
    disordered = frame({"b": X[:, 1], "a": X[:, 0], "c": X[:, 2], "d": X[:, 3]})
    with pytest.raises(ValueError, match="feature names"):
        fit.predict(disordered)
    with pytest.warns(UserWarning, match="does not have valid feature names"):
        fit.predict(X)
    with pytest.warns(UserWarning, match="fitted without feature names"):
        expected.predict(table)
    fit.fit(X, y)
    assert not hasattr(fit, "feature_names_in_")


def test_a_frame_of_mixed_types():
    X, y = many_zeros()
    table = pd.DataFrame(
        {"on": X[:, 0] > 0, "count": (10 * X[:, 1]).astype(int), "size": X[:, 2]}
    )
    fit = HuberRegressor().fit(table, y)
    expected = HuberRegressor().fit(table.to_numpy(dtype=np.float64), y)
    assert_same_fit(fit, expected, table.to_numpy(dtype=np.float64), 1e-10)


# --- an estimator among others ----------------------------------------------


def test_parameters():
    assert HuberRegressor().get_params() == {
        "rho": 1.35,
        "scale": "joint",
        "alpha": 0.0001,
        "fit_intercept": True,
        "max_iter": 1000,
        "tol": 1e-12,
        "warm_start": False,
        "n_jobs": None,
        "verbose": False,
    }
    assert HuberRegressor(2.5).rho == 2.5
    with pytest.raises(TypeError):
        HuberRegressor(2.5, "mad")


def test_clone_and_set_params():
    fit = HuberRegressor(rho=2.0, scale="mad", alpha=3.0).fit(*many_zeros())
    copy = clone(fit)
    assert copy.get_params() == fit.get_params()
    assert not hasattr(copy, "coef_")
    assert copy.set_params(scale=0.5).scale == 0.5
    assert fit.scale == "mad"


@pytest.mark.parametrize("seed", [0, 36, 69, 185])
def test_the_scale_is_found_beside_gross_outliers(seed):
    """Their rounding errors once kept the last step from being taken."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(1000, 1))
    y = 1 + 2 * X[:, 0] + rng.normal(size=1000)
    y[:250] += 1000
    fit = HuberRegressor(1.345, scale="mad", alpha=0).fit(X, y)  # warnings are errors
    scale = naive.mad_scale(y - fit.predict(X))
    assert fit.scale_ == pytest.approx(scale, rel=1e-9)


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_pickle(protocol):
    X, y = many_zeros()
    fit = HuberRegressor(scale="mad").fit(X, y)
    copy = pickle.loads(pickle.dumps(fit, protocol=protocol))
    assert_same_bits(copy, fit)
    np.testing.assert_array_equal(copy.predict(X), fit.predict(X))
    assert copy.get_params() == fit.get_params()
    assert_same_bits(copy.fit(X, y), fit)


def test_fit_returns_the_estimator_and_leaves_its_parameters():
    X, y = many_zeros()
    estimator = HuberRegressor(rho=2, scale=3, alpha=1, n_jobs=1)
    before = estimator.get_params()
    assert estimator.fit(X, y) is estimator
    assert estimator.get_params() == before
    assert type(estimator.scale) is int
    assert type(estimator.rho) is int


def test_predict_is_linear_in_the_coefficients():
    X, y = many_zeros()
    fit = HuberRegressor().fit(X, y)
    np.testing.assert_allclose(
        fit.predict(X[:7]), X[:7] @ fit.coef_ + fit.intercept_, rtol=1e-13
    )
    assert fit.predict(X[:1]).shape == (1,)


def test_score_is_the_weighted_r2():
    X, y = many_zeros()
    s = random_weights(len(y))
    fit = HuberRegressor().fit(X, y)
    assert fit.score(X, y) == pytest.approx(r2_score(y, fit.predict(X)), rel=1e-14)
    expected = r2_score(y, fit.predict(X), sample_weight=s)
    assert fit.score(X, y, sample_weight=s) == pytest.approx(expected, rel=1e-14)
    assert fit.score(X, y, s) != fit.score(X, y)


def test_html_links_to_no_documentation_as_none_is_published():
    html = HuberRegressor().fit(*many_zeros())._repr_html_()
    assert not re.search(r'<a class="sk-estimator-doc-link[^>]*href="https?:', html)


def test_repr_shows_what_is_not_default():
    assert repr(HuberRegressor(rho=2.0, scale="mad")) == (
        "HuberRegressor(rho=2.0, scale='mad')"
    )


def test_weights_are_routed_through_a_pipeline():
    X, y = many_zeros()
    s = random_weights(len(y)) + 0.5
    folds = KFold(3)
    found, expected = [], []
    with sklearn.config_context(enable_metadata_routing=True):
        final = HuberRegressor()
        final.set_fit_request(sample_weight=True)
        final.set_score_request(sample_weight=True)
        scaler = StandardScaler().set_fit_request(sample_weight=False)
        pipeline = make_pipeline(scaler, final)
        for train, test in folds.split(X):
            pipeline.fit(X[train], y[train], sample_weight=s[train])
            found.append(pipeline.score(X[test], y[test], sample_weight=s[test]))
    for train, test in folds.split(X):
        scaler = StandardScaler().fit(X[train])
        fit = HuberRegressor()
        fit.fit(scaler.transform(X[train]), y[train], sample_weight=s[train])
        expected.append(fit.score(scaler.transform(X[test]), y[test], s[test]))
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_weights_nobody_asked_for_are_refused():
    X, y = many_zeros()
    with sklearn.config_context(enable_metadata_routing=True):
        pipeline = make_pipeline(StandardScaler(), HuberRegressor())
        with pytest.raises(ValueError, match="sample_weight"):
            cross_validate(pipeline, X, y, params={"sample_weight": np.ones(len(y))})
