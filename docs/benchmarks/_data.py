"""Data of the benchmarks, with 10 % gross outliers unless they are real.

What makes them takes `size`, a function of each number of rows or columns: `full` or
`shrunk` of `_common`.
"""

import csv

import numpy as np
import scipy.sparse as sp
from _common import HERE, full


def with_outliers(rng, y):
    bad = rng.random(len(y)) < 0.1
    y[bad] += 20 + 30 * rng.normal(size=bad.sum())
    return y


def made_up(n, p, order="C", dtype=np.float64, units=False, size=full):
    """Normal columns."""
    rng = np.random.default_rng(0)
    n, p = size(n), size(p)
    X = rng.normal(size=(n, p))
    if units:
        X *= np.geomspace(1, 1000, p)
    y = X @ (rng.normal(size=p) / X.std(axis=0)) + rng.normal(size=n)
    return X.astype(dtype, order=order), with_outliers(rng, y).astype(dtype)


def sparse(n, p, density, values="standard_normal", size=full):
    """Columns with few entries: normal, "uniform" from 0 to 1, or "counts"."""
    rng = np.random.default_rng(0)
    draw = {
        "standard_normal": rng.standard_normal,
        "uniform": rng.random,
        "counts": lambda size: 1.0 + rng.poisson(2, size),
    }[values]
    X = sp.random_array(
        (size(n), size(p)), density=density, format="csr", rng=rng, data_sampler=draw
    )
    signal = X @ rng.normal(size=X.shape[1])
    return small_indices(X), with_outliers(rng, signal + rng.normal(size=X.shape[0]))


def one_hot(n, levels, frequencies, size=full):
    """One-hot columns of several variables, of "Zipf" or "even" frequencies."""
    rng = np.random.default_rng(0)
    n = size(n)
    blocks, y = [], rng.normal(size=n)
    for count in map(size, levels):
        share = np.ones(count)
        if frequencies == "Zipf":
            share /= np.arange(1, count + 1)
        level = rng.choice(count, size=n, p=share / share.sum())
        entries = np.ones(n), (np.arange(n), level)
        blocks.append(sp.csr_array(entries, shape=(n, count)))
        y += rng.normal(size=count)[level]
    return small_indices(sp.hstack(blocks, format="csr")), with_outliers(rng, y)


def small_indices(X):
    """Return a CSR array with indices of 32 bits, which some peers demand."""
    X.indices, X.indptr = X.indices.astype(np.int32), X.indptr.astype(np.int32)
    return X


def nox(form, size=full):
    """Real: hourly NOx on emission, wind and 337 day dummies (examples/data)."""
    path = HERE.parents[1] / "examples" / "data" / "NOxEmissions.csv"
    with open(path, newline="") as file:
        table = np.array(list(csv.reader(file))[1:], dtype=float)
    days, index = np.unique(table[:, 0], return_inverse=True)
    n_days = size(len(days))
    kept = index < n_days
    _, concentration, emission, wind = table[kept].T
    dummies = np.eye(n_days)[index[kept]][:, 1:]
    return form(np.column_stack([emission, wind, dummies])), concentration


def groups(n_groups, n_rows, p, size=full):
    """Normal columns of groups that each have coefficients of their own."""
    rng = np.random.default_rng(0)
    n_groups = size(n_groups)
    X = rng.normal(size=(n_groups, n_rows, p))
    y = np.einsum("gij,gj->gi", X, rng.normal(size=(n_groups, p)))
    y += rng.normal(size=(n_groups, n_rows))
    label = np.repeat(np.arange(n_groups), n_rows)
    return X.reshape(-1, p), with_outliers(rng, y.ravel()), label


def autoregressive(n, p, correlation, kind="normal", size=full):
    """Columns each correlated with the one before; few have coefficients.

    The kind may be "scaled" (in units from 1 to 1000), "heavy" (heavy-tailed columns),
    "dummies" (0 or 1), or "t2" (heavy-tailed noise in place of gross outliers).
    """
    rng = np.random.default_rng(0)
    n, p = size(n), size(p)
    X = rng.standard_t(2.5, (n, p)) if kind == "heavy" else rng.normal(size=(n, p))
    if correlation:
        for j in range(1, p):
            X[:, j] *= np.sqrt(1 - correlation**2)
            X[:, j] += correlation * X[:, j - 1]
    if kind == "dummies":
        X = (rng.random((n, p)) < np.geomspace(0.3, 1e-3, p)).astype(float)
    coef = few_coefficients(rng, p, min(max(p // 5, 3), 20))
    signal = X @ coef
    if kind == "scaled":
        X *= np.geomspace(1, 1000, p)
    if kind == "t2":
        return X, signal + rng.standard_t(2, n)
    return X, with_outliers(rng, signal + rng.normal(size=n))


def words(n, p, per_row, size=full):
    """Sparse columns of very different frequency, as counts of words have."""
    rng = np.random.default_rng(0)
    n, p = size(n), size(p)
    share = 1 / (np.arange(p) + 50.0)
    column = rng.choice(p, size=n * per_row, p=share / share.sum())
    row = np.repeat(np.arange(n), per_row)
    values = rng.exponential(size=n * per_row)
    X = sp.csr_array((values, (row, column)), shape=(n, p))
    coef = np.zeros(p)
    coef[:3000] = few_coefficients(rng, min(p, 3000), min(p, 100))
    signal = X @ coef
    return small_indices(X), with_outliers(rng, signal + rng.normal(size=n))


def few_coefficients(rng, p, n_nonzero):
    """Coefficients of which some, of size 0.5 to 2, are not zero."""
    coef = np.zeros(p)
    support = rng.permutation(p)[:n_nonzero]
    sign = rng.choice([-1, 1], n_nonzero)
    coef[support] = sign * rng.uniform(0.5, 2, n_nonzero)
    return coef
