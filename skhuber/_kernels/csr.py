"""Reading the rows of a CSR matrix, given as the tuple (data, indices, indptr).

The same three functions as in `skhuber._kernels.dense`. The zeros stay unstored:
what centring adds to them is the same for all rows, and enters through sums.
"""

from __future__ import annotations

from skhuber._numba import block_kernel

# mypy: disable-error-code="no-untyped-def"


@block_kernel
def project_csr(X, start, stop, centre, slope, out):
    data, indices, indptr = X
    shift = 0.0
    for j in range(centre.shape[0]):
        shift += centre[j] * slope[j]
    for i in range(start, stop):
        total = -shift
        for e in range(indptr[i], indptr[i + 1]):
            total += data[e] * slope[indices[e]]
        out[i - start] = total


@block_kernel
def back_project_csr(X, start, stop, centre, c, g):
    data, indices, indptr = X
    mass = 0.0
    for i in range(start, stop):
        c_i = c[i - start]
        mass += c_i
        for e in range(indptr[i], indptr[i + 1]):
            g[indices[e]] += c_i * data[e]
    for j in range(centre.shape[0]):
        g[j] -= mass * centre[j]


@block_kernel
def add_squares_csr(X, start, stop, centre, unit, h, q):
    """A stored entry replaces the square of an unstored zero by its own."""
    data, indices, indptr = X
    mass = 0.0
    for i in range(start, stop):
        h_i = h[i - start]
        mass += h_i
        for e in range(indptr[i], indptr[i + 1]):
            j = indices[e]
            z = (data[e] - centre[j]) * unit[j]
            zero = centre[j] * unit[j]
            q[j] += h_i * (z * z - zero * zero)
    for j in range(centre.shape[0]):
        zero = centre[j] * unit[j]
        q[j] += mass * zero * zero


@block_kernel
def add_gram_csr(X, h, unit, gram):
    """gram += Σ_i h_i z_i z_iᵀ with z = x / d, not centred; the upper triangle only."""
    data, indices, indptr = X
    for i in range(h.shape[0]):
        if h[i] != 0.0:
            for e in range(indptr[i], indptr[i + 1]):
                j = indices[e]
                a = h[i] * data[e] * unit[j]
                for f in range(e, indptr[i + 1]):
                    k = indices[f]
                    b = a * data[f] * unit[k]
                    if k >= j:
                        gram[j, k] += b
                    else:
                        gram[k, j] += b
