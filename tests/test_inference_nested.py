"""Tests of nested models."""

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from scipy import stats

from inference_data import REFERENCES, RHO, SETS, counts, load, noisy
from skhuber import HuberRegressor
from skhuber.inference import (
    InferenceWarning,
    compare,
    deviance_test,
    huber_inference,
    score_test,
)

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*within the threshold.*:skhuber.inference.InferenceWarning"
)


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("case", ["mad", "joint", "mad_weighted"])
@pytest.mark.parametrize("which", ["test_last", "test_all_slopes"])
def test_references(name, case, which):
    X, y = load(name)
    kind = case.split("_")[0]
    weight = counts(len(y)) if case.endswith("weighted") else None
    model = HuberRegressor(RHO[kind], scale=kind, alpha=0).fit(X, y, weight)
    expected = REFERENCES[name][case]["derived"][which]
    p = X.shape[1]
    drop = [p - 1] if which == "test_last" else list(range(p))
    options = {"drop": drop, "sample_weight": weight}
    deviance = deviance_test(model, X, y, **options)
    score = score_test(model, X, y, heteroscedastic=False, **options)
    names = [f"x{j}" for j in drop]
    wald, chi2 = (
        huber_inference(
            model, X, y, sample_weight=weight, cov_type="H1", use_t=use_t
        ).wald_test(names)
        for use_t in (True, False)
    )
    for found, value in [
        (deviance.statistic, expected["deviance_F"]),
        (deviance.pvalue, expected["deviance_p_F"]),
        (score.statistic, expected["score_chi2"]),
        (score.pvalue, expected["score_p_chi2"]),
        (wald.statistic, expected["wald_F"]),
        (wald.pvalue, expected["wald_p_F"]),
        (chi2.statistic, expected["wald_chi2"]),
        (chi2.pvalue, expected["wald_p_chi2"]),
    ]:
        # (A p-value of 1e-59 has digits to lose, and so has longley.)
        tol = 1e-5 if name == "longley" else 1e-7
        assert found == pytest.approx(value, rel=tol, abs=1e-300)
    assert deviance.df_num == score.df_num == wald.df_num == len(drop)
    assert score.df_denom is None


def test_heteroscedastic_score_by_its_definition():
    X, y = noisy(200, 3, 0, "hetero")
    model = HuberRegressor(alpha=0).fit(X, y)
    null = HuberRegressor(alpha=0).fit(X[:, :1], y)
    t = (y - null.predict(X[:, :1])) / null.scale_
    psi, d = np.clip(t, -1.35, 1.35), np.abs(t) <= 1.35
    one = np.column_stack([np.ones(200), X[:, 0]])
    two = X[:, 1:]
    inside = (one * d[:, None]).T
    z = two - one @ np.linalg.solve(inside @ one, inside @ two)
    U = z.T @ psi
    expected = U @ np.linalg.solve((z * psi[:, None] ** 2).T @ z, U)
    for data in (X, sp.csr_matrix(X), np.asfortranarray(X)):
        found = score_test(model, data, y, drop=["x1", "x2"])
        assert found.statistic == pytest.approx(expected, rel=1e-7)
        assert found.pvalue == pytest.approx(stats.chi2.sf(expected, 2), rel=1e-6)
    assert str(found).startswith("score test: chi2(2) = ")


@pytest.mark.compiled
def test_sizes_under_heteroscedastic_noise():
    """The score test's holds; the deviance test's does not, as its page says."""
    rejected = {"score": 0, "deviance": 0}
    for seed in range(300):
        rng = np.random.default_rng(seed)
        X = rng.normal(size=(100, 2))
        y = X[:, 1] + rng.normal(size=100) * (0.2 + np.abs(X[:, 0]))
        model = HuberRegressor(alpha=0).fit(X, y)
        rejected["score"] += score_test(model, X, y, drop=[0]).pvalue < 0.05
        rejected["deviance"] += deviance_test(model, X, y, drop=[0]).pvalue < 0.05
    # 5 % of 300 is 15, with a standard error of 3.8.
    assert rejected["score"] < 15 + 3 * 3.8
    assert rejected["deviance"] > 15 + 3 * 3.8


def frames():
    X, y = noisy()
    X = pd.DataFrame(X, columns=["a", "b", "c"])
    full = HuberRegressor(alpha=0).fit(X, y)
    null = HuberRegressor(alpha=0).fit(X[["c", "a"]], y)
    small = huber_inference(null, X[["c", "a"]], y)
    return X, y, full, small, huber_inference(full, X, y)


def test_compare():
    X, y, full, small, large = frames()
    score = compare(small, large, X, y)
    expected = score_test(full, X, y, drop=["b"])
    assert score.statistic == pytest.approx(expected.statistic, rel=1e-8)
    assert compare(small, large, test="wald") == large.wald_test("b")
    held = HuberRegressor(scale=full.scale_, alpha=0).fit(X[["c", "a"]], y)
    held = huber_inference(held, X[["c", "a"]], y)
    deviance = compare(held, large, test="deviance")
    expected = deviance_test(full, X, y, drop=["b"])
    assert deviance.statistic == pytest.approx(expected.statistic, rel=1e-8)


def test_compare_refuses_what_is_not_comparable():
    X, y, _, small, large = frames()
    half = X[:150]
    other = huber_inference(HuberRegressor(alpha=0).fit(half, y[:150]), half, y[:150])
    array = HuberRegressor(alpha=0).fit(X.to_numpy(), y)
    unnamed = huber_inference(array, X.to_numpy(), y)
    for call, words in [
        (lambda: compare(large, small, X, y), "some of those of large"),
        (lambda: compare(small, other, X, y), "same rows"),
        (lambda: compare(small, large), "needs X and y"),
        (lambda: compare(small, large, test="deviance"), "one scale"),
        (lambda: compare(small, large, test="F"), "test must be"),
        (lambda: compare(small, unnamed, X, y), "columns with names"),
    ]:
        with pytest.raises(ValueError, match=words):
            call()
    with pytest.raises(TypeError, match="small must be a HuberInference"):
        compare(array, large, X, y)


@pytest.mark.parametrize("test", [score_test, deviance_test])
def test_bad_columns_to_drop(test):
    X, y = noisy()
    model = HuberRegressor(alpha=0).fit(X, y)
    for drop in ([], [3], [-1], ["x9"], [0, "x0"], [True]):
        with pytest.raises(ValueError, match="drop must be a list"):
            test(model, X, y, drop=drop)
    for drop in ("x0", 1):
        with pytest.raises(TypeError, match="drop must be a list"):
            test(model, X, y, drop=drop)
    doubled = np.column_stack([X, X[:, 0]])
    model = HuberRegressor(alpha=0).fit(doubled, y)
    assert test(model, doubled, y, drop=["x1"]).pvalue < 1e-10
    with pytest.raises(ValueError, match="x3 cannot be tested"):
        test(model, doubled, y, drop=["x3"])


def test_a_smaller_fit_without_a_scale():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 1))
    y = np.where(np.arange(60) % 3 == 0, X[:, 0], 0.0)
    X = X + 3.0 * (np.arange(60) % 3 == 0)[:, None]
    y += 0.0
    model = HuberRegressor(1.345, scale=0.5, alpha=0).fit(X, y)
    model.scale = "mad"
    with pytest.warns(InferenceWarning, match="without the columns is zero"):
        result = score_test(model, X, y, drop=[0])
    assert np.isnan(result.pvalue)
