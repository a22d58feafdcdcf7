"""Way of a single fit: plan, standardise, start, descend, certify.

`fit_rows` is the way of every single fit ::

    plan          the way that suits the size of the data
    standardise   units in which numbers stay in range
    start         least squares or the median of y
    levels        a sample, a larger one, all rows
    equation      a scale that is a function of its residuals
    certificate   the gap; exact fits; a scale fallen to zero

(each a module of `skhuber._fit`). Small data take one compiled call instead
(`skhuber._fit.small`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from skhuber._fit import small
from skhuber._fit.certificate import is_zero_to_rounding, without_collapse
from skhuber._fit.equation import solve_scale
from skhuber._fit.levels import Samples, minimise
from skhuber._fit.plan import Plan, plan_of
from skhuber._fit.problem import Problem, Trust, Watch
from skhuber._fit.result import Fit, Model, described
from skhuber._fit.settings import Settings
from skhuber._fit.standardise import (
    Units,
    column_units,
    objective_of,
    rotated,
    rotated_settings,
)
from skhuber._fit.start import Start, best_start, given_start, mad_start, median_start
from skhuber._objective import Frame, HuberObjective, Rotation
from skhuber._rows import RowSource
from skhuber._runtime import one_blas_thread
from skhuber._solver.solution import Solution, Status
from skhuber._sums import Floats

# From a joint scale below this (in units of the spread of y) no way leads up to a
# larger one: there the loss is so stiff that steps tell no more than rounding errors.
_LEAST_START_SCALE = 1e-6
# Units that are tried one after the other; see `skhuber._fit.standardise.frame_of`.
UNITS: tuple[Units, ...] = ("sample", "largest", "wide")
# Iterations kept back for a second attempt, in another basis or with another scale.
_SECOND_ITER = 300

# Called with the number of sweeps and the model there; True stops the fit.
WatchModel = Callable[[int, Model], bool]


# A step far too long may overflow; it is then not taken. NaN in X shows in the sums.
@np.errstate(over="ignore", invalid="ignore")
def fit_rows(
    rows: RowSource,
    settings: Settings,
    start: Start | None = None,
    watch: WatchModel | None = None,
) -> Fit:
    """Fit the model to rows; the callable `watch` sees the model of every sweep.

    A fit whose sums are not finite, because of bad values in X or of an overflow, has
    the status NOT_FINITE and is of no use.
    """
    plan = plan_of(rows, settings.penalty)
    if plan.way == "compiled" and start is None:
        fit = small.fit_small(rows, settings)
        if fit is not None:
            if watch is not None:
                watch(rows.n_sweeps, fit.as_model())
            return fit
    fit = _best_attempt(rows, plan, settings, start, watch)
    uncertain = fit.status in (Status.STALLED, Status.MAX_ITER, Status.COLLAPSED)
    if uncertain and is_zero_to_rounding(rows, settings, fit):
        fit = replace(fit, status=Status.CONVERGED, gap=0.0)
    return fit


def is_small(rows: RowSource) -> bool:
    """Return whether the rows are few enough for Newton's method on all of them."""
    return plan_of(rows).way in ("compiled", "newton")


def sample_size(rows: RowSource) -> int:
    """Return how many rows a fit picks for its first sample; 0 if it takes none."""
    return plan_of(rows).sample_rows


@one_blas_thread
def _best_attempt(
    rows: RowSource,
    plan: Plan,
    settings: Settings,
    start: Start | None,
    watch: WatchModel | None,
) -> Fit:
    """Fit in the basis of the columns, of singular vectors, or in both by turns."""
    if plan.basis == "first":
        return _fit_rotated(rows, settings, start, watch)
    first = settings
    if plan.basis == "rescue" and settings.max_iter >= 2 * _SECOND_ITER:
        first = replace(settings, max_iter=settings.max_iter - _SECOND_ITER)
    fit = _fit_in_some_units(rows, plan, first, start, watch)
    left = settings.max_iter - fit.n_iter
    is_final = fit.status in (Status.CONVERGED, Status.STOPPED, Status.NOT_FINITE)
    if is_final or plan.basis != "rescue" or left <= 0:
        return fit
    again = _fit_rotated(rows, replace(settings, max_iter=left), start, watch)
    is_better = again.status is Status.CONVERGED or again.objective < fit.objective
    if again.status is Status.NOT_FINITE or not is_better:
        return fit
    return replace(
        again,
        n_iter=fit.n_iter + again.n_iter,
        n_sweeps=fit.n_sweeps + again.n_sweeps,
    )


def _fit_rotated(
    rows: RowSource,
    settings: Settings,
    start: Start | None,
    watch: WatchModel | None,
) -> Fit:
    """Fit in the basis of the singular vectors of X."""
    if not rows.is_finite:
        return Fit.not_finite(rows)
    turned, rotation = rotated(rows, settings)
    turned_settings = rotated_settings(settings, rotation)
    plan = replace(plan_of(turned), basis="never")
    fit = _fit_in_some_units(turned, plan, turned_settings, start, watch, rotation)
    # (That of the turned rows has as many coefficients as X has rank.)
    return fit if fit.is_finite else Fit.not_finite(rows)


def _fit_in_some_units(
    rows: RowSource,
    plan: Plan,
    settings: Settings,
    start: Start | None,
    watch: WatchModel | None,
    rotation: Rotation | None = None,
) -> Fit:
    """Fit in the first units in which no sum overflows.

    Finite data can overflow if single values are far larger than the sample lets
    expect.
    """
    for units in UNITS:
        ground = prepare(rows, plan, settings, units=units, rotation=rotation)
        if ground is None:
            continue
        problem, solution = solve(ground, settings, start, watching(rows, watch))
        # The least-squares start is itself a Newton step over all rows.
        n_iter_least = int(start is None and settings.max_iter > 0)
        fit = described(problem, settings, solution, n_iter_least=n_iter_least)
        if fit.is_finite:
            return fit
    return Fit.not_finite(rows)


@dataclass(frozen=True)
class Ground:
    """Rows, plan, samples and frame, which fits of several settings share."""

    rows: RowSource
    plan: Plan
    samples: Samples
    frame: Frame


def prepare(
    rows: RowSource,
    plan: Plan,
    settings: Settings,
    *,
    units: Units = "sample",
    rotation: Rotation | None = None,
) -> Ground | None:
    """Return samples and frame; None if X is not finite."""
    samples = Samples(rows, plan)
    columns = column_units(rows, samples.any, settings, units)
    if columns is None:
        return None
    frame = columns.frame(rows, samples.any, settings, units)
    is_sampled = plan.way == "whitened" and samples.first is not None
    if is_sampled and columns.is_rare.any():
        objective = objective_of(rows, frame, settings)
        if not objective.is_smooth:
            samples.resample_for_rare(objective)
    return Ground(rows, plan, samples, replace(frame, rotation=rotation))


def solve(
    ground: Ground,
    settings: Settings,
    start: Start | None = None,
    watch: Watch | None = None,
) -> tuple[Problem, Solution]:
    """Return the problem on all rows, with a scale of "mad" found, and its minimum."""
    objective = objective_of(ground.rows, ground.frame, settings)
    problem = Problem(
        objective,
        ground.rows,
        Trust(settings.tol),
        watch,
        double=settings.scale == "mad",
        matrix_free=ground.plan.is_matrix_free,
    )
    if start is not None and not is_start(sampled(ground, problem), start):
        start = None
    if settings.scale == "mad":
        problem, solution = _solve_mad(ground, settings, problem, start)
    else:
        solution = _solve_at_once(ground, settings, problem, start)
    if solution.status in (Status.STOPPED, Status.NOT_FINITE):
        return problem, solution
    return without_collapse(problem, ground.samples, solution, settings.max_iter)


def _solve_at_once(
    ground: Ground, settings: Settings, problem: Problem, start: Start | None
) -> Solution:
    """Minimise at a joint or a fixed scale."""
    kept = _SECOND_ITER  # should the scale collapse
    if not problem.objective.joint or settings.max_iter < 2 * _SECOND_ITER:
        kept = 0
    if start is None:
        theta = best_start(sampled(ground, problem))
    else:
        theta = given_start(problem.objective, start)
    return minimise(
        problem,
        ground.samples,
        theta,
        max_iter=settings.max_iter - kept,
        warm=start is not None,
        may_stay=start is not None and start.may_stay,
    )


def _solve_mad(
    ground: Ground, settings: Settings, problem: Problem, start: Start | None
) -> tuple[Problem, Solution]:
    """Find the scale that is the median absolute residual of its own fit."""
    if start is None:
        objective, theta = mad_start(sampled(ground, problem))
    else:
        objective = problem.objective
        scale = start.standardised_scale(objective.frame)
        objective = objective.with_scale(max(scale, objective.scale_floor))
        theta = given_start(objective, start)
    return solve_scale(
        problem.with_objective(objective),
        ground.samples,
        theta,
        max_iter=settings.max_iter,
    )


def sampled(ground: Ground, problem: Problem) -> Problem:
    """Return the problem on the first sample, if there is one, unwatched."""
    rows = ground.samples.any
    matrix_free = problem.matrix_free or ground.plan.diagonal_first
    return Problem(problem.objective, rows, Trust(0.0), matrix_free=matrix_free)


def is_start(problem: Problem, start: Start) -> bool:
    """Return whether a given model is nearer to the minimum than no coefficients are.

    A model of data in other units is not.
    """
    objective = problem.objective
    scale = start.standardised_scale(objective.frame)
    if objective.joint and scale < _LEAST_START_SCALE:
        return False
    given, median = (
        problem.evaluate(theta).value
        for theta in (given_start(objective, start), median_start(problem))
    )
    return given <= median < np.inf


def watching(rows: RowSource, watch: WatchModel | None) -> Watch | None:
    """Return what a problem on these rows calls after each sweep."""
    if watch is None:
        return None

    def look(objective: HuberObjective, theta: Floats, value: float) -> bool:
        return watch(rows.n_sweeps, Model.at(objective, theta, value))

    return look
