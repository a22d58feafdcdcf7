"""
Four times the memory, and a cluster of one line
================================================

Each worker may use 600 MB, and the table has 2.4 GB. `DaskHuberRegressor` reads it
chunk by chunk in each sweep, on one worker and on two. Every worker stays below its
limit, and a part of the table has the coefficients of a fit in memory.

Run it with ``python examples/plot_beyond_memory.py``. It needs the extra ``dask``.
"""

import os
import tempfile
import time
from pathlib import Path

import dask.array as da
import numpy as np
from distributed import Client
from distributed.diagnostics import MemorySampler

from skhuber import HuberRegressor
from skhuber.dask import DaskHuberRegressor

try:
    here = Path(__file__).parent
except NameError:  # in a gallery, which runs its examples where they lie
    here = Path.cwd()

LIMIT = 600e6  # bytes of each worker; beyond them Dask ends it
ROWS, COLUMNS = 250_000, 20  # of a chunk of 40 MB
CHUNKS = int(4 * LIMIT / (ROWS * COLUMNS * 8))
COEF = np.linspace(-1.0, 1.0, COLUMNS)

# %%
# The table
# ---------
# One file for each chunk of X and of y. The noise is Student's with two degrees of
# freedom, whose variance is infinite.


def write(folder):
    rng = da.random.default_rng(0)
    n = CHUNKS * ROWS
    X = rng.standard_normal((n, COLUMNS), chunks=(ROWS, COLUMNS))
    da.to_npy_stack(f"{folder}/X", X)
    X = da.from_npy_stack(f"{folder}/X")
    y = 3.0 + X @ COEF + rng.standard_t(2, size=n, chunks=ROWS)
    da.to_npy_stack(f"{folder}/y", y)
    return X, da.from_npy_stack(f"{folder}/y")


# %%
# A part of it, in memory and chunk by chunk
# ------------------------------------------
# The steps are the same, and so are the coefficients, to rounding.


def compare(X, y):
    local = HuberRegressor().fit(X.compute(), y.compute())
    lazy = DaskHuberRegressor().fit(X, y)
    apart = np.abs(local.coef_ - lazy.coef_).max()
    print(f"{len(X):,} rows in memory")
    print(f"  largest error of a coefficient  {np.abs(local.coef_ - COEF).max():.5f}")
    print(f"  equal to 1e-10 chunk by chunk   {apart < 1e-10}")


# %%
# All of it, on a cluster
# -----------------------
# A cluster on this machine is the one line that makes the client. Dask records the
# memory of its workers.


def fit_on(n_workers, X, y, memory):
    label = f"{n_workers} worker{'s' if n_workers > 1 else ''}"
    with Client(
        n_workers=n_workers,
        threads_per_worker=1,
        memory_limit=int(LIMIT),
        dashboard_address=None,
        silence_logs="ERROR",
    ) as client:
        processes = client.run(os.getpid)
        # A first fit loads the compiled code, or compiles it.
        DaskHuberRegressor().fit(X[: 2 * ROWS], y[: 2 * ROWS])
        with memory.sample(label, interval=0.1):
            start = time.perf_counter()
            model = DaskHuberRegressor().fit(X, y)
            seconds = time.perf_counter() - start
        assert client.run(os.getpid) == processes  # none was ended
    return label, model, seconds


# %%
# Results
# -------
# A worker begins by importing this file, hence the condition. Drawing is not for
# workers.

if __name__ == "__main__":
    import matplotlib.pyplot as plt

    memory = MemorySampler()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        X, y = write(folder)
        compare(X[: 4 * ROWS], y[: 4 * ROWS])
        fits = [fit_on(n_workers, X, y, memory) for n_workers in (1, 2)]
    one, two = (model for _, model, _ in fits)
    print(f"{len(X):,} rows, {X.nbytes / LIMIT:.1f} times the limit of a worker")
    print(f"  largest error of a coefficient  {np.abs(one.coef_ - COEF).max():.5f}")
    print(f"  sweeps                          {one.n_sweeps_}")
    print(f"  equal bits on one and two       {np.array_equal(one.coef_, two.coef_)}")

    figure, (left, right) = plt.subplots(
        1, 2, figsize=(8, 3.6), layout="constrained", width_ratios=[2, 1]
    )
    for n_workers, (label, samples) in enumerate(memory.samples.items(), 1):
        seconds, size = np.array(samples).T
        size = size / n_workers / 1e6
        left.plot(seconds - seconds[0], size, label=f"{label} (each)")
        assert size.max() * 1e6 < LIMIT
    left.axhline(LIMIT / 1e6, color="k", linestyle="--", label="the limit of each")
    left.axhline(X.nbytes / 1e6, color="tab:red", label="the table")
    left.set_ylim(0, 1.1 * X.nbytes / 1e6)
    left.set_xlabel("seconds")
    left.set_ylabel("MB")
    left.set_title("Memory of a worker during the fit")
    left.legend(loc="center right")
    names = [label for label, _, _ in fits]
    bars = right.bar(names, [seconds for _, _, seconds in fits], color=["C0", "C1"])
    right.bar_label(bars, fmt="%.1f")
    right.margins(y=0.15)
    right.set_ylabel("seconds")
    right.set_title("The fit")
    figure.savefig(here / "beyond_memory.png", dpi=90)
    print("Picture: beyond_memory.png, beside this file")
    plt.show()
