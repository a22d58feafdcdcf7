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
from skhuber._fit.levels import Samples, State, minimise
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
# How far a polished minimum may be off, in parts of the tolerance of the scale. (In
# units of the scale residuals are off by about the root of the gap over F.)
_POLISHED_PART = 0.1
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

    def on_all(problem: Problem, state: State, left: int) -> Solution:
        is_warm = state.theta is not theta
        return minimise(problem, samples, state, max_iter=left, warm=is_warm)

    def on_sample(problem: Problem, state: State, left: int) -> Solution:
        return newton(problem, state.theta, Rules(left))

    if samples.first is not None:
        part = Problem(problem.objective, samples.first, Trust(1e-8), double=True)
        near, solution = _iterate(part, theta, on_sample, SAMPLE_TOL, 100)
        problem, theta = problem.with_objective(near.objective), solution.x
    return _iterate(problem, theta, on_all, TOL, max_iter)


def _iterate(
    problem: Problem,
    theta: Floats,
    solve: Callable[[Problem, State, int], Solution],
    tol: float,
    max_iter: int,
) -> tuple[Problem, Solution]:
    search = RootSearch()
    state, n_iter, is_polished = State(theta), 0, False
    for _ in range(MAX_UPDATES):
        objective = problem.objective
        scale, floor = objective.fixed_scale, objective.scale_floor
        polished = (_POLISHED_PART * tol) ** 2 if is_polished else np.inf
        trusting = problem.trusting(replace(problem.trust, polished=polished))
        found = solve(trusting, state, max_iter - n_iter)
        n_iter += found.n_iter
        solved, solution = problem, replace(found, n_iter=n_iter)
        if solution.status in (Status.STOPPED, Status.NOT_FINITE):
            return problem, solution
        has_stayed = state.model is not None and found.x is state.theta
        if has_stayed and not (is_polished and found.is_exact):
            # A start that a carried Hessian lets pass is too coarse for the search.
            state, is_polished = State(found.x), True
            search.forget_bracket()
            continue
        new_scale = max(problem.median_scale(solution.x), floor)
        # Below the floor residuals are rounding errors, and so is their median.
        change = abs(new_scale - scale)
        if change <= tol * scale + floor and is_polished:
            return problem, solution
        if n_iter >= max_iter:
            return problem, replace(solution, status=Status.MAX_ITER)
        if not is_polished and change <= POLISHED * scale:
            state, is_polished = State(found.x), True
            search.forget_bracket()
            continue
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
