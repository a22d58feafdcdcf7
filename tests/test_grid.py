"""Many settings on the same rows: the same fits as one by one, with fewer sweeps."""

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp

import problems
from skhuber._fit import Settings, fit_rows
from skhuber._fit.equation import Look
from skhuber._fit.grid import Grid, fit_grid
from skhuber._fit.plan import Shape, make_plan
from skhuber._rows import make_rows
from skhuber._solver.solution import Solution, Status

BASE = Settings(
    rho=1.35, scale="joint", alpha=1e-4, fit_intercept=True, max_iter=1000, tol=1e-12
)
RHOS = (1.1, 1.35, 2.0, 5.0, np.inf)


def grid_of(rhos=RHOS, alphas=(1e-4,), **changed):
    base = replace(BASE, **changed)
    return [replace(base, rho=rho, alpha=alpha) for rho in rhos for alpha in alphas]


def assert_same_fits(X, y, grid, weight=None, tol=1e-9, gap=1e-12):
    rows = make_rows(X, y, weight, 2)
    found = fit_grid(rows, grid)
    for settings, one in zip(grid, found, strict=True):
        alone_rows = make_rows(X, y, weight, 2)
        # With its own tolerance, a fit alone has six digits where there are many rows.
        alone = fit_rows(alone_rows, replace(settings, tol=1e-16))
        tally = alone.tally
        name = f"{settings.rho}, {settings.alpha}"
        assert one.converged, name
        assert one.gap <= gap, name
        np.testing.assert_allclose(
            one.objective, alone.objective, rtol=1e-12, err_msg=name
        )
        size = np.abs(alone.coef).max()
        np.testing.assert_allclose(
            one.coef / size, alone.coef / size, rtol=0, atol=tol, err_msg=name
        )
        np.testing.assert_allclose(one.scale, alone.scale, rtol=tol, err_msg=name)
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
        np.testing.assert_array_equal(one.coef, other.coef)


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
        "skhuber._fit.grid.fit_rows",
        lambda *args: alone.append(args) or fit_rows(*args),
    )
    tol = 1e-4 if layout == "float32" else 1e-6
    grid = grid_of((1.1, 1.35, 2.0, 5.0), (1e-4, 1.0))
    assert_same_fits(X, problem.y, grid, tol=tol)
    # (The rarest dummy stands in four rows. Steps with one Hessian can fail there.)
    assert len(alone) <= (1 if kind == "dummies" else 0)


def assert_settled_like_alone(X, y, grid, weight=None):
    """Assert that fits with a scale of "mad" are those alone, and return the sweeps."""
    rows = make_rows(X, y, weight, 2)
    n_sweeps = []
    for settings, one in zip(grid, fit_grid(rows, grid), strict=True):
        alone_rows = make_rows(X, y, weight, 2)
        alone = fit_rows(alone_rows, settings)
        n_sweeps.append(alone_rows.n_sweeps)
        name = f"{settings.rho}, {settings.alpha}"
        assert one.converged, name
        size = np.abs(alone.coef).max()
        np.testing.assert_allclose(
            one.coef / size, alone.coef / size, rtol=0, atol=1e-10, err_msg=name
        )
        np.testing.assert_allclose(
            one.intercept / size, alone.intercept / size, atol=1e-10, err_msg=name
        )
        np.testing.assert_allclose(one.scale, alone.scale, rtol=1e-10, err_msg=name)
        assert abs(one.tally.n_outliers - alone.tally.n_outliers) <= 1, name
    return rows.n_sweeps, n_sweeps


@pytest.mark.compiled
@pytest.mark.parametrize("layout", LARGE)
@pytest.mark.parametrize("kind", ["plain", "units"])
def test_scales_of_mad_settle_together(layout, kind, monkeypatch):
    problem = getattr(problems, kind)(70_000, 8)
    X = LARGE[layout](problem.X)
    grid = grid_of((0.3, 1.0, 1.345, 2.0, 5.0, np.inf), (1e-4, 1e2), scale="mad")
    alone = []
    monkeypatch.setattr(
        "skhuber._fit.grid.fit_rows",
        lambda *args: alone.append(args) or fit_rows(*args),
    )
    together, each = assert_settled_like_alone(X, problem.y, grid)
    assert not alone
    assert together <= 2 * max(each)


@pytest.mark.compiled
@pytest.mark.parametrize("changed", [{"fit_intercept": False}, {"alpha": 0.0}], ids=str)
def test_scales_of_mad_with_weights_and_a_sample_that_lacks_rows(changed):
    # (The rarest dummy stands in four rows: no uniform sample has enough of them.)
    problem = problems.dummies(70_000, 5)
    weight = np.arange(70_000) % 3 / 2
    grid = [replace(BASE, rho=rho, scale="mad", **changed) for rho in RHOS]
    assert_settled_like_alone(problem.X, problem.y, grid, weight)


@pytest.mark.compiled
def test_scales_of_mad_with_hessians_of_samples(monkeypatch):
    problem = problems.plain(70_000, 5)
    plan = make_plan(Shape(70_000, 5, 350_000, "rows", 70_000))
    sampled = replace(plan, hessian_rows=4_000)
    monkeypatch.setattr("skhuber._fit.plan.make_plan", lambda *args, **kw: sampled)
    grid = grid_of((1.0, 1.345, 2.0), scale="mad")
    together, each = assert_settled_like_alone(problem.X, problem.y, grid)
    assert together <= 2 * max(each)


@pytest.mark.compiled
@pytest.mark.parametrize("n_bytes", [3 * 70_000 * 8, 70_000 * 8])
def test_residuals_of_few_settings_are_kept_at_a_time(n_bytes, monkeypatch):
    monkeypatch.setattr("skhuber._fit.grid._RESIDUALS_SHARE", 0.0)
    monkeypatch.setattr("skhuber._fit.grid._RESIDUALS_BYTES", n_bytes)
    problem = problems.plain(70_000, 5)
    grid = grid_of((1.0, 1.2, 1.345, 1.7, 2.0, 3.0), scale="mad")
    together, each = assert_settled_like_alone(problem.X, problem.y, grid)
    # Three at a time, or each by itself.
    assert (together < sum(each) / 2) == (n_bytes > 70_000 * 8)


@pytest.mark.compiled
def test_a_scale_of_mad_that_does_not_settle_is_found_alone(monkeypatch):
    def unsettled(problem, theta, model, max_iter):
        seen = yield Look(problem, theta)
        value, gradient = seen.found.value, seen.found.gradient
        return problem, Solution(theta, value, gradient, 0.0, 0, Status.STALLED)

    monkeypatch.setattr("skhuber._fit.settled_grid.settling", unsettled)
    problem = problems.plain(70_000, 5)
    grid = grid_of((1.0, 1.345, 2.0), scale="mad")
    assert_settled_like_alone(problem.X, problem.y, grid)


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
        np.testing.assert_array_equal(a.coef, b.coef)
        assert a.objective == b.objective


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
    monkeypatch.setattr("skhuber._fit.grid._STEPS", 1)
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
    assert all(np.isfinite(one.objective) for one in found)


@pytest.mark.compiled
@pytest.mark.parametrize("n", [300, 5_000, 70_000])
@pytest.mark.parametrize("layout", ["C", "CSR"])
def test_fits_to_parts_of_the_rows(n, layout):
    problem = problems.plain(n, 5)
    settings = grid_of((1.2, 2.0, 4.0))
    rows = make_rows(LARGE[layout](problem.X), problem.y, None, 2)
    shared = Grid(rows, settings)
    for fold in range(2):
        index = np.flatnonzero(np.arange(n) % 3 != fold)
        found = shared.fit(rows.take(index))
        for one, each in zip(settings, found, strict=True):
            alone = fit_rows(rows.take(index), replace(one, tol=1e-16))
            assert each.converged
            assert each.gap <= 1e-12
            np.testing.assert_allclose(each.objective, alone.objective, rtol=1e-12)
            np.testing.assert_allclose(each.coef, alone.coef, rtol=1e-5)
