"""Loops of the bootstrap: several resamples of the same rows, a column for each."""

from __future__ import annotations

import numpy as np

from skhuber._runtime import block_kernel


@block_kernel
def clip_resamples(y, weight, counts, threshold, t, squares):
    """Turn predictions into weighted clipped residuals, and add up.

    Parameters
    ----------
    y : (m,)
    weight : (m,), or empty: one for every row.
    counts : (m, k), how often each resample has the row.
    threshold : (k,)
    t : (m, k), predictions; becomes s·clip(y − t, ±threshold).
    squares : (k,), to which Σ s·clip² is added.
    """
    m, k = t.shape
    weighted = len(weight) > 0
    for i in range(m):
        base = weight[i] if weighted else 1.0
        for j in range(k):
            r = y[i] - t[i, j]
            limit = threshold[j]
            c = min(max(r, -limit), limit)
            s = base * counts[i, j]
            squares[j] += s * c * c
            t[i, j] = s * c


@block_kernel
def store_sizes(y, t, out):
    """|y − t| of (m, k) predictions into (k, m), a row for each resample."""
    m, k = t.shape
    for i in range(m):
        for j in range(k):
            out[j, i] = abs(y[i] - t[i, j])


@block_kernel
def medians(sizes, weight, counts, guess, out):
    """Weighted medians of each resample's sizes.

    Parameters
    ----------
    sizes : (k, n)
    weight : (n,), or empty: one for every row.
    counts : (n, k)
    guess : (k,), medians that these are near to.
    out : (k,)
    """
    k, n = sizes.shape
    weighted = len(weight) > 0
    near = np.empty(n)
    mass = np.empty(n)
    for j in range(k):
        total = 0.0
        for i in range(n):
            total += (weight[i] if weighted else 1.0) * counts[i, j]
        width = 0.05
        while True:
            low, high = guess[j] * (1.0 - width), guess[j] * (1.0 + width)
            if width > 1.0:
                low, high = -1.0, np.inf
            below, found = 0.0, 0
            for i in range(n):
                size = sizes[j, i]
                if size <= high:
                    s = (weight[i] if weighted else 1.0) * counts[i, j]
                    if size < low:
                        below += s
                    elif s > 0.0:
                        near[found] = size
                        mass[found] = s
                        found += 1
            order = np.argsort(near[:found])
            half = 0.5 * total
            slack = 1e-12 * total
            lower, upper = -1.0, -1.0
            end = below
            if below < half - slack:
                for place in order:
                    end += mass[place]
                    if lower < 0.0 and end >= half - slack:
                        lower = near[place]
                    if end > half + slack:
                        upper = near[place]
                        break
            if lower >= 0.0 and (upper >= 0.0 or width > 1.0):
                out[j] = 0.5 * (lower + upper) if upper >= 0.0 else lower
                break
            width *= 4.0
