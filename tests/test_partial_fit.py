"""Streams: batches, each seen once, give the model of all samples."""

import pickle

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.base import clone

import problems
from skhuber import HuberRegressor, OutlierShare

each_scale = pytest.mark.parametrize("scale", ["joint", "mad", 1.0])
PART = 1000  # samples of a part, for 24 features or fewer

# (Without compilation they take minutes.)
pytestmark = pytest.mark.compiled


def stream_of(X, y, size, weight=None, order=None, **parameters):
    model = HuberRegressor(**parameters)
    starts = np.arange(0, len(y), size)
    for start in starts if order is None else starts[order]:
        rows = slice(start, start + size)
        part = None if weight is None else weight[rows]
        model.partial_fit(X[rows], y[rows], part)
    return model


def noise(name, rng, n):
    z = rng.normal(size=n)
    early = np.arange(n) < n // 10
    match name:
        case "t":
            return rng.standard_t(2, size=n)
        case "high":
            return z + 20 * (rng.random(n) < 0.1)
        case "lognormal":
            return np.exp(z) - np.exp(0.5)
        case "all of the first tenth high":
            return z + 20 * early
        case "half of the first tenth high":
            return z + 20 * (early & (rng.random(n) < 0.5))
        case "the first tenth wide":
            return z * np.where(early, 50, 1)
    return z


def data(name="normal", n=12_000, p=5, seed=0):
    rng = np.random.default_rng(seed)
    X, coef = rng.normal(size=(n, p)), rng.normal(size=p)
    return X, X @ coef + 3.0 + noise(name, rng, n), coef


@each_scale
@pytest.mark.parametrize("n", [300, 3000])
@pytest.mark.parametrize("kind", ["dense", "csr", "float32"])
def test_one_batch_is_a_fit(scale, n, kind):
    X, y = problems.plain(n, 4)[:2]
    X = {"dense": X, "csr": sp.csr_matrix(X), "float32": X.astype(np.float32)}[kind]
    weight = np.random.default_rng(0).integers(0, 3, n).astype(float)
    model = HuberRegressor(scale=scale)
    for w in (None, weight):
        fitted = clone(model).fit(X, y, w)
        streamed = clone(model).partial_fit(X, y, w)
        assert streamed.n_samples_seen_ == n
        for name in vars(fitted):
            np.testing.assert_array_equal(
                getattr(streamed, name), getattr(fitted, name)
            )


@each_scale
def test_few_rows_in_batches_are_a_fit(scale):
    X, y, _ = data(n=PART)
    weight = np.random.default_rng(0).integers(0, 3, PART).astype(float)
    for w in (None, weight):
        model = stream_of(X, y, 70, w, scale=scale)
        present = slice(None) if w is None else w > 0
        fitted = HuberRegressor(scale=scale).fit(
            X[present], y[present], None if w is None else w[present]
        )
        np.testing.assert_allclose(model.coef_, fitted.coef_, rtol=1e-12)
        np.testing.assert_allclose(model.scale_, fitted.scale_, rtol=1e-12)
        last = slice(PART // 70 * 70, PART)
        fitted.fit(X, y, w)
        np.testing.assert_array_equal(model.outliers_, fitted.outliers_[last])
        np.testing.assert_allclose(
            model.robust_weights_, fitted.robust_weights_[last], rtol=1e-9
        )


@each_scale
@pytest.mark.parametrize(
    "name",
    [
        "normal",
        "t",
        "high",
        "lognormal",
        "all of the first tenth high",
        "half of the first tenth high",
        "the first tenth wide",
    ],
)
@pytest.mark.parametrize("size", [1200, 150])
def test_error_is_that_of_all_rows(scale, name, size):
    squares = np.zeros(2)
    for seed in range(3):
        X, y, coef = data(name, seed=seed)
        models = stream_of(X, y, size, scale=scale), HuberRegressor(scale=scale)
        models[1].fit(X, y)
        squares += [np.sum((model.coef_ - coef) ** 2) for model in models]
        np.testing.assert_allclose(models[0].scale_, models[1].scale_, rtol=0.25)
    assert squares[0] <= 1.1**2 * squares[1]


@each_scale
@pytest.mark.parametrize("name", ["normal", "t", "lognormal"])
def test_order_of_large_batches_changes_no_more_than_rounding(scale, name):
    X, y, _ = data(name)
    one = stream_of(X, y, PART, scale=scale)
    order = np.random.default_rng(1).permutation(12)
    two = stream_of(X, y, PART, order=order, scale=scale)
    np.testing.assert_allclose(one.coef_, two.coef_, rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(one.scale_, two.scale_, rtol=1e-10)


def test_contaminated_batches_count_alike_wherever_they_stand():
    X, y, coef = data("all of the first tenth high")
    order = np.roll(np.arange(12), -5)
    one = stream_of(X, y, PART)
    two = stream_of(X, y, PART, order=order)
    error = np.linalg.norm(one.coef_ - coef)
    assert np.linalg.norm(one.coef_ - two.coef_) < 1e-6 * error


@each_scale
@pytest.mark.parametrize("power", [-10, 10])
def test_units(scale, power):
    X, y, _ = data("t")
    unit = 2.0**power
    one = stream_of(X, y, PART, scale=scale)
    if scale == 1.0:
        scale = unit
    two = stream_of(X / unit, y * unit, PART, scale=scale, alpha=1e-4 / unit**3)
    np.testing.assert_allclose(two.coef_, one.coef_ * unit**2, rtol=1e-9)
    np.testing.assert_allclose(two.scale_, one.scale_ * unit, rtol=1e-9)
    np.testing.assert_allclose(two.intercept_, one.intercept_ * unit, rtol=1e-9)


@pytest.mark.parametrize("fit_intercept", [True, False])
def test_without_threshold_the_stream_is_ridge_regression(fit_intercept):
    X, y = problems.house_prices(6000, 4)[:2]
    weight = np.random.default_rng(0).uniform(0, 2, 6000)
    options = {"rho": np.inf, "alpha": 1e5, "fit_intercept": fit_intercept}
    model = stream_of(X, y, PART, weight, scale=1.0, **options)
    fitted = HuberRegressor(scale=1.0, **options).fit(X, y, weight)
    np.testing.assert_allclose(model.coef_, fitted.coef_, rtol=1e-9)
    np.testing.assert_allclose(model.intercept_, fitted.intercept_, rtol=1e-9)


@each_scale
@pytest.mark.parametrize("sizes", [(3000, 3000), (3000, 30), (30, 3000), (400, 400)])
def test_streams_add_up(scale, sizes):
    X, y = problems.house_prices(6000, 4)[:2]
    # The frames of the two streams differ.
    X[3000:, 1] *= 100
    X[3000:, 0] -= 1000
    size = 1500
    a = slice(0, sizes[0])
    b = slice(3000, 3000 + sizes[1])
    one = stream_of(X[a], y[a], size, scale=scale)
    two = stream_of(X[b], y[b], size, scale=scale)
    state = pickle.dumps(two)
    both = one.merge(two)
    assert pickle.dumps(two) == state
    expected = stream_of(X[a], y[a], size, scale=scale)
    for start in range(b.start, b.stop, size):
        rows = slice(start, min(start + size, b.stop))
        expected.partial_fit(X[rows], y[rows])
    assert both.n_samples_seen_ == expected.n_samples_seen_ == sum(sizes)
    np.testing.assert_allclose(both.coef_, expected.coef_, rtol=1e-7)
    np.testing.assert_allclose(both.intercept_, expected.intercept_, rtol=1e-7)
    np.testing.assert_allclose(both.scale_, expected.scale_, rtol=1e-9)


def test_state_is_pickled_and_does_not_grow():
    X, y, _ = data()
    early = stream_of(X[:11_500], y[:11_500], 500)
    sizes = [len(pickle.dumps(early))]
    late = pickle.loads(pickle.dumps(early))
    for model in (early, late):
        for start in range(11_500, 12_000, 500):
            model.partial_fit(X[start:], y[start:])
    np.testing.assert_array_equal(early.coef_, late.coef_)
    long = stream_of(np.tile(X, (3, 1)), np.tile(y, 3), 1500)
    sizes.append(len(pickle.dumps(long)))
    # 12 parts of 2·p² + 4·p numbers, and kept rows.
    assert max(sizes) < 8 * (PART * 6 + 12 * (2 * 36 + 24)) + 12 * 1500 + 5000


def test_rare_dummies_and_columns_that_appear_late():
    X, y, coef = data(n=10_000)
    X[:, 0] = np.arange(10_000) % 500 == 7
    X[:, 1] = np.where(np.arange(10_000) < 5000, 0.0, 1e3 * X[:, 1])
    y = X @ coef + np.random.default_rng(1).normal(size=10_000)
    model = stream_of(X, y, PART)
    fitted = HuberRegressor().fit(X, y)
    np.testing.assert_allclose(model.coef_[0], fitted.coef_[0], atol=0.1)
    np.testing.assert_allclose(model.coef_[1:], fitted.coef_[1:], rtol=0.05)


def dummies(seed, n=12_000, p=5):
    """Dummies of rows from one in a thousand on, and a tenth of outliers."""
    rng = np.random.default_rng(seed)
    X, coef = rng.normal(size=(n, p)), rng.normal(size=p)
    X[:, :2] = rng.random((n, 2)) < [0.001, 0.003]
    return X, X @ coef + 3.0 + noise("high", rng, n), coef


@each_scale
@pytest.mark.parametrize("size", [150, 1200])
@pytest.mark.parametrize("kind", ["dense", "csr", "weights"])
def test_rare_dummies_beside_outliers(scale, size, kind):
    squares = np.zeros(2)
    for seed in range(3):
        X, y, coef = dummies(seed)
        given, weight = X, None
        if kind == "csr":
            given = sp.csr_matrix(X)
        if kind == "weights":
            weight = np.where(X[:, 0] > 0, 3.0, 1.0)
        models = (
            stream_of(given, y, size, weight, scale=scale),
            HuberRegressor(scale=scale).fit(given, y, weight),
        )
        squares += [np.sum((model.coef_ - coef) ** 2) for model in models]
    assert squares[0] <= 1.1**2 * squares[1]


def test_few_rows_are_kept_because_a_column_rests_on_them():
    sizes = []
    for n_times in (1, 4):
        X, y, _ = dummies(0, n=12_000 * n_times)
        X[:, 2:] *= np.exp(2 * np.random.default_rng(1).normal(size=(len(y), 1)))
        sizes.append(len(pickle.dumps(stream_of(X, y, 1500))))
    # Those that are no part yet, ten a column of the last part, and 12 parts.
    most = 8 * ((PART + 10 * 5) * (5 + 1) + 12 * (2 * 36 + 24)) + 12 * 1500 + 5000
    assert max(sizes) < most


@pytest.mark.parametrize("size", [150, 1200])
def test_streams_with_rare_dummies_add_up(size):
    squares = np.zeros(2)
    for seed in range(3):
        X, y, coef = dummies(seed)
        one, two = (stream_of(X[k::2], y[k::2], size) for k in range(2))
        models = one.merge(two), HuberRegressor().fit(X, y)
        squares += [np.sum((model.coef_ - coef) ** 2) for model in models]
    assert squares[0] <= 1.1**2 * squares[1]


def test_exact_data():
    X, _, coef = data(n=4000)
    model = stream_of(X, X @ coef + 2.0, PART)
    np.testing.assert_allclose(model.coef_, coef, rtol=1e-9)
    np.testing.assert_allclose(model.intercept_, 2.0, rtol=1e-9)


def test_fit_forgets_the_stream():
    X, y, _ = data(n=3000)
    model = HuberRegressor().partial_fit(X[:1500], y[:1500]).fit(X, y)
    assert not hasattr(model, "n_samples_seen_")
    np.testing.assert_array_equal(model.coef_, HuberRegressor().fit(X, y).coef_)
    model.partial_fit(X[:1500], y[:1500])
    assert model.n_samples_seen_ == 1500


def unchanged(model, function, error, match):
    before = vars(model).copy()
    with pytest.raises(error, match=match):
        function()
    assert vars(model) == before


def test_bad_input_is_refused():
    X, y, _ = data(n=1200)
    model = HuberRegressor().partial_fit(X, y)
    bad = X.copy()
    bad[3, 2] = np.nan
    unchanged(model, lambda: model.partial_fit(bad[:10], y[:10]), ValueError, "X .*NaN")
    unchanged(model, lambda: model.partial_fit(X[:, 1:], y), ValueError, "4 features")
    for name, value in (
        ("rho", 2.0),
        ("scale", "mad"),
        ("alpha", 1.0),
        ("fit_intercept", False),
    ):
        other = clone(model).set_params(**{name: value}).partial_fit(X, y)
        unchanged(model, lambda o=other: model.merge(o), ValueError, f"other .* {name}")
        old = getattr(model, name)
        model.set_params(**{name: value})
        unchanged(model, lambda: model.partial_fit(X, y), ValueError, f"the {name} of")
        model.set_params(**{name: old})
    unchanged(model, lambda: model.merge(3), TypeError, "other must be .* got 3")
    fitted = HuberRegressor().fit(X, y)
    unchanged(model, lambda: model.merge(fitted), ValueError, "other has no stream")
    with pytest.raises(ValueError, match="this model has no stream"):
        fitted.merge(model)
    small = HuberRegressor().partial_fit(X[:, :2], y)
    unchanged(model, lambda: model.merge(small), ValueError, "to 5 features.* got 2")
    for rule in ("auto", OutlierShare(0.1)):
        with pytest.raises(ValueError, match="needs a number for rho"):
            HuberRegressor(rule).partial_fit(X, y)
