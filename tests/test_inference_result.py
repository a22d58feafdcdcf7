"""HuberInference: what it tells, keeps and refuses."""

import dataclasses
import pickle

import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse as sp
from scipy import stats
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import Lasso
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from inference_data import REFERENCES, RHO, SETS, counts, load, noisy
from peaks import peak_of
from skhuber import HuberRegressor, HuberRegressorCV
from skhuber.inference import (
    HuberInference,
    InferenceWarning,
    huber_inference,
)


@pytest.fixture(scope="module")
def example():
    X, y = noisy()
    model = HuberRegressor(alpha=0).fit(X, y)
    return model, X, y, huber_inference(model, X, y)


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("kind", list(RHO))
@pytest.mark.filterwarnings("ignore::skhuber.inference.InferenceWarning")
def test_rsquared_and_criteria(name, kind):
    X, y = load(name)
    model = HuberRegressor(RHO[kind], scale=kind, alpha=0).fit(X, y)
    result = huber_inference(model, X, y)
    expected = REFERENCES[name][kind]["derived"]
    for found, value in [
        (result.rsquared, expected["r2"]["robust"]),
        (result.rsquared_adj, expected["r2"]["adjusted"]),
        (result.deviance, expected["criteria"]["deviance"]),
        (result.raic, expected["criteria"]["RAIC"]),
        (result.rbic, expected["criteria"]["RBIC"]),
    ]:
        assert found == pytest.approx(value, rel=1e-7)


def test_consistency_constants():
    """E w/E zψ: those of the references."""
    from skhuber.inference._goodness import _consistency

    assert _consistency(1.345) == pytest.approx(1.168644323662543, rel=1e-12)
    t = 1.35 * 0.6812560123697209
    assert _consistency(t) == pytest.approx(1.380149429901538, rel=1e-12)
    assert _consistency(np.inf) == 1.0


def test_two_sweeps_and_no_data_kept(example):
    _, _, y, result = example
    assert result.n_sweeps == 2
    sizes = [
        value.size
        for field in dataclasses.fields(result)
        for value in [getattr(result, field.name)]
        if isinstance(value, np.ndarray)
    ]
    assert sorted(sizes)[-1] == len(y)
    assert sum(size == len(y) for size in sizes) == 1
    assert len(pickle.dumps(result)) < 8 * (len(y) + 500)
    with pytest.raises(dataclasses.FrozenInstanceError):
        result.scale = 1.0


@pytest.mark.compiled
def test_memory_of_the_sweeps_is_blocks_and_one_vector():
    """No copy of X: beside p × p matrices, blocks and a few vectors of n numbers."""
    rng = np.random.default_rng(0)
    n, p = 100_000, 20
    X = rng.normal(size=(n, p))
    y = X[:, 0] + rng.standard_t(3, size=n)
    model = HuberRegressor(alpha=0).fit(X, y)
    result, peak = peak_of(lambda: huber_inference(model, X, y, n_jobs=1))
    assert result.n_sweeps == 2
    assert peak < X.nbytes / 2


@pytest.mark.parametrize(
    "convert",
    [
        np.asfortranarray,
        sp.csr_matrix,
        sp.csr_array,
        lambda X: pd.DataFrame(X),
        lambda X: np.repeat(X, 2, axis=0)[::2],
    ],
)
def test_containers(example, convert):
    model, X, y, expected = example
    result = huber_inference(model, convert(X), y)
    np.testing.assert_allclose(result.bse, expected.bse, rtol=1e-8)
    new = convert(X[:5])
    np.testing.assert_allclose(
        result.predict(new, "confidence"), expected.predict(X[:5], "confidence")
    )


def test_float32():
    X, y = noisy()
    X32 = X.astype(np.float32)
    exact = HuberRegressor(alpha=0).fit(X32.astype(np.float64), y)
    rounded = HuberRegressor(alpha=0).fit(X32, y)
    expected = huber_inference(exact, X32.astype(np.float64), y).bse
    found = huber_inference(rounded, X32, y).bse
    np.testing.assert_allclose(found, expected, rtol=1e-3)


@pytest.mark.compiled
def test_same_bits_for_any_number_of_threads():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(40_000, 12))
    y = X[:, 0] + rng.standard_t(3, size=len(X))
    model = HuberRegressor(alpha=0).fit(X, y)
    one = huber_inference(model, X, y, n_jobs=1)
    two = huber_inference(model, X, y, n_jobs=2)
    np.testing.assert_array_equal(one.cov_params(), two.cov_params())


@pytest.mark.parametrize("kind", ["joint", "mad"])
def test_affine_changes(kind):
    """Columns and target in other units, and shifted: the same t-values of slopes."""
    X, y = noisy()
    model = HuberRegressor(1.4, scale=kind, alpha=0).fit(X, y)
    result = huber_inference(model, X, y)
    other_X, other_y = X * [3.0, 1e-6, 1e5] + [1e3, 0.0, -1e7], 1e4 * y - 1e5
    model = HuberRegressor(1.4, scale=kind, alpha=0).fit(other_X, other_y)
    other = huber_inference(model, other_X, other_y)
    np.testing.assert_allclose(
        other.tvalues.iloc[1:], result.tvalues.iloc[1:], rtol=1e-6
    )
    assert other.rsquared == pytest.approx(result.rsquared)
    assert other.scale_bse == pytest.approx(1e4 * result.scale_bse)


def test_no_intercept():
    X, y = noisy()
    model = HuberRegressor(np.inf, scale=1.0, alpha=0, fit_intercept=False).fit(X, y)
    result = huber_inference(model, X, y, cov_type="HC0")
    r = y - model.predict(X)
    inverse = np.linalg.inv(X.T @ X)
    expected = np.sqrt(np.diag(inverse @ (X.T @ (X * r[:, None] ** 2)) @ inverse))
    np.testing.assert_allclose(result.bse, expected, rtol=1e-9)
    assert result.names == ("x0", "x1", "x2")


# --- what is not estimable ----------------------------------------------------------


@pytest.mark.filterwarnings("ignore::skhuber.inference.InferenceWarning")
@pytest.mark.parametrize("alpha", [0.0, 1e-6])
def test_duplicate_column(alpha):
    X, y = load("stackloss")
    plain = huber_inference(HuberRegressor(alpha=alpha).fit(X, y), X, y)
    doubled = np.column_stack([X, X[:, 1]])
    model = HuberRegressor(alpha=alpha).fit(doubled, y)
    result = huber_inference(model, doubled, y)
    assert result.not_estimable == ("x1", "x3")
    bse = np.asarray(result.bse)
    assert np.isnan(bse[[2, 4]]).all()
    tol = 1e-9 if alpha == 0 else 1e-6  # the penalty is another one
    np.testing.assert_allclose(bse[[0, 1, 3]], plain.bse.iloc[[0, 1, 3]], rtol=tol)
    assert result.df_resid == plain.df_resid
    # Sums of the two are estimable, and so is a row that has both alike.
    both = result.t_test([0.0, 0.0, 1.0, 0.0, 1.0])
    np.testing.assert_allclose(both.sd, plain.bse.iloc[2], rtol=tol)
    with pytest.raises(ValueError, match="not estimable"):
        result.wald_test("x3")
    strange = doubled[:2].copy()
    strange[1, 3] += 1.0
    lower = result.predict(strange, "confidence").lower
    assert np.isfinite(lower[0])
    assert np.isnan(lower[1])


def test_all_dummies_and_an_intercept():
    rng = np.random.default_rng(0)
    group = np.arange(90) % 3
    X = np.column_stack([rng.normal(size=90), np.eye(3)[group]])
    y = X[:, 0] + group + rng.standard_t(3, size=90)
    model = HuberRegressor(alpha=0).fit(X, y)
    result = huber_inference(model, X, y)
    assert result.not_estimable == ("const", "x1", "x2", "x3")
    less = HuberRegressor(alpha=0).fit(X[:, :3], y)
    expected = huber_inference(less, X[:, :3], y)
    assert result.bse["x0"] == pytest.approx(expected.bse["x0"], rel=1e-8)
    difference = result.t_test([0.0, 0.0, 1.0, -1.0, 0.0])
    other = expected.t_test([0.0, 0.0, 1.0, -1.0])
    np.testing.assert_allclose(difference.sd, other.sd, rtol=1e-8)
    np.testing.assert_allclose(
        result.predict(X, "confidence"),
        expected.predict(X[:, :3], "confidence"),
        rtol=1e-6,
        atol=1e-8,
    )


def test_row_that_a_coefficient_rests_on():
    X, y = noisy()
    X = np.column_stack([X, np.zeros(len(y))])
    X[7, 3] = 1.0
    model = HuberRegressor(alpha=0).fit(X, y)
    with pytest.warns(InferenceWarning, match="1 rows determine.* error of x3"):
        result = huber_inference(model, X, y)
    bse = np.asarray(result.bse)
    assert np.isnan(bse[4])
    kept = np.arange(len(y)) != 7
    less = HuberRegressor(alpha=0).fit(X[kept, :3], y[kept])
    expected = huber_inference(less, X[kept, :3], y[kept])
    np.testing.assert_allclose(bse[:4], expected.bse, rtol=0.02)


@pytest.mark.parametrize("kind", ["joint", "mad"])
def test_exact_fit_has_no_standard_errors(kind):
    X = np.arange(20.0)[:, np.newaxis]
    model = HuberRegressor(scale=kind, alpha=0).fit(X, 3.0 * X[:, 0] + 1.0)
    with pytest.warns(InferenceWarning, match="scale is zero"):
        result = huber_inference(model, X, 3.0 * X[:, 0] + 1.0)
    assert np.isnan(result.bse).all()
    assert np.isnan(result.predict(X, "confidence").lower).all()
    assert "x0" in result.summary()


def test_few_inliers_are_told():
    X, y = load("longley")
    model = HuberRegressor(alpha=0).fit(X, y)
    inliers = len(y) - model.outliers_.sum()
    with pytest.warns(InferenceWarning, match=f"there are {inliers} rows within"):
        huber_inference(model, X, y)


# --- tables and tests ---------------------------------------------------------------


def test_statistics_fit_together(example):
    model, _, _, result = example
    np.testing.assert_array_equal(result.params.index, ["const", "x0", "x1", "x2"])
    np.testing.assert_array_equal(result.params.iloc[1:], model.coef_)
    np.testing.assert_allclose(result.tvalues, result.params / result.bse)
    expected = 2 * stats.t.sf(np.abs(result.tvalues), result.df_resid)
    np.testing.assert_allclose(result.pvalues, expected, rtol=1e-9)
    np.testing.assert_allclose(np.sqrt(np.diag(result.cov_params())), result.bse)
    frame = result.summary_frame(alpha=0.1)
    assert list(frame) == ["coef", "std_err", "t", "p_value", "lower", "upper"]
    np.testing.assert_allclose(frame[["lower", "upper"]], result.conf_int(0.1))
    other = result.summary_frame(alpha=0.1, library="polars")
    assert isinstance(other, pl.DataFrame)
    assert other["term"].to_list() == list(frame.index)
    np.testing.assert_array_equal(other["upper"].to_numpy(), frame["upper"])


def test_linear_forms(example):
    _, _, _, result = example
    one = result.t_test("x1", 0.05)
    assert one.effect[0] == result.params["x1"]
    F = result.wald_test("x1", 0.05)
    assert F.statistic == pytest.approx(one.statistic[0] ** 2)
    assert F.pvalue == pytest.approx(one.pvalue[0])
    L = [[0, 1, -10.0, 0], [0, 0, 1, -10.0]]
    two = result.wald_test(L)
    V = np.asarray(result.cov_params())
    effect = np.array(L) @ np.asarray(result.params)
    value = effect @ np.linalg.solve(np.array(L) @ V @ np.array(L).T, effect) / 2
    assert two.statistic == pytest.approx(value, rel=1e-9)
    assert two.pvalue == pytest.approx(stats.f.sf(value, 2, result.df_resid))
    np.testing.assert_allclose(
        result.t_test(["x0", "x2"]).conf_int(), result.conf_int().loc[["x0", "x2"]]
    )


def test_text_and_html(example):
    _, _, _, result = example
    text, page = result.summary(), result._repr_html_()
    for word in ("const", "x2", "jackknife", "joint scale", "300"):
        assert word in text
        assert word in page
    assert "<script" not in page
    X, y = noisy()
    frame = pd.DataFrame(X, columns=["<b>", "a", "c"])
    named = huber_inference(HuberRegressor(alpha=0).fit(frame, y), frame, y)
    assert "<b>" not in named._repr_html_()
    assert "&lt;b&gt;" in named._repr_html_()


# --- predictions --------------------------------------------------------------------


def test_intervals(example):
    model, X, _, result = example
    prediction, lower, upper = result.predict(X[:4], "confidence", 0.9)
    np.testing.assert_allclose(prediction, model.predict(X[:4]))
    np.testing.assert_array_equal(result.predict(X[:4]), prediction)
    A = np.column_stack([np.ones(4), X[:4]])
    sd = np.sqrt(np.diag(A @ np.asarray(result.cov_params()) @ A.T))
    half = stats.t.ppf(0.95, result.df_resid) * sd
    np.testing.assert_allclose(upper - prediction, half, rtol=1e-6)
    np.testing.assert_allclose(prediction - lower, half, rtol=1e-6)


def test_jackknife_quantiles():
    X, y = noisy(39, 1)
    model = HuberRegressor(alpha=0).fit(X, y)
    r = y - model.predict(X)
    A = np.column_stack([np.ones(39), X - X.mean()])
    d = ~model.outliers_
    h = np.einsum("ij,jk,ik->i", A, np.linalg.inv(A.T @ (A * d[:, None])), A)
    t = model.rho_ * model.scale_
    deletion = np.sort(r + np.clip(r, -t, t) * h / (1 - d * h))
    result = huber_inference(model, X, y)
    prediction, lower, upper = result.predict(X[:1], "prediction", 0.9)
    # (n + 1)·0.05 = 2 and (n + 1)·0.95 = 38.
    assert lower[0] - prediction[0] == pytest.approx(deletion[1])
    assert upper[0] - prediction[0] == pytest.approx(deletion[37])
    assert result.predict(X[:1], "prediction", 0.999).upper[0] == np.inf


@pytest.mark.compiled
@pytest.mark.parametrize(("kind", "rho"), [("joint", 1.35), ("mad", 1.345), (1.0, 1.5)])
def test_prediction_intervals_cover(kind, rho):
    covered = {"jackknife": [], "normal": []}
    for seed in range(8):
        rng = np.random.default_rng(seed)
        X = rng.normal(size=(2000, 3))
        y = X[:, 0] + rng.normal(size=2000)
        model = HuberRegressor(rho, scale=kind, alpha=0).fit(X[:1000], y[:1000])
        result = huber_inference(model, X[:1000], y[:1000])
        for method, shares in covered.items():
            _, lower, upper = result.predict(X[1000:], "prediction", 0.9, method)
            shares.append(np.mean((lower <= y[1000:]) & (y[1000:] <= upper)))
    # A share has a standard error of 1.3 %: of the test's rows and of the fit's.
    for shares in covered.values():
        assert np.mean(shares) == pytest.approx(0.9, abs=0.015)


# --- bad input ----------------------------------------------------------------------


def test_other_data_are_refused(example):
    model, X, y, _ = example
    for bad in [
        (X[:-60], y[:-60], None),
        (X, y + 1.0, None),
        (X, y[::-1], None),
        (X, y, counts(len(y))),
    ]:
        with pytest.raises(ValueError, match="not the data that the model was fitted"):
            huber_inference(model, bad[0], bad[1], sample_weight=bad[2])
    repeated = huber_inference(model, np.tile(X, (2, 1)), np.tile(y, 2))
    assert repeated.nobs == 2 * len(y)


def test_a_fit_that_did_not_converge_is_refused():
    X, y = noisy()
    with pytest.warns(UserWarning, match="did not converge"):
        model = HuberRegressor(max_iter=1, alpha=0, warm_start=True).fit(X, y)
    model.coef_ = model.coef_ * 1.01
    with pytest.raises(ValueError, match="did not converge"):
        huber_inference(model, X, y)


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"cov_type": "HC9"}, ValueError, "cov_type must be 'sandwich'"),
        ({"weights": "analytic"}, ValueError, "weights must be"),
        ({"cov_type": "cluster"}, ValueError, "needs groups"),
        ({"groups": [1, 2]}, ValueError, "groups are for"),
        ({"cov_type": "cluster", "groups": [1, 2]}, ValueError, "one label for each"),
        (
            {"cov_type": "cluster", "groups": [1] * 300},
            ValueError,
            "two different labels",
        ),
        ({"use_t": 1}, TypeError, "use_t"),
        ({"cov_type": "bootstrap", "n_resamples": 1}, ValueError, "n_resamples"),
        ({"n_jobs": 0}, ValueError, "n_jobs"),
        ({"weights": "sampling", "cov_type": "H2"}, ValueError, "sampling"),
        ({"sample_weight": [1.0]}, ValueError, "sample_weight"),
    ],
)
def test_bad_options(example, options, error, words):
    model, X, y, _ = example
    with pytest.raises(error, match=words):
        huber_inference(model, X, y, **options)


def test_bad_models(example):
    model, X, y, _ = example
    with pytest.raises(NotFittedError):
        huber_inference(HuberRegressor(), X, y)
    pipeline = make_pipeline(StandardScaler(), HuberRegressor(alpha=0)).fit(X, y)
    with pytest.raises(TypeError, match="last step"):
        huber_inference(pipeline, X, y)
    for other in (Lasso().fit(X, y), "model"):
        with pytest.raises(TypeError, match="fitted HuberRegressor"):
            huber_inference(other, X, y)
    several = HuberRegressor(alpha=0).fit(X, y)
    several.coef_ = np.ones((2, 3))
    with pytest.raises(ValueError, match="one target"):
        huber_inference(several, X, y)

    class Net(HuberRegressor):
        def __init__(self, l1_ratio=0.5, positive=False, alpha=0.0):
            super().__init__(alpha=alpha)
            self.l1_ratio = l1_ratio
            self.positive = positive

    for parameters, words in [({}, "L1 penalty"), ({"l1_ratio": 0.0}, "bounds")]:
        net = Net(positive=True, **parameters)
        net.__dict__.update({k: v for k, v in vars(model).items() if k[-1] == "_"})
        with pytest.raises(ValueError, match=words):
            huber_inference(net, X, y)


def test_bad_data(example):
    model, X, y, _ = example
    with pytest.raises(ValueError, match="3 features"):
        huber_inference(model, X[:, :2], y)
    for bad in (np.nan, np.inf):
        wrong = X.copy()
        wrong[5, 1] = bad
        with pytest.raises(ValueError, match=r"X contains (NaN|infinity)"):
            huber_inference(model, wrong, y)
    with pytest.raises(ValueError, match="y"):
        huber_inference(model, X, np.append(y[:-1], np.nan))
    few = HuberRegressor().fit(X[:4], y[:4])
    with pytest.raises(ValueError, match="no degrees of freedom"):
        huber_inference(few, X[:4], y[:4])


def test_bad_arguments_of_methods(example):
    _, X, _, result = example
    for call, words in [
        (lambda: result.conf_int(0.0), "alpha"),
        (lambda: result.conf_int(1.0), "alpha"),
        (lambda: result.t_test("x9"), "L must be names"),
        (lambda: result.t_test([1.0, 2.0]), "L must be"),
        (lambda: result.t_test([0.0] * 4), "zeros only"),
        (lambda: result.wald_test(["x1", "x1"]), "independent rows"),
        (lambda: result.t_test("x1", [1.0, 2.0]), "r must be"),
        (lambda: result.predict(X[:, :2]), "3 features"),
        (lambda: result.predict(X, "both"), "interval"),
        (lambda: result.predict(X, "prediction", 1.0), "level"),
        (lambda: result.predict(X, "prediction", method="magic"), "method"),
        (lambda: result.summary_frame(library="numpy"), "library"),
    ]:
        with pytest.raises(ValueError, match=words):
            call()


def test_names_of_the_fit_are_asked_for():
    X, y = noisy()
    frame = pd.DataFrame(X, columns=["a", "b", "c"])
    model = HuberRegressor(alpha=0).fit(frame, y)
    result = huber_inference(model, frame, y)
    assert isinstance(result, HuberInference)
    assert result.names == ("const", "a", "b", "c")
    with pytest.raises(ValueError, match="in their order"):
        result.predict(frame[["b", "a", "c"]])


def test_a_search():
    X, y = noisy()
    search = HuberRegressorCV([1.35, 2.0], alphas=[0.0], cv=3).fit(X, y)
    result = huber_inference(search, X, y)
    model = HuberRegressor(search.rho_, alpha=0).fit(X, y)
    np.testing.assert_allclose(result.bse, huber_inference(model, X, y).bse, rtol=1e-6)
