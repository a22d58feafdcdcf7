"""Files of four times the memory limit: memory of the worker, bytes read from the disk.

    python docs/beyond/files.py               # some minutes; Linux, dask, zarr, pyarrow
    python docs/beyond/files.py npy Zarr      # some of npy, Zarr, Parquet, C, F

prints the tables of results.md beside this file. What has been read is dropped from the
system's cache every second, as if there were no memory for it. So what is read twice
comes from the disk twice: TMPDIR has to be on a disk.
"""

import argparse
import contextlib
import ctypes
import gc
import mmap
import os
import tempfile
import threading
from pathlib import Path

import dask.array as da
import dask.dataframe as dd
import numpy as np
import pyarrow as pa
from distributed import Client

from skhuber import HuberRegressor
from skhuber.dask import DaskHuberRegressor

LIMIT = 1e9  # bytes of the worker
THREADS = 2
ROWS, COLUMNS = 250_000, 20  # of a chunk
CHUNK = ROWS * (COLUMNS + 1) * 8  # bytes
CHUNKS = int(np.ceil(4 * LIMIT / CHUNK))
N = CHUNKS * ROWS
COEF = np.linspace(-1.0, 1.0, COLUMNS)
NAMES = [f"x{j}" for j in range(COLUMNS)]
# Chunks for each thread that may be in memory at a time.
ALLOWED = {"npy": 4, "Zarr": 4, "Parquet": 8}
# Reads beside the sweeps: checks and the sample, which take one read if the lengths of
# the chunks are known.
BESIDE = {"npy": 1, "Zarr": 1, "Parquet": 2}


def table():
    """X and y, which are made chunk by chunk when they are written."""
    rng = da.random.default_rng(0)
    X = rng.standard_normal((N, COLUMNS), chunks=(ROWS, COLUMNS))
    return X, 3.0 + X @ COEF + rng.standard_t(2, size=N, chunks=ROWS)


def written(kind, folder):
    """X and y as collections whose chunks are in files."""
    X, y = table()
    if kind == "npy":
        da.to_npy_stack(folder / "X", X)
        da.to_npy_stack(folder / "y", y)
        return da.from_npy_stack(folder / "X"), da.from_npy_stack(folder / "y")
    if kind == "Zarr":
        X.to_zarr(folder / "X")
        y.to_zarr(folder / "y")
        return da.from_zarr(folder / "X"), da.from_zarr(folder / "y")
    both = da.hstack([X, y[:, None]]).rechunk((ROWS, -1))
    dd.from_dask_array(both, columns=[*NAMES, "y"]).to_parquet(folder)
    frame = dd.read_parquet(folder)
    return frame[NAMES], frame["y"]


# --- what is measured ---------------------------------------------------------------


def field(pid, file, name):
    """A number that the system keeps of a process."""
    for line in Path(f"/proc/{pid}/{file}").read_text().splitlines():
        if line.startswith(name):
            return int(line.split()[1])
    raise ValueError(f"{file} has no {name}")


def bytes_read(pid):
    return field(pid, "io", "read_bytes:")


def anonymous(pid):
    """Bytes of memory that no file backs."""
    return field(pid, "status", "RssAnon:") * 1024


def trim():
    """Return freed memory to the system."""
    gc.collect()
    pa.default_memory_pool().release_unused()
    ctypes.CDLL("libc.so.6").malloc_trim(0)


@contextlib.contextmanager
def repeated(function, seconds):
    """Call a function again and again in a thread."""
    done = threading.Event()

    def run():
        while not done.wait(seconds):
            function()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def drop(folder, mapped=None):
    """Drop files from the system's cache, and what of them is mapped into memory."""
    if mapped is not None:
        mapped._mmap.madvise(mmap.MADV_DONTNEED)
    for path in folder.rglob("*"):
        if path.is_file():
            handle = os.open(path, os.O_RDONLY)
            os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(handle)


def measured(fit, pid, folder, mapped=None):
    """The model of a fit, memory before and at most, bytes read."""
    os.sync()  # (What is not on the disk yet stays in the cache.)
    drop(folder, mapped)
    idle, before = anonymous(pid), bytes_read(pid)
    peak = [idle]
    with (
        repeated(lambda: peak.append(max(peak.pop(), anonymous(pid))), 0.003),
        repeated(lambda: drop(folder, mapped), 1.0),
    ):
        model = fit()
    assert np.abs(model.coef_ - COEF).max() < 0.01
    return model, idle, peak[0], bytes_read(pid) - before


def on_a_worker(kind, scale):
    """One line of the table: a fit on a worker with the limit."""
    model = DaskHuberRegressor(scale=scale)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = Path(name)
        X, y = written(kind, folder)
        size = sum(path.stat().st_size for path in folder.rglob("*"))
        with Client(
            n_workers=1,
            threads_per_worker=THREADS,
            memory_limit=int(LIMIT),
            dashboard_address=None,
        ) as client:
            # A fit to two chunks loads the code that a fit needs.
            model.fit(X.partitions[:2], y.partitions[:2])
            client.run(trim)
            (pid,) = client.run(os.getpid).values()
            model, idle, peak, read = measured(lambda: model.fit(X, y), pid, folder)
            assert list(client.run(os.getpid).values()) == [pid]  # not restarted
    chunks = (peak - idle) / CHUNK / THREADS
    assert chunks <= ALLOWED[kind], chunks
    reads, sweeps = read / size, model.n_sweeps_
    assert reads <= 1.1 * (sweeps + BESIDE[kind]), (reads, sweeps)
    return (
        kind,
        scale,
        f"{size / 1e9:.1f} GB",
        f"{idle / 1e6:.0f} MB",
        f"{peak / 1e6:.0f} MB",
        f"{chunks:.1f}",
        str(sweeps),
        f"{reads:.2f}",
    )


def on_a_map(order, scale):
    """One line of the table: HuberRegressor on a file that is mapped into memory."""
    model = HuberRegressor(scale=scale)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        path = Path(name) / "X.npy"
        stored = np.lib.format.open_memmap(path, "w+", "f8", (N, COLUMNS), order == "F")
        lazy, y = table()
        da.store(lazy, stored)
        y = y.compute()
        del stored
        X = np.load(path, mmap_mode="r")
        model.fit(X[: 2 * ROWS], y[: 2 * ROWS])
        trim()
        model, idle, peak, read = measured(
            lambda: model.fit(X, y), os.getpid(), path.parent, X
        )
    reads, sweeps = read / X.nbytes, model.n_sweeps_
    assert order == "F" or reads <= sweeps + 1.5, (reads, sweeps)
    return (
        order,
        scale,
        f"{X.nbytes / 1e9:.1f} GB",
        f"{(peak - idle) / 1e6:.0f} MB",
        str(sweeps),
        f"{reads:.2f}",
    )


def show(header, lines):
    print("| " + " | ".join(header) + " |")
    print("|" + "---|" * len(header))
    for line in lines:
        print("| " + " | ".join(line) + " |", flush=True)
    print()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("kinds", nargs="*", default=[*ALLOWED, "C", "F"])
    parser.add_argument("--scale", default="joint", choices=["joint", "mad"])
    options = parser.parse_args()
    print(
        f"{CHUNKS} chunks of {ROWS:,} × {COLUMNS} and y, {CHUNK / 1e6:.0f} MB each.\n\n"
        f"A worker of {THREADS} threads, limit {LIMIT / 1e9:.0f} GB:\n"
    )
    header = ["format", "scale", "files", "idle", "peak", "chunks a thread", "sweeps"]
    header += ["bytes read / size"]
    kinds = [kind for kind in ALLOWED if kind in options.kinds]
    show(header, (on_a_worker(kind, options.scale) for kind in kinds))
    print("HuberRegressor on a memory map:\n")
    header = ["order", "scale", "file", "peak beyond idle", "sweeps"]
    header += ["bytes read / size"]
    orders = [order for order in "CF" if order in options.kinds]
    show(header, (on_a_map(order, options.scale) for order in orders))


if __name__ == "__main__":
    main()
