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

from skhuber._solver.diagonal import DiagonalModel
from skhuber._solver.quadratic import Model
from skhuber._solver.solution import (
    Answer,
    Floats,
    Solution,
    Status,
    held_variables,
    is_lower,
    value_rounding,
)

# A value below all others. Together with a gradient of zero it makes scipy accept the
# step and end.
_END = -1e30
# Points in a row with the least value, to rounding, after which no line search finds
# another one. (scipy's looks at up to 20 points for each step.)
_MOST_EQUAL = 2


def whitened_lbfgs(
    function: Callable[[Floats], Answer],
    model: Model | DiagonalModel,
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
    start = place(x, first, model, lower)
    if start.status is not Status.STALLED:
        return start
    if max_iter == 0:
        return replace(start, status=Status.MAX_ITER)
    white = _White(function, model, start, lower)
    try:
        result = scipy.optimize.minimize(
            white,
            np.zeros(len(x)),
            jac=True,
            method="L-BFGS-B",
            bounds=scipy.optimize.Bounds(white.lowest, np.inf),
            # `Answer.tolerance` decides, not scipy's tolerances.
            options={"maxiter": max_iter, "ftol": 0.0, "gtol": 0.0},
        )
        best = white.best
    finally:
        # (scipy 1.11 keeps what it called in a reference cycle.)
        vars(white).clear()
    status: Status = best.status
    if status is Status.STALLED and result.nit >= max_iter:
        status = Status.MAX_ITER
    return replace(best, n_iter=max(result.nit, 1), status=status)


class _White:
    """A function in whitened coordinates around a start, as scipy calls it.

    Attributes
    ----------
    lowest : ndarray of shape (q,)
        Lower bounds of the coordinates.
    best : Solution
        The best point so far.
    """

    def __init__(
        self,
        function: Callable[[Floats], Answer],
        model: Model | DiagonalModel,
        start: Solution,
        lower: Floats,
    ) -> None:
        self._function = function
        self._model = model
        self._start = self.best = start
        self._lower = lower
        self._whitening = model.whitening
        self._n_equal = 0  # values in a row that are equal to the least one
        white = self._whitening.of_gradient(start.gradient)
        self._root_c = 1.0 / float(np.sqrt(white @ white))
        self.lowest = np.full(len(lower), -np.inf)
        if lower[-1] > -np.inf:
            distance = lower[-1] - start.x[-1]
            self.lowest[-1] = self._whitening.of_last(distance) * self._root_c

    def __call__(self, v: Floats) -> tuple[float, Floats]:
        """Return value and gradient; those of an end once the best point is one."""
        start, root_c = self._start, self._root_c
        point = start
        if v.any() and self._is_open:
            point = self._look(v)
        if not self._is_open:
            return _END, np.zeros_like(v)
        gradient = self._whitening.of_gradient(point.gradient) * root_c
        # Values are taken from the start's: their differences then keep all digits.
        return root_c**2 * (point.value - start.value), gradient

    @property
    def _is_open(self) -> bool:
        """True if more points may lead further."""
        return self.best.status is Status.STALLED and self._n_equal < _MOST_EQUAL

    def _look(self, v: Floats) -> Solution:
        """Return the point at v, and keep it if it is the best one."""
        lower = self._lower
        step = self._whitening.to_x(v) / self._root_c
        x = np.maximum(self._start.x + step, lower)
        if v[-1] <= self.lowest[-1]:  # rounding must not take it off its bound
            x[-1] = lower[-1]
        point, best = place(x, self._function(x), self._model, lower), self.best
        is_equal = abs(point.value - best.value) <= value_rounding(best.value)
        self._n_equal = self._n_equal + 1 if is_equal else 0
        is_best = is_lower(point.value, point.gap, best.value, best.gap)
        if point.status is Status.CONVERGED or is_best:
            best = point
        elif point.status is Status.STOPPED:
            best = replace(best, status=Status.STOPPED)
        self.best = best
        return point


def place(
    x: Floats, answer: Answer, model: Model | DiagonalModel, lower: Floats
) -> Solution:
    """Return a point with its gap."""
    gap, status = np.inf, Status.STALLED
    if answer.is_finite:
        gap = model.gap(answer.gradient, held_variables(x, lower, answer.gradient))
        if gap <= answer.tolerance:
            status = Status.CONVERGED
    if answer.stop:
        status = Status.STOPPED
    is_exact = gap <= answer.least_gap
    return Solution(
        x, answer.value, answer.gradient, gap, 0, status, model, is_exact=is_exact
    )
