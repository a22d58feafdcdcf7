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

from typing import NamedTuple

import numpy as np
from numba.core import types
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


def _layout(X):
    """Return the name of X's layout, given X or its numba type."""
    if isinstance(X, tuple | types.BaseTuple):
        return "csr" if len(X) == 3 else "picked"
    if isinstance(X, types.Array):
        return "columns" if X.layout == "F" else "rows"
    return "columns" if X.flags.f_contiguous and not X.flags.c_contiguous else "rows"


def by_layout(*, inline="never", **functions):
    """Return a function that calls one of `functions`, chosen by the layout of X.

    Parameters
    ----------
    inline : {"never", "always"}
        Whether the call becomes part of its caller, as by
        `skhuber._runtime.inlined_kernel`.
    **functions
        Functions of X and further arguments: `csr`, `picked` (some rows of a dense
        array), `columns` (Fortran order) and `rows` (any other array).
    """

    def call(X, *arguments):
        return functions[_layout(X)](X, *arguments)

    # Compiled code never runs `call`: numba compiles what `choose` returns, once it
    # knows the types, with the options of the kernel that calls it.
    @overload(call, inline=inline, strict=False)
    def choose(X, *arguments):
        return functions[_layout(X)].py_func

    return call


project_row = by_layout(
    inline="always",
    csr=csr.project_row_csr,
    picked=dense.project_row_picked,
    rows=dense.project_row,
)
back_project_row = by_layout(
    inline="always",
    csr=csr.back_project_row_csr,
    picked=dense.back_project_row_picked,
    rows=dense.back_project_row,
)
influence_row = by_layout(
    inline="always",
    csr=csr.influence_row_csr,
    picked=dense.influence_row_picked,
    rows=dense.influence_row,
)
add_squares = by_layout(
    csr=csr.add_squares_csr,
    picked=dense.add_squares_picked,
    columns=dense.add_squares_columns,
    rows=dense.add_squares_rows,
)
back_project = by_layout(
    columns=dense.back_project_columns, rows=dense.back_project_rows
)


@block_kernel
def _project_each_row(X, start, stop, centre, slope, out):
    for i in range(start, stop):
        out[i - start] = project_row(X, i, centre, slope)


@block_kernel
def _influence_of_each_row(X, start, stop, centre, unit, out):
    for i in range(start, stop):
        out[i - start] = influence_row(X, i, centre, unit)


project = by_layout(columns=dense.project_columns, rows=_project_each_row)
influence = by_layout(
    csr=_influence_of_each_row,
    picked=_influence_of_each_row,
    columns=dense.influence_columns,
    rows=_influence_of_each_row,
)


@inlined_kernel
def _residual(y, i, projected, at):
    return (y[i] - at.y_centre) * at.y_unit - at.intercept - projected


@inlined_kernel
def _weight(weight, i, at):
    return weight[i] * at.weight_unit if weight.shape[0] > 0 else 1.0


@block_kernel
def _sum_row_by_row(X, y, weight, start, stop, at, r, g, scalars):
    """Add up the sums of a chunk, reading each row twice before the next one."""
    centre, slope, threshold = at.centre, at.slope, at.threshold
    sum_c = 0.0
    sum_cr = 0.0
    sum_cc = 0.0
    sum_inlier = 0.0
    n_inliers = 0
    for i in range(start, stop):
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
        r[i - start] = residual
    scalars[SUM_C] += sum_c
    scalars[SUM_CR] += sum_cr
    scalars[SUM_CC] += sum_cc
    scalars[SUM_INLIER] += sum_inlier
    scalars[N_INLIERS] += n_inliers


@block_kernel
def _sum_scalars(weight, start, at, r, scalars):
    """Add up the scalar sums of a chunk whose residuals are known.

    A loop that sums must store nothing. Otherwise the compiled code chooses between two
    orders of adding up, by where the arrays lie in memory.
    """
    threshold = at.threshold
    sum_c = 0.0
    sum_cr = 0.0
    sum_cc = 0.0
    sum_inlier = 0.0
    n_inliers = 0
    for k in range(r.shape[0]):
        s = _weight(weight, start + k, at)
        present = r[k] if s != 0.0 else 0.0
        c = clip(present, threshold)
        sum_c += s * c
        sum_cr += s * c * present
        sum_cc += s * c * c
        sum_inlier += s if abs(present) <= threshold else 0.0
        n_inliers += (abs(present) <= threshold) & (s > 0.0)
    scalars[SUM_C] += sum_c
    scalars[SUM_CR] += sum_cr
    scalars[SUM_CC] += sum_cc
    scalars[SUM_INLIER] += sum_inlier
    scalars[N_INLIERS] += n_inliers


@block_kernel
def _sum_all_rows(X, y, weight, start, stop, at, r, g, scalars):
    """Add up the sums of a chunk, reading all its rows once and then again."""
    project(X, start, stop, at.centre, at.slope, r)
    for k in range(r.shape[0]):
        r[k] = _residual(y, start + k, r[k], at)
    _sum_scalars(weight, start, at, r, scalars)
    factor = np.empty(r.shape[0])
    for k in range(r.shape[0]):
        s = _weight(weight, start + k, at)
        factor[k] = s * clip(r[k], at.threshold) if s != 0.0 else 0.0
    back_project(X, start, stop, at.centre, factor, g)


@block_kernel
def _sum_dense_rows(X, y, weight, start, stop, at, r, g, scalars):
    if X.shape[1] <= dense.NARROW:
        _sum_row_by_row(X, y, weight, start, stop, at, r, g, scalars)
    else:
        _sum_all_rows(X, y, weight, start, stop, at, r, g, scalars)


sum_chunk = by_layout(
    csr=_sum_row_by_row,
    picked=_sum_row_by_row,
    columns=_sum_all_rows,
    rows=_sum_dense_rows,
)


@block_kernel
def _masses(weight, start, at, r):
    """Return s of the inliers and 0 elsewhere, and s of the outliers likewise."""
    inside = np.empty(r.shape[0])
    outside = np.empty(r.shape[0])
    for k in range(r.shape[0]):
        s = _weight(weight, start + k, at)
        is_inside = abs(r[k]) <= at.threshold
        inside[k] = s if is_inside else 0.0
        outside[k] = 0.0 if is_inside else s
    return inside, outside


@block_kernel
def sums(first, last, X, y, weight, rows, chunk, at, kept, residuals, out, squares):
    """Sum s c (x − centre) and the scalars listed above, for each block.

    Parameters
    ----------
    kept : array of float64
        Takes r of the rows of these blocks; none, if it is empty.
    residuals : array of length n or 0
        Takes r of these rows, at their places.
    out : array of shape (number of all blocks, p + N_SCALARS)
        The sums are added to it.
    squares : array of shape (number of all blocks, 2p), or with no columns
        Σ s ((x − centre)·unit)² over the inliers, which is the diagonal of the Hessian,
        and over the outliers, are added to it.
    """
    n_features = at.centre.shape[0]
    scratch = np.empty(chunk if kept.shape[0] == 0 else 0)
    for block in range(first, last):
        g = out[block, :n_features]
        scalars = out[block, n_features:]
        start = block * rows
        end = min(start + rows, y.shape[0])
        while start < end:
            stop = min(start + chunk, end)
            if kept.shape[0] > 0:
                r = kept[start - first * rows : stop - first * rows]
            else:
                r = scratch[: stop - start]
            sum_chunk(X, y, weight, start, stop, at, r, g, scalars)
            if squares.shape[1] > 0:
                inside, outside = _masses(weight, start, at, r)
                q = squares[block]
                add_squares(X, start, stop, at.centre, at.unit, inside, q[:n_features])
                add_squares(X, start, stop, at.centre, at.unit, outside, q[n_features:])
            if residuals.shape[0] > 0:
                for k in range(stop - start):
                    residuals[start + k] = r[k]
            start = stop


@block_kernel
def _curvature(weight, i, at, damping, residual):
    """Return s·(1 + damping) of an inlier, s·damping·threshold/|r| of an outlier."""
    s = _weight(weight, i, at)
    if abs(residual) <= at.threshold:
        return (1.0 + damping) * s
    return damping * s * at.threshold / abs(residual) if s != 0.0 else 0.0


# (numba warns of a function with two inlined calls of the same overload.)
multiply_row = by_layout(
    csr=csr.project_row_csr, picked=dense.project_row_picked, rows=dense.project_row
)


@block_kernel
def _multiply_row_by_row(X, y, weight, start, stop, at, v, numbers, g, scalars):
    damping, v_one, v_t = numbers[0], numbers[1], numbers[2]
    sum_one = 0.0
    sum_t = 0.0
    for i in range(start, stop):
        residual = _residual(y, i, project_row(X, i, at.centre, at.slope), at)
        h = _curvature(weight, i, at, damping, residual)
        if h == 0.0:
            continue
        t = clip(residual, at.threshold) / at.scale
        part = h * (multiply_row(X, i, at.centre, v) + v_one + t * v_t)
        sum_one += part
        sum_t += part * t
        back_project_row(X, i, at.centre, part, g)
    scalars[0] += sum_one
    scalars[1] += sum_t


@block_kernel
def _multiply_all_rows(X, y, weight, start, stop, at, v, numbers, g, scalars):
    damping, v_one, v_t = numbers[0], numbers[1], numbers[2]
    r = np.empty(stop - start)
    part = np.empty(stop - start)
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


multiply_chunk = by_layout(
    csr=_multiply_row_by_row,
    picked=_multiply_row_by_row,
    columns=_multiply_all_rows,
    rows=_multiply_row_by_row,
)


@block_kernel
def products(first, last, X, y, weight, rows, chunk, at, v, numbers, out):
    """Sum h [x − centre, 1, t] ([x − centre, 1, t]·direction) of each block.

    Parameters
    ----------
    v : array of p
        The direction's first part, times the units of the columns.
    numbers : array of 3
        The damping in h, and the direction's parts along 1 and t.
    out : array of shape (n_blocks, p + 2)
    """
    n_features = v.shape[0]
    for block in range(first, last):
        start = block * rows
        end = min(start + rows, y.shape[0])
        g = out[block, :n_features]
        scalars = out[block, n_features:]
        while start < end:
            stop = min(start + chunk, end)
            multiply_chunk(X, y, weight, start, stop, at, v, numbers, g, scalars)
            start = stop


@block_kernel
def influences(first, last, X, rows, centre, unit, out):
    """Fill `out` with Σ_j ((x_j − centre_j)·unit_j)² of every row."""
    for block in range(first, last):
        start = block * rows
        stop = min(start + rows, out.shape[0])
        influence(X, start, stop, centre, unit, out[start:stop])


@block_kernel
def clip_points(y, intercept, threshold, s, r, out):
    """Add up the scalar sums of some rows at several points, and turn r into s·c.

    Parameters
    ----------
    y : array of shape (K, m) or (1, m)
        Standardised targets: one for each point, or one for all.
    intercept, threshold : arrays of shape (K,)
    s : array of shape (m,)
    r : array of shape (K, m)
        The projections (x − centre)·slope at each point. They become s·c.
    out : array of shape (K, N_SCALARS)
        The sums are added to it. (As in `_sum_scalars` no loop both sums and stores.)
    """
    for k in range(r.shape[0]):
        limit = threshold[k]
        row = r[k]
        target = y[k % y.shape[0]]
        for i in range(row.shape[0]):
            row[i] = target[i] - intercept[k] - row[i] if s[i] != 0.0 else 0.0
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
