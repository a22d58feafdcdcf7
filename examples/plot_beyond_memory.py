"""
Four times the memory, and a cluster of one line
================================================

A data set four times as large as the memory that its workers may use is read chunk by
chunk. The coefficients of a part of it are those of a fit in memory.

Run it with ``python examples/plot_beyond_memory.py``. It needs the extra ``dask``.
"""

import time

import dask
import dask.array as da
import matplotlib.pyplot as plt
import numpy as np
from distributed import Client

from skhuber import HuberRegressor
from skhuber.dask import DaskHuberRegressor

CHUNK, COLUMNS = 20_000, 20  # 3.4 MB
LIMIT = 20e6  # bytes for blocks of both workers together
CHUNKS = int(4 * LIMIT / (CHUNK * (COLUMNS + 1) * 8)) + 1
COEF = np.linspace(-1.0, 1.0, COLUMNS)

# %%
# The data
# --------
# Each chunk is made whenever it is needed, as it would be read from a file.


def chunk(k):
    rng = np.random.default_rng(k)
    X = rng.normal(size=(CHUNK, COLUMNS))
    y = 3.0 + X @ COEF + rng.standard_t(2, size=CHUNK)
    return np.column_stack([X, y])


def table(n_chunks):
    parts = [
        da.from_delayed(dask.delayed(chunk)(k), (CHUNK, COLUMNS + 1), float)
        for k in range(n_chunks)
    ]
    rows = da.concatenate(parts)
    return rows[:, :COLUMNS], rows[:, COLUMNS]


def main():
    X, y = table(CHUNKS)
    print(f"{X.shape[0]:,} rows, {X.nbytes / LIMIT:.1f} times the limit")

    # %%
    # Two workers
    # -----------
    # Each worker's limit is set so that the blocks of all data do not fit.
    seconds = {}
    coefs = {}
    for n_workers in (1, 2):
        with Client(
            n_workers=n_workers,
            threads_per_worker=1,
            dashboard_address=None,
            memory_limit="1GB",
        ) as client:
            DaskHuberRegressor(client=client).fit(*table(2))  # compiles, loads
            start = time.perf_counter()
            model = DaskHuberRegressor(client=client).fit(X, y)
            seconds[n_workers] = time.perf_counter() - start
            coefs[n_workers] = model.coef_
    print(f"off by {np.abs(model.coef_ - COEF).max():.4f}, {model.n_sweeps_} sweeps")
    print(f"equal bits: {np.array_equal(coefs[1], coefs[2])}")

    # %%
    # A part in memory
    # ----------------
    part = dask.compute(*table(3), scheduler="threads")
    local = HuberRegressor().fit(*part)
    lazy = DaskHuberRegressor().fit(*table(3))
    apart = np.abs(local.coef_ - lazy.coef_).max()
    print(f"no coefficient of a part differs by more than 1e-10: {apart < 1e-10}")

    figure, axes = plt.subplots(figsize=(5, 3), layout="constrained")
    axes.bar(["1 worker", "2 workers"], list(seconds.values()))
    axes.set(ylabel="seconds of a fit", title=f"{X.shape[0]:,} rows in chunks")
    figure.savefig("beyond_memory.png")


if __name__ == "__main__":
    main()
