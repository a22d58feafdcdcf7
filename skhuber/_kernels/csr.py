"""Products with single rows of a CSR matrix, the tuple (data, indices, indptr).

These functions do not centre the columns. Unstored zeros stay unstored; the centring
would add one row, −μ, to every row, and `skhuber._rows.CSRRows` adds its part to the
sums.

Indices are made unsigned before use, since numba checks a signed index for a count from
the end, which doubles the time of a sweep.
"""

from __future__ import annotations

import numpy as np

from skhuber._numba import block_kernel, row_kernel

# mypy: disable-error-code="no-untyped-def"


@row_kernel
def project_row_csr(X, i, centre, slope):
    data, indices, indptr = X
    total = 0.0
    for e in range(np.uintp(indptr[i]), np.uintp(indptr[i + 1])):
        total += data[e] * slope[np.uintp(indices[e])]
    return total


@row_kernel
def back_project_row_csr(X, i, centre, c, g):
    data, indices, indptr = X
    for e in range(np.uintp(indptr[i]), np.uintp(indptr[i + 1])):
        g[np.uintp(indices[e])] += c * data[e]


@block_kernel
def add_squares_csr(X, start, stop, centre, unit, h, q):
    """Add Σ_i h_i (z_ij² − z_j(0)²) over the stored entries to each q_j.

    z_ij is the standardised entry and z_j(0) the standardised zero of column j.
    """
    data, indices, indptr = X
    for i in range(start, stop):
        mass = h[i - start]
        if mass != 0.0:
            for e in range(np.uintp(indptr[i]), np.uintp(indptr[i + 1])):
                j = np.uintp(indices[e])
                z = (data[e] - centre[j]) * unit[j]
                zero = centre[j] * unit[j]
                q[j] += mass * (z * z - zero * zero)


@row_kernel
def influence_row_csr(X, i, centre, unit):
    """Return Σ_j (z_ij² − z_j(0)²) over the stored entries of row i.

    z_ij is the standardised entry and z_j(0) the standardised zero of column j.
    """
    data, indices, indptr = X
    total = 0.0
    for e in range(np.uintp(indptr[i]), np.uintp(indptr[i + 1])):
        j = np.uintp(indices[e])
        z = (data[e] - centre[j]) * unit[j]
        zero = centre[j] * unit[j]
        total += z * z - zero * zero
    return total


@block_kernel
def add_gram_csr(X, h, unit, gram):
    """Add Σ_i h_i z_i z_iᵀ to the upper triangle of `gram`, with z = unit · x."""
    data, indices, indptr = X
    for i in range(h.shape[0]):
        if h[i] != 0.0:
            last = np.uintp(indptr[i + 1])
            for e in range(np.uintp(indptr[i]), last):
                j = np.uintp(indices[e])
                a = h[i] * data[e] * unit[j]
                for f in range(e, last):
                    k = np.uintp(indices[f])
                    b = a * data[f] * unit[k]
                    if k >= j:
                        gram[j, k] += b
                    else:
                        gram[k, j] += b
