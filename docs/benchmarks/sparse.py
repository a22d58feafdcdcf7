"""Times, sweeps and certificates on sparse data, beside scikit-learn.

Run by hand, on a quiet machine: ``python docs/benchmarks/sparse.py``. It prints a table
of 200,000 rows with 10 % gross outliers: one-hot columns, counts, and values between 0
and 1. scikit-learn's HuberRegressor is held to 300 iterations, and runs once for each
set of data, with the smaller alpha; "excess" is how far its objective lies above ours.
"""

import time
import warnings

import numpy as np
import scipy.sparse as sp
from sklearn.linear_model import HuberRegressor as SklearnHuber
from sklearn.linear_model import Ridge

from skhuber import HuberRegressor

N = 200_000
RHO = 1.35
ALPHAS = 1e-4, 1.0
LEVELS = [50] * 4, [200] * 5, [2_000, 500, 100], [20_000, 100]


def one_hot(levels, frequencies, rng):
    """One-hot columns of several variables, and what they add to y."""
    blocks, y = [], np.zeros(N)
    for count in levels:
        share = np.ones(count)
        if frequencies == "Zipf":
            share /= np.arange(1, count + 1)
        level = rng.choice(count, size=N, p=share / share.sum())
        entries = np.ones(N), (np.arange(N), level)
        blocks.append(sp.csr_matrix(entries, shape=(N, count)))
        y += rng.normal(size=count)[level]
    return sp.hstack(blocks, format="csr"), y


def sparse(n_columns, density, values, rng):
    X = sp.random(N, n_columns, density, "csr", random_state=rng, data_rvs=values)
    return X, X @ rng.normal(size=n_columns)


def sets():
    """Yield a name, and X and y without noise."""
    for levels in LEVELS:
        for frequencies in ("Zipf", "even"):
            rng = np.random.default_rng(0)
            yield f"{levels} {frequencies}", *one_hot(levels, frequencies, rng), rng
    rng = np.random.default_rng(0)
    counts = sparse(3_000, 0.005, lambda size: rng.poisson(2, size) + 1.0, rng)
    yield "counts", *counts, rng
    rng = np.random.default_rng(0)
    yield "U(0, 1)", *sparse(1_000, 0.01, None, rng), rng


def seconds_of(model, X, y, repeats=1):
    """Return the least time of some fits."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        model.fit(X, y)
        times.append(time.perf_counter() - start)
    return min(times)


def objective(model, X, y, alpha):
    """F of a fitted model."""
    z = np.abs(y - X @ model.coef_ - model.intercept_) / model.scale_
    loss = np.where(z <= RHO, z**2, 2 * RHO * z - RHO**2)
    return float(model.scale_ * np.sum(1 + loss) + alpha * model.coef_ @ model.coef_)


def main():
    warnings.simplefilter("ignore")
    print("| data | alpha | s | sweeps | gap | s / Ridge | sklearn s / s | excess |")
    print("|---|---|---|---|---|---|---|---|")
    for name, X, signal, rng in sets():
        y = signal + rng.normal(size=N)
        outlier = rng.random(N) < 0.1
        y[outlier] += 100 * rng.normal(size=outlier.sum())
        HuberRegressor().fit(X[:1000], y[:1000])  # loads the compiled code
        for alpha in ALPHAS:
            ours = HuberRegressor(alpha=alpha)
            seconds = seconds_of(ours, X, y, 3)
            times = seconds / seconds_of(Ridge(alpha), X, y)
            row = f"| {name} | {alpha} | {seconds:.2f} | {ours.n_sweeps_} "
            row += f"| {ours.optimality_gap_:.0e} | {times:.1f} "
            if alpha == ALPHAS[0]:
                theirs = SklearnHuber(alpha=alpha, max_iter=300)
                theirs_seconds = seconds_of(theirs, X, y)
                excess = objective(theirs, X, y, alpha) / ours.objective_ - 1
                row += f"| {theirs_seconds / seconds:.0f} | {excess:.0e} "
            else:
                row += "| | "
            print(row + "|", flush=True)


if __name__ == "__main__":
    main()
