"""Checks of a minimum: exact to rounding, or a scale that fell to zero.

**Collapse.** If no more than 1/ρ² of the weight has a residual, F falls with the joint
scale to zero, where it is 2ρ Σ s|r|, and has its minimum at a vertex: as many rows are
met exactly as there are coefficients. At the least scale, a residual that should be
zero is one of a thousand units in its last place, and the slopes at a vertex are as
uncertain: the lowest vertex cannot be told from its neighbours. At 1e-9 of the mean
residual it can, and F is higher by no more than that part. A fixed scale as small as
that is treated alike.

(If a majority of the rows is met exactly, the scale is zero, too, but that majority
determines the fit; if all are, F is zero but for the penalty.)
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np

from skhuber._fit.levels import Samples, minimise
from skhuber._fit.problem import Problem
from skhuber._fit.result import Fit
from skhuber._fit.settings import Settings
from skhuber._objective import RESIDUAL_ROUNDING, HuberObjective
from skhuber._rows import RowSource
from skhuber._solver.solution import Solution, Status
from skhuber._sums import Floats

# A loss above this many scales (per row) is not that of an exact fit, whose loss is
# about one.
_EXACT_LOSS = 1e3
# The scale, in mean residuals, at which a collapsed one is held.
_COLLAPSED_SCALE = 1e-9


def may_have_collapsed(objective: HuberObjective, solution: Solution) -> bool:
    """Return whether the scale is so small that `without_collapse` has to look."""
    _, _, scale = objective.split(solution.x)
    loss = _loss(objective, solution)
    least = 2 * objective.scale_floor
    if not objective.joint or solution.status is not Status.CONVERGED:
        # (A joint scale may be on its way to zero.)
        least = max(least, _held_scale(objective, loss))
    is_exact = loss <= _EXACT_LOSS * scale
    return not (scale > least or is_exact or np.isinf(objective.rho))


def _loss(objective: HuberObjective, solution: Solution) -> float:
    u, _, _ = objective.split(solution.x)
    return solution.value - objective.penalty_value(u)


def _held_scale(objective: HuberObjective, loss: float) -> float:
    """Return where a collapsed scale is held, with this loss.

    The mean residual is at most one in the unit of y, unless outliers make it larger.
    """
    return _COLLAPSED_SCALE * min(loss / (2 * objective.rho), 1.0)


def without_collapse(
    problem: Problem, samples: Samples, solution: Solution, max_iter: int
) -> tuple[Problem, Solution]:
    """Return the problem and its solution; if the scale collapsed, a trusted one."""
    objective = problem.objective
    if not may_have_collapsed(objective, solution):
        return problem, solution
    u, intercept, scale = objective.split(solution.x)
    loss = _loss(objective, solution)
    held = max(_held_scale(objective, loss), scale)
    at_a_vertex = _is_at_a_vertex(problem, solution)
    uncertain = max(solution.gap, RESIDUAL_ROUNDING / scale * loss)
    collapsed = replace(solution, status=Status.COLLAPSED, gap=uncertain)
    raised = problem.with_objective(
        objective.with_floor(held) if objective.joint else objective.with_scale(held)
    )
    again = minimise(
        raised,
        samples,
        raised.objective.theta(u, intercept, held),
        max_iter=max_iter - solution.n_iter,
        warm=True,
    )
    if again.status is Status.STOPPED:
        return problem, replace(solution, status=Status.STOPPED)
    unchanged = collapsed if at_a_vertex else solution
    if again.status is Status.NOT_FINITE:  # single targets are 1e300 times the others
        return problem, unchanged
    n_iter = solution.n_iter + again.n_iter
    u, intercept, again_scale = raised.objective.split(again.x)
    lower = problem.evaluate(objective.theta(u, intercept, scale)).value
    if lower > solution.value * (1 + _COLLAPSED_SCALE):
        return problem, replace(unchanged, n_iter=n_iter)
    if not at_a_vertex and lower > solution.value * (1 - _COLLAPSED_SCALE):
        return problem, replace(solution, n_iter=n_iter)
    again = replace(again, status=Status.COLLAPSED, n_iter=n_iter)
    if not objective.joint:
        theta = objective.theta(u, intercept, scale)
        gap = again.gap + max(again.value - lower, 0.0)
        return problem, replace(again, x=theta, value=lower, gap=gap)
    # F is convex: with a scale of zero it is lower by no more than its slope says.
    gap = again.gap + max(float(again.gradient[-1]), 0.0) * again_scale
    return raised, replace(again, gap=gap)


def is_zero_to_rounding(rows: RowSource, settings: Settings, fit: Fit) -> bool:
    """Return whether F is no more than rounding errors of the residuals make it.

    So it is if every target is met exactly: nothing then certifies the fit, as it has
    no digits left. A residual has errors of some units in the last place of the numbers
    that it is the difference of; the sum of p such numbers is at most √p times the root
    of the sum of their squares. A row counts with its own weight: a light one adds next
    to nothing to F, however long it is.
    """
    centre = rows.moments(centred=settings.fit_intercept).centre
    origin = rows.median_target if settings.fit_intercept else 0.0
    total = rows.add_up(partial(_rounding_loss, centre, origin, settings, fit))
    return bool(fit.objective <= np.ldexp(total, -rows.weight_power) < np.inf)


def _rounding_loss(
    centre: Floats, origin: float, settings: Settings, fit: Fit, rows: RowSource
) -> float:
    """Return the loss of the rounding errors of some rows, in units of weight."""
    weight = np.ones(rows.n_rows) if rows.weight is None else rows.weight
    present = weight > 0
    y = rows.y.astype(np.float64)
    # Squares of numbers in the unit of y do not overflow.
    unit = np.abs(fit.coef) * fit.point.y_unit
    root = np.sqrt(rows.n_features * rows.squared_lengths(centre, unit))
    size = np.abs(y - origin)[present] + root[present] / fit.point.y_unit
    error = RESIDUAL_ROUNDING * size
    if settings.scale == "joint":
        loss = (2.0 + 2.0 * settings.rho) * error
    elif fit.scale > 0:
        loss = np.minimum(error / fit.scale, 2.0 * settings.rho) * error
    else:
        loss = 2.0 * settings.rho * error
    return float((weight[present] * rows.weight_unit) @ loss)


def _is_at_a_vertex(problem: Problem, solution: Solution) -> bool:
    """Return whether at most len(θ) rows are inliers.

    Or, with a joint scale, whether outliers weigh 1/ρ² or more.
    """
    sums, objective = problem.evaluate(solution.x).sums, problem.objective
    outside, rho = 1.0 - sums.inlier / sums.weight, objective.rho
    few = sums.n_inliers <= len(solution.x)
    return bool(few or (objective.joint and outside * rho * rho >= 1.0))
