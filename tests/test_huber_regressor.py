"""Tests of what HuberRegressor minimises and finds, at each scale and threshold."""

import warnings

import numpy as np
import pytest
import scipy.sparse as sp
import statsmodels.api as sm
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import HuberRegressor as TheirHuberRegressor
from sklearn.linear_model import LinearRegression, Ridge

import naive
import problems
from compare import assert_same_bits, assert_same_fit, certificate
from regressor_data import ALPHA, LARGER, RHO, SMALL, each_small, random_weights
from skhuber import HuberRegressor

# --- it finds the minimum, whatever the columns look like -------------------


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


def check_the_reported_gap(problem, quadratic_below=1e-3):
    """Stop at each iteration, and compare with the distance to the true minimum.

    The gap never says too little. It says how much from the excess `quadratic_below`
    on, where the objective is its quadratic model.
    """
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
        if true > quadratic_below:
            assert fit.optimality_gap_ > quadratic_below / 10
            assert fit.optimality_gap_ > min(true / 10, 1e-4)
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
    # All rows of a rare dummy may be outliers on the way. Nothing but the bound of
    # their curvature then tells how far away the minimum is.
    quadratic_below = 1e-5 if name == "dummies" else 1e-3
    check_the_reported_gap(make(*shape), quadratic_below)


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
