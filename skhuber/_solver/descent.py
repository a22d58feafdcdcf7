"""Newton and quasi-Newton descent on a quadratic model, as ask and tell.

The function is a sum of a smooth one, which the model stands for, and a separable part
P: absolute values and bounds (`separable`). A step leads to the minimum of model and P
(a proximal Newton method: Lee, Sun and Saunders, SIAM J. Optim. 24, 2014); how far they
fall is the gap.

`descend` is a generator. It yields `Ask(x, model)` and is sent an `Answer`; it returns
a `Solution`. `drive` answers one descent; `together` answers several with one call for
a step of each, as fits do that share their sweeps over the data.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np

from skhuber._solver.composite import best_step
from skhuber._solver.diagonal import DiagonalModel
from skhuber._solver.matrix_free import MatrixFreeModel
from skhuber._solver.quadratic import Model
from skhuber._solver.separable import Separable
from skhuber._solver.solution import (
    Answer,
    Ask,
    Floats,
    Solution,
    Status,
    value_rounding,
)

Asked = TypeVar("Asked")
Answered = TypeVar("Answered")
Found = TypeVar("Found")
AnyModel = Model | MatrixFreeModel | DiagonalModel
Descent = Generator[Ask, Answer, Solution]

# Least damping of a model: a direction that only outliers curve is then walked,
# and the gap sees it.
LEAST_DAMPING = 1e-8
# First damping with absolute values, which each step that succeeds divides by ten. With
# fewer inliers than coefficients a model without damping has faces without curvature,
# of which many are tried.
_FACE_DAMPING = 1e-3
# Damping after the first step that failed, and its growth with each further one. A
# learnt model is damped by a multiple of itself: 3 makes the step a quarter as long.
_FIRST_DAMPING = {"fresh": 1e-2, "learnt": 3.0}
_DAMPING_GROWTH = 10.0
# Beyond this damping steps do not change a digit of x.
_MOST_DAMPING = {"fresh": 1e12, "learnt": 1e3}
# A step of polish with an exact Hessian gains two digits of the gap, or there are none.
_ENOUGH_GAIN = 0.01
# The most tangents that are laid to find the lowest point on the way of a step, and the
# part of what there is to gain that may be left.
_MOST_TANGENTS = 6
_TANGENT_PART = 0.1
# A step has to gain this share of what the model promises (Armijo's rule).
_PART_OF_PROMISE = 1e-4
# If values are equal to rounding, slopes stand for them: at its end a step may rise by
# this part of the slope with which it fell at first. It is 1 − 2δ of a parabola that
# gains δ = 0.1 of the promise (Hager and Zhang, A new conjugate gradient method with
# guaranteed descent and an efficient line search, SIAM J. Optim. 16, 2005: the
# approximate Wolfe conditions).
_MOST_SLOPE = 0.8


@dataclass(frozen=True)
class Rules:
    """How far a descent goes.

    Attributes
    ----------
    max_iter : int
        The most steps.
    polish : int
        The most steps after convergence, with the last model: each takes the gap down
        by two digits or more for one evaluation.
    may_stay : bool
        Whether a start within the tolerance is returned as it is, without polish.
    is_near : bool
        Whether the start is so near the minimum that no first model needs damping.
    """

    max_iter: int
    polish: int = 3
    may_stay: bool = False
    is_near: bool = False


def descend(
    x: Floats, part: Separable, rules: Rules, model: Model | None = None
) -> Descent:
    """Minimise the sum of a smooth function and a separable part P, from x.

    The gradients that are sent are those of the smooth function, the values those of
    the sum. A model (of the smooth function) that is given learns from the steps.
    Without one, a fresh model is asked for at each point. A start outside the bounds is
    moved there: P is infinite where it was.
    """
    kind = "fresh" if model is None else "learnt"
    x = part.clip(x)
    answer = yield Ask(x, model is None)
    is_sure = rules.is_near or model is not None or part.is_below
    damping = 0.0 if is_sure else _FACE_DAMPING
    at = _placed(x, answer, answer.model or model, part, 0, damping)
    while at.status is Status.STALLED and at.n_iter < rules.max_iter:
        assert at.model is not None
        trial: AnyModel = at.model
        if model is None:
            trial = _damped(at.model, max(damping, LEAST_DAMPING), part)
        elif damping and isinstance(at.model, Model):
            trial = at.model.stiffened(1.0 + damping)
        step = at.step if trial is at.model else None
        if step is None:
            guarded = part.guarded(at.x)
            step = best_step(trial, at.gradient, at.x, guarded, answer.tolerance).x
        found = yield Ask(part.moved(at.x, step), model is None)
        is_poor = not (found.stop or _is_enough(at, step, found, trial, part))
        # (A regular model that is damped leads to the end in fewer evaluations.)
        if model is None and is_poor and trial.is_singular:
            step, found = yield from _between(at, step, found, part)
        if found.stop:
            if found.value > at.value:
                return replace(at, status=Status.STOPPED)
            x = part.moved(at.x, step)
            return _place(x, found, found.model or model, part, at.n_iter)
        learnt = found.model if model is None else at.model
        if model is not None and isinstance(learnt, Model) and found.is_finite:
            learnt = learnt.learnt(step, found.gradient - at.gradient)
        # (A model is poor, too, if only a part of the step that it promised gains.)
        if is_poor:
            damping = max(damping * _DAMPING_GROWTH, _FIRST_DAMPING[kind])
        else:
            least = 1e-3 if part.is_below else LEAST_DAMPING
            damping = damping / 10 if damping > least and model is None else 0.0
        if not is_poor or _is_enough(at, step, found, trial, part):
            answer = found
            x = part.moved(at.x, step)
            at = _placed(x, found, learnt, part, at.n_iter + 1, damping)
            continue
        at = replace(at, model=at.model if model is None else learnt, step=None)
        if damping > _MOST_DAMPING[kind]:
            return at
    if at.status is Status.STALLED:
        return replace(at, status=Status.MAX_ITER)
    if at.status is Status.CONVERGED and not (rules.may_stay and at.n_iter == 0):
        return (yield from polish(at, part, rules.polish))
    return at


def _between(
    at: Solution, step: Floats, far: Answer, part: Separable
) -> Generator[Ask, Answer, tuple[Floats, Answer]]:
    """Return a part of a step that led too far, near the lowest point on the way.

    The tangents at two points meet between them: at the edge, if the function is made
    of two straight pieces there, and halfway if it is a parabola.
    """
    slope_low = float(at.gradient @ step) + part.slope(at.x, step)
    low, value_low = 0.0, at.value
    high, best, best_value = 1.0, (step, far), far.value
    for _ in range(_MOST_TANGENTS):
        # (From below: P has an edge where a variable is zero.)
        slope_high = float(far.gradient @ step)
        slope_high -= part.slope(at.x + high * step, -step)
        if not (slope_low < 0 < slope_high and far.is_finite):
            break
        drop = slope_high * (high - low) - (far.value - value_low)
        share = low + drop / (slope_high - slope_low)
        if not low < share < high:
            break
        lowest = value_low + slope_low * (share - low)
        found = yield Ask(at.x + share * step, True)
        if found.value <= best_value:
            best, best_value = (share * step, found), found.value
        if found.stop:
            return best[0], replace(best[1], stop=True)
        if best_value - lowest <= _TANGENT_PART * (at.value - lowest):
            break
        slope = float(found.gradient @ step) + part.slope(at.x + share * step, step)
        if slope < 0:
            low, slope_low, value_low = share, slope, found.value
        else:
            high, far = share, found
    return best


def polish(
    at: Solution, part: Separable, max_steps: int, enough: float = _ENOUGH_GAIN
) -> Descent:
    """Make steps with the model at hand that are judged on the gradient.

    Values of a minimum are equal to rounding where the variables still have half of
    their digits; gradients are not. A step is kept if the gap falls and the value does
    not rise beyond rounding. Another one follows if it fell to `enough` of itself,
    and none from a point that is exact: where gaps are rounding errors, chance would
    decide on another step.
    """
    for _ in range(max_steps):
        if at.is_exact:
            break
        assert at.model is not None
        step = at.step
        if step is None:
            guarded = part.guarded(at.x)
            step = best_step(at.model, at.gradient, at.x, guarded, at.gap).x
        x = part.moved(at.x, step)
        answer = yield Ask(x, False)
        found = _place(x, answer, at.model, part, at.n_iter)
        # (100: of a value that a few gross outliers make large.)
        highest = at.value + 100 * value_rounding(at.value)
        is_better = found.gap < at.gap and found.value <= highest
        gained = is_better and found.gap <= enough * at.gap
        if is_better:
            is_certified = Status.CONVERGED in (at.status, found.status)
            at = replace(found, status=Status.CONVERGED if is_certified else at.status)
        if answer.stop and at.status is not Status.CONVERGED:
            at = replace(at, status=Status.STOPPED)
        if answer.stop or not gained:
            break
    return at


def _placed(
    x: Floats,
    answer: Answer,
    model: AnyModel | None,
    part: Separable,
    n_iter: int,
    damping: float,
) -> Solution:
    """Return a point with its gap, by a damped model unless that says it is small."""
    if model is not None and damping > max(model.damping, LEAST_DAMPING):
        at = _place(x, answer, _damped(model, damping, part), part, n_iter)
        if at.status is not Status.CONVERGED:
            return at
    return _place(x, answer, model, part, n_iter)


def _damped(model: AnyModel, damping: float, part: Separable) -> AnyModel:
    """Return the damped model, which absolute values need to be definite, too."""
    if part.is_below or not isinstance(model, Model) or damping <= LEAST_DAMPING:
        return model.damped(damping)
    return model.damped(damping, ridge=damping)


def _place(
    x: Floats, answer: Answer, model: AnyModel | None, part: Separable, n_iter: int
) -> Solution:
    """Return a point with its gap and the model's best step from there."""
    status, gap, step = Status.STALLED, np.inf, None
    if model is None or not answer.is_finite:
        status = Status.NOT_FINITE  # (products overflow before sums do)
    else:
        if model.damping < LEAST_DAMPING:
            model = model.damped(LEAST_DAMPING)
        guarded = part.guarded(x)
        # (Of a fit that ends here some digits of the gap will do.)
        tolerance = np.inf if answer.stop else answer.tolerance
        best = best_step(model, answer.gradient, x, guarded, tolerance)
        step, gap = best.x, best.fall
        # A step that ends at such a guard, not at a bound, can go further.
        is_guard = guarded.lower > part.lower
        is_cut = bool((is_guard & (step <= guarded.lower - x)).any())
        if gap <= answer.tolerance and not is_cut:
            status = Status.CONVERGED
    if answer.stop:
        status = Status.STOPPED
    return Solution(
        x,
        answer.value,
        answer.gradient,
        gap,
        n_iter,
        status,
        model,
        step,
        gap <= answer.least_gap,
    )


def _is_enough(
    at: Solution, step: Floats, answer: Answer, model: AnyModel, part: Separable
) -> bool:
    """Return whether a step gained enough."""
    if not answer.is_finite:
        return False
    change = part.change(at.x, step)
    promise = -float(at.gradient @ step) - change
    if promise > 1e3 * value_rounding(at.value):
        return answer.value <= at.value - _PART_OF_PROMISE * promise
    # Values are equal to rounding: the gradient decides. A smaller gap alone does not
    # tell: the model may know nothing of where the step led.
    if float(answer.gradient @ step) + change > _MOST_SLOPE * promise:
        return False
    x = part.moved(at.x, step)
    best = best_step(model, answer.gradient, x, part.guarded(x), answer.tolerance)
    return best.fall < at.gap


def drive(
    descent: Generator[Asked, Answered, Found], function: Callable[[Asked], Answered]
) -> Found:
    """Answer one descent, or another search that asks, until it ends."""
    try:
        ask = next(descent)
        while True:
            ask = descent.send(function(ask))
    except StopIteration as end:
        found: Found = end.value
        return found


def together(
    descents: Sequence[Generator[Asked, Answered, Found]],
    function: Callable[[list[int], list[Asked]], list[Answered]],
) -> list[Found]:
    """Answer several descents, or other searches, with one call for a step of each.

    Parameters
    ----------
    descents : sequence of generators
    function : callable
        Numbers of descents, and what each asks → an answer to each.

    Returns
    -------
    list
        What each descent returns.
    """
    found: dict[int, Found] = {}
    asks: dict[int, Asked] = {}
    answers: dict[int, Any] = dict.fromkeys(range(len(descents)))  # None: begin
    while answers:
        for k, answer in answers.items():
            try:
                asks[k] = descents[k].send(answer)
            except StopIteration as end:
                found[k] = end.value
                asks.pop(k, None)
        numbers = list(asks)
        told = function(numbers, [asks[k] for k in numbers]) if asks else []
        answers = dict(zip(numbers, told, strict=True))
    return [found[k] for k in range(len(descents))]


__all__ = [
    "LEAST_DAMPING",
    "Descent",
    "Rules",
    "descend",
    "drive",
    "polish",
    "together",
]
