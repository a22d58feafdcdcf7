"""Tests of the containers and layouts of data that HuberRegressor accepts."""

import pickle

import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse as sp

import naive
from compare import assert_same_bits, assert_same_fit
from regressor_data import many_zeros, random_weights
from skhuber import HuberRegressor


def strided_rows(X):
    return np.repeat(X, 2, axis=0)[::2]


def strided_columns(X):
    return np.repeat(X, 2, axis=1)[:, ::2]


def reversed_rows(X):
    return X[::-1].copy()[::-1]


def read_only(X):
    X = X.copy()
    X.flags.writeable = False
    return X


def unaligned(X):
    buffer = np.zeros(X.nbytes + 1, dtype=np.uint8)
    view = buffer[1:].view(X.dtype).reshape(X.shape)
    view[...] = X
    return view


def big_endian(X):
    return X.astype(">f8")


def indexed(container, dtype):
    def convert(X):
        S = container(X)
        for name in ("indices", "indptr", "row", "col"):
            if isinstance(getattr(S, name, None), np.ndarray):
                setattr(S, name, getattr(S, name).astype(dtype))
        return S

    convert.__name__ = f"{container.__name__}_{np.dtype(dtype).name}"
    return convert


def coo_with_int64(X):
    S = sp.coo_array(X)
    return sp.coo_array(
        (S.data, (S.row.astype(np.int64), S.col.astype(np.int64))), shape=S.shape
    )


def coo_with_duplicates(X):
    S = sp.coo_array(X)
    halves = np.concatenate([S.data / 2, S.data / 2])
    both = np.concatenate([S.row, S.row]), np.concatenate([S.col, S.col])
    return sp.coo_array((halves, both), shape=S.shape)


def csr_unsorted_with_duplicates_and_zeros(X):
    rows = []
    indptr = [0]
    indices = []
    for row in X:
        for j in range(len(row))[::-1]:
            rows += [row[j] / 2, row[j] / 2]
            indices += [j, j]
        indptr.append(len(indices))
    return sp.csr_matrix((rows, indices, indptr), shape=X.shape)


def csr_read_only(X):
    S = sp.csr_array(X)
    for part in (S.data, S.indices, S.indptr):
        part.flags.writeable = False
    return S


LAYOUTS = [
    np.asfortranarray,
    strided_rows,
    strided_columns,
    reversed_rows,
    read_only,
    unaligned,
    big_endian,
    np.ndarray.tolist,
    sp.csr_array,
    sp.csr_matrix,
    sp.csc_array,
    sp.csc_matrix,
    sp.coo_array,
    sp.coo_matrix,
    indexed(sp.csr_array, np.int32),
    indexed(sp.csr_array, np.int64),
    indexed(sp.csc_array, np.int32),
    indexed(sp.csc_array, np.int64),
    coo_with_int64,
    coo_with_duplicates,
    csr_unsorted_with_duplicates_and_zeros,
    csr_read_only,
]
each_layout = pytest.mark.parametrize("layout", LAYOUTS, ids=lambda f: f.__name__)


@each_layout
@pytest.mark.parametrize("scale", ["joint", "mad", 0.5])
def test_every_layout_gives_the_same_fit(layout, scale):
    X, y = many_zeros()
    s = random_weights(len(y))
    expected = HuberRegressor(scale=scale).fit(X, y, sample_weight=s)
    other = layout(X)
    fit = HuberRegressor(scale=scale).fit(other, y, sample_weight=s)
    assert_same_fit(fit, expected, X, 1e-10)
    np.testing.assert_array_equal(fit.outliers_, expected.outliers_)
    np.testing.assert_allclose(fit.robust_weights_, expected.robust_weights_, rtol=1e-9)
    np.testing.assert_allclose(fit.objective_, expected.objective_, rtol=1e-12)
    assert fit.coef_.dtype == np.float64
    np.testing.assert_allclose(fit.predict(other), expected.predict(X), rtol=1e-9)
    np.testing.assert_allclose(
        fit.score(other, y, s), expected.score(X, y, s), rtol=1e-9
    )


@pytest.mark.compiled
@pytest.mark.parametrize(
    "layout", [np.asfortranarray, strided_columns, sp.csr_array, sp.csc_array]
)
def test_layouts_agree_on_larger_data(layout):
    X, y = many_zeros(30_000, 10)
    expected = HuberRegressor().fit(X, y)
    assert_same_fit(HuberRegressor().fit(layout(X), y), expected, X, 1e-10)


@pytest.mark.parametrize("dtype", [bool, np.int8, np.uint16, np.int32, np.int64])
def test_integers_and_booleans_are_numbers(dtype):
    X, y = many_zeros()
    X = (X > 0 if dtype is bool else np.abs(10 * X)).astype(dtype)
    expected = HuberRegressor().fit(X.astype(np.float64), y)
    assert_same_bits(HuberRegressor().fit(X, y), expected)
    sparse = HuberRegressor().fit(sp.csr_array(X), y)
    assert_same_fit(sparse, expected, X, 1e-10)


def test_strided_and_integer_targets_and_weights():
    X, y = many_zeros()
    y = np.round(4 * y)
    s = random_weights(len(y))
    expected = HuberRegressor().fit(X, y, sample_weight=s)
    strided = HuberRegressor().fit(
        X, np.repeat(y, 2)[::2], sample_weight=np.repeat(s, 3)[::3]
    )
    assert_same_bits(strided, expected)
    integers = HuberRegressor().fit(X, y.astype(int), sample_weight=s.astype(int))
    assert_same_bits(integers, expected)
    lists = HuberRegressor().fit(X, y.tolist(), sample_weight=s.tolist())
    assert_same_bits(lists, expected)


@pytest.mark.parametrize(
    "layout", [np.ascontiguousarray, np.asfortranarray, sp.csr_array]
)
@pytest.mark.parametrize("scale", ["joint", "mad", 0.5])
def test_float32(layout, scale):
    X, y = many_zeros()
    X = X.astype(np.float32)
    fit = HuberRegressor(scale=scale).fit(layout(X), y)
    assert fit.coef_.dtype == np.float32
    expected = HuberRegressor(scale=scale).fit(X.astype(np.float64), y)
    np.testing.assert_allclose(fit.coef_, expected.coef_, rtol=1e-6)
    np.testing.assert_allclose(fit.intercept_, expected.intercept_, rtol=1e-6)
    np.testing.assert_allclose(fit.scale_, expected.scale_, rtol=1e-6)
    np.testing.assert_allclose(
        fit.predict(layout(X)), expected.predict(X), rtol=1e-4, atol=1e-4
    )


def test_float32_targets_and_weights_are_numbers_too():
    X, y = many_zeros()
    y = y.astype(np.float32)
    s = random_weights(len(y)).astype(np.float32)
    fit = HuberRegressor().fit(X, y, sample_weight=s)
    expected = HuberRegressor().fit(X, y.astype(float), sample_weight=s.astype(float))
    assert fit.coef_.dtype == np.float64
    assert_same_fit(fit, expected, X, 1e-10)


@pytest.mark.parametrize(
    "layout",
    [
        np.ascontiguousarray,
        np.asfortranarray,
        strided_columns,
        sp.csr_array,
        sp.csc_array,
        sp.coo_array,
        coo_with_duplicates,
        csr_unsorted_with_duplicates_and_zeros,
    ],
    ids=lambda f: f.__name__,
)
def test_the_data_is_not_modified(layout):
    X, y = many_zeros()
    s = random_weights(len(y))
    X = layout(X)
    names = ["data", "indices", "indptr", "row", "col"] if sp.issparse(X) else []
    before = {name: getattr(X, name).copy() for name in names if hasattr(X, name)}
    copies = (X.copy(), y.copy(), s.copy())
    fit = HuberRegressor().fit(X, y, sample_weight=s)
    fit.predict(X)
    fit.score(X, y, sample_weight=s)
    np.testing.assert_array_equal(naive.dense(X), naive.dense(copies[0]))
    np.testing.assert_array_equal(y, copies[1])
    np.testing.assert_array_equal(s, copies[2])
    for name, value in before.items():
        np.testing.assert_array_equal(getattr(X, name), value, err_msg=name)


def test_the_fit_does_not_hold_on_to_the_data():
    X, y = many_zeros()
    fit = HuberRegressor().fit(X, y)
    coef, weights = fit.coef_.copy(), fit.robust_weights_.copy()
    X[:], y[:] = np.nan, np.nan
    np.testing.assert_array_equal(fit.coef_, coef)
    np.testing.assert_array_equal(fit.robust_weights_, weights)
    assert len(pickle.dumps(fit)) < 10_000


FRAMES = [
    pytest.param(pd.DataFrame, pd.Series, id="pandas"),
    pytest.param(pl.DataFrame, pl.Series, id="polars"),
]


@pytest.mark.parametrize(("frame", "series"), FRAMES)
def test_frames(frame, series):
    X, y = many_zeros()
    s = random_weights(len(y))
    table = frame({"a": X[:, 0], "b": X[:, 1], "c": X[:, 2], "d": X[:, 3]})
    fit = HuberRegressor().fit(table, series(y), sample_weight=series(s))
    expected = HuberRegressor().fit(X, y, sample_weight=s)
    assert_same_fit(fit, expected, X, 1e-10)
    np.testing.assert_array_equal(fit.feature_names_in_, ["a", "b", "c", "d"])
    assert fit.feature_names_in_.dtype == object
    np.testing.assert_allclose(fit.predict(table), expected.predict(X), rtol=1e-9)
    renamed = frame({"a": X[:, 0], "b": X[:, 1], "c": X[:, 2], "e": X[:, 3]})
    with pytest.raises(ValueError, match="feature names"):
        fit.predict(renamed)
    disordered = frame({"b": X[:, 1], "a": X[:, 0], "c": X[:, 2], "d": X[:, 3]})
    with pytest.raises(ValueError, match="feature names"):
        fit.predict(disordered)
    with pytest.warns(UserWarning, match="does not have valid feature names"):
        fit.predict(X)
    with pytest.warns(UserWarning, match="fitted without feature names"):
        expected.predict(table)
    fit.fit(X, y)
    assert not hasattr(fit, "feature_names_in_")


def test_a_frame_of_mixed_types():
    X, y = many_zeros()
    table = pd.DataFrame(
        {"on": X[:, 0] > 0, "count": (10 * X[:, 1]).astype(int), "size": X[:, 2]}
    )
    fit = HuberRegressor().fit(table, y)
    expected = HuberRegressor().fit(table.to_numpy(dtype=np.float64), y)
    assert_same_fit(fit, expected, table.to_numpy(dtype=np.float64), 1e-10)
