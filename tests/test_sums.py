"""Sums add up, and a sweep at several points agrees with one at each of them."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rows_reference import (
    LAYOUTS,
    N,
    P,
    assert_sums_close,
    data,
    each_main_layout,
    each_type,
    each_weight,
    naive_sums,
    point,
    sizes,
)
from skhuber._rows import make_rows
from skhuber._sums import Sums, Want

ALL = Want(squares=True, gram=np.float64)


@each_main_layout
@each_type
@each_weight
@given(cuts=st.lists(st.integers(0, N), min_size=1, max_size=4))
def test_sums_of_parts_add_up_to_those_of_all_rows(layout, dtype, has_weights, cuts):
    X, y, weight = data()
    X, weight = X.astype(dtype), weight if has_weights else None
    at, whole = point(), make_rows(LAYOUTS[layout](X), y, weight, 1)
    ends = [0, *sorted(cuts), N]
    parts = []
    for start, stop in pairwise(ends):
        part = slice(start, stop)
        if start < stop:
            rows = make_rows(
                LAYOUTS[layout](X[part]),
                y[part],
                None if weight is None else weight[part],
                1,
                weight_power=whole.weight_power,
            )
            parts.append(rows.sweep([at], ALL)[0])
    total = parts[0]
    for sums in parts[1:]:
        total = total + sums
    s = np.ones(N) if weight is None else weight * whole.weight_unit
    [expected] = whole.sweep([at], ALL)
    assert_sums_close(total, expected, sizes(X, y, s, at))


def test_what_only_some_sums_have_does_not_add():
    X, y, _ = data()
    rows, at = make_rows(X, y, None, 1), point()
    [bare] = rows.sweep([at])
    for want in (Want(squares=True), Want(gram=np.float64)):
        [full] = rows.sweep([at], want)
        with pytest.raises(ValueError, match="do not add"):
            bare + full
        with pytest.raises(ValueError, match="do not add"):
            full + bare
    assert (bare + bare).squares is None
    assert (bare + bare).gram is None


def finite_sums(**changed):
    values = {
        "weight": 1.0,
        "gradient": np.ones(2),
        "c": 1.0,
        "cr": 1.0,
        "cc": 1.0,
        "inlier": 1.0,
        "n_inliers": 1,
        "n_outliers": 0,
        "squares": np.ones((2, 2)),
    }
    return Sums(**(values | changed))


def test_is_finite():
    assert finite_sums().is_finite
    assert finite_sums(squares=None).is_finite
    assert finite_sums(gram=np.full((2, 4, 4), np.inf)).is_finite
    for bad in (
        {"gradient": np.array([0.0, np.nan])},
        {"cr": np.inf},
        {"cc": np.nan},
        {"squares": np.array([[1.0, np.inf], [1.0, 1.0]])},
    ):
        assert not finite_sums(**bad).is_finite


@each_main_layout
@each_type
@each_weight
@pytest.mark.parametrize("is_taken", [False, True], ids=["all", "taken"])
def test_a_sweep_at_several_points(layout, dtype, has_weights, is_taken):
    X, y, weight = data()
    X = X.astype(dtype)
    points = [
        point(),
        point(intercept=0.4, threshold=0.3),
        point(u=np.zeros(P), threshold=np.inf),
        point(u=np.linspace(1, -1, P), threshold=1e-3, scale=2.0),
    ]
    rows = make_rows(LAYOUTS[layout](X), y, weight if has_weights else None, 1)
    s = weight * rows.weight_unit if has_weights else np.ones(N)
    if is_taken:
        index = np.arange(2, N, 3)
        rows = rows.take(index)
        X, y, s = X[index], y[index], s[index]
        s = s * (rows.total_weight / s.sum())
    found = rows.sweep(points)
    assert rows.n_sweeps == 1
    for at, sums in zip(points, found, strict=True):
        expected = replace(naive_sums(X, y, s, at), squares=None, gram=None)
        assert_sums_close(sums, expected, sizes(X, y, s, at))


def test_several_points_at_many_rows():
    # More than one part of the rows, and more than one step in each.
    X, y, weight = data(70_000, 7)
    points = [point(7), point(7, intercept=0.4)]
    rows = make_rows(X, y, weight, 2)
    for at, sums in zip(points, rows.sweep(points), strict=True):
        s = weight * rows.weight_unit
        expected = replace(naive_sums(X, y, s, at), squares=None, gram=None)
        assert_sums_close(sums, expected, sizes(X, y, s, at), rtol=1e-12)


@pytest.mark.parametrize(
    ("want", "residuals"),
    [
        (Want(squares=True), None),
        (Want(gram=np.float32), None),
        (Want(), np.empty(N)),
    ],
    ids=["squares", "gram", "residuals"],
)
def test_several_points_give_loss_and_gradient_only(want, residuals):
    X, y, _ = data()
    rows = make_rows(X, y, None, 1)
    with pytest.raises(ValueError, match="at one point only, not at 2"):
        rows.sweep([point(), point()], want, residuals)
    assert rows.n_sweeps == 0


@pytest.mark.parametrize(
    "changed",
    [
        {"centre": np.zeros(P)},
        {"unit": np.ones(P)},
        {"y_centre": 0.0},
        {"y_unit": 1.0},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_several_points_have_one_standardisation(changed):
    X, y, _ = data()
    rows = make_rows(X, y, None, 1)
    with pytest.raises(ValueError, match="must have one standardisation"):
        rows.sweep([point(), point(**changed)])
