"""Data of so many rows that a sample is solved first: hard in one way each."""

import numpy as np


def _noise(rng, n):
    noise = rng.normal(size=n)
    noise[rng.random(n) < 0.1] *= 50
    return noise


def _widths(X):
    width = np.median(np.abs(X - np.median(X, axis=0)), axis=0)
    return np.where(width > 0, width, 1)


N, P = 45_000, 20
CASES = [
    "plain",
    "correlated",
    "units",
    "timestamps",
    "heavy_tailed",
    "rare_dummies",
    "leverage",
    "wild_rows",
    "absent_from_the_sample",
]


def case(name):
    """X, y and the coefficients, of 45,000 rows and 20 columns."""
    rng = np.random.default_rng(0)
    plain = rng.normal(size=(N, P))
    coef = rng.uniform(0.5, 2.0, P) * rng.choice([-1, 1], P)
    noise = _noise(rng, N)
    X = {
        "plain": lambda: plain,
        "correlated": lambda: plain + 10 * rng.normal(size=(N, 1)),
        "units": lambda: plain * np.geomspace(1e-3, 1e6, P),
        "timestamps": lambda: plain * 1e9 + 1.6e12,
        "heavy_tailed": lambda: rng.standard_t(2.5, size=(N, P)),
        "rare_dummies": lambda: np.hstack(
            [plain[:, :3], rng.random((N, P - 3)) < np.geomspace(1e-4, 0.1, P - 3)]
        ),
        "leverage": lambda: np.where(rng.random((N, 1)) < 0.01, 1000 * plain, plain),
        "wild_rows": lambda: np.where(rng.random((N, 1)) < 1e-4, 1e9 * plain, plain),
        "absent_from_the_sample": lambda: np.hstack(
            [plain[:, 1:], (np.arange(N) == 7)[:, None]]
        ),
    }[name]()
    coef = coef / _widths(X)
    return X, X @ coef + 3.0 + noise, coef


# The cases that the README and the benchmarks speak of.
MANY = 100_000


def many(name):
    """X and y of 100,000 rows."""
    rng = np.random.default_rng(7)
    X = rng.normal(size=(MANY, 20))
    if name == "few_columns":
        X = X[:, :5]
    if name == "many_columns":
        X = rng.normal(size=(MANY, 50))
    if name == "more_columns":
        X = rng.normal(size=(MANY, 120))
    if name == "dummies":
        X[:, 3:] = rng.random((MANY, 17)) < np.geomspace(1e-4, 0.1, 17)
    if name == "all_levels":
        X[:, 5:] = np.eye(15)[rng.integers(0, 15, MANY)]
    if name == "t":
        X = rng.standard_t(2.5, size=(MANY, 20))
    if name == "correlated":
        X += 10 * rng.normal(size=(MANY, 1))
    if name == "leverage":
        X[rng.random(MANY) < 0.01] *= 1000
    coef = rng.normal(size=X.shape[1]) * 3 / _widths(X)
    return X, X @ coef + _noise(rng, MANY)


def few_rows_for_each_column(name):
    """X and y of 30,000 rows and 40 columns."""
    rng = np.random.default_rng(7)
    X = rng.normal(size=(30_000, 40))
    if name == "dummies":
        X[:, 3:] = rng.random((30_000, 37)) < np.geomspace(2e-4, 0.1, 37)
    if name == "t":
        X = rng.standard_t(2.5, size=X.shape)
    if name == "correlated":
        X += 10 * rng.normal(size=(30_000, 1))
    if name == "leverage":
        X[rng.random(30_000) < 0.01] *= 1000
    return X, X @ rng.normal(size=40) + _noise(rng, 30_000)
