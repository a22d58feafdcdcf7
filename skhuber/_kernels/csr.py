"""Reading the rows of a CSR matrix, given as the tuple (data, indices, indptr).

These functions do what those of `skhuber._kernels.dense` do for one row, but they do
not centre X: unstored zeros are not touched. Centring would add the same numbers to
every row, so `skhuber._rows.CSRRows` adds them to the sums.

Indices are converted to unsigned integers before use. With signed ones, numba checks
every time whether an index counts from the end, which doubles the time of a sweep.
"""

from __future__ import annotations

import numpy as np

from skhuber._kernels.scalar import clip
from skhuber._runtime import block_kernel, inlined_kernel

# mypy: disable-error-code="no-untyped-def"


@inlined_kernel
def project_row_csr(X, i, centre, slope):
    data, indices, indptr = X
    total = 0.0
    for e in range(np.uintp(indptr[i]), np.uintp(indptr[i + 1])):
        total += data[e] * slope[np.uintp(indices[e])]
    return total


@inlined_kernel
def back_project_row_csr(X, i, centre, c, g):
    data, indices, indptr = X
    for e in range(np.uintp(indptr[i]), np.uintp(indptr[i + 1])):
        g[np.uintp(indices[e])] += c * data[e]


@inlined_kernel
def add_squares_row_csr(X, i, centre, unit, h, q):
    """Add what stored entries change: z² in place of the square of a centred zero."""
    data, indices, indptr = X
    for e in range(np.uintp(indptr[i]), np.uintp(indptr[i + 1])):
        j = np.uintp(indices[e])
        z = (data[e] - centre[j]) * unit[j]
        zero = centre[j] * unit[j]
        q[j] += h * (z * z - zero * zero)


@inlined_kernel
def influence_row_csr(X, i, centre, unit):
    """Return what stored entries change: Σ z² less the squares of centred zeros."""
    data, indices, indptr = X
    total = 0.0
    for e in range(np.uintp(indptr[i]), np.uintp(indptr[i + 1])):
        j = np.uintp(indices[e])
        z = (data[e] - centre[j]) * unit[j]
        zero = centre[j] * unit[j]
        total += z * z - zero * zero
    return total


@block_kernel
def add_gram_csr(X, picked, start, weight, at, r, gram):
    """Add h·[z, 1, t][z, 1, t]ᵀ of each row to the upper triangle of a Gram matrix.

    z = x·unit is not centred; h and t are those of `skhuber._sums.Sums.gram`.

    Parameters
    ----------
    picked : array of int
        The numbers of the rows of X that are meant; all, if it is empty.
    start : int
        The row to which r[0] belongs.
    weight : array of length n or 0
    at : At
    r : array
    gram : array of shape (2, p + 2, p + 2)
        For inliers and for outliers.
    """
    data, indices, indptr = X
    unit, threshold = at.unit, at.threshold
    p = unit.shape[0]
    for m in range(r.shape[0]):
        h = weight[start + m] * at.weight_unit if weight.shape[0] > 0 else 1.0
        if h != 0.0:
            i = picked[start + m] if picked.shape[0] > 0 else start + m
            residual = r[m]
            side = 0
            if abs(residual) > threshold:
                side = 1
                h *= threshold / abs(residual)
            t = clip(residual, threshold) / at.scale
            last = np.uintp(indptr[i + 1])
            for e in range(np.uintp(indptr[i]), last):
                j = np.uintp(indices[e])
                a = h * data[e] * unit[j]
                for f in range(e, last):
                    k = np.uintp(indices[f])
                    b = a * data[f] * unit[k]
                    if k >= j:
                        gram[side, j, k] += b
                    else:
                        gram[side, k, j] += b
                gram[side, j, p] += a
                gram[side, j, p + 1] += a * t
            gram[side, p, p] += h
            gram[side, p, p + 1] += h * t
            gram[side, p + 1, p + 1] += h * t * t
