"""Several targets: each has the fit that it has alone, and all share sweeps."""

import pickle

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import ElasticNet, LinearRegression
from sklearn.model_selection import cross_val_score

from skhuber import (
    HuberElasticNet,
    HuberElasticNetCV,
    HuberRegressor,
    HuberRegressorCV,
    OutlierShare,
    huber_enet_path,
    huber_path,
    make_huber_scorer,
)

# Few rows are fitted one target after another, many of them together.
FEW, MANY = (300, 5), (30_000, 8)
N_TARGETS = 4


def data(shape, seed=0, n_targets=N_TARGETS):
    """Targets with noise of different levels, and with gross errors in other rows."""
    n, p = shape
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, p)) * np.logspace(0, 2, p) + 5.0
    levels = np.logspace(-1, 2, n_targets)
    Y = X @ rng.normal(size=(p, n_targets)) + rng.normal(size=(n, n_targets)) * levels
    Y += np.where(rng.random((n, n_targets)) < 0.05, 50.0 * levels, 0.0)
    return X, Y


def alone(model, X, y, **options):
    return clone(model).fit(X, y, **options)


def assert_equal_fits(model, X, Y, *, rtol=1e-10, **options):
    """Fit all targets, and compare with a fit of each."""
    model.fit(X, Y, **options)
    n_sweeps = 0
    for k in range(Y.shape[1]):
        one = alone(model, X, np.ascontiguousarray(Y[:, k]), **options)
        size = np.abs(one.coef_).max()
        np.testing.assert_allclose(model.coef_[k], one.coef_, rtol=0, atol=rtol * size)
        for name in ("intercept_", "scale_", "rho_", "objective_"):
            np.testing.assert_allclose(
                getattr(model, name)[k], getattr(one, name), rtol=rtol, atol=rtol * size
            )
        np.testing.assert_array_equal(model.outliers_[:, k], one.outliers_)
        np.testing.assert_allclose(
            model.robust_weights_[:, k], one.robust_weights_, rtol=100 * rtol
        )
        assert model.robust_weights_.dtype == one.robust_weights_.dtype
        assert model.coef_.dtype == one.coef_.dtype
        assert model.optimality_gap_[k] <= model.tol
        n_sweeps += one.n_sweeps_
    return n_sweeps


MODELS = {
    "joint": HuberRegressor(),
    "fixed": HuberRegressor(scale=1.0),
    "mad": HuberRegressor(scale="mad"),
    "without_intercept": HuberRegressor(fit_intercept=False),
    "ridge": HuberRegressor(rho=np.inf, scale=1.0, alpha=10.0),
    "lasso": HuberElasticNet(0.05),
    "elastic_net": HuberElasticNet(0.05, l1_ratio=0.5, standardize=False),
    "bounds": HuberElasticNet(0.0, bounds=(-0.5, 0.8)),
    "squares": HuberElasticNet(0.05, l1_ratio=0.0),
    "adaptive": HuberRegressor("adaptive"),
    "share": HuberRegressor(OutlierShare(0.1)),
}


@pytest.mark.compiled
@pytest.mark.parametrize("shape", [FEW, MANY], ids=["few", "many"])
@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_each_target_has_the_fit_that_it_has_alone(model, shape):
    assert_equal_fits(clone(model), *data(shape))


LAYOUTS = {
    "fortran": np.asfortranarray,
    "single": lambda X: X.astype(np.float32),
    "csr": lambda X: sp.csr_array(np.where(np.abs(X) > 8.0, X, 0.0)),
}


@pytest.mark.compiled
@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_layouts_and_weights(layout):
    X, Y = data(MANY)
    weight = np.random.default_rng(1).integers(0, 3, len(Y)).astype(float)
    model = HuberRegressor()
    # (Coefficients of float32 are compared in float32.)
    X = layout(X)
    rtol = 1e-6 if X.dtype == np.float32 else 1e-10
    n_sweeps = assert_equal_fits(model, X, Y, rtol=rtol, sample_weight=weight)
    assert 2 * model.n_sweeps_ < n_sweeps


@pytest.mark.compiled
def test_rows_without_weight_may_hold_anything():
    X, Y = data(MANY)
    weight = np.ones(len(X))
    weight[::7] = 0.0
    expected = HuberRegressor().fit(X, Y, sample_weight=weight)
    X[::7] *= 1e6
    Y[::7] = -1e9
    found = HuberRegressor().fit(X, Y, sample_weight=weight)
    np.testing.assert_array_equal(found.coef_, expected.coef_)
    assert found.outliers_[::7].all()


@pytest.mark.compiled
@pytest.mark.parametrize(
    ("model", "most"),
    [(HuberRegressor(), 8), (HuberElasticNet(0.05), 9)],
    ids=["regressor", "lasso"],
)
def test_twenty_targets_take_hardly_more_sweeps_than_one(model, most):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(100_000, 50))
    Y = X @ rng.normal(size=(50, 20))
    Y += rng.normal(size=Y.shape) * np.logspace(-1, 2, 20)
    Y[rng.random(Y.shape) < 0.05] += 1e3
    found = clone(model).fit(X, Y)
    assert found.n_sweeps_ <= most
    assert (found.optimality_gap_ <= 1e-12).all()


@pytest.mark.compiled
def test_sweeps_of_heavy_tailed_columns():
    rng = np.random.default_rng(0)
    X = rng.standard_t(2.5, size=(100_000, 50))
    Y = X @ rng.normal(size=(50, 20)) + rng.normal(size=(100_000, 20))
    found = HuberRegressor().fit(X, Y)
    assert found.n_sweeps_ <= 14
    assert (found.optimality_gap_ <= 1e-12).all()


@pytest.mark.compiled
def test_outliers_far_longer_than_other_rows():
    """Rows ten million times longer than others, which are outliers of all targets.

    They curve the shared Gram matrix and not the objective.
    """
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300_000, 2))
    Y = X @ [[1.0, -2.0, 0.0], [3.0, 0.5, 1.0]] + rng.normal(size=(300_000, 3))
    X[:5] *= 1e7
    Y[:5] += 1e9 * rng.normal(size=(5, 3))
    model = HuberRegressor(scale=1.0, fit_intercept=False).fit(X, Y)
    for k in range(3):
        one = alone(model, X, np.ascontiguousarray(Y[:, k]))
        assert model.objective_[k] <= one.objective_ * (1 + 1e-12)
        np.testing.assert_allclose(model.coef_[k], one.coef_, atol=1e-6)


@pytest.mark.compiled
def test_targets_of_other_kinds_are_fitted_alone():
    """Exact data, a constant, and units far from those of the others."""
    X, Y = data(MANY)
    Y[:, 0] = X @ np.arange(1.0, 9.0)
    Y[:, 1] = 3.0
    Y[:, 2] *= 1e200
    model = HuberRegressor(alpha=0.0).fit(X, Y)
    for k in range(N_TARGETS):
        one = HuberRegressor(alpha=0.0).fit(X, np.ascontiguousarray(Y[:, k]))
        size = np.abs(one.coef_).max()
        np.testing.assert_allclose(model.coef_[k], one.coef_, atol=1e-10 * size)
        np.testing.assert_array_equal(model.outliers_[:, k], one.outliers_)


@pytest.mark.compiled
def test_other_targets_change_nothing():
    X, Y = data(MANY)
    found = HuberRegressor().fit(X, Y[:, ::-1]).coef_[::-1]
    np.testing.assert_allclose(HuberRegressor().fit(X, Y).coef_, found, rtol=1e-10)


@pytest.mark.compiled
def test_bits_are_those_of_one_thread():
    X, Y = data(MANY)
    one, two = (HuberRegressor(n_jobs=n).fit(X, Y) for n in (1, 2))
    for name in ("coef_", "intercept_", "scale_", "robust_weights_", "n_sweeps_"):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name))


def test_least_squares_are_those_of_linear_regression():
    X, Y = data(FEW)
    ours = HuberRegressor(rho=np.inf, scale=1.0, alpha=0.0).fit(X, Y)
    theirs = LinearRegression().fit(X, Y)
    np.testing.assert_allclose(ours.coef_, theirs.coef_, rtol=1e-9)
    np.testing.assert_allclose(ours.intercept_, theirs.intercept_, rtol=1e-9)
    np.testing.assert_allclose(ours.predict(X), theirs.predict(X), rtol=1e-9)


def test_squared_loss_is_that_of_elastic_net():
    X, Y = data(FEW)
    options = {"rho": np.inf, "scale": 1.0, "standardize": False}
    ours = HuberElasticNet(2.0, l1_ratio=0.5, **options).fit(X, Y)
    theirs = ElasticNet(2.0, l1_ratio=0.5, tol=1e-12, max_iter=100_000).fit(X, Y)
    np.testing.assert_allclose(ours.coef_, theirs.coef_, atol=1e-6)
    np.testing.assert_array_equal(ours.sparse_coef_.toarray(), ours.coef_)
    assert ours.dual_gap_.shape == (N_TARGETS,)
    assert (ours.dual_gap_ >= ours.optimality_gap_).all()


@pytest.mark.parametrize("estimator", [HuberRegressor, HuberElasticNet])
@pytest.mark.parametrize("fit_intercept", [True, False])
def test_shapes(estimator, fit_intercept):
    X, Y = data(FEW)
    n, p = X.shape
    for t in (1, 2, 3):
        model = estimator(fit_intercept=fit_intercept).fit(X, Y[:, :t].tolist())
        assert model.coef_.shape == (t, p)
        for name in (
            "intercept_",
            "scale_",
            "rho_",
            "n_iter_",
            "objective_",
            "optimality_gap_",
        ):
            assert getattr(model, name).shape == (t,), name
        assert model.outliers_.shape == model.robust_weights_.shape == (n, t)
        assert isinstance(model.n_sweeps_, int)
        assert model.predict(X).shape == (n, t)
        assert np.ndim(model.score(X, Y[:, :t])) == 0
    one = estimator(fit_intercept=fit_intercept).fit(X, Y[:, 0])
    assert one.coef_.shape == (p,)
    assert np.ndim(one.scale_) == 0


def test_frames_pickles_and_searches():
    X, Y = data(FEW)
    frame = pd.DataFrame(Y, columns=list("abcd"))
    model = HuberRegressor().fit(X, frame)
    np.testing.assert_array_equal(model.coef_, HuberRegressor().fit(X, Y).coef_)
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.predict(X), model.predict(X))
    scores = cross_val_score(
        HuberRegressor(), X, Y, cv=3, scoring=make_huber_scorer(rho=10.0)
    )
    assert (scores < 0).all()


def test_predictions_in_single_precision():
    X, Y = data(FEW)
    X = X.astype(np.float32)
    model = HuberRegressor().fit(X, Y.astype(np.float32))
    assert model.coef_.dtype == model.predict(X).dtype == np.float32
    Y[0, 1] = 1e300  # which single precision cannot hold
    assert HuberRegressor().fit(X, Y).coef_.dtype == np.float64


@pytest.mark.compiled
@pytest.mark.parametrize("shape", [FEW, MANY], ids=["few", "many"])
@pytest.mark.parametrize("estimator", [HuberRegressor, HuberElasticNet])
def test_warm_starts(estimator, shape):
    X, Y = data(shape)
    model = estimator(alpha=0.1, warm_start=True).fit(X, Y)
    first, n_sweeps = model.coef_, model.n_sweeps_
    model.fit(X, Y)
    np.testing.assert_array_equal(model.coef_, first)
    assert model.n_sweeps_ < n_sweeps
    model.fit(X, Y + X[:, :1])
    expected = estimator(alpha=0.1).fit(X, Y + X[:, :1]).coef_
    np.testing.assert_allclose(model.coef_, expected, rtol=1e-7, atol=1e-9)
    with pytest.raises(ValueError, match="y has 2 targets, but warm_start=True"):
        model.fit(X, Y[:, :2])
    with pytest.raises(ValueError, match="y has 1 targets, but warm_start=True"):
        model.fit(X, Y[:, 0])
    with pytest.raises(ValueError, match="X has 2 features, but warm_start=True"):
        model.fit(X[:, :2], Y)


def test_one_column_starts_from_one_dimension_and_back():
    X, Y = data(FEW)
    model = HuberRegressor(warm_start=True).fit(X, Y[:, 0])
    first = model.coef_
    np.testing.assert_array_equal(model.fit(X, Y[:, :1]).coef_, first[np.newaxis])
    np.testing.assert_array_equal(model.fit(X, Y[:, 0]).coef_, first)


@pytest.mark.compiled
@pytest.mark.parametrize("shape", [FEW, (3000, 8)], ids=["few", "more"])
def test_a_warning_names_the_first_target(shape):
    X, Y = data(shape)
    with pytest.warns(ConvergenceWarning) as caught:
        HuberRegressor(max_iter=1, tol=0.0).fit(X, Y)
    (warning,) = caught
    assert warning.filename == __file__
    text = str(warning.message)
    assert "did not converge" in text
    assert f"This is target 0, the first of {N_TARGETS} such targets" in text


def test_a_rule_warns_of_a_target():
    rng = np.random.default_rng(0)
    X, Y = rng.normal(size=(20, 30)), rng.normal(size=(20, 2))
    with pytest.warns(ConvergenceWarning) as caught:
        HuberRegressor("adaptive").fit(X, Y)
    (warning,) = caught
    text = str(warning.message)
    assert text.startswith("HuberRegressor: rho='adaptive' does not apply: ")
    assert text.endswith("This is target 0, the first of 2 such targets (of 2).")


def test_a_line_for_each_target(capsys):
    X, Y = data(FEW)
    model = HuberElasticNet(verbose=True).fit(X, Y)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == N_TARGETS
    assert lines[1].startswith(f"target 1: objective {model.objective_[1]:.10g}")


# --- bad input


@pytest.mark.compiled
@pytest.mark.parametrize("estimator", [HuberRegressor, HuberElasticNet])
@pytest.mark.parametrize("shape", [FEW, MANY], ids=["few", "many"])
def test_bad_values(estimator, shape):
    X, Y = data(shape)
    model = estimator().fit(X[:50], Y[:50])
    before = dict(vars(model))
    bad_Y = Y.copy()
    bad_Y[3, 1] = np.nan
    bad_X = X.copy()
    bad_X[-1, 2] = np.inf
    for args, text in (
        ((X, bad_Y), "y contains NaN"),
        ((bad_X, Y), "X contains infinity"),
        ((X, Y[:-1]), "y must have one value for each sample"),
        ((X, Y[:, :0]), "0 feature"),
        ((X, Y[:, :, np.newaxis]), "dim 3"),
    ):
        with pytest.raises(ValueError, match=text):
            model.fit(*args)
    assert vars(model) == before


ONE_TARGET = {
    "HuberRegressorCV": lambda X, Y: HuberRegressorCV([1.35, 2.0], cv=3).fit(X, Y),
    "HuberElasticNetCV": lambda X, Y: HuberElasticNetCV(cv=3).fit(X, Y),
    "huber_path": lambda X, Y: huber_path(X, Y, rhos=[1.35, 2.0]),
    "huber_enet_path": lambda X, Y: huber_enet_path(X, Y),
    "HuberRegressor.partial_fit": lambda X, Y: HuberRegressor().partial_fit(X, Y),
}


@pytest.mark.parametrize("name", ONE_TARGET)
def test_what_takes_one_target_says_so(name):
    X, Y = data(FEW)
    text = rf"got shape \(300, 4\): {name} fits one target at a time. Fit a model for"
    with pytest.raises(ValueError, match=text):
        ONE_TARGET[name](X, Y)


def test_inference_takes_models_of_one_target():
    from skhuber.inference import huber_inference

    X, Y = data(FEW)
    model = HuberRegressor().fit(X, Y)
    with pytest.raises(ValueError, match="model must have one target"):
        huber_inference(model, X, Y)


@pytest.mark.parametrize("name", ["HuberResidualsDisplay", "HuberWeightsDisplay"])
def test_displays_take_models_of_one_target(name):
    pytest.importorskip("matplotlib")
    from skhuber import inspection

    X, Y = data(FEW)
    model = HuberRegressor().fit(X, Y)
    text = r"estimator must have one target, got scale_ of shape \(4,\)"
    with pytest.raises(ValueError, match=text):
        getattr(inspection, name).from_estimator(model, X, Y)


def test_dask_takes_one_target():
    da = pytest.importorskip("dask.array")
    from skhuber.dask import DaskHuberRegressor

    X, Y = (da.from_array(a, chunks=(100, -1)) for a in data(FEW))
    with pytest.raises(ValueError, match=r"fits one target at a time"):
        DaskHuberRegressor().fit(X, Y)


def test_dask_takes_a_frame_of_one_target():
    dd = pytest.importorskip("dask.dataframe")
    from skhuber.dask import DaskHuberRegressor

    X, Y = (
        dd.from_pandas(pd.DataFrame(a).rename(columns=str), npartitions=2)
        for a in data(FEW)
    )
    with pytest.raises(ValueError, match=r"fits one target at a time"):
        DaskHuberRegressor().fit(X, Y)
