"""HuberElasticNetCV: what it chooses, and that its errors are those of single fits."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.model_selection import GroupKFold, KFold

from skhuber import (
    HuberElasticNet,
    HuberElasticNetCV,
    huber_enet_path,
    mean_huber_error,
)

RNG = np.random.default_rng(0)
X = RNG.normal(size=(90, 8))
Y = 2.0 * X[:, 0] - 1.5 * X[:, 1] + RNG.standard_t(2, size=90)
FOLDS = KFold(3)


def test_errors_are_those_of_single_fits():
    model = HuberElasticNetCV([0.5, 1.0], n_alphas=6, rho=[1.2, 2.0], cv=FOLDS)
    model.fit(X, Y)
    assert model.alphas_.shape == (2, 2, 6)
    assert model.errors_.shape == (2, 2, 6, 3)
    for k, (train, test) in enumerate(FOLDS.split(X)):
        for i, j, a in ((0, 0, 3), (1, 1, 5)):
            alone = HuberElasticNet(
                model.alphas_[i, j, a], l1_ratio=[0.5, 1.0][j], rho=[1.2, 2.0][i]
            ).fit(X[train], Y[train])
            expected = mean_huber_error(
                Y[test], alone.predict(X[test]), rho=model.scoring_threshold_
            )
            assert model.errors_[i, j, a, k] == pytest.approx(expected, rel=1e-6)
    mean = model.errors_.mean(axis=-1)
    i, j, a = np.unravel_index(mean.argmin(), mean.shape)
    assert model.alpha_ == model.alphas_[i, j, a]
    assert (model.l1_ratio_, model.rho_) == ([0.5, 1.0][j], [1.2, 2.0][i])
    alone = HuberElasticNet(model.alpha_, l1_ratio=model.l1_ratio_, rho=model.rho_)
    assert_array_equal(model.coef_, alone.fit(X, Y).coef_)
    assert model.dual_gap_ == alone.dual_gap_


def test_one_standard_error():
    least = HuberElasticNetCV(n_alphas=20, cv=FOLDS).fit(X, Y)
    sparse = HuberElasticNetCV(n_alphas=20, cv=FOLDS, rule="1se").fit(X, Y)
    assert_array_equal(sparse.errors_, least.errors_)
    assert sparse.alpha_ > least.alpha_
    mean = least.errors_[0, 0].mean(axis=-1)
    best = mean.argmin()
    most = mean[best] + least.errors_[0, 0, best].std(ddof=1) / np.sqrt(3)
    chosen = list(sparse.alphas_[0, 0]).index(sparse.alpha_)
    assert mean[chosen] <= most
    assert (mean[:chosen] > most).all()


def test_the_criterion_is_that_of_the_path():
    model = HuberElasticNetCV(n_alphas=15, criterion="ebic").fit(X, Y)
    path = huber_enet_path(X, Y, n_alphas=15)
    assert_allclose(model.ebics_[0, 0], path.ebics, rtol=1e-10)
    assert model.alpha_ == pytest.approx(path.alphas[path.ebics.argmin()])
    assert_array_equal(np.flatnonzero(model.coef_), [0, 1])


def test_weights_and_groups():
    groups = np.arange(90) % 9
    weight = RNG.uniform(0.5, 2.0, 90)
    model = HuberElasticNetCV(n_alphas=4, cv=GroupKFold(3))
    model.fit(X, Y, weight, groups=groups)
    train, test = next(GroupKFold(3).split(X, Y, groups))
    alone = HuberElasticNet(model.alphas_[0, 0, 2]).fit(
        X[train], Y[train], weight[train]
    )
    expected = mean_huber_error(
        Y[test],
        alone.predict(X[test]),
        rho=model.scoring_threshold_,
        sample_weight=weight[test],
    )
    assert model.errors_[0, 0, 2, 0] == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"criterion": "aic"}, "criterion must be 'cv' or 'ebic', got 'aic'"),
        ({"rule": "max"}, "rule must be 'min' or '1se', got 'max'"),
        ({"l1_ratio": []}, "l1_ratio must be a sequence of at least one number"),
        ({"l1_ratio": [0.5, 2.0]}, "l1_ratio must be"),
        ({"alphas": []}, "alphas must be a sequence of at least one number"),
        ({"rho": [1.35, 2.0], "criterion": "ebic"}, "rho must be one number"),
        ({"bounds": (1, 0)}, "lower <= upper"),
    ],
)
def test_bad_values(options, message):
    with pytest.raises(ValueError, match=message):
        HuberElasticNetCV(**options).fit(X, Y)


def test_a_refit_with_the_other_criterion_leaves_nothing_of_the_last_one():
    rng = np.random.default_rng(0)
    Z = rng.normal(size=(60, 4))
    y = Z[:, 0] + rng.normal(size=60)
    model = HuberElasticNetCV(n_alphas=4, cv=3)
    by_folds = {"errors_", "scoring_threshold_", "scorer_", "n_splits_"}
    model.fit(Z, y)
    assert by_folds <= set(vars(model))
    assert not hasattr(model, "ebics_")
    model.set_params(criterion="ebic").fit(Z, y)
    assert hasattr(model, "ebics_")
    assert not by_folds & set(vars(model))
    model.set_params(criterion="cv").fit(Z, y)
    assert by_folds <= set(vars(model))
    assert not hasattr(model, "ebics_")
