"""Files: each sweep reads them once, and a chunk at a time is in memory."""

import subprocess
import sys
import textwrap

import numpy as np
import pytest
import scipy.sparse as sp

import large_problems
from skhuber import HuberRegressor
from skhuber._rows import make_rows

dask = pytest.importorskip("dask")

import dask.array as da  # noqa: E402
import dask.dataframe as dd  # noqa: E402

from skhuber.dask import DaskHuberRegressor  # noqa: E402
from skhuber.dask import _engines as engines  # noqa: E402

pytestmark = pytest.mark.compiled


@pytest.fixture(scope="module")
def data():
    return large_problems.case("plain")[:2]


@pytest.mark.parametrize("order", ["C", "F"])
def test_a_sample_of_a_file_is_a_copy(order, data, tmp_path):
    X, y = data
    np.save(tmp_path / "X.npy", np.asarray(X, order=order))
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    for view in (mapped, np.asarray(mapped), mapped[10:], np.asarray(mapped)[10:]):
        rows = make_rows(view, y[: len(view)], None, 1)
        sample = rows.sample(rows.pick(500))
        assert not np.shares_memory(sample.X, mapped)
        assert sample.X.shape == (500, 20)
    rows = make_rows(np.ascontiguousarray(X), y, None, 1)
    assert np.shares_memory(rows.sample(rows.pick(500)).X, rows.X)
    fitted = HuberRegressor().fit(mapped, y)
    expected = HuberRegressor().fit(np.asarray(X, order=order), y)
    np.testing.assert_allclose(fitted.coef_, expected.coef_, rtol=1e-10)
    assert fitted.n_sweeps_ == expected.n_sweeps_


def counted(values, reads, length=5000):
    """An array of 9 chunks, each of which says when it is read."""

    def read(k):
        reads.append(k)
        return values[k * 5000 : (k + 1) * 5000]

    shape = (length, *values.shape[1:])
    parts = [da.from_delayed(dask.delayed(read)(k), shape, float) for k in range(9)]
    return da.concatenate(parts, allow_unknown_chunksizes=True)


def test_a_fit_reads_each_chunk_once_in_a_sweep(data, monkeypatch):
    X, y = data
    reads = []
    lazy = counted(X, reads)
    model = DaskHuberRegressor().fit(lazy, y)
    assert sorted(reads) == list(range(9))  # kept
    reads.clear()
    monkeypatch.setattr(engines, "memory_of", lambda client: 0.0)
    model = DaskHuberRegressor().fit(lazy, y)
    # Beside the sweeps: one for the chunks' facts and the sample.
    assert len(reads) == 9 * (model.n_sweeps_ + 1)
    reads.clear()
    model = DaskHuberRegressor(scale="mad").fit(lazy, y)
    # A median that is near the one expected comes with the sweep.
    assert len(reads) <= 9 * (model.n_sweeps_ + 3)


@pytest.mark.parametrize("length", [5000, np.nan])
def test_the_rows_of_a_sample_are_found_without_X(length, data, monkeypatch):
    monkeypatch.setattr(engines, "memory_of", lambda client: 0.0)
    X, y = data
    weight = np.random.default_rng(0).uniform(size=len(y)).round(1)
    reads, of_weights = [], []
    lazy = (
        counted(X, reads, length),
        counted(y, [], length),
        counted(weight, of_weights, length),
    )
    model = DaskHuberRegressor().fit(*lazy)
    # Chunks of unknown length are read once more, for the lengths.
    n_reads = model.n_sweeps_ + 1 + np.isnan(length)
    assert len(reads) == 9 * n_reads
    # The weights alone: for their sums, and for the picks of each sample.
    assert len(of_weights) <= 9 * (n_reads + 5)
    expected = HuberRegressor().fit(X, y, weight)
    assert model.n_sweeps_ == expected.n_sweeps_
    np.testing.assert_allclose(model.coef_, expected.coef_, rtol=1e-10)


@pytest.mark.parametrize("kind", ["lengths", "sparse"])
def test_chunks_that_are_not_what_the_collection_says(kind, data, monkeypatch):
    monkeypatch.setattr(engines, "memory_of", lambda client: 0.0)
    X, y = data

    def read(k):
        part = X[k * 5000 : (k + 1) * 5000]
        return sp.csr_matrix(part) if kind == "sparse" else part

    parts = [
        da.from_delayed(dask.delayed(read)(k), (5000, 20), float) for k in range(9)
    ]
    if kind == "lengths":
        cut = dask.delayed(lambda: X[40_000:44_000])()
        parts[-1] = da.from_delayed(cut, (5000, 20), float)
        with pytest.raises(ValueError, match=r"y has 5000 values for 4000 .* chunk 8"):
            DaskHuberRegressor().fit(da.concatenate(parts), y)
        return
    model = DaskHuberRegressor().fit(da.concatenate(parts), y)
    expected = HuberRegressor().fit(sp.csr_matrix(X), y)
    np.testing.assert_allclose(model.coef_, expected.coef_, rtol=1e-10)


@pytest.mark.parametrize("source", ["npy", "zarr", "parquet"])
def test_formats(source, data, tmp_path, monkeypatch):
    X, y = data
    expected = HuberRegressor().fit(X, y)
    monkeypatch.setattr(engines, "memory_of", lambda client: 0.0)
    if source == "npy":
        np.save(tmp_path / "X.npy", X)
        lazy = da.from_array(
            np.load(tmp_path / "X.npy", mmap_mode="r"), chunks=(5000, 20)
        )
    elif source == "zarr":
        zarr = pytest.importorskip("zarr")
        stored = zarr.open(tmp_path / "X", mode="w", shape=X.shape, chunks=(5000, 20))
        stored[:] = X
        lazy = da.from_zarr(tmp_path / "X")
    else:
        import pandas as pd
        import pyarrow as pa
        import pyarrow.parquet as pq

        names = [f"x{j}" for j in range(20)]
        table = pd.DataFrame(X, columns=names).assign(y=y)
        for k in range(9):
            part = pa.Table.from_pandas(table[k * 5000 : (k + 1) * 5000])
            pq.write_table(part, tmp_path / f"{k}.parquet")
        stored = dd.read_parquet(tmp_path)
        lazy, y = stored[names], stored["y"]
    model = DaskHuberRegressor().fit(lazy, y)
    np.testing.assert_allclose(model.coef_, expected.coef_, rtol=1e-10)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_file_larger_than_the_memory_limit(tmp_path):
    """Anonymous memory: what the process has when it is idle, and four chunks."""
    program = """
    import sys
    import numpy as np
    import dask, dask.array as da
    from skhuber.dask import DaskHuberRegressor
    from skhuber.dask import _engines as engines

    ROWS, COLUMNS, CHUNK = 800_000, 20, 40_000
    folder = sys.argv[1]
    shape = (ROWS, COLUMNS)
    X = np.lib.format.open_memmap(folder + "/X.npy", "w+", "<f8", shape)
    y = np.lib.format.open_memmap(folder + "/y.npy", "w+", "<f8", (ROWS,))
    rng = np.random.default_rng(0)
    for start in range(0, ROWS, CHUNK):
        rows = slice(start, start + CHUNK)
        X[rows] = rng.normal(size=(CHUNK, COLUMNS))
        y[rows] = X[rows] @ np.ones(COLUMNS) + rng.standard_t(2, size=CHUNK)
    del X, y

    def anonymous(name):
        lines = open("/proc/self/status").read().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if name in line)

    def load(name, k):
        part = np.load(folder + name, mmap_mode="r")[k * CHUNK : (k + 1) * CHUNK]
        peak.append(anonymous("RssAnon"))
        return np.array(part)

    def lazy(name, shape):
        load_lazy = dask.delayed(load)
        chunks = [load_lazy(name, k) for k in range(ROWS // CHUNK)]
        return da.concatenate([da.from_delayed(c, shape, float) for c in chunks])

    peak = []
    X, y = lazy("/X.npy", (CHUNK, COLUMNS)), lazy("/y.npy", (CHUNK,))
    engines.memory_of = lambda client: X.nbytes / 4
    dask.config.set(num_workers=1)
    small = slice(0, 2 * CHUNK)
    DaskHuberRegressor().fit(X[small], y[small])  # loads what a fit needs
    idle = anonymous("RssAnon")
    peak.clear()
    model = DaskHuberRegressor().fit(X, y)
    chunk = CHUNK * (COLUMNS + 1) * 8
    sample = ROWS // 50 * (COLUMNS + 1) * 8
    print((max(peak) - idle - 2 * sample) / chunk, model.optimality_gap_)
    """
    output = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program), str(tmp_path)],
        capture_output=True,
        check=True,
        text=True,
    )
    chunks, gap = map(float, output.stdout.split())
    assert chunks <= 4
    assert gap <= 1e-12
