"""Scores of HuberElasticNetCV, against scikit-learn's grid search of single fits."""

import warnings

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import sklearn
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import make_scorer, mean_absolute_error
from sklearn.model_selection import GridSearchCV, GroupKFold, KFold

import naive
from skhuber import (
    HuberElasticNet,
    HuberElasticNetCV,
    make_huber_scorer,
    pivotal_alpha,
)

RNG = np.random.default_rng(0)
N = 90
X = RNG.normal(size=(N, 8))
Y = 2.0 * X[:, 0] - 1.5 * X[:, 1] + RNG.standard_t(2, size=N)
ALPHAS = [0.5, 0.2, 0.05]
RATIOS = [0.5, 1.0]
FOLDS = KFold(3)


def searched(data, y=Y, scoring=None, rtol=1e-6, **params):
    """A fit whose errors, choice and model are those of a grid search."""
    model = HuberElasticNetCV(RATIOS, alphas=ALPHAS, cv=FOLDS, scoring=scoring)
    routing = sklearn.get_config()["enable_metadata_routing"]
    if routing:
        model.set_fit_request(sample_weight=True)
    model.fit(data, y, **params)
    alone = HuberElasticNet()
    if scoring is None:
        scoring = make_huber_scorer(rho=model.scoring_threshold_)
        if routing:
            scoring.set_score_request(sample_weight=True)
            alone.set_fit_request(sample_weight=True)
    grid = {"l1_ratio": RATIOS, "alpha": ALPHAS}
    search = GridSearchCV(alone, grid, scoring=scoring, cv=FOLDS)
    search.fit(data, y, **params)
    for i, candidate in enumerate(search.cv_results_["params"]):
        place = RATIOS.index(candidate["l1_ratio"]), ALPHAS.index(candidate["alpha"])
        theirs = [search.cv_results_[f"split{k}_test_score"][i] for k in range(3)]
        assert_allclose(-model.errors_[0][place], theirs, rtol=rtol)
    chosen = {"l1_ratio": model.l1_ratio_, "alpha": model.alpha_}
    assert chosen == search.best_params_
    assert_allclose(model.coef_, search.best_estimator_.coef_, rtol=1e-6, atol=1e-7)
    assert model.n_splits_ == 3
    return model


@pytest.mark.parametrize(
    "scoring",
    ["neg_mean_absolute_error", make_scorer(mean_absolute_error), "r2", None],
    ids=["name", "scorer", "r2", "default"],
)
def test_scorers(scoring):
    model = searched(X, scoring=scoring)
    assert (model.scoring_threshold_ is None) == (scoring is not None)


@pytest.mark.parametrize("kind", ["frame", "CSR", "F", "float32"])
def test_data_of_other_kinds(kind):
    make = {
        "frame": lambda X: pd.DataFrame(X, columns=list("abcdefgh")),
        "CSR": sp.csr_array,
        "F": np.asfortranarray,
        "float32": np.float32,
    }
    model = searched(make[kind](X), rtol=1e-5)
    assert hasattr(model, "feature_names_in_") == (kind == "frame")
    assert model.coef_.dtype == (np.float32 if kind == "float32" else np.float64)


@pytest.mark.parametrize("routing", [False, True])
def test_weights_count_in_fits_and_scores(routing):
    weight = RNG.uniform(0.1, 3.0, N)
    with sklearn.config_context(enable_metadata_routing=routing):
        if routing:
            weighted = searched(X, sample_weight=weight)
        else:
            weighted = HuberElasticNetCV(RATIOS, alphas=ALPHAS, cv=FOLDS)
            weighted.fit(X, Y, sample_weight=weight)
            with sklearn.config_context(enable_metadata_routing=True):
                routed = searched(X, sample_weight=weight)
            assert_array_equal(weighted.errors_, routed.errors_)
    plain = HuberElasticNetCV(RATIOS, alphas=ALPHAS, cv=FOLDS).fit(X, Y)
    assert np.abs(weighted.errors_ / plain.errors_ - 1).min() > 1e-3


def test_a_weight_of_two_is_a_repeated_sample():
    counts = np.arange(N) % 3
    index = np.repeat(np.arange(N), counts)
    folds = list(FOLDS.split(X))
    repeated = [[np.flatnonzero(np.isin(index, part)) for part in f] for f in folds]
    options = {"alphas": ALPHAS, "l1_ratio": RATIOS}
    one = HuberElasticNetCV(cv=folds, **options).fit(X, Y, counts)
    two = HuberElasticNetCV(cv=repeated, **options).fit(X[index], Y[index])
    assert_allclose(one.scoring_threshold_, two.scoring_threshold_, rtol=1e-6)
    assert_allclose(one.errors_, two.errors_, rtol=1e-6)
    assert_allclose(one.coef_, two.coef_, rtol=1e-6, atol=1e-9)


def test_groups_reach_the_splitter_with_and_without_routing():
    groups = np.arange(N) % 9
    model = HuberElasticNetCV(alphas=ALPHAS, cv=GroupKFold(3)).fit(X, Y, groups=groups)
    splits = list(GroupKFold(3).split(X, groups=groups))
    other = HuberElasticNetCV(alphas=ALPHAS, cv=splits).fit(X, Y)
    assert_array_equal(model.errors_, other.errors_)
    with sklearn.config_context(enable_metadata_routing=True):
        routed = HuberElasticNetCV(alphas=ALPHAS, cv=GroupKFold(3))
        routed.fit(X, Y, groups=groups)
    assert_array_equal(model.errors_, routed.errors_)


def test_the_threshold_is_that_of_the_fit_at_the_pivotal_alpha():
    model = HuberElasticNetCV(alphas=ALPHAS, rho=2.0, scale=3.0, cv=FOLDS).fit(X, Y)
    first = HuberElasticNet(pivotal_alpha(N, 8)).fit(X, Y)
    scale = naive.mad_scale(Y - first.predict(X))
    assert_allclose(model.scoring_threshold_, 1.345 * scale, rtol=1e-9)


def test_the_threshold_where_most_targets_are_met_exactly():
    """It is that of the other residuals, and not a rounding error."""
    y = np.zeros(N)
    y[::5] = RNG.normal(size=N // 5)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = HuberElasticNetCV(alphas=[0.5], cv=FOLDS).fit(X, y)
    others = 1.345 * naive.mad_scale(y[::5])
    assert_allclose(model.scoring_threshold_, others, rtol=0.1)


def test_a_callable_may_look_at_the_model():
    def scoring(model, X, y):
        assert model.scale_ > 0
        assert not hasattr(model, "outliers_")
        assert_allclose(model.predict(X), X @ model.coef_ + model.intercept_)
        assert_allclose(model.predict(X[:5]), model.predict(X)[:5])
        assert model.get_params()["standardize"] is False
        return -model.alpha

    model = HuberElasticNetCV(alphas=ALPHAS, scoring=scoring, standardize=False)
    assert model.fit(X, Y).alpha_ == 0.05
    assert_allclose(model.errors_[0, 0].mean(axis=-1), ALPHAS)


@pytest.mark.parametrize("rule", ["min", "1se"])
def test_scores_that_are_no_numbers_lose(rule):
    def scoring(model, X, y):
        return np.nan if model.alpha > 0.3 else -model.alpha

    model = HuberElasticNetCV(alphas=ALPHAS, scoring=scoring, rule=rule)
    with pytest.warns(UserWarning, match="not finite to 1 of 3 candidates") as record:
        model.fit(X, Y)
    assert model.alpha_ == 0.05
    assert record[0].filename == __file__


def test_infinite_scores_win():
    def scoring(model, X, y):
        return np.inf if model.alpha == 0.2 else -1.0

    model = HuberElasticNetCV(alphas=ALPHAS, scoring=scoring, rule="1se")
    with pytest.warns(UserWarning, match="not finite to 1 of 3 candidates"):
        model.fit(X, Y)
    assert model.alpha_ == 0.2


def test_beyond_the_end_of_a_path_the_last_model_is_scored():
    rng = np.random.default_rng(1)
    wide, y = rng.normal(size=(20, 40)), rng.normal(size=20)
    model = HuberElasticNetCV(n_alphas=8, eps=1e-4, cv=2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(wide, y)
    assert np.isfinite(model.errors_).all()
    assert_array_equal(model.errors_[0, 0, -1], model.errors_[0, 0, -2])


def test_verbose_prints_a_line_for_each_fold(capsys):
    HuberElasticNetCV(alphas=ALPHAS, cv=3, verbose=True).fit(X, Y)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert lines[0].startswith("fold 1 of 3: least error ")


def no_number(model, X, y):
    return "good"


@pytest.mark.parametrize(
    ("options", "params", "error", "message"),
    [
        ({"scoring": 3}, {}, TypeError, "scoring must be None, the name .* got 3"),
        ({"scoring": "best"}, {}, ValueError, "best"),
        ({"scoring": no_number}, {}, TypeError, "must return a number, got 'good'"),
        ({}, {"colour": "red"}, TypeError, "fit got 'colour'.* allowed are X, y"),
        ({"cv": 200}, {}, ValueError, "n_splits=200"),
    ],
)
def test_bad_values_leave_the_estimator(options, params, error, message):
    model = HuberElasticNetCV(alphas=ALPHAS).set_params(**options)
    before = vars(model).copy()
    with pytest.raises(error, match=message):
        model.fit(X, Y, **params)
    assert vars(model) == before
