"""Valid data that is awkward gets a fit: no exception, nothing that is not finite."""

import warnings

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.optimize import linprog
from sklearn.exceptions import ConvergenceWarning

import naive
import problems
from compare import assert_same_bits, assert_same_fit, certificate
from skhuber import HuberRegressor

X, y, COEF, INTERCEPT = problems.plain(60, 3)
PLANE = X @ COEF + INTERCEPT


def replaced(array, where, value):
    array = np.array(array, dtype=np.float64)
    array[where] = value
    return array


def weights(*, only=None, spread=None):
    if only is not None:
        return replaced(np.zeros(60), only, 1.0)
    return np.random.default_rng(0).permutation(np.logspace(-spread, spread, 60))


def outliers(share, size, seed=0):
    rng = np.random.default_rng(seed)
    bad = rng.permutation(60)[: int(share * 60)]
    clean = PLANE + 0.5 * rng.normal(size=60)
    return replaced(clean, bad, clean[bad] + size * rng.choice([-1, 1], len(bad)))


WIDE = problems.wide(15, 25)

# name: X, y, sample_weight
CASES = {
    "constant_y": (X, np.full(60, 7.25), None),
    "constant_y_tiny": (X, np.full(60, 1e-200), None),
    "constant_y_large": (X, np.full(60, -3e12), None),
    "zero_y": (X, np.zeros(60), None),
    "exact": (X, PLANE, None),
    "exact_with_outliers": (X, replaced(PLANE, slice(0, 12), 100.0), None),
    "exact_but_one": (X, replaced(PLANE, 5, -1e6), None),
    "exact_without_noise_in_integers": (
        np.arange(20.0)[:, None],
        3.0 * np.arange(20.0) - 7.0,
        None,
    ),
    "two_values_of_y": (X, (y > np.median(y)).astype(float), None),
    "mostly_one_value_of_y": (X, replaced(np.full(60, 2.0), slice(0, 9), y[:9]), None),
    "constant_column": (replaced(X, (slice(None), 1), 4.0), y, None),
    "large_constant_column": (replaced(X, (slice(None), 1), 1e15), y, None),
    "nearly_constant_column": (
        replaced(X, (slice(None), 1), replaced(np.full(60, 4.0), 0, 4.0 + 1e-9)),
        y,
        None,
    ),
    "only_constant_columns": (np.full((60, 2), 3.0), y, None),
    "zero_columns": (np.zeros((60, 3)), y, None),
    "zero_columns_zero_y": (np.zeros((60, 3)), np.zeros(60), None),
    "duplicate_columns": (np.hstack([X, X]), y, None),
    "duplicate_columns_of_other_units": (np.hstack([X, 1e6 * X]), y, None),
    "sum_of_columns": (np.column_stack([X, X.sum(axis=1)]), y, None),
    "nearly_duplicate_columns": (
        np.column_stack([X, X[:, 0] + 1e-9 * X[:, 1]]),
        y,
        None,
    ),
    "all_dummies": (np.kron(np.eye(3), np.ones((20, 1))), y, None),
    "a_dummy_for_one_row": (np.column_stack([X, np.eye(60)[:, 0]]), y, None),
    "a_dummy_for_every_row": (np.eye(60), y, None),
    "wide": (WIDE.X, WIDE.y, None),
    "square": (X[:3], y[:3], None),
    "as_many_rows_as_unknowns": (X[:4], y[:4], None),
    "one_row": (X[:1], y[:1], None),
    "one_row_one_column": (X[:1, :1], y[:1], None),
    "one_zero": (np.zeros((1, 1)), np.zeros(1), None),
    "two_rows": (X[:2], y[:2], None),
    "the_same_row_thrice": (np.repeat(X[:1], 3, 0), y[:3], None),
    "one_column": (X[:, :1], y, None),
    "forty_percent_outliers": (X, outliers(0.4, 30.0), None),
    "forty_percent_huge_outliers": (X, outliers(0.4, 1e15), None),
    "one_huge_outlier": (X, replaced(y, 4, 1e15), None),
    "one_outlier_of_1e300": (X, replaced(y, 4, 1e300), None),
    "one_wild_row": (replaced(X, 4, 1e9), y, None),
    "timestamps": (*problems.timestamps(60, 3)[:2], None),
    "only_timestamps": (1.6e12 + 1e9 * X[:, :1], y, None),
    "units_12_decades_apart": (X * [1e-6, 1.0, 1e6], y, None),
    "integer_y": (X, np.round(y).astype(int), None),
    "boolean_y": (X, y > 5.0, None),
    "all_weights_but_one_zero": (X, y, weights(only=7)),
    "all_weights_but_two_zero": (X, y, weights(only=[7, 9])),
    "all_weights_tiny": (X, y, np.full(60, 1e-300)),
    "all_weights_huge": (X, y, np.full(60, 1e300)),
    "weights_60_decades_apart": (X, y, weights(spread=30)),
    "weights_12_decades_apart": (X, y, weights(spread=6)),
    "X_1e-150": (X * 1e-150, y, None),
    "X_1e150": (X * 1e150, y, None),
    "y_1e-150": (X, y * 1e-150, None),
    "y_1e150": (X, y * 1e150, None),
    "both_1e-150": (X * 1e-150, y * 1e-150, None),
    "both_1e150": (X * 1e150, y * 1e150, None),
    "X_1e-150_y_1e150": (X * 1e-150, y * 1e150, None),
    "X_1e150_y_1e-150": (X * 1e150, y * 1e-150, None),
    "subnormal_y": (X, y * 1e-312, None),
    "subnormal_column": (X * [1e-312, 1.0, 1.0], y, None),
    "column_of_1e300": (X * [1e300, 1.0, 1.0], y, None),
    "y_of_1e300": (X, y * 1e300, None),
}
OPTIONS = {
    "default": {},
    "no_penalty": {"alpha": 0.0},
    "no_intercept": {"fit_intercept": False},
    "mad": {"scale": "mad"},
    "fixed": {"scale": 1.0},
    "infinite_threshold": {"rho": np.inf},
    "least_threshold": {"rho": 1.0},
}


# Found, but not always certified.
UNCERTIFIED = {
    # F is 1e300, and what matters of it is lost to rounding.
    ("one_outlier_of_1e300", "least_threshold"),
    # A scale of 1 where y is 1e150: least absolute deviations, to rounding.
    ("y_1e150", "fixed"),
    ("both_1e150", "fixed"),
    ("X_1e-150_y_1e150", "fixed"),
    ("y_of_1e300", "fixed"),
}


def fit_of_any_scale(model, X, y, s):
    """Fit; a scale that fell to zero is warned of, and only that."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.filterwarnings(
            "always", ".*the scale fell to zero", ConvergenceWarning
        )
        model.fit(X, y, sample_weight=s)
    if caught:
        residual = y - model.predict(X)
        assert model.scale_ < 1e-7 * np.abs(residual).max()
    return model


def check_finite(fit, X, y):
    n, p = X.shape
    assert fit.coef_.shape == (p,)
    for name in ("coef_", "intercept_", "scale_", "objective_", "robust_weights_"):
        assert np.isfinite(getattr(fit, name)).all(), name
    assert fit.scale_ >= 0
    assert np.isfinite(fit.optimality_gap_)
    assert fit.optimality_gap_ >= 0
    assert fit.outliers_.shape == fit.robust_weights_.shape == (n,)
    assert ((fit.robust_weights_ >= 0) & (fit.robust_weights_ <= 1)).all()
    assert fit.n_iter_ <= fit.max_iter
    predicted = fit.predict(X)
    assert predicted.shape == (n,)
    assert np.isfinite(predicted).all()


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("case", CASES)
def test_a_fit_is_made(case, options):
    X, y, s = CASES[case]
    with warnings.catch_warnings():
        if (case, options) in UNCERTIFIED:
            warnings.simplefilter("ignore", ConvergenceWarning)
        fit = fit_of_any_scale(HuberRegressor(**OPTIONS[options]), X, y, s)
    check_finite(fit, X, y)


LARGE = problems.plain(30_000, 4, seed=1)


@pytest.mark.compiled
@pytest.mark.parametrize("scale", ["joint", "mad", 1.0])
@pytest.mark.parametrize("size", [1e150, 1e300])
@pytest.mark.parametrize("where", ["a row", "a value", "a target"])
@pytest.mark.parametrize("container", [np.asarray, np.asfortranarray, sp.csr_array])
def test_one_huge_number_among_many(container, where, size, scale):
    X, y = LARGE.X.copy(), LARGE.y.copy()
    if where == "a row":
        X[77] = size
    elif where == "a value":
        X[77, 2] = size
    else:
        y[77] = size
    fit = HuberRegressor(scale=scale).fit(container(X), y)
    check_finite(fit, X, y)
    if where == "a target":
        assert fit.outliers_[77]
        np.testing.assert_allclose(fit.coef_, LARGE.coef, rtol=0.05)
    else:
        # A coefficient of 1 would make of that number an error of its size.
        assert abs(fit.coef_[2]) * size < 10 * np.abs(y).max()


@pytest.mark.parametrize("scale", ["joint", "mad"])
def test_49_percent_of_outliers_of_1e15(scale):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, 3))
    y = X @ [1.0, 2.0, 3.0] + rng.normal(size=400)
    bad = rng.permutation(400)[:196]
    y[bad] += 1e15 * rng.choice([-1, 1], 196)
    fit = HuberRegressor(scale=scale, rho=1.1, alpha=0.0).fit(X, y)
    check_finite(fit, X, y)
    assert fit.outliers_[bad].all()
    np.testing.assert_allclose(fit.coef_, [1.0, 2.0, 3.0], atol=0.6)


def test_weights_600_decades_apart():
    s = np.random.default_rng(0).permutation(np.logspace(-300, 300, 60))
    check_finite(fit_of_any_scale(HuberRegressor(), X, y, s), X, y)


@pytest.mark.compiled
@pytest.mark.parametrize("order", ["C", "F"])
def test_arrays_on_disk_and_in_other_byte_orders(order, tmp_path):
    expected = HuberRegressor().fit(np.array(LARGE.X, order=order), LARGE.y)
    for name, values in [("X", LARGE.X), ("y", LARGE.y)]:
        np.save(tmp_path / f"{name}.npy", np.array(values, order=order))
    mapped_X, mapped_y = (
        np.load(tmp_path / f"{name}.npy", mmap_mode="r") for name in ("X", "y")
    )
    assert isinstance(mapped_X, np.memmap)
    assert_same_bits(HuberRegressor().fit(mapped_X, mapped_y), expected)
    swapped = np.array(LARGE.X, order=order, dtype=">f8")
    fit = HuberRegressor().fit(swapped, LARGE.y.astype(">f8"))
    assert_same_fit(fit, expected, LARGE.X, 1e-10)


@pytest.mark.parametrize("case", CASES)
def test_a_fit_is_made_of_sparse_data(case):
    X, y, s = CASES[case]
    X = sp.csr_array(X)
    check_finite(fit_of_any_scale(HuberRegressor(), X, y, s), X, y)


# --- what the fit must be where that is known -------------------------------

SOLVED = [
    "constant_y",
    "constant_y_large",
    "zero_y",
    "exact",
    "exact_without_noise_in_integers",
    "zero_columns_zero_y",
    "wide",
    "square",
    "as_many_rows_as_unknowns",
    "one_row",
    "one_row_one_column",
    "one_zero",
    "two_rows",
    "a_dummy_for_every_row",
]


@pytest.mark.parametrize("options", ["default", "no_penalty", "mad"])
@pytest.mark.parametrize("case", SOLVED)
def test_what_can_be_met_exactly_is(case, options):
    X, y, s = CASES[case]
    fit = HuberRegressor(**OPTIONS[options]).fit(X, y, sample_weight=s)
    largest = np.max(np.abs(y)) or 1.0
    np.testing.assert_allclose(fit.predict(X), y, rtol=1e-8, atol=1e-8 * largest)
    assert fit.scale_ <= 1e-8 * largest


@pytest.mark.parametrize("options", ["default", "no_penalty", "mad"])
@pytest.mark.parametrize("case", ["constant_y", "constant_y_large", "zero_y"])
def test_a_constant_needs_no_column(case, options):
    X, y, s = CASES[case]
    fit = HuberRegressor(**OPTIONS[options]).fit(X, y, sample_weight=s)
    largest = max(abs(y[0]), 1e-300)
    np.testing.assert_allclose(fit.coef_, 0.0, atol=1e-8 * largest)
    np.testing.assert_allclose(fit.intercept_, y[0], rtol=1e-8)


@pytest.mark.parametrize("container", [np.asarray, np.asfortranarray, sp.csr_array])
@pytest.mark.parametrize("options", ["default", "no_penalty", "mad"])
@pytest.mark.parametrize("case", ["exact", "exact_with_outliers", "exact_but_one"])
def test_an_exact_plane_is_recovered(case, options, container):
    X, y, _ = CASES[case]
    fit = HuberRegressor(**OPTIONS[options]).fit(container(X), y)
    np.testing.assert_allclose(fit.coef_, COEF, rtol=1e-8)
    np.testing.assert_allclose(fit.intercept_, INTERCEPT, rtol=1e-8)
    np.testing.assert_allclose(fit.predict(X), PLANE, rtol=1e-8, atol=1e-8)
    far = np.abs(y - PLANE) > 1.0
    assert fit.outliers_[far].all()
    np.testing.assert_array_less(fit.robust_weights_[far], 1e-6)


@pytest.mark.parametrize("n", [20, 21])
@pytest.mark.parametrize("p", [1, 3])
def test_the_least_threshold_is_least_absolute_deviations(n, p):
    # For rho = 1 the scale falls to 0 and F becomes 2 * sum|r|: a linear programme.
    X, y = problems.plain(n, p)[:2]
    A = np.column_stack([X, np.ones(n), np.eye(n), -np.eye(n)])
    cost = np.concatenate([np.zeros(p + 1), np.ones(2 * n)])
    bounds = [(None, None)] * (p + 1) + [(0, None)] * (2 * n)
    lowest = linprog(cost, A_eq=A, b_eq=y, bounds=bounds)
    with warnings.catch_warnings():
        # The minimum of a linear programme is found, but not always certified: where a
        # residual lies just on the threshold, the gap's quadratic model is wrong.
        warnings.simplefilter("ignore", ConvergenceWarning)
        fit = HuberRegressor(rho=1.0, alpha=0.0).fit(X, y)
    np.testing.assert_allclose(fit.objective_, 2 * lowest.fun, rtol=1e-7)
    np.testing.assert_allclose(fit.coef_, lowest.x[:p], rtol=1e-6)


@pytest.mark.parametrize("scale", ["joint", "mad"])
@pytest.mark.parametrize("unit_x", [1e-150, 1.0, 1e150])
@pytest.mark.parametrize("unit_y", [1e-150, 1.0, 1e150])
def test_extreme_units_are_units(unit_x, unit_y, scale):
    fit = HuberRegressor(scale=scale, alpha=0.0).fit(X * unit_x, y * unit_y)
    plain = HuberRegressor(scale=scale, alpha=0.0).fit(X, y)
    check_finite(fit, X * unit_x, y * unit_y)
    np.testing.assert_allclose(
        fit.predict(X * unit_x) / unit_y, plain.predict(X), rtol=1e-9, atol=1e-9
    )
    np.testing.assert_array_equal(fit.outliers_, plain.outliers_)
    fit.coef_ = fit.coef_ * unit_x / unit_y
    fit.intercept_ = fit.intercept_ / unit_y
    fit.scale_ = fit.scale_ / unit_y
    assert_same_fit(fit, plain, X, 1e-9)


@pytest.mark.parametrize("options", ["default", "mad", "fixed"])
def test_duplicate_columns_share_the_coefficient(options):
    # The penalty makes halves of them; the fit is that with half the penalty.
    one = HuberRegressor(**OPTIONS[options], alpha=0.5).fit(X, y)
    both = HuberRegressor(**OPTIONS[options], alpha=1.0).fit(np.hstack([X, X]), y)
    np.testing.assert_allclose(both.coef_[:3], both.coef_[3:], rtol=1e-8)
    both.coef_ = both.coef_[:3] + both.coef_[3:]
    assert_same_fit(both, one, X, 1e-9)


@pytest.mark.parametrize("options", ["default", "no_penalty", "mad", "fixed"])
@pytest.mark.parametrize(
    "case",
    [
        "constant_column",
        "large_constant_column",
        "zero_columns",
        "only_constant_columns",
        "duplicate_columns",
        "sum_of_columns",
    ],
)
def test_columns_that_say_nothing_change_no_prediction(case, options):
    wide, y, _ = CASES[case]
    X = {
        "constant_column": lambda: wide[:, [0, 2]],
        "large_constant_column": lambda: wide[:, [0, 2]],
        "zero_columns": lambda: np.zeros((60, 1)),
        "only_constant_columns": lambda: np.zeros((60, 1)),
        "duplicate_columns": lambda: wide[:, :3],
        "sum_of_columns": lambda: wide[:, :3],
    }[case]()
    alpha = {"alpha": 0.0} if "columns" in case else {}
    parameters = OPTIONS[options] | alpha
    one = HuberRegressor(**parameters).fit(X, y)
    other = HuberRegressor(**parameters).fit(wide, y)
    np.testing.assert_allclose(other.predict(wide), one.predict(X), rtol=1e-9)
    np.testing.assert_allclose(other.scale_, one.scale_, rtol=1e-9)


@pytest.mark.parametrize("case", ["forty_percent_outliers", "timestamps"])
def test_what_is_hard_is_certified(case):
    X, y, _ = CASES[case]
    fit = HuberRegressor().fit(X, y)
    assert certificate(fit, X, y) <= 1e-12


def test_forty_percent_of_outliers_do_not_carry_the_fit_away():
    for size in (30.0, 1e3, 1e6):
        fit = HuberRegressor().fit(X, outliers(0.4, size))
        near = np.abs(outliers(0.4, size) - PLANE) < 5.0
        np.testing.assert_array_equal(fit.outliers_[~near], True)
        assert np.max(np.abs(fit.predict(X) - PLANE)) < 5.0


@pytest.mark.parametrize("size", [1e9, 1e12, 1e15])
@pytest.mark.parametrize("scale", ["joint", "mad", 0.5])
def test_huge_outliers_weigh_no_more_than_others(scale, size):
    near = HuberRegressor(scale=scale).fit(X, outliers(0.1, 1e3))
    far = HuberRegressor(scale=scale).fit(X, outliers(0.1, size))
    assert_same_fit(far, near, X, 1e-8)


@pytest.mark.parametrize("scale", ["joint", "mad"])
def test_rows_without_weight_are_absent(scale):
    s = weights(only=[1, 5, 8, 20, 31, 33, 40, 41, 42, 50])
    wild = replaced(X, s == 0, 1e200)
    fit = HuberRegressor(scale=scale).fit(wild, replaced(y, s == 0, 1e200), s)
    absent = HuberRegressor(scale=scale).fit(X[s > 0], y[s > 0])
    assert_same_fit(fit, absent, X, 1e-9)


def test_one_row_with_weight_is_one_row():
    fit = HuberRegressor().fit(X, y, sample_weight=weights(only=7))
    np.testing.assert_allclose(fit.predict(X[7:8]), y[7:8], rtol=1e-9)
    np.testing.assert_allclose(fit.coef_, 0.0, atol=1e-9)
    np.testing.assert_allclose(fit.intercept_, y[7], rtol=1e-9)


@pytest.mark.parametrize("factor", [1e-300, 1e-30, 1e30, 1e300])
def test_the_size_of_the_weights_does_not_matter(factor):
    plain = HuberRegressor(alpha=0.0).fit(X, y)
    fit = HuberRegressor(alpha=0.0).fit(X, y, sample_weight=np.full(60, factor))
    assert_same_fit(fit, plain, X, 1e-9)


def test_weights_that_matter_are_the_large_ones():
    few = weights(only=np.arange(0, 60, 2)) + 1e-30
    fit = HuberRegressor().fit(X, y, sample_weight=few)
    absent = HuberRegressor().fit(X[::2], y[::2])
    assert_same_fit(fit, absent, X, 1e-9)


def test_the_callers_settings_are_left_alone():
    with warnings.catch_warnings(), np.errstate(under="warn"):
        warnings.simplefilter("error")
        filters, errors = list(warnings.filters), np.geterr()
        HuberRegressor().fit(X, y)
        HuberRegressor().fit(X, PLANE)
        assert list(warnings.filters) == filters
        assert np.geterr() == errors


@pytest.mark.compiled
@pytest.mark.parametrize("container", [np.asarray, np.asfortranarray, sp.csr_array])
def test_many_rows_of_little_variety(container):
    # Most samples of the rows miss the rare columns altogether.
    rng = np.random.default_rng(0)
    n = 30_000
    data = np.zeros((n, 6))
    data[:, 0] = rng.integers(0, 3, n)
    for j, count in enumerate([1, 1, 2, 3], start=1):
        data[rng.permutation(n)[:count], j] = 1.0
    target = data @ np.arange(1.0, 7.0) + rng.integers(-2, 3, n)
    fit = HuberRegressor().fit(container(data), target)
    check_finite(fit, container(data), target)
    assert certificate(fit, data, target) <= 1e-12
    np.testing.assert_array_equal(fit.coef_[5], 0.0)


@pytest.mark.compiled
def test_many_exact_rows():
    data, target, coef, intercept = problems.plain(30_000, 5)
    plane = data @ coef + intercept
    for values in (plane, np.where(target > plane + 4, target, plane)):
        fit = HuberRegressor().fit(data, values)
        np.testing.assert_allclose(fit.coef_, coef, rtol=1e-8)
        np.testing.assert_allclose(fit.intercept_, intercept, rtol=1e-8)


@pytest.mark.compiled
def test_half_of_many_weights_are_zero():
    data, target = problems.heavy_tailed(30_000, 5)[:2]
    s = np.where(np.arange(30_000) % 2 == 0, 1.0, 0.0)
    fit = HuberRegressor().fit(data, target, sample_weight=s)
    absent = HuberRegressor().fit(data[::2], target[::2])
    assert_same_fit(fit, absent, data, 1e-9)
    assert (
        naive.relative_gap(
            data, target, fit.coef_, fit.intercept_, fit.scale_, 1.35, 1e-4, s
        )
        <= 1e-12
    )
