"""Tests of the scorer of make_huber_scorer within scikit-learn."""

import math
import pickle

import numpy as np
import pytest
import sklearn
from numpy.testing import assert_allclose
from sklearn.base import clone
from sklearn.dummy import DummyRegressor
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.model_selection import GridSearchCV, cross_val_score

from metric_problems import each_rho
from skhuber.metrics import make_huber_scorer, mean_huber_error


def line_with_outliers(n_samples=40):
    rng = np.random.default_rng(3)
    X = rng.normal(size=(n_samples, 2))
    y = X @ [2.0, -1.0] + rng.normal(size=n_samples)
    y[::8] += 50.0
    return X, y


@each_rho
def test_scorer_is_minus_the_error(rho):
    X, y = line_with_outliers()
    weights = np.arange(1.0, 41.0)
    model = LinearRegression().fit(X, y)
    scorer = make_huber_scorer(rho)
    assert scorer(model, X, y) == -mean_huber_error(y, model.predict(X), rho=rho)
    weighted = mean_huber_error(y, model.predict(X), rho=rho, sample_weight=weights)
    assert scorer(model, X, y, sample_weight=weights) == -weighted


def test_scorer_has_rho_1_by_default():
    X, y = line_with_outliers()
    model = LinearRegression().fit(X, y)
    assert make_huber_scorer()(model, X, y) == make_huber_scorer(1.0)(model, X, y)


@pytest.mark.parametrize("rho", [0, -1.0, math.nan, "1", None, True])
def test_scorer_checks_rho_at_once(rho):
    with pytest.raises((TypeError, ValueError), match="rho must be a number > 0"):
        make_huber_scorer(rho)


def test_scorer_in_cross_validation():
    X, y = line_with_outliers()
    scores = cross_val_score(Ridge(), X, y, scoring=make_huber_scorer(2.0), cv=4)
    expected = []
    for fold in range(4):
        test = np.arange(40) // 10 == fold
        fitted = Ridge().fit(X[~test], y[~test])
        expected.append(-mean_huber_error(y[test], fitted.predict(X[test]), rho=2.0))
    assert_allclose(scores, expected, rtol=1e-12)


def test_threshold_of_the_scorer_decides_a_search():
    # The outliers pull the mean away: right for squares, wrong for all else.
    X, y = line_with_outliers()
    grid = {"strategy": ["mean", "median"]}
    winners = {
        rho: clone(GridSearchCV(DummyRegressor(), grid, scoring=scorer, cv=4))
        .fit(X, y)
        .best_params_["strategy"]
        for rho in (0.5, np.inf)
        for scorer in [make_huber_scorer(rho)]
    }
    assert winners == {0.5: "median", np.inf: "mean"}


def test_scorer_survives_pickle():
    X, y = line_with_outliers()
    model = LinearRegression().fit(X, y)
    scorer = make_huber_scorer(0.7)
    copy = pickle.loads(pickle.dumps(scorer))
    assert copy(model, X, y) == scorer(model, X, y)
    assert copy(model, X, y) != make_huber_scorer(0.8)(model, X, y)


def test_scorer_is_routed_sample_weights():
    X, y = line_with_outliers()
    weights = np.where(np.arange(40) % 8 == 0, 0.0, 1.0)
    with sklearn.config_context(enable_metadata_routing=True):
        model = LinearRegression().set_fit_request(sample_weight=False)
        scores = cross_val_score(
            model,
            X,
            y,
            scoring=make_huber_scorer().set_score_request(sample_weight=True),
            params={"sample_weight": weights},
            cv=4,
        )
    expected = []
    for fold in range(4):
        test = np.arange(40) // 10 == fold
        y_pred = LinearRegression().fit(X[~test], y[~test]).predict(X[test])
        error = mean_huber_error(y[test], y_pred, sample_weight=weights[test])
        assert error != mean_huber_error(y[test], y_pred)
        expected.append(-error)
    assert_allclose(scores, expected, rtol=1e-12)
