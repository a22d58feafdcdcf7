"""What units, floors and thresholds follow from: the rows that count, and no others.

Most targets or features may be one value or next to zero, single ones far away, and
rows of weight zero may hold anything.
"""

import warnings
from typing import NamedTuple

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import Ridge

import naive
from skhuber import HuberRegressor, OutlierShare, huber_path
from skhuber._rows import make_rows

CONTAINERS = {"C": np.ascontiguousarray, "F": np.asfortranarray, "CSR": sp.csr_array}
SCALES = {"joint": {"rho": 2.0}, "mad": {"scale": "mad"}, "fixed": {"scale": 5.0}}
each_scale = pytest.mark.parametrize("options", SCALES.values(), ids=SCALES)
each_container = pytest.mark.parametrize(
    "container", CONTAINERS.values(), ids=CONTAINERS
)


def objective_of(fit, X, y, sample_weight=None):
    """F at the coefficients and the scale of a fit, restated."""
    return naive.objective(
        X,
        y,
        fit.coef_,
        fit.intercept_,
        fit.scale_,
        fit.rho_,
        fit.alpha,
        sample_weight,
        joint=fit.scale == "joint",
    )


def assert_same_model(one, other, rtol=1e-9, atol=0.0):
    largest = np.abs(other.coef_).max()
    np.testing.assert_allclose(
        one.coef_, other.coef_, rtol=0, atol=rtol * largest + atol
    )
    np.testing.assert_allclose(one.scale_, other.scale_, rtol=rtol, atol=atol)
    np.testing.assert_allclose(
        one.intercept_, other.intercept_, rtol=rtol, atol=rtol * largest + atol
    )


# --- targets of which most are one value ---------------------------------------------


def zero_inflated(n=200, zeros=0.55, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 3))
    size = 10 + 5 * X.sum(axis=1) + 10 * rng.standard_t(3, size=n)
    return X, np.where(rng.random(n) < zeros, 0.0, np.maximum(size, 0.0))


@each_scale
@pytest.mark.parametrize("far", [1e12, 1e15, 1e20, 9.969e36, 1e100])
def test_an_outlier_beside_many_equal_targets_is_as_good_as_any_other(far, options):
    X, y = zero_inflated()
    y[0] = 1e6
    expected = HuberRegressor(**options).fit(X, y)
    y[0] = far
    assert_same_model(HuberRegressor(**options).fit(X, y), expected, rtol=1e-6)


@pytest.mark.parametrize("options", [{}, {"scale": 1.0}], ids=["joint", "fixed"])
@pytest.mark.parametrize("far", [1e15, 9.969e36])
def test_most_targets_that_differ_may_be_outliers(far, options):
    # Half zeros, a tenth of ordinary numbers, and fill values of either sign.
    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, 2))
    y = np.zeros(400)
    y[200:240] = 10.0 * rng.normal(size=40)
    y[240:] = 1e6 * rng.choice([-1, 1], 160)
    expected = HuberRegressor(**options).fit(X, y)
    y[240:] *= far / 1e6
    assert_same_model(HuberRegressor(**options).fit(X, y), expected, rtol=1e-6)


def test_the_scale_may_be_that_of_a_minority():
    # With rho=1.1 four rows of ten tell the scale; six lie far off on either side.
    rng = np.random.default_rng(0)
    X = rng.normal(size=(500, 2))
    y = X.sum(axis=1) + rng.normal(size=500)
    side = np.repeat([-1, 1], 150)
    models = []
    for far in (1e6, 1e20):
        y[:300] = far * side
        models.append(HuberRegressor(1.1).fit(X, y))
    assert_same_model(models[1], models[0], rtol=1e-6)


@pytest.mark.compiled
def test_rare_targets_that_a_sample_lacks():
    # One target of 10,000 differs: none in the sample that tells the unit of y.
    rng = np.random.default_rng(0)
    n = 100_000
    X = np.zeros((n, 2))
    y = np.zeros(n)
    rare = rng.permutation(n)[:10]
    X[rare] = rng.normal(size=(10, 2))
    y[rare] = 1e-30 * X[rare].sum(axis=1)
    fit = HuberRegressor(alpha=0.0, fit_intercept=False).fit(X, y)
    np.testing.assert_allclose(fit.coef_, 1e-30, rtol=1e-6)


# --- numbers of which most are tiny ---------------------------------------------------


def bumps(n, k, seed=0):
    """Gaussian features: most values are about 1e-70, the largest are one."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(0, 100, n)
    X = np.exp(-((x[:, None] - np.linspace(0, 100, k)) ** 2) / 18)
    return X, 5 * np.sin(x / 8) + rng.standard_t(2, size=n)


@pytest.mark.parametrize("alpha", [1.0, 10.0])
@pytest.mark.parametrize(
    ("n", "k", "container"),
    [(2000, 30, np.asarray), (500, 8, sp.csr_array)],
    ids=["dense", "CSR"],
)
def test_the_penalty_counts_for_columns_that_are_mostly_tiny(n, k, container, alpha):
    X, y = bumps(n, k)
    fit = HuberRegressor(alpha=alpha).fit(container(X), y)
    expected = HuberRegressor(alpha=alpha).fit(np.where(X < 1e-30, 0.0, X), y)
    np.testing.assert_allclose(
        fit.objective_, float(objective_of(fit, X, y)), rtol=1e-12
    )
    np.testing.assert_allclose(fit.objective_, expected.objective_, rtol=1e-12)
    assert_same_model(fit, expected, rtol=1e-8)


@pytest.mark.compiled
@each_container
def test_values_that_are_not_tiny_may_be_rare(container):
    # Few of the rows from which units are taken, or none, show them.
    rng = np.random.default_rng(0)
    n = 80_000
    X = 1e-120 * rng.normal(size=(n, 3))
    rare = rng.permutation(n)[:100]
    X[rare] = rng.normal(size=(100, 3))
    y = X.sum(axis=1) + 0.1 * rng.normal(size=n)
    fit = HuberRegressor(alpha=30.0).fit(container(X), y)
    expected = HuberRegressor(alpha=30.0).fit(np.where(np.abs(X) < 1e-60, 0.0, X), y)
    np.testing.assert_allclose(fit.objective_, expected.objective_, rtol=1e-10)
    assert_same_model(fit, expected, rtol=1e-5)


@pytest.mark.parametrize("tiny", [1e-78, 1e-160, 1e-300])
def test_few_rows_with_tiny_columns(tiny):
    for seed in range(10):
        rng = np.random.default_rng(seed)
        X = rng.integers(0, 2, (10, 3)).astype(float)
        X[:, 2] = tiny * rng.integers(-2, 3, 10)
        y = rng.normal(size=10)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            fit = HuberRegressor(2.0).fit(X, y)
            expected = HuberRegressor(2.0).fit(X * [1, 1, 0], y)
        np.testing.assert_allclose(fit.objective_, expected.objective_, rtol=1e-9)


def density(n=400):
    x = np.linspace(-60, 60, n)
    return np.column_stack([x, np.exp(-np.abs(x))]), 5 * np.exp(-(x**2) / 2)


@pytest.mark.parametrize("options", [{}, {"rho": np.inf}, {"rho": 0.1}])
def test_targets_that_are_mostly_tiny(options):
    X, y = density()
    fit = HuberRegressor(scale=1.0, **options).fit(X, y)
    expected = HuberRegressor(scale=1.0, **options).fit(X, np.where(y < 1e-60, 0.0, y))
    assert_same_model(fit, expected, rtol=1e-8)
    np.testing.assert_allclose(fit.objective_, expected.objective_, rtol=1e-10)


def test_a_joint_scale_that_is_far_above_most_targets():
    # A threshold that leaves a ninth outside at most: 45 % are not outliers.
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 3))
    y = X.sum(axis=1) + rng.normal(size=300)
    y[:165] *= 1e-200
    fit = HuberRegressor(3.0).fit(X, y)
    expected = HuberRegressor(3.0).fit(X, np.where(np.abs(y) < 1e-100, 0.0, y))
    assert_same_model(fit, expected, rtol=1e-8)


# --- thresholds that were given -------------------------------------------------------


def contaminated(n=200, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 2))
    y = X @ [1.0, 2.0] + 0.1 * rng.normal(size=n)
    y[: n // 5] += 50
    return X, y


@pytest.mark.parametrize("alpha", [0.0, 3.0])
@pytest.mark.parametrize("unit", [1e-150, 1e-30, 1e9, 1e12, 1e13, 1e18, 1e100])
def test_a_threshold_is_the_product_of_rho_and_scale(unit, alpha):
    X, y = contaminated()
    # α‖w‖² has the unit of y², the loss that of y times the scale's.
    one = HuberRegressor(0.3 * unit, scale=1.0, alpha=alpha).fit(X, y * unit)
    other = HuberRegressor(0.3, scale=1.0, alpha=alpha).fit(X, y)
    np.testing.assert_allclose(one.coef_ / unit, other.coef_, rtol=1e-9)
    np.testing.assert_array_equal(one.outliers_, other.outliers_)
    np.testing.assert_allclose(one.robust_weights_, other.robust_weights_, rtol=1e-7)
    np.testing.assert_allclose(
        one.objective_ / unit / unit, other.objective_, rtol=1e-9
    )
    assert one.scale_ == 1.0


def test_seconds_as_threshold_of_time_stamps_in_nanoseconds():
    X, y = contaminated()
    stamps = 1_700_000_000 * 10**9 + (y * 1e9).astype(np.int64)
    fit = HuberRegressor(0.3e9, scale=1.0, alpha=0.0).fit(X, stamps)
    expected = HuberRegressor(0.3, scale=1.0, alpha=0.0).fit(X, y)
    np.testing.assert_allclose(fit.coef_ / 1e9, expected.coef_, rtol=1e-6)
    np.testing.assert_array_equal(fit.outliers_, expected.outliers_)


def test_a_share_of_outliers_with_a_scale_far_below_the_targets():
    X, y = contaminated()
    fit = HuberRegressor(OutlierShare(0.25), scale=1.0).fit(X, y * 1e15)
    assert fit.outliers_.sum() == 50


@pytest.mark.parametrize("unit", [1e-110, 1e-20, 1.0, 1e20, 1e110, 1e150])
def test_an_infinite_threshold_is_ridge_in_any_unit(unit):
    X, y = contaminated()
    fit = HuberRegressor(np.inf, scale=1.0, alpha=100.0).fit(X, y * unit)
    expected = Ridge(alpha=100.0).fit(X, y)
    np.testing.assert_allclose(fit.coef_ / unit, expected.coef_, rtol=1e-10)


@pytest.mark.parametrize("unit", [1e-100, 1e100])
def test_a_scale_far_from_the_targets_is_but_a_factor_of_the_penalty(unit):
    X, y = contaminated()
    fit = HuberRegressor(np.inf, scale=unit, alpha=100.0 / unit).fit(X, y)
    expected = Ridge(alpha=100.0).fit(X, y)
    np.testing.assert_allclose(fit.coef_, expected.coef_, rtol=1e-10)
    np.testing.assert_allclose(
        fit.objective_, float(objective_of(fit, X, y)), rtol=1e-10
    )


def test_callbacks_are_told_the_scale_that_was_given(capsys):
    X, y = contaminated()
    HuberRegressor(0.3e15, scale=1.0, verbose=True).fit(X, y * 1e15)
    assert "scale 1\n" in capsys.readouterr().out


# --- rows of weight zero --------------------------------------------------------------


def with_absent_rows(n, share, value, where, seed=0):
    """X, y and weights, of which some are zero; and what the others are."""
    rng = np.random.default_rng(seed)
    X = rng.normal([0.0, 50.0, -3.0], size=(n, 3))
    y = X @ [1.0, -2.0, 0.5] + rng.standard_t(2, size=n)
    weight = rng.integers(1, 4, n).astype(float)
    absent = rng.random(n) < share
    absent[7] = True
    weight[absent] = 0.0
    if where == "X":
        X[absent] = value
    elif where == "y":
        y[absent] = value
    else:
        X[absent, 1] = value
        y[absent] = -value
    kept = ~absent
    return (X, y, weight), (X[kept], y[kept], weight[kept]), kept


SENTINELS = [-9999e6, 9.969e36, 1e160, 1e300, -np.finfo(float).max]


@each_scale
@pytest.mark.parametrize("where", ["X", "y", "both"])
@pytest.mark.parametrize("value", SENTINELS)
@pytest.mark.parametrize("n", [18, 60])
def test_a_row_of_weight_zero_is_no_row(n, value, where, options):
    data, present, kept = with_absent_rows(n, 0.3, value, where)
    fit = HuberRegressor(**options).fit(*data)
    expected = HuberRegressor(**options).fit(*present)
    assert_same_model(fit, expected)
    np.testing.assert_allclose(fit.objective_, expected.objective_, rtol=1e-10)
    np.testing.assert_array_equal(fit.outliers_[kept], expected.outliers_)
    assert fit.outliers_[~kept].all()
    assert np.isfinite(fit.robust_weights_).all()


@pytest.mark.compiled
@each_scale
@each_container
@pytest.mark.parametrize("value", [1e160, 1e300])
def test_a_row_of_weight_zero_among_many_is_no_row(value, container, options):
    (X, y, weight), (X_kept, *rest), kept = with_absent_rows(
        80_000, 0.01, value, "both"
    )
    fit = HuberRegressor(**options).fit(container(X), y, weight)
    expected = HuberRegressor(**options).fit(container(X_kept), *rest)
    assert_same_model(fit, expected, rtol=1e-8)
    np.testing.assert_array_equal(fit.outliers_[kept], expected.outliers_)
    assert np.isfinite(fit.robust_weights_).all()


def test_most_rows_may_be_absent():
    data, present, _ = with_absent_rows(300, 0.8, 1e12, "y")
    assert_same_model(HuberRegressor().fit(*data), HuberRegressor().fit(*present))


@pytest.mark.compiled
@each_container
def test_absent_rows_of_a_path(container):
    (X, y, weight), (X_kept, y_kept, w), _ = with_absent_rows(80_000, 0.01, 1e300, "X")
    rhos = [1.2, 1.5, 2.0, 4.0]
    path = huber_path(container(X), y, rhos=rhos, sample_weight=weight)
    expected = huber_path(container(X_kept), y_kept, rhos=rhos, sample_weight=w)
    np.testing.assert_allclose(path.coefs, expected.coefs, rtol=1e-7)
    np.testing.assert_allclose(path.outlier_shares, expected.outlier_shares)
    np.testing.assert_array_equal(path.n_outliers, expected.n_outliers)


def test_the_largest_number_of_a_column_is_that_of_present_rows():
    (X, y, weight), (X_kept, *_), _ = with_absent_rows(60, 0.3, 1e300, "X")
    for container in CONTAINERS.values():
        rows = make_rows(container(X), y, weight, 1)
        expected = np.abs(X_kept - 1.0).max(axis=0)
        np.testing.assert_array_equal(rows.max_abs_deviation(np.ones(3)), expected)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("n", [12, 60, 3000])
def test_a_bad_value_in_an_absent_row_is_refused(n, bad):
    (X, y, weight), _, _ = with_absent_rows(n, 0.3, bad, "X")
    with pytest.raises(ValueError, match=r"NaN|infinity"):
        HuberRegressor().fit(X, y, weight)


@pytest.mark.parametrize("scale", ["joint", "mad", 1.0])
def test_exact_fits_are_exact_with_absent_rows(scale):
    for seed in range(25):
        rng = np.random.default_rng(seed)
        p = int(rng.integers(3, 30))
        n = p + int(rng.integers(0, 6))
        X, y = rng.normal(size=(n, p)), rng.standard_t(1, size=n)
        weight = rng.integers(0, 3, n).astype(float)
        if not 2 <= np.count_nonzero(weight) <= p:
            continue
        model = HuberRegressor(scale=scale, alpha=0.0, fit_intercept=False)
        model.fit(X[weight > 0], y[weight > 0], weight[weight > 0])
        model.fit(X, y, weight)  # a warning fails
        np.testing.assert_allclose(
            (X @ model.coef_)[weight > 0], y[weight > 0], rtol=1e-6
        )


# --- what no double can hold ----------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "unit"),
    [({}, 1e307), ({"rho": np.inf, "scale": 1.0}, 1e200), ({"alpha": 1e300}, 1e307)],
)
@pytest.mark.parametrize("n", [20, 200, 3000])
def test_an_objective_that_overflows_is_refused(n, options, unit):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, 3))
    y = X.sum(axis=1) + rng.normal(size=n)
    model = HuberRegressor(**options)
    with pytest.raises(ValueError, match=r"so large that .* overflow"):
        model.fit(X, y * unit)
    assert not hasattr(model, "coef_")


# --- all of it at random ------------------------------------------------------------


class Drawn(NamedTuple):
    """Data, and the same without what a unit might stumble over.

    In `plain` tiny numbers are zero, outliers lie at 1e6, and absent rows are left out.
    """

    data: tuple[np.ndarray, np.ndarray, np.ndarray]
    plain: tuple[np.ndarray, np.ndarray, np.ndarray]
    outlier_share: float
    has_mad: bool


def draw(seed, n):
    rng = np.random.default_rng(seed)
    p = int(rng.integers(1, 5))
    X = rng.normal(size=(n, p)) + rng.choice([0.0, 100.0])
    y = X @ rng.normal(size=p) + rng.standard_t(3, size=n)
    plain_X, plain_y = X.copy(), y.copy()
    tiny = 10.0 ** -rng.choice([30, 70, 150, 200, 300])
    kind = rng.choice(["zeros", "tiny targets", "tiny features", "plain"])
    most = rng.random(n) < rng.uniform(0.3, 0.7)
    if kind in ("zeros", "tiny targets"):
        y[most] *= 0.0 if kind == "zeros" else tiny
        plain_y[most] = 0.0
    elif kind == "tiny features":
        X[most] *= tiny
        plain_X[most] = 0.0
    far = rng.random(n) < rng.choice([0.0, 2.0 / n, 0.05])
    sign = rng.choice([-1.0, 1.0], n)
    size = 10.0 ** rng.choice([12, 20, 37, 100])
    y[far] = sign[far] * size
    plain_y[far] = sign[far] * 1e6
    weight = rng.integers(1, 3, n).astype(float)
    absent = rng.random(n) < rng.choice([0.0, 0.1, 0.6])
    weight[absent] = 0.0
    X[absent] = rng.choice([1e12, 1e40, 1e160, 1e300])
    y[absent] = rng.choice([-9999.0, 1e37, 1e300])
    kept = ~absent
    return Drawn(
        (X, y, weight),
        (plain_X[kept], plain_y[kept], weight[kept]),
        float(weight[far].sum() / weight.sum()),
        # A MAD scale of targets that are mostly zero is zero, and one that starts from
        # 1e100 needs more updates than there are.
        kind in ("tiny features", "plain") and size < 1e100,
    )


RANDOM_OPTIONS = [
    {"rho": 2.0, "alpha": 1.0},
    {"rho": 3.0},
    {"scale": "mad", "alpha": 1.0},
    {"scale": 1.0, "alpha": 1.0},
    {"scale": 1e-3, "rho": 2e3, "alpha": 1e3},
]


def check_random(seed, n, container):
    drawn = draw(seed, n)
    for options in RANDOM_OPTIONS:
        message = f"seed {seed}, {options}"
        fits = []
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", ConvergenceWarning)
            for X, y, weight in (drawn.data, drawn.plain):
                fits.append(HuberRegressor(**options).fit(container(X), y, weight))
        fit, expected = fits
        for name in ("coef_", "intercept_", "scale_", "objective_", "robust_weights_"):
            assert np.isfinite(getattr(fit, name)).all(), message
        scale = options.get("scale", "joint")
        # More outliers than that carry a joint scale away, or any fit.
        most = 0.7 / fit.rho_**2 if scale == "joint" else 0.35
        if drawn.outlier_share > most or (scale == "mad" and not drawn.has_mad):
            continue
        assert not caught, message
        assert_same_model(fit, expected, rtol=1e-6, atol=1e-9)
        if scale != "mad":
            values = [objective_of(one, *drawn.plain) for one in fits]
            assert values[0] <= values[1] * (1 + 1e-10), message


@pytest.mark.parametrize("seed", range(60))
def test_small_data_at_random(seed):
    n = int(np.random.default_rng(seed).choice([12, 60, 300]))
    check_random(seed, n, np.asarray)


@pytest.mark.compiled
@each_container
@pytest.mark.parametrize("seed", range(6))
def test_large_data_at_random(seed, container):
    check_random(100 + seed, 70_000, container)
