"""Sweeps over the rows of a regression.

A sweep over the blocks first ≤ k < last reads the rows k·rows … (k+1)·rows of X, each
once from memory. It writes the sums of block k to row k of an array, or the rows'
results to their places in an array of n.

The arguments of the sweeps:

``X``
    A 2-D array; or a pair of a 2-D array and the indices of the rows to use; or the
    tuple (data, indices, indptr) of a CSR matrix.
``y``, ``weight``
    Arrays of n; an empty weight stands for a weight of one for every row.
``centre``, ``unit``, ``slope``
    Arrays of p: the centre μ subtracted from each column and the factor u of each
    centred column (dense X; see `skhuber._kernels.csr` for sparse X), and the
    coefficients of the columns.
``numbers``
    (y_centre, y_unit, intercept, threshold, weight_unit), from which
    r = (y − y_centre)·y_unit − intercept − (x − centre)·slope, weight w·weight_unit.
``rows``, ``chunk``
    Rows in a block, and rows that are projected and back-projected in turn.
``kept``
    Array of n, filled with the residuals r.
"""

from __future__ import annotations

import numpy as np
from numba.core import types
from numba.extending import overload

from skhuber._kernels import csr, dense
from skhuber._kernels.scalar import clip, robust_weight
from skhuber._numba import block_kernel, row_kernel

# mypy: disable-error-code="no-untyped-def"

# The sums of a block are the p entries of the gradient, then these four scalars:
# Σ s c, Σ s c r, Σ s c² and Σ s over the inliers, with s the weight, c = clip(r, ±t).
N_SCALARS = 4
SUM_C, SUM_CR, SUM_CC, SUM_INLIER = range(N_SCALARS)


def _layout(X):
    """Return the layout of X or of its numba type.

    The layouts are "csr", "picked" (X and row indices), "columns" (Fortran order) and
    "rows" (any other array).
    """
    if isinstance(X, tuple | types.BaseTuple):
        return "csr" if len(X) == 3 else "picked"
    if isinstance(X, types.Array):
        return "columns" if X.layout == "F" else "rows"
    return "columns" if X.flags.f_contiguous and not X.flags.c_contiguous else "rows"


# Each function that selects by the layout of X is defined twice: an overload, which
# selects when the types are compiled, and a Python function, which runs if numba's
# compilation is switched off.


_PROJECT_ROW = {
    "csr": csr.project_row_csr,
    "picked": dense.project_row_picked,
    "rows": dense.project_row,
}


def project_row(X, i, centre, slope):
    return _PROJECT_ROW[_layout(X)](X, i, centre, slope)


@overload(project_row, inline="always")
def _project_row(X, i, centre, slope):
    function = _PROJECT_ROW[_layout(X)]
    return lambda X, i, centre, slope: function(X, i, centre, slope)


_BACK_PROJECT_ROW = {
    "csr": csr.back_project_row_csr,
    "picked": dense.back_project_row_picked,
    "rows": dense.back_project_row,
}


def back_project_row(X, i, centre, c, g):
    _BACK_PROJECT_ROW[_layout(X)](X, i, centre, c, g)


@overload(back_project_row, inline="always")
def _back_project_row(X, i, centre, c, g):
    function = _BACK_PROJECT_ROW[_layout(X)]
    return lambda X, i, centre, c, g: function(X, i, centre, c, g)


_INFLUENCE_ROW = {
    "csr": csr.influence_row_csr,
    "picked": dense.influence_row_picked,
    "rows": dense.influence_row,
}


def influence_row(X, i, centre, unit):
    return _INFLUENCE_ROW[_layout(X)](X, i, centre, unit)


@overload(influence_row, inline="always")
def _influence_row(X, i, centre, unit):
    function = _INFLUENCE_ROW[_layout(X)]
    return lambda X, i, centre, unit: function(X, i, centre, unit)


@block_kernel
def _influence_of_each_row(X, start, stop, centre, unit, out):
    for i in range(start, stop):
        out[i - start] = influence_row(X, i, centre, unit)


def _pick_influence(X):
    columns = _layout(X) == "columns"
    return dense.influence_columns if columns else _influence_of_each_row


def influence(X, start, stop, centre, unit, out):
    _pick_influence(X)(X, start, stop, centre, unit, out)


@overload(influence)
def _influence(X, start, stop, centre, unit, out):
    function = _pick_influence(X)
    return lambda X, start, stop, centre, unit, out: function(
        X, start, stop, centre, unit, out
    )


@block_kernel
def _project_each_row(X, start, stop, centre, slope, out):
    for i in range(start, stop):
        out[i - start] = project_row(X, i, centre, slope)


def _pick_project(X):
    return dense.project_columns if _layout(X) == "columns" else _project_each_row


def project(X, start, stop, centre, slope, out):
    _pick_project(X)(X, start, stop, centre, slope, out)


@overload(project)
def _project(X, start, stop, centre, slope, out):
    function = _pick_project(X)
    return lambda X, start, stop, centre, slope, out: function(
        X, start, stop, centre, slope, out
    )


def _pick_back_project(X):
    columns = _layout(X) == "columns"
    return dense.back_project_columns if columns else dense.back_project_rows


def back_project(X, start, stop, centre, c, g):
    _pick_back_project(X)(X, start, stop, centre, c, g)


@overload(back_project)
def _back_project(X, start, stop, centre, c, g):
    function = _pick_back_project(X)
    return lambda X, start, stop, centre, c, g: function(X, start, stop, centre, c, g)


_ADD_SQUARES = {
    "csr": csr.add_squares_csr,
    "picked": dense.add_squares_picked,
    "columns": dense.add_squares_columns,
    "rows": dense.add_squares_rows,
}


def add_squares(X, start, stop, centre, unit, h, q):
    _ADD_SQUARES[_layout(X)](X, start, stop, centre, unit, h, q)


@overload(add_squares)
def _add_squares(X, start, stop, centre, unit, h, q):
    function = _ADD_SQUARES[_layout(X)]
    return lambda X, start, stop, centre, unit, h, q: function(
        X, start, stop, centre, unit, h, q
    )


@row_kernel
def _residual(y, i, projected, numbers):
    y_centre, y_unit, intercept = numbers[0], numbers[1], numbers[2]
    return (y[i] - y_centre) * y_unit - intercept - projected


@block_kernel
def _residuals(X, y, start, stop, centre, slope, numbers, out):
    project(X, start, stop, centre, slope, out)
    for k in range(stop - start):
        out[k] = _residual(y, start + k, out[k], numbers)


@row_kernel
def _weight(weight, i, numbers):
    return weight[i] * numbers[4] if weight.shape[0] > 0 else 1.0


@block_kernel
def _sum_row_by_row(
    X, y, weight, start, stop, centre, slope, numbers, kept, g, scalars
):
    """Add the sums of the rows; project and back-project one row after the other."""
    threshold = numbers[3]
    sum_c = 0.0
    sum_cr = 0.0
    sum_cc = 0.0
    sum_inlier = 0.0
    for i in range(start, stop):
        r = _residual(y, i, project_row(X, i, centre, slope), numbers)
        s = _weight(weight, i, numbers)
        c = clip(r, threshold)
        sum_c += s * c
        sum_cr += s * c * r
        sum_cc += s * c * c
        sum_inlier += s if abs(r) <= threshold else 0.0
        back_project_row(X, i, centre, s * c, g)
        kept[i] = r
    scalars[SUM_C] += sum_c
    scalars[SUM_CR] += sum_cr
    scalars[SUM_CC] += sum_cc
    scalars[SUM_INLIER] += sum_inlier


@block_kernel
def _clip_and_sum(weight, start, stop, numbers, r, kept, scalars):
    """Add the scalar sums of residuals r, copy r to `kept` and replace r by s·c.

    One loop sums, another one stores. In a loop that did both, the compiled code would
    select one of two orders of adding by the addresses of the arrays.
    """
    threshold = numbers[3]
    sum_c = 0.0
    sum_cr = 0.0
    sum_cc = 0.0
    sum_inlier = 0.0
    for k in range(stop - start):
        s = _weight(weight, start + k, numbers)
        c = clip(r[k], threshold)
        sum_c += s * c
        sum_cr += s * c * r[k]
        sum_cc += s * c * c
        sum_inlier += s if abs(r[k]) <= threshold else 0.0
    scalars[SUM_C] += sum_c
    scalars[SUM_CR] += sum_cr
    scalars[SUM_CC] += sum_cc
    scalars[SUM_INLIER] += sum_inlier
    for k in range(stop - start):
        kept[start + k] = r[k]
        r[k] = _weight(weight, start + k, numbers) * clip(r[k], threshold)


@block_kernel
def _sum_together(X, y, weight, start, stop, centre, slope, numbers, kept, g, scalars):
    """Add the sums of the rows; project all rows, then back-project all rows."""
    r = np.empty(stop - start)
    _residuals(X, y, start, stop, centre, slope, numbers, r)
    _clip_and_sum(weight, start, stop, numbers, r, kept, scalars)
    back_project(X, start, stop, centre, r, g)


@block_kernel
def _sum_dense_rows(
    X, y, weight, start, stop, centre, slope, numbers, kept, g, scalars
):
    if X.shape[1] <= dense.NARROW:
        _sum_row_by_row(
            X, y, weight, start, stop, centre, slope, numbers, kept, g, scalars
        )
    else:
        _sum_together(
            X, y, weight, start, stop, centre, slope, numbers, kept, g, scalars
        )


_SUM_CHUNK = {
    "csr": _sum_row_by_row,
    "picked": _sum_row_by_row,
    "columns": _sum_together,
    "rows": _sum_dense_rows,
}


def sum_chunk(X, y, weight, start, stop, centre, slope, numbers, kept, g, scalars):
    _SUM_CHUNK[_layout(X)](
        X, y, weight, start, stop, centre, slope, numbers, kept, g, scalars
    )


@overload(sum_chunk)
def _sum_chunk(X, y, weight, start, stop, centre, slope, numbers, kept, g, scalars):
    function = _SUM_CHUNK[_layout(X)]

    def implementation(
        X, y, weight, start, stop, centre, slope, numbers, kept, g, scalars
    ):
        function(X, y, weight, start, stop, centre, slope, numbers, kept, g, scalars)

    return implementation


@block_kernel
def _masses(weight, start, stop, numbers, kept):
    """Return the weights with 0 for outliers, and the weights with 0 for inliers."""
    inside = np.empty(stop - start)
    outside = np.empty(stop - start)
    for k in range(stop - start):
        s = _weight(weight, start + k, numbers)
        is_inside = abs(kept[start + k]) <= numbers[3]
        inside[k] = s if is_inside else 0.0
        outside[k] = 0.0 if is_inside else s
    return inside, outside


@block_kernel
def sums(
    first,
    last,
    X,
    y,
    weight,
    rows,
    chunk,
    centre,
    slope,
    numbers,
    unit,
    kept,
    out,
    squares,
):
    """Add the sums of each block to its row of `out`, and store every r in `kept`.

    The sums are Σ s c (x − μ), Σ s c, Σ s c r, Σ s c², and Σ s over the inliers. If
    `squares` has 2p columns, add to them Σ s ((x − μ)u)² over the inliers (the
    diagonal of the Hessian) and over the outliers.
    """
    n_features = centre.shape[0]
    for block in range(first, last):
        g = out[block, :n_features]
        scalars = out[block, n_features:]
        start = block * rows
        end = min(start + rows, y.shape[0])
        while start < end:
            stop = min(start + chunk, end)
            sum_chunk(
                X, y, weight, start, stop, centre, slope, numbers, kept, g, scalars
            )
            if squares.shape[1] > 0:
                inside, outside = _masses(weight, start, stop, numbers, kept)
                q = squares[block]
                add_squares(X, start, stop, centre, unit, inside, q[:n_features])
                add_squares(X, start, stop, centre, unit, outside, q[n_features:])
            start = stop


@block_kernel
def residuals(first, last, X, y, rows, centre, slope, numbers, out):
    """Fill `out` with the residual r of every row."""
    for block in range(first, last):
        start = block * rows
        stop = min(start + rows, y.shape[0])
        _residuals(X, y, start, stop, centre, slope, numbers, out[start:stop])


@block_kernel
def influences(first, last, X, rows, centre, unit, out):
    """Fill `out` with Σ_j ((x_j − μ_j) u_j)² of every row."""
    for block in range(first, last):
        start = block * rows
        stop = min(start + rows, out.shape[0])
        influence(X, start, stop, centre, unit, out[start:stop])


@block_kernel
def clip_points(y, intercept, threshold, s, r, out):
    """Add the scalar sums of m rows at K points to `out`; replace r by s·c.

    `y`, `s` have shape (m,), `intercept`, `threshold` (K,). `r` of shape (K, m) holds
    the projections of the rows at each point. `out` has K rows and at least
    N_SCALARS + 1 columns: the scalar sums of `sums`, then the number of outliers. No
    loop both stores and sums, for the reason given in `_clip_and_sum`.
    """
    for k in range(r.shape[0]):
        limit = threshold[k]
        row = r[k]
        for i in range(row.shape[0]):
            row[i] = y[i] - intercept[k] - row[i]
        sum_c = 0.0
        sum_cr = 0.0
        sum_cc = 0.0
        sum_inlier = 0.0
        n_outliers = 0.0
        for i in range(row.shape[0]):
            c = clip(row[i], limit)
            sum_c += s[i] * c
            sum_cr += s[i] * c * row[i]
            sum_cc += s[i] * c * c
            sum_inlier += s[i] if abs(row[i]) <= limit else 0.0
            n_outliers += 1.0 if abs(row[i]) > limit else 0.0
        out[k, SUM_C] += sum_c
        out[k, SUM_CR] += sum_cr
        out[k, SUM_CC] += sum_cc
        out[k, SUM_INLIER] += sum_inlier
        out[k, N_SCALARS] += n_outliers
        for i in range(row.shape[0]):
            row[i] = s[i] * clip(row[i], limit)


@block_kernel
def robust_weights(first, last, rows, threshold, r, outlier):
    """Replace every r by ψ(r)/r, and store in `outlier` whether |r| > threshold."""
    for block in range(first, last):
        for i in range(block * rows, min((block + 1) * rows, r.shape[0])):
            outlier[i] = abs(r[i]) > threshold
            r[i] = robust_weight(r[i], threshold)
