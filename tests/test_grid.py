"""Many settings on the same rows: the same fits as one by one, with fewer sweeps."""

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import brentq
from skhuber._grid import fit_grid

import problems
from skhuber import _grid
from skhuber._common.scale import joint_scale, upper_quantile
from skhuber._fit import Settings, fit_rows
from skhuber._rows import make_rows
from skhuber._solver import Status, Whitening, lbfgs_together
from test_rows import DATA, LAYOUTS, TARGET, WEIGHT, P, point

BASE = Settings(
    rho=1.35, scale="joint", alpha=1e-4, fit_intercept=True, max_iter=1000, tol=1e-12
)
RHOS = (1.1, 1.35, 2.0, 5.0, np.inf)


def grid_of(rhos=RHOS, alphas=(1e-4,), **changed):
    base = replace(BASE, **changed)
    return [replace(base, rho=rho, alpha=alpha) for rho in rhos for alpha in alphas]


# --- sweeps -----------------------------------------------------------------------


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("weight", [None, WEIGHT], ids=["equal", "weights"])
def test_a_sweep_at_several_points_is_a_sweep_at_each(layout, dtype, weight):
    X = LAYOUTS[layout](DATA.astype(dtype))
    points = [
        point(),
        point(threshold=np.inf, intercept=-2.0),
        point(threshold=0.1, u=np.linspace(1, -1, P)),
    ]
    rows = make_rows(X, TARGET, weight, 1)
    found = rows.sums_together(points)
    assert rows.n_sweeps == 1
    for at, sums in zip(points, found, strict=True):
        one = make_rows(X, TARGET, weight, 1)
        expected = one.sums(at)
        # In float32 a sweep at one point multiplies as float32.
        tol = 1e-12 if dtype == np.float64 else 1e-5
        size = np.abs(expected.gradient).max() + 1
        np.testing.assert_allclose(
            sums.gradient / size, expected.gradient / size, rtol=0, atol=tol
        )
        for name in ("c", "cr", "cc", "inlier"):
            np.testing.assert_allclose(
                getattr(sums, name), getattr(expected, name), rtol=tol, atol=tol
            )
        assert sums.n_outliers == one.tally(at).n_outliers


def test_a_sweep_at_several_points_has_the_same_bits_in_threads(monkeypatch):
    monkeypatch.setattr("skhuber._runtime._PARALLEL_ELEMENTS", 1)
    monkeypatch.setattr("skhuber._rows._TOGETHER_ROWS", (8, 8))
    points = [point(), point(threshold=0.1)]
    one, two = (
        make_rows(DATA, TARGET, WEIGHT, threads).sums_together(points)
        for threads in (1, 3)
    )
    for a, b in zip(one, two, strict=True):
        np.testing.assert_array_equal(a.gradient, b.gradient)
        assert (a.c, a.cr, a.cc, a.inlier) == (b.c, b.cr, b.cc, b.inlier)


def test_tally():
    at = point()
    rows = make_rows(DATA, TARGET, WEIGHT, 1)
    r = rows.residuals(at)
    tally = rows.tally(at)
    s = WEIGHT * rows.weight_unit
    outside = np.abs(r) > at.threshold
    assert tally.n_outliers == outside.sum()
    np.testing.assert_allclose(tally.inlier, s[~outside].sum(), rtol=1e-13)
    clipped = np.clip(r, -at.threshold, at.threshold)
    np.testing.assert_allclose(tally.norm**2, s @ clipped**2, rtol=1e-13)


def test_some_rows_keep_their_weights():
    index = np.array([3, 7, 7, 100])
    part = make_rows(DATA, TARGET, WEIGHT, 1).take(index)
    other = make_rows(DATA[index], TARGET[index], WEIGHT[index], 1)
    a, b = part.sums(point()), other.sums(point())
    np.testing.assert_allclose(a.gradient, b.gradient, rtol=1e-13)
    assert part.weight_power == other.weight_power


# --- scales -----------------------------------------------------------------------

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


# --- minimisers -------------------------------------------------------------------


def quadratics(rng, n, q):
    """Functions ½ (x − m)ᵀH(x − m), and whitenings that know H roughly."""
    functions, whitenings, minima = [], [], []
    for _ in range(n):
        A = rng.normal(size=(3 * q, q)) * np.logspace(-2, 2, q)
        H, m = A.T @ A, rng.normal(size=q)
        rough = A[: 2 * q].T @ A[: 2 * q] * 1.5

        def function(x, H=H, m=m):
            return 0.5 * (x - m) @ H @ (x - m), H @ (x - m)

        functions.append(function)
        whitenings.append(Whitening(rough))
        minima.append(m)
    return functions, whitenings, minima


def together(functions, whitenings, starts, **changed):
    calls = []

    def function(numbers, places):
        calls.append(list(numbers))
        return [functions[k](x) for k, x in zip(numbers, places, strict=True)]

    n = len(functions)
    options = {
        "lower_last": [-np.inf] * n,
        "tolerances": [lambda x, value: 1e-20] * n,
        "max_iter": 60,
    } | changed
    return lbfgs_together(function, whitenings, starts, **options), calls


def test_several_minima_are_found_together():
    rng = np.random.default_rng(0)
    functions, whitenings, minima = quadratics(rng, 4, 6)
    starts = [np.zeros(6), minima[1], np.ones(6), minima[3] + 1e-3]
    solutions, calls = together(functions, whitenings, starts)
    for solution, m in zip(solutions, minima, strict=True):
        assert solution.status is Status.CONVERGED
        np.testing.assert_allclose(solution.x, m, atol=1e-7)
    # Who is done is asked no more: the second function was at its minimum.
    assert calls[0] == [0, 1, 2, 3]
    assert all(1 not in call for call in calls[1:])
    assert len(calls) == 1 + max(solution.n_iter for solution in solutions)


def test_a_limit_and_a_function_without_minimum():
    rng = np.random.default_rng(0)
    functions, whitenings, _ = quadratics(rng, 2, 3)
    functions[1] = lambda x: (np.inf, np.zeros(3))
    solutions, _ = together(functions, whitenings, [np.ones(3)] * 2, max_iter=1)
    assert [s.status for s in solutions] == [Status.MAX_ITER] * 2
    assert solutions[0].value < functions[0](np.ones(3))[0]


def test_a_bound_on_the_last_variable_holds():
    def function(x):
        return 0.5 * (x @ x) + 2 * x[1], x + np.array([0.0, 2.0])

    (solution,), _ = together(
        [function], [Whitening(np.eye(2))], [np.ones(2)], lower_last=[0.5]
    )
    assert solution.status is Status.CONVERGED
    np.testing.assert_allclose(solution.x, [0.0, 0.5], atol=1e-9)


def test_a_step_uphill_is_shortened():
    # The whitening takes the function for a hundred times flatter than it is.
    def function(x):
        return 50.0 * (x @ x), 100.0 * x

    (solution,), _ = together([function], [Whitening(np.eye(2))], [np.ones(2)])
    assert solution.status is Status.CONVERGED
    np.testing.assert_allclose(solution.x, 0.0, atol=1e-9)


# --- grids ------------------------------------------------------------------------


def assert_same_fits(X, y, grid, weight=None, tol=1e-9, gap=1e-12):
    rows = make_rows(X, y, weight, 2)
    found = fit_grid(rows, grid)
    for settings, one in zip(grid, found, strict=True):
        alone_rows = make_rows(X, y, weight, 2)
        # With its own tolerance, a fit alone has six digits where there are many rows.
        alone = fit_rows(alone_rows, replace(settings, tol=1e-16))
        tally = alone.tally()
        name = f"{settings.rho}, {settings.alpha}"
        assert one.fit.converged, name
        assert one.fit.gap <= gap, name
        np.testing.assert_allclose(
            one.fit.objective, alone.objective, rtol=1e-12, err_msg=name
        )
        size = np.abs(alone.coef).max()
        np.testing.assert_allclose(
            one.fit.coef / size, alone.coef / size, rtol=0, atol=tol, err_msg=name
        )
        np.testing.assert_allclose(one.fit.scale, alone.scale, rtol=tol, err_msg=name)
        assert abs(one.tally.n_outliers - tally.n_outliers) <= 1, name
        np.testing.assert_allclose(one.tally.norm, tally.norm, rtol=1e-4)
        np.testing.assert_allclose(one.tally.inlier, tally.inlier, rtol=1e-3)
    return rows, found


@pytest.mark.parametrize("changed", [{}, {"scale": 2.0}, {"scale": "mad"}], ids=str)
@pytest.mark.parametrize("intercept", [True, False])
@pytest.mark.parametrize("weighted", [False, True])
def test_small_data(changed, intercept, weighted):
    problem = problems.house_prices(120, 3)
    weight = np.arange(120) % 4 / 3 if weighted else None
    if changed.get("scale") == 2.0:
        changed = {"scale": 3e4}
    grid = grid_of((2.0, 1.2, 4.0), (1e-4, 10.0), fit_intercept=intercept, **changed)
    assert_same_fits(problem.X, problem.y, grid, weight)


def test_data_of_middling_size():
    problem = problems.units(700, 40)
    assert_same_fits(problem.X, problem.y, grid_of((1.2, 2.0, 4.0)))


def test_fewer_rows_than_columns():
    problem = problems.wide_in_small_units(30, 50)
    assert_same_fits(problem.X, problem.y, grid_of((1.35, 3.0), (1e-3, 1e-2)))


def test_the_order_of_the_grid_does_not_matter():
    problem = problems.plain(100, 3)
    grid = grid_of((1.2, 2.0, 4.0), (1e-4, 1.0))
    forward = fit_grid(make_rows(problem.X, problem.y, None, 1), grid)
    backward = fit_grid(make_rows(problem.X, problem.y, None, 1), grid[::-1])
    for one, other in zip(forward, backward[::-1], strict=True):
        np.testing.assert_array_equal(one.fit.coef, other.fit.coef)


LARGE = {
    "C": lambda X: X,
    "F": np.asfortranarray,
    "float32": lambda X: X.astype(np.float32),
    "CSR": sp.csr_array,
}


@pytest.mark.compiled
@pytest.mark.parametrize("layout", LARGE)
@pytest.mark.parametrize("kind", ["plain", "dummies", "units"])
def test_large_data_are_fitted_together(layout, kind, monkeypatch):
    problem = getattr(problems, kind)(70_000, 5)
    X = LARGE[layout](problem.X)
    alone = []
    monkeypatch.setattr(
        _grid, "fit_rows", lambda *args: alone.append(args) or fit_rows(*args)
    )
    tol = 1e-4 if layout == "float32" else 1e-6
    grid = grid_of((1.1, 1.35, 2.0, 5.0), (1e-4, 1.0))
    assert_same_fits(X, problem.y, grid, tol=tol)
    # (The rarest dummy stands in four rows. Steps with one Hessian can fail there.)
    assert len(alone) <= (1 if kind == "dummies" else 0)


@pytest.mark.compiled
@pytest.mark.parametrize(
    "changed",
    [{"scale": 0.5}, {"fit_intercept": False}, {"alpha": 0.0}],
    ids=str,
)
def test_large_data_with_other_settings(changed):
    problem = problems.plain(70_000, 5)
    weight = np.arange(70_000) % 3 / 2
    grid = [replace(BASE, rho=rho, **changed) for rho in RHOS]
    assert_same_fits(problem.X, problem.y, grid, weight, tol=1e-6)


@pytest.mark.compiled
def test_a_grid_has_the_same_bits_for_any_number_of_threads():
    problem = problems.plain(70_000, 5)
    one, two = (
        fit_grid(make_rows(problem.X, problem.y, None, threads), grid_of())
        for threads in (1, 2)
    )
    for a, b in zip(one, two, strict=True):
        np.testing.assert_array_equal(a.fit.coef, b.fit.coef)
        assert a.fit.objective == b.fit.objective


@pytest.mark.compiled
@pytest.mark.parametrize("n", [100_000, 200_000])
def test_twenty_thresholds_take_few_sweeps(n):
    problem = problems.plain(n, 20)
    single = make_rows(problem.X, problem.y, None, 2)
    fit_rows(single, BASE)
    rows = make_rows(problem.X, problem.y, None, 2)
    fit_grid(rows, grid_of(np.geomspace(1.1, 20, 20)))
    assert rows.n_sweeps <= 6 * single.n_sweeps


@pytest.mark.compiled
def test_what_is_not_certified_together_is_fitted_alone(monkeypatch):
    monkeypatch.setattr(_grid, "_STEPS", 1)
    problem = problems.plain(70_000, 5)
    assert_same_fits(problem.X, problem.y, grid_of((1.2, 2.0, 4.0)), tol=1e-6)


@pytest.mark.compiled
def test_rows_of_which_the_sample_knows_nothing():
    X, y = np.ones((70_000, 3)), np.zeros(70_000)
    X[:, 1:] = np.random.default_rng(0).normal(size=(70_000, 2))
    y[:] = X[:, 1] + np.random.default_rng(1).standard_t(2, 70_000)
    X[5, 2] = 1e300
    rows = make_rows(X, y, None, 2)
    found = fit_grid(rows, grid_of((1.35, 2.0, 4.0)))
    assert all(np.isfinite(one.fit.objective) for one in found)
