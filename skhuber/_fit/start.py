"""Starting points of a fit: a given model, least squares, or the median of y.

Under gross outliers least squares can be worse than no coefficients at all, so the
start with the lower objective is taken.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from skhuber._fit.problem import Problem
from skhuber._objective import Frame, HuberObjective
from skhuber._solver.composite import best_step
from skhuber._solver.solution import Ask
from skhuber._sums import Floats

# A scale of squared loss, which has the same minimum with each.
_ANY_SCALE = 1.0
# Least squares are a start; iterations end at this part of the objective.
_LEAST_SQUARES_TOL = 1e-3


@dataclass(frozen=True)
class Start:
    """A model to start from, in the units of the data."""

    coef: Floats
    intercept: float
    scale: float
    may_stay: bool = True
    """True if the model is to be the result, to the last bit, if it is good enough."""

    def standardised_scale(self, frame: Frame) -> float:
        """Return the scale in units of that of y."""
        return float(np.ldexp(self.scale, -frame.y_power))


def given_start(objective: HuberObjective, start: Start) -> Floats:
    """Return θ of a model."""
    u, intercept = objective.frame.from_natural(start.coef, start.intercept)
    scale = start.standardised_scale(objective.frame)
    theta = objective.theta(u, intercept, max(scale, objective.scale_floor))
    return np.clip(theta, objective.lower, objective.upper)


def best_start(problem: Problem) -> Floats:
    """Return the median of y, or least squares, whichever has the lower objective.

    With absolute values in the penalty the minimum has zeros, and least squares none.
    """
    starts = [median_start(problem)]
    if not problem.part.l1.any():
        starts.append(least_squares_start(problem))
    values = [problem.evaluate(theta).value for theta in starts]
    return starts[int(np.argmin(values))]


def mad_start(problem: Problem) -> tuple[HuberObjective, Floats]:
    """Return a scale (in the objective) and θ from which to look for a fixed point.

    Least squares and the scale of its residuals, as in R's ``rlm``: if there are
    several fixed points, the same one should be found.
    """
    objective = problem.objective
    fixed = problem.with_objective(objective.with_scale(_ANY_SCALE))
    for make in (least_squares_start, median_start):
        theta = make(fixed)
        scale = fixed.median_scale(theta)
        scaled = objective.with_scale(max(scale, objective.scale_floor))
        if problem.with_objective(scaled).evaluate(theta).is_finite:
            break  # it is not, of least squares under outliers of 1e200 and more
    return scaled, theta


def median_start(problem: Problem) -> Floats:
    """Return θ without coefficients, if bounds allow that; y is centred."""
    p = problem.objective.n_features
    origin = problem.part.clip(np.zeros(len(problem.part.l1)))
    return _with_scale(problem, origin[:p], 0.0)


def least_squares_start(problem: Problem) -> Floats:
    """Return θ of ridge regression: one Newton step from zero with no threshold."""
    squares = problem.with_objective(
        problem.objective.with_rho(np.inf).with_scale(_ANY_SCALE)
    )
    objective = squares.objective
    origin = objective.theta(np.zeros(objective.n_features), 0.0, _ANY_SCALE)
    answer = squares.answer(Ask(origin, True))
    if answer.model is None or not answer.is_finite:
        return median_start(problem)
    tolerance = _LEAST_SQUARES_TOL * answer.value
    part = squares.part
    step = best_step(answer.model, answer.gradient, origin, part, tolerance).x
    u, intercept, _ = objective.split(part.moved(origin, step))
    return _with_scale(problem, u, intercept)


def _with_scale(problem: Problem, u: Floats, intercept: float) -> Floats:
    """Return θ with these coefficients, and with a joint scale of their residuals."""
    objective = problem.objective
    theta = objective.theta(u, intercept, 1.0)
    if objective.joint:
        scale, least = problem.median_scale(theta), np.sqrt(objective.scale_floor)
        if scale < least:
            # If most residuals are next to zero, the floor itself is no place to start:
            # its curvature is all that Newton's method would see.
            scale = problem.distances(theta).joint_scale(objective.rho)
        theta[-1] = max(scale, least)
    return theta
