"""Several sources taken as one agree with the same rows in one array."""

from itertools import pairwise

import numpy as np
import pytest

from rows_reference import (
    LAYOUTS,
    N,
    P,
    assert_sums_close,
    data,
    each_main_layout,
    each_type,
    each_weight,
    point,
    sizes,
)
from skhuber._rows import BlockedRows, leverage_share, make_rows
from skhuber._sums import Want

ALL = Want(squares=True, gram=np.float64)
ENDS = [0, 40, 41, 130, N]


def both(layout, dtype=np.float64, has_weights=False):
    """The rows in one array and in blocks, and s."""
    X, y, weight = data()
    X = X.astype(dtype)
    weight = weight if has_weights else None
    whole = make_rows(LAYOUTS[layout](X), y, weight, 1)
    blocks = [
        make_rows(
            LAYOUTS[layout](X[start:stop]),
            y[start:stop],
            None if weight is None else weight[start:stop],
            1,
            weight_power=whole.weight_power,
        )
        for start, stop in pairwise(ENDS)
    ]
    s = np.ones(N) if weight is None else weight * whole.weight_unit
    return whole, BlockedRows(blocks), (X, y, s)


@each_main_layout
@each_type
@each_weight
def test_attributes(layout, dtype, has_weights):
    whole, blocked, _ = both(layout, dtype, has_weights)
    for name in (
        "n_rows",
        "n_features",
        "n_elements",
        "n_present",
        "weight_power",
        "weight_unit",
        "dtype",
        "threads",
        "layout",
        "is_finite",
        "n_sweeps",
    ):
        assert getattr(blocked, name) == getattr(whole, name), name
    np.testing.assert_allclose(blocked.total_weight, whole.total_weight)
    np.testing.assert_allclose(blocked.natural_weight, whole.natural_weight)
    np.testing.assert_array_equal(blocked.y, whole.y)
    np.testing.assert_array_equal(blocked.weight, whole.weight)


@each_main_layout
@each_type
@each_weight
def test_sums(layout, dtype, has_weights):
    whole, blocked, arrays = both(layout, dtype, has_weights)
    at, residuals = point(), np.empty((2, N), dtype)
    size = sizes(*arrays, at)
    [expected] = whole.sweep([at], ALL, residuals[0])
    [found] = blocked.sweep([at], ALL, residuals[1])
    assert_sums_close(found, expected, size)
    rtol = 1e-12 if dtype == np.float64 else 2e-7
    np.testing.assert_allclose(*residuals, rtol=rtol, atol=1e-12)
    [found] = blocked.sweep([at], ALL)
    assert_sums_close(found, expected, size)
    points = [at, point(intercept=1.0, threshold=0.4)]
    for there, a, b in zip(
        points, blocked.sweep(points), whole.sweep(points), strict=True
    ):
        assert_sums_close(a, b, sizes(*arrays, there))
    assert blocked.n_sweeps == 3


@each_main_layout
@each_type
@each_weight
def test_one_number_per_row_or_column(layout, dtype, has_weights):
    whole, blocked, _ = both(layout, dtype, has_weights)
    at, mean_square = point(), np.linspace(0.5, 2, P)
    np.testing.assert_allclose(
        blocked.influences(at, mean_square),
        whole.influences(at, mean_square),
        rtol=1e-12,
    )
    np.testing.assert_array_equal(
        blocked.max_abs_deviation(at.centre), whole.max_abs_deviation(at.centre)
    )
    assert blocked.n_sweeps == 2
    np.testing.assert_array_equal(
        blocked.standardised(at.centre, at.unit), whole.standardised(at.centre, at.unit)
    )
    for centred in (False, True):
        a, b = (rows.moments(centred=centred) for rows in (blocked, whole))
        np.testing.assert_array_equal(a.centre, b.centre)
        np.testing.assert_array_equal(a.spread, b.spread)


def test_columns_that_store_a_number():
    X, y, _ = data()
    X = X * (np.arange(P) % 3 > 0)  # every third column is empty
    sparse = LAYOUTS["CSR"](X)
    whole = make_rows(sparse, y, None, 1)
    blocks = [
        make_rows(sparse[start:stop], y[start:stop], None, 1)
        for start, stop in pairwise(ENDS)
    ]
    for rows in (whole, BlockedRows(blocks)):
        stored, columns = rows.without_empty_columns()
        np.testing.assert_array_equal(columns, np.flatnonzero(np.arange(P) % 3))
        np.testing.assert_array_equal(
            stored.standardised(np.zeros(len(columns)), np.ones(len(columns))),
            X[:, columns],
        )
    dense = make_rows(X, y, None, 1)
    assert dense.without_empty_columns() == (dense, slice(None))


@each_main_layout
@each_type
@each_weight
def test_samples(layout, dtype, has_weights):
    whole, blocked, (X, y, s) = both(layout, dtype, has_weights)
    at = point()
    share = leverage_share(whole.influences(at, np.ones(P)), P)
    for picks, expected in (
        (blocked.pick(60), whole.pick(60)),
        (blocked.pick_by(share, 60), whole.pick_by(share, 60)),
    ):
        np.testing.assert_array_equal(picks.index, expected.index)
        np.testing.assert_array_equal(picks.weight, expected.weight)
        sample, one = blocked.sample(picks), whole.sample(picks)
        assert sample.dtype == dtype
        assert sample.layout == ("csr" if layout == "CSR" else "rows")
        np.testing.assert_array_equal(sample.y, one.y)
        np.testing.assert_array_equal(sample.weight, one.weight)
        np.testing.assert_array_equal(
            sample.standardised(at.centre, at.unit),
            one.standardised(at.centre, at.unit),
        )
        want = Want(squares=True, gram=np.float64, picks=picks.scaled_to(N))
        [found], [sums] = blocked.sweep([at], want), whole.sweep([at], want)
        assert_sums_close(found, sums, sizes(X, y, s, at))
    taken = blocked.take(np.array([150, 2, 40, 2]))
    expected = whole.take(np.array([150, 2, 40, 2]))
    np.testing.assert_array_equal(taken.weight, expected.weight)
    np.testing.assert_array_equal(
        taken.standardised(at.centre, at.unit),
        expected.standardised(at.centre, at.unit),
    )


def test_blocks_that_do_not_fit_together_are_refused():
    X, y, weight = data()
    rows = make_rows(X, y, weight, 1)
    for other, message in (
        (make_rows(X[:, 1:], y, weight, 1), r"one n_features, got \[21, 20\]"),
        (make_rows(X.astype(np.float32), y, weight, 1), "one dtype"),
        (make_rows(X, y, weight * 8, 1), "one weight_power"),
        (make_rows(X, y, None, 1), "all blocks must have weights or none"),
        (make_rows(LAYOUTS["CSR"](X), y, weight, 1), "all sparse or all dense"),
    ):
        with pytest.raises(ValueError, match=message):
            BlockedRows([rows, other])
