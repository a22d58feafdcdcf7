"""Picking rows, and the samples of what was picked."""

import numpy as np
import pytest

from rows_reference import (
    LAYOUTS,
    N,
    P,
    assert_sums_close,
    data,
    each_main_layout,
    each_type,
    naive_sums,
    point,
    sizes,
)
from skhuber._rows import Picks, leverage_share, make_rows
from skhuber._sums import Want


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


@pytest.mark.parametrize(
    ("layout", "n_pieces"), [("C", 1), ("F", 5), ("CSR", 5), ("strided_rows", 1)]
)
def test_pieces_of_a_sample_are_as_large_as_may_be_copied(layout, n_pieces):
    n = 60_000
    X, y, _ = data(n, 2)
    rows = make_rows(LAYOUTS[layout](X), y, None, 1)
    picks = Picks(np.arange(0, n, 20), np.arange(0, n, 20) / n)
    pieces = list(rows.sample_in_pieces(picks))
    assert len(pieces) == n_pieces
    found = np.concatenate([piece.y for piece in pieces])
    np.testing.assert_array_equal(found, y[picks.index])
    found = np.concatenate([piece.weight for piece in pieces])
    np.testing.assert_array_equal(found, picks.weight)
    [small] = make_rows(X[:400], y[:400], None, 1).sample_in_pieces(
        Picks(np.arange(300), None)
    )
    assert small.n_rows == 300


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
