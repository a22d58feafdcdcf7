"""The scale "mad": the median absolute residual of its own fit.

With r(σ) the residuals of the minimum at a scale σ, find the fixed point ::

    σ = median|r(σ)| / Φ⁻¹(3/4),

the scale of R's ``rlm`` and of statsmodels' ``RLM``. There may be several fixed points;
the one to which iteration from the start leads is taken. The Hessian at one scale
whitens the fit at the next one: a scale changes it by a factor, and few rows change
sides.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from skhuber._fit.continuation import newton
from skhuber._fit.levels import MOST_POLISH, Samples, State, minimise
from skhuber._fit.problem import Problem, Trust
from skhuber._solver.descent import Rules
from skhuber._solver.quadratic import Model
from skhuber._solver.root import RootSearch
from skhuber._solver.solution import Solution, Status
from skhuber._sums import Floats

# Relative change of one more update at which the scale is found, on a sample and on all
# rows.
SAMPLE_TOL = 1e-4
TOL = 1e-11
# Relative change of the scale from which on minima are polished, with a new Hessian. Of
# a larger change polish alters no digit that matters (measured: sweeps of NOxEmissions
# fell from 109 to 52, those of ten other sets by 10 to 40 %).
POLISHED = 1e-3
# Relative change of the scale from which on some steps of polish do: a new scale moves
# the minimum by as little, and each step gains one to three digits.
NEXT_TO_IT = 1e-6
_POLISH_NEXT_TO_IT = 3
# The most updates. Six to fifteen are usual; 98 lead from outliers of 1e99 to residuals
# of one, since the search takes a decimal power at a time.
MAX_UPDATES = 1000


def solve_scale(
    problem: Problem, samples: Samples, theta: Floats, *, max_iter: int
) -> tuple[Problem, Solution]:
    """Return the problem with the scale at a fixed point, and its minimum.

    Parameters
    ----------
    problem : Problem
        On all rows, with the fixed scale to start from.
    samples : Samples
    theta : ndarray
        The start.
    max_iter : int
        The most iterations of all minimisations together.
    """

    def on_all(problem: Problem, state: State, left: int, polish: int) -> Solution:
        is_warm = state.theta is not theta
        return minimise(
            problem, samples, state, max_iter=left, warm=is_warm, most_polish=polish
        )

    def on_sample(problem: Problem, state: State, left: int, polish: int) -> Solution:
        return newton(problem, state.theta, Rules(left, min(Rules.polish, polish)))

    if samples.first is not None:
        part = Problem(problem.objective, samples.first, Trust(1e-8), double=True)
        near, solution = _iterate(part, theta, on_sample, SAMPLE_TOL, 100)
        problem, theta = problem.with_objective(near.objective), solution.x
    return _iterate(problem, theta, on_all, TOL, max_iter)


def _iterate(
    problem: Problem,
    theta: Floats,
    solve: Callable[[Problem, State, int, int], Solution],
    tol: float,
    max_iter: int,
) -> tuple[Problem, Solution]:
    search = RootSearch()
    state, n_iter, polish = State(theta), 0, 0
    for _ in range(MAX_UPDATES):
        objective = problem.objective
        scale, floor = objective.fixed_scale, objective.scale_floor
        found = solve(problem, state, max_iter - n_iter, polish)
        n_iter += found.n_iter
        solved, solution = problem, replace(found, n_iter=n_iter)
        if solution.status in (Status.STOPPED, Status.NOT_FINITE):
            return problem, solution
        if state.model is not None and found.x is state.theta:
            # A start that a carried Hessian lets pass is too coarse for the search.
            state, polish = State(found.x), MOST_POLISH
            search.forget_bracket()
            continue
        new_scale = max(problem.median_scale(solution.x), floor)
        # Below the floor residuals are rounding errors, and so is their median.
        change = abs(new_scale - scale)
        if change <= tol * scale + floor and polish:
            return problem, solution
        if n_iter >= max_iter:
            return problem, replace(solution, status=Status.MAX_ITER)
        if not polish and change <= POLISHED * scale:
            state, polish = State(found.x), MOST_POLISH
            search.forget_bracket()
            continue
        if change <= NEXT_TO_IT * scale:
            polish = _POLISH_NEXT_TO_IT
        log_scale = search.next(np.log(scale), np.log(new_scale / scale))
        next_scale = max(float(np.exp(log_scale)), floor)
        state = _carried(found, scale, next_scale)
        problem = problem.with_objective(objective.with_scale(next_scale))
    return solved, replace(solution, status=Status.UNSETTLED)


def _carried(solution: Solution, scale: float, next_scale: float) -> State:
    """Return the start at another scale, its Hessian times the ratio of the scales."""
    model = solution.model
    if not isinstance(model, Model):
        return State(solution.x)
    return State(solution.x, model.scaled(scale / next_scale))
