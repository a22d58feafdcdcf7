"""Fits of sparse models to many columns: units, starts and results of working sets.

With more columns than rows, and a small alpha, a fit meets many rows exactly, and its
joint scale falls to zero. On the way there steps lead nowhere: the loss is nearly that
of least absolute deviations. The scale therefore has a floor (as in the smoothed
concomitant lasso of Ndiaye and others, 2017), a tenth of the scale that y has without
columns, and then a tenth of that, until the scale stays above it, or the fit meets as
many rows as it has coefficients. The latter is reported as collapsed; it is looked for
at every second floor, since on the way to a small scale few rows are met by chance.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from skhuber._common.scale import mad_scale
from skhuber._fit.certificate import may_have_collapsed
from skhuber._fit.equation import MAX_UPDATES, TOL
from skhuber._fit.fit import UNITS, WatchModel, prepare, watching
from skhuber._fit.null import null_model
from skhuber._fit.plan import plan_of
from skhuber._fit.result import Fit, described, described_without_residuals
from skhuber._fit.settings import Settings
from skhuber._fit.standardise import objective_of
from skhuber._fit.start import Start, given_start
from skhuber._fit.working_set import (
    Found,
    WorkingSets,
    floor_cost,
    is_at_a_vertex,
    is_held,
)
from skhuber._objective import Frame
from skhuber._rows import RowSource
from skhuber._runtime import one_blas_thread
from skhuber._solver.root import RootSearch
from skhuber._solver.solution import Status

# The floor of a joint scale, as a share of the scale without columns, and of the last
# floor.
_FLOOR = 0.1


@one_blas_thread
def fit_wide(
    rows: RowSource,
    grid: Sequence[Settings],
    start: Start | None = None,
    watch: WatchModel | None = None,
) -> list[Fit]:
    """Return fits of settings with falling alphas, each with a penalty.

    The list ends with the first fit whose scale fell to zero, or that was stopped.
    """
    if start is None:
        null = null_model(rows, grid[0])
        start = Start(np.zeros(rows.n_features), null.intercept, null.scale)
    for units in UNITS:
        ground = prepare(rows, plan_of(rows, grid[0].penalty), grid[0], units=units)
        if ground is None:
            continue
        if grid[0].scale == "mad":
            fits = _fit_mad(rows, ground.frame, grid, start, watch)
        else:
            fits = _fit(rows, ground.frame, grid, start, watch)
        if all(fit.is_finite for fit in fits):
            return fits
    return [Fit.not_finite(rows)]


def _fit(
    rows: RowSource,
    frame: Frame,
    grid: Sequence[Settings],
    start: Start,
    watch: WatchModel | None,
) -> list[Fit]:
    """Return fits with a joint or a fixed scale; see the module's docstring."""
    fits: list[Fit] = []
    objective = objective_of(rows, frame, grid[0])
    theta = given_start(objective, start)
    floor = _FLOOR * start.standardised_scale(frame) if objective.joint else 0.0
    is_between = True
    while len(fits) < len(grid):
        left = grid[len(fits) :]
        sets = WorkingSets(rows, frame, left, watching(rows, watch), floor)
        found = sets.fit(theta, lambda one: not is_held(one.found))
        last = found[-1]
        has_collapsed = is_held(last.found) and (
            (is_at_a_vertex(last.found) and not is_between)
            or floor <= objective.scale_floor
        )
        is_between ^= is_held(last.found)
        if is_held(last.found) and not has_collapsed:
            found = found[:-1]
        fits += [
            _described(one, settings, is_single=len(grid) == 1)
            for one, settings in zip(found, left, strict=False)
        ]
        if has_collapsed or not last.found.is_finite or last.found.stop:
            break

        theta, floor = last.solution.x, floor * _FLOOR
    return fits


def _described(one: Found, settings: Settings, *, is_single: bool) -> Fit:
    if not one.found.is_finite:
        return Fit.not_finite(one.problem.rows)
    solution = one.solution
    objective = one.problem.objective
    if is_held(one.found) and not one.found.stop:
        gap = solution.gap + floor_cost(one.found)
        solution = replace(solution, status=Status.COLLAPSED, gap=gap)
    elif may_have_collapsed(objective, solution):
        solution = replace(solution, status=Status.COLLAPSED)
    if is_single:
        return described(one.problem, settings, solution, n_iter_least=1)
    return described_without_residuals(one.problem, settings, solution, one.found)


def _fit_mad(
    rows: RowSource,
    frame: Frame,
    grid: Sequence[Settings],
    start: Start,
    watch: WatchModel | None,
) -> list[Fit]:
    """Return fits whose scale is the median absolute residual of their own fit."""
    fits = []
    for settings in grid:
        fit = _mad_fixed_point(rows, frame, settings, start, watch)
        fits.append(fit)
        if not fit.is_finite or fit.is_stopped:
            break
        start = Start(fit.coef, fit.intercept, fit.scale)
    return fits


def _mad_fixed_point(
    rows: RowSource,
    frame: Frame,
    settings: Settings,
    start: Start,
    watch: WatchModel | None,
) -> Fit:
    search = RootSearch()
    least = objective_of(rows, frame, settings).scale_floor
    scale = start.scale
    for _ in range(MAX_UPDATES):
        (fit,) = _fit(rows, frame, [replace(settings, scale=scale)], start, watch)
        if not fit.is_finite or fit.is_stopped:
            return fit
        floor = least / fit.point.y_unit
        new_scale = max(_median_scale(rows, fit), floor)
        if abs(new_scale - scale) <= TOL * scale + floor:
            return fit
        start = Start(fit.coef, fit.intercept, scale)
        log_scale = search.next(np.log(scale), np.log(new_scale / scale))
        scale = max(float(np.exp(log_scale)), floor)
    return replace(fit, status=Status.UNSETTLED)


def _median_scale(rows: RowSource, fit: Fit) -> float:
    assert fit.residuals is not None
    distance = np.abs(fit.residuals.astype(np.float64))
    return mad_scale(distance, rows.weight) / fit.point.y_unit
