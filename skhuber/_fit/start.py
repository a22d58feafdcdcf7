"""Where a fit starts: a given model, least squares, or the median of y.

Under gross outliers least squares can be worse than no coefficients at all, so the
start with the lower objective is taken.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from skhuber._common.scale import mad_scale
from skhuber._fit.problem import Problem, Trust
from skhuber._objective import HuberObjective
from skhuber._rows import RowSource
from skhuber._solver.quadratic import Model
from skhuber._sums import Floats, Want

_ANY = Trust(0.0)


@dataclass(frozen=True)
class Start:
    """A model to start from, in the units of the data."""

    coef: Floats
    intercept: float
    scale: float


def given_start(objective: HuberObjective, start: Start) -> Floats:
    """Return θ of a model."""
    u, intercept = objective.frame.from_natural(start.coef, start.intercept)
    scale = float(np.ldexp(start.scale, -objective.frame.y_power))
    return objective.theta(u, intercept, max(scale, objective.scale_floor))


def best_start(
    rows: RowSource, objective: HuberObjective, *, least_squares: bool
) -> Floats:
    """Return the median of y, or least squares, whichever has the lower objective."""
    problem = Problem(objective, rows, _ANY)
    starts = [median_start(problem)]
    if least_squares:
        starts.append(least_squares_start(problem))
    values = [problem.evaluate(theta).value for theta in starts]
    return starts[int(np.argmin(values))]


def mad_start(
    rows: RowSource, objective: HuberObjective, *, least_squares: bool
) -> tuple[HuberObjective, Floats]:
    """Return a scale (in the objective) and θ from which to look for a fixed point.

    Least squares and the scale of its residuals, as in R's ``rlm``: if there are several
    fixed points, the same one should be found.
    """
    fixed = Problem(objective.with_scale(1.0), rows, _ANY)
    starts = [least_squares_start] if least_squares else []
    for make in [*starts, median_start]:
        theta = make(fixed)
        scale = median_scale(fixed, theta)
        scaled = objective.with_scale(max(scale, objective.scale_floor))
        if np.isfinite(Problem(scaled, rows, _ANY).evaluate(theta).value):
            break  # it is not, of least squares under outliers of 1e200 and more
    return scaled, theta


def median_scale(problem: Problem, theta: Floats) -> float:
    """Return median|r| / Φ⁻¹(3/4), standardised."""
    return mad_scale(np.abs(problem.residuals(theta)), problem.rows.weight)


def median_start(problem: Problem) -> Floats:
    """Return θ without coefficients; y is centred at its median."""
    return _with_scale(problem, np.zeros(problem.objective.n_features), 0.0)


def least_squares_start(problem: Problem) -> Floats:
    """Return θ of ridge regression, by the normal equations."""
    objective, rows = problem.objective, problem.rows
    p = objective.n_features
    origin = replace(
        objective.point(objective.theta(np.zeros(p), 0.0, 1.0)),
        threshold=np.inf,
        scale=1.0,
    )
    (sums,) = rows.sweep([origin], Want(gram=np.float64))
    assert sums.gram is not None
    kept = p + objective.frame.fit_intercept
    gram = sums.gram[0] * (2.0 / sums.weight)
    normal, right = gram[:kept, :kept], gram[:kept, -1]
    if not (np.isfinite(right).all() and np.isfinite(normal).all()):
        return median_start(problem)
    penalty = np.zeros(kept)
    penalty[:p] = 2.0 * objective.penalty
    solution = Model(normal, None, penalty).factor.solve(right)
    intercept = float(solution[p]) if objective.frame.fit_intercept else 0.0
    return _with_scale(problem, solution[:p], intercept)


def _with_scale(problem: Problem, u: Floats, intercept: float) -> Floats:
    """Return θ with these coefficients, and with a joint scale of the median |r|."""
    objective = problem.objective
    theta = objective.theta(u, intercept, 1.0)
    if objective.joint:
        # If most residuals are exactly zero, the floor itself is no place to start: its
        # curvature is all that Newton's method would see.
        least = np.sqrt(objective.scale_floor)
        theta[-1] = max(median_scale(problem, theta), least)
    return theta
