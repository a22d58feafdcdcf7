"""Small data, fitted in one compiled call; and what that leaves to the general way."""

from dataclasses import replace

import numpy as np
import pytest

import naive
import problems
from compare import assert_same_bits, certificate
from skhuber import HuberRegressor
from skhuber._fit import Settings, fit_rows, residuals_of
from skhuber._fit.small import Small, fit_small
from skhuber._rows import BlockedRows, make_rows

SETTINGS = Settings(1.35, "joint", 1e-4, True, 100, 1e-12)
# Few rows: the test runs without compilation, too.
PROBLEM = problems.plain(60, 3)


def weights():
    return np.random.default_rng(1).integers(0, 4, 60).astype(float)


def fit(X, y, weight=None, **changed):
    """The fit of the compiled way, or None."""
    rows = make_rows(X, y, weight, 1)
    with np.errstate(over="ignore", invalid="ignore"):
        return rows, fit_small(rows, replace(SETTINGS, **changed))


@pytest.mark.parametrize("has_weights", [False, True])
@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"fit_intercept": False},
        {"alpha": 0.0},
        {"alpha": 30.0},
        {"rho": 1.1},
        {"rho": 5.0},
        {"scale": 2.0},
        {"scale": 0.3},
        {"scale": 20.0, "rho": 0.3},
    ],
    ids=str,
)
def test_the_minimum(has_weights, changed):
    X, y = PROBLEM.X * [1.0, 1e3, 1e-4] + [0.0, 2e4, 0.1], PROBLEM.y
    weight = weights() if has_weights else None
    rows, found = fit(X, y, weight, **changed)
    settings = replace(SETTINGS, **changed)
    gap = naive.relative_gap(
        X,
        y,
        found.coef,
        found.intercept,
        found.scale,
        settings.rho,
        settings.alpha,
        weight,
        settings.fit_intercept,
        joint=settings.scale == "joint",
    )
    assert gap <= 1e-12
    assert found.converged
    assert 1 <= found.n_iter <= 15
    assert found.gap <= 1e-12
    # The residuals that it keeps are those of the solution.
    r = naive.residuals(X, y, found.coef, found.intercept)
    np.testing.assert_allclose(residuals_of(rows, found), r, rtol=1e-9, atol=1e-9)
    outside = np.abs(r) > settings.rho * found.scale
    s = np.ones(60) if weight is None else weight
    assert found.tally.n_outliers == np.count_nonzero(outside & (s > 0))
    np.testing.assert_allclose(found.tally.inlier, s @ ~outside)
    c = np.clip(r, -settings.rho * found.scale, settings.rho * found.scale)
    np.testing.assert_allclose(found.tally.norm**2, s @ c**2)


@pytest.mark.parametrize(
    ("X", "y", "changed"),
    [
        pytest.param(
            PROBLEM.X[:, [0, 1, 1]], PROBLEM.y, {"alpha": 0.0}, id="equal columns"
        ),
        pytest.param(PROBLEM.X * [1, 0, 1], PROBLEM.y, {}, id="constant column"),
        pytest.param(PROBLEM.X, PROBLEM.X @ [1, 2, 3], {}, id="exact fit"),
        pytest.param(PROBLEM.X, np.ones(60), {}, id="constant y"),
        pytest.param(PROBLEM.X, PROBLEM.y, {"scale": 1e-6}, id="scale far below"),
        pytest.param(PROBLEM.X, PROBLEM.y, {"max_iter": 1}, id="too few iterations"),
        pytest.param(PROBLEM.X * np.nan, PROBLEM.y, {}, id="NaN"),
        pytest.param(PROBLEM.X * 1e300, PROBLEM.y, {}, id="overflow"),
    ],
)
def test_what_is_not_ordinary_is_declined(X, y, changed):
    assert fit(X, y, **changed)[1] is None


@pytest.mark.compiled
@pytest.mark.parametrize("scale", ["joint", "mad", 1.5])
def test_both_ways_lead_to_the_same_fit(scale):
    settings = replace(SETTINGS, scale=scale, max_iter=1000)
    for seed in range(20):
        X, y, _, _ = problems.plain(50 + 10 * seed, 1 + seed % 6, seed)
        _, one = fit(X, y, scale=scale, max_iter=1000)
        # Blocks of rows are fitted the general way.
        other = fit_rows(BlockedRows([make_rows(X, y, None, 1)]), settings)
        np.testing.assert_allclose(one.coef, other.coef, rtol=1e-9)
        np.testing.assert_allclose(one.scale, other.scale, rtol=1e-9)
        # (At a scale that is a fixed point, and known to 1e-10, F is none of its own.)
        tol = 1e-9 if scale == "mad" else 1e-12
        np.testing.assert_allclose(one.objective, other.objective, rtol=tol)
        assert one.tally.n_outliers == other.tally.n_outliers
        assert one.gap <= 1e-12


def test_a_scale_that_is_the_median_of_its_own_residuals():
    X, y = PROBLEM.X, PROBLEM.y
    _, found = fit(X, y, rho=1.345, alpha=0.0, scale="mad")
    r = naive.residuals(X, y, found.coef, found.intercept)
    np.testing.assert_allclose(found.scale, naive.mad_scale(r), rtol=1e-9)
    psi = np.clip(r, -1.345 * found.scale, 1.345 * found.scale)
    np.testing.assert_allclose(X.T @ psi / found.scale, 0.0, atol=1e-5)
    np.testing.assert_allclose(psi.sum() / found.scale, 0.0, atol=1e-5)


def test_a_start_at_another_minimum():
    small = Small(make_rows(PROBLEM.X, PROBLEM.y, None, 1), fit_intercept=True)
    first = small.fit(SETTINGS)
    near = replace(SETTINGS, rho=1.4)
    warm, cold = small.fit(near, first.theta), small.fit(near)
    np.testing.assert_allclose(warm.coef, cold.coef, rtol=1e-10)
    assert warm.n_iter <= cold.n_iter
    # Each fit owns its residuals.
    kept = first.residuals.copy()
    small.fit(replace(SETTINGS, rho=3.0))
    np.testing.assert_array_equal(first.residuals, kept)


@pytest.mark.compiled
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_layouts_and_runs_agree_to_the_last_bit(order, dtype):
    X, y = PROBLEM.X.astype(dtype), PROBLEM.y.astype(dtype)
    first = HuberRegressor().fit(X, y)
    again = HuberRegressor().fit(np.array(X, order=order), y)
    assert_same_bits(again, first)
    if dtype == np.float64:
        assert certificate(first, X, y) <= 1e-12
