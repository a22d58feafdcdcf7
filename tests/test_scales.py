"""Scales and quantiles of given residuals."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import brentq

from skhuber._common.scale import joint_scale, upper_quantile, weighted_median
from skhuber._solver.anderson import Anderson
from skhuber._solver.root import RootSearch

sizes = st.lists(st.floats(0, 100, width=16), min_size=1, max_size=12)


@given(sizes, st.floats(1.01, 20), st.booleans())
def test_joint_scale(distance, rho, weighted):
    distance = np.array(distance)
    weight = 1.0 + np.arange(len(distance)) % 3 if weighted else None
    s = np.ones(len(distance)) if weight is None else weight
    found = joint_scale(distance, rho, weight)

    def excess(scale):
        return s @ np.minimum(distance / scale, rho) ** 2 - s.sum()

    # As the scale falls to zero, every residual that is not zero counts ρ².
    if s[distance > 0].sum() * rho**2 <= s.sum():
        assert found == 0.0
    else:
        low = distance[distance > 0].min() / rho / 2
        assert found == pytest.approx(brentq(excess, low, 1e4, xtol=1e-15), rel=1e-9)


def test_joint_scale_of_squares():
    distance = np.array([3.0, 4.0])
    assert joint_scale(distance, np.inf, None) == pytest.approx(np.sqrt(12.5))
    assert joint_scale(distance, 0.9, None) == 0.0


@given(sizes, st.floats(0, 0.5))
def test_upper_quantile(values, share):
    values = np.array(values)
    found = upper_quantile(values, share, None)
    n = len(values)
    assert (values > found).sum() <= share * n + 1e-9
    assert (values >= found).sum() >= np.floor(share * n + 1e-9)
    repeated = np.repeat(values, 2)
    assert upper_quantile(values, share, np.full(n, 2.0)) == pytest.approx(
        upper_quantile(values, share, None)
    )
    assert upper_quantile(repeated, 0.0, None) == values.max()


# Of more than 20,000 values a sample tells first where the median is.
MANY = 25_000


@pytest.mark.parametrize("n", [MANY, MANY + 1])
@pytest.mark.parametrize("kind", ["normal", "heavy tails", "three values", "sorted"])
def test_the_median_of_many_values(n, kind):
    rng = np.random.default_rng(0)
    values = {
        "normal": rng.normal(size=n),
        "heavy tails": rng.standard_cauchy(n),
        "three values": rng.integers(0, 3, n) * 1.0,
        "sorted": np.sort(rng.normal(size=n)),
    }[kind]
    assert weighted_median(values, None) == np.median(values)
    # A row of weight two counts twice, one of weight zero not at all.
    weight = rng.integers(0, 3, n)
    expected = np.median(np.repeat(values, weight))
    assert weighted_median(values, weight * 1.0) == expected
    # (Cumulated weights that are not whole numbers have rounding errors.)
    assert weighted_median(values, weight / 3.0) == expected


@pytest.mark.parametrize("weighted", [False, True])
def test_the_median_if_the_sample_errs(weighted):
    # Every second value, so all that are sampled, is far above the others.
    values = np.where(np.arange(MANY) % 2, np.linspace(0, 1, MANY), 9.0)
    values[::10] = 0.5
    values[1::2][: MANY // 50] = 7.0
    weight = np.ones(MANY) if weighted else None
    assert weighted_median(values, weight) == np.median(values)


# --- fixed points -----------------------------------------------------------------


def searched(update, place, tol=1e-12, most=60):
    """The fixed point of an iteration, and the number of updates that it took."""
    search = RootSearch()
    for k in range(most):
        change = update(place) - place
        if abs(change) <= tol:
            return place, k
        place = search.next(place, change)
    raise AssertionError("no fixed point was found")


@pytest.mark.parametrize("slope", [-3.0, -0.9, 0.0, 0.3, 0.6])
@pytest.mark.parametrize("start", [-4.0, 2.5, 10.0])
def test_a_fixed_point_of_a_line(slope, start):
    # (Iteration itself takes 50 updates with a slope of 0.6, and has no limit with one
    # of −3.)
    found, updates = searched(lambda x: 2.0 + slope * (x - 2.0), start)
    assert found == pytest.approx(2.0, abs=1e-9)
    assert updates <= 12


@given(st.floats(-2, 0.6), st.floats(-3, 3))
def test_a_fixed_point_of_a_curve(slope, start):
    found, updates = searched(lambda x: slope * np.tanh(x) + 0.1 * np.sin(x), start)
    assert found == pytest.approx(
        slope * np.tanh(found) + 0.1 * np.sin(found), abs=1e-9
    )
    assert updates <= 60


def test_steps_from_afar_do_not_lead_far_beyond_the_fixed_point():
    # Far below, a fit beside gross outliers has no digits left.
    places = []

    def update(place):
        places.append(place)
        return place - 1.3 * np.tanh(place)

    found, updates = searched(update, 30.0)
    assert found == pytest.approx(0.0, abs=1e-9)
    assert updates <= 20
    assert min(places) >= -3 * 1.3


def test_of_several_fixed_points_the_next_one_is_found():
    # −1, 0 (from which iteration flees) and 1.
    for start, expected in ((0.5, 1.0), (-0.3, -1.0), (3.0, 1.0)):
        found, _ = searched(
            lambda x: (
                1.5 * x - 0.5 * x**3 if abs(x) < 1.2 else x / 2 + 0.5 * np.sign(x)
            ),
            start,
        )
        assert found == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("q", [1, 3, 6])
def test_a_linear_iteration_ends_after_as_many_steps_as_it_has_variables(q):
    rng = np.random.default_rng(q)
    A = 0.9 * np.linalg.qr(rng.normal(size=(q, q)))[0]
    best = rng.normal(size=q)
    iteration, x = Anderson(q), np.zeros(q)
    for _ in range(q + 1):
        image = best + A @ (x - best)
        x = iteration.next(image, image - x)
    np.testing.assert_allclose(x, best, atol=1e-10)


def test_an_iteration_that_flees_its_fixed_point_is_turned_back():
    iteration, x = Anderson(2), np.array([0.1, -0.2])
    for _ in range(20):
        image = np.array([-3.0 * x[0], 2.0 * x[1]]) + 0.1 * x**2
        x = iteration.next(image, image - x)
    np.testing.assert_allclose(x, 0.0, atol=1e-12)


def test_old_steps_are_forgotten():
    # First another iteration, of which the second one must know nothing.
    iteration, x = Anderson(1), np.array([5.0])
    for _ in range(3):
        x = iteration.next(x + 1.0, np.array([1.0]))
    for _ in range(4):
        image = 0.5 * x
        x = iteration.next(image, image - x)
    np.testing.assert_allclose(x, 0.0, atol=1e-12)
