"""What a cluster adds to a sweep: time beyond that of the kernels, and tasks.

    python docs/beyond/overhead.py                  # a minute, 7 GB
    python docs/beyond/overhead.py --megabytes 1    # smaller chunks, as a trial

prints the table of results.md beside this file. Nothing else should run meanwhile. A
sweep over chunks on the workers of a local cluster is compared with a sweep over the
same rows in this process, on as many threads: the best of ten each, taken in turn.
"""

import argparse
import time

import dask.array as da
import numpy as np
from distributed import Client, get_task_stream

from skhuber._rows import make_rows
from skhuber._sums import Point
from skhuber.dask._chunks import chunks_of
from skhuber.dask._rows import blocks_of

COLUMNS, CHUNKS, REPEATS = 50, 32, 10
POINT = Point(
    centre=np.zeros(COLUMNS),
    unit=np.ones(COLUMNS),
    y_centre=0.0,
    y_unit=1.0,
    u=np.ones(COLUMNS),
    intercept=0.0,
    threshold=1.35,
    scale=1.0,
)


def seconds(function):
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def line(n_workers, rows):
    """One line of the table: a cluster with workers of one thread."""
    with Client(
        n_workers=n_workers, threads_per_worker=1, dashboard_address=":0"
    ) as client:
        rng = da.random.default_rng(0)
        n = CHUNKS * rows
        X = rng.standard_normal((n, COLUMNS), chunks=(rows, COLUMNS)).persist()
        y = (X.sum(axis=1) + rng.standard_t(2, size=n, chunks=rows)).persist()
        copies = np.empty((n, COLUMNS)), np.empty(n)
        for k in range(CHUNKS):  # (gathered at once they would be there twice)
            for copy, lazy in zip(copies, (X, y), strict=True):
                copy[k * rows : (k + 1) * rows] = lazy.partitions[k].compute()
        local = make_rows(*copies, None, n_workers)
        with blocks_of(chunks_of(X, y, None), client, 1) as blocks:
            remote = blocks.remote
            # The first sweep loads the compiled code.
            (expected,), (found,) = local.sweep([POINT]), remote.sweep([POINT])
            np.testing.assert_allclose(found.gradient, expected.gradient, rtol=1e-8)
            with get_task_stream(client) as tasks:
                remote.sweep([POINT])
            times = [
                (
                    seconds(lambda: local.sweep([POINT])),
                    seconds(lambda: remote.sweep([POINT])),
                )
                for _ in range(REPEATS)
            ]
    here, there = np.min(times, axis=0)
    return (
        n_workers,
        len(tasks.data),
        f"{here * 1e3:.1f} ms",
        f"{there * 1e3:.1f} ms",
        f"{there / here - 1:+.0%}",
    )


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--megabytes", type=float, default=100.0)
    parser.add_argument("--workers", type=int, nargs="*", default=[1, 2])
    options = parser.parse_args()
    rows = int(options.megabytes * 1e6 / COLUMNS / 8)
    print(f"{CHUNKS} chunks of {rows:,} × {COLUMNS}, {options.megabytes:g} MB each.\n")
    print("| workers | tasks of a sweep | kernels | sweep | overhead |")
    print("|---:|---:|---:|---:|---:|")
    for n_workers in options.workers:
        cells = map(str, line(n_workers, rows))
        print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
