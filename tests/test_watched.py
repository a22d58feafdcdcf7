"""A watched fit is the fit that it would be alone; a stopped one costs no more."""

import contextlib
import io
import itertools
from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp

import problems
from compare import assert_same_bits
from peaks import peak_of
from skhuber import HuberRegressor
from skhuber._fit import Settings, fit_rows
from skhuber._fit.plan import plan_of
from skhuber._rows import make_rows

SETTINGS = Settings(1.35, "joint", 1e-4, True, 1000, 1e-12)


def one_hot():
    """20,000 rows of two factors, of 1,500 and 600 levels: sparse, many columns."""
    rng = np.random.default_rng(0)
    levels = (1500, 600)
    columns, offset = [], 0
    for n_levels in levels:
        columns.append(offset + rng.integers(0, n_levels, 20_000))
        offset += n_levels
    index = np.column_stack(columns).ravel()
    pointer = np.arange(0, 2 * 20_000 + 1, 2)
    X = sp.csr_array((np.ones(len(index)), index, pointer), shape=(20_000, offset))
    return X, X @ rng.normal(size=offset) + rng.standard_t(2, size=20_000)


def counts():
    """20,000 rows of ten counts each, in any of 2,000 columns."""
    rng = np.random.default_rng(0)
    X = sp.random(20_000, 2_000, density=0.005, format="csr", random_state=1)
    X.data = np.ceil(3 * X.data)
    return X, X @ rng.normal(size=2_000) + rng.standard_t(2, size=20_000)


def small_numbers():
    """More columns than rows; the penalty keeps the fit off the targets."""
    problem = problems.wide_in_small_units(40, 60)
    return problem.X, problem.y


WAYS = {
    "compiled": (lambda: problems.plain(200, 3)[:2], "compiled", "rescue"),
    "newton": (lambda: problems.plain(600, 60)[:2], "newton", "rescue"),
    "whitened": (lambda: problems.plain(70_000, 8)[:2], "whitened", "rescue"),
    "whitened, sparse": (
        lambda: (
            sp.csr_array(problems.dummies(70_000, 8)[0]),
            problems.dummies(70_000, 8)[1],
        ),
        "whitened",
        "rescue",
    ),
    "singular vectors": (small_numbers, None, "first"),
    "matrix_free": (counts, "matrix_free", "never"),
    "eliminated": (one_hot, "eliminated", "never"),
}
COMPILED = ("compiled", "whitened", "whitened, sparse", "matrix_free", "eliminated")
each_way = pytest.mark.parametrize(
    "way",
    [
        pytest.param(way, marks=pytest.mark.compiled if way in COMPILED else ())
        for way in WAYS
    ],
)
each_scale = pytest.mark.parametrize("scale", ["joint", "mad", 2.0])


def data(way):
    make, name, basis = WAYS[way]
    X, y = make()
    plan = plan_of(make_rows(X, y, None, 1))
    if name is not None:
        assert plan.way == name
    if basis is not None:
        assert plan.basis == basis
    return X, y


def fitted(X, y, settings, watch=None, start=None):
    return fit_rows(make_rows(X, y, None, 2), settings, start, watch)


@each_way
@each_scale
def test_a_watched_fit_has_the_bits_of_an_unwatched_one(way, scale):
    X, y = data(way)
    settings = replace(SETTINGS, scale=scale)
    seen = []
    watched = fitted(X, y, settings, lambda n, model: seen.append((n, model)))
    plain = fitted(X, y, settings)
    for name in (
        "coef",
        "intercept",
        "scale",
        "objective",
        "gap",
        "n_iter",
        "n_sweeps",
    ):
        np.testing.assert_array_equal(
            getattr(watched, name), getattr(plain, name), err_msg=name
        )
    assert watched.status is plain.status
    np.testing.assert_array_equal(watched.residuals, plain.residuals)
    # It was seen, and the last model is the result.
    numbers, models = zip(*seen, strict=True)
    assert list(numbers) == sorted(numbers)
    assert numbers[-1] <= plain.n_sweeps
    np.testing.assert_allclose(models[-1].coef, plain.coef, rtol=1e-6, atol=1e-12)
    assert models[-1].objective == pytest.approx(plain.objective, rel=1e-12)


@each_way
def test_verbose_changes_no_bit(way):
    X, y = data(way)
    with contextlib.redirect_stdout(io.StringIO()) as output:
        loud = HuberRegressor(verbose=True).fit(X, y)
    assert output.getvalue().startswith("sweep ")
    assert_same_bits(loud, HuberRegressor().fit(X, y))


@each_way
@pytest.mark.parametrize("after", [1, 3])
def test_a_fit_that_is_stopped(way, after):
    X, y = data(way)
    seen = []

    def watch(n, model):
        seen.append(model)
        return len(seen) >= after

    stopped = fitted(X, y, SETTINGS, watch)
    plain = fitted(X, y, SETTINGS)
    if way == "compiled":  # it is over before it can be stopped
        assert len(seen) == 1
        assert stopped.converged
        return
    assert stopped.is_stopped
    assert len(seen) == after
    best = min(seen, key=lambda model: model.objective)
    np.testing.assert_array_equal(stopped.coef, best.coef)
    assert stopped.objective == best.objective >= plain.objective
    assert plain.gap < stopped.gap < np.inf
    # The residuals are those of the model.
    r = y - X @ stopped.coef - stopped.intercept
    found = stopped.residuals / stopped.point.y_unit
    np.testing.assert_allclose(found, r, rtol=1e-8, atol=1e-8)


@pytest.mark.compiled
@pytest.mark.parametrize("after", [1, 2])
def test_stopping_a_fit_of_many_columns_costs_no_hessian(after):
    """A matrix of 3,100 × 3,100 numbers takes 77 MB."""
    rng = np.random.default_rng(0)
    X = sp.random(14_000, 3_100, density=1e-3, format="csr", random_state=rng)
    y = rng.normal(size=14_000) + X @ rng.normal(size=3_100)

    def stopped():
        asked = itertools.count(1)
        return fitted(X, y, SETTINGS, lambda n, model: next(asked) >= after)

    stopped()  # compiles
    found, peak = peak_of(stopped)
    assert found.is_stopped
    assert peak < 10e6
