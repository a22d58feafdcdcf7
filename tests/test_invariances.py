"""What must not change a fit, or must change it in a known way."""

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given as given_any
from hypothesis import settings
from hypothesis import strategies as st
from sklearn.base import clone

import problems
from compare import assert_same_bits, assert_same_fit
from skhuber import HuberRegressor

SCALES = ["joint", "mad", 0.6]
each_scale = pytest.mark.parametrize("scale", SCALES)

# Measured disagreements are below 1e-11 where arithmetic differs at all; a fit that
# is merely within its tolerance of 1e-12 in the objective would show 1e-6.
TOL = 1e-9


def given(*strategies):
    """Few examples each: every one is two fits and more."""
    return lambda test: settings(max_examples=15)(given_any(*strategies)(test))


@st.composite
def data(draw, intercept=None):
    """A small problem whose minimum is well determined, weights, an estimator."""
    n, p = draw(st.integers(40, 70)), draw(st.integers(1, 4))
    make = draw(
        st.sampled_from([problems.plain, problems.heavy_tailed, problems.correlated])
    )
    problem = make(n, p, seed=draw(st.integers(0, 10_000)))
    rng = np.random.default_rng(draw(st.integers(0, 10_000)))
    weights = rng.integers(0, 4, n).astype(float)
    if intercept is None:
        intercept = draw(st.booleans())
    estimator = HuberRegressor(
        rho=draw(st.sampled_from([1.2, 1.35, 2.5, np.inf])),
        fit_intercept=intercept,
        alpha=draw(st.sampled_from([0.0, 1e-4, 1.0])),
    )
    return problem.X, problem.y, weights, estimator


@each_scale
@given(data())
def test_a_weight_is_a_repetition(scale, drawn):
    X, y, s, estimator = drawn
    estimator.set_params(scale=scale)
    times = s.astype(int)
    weighted = clone(estimator).fit(X, y, sample_weight=s)
    repeated = clone(estimator).fit(np.repeat(X, times, 0), np.repeat(y, times))
    assert_same_fit(weighted, repeated, X, TOL)
    np.testing.assert_allclose(weighted.objective_, repeated.objective_, rtol=1e-11)


@each_scale
@given(data())
def test_a_weight_of_zero_is_an_absent_row(scale, drawn):
    X, y, s, estimator = drawn
    estimator.set_params(scale=scale)
    kept = s > 0
    # What stands in such a row has no influence at all, however wild.
    wild_X, wild_y = X.copy(), y.copy()
    wild_X[~kept] *= 1e6
    wild_y[~kept] = -1e12
    absent = clone(estimator).fit(X[kept], y[kept], sample_weight=s[kept])
    for weighted in (
        clone(estimator).fit(X, y, sample_weight=s),
        clone(estimator).fit(wild_X, wild_y, sample_weight=s),
        clone(estimator).fit(sp.csr_array(wild_X), wild_y, sample_weight=s),
    ):
        assert_same_fit(weighted, absent, X, 1e-10)
        np.testing.assert_array_equal(weighted.outliers_[kept], absent.outliers_)


@each_scale
@given(data(), st.integers(0, 10_000))
def test_the_order_of_rows_does_not_matter(scale, drawn, seed):
    X, y, s, estimator = drawn
    estimator.set_params(scale=scale)
    order = np.random.default_rng(seed).permutation(len(y))
    one = clone(estimator).fit(X, y, sample_weight=s)
    other = clone(estimator).fit(X[order], y[order], sample_weight=s[order])
    assert_same_fit(other, one, X, TOL)
    np.testing.assert_array_equal(other.outliers_, one.outliers_[order])


@each_scale
@given(data(), st.integers(0, 10_000))
def test_the_order_of_columns_does_not_matter(scale, drawn, seed):
    X, y, s, estimator = drawn
    estimator.set_params(scale=scale)
    order = np.random.default_rng(seed).permutation(X.shape[1])
    one = clone(estimator).fit(X, y, sample_weight=s)
    other = clone(estimator).fit(X[:, order], y, sample_weight=s)
    other.coef_ = other.coef_[np.argsort(order)]
    assert_same_fit(other, one, X, TOL)


@each_scale
@given(
    data(intercept=True),
    st.lists(st.floats(-6, 6), min_size=4, max_size=4),
    st.lists(st.sampled_from([-1.0, 1.0]), min_size=4, max_size=4),
    st.lists(st.floats(-100, 100), min_size=4, max_size=4),
)
def test_units_and_origins_of_the_columns(scale, drawn, powers, signs, shifts):
    X, y, s, estimator = drawn
    estimator.set_params(scale=scale, alpha=0.0)
    p = X.shape[1]
    factor = 10.0 ** np.array(powers[:p]) * signs[:p]
    shift = factor * shifts[:p]
    one = clone(estimator).fit(X, y, sample_weight=s)
    other = clone(estimator).fit(X * factor + shift, y, sample_weight=s)
    np.testing.assert_allclose(
        other.predict(X * factor + shift), one.predict(X), rtol=1e-8, atol=1e-8
    )
    np.testing.assert_array_equal(other.outliers_, one.outliers_)
    other.intercept_ += other.coef_ @ shift
    other.coef_ = other.coef_ * factor
    assert_same_fit(other, one, X, TOL)


@each_scale
@given(data(), st.lists(st.floats(-6, 6), min_size=4, max_size=4))
def test_units_of_the_columns_without_an_origin(scale, drawn, powers):
    X, y, s, estimator = drawn
    estimator.set_params(scale=scale, alpha=0.0)
    factor = 10.0 ** np.array(powers[: X.shape[1]])
    one = clone(estimator).fit(X, y, sample_weight=s)
    other = clone(estimator).fit(X * factor, y, sample_weight=s)
    other.coef_ = other.coef_ * factor
    assert_same_fit(other, one, X, TOL)


@each_scale
@given(data(), st.integers(0, 10_000))
def test_rotation_of_the_columns(scale, drawn, seed):
    # The penalty, too, is the same in every direction.
    X, y, s, estimator = drawn
    estimator.set_params(scale=scale)
    p = X.shape[1]
    Q, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(p, p)))
    one = clone(estimator).fit(X, y, sample_weight=s)
    other = clone(estimator).fit(X @ Q, y, sample_weight=s)
    other.coef_ = Q @ other.coef_
    assert_same_fit(other, one, X, TOL)


@pytest.mark.parametrize("scale", ["joint", "mad"])
@given(
    data(intercept=True),
    st.floats(-6, 6),
    st.sampled_from([-1.0, 1.0]),
    st.floats(-100, 100),
)
def test_units_and_origin_of_the_target(scale, drawn, power, sign, shift):
    X, y, s, estimator = drawn
    estimator.set_params(scale=scale, alpha=0.0)
    factor = sign * 10.0**power
    one = clone(estimator).fit(X, y, sample_weight=s)
    other = clone(estimator).fit(X, factor * (y + shift), sample_weight=s)
    np.testing.assert_array_equal(other.outliers_, one.outliers_)
    np.testing.assert_allclose(
        other.objective_, abs(factor) * one.objective_, rtol=1e-9
    )
    other.coef_ = other.coef_ / factor
    other.intercept_ = other.intercept_ / factor - shift
    other.scale_ = other.scale_ / abs(factor)
    assert_same_fit(other, one, X, TOL)


@given(data(intercept=True), st.floats(-6, 6), st.floats(-100, 100))
def test_units_and_origin_of_the_target_at_a_fixed_scale(drawn, power, shift):
    X, y, s, estimator = drawn
    factor = 10.0**power
    estimator.set_params(scale=0.6, alpha=0.0)
    one = clone(estimator).fit(X, y, sample_weight=s)
    estimator.set_params(scale=0.6 * factor)
    other = clone(estimator).fit(X, factor * (y + shift), sample_weight=s)
    other.coef_ = other.coef_ / factor
    other.intercept_ = other.intercept_ / factor - shift
    other.scale_ = other.scale_ / factor
    assert_same_fit(other, one, X, TOL)


@each_scale
@given(data(), st.floats(-8, 8))
def test_a_common_factor_of_all_weights(scale, drawn, power):
    X, y, s, estimator = drawn
    estimator.set_params(scale=scale)
    factor = 10.0**power
    one = clone(estimator).fit(X, y, sample_weight=s)
    estimator.set_params(alpha=estimator.alpha * factor)
    other = clone(estimator).fit(X, y, sample_weight=s * factor)
    assert_same_fit(other, one, X, TOL)
    np.testing.assert_allclose(other.objective_, factor * one.objective_, rtol=1e-10)


@each_scale
@given(data())
def test_the_data_twice_is_the_data(scale, drawn):
    X, y, s, estimator = drawn
    estimator.set_params(scale=scale, alpha=0.0)
    one = clone(estimator).fit(X, y, sample_weight=s)
    twice = clone(estimator).fit(
        np.vstack([X, X]), np.tile(y, 2), sample_weight=np.tile(s, 2)
    )
    assert_same_fit(twice, one, X, TOL)


@each_scale
@given(data(intercept=True))
def test_adding_a_plane_to_the_target_adds_it_to_the_fit(scale, drawn):
    X, y, s, estimator = drawn
    estimator.set_params(scale=scale, alpha=0.0)
    plane = np.arange(1.0, X.shape[1] + 1)
    one = clone(estimator).fit(X, y, sample_weight=s)
    other = clone(estimator).fit(X, y + X @ plane - 7.0, sample_weight=s)
    other.coef_ = other.coef_ - plane
    other.intercept_ += 7.0
    assert_same_fit(other, one, X, TOL)


@pytest.mark.parametrize("scale", ["joint", "mad", 0.6])
@given(data(intercept=True))
def test_a_column_of_zeros_or_ones_beside_the_intercept_is_nothing(scale, drawn):
    X, y, s, estimator = drawn
    estimator.set_params(scale=scale, alpha=1e-4)
    n, p = X.shape
    one = clone(estimator).fit(X, y, sample_weight=s)
    more = np.column_stack([X, np.zeros(n), np.full(n, 3.0)])
    other = clone(estimator).fit(more, y, sample_weight=s)
    np.testing.assert_array_equal(other.coef_[p:], 0.0)
    other.coef_ = other.coef_[:p]
    assert_same_fit(other, one, X, TOL)


# --- the same bits ----------------------------------------------------------

BIG_LAYOUTS = [np.ascontiguousarray, np.asfortranarray, sp.csr_array]
each_big_layout = pytest.mark.parametrize("layout", BIG_LAYOUTS, ids=["C", "F", "CSR"])


@pytest.mark.compiled
@each_big_layout
@each_scale
def test_the_number_of_threads_changes_no_bit(layout, scale):
    X, y = problems.heavy_tailed(40_000, 8)[:2]
    s = np.random.default_rng(0).integers(0, 4, len(y)).astype(float)
    X = layout(X)
    one = HuberRegressor(scale=scale, n_jobs=1).fit(X, y, sample_weight=s)
    for n_jobs in (2, None, -1):
        other = HuberRegressor(scale=scale, n_jobs=n_jobs)
        other.fit(X, y, sample_weight=s)
        assert_same_bits(other, one)


@pytest.mark.compiled
@each_big_layout
def test_the_number_of_threads_changes_no_bit_in_float32(layout):
    X, y = problems.plain(40_000, 8)[:2]
    X = layout(X.astype(np.float32))
    one = HuberRegressor(n_jobs=1).fit(X, y)
    assert_same_bits(HuberRegressor(n_jobs=2).fit(X, y), one)


@pytest.mark.compiled
@each_big_layout
def test_a_second_run_gives_the_same_bits(layout):
    X, y = problems.dummies(40_000, 8)[:2]
    X = layout(X)
    one = HuberRegressor().fit(X, y)
    assert_same_bits(HuberRegressor().fit(X, y), one)


@pytest.mark.parametrize("layout", BIG_LAYOUTS, ids=["C", "F", "CSR"])
@each_scale
def test_small_fits_repeat_to_the_bit(layout, scale):
    X, y = problems.correlated(100, 4)[:2]
    X = layout(X)
    one = HuberRegressor(scale=scale).fit(X, y)
    for n_jobs in (None, 1, 2):
        other = HuberRegressor(scale=scale, n_jobs=n_jobs).fit(X, y)
        assert_same_bits(other, one)


@pytest.mark.compiled
@each_scale
def test_weights_are_repetitions_on_larger_data(scale):
    X, y = problems.heavy_tailed(20_000, 6)[:2]
    s = np.random.default_rng(0).integers(0, 4, len(y))
    weighted = HuberRegressor(scale=scale).fit(X, y, sample_weight=s)
    repeated = HuberRegressor(scale=scale)
    repeated.fit(np.repeat(X, s, axis=0), np.repeat(y, s))
    assert_same_fit(weighted, repeated, X, TOL)
    kept = s > 0
    absent = HuberRegressor(scale=scale)
    absent.fit(X[kept], y[kept], sample_weight=s[kept])
    assert_same_fit(weighted, absent, X, TOL)


@pytest.mark.compiled
@each_scale
def test_sorted_rows_on_larger_data(scale):
    # A sample of the rows taken at a stride would see something else here.
    X, y = problems.plain(30_000, 5)[:2]
    one = HuberRegressor(scale=scale).fit(X, y)
    for order in (np.argsort(y), np.argsort(X[:, 0])):
        other = HuberRegressor(scale=scale).fit(X[order], y[order])
        assert_same_fit(other, one, X, TOL)
