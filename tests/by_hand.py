"""Restatements of scikit-learn's tools, and data for them."""

import numpy as np
from sklearn.base import clone
from sklearn.model_selection import KFold

import problems
from compare import assert_same_bits
from skhuber import HuberRegressor, make_huber_scorer

FOLDS = KFold(3)
THRESHOLD = 1.5
SCORER = make_huber_scorer(rho=THRESHOLD)
NAMES = ["a", "b", "c", "d"]

# The columns of `misleading` by how much they matter.
RANKED = [1, 4, 3]
MISLEADING_COEF = np.array([0.0, 3.0, 0.0, 1.0, 2.0])


def messy(n=150, p=4, seed=0):
    """Data with one gross outlier in ten rows."""
    problem = problems.plain(n, p, seed)
    return problem.X, problem.y


def assert_robust(predictions):
    """The predictions for the rows of `messy()` are near its plane."""
    problem = problems.plain(150, 4)
    plane = problem.X @ problem.coef + problem.intercept
    # Those of least squares are off by more than 3.
    assert np.sqrt(np.mean((predictions - plane) ** 2)) < 1


def misleading(n=150, seed=0):
    """Gross outliers where column 0, which does not matter, is large."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 5))
    y = 7.0 + X @ MISLEADING_COEF + 0.3 * rng.normal(size=n)
    y[np.flatnonzero(X[:, 0] > 1)[::2]] += 1000.0
    return X, y


def whole_weights(n, weighted=True):
    """How often each row counts: as weights, or for `fit_repeated`."""
    if not weighted:
        return np.ones(n, dtype=int)
    return np.random.default_rng(0).integers(0, 5, n)


def fit_repeated(model, X, y, times):
    """A fit without weights, to rows that are there several times or not at all."""
    return clone(model).fit(np.repeat(X, times, axis=0), np.repeat(y, times))


def assert_same_model(found, expected):
    """Up to rounding: rows in another order, or weights in place of repetition."""
    for name in ("coef_", "intercept_", "scale_"):
        np.testing.assert_allclose(
            getattr(found, name), getattr(expected, name), rtol=1e-7, err_msg=name
        )


def huber_score(y, prediction, sample_weight=None):
    """What SCORER should say, from the formula with its two cases."""
    r = np.abs(y - prediction)
    loss = np.where(r <= THRESHOLD, r**2 / 2, THRESHOLD * r - THRESHOLD**2 / 2)
    return -np.average(loss, weights=sample_weight)


def r2(y, prediction, sample_weight):
    mean = np.average(y, weights=sample_weight)
    error = np.sum(sample_weight * (y - prediction) ** 2)
    return 1 - error / np.sum(sample_weight * (y - mean) ** 2)


def fold_scores(X, y, **options):
    """The score in each fold of a regressor with these parameters."""
    scores = []
    for train, test in FOLDS.split(X):
        model = HuberRegressor(**options).fit(X[train], y[train])
        scores.append(huber_score(y[test], model.predict(X[test])))
    return np.array(scores)


def out_of_fold(model, X, y):
    """What a model predicts for the rows that it is not fitted to."""
    predictions = np.empty(len(y))
    for train, test in FOLDS.split(X):
        predictions[test] = clone(model).fit(X[train], y[train]).predict(X[test])
    return predictions


def assert_search_as_by_hand(search, X, y):
    """All scores, the choice and the final fit of a search over plain regressors."""
    candidates = search.cv_results_["params"]
    by_hand = [fold_scores(X, y, **options).mean() for options in candidates]
    np.testing.assert_allclose(
        search.cv_results_["mean_test_score"], by_hand, rtol=1e-12
    )
    assert len(set(by_hand)) == len(by_hand)
    assert search.best_params_ == candidates[np.argmax(by_hand)]
    best = HuberRegressor(**search.best_params_).fit(X, y)
    assert_same_bits(search.best_estimator_, best)
    np.testing.assert_array_equal(search.predict(X), best.predict(X))
