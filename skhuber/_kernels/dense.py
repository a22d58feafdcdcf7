"""Reading the rows of a dense array: C or F ordered or strided, float32 or float64.

Columns are centred while they are read. A column of time stamps far from zero then
costs no digits, and X is never copied. Sums are float64, whatever the type of X.

`project`            out_k  = Σ_j (x_kj − μ_j) a_j
`back_project`       g_j   += Σ_k c_k (x_kj − μ_j)
`add_squares`        q_j   += Σ_k h_k ((x_kj − μ_j)·d_j)²
`influence`          out_k  = Σ_j ((x_kj − μ_j)·d_j)²

A function's suffix says what it reads:

``_row``
    One row of a C-ordered array. The row is read from memory in one long run, which
    the processor prefetches best, and is still in the level-1 cache when it is read
    again.
``_row_picked``
    Row picked[i] of X, given the pair (X, picked).
``_rows``
    Several rows of a C-ordered array with many columns, of which the level-1 cache
    would not hold one together with its sums. Eight rows are back-projected at a time,
    so that the sums are loaded and stored once for eight rows.
``_columns``
    Several rows of an F-ordered array, eight columns at a time, so that the result is
    loaded and stored once for eight columns. They are passed as one-dimensional slices,
    since numba does not vectorise a loop that indexes an F-ordered array.
"""

from __future__ import annotations

import numpy as np

from skhuber._kernels.scalar import clip
from skhuber._runtime import block_kernel, inlined_kernel, inner_kernel

# mypy: disable-error-code="no-untyped-def"


# Columns up to which a row in C order, its coefficients, its centres and its sums fit
# in the level-1 cache together: 4 × 512 × 8 B = 16 KiB of usually 32. Each row is then
# read twice before the next one.
NARROW = 512


# X[i, j] rather than x = X[i] and x[j]: a view counts a reference, atomically, per row.


@inlined_kernel
def project_row(X, i, centre, slope):
    total = 0.0
    for j in range(X.shape[1]):
        total += (X[i, j] - centre[j]) * slope[j]
    return total


@inlined_kernel
def back_project_row(X, i, centre, c, g):
    for j in range(X.shape[1]):
        g[j] += c * (X[i, j] - centre[j])


@inlined_kernel
def influence_row(X, i, centre, unit):
    total = 0.0
    for j in range(X.shape[1]):
        z = (X[i, j] - centre[j]) * unit[j]
        total += z * z
    return total


@inlined_kernel
def add_squares_row(X, i, centre, unit, h, q):
    for j in range(X.shape[1]):
        z = (X[i, j] - centre[j]) * unit[j]
        q[j] += h * z * z


@inlined_kernel
def project_row_picked(X, i, centre, slope):
    return project_row(X[0], X[1][i], centre, slope)


@inlined_kernel
def back_project_row_picked(X, i, centre, c, g):
    back_project_row(X[0], X[1][i], centre, c, g)


@inlined_kernel
def influence_row_picked(X, i, centre, unit):
    return influence_row(X[0], X[1][i], centre, unit)


@inlined_kernel
def add_squares_row_picked(X, i, centre, unit, h, q):
    add_squares_row(X[0], X[1][i], centre, unit, h, q)


@inner_kernel
def project_rows(X, start, stop, centre, slope, out):
    for i in range(start, stop):
        total = 0.0
        for j in range(X.shape[1]):
            total += (X[i, j] - centre[j]) * slope[j]
        out[i - start] = total


@inner_kernel
def influence_rows(X, start, stop, centre, unit, out):
    for i in range(start, stop):
        total = 0.0
        for j in range(X.shape[1]):
            z = (X[i, j] - centre[j]) * unit[j]
            total += z * z
        out[i - start] = total


@inner_kernel
def back_project_rows(X, start, stop, centre, c, g):
    n_features = X.shape[1]
    i = start
    while i + 8 <= stop:
        k = i - start
        c0, c1, c2, c3 = c[k], c[k + 1], c[k + 2], c[k + 3]
        c4, c5, c6, c7 = c[k + 4], c[k + 5], c[k + 6], c[k + 7]
        for j in range(n_features):
            mean = centre[j]
            g[j] += (
                c0 * (X[i, j] - mean)
                + c1 * (X[i + 1, j] - mean)
                + c2 * (X[i + 2, j] - mean)
                + c3 * (X[i + 3, j] - mean)
            ) + (
                c4 * (X[i + 4, j] - mean)
                + c5 * (X[i + 5, j] - mean)
                + c6 * (X[i + 6, j] - mean)
                + c7 * (X[i + 7, j] - mean)
            )
        i += 8
    while i < stop:
        for j in range(n_features):
            g[j] += c[i - start] * (X[i, j] - centre[j])
        i += 1


@inner_kernel
def add_squares_rows(X, start, stop, centre, unit, h, q):
    i = start
    while i + 4 <= stop:
        k = i - start
        h0, h1, h2, h3 = h[k], h[k + 1], h[k + 2], h[k + 3]
        if h0 + h1 + h2 + h3 != 0.0:
            for j in range(X.shape[1]):
                mean = centre[j]
                scale = unit[j]
                z0 = (X[i, j] - mean) * scale if h0 != 0.0 else 0.0
                z1 = (X[i + 1, j] - mean) * scale if h1 != 0.0 else 0.0
                z2 = (X[i + 2, j] - mean) * scale if h2 != 0.0 else 0.0
                z3 = (X[i + 3, j] - mean) * scale if h3 != 0.0 else 0.0
                q[j] += h0 * z0 * z0 + h1 * z1 * z1 + h2 * z2 * z2 + h3 * z3 * z3
        i += 4
    while i < stop:
        if h[i - start] != 0.0:
            for j in range(X.shape[1]):
                z = (X[i, j] - centre[j]) * unit[j]
                q[j] += h[i - start] * z * z
        i += 1


@inner_kernel
def _add_column(x, mean, a, out):
    for k in range(out.shape[0]):
        out[k] += (x[k] - mean) * a


@inner_kernel
def _add_eight_columns(x0, x1, x2, x3, x4, x5, x6, x7, mean, a, out):
    mean0, mean1, mean2, mean3 = mean[0], mean[1], mean[2], mean[3]
    mean4, mean5, mean6, mean7 = mean[4], mean[5], mean[6], mean[7]
    a0, a1, a2, a3, a4, a5, a6, a7 = a[0], a[1], a[2], a[3], a[4], a[5], a[6], a[7]
    for k in range(out.shape[0]):
        out[k] += (
            (x0[k] - mean0) * a0
            + (x1[k] - mean1) * a1
            + (x2[k] - mean2) * a2
            + (x3[k] - mean3) * a3
        ) + (
            (x4[k] - mean4) * a4
            + (x5[k] - mean5) * a5
            + (x6[k] - mean6) * a6
            + (x7[k] - mean7) * a7
        )


@inner_kernel
def project_columns(X, start, stop, centre, slope, out):
    n_features = X.shape[1]
    row_sums = out[: stop - start]
    for k in range(row_sums.shape[0]):
        row_sums[k] = 0.0
    j = 0
    while j + 8 <= n_features:
        _add_eight_columns(
            X[start:stop, j],
            X[start:stop, j + 1],
            X[start:stop, j + 2],
            X[start:stop, j + 3],
            X[start:stop, j + 4],
            X[start:stop, j + 5],
            X[start:stop, j + 6],
            X[start:stop, j + 7],
            centre[j : j + 8],
            slope[j : j + 8],
            row_sums,
        )
        j += 8
    while j < n_features:
        _add_column(X[start:stop, j], centre[j], slope[j], row_sums)
        j += 1


@inner_kernel
def _column_dot(x, mean, c):
    total = 0.0
    for k in range(c.shape[0]):
        total += c[k] * (x[k] - mean)
    return total


@inner_kernel
def _eight_column_dots(x0, x1, x2, x3, x4, x5, x6, x7, mean, c, g):
    mean0, mean1, mean2, mean3 = mean[0], mean[1], mean[2], mean[3]
    mean4, mean5, mean6, mean7 = mean[4], mean[5], mean[6], mean[7]
    sum0 = sum1 = sum2 = sum3 = 0.0
    sum4 = sum5 = sum6 = sum7 = 0.0
    for k in range(c.shape[0]):
        c_k = c[k]
        sum0 += c_k * (x0[k] - mean0)
        sum1 += c_k * (x1[k] - mean1)
        sum2 += c_k * (x2[k] - mean2)
        sum3 += c_k * (x3[k] - mean3)
        sum4 += c_k * (x4[k] - mean4)
        sum5 += c_k * (x5[k] - mean5)
        sum6 += c_k * (x6[k] - mean6)
        sum7 += c_k * (x7[k] - mean7)
    g[0] += sum0
    g[1] += sum1
    g[2] += sum2
    g[3] += sum3
    g[4] += sum4
    g[5] += sum5
    g[6] += sum6
    g[7] += sum7


@inner_kernel
def back_project_columns(X, start, stop, centre, c, g):
    n_features = X.shape[1]
    row_factors = c[: stop - start]
    j = 0
    while j + 8 <= n_features:
        _eight_column_dots(
            X[start:stop, j],
            X[start:stop, j + 1],
            X[start:stop, j + 2],
            X[start:stop, j + 3],
            X[start:stop, j + 4],
            X[start:stop, j + 5],
            X[start:stop, j + 6],
            X[start:stop, j + 7],
            centre[j : j + 8],
            row_factors,
            g[j : j + 8],
        )
        j += 8
    while j < n_features:
        g[j] += _column_dot(X[start:stop, j], centre[j], row_factors)
        j += 1


@inlined_kernel
def _column_squares(x, mean, unit, h):
    total = 0.0
    for k in range(h.shape[0]):
        z = (x[k] - mean) * unit if h[k] != 0.0 else 0.0
        total += h[k] * z * z
    return total


@inner_kernel
def add_squares_columns(X, start, stop, centre, unit, h, q):
    masses = h[: stop - start]
    for j in range(X.shape[1]):
        q[j] += _column_squares(X[start:stop, j], centre[j], unit[j], masses)


@inlined_kernel
def _add_column_squares(x, mean, unit, out):
    for k in range(out.shape[0]):
        z = (x[k] - mean) * unit
        out[k] += z * z


@inner_kernel
def influence_columns(X, start, stop, centre, unit, out):
    row_sums = out[: stop - start]
    for k in range(row_sums.shape[0]):
        row_sums[k] = 0.0
    for j in range(X.shape[1]):
        _add_column_squares(X[start:stop, j], centre[j], unit[j], row_sums)


@block_kernel
def standardise_rows(X, picked, start, first, weight, at, r, filled, Z):
    """Append √h·[z, 1, t] of each row to Z[0] if it is an inlier, otherwise to Z[1].

    h and t are those of `skhuber._sums.Sums.gram`. Rows of weight zero are left out.
    The loop stops where Z[0] or Z[1] has no place for another row.

    Parameters
    ----------
    picked : array of int
        The numbers of the rows of X that are meant; all, if it is empty.
    start : int
        The row to which r[0] belongs.
    first : int
        The place in r to start from.
    weight : array of length n or 0
    at : At
    r : array
    filled : array of shape (2,)
        How many rows of Z[0] and Z[1] are filled; it is updated.
    Z : array of shape (2, m, p + 2)

    Returns
    -------
    int
        The place in r to go on from.
    """
    centre, unit, threshold, scale = at.centre, at.unit, at.threshold, at.scale
    n_features = X.shape[1]
    n_inside, n_outside = filled[0], filled[1]
    k = first
    while k < r.shape[0] and max(n_inside, n_outside) < Z.shape[1]:
        h = weight[start + k] * at.weight_unit if weight.shape[0] > 0 else 1.0
        if h != 0.0:
            size = abs(r[k])
            side, row = 0, n_inside
            if size > threshold:
                side, row = 1, n_outside
                h *= threshold / size
            factor = np.sqrt(h)
            i = picked[start + k] if picked.shape[0] > 0 else start + k
            for j in range(n_features):
                Z[side, row, j] = (X[i, j] - centre[j]) * unit[j] * factor
            Z[side, row, n_features] = factor
            Z[side, row, n_features + 1] = clip(r[k], threshold) / scale * factor
            n_inside += 1 - side
            n_outside += side
        k += 1
    filled[0], filled[1] = n_inside, n_outside
    return k


@block_kernel
def centre_rows(X, picked, start, centre, Z):
    """Fill Z with the rows of X from `start` on, less their centre.

    If `picked` is not empty, it has the numbers of the rows of X that are meant.
    """
    for k in range(Z.shape[0]):
        i = picked[start + k] if picked.shape[0] > 0 else start + k
        for j in range(Z.shape[1]):
            Z[k, j] = X[i, j] - centre[j]
