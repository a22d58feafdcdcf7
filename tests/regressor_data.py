"""Problems that the tests of HuberRegressor share."""

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning

import problems

RHO, ALPHA = 1.35, 1e-4


def random_weights(n, seed=0):
    return np.random.default_rng(seed).integers(0, 4, n).astype(float)


def max_iter_is_too_small():
    return pytest.warns(ConvergenceWarning)


SMALL = {
    "plain": problems.plain(150, 4),
    "house_prices": problems.house_prices(500),
    "timestamps": problems.timestamps(150, 4),
    "units": problems.units(150, 5),
    "correlated": problems.correlated(150, 5),
    "dummies": problems.dummies(200, 5),
    "heavy_tailed": problems.heavy_tailed(150, 5),
    "wide_in_small_units": problems.wide_in_small_units(20, 30),
}
LARGER = {
    "plain": (problems.plain, (3000, 8), (30_000, 10)),
    "house_prices": (problems.house_prices, (5000, 2), (30_000, 10)),
    "timestamps": (problems.timestamps, (3000, 8), (30_000, 10)),
    "units": (problems.units, (3000, 10), (30_000, 10)),
    "correlated": (problems.correlated, (3000, 8), (30_000, 10)),
    "dummies": (problems.dummies, (5000, 12), (30_000, 10)),
    "heavy_tailed": (problems.heavy_tailed, (3000, 8), (30_000, 10)),
    "wide_in_small_units": (problems.wide_in_small_units, (150, 200), (300, 500)),
}
each_small = pytest.mark.parametrize("problem", SMALL.values(), ids=SMALL.keys())


def many_zeros(n=150, p=4, seed=0):
    rng = np.random.default_rng(seed)
    X = np.where(rng.random((n, p)) < 0.5, 0.0, rng.normal(size=(n, p)))
    y = X @ np.arange(1.0, p + 1) + 2.0 + 0.5 * rng.normal(size=n)
    y[::10] += 20.0
    return X, y
