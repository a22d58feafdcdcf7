"""Sweeps over the rows of a regression.

A sweep over the blocks first ≤ k < last reads the rows k·rows … (k+1)·rows of X, each
once from memory, and writes the sums of block k to row k of an array, or the rows'
results to their places in an array of n.

Arguments that all share:

``X``
    A 2-D array, or the (data, indices, indptr) of a CSR matrix.
``y``, ``weight``
    Arrays of n; an empty weight stands for a weight of one for every row.
``centre``, ``slope``
    Arrays of p: what is subtracted from the columns, and the coefficients.
``numbers``
    (y_centre, y_unit, intercept, threshold, weight_unit), from which
    r = (y − y_centre)·y_unit − intercept − (x − centre)·slope, weight w·weight_unit.
``rows``, ``chunk``
    Rows in a block, and rows in the part of a block that is looked at twice.
"""

from __future__ import annotations

import numpy as np
from numba.core import types
from numba.extending import overload

from skhuber._kernels import csr, dense
from skhuber._kernels.scalar import clip, robust_weight
from skhuber._numba import block_kernel

# mypy: disable-error-code="no-untyped-def"

# In the sums of a block: the p entries of the gradient, then these.
N_SCALARS = 4
SUM_C, SUM_CR, SUM_CC, SUM_INLIER = range(N_SCALARS)


def _for_layout(X, rows, columns, sparse):
    """Of three functions the one for the layout of X, an array or its numba type."""
    if isinstance(X, tuple | types.BaseTuple):
        return sparse
    if isinstance(X, types.Array):
        return columns if X.layout == "F" else rows
    return columns if X.flags.f_contiguous and not X.flags.c_contiguous else rows


def _pick_project(X):
    return _for_layout(X, dense.project_rows, dense.project_columns, csr.project_csr)


def _pick_back_project(X):
    return _for_layout(
        X, dense.back_project_rows, dense.back_project_columns, csr.back_project_csr
    )


def _pick_add_squares(X):
    return _for_layout(
        X, dense.add_squares_rows, dense.add_squares_columns, csr.add_squares_csr
    )


# The three below choose by the layout of X. Compiled code takes the overloads, which
# choose when the types are known; the bodies here run where numba is switched off.


def project(X, start, stop, centre, slope, out):
    _pick_project(X)(X, start, stop, centre, slope, out)


def back_project(X, start, stop, centre, c, g):
    _pick_back_project(X)(X, start, stop, centre, c, g)


def add_squares(X, start, stop, centre, unit, h, q):
    _pick_add_squares(X)(X, start, stop, centre, unit, h, q)


@overload(project)
def _project(X, start, stop, centre, slope, out):
    function = _pick_project(X)
    return lambda X, start, stop, centre, slope, out: function(
        X, start, stop, centre, slope, out
    )


@overload(back_project)
def _back_project(X, start, stop, centre, c, g):
    function = _pick_back_project(X)
    return lambda X, start, stop, centre, c, g: function(X, start, stop, centre, c, g)


@overload(add_squares)
def _add_squares(X, start, stop, centre, unit, h, q):
    function = _pick_add_squares(X)
    return lambda X, start, stop, centre, unit, h, q: function(
        X, start, stop, centre, unit, h, q
    )


@block_kernel
def _residuals(X, y, start, stop, centre, slope, numbers, out):
    y_centre, y_unit, intercept = numbers[0], numbers[1], numbers[2]
    project(X, start, stop, centre, slope, out)
    for k in range(stop - start):
        out[k] = (y[start + k] - y_centre) * y_unit - intercept - out[k]


@block_kernel
def _clip_and_sum(weight, start, stop, numbers, r, inlier, scalars):
    """r becomes s·c; `inlier` becomes s inside the threshold and 0 outside.

    The loop that sums stores nothing, and the loop that stores sums nothing. In one
    loop, the compiler would choose at run time, by where the arrays lie in memory,
    between two orders of adding up.
    """
    threshold, weight_unit = numbers[3], numbers[4]
    sum_c = 0.0
    sum_cr = 0.0
    sum_cc = 0.0
    sum_inlier = 0.0
    weighted = weight.shape[0] > 0
    for k in range(stop - start):
        s = weight[start + k] * weight_unit if weighted else 1.0
        c = clip(r[k], threshold)
        sc = s * c
        sum_c += sc
        sum_cr += sc * r[k]
        sum_cc += sc * c
        sum_inlier += s if abs(r[k]) <= threshold else 0.0
    scalars[SUM_C] += sum_c
    scalars[SUM_CR] += sum_cr
    scalars[SUM_CC] += sum_cc
    scalars[SUM_INLIER] += sum_inlier
    for k in range(stop - start):
        s = weight[start + k] * weight_unit if weighted else 1.0
        inlier[k] = s if abs(r[k]) <= threshold else 0.0
        r[k] = s * clip(r[k], threshold)


@block_kernel
def sums(
    first, last, X, y, weight, rows, chunk, centre, slope, numbers, unit, out, squares
):
    """Σ s c (x − μ), Σ s c, Σ s c r, Σ s c², Σ s over inliers.

    Where `squares` has columns also Σ s ((x − μ)/d)² over the inliers: the diagonal of
    the Hessian.
    """
    n_features = centre.shape[0]
    r = np.empty(chunk)
    inlier = np.empty(chunk)
    for block in range(first, last):
        g = out[block, :n_features]
        scalars = out[block, n_features:]
        start = block * rows
        end = min(start + rows, y.shape[0])
        while start < end:
            stop = min(start + chunk, end)
            _residuals(X, y, start, stop, centre, slope, numbers, r)
            _clip_and_sum(weight, start, stop, numbers, r, inlier, scalars)
            back_project(X, start, stop, centre, r, g)
            if squares.shape[1] > 0:
                add_squares(X, start, stop, centre, unit, inlier, squares[block])
            start = stop


@block_kernel
def residuals(first, last, X, y, rows, centre, slope, numbers, out):
    """r of every row."""
    for block in range(first, last):
        start = block * rows
        stop = min(start + rows, y.shape[0])
        _residuals(X, y, start, stop, centre, slope, numbers, out[start:stop])


@block_kernel
def robust_weights(first, last, X, y, rows, centre, slope, numbers, out, outlier):
    """ψ(r)/r of every row, and whether it lies beyond the threshold."""
    threshold = numbers[3]
    for block in range(first, last):
        start = block * rows
        stop = min(start + rows, y.shape[0])
        _residuals(X, y, start, stop, centre, slope, numbers, out[start:stop])
        for i in range(start, stop):
            outlier[i] = abs(out[i]) > threshold
            out[i] = robust_weight(out[i], threshold)
