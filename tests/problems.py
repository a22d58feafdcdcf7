"""Data the tests fit: made-up problems with known coefficients, and real ones."""

import csv
import json
from pathlib import Path
from typing import NamedTuple

import numpy as np

DATA = Path(__file__).parent / "data"
REAL = ["stackloss", "starsCYG", "telef", "delivery", "wood", "hbk"]


class Problem(NamedTuple):
    X: np.ndarray
    y: np.ndarray
    coef: np.ndarray
    intercept: float


def real(name):
    """A data set of tests/data; the last column is the target."""
    with open(DATA / f"{name}.csv", newline="") as file:
        rows = list(csv.reader(file))
    table = np.array(rows[1:], dtype=np.float64)
    return table[:, :-1], table[:, -1]


def r_reference():
    """What R's rlm found, by data set; coefficients with the intercept first.

    Without what lmrob found: by which setting, data/README.md says.
    """
    with open(DATA / "r_reference.json") as file:
        entries = json.load(file)
    return {
        entry["name"]: {key: value for key, value in entry.items() if key != "lmrob"}
        for entry in entries
    }


def _respond(rng, X, unit=1.0, outliers=0.1, noise=0.5):
    """Targets with gross outliers; every column matters as much as the noise."""
    n, p = X.shape
    width = X.std(axis=0)
    coef = unit * rng.uniform(0.5, 2.0, p) * rng.choice([-1.0, 1.0], p)
    coef /= np.where(width > 0, width, 1.0)
    y = 5.0 * unit + (X - X.mean(axis=0)) @ coef + unit * noise * rng.normal(size=n)
    bad = rng.random(n) < outliers
    y[bad] += unit * (rng.exponential(20.0, bad.sum()) + 5.0)
    return Problem(X, y, coef, 5.0 * unit - X.mean(axis=0) @ coef)


def plain(n, p, seed=0):
    rng = np.random.default_rng(seed)
    return _respond(rng, rng.normal(size=(n, p)))


def house_prices(n, p=2, seed=0):
    """Year of construction and floor area: natural units, far from centred."""
    rng = np.random.default_rng(seed)
    columns = [
        rng.integers(1900, 2021, n).astype(np.float64),
        np.clip(rng.normal(120.0, 40.0, n), 25.0, None),
    ]
    columns += [rng.uniform(0.0, 30.0, n) for _ in range(p - 2)]
    X = np.column_stack(columns)
    coef = np.append([5000.0, 2500.0], np.full(p - 2, -1000.0))
    intercept = -5000.0 * 1900.0 + 50_000.0
    y = X @ coef + intercept + rng.normal(0.0, 30_000.0, n)
    bad = rng.permutation(n)[: n // 10]
    y[bad] *= rng.uniform(3.0, 10.0, len(bad))
    return Problem(X, y, coef, intercept)


def timestamps(n, p, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, p))
    X[:, 0] = 1.6e12 + 1e9 * X[:, 0]
    return _respond(rng, X)


def units(n, p, seed=0):
    rng = np.random.default_rng(seed)
    return _respond(rng, rng.normal(1.0, 1.0, (n, p)) * np.logspace(-3, 6, p))


def correlated(n, p, seed=0):
    rng = np.random.default_rng(seed)
    common = rng.normal(size=(n, 1))
    X = np.sqrt(0.95) * common + np.sqrt(0.05) * rng.normal(size=(n, p))
    return _respond(rng, X)


def dummies(n, p, seed=0):
    """One normal column beside indicators that get rarer, the rarest in 4 rows."""
    rng = np.random.default_rng(seed)
    X = np.zeros((n, p))
    X[:, 0] = rng.normal(size=n)
    counts = np.geomspace(n / 3, 4, p - 1).astype(int)
    for j, count in enumerate(counts, start=1):
        X[rng.permutation(n)[:count], j] = 1.0
    return _respond(rng, X)


def heavy_tailed(n, p, seed=0):
    rng = np.random.default_rng(seed)
    return _respond(rng, rng.standard_t(2.5, size=(n, p)))


def wide(n, p, seed=0):
    """More columns than rows: any target can be met exactly."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, p))
    coef = np.where(np.arange(p) < 5, 2.0, 0.0)
    y = 5.0 + X @ coef + 0.5 * rng.normal(size=n)
    y[: n // 10] += 20.0
    return Problem(X, y, coef, 5.0)


def wide_in_small_units(n, p, seed=0):
    """More columns than rows, but the penalty keeps the fit off the targets."""
    problem = wide(n, p, seed)
    unit = 5e-3 / np.sqrt(p)
    return Problem(problem.X * unit, problem.y, problem.coef / unit, 5.0)
