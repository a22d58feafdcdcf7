"""Small data, fitted in one compiled call; and what that leaves to the general way."""

import numpy as np
import pytest
from skhuber._direct import Direct, is_direct_work

import naive
import problems
from compare import assert_same_bits, certificate
from skhuber import HuberRegressor, _fit
from skhuber._rows import make_rows

SETTINGS = {
    "rho": 1.35,
    "scale": None,
    "alpha": 1e-4,
    "fit_intercept": True,
    "tol": 1e-12,
    "max_iter": 100,
}
# Few rows: the test runs without compilation, too.
PROBLEM = problems.plain(60, 3)
WEIGHT = np.random.default_rng(1).integers(0, 4, 60).astype(float)


def fit(X, y, weight=None, **changed):
    """Coefficients, intercept and scale in the units of the data, or None."""
    rows = make_rows(X, y, weight, 1)
    settings = SETTINGS | changed
    with np.errstate(over="ignore", invalid="ignore"):
        direct = Direct(rows, fit_intercept=settings.pop("fit_intercept"))
        found = direct.minimise(**settings)
    if found is None:
        return None
    objective, solution = found
    u, intercept, scale = objective.split(solution.x)
    coef, intercept = objective.frame.to_natural(u, intercept)
    return coef, intercept, objective.natural_scale(scale), solution, rows


@pytest.mark.parametrize("weight", [None, WEIGHT], ids=["equal", "weights"])
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
        {"scale": 20.0, "rho": 0.3},
    ],
    ids=str,
)
def test_the_minimum(weight, changed):
    X, y = PROBLEM.X * [1.0, 1e3, 1e-4] + [0.0, 2e4, 0.1], PROBLEM.y
    coef, intercept, scale, solution, rows = fit(X, y, weight, **changed)
    settings = SETTINGS | changed
    joint = settings["scale"] is None
    gap = naive.relative_gap(
        X,
        y,
        coef,
        intercept,
        scale if joint else settings["scale"],
        settings["rho"],
        settings["alpha"],
        weight,
        settings["fit_intercept"],
        joint=joint,
    )
    assert gap <= 1e-12
    assert 1 <= solution.n_iter <= 15
    assert solution.gap <= 1e-12 * solution.value
    # The residuals that it leaves behind are those of the solution.
    r = naive.residuals(X, y, coef, intercept)
    kept = rows.residuals(rows._last[0]) * 2.0 ** -round(np.log2(rows._last[0].y_unit))
    np.testing.assert_allclose(kept, r, rtol=1e-9, atol=1e-9)


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
    assert fit(X, y, **changed) is None


@pytest.mark.compiled
@pytest.mark.parametrize("scale", ["joint", "mad", 1.5])
def test_both_ways_lead_to_the_same_fit(monkeypatch, scale):
    for seed in range(20):
        X, y, _, _ = problems.plain(50 + 10 * seed, 1 + seed % 6, seed)
        one = HuberRegressor(scale=scale).fit(X, y)
        with monkeypatch.context() as patch:
            patch.setattr(_fit, "is_direct_work", lambda rows: False)
            other = HuberRegressor(scale=scale).fit(X, y)
        if scale == "joint":
            assert certificate(one, X, y) <= 1e-12
        np.testing.assert_allclose(one.coef_, other.coef_, rtol=1e-9)
        np.testing.assert_allclose(one.scale_, other.scale_, rtol=1e-9)
        np.testing.assert_allclose(one.robust_weights_, other.robust_weights_, 1e-8)
        assert one.optimality_gap_ <= 1e-12


def test_a_scale_that_is_the_median_of_its_own_residuals():
    X, y = PROBLEM.X, PROBLEM.y
    direct = Direct(make_rows(X, y, None, 1), fit_intercept=True)
    objective, solution = direct.mad_fixed_point(
        rho=1.345, alpha=0.0, tol=1e-12, max_iter=100
    )
    u, intercept, scale = objective.split(solution.x)
    coef, intercept = objective.frame.to_natural(u, intercept)
    r = naive.residuals(X, y, coef, intercept)
    found = objective.natural_scale(scale)
    np.testing.assert_allclose(found, naive.mad_scale(r), rtol=1e-9)
    psi = np.clip(r, -1.345 * found, 1.345 * found)
    np.testing.assert_allclose(X.T @ psi / found, 0.0, atol=1e-5)
    np.testing.assert_allclose(psi.sum() / found, 0.0, atol=1e-5)


@pytest.mark.compiled
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_layouts_and_runs_agree_to_the_last_bit(order, dtype):
    X, y = PROBLEM.X.astype(dtype), PROBLEM.y.astype(dtype)
    first = HuberRegressor().fit(X, y)
    again = HuberRegressor().fit(np.array(X, order=order), y)
    assert_same_bits(again, first)


@pytest.mark.compiled
def test_which_data_are_small():
    def small(n, p):
        return is_direct_work(make_rows(np.zeros((n, p)), np.zeros(n), None, 1))

    assert small(50, 2)
    assert small(1000, 10)
    assert not small(100_000, 10)
    assert not small(50, 40)
