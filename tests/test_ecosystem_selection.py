"""HuberRegressor within scikit-learn's searches, cross-validation, feature selection.

Each result is compared with the tool's computation restated by hand, or with an
outcome known from how the data were made.
"""

import itertools

import numpy as np
import pytest
import scipy.stats
import sklearn
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.feature_selection import (
    RFE,
    RFECV,
    SelectFromModel,
    SequentialFeatureSelector,
)
from sklearn.inspection import partial_dependence, permutation_importance
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import (
    GridSearchCV,
    HalvingGridSearchCV,
    RandomizedSearchCV,
    cross_val_predict,
    cross_val_score,
    cross_validate,
    learning_curve,
    validation_curve,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import problems
from by_hand import (
    FOLDS,
    MISLEADING_COEF,
    RANKED,
    SCORER,
    THRESHOLD,
    assert_robust,
    assert_same_model,
    assert_search_as_by_hand,
    fit_repeated,
    fold_scores,
    huber_score,
    messy,
    misleading,
    out_of_fold,
    r2,
    whole_weights,
)
from compare import assert_same_bits
from skhuber import HuberRegressor, make_huber_scorer

# --- searches -------------------------------------------------------------------------


def test_grid_search_in_a_pipeline():
    X, y = messy()
    grid = {"rho": [1.1, 1.35, 3.0], "scale": ["joint", "mad", 2.5]}
    search = GridSearchCV(
        make_pipeline(StandardScaler(), HuberRegressor()),
        {f"huberregressor__{name}": values for name, values in grid.items()},
        scoring=SCORER,
        cv=FOLDS,
    ).fit(X, y)
    by_hand = {}
    for rho, scale in itertools.product(grid["rho"], grid["scale"]):
        scores = []
        for train, test in FOLDS.split(X):
            scaler = StandardScaler().fit(X[train])
            model = HuberRegressor(rho, scale=scale)
            model.fit(scaler.transform(X[train]), y[train])
            prediction = model.predict(scaler.transform(X[test]))
            scores.append(huber_score(y[test], prediction))
        by_hand[rho, scale] = np.mean(scores)
    np.testing.assert_allclose(
        search.cv_results_["mean_test_score"], list(by_hand.values()), rtol=1e-12
    )
    assert len(set(by_hand.values())) == len(by_hand)
    rho, scale = max(by_hand, key=by_hand.get)
    assert search.best_params_ == {
        "huberregressor__rho": rho,
        "huberregressor__scale": scale,
    }
    scaled = StandardScaler().fit_transform(X)
    best = HuberRegressor(rho, scale=scale).fit(scaled, y)
    assert_same_bits(search.best_estimator_[-1], best)
    np.testing.assert_array_equal(search.predict(X), best.predict(scaled))


def test_randomized_search():
    X, y = messy()
    search = RandomizedSearchCV(
        HuberRegressor(),
        {
            "rho": scipy.stats.uniform(1.05, 2.0),
            "alpha": scipy.stats.loguniform(1e-3, 1e2),
            "scale": ["joint", "mad"],
        },
        n_iter=5,
        scoring=SCORER,
        cv=FOLDS,
        random_state=0,
    ).fit(X, y)
    assert_search_as_by_hand(search, X, y)


def test_halving_grid_search():
    X, y = messy(160)
    search = HalvingGridSearchCV(
        HuberRegressor(),
        {"rho": [30.0, 1.35], "alpha": [1e3, 1e-4]},
        factor=2,
        scoring=SCORER,
        cv=FOLDS,
        random_state=0,
    ).fit(X, y)
    assert search.n_candidates_ == [4, 2, 1]
    assert search.n_resources_ == [40, 80, 160]
    # The others are of least squares, or have hardly any slope.
    assert search.best_params_ == {"rho": 1.35, "alpha": 1e-4}
    assert len(set(search.cv_results_["mean_test_score"][:4])) == 4
    # The last round has all rows, in another order.
    expected = fold_scores(X, y, rho=1.35, alpha=1e-4).mean()
    np.testing.assert_allclose(
        search.cv_results_["mean_test_score"][-1], expected, rtol=1e-8
    )
    best = HuberRegressor(rho=1.35, alpha=1e-4).fit(X, y)
    assert_same_bits(search.best_estimator_, best)


# --- cross-validation -----------------------------------------------------------------


@pytest.mark.parametrize("of_scorer", [False, True], ids=["score", "scorer"])
def test_cross_validate_with_routed_weights(of_scorer):
    X, y = messy()
    s = whole_weights(len(y))
    with sklearn.config_context(enable_metadata_routing=True):
        model = HuberRegressor().set_fit_request(sample_weight=True)
        if of_scorer:
            scoring = make_huber_scorer(rho=THRESHOLD)
            scoring.set_score_request(sample_weight=True)
        else:
            scoring = None
            model.set_score_request(sample_weight=True)
        found = cross_validate(
            model,
            X,
            y,
            cv=FOLDS,
            scoring=scoring,
            params={"sample_weight": s},
            return_estimator=True,
        )
    score = huber_score if of_scorer else r2
    for i, (train, test) in enumerate(FOLDS.split(X)):
        by_hand = fit_repeated(HuberRegressor(), X[train], y[train], s[train])
        assert_same_model(found["estimator"][i], by_hand)
        expected = score(y[test], by_hand.predict(X[test]), s[test])
        np.testing.assert_allclose(found["test_score"][i], expected, rtol=1e-7)


@pytest.mark.parametrize("scale", ["joint", "mad", 2.5])
def test_cross_val_predict(scale):
    X, y = messy()
    model = HuberRegressor(scale=scale)
    found = cross_val_predict(model, X, y, cv=FOLDS)
    np.testing.assert_array_equal(found, out_of_fold(model, X, y))
    assert_robust(found)


def test_cross_val_score_in_two_processes():
    X, y = messy()
    one, two = (
        cross_val_score(HuberRegressor(), X, y, scoring=SCORER, cv=FOLDS, n_jobs=n)
        for n in (1, 2)
    )
    np.testing.assert_array_equal(one, two)
    np.testing.assert_allclose(one, fold_scores(X, y), rtol=1e-12)


def test_learning_curve():
    X, y = messy()
    sizes, train_scores, test_scores = learning_curve(
        HuberRegressor(), X, y, train_sizes=[20, 50, 100], cv=FOLDS, scoring=SCORER
    )
    np.testing.assert_array_equal(sizes, [20, 50, 100])
    for i, size in enumerate(sizes):
        for j, (train, test) in enumerate(FOLDS.split(X)):
            seen = train[:size]
            model = HuberRegressor().fit(X[seen], y[seen])
            for scores, rows in ((train_scores, seen), (test_scores, test)):
                expected = huber_score(y[rows], model.predict(X[rows]))
                np.testing.assert_allclose(scores[i, j], expected, rtol=1e-12)


@pytest.mark.parametrize(
    ("name", "values"), [("rho", [1.1, 2.0, 5.0]), ("scale", [0.1, 1.0, 10.0])]
)
def test_validation_curve(name, values):
    X, y = messy()
    _, scores = validation_curve(
        HuberRegressor(),
        X,
        y,
        param_name=name,
        param_range=values,
        cv=FOLDS,
        scoring=SCORER,
    )
    expected = [fold_scores(X, y, **{name: value}) for value in values]
    np.testing.assert_allclose(scores, expected, rtol=1e-12)
    assert len(np.unique(scores)) == scores.size


# --- inspection -----------------------------------------------------------------------


def test_permutation_importance():
    X, y = misleading()

    def importances(model):
        return permutation_importance(
            model.fit(X, y), X, y, scoring=SCORER, n_repeats=5, random_state=0
        ).importances_mean

    found = importances(HuberRegressor())
    assert np.argsort(-found)[:3].tolist() == RANKED
    assert np.abs(found[[0, 2]]).max() < 0.05 * found[RANKED].min()
    # Least squares takes column 0 for what matters most.
    assert np.argmax(importances(LinearRegression())) == 0


def test_partial_dependence():
    X, y = messy()
    model = HuberRegressor().fit(X, y)
    found = partial_dependence(model, X, [2], grid_resolution=7)
    (grid,) = found["grid_values"]
    middle = X.mean(axis=0)
    level = model.intercept_ + model.coef_ @ middle
    expected = level + model.coef_[2] * (grid - middle[2])
    np.testing.assert_allclose(found["average"], [expected], rtol=1e-10)
    # Its slope is that with which the data were made.
    slope = np.diff(found["average"][0]) / np.diff(grid)
    np.testing.assert_allclose(slope, problems.plain(150, 4).coef[2], atol=0.15)


# --- selection of features ------------------------------------------------------------


def elimination(X, y):
    """The columns left when the smallest coefficients are left out one by one."""
    left = list(range(X.shape[1]))
    yield left
    while len(left) > 1:
        model = HuberRegressor().fit(X[:, left], y)
        worst = left[np.argmin(np.abs(model.coef_))]
        left = [column for column in left if column != worst]
        yield left


def test_rfe():
    X, y = misleading()
    selector = RFE(HuberRegressor(), n_features_to_select=1).fit(X, y)
    by_hand = list(elimination(X, y))
    expected = [1 + sum(j not in left for left in by_hand) for j in range(5)]
    np.testing.assert_array_equal(selector.ranking_, expected)
    assert np.argsort(selector.ranking_)[:3].tolist() == RANKED
    assert_same_bits(selector.estimator_, HuberRegressor().fit(X[:, [1]], y))


def test_rfecv():
    X, y = misleading()
    selector = RFECV(HuberRegressor(), cv=FOLDS, scoring=SCORER).fit(X, y)
    scores = np.empty((3, 5))
    for i, (train, test) in enumerate(FOLDS.split(X)):
        for left in elimination(X[train], y[train]):
            model = HuberRegressor().fit(X[train][:, left], y[train])
            prediction = model.predict(X[test][:, left])
            scores[i, len(left) - 1] = huber_score(y[test], prediction)
    expected = scores.mean(axis=0)
    np.testing.assert_allclose(
        selector.cv_results_["mean_test_score"], expected, rtol=1e-9
    )
    assert selector.n_features_ == 1 + np.argmax(expected)
    assert selector.support_[RANKED].all()


@pytest.mark.parametrize("prefit", [False, True])
def test_select_from_model(prefit):
    X, y = misleading()

    def support(model):
        selector = SelectFromModel(model, threshold=0.5, prefit=prefit)
        return selector.fit(X, y).get_support()

    def model(kind):
        return kind().fit(X, y) if prefit else kind()

    np.testing.assert_array_equal(support(model(HuberRegressor)), MISLEADING_COEF > 0.5)
    # What least squares finds in the outliers is anything but this.
    assert support(model(LinearRegression))[0]


def test_select_from_model_passes_weights():
    X, y = misleading()
    s = whole_weights(len(y))
    selector = SelectFromModel(HuberRegressor(), threshold=0.5)
    selector.fit(X, y, sample_weight=s)
    expected = fit_repeated(HuberRegressor(), X, y, s)
    assert_same_model(selector.estimator_, expected)
    np.testing.assert_array_equal(
        selector.transform(X), X[:, np.abs(expected.coef_) >= 0.5]
    )


@pytest.mark.parametrize("direction", ["forward", "backward"])
def test_sequential_feature_selector(direction):
    X, y = misleading()
    selector = SequentialFeatureSelector(
        HuberRegressor(),
        n_features_to_select=2,
        direction=direction,
        scoring=SCORER,
        cv=FOLDS,
    ).fit(X, y)
    forward = direction == "forward"
    chosen = set() if forward else set(range(5))
    while len(chosen) != 2:
        candidates = [chosen ^ {j} for j in range(5) if (j in chosen) != forward]
        scores = [fold_scores(X[:, sorted(c)], y).mean() for c in candidates]
        chosen = candidates[np.argmax(scores)]
    assert selector.get_support(indices=True).tolist() == sorted(chosen)
    assert chosen == set(RANKED[:2])
