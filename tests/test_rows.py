"""One sweep at one point, and what else is asked of rows, against plain NumPy."""

import gc
import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp

import skhuber
from rows_reference import (
    LAYOUTS,
    POINTS,
    N,
    P,
    assert_sums_close,
    assert_sums_equal,
    data,
    each_layout,
    each_main_layout,
    each_type,
    each_weight,
    naive,
    naive_sums,
    point,
    sizes,
)
from skhuber._rows import CSRRows, make_rows
from skhuber._runtime import run_blocks
from skhuber._sums import Want

ALL = Want(squares=True, gram=np.float64)
PACKAGE = Path(skhuber.__file__).parent


@each_layout
@each_type
@each_weight
@pytest.mark.parametrize("where", POINTS)
def test_sums(layout, dtype, has_weights, where):
    X, y, weight = data()
    X, at = LAYOUTS[layout](X.astype(dtype)), point(**POINTS[where])
    rows = make_rows(X, y, weight if has_weights else None, 1)
    s = weight * rows.weight_unit if has_weights else np.ones(N)
    [sums] = rows.sweep([at], ALL)
    assert_sums_close(sums, naive_sums(X, y, s, at), sizes(X, y, s, at))
    np.testing.assert_allclose(sums.all_squares, sums.squares.sum(axis=0))
    np.testing.assert_array_equal(sums.gram, sums.gram.transpose(0, 2, 1))
    assert sums.weight == rows.total_weight
    assert rows.n_sweeps == 1


@each_layout
@each_type
@each_weight
@pytest.mark.parametrize("where", POINTS)
def test_a_gram_matrix_in_single_precision(layout, dtype, has_weights, where):
    X, y, weight = data()
    X, at = LAYOUTS[layout](X.astype(dtype)), point(**POINTS[where])
    rows = make_rows(X, y, weight if has_weights else None, 1)
    s = weight * rows.weight_unit if has_weights else np.ones(N)
    [sums] = rows.sweep([at], Want(squares=True, gram=np.float32))
    assert sums.gram.dtype == np.float64
    expected = naive_sums(X, y, s, at)
    # (The bound of the rounding error of a sum of N products.)
    tol = 1e-13 if rows.layout == "csr" else N * 2.0**-24
    assert_sums_close(sums, expected, sizes(X, y, s, at), gram_rtol=tol)


@each_main_layout
@each_weight
def test_what_is_not_wanted_changes_nothing_else(layout, has_weights):
    X, y, weight = data()
    rows = make_rows(LAYOUTS[layout](X), y, weight if has_weights else None, 1)
    [full] = rows.sweep([point()], ALL)
    for want in (
        Want(),
        Want(squares=True),
        Want(gram=np.float64),
        Want(gram=np.float32),
    ):
        residuals = np.empty(N)
        [sums] = rows.sweep([point()], want, residuals)
        assert (sums.squares is not None) == want.squares
        assert (sums.gram is not None) == (want.gram is not None)
        np.testing.assert_array_equal(sums.gradient, full.gradient)
        assert (sums.cr, sums.n_inliers) == (full.cr, full.n_inliers)
        expected = naive(X, y, point())[1]
        np.testing.assert_allclose(residuals, expected, rtol=1e-12, atol=1e-12)
    assert rows.n_sweeps == 5


@each_layout
@each_type
@each_weight
def test_residuals_and_robust_weights(layout, dtype, has_weights):
    X, y, weight = data()
    X, y, at = LAYOUTS[layout](X.astype(dtype)), y.astype(dtype), point()
    rows = make_rows(X, y, weight if has_weights else None, 1)
    _, r, c = naive(X, y, at)
    residuals = np.empty(N, dtype)
    rows.sweep([at], residuals=residuals)
    rtol = 1e-11 if dtype == np.float64 else 2e-7
    np.testing.assert_allclose(residuals, r, rtol=rtol, atol=1e-12)
    robust, outlier = rows.robust_weights(residuals, at.threshold)
    assert robust.dtype == dtype
    np.testing.assert_allclose(robust, c / r, rtol=rtol)
    np.testing.assert_array_equal(outlier, np.abs(r) > at.threshold)
    assert 0 < outlier.sum() < N
    assert rows.n_sweeps == 1


@each_main_layout
@each_type
@each_weight
@pytest.mark.parametrize("n_targets", [1, 2])
@pytest.mark.parametrize("want", [Want(), Want(squares=True)], ids=["plain", "more"])
def test_residuals_at_several_points(layout, dtype, has_weights, n_targets, want):
    X, y, weight = data()
    X, y = LAYOUTS[layout](X.astype(dtype)), y.astype(dtype)
    if has_weights:
        weight[3] = 0.0  # of an absent row, too, since outliers are told by them
    rows = make_rows(X, y, weight if has_weights else None, 1)
    points = [point(), replace(point(), u=-point().u, threshold=0.4)]
    targets = [y, 2 * y][:n_targets]
    residuals = [np.empty(N), np.empty(N)]
    found = rows.sweep_targets(targets, points, want, residuals)
    assert rows.n_sweeps == 1
    for k, (at, sums, r) in enumerate(zip(points, found, residuals, strict=True)):
        alone = rows.with_target(targets[min(k, n_targets - 1)])
        expected = np.empty(N)
        [one] = alone.sweep([at], want, expected)
        np.testing.assert_allclose(r, expected, rtol=1e-11, atol=1e-11)
        np.testing.assert_allclose(sums.gradient, one.gradient, rtol=1e-9)
        assert sums.n_inliers == one.n_inliers


@pytest.mark.parametrize(
    "residuals",
    [np.empty(N - 1), np.empty(N, np.float32), np.empty(2 * N)[::2], np.empty((N, 1))],
    ids=["length", "type", "strided", "shape"],
)
def test_residuals_that_do_not_fit_are_refused(residuals):
    X, y, _ = data()
    rows = make_rows(X, y, None, 1)
    with pytest.raises(ValueError, match="residuals must be contiguous, of shape"):
        rows.sweep([point()], residuals=residuals)
    assert rows.n_sweeps == 0


@each_type
@each_weight
@pytest.mark.parametrize("layout", ["C", "F", "strided_columns"])
def test_wide_rows(layout, dtype, has_weights):
    # Beyond 512 columns, rows in C order are read again eight at a time.
    X, y, weight = data()
    wide = LAYOUTS[layout](np.tile(X, 30)[:, : 29 * P + 1].astype(dtype) / 5)
    p = wide.shape[1]
    at = point(p, unit=np.full(p, 0.5), u=np.linspace(-1, 1, p) / 9)
    rows = make_rows(wide, y, weight if has_weights else None, 1)
    s = weight * rows.weight_unit if has_weights else np.ones(N)
    residuals = np.empty(N, dtype)
    [sums] = rows.sweep([at], ALL, residuals)
    assert_sums_close(sums, naive_sums(wide, y, s, at), sizes(wide, y, s, at))
    rtol = 1e-11 if dtype == np.float64 else 2e-7
    np.testing.assert_allclose(residuals, naive(wide, y, at)[1], rtol=rtol, atol=1e-12)


@pytest.mark.parametrize("gram", [np.float32, np.float64])
def test_a_gram_matrix_has_the_same_bits_in_c_and_f_order(gram):
    # So that rounding, which is large in single precision, makes no other steps.
    X = np.random.default_rng(1).normal(size=(30_000, P))
    at = point(u=np.zeros(P))
    found = [
        make_rows(LAYOUTS[layout](X), X[:, 0], None, threads).sweep(
            [at], Want(gram=gram)
        )[0]
        for layout, threads in (("C", 1), ("F", 1), ("C", 3), ("F", 3))
    ]
    assert found[0].n_outliers > 1000
    for other in found[1:]:
        np.testing.assert_array_equal(other.gram, found[0].gram)


def test_a_gram_matrix_in_single_precision_is_not_finite_if_it_overflows():
    X, y, _ = data()
    X[3, 4] = 1e25
    rows, at = make_rows(X, y, None, 1), point(threshold=np.inf)
    [sums] = rows.sweep([at], Want(gram=np.float32))
    assert not np.isfinite(sums.gram).all()
    assert sums.is_finite
    [sums] = rows.sweep([at], Want(gram=np.float64))
    assert np.isfinite(sums.gram).all()


@each_main_layout
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@each_weight
def test_a_bad_value_shows_in_the_sums(layout, value, has_weights):
    X, y, weight = data()
    X[-1, -1] = value
    weight = np.append(weight[:-1], 0.0) if has_weights else None
    for u in (np.zeros(P), np.ones(P)):
        rows = make_rows(LAYOUTS[layout](X), y, weight, 1)
        with np.errstate(invalid="ignore"):
            assert not rows.sweep([point(u=u)])[0].is_finite
            assert not rows.sweep([point(u=u)], ALL)[0].is_finite
        assert not rows.is_finite


@pytest.mark.compiled
@pytest.mark.parametrize("layout", ["C", "F", "strided_columns", "CSR"])
@each_type
def test_threads_change_no_bit(layout, dtype):
    rng = np.random.default_rng(1)
    X = rng.normal(size=(60_001, P)).astype(dtype)
    y, weight = X @ np.ones(P) + 0.3, rng.random(60_001)
    one, two = (make_rows(LAYOUTS[layout](X), y, weight, k) for k in (1, 2))
    residuals = np.empty((2, len(y)), dtype)
    for want in (Want(squares=True), ALL, Want(gram=np.float32)):
        for _ in range(5):
            [a] = one.sweep([point()], want, residuals[0])
            [b] = two.sweep([point()], want, residuals[1])
            assert_sums_equal(a, b)
            np.testing.assert_array_equal(*residuals)
    points = [point(), point(intercept=0.4)]
    for a, b in zip(one.sweep(points), two.sweep(points), strict=True):
        assert_sums_equal(a, b)


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
@pytest.mark.parametrize(
    "want", [Want(squares=True), Want(gram=np.float32), ALL], ids=str
)
def test_a_sweep_copies_no_data_and_keeps_nothing(layout, want):
    n = 200_000
    X = LAYOUTS[layout](np.random.default_rng(1).normal(size=(n, P)))
    size = X.data.nbytes if sp.issparse(X) else X.size * X.itemsize
    rows, at = make_rows(X, np.zeros(n), None, 2), point()
    rows.sweep([at], want)  # compiled, and helpers started
    tracemalloc.start()
    try:
        rows.sweep([at], want)
        _, peak = tracemalloc.get_traced_memory()
        gc.collect()
        # (Of the package's own lines: threads of other libraries allocate, too.)
        ours = tracemalloc.Filter(True, f"{PACKAGE}/*")
        kept = tracemalloc.take_snapshot().filter_traces([ours]).traces
    finally:
        tracemalloc.stop()
    # The sums of the blocks; and for two threads 256 KiB of standardised rows, inliers
    # and outliers, and the residuals of a block.
    assert peak < 0.02 * size + (want.gram is not None) * 2 * 5 * 2**17
    assert sum(trace.size for trace in kept) < 2**14


@each_main_layout
@each_type
def test_influences(layout, dtype):
    X, y, _ = data()
    X, at = X.astype(dtype), point()
    mean_square = np.linspace(0.0, 3.0, P)  # the first column does not count
    rows = make_rows(LAYOUTS[layout](X), y, None, 1)
    z = naive(X, y, at)[0][:, 1:]
    found = rows.influences(at, mean_square)
    np.testing.assert_allclose(found, (z**2 / mean_square[1:]).sum(axis=1), rtol=1e-12)
    part = rows.take(np.arange(3, N, 2)).influences(at, mean_square)
    np.testing.assert_allclose(part, found[3::2], rtol=1e-12)
    assert rows.n_sweeps == 1


@pytest.mark.parametrize("layout", ["C", "CSR"])
def test_moments(layout):
    X, y, _ = data()
    X, y = X[:200], y[:200]  # of more rows it looks at no more than these
    X += (np.arange(P) == 2) * 1e12
    X[5] = 1e15  # a wild row carries no median away
    X[:, 0] = 3.0
    moments = make_rows(LAYOUTS[layout](X), y, None, 1).moments(centred=True)
    np.testing.assert_allclose(moments.centre, np.median(X, axis=0))
    assert moments.spread[0] == 0
    distance = np.median(np.abs(X - np.median(X, axis=0)), axis=0)
    np.testing.assert_allclose(moments.spread[1:], distance[1:], rtol=1e-6)
    uncentred = make_rows(LAYOUTS[layout](X), y, None, 1).moments(centred=False)
    np.testing.assert_array_equal(uncentred.centre, 0.0)


@pytest.mark.parametrize("centred", [True, False])
def test_moments_of_sparse_columns_are_those_of_dense_ones(centred):
    # 0 to 20 of 20 rows have a number, about half of them in the columns in the middle.
    rng = np.random.default_rng(0)
    X = rng.normal(size=(20, 21)) * (np.arange(21) > np.arange(20)[:, None])
    X[:, 20] += 1e9
    weight = rng.uniform(0.5, 2.0, 20)
    found, expected = (
        make_rows(one, np.zeros(20), weight, 1).moments(centred=centred)
        for one in (sp.csr_matrix(X), X)
    )
    np.testing.assert_array_equal(found.centre, expected.centre)
    np.testing.assert_allclose(found.spread, expected.spread, rtol=1e-12)


@each_main_layout
@each_weight
@pytest.mark.parametrize("is_taken", [False, True], ids=["all", "taken"])
def test_max_abs_deviation_and_standardised(layout, has_weights, is_taken):
    X, y, weight = data()
    weight[7] = 0.0
    X[7] = 1e9  # of weight zero
    rows = make_rows(LAYOUTS[layout](X), y, weight if has_weights else None, 1)
    counts = weight > 0 if has_weights else np.full(N, True)
    if is_taken:
        rows = rows.take(np.arange(0, N, 3))
        X, counts = X[::3], counts[::3]
    centre = np.linspace(-2, 2, P)
    found = rows.max_abs_deviation(centre)
    expected = np.abs(X[counts] - centre).max(axis=0)
    np.testing.assert_allclose(found, expected, rtol=1e-15)
    assert rows.n_sweeps == 1
    np.testing.assert_allclose(
        rows.standardised(centre, np.full(P, 0.5)), (X - centre) / 2, rtol=1e-15
    )


@pytest.mark.parametrize("layout", ["C", "F"])
@each_weight
def test_double_precision(layout, has_weights):
    X, y, weight = data()
    X, y = X.astype(np.float32), y.astype(np.float32)
    rows = make_rows(LAYOUTS[layout](X), y, weight if has_weights else None, 1)
    for index in (np.arange(N), np.array([5, 2, 2])):
        found = rows.take(index).double_precision()
        for a, b in zip(found, (X, y, weight), strict=True):
            assert a.dtype == np.float64
            assert a.flags.c_contiguous
            expected = b[index] if b is not weight or has_weights else []
            np.testing.assert_array_equal(a, expected)


def test_blocks_of_wide_sparse_data_are_long():
    # Each block has p sums of its own; they must stay small beside the data.
    n, p, per_row = 20_000, 50_000, 5
    columns = np.random.default_rng(0).integers(0, p, n * per_row)
    starts = np.arange(0, n * per_row + 1, per_row)
    X = sp.csr_array((np.ones(n * per_row), columns, starts), shape=(n, p))
    rows = CSRRows(X, np.zeros(n))
    blocks = -(-rows.n_rows // rows._block)
    assert blocks * X.shape[1] <= X.nnz / 16 + X.shape[1]
