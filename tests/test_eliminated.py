"""Fits to one-hot columns of many levels, whose coefficients are eliminated."""

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp

from skhuber import HuberRegressor
from skhuber._fit import fit as way
from skhuber._fit.plan import plan_of
from skhuber._rows import make_rows
from skhuber._sums import Point, Want

N, LEVELS = 6_000, (600, 15)


def one_hot(n=N, levels=LEVELS, seed=0):
    """One-hot columns of levels with Zipf frequencies, and y with gross outliers."""
    rng = np.random.default_rng(seed)
    blocks, y = [], rng.normal(size=n)
    for count in levels:
        share = 1 / np.arange(1, count + 1)
        level = rng.choice(count, size=n, p=share / share.sum())
        entries = np.ones(n), (np.arange(n), level)
        blocks.append(sp.csr_array(entries, shape=(n, count)))
        y += rng.normal(size=count)[level]
    y[rng.random(n) < 0.1] *= 100
    return sp.hstack(blocks, format="csr"), y


@pytest.fixture
def by(monkeypatch):
    """A function that makes all fits that follow go one way."""

    def choose(name):
        def chosen(*arguments):
            plan = plan_of(*arguments)
            return replace(plan, way=name, sample_rows=0, basis="never")

        monkeypatch.setattr(way, "plan_of", chosen)

    return choose


def test_a_block_of_one_hot_columns_is_apart():
    X, y = one_hot()
    order = np.random.default_rng(1).permutation(X.shape[1])
    found = make_rows(X[:, order], y, None, 1).columns_apart
    assert sorted(order[found]) == list(range(LEVELS[0]))


def test_many_rows_have_the_columns_apart_of_all_rows_or_none():
    rng = np.random.default_rng(1)
    n, y = 40_000, np.zeros(40_000)
    level = rng.integers(100, size=n)
    entries = np.ones(n), (np.arange(n), level)
    one_hot = sp.csr_array(entries, shape=(n, 100))
    # One row in some thousands stores two of the levels.
    one_hot = one_hot + sp.csr_array(
        (np.ones(8), (np.arange(1, n, n // 8)[:8], np.full(8, 3))), shape=(n, 100)
    )
    found = make_rows(sp.csr_array(one_hot), y, None, 1).columns_apart
    assert 80 <= len(found) <= 100
    assert one_hot[:, found].astype(bool).sum(axis=1).max() == 1
    several = sp.random(n, 100, density=0.1, format="csr", random_state=0)
    assert len(make_rows(several, y, None, 1).columns_apart) == 0


def test_no_row_stores_two_columns_apart():
    X = sp.random(300, 80, density=0.03, format="csr", random_state=0)
    found = make_rows(X, np.zeros(300), None, 1).columns_apart
    stored = (X[:, found] != 0).sum(axis=1)
    assert len(found) > 10
    assert stored.max() == 1


def test_columns_that_half_of_the_rows_store_are_not_apart():
    X = sp.csr_array(np.arange(10.0)[:, np.newaxis] > 3)
    assert len(make_rows(1.0 * X, np.zeros(10), None, 1).columns_apart) == 0


@pytest.mark.parametrize("weighted", [False, True])
def test_split_gram_has_the_entries_of_the_gram_matrix(weighted):
    rng = np.random.default_rng(0)
    X, y = one_hot(400, (40, 6))
    X = sp.hstack([X, sp.csr_array(rng.normal(size=(400, 2)))], format="csr")
    weight = rng.integers(0, 3, 400) * 1.0 if weighted else None
    p = X.shape[1]
    rows = make_rows(X, y, weight, 1)
    point = Point(
        centre=np.where(np.arange(p) < 40, 0.0, 0.3),
        unit=np.full(p, 2.0),
        y_centre=0.2,
        y_unit=0.5,
        u=rng.normal(size=p),
        intercept=0.1,
        threshold=0.8,
        scale=0.5,
    )
    residuals = rows.new_residuals(double=True)
    (sums,) = rows.sweep([point], Want(gram=np.float64), residuals)
    apart = np.arange(40)
    others = np.arange(40, p + 2)
    gram, cross = rows.split_gram(point, residuals, apart)
    inside = sums.gram[0]
    np.testing.assert_allclose(gram, inside[np.ix_(others, others)], atol=1e-10)
    np.testing.assert_allclose(cross, inside[np.ix_(apart, others)], atol=1e-10)


CASES = {
    "joint": {},
    "large alpha": {"alpha": 10.0},
    "no intercept": {"fit_intercept": False},
    "no penalty": {"alpha": 0.0},
    "a fixed scale": {"scale": 0.7},
    "mad": {"scale": "mad"},
}


@pytest.mark.compiled
@pytest.mark.parametrize("case", CASES)
def test_the_minimum_is_that_of_newtons_method(by, case):
    X, y = one_hot()
    weight = np.random.default_rng(2).integers(0, 4, N)
    settings = {"alpha": 1e-2} | CASES[case]
    by("newton")
    expected = HuberRegressor(**settings).fit(X, y, sample_weight=weight)
    by("eliminated")
    model = HuberRegressor(**settings).fit(X, y, sample_weight=weight)
    assert model.optimality_gap_ <= 1e-10
    # (A median of residuals is only as exact as they are, to the root of the gap, and F
    # changes with it.)
    exact = 1e-7 if case == "mad" else 1e-10
    assert model.objective_ == pytest.approx(expected.objective_, rel=exact)
    assert model.scale_ == pytest.approx(expected.scale_, rel=1e-4)


@pytest.mark.compiled
def test_levels_of_few_rows_take_tens_of_sweeps():
    X, y = one_hot(20_000, (2_000, 100))
    assert plan_of(make_rows(X, y, None, 1)).way == "eliminated"
    model = HuberRegressor(alpha=1e-4).fit(X, y)
    assert model.optimality_gap_ <= 1e-10
    assert model.n_sweeps_ <= 200


@pytest.mark.compiled
def test_a_fit_that_starts_at_the_minimum_stays_there(by):
    X, y = one_hot()
    by("eliminated")
    model = HuberRegressor(alpha=1e-2, warm_start=True).fit(X, y)
    coef, sweeps = model.coef_.copy(), model.n_sweeps_
    model.fit(X, y)
    np.testing.assert_array_equal(model.coef_, coef)
    assert model.n_sweeps_ < sweeps / 2


@pytest.mark.compiled
def test_a_limit_on_the_iterations_is_kept(by):
    X, y = one_hot()
    by("eliminated")
    with pytest.warns(UserWarning, match="max_iter"):
        model = HuberRegressor(alpha=1e-2, max_iter=3).fit(X, y)
    assert model.n_iter_ <= 4  # the start by least squares is one of them
