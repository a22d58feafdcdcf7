"""Paths and cross-validation, against single fits and scikit-learn's grid search."""

import warnings

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import sklearn
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import make_scorer, mean_absolute_error
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    KFold,
    ShuffleSplit,
    cross_validate,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import naive
import problems
from compare import assert_same_bits
from peaks import peak_of
from skhuber import HuberRegressor, HuberRegressorCV, huber_path, make_huber_scorer

PROBLEM = problems.house_prices(120, 3)
X, Y = PROBLEM.X, PROBLEM.y
RHOS = [1.1, 1.35, 2.0, 4.0]
ALPHAS = [1e-4, 1e5]


# --- path -------------------------------------------------------------------------


@pytest.mark.parametrize("scale", ["joint", "mad", 3e4])
def test_a_path_is_a_table_of_fits(scale):
    weight = np.arange(120) % 3 / 2
    path = huber_path(X, Y, rhos=RHOS, alphas=ALPHAS, scale=scale, sample_weight=weight)
    assert path.coefs.shape == (4, 2, 3)
    np.testing.assert_array_equal(path.rhos, RHOS)
    np.testing.assert_array_equal(path.alphas, ALPHAS)
    for i, rho in enumerate(RHOS):
        for j, alpha in enumerate(ALPHAS):
            fit = HuberRegressor(rho, alpha=alpha, scale=scale).fit(X, Y, weight)
            np.testing.assert_allclose(path.coefs[i, j], fit.coef_, rtol=1e-9)
            np.testing.assert_allclose(path.intercepts[i, j], fit.intercept_, 1e-9)
            np.testing.assert_allclose(path.scales[i, j], fit.scale_, rtol=1e-9)
            np.testing.assert_allclose(path.objectives[i, j], fit.objective_, 1e-12)
            assert path.n_outliers[i, j] == fit.outliers_[weight > 0].sum()
            share = weight[fit.outliers_].sum() / weight.sum()
            np.testing.assert_allclose(path.outlier_shares[i, j], share, atol=1e-12)
            assert path.gaps[i, j] <= 1e-12
            assert path.converged[i, j]


def test_a_path_counts_the_sweeps_of_all_its_fits():
    one = huber_path(X, Y, rhos=[1.35]).n_sweeps
    assert one == HuberRegressor().fit(X, Y).n_sweeps_
    assert one < huber_path(X, Y, rhos=RHOS).n_sweeps < 4 * one


def test_a_path_warns_of_fits_that_have_not_converged():
    with pytest.warns(ConvergenceWarning, match=r"huber_path: 2 of 2 fits did not"):
        path = huber_path(X, Y, rhos=[1.35, 2.0], max_iter=0)
    assert not path.converged.any()


def test_a_path_does_not_start_at_a_scale_of_zero():
    """Nearly exact fits lead nowhere: their loss is too stiff to be left."""
    rng = np.random.default_rng(3)
    data = rng.normal(size=(30, 60))
    y = data @ rng.normal(size=60) + rng.standard_t(2, size=30)
    path = huber_path(data, y, rhos=[2.0], alphas=[0.1, 10.0])
    warm = HuberRegressor(2.0, alpha=0.1, warm_start=True).fit(data, y)
    warm.set_params(alpha=10.0).fit(data, y)
    alone = HuberRegressor(2.0, alpha=10.0).fit(data, y)
    np.testing.assert_allclose(path.objectives[0, 1], alone.objective_, rtol=1e-10)
    np.testing.assert_allclose(warm.objective_, alone.objective_, rtol=1e-10)


def test_layouts_of_a_path():
    plain = huber_path(X, Y, rhos=RHOS)
    for data in (pd.DataFrame(X), sp.csr_array(X), np.asfortranarray(X)):
        other = huber_path(data, Y, rhos=RHOS)
        np.testing.assert_allclose(other.coefs, plain.coefs, rtol=1e-9)


# --- cross-validation -------------------------------------------------------------


def scores_by_candidate(results):
    """Scores over the folds, by (rho, alpha)."""
    n = sum(name.startswith("split") for name in results)
    return {
        (candidate["rho"], candidate["alpha"]): [
            results[f"split{k}_test_score"][i] for k in range(n)
        ]
        for i, candidate in enumerate(results["params"])
    }


def assert_like_grid_search(model, search, tol=1e-8):
    assert (model.rho_, model.alpha_) == (
        search.best_params_["rho"],
        search.best_params_["alpha"],
    )
    np.testing.assert_allclose(model.best_score_, search.best_score_, rtol=tol)
    ours = scores_by_candidate(model.cv_results_)
    theirs = scores_by_candidate(search.cv_results_)
    assert ours.keys() == theirs.keys()
    for candidate, scores in ours.items():
        np.testing.assert_allclose(scores, theirs[candidate], rtol=tol)


@pytest.mark.parametrize("scale", ["joint", "mad", 3e4])
@pytest.mark.parametrize(
    "cv", [None, 3, KFold(4, shuffle=True, random_state=0)], ids=str
)
def test_the_same_as_a_grid_search(scale, cv):
    model = HuberRegressorCV(RHOS, alphas=ALPHAS, scale=scale, cv=cv).fit(X, Y)
    search = GridSearchCV(
        HuberRegressor(scale=scale),
        {"rho": RHOS, "alpha": ALPHAS},
        scoring=make_huber_scorer(rho=model.scoring_threshold_),
        cv=cv,
    ).fit(X, Y)
    assert_like_grid_search(model, search)
    assert model.n_splits_ == search.n_splits_
    best = search.best_estimator_
    np.testing.assert_allclose(model.coef_, best.coef_, rtol=1e-12)


@pytest.mark.compiled
@pytest.mark.parametrize("kind", ["C", "F", "CSR"])
def test_the_same_as_a_grid_search_on_large_data(kind):
    problem = problems.plain(100_000, 5)
    data = {"C": np.asarray, "F": np.asfortranarray, "CSR": sp.csr_array}[kind](
        problem.X
    )
    rhos = [1.2, 1.5, 2.5]
    model = HuberRegressorCV(rhos, alphas=[1e-4, 10.0], cv=3).fit(data, problem.y)
    search = GridSearchCV(
        HuberRegressor(),
        {"rho": rhos, "alpha": [1e-4, 10.0]},
        scoring=make_huber_scorer(rho=model.scoring_threshold_),
        cv=3,
    ).fit(data, problem.y)
    assert_like_grid_search(model, search)


@pytest.mark.compiled
def test_the_same_bits_for_any_number_of_threads():
    problem = problems.plain(90_000, 5)
    one, two = (
        HuberRegressorCV([1.2, 1.5, 2.5, 4.0], cv=3, n_jobs=n_jobs).fit(
            problem.X, problem.y
        )
        for n_jobs in (1, 2)
    )
    assert_same_bits(one, two)
    for name, score in one.cv_results_.items():
        np.testing.assert_array_equal(score, two.cv_results_[name])


@pytest.mark.compiled
@pytest.mark.parametrize("order", ["C", "F"])
def test_no_copy_of_the_data_is_made_for_the_folds(order):
    problem = problems.plain(70_000, 40)
    data = np.array(problem.X, order=order)
    model = HuberRegressorCV([1.2, 1.5, 2.5, 4.0], cv=2, scoring=lambda *_: 0.0)
    model.fit(data, problem.y)  # compiles
    _, peak = peak_of(lambda: model.fit(data, problem.y))
    # Half of the rows are those of a test, which scorers get. In F order a copy of the
    # other half is made, of one fold at a time. The rest are some numbers for each row.
    assert peak <= (0.8 if order == "C" else 1.25) * data.nbytes


def test_single_precision():
    model = HuberRegressorCV(RHOS, cv=3).fit(X.astype(np.float32), Y)
    search = GridSearchCV(
        HuberRegressor(),
        {"rho": RHOS, "alpha": [1e-4]},
        scoring=make_huber_scorer(rho=model.scoring_threshold_),
        cv=3,
    ).fit(X.astype(np.float32), Y)
    assert model.coef_.dtype == np.float32
    assert_like_grid_search(model, search, tol=1e-6)


@pytest.mark.parametrize(
    "scoring",
    ["neg_mean_absolute_error", make_scorer(mean_absolute_error), "r2"],
    ids=["name", "scorer", "r2"],
)
def test_other_scorers(scoring):
    model = HuberRegressorCV(RHOS, alphas=ALPHAS, scoring=scoring).fit(X, Y)
    search = GridSearchCV(
        HuberRegressor(), {"rho": RHOS, "alpha": ALPHAS}, scoring=scoring
    ).fit(X, Y)
    assert_like_grid_search(model, search)
    assert model.scoring_threshold_ is None


def test_a_callable_may_look_at_the_model():
    def scoring(model, X, y):
        assert model.scale_ > 0
        return -model.rho_

    model = HuberRegressorCV(RHOS, scoring=scoring).fit(X, Y)
    assert model.rho_ == 1.1
    assert model.best_score_ == -1.1


def test_the_yardstick():
    model = HuberRegressorCV(RHOS, alphas=[5.0, 1e-4], scale=1e4).fit(X, Y)
    first = HuberRegressor(1.35, alpha=1e-4).fit(X, Y)
    scale = naive.mad_scale(Y - first.predict(X))
    np.testing.assert_allclose(model.scoring_threshold_, 1.345 * scale, rtol=1e-9)
    other = HuberRegressorCV([1.5, 3.0], cv=3).fit(X, Y)
    np.testing.assert_allclose(other.scoring_threshold_, model.scoring_threshold_)


def test_results_are_ready_for_a_frame():
    model = HuberRegressorCV(RHOS, alphas=ALPHAS, cv=3).fit(X, Y)
    table = pd.DataFrame(model.cv_results_)
    assert len(table) == 8
    folds = table[[f"split{k}_test_score" for k in range(3)]].to_numpy()
    np.testing.assert_allclose(table["mean_test_score"], folds.mean(axis=1))
    np.testing.assert_allclose(table["std_test_score"], folds.std(axis=1))
    best = table.iloc[model.best_index_]
    assert best["rank_test_score"] == 1
    assert best["mean_test_score"] == table["mean_test_score"].max()
    assert (best["param_rho"], best["param_alpha"]) == (model.rho_, model.alpha_)
    assert best["params"] == {"rho": model.rho_, "alpha": model.alpha_}


def test_the_last_fit_is_that_of_the_regressor():
    weight = np.arange(120) % 3 + 1.0
    model = HuberRegressorCV(RHOS, alphas=ALPHAS).fit(X, Y, weight)
    alone = HuberRegressor(model.rho_, alpha=model.alpha_).fit(X, Y, weight)
    assert_same_bits(model, alone)
    np.testing.assert_array_equal(model.predict(X), alone.predict(X))
    assert model.score(X, Y) == alone.score(X, Y)


@pytest.mark.parametrize("routing", [False, True])
def test_weights_count_in_fits_and_scores(routing):
    weight = np.random.default_rng(0).uniform(0.1, 3.0, 120)
    with sklearn.config_context(enable_metadata_routing=routing):
        model = HuberRegressorCV(RHOS, cv=3)
        if routing:
            model.set_fit_request(sample_weight=True)
        model.fit(X, Y, sample_weight=weight)
    scorer = make_huber_scorer(rho=model.scoring_threshold_)
    for k, (train, test) in enumerate(KFold(3).split(X)):
        for i, rho in enumerate(RHOS):
            fit = HuberRegressor(rho).fit(X[train], Y[train], weight[train])
            score = scorer(fit, X[test], Y[test], sample_weight=weight[test])
            found = model.cv_results_[f"split{k}_test_score"][i]
            np.testing.assert_allclose(found, score, rtol=1e-9)


def test_weights_and_groups_are_routed():
    groups = np.arange(120) // 10
    weight = np.linspace(0.5, 2.0, 120)
    scorer = make_huber_scorer(rho=3e4)
    with sklearn.config_context(enable_metadata_routing=True):
        model = HuberRegressorCV(
            RHOS,
            cv=GroupKFold(3),
            scoring=scorer.set_score_request(sample_weight=False),
        ).set_fit_request(sample_weight=True)
        model.set_score_request(sample_weight=True)
        model.fit(X, Y, sample_weight=weight, groups=groups)
        nested = cross_validate(
            model, X, Y, params={"sample_weight": weight, "groups": groups}, cv=2
        )
    unweighted = [
        make_huber_scorer(rho=3e4)(
            HuberRegressor(1.35).fit(X[train], Y[train], weight[train]),
            X[test],
            Y[test],
        )
        for train, test in GroupKFold(3).split(X, groups=groups)
    ]
    found = [model.cv_results_[f"split{k}_test_score"][1] for k in range(3)]
    np.testing.assert_allclose(found, unweighted, rtol=1e-9)
    assert np.isfinite(nested["test_score"]).all()


def test_weights_are_kept_from_scorers_that_take_none():
    def scoring(model, X, y):
        return -np.abs(y - model.predict(X)).mean()

    weight = np.linspace(0.5, 2.0, 120)
    model = HuberRegressorCV(RHOS, scoring=scoring).fit(X, Y, weight)
    search = GridSearchCV(HuberRegressor(), {"rho": RHOS}, scoring=scoring)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that the scorer takes none
        search.fit(X, Y, sample_weight=weight)
    np.testing.assert_allclose(model.best_score_, search.best_score_, rtol=1e-9)


def test_the_yardstick_where_most_targets_are_met_exactly():
    y = (np.arange(120) % 60 == 0).astype(float)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = HuberRegressorCV([1.35, 2.0]).fit(X - X.mean(axis=0), y)
    assert model.scoring_threshold_ > 1e-3


@pytest.mark.parametrize("far", [1e9, 1e11, 1e30])
def test_the_yardstick_is_robust_and_weighted(far):
    X, y, *_ = problems.plain(200, 3)
    weight = np.ones(200)
    weight[0] = 0.0
    usual = HuberRegressorCV(RHOS).fit(X, y)
    absent = HuberRegressorCV(RHOS).fit(X, y, weight)
    y = y.copy()
    y[0] += far
    outlier = HuberRegressorCV(RHOS).fit(X, y)
    np.testing.assert_allclose(
        outlier.scoring_threshold_, usual.scoring_threshold_, rtol=0.05
    )
    without = HuberRegressorCV(RHOS).fit(X, y, weight)
    np.testing.assert_allclose(
        without.scoring_threshold_, absent.scoring_threshold_, rtol=1e-9
    )
    assert without.rho_ == absent.rho_


def test_the_yardstick_of_residuals_most_of_which_are_zero():
    """It is that of the others, however far a few of them are."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(120, 3))
    y = X @ [1.0, 2.0, 3.0]
    y[:40] += rng.normal(size=40)
    y[0] = 1e20
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = HuberRegressorCV([1.35, 2.0], alphas=[0.0]).fit(X, y)
    assert 0.5 < model.scoring_threshold_ < 4.0


def test_a_generator_of_folds_is_not_used_up_by_routing():
    def folds():
        yield np.arange(60), np.arange(60, 120)

    with sklearn.config_context(enable_metadata_routing=True):
        model = HuberRegressorCV(RHOS, cv=folds()).fit(X, Y, sample_weight=np.ones(120))
    plain = HuberRegressorCV(RHOS, cv=folds()).fit(X, Y, sample_weight=np.ones(120))
    assert model.n_splits_ == plain.n_splits_ == 1
    assert model.best_score_ == plain.best_score_


def test_groups_without_routing():
    groups = np.arange(120) % 4
    model = HuberRegressorCV(RHOS, cv=GroupKFold(4)).fit(X, Y, groups=groups)
    splits = list(GroupKFold(4).split(X, groups=groups))
    other = HuberRegressorCV(RHOS, cv=splits).fit(X, Y)
    assert model.n_splits_ == 4
    np.testing.assert_array_equal(
        model.cv_results_["mean_test_score"], other.cv_results_["mean_test_score"]
    )


def test_splits_as_masks_and_repeated_rows():
    masks = [(np.arange(120) % 2 == k, np.arange(120) % 2 != k) for k in (0, 1)]
    numbers = [(np.nonzero(a)[0], np.nonzero(b)[0]) for a, b in masks]
    one = HuberRegressorCV(RHOS, cv=masks).fit(X, Y)
    other = HuberRegressorCV(RHOS, cv=numbers).fit(X, Y)
    assert one.best_score_ == other.best_score_
    twice = [(np.repeat(a, 2), b) for a, b in numbers]
    doubled = HuberRegressorCV(RHOS, cv=twice, alphas=[0.0]).fit(X, Y)
    single = HuberRegressorCV(RHOS, cv=numbers, alphas=[0.0]).fit(X, Y)
    np.testing.assert_allclose(doubled.best_score_, single.best_score_, rtol=1e-9)


def test_ties_go_to_the_first_candidate():
    model = HuberRegressorCV([5.0, 1.35], scoring=lambda m, X, y: 1.0).fit(X, Y)
    assert model.rho_ == 5.0
    assert list(model.cv_results_["rank_test_score"]) == [1, 1]


def test_scores_that_are_no_numbers_lose():
    def scoring(model, X, y):
        return np.nan if model.rho_ == 1.1 else -model.rho_

    with pytest.warns(UserWarning, match=f"not finite to 1 of {len(RHOS)} candidates"):
        model = HuberRegressorCV(RHOS, scoring=scoring).fit(X, Y)
    assert model.rho_ == 1.35


def test_in_a_pipeline_with_names_and_clones():
    frame = pd.DataFrame(X, columns=["year", "area", "distance"])
    model = make_pipeline(StandardScaler(), HuberRegressorCV(RHOS)).fit(frame, Y)
    plain = HuberRegressorCV(RHOS).fit(frame, Y)
    assert list(plain.feature_names_in_) == ["year", "area", "distance"]
    assert model[-1].n_features_in_ == 3
    copy = clone(plain)
    assert not hasattr(copy, "coef_")
    assert copy.get_params() == plain.get_params()


def test_verbose_prints_a_line_for_each_fold(capsys):
    HuberRegressorCV(RHOS, cv=3, verbose=True).fit(X, Y)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert lines[0].startswith("fold 1 of 3: best score -")
    assert "rho=" in lines[0]


def test_fits_that_have_not_converged_are_told_once():
    model = HuberRegressorCV([1.35, 2.0], cv=2, max_iter=0)
    with pytest.warns(ConvergenceWarning) as record:
        model.fit(X, Y)
    assert len(record) == 1
    message = str(record[0].message)
    assert message.startswith("HuberRegressorCV: 5 of 5 fits did not converge.")
    assert "rho=1.35" in message


# --- bad input --------------------------------------------------------------------

BAD = {
    "no rhos": ({"rhos": []}, ValueError, r"rhos must be a sequence of at least one"),
    "one rho": ({"rhos": 1.35}, TypeError, r"rhos must be a sequence .* got 1\.35"),
    "rho 0": ({"rhos": [1.35, 0.0]}, ValueError, r"rhos\[1\] must be .* got 0\.0"),
    "rho -1": ({"rhos": [-1.0]}, ValueError, r"rhos\[0\] must be .* got -1\.0"),
    "small joint rho": ({"rhos": [0.5]}, ValueError, r"rhos\[0\] must be .* >= 1"),
    "rho auto": ({"rhos": ["auto"]}, TypeError, r"rhos\[0\] must be .* got 'auto'"),
    "rhos a word": ({"rhos": "auto"}, TypeError, r"rhos must be .* got 'auto'"),
    "no alphas": ({"alphas": ()}, ValueError, r"alphas must be .* got \(\)"),
    "alpha -1": ({"alphas": [1.0, -1.0]}, ValueError, r"alphas\[1\] must be .* -1\.0"),
    "alpha inf": ({"alphas": [np.inf]}, ValueError, r"alphas\[0\] .* finite"),
    "scale": ({"scale": "huber"}, ValueError, r"scale must be .* got 'huber'"),
    "tol": ({"tol": -1}, ValueError, r"tol must be .* got -1"),
}
BAD_CV = {
    "scoring": ({"scoring": 3}, TypeError, r"scoring must be None, the name .* got 3"),
    "unknown scoring": ({"scoring": "best"}, ValueError, r"best"),
    "many folds": ({"cv": 200}, ValueError, r"n_splits=200"),
    "no folds": ({"cv": []}, ValueError, r"cv must give at least one fold"),
    "numbers too large": (
        {"cv": [(np.array([0, 1, 500]), np.array([3]))]},
        ValueError,
        r"cv must give numbers or masks of the 120 samples, got array\(\[  0,",
    ),
    "empty training": (
        {"cv": [(np.array([], dtype=int), np.arange(5))]},
        ValueError,
        r"cv must give folds .* got 0 training samples in fold 0",
    ),
    "empty test": (
        {"cv": [(np.arange(9), np.arange(5)), (np.arange(5), [])]},
        ValueError,
        r"got 0 test samples in fold 1",
    ),
    "verbose": ({"verbose": 2}, TypeError, r"verbose must be True or False, got 2"),
    "n_jobs": ({"n_jobs": 0}, ValueError, r"n_jobs must be .* got 0"),
}


@pytest.mark.parametrize(("changed", "error", "match"), BAD.values(), ids=BAD)
def test_bad_parameters_of_a_path(changed, error, match):
    with pytest.raises(error, match=match):
        huber_path(X, Y, **({"rhos": RHOS} | changed))


@pytest.mark.parametrize(
    ("changed", "error", "match"), (BAD | BAD_CV).values(), ids=BAD | BAD_CV
)
def test_bad_parameters_of_cross_validation(changed, error, match, monkeypatch):
    def fit(*args):
        raise AssertionError("no work before the parameters are checked")

    monkeypatch.setattr("skhuber._fit.grid.Grid.fit", fit)
    monkeypatch.setattr("skhuber._fit.fit_rows", fit)
    model = HuberRegressorCV(RHOS).set_params(**changed)
    before = vars(model).copy()
    with pytest.raises(error, match=match):
        model.fit(X, Y)
    assert vars(model) == before


def test_a_fold_without_weight():
    weight = np.ones(120)
    weight[:40] = 0.0
    with pytest.raises(ValueError, match=r"positive weight, got 40 test .* fold 0"):
        HuberRegressorCV(RHOS, cv=3).fit(X, Y, weight)


def test_metadata_that_nobody_asked_for():
    with pytest.raises(TypeError, match=r"fit got 'colour'.* allowed are X, y"):
        HuberRegressorCV(RHOS).fit(X, Y, colour="red")


def test_a_scorer_that_gives_no_number():
    model = HuberRegressorCV(RHOS, scoring=lambda model, X, y: "good")
    with pytest.raises(TypeError, match=r"scoring must return a number, got 'good'"):
        model.fit(X, Y)
    assert not hasattr(model, "cv_results_")


def test_bad_data():
    bad = X.copy()
    bad[3, 1] = np.nan
    for estimator in (HuberRegressorCV(RHOS), HuberRegressorCV(RHOS, scale="mad")):
        with pytest.raises(ValueError, match=r"X contains NaN"):
            estimator.fit(bad, Y)
    with pytest.raises(ValueError, match=r"X contains NaN"):
        huber_path(bad, Y, rhos=RHOS)
    with pytest.raises(ValueError, match=r"requires y"):
        HuberRegressorCV(RHOS).fit(X, None)


def test_splitters_with_randomness_are_asked_once():
    cv = ShuffleSplit(3, random_state=np.random.RandomState(0))
    model = HuberRegressorCV(RHOS, cv=cv).fit(X, Y)
    splits = list(ShuffleSplit(3, random_state=np.random.RandomState(0)).split(X))
    other = HuberRegressorCV(RHOS, cv=splits).fit(X, Y)
    assert model.best_score_ == other.best_score_
