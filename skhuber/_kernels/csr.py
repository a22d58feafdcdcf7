"""Reading the rows of a CSR matrix, given as the tuple (data, indices, indptr).

The functions of `skhuber._kernels.dense` for one row, but without centring: zeros stay
unstored, and what centring would add to them is the same in every row. It enters
through sums, in `skhuber._rows.CSRRows`.

Indices are made unsigned before they are used: for a signed one numba would ask
each time whether it counts from the end, which doubles the time of a sweep.
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
    """A stored entry replaces the square of an unstored zero by its own."""
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
    """As in `add_squares_csr`: what stored entries change."""
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
    """gram += Σ_i h_i z_i z_iᵀ with z = x / d, not centred; the upper triangle only."""
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
