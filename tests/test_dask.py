"""DaskHuberRegressor on the threads of one process: data, checks, attributes."""

import pickle
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, NotFittedError

import large_problems
from skhuber import HuberRegressor, OutlierShare
from skhuber._rows.block import Block
from test_callbacks import Recorder, has_callbacks

dask = pytest.importorskip("dask")

import dask.array as da  # noqa: E402
import dask.dataframe as dd  # noqa: E402

from skhuber.dask import DaskHuberRegressor  # noqa: E402
from skhuber.dask import _engines as engines  # noqa: E402
from skhuber.dask._chunks import chunks_of  # noqa: E402

pytestmark = pytest.mark.compiled
CHUNK = 6000
CASES = ["plain", "units", "heavy_tailed", "rare_dummies", "leverage"]


def weights(n):
    """Weights of many sizes, of which a whole chunk is zero."""
    weight = np.random.default_rng(0).uniform(0, 2, n)
    weight[CHUNK : 2 * CHUNK] = 0
    return weight


def lazy(X, y, weight=None, chunk=CHUNK):
    arrays = [da.from_array(X, chunks=(chunk, -1)), da.from_array(y, chunks=chunk)]
    return [*arrays, None if weight is None else da.from_array(weight, chunks=chunk)]


def csr(X, y, weight=None, chunk=CHUNK):
    """X of CSR chunks, whose lengths are not known, with an empty one in between."""
    starts = [0, chunk, *range(chunk, len(y), chunk)]
    ends = [*starts[1:], len(y)]

    def cut(values, shape, make=np.asarray):
        parts = [
            da.from_delayed(
                dask.delayed(make)(values[i:j]),
                (np.nan, *shape),
                float,
                meta=make(values[:0]),
            )
            for i, j in zip(starts, ends, strict=True)
        ]
        return da.concatenate(parts, allow_unknown_chunksizes=True)

    return [
        cut(X, X.shape[1:], sp.csr_matrix),
        cut(y, ()),
        None if weight is None else cut(weight, ()),
    ]


@pytest.fixture(params=["kept", "streaming"])
def memory(request, monkeypatch):
    """Blocks that are kept in memory, or loaded in each sweep."""
    if request.param == "streaming":
        monkeypatch.setattr(engines, "memory_of", lambda client: 0.0)
    return request.param


@pytest.mark.parametrize("scale", ["joint", "mad", 1.0])
@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("has_weights", [False, True])
def test_coefficients_are_those_of_huber_regressor(name, scale, has_weights):
    X, y, _ = large_problems.case(name)
    weight = weights(len(y)) if has_weights else None
    local = HuberRegressor(scale=scale).fit(X, y, weight)
    model = DaskHuberRegressor(scale=scale).fit(*lazy(X, y, weight))
    atol = 1e-8 if name in ("rare_dummies", "heavy_tailed") else 1e-10
    unit = np.abs(local.coef_).max()
    np.testing.assert_allclose(model.coef_, local.coef_, rtol=0, atol=atol * unit)
    np.testing.assert_allclose(model.intercept_, local.intercept_, rtol=1e-8)
    np.testing.assert_allclose(model.scale_, local.scale_, rtol=1e-9)
    np.testing.assert_allclose(model.objective_, local.objective_, rtol=1e-11)
    assert model.n_sweeps_ <= local.n_sweeps_ + 2
    assert model.optimality_gap_ <= 1e-12
    np.testing.assert_array_equal(model.outliers_.compute(), local.outliers_)


@pytest.mark.parametrize("kind", ["float32", "csr", "F"])
@pytest.mark.parametrize("scale", ["joint", "mad"])
def test_types_and_layouts(kind, scale, memory):
    X, y, _ = large_problems.case("rare_dummies")
    weight = weights(len(y))
    if kind == "csr":
        local = HuberRegressor(scale=scale).fit(sp.csr_matrix(X), y, weight)
        model = DaskHuberRegressor(scale=scale).fit(*csr(X, y, weight))
    else:
        X = X.astype(np.float32) if kind == "float32" else np.asfortranarray(X)
        local = HuberRegressor(scale=scale).fit(X, y, weight)
        model = DaskHuberRegressor(scale=scale).fit(*lazy(X, y, weight))
    assert model.coef_.dtype == local.coef_.dtype
    rtol = 1e-6 if kind == "float32" else 1e-8
    np.testing.assert_allclose(model.coef_, local.coef_, rtol=rtol, atol=rtol)
    assert model.robust_weights_.dtype == local.robust_weights_.dtype
    np.testing.assert_allclose(
        model.robust_weights_.compute(), local.robust_weights_, rtol=1e-3, atol=1e-5
    )


def test_streaming_has_the_bits_of_blocks_that_are_kept(monkeypatch):
    X, y, _ = large_problems.case("rare_dummies")
    data = lazy(X, y, weights(len(y)))
    kept = DaskHuberRegressor(scale="mad").fit(*data)
    monkeypatch.setattr(engines, "memory_of", lambda client: 0.0)
    streamed = DaskHuberRegressor(scale="mad").fit(*data)
    np.testing.assert_array_equal(streamed.coef_, kept.coef_)
    assert streamed.scale_ == kept.scale_


@pytest.mark.parametrize("rho", ["auto", "adaptive", OutlierShare(0.2)])
@pytest.mark.parametrize("scale", ["joint", "mad", 2.0])
@pytest.mark.parametrize("has_weights", [False, True])
def test_rules_for_rho(rho, scale, has_weights):
    X, y, _ = large_problems.case("plain")
    weight = weights(len(y)) if has_weights else None
    local = HuberRegressor(rho, scale=scale).fit(X, y, weight)
    model = DaskHuberRegressor(rho, scale=scale).fit(*lazy(X, y, weight))
    np.testing.assert_allclose(model.rho_, local.rho_, rtol=1e-6)
    np.testing.assert_allclose(model.coef_, local.coef_, rtol=1e-6, atol=1e-8)


def test_small_data_have_the_bits_of_huber_regressor():
    X, y, _ = large_problems.case("plain")
    X, y = X[:700], y[:700]
    for scale in ("joint", "mad"):
        local = HuberRegressor(scale=scale).fit(X, y)
        model = DaskHuberRegressor(scale=scale).fit(*lazy(X, y, chunk=100))
        np.testing.assert_array_equal(model.coef_, local.coef_)
        assert model.n_sweeps_ == local.n_sweeps_


def frame():
    X, y, _ = large_problems.case("plain")
    table = pd.DataFrame(X[:, :4], columns=["a", "b", "c", "d"])
    table["d"] = (table["d"] * 10).astype(int)
    table["y"] = y
    table["w"] = weights(len(y))
    return table


NAMES = ["a", "b", "c", "d"]


# (Dask's, of pandas, when it writes Parquet.)
@pytest.mark.filterwarnings("ignore:The inplace keyword")
@pytest.mark.parametrize("source", ["memory", "parquet", "filtered", "arrays"])
def test_frames(source, tmp_path, memory):
    table = frame()
    if source == "parquet":
        # Dask joins small files, depending on the columns that are read.
        dd.from_pandas(table, npartitions=20).to_parquet(tmp_path)
        lazy = dd.read_parquet(tmp_path)
    else:
        lazy = dd.from_pandas(table, npartitions=7)
    if source == "filtered":  # one partition is empty, and divisions are unknown
        table = table[(table.index < 5000) | (table.index > 16_000)]
        lazy = lazy.map_partitions(
            lambda part: part[(part.index < 5000) | (part.index > 16_000)]
        ).clear_divisions()
    y, weight = lazy["y"], lazy["w"]
    if source == "arrays":
        y, weight = y.to_dask_array(), weight.to_dask_array()
    model = DaskHuberRegressor().fit(lazy[NAMES], y, weight)
    local = HuberRegressor().fit(table[NAMES], table["y"], table["w"])
    np.testing.assert_allclose(model.coef_, local.coef_, rtol=1e-9)
    np.testing.assert_array_equal(model.feature_names_in_, NAMES)
    predicted = model.predict(lazy[NAMES])
    assert isinstance(predicted, dd.Series)
    np.testing.assert_allclose(
        predicted.compute(), local.predict(table[NAMES]), rtol=1e-9
    )
    outliers = model.outliers_.compute()
    np.testing.assert_array_equal(outliers, local.outliers_)
    np.testing.assert_allclose(
        model.score(lazy[NAMES], y, weight),
        local.score(table[NAMES], table["y"], table["w"]),
    )
    with pytest.raises(ValueError, match="in their order: a, b, c, d; got b, a, c, d"):
        model.predict(lazy[["b", "a", "c", "d"]])


@pytest.mark.filterwarnings("ignore:The inplace keyword")
def test_the_task_that_reads_a_partition_makes_its_block(tmp_path):
    """If it returned the dataframe, that would be in memory beside the block."""
    dd.from_pandas(frame(), npartitions=3).to_parquet(tmp_path)
    lazy = dd.read_parquet(tmp_path)
    (part,) = chunks_of(lazy[NAMES], lazy["y"], lazy["w"]).parts[0]
    (block,) = part.compute(scheduler="synchronous")
    assert isinstance(block, Block)
    assert block.X.flags.c_contiguous


def test_chunks_of_columns_are_put_together_with_a_warning():
    X, y, _ = large_problems.case("plain")
    columns = da.from_array(X, chunks=(CHUNK, 7))
    with pytest.warns(UserWarning, match="3 chunks of columns.*once more"):
        model = DaskHuberRegressor().fit(columns, y)
    whole = DaskHuberRegressor().fit(*lazy(X, y))
    np.testing.assert_array_equal(model.coef_, whole.coef_)
    np.testing.assert_allclose(
        model.predict(columns).compute(), X @ whole.coef_ + whole.intercept_, rtol=1e-9
    )


def test_clone_pickle_and_to_local():
    X, y, _ = large_problems.case("plain")
    client = object()  # (a Client cannot be copied)
    copy = clone(DaskHuberRegressor(2.0, client=client))
    assert copy.rho == 2.0
    assert copy.client is client
    model = DaskHuberRegressor(1.5).fit(*lazy(X, y))
    model.client = client
    again = pickle.loads(pickle.dumps(model))
    assert again.client is None
    assert not hasattr(again, "outliers_")
    model.client = None
    local = model.to_local()
    assert type(local) is HuberRegressor
    assert local.rho == local.rho_ == 1.5
    for other in (again, local):
        np.testing.assert_array_equal(other.coef_, model.coef_)
        np.testing.assert_array_equal(
            other.predict(X), model.predict(lazy(X, y)[0]).compute()
        )
    assert local.score(X, y) == pytest.approx(model.score(*lazy(X, y)[:2]))
    with pytest.raises(NotFittedError):
        DaskHuberRegressor().to_local()
    with pytest.raises(NotFittedError):
        DaskHuberRegressor().predict(lazy(X, y)[0])


def test_warm_start_and_verbose(capsys):
    X, y, _ = large_problems.case("plain")
    data = lazy(X, y)
    model = DaskHuberRegressor(warm_start=True, verbose=True).fit(*data)
    first = model.n_sweeps_
    assert capsys.readouterr().out.count("objective") > 2
    assert model.fit(*data).n_sweeps_ < first
    heavy = lazy(*large_problems.case("heavy_tailed")[:2])
    with pytest.warns(ConvergenceWarning, match="DaskHuberRegressor did not converge"):
        DaskHuberRegressor(max_iter=0).fit(*heavy)


@has_callbacks
def test_callbacks_see_sweeps_and_can_stop_a_fit():
    X, y, _ = large_problems.case("plain")
    recorder = Recorder(stop_after=2)
    model = DaskHuberRegressor()
    model.set_callbacks(recorder).fit(*lazy(X, y))
    assert len(recorder.models) == 2
    assert model.n_sweeps_ < DaskHuberRegressor().fit(*lazy(X, y)).n_sweeps_


def bad(what):
    """X, y, weight and the expected error."""
    X, y, _ = large_problems.case("plain")
    weight = np.ones(len(y))
    X, y = X.copy(), y.copy()
    match what:
        case "NaN in X":
            X[2 * CHUNK + 7, 3] = np.nan
            return lazy(X, y), ValueError, "X contains NaN or infinity in chunk 2 of 8"
        case "infinity in y":
            y[3 * CHUNK] = np.inf
            return lazy(X, y), ValueError, "y contains NaN or infinity, in chunk 3 of 8"
        case "negative weight":
            weight[CHUNK] = -2
            error = r"sample_weight must be non-negative, got -2.0, in chunk 1"
            return lazy(X, y, weight), ValueError, error
        case "no weight":
            return lazy(X, y, 0 * weight), ValueError, "sample_weight .* got zeros only"
        case "lengths":
            data = [lazy(X, y)[0], lazy(X, y[1:])[1]]
            return data, ValueError, "found 45000 samples in X and 44999 in y"
        case "chunks":
            data = [csr(X, y)[0], csr(X, y, chunk=4000)[1]]
            return data, ValueError, "as many chunks as X.*found 9 in X and 13 in y"
        case "one dimension":
            return [lazy(X, y)[1]] * 2, ValueError, "X must have two dimensions"
        case "in memory":
            return [X, y], TypeError, "X must be a Dask array or dataframe, got ndarray"
        case "no y":
            return [lazy(X, y)[0], None], ValueError, "requires y to be passed"
        case "no rows":
            return lazy(X[:0], y[:0]), ValueError, "0 sample"


@pytest.mark.parametrize(
    "what",
    [
        "NaN in X",
        "infinity in y",
        "negative weight",
        "no weight",
        "lengths",
        "chunks",
        "one dimension",
        "in memory",
        "no y",
        "no rows",
    ],
)
def test_bad_data_are_refused_and_change_nothing(what):
    data, error, match = bad(what)
    model = DaskHuberRegressor()
    with pytest.raises(error, match=match):
        model.fit(*data)
    assert vars(model) == vars(DaskHuberRegressor())


def test_columns_that_are_no_numbers_are_refused_before_any_work():
    def explode(part):
        raise AssertionError("computed")

    table = frame()
    table["b"] = "text"
    lazy = dd.from_pandas(table, npartitions=3)
    lazy = lazy.map_partitions(explode, meta=lazy._meta)
    with pytest.raises(TypeError, match=r"X must be numbers, got b \(\w+\)"):
        DaskHuberRegressor().fit(lazy[NAMES], lazy["y"])


def test_huber_regressor_names_the_class_for_collections():
    X, y, _ = large_problems.case("plain")
    Xd, yd, wd = lazy(X, y, weights(len(y)))
    table = dd.from_pandas(frame(), npartitions=2)
    for data, name in (
        ((Xd, yd), "X"),
        ((X, yd), "y"),
        ((X, y, wd), "sample_weight"),
        ((table[NAMES], table["y"]), "X"),
    ):
        match = f"{name} must be in memory .* skhuber.dask.DaskHuberRegressor"
        for method in ("fit", "partial_fit"):
            with pytest.raises(TypeError, match=match):
                getattr(HuberRegressor(), method)(*data)


def test_without_dask_the_import_names_the_extra():
    program = (
        "import sys\n"
        "sys.modules['dask'] = None\n"
        "import skhuber\n"
        "try:\n"
        "    import skhuber.dask\n"
        "except ImportError as error:\n"
        "    assert \"its extra `dask` (pip install '.[dask]'\" in str(error), error\n"
        "else:\n"
        "    raise AssertionError\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
    program = "import sys, skhuber\nassert 'dask' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True)
