"""Thresholds that the data choose."""

import warnings

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.optimize import brentq
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV

import naive
import problems
from skhuber import HuberRegressor, HuberRegressorCV, OutlierShare, huber_path
from skhuber._rows import make_rows
from skhuber._tuning.rules import _JOINT_RHOS, Spectrum

SCALES = ["joint", "mad", 0.7]
each_scale = pytest.mark.parametrize("scale", SCALES)
SIZES = [(150, 4), pytest.param((70_000, 4), marks=pytest.mark.compiled)]
each_size = pytest.mark.parametrize("size", SIZES, ids=str)


def simulated(n, p, noise, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, p))
    coef = rng.normal(size=p)
    return X, X @ coef + 3.0 + noise(rng, n), coef


def heavy(rng, n):
    return rng.standard_t(2, size=n)


def skewed(rng, n):
    """Lognormal noise with mean zero."""
    return np.exp(1.2 * rng.normal(size=n)) - np.exp(0.72)


def residuals(model, X, y):
    return np.abs(y - model.predict(X))


def assert_is_the_fit_with_its_rho(model, X, y, weight=None):
    """Nothing but rho was chosen."""
    alone = HuberRegressor(model.rho_, scale=model.scale, alpha=model.alpha)
    alone.fit(X, y, weight)
    size = np.abs(alone.coef_).max()
    np.testing.assert_allclose(model.coef_ / size, alone.coef_ / size, atol=1e-6)
    np.testing.assert_allclose(model.scale_, alone.scale_, rtol=1e-6)
    assert model.optimality_gap_ <= 1e-12


# --- a share of outliers ----------------------------------------------------------


@each_scale
@each_size
@pytest.mark.parametrize("share", [0.02, 0.1, 0.5])
def test_the_share_of_outliers_is_met(scale, size, share):
    X, y, _ = simulated(*size, heavy)
    model = HuberRegressor(OutlierShare(share), scale=scale).fit(X, y)
    assert abs(model.outliers_.sum() - share * len(y)) <= 0.5 + 1e-9
    assert_is_the_fit_with_its_rho(model, X, y)


def test_no_outliers_at_all_is_least_squares():
    X, y, _ = simulated(100, 3, heavy)
    model = HuberRegressor(OutlierShare(0), scale=1.0).fit(X, y)
    assert model.rho_ == np.inf
    assert not model.outliers_.any()


def test_a_share_counts_weight():
    X, y, _ = simulated(100, 3, heavy)
    weight = np.arange(100) % 3
    weighted = HuberRegressor(OutlierShare(0.2)).fit(X, y, weight)
    share = weight[weighted.outliers_].sum() / weight.sum()
    assert abs(share - 0.2) <= weight.max() / 2 / weight.sum() + 1e-9


def test_a_share_where_most_targets_are_met_exactly():
    X = np.arange(40.0).reshape(-1, 1)
    y = 2.0 * X.ravel()
    y[:4] += 100.0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = HuberRegressor(OutlierShare(0.2), alpha=0.0).fit(X, y)
    np.testing.assert_allclose(model.coef_, 2.0, rtol=1e-6)


@pytest.mark.parametrize("share", [-0.1, 0.51, np.nan])
def test_a_share_out_of_range(share):
    with pytest.raises(ValueError, match=r"share must be .*, got"):
        OutlierShare(share)


def test_a_share_is_a_number():
    with pytest.raises(TypeError, match=r"share must be .*, got '10%'"):
        OutlierShare("10%")


def test_rules_in_a_grid_search_and_clones():
    X, y, _ = simulated(100, 2, heavy)
    rules = [1.35, "auto", "adaptive", OutlierShare(0.1)]
    search = GridSearchCV(HuberRegressor(), {"rho": rules}, cv=2).fit(X, y)
    assert search.best_params_["rho"] in rules
    model = HuberRegressor(OutlierShare(0.1))
    assert clone(model).rho == OutlierShare(0.1)
    assert "OutlierShare(share=0.1)" in repr(model)


# --- adaptive ---------------------------------------------------------------------


@each_scale
@each_size
@pytest.mark.parametrize("noise", [heavy, skewed])
def test_adaptive_solves_its_equation(scale, size, noise):
    X, y, _ = simulated(*size, noise)
    n, p = X.shape
    model = HuberRegressor("adaptive", scale=scale, alpha=0.0).fit(X, y)
    r = residuals(model, X, y)
    tau = model.rho_ * model.scale_

    def excess(t):
        return np.minimum(r**2 / t**2, 1).sum() - (p + np.log(n * p))

    solution = brentq(excess, 1e-3, 1e4, xtol=1e-14)
    # (Fits of many rows are known to a gap of 1e-12, or six digits.)
    assert tau == pytest.approx(solution, rel=1e-8 if n < 1000 else 1e-5)
    assert_is_the_fit_with_its_rho(model, X, y)


def test_adaptive_is_the_fixed_point_of_its_iteration():
    """The two equations solved in turn, by other code."""
    X, y, _ = simulated(200, 3, skewed)
    n, p = X.shape
    tau = 1.0
    for _ in range(60):
        coef, b, *_ = naive.minimise(X, y, rho=tau, scale=1.0, alpha=0.0)
        r = np.abs(y - X @ coef - b).astype(float)
        tau = brentq(
            lambda t, r=r: np.minimum(r**2 / t**2, 1).sum() - p - np.log(n * p),
            1e-3,
            1e4,
            xtol=1e-14,
        )
    model = HuberRegressor("adaptive", alpha=0.0).fit(X, y)
    np.testing.assert_allclose(model.rho_ * model.scale_, tau, rtol=1e-8)
    np.testing.assert_allclose(model.coef_, coef, rtol=1e-8)


def test_adaptive_comes_nearer_to_the_mean_of_skewed_noise():
    errors = {"adaptive": [], 1.35: []}
    for seed in range(10):
        X, y, _ = simulated(2000, 2, skewed, seed)
        for rho, error in errors.items():
            error.append(abs(HuberRegressor(rho).fit(X, y).intercept_ - 3.0))
    assert np.mean(errors["adaptive"]) < 0.3 * np.mean(errors[1.35])


def test_adaptive_weights_are_repetition():
    X, y, _ = simulated(60, 2, heavy)
    weight = np.arange(60) % 3
    weighted = HuberRegressor("adaptive", alpha=0.0).fit(X, y, weight)
    repeated = HuberRegressor("adaptive", alpha=0.0).fit(
        np.repeat(X, weight, axis=0), np.repeat(y, weight)
    )
    np.testing.assert_allclose(weighted.rho_, repeated.rho_, rtol=1e-12)
    np.testing.assert_allclose(weighted.coef_, repeated.coef_, rtol=1e-8)


# --- auto -------------------------------------------------------------------------


def estimate(X, y, path, i, n_left):
    """p Σψ²/(n_in − p − 1)² of a point of a path, restated."""
    r = np.abs(y - X @ path.coefs[i, 0] - path.intercepts[i, 0])
    t = path.rhos[i] * path.scales[i, 0]
    left = (r <= t).sum() - n_left
    if left <= 0:
        return np.inf
    return X.shape[1] * (np.minimum(r, t) ** 2).sum() / left**2


@each_size
@pytest.mark.parametrize("noise", [heavy, skewed], ids=["heavy", "skewed"])
def test_auto_minimises_the_estimated_error(size, noise):
    X, y, _ = simulated(*size, noise)
    path = huber_path(X, y, rhos=_JOINT_RHOS, alphas=[0.0])
    errors = [estimate(X, y, path, i, X.shape[1] + 1) for i in range(len(path.rhos))]
    model = HuberRegressor("auto", alpha=0.0).fit(X, y)
    assert model.rho_ == path.rhos[np.argmin(errors)]
    assert_is_the_fit_with_its_rho(model, X, y)


@each_scale
def test_auto_finds_the_same_threshold_with_any_scale(scale):
    X, y, _ = simulated(1000, 20, heavy)
    model = HuberRegressor("auto", scale=scale).fit(X, y)
    joint = HuberRegressor("auto").fit(X, y)
    ratio = model.rho_ * model.scale_ / (joint.rho_ * joint.scale_)
    assert 0.6 < ratio < 1.6  # neighbours on either grid
    assert_is_the_fit_with_its_rho(model, X, y)


def test_auto_takes_all_for_inliers_where_noise_is_normal():
    X, y, _ = simulated(1000, 20, lambda rng, n: rng.normal(size=n))
    model = HuberRegressor("auto").fit(X, y)
    assert model.outliers_.mean() < 0.1
    X, y, _ = simulated(1000, 20, lambda rng, n: rng.standard_cauchy(size=n))
    assert 0.2 < HuberRegressor("auto").fit(X, y).outliers_.mean() < 0.8


def true_error(model, coef):
    return np.sum((model.coef_ - coef) ** 2)


@pytest.mark.parametrize(("alpha", "p"), [(1e-4, 100), (300.0, 100), (300.0, 20)])
def test_the_estimate_is_the_error_out_of_sample(alpha, p):
    """On average over data; with a penalty large enough to matter, too."""
    from skhuber._fit import Settings
    from skhuber._fit.grid import fit_grid
    from skhuber._tuning.rules import estimated_errors

    ratios = []
    for seed in range(8):
        X, y, coef = simulated(600, p, heavy, seed)
        rows = make_rows(X, y, None, 1)
        settings = Settings(1.35, "joint", alpha, True, 1000, 1e-12)
        (one,) = fit_grid(rows, [settings])
        spectrum = Spectrum(rows, centred=True)
        (found,) = estimated_errors(rows, [one], [settings], spectrum)
        found *= one.tally.norm**2  # its unit
        ratios.append(found / np.sum((one.coef - coef) ** 2))
    assert 0.85 < np.mean(ratios) < 1.18


def test_the_spectrum():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 4)) * [1.0, 1e3, 1e-3, 5.0] + [0.0, 1e5, 1.0, 2.0]
    weight = np.arange(300) % 3 + 1.0
    covariance = np.cov(X.T, fweights=weight.astype(int), bias=True)
    spectrum = Spectrum(make_rows(X, X[:, 0], weight, 1), centred=True)
    G, penalty = 70.0 * covariance, 30.0
    trace = np.trace(G @ np.linalg.inv(G + penalty * np.eye(4)))
    np.testing.assert_allclose(spectrum.degrees_of_freedom(70.0, penalty), trace)
    v = np.array([1.0, 100.0, 1e-3, 1.0])
    expected = v @ np.linalg.solve(covariance, v)
    # The least eigenvalue, 1e-12 of the largest, has four digits.
    np.testing.assert_allclose(spectrum.squared_norm(v), expected, rtol=1e-3)


def test_auto_does_not_count_columns_that_tell_nothing():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(1000, 1))
    y = 2 * x[:, 0] + rng.normal(size=1000)
    tiny = 1e-7 * rng.normal(size=(1000, 3))
    alone = HuberRegressor("auto").fit(x, y).rho_
    assert alone > 2
    for more in (np.ones((1000, 1)), x, tiny):
        assert HuberRegressor("auto").fit(np.hstack([x, more]), y).rho_ == alone
    levels = np.eye(2)[rng.integers(0, 2, 1000)]
    assert HuberRegressor("auto").fit(levels, y).rho_ > 1.4


@pytest.mark.parametrize("rule", ["auto", "adaptive", OutlierShare(0.1)], ids=str)
@pytest.mark.parametrize("unit", [1e-300, 1e-200, 1e160, 1e300])
def test_rules_in_extreme_units(rule, unit):
    X, y, _ = simulated(200, 2, heavy)
    usual = HuberRegressor(rule, alpha=0.0).fit(X, y)
    other = HuberRegressor(rule, alpha=0.0).fit(X, y * unit)
    np.testing.assert_allclose(other.rho_, usual.rho_, rtol=1e-6)
    columns = HuberRegressor(rule, alpha=0.0).fit(X * max(unit, 1e-200) ** 0.5, y)
    np.testing.assert_allclose(columns.rho_, usual.rho_, rtol=1e-6)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("alpha", [10.0, 100.0])
def test_a_share_at_a_mad_scale_with_a_penalty(alpha, seed):
    """The penalty weighs differently at the MAD scale: the threshold is found there."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(100, 5))
    y = X @ np.arange(1.0, 6.0) + rng.standard_t(2, size=100)
    model = HuberRegressor(OutlierShare(0.2), scale="mad", alpha=alpha).fit(X, y)
    assert model.outliers_.sum() == 20
    alone = HuberRegressor(model.rho_, scale="mad", alpha=alpha).fit(X, y)
    np.testing.assert_array_equal(model.coef_, alone.coef_)


@pytest.mark.parametrize("rho", [1e154, 1e200, 1e308])
@pytest.mark.parametrize(
    ("n", "p"), [(100, 3), pytest.param(30_000, 40, marks=pytest.mark.compiled)]
)
def test_a_threshold_whose_square_overflows(n, p, rho):
    X, y, _ = simulated(n, p, heavy)
    for scale in ("joint", 1.0, "mad"):
        model = HuberRegressor(rho, scale=scale).fit(X, y)
        usual = HuberRegressor(np.inf, scale=scale).fit(X, y)
        np.testing.assert_allclose(model.coef_, usual.coef_, rtol=1e-6)
        assert not model.outliers_.any()
    # A scale far below the spread of y takes another way.
    usual = HuberRegressor(np.inf, scale=1.0, alpha=0.0).fit(X, y)
    far = HuberRegressor(rho, scale=1.0, alpha=0.0).fit(X, y * 1e15)
    np.testing.assert_allclose(far.coef_, usual.coef_ * 1e15, rtol=1e-6)
    sparse = HuberRegressor(rho).fit(sp.csr_array(X), y)
    dense = HuberRegressor(np.inf).fit(X, y)
    np.testing.assert_allclose(sparse.coef_, dense.coef_, rtol=1e-6)
    path = huber_path(X, y, rhos=[2.0, rho, np.inf])
    np.testing.assert_allclose(path.coefs[1], path.coefs[2], rtol=1e-6)
    assert path.n_outliers[1, 0] == 0


def test_a_share_that_ties_make_impossible():
    X, y, _ = simulated(200, 2, heavy)
    with pytest.warns(ConvergenceWarning, match=r"share of outliers is .*, not 0\.1"):
        HuberRegressor(OutlierShare(0.1)).fit((X > 0) * 1.0, (y > 3) * 1.0)


def test_adaptive_with_weights_that_count_no_samples():
    X, y, _ = simulated(100, 1, heavy)
    with pytest.warns(ConvergenceWarning, match=r"add up to more than .*, got 0\.1"):
        model = HuberRegressor("adaptive").fit(X, y, np.full(100, 0.001))
    assert model.rho_ == 1.35


def test_rows_without_weight_are_no_rows_to_a_share():
    X, y, _ = simulated(200, 2, heavy)
    weight = np.arange(200) % 3 * 1.0
    kept = weight > 0
    model = HuberRegressor(OutlierShare(0.05)).fit(X, y, weight)
    other = HuberRegressor(OutlierShare(0.05)).fit(X[kept], y[kept], weight[kept])
    np.testing.assert_allclose(model.rho_, other.rho_, rtol=1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_auto_learns_nothing_from_rows_met_because_they_are_repeated(seed):
    # A bootstrap sample of 80 rows has 50 different ones or so. The 21 that a plane
    # through 20 columns meets may then be more than half of it.
    X, y, _ = simulated(80, 20, heavy, seed)
    again = np.random.default_rng(seed).integers(0, 80, 80)
    model = HuberRegressor("auto").fit(X[again], y[again])
    assert model.scale_ > 0.01
    # (What it must not choose: a fit of scale zero, which is the minimum.)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        assert huber_path(X[again], y[again], rhos=[1.18]).scales[0, 0] < 1e-6


def test_auto_costs_few_fits():
    X, y, _ = simulated(1000, 10, heavy)
    one = HuberRegressor().fit(X, y).n_sweeps_
    assert HuberRegressor("auto").fit(X, y).n_sweeps_ <= 8 * one


@pytest.mark.compiled
def test_auto_costs_few_sweeps_of_large_data():
    X, y, _ = simulated(100_000, 20, heavy)
    # Four fits; one takes six sweeps at most (test_large).
    assert HuberRegressor().fit(X, y).n_sweeps_ <= 6
    assert HuberRegressor("auto").fit(X, y).n_sweeps_ <= 4 * 6


@pytest.mark.parametrize("rule", ["auto", "adaptive"])
@each_scale
def test_a_rule_that_does_not_apply(rule, scale):
    X, y, _ = simulated(20, 30, heavy)
    model = HuberRegressor(rule, scale=scale, alpha=1e-4)
    if rule == "auto" and scale == 0.7:
        # At a fixed scale the penalty leaves degrees of freedom.
        model.fit(X, y)
        assert model.rho_ > 0
        return
    with pytest.warns(ConvergenceWarning, match=f"rho='{rule}' does not apply: "):
        model.fit(X, y)
    assert model.rho_ == 1.35
    assert np.isfinite(model.predict(X)).all()


def test_auto_with_more_columns_than_rows_and_a_penalty():
    X, y, _ = simulated(50, 100, heavy)
    model = HuberRegressor("auto", alpha=30.0).fit(X, y)
    assert model.rho_ in _JOINT_RHOS
    assert_is_the_fit_with_its_rho(model, X, y)


@pytest.mark.parametrize("rule", ["auto", "adaptive", OutlierShare(0.1)], ids=str)
@each_scale
def test_rules_follow_the_unit_of_the_target(rule, scale):
    X, y, _ = simulated(200, 3, heavy)
    unit = 2.0**20
    small = HuberRegressor(rule, scale=scale, alpha=0.0).fit(X, y)
    other = scale if isinstance(scale, str) else scale * unit
    large = HuberRegressor(rule, scale=other, alpha=0.0).fit(X, y * unit)
    np.testing.assert_allclose(large.rho_, small.rho_, rtol=1e-9)
    np.testing.assert_allclose(large.coef_, small.coef_ * unit, rtol=1e-9)


@pytest.mark.parametrize("rule", ["auto", "adaptive", OutlierShare(0.1)], ids=str)
@pytest.mark.parametrize("data", ["constant", "one row", "exact", "no columns"])
def test_valid_data_never_raise(rule, data):
    X, y, _ = simulated(50, 2, heavy)
    if data == "constant":
        y[:] = 3.0
    elif data == "one row":
        X, y = X[:1], y[:1]
    elif data == "exact":
        y = X @ [1.0, 2.0]
    else:
        X = np.zeros((50, 2))
    for scale in SCALES:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model = HuberRegressor(rule, scale=scale).fit(X, y)
        assert np.isfinite(model.predict(X)).all()
        assert model.rho_ > 0


@pytest.mark.parametrize("rho", ["best", "AUTO", None, (1.0,)])
def test_what_is_no_rule(rho):
    X, y, _ = simulated(50, 2, heavy)
    with pytest.raises(TypeError, match=r'rho must be .*"auto", "adaptive" or an Outl'):
        HuberRegressor(rho).fit(X, y)


def test_real_data():
    """telef: six years of calls were recorded in minutes; the rest is a trend."""
    X, y = problems.real("telef")
    model = HuberRegressor("auto", scale="mad").fit(X, y)
    wrong = y > 10
    assert wrong.sum() == 6
    assert model.outliers_[wrong].all()
    assert HuberRegressorCV([1.2, 1.35, 2.0]).fit(X, y).rho_ in (1.2, 1.35, 2.0)
