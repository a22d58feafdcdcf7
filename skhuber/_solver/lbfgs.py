"""scipy's L-BFGS-B in whitened coordinates.

In coordinates v = √c·Rx, with RᵀR an approximate Hessian and c such that the first
gradient in v has length one, scipy's first step (the gradient over its length) is the
Newton step of that Hessian. No evaluation is lost on finding a step length, and
afterwards L-BFGS learns what the approximation lacks.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import scipy.optimize

from skhuber._solver.quadratic import Model
from skhuber._solver.solution import (
    Answer,
    Floats,
    Solution,
    Status,
    held_variables,
    is_lower,
)

# A value below all others. Together with a gradient of zero it makes scipy accept the
# step and end.
_END = -1e30


def whitened_lbfgs(
    function: Callable[[Floats], Answer],
    model: Model,
    x: Floats,
    first: Answer,
    lower: Floats,
    max_iter: int,
) -> Solution:
    """Minimise a function from x, where it has the answer `first`.

    Only the last variable may have a bound.

    Returns
    -------
    Solution
        The evaluated point of the least value, or of the least gap among values that
        are equal to rounding.
    """
    start = best = _place(x, first, model, lower)
    if best.status is not Status.STALLED:
        return best
    if max_iter == 0:
        return replace(best, status=Status.MAX_ITER)
    whitening = model.factor.whitening
    white = whitening.of_gradient(start.gradient)
    root_c = 1.0 / float(np.sqrt(white @ white))

    def white_function(v: Floats) -> tuple[float, Floats]:
        nonlocal best
        point = start
        if v.any() and best.status is Status.STALLED:
            x_new = np.maximum(start.x + whitening.to_x(v) / root_c, lower)
            if v[-1] <= lowest[-1]:  # rounding must not take it off its bound
                x_new[-1] = lower[-1]
            point = _place(x_new, function(x_new), model, lower)
            is_best = is_lower(point.value, point.gap, best.value, best.gap)
            if point.status is Status.CONVERGED or is_best:
                best = point
            elif point.status is Status.STOPPED:
                best = replace(best, status=Status.STOPPED)
        if best.status is not Status.STALLED:
            return _END, np.zeros_like(v)
        gradient = whitening.of_gradient(point.gradient) * root_c
        # Values are taken from the start's: their differences then keep all digits.
        return root_c**2 * (point.value - start.value), gradient

    lowest = np.full(len(x), -np.inf)
    if lower[-1] > -np.inf:
        lowest[-1] = whitening.of_last(lower[-1] - x[-1]) * root_c
    result = scipy.optimize.minimize(
        white_function,
        np.zeros(len(x)),
        jac=True,
        method="L-BFGS-B",
        bounds=scipy.optimize.Bounds(lowest, np.inf),
        # `Answer.tolerance` decides, not scipy's tolerances.
        options={"maxiter": max_iter, "ftol": 0.0, "gtol": 0.0},
    )
    status: Status = best.status
    if status is Status.STALLED and result.nit >= max_iter:
        status = Status.MAX_ITER
    return replace(best, n_iter=max(result.nit, 1), status=status)


def _place(x: Floats, answer: Answer, model: Model, lower: Floats) -> Solution:
    """Return a point with its gap."""
    gap, status = np.inf, Status.STALLED
    if answer.is_finite:
        gap = model.gap(answer.gradient, held_variables(x, lower, answer.gradient))
        if gap <= answer.tolerance:
            status = Status.CONVERGED
    if answer.stop:
        status = Status.STOPPED
    return Solution(x, answer.value, answer.gradient, gap, 0, status, model)
