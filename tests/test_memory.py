"""What is held in memory, and for how long."""

import os
import subprocess
import sys
import textwrap
import weakref

import numpy as np
import pytest
import scipy.sparse as sp

from peaks import peak_of
from skhuber import HuberRegressor, HuberRegressorCV, _fit, _rows, huber_path
from skhuber._runtime.launch import _Ranges
from skhuber._tuning.rules import fit_by_rule


def sparse(n, p, in_a_row, seed=0):
    """Hashed documents: so many numbers in each of n rows, at random places."""
    rng = np.random.default_rng(seed)
    X = sp.random(n, p, density=in_a_row / p, format="csr", random_state=rng)
    return X, rng.normal(size=n)


# --- threads ----------------------------------------------------------------------


@pytest.mark.compiled
def test_no_data_stay_where_no_thread_can_be_started():
    program = """
    import gc, threading, weakref
    import numpy as np
    from skhuber import HuberRegressor

    def refuse(self):
        raise RuntimeError("can't start new thread")

    threading.Thread.start = refuse
    alive = []
    for seed in range(3):
        X = np.random.default_rng(seed).normal(size=(200_000, 5))
        HuberRegressor(n_jobs=2).fit(X, X.sum(axis=1))
        alive.append(weakref.ref(X))
        del X
        gc.collect()
    print(sum(reference() is not None for reference in alive))
    """
    output = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        check=True,
        env={
            **os.environ,
            "NUMBA_NUM_THREADS": "2",
            "LOKY_MAX_CPU_COUNT": "2",
        },
    )
    assert output.stdout.split() == ["0"]


def test_ranges_that_are_closed_hold_nothing_and_do_nothing():
    """As for a helper that was busy with another fit until the sweep had ended."""

    class Data:
        pass

    data = Data()
    reference = weakref.ref(data)
    calls = []
    ranges = _Ranges(lambda first, last, data: calls.append(first), (data,), 4, 2)
    ranges.work()
    ranges.join()
    assert calls == [0, 2]
    ranges.close()
    del data
    assert reference() is None
    ranges.work()
    assert calls == [0, 2]


# --- a stopped fit ----------------------------------------------------------------


@pytest.mark.compiled
@pytest.mark.parametrize("rows", ["sample", "all"])
def test_a_stopped_fit_of_many_columns_builds_no_full_hessian(rows):
    p = 3100
    n = 14_000 if rows == "all" else 200_000
    X, y = sparse(n, p, 5)
    data = _rows.make_rows(X, y, None, 1)
    settings = _fit.Settings(1.35, "joint", 1e-4, True, 10, 1e-12)
    fit, peak = peak_of(
        lambda: _fit.fit_rows(data, settings, watch=lambda n_sweeps, model: True)
    )
    assert fit.is_stopped
    assert 0 < fit.gap < np.inf
    assert peak < 8 * p**2


# --- few sparse rows, many columns ------------------------------------------------


@pytest.mark.parametrize("scale", ["joint", "mad", 1.0])
@pytest.mark.parametrize("n", [60, 70])
def test_hashed_documents_are_certified_and_not_made_dense(n, scale):
    p, in_a_row = 2**17, 12
    X, y = sparse(n, p, in_a_row)
    model, peak = peak_of(lambda: HuberRegressor(scale=scale).fit(X, y))
    assert model.optimality_gap_ < 1e-12
    # Of the size of the coefficients, not of n·p numbers.
    assert peak < 8 * (8 * p) < 8 * n * p / 4
    # The same without the empty columns, whose coefficients are zero.
    (stored,) = np.nonzero(X.getnnz(axis=0))
    np.testing.assert_array_equal(np.delete(model.coef_, stored), 0.0)
    dense = HuberRegressor(scale=scale).fit(X[:, stored].toarray(), y)
    np.testing.assert_allclose(model.predict(X), dense.predict(X[:, stored]), atol=1e-7)


def test_paths_searches_rules_and_starts_of_hashed_documents():
    X, y = sparse(60, 2**15, 12)
    path = huber_path(X, y, rhos=[1.35, 2.0], scale=1.0)
    assert path.converged.all()
    alone = HuberRegressor(2.0, scale=1.0, warm_start=True).fit(X, y)
    np.testing.assert_allclose(path.coefs[1, 0], alone.coef_, atol=1e-9)
    again = alone.coef_.copy()
    np.testing.assert_allclose(alone.fit(X, y).coef_, again, atol=1e-9)
    search = HuberRegressorCV([1.35, 2.0], scale=1.0, cv=3).fit(X, y)
    assert search.coef_.shape == (2**15,)
    settings = _fit.Settings(1.0, 1.0, 1e-4, True, 1000, 1e-12)
    _, fit, _ = fit_by_rule(_rows.make_rows(X, y, None, 1), "auto", settings)
    assert fit.coef.shape == (2**15,)


def test_who_watches_sees_all_columns():
    X, y = sparse(60, 2**12, 3)
    # Without rows enough for singular vectors there would be nothing to watch.
    X, y = sp.vstack([X] * 5, format="csr"), np.tile(y, 5)
    rows = _rows.make_rows(X, y, None, 1)
    sizes = []

    def watch(n_sweeps, model):
        sizes.append(len(model.coef))
        return False

    settings = _fit.Settings(1.35, 1.0, 1e-4, True, 100, 1e-12)
    fit = _fit.fit_rows(rows, settings, watch=watch)
    assert set(sizes) == {2**12}
    assert len(fit.coef) == 2**12


def test_a_matrix_without_any_stored_number():
    model = HuberRegressor().fit(sp.csr_array((20, 5)), np.arange(20.0))
    np.testing.assert_array_equal(model.coef_, 0.0)
    assert model.intercept_ == pytest.approx(9.5)
