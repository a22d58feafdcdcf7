"""Data and references of the tests of inference."""

import json
from pathlib import Path

import numpy as np

DATA = Path(__file__).parent / "data"
REFERENCES = json.loads((DATA / "inference.json").read_text("utf-8"))
SETS = tuple(REFERENCES)
RHO = {"mad": 1.345, "joint": 1.35}


def load(name):
    """X and y of one of the sets."""
    table = np.loadtxt(DATA / f"{name}.csv", delimiter=",", skiprows=1)
    return table[:, :-1], table[:, -1]


def counts(n):
    """The frequency weights of the references."""
    return 1.0 + np.arange(n) % 3


def halves(n):
    """The other weights of the references."""
    return 0.5 + (np.arange(n) % 4) / 2


def noisy(n=300, p=3, seed=0, noise="t"):
    """Made-up data with some outliers."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, p)) * 10.0 ** np.arange(p) + 5.0
    e = rng.standard_t(3, size=n)
    if noise == "hetero":
        e = rng.normal(size=n) * (0.2 + np.abs(X[:, 0] - 5.0))
    return X, X @ (1.0 / 10.0 ** np.arange(p)) + e
