"""Picking rows, and the samples of what was picked."""

from dataclasses import replace

import numpy as np
import pytest

from rows_reference import (
    LAYOUTS,
    N,
    P,
    assert_sums_close,
    assert_sums_equal,
    data,
    each_layout,
    each_main_layout,
    each_type,
    each_weight,
    naive,
    naive_sums,
    point,
    sizes,
)
from skhuber._rows import leverage_share, make_rows
from skhuber._sums import Picks, Want


def test_a_sample_is_in_proportion_to_the_weights():
    X, y, _ = data()
    weight = np.zeros(N)
    weight[[3, 50, 150]] = [1.0, 2.0, 5.0]
    rows = make_rows(X, y, weight, 1)
    sample = rows.sample(rows.pick(800))
    np.testing.assert_array_equal(sample.y, y[[3, 50, 150]])
    np.testing.assert_allclose(sample.weight, [100, 200, 500], atol=1)
    again = make_rows(X, y, weight, 1).pick(800)
    np.testing.assert_array_equal(sample.weight, again.weight)


def test_picks_are_the_same_without_rows_of_no_weight():
    X, y, _ = data()
    weight = (np.arange(N) % 3 > 0) * 1.0
    there = np.flatnonzero(weight)
    n = int(0.7 * len(there))  # so that some are picked twice
    picks = make_rows(X, y, weight, 1).pick(n)
    expected = make_rows(X[there], y[there], None, 1).pick(n)
    np.testing.assert_array_equal(picks.index, there[expected.index])
    np.testing.assert_array_equal(picks.weight, expected.weight)
    assert picks.weight.max() == 2
    assert picks.weight.sum() == n


def test_a_sample_follows_no_period():
    # Every 50th row is special: a stride would take all of them or none.
    special = (np.arange(100_000) % 50 == 0).astype(float)
    picks = make_rows(special[:, None], special, None, 1).pick(2_000)
    assert len(picks.index) == 2_000
    assert 20 <= special[picks.index].sum() <= 60


@each_main_layout
@each_type
def test_a_sample_has_the_sums_of_its_rows(layout, dtype):
    X, y, _ = data()
    X, at = X.astype(dtype), point()
    picks = Picks(np.array([7, 3, 200, 4]), np.array([0.25, 1.0, 0.0, 0.75]))
    rows = make_rows(LAYOUTS[layout](X), y, None, 1)
    sample = rows.sample(picks)
    [sums] = sample.sweep([at], Want(squares=True, gram=np.float64))
    s = picks.weight * sample.weight_unit
    X, y = X[picks.index], y[picks.index]
    assert_sums_close(sums, naive_sums(X, y, s, at), sizes(X, y, s, at))
    assert rows.n_sweeps == 0


@each_main_layout
def test_a_sample_of_a_sample(layout):
    X, y, weight = data()
    rows = make_rows(LAYOUTS[layout](X), y, weight, 1)
    twice = rows.take(np.arange(0, N, 2)).take(np.array([5, 1]))
    np.testing.assert_array_equal(twice.y, y[[10, 2]])
    np.testing.assert_array_equal(twice.weight, weight[[10, 2]])
    np.testing.assert_array_equal(
        twice.standardised(np.zeros(P), np.ones(P)), X[[10, 2]]
    )


@each_layout
@each_type
@each_weight
@pytest.mark.parametrize("kind", [np.float64, np.float32])
def test_the_gram_matrix_of_picked_rows(layout, dtype, has_weights, kind):
    """It comes with the sums of all rows."""
    X, y, weight = data()
    X, at = LAYOUTS[layout](X.astype(dtype)), point()
    rows = make_rows(X, y, weight if has_weights else None, 1)
    [whole] = rows.sweep([at], Want(squares=True))
    index = np.r_[2:40:3, 130:N]
    for s in (None, np.random.default_rng(0).uniform(0, 3, len(index))):
        residuals = np.empty(N)
        want = Want(squares=True, gram=kind, picks=Picks(index, s))
        [sums] = rows.sweep([at], want, residuals)
        assert_sums_equal(replace(sums, gram=None), whole)
        of_picks = X[index], y[index], np.ones(len(index)) if s is None else s, at
        expected = replace(sums, gram=naive_sums(*of_picks).gram)
        # (The bound of the rounding error of a sum of so many products.)
        is_rough = kind == np.float32 and layout != "CSR"
        tol = len(index) * 2.0**-24 if is_rough else 1e-13
        assert_sums_close(sums, expected, sizes(*of_picks), gram_rtol=tol)
        np.testing.assert_allclose(residuals, naive(X, y, at)[1], atol=1e-12)


@each_main_layout
def test_the_gram_matrix_of_picked_rows_of_a_sample(layout):
    X, y, weight = data()
    at, index = point(), np.array([1, 5, 60])
    part = make_rows(LAYOUTS[layout](X), y, weight, 1).take(np.arange(0, N, 2))
    picks = Picks(index, np.array([1.0, 2.0, 0.5]))
    [sums] = part.sweep([at], Want(gram=np.float64, picks=picks))
    of_picks = X[2 * index], y[2 * index], picks.weight, at
    expected = replace(sums, gram=naive_sums(*of_picks).gram)
    assert_sums_close(sums, expected, sizes(*of_picks))


@each_main_layout
def test_gram_matrices_of_picked_rows_of_several_targets(layout):
    X, y, weight = data()
    at, picks = point(), Picks(np.arange(1, N, 7), None)
    rows = make_rows(LAYOUTS[layout](X), y, weight, 1)
    want = Want(squares=True, gram=np.float64, picks=picks)
    targets = [y, -y]
    for sums, one in zip(
        rows.sweep_targets(targets, [at, at], want), targets, strict=True
    ):
        [expected] = rows.with_target(one).sweep([at], want)
        size = sizes(X, one, weight * rows.weight_unit, at)
        assert_sums_close(sums, expected, size)


def test_picks_scaled_to_a_total():
    picks = Picks(np.array([7, 3, 9]), np.array([0.5, 1.0, 2.5])).scaled_to(8.0)
    np.testing.assert_array_equal(picks.index, [3, 7, 9])
    np.testing.assert_array_equal(picks.weight, [2.0, 1.0, 5.0])
    picks = Picks(np.array([1, 4]), None).scaled_to(3.0)
    np.testing.assert_array_equal(picks.weight, [1.5, 1.5])


def test_rows_picked_by_a_share():
    X, y, weight = data()
    rows = make_rows(X, y, weight, 1)
    share = np.ones(N)
    share[20] = 1e6  # would be picked many times: it is taken once, as it is
    weight[20] = rows.weight[20]
    assert weight[20] > 0
    picks = rows.pick_by(share, 50)
    assert np.count_nonzero(picks.index == 20) == 1
    expected = weight[20] * rows.weight_unit
    assert picks.weight[picks.index == 20] == expected
    assert (rows.weight[picks.index] > 0).all()
    # The others have a weight that makes sums over the picks estimates of all rows'.
    np.testing.assert_allclose(picks.weight.sum(), rows.total_weight, rtol=1e-12)
    assert len(picks.index) <= 50


def test_a_share_by_leverage_favours_rows_on_which_a_column_rests():
    X, y, _ = data(2_000)
    X[:, 0] = 0.0
    X[13, 0] = 5.0
    rows, at = make_rows(X, y, None, 1), point(centre=np.zeros(P))
    [sums] = rows.sweep([at], Want(squares=True))
    influence = rows.influences(at, sums.all_squares / rows.total_weight)
    np.testing.assert_allclose(influence.mean(), P)
    share = leverage_share(influence.copy(), P)
    np.testing.assert_allclose(share, 0.5 + 0.5 * influence / P, rtol=1e-6)
    np.testing.assert_array_equal(share, share.astype(np.float32))
    assert share.argmax() == 13
    assert 13 in rows.pick_by(share, 100).index
