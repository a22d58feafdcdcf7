"""Tests of HuberRegressor as an estimator: parameters, copies, scores, routing."""

import pickle
import re

import numpy as np
import pytest
import sklearn
from sklearn.base import clone
from sklearn.metrics import r2_score
from sklearn.model_selection import KFold, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import naive
from compare import assert_same_bits
from regressor_data import many_zeros, random_weights
from skhuber import HuberRegressor


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
