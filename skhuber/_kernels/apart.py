"""Columns of a CSR matrix that no row stores two of, and their Gram matrix.

A CSR matrix is given as the tuple (data, indices, indptr).
"""

from __future__ import annotations

import numpy as np

from skhuber._runtime import block_kernel

# mypy: disable-error-code="no-untyped-def"

# States of a column in the search for columns apart.
UNDECIDED, APART, OTHER = 0, 1, 2


@block_kernel
def find_losers(X, rank, state, loses):
    """Compare the undecided columns of each row.

    Parameters
    ----------
    rank : array of int of shape (p,)
        A number of each column, all different.
    state : array of int8 of shape (p,)
        Undecided columns of a row that stores a column apart become others.
    loses : array of bool of shape (p,)
        It becomes true for columns that are not the first by rank of those of a row
        that are undecided.
    """
    _, indices, indptr = X
    for i in range(indptr.shape[0] - 1):
        first, last = np.uintp(indptr[i]), np.uintp(indptr[i + 1])
        has_one = False
        best = np.uintp(0)
        is_any = False
        for e in range(first, last):
            j = np.uintp(indices[e])
            has_one |= state[j] == APART
            if state[j] == UNDECIDED and (not is_any or rank[j] < rank[best]):
                best = j
                is_any = True
        for e in range(first, last):
            j = np.uintp(indices[e])
            if state[j] == UNDECIDED:
                if has_one:
                    state[j] = OTHER
                elif j != best:
                    loses[j] = True


@block_kernel
def add_split_gram(X, weight, at, r, place, cross, gram):
    """Add s·[z, 1, t][z, 1, t]ᵀ of the inliers, without the squares of columns apart.

    z = x·unit is not centred; s and t are those of `skhuber._sums`.

    Parameters
    ----------
    weight : array of length n or 0
    at : At
    r : array of length n
        Residuals.
    place : array of int of shape (p,)
        k ≥ 0 for the kth of the other columns, −1 − k for the kth of those apart.
    cross : array of shape (number of columns apart, m + 2)
        Takes the products of columns apart with [z, 1, t] of the m others.
    gram : array of shape (m + 2, m + 2)
        Takes the upper triangle of the products of the others.
    """
    data, indices, indptr = X
    unit, threshold = at.unit, at.threshold
    m = gram.shape[0] - 2
    for i in range(r.shape[0]):
        s = weight[i] * at.weight_unit if weight.shape[0] > 0 else 1.0
        residual = np.float64(r[i])
        if s == 0.0 or not abs(residual) <= threshold:
            continue
        t = residual / at.scale
        first, last = np.uintp(indptr[i]), np.uintp(indptr[i + 1])
        for e in range(first, last):
            j = np.uintp(indices[e])
            a = s * data[e] * unit[j]
            row = place[j]
            if row < 0:
                products = cross[-1 - row]
                for f in range(first, last):
                    k = np.uintp(indices[f])
                    if place[k] >= 0:
                        products[place[k]] += a * data[f] * unit[k]
            else:
                products = gram[row]
                for f in range(first, last):
                    k = np.uintp(indices[f])
                    if place[k] >= row:
                        products[place[k]] += a * data[f] * unit[k]
            products[m] += a
            products[m + 1] += a * t
        gram[m, m] += s
        gram[m, m + 1] += s * t
        gram[m + 1, m + 1] += s * t * t
