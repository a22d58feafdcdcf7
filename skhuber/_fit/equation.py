"""The scale "mad": the median absolute residual of its own fit.

With r(σ) the residuals of the minimum at a scale σ, find the fixed point ::

    σ = median|r(σ)| / Φ⁻¹(3/4),

the scale of R's ``rlm`` and of statsmodels' ``RLM``. There may be several fixed points;
the one to which iteration from least squares and the scale of its residuals leads is
taken.

1. On a sample the scale is found to as many digits as the sample has
   (`near_fixed_point`).
2. On all rows scale and coefficients are found together (`settle`): a Newton step of
   the coefficients and the median of the residuals are one step of an iteration, which
   is accelerated. It takes one sweep and one median for each step, and one Hessian.
   It is a generator that asks for them (`settling`), so that several settings can share
   their sweeps.
3. Without a sample, or if that does not lead to a fixed point, the minima at single
   scales come first (`_search`): each scale is chosen by extrapolation or regula falsi.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, replace

import numpy as np

from skhuber._fit.diagonal import diagonal_there
from skhuber._fit.levels import Samples, climb, minimise, near_on_sample, trust_of
from skhuber._fit.problem import Evaluation, Problem, Trust
from skhuber._objective import HuberObjective
from skhuber._solver.anderson import Anderson
from skhuber._solver.composite import best_step
from skhuber._solver.descent import drive
from skhuber._solver.diagonal import DiagonalModel
from skhuber._solver.quadratic import Model
from skhuber._solver.root import RootSearch
from skhuber._solver.solution import Solution, Status
from skhuber._sums import Floats

# Relative change of one more update at which the scale is found.
TOL = 1e-12
# Gap over F at which the minimum is as exact as the scale: in units of the scale
# residuals are off by about the root of it, here by a tenth of TOL.
_EXACT = (0.1 * TOL) ** 2
# The most updates. Six to fifteen are usual; 98 lead from outliers of 1e99 to residuals
# of one, since the search takes a decimal power at a time.
MAX_UPDATES = 1000
# Relative change of the scale below which scale and coefficients settle together.
# (NOxEmissions does from 0.05.)
_CLOSE = 0.1
# The most steps without halving the error. (Each of them usually takes a digit.)
_PATIENCE = 4


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
    plan, n_iter = samples.plan, 0
    ways: list[Callable[..., tuple[Evaluation, Model | DiagonalModel | None]]] = []
    if samples.first is not None and plan.diagonal_first:
        ways.append(_by_diagonal)
    if samples.first is not None and plan.way == "whitened":
        ways.append(climb)
    if ways:
        objective, theta = near_fixed_point(samples, problem.objective, theta)
        problem = problem.with_objective(objective)
    for there in ways:
        found, model = there(problem, samples, theta)
        if model is None or not found.is_finite:
            continue
        problem, solution = settle(problem, samples, found, model, max_iter - n_iter)
        n_iter, theta = n_iter + solution.n_iter, solution.x
        if solution.status is not Status.STALLED:
            return problem, replace(solution, n_iter=n_iter)
    problem, solution = _search(problem, samples, theta, max_iter - n_iter)
    return problem, replace(solution, n_iter=n_iter + solution.n_iter)


def _by_diagonal(
    problem: Problem, samples: Samples, theta: Floats
) -> tuple[Evaluation, DiagonalModel | None]:
    return diagonal_there(problem, samples.first, theta)


def near_fixed_point(
    samples: Samples, objective: HuberObjective, theta: Floats
) -> tuple[HuberObjective, Floats]:
    """Return scale and minimum on the first sample, as well as it knows them."""
    rows = samples.first
    assert rows is not None
    search = RootSearch()
    for _ in range(MAX_UPDATES):
        theta = near_on_sample(samples, objective, theta)
        part = Problem(objective, rows, Trust(0.0), double=True)
        scale, floor = objective.fixed_scale, objective.scale_floor
        new_scale = max(part.median_scale(theta), floor)
        # (The median of m residuals is uncertain by about 1.2/√m of itself.)
        if abs(new_scale - scale) <= scale / np.sqrt(rows.n_rows) + floor:
            return objective.with_scale(new_scale), theta
        log_scale = search.next(np.log(scale), np.log(new_scale / scale))
        objective = objective.with_scale(max(float(np.exp(log_scale)), floor))
    return objective, theta


@dataclass(frozen=True)
class Look:
    """A question of `settling`: the objective at a scale, and a point."""

    problem: Problem
    theta: Floats


@dataclass(frozen=True)
class Seen:
    """The answer: the evaluation there, and the scale of the residuals.

    That is median|r| / Φ⁻¹(3/4), standardised; NaN if sums overflowed.
    """

    found: Evaluation
    median_scale: float


Settling = Generator[Look, Seen, tuple[Problem, Solution]]


def settle(
    problem: Problem,
    samples: Samples,
    found: Evaluation,
    model: Model | DiagonalModel,
    max_iter: int,
) -> tuple[Problem, Solution]:
    """Find scale and coefficients together; see `settling`.

    No sweep is needed at the start if the last one was there.
    """

    def look(ask: Look) -> Seen:
        seen = ask.problem.evaluate(ask.theta)
        scale = ask.problem.median_scale(ask.theta) if seen.is_finite else np.nan
        return Seen(seen, scale)

    if isinstance(model, Model):
        problem = problem.trusting(trust_of(problem, samples.plan))
    return drive(settling(problem, found.theta, model, max_iter), look)


def settling(
    problem: Problem, theta: Floats, model: Model | DiagonalModel, max_iter: int
) -> Settling:
    """Find scale and coefficients together, from a place near both.

    Parameters
    ----------
    problem : Problem
        On all rows, with the trust in the model.
    theta : ndarray
        The start, where sums are finite.
    model : Model or DiagonalModel
        A Hessian near there.
    max_iter : int
        The most steps.

    Returns
    -------
    problem : Problem
        With the scale that was found.
    solution : Solution
        STALLED if the iteration does not lead to a fixed point.
    """
    part, whitening = problem.part, model.whitening
    problem = problem.trusting(replace(problem.trust, polished=_EXACT))
    iteration = Anderson()
    best, least, n_waited = None, np.inf, 0
    seen = yield Look(problem, theta)
    for n_iter in range(max_iter + 1):
        here = _placed(problem, seen.found, model, n_iter)
        if here.status is Status.STOPPED:
            return problem, here
        best = best or (problem, here)
        scale, floor = problem.objective.fixed_scale, problem.objective.scale_floor
        new_scale = seen.median_scale
        if new_scale <= floor:
            break
        change = float(np.log(new_scale / scale))
        error = max(abs(change), float(np.sqrt(here.gap / here.value)))
        n_waited += 1
        if error <= 0.5 * least:
            best, least, n_waited = (problem, here), error, 0
        # (Rounding errors of large residuals may be more than TOL of the scale.)
        enough = TOL if n_waited < _PATIENCE else TOL + floor / scale
        if here.is_exact and abs(change) <= enough:
            return problem, _certified(problem, here)
        if n_waited >= _PATIENCE:
            break
        assert here.step is not None
        image = np.append(part.moved(here.x, here.step), np.log(new_scale))
        # (The value is the curvature of the logarithm of the scale, to its size.)
        last = np.sqrt(here.value) * change
        ahead = iteration.next(image, np.append(whitening.of_x(here.step), last))
        next_scale = max(float(np.exp(ahead[-1])), floor)
        following = problem.with_objective(problem.objective.with_scale(next_scale))
        seen = yield Look(following, part.clip(ahead[:-1]))
        if not seen.found.is_finite:
            break
        problem = following
    if here.n_iter == max_iter:
        return problem, replace(here, status=Status.MAX_ITER)
    assert best is not None
    return best[0], replace(best[1], n_iter=here.n_iter)


def _certified(problem: Problem, solution: Solution) -> Solution:
    """Return the solution with the status of its gap: a diagonal estimates it only."""
    if isinstance(solution.model, DiagonalModel):
        bound = replace(solution.model, is_certain=True)
        gap = bound.gap(solution.gradient, np.zeros(len(solution.x), dtype=np.bool_))
        if gap > problem.at(solution.x).tolerance:
            return solution
        solution = replace(solution, gap=gap)
    return replace(solution, status=Status.CONVERGED)


def _placed(
    problem: Problem, found: Evaluation, model: Model | DiagonalModel, n_iter: int
) -> Solution:
    """Return an evaluation with its gap and the model's step from there."""
    told = problem.told(found)
    step = best_step(model, told.gradient, found.theta, problem.part, told.least_gap)
    return Solution(
        found.theta,
        told.value,
        told.gradient,
        step.fall,
        n_iter,
        Status.STOPPED if found.stop else Status.STALLED,
        model,
        step.x,
        is_exact=step.fall <= told.least_gap,
    )


def _search(
    problem: Problem, samples: Samples, theta: Floats, max_iter: int
) -> tuple[Problem, Solution]:
    """Minimise at one scale after the other, until one reproduces itself."""
    search = RootSearch()
    n_iter, is_polished = 0, False
    for k in range(MAX_UPDATES):
        scale, floor = problem.objective.fixed_scale, problem.objective.scale_floor
        # (Of a large change polish alters no digit that matters.)
        polished = _EXACT if is_polished else np.inf
        trusting = problem.trusting(replace(problem.trust, polished=polished))
        found = minimise(
            trusting, samples, theta, max_iter=max_iter - n_iter, warm=k > 0
        )
        has_stayed = np.array_equal(found.x, theta)
        n_iter, theta = n_iter + found.n_iter, found.x
        solved, solution = problem, replace(found, n_iter=n_iter)
        if solution.status in (Status.STOPPED, Status.NOT_FINITE):
            return problem, solution
        new_scale = max(problem.median_scale(theta), floor)
        # Below the floor residuals are rounding errors, and so is their median.
        change = abs(new_scale - scale)
        if change <= TOL * scale + floor and is_polished:
            return problem, solution
        if n_iter >= max_iter:
            return problem, replace(solution, status=Status.MAX_ITER)
        if is_polished and has_stayed:
            # (Steps by products are not polished: a start within the tolerance stays.
            # Then its residuals, and their median, are those at the next scale, too.
            # The bracket, from other points, may exclude that and hold the search.)
            search.forget_bracket()
            problem = problem.with_objective(problem.objective.with_scale(new_scale))
            continue
        if is_polished or change > _CLOSE * scale:
            log_scale = search.next(np.log(scale), np.log(new_scale / scale))
            next_scale = max(float(np.exp(log_scale)), floor)
            problem = problem.with_objective(problem.objective.with_scale(next_scale))
            continue
        is_polished = True
        search.forget_bracket()
        if isinstance(found.model, Model):
            at, left = problem.evaluate(theta), max_iter - n_iter
            near, solution = settle(problem, samples, at, found.model, left)
            n_iter, theta = n_iter + solution.n_iter, solution.x
            if solution.status is not Status.STALLED:
                return near, replace(solution, n_iter=n_iter)
            problem = problem.with_objective(near.objective)
    return solved, replace(solution, status=Status.UNSETTLED)
