"""Streams in batches, compared with one fit to all samples: errors of coefficients.

    python docs/beyond/streams.py               # some tens of minutes
    python docs/beyond/streams.py --sets 3      # fewer data sets of each kind

prints the tables of results.md beside this file. Every figure is the same in every run
on one machine.
"""

import argparse
import sys
import warnings
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np

from skhuber import HuberRegressor

# The noises of "Choosing rho, in figures".
sys.path.insert(0, str(Path(__file__).parents[1] / "choosing_rho"))

N, P = 20_000, 10
BATCHES = 50, 500, 5000
SCALES = "joint", "mad", 1.0
FIRST = np.arange(N) < N // 10  # samples of the first tenth


def noises():
    import run

    run.N = N
    return {
        **run.NOISES,
        "first tenth higher by 20": lambda rng: rng.normal(size=N) + 20 * FIRST,
        "half of the first tenth higher by 20": lambda rng: (
            rng.normal(size=N) + 20 * (FIRST & (rng.random(N) < 0.5))
        ),
        "first tenth 50 times as wide": lambda rng: (
            rng.normal(size=N) * np.where(FIRST, 50, 1)
        ),
        "first tenth 10 times as wide, higher by 10": lambda rng: (
            rng.normal(size=N) * np.where(FIRST, 10, 1) + 10 * FIRST
        ),
    }


def designs():
    """Columns, and their sizes."""
    ones = np.ones(P)
    units = np.geomspace(1e-3, 1e6, P)
    shares = np.geomspace(1e-3, 0.1, P - 3)
    return {
        "independent": (lambda rng: rng.normal(size=(N, P)), ones),
        "units from 1e-3 to 1e6": (lambda rng: rng.normal(size=(N, P)) * units, units),
        "correlated": (
            lambda rng: rng.normal(size=(N, P)) + 3 * rng.normal(size=(N, 1)),
            ones,
        ),
        "heavy tails (Student t, 2.5 d.f.)": (
            lambda rng: rng.standard_t(2.5, size=(N, P)),
            ones,
        ),
        "dummies, 20 to 2,000 samples each": (
            lambda rng: np.hstack(
                [rng.normal(size=(N, 3)), rng.random((N, P - 3)) < shares]
            ),
            ones,
        ),
        "leverage (1 % of the rows 10 times as long)": (
            lambda rng: (
                rng.normal(size=(N, P)) * np.where(rng.random((N, 1)) < 0.01, 10, 1)
            ),
            ones,
        ),
    }


def outliers(rng):
    return rng.normal(size=N) + np.where(rng.random(N) < 0.1, 20.0, 0.0)


def outliers_first(rng):
    """As many outliers, all of them in the first fifth."""
    early = np.arange(N) < N // 5
    return rng.normal(size=N) + np.where(early & (rng.random(N) < 0.5), 20.0, 0.0)


def squares(kind, name, seed, scale):
    """Squared errors of one fit and of the streams, and their scales."""
    warnings.simplefilter("ignore")
    rng = np.random.default_rng(seed)
    if kind == "noise":
        make, unit = designs()["independent"]
        noise = noises()[name]
    else:
        make, unit = designs()[name]
        noise = {"design": outliers, "design, early": outliers_first}[kind]
    X = make(rng)
    coef = rng.normal(size=P) / unit
    y = X @ coef + 3.0 + noise(rng)
    whole = HuberRegressor(scale=scale, n_jobs=1).fit(X, y)
    models = [whole]
    for size in BATCHES:
        model = HuberRegressor(scale=scale, n_jobs=1)
        for start in range(0, N, size):
            batch = slice(start, start + size)
            model.partial_fit(X[batch], y[batch])
        models.append(model)
    errors = [np.sum(((model.coef_ - coef) * unit) ** 2) for model in models]
    return errors, [model.scale_ for model in models]


def table(kind, names, sets, pool):
    worst = 0.0
    header = [f"{scale}, {size}" for scale in SCALES for size in BATCHES]
    print("| | " + " | ".join(header) + " |")
    print("|---|" + "---:|" * len(header))
    for name in names:
        ratios = []
        for scale in SCALES:
            jobs = [
                pool.submit(squares, kind, name, seed, scale) for seed in range(sets)
            ]
            errors = np.array([job.result()[0] for job in jobs]).sum(axis=0)
            ratios += list(np.sqrt(errors[1:] / errors[0]))
        worst = max(worst, *ratios)
        cells = (f"**{r:.3f}**" if r > 1.1 else f"{r:.3f}" for r in ratios)
        print(f"| {name} | " + " | ".join(cells) + " |", flush=True)
    print(f"\nLargest: {worst:.3f}\n", flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--sets", type=int, default=10)
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    print(
        f"{N:,} × {P}, {options.sets} data sets of each kind. Root of the mean squared "
        "error of the coefficients of\nthe stream, in units of that of one fit to all "
        "samples. Columns: the scale, the size of a batch.\n"
    )
    with ProcessPoolExecutor(options.processes) as pool:
        print("Noise, of independent normal columns\n")
        table("noise", noises(), options.sets, pool)
        print("Columns; 10 % of the samples higher by 20\n")
        table("design", designs(), options.sets, pool)
        print("Columns; half of the samples of the first fifth higher by 20\n")
        table("design, early", designs(), options.sets, pool)


if __name__ == "__main__":
    main()
