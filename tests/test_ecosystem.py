"""HuberRegressor within scikit-learn's ensembles and pipelines, with pandas and polars.

Each result is compared with the tool's computation restated by hand, or with an
outcome known from how the data were made.
"""

import copy
import inspect
import pickle

import joblib
import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse as sp
from sklearn.base import clone
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.ensemble import (
    AdaBoostRegressor,
    BaggingRegressor,
    StackingRegressor,
    VotingRegressor,
)
from sklearn.exceptions import NotFittedError
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.feature_selection import RFE
from sklearn.impute import IterativeImputer
from sklearn.linear_model import LinearRegression, RANSACRegressor
from sklearn.model_selection import GridSearchCV, cross_val_predict, cross_val_score
from sklearn.multioutput import MultiOutputRegressor, RegressorChain
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, PolynomialFeatures, StandardScaler

from by_hand import (
    FOLDS,
    NAMES,
    SCORER,
    assert_robust,
    assert_same_model,
    fit_repeated,
    fold_scores,
    messy,
    misleading,
    out_of_fold,
    r2,
    whole_weights,
)
from compare import assert_same_bits
from skhuber import HuberRegressor

# --- ensembles ------------------------------------------------------------------------


def test_stacking():
    X, y = messy()
    members = [HuberRegressor(), LinearRegression()]
    stack = StackingRegressor(
        [("huber", members[0]), ("squares", members[1])],
        final_estimator=HuberRegressor(rho=2.0),
        cv=FOLDS,
    ).fit(X, y)
    inner = np.column_stack([out_of_fold(member, X, y) for member in members])
    outer = HuberRegressor(rho=2.0).fit(inner, y)
    assert_same_model(stack.final_estimator_, outer)
    outputs = np.column_stack([clone(m).fit(X, y).predict(X) for m in members])
    np.testing.assert_allclose(stack.predict(X), outer.predict(outputs), rtol=1e-7)
    assert_robust(stack.predict(X))


@pytest.mark.parametrize("weighted", [False, True])
def test_voting(weighted):
    X, y = messy()
    times = whole_weights(len(y), weighted)
    members = [HuberRegressor(), HuberRegressor(scale="mad"), HuberRegressor(scale=2.5)]
    shares = [1.0, 5.0, 2.0]
    vote = VotingRegressor(
        [(f"member{i}", member) for i, member in enumerate(members)], weights=shares
    ).fit(X, y, **({"sample_weight": times} if weighted else {}))
    fits = [fit_repeated(member, X, y, times) for member in members]
    for found, expected in zip(vote.estimators_, fits, strict=True):
        assert_same_model(found, expected)
    expected = np.average([fit.predict(X) for fit in fits], axis=0, weights=shares)
    np.testing.assert_allclose(vote.predict(X), expected, rtol=1e-7)
    assert_robust(vote.predict(X))


@pytest.mark.parametrize("weighted", [False, True])
def test_bagging(weighted):
    """With weights of 0 and 1, which mean the same in all versions of the tool."""
    X, y = messy()
    s = (np.arange(len(y)) % 3 > 0).astype(float) if weighted else np.ones(len(y))
    bagging = BaggingRegressor(HuberRegressor(), n_estimators=4, random_state=0)
    bagging.fit(X, y, **({"sample_weight": s} if weighted else {}))
    predictions = []
    for member, drawn in zip(
        bagging.estimators_, bagging.estimators_samples_, strict=True
    ):
        rows = drawn[s[drawn] > 0]
        by_hand = HuberRegressor().fit(X[rows], y[rows])
        assert_same_model(member, by_hand)
        predictions.append(by_hand.predict(X))
    assert len({member.intercept_ for member in bagging.estimators_}) == 4
    np.testing.assert_allclose(
        bagging.predict(X), np.mean(predictions, axis=0), rtol=1e-7
    )
    assert_robust(bagging.predict(X))


def test_adaboost():
    """Against AdaBoost.R2 as Drucker (1997) states it, with a linear loss."""
    X, y = messy()
    boosted = AdaBoostRegressor(HuberRegressor(), n_estimators=4, random_state=0)
    boosted.fit(X, y)
    assert len(boosted.estimators_) == 4
    rng = np.random.RandomState(0)
    share = np.full(len(y), 1 / len(y))
    predictions, votes = [], []
    for member in boosted.estimators_:
        rows = rng.choice(len(y), size=len(y), p=share)
        by_hand = HuberRegressor().fit(X[rows], y[rows])
        assert_same_bits(member, by_hand)
        predictions.append(by_hand.predict(X))
        error = np.abs(predictions[-1] - y)
        error /= error.max()
        beta = share @ error / (1 - share @ error)
        votes.append(np.log(1 / beta))
        share = share * beta ** (1 - error)
        share /= share.sum()
    order = np.argsort(predictions, axis=0)
    cumulated = np.cumsum(np.array(votes)[order], axis=0)
    middle = np.argmax(cumulated >= cumulated[-1] / 2, axis=0)
    rows = np.arange(len(y))
    expected = np.array(predictions)[order[middle, rows], rows]
    np.testing.assert_array_equal(boosted.predict(X), expected)
    assert_robust(boosted.predict(X))


# --- other regressors around ours -----------------------------------------------------


@pytest.mark.parametrize("weighted", [False, True])
def test_transformed_target(weighted):
    X, y = messy()
    y = np.exp(y / 10)
    times = whole_weights(len(y), weighted)
    model = TransformedTargetRegressor(
        HuberRegressor(), func=np.log, inverse_func=np.exp
    ).fit(X, y, **({"sample_weight": times} if weighted else {}))
    by_hand = fit_repeated(HuberRegressor(), X, np.log(y), times)
    assert_same_model(model.regressor_, by_hand)
    np.testing.assert_allclose(model.predict(X), np.exp(by_hand.predict(X)), rtol=1e-7)
    assert_robust(10 * np.log(model.predict(X)))


@pytest.mark.parametrize("weighted", [False, True])
def test_multi_output(weighted):
    X, first = messy()
    Y = np.column_stack([first, misleading()[1]])
    times = whole_weights(len(Y), weighted)
    model = MultiOutputRegressor(HuberRegressor())
    model.fit(X, Y, **({"sample_weight": times} if weighted else {}))
    for j in range(2):
        by_hand = fit_repeated(HuberRegressor(), X, Y[:, j], times)
        assert_same_model(model.estimators_[j], by_hand)
        np.testing.assert_allclose(
            model.predict(X)[:, j], by_hand.predict(X), rtol=1e-7
        )
    assert_robust(model.predict(X)[:, 0])


def test_regressor_chain():
    X, first = messy()
    second = 2 * first + np.random.default_rng(1).normal(size=len(first))
    chain = RegressorChain(HuberRegressor(), order=[1, 0])
    chain.fit(X, np.column_stack([first, second]))
    link = HuberRegressor().fit(X, second)
    last = HuberRegressor().fit(np.column_stack([X, second]), first)
    predicted = link.predict(X)
    expected = [last.predict(np.column_stack([X, predicted])), predicted]
    np.testing.assert_allclose(chain.predict(X).T, expected, rtol=1e-7)
    # It was the second target that the first was predicted from.
    assert chain.estimators_[1].coef_[-1] > 0.2


def test_ransac():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(150, 3))
    coef = np.array([3.0, -2.0, 1.0])
    y = 5.0 + X @ coef + 0.1 * rng.normal(size=150)
    bad = rng.random(150) < 0.4
    y[bad] += 50.0
    ransac = RANSACRegressor(
        HuberRegressor(), min_samples=15, residual_threshold=2.0, random_state=0
    ).fit(X, y)
    np.testing.assert_array_equal(ransac.inlier_mask_, ~bad)
    assert_same_bits(ransac.estimator_, HuberRegressor().fit(X[~bad], y[~bad]))
    np.testing.assert_allclose(ransac.estimator_.coef_, coef, atol=0.05)
    np.testing.assert_allclose(ransac.predict(X), 5.0 + X @ coef, atol=0.15)


def test_iterative_imputer():
    """The values it arrives at are what the fits to them predict."""
    rng = np.random.default_rng(0)
    whole = rng.normal(size=(150, 4))
    whole[:, 0] = 5.0 + whole[:, 2:] @ [1.0, 2.0] + 0.1 * rng.normal(size=150)
    whole[:, 1] = whole[:, 0] + whole[:, 2] + 0.1 * rng.normal(size=150)
    whole[::10, 0] += 100.0
    gaps = np.zeros(whole.shape, dtype=bool)
    gaps[3::10, 0] = gaps[5::10, 1] = gaps[7::20, :2] = True
    imputer = IterativeImputer(HuberRegressor(), max_iter=200, tol=1e-10)
    filled = imputer.fit_transform(np.where(gaps, np.nan, whole))
    np.testing.assert_array_equal(filled[~gaps], whole[~gaps])
    for j in (0, 1):
        others = np.delete(filled, j, axis=1)
        seen = ~gaps[:, j]
        by_hand = HuberRegressor().fit(others[seen], whole[seen, j])
        np.testing.assert_allclose(
            filled[~seen, j], by_hand.predict(others[~seen]), atol=1e-6
        )
    # The outliers in column 0 spoil nothing that was filled in.
    np.testing.assert_allclose(filled[gaps], whole[gaps], atol=1.0)


def regressor_in(model):
    """The fitted regressor, or the first of them, in a meta-estimator."""
    if hasattr(model, "estimators_"):
        return model.estimators_[0]
    for name in ("best_estimator_", "regressor_", "estimator_"):
        if hasattr(model, name):
            return getattr(model, name)
    return model[-1]


@pytest.mark.parametrize(
    "around",
    [
        make_pipeline(HuberRegressor()),
        GridSearchCV(HuberRegressor(), {"rho": [1.35]}, cv=2),
        TransformedTargetRegressor(HuberRegressor()),
        VotingRegressor([("huber", HuberRegressor())]),
        StackingRegressor([("huber", HuberRegressor())], HuberRegressor()),
        BaggingRegressor(HuberRegressor(), n_estimators=2, random_state=0),
        AdaBoostRegressor(HuberRegressor(), n_estimators=2, random_state=0),
        MultiOutputRegressor(HuberRegressor()),
        RANSACRegressor(HuberRegressor(), min_samples=20, random_state=0),
        RFE(HuberRegressor(), n_features_to_select=4),
    ],
    ids=lambda around: type(around).__name__,
)
def test_meta_estimators_know_the_features(around):
    X, y = messy()
    model = clone(around)
    y = y.reshape(-1, 1) if isinstance(model, MultiOutputRegressor) else y
    model.fit(X, y)
    assert model.n_features_in_ == 4
    assert type(regressor_in(model)) is HuberRegressor
    assert regressor_in(model).n_features_in_ == 4
    with pytest.raises(ValueError, match=r"X has 3 features, but .* expecting 4"):
        model.predict(X[:, :3])
    model.fit(pd.DataFrame(X, columns=NAMES), y)
    assert list(model.feature_names_in_) == NAMES


# --- pipelines and frames -------------------------------------------------------------


def test_scaling_after_polynomial_features_changes_nothing():
    X, y = messy(p=3)
    X = X * [1.0, 100.0, 0.001] + [0.0, 1000.0, 0.0]
    scaled = make_pipeline(
        PolynomialFeatures(2, include_bias=False),
        StandardScaler(),
        HuberRegressor(alpha=0),
    ).fit(X, y)
    unscaled = make_pipeline(
        PolynomialFeatures(2, include_bias=False), HuberRegressor(alpha=0)
    ).fit(X, y)
    np.testing.assert_allclose(
        scaled.predict(X), unscaled.predict(X), rtol=1e-8, atol=1e-8
    )
    # The columns differ much in size: there was something to be indifferent to.
    widths = unscaled[:-1].transform(X).std(axis=0)
    assert widths.max() > 1e10 * widths.min()
    np.testing.assert_allclose(
        unscaled[-1].coef_ * widths, scaled[-1].coef_, rtol=1e-6, atol=1e-8
    )


def test_column_transformer_with_strings():
    rng = np.random.default_rng(0)
    n = 200
    effects = {"east": 30.0, "north": -20.0, "south": 0.0}
    frame = pd.DataFrame(
        {
            "area": rng.uniform(40, 250, n),
            "district": rng.choice(list(effects), n),
            "rooms": rng.integers(1, 7, n),
        }
    )
    district = frame["district"].to_numpy()
    level = np.array([effects[name] for name in district])
    y = 2.0 * frame["area"] + 10.0 * frame["rooms"] + level + rng.normal(size=n)
    y[::10] += 5000.0
    model = make_pipeline(
        ColumnTransformer(
            [
                ("district", OneHotEncoder(), ["district"]),
                ("numbers", "passthrough", ["area", "rooms"]),
            ],
            sparse_threshold=1.0,
        ),
        HuberRegressor(),
    ).fit(frame, y)
    assert sp.issparse(model[:-1].transform(frame))
    indicators = [district == name for name in sorted(effects)]
    by_hand = np.column_stack([*indicators, frame["area"], frame["rooms"]])
    dense = HuberRegressor().fit(by_hand, y.to_numpy())
    np.testing.assert_allclose(model[-1].coef_, dense.coef_, rtol=1e-6)
    np.testing.assert_allclose(model.predict(frame), dense.predict(by_hand), rtol=1e-8)
    east, north, south, area, rooms = model[-1].coef_
    np.testing.assert_allclose([east - south, north - south], [30.0, -20.0], atol=1.0)
    np.testing.assert_allclose([area, rooms], [2.0, 10.0], rtol=0.05)


@pytest.mark.parametrize(
    ("library", "frame"),
    [("pandas", pd.DataFrame), ("polars", pl.DataFrame)],
    ids=["pandas", "polars"],
)
def test_set_output(library, frame):
    X, y = messy()
    named = frame(dict(zip(NAMES, X.T, strict=True)))
    model = make_pipeline(StandardScaler(), HuberRegressor())
    model.set_output(transform=library).fit(named, y)
    scaled = model[:-1].transform(named)
    assert isinstance(scaled, frame)
    assert list(model[-1].feature_names_in_) == NAMES
    plain = StandardScaler().fit_transform(X)
    expected = HuberRegressor().fit(plain, y).predict(plain)
    np.testing.assert_allclose(model.predict(named), expected, rtol=1e-8)
    for data, predict in ((named, model.predict), (scaled, model[-1].predict)):
        with pytest.raises(ValueError, match=r"(?i)feature names.*same order"):
            predict(data[NAMES[::-1]])


def test_positions_count_and_not_a_pandas_index():
    X, y = messy()
    s = whole_weights(len(y))
    labels = np.random.default_rng(1).permutation(len(y))
    frame = pd.DataFrame(X, columns=NAMES)
    target = pd.Series(y, index=labels)
    weights = pd.Series(s, index=labels[::-1])
    expected = fit_repeated(HuberRegressor(), X, y, s)
    found = HuberRegressor().fit(frame, target, sample_weight=weights)
    assert_same_model(found, expected)
    np.testing.assert_array_equal(np.repeat(found.outliers_, s), expected.outliers_)
    np.testing.assert_allclose(
        found.score(frame, target, sample_weight=weights),
        r2(y, expected.predict(X), s),
        rtol=1e-7,
    )
    np.testing.assert_allclose(
        cross_val_predict(HuberRegressor(), frame, target, cv=FOLDS),
        out_of_fold(HuberRegressor(), X, y),
        rtol=1e-9,
    )


def test_polars_frame_and_series():
    X, y = messy()
    s = whole_weights(len(y))
    frame = pl.DataFrame(dict(zip(NAMES, X.T, strict=True)))
    target, weights = pl.Series("target", y), pl.Series("weight", s)
    expected = fit_repeated(HuberRegressor(), X, y, s)
    found = HuberRegressor().fit(frame, target, sample_weight=weights)
    assert list(found.feature_names_in_) == NAMES
    assert_same_model(found, expected)
    np.testing.assert_allclose(found.predict(frame), expected.predict(X), rtol=1e-7)
    np.testing.assert_allclose(
        cross_val_score(HuberRegressor(), frame, target, cv=FOLDS, scoring=SCORER),
        fold_scores(X, y),
        rtol=1e-9,
    )


# --- copies and parameters ------------------------------------------------------------


@pytest.mark.parametrize("fitted", [False, True])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"scale": 2.5},
        {
            "rho": 3,
            "scale": "mad",
            "alpha": 0,
            "fit_intercept": False,
            "max_iter": 99,
            "tol": 1e-9,
            "n_jobs": 1,
        },
    ],
    ids=["default", "fixed", "all"],
)
def test_clone(options, fitted):
    X, y = messy()
    model = HuberRegressor(**options)
    before = model.get_params()
    if fitted:
        model.fit(X, y)
    twin = clone(model)
    assert twin is not model
    assert type(twin) is HuberRegressor
    assert twin.get_params() == before
    assert before == {**HuberRegressor().get_params(), **options}
    assert set(vars(twin)) == set(before)
    with pytest.raises(NotFittedError):
        twin.predict(X)
    assert_same_bits(twin.fit(X, y), HuberRegressor(**options).fit(X, y))


def through_joblib(model, folder):
    joblib.dump(model, folder / "model.joblib")
    return joblib.load(folder / "model.joblib")


def through_memory_map(model, folder):
    joblib.dump(model, folder / "model.joblib")
    return joblib.load(folder / "model.joblib", mmap_mode="r")


def through_pickle(model, folder):
    return pickle.loads(pickle.dumps(model))


def through_deepcopy(model, folder):
    return copy.deepcopy(model)


@pytest.mark.parametrize(
    "duplicate",
    [through_joblib, through_memory_map, through_pickle, through_deepcopy],
)
def test_duplicates(duplicate, tmp_path):
    X, y = messy()
    frame = pd.DataFrame(X, columns=NAMES)
    original = HuberRegressor(scale=2.5, warm_start=True).fit(frame, y)
    expected = original.predict(frame)
    twin = duplicate(original, tmp_path)
    assert_same_bits(twin, original)
    assert set(vars(twin)) == set(vars(original))
    assert twin.get_params() == original.get_params()
    assert list(twin.feature_names_in_) == NAMES
    np.testing.assert_array_equal(twin.predict(frame), expected)
    # Neither knows of what becomes of the other.
    twin.fit(frame, -3 * y)
    np.testing.assert_array_equal(original.predict(frame), expected)
    assert not np.shares_memory(twin.coef_, original.coef_)


def test_duplicate_of_a_pipeline(tmp_path):
    X, y = messy()
    model = make_pipeline(StandardScaler(), HuberRegressor()).fit(X, y)
    twin = through_joblib(model, tmp_path)
    np.testing.assert_array_equal(twin.predict(X), model.predict(X))
    assert_same_bits(twin[-1], model[-1])


def test_html_representation():
    X, y = messy()
    model = make_pipeline(StandardScaler(), HuberRegressor(rho=3.25, scale=2.5))
    for estimator in (model, model[-1]):
        html = estimator._repr_html_()
        for word in ("HuberRegressor", "rho", "3.25", "scale", "2.5"):
            assert word in html
        assert "<span>Not fitted</span>" in html
    html = model.fit(X, y)[-1]._repr_html_()
    assert "<span>Fitted</span>" in html
    assert repr(model[-1]) == "HuberRegressor(rho=3.25, scale=2.5)"


def test_get_params_and_set_params():
    parameters = inspect.signature(HuberRegressor).parameters
    defaults = {name: parameter.default for name, parameter in parameters.items()}
    assert HuberRegressor().get_params() == defaults
    options = {
        "rho": 2.0,
        "scale": 2.5,
        "alpha": 0.5,
        "fit_intercept": False,
        "max_iter": 50,
        "tol": 1e-10,
        "warm_start": True,
        "n_jobs": 2,
    }
    assert all(defaults[name] != value for name, value in options.items())
    expected = {**defaults, **options}
    assert HuberRegressor(**options).get_params() == expected
    model = HuberRegressor()
    assert model.set_params(**options) is model
    assert model.get_params() == expected
    with pytest.raises(ValueError, match="Invalid parameter 'epsilon'"):
        model.set_params(epsilon=1.35)
    assert model.get_params() == expected
    again = HuberRegressor().set_params(**model.get_params())
    assert again.get_params() == expected


def test_parameters_set_from_outside_reach_the_fit():
    X, y = messy()
    model = make_pipeline(StandardScaler(), HuberRegressor())
    model.fit(X, y)
    model.set_params(huberregressor__rho=2.0, huberregressor__scale=2.5)
    assert model.get_params()["huberregressor__scale"] == 2.5
    # What was fitted before has not changed yet.
    assert model[-1].rho_ == 1.35
    assert model[-1].scale_ != 2.5
    model.fit(X, y)
    scaled = StandardScaler().fit_transform(X)
    assert_same_bits(model[-1], HuberRegressor(2.0, scale=2.5).fit(scaled, y))
    assert model[-1].scale_ == 2.5
