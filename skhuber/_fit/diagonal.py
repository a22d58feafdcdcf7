"""Minimisation by L-BFGS that the Hessian's diagonal alone whitens.

For sparse data of many columns. If the columns are nearly uncorrelated once they are
centred, as entries at random are, the diagonal of n rows is off by about √(p/n) only:
each sweep takes the gap down by a factor near p/n, without a p × p matrix and without
products with the Hessian. Whether the columns are like that shows on the way. If they
are not, the fit goes on in its plan's way from the point that was reached.

The diagonal does not certify a minimum. What does is the Hessian of the sample, by its
products, if the sample has enough inliers for each column; otherwise the penalty's
curvature (`skhuber._solver.diagonal`).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from skhuber._fit.problem import OUTLIER_DAMPING, Evaluation, Problem
from skhuber._rows import RowSource
from skhuber._solver.anderson import accelerated
from skhuber._solver.composite import best_step
from skhuber._solver.descent import Rules, drive, polish
from skhuber._solver.diagonal import DiagonalModel
from skhuber._solver.lbfgs import whitened_lbfgs
from skhuber._solver.matrix_free import MatrixFreeModel
from skhuber._solver.solution import Ask, Solution, Status
from skhuber._sums import Floats, Want

# The most L-BFGS steps on all rows, and accelerated steps after them that are judged on
# the gradient. (200,000 × 3,000 counts, where p/n is the largest that the plan allows
# but for a factor of two, take 12 and 4.)
_MOST_STEPS = 20
_MOST_ACCELERATED = 10
# The most L-BFGS steps on the sample with one diagonal, and the most diagonals: a start
# may be far off. (The counts take 12 and 7 steps.)
_ROUND_ITER = 12
_ROUNDS = 3
# The penalty's curvature as a share of a column's, below which the bound is not small
# before gradients are rounding errors: a gap of 1e-12 then takes gradients of 1e-11.5.
_LEAST_SHARE = 1e-11
# The least curvature that centring leaves a column, as a share of its own.
_LEAST_SPREAD = 1e-3
# The part of the tolerance that the diagonal's estimate has to reach before the
# sample's Hessian is asked.
_ESTIMATED_PART = 0.5


def minimise_by_diagonal(
    problem: Problem, sample: RowSource | None, theta: Floats, rules: Rules
) -> Solution | None:
    """Return the end of the steps; None if nothing could certify it.

    Parameters
    ----------
    problem : Problem
        Without absolute values or bounds.
    sample : RowSource or None
        Some of its rows.
    theta : ndarray
        The start.
    rules : Rules
    """
    found, model = diagonal_there(problem, sample, theta)
    if model is None:
        return None
    rules = replace(rules, max_iter=min(_MOST_STEPS, rules.max_iter))
    if sample is not None and problem.trust.by_sample(sample.n_present).knows(found):
        return _certified_by(sample, problem, found, model, rules)
    return _minimise(problem, found, replace(model, is_certain=True), rules)


def diagonal_there(
    problem: Problem, sample: RowSource | None, theta: Floats
) -> tuple[Evaluation, DiagonalModel | None]:
    """Return value and gradient at θ, and the diagonal; None if it cannot certify."""
    found = problem.evaluate(theta, Want(squares=True))
    if not found.is_finite:
        return found, None
    model = _model_of(found, problem.rows if sample is None else sample)
    share = model.penalty / model.diagonal
    if not np.all(share[: problem.objective.n_features] >= _LEAST_SHARE):
        return found, None
    return found, model


def near_minimum(problem: Problem, theta: Floats) -> Solution:
    """Return a point within the tolerance of the minimum, as far as a diagonal tells.

    Its status is CONVERGED if it is one.
    """
    for _ in range(_ROUNDS):
        found = problem.evaluate(theta, Want(squares=True))
        if not found.is_finite:
            return Solution(
                theta, found.value, found.gradient, np.inf, 0, Status.NOT_FINITE
            )
        model = _model_of(found, problem.rows)
        solution = _lbfgs(problem, found, model, _ROUND_ITER)
        if solution.status is Status.CONVERGED:
            break
        theta = solution.x
    return solution


def _certified_by(
    sample: RowSource,
    problem: Problem,
    found: Evaluation,
    model: DiagonalModel,
    rules: Rules,
) -> Solution:
    """Minimise, and measure the gap where the steps end with a sample's Hessian."""
    trust = problem.trust.by_sample(sample.n_present)
    near = problem.trusting(replace(trust, tol=_ESTIMATED_PART * trust.tol))
    solution = _minimise(near, found, model, rules)
    if solution.status is not Status.CONVERGED:
        return solution
    x = solution.x
    part = Problem(problem.objective, sample, trust, matrix_free=True)
    hessian = part.answer(Ask(x, True)).model
    if not isinstance(hessian, MatrixFreeModel):
        return replace(solution, status=Status.STALLED)
    tolerance = problem.trusting(trust).at(x).tolerance
    gap = best_step(hessian, solution.gradient, x, problem.part, tolerance).fall
    status = Status.CONVERGED if gap <= tolerance else Status.STALLED
    return replace(solution, gap=gap, status=status)


def _minimise(
    problem: Problem, found: Evaluation, model: DiagonalModel, rules: Rules
) -> Solution:
    """Minimise; where values have no more digits, on the gradient alone."""
    solution = _lbfgs(problem, found, model, rules.max_iter)
    if solution.status is Status.STALLED:
        left = min(_MOST_ACCELERATED, rules.max_iter - solution.n_iter)
        solution = accelerated(problem.at, model, solution, problem.part, left)
    stays = solution.n_iter == 0 and rules.may_stay
    if solution.status is not Status.CONVERGED or stays:
        return solution
    return drive(polish(solution, problem.part, rules.polish, 1.0), problem.answer)


def _lbfgs(
    problem: Problem, found: Evaluation, model: DiagonalModel, max_iter: int
) -> Solution:
    told, lower = problem.told(found), problem.objective.lower
    return whitened_lbfgs(problem.at, model, found.theta, told, lower, max_iter)


def _model_of(found: Evaluation, some: RowSource) -> DiagonalModel:
    """Return the model of an evaluation with squares.

    The means of the columns are those of the inliers among some rows.
    """
    objective, theta = found.objective, found.theta
    p = objective.n_features
    inside, outside = objective.diagonals(theta, found.sums)
    penalty = objective.penalty_curvature
    diagonal = inside + OUTLIER_DAMPING * outside + penalty
    mean, intercept = np.zeros(p), None
    if objective.frame.fit_intercept:
        intercept = p
        one = np.zeros(p + 2)
        one[p] = 1.0
        (sums,) = some.sweep([objective.point(theta)], Want(direction=one))
        assert sums.product is not None
        if sums.product[p] > 0:
            mean = sums.product[:p] / sums.product[p]
        centred = diagonal[:p] - mean**2 * inside[p]
        diagonal[:p] = np.maximum(centred, _LEAST_SPREAD * diagonal[:p])
    diagonal = np.where(diagonal > 0, diagonal, 1.0)
    return DiagonalModel(diagonal, penalty, mean, intercept)
