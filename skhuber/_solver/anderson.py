"""Acceleration of an iteration that approaches its fixed point.

Of the last images of x ← T(x) that combination is taken whose residual T(x) − x is
least (D. G. Anderson, J. ACM 12, 1965; H. F. Walker and P. Ni, Anderson acceleration
for fixed-point iterations, SIAM J. Numer. Anal. 49, 2011). Near the fixed point it is a
quasi-Newton method that learns from the residuals alone.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from skhuber._solver.diagonal import DiagonalModel
from skhuber._solver.separable import Separable
from skhuber._solver.solution import (
    Answer,
    Floats,
    Solution,
    Status,
    held_variables,
)

# Steps that `accelerated` learns from.
_MEMORY = 6
# Differences below this part of the largest one are rounding errors.
_LEAST_DIFFERENCE = 1e-12


class Anderson:
    """Accelerated iteration.

    Parameters
    ----------
    memory : int
        The most differences of residuals that are kept.
    """

    def __init__(self, memory: int) -> None:
        self._memory = memory
        self._images: list[Floats] = []
        self._residuals: list[Floats] = []

    def next(self, image: Floats, residual: Floats) -> Floats:
        """Return the next place to try.

        Parameters
        ----------
        image : ndarray of shape (q,)
            T(x) of the last place.
        residual : ndarray of shape (m,)
            T(x) − x, in coordinates in which its length tells how far off x is.
        """
        self._images.append(image)
        self._residuals.append(residual)
        del self._images[: -self._memory - 1], self._residuals[: -self._memory - 1]
        if len(self._images) == 1:
            return image
        change = np.diff(self._residuals, axis=0).T
        share, *_ = np.linalg.lstsq(change, residual, rcond=_LEAST_DIFFERENCE)
        ahead: Floats = image - np.diff(self._images, axis=0).T @ share
        return ahead


def accelerated(
    function: Callable[[Floats], Answer],
    model: DiagonalModel,
    at: Solution,
    part: Separable,
    max_steps: int,
) -> Solution:
    """Make accelerated steps to the minima of a model around each point.

    They are judged on the gradient alone: values of a minimum are equal to rounding
    where the variables still have half of their digits.

    Parameters
    ----------
    function : callable
        x → value and gradient.
    model : DiagonalModel
    at : Solution
        The start.
    part : Separable
        The bounds.
    max_steps : int

    Returns
    -------
    Solution
        The point of the least gap. Its status is that of `at`, CONVERGED or STOPPED.
    """
    iteration = Anderson(_MEMORY)
    here = best = at
    for n_iter in range(at.n_iter + 1, at.n_iter + max_steps + 1):
        step = model.minimise(here.gradient, part.lower - here.x, 0.0)
        image = part.moved(here.x, step.x)
        x = part.clip(iteration.next(image, model.whitening.of_x(step.x)))
        answer = function(x)
        if not answer.is_finite:
            break
        held = held_variables(x, part.lower, answer.gradient)
        gap, status = model.gap(answer.gradient, held), at.status
        if gap <= answer.tolerance:
            status = Status.CONVERGED
        if answer.stop:
            status = Status.STOPPED
        here = Solution(x, answer.value, answer.gradient, gap, n_iter, status, model)
        if gap < best.gap:
            best = here
        if status is not at.status:
            return here
    return best
