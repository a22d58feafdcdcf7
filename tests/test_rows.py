"""Sweeps over the rows, against their restatement in plain NumPy."""

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp

from skhuber._runtime import run_blocks
from skhuber._rows import CSRRows, make_rows
from skhuber._sweep import Point

N, P = 203, 21  # neither is a multiple of eight: the kernels' remainders run, too
RNG = np.random.default_rng(0)
DATA = RNG.normal(size=(N, P)) * (RNG.random((N, P)) < 0.6)
TARGET = RNG.normal(size=N) * 3 + 1
WEIGHT = RNG.integers(0, 4, N) / 7


def read_only(array):
    array = array.copy(order="K")
    array.flags.writeable = False
    return array


LAYOUTS = {
    "C": np.ascontiguousarray,
    "F": np.asfortranarray,
    "C_read_only": lambda a: read_only(np.ascontiguousarray(a)),
    "F_read_only": lambda a: read_only(np.asfortranarray(a)),
    "strided_rows": lambda a: np.repeat(a, 2, axis=0)[::2],
    "strided_columns": lambda a: np.repeat(a, 3, axis=1)[:, ::3],
    "reversed": lambda a: a[::-1, ::-1].copy()[::-1, ::-1],
    "part_of_wider": lambda a: np.hstack([a, a])[:, :P],
    "CSR": sp.csr_array,
    "CSR_long_indices": lambda a: long_indices(sp.csr_array(a)),
    "CSR_matrix": sp.csr_matrix,
    "CSR_unsorted": lambda a: unsorted(sp.csr_array(a)),
    "CSR_duplicates": lambda a: duplicated(sp.csr_array(a)),
}


def long_indices(X):
    X.indices, X.indptr = X.indices.astype(np.int64), X.indptr.astype(np.int64)
    return X


def unsorted(X):
    for start, end in zip(X.indptr[:-1], X.indptr[1:], strict=True):
        X.indices[start:end] = X.indices[start:end][::-1].copy()
        X.data[start:end] = X.data[start:end][::-1].copy()
    X.has_sorted_indices = False
    return X


def duplicated(X):
    """Each entry stored as two halves."""
    halves = (np.repeat(X.data / 2, 2), np.repeat(X.indices, 2), 2 * X.indptr)
    return sp.csr_array(halves, shape=X.shape)


def point(**changed):
    values = {
        "centre": np.linspace(-1, 1, P),
        "unit": 2.0 ** (np.arange(P) % 7 - 3),
        "y_centre": 0.7,
        "y_unit": 0.5,
        "u": np.linspace(-0.3, 0.4, P),
        "intercept": 0.1,
        "threshold": 0.8,
    }
    return Point(**(values | changed))


def naive(X, y, weight, at):
    """z, r, s and c of every row."""
    X = np.asarray(X.todense() if sp.issparse(X) else X, dtype=np.float64)
    z = (X - at.centre) * at.unit
    r = (y.astype(np.float64) - at.y_centre) * at.y_unit - at.intercept - z @ at.u
    s = np.ones(len(y)) if weight is None else weight
    return z, r, s, np.clip(r, -at.threshold, at.threshold)


each_layout = pytest.mark.parametrize("layout", LAYOUTS)
each_type = pytest.mark.parametrize("dtype", [np.float64, np.float32])
each_weight = pytest.mark.parametrize(
    "weight", [None, WEIGHT], ids=["equal", "weights"]
)
POINTS = {
    "usual": {},
    "all_outliers": {"threshold": 1e-3},
    "no_outliers": {"threshold": np.inf},
    "at_the_origin": {"u": np.zeros(P), "centre": np.zeros(P), "intercept": 0.0},
}


@each_layout
@each_type
@each_weight
@pytest.mark.parametrize("where", POINTS)
def test_sums(layout, dtype, weight, where):
    X, y, at = LAYOUTS[layout](DATA.astype(dtype)), TARGET, point(**POINTS[where])
    rows = make_rows(X, y, weight, 1)
    z, r, s, c = naive(X, y, weight, at)
    s = s * rows.weight_unit
    inside = s * (np.abs(r) <= at.threshold)
    sums = rows.sums(at, squares=True)
    # What is added up has this size; errors are relative to it, not to the sum.
    size = np.abs(s * c) @ np.abs(z) + 1
    np.testing.assert_allclose(sums.gradient / size, (s * c) @ z / size, atol=1e-14)
    np.testing.assert_allclose(sums.c, s @ c, rtol=1e-12)
    np.testing.assert_allclose(sums.cr, s @ (c * r), rtol=1e-12)
    np.testing.assert_allclose(sums.cc, s @ c**2, rtol=1e-12)
    np.testing.assert_allclose(sums.inlier, inside.sum(), rtol=1e-12)
    np.testing.assert_allclose(sums.squares[0], inside @ z**2, rtol=1e-11)
    np.testing.assert_allclose(sums.all_squares, s @ z**2, rtol=1e-11)
    np.testing.assert_allclose(rows.total_weight, s.sum(), rtol=1e-12)
    without = rows.sums(at)
    assert without.squares is None
    np.testing.assert_array_equal(without.gradient, sums.gradient)
    assert rows.n_sweeps == 2


@each_layout
@each_type
@each_weight
def test_rows_one_by_one(layout, dtype, weight):
    X, at = LAYOUTS[layout](DATA.astype(dtype)), point()
    rows = make_rows(X, TARGET.astype(dtype), weight, 1)
    _, r, _, c = naive(X, TARGET.astype(dtype), weight, at)
    np.testing.assert_allclose(rows.residuals(at), r, rtol=1e-12, atol=1e-12)
    robust, outlier = rows.robust_weights(at)
    assert robust.dtype == dtype
    rtol = 1e-11 if dtype == np.float64 else 2e-7
    np.testing.assert_allclose(robust, c / r, rtol=rtol)
    np.testing.assert_array_equal(outlier, np.abs(r) > at.threshold)
    assert 0 < outlier.sum() < N


@each_layout
def test_residuals_of_the_last_sweep_cost_no_other_one(layout):
    rows = make_rows(LAYOUTS[layout](DATA), TARGET, None, 1)
    here, elsewhere = point(), point(intercept=0.2)
    rows.sums(here)
    again = rows.residuals(here).copy()
    rows.grams(here, 0.5)
    rows.robust_weights(point(threshold=0.3))
    assert rows.n_sweeps == 1 + 1  # (the Gram matrix is one)
    np.testing.assert_allclose(again, naive(DATA, TARGET, None, here)[1], atol=1e-12)
    there = naive(DATA, TARGET, None, elsewhere)[1]
    rows.sums(here)
    np.testing.assert_allclose(rows.residuals(elsewhere), there, atol=1e-12)
    robust, _ = rows.robust_weights(elsewhere)
    expected = np.minimum(elsewhere.threshold / np.abs(there), 1)
    np.testing.assert_allclose(robust, expected, rtol=1e-11)


@each_type
@each_weight
def test_wide_rows(dtype, weight):
    # Beyond 512 columns, rows in C order are read again eight at a time.
    wide = np.tile(DATA, 30)[:, : 29 * P + 1].astype(dtype) / 5
    p = wide.shape[1]
    at = point(
        centre=np.linspace(-1, 1, p), unit=np.full(p, 0.5), u=np.linspace(-1, 1, p) / 9
    )
    z, r, s, c = naive(wide, TARGET, weight, at)
    rows = make_rows(wide, TARGET, weight, 1)
    s = s * rows.weight_unit
    sums = rows.sums(at, squares=True)
    size = np.abs(s * c) @ np.abs(z) + 1
    np.testing.assert_allclose(sums.gradient / size, (s * c) @ z / size, atol=1e-13)
    inside = s * (np.abs(r) <= at.threshold)
    np.testing.assert_allclose(sums.squares[0], inside @ z**2, rtol=1e-11)
    np.testing.assert_allclose(sums.cr, s @ (c * r), rtol=1e-12)
    np.testing.assert_allclose(rows.residuals(at), r, rtol=1e-11, atol=1e-12)


@each_layout
@each_weight
def test_grams(layout, weight):
    X, at, scale = LAYOUTS[layout](DATA), point(), 0.5
    rows = make_rows(X, TARGET, weight, 1)
    z, r, s, c = naive(X, TARGET, weight, at)
    h = s * rows.weight_unit * c / r
    A = np.column_stack([z, np.ones(N), c / scale])
    inlier = np.abs(r) <= at.threshold
    for gram, chosen in zip(rows.grams(at, scale), (inlier, ~inlier), strict=True):
        expected = (A * (h * chosen)[:, None]).T @ A
        size = (np.abs(A) * h[:, None]).T @ np.abs(A)
        np.testing.assert_allclose(gram / size, expected / size, atol=1e-14)
        np.testing.assert_array_equal(gram, gram.T)


@each_layout
@each_weight
@pytest.mark.parametrize("chosen", [slice(None), slice(1, None, 3)])
def test_sums_and_gram(layout, weight, chosen):
    at, scale, part = point(), 0.5, 0.25
    rows = make_rows(LAYOUTS[layout](DATA), TARGET, weight, 1)
    if chosen != slice(None):
        rows = rows.take(np.arange(N)[chosen])
    weight = None if weight is None else weight[chosen]
    z, r, s, c = naive(DATA[chosen], TARGET[chosen], weight, at)
    outlier = np.abs(r) > at.threshold
    h = s * rows.weight_unit * np.where(outlier, part * c / r, 1 + part)
    A = np.column_stack([z, np.ones(len(z)), c / scale])
    sums, gram = rows.sums_and_gram(at, scale, part)
    assert rows.n_sweeps == 1
    expected = (A * h[:, None]).T @ A
    root = np.sqrt(np.diag(expected)) + 1e-9  # (of a column of zeros)
    # Single precision has seven digits.
    size = np.outer(root, root)
    np.testing.assert_allclose(gram / size, expected / size, atol=1e-6)
    other = rows.sums(at)
    np.testing.assert_array_equal(sums.gradient, other.gradient)
    assert sums.cr == other.cr


def test_a_rough_gram_has_the_same_bits_in_c_and_f_order():
    X = np.random.default_rng(1).normal(size=(30_000, P))
    at = replace(point(), threshold=np.inf)
    grams = [
        make_rows(LAYOUTS[layout](X), X[:, 0], None, threads).sums_and_gram(at, 1, 0)[1]
        for layout, threads in (("C", 1), ("F", 1), ("C", 3), ("F", 3))
    ]
    for other in grams[1:]:
        np.testing.assert_array_equal(other[:-1, :-1], grams[0][:-1, :-1])


def test_a_rough_gram_is_not_finite_where_it_overflows():
    X = DATA.copy()
    X[3, 4] = 1e25
    at = replace(point(), threshold=np.inf)
    _, gram = make_rows(X, TARGET, None, 1).sums_and_gram(at, 1.0, 0.0)
    assert not np.isfinite(gram).all()


@pytest.mark.parametrize("layout", ["C", "F", "CSR"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@each_weight
def test_a_bad_value_shows_in_the_sums(layout, value, weight):
    bad = DATA.copy()
    bad[-1, -1] = value
    weight = None if weight is None else np.append(weight[:-1], 0.0)
    for u in (np.zeros(P), np.ones(P)):
        rows = make_rows(LAYOUTS[layout](bad), TARGET, weight, 1)
        with np.errstate(invalid="ignore"):
            assert not rows.sums(point(u=u)).is_finite


@pytest.mark.compiled
@pytest.mark.parametrize("layout", ["C", "F", "strided_columns", "CSR"])
@each_type
def test_threads_change_no_bit(layout, dtype):
    X = np.random.default_rng(1).normal(size=(60_001, P)).astype(dtype)
    y = X @ np.ones(P) + 0.3
    weight = np.random.default_rng(2).random(len(y))
    one, three = (make_rows(LAYOUTS[layout](X), y, weight, k) for k in (1, 3))
    for _ in range(20):
        a, b = (rows.sums(point(), squares=True) for rows in (one, three))
        for name in ("gradient", "c", "cr", "cc", "inlier", "squares"):
            np.testing.assert_array_equal(getattr(a, name), getattr(b, name))
    np.testing.assert_array_equal(one.residuals(point()), three.residuals(point()))


def test_every_block_runs_once_whatever_the_number_of_threads():
    for threads in (1, 2, 3, 8):
        counts = np.zeros(29, dtype=int)

        def kernel(first, last, counts):
            counts[first:last] += 1

        run_blocks(kernel, 29, 10**9, threads, (counts,))
        np.testing.assert_array_equal(counts, 1)


def test_an_error_in_a_helper_reaches_the_caller():
    def kernel(first, last):
        if first > 0:
            raise MemoryError("no room")

    with pytest.raises(MemoryError, match="no room"):
        run_blocks(kernel, 8, 10**9, 2, ())


@pytest.mark.compiled
@pytest.mark.parametrize("layout", ["C", "F", "strided_rows", "CSR"])
def test_no_sweep_copies_the_data(layout):
    X = LAYOUTS[layout](np.random.default_rng(1).normal(size=(200_000, P)))
    size = X.data.nbytes if sp.issparse(X) else X.size * X.itemsize
    rows = make_rows(X, np.zeros(200_000), None, 2)
    rows.sums(point(), squares=True)  # compiled, and helpers started
    tracemalloc.start()
    try:
        rows.sums(point(), squares=True)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 0.02 * size  # the sums of the blocks


def test_a_sample_is_in_proportion_to_the_weights():
    weight = np.zeros(N)
    weight[[3, 50, 150]] = [1.0, 2.0, 5.0]
    rows = make_rows(DATA, TARGET, weight, 1)
    sample = rows.sample(rows.pick(800))
    np.testing.assert_array_equal(sample.y, TARGET[[3, 50, 150]])
    np.testing.assert_allclose(sample.weight, [100, 200, 500], atol=1)
    again = make_rows(DATA, TARGET, weight, 1).pick(800)
    np.testing.assert_array_equal(sample.weight, again.weight)


def test_picks_are_the_same_without_rows_of_no_weight():
    weight = (np.arange(N) % 3 > 0) * 1.0
    there = np.flatnonzero(weight)
    n = int(0.7 * len(there))  # so that some are picked twice
    picks = make_rows(DATA, TARGET, weight, 1).pick(n)
    expected = make_rows(DATA[there], TARGET[there], None, 1).pick(n)
    np.testing.assert_array_equal(picks.index, there[expected.index])
    np.testing.assert_array_equal(picks.weight, expected.weight)
    assert picks.weight.max() == 2
    assert picks.weight.sum() == n


def test_a_sample_follows_no_period():
    # Every 50th row is special: a stride would take all of them or none.
    special = (np.arange(100_000) % 50 == 0).astype(float)
    picks = make_rows(special[:, None], special, None, 1).pick(2_000)
    assert len(picks.index) == 2_000
    assert 20 <= special[picks.index].sum() <= 60


@pytest.mark.parametrize("layout", ["C", "CSR"])
def test_moments(layout):
    y = TARGET[:200]  # of more rows it looks at no more than these
    X = DATA[:200] + (np.arange(P) == 2) * 1e12
    X[5] = 1e15  # a wild row carries no median away
    X[:, 0] = 3.0
    moments = make_rows(LAYOUTS[layout](X), y, None, 1).moments(centred=True)
    np.testing.assert_allclose(moments.centre, np.median(X, axis=0))
    assert moments.spread[0] == 0
    distance = np.median(np.abs(X - np.median(X, axis=0)), axis=0)
    np.testing.assert_allclose(moments.spread[1:], distance[1:], rtol=1e-6)
    uncentred = make_rows(LAYOUTS[layout](X), y, None, 1).moments(centred=False)
    np.testing.assert_array_equal(uncentred.centre, 0.0)


@pytest.mark.parametrize("layout", ["C", "F", "CSR"])
def test_largest_and_standardised(layout):
    rows = make_rows(LAYOUTS[layout](DATA), TARGET, None, 1)
    centre = np.linspace(-2, 2, P)
    np.testing.assert_allclose(
        rows.largest(centre), np.abs(DATA - centre).max(axis=0), rtol=1e-15
    )
    np.testing.assert_allclose(
        rows.standardised(centre, np.full(P, 0.5)), (DATA - centre) / 2, rtol=1e-15
    )


def test_blocks_of_wide_sparse_data_are_long():
    # Each block has p sums of its own; they must stay small beside the data.
    n, p, per_row = 20_000, 50_000, 5
    columns = np.random.default_rng(0).integers(0, p, n * per_row)
    starts = np.arange(0, n * per_row + 1, per_row)
    X = sp.csr_array((np.ones(n * per_row), columns, starts), shape=(n, p))
    rows = CSRRows(X, np.zeros(n))
    blocks = -(-rows.n_rows // rows._block)
    assert blocks * X.shape[1] <= X.nnz / 16 + X.shape[1]
