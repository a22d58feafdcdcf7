"""Samples that stand for all rows, and what happens to those that do not."""

import numpy as np
import pytest
import scipy.sparse as sp
from skhuber._sketch import Sketch
from skhuber._sweep import Point

from skhuber._rows import make_rows

N, P = 20_000, 6
RNG = np.random.default_rng(0)
PLAIN = RNG.normal(size=(N, P))
RARE = PLAIN.copy()
RARE[:, 0] = 0.0
RARE[:7, 0] = 1.0  # a dummy of which a uniform sample has about one row
LONG = np.where(np.arange(N)[:, None] % 400 == 0, 1000 * PLAIN, PLAIN)
LAYOUTS = {"C": np.ascontiguousarray, "F": np.asfortranarray, "CSR": sp.csr_array}
CENTRE = np.where(np.arange(P) == 0, 0.0, 0.25)
POINT = Point(CENTRE, np.ones(P), 0.0, 1.0, np.zeros(P), 0.0, 1.0)


def sketch(X, layout="C", weight=None):
    rows = make_rows(LAYOUTS[layout](X), RNG.normal(size=N), weight, 1)
    return rows, Sketch(rows)


def values(part):
    """The rows of a sample, dense."""
    if sp.issparse(part.X):
        return part.X.toarray()
    return part.X if part.picked is None else part.X[part.picked]


def improved(rows, one):
    return one.improve(POINT, rows.sums(POINT, squares=True).all_squares)


def test_few_rows_stand_for_themselves():
    rows = make_rows(PLAIN[:2000], np.zeros(2000), None, 1)
    one = Sketch(rows)
    assert one.part is rows
    assert not one.is_sample
    assert not improved(rows, one)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_sample_that_will_do_stays(layout):
    rows, one = sketch(PLAIN, layout)
    part = one.part
    assert one.is_sample
    assert part.n_rows < N / 5
    assert not improved(rows, one)
    assert one.part is part


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("X", [RARE, LONG], ids=["rare", "long"])
@pytest.mark.parametrize("weighted", [False, True])
def test_rows_that_matter_are_taken(layout, X, weighted):
    weight = RNG.integers(1, 5, N).astype(float) if weighted else None
    rows, one = sketch(X, layout, weight)
    assert improved(rows, one)
    n_sweeps = rows.n_sweeps
    assert not improved(rows, one)  # once is enough
    assert rows.n_sweeps == n_sweeps + 1  # (the sums that this test asks for)
    part = one.part
    taken = values(part)
    s = np.ones(N) if weight is None else weight * rows.weight_unit
    matter = X[:, 0] != 0 if X is RARE else np.arange(N) % 400 == 0
    in_part = taken[:, 0] != 0 if X is RARE else np.abs(taken).max(axis=1) > 50
    if X is RARE:  # all seven, each with its own weight
        own = part.weight[in_part] * part.weight_unit
        np.testing.assert_allclose(own / own[0], s[:7] / s[0], rtol=1e-12)
        assert in_part.sum() == 7
    else:
        assert in_part.sum() >= 0.9 * matter.sum()
    # Sums over the sample are estimates of those over all rows.
    for power in (0, 2):
        whole = s @ np.abs(X) ** power
        estimate = part.weight @ np.abs(taken) ** power
        np.testing.assert_allclose(estimate / whole, 1.0, atol=0.15)


def test_rows_without_weight_are_not_taken():
    weight = np.ones(N)
    weight[1:] *= RNG.random(N - 1) < 0.5
    weight[:3] = 0.0
    weight[5] = 1.0  # (or chance may leave none of the seven rows that matter)
    rows, one = sketch(RARE, weight=weight)
    assert improved(rows, one)
    assert (one.part.weight > 0).all()
    assert (values(one.part)[:, 0] != 0).sum() == np.count_nonzero(weight[:7])


@pytest.mark.parametrize("improve", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
def test_samples_are_the_same_rows_in_every_layout(weighted, improve):
    X = np.hstack([RARE] * 20)
    X[:, 1:] += np.arange(X.shape[1] - 1)
    X = np.repeat(X, 5, axis=0)  # of 100,000 × 120: 2,400 rows, and 10,000
    weight = RNG.integers(0, 3, len(X)).astype(float) if weighted else None
    point = Point(X[100], np.ones(X.shape[1]), 0.0, 1.0, np.zeros(X.shape[1]), 0.0, 1.0)
    found = {}
    for layout, make in LAYOUTS.items():
        rows = make_rows(make(X), np.arange(len(X)) * 1.0, weight, 1)
        one = Sketch(rows)
        assert one.has_larger_sample
        if improve:
            assert one.improve(point, rows.sums(point, squares=True).all_squares)
        pieces = list(one.larger_sample_in_pieces())
        whole = one.larger_sample()
        np.testing.assert_array_equal(
            whole.y, np.concatenate([piece.y for piece in pieces])
        )
        assert (len(pieces) > 1) == (layout != "C")  # what is a copy comes in pieces
        found[layout] = [one.part.y], [piece.y for piece in pieces]
        total = sum(piece.n_rows for piece in pieces)
        assert one.part.n_rows < total <= rows.n_present / 10
    for samples in zip(*found.values(), strict=True):
        for other in samples[1:]:
            np.testing.assert_array_equal(
                np.concatenate(other), np.concatenate(samples[0])
            )


def test_no_larger_sample_where_the_smaller_one_is_as_large():
    _, one = sketch(PLAIN)
    assert not one.has_larger_sample
    assert one.larger_sample() is one.part
    assert list(one.larger_sample_in_pieces()) == [one.part]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_influences(layout):
    rows, _ = sketch(RARE, layout)
    mean_square = np.array([0.0, 1.0, 2.0, 3.0, 4.0, 5.0])
    z = RARE - POINT.centre
    expected = (z[:, 1:] ** 2 / mean_square[1:]).sum(axis=1)
    found = rows.influences(POINT, mean_square)
    np.testing.assert_allclose(found, expected, rtol=1e-11)
