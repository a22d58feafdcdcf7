"""Rows behind an engine agree with the same rows in memory."""

from itertools import pairwise

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st

from rows_reference import (
    N,
    assert_sums_close,
    assert_sums_equal,
    data,
    each_type,
    each_weight,
    naive_sums,
    point,
    sizes,
)
from skhuber._common.scale import weighted_median
from skhuber._rows import Distances, make_rows
from skhuber._rows.block import Block, facts, sums_and_near
from skhuber._rows.engine import Engine, add, subtrees, total_of
from skhuber._rows.remote import RemoteRows
from skhuber._rows.remote_distances import RemoteDistances, around
from skhuber._sums import Picks, Want

ALL = Want(squares=True, gram=np.float64)
ENDS = [0, 40, 40, 41, 130, N]  # one block is empty, one is a single row
RHOS = [1.0, 1.35, 3.0, np.inf]
SHARES = [0.0, 0.1, 0.5, 0.9]


class Here(Engine):
    """Blocks in a list, and functions called as the class `Engine` says."""

    def __init__(self, blocks):
        self.blocks = blocks
        self.n_blocks = len(blocks)
        self.n_calls = 0

    def each(self, label, function, *common, kept=None, local=None):
        self.n_calls += 1
        kept = [()] * self.n_blocks if kept is None else [(one,) for one in kept]
        local = [()] * self.n_blocks if local is None else local
        return [
            function(block, *one, *own, 1, *common)
            for block, one, own in zip(self.blocks, kept, local, strict=True)
        ]

    def keep(self, label, function, *common):
        return self.each(label, function, *common)


def remote_rows(X, y, weight, ends):
    engine = Here(
        [
            Block(X[i:j], y[i:j], None if weight is None else weight[i:j])
            for i, j in pairwise(ends)
        ]
    )
    return RemoteRows(engine, engine.each("facts", facts), threads=1), engine


def both(layout="C", dtype=np.float64, has_weights=False):
    """The rows in memory and behind an engine, X, y and s."""
    X, y, weight = data()
    X = X.astype(dtype)
    weight = weight if has_weights else None
    given = sp.csr_array(X) if layout == "CSR" else X
    whole = make_rows(given, y, weight, 1)
    s = np.ones(N) if weight is None else weight * whole.weight_unit
    return whole, remote_rows(given, y, weight, ENDS)[0], (X, y, s)


each_layout = pytest.mark.parametrize("layout", ["C", "CSR"])


@each_layout
@each_type
@each_weight
def test_sums_and_attributes(layout, dtype, has_weights):
    whole, remote, arrays = both(layout, dtype, has_weights)
    for name in ("n_rows", "n_features", "n_elements", "n_present", "weight_power"):
        assert getattr(remote, name) == getattr(whole, name), name
    np.testing.assert_allclose(remote.total_weight, whole.total_weight, rtol=1e-15)
    at, size = point(), sizes(*arrays, point())
    rtol = 1e-13 if dtype == np.float64 else 1e-5
    [found] = remote.sweep([at], ALL)
    assert_sums_close(found, naive_sums(*arrays, at), size, rtol=rtol, gram_rtol=rtol)
    points = [point(intercept=b) for b in (-1.0, 0.1, 2.0)]
    for found, at in zip(remote.sweep(points), points, strict=True):
        expected = naive_sums(*arrays, at)
        for name in ("c", "cr", "cc", "inlier"):
            value = getattr(expected, name)
            np.testing.assert_allclose(getattr(found, name), value, rtol=rtol)
    assert remote.n_sweeps == 2


@each_layout
@each_weight
def test_samples(layout, has_weights):
    whole, remote, _ = both(layout, has_weights=has_weights)
    centre, mean = point().centre, np.ones(whole.n_features)
    shares = (
        whole.leverage_shares(point(), mean),
        remote.leverage_shares(point(), mean),
    )
    for n_rows in (20, 80, 3 * N):
        uniform = whole.pick(n_rows), remote.pick(n_rows)
        by_share = whole.pick_by(shares[0], n_rows), remote.pick_by(shares[1], n_rows)
        for expected, found in (uniform, by_share):
            order = np.argsort(expected.index), np.argsort(found.index)
            np.testing.assert_array_equal(
                found.index[order[1]], expected.index[order[0]]
            )
            assert (found.weight is None) == (expected.weight is None)
            if found.weight is not None:
                np.testing.assert_allclose(
                    found.weight[order[1]], expected.weight[order[0]], rtol=1e-12
                )
        sample = whole.sample(uniform[0]), remote.sample(uniform[1])
        expected, found = (rows.sweep([point()])[0] for rows in sample)
        assert_sums_equal(found, expected)
    np.testing.assert_array_equal(
        remote.max_abs_deviation(centre), whole.max_abs_deviation(centre)
    )


@each_layout
@each_weight
@pytest.mark.parametrize("weight", [None, "weights"])
def test_the_gram_matrix_of_picked_rows_that_stay_where_they_are(
    layout, has_weights, weight
):
    whole, remote, (X, y, s) = both(layout, has_weights=has_weights)
    index = np.r_[:30, 40, 130:N]  # none of the fourth block
    rng = np.random.default_rng(0)
    picks = Picks(index, rng.uniform(0, 3, len(index)) if weight else None)
    at, want = point(), Want(squares=True, gram=np.float64, picks=picks)
    [found], [expected] = remote.sweep([at], want), whole.sweep([at], want)
    of_picks = np.ones(len(index)) if picks.weight is None else picks.weight
    size = sizes(X, y, s, at) | {
        "gram": sizes(X[index], y[index], of_picks, at)["gram"]
    }
    assert_sums_close(found, expected, size)
    assert remote.n_sweeps == 1


# --- quantiles ------------------------------------------------------------------------


def distances(values, weight, ends, expected=0.0):
    """|r| in memory and in blocks, with the weights of their rows."""
    values = np.asarray(values, dtype=np.float64)
    weight = None if weight is None else np.asarray(weight, dtype=np.float64)
    remote, engine = remote_rows(np.ones((len(values), 1)), values, weight, ends)
    kept = [(None, values[i:j]) for i, j in pairwise(ends)]
    near = None
    if expected:
        low, high, most = around(expected, len(values))
        options = remote.weight_power, low, high, most
        _, near = engine.total("near", sums_and_near, *options, kept=kept)
    found = RemoteDistances(remote, engine, kept, expected, near)
    return Distances(values, weight), found


def assert_equal(memory, remote):
    """All that is asked of |r|: quantiles to the last bit, sums to rounding."""
    weight = np.ones(len(memory.values)) if memory.weight is None else memory.weight
    # (NumPy's median halves a sum, the weighted one a difference.)
    assert remote.median() == weighted_median(memory.values, weight)
    np.testing.assert_allclose(remote.median(), memory.median(), rtol=1e-15)
    for share in SHARES:
        assert remote.upper_quantile(share) == memory.upper_quantile(share)
    for rho in RHOS:
        assert remote.joint_scale(rho) == memory.joint_scale(rho)
    for threshold in (0.1, 3.0):
        np.testing.assert_allclose(
            remote.mean_clipped_square(threshold),
            memory.mean_clipped_square(threshold),
            rtol=1e-13,
        )


sizes_of_r = st.floats(0, 1e300) | st.sampled_from([0.0, 1.0, 2.0, 1e-320])


@given(
    st.lists(st.tuples(sizes_of_r, st.integers(0, 3)), min_size=1, max_size=30),
    st.booleans(),
    st.integers(0, 30),
    sizes_of_r,
)
def test_quantiles_of_few_values(rows, has_weights, cut, expected):
    values, weight = np.array(rows).T
    if has_weights and not weight.any():
        weight[0] = 1
    ends = [0, min(cut, len(values)), len(values)]
    weight = weight if has_weights else None
    assert_equal(*distances(values, weight, ends, expected))


@pytest.mark.parametrize(
    "kind", ["spread", "close", "ties", "one value", "two values", "half at zero"]
)
@pytest.mark.parametrize("has_weights", [False, True])
@pytest.mark.parametrize("n", [9000, 9001])
@pytest.mark.parametrize("off", [0.0, 1.0, 1.03, 1e6])
def test_quantiles_of_many_values(kind, has_weights, n, off):
    """Of more values than the last step of the search takes."""
    rng = np.random.default_rng(0)
    values = {
        "spread": lambda: np.exp(40 * rng.normal(size=n)),
        "close": lambda: 1 + 1e-12 * rng.random(n),
        "ties": lambda: np.round(rng.exponential(size=n), 2),
        "one value": lambda: np.full(n, 0.3),
        "two values": lambda: np.where(np.arange(n) < n // 2, 2.0, 1.0),
        "half at zero": lambda: rng.permutation(np.r_[np.zeros(n // 2), 1.0 : n / 2]),
    }[kind]()
    weight = rng.integers(0, 4, len(values)) / 4 if has_weights else None
    ends = [0, 10, 10, 5000, len(values)]
    expected = off * weighted_median(values, weight)
    assert_equal(*distances(values, weight, ends, expected))


@pytest.mark.parametrize("has_weights", [False, True])
@pytest.mark.parametrize(
    ("off", "n_calls"), [(1.0, 0), (1.001, 0), (1.05, 2), (0.5, 4), (1e-3, 4)]
)
def test_a_median_near_the_one_expected_takes_few_calls(has_weights, off, n_calls):
    rng = np.random.default_rng(0)
    values = np.abs(rng.normal(size=100_000))
    weight = rng.integers(0, 4, len(values)) / 4 if has_weights else None
    expected = off * weighted_median(values, weight)
    _, remote = distances(values, weight, [0, 10, 60_000, len(values)], expected)
    before = remote._engine.n_calls
    remote.median()
    assert remote._engine.n_calls - before <= n_calls


@each_layout
@each_weight
def test_distances_after_a_sweep(layout, has_weights):
    whole, remote, _ = both(layout, has_weights=has_weights)
    at = point()
    found = []
    for rows in (whole, remote):
        residuals = rows.new_residuals(double=True)
        rows.sweep([at], Want(), residuals)
        found.append(rows.distances(residuals).median())
        assert rows.n_sweeps == 1
    np.testing.assert_allclose(found[1], found[0], rtol=1e-14)
    # Those that no sweep kept take another one.
    residuals = remote.new_residuals(double=False)
    remote.sweep([at], Want(), residuals)
    np.testing.assert_equal(remote.distances(residuals).median(), found[1])
    assert remote.n_sweeps == 3


# --- sums over blocks -----------------------------------------------------------------


@given(st.lists(st.integers(0, 3), min_size=1, max_size=40))
def test_a_sum_has_the_same_bits_however_blocks_are_grouped(groups):
    parts = np.random.default_rng(0).normal(size=len(groups))
    nodes = {}
    for group in set(groups):
        nodes |= subtrees({k: parts[k] for k, g in enumerate(groups) if g == group})
    assert total_of(nodes, len(parts)) == add(parts)
    np.testing.assert_allclose(add(parts), parts.sum(), atol=1e-13)
