"""Reading the rows of a dense array: C or F ordered or strided, float32 or float64.

Each function is given a few rows at a time, so that they are still in the cache
when the next one reads them again. Columns are centred on the fly: a column of
time stamps far from zero then costs no digits, and X is never copied. The sums
are of doubles, whatever the type of X.

`project`            out_k  = Σ_j (x_kj − μ_j) a_j
`back_project`       g_j   += Σ_k c_k (x_kj − μ_j)
`add_squares`        q_j   += Σ_k h_k ((x_kj − μ_j) / d_j)²

The functions for rows go four rows at a time: each coefficient read from the cache
then serves four rows. Those for columns go four columns at a time, on 1-D slices,
because numba does not vectorise a loop that indexes an F-ordered 2-D array.
"""

from __future__ import annotations

from skhuber._numba import block_kernel

# mypy: disable-error-code="no-untyped-def"


@block_kernel
def project_rows(X, start, stop, centre, slope, out):
    n_features = X.shape[1]
    i = start
    while i + 4 <= stop:
        sum0 = 0.0
        sum1 = 0.0
        sum2 = 0.0
        sum3 = 0.0
        for j in range(n_features):
            mean = centre[j]
            a = slope[j]
            sum0 += (X[i, j] - mean) * a
            sum1 += (X[i + 1, j] - mean) * a
            sum2 += (X[i + 2, j] - mean) * a
            sum3 += (X[i + 3, j] - mean) * a
        k = i - start
        out[k] = sum0
        out[k + 1] = sum1
        out[k + 2] = sum2
        out[k + 3] = sum3
        i += 4
    while i < stop:
        sum0 = 0.0
        for j in range(n_features):
            sum0 += (X[i, j] - centre[j]) * slope[j]
        out[i - start] = sum0
        i += 1


@block_kernel
def back_project_rows(X, start, stop, centre, c, g):
    n_features = X.shape[1]
    i = start
    while i + 4 <= stop:
        k = i - start
        c0 = c[k]
        c1 = c[k + 1]
        c2 = c[k + 2]
        c3 = c[k + 3]
        for j in range(n_features):
            mean = centre[j]
            g[j] += (
                c0 * (X[i, j] - mean)
                + c1 * (X[i + 1, j] - mean)
                + c2 * (X[i + 2, j] - mean)
                + c3 * (X[i + 3, j] - mean)
            )
        i += 4
    while i < stop:
        c0 = c[i - start]
        for j in range(n_features):
            g[j] += c0 * (X[i, j] - centre[j])
        i += 1


@block_kernel
def add_squares_rows(X, start, stop, centre, unit, h, q):
    for i in range(start, stop):
        weight = h[i - start]
        if weight != 0.0:
            for j in range(X.shape[1]):
                z = (X[i, j] - centre[j]) * unit[j]
                q[j] += weight * z * z


@block_kernel
def _add_column(x, mean, a, out):
    for k in range(out.shape[0]):
        out[k] += (x[k] - mean) * a


@block_kernel
def _add_four_columns(x0, x1, x2, x3, mean, a, out):
    mean0, mean1, mean2, mean3 = mean[0], mean[1], mean[2], mean[3]
    a0, a1, a2, a3 = a[0], a[1], a[2], a[3]
    for k in range(out.shape[0]):
        out[k] += (
            (x0[k] - mean0) * a0
            + (x1[k] - mean1) * a1
            + (x2[k] - mean2) * a2
            + (x3[k] - mean3) * a3
        )


@block_kernel
def project_columns(X, start, stop, centre, slope, out):
    n_features = X.shape[1]
    row_sums = out[: stop - start]
    row_sums[:] = 0.0
    j = 0
    while j + 4 <= n_features:
        _add_four_columns(
            X[start:stop, j],
            X[start:stop, j + 1],
            X[start:stop, j + 2],
            X[start:stop, j + 3],
            centre[j : j + 4],
            slope[j : j + 4],
            row_sums,
        )
        j += 4
    while j < n_features:
        _add_column(X[start:stop, j], centre[j], slope[j], row_sums)
        j += 1


@block_kernel
def _column_dot(x, mean, c):
    total = 0.0
    for k in range(c.shape[0]):
        total += c[k] * (x[k] - mean)
    return total


@block_kernel
def _four_column_dots(x0, x1, x2, x3, mean, c, g):
    mean0, mean1, mean2, mean3 = mean[0], mean[1], mean[2], mean[3]
    sum0 = 0.0
    sum1 = 0.0
    sum2 = 0.0
    sum3 = 0.0
    for k in range(c.shape[0]):
        c_k = c[k]
        sum0 += c_k * (x0[k] - mean0)
        sum1 += c_k * (x1[k] - mean1)
        sum2 += c_k * (x2[k] - mean2)
        sum3 += c_k * (x3[k] - mean3)
    g[0] += sum0
    g[1] += sum1
    g[2] += sum2
    g[3] += sum3


@block_kernel
def back_project_columns(X, start, stop, centre, c, g):
    n_features = X.shape[1]
    row_factors = c[: stop - start]
    j = 0
    while j + 4 <= n_features:
        _four_column_dots(
            X[start:stop, j],
            X[start:stop, j + 1],
            X[start:stop, j + 2],
            X[start:stop, j + 3],
            centre[j : j + 4],
            row_factors,
            g[j : j + 4],
        )
        j += 4
    while j < n_features:
        g[j] += _column_dot(X[start:stop, j], centre[j], row_factors)
        j += 1


@block_kernel
def _column_squares(x, mean, unit, h):
    total = 0.0
    for k in range(h.shape[0]):
        z = (x[k] - mean) * unit
        total += h[k] * z * z
    return total


@block_kernel
def add_squares_columns(X, start, stop, centre, unit, h, q):
    masses = h[: stop - start]
    for j in range(X.shape[1]):
        q[j] += _column_squares(X[start:stop, j], centre[j], unit[j], masses)
