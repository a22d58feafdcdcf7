"""Tests of max_iter and warm starts of HuberRegressor."""

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning

import problems
from compare import assert_same_bits, assert_same_fit
from regressor_data import SMALL, each_small, max_iter_is_too_small
from skhuber import HuberRegressor


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
