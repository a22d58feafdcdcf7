"""Newton's method, and its continuation along a falling scale.

If the scale is far below most residuals, the loss is nearly that of least absolute
deviations, which has an edge at each row: from afar Newton steps go astray. The minimum
moves little from one scale to the next lower one and leads there (Madsen and Nielsen, A
finite smoothing algorithm for linear l1 estimation, SIAM J. Optim. 3, 1993).
"""

from __future__ import annotations

from dataclasses import replace

from skhuber._fit.problem import Problem, Trust
from skhuber._solver.descent import Rules, descend, drive
from skhuber._solver.solution import Solution, Status, is_lower, value_rounding
from skhuber._sums import Floats

# Newton steps with a joint scale that have led nowhere by now never will: exact data
# take 30, others fewer than 15.
_DIRECT_ITER = 40
# A scale that most residuals, of normal noise, lie within 1.35 times of.
_USUAL_RHO = 1.35
# From one scale to the next.
_NEXT_SCALE = 0.3
# Tolerance and most steps at a scale on the way.
_ON_THE_WAY = Trust(1e-6)
_ON_THE_WAY_ITER = 8


def newton(
    problem: Problem, theta: Floats, rules: Rules, *, is_near: bool = False
) -> Solution:
    """Minimise by Newton's method, along a falling scale if it needs that.

    From a start that is near the minimum, steps at the scale itself come first.
    """
    # A fixed scale far below the residuals is a case for continuation.
    direct = _DIRECT_ITER
    if not (problem.objective.joint or is_near):
        direct = _direct_iter(problem, theta)
    max_iter = rules.max_iter
    limited = replace(rules, max_iter=min(max_iter, direct))
    first = _newton(problem, theta, limited)
    done = first.status not in (Status.MAX_ITER, Status.STALLED)
    if done or first.n_iter == max_iter:
        return first
    theta, steps = _follow_scale(problem, theta, max_iter - first.n_iter)
    n_iter = first.n_iter + steps
    rest = replace(rules, max_iter=max_iter - n_iter, may_stay=False)
    solution = _newton(problem, theta, rest)
    n_iter += solution.n_iter
    is_first = is_lower(first.value, first.gap, solution.value, solution.gap)
    if is_first and solution.status is not Status.STOPPED:
        solution = first
    return replace(solution, n_iter=n_iter)


def _newton(problem: Problem, theta: Floats, rules: Rules) -> Solution:
    if problem.matrix_free:  # a step of polish costs as many sweeps as several others
        rules = replace(rules, polish=0)
    return drive(descend(theta, problem.part, rules), problem.answer)


def _comfortable_scale(problem: Problem, theta: Floats) -> float:
    """Return a scale at which most residuals lie within the threshold."""
    scale = problem.median_scale(theta)
    return scale * max(1.0, _USUAL_RHO / problem.objective.rho)


def _direct_iter(problem: Problem, theta: Floats) -> int:
    """Return no steps at a fixed scale that is too low to start with."""
    _, _, scale = problem.objective.split(theta)
    is_far = _NEXT_SCALE * _comfortable_scale(problem, theta) > scale
    return 0 if is_far else _DIRECT_ITER


def _follow_scale(problem: Problem, theta: Floats, max_iter: int) -> tuple[Floats, int]:
    """Follow the minimum at a fixed scale while the scale falls.

    Returns
    -------
    theta : ndarray
        Of the problem's own objective, at its own scale if that is fixed.
    n_iter : int
    """
    objective = problem.objective
    u, intercept, last_scale = objective.split(theta)
    lowest = objective.scale_floor if objective.joint else last_scale
    scale = _comfortable_scale(problem, theta)
    if scale <= lowest:
        return theta, 0
    x = objective.with_scale(scale).theta(u, intercept, scale)
    last: tuple[float, Floats] | None = None
    n_iter = 0
    while n_iter < max_iter:
        fixed = _at_scale(problem, scale)
        rules = Rules(min(_ON_THE_WAY_ITER, max_iter - n_iter))
        solution = _newton(fixed, x, rules)
        n_iter += solution.n_iter
        x = solution.x
        u, intercept, _ = fixed.objective.split(x)
        theta = objective.theta(u, intercept, scale)
        if scale == lowest or solution.status is Status.STOPPED:
            break
        if objective.joint and problem.evaluate(theta).gradient[-1] < 0:
            break  # the best scale lies above this one
        next_scale = max(_NEXT_SCALE * scale, lowest)
        if not objective.joint and next_scale == lowest:
            break  # Newton steps at that scale follow
        x, last = _ahead(_at_scale(problem, next_scale), x, scale, last), (scale, x)
        scale = next_scale
    return theta, n_iter


def _at_scale(problem: Problem, scale: float) -> Problem:
    fixed = problem.with_objective(problem.objective.with_scale(scale))
    return fixed.trusting(_ON_THE_WAY)


def _ahead(
    following: Problem, x: Floats, scale: float, last: tuple[float, Floats] | None
) -> Floats:
    """Return the better of x and the point on the line from the last minimum.

    The path of minima is a straight line as long as the same rows lie within the
    threshold. Without extrapolation they would not, at the next scale.
    """
    if last is None:
        return x
    next_scale = following.objective.fixed_scale
    line = (x - last[1]) / (scale - last[0])
    ahead = following.part.clip(x + line * (next_scale - scale))
    here, there = following.evaluate(x).value, following.evaluate(ahead).value
    # Beside gross outliers the values tell nothing; the line is then the better guess.
    return ahead if there <= here + value_rounding(here) else x
