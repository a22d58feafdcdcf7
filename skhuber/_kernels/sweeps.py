"""Sweeps over the rows of a regression.

A sweep over the blocks first ≤ k < last reads the rows k·rows … (k+1)·rows of X from
memory once. It writes the sums of block k to row k of an array, or one number per row
to an array of length n.

Arguments that several kernels have:

``X``
    A two-dimensional array; a pair of such an array and the numbers of some of its
    rows; or the (data, indices, indptr) of a CSR matrix.
``y``, ``weight``
    Arrays of length n. If `weight` is empty, every row has weight 1.
``at``
    An `At`: the point at which the sums are taken.
``rows``, ``chunk``
    The number of rows in a block, and in a chunk: the part of a block that stays in
    cache while it is read a second time.

A row of weight zero is absent from every sum, though its numbers may be so large that
residuals or squares overflow (zero times infinity is not a number). Only a NaN or an
infinity that stands in X shows, in the gradient.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numba.extending import overload

from skhuber._kernels import csr, dense
from skhuber._kernels.scalar import clip
from skhuber._runtime import block_kernel, inlined_kernel

# mypy: disable-error-code="no-untyped-def"

# A block's sums are the p entries of the gradient, followed by these scalars.
N_SCALARS = 5
SUM_C, SUM_CR, SUM_CC, SUM_INLIER, N_INLIERS = range(N_SCALARS)


class At(NamedTuple):
    """A `skhuber._sums.Point` as the kernels take it.

    The residual is r = (y − y_centre)·y_unit − intercept − (x − centre)·slope, and the
    weight s = weight·weight_unit.
    """

    centre: np.ndarray
    """(p,), subtracted from the columns of a dense X (see `skhuber._kernels.csr`)."""
    unit: np.ndarray
    """(p,), by which the columns are multiplied."""
    slope: np.ndarray
    """(p,), u·unit."""
    y_centre: float
    y_unit: float
    intercept: float
    threshold: float
    scale: float
    weight_unit: float


def by_layout(*, columns, rows):
    """Return a function that calls one of two, chosen by the layout of the array X.

    Parameters
    ----------
    columns, rows : functions
        Of X and further arguments, for arrays in Fortran order and for any others.
    """

    def call(X, *arguments):
        is_columns = X.flags.f_contiguous and not X.flags.c_contiguous
        return (columns if is_columns else rows)(X, *arguments)

    # Compiled code never runs `call`: numba compiles what `choose` returns, once it
    # knows the types, with the options of the kernel that calls it.
    @overload(call, strict=False)
    def choose(X, *arguments):
        return columns if X.layout == "F" else rows

    return call


project = by_layout(columns=dense.project_columns, rows=dense.project_rows)
back_project = by_layout(
    columns=dense.back_project_columns, rows=dense.back_project_rows
)
add_squares = by_layout(columns=dense.add_squares_columns, rows=dense.add_squares_rows)
influence = by_layout(columns=dense.influence_columns, rows=dense.influence_rows)


@inlined_kernel
def _residual(y, i, projected, at):
    return (y[i] - at.y_centre) * at.y_unit - at.intercept - projected


@inlined_kernel
def _weight(weight, i, at):
    return weight[i] * at.weight_unit if weight.shape[0] > 0 else 1.0


@inlined_kernel
def _sum_rows(
    project_row, back_project_row, first, last, X, y, weight, rows, at, kept, out
):
    """Sum s c (x − centre) and the scalars listed above, for each block.

    Each row is read twice before the next one.

    Parameters
    ----------
    project_row, back_project_row : kernels
        Those of the layout of X.
    kept : array of float64
        Takes r of the rows of these blocks; none, if it is empty.
    out : array of shape (number of all blocks, p + N_SCALARS)
        The sums are added to it.
    """
    centre, slope, threshold = at.centre, at.slope, at.threshold
    n_features = centre.shape[0]
    for block in range(first, last):
        g = out[block, :n_features]
        sum_c = 0.0
        sum_cr = 0.0
        sum_cc = 0.0
        sum_inlier = 0.0
        n_inliers = 0
        for i in range(block * rows, min((block + 1) * rows, y.shape[0])):
            residual = _residual(y, i, project_row(X, i, centre, slope), at)
            s = _weight(weight, i, at)
            present = residual if s != 0.0 else 0.0
            c = clip(present, threshold)
            sum_c += s * c
            sum_cr += s * c * present
            sum_cc += s * c * c
            sum_inlier += s if abs(present) <= threshold else 0.0
            n_inliers += (abs(present) <= threshold) & (s > 0.0)
            back_project_row(X, i, centre, s * c, g)
            if kept.shape[0] > 0:
                kept[i - first * rows] = residual
        scalars = out[block, n_features:]
        scalars[SUM_C] += sum_c
        scalars[SUM_CR] += sum_cr
        scalars[SUM_CC] += sum_cc
        scalars[SUM_INLIER] += sum_inlier
        scalars[N_INLIERS] += n_inliers


@block_kernel
def sums_of_rows(first, last, X, y, weight, rows, at, kept, out):
    project, back_project = dense.project_row, dense.back_project_row
    _sum_rows(project, back_project, first, last, X, y, weight, rows, at, kept, out)


@block_kernel
def sums_of_picked(first, last, X, y, weight, rows, at, kept, out):
    project, back_project = dense.project_row_picked, dense.back_project_row_picked
    _sum_rows(project, back_project, first, last, X, y, weight, rows, at, kept, out)


@block_kernel
def sums_of_csr(first, last, X, y, weight, rows, at, kept, out):
    project, back_project = csr.project_row_csr, csr.back_project_row_csr
    _sum_rows(project, back_project, first, last, X, y, weight, rows, at, kept, out)


@inlined_kernel
def _fill_weights(weight, start, at, s):
    if weight.shape[0] > 0:
        for k in range(s.shape[0]):
            s[k] = weight[start + k] * at.weight_unit
    else:
        for k in range(s.shape[0]):
            s[k] = 1.0


@inlined_kernel
def _sum_scalars(threshold, s, r, scalars):
    """Add up the scalar sums of a chunk whose residuals are known.

    A loop that sums must store nothing. Otherwise the compiled code chooses between two
    orders of adding up, by where the arrays lie in memory.
    """
    sum_c = 0.0
    sum_cr = 0.0
    sum_cc = 0.0
    sum_inlier = 0.0
    n_inliers = 0
    for k in range(r.shape[0]):
        present = r[k] if s[k] != 0.0 else 0.0
        c = clip(present, threshold)
        sum_c += s[k] * c
        sum_cr += s[k] * c * present
        sum_cc += s[k] * c * c
        sum_inlier += s[k] if abs(present) <= threshold else 0.0
        n_inliers += (abs(present) <= threshold) & (s[k] > 0.0)
    scalars[SUM_C] += sum_c
    scalars[SUM_CR] += sum_cr
    scalars[SUM_CC] += sum_cc
    scalars[SUM_INLIER] += sum_inlier
    scalars[N_INLIERS] += n_inliers


@block_kernel
def sums_by_chunks(first, last, X, y, weight, rows, at, kept, out, space):
    """Sum as `_sum_rows`, reading all rows of a chunk once and then again.

    Parameters
    ----------
    X : array
    space : array of shape (2, rows in a chunk)
        It is overwritten.
    """
    n_features, chunk = at.centre.shape[0], space.shape[1]
    for block in range(first, last):
        g = out[block, :n_features]
        start = block * rows
        end = min(start + rows, y.shape[0])
        while start < end:
            stop = min(start + chunk, end)
            s = space[0, : stop - start]
            r = space[1, : stop - start]
            if kept.shape[0] > 0:
                r = kept[start - first * rows : stop - first * rows]
            project(X, start, stop, at.centre, at.slope, r)
            for k in range(r.shape[0]):
                r[k] = _residual(y, start + k, r[k], at)
            _fill_weights(weight, start, at, s)
            _sum_scalars(at.threshold, s, r, out[block, n_features:])
            for k in range(r.shape[0]):
                s[k] = s[k] * clip(r[k], at.threshold) if s[k] != 0.0 else 0.0
            back_project(X, start, stop, at.centre, s, g)
            start = stop


@inlined_kernel
def _square_rows(add_squares_row, first, last, X, y, weight, rows, at, r, out):
    """Sum s ((x − centre)·unit)² over the inliers and the outliers of each block.

    Parameters
    ----------
    add_squares_row : kernel
        That of the layout of X.
    r : array of float64
        The residuals of the rows of these blocks.
    out : array of shape (number of all blocks, 2p)
        The sums are added to it.
    """
    n_features = at.centre.shape[0]
    for block in range(first, last):
        for i in range(block * rows, min((block + 1) * rows, y.shape[0])):
            s = _weight(weight, i, at)
            start = n_features if abs(r[i - first * rows]) > at.threshold else 0
            if s != 0.0:
                q = out[block, start : start + n_features]
                add_squares_row(X, i, at.centre, at.unit, s, q)


@block_kernel
def squares_of_rows(first, last, X, y, weight, rows, at, r, out):
    _square_rows(dense.add_squares_row, first, last, X, y, weight, rows, at, r, out)


@block_kernel
def squares_of_picked(first, last, X, y, weight, rows, at, r, out):
    _square_rows(
        dense.add_squares_row_picked, first, last, X, y, weight, rows, at, r, out
    )


@block_kernel
def squares_of_csr(first, last, X, y, weight, rows, at, r, out):
    _square_rows(csr.add_squares_row_csr, first, last, X, y, weight, rows, at, r, out)


@block_kernel
def squares_by_chunks(first, last, X, y, weight, rows, at, r, out, space):
    """Sum as `_square_rows`, a chunk at a time.

    Parameters
    ----------
    X : array
    space : array of shape (2, rows in a chunk)
        It is overwritten.
    """
    n_features, chunk = at.centre.shape[0], space.shape[1]
    for block in range(first, last):
        start = block * rows
        end = min(start + rows, y.shape[0])
        while start < end:
            stop = min(start + chunk, end)
            s = space[0, : stop - start]
            h = space[1, : stop - start]
            _fill_weights(weight, start, at, s)
            for side in range(2):
                for k in range(stop - start):
                    is_outside = abs(r[start - first * rows + k]) > at.threshold
                    h[k] = s[k] if is_outside == (side == 1) else 0.0
                q = out[block, side * n_features : (side + 1) * n_features]
                add_squares(X, start, stop, at.centre, at.unit, h, q)
            start = stop


@inlined_kernel
def _curvature(weight, i, at, damping, residual):
    """Return s·(1 + damping) of an inlier, s·damping·threshold/|r| of an outlier."""
    s = _weight(weight, i, at)
    if abs(residual) <= at.threshold:
        return (1.0 + damping) * s
    return damping * s * at.threshold / abs(residual) if s != 0.0 else 0.0


@inlined_kernel
def _multiply_rows(
    project_row, back_project_row, first, last, X, y, weight, rows, at, v, numbers, out
):
    """Sum h [x − centre, 1, t] ([x − centre, 1, t]·direction) of each block.

    Parameters
    ----------
    project_row, back_project_row : kernels
        Those of the layout of X.
    v : array of p
        The direction's first part, times the units of the columns.
    numbers : array of 3
        The damping in h, and the direction's parts along 1 and t.
    out : array of shape (n_blocks, p + 2)
    """
    n_features = v.shape[0]
    damping, v_one, v_t = numbers[0], numbers[1], numbers[2]
    for block in range(first, last):
        g = out[block, :n_features]
        sum_one = 0.0
        sum_t = 0.0
        for i in range(block * rows, min((block + 1) * rows, y.shape[0])):
            residual = _residual(y, i, project_row(X, i, at.centre, at.slope), at)
            h = _curvature(weight, i, at, damping, residual)
            if h != 0.0:
                t = clip(residual, at.threshold) / at.scale
                part = h * (project_row(X, i, at.centre, v) + v_one + t * v_t)
                sum_one += part
                sum_t += part * t
                back_project_row(X, i, at.centre, part, g)
        out[block, n_features] += sum_one
        out[block, n_features + 1] += sum_t


@block_kernel
def products_of_rows(first, last, X, y, weight, rows, at, v, numbers, out):
    project, back_project = dense.project_row, dense.back_project_row
    _multiply_rows(
        project, back_project, first, last, X, y, weight, rows, at, v, numbers, out
    )


@block_kernel
def products_of_picked(first, last, X, y, weight, rows, at, v, numbers, out):
    project, back_project = dense.project_row_picked, dense.back_project_row_picked
    _multiply_rows(
        project, back_project, first, last, X, y, weight, rows, at, v, numbers, out
    )


@block_kernel
def products_of_csr(first, last, X, y, weight, rows, at, v, numbers, out):
    project, back_project = csr.project_row_csr, csr.back_project_row_csr
    _multiply_rows(
        project, back_project, first, last, X, y, weight, rows, at, v, numbers, out
    )


@inlined_kernel
def _multiply_chunk(X, y, weight, start, stop, at, v, numbers, r, part, g, scalars):
    damping, v_one, v_t = numbers[0], numbers[1], numbers[2]
    project(X, start, stop, at.centre, at.slope, r)
    project(X, start, stop, at.centre, v, part)
    for k in range(r.shape[0]):
        residual = _residual(y, start + k, r[k], at)
        h = _curvature(weight, start + k, at, damping, residual)
        r[k] = clip(residual, at.threshold) / at.scale if h != 0.0 else 0.0
        part[k] = h * (part[k] + v_one + r[k] * v_t) if h != 0.0 else 0.0
    sum_one = 0.0
    sum_t = 0.0
    for k in range(r.shape[0]):
        sum_one += part[k]
        sum_t += part[k] * r[k]
    scalars[0] += sum_one
    scalars[1] += sum_t
    back_project(X, start, stop, at.centre, part, g)


@block_kernel
def products_by_chunks(first, last, X, y, weight, rows, at, v, numbers, out, space):
    """Sum as `_multiply_rows`, a chunk at a time; `space` is overwritten."""
    n_features, chunk = v.shape[0], space.shape[1]
    for block in range(first, last):
        start = block * rows
        end = min(start + rows, y.shape[0])
        g = out[block, :n_features]
        scalars = out[block, n_features:]
        while start < end:
            stop = min(start + chunk, end)
            r = space[0, : stop - start]
            part = space[1, : stop - start]
            _multiply_chunk(
                X, y, weight, start, stop, at, v, numbers, r, part, g, scalars
            )
            start = stop


@block_kernel
def influences_of_rows(first, last, X, rows, centre, unit, out):
    """Fill `out` with Σ_j ((x_j − centre_j)·unit_j)² of every row."""
    for i in range(first * rows, min(last * rows, out.shape[0])):
        out[i] = dense.influence_row(X, i, centre, unit)


@block_kernel
def influences_of_picked(first, last, X, rows, centre, unit, out):
    for i in range(first * rows, min(last * rows, out.shape[0])):
        out[i] = dense.influence_row_picked(X, i, centre, unit)


@block_kernel
def influences_of_csr(first, last, X, rows, centre, unit, out):
    """Fill `out` with what stored entries change in these sums."""
    for i in range(first * rows, min(last * rows, out.shape[0])):
        out[i] = csr.influence_row_csr(X, i, centre, unit)


@block_kernel
def influences_by_chunks(first, last, X, rows, centre, unit, out):
    """Fill `out` as `influences_of_rows`, a block at a time."""
    for block in range(first, last):
        start = block * rows
        stop = min(start + rows, out.shape[0])
        influence(X, start, stop, centre, unit, out[start:stop])


@block_kernel
def clip_points(y, intercept, threshold, s, r, kept, out):
    """Add up the scalar sums of some rows at several points, and turn r into s·c.

    Parameters
    ----------
    y : array of shape (K, m) or (1, m)
        Standardised targets: one for each point, or one for all.
    intercept, threshold : arrays of shape (K,)
    s : array of shape (m,)
    r : array of shape (K, m)
        The projections (x − centre)·slope at each point. They become s·c.
    kept : array of shape (K, m) or (0, 0)
        Takes the residuals, unless it is empty.
    out : array of shape (K, N_SCALARS)
        The sums are added to it. (As in `_sum_scalars` no loop both sums and stores.)
    """
    for k in range(r.shape[0]):
        limit = threshold[k]
        row = r[k]
        target = y[k % y.shape[0]]
        for i in range(row.shape[0]):
            row[i] = target[i] - intercept[k] - row[i]
        if kept.shape[0] > 0:
            kept[k] = row
        for i in range(row.shape[0]):
            row[i] = row[i] if s[i] != 0.0 else 0.0
        sum_c = 0.0
        sum_cr = 0.0
        sum_cc = 0.0
        sum_inlier = 0.0
        n_inliers = 0
        for i in range(row.shape[0]):
            c = clip(row[i], limit)
            sum_c += s[i] * c
            sum_cr += s[i] * c * row[i]
            sum_cc += s[i] * c * c
            sum_inlier += s[i] if abs(row[i]) <= limit else 0.0
            n_inliers += (abs(row[i]) <= limit) & (s[i] > 0.0)
        out[k, SUM_C] += sum_c
        out[k, SUM_CR] += sum_cr
        out[k, SUM_CC] += sum_cc
        out[k, SUM_INLIER] += sum_inlier
        out[k, N_INLIERS] += n_inliers
        for i in range(row.shape[0]):
            row[i] = s[i] * clip(row[i], limit)


class Kernels(NamedTuple):
    """The kernels that read one kind of X, and differ in nothing else.

    `sums`, `squares` and `products` of those that go by chunks have one argument more.
    """

    sums: Callable[..., None]
    squares: Callable[..., None]
    products: Callable[..., None]
    influences: Callable[..., None]


# Row by row, of an array, of a pair (X, picked) and of CSR arrays; by chunks, of an
# array.
OF_ROWS = Kernels(sums_of_rows, squares_of_rows, products_of_rows, influences_of_rows)
OF_PICKED = Kernels(
    sums_of_picked, squares_of_picked, products_of_picked, influences_of_picked
)
OF_CSR = Kernels(sums_of_csr, squares_of_csr, products_of_csr, influences_of_csr)
BY_CHUNKS = Kernels(
    sums_by_chunks, squares_by_chunks, products_by_chunks, influences_by_chunks
)
